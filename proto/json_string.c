#include "proto/json_string.h"

#ifdef __SSE2__
#include <emmintrin.h>
#else
#include <endian.h>
#endif

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    if (ch >= 'a' && ch <= 'f')
        return ch - 'a' + 10;
    if (ch >= 'A' && ch <= 'F')
        return ch - 'A' + 10;
    return -1;
}

/* The four digits after "\u"; -1 if they are not. */
static int hex4(const char *p, const char *end)
{
    if (end - p < 4)
        return -1;
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static bool is_escape(char ch)
{
    switch (ch) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return true;
    default:
        return false;
    }
}

/* Past an escape whose backslash is at p; NULL if it is none. A lone surrogate is none. */
static const char *escape_end(const char *p, const char *end)
{
    if (end - p < 2)
        return NULL;
    if (p[1] != 'u')
        return is_escape(p[1]) ? p + 2 : NULL;
    int unit = hex4(p + 2, end);
    if (unit < 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
        return NULL;
    if (unit < 0xD800 || unit > 0xDBFF)
        return p + 6;
    if (end - p < 12 || p[6] != '\\' || p[7] != 'u')
        return NULL;
    int low = hex4(p + 8, end);
    return low >= 0xDC00 && low <= 0xDFFF ? p + 12 : NULL;
}

/* Unicode 3.9 D92. */
const char *json_utf8_end(const char *p, const char *end)
{
    unsigned char lead = (unsigned char)p[0];
    unsigned char low = 0x80, high = 0xBF;
    int more;
    if (lead >= 0xC2 && lead <= 0xDF) {
        more = 1;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        more = 2;
        low = lead == 0xE0 ? 0xA0 : 0x80;
        high = lead == 0xED ? 0x9F : 0xBF;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        more = 3;
        low = lead == 0xF0 ? 0x90 : 0x80;
        high = lead == 0xF4 ? 0x8F : 0xBF;
    } else {
        return NULL;
    }
    if (end - p <= more)
        return NULL;
    for (int i = 1; i <= more; i++) {
        unsigned char byte = (unsigned char)p[i];
        if (byte < low || byte > high)
            return NULL;
        low = 0x80;
        high = 0xBF;
    }
    return p + 1 + more;
}

const char *json_special_end(const char *p, const char *end)
{
    return *p == '\\' ? escape_end(p, end) : json_utf8_end(p, end);
}

#ifdef __SSE2__
static inline unsigned marks_of_16(const char *p)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    /* Negative below a space, and from 0x80 on, since those are negative themselves. */
    __m128i special = _mm_subs_epi8(bytes, _mm_set1_epi8(' '));
    special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
    special = _mm_or_si128(special, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(special);
}

static inline uint64_t marks_of_64(const char *p)
{
    unsigned low = marks_of_16(p) | marks_of_16(p + 16) << 16;
    unsigned high = marks_of_16(p + 32) | marks_of_16(p + 48) << 16;
    return (uint64_t)high << 32 | low;
}
#else
#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* All eight at once. Without its highest bit, no byte's sum reaches into the next; it has that bit
 * where the byte is not below a space, not a quote, not a backslash. */
static inline uint64_t marks_of_8(const char *p)
{
    uint64_t bytes;
    memcpy(&bytes, p, sizeof(bytes));
    bytes = le64toh(bytes);
    uint64_t low = bytes & EACH_BYTE(0x7F);
    uint64_t plain = low + EACH_BYTE(0x80 - ' ');
    plain &= (low ^ EACH_BYTE('"')) + EACH_BYTE(0x7F);
    plain &= (low ^ EACH_BYTE('\\')) + EACH_BYTE(0x7F);
    uint64_t special = (bytes | ~plain) >> 7 & EACH_BYTE(1);
    /* The product's highest byte has bit 0 of each byte. */
    return special * UINT64_C(0x0102040810204080) >> 56;
}

static inline uint64_t marks_of_64(const char *p)
{
    uint64_t bits = 0;
    for (int i = 0; i < 64; i += 8)
        bits |= marks_of_8(p + i) << i;
    return bits;
}
#endif

/* The marks of n bytes (less than 64) and their end, with nothing known before them. The zeros
 * stand for what is not there, and are marked. Not inline: what guards its array on the stack would
 * slow down the others. */
static __attribute__((noinline)) uint64_t marks_of_short(const char *p, size_t n)
{
    char block[64] = {0};
    memcpy(block, p, n);
    return marks_of_64(block);
}

/* The same, where the text has 64 bytes that end with these. */
static uint64_t marks_of_last(const char *p, size_t n)
{
    uint64_t bits = n ? marks_of_64(p + n - 64) >> (64 - n) : 0;
    return bits | UINT64_C(1) << n;
}

struct json_marks json_marks_from(const char *p, const char *end, const char *before)
{
    for (; end - p >= 64; p += 64) {
        uint64_t bits = marks_of_64(p);
        if (bits)
            return (struct json_marks){p, bits};
        before = p;
    }
    size_t n = (size_t)(end - p);
    return (struct json_marks){p, before ? marks_of_last(p, n) : marks_of_short(p, n)};
}

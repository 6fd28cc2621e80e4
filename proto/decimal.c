#include "proto/decimal.h"

size_t decimal_write(uint64_t value, char to[static DECIMAL_MAX])
{
    char last_first[DECIMAL_MAX];
    size_t n = 0;
    do
        last_first[n++] = (char)('0' + value % 10);
    while (value /= 10);
    for (size_t i = 0; i < n; i++)
        to[i] = last_first[n - 1 - i];
    return n;
}

bool decimal_read(struct slice text, int64_t *value)
{
    bool negative = text.n && text.p[0] == '-';
    uint64_t most = (uint64_t)INT64_MAX + negative, sum = 0;
    size_t i = negative;
    for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
        uint64_t digit = (uint64_t)(text.p[i] - '0');
        if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, digit, &sum) ||
            sum > most)
            return false;
    }
    *value = (int64_t)(negative ? 0 - sum : sum);
    return i == text.n && i > negative;
}

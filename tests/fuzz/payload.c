#include "tests/fuzz/payload.h"

#include "tests/fuzz/fuzz.h"

#define FILLER ((size_t)16 * 1024)

static size_t find(const struct names *names, struct slice name)
{
    size_t i = 0;
    while (i < names->n && !slice_is(name, names->name[i]))
        i++;
    return i;
}

void names_add(struct names *names, struct slice name)
{
    if (!names_have(names, name) && names->n < NAMES_KEPT)
        MUST((names->name[names->n++] = slice_dup(name)), "out of memory");
}

bool names_have(const struct names *names, struct slice name)
{
    return find(names, name) < names->n;
}

void names_remove(struct names *names, struct slice name)
{
    size_t i = find(names, name);
    if (i == names->n)
        return;
    free(names->name[i]);
    names->n--;
    memmove(&names->name[i], &names->name[i + 1], (names->n - i) * sizeof(names->name[0]));
}

void names_free(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->name[i]);
    *names = (struct names){0};
}

static void put(struct outbuf *to, struct slice bytes)
{
    MUST(outbuf_reserve(to, bytes.n) == 0, "out of memory");
    outbuf_put(to, bytes);
}

static void put_filler(struct outbuf *to, size_t *budget)
{
    static char filler[FILLER];
    size_t n = *budget < FILLER ? *budget : FILLER;
    memset(filler, 'f', sizeof(filler));
    put(to, (struct slice){filler, n});
    *budget -= n;
}

void payload_expand(struct outbuf *to, struct slice payload, const struct writer *writer,
                    size_t *budget)
{
    for (size_t i = 0; i < payload.n; i++) {
        char ch = payload.p[i];
        size_t which = i + 1 < payload.n ? (size_t)(payload.p[i + 1] - '0') : NAMES_KEPT;
        switch (ch) {
        case '@':
            put(to, slice_str(writer->mark));
            break;
        case '^':
            put(to, slice_str(writer->about ? writer->about : "T"));
            break;
        case '~':
            put(to, which < writer->names->n ? slice_str(writer->names->name[which]) : SLICE("T"));
            i += which < NAMES_KEPT;
            break;
        case '#':
            put_filler(to, budget);
            break;
        case '%':
            put(to, SLICE("_"));
            break;
        default:
            put(to, (struct slice){&ch, 1});
        }
    }
}

struct slice payload_since(const struct outbuf *ob, size_t before)
{
    size_t n = outbuf_len(ob) - before;
    return n ? (struct slice){ob->data + ob->begin + before, n} : SLICE_NULL;
}

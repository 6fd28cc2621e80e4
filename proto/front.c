#include "proto/front.h"

/* Longer ones, of which there are none, are read the long way. */
#define TEXT_MAX 128

static bool take(struct slice *rest, struct slice literal)
{
    if (rest->n < literal.n || memcmp(rest->p, literal.p, literal.n) != 0)
        return false;
    *rest = (struct slice){rest->p + literal.n, rest->n - literal.n};
    return true;
}

/* Up to the quote that ends it; false where it has characters that need a closer look. */
static bool take_text(struct slice *rest, struct slice *text)
{
    size_t n = 0, limit = rest->n < TEXT_MAX ? rest->n : TEXT_MAX;
    while (n < limit && rest->p[n] > ' ' && rest->p[n] < 0x7F && rest->p[n] != '"' &&
           rest->p[n] != '\\')
        n++;
    *text = (struct slice){rest->p, n};
    *rest = (struct slice){rest->p + n, rest->n - n};
    return n && take(rest, SLICE("\""));
}

bool front_scan(struct slice line, struct front *f)
{
    struct slice rest = line;
    bool found = take(&rest, SLICE("{\"method\":\"")) && take_text(&rest, &f->method) &&
                 take(&rest, SLICE(",\"params\":{\"threadId\":\"")) &&
                 take_text(&rest, &f->thread_id);
    f->n = line.n - rest.n;
    return found;
}

bool front_is_delta(const struct front *f)
{
    struct slice m = f->method;
    return slice_starts(m, "item/") && m.n > 10 && memcmp(m.p + m.n - 4, "elta", 4) == 0;
}

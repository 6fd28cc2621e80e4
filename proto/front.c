#include "proto/front.h"

#include "proto/json_string.h"

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
static bool take_text(struct slice *rest, struct slice *text, struct json_marks *marks)
{
    const char *end = json_next_mark(marks, rest->p, rest->p + rest->n);
    size_t n = (size_t)(end - rest->p);
    *text = (struct slice){rest->p, n};
    *rest = (struct slice){end, rest->n - n};
    return n && n <= TEXT_MAX && take(rest, SLICE("\""));
}

bool front_scan(struct slice line, struct front *f)
{
    struct slice rest = line;
    struct json_marks marks = {0};
    bool found = take(&rest, SLICE("{\"method\":\"")) && take_text(&rest, &f->method, &marks) &&
                 take(&rest, SLICE(",\"params\":{\"threadId\":\"")) &&
                 take_text(&rest, &f->thread_id, &marks);
    f->n = line.n - rest.n;
    return found;
}

bool front_is_delta(const struct front *f)
{
    struct slice m = f->method;
    return slice_starts(m, "item/") && m.n > 10 && memcmp(m.p + m.n - 4, "elta", 4) == 0;
}

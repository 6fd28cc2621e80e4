#include "daemon/move_hide.h"

#include "daemon/move.h"

bool move_hides(const struct thread *t, const struct envelope *e)
{
    static const char *const echoes[] = {"thread/tokenUsage/updated", "thread/goal/updated",
                                         "thread/goal/cleared"};
    static const char *const unmoved[] = {"thread/status/changed", "thread/closed",
                                          "thread/started", "thread/settings/updated", "warning"};
    bool closing, under_way = move_under_way(t, &closing);
    for (size_t i = 0; i < ARRAY_LEN(echoes) && (under_way || t->echoes); i++)
        if (slice_is(e->method, echoes[i]))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(unmoved) && under_way; i++)
        if (slice_is(e->method, unmoved[i]))
            return true;
    /* Of a turn that begins when nobody listens any more, Codex tells nothing but the status. */
    return closing && slice_starts(e->method, "turn/");
}

#include "daemon/stay.h"

#include "daemon/asks.h"
#include "daemon/request.h"
#include "daemon/settings.h"

static const char *const words[] = {
    [STAY_NOT] = "",
    [STAY_BUSY] = "a turn of its runs or is due",
    [STAY_OPENING] = "it is being opened or closed",
    [STAY_LEASED] = "the client that has its worker uses it",
    [STAY_UNANSWERED] = "a request for it is not answered yet",
    [STAY_ASKED] = "its client has yet to answer a request",
    [STAY_EPHEMERAL] = "it is ephemeral",
    [STAY_TURNLESS] = "it has had no turn yet",
    [STAY_SUBAGENTS] = "sub-agents belong to it",
    [STAY_GOAL] = "it has an active goal",
    [STAY_QUEUE] = "messages are queued on it",
    [STAY_TERMINAL] = "a background terminal runs in it",
    [STAY_OUTPUT] = "a command has ended in its background",
    [STAY_MCP] = "an MCP server runs for it",
    [STAY_HOOKS] = "session hooks would run again",
    [STAY_APPROVALS] = "approvals are remembered for its session",
    [STAY_MEMORY] = "its process keeps more of it than is stored",
    [STAY_RAW] = "its client gets raw events",
    [STAY_UNKNOWN] = "its settings are not known",
    [STAY_CHANGED] = "the configuration or its instructions have changed since it was opened",
    [STAY_UNSURE] = "its worker did not say what holds it",
    [STAY_KEPT] = "this Codex does not unload threads",
    [STAY_FAILED] = "its last move failed",
};
_Static_assert(sizeof(words) / sizeof(words[0]) == STAYS, "words for each reason");

const char *stay_words(enum stay stay)
{
    return words[stay];
}

struct search {
    const char *thread_id;
    bool found;
};

static void look_at_request(const struct request *r, void *arg)
{
    struct search *search = arg;
    search->found = search->found || request_names(r, search->thread_id);
}

static bool unanswered(const struct thread *t)
{
    struct search search = {.thread_id = t->id};
    for (size_t i = 0; i < WORKER_SLOTS; i++)
        if (t->owner->slots[i])
            look_at_request(t->owner->slots[i], &search);
    backlog_each(&t->owner->unsent, look_at_request, &search);
    return search.found;
}

static bool has_relatives(const struct thread *t)
{
    list_for_each (it, &t->owner->threads)
        if (list_entry(it, struct thread, in_owner)->parent == t)
            return true;
    return t->parent != NULL;
}

/* What holds for every way of unloading it. */
static enum stay loaded_why(const struct thread *t, const struct client *c)
{
    const struct worker *w = t->owner;
    bool in_lease = w->lease.holder && t->stream == w->streams;
    if (thread_busy(t))
        return STAY_BUSY;
    if (t->opening || t->provisional || t->evicting || t->unsubscribed)
        return STAY_OPENING;
    if (t->ephemeral)
        return STAY_EPHEMERAL;
    if (!t->persisted)
        return STAY_TURNLESS;
    if (in_lease && w->lease.holder != c)
        return STAY_LEASED;
    if (w->keeps_threads)
        return STAY_KEPT;
    return STAY_NOT;
}

enum stay stay_cold(const struct thread *t, const struct client *c)
{
    return loaded_why(t, c);
}

/* The first of those that stay until something is heard that ends them. */
static enum stay kept_why(const struct thread *t)
{
    for (unsigned i = 0; i < STAYS; i++)
        if (t->keeps & (1U << i))
            return (enum stay)i;
    return STAY_NOT;
}

enum stay stay_why(const struct thread *t, const struct client *c)
{
    enum stay why = loaded_why(t, c);
    if (why == STAY_NOT && !t->turned)
        why = STAY_TURNLESS;
    if (why == STAY_NOT && asks_of_thread(t->owner, t->id))
        why = STAY_ASKED;
    if (why == STAY_NOT)
        why = kept_why(t);
    if (why == STAY_NOT && has_relatives(t))
        why = STAY_SUBAGENTS;
    if (why == STAY_NOT && t->goal_active)
        why = STAY_GOAL;
    if (why == STAY_NOT && t->queued)
        why = STAY_QUEUE;
    if (why == STAY_NOT && !t->settings)
        why = STAY_UNKNOWN;
    if (why == STAY_NOT && t->settings->raw_events)
        why = STAY_RAW;
    if (why == STAY_NOT && unanswered(t))
        why = STAY_UNANSWERED;
    return why;
}

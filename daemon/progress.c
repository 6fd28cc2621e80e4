#include "daemon/progress.h"

#include "daemon/asks.h"
#include "daemon/client.h"
#include "daemon/evict.h"
#include "daemon/lease.h"
#include "daemon/move.h"
#include "daemon/ownership.h"
#include "daemon/pool.h"
#include "daemon/problems.h"
#include "daemon/renew.h"
#include "daemon/router.h"
#include "daemon/settings.h"
#include "daemon/sources.h"
#include "daemon/stay.h"
#include "proto/json.h"

#define BIT(stay) (1U << (stay))

/* A turn is to start that is not running yet: who waits for it does so from now on. */
static void promise(struct thread *t)
{
    t->promised = now_ms();
}

/* Something runs on a thread although nobody may have asked for it. */
static void on_activity(struct worker *w, struct thread *t)
{
    if (t->evicting)
        evict_thread(t);
    else if (!t->subscriber && !t->opening && !t->unsubscribed)
        evict_thread(t);
    else if (w->state == WORKER_IDLE && t->subscriber)
        pool_lease_to(w, t->subscriber);
}

static void on_status(struct worker *w, struct thread *t, const struct envelope *e)
{
    struct slice type = json_get_text(e->params, "status.type");
    t->active = slice_is(type, "active");
    if (t->active)
        on_activity(w, t);
}

static void on_turn_started(struct worker *w, struct thread *t, const struct envelope *e)
{
    t->running++;
    t->promised = 0;
    t->persisted = true;
    t->turn_open = t->subscriber != NULL;
    t->turn_since = now_ms();
    t->turn_interrupted = 0;
    t->turned = true;
    t->echoes = false;
    t->commands = 0;
    t->output_asked = true;
    t->keeps &= ~(BIT(STAY_HOOKS) | BIT(STAY_UNSURE));
    thread_set_turn(t, json_get_text(e->params, "turn.id"));
    w->lease.opened_at = 0;
    if (w->lease.holder && w->lease.holder == t->subscriber)
        t->stream = w->streams;
    on_activity(w, t);
}

static void on_turn_completed(struct thread *t, const struct envelope *e)
{
    t->owner->server->counters.turns++;
    if (t->running) {
        t->running--;
        histogram_add(&t->owner->server->times[TIME_TURN],
                      (double)(now_ms() - t->turn_since) / 1e3);
    }
    if (!t->running)
        asks_turn_over(t->owner, t->id);
    t->turn_open = t->running > 0;
    t->keeps &= ~BIT(STAY_FAILED);
    if (t->output_asked)
        t->keeps &= ~BIT(STAY_OUTPUT);
    /* The status comes first, so this says nothing new, unless a Codex tells turns alone. */
    if (!t->running)
        t->active = false;
    /* Only a completed turn is followed by the next queued item; an interrupt stops goals, too.
     * What was promised while it ran can come from now on. */
    bool goes_on = slice_is(json_get_text(e->params, "turn.status"), "completed") &&
                   (t->goal_active || t->queued);
    if (goes_on || t->promised)
        promise(t);
}

static void set_goal(struct thread *t, struct slice status)
{
    t->goal_active = slice_is(status, "active");
    if (t->goal_active && !t->running)
        promise(t);
}

static void on_queue_listed(struct worker *w, const struct envelope *answer, void *arg)
{
    _cleanup_free_ char *id = arg;
    struct thread *t = id ? threads_find(&w->server->threads, slice_str(id)) : NULL;
    if (!t || t->owner != w || !answer)
        return;
    t->queued = json_count(json_get(answer->result, "data"));
    pool_settle(w);
}

static void on_queue_changed(struct worker *w, struct thread *t)
{
    t->keeps &= ~BIT(STAY_QUEUE);
    /* An item that is gone from the list is on its way to be a turn (measured: 3 to 10 ms). */
    if (!t->running)
        promise(t);
    worker_ask_thread(w, "thread/queue/list", t->id, "", on_queue_listed, strdup(t->id));
}

static void on_closed(struct thread *t)
{
    if (t->evicting)
        evict_closed(t);
    else
        ownership_end(t);
}

static void keep_for_output(struct thread *t)
{
    t->keeps |= BIT(STAY_OUTPUT);
    t->output_asked = false;
}

/* What the model does not see of a command before it asks, only the process that ran it can tell:
 * of one that has outlived its turn, or the model's patience (it has answered since, or twice, as
 * the first count may be that of the answer that began the command). */
static void on_item(struct thread *t, const struct envelope *e, bool started)
{
    if (!slice_is(json_get_text(e->params, "item.type"), "commandExecution"))
        return;
    if (started) {
        t->samples = t->commands++ ? t->samples : 0;
        return;
    }
    bool in_turn =
        t->running && t->turn_id && slice_is(json_get_text(e->params, "turnId"), t->turn_id);
    if (!in_turn || t->samples > 1)
        keep_for_output(t);
    t->keeps &= ~BIT(STAY_TERMINAL);
    t->commands -= t->commands > 0;
}

static void on_settings_updated(struct thread *t, const struct envelope *e)
{
    if (!t->settings || settings_updated(t->settings, json_get(e->params, "threadSettings")) == 0)
        return;
    settings_free(t->settings);
    t->settings = NULL;
}

static void on_goal(struct thread *t, const struct envelope *e)
{
    t->echoes = false;
    t->keeps &= ~BIT(STAY_GOAL);
    if (slice_is(e->method, "thread/goal/cleared"))
        t->goal_active = false;
    else
        set_goal(t, json_get_text(e->params, "goal.status"));
}

static bool is_mcp(struct slice method)
{
    return slice_is(method, "mcpServer/startupStatus/updated");
}

/* What decides on nothing but whether it can move. False: it is something else. */
static bool about_moving(struct thread *t, const struct envelope *e)
{
    struct slice method = e->method;
    if (slice_is(method, "item/started"))
        on_item(t, e, true);
    else if (slice_is(method, "item/completed"))
        on_item(t, e, false);
    else if (slice_is(method, "thread/tokenUsage/updated"))
        t->samples++;
    else if (slice_is(method, "thread/settings/updated"))
        on_settings_updated(t, e);
    else if (is_mcp(method))
        t->keeps |= BIT(STAY_MCP);
    else
        return false;
    return true;
}

void progress_notified(struct worker *w, struct thread *t, const struct envelope *e)
{
    struct slice method = e->method;
    t->last_event = now_ms();
    problems_heard(t, e);
    if (t->move && move_notified(t, e)) {
        w->server->offer = true;
        return;
    }
    if (about_moving(t, e)) {
        w->server->offer = w->server->offer || !lane_empty(&w->lane);
        return;
    }
    if (slice_is(method, "thread/status/changed"))
        on_status(w, t, e);
    else if (slice_is(method, "turn/started"))
        on_turn_started(w, t, e);
    else if (slice_is(method, "turn/completed"))
        on_turn_completed(t, e);
    else if (slice_starts(method, "thread/goal/"))
        on_goal(t, e);
    else if (slice_is(method, "thread/queue/changed"))
        on_queue_changed(w, t);
    else if (slice_is(method, "thread/closed"))
        on_closed(t);
    else
        return;
    pool_settle(w);
}

/* The thread of this lease that a new sub-agent most likely belongs to: the one whose turn runs. */
static struct thread *running_here(const struct worker *w)
{
    struct thread *found = NULL;
    list_for_each (it, &w->threads) {
        struct thread *t = list_entry(it, struct thread, in_owner);
        /* One that is on its way elsewhere takes no new ones along. */
        if (t->stream == w->streams && (!t->move || t->running) &&
            (!found || (t->running && !found->running)))
            found = t;
    }
    return found;
}

/* It may be told of before the thread is: Codex does both at once. */
static void note_early_mcp(struct worker *w, struct slice thread_id)
{
    w->early_mcp[w->next_early_mcp++ % EARLY_MCP_KEPT] = thread_hash(thread_id);
}

static bool had_early_mcp(const struct worker *w, struct slice thread_id)
{
    uint64_t hash = thread_hash(thread_id);
    unsigned i = 0;
    while (i < EARLY_MCP_KEPT && w->early_mcp[i] != hash)
        i++;
    return i < EARLY_MCP_KEPT;
}

struct thread *progress_unknown(struct worker *w, const struct envelope *e)
{
    if (is_mcp(e->method))
        note_early_mcp(w, e->thread_id);
    bool status = slice_is(e->method, "thread/status/changed") &&
                  !slice_is(json_get_text(e->params, "status.type"), "notLoaded");
    if (!status && !slice_is(e->method, "turn/started"))
        return NULL;
    struct thread *parent = w->lease.holder ? running_here(w) : NULL;
    struct thread *t = ownership_begin(w, e->thread_id);
    if (!t)
        return NULL;
    t->parent = parent;
    t->persisted = true;
    ownership_subscribe(t, w->state == WORKER_BUSY ? w->lease.holder : NULL);
    return t;
}

static struct thread *thread_of(struct worker *w, struct request *r)
{
    struct thread *t =
        r->thread_id ? threads_find(&w->server->threads, slice_str(r->thread_id)) : NULL;
    if (t && t->opening == r)
        t->opening = NULL;
    return t;
}

/* Loaded anew, not joined where it was: its settings are what this request gave, and what it
 * reports. */
static void loaded(struct worker *w, struct thread *t, struct request *r, const struct envelope *e)
{
    struct slice preview = json_get_text(e->result, "thread.preview");
    settings_free(t->settings);
    t->settings = r->settings;
    r->settings = NULL;
    if (t->settings && settings_opened(t->settings, e->result) < 0) {
        settings_free(t->settings);
        t->settings = NULL;
    }
    if (t->settings)
        t->sources = sources_stamp(w->server->config, t->settings->reported[SETTING_SOURCES]);
    /* The preview is the first message of its history. */
    t->turned = !slice_is(slice_str(r->method->name), "thread/start") && (!preview.p || preview.n);
}

/* `from`: the open thread that the request names, if any. */
static void opened(struct worker *w, struct request *r, const struct thread *from,
                   const struct envelope *e)
{
    struct slice id = json_get_text(e->result, "thread.id");
    const struct thread *before = id.n ? threads_find(&w->server->threads, id) : NULL;
    /* What is new may have been told of before, and was taken for a sub-agent then. */
    bool resumed = r->method->flags & METHOD_RESUME;
    bool joined = resumed && before && before->owner == w && !before->provisional;
    struct thread *t = id.n ? ownership_begin(w, id) : NULL;
    if (id.n && !t)
        client_doom(r->client, "out of memory for its thread");
    if (!t)
        return;
    if (!joined)
        loaded(w, t, r, e);
    if (!resumed)
        t->parent = NULL;
    if (r->moved_from && r->moved_from != w)
        move_count(t, r->moved_from, r->moved_at);
    if (had_early_mcp(w, id))
        t->keeps |= BIT(STAY_MCP);
    bool ephemeral = slice_is(json_get(e->result, "thread.ephemeral"), "true");
    if (!joined && ephemeral && from && from != t)
        t->side_of = thread_family(from);
    t->provisional = false;
    t->ephemeral = t->ephemeral || ephemeral;
    /* What was resumed or forked has a history; what was started has one with its first turn. */
    t->persisted =
        t->persisted || (!ephemeral && !slice_is(slice_str(r->method->name), "thread/start"));
    t->stream = w->streams;
    ownership_subscribe(t, r->client);
    /* Who looks at one of its threads while another runs is not about to start a turn. */
    bool looks = joined && lease_conflicts(w, NULL);
    if (w->lease.holder == r->client && !looks)
        w->lease.opened_at = now_ms();
}

static void turn_answered(struct thread *t, struct client *c, const struct envelope *e)
{
    struct slice turn = json_get_text(e->result, "turn.id");
    bool known = t->turn_id && slice_is(turn, t->turn_id);
    ownership_subscribe(t, c);
    /* Steering names the turn that runs, or one that has completed meanwhile. */
    if (known || t->running)
        return;
    thread_set_turn(t, turn);
    t->turn_open = true;
    t->turn_since = now_ms();
    promise(t);
}

/* The unsubscribe came to nothing; who waited for the thread's end goes on. */
static void stays_open(struct thread *t)
{
    struct list blocked;
    t->unsubscribed = false;
    if (t->evicting)
        return;
    list_init(&blocked);
    list_splice(&blocked, &t->blocked);
    router_route_all(&blocked);
}

static void unsubscribe_answered(struct thread *t, const struct envelope *e)
{
    struct slice status = json_get_text(e->result, "status");
    if (slice_is(status, "notLoaded"))
        ownership_end(t);
    else if (!slice_is(status, "unsubscribed"))
        stays_open(t);
}

static void on_success(struct worker *w, struct request *r, struct thread *t,
                       const struct envelope *e)
{
    unsigned flags = r->method->flags;
    if (flags & METHOD_OPENS) {
        opened(w, r, t, e);
        /* It may have replaced what another worker was thought to have. */
        t = thread_of(w, r);
    }
    if (flags & METHOD_STATE)
        renew_retire_others(w, r->method->name);
    if (r->method->class == METHOD_GLOBAL)
        r->client->admin_worker = w->id;
    if (r->method->class == METHOD_PINNED && w->lease.holder == r->client)
        w->lease.pinned = true;
    if (r->thread_id && r->method->class == METHOD_OWNER)
        ownership_asked(w, slice_str(r->thread_id), r->client);
    if (!t || t->owner != w)
        return;
    if (flags & METHOD_PERSISTS)
        t->persisted = true;
    if (flags & METHOD_TURN)
        turn_answered(t, r->client, e);
    if (flags & METHOD_MEMORY)
        t->keeps |= BIT(STAY_MEMORY);
    if (flags & METHOD_PROMISES) {
        ownership_subscribe(t, r->client);
        promise(t);
    }
    if (flags & METHOD_GOAL)
        set_goal(t, json_get_text(e->result, "goal.status"));
    if ((flags & METHOD_QUEUE) && !t->running)
        promise(t);
    if (flags & METHOD_ENDS)
        ownership_end(t);
    else if (flags & METHOD_UNSUBSCRIBE)
        unsubscribe_answered(t, e);
}

static void on_refusal(struct worker *w, struct request *r, struct thread *t)
{
    if (!t || t->owner != w)
        return;
    if (r->method->flags & METHOD_UNSUBSCRIBE)
        stays_open(t);
    else if ((r->method->flags & METHOD_RESUME) && t->provisional && !t->opening)
        ownership_end(t);
}

void progress_answered(struct worker *w, struct request *r, const struct envelope *e)
{
    struct thread *t = thread_of(w, r);
    if (e->result.p)
        on_success(w, r, t, e);
    else
        on_refusal(w, r, t);
}

void progress_orphan_answered(struct worker *w, struct request *r, const struct envelope *e)
{
    struct thread *t = thread_of(w, r);
    if (r->thread_id && r->method->class == METHOD_OWNER && e->result.p)
        ownership_asked(w, slice_str(r->thread_id), NULL);
    if (r->method->flags & METHOD_OPENS) {
        struct slice id = e->result.p ? json_get_text(e->result, "thread.id") : SLICE_NULL;
        if (id.n)
            t = ownership_begin(w, id);
        if (t && t->owner == w && !t->subscriber && !t->evicting) {
            if (e->result.p)
                evict_thread(t);
            else if (t->provisional)
                ownership_end(t);
        }
    }
    /* Whose thread it was: theirs, had they stayed. */
    bool taken = (r->method->flags & (METHOD_TURN | METHOD_PROMISES)) && e->result.p;
    if (taken && t && t->owner == w && !t->opening && !t->evicting) {
        ownership_subscribe(t, NULL);
        evict_family(t);
    }
}

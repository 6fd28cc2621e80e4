#include "daemon/move.h"

#include "daemon/abort.h"
#include "daemon/client.h"
#include "daemon/control.h"
#include "daemon/evict.h"
#include "daemon/lacks.h"
#include "daemon/lockholder.h"
#include "daemon/loss.h"
#include "daemon/move_check.h"
#include "daemon/move_step.h"
#include "daemon/ownership.h"
#include "daemon/pool.h"
#include "daemon/router.h"
#include "daemon/settings.h"
#include "daemon/sources.h"
#include "proto/json.h"

/* The worker that had it is about to let go of its lock. */
#define LOAD_RETRY_MS 20
#define LOAD_TRIES 100
/* As for any other thread that is to be closed (evict.c). */
#define NO_UNLOAD_MS 1000

/* The thread is where its entry says, or nowhere; the worker it was to move to is not waiting for
 * it any more. */
static void forget(struct move *m)
{
    m->thread->move = NULL;
    if (m->to->incoming == m->thread)
        m->to->incoming = NULL;
    move_server(m)->offer = true;
    ev_timer_stop(move_server(m)->loop, &m->timer);
    settings_free(m->found);
    free(m);
}

/* Nothing comes to this worker after all: to whoever has it, or is next. */
static void let_go(struct worker *to)
{
    pool_settle(to);
    abort_check(to);
}

struct worker *move_drop(struct thread *t)
{
    struct move *m = t->move;
    if (!m)
        return NULL;
    struct worker *to = m->to;
    /* Its answer is waited for like those of the eviction. */
    if (m->phase == MOVE_LOADING && m->asked)
        t->evict_asks++;
    forget(m);
    return to;
}

/* The thread is loaded where its entry says, as it was; whoever waited for that goes on. */
static void over(struct move *m)
{
    struct thread *t = m->thread;
    struct worker *to = m->to;
    struct server *s = move_server(m);
    _cleanup_free_ char *id = strdup(t->id);
    struct list blocked;
    list_init(&blocked);
    list_splice(&blocked, &t->blocked);
    forget(m);
    pool_arrived(to, id ? id : "");
    router_route_all(&blocked);
    s->offer = s->renew = true;
}

void move_count(const struct thread *t, const struct worker *from, uint64_t since_ms)
{
    struct server *s = from->server;
    uint64_t ms = now_ms() - since_ms;
    s->moves_ms[s->counters.moves++ % TIMES_KEPT] = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
    histogram_add(&s->times[TIME_MOVE], (double)ms / 1e3);
    log_thread(t, from, LOG_DEBUG, "moved from worker %u to worker %u in %llu ms", from->id,
               t->owner->id, (unsigned long long)ms);
    control_tell_moved(t, from, t->owner, ms);
}

static void arrived(struct move *m)
{
    struct thread *t = m->thread;
    struct server *s = move_server(m);
    settings_take_reported(t->settings, m->found);
    t->sources = sources_stamp(s->config, t->settings->reported[SETTING_SOURCES]);
    if (m->back) {
        s->counters.moves_failed++;
        t->keeps |= 1U << STAY_FAILED;
        log_thread(t, m->from, LOG_WARN,
                   "stays with worker %u, as it could not move to worker %u: %s", m->from->id,
                   m->to->id, m->why);
    } else {
        move_count(t, m->from, m->since);
    }
    over(m);
}

/* No worker has it as it was, and none is to be found that could. */
static void lose(struct move *m)
{
    struct thread *t = m->thread;
    struct worker *to = m->to;
    struct server *s = move_server(m);
    char why[sizeof(m->why)];
    memcpy(why, m->why, sizeof(why));
    s->counters.moves_failed++;
    log_thread(t, to, LOG_ERROR, "closed, as it could move neither to worker %u nor back: %s",
               to->id, why);
    (void)move_drop(t);
    if (t->subscriber)
        loss_close_thread(t);
    ownership_subscribe(t, NULL);
    pool_fail_thread(t, why);
    if (worker_ready(t->owner))
        evict_thread(t);
    else
        ownership_end(t);
    let_go(to);
}

static void unload(struct move *m);
static void load(struct move *m);

/* Loads it where it goes. It is loaded nowhere. */
static void load_next(struct move *m)
{
    struct worker *next = m->back ? m->from : m->to;
    if (!m->back && !worker_ready(next)) {
        move_note(m, "worker %u is gone", next->id);
        m->back = true;
        next = m->from;
    }
    if (!worker_ready(next)) {
        move_note(m, "worker %u is gone", next->id);
        lose(m);
        return;
    }
    m->tries = 0;
    ownership_move(m->thread, next);
    load(m);
}

static void load_failed(struct move *m)
{
    if (m->back) {
        lose(m);
        return;
    }
    m->back = true;
    load_next(m);
}

/* It is loaded, but not as it was. */
static void loaded_wrong(struct move *m)
{
    if (m->back) {
        lose(m);
        return;
    }
    m->back = true;
    unload(m);
}

static void note_difference(struct move *m, unsigned diff)
{
    for (enum setting i = 0; i < SETTINGS; i++)
        if (diff & (1U << i))
            move_note(m, "its %s would be another", settings_name(i));
}

static void note_refusal(struct move *m, const char *method, const struct envelope *answer)
{
    struct slice message = answer ? json_get_text(answer->error, "message") : SLICE_NULL;
    move_note(m, "worker %u refuses %s: %.*s", m->thread->owner->id, method,
              (int)(message.n < 160 ? message.n : 160), message.n ? message.p : "");
}

static void check_repaired(struct move *m)
{
    if (m->asked || !m->repaired)
        return;
    unsigned diff = settings_after_repair(settings_diff(m->thread->settings, m->found), m->lost);
    if (diff) {
        note_difference(m, diff);
        loaded_wrong(m);
    } else {
        arrived(m);
    }
}

static void on_repaired(struct move *m, const struct envelope *answer, unsigned which)
{
    (void)which;
    if (answer && answer->result.p) {
        check_repaired(m);
        return;
    }
    note_refusal(m, "thread/settings/update", answer);
    loaded_wrong(m);
}

/* What it is now is compared with what it was. */
static void compare(struct move *m)
{
    struct thread *t = m->thread;
    m->lost = settings_diff(t->settings, m->found);
    if (!m->lost) {
        arrived(m);
        return;
    }
    cJSON *repair = settings_repair(t->settings, m->lost, t->id);
    if (!repair) {
        note_difference(m, m->lost);
        loaded_wrong(m);
        return;
    }
    m->repaired = false;
    move_begin_step(m, MOVE_REPAIRING, 1, move_limit_ms(m));
    move_ask_with(m, "thread/settings/update", repair, on_repaired);
}

/* Who has its lock is about to let go, or is a process outside the pool, which is not. */
static bool load_again(struct move *m, const struct envelope *answer)
{
    if (!answer || !rpc_says_not_free(answer->error) || ++m->tries > LOAD_TRIES)
        return false;
    struct lock_holder holder = lockholder_find(move_server(m), m->thread->id);
    if (holder.pid && !holder.ours) {
        move_note(m, "process %d (%s), which is not of this pool, has taken it", (int)holder.pid,
                  holder.command);
        return false;
    }
    move_set_timer(m, LOAD_RETRY_MS);
    return true;
}

static void on_loaded(struct move *m, const struct envelope *answer, unsigned which)
{
    (void)which;
    if (!answer || !answer->result.p) {
        if (load_again(m, answer))
            return;
        note_refusal(m, "thread/resume", answer);
        load_failed(m);
        return;
    }
    m->thread->echoes = true;
    settings_free(m->found);
    m->found = settings_new(SLICE_NULL);
    if (m->found && settings_opened(m->found, answer->result) == 0) {
        compare(m);
        return;
    }
    move_note(m, "out of memory");
    loaded_wrong(m);
}

static void load(struct move *m)
{
    move_begin_step(m, MOVE_LOADING, 1, move_limit_ms(m));
    move_ask_with(m, "thread/resume", settings_resume(m->thread->settings, m->thread->id),
                  on_loaded);
}

static void closed(struct move *m)
{
    lacks_no_unload(m->thread->owner);
    load_next(m);
}

static void on_unsubscribed(struct move *m, const struct envelope *answer, unsigned which)
{
    (void)which;
    if (answer && slice_is(json_get_text(answer->result, "status"), "notLoaded")) {
        closed(m);
    } else if (!answer || !answer->result.p) {
        note_refusal(m, "thread/unsubscribe", answer);
        if (m->back) {
            lose(m);
            return;
        }
        /* So nothing has changed. */
        move_server(m)->counters.moves_failed++;
        m->thread->keeps |= 1U << STAY_FAILED;
        over(m);
    }
}

/* Until thread/closed. */
static void unload(struct move *m)
{
    uint64_t ms = move_limit_ms(m);
    move_begin_step(m, MOVE_CLOSING, 1,
                    m->thread->owner->unloads || ms < NO_UNLOAD_MS ? ms : NO_UNLOAD_MS);
    move_ask(m, "thread/unsubscribe", on_unsubscribed, 0);
}

static void on_checked(struct move *m, const struct envelope *answer, unsigned which)
{
    struct thread *t = m->thread;
    enum stay stay = move_check_judge(which, answer);
    if (stay != STAY_NOT)
        t->keeps |= 1U << stay;
    if (m->asked)
        return;
    if (sources_stamp(move_server(m)->config, t->settings->reported[SETTING_SOURCES]) != t->sources)
        t->keeps |= 1U << STAY_CHANGED;
    stay = stay_why(t, m->to->lease.holder);
    if (stay == STAY_NOT) {
        unload(m);
        return;
    }
    log_thread(t, m->from, LOG_DEBUG, "stays with worker %u: %s", m->from->id, stay_words(stay));
    over(m);
}

static void check(struct move *m)
{
    move_begin_step(m, MOVE_CHECKING, MOVE_CHECKS, move_limit_ms(m));
    /* Only the last answer ends the step, and perhaps the move. */
    for (unsigned i = 0; i < MOVE_CHECKS; i++)
        move_ask(m, move_check_method(i), on_checked, i);
}

/* It has not closed in time. */
static void closes_not(struct move *m)
{
    struct worker *w = m->thread->owner;
    move_note(m, "worker %u does not close it", w->id);
    if (m->back) {
        lose(m);
        return;
    }
    if (!w->unloads)
        lacks_unload(w);
    m->back = m->may_close = true;
    m->tries = 0;
    load(m);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct move *m = container_of(timer, struct move, timer);
    struct worker *w = m->thread->owner;
    (void)loop;
    (void)revents;
    switch (m->phase) {
    case MOVE_CHECKING:
        m->thread->keeps |= 1U << STAY_UNSURE;
        over(m);
        break;
    case MOVE_CLOSING:
        if (m->thread->active)
            move_set_timer(m, move_limit_ms(m));
        else
            closes_not(m);
        break;
    case MOVE_LOADING:
    case MOVE_REPAIRING:
        if (m->phase == MOVE_LOADING && !m->asked) {
            load(m);
            break;
        }
        move_note(m, "worker %u does not answer", w->id);
        /* Whether it has loaded it nobody knows. */
        if (m->back)
            lose(m);
        else
            worker_stop(w, true, "it does not answer");
        break;
    }
}

bool move_begin(struct thread *t, struct worker *to)
{
    struct move *m = calloc(1, sizeof(*m));
    if (!m)
        return false;
    m->thread = t;
    m->from = t->owner;
    m->to = to;
    m->since = now_ms();
    ev_timer_init(&m->timer, on_timer, 0., 0.);
    t->move = m;
    to->incoming = t;
    check(m);
    return true;
}

bool move_under_way(const struct thread *t, bool *closing)
{
    *closing = t->move && t->move->phase == MOVE_CLOSING;
    return t->move && t->move->phase != MOVE_CHECKING;
}

/* Something has begun a turn after all. It runs to its end, and nothing is brought elsewhere. */
static void turn_began(struct move *m)
{
    move_note(m, "a turn began");
    m->back = true;
    if (m->to->incoming == m->thread)
        m->to->incoming = NULL;
    let_go(m->to);
}

/* It has closed after all, and not in time: what loads it there comes after that. */
static void closed_late(struct move *m)
{
    m->may_close = false;
    lacks_no_unload(m->from);
    if (m->phase == MOVE_REPAIRING)
        load(m);
}

bool move_notified(struct thread *t, const struct envelope *e)
{
    struct move *m = t->move;
    bool closing = m->phase == MOVE_CLOSING;
    if (m->phase == MOVE_CHECKING)
        return false;
    if (slice_is(e->method, "thread/closed")) {
        t->active = false;
        if (closing) {
            closed(m);
        } else if (m->may_close) {
            closed_late(m);
        } else {
            move_note(m, "worker %u closes it again", t->owner->id);
            load_failed(m);
        }
        return true;
    }
    if (slice_is(e->method, "thread/settings/updated")) {
        struct slice settings = json_get(e->params, "threadSettings");
        if (m->phase == MOVE_REPAIRING && settings_updated(m->found, settings) == 0) {
            m->repaired = true;
            check_repaired(m);
        }
        return true;
    }
    if (closing && slice_starts(e->method, "turn/"))
        return true;
    if (closing && slice_is(e->method, "thread/status/changed")) {
        t->active = slice_is(json_get_text(e->params, "status.type"), "active");
        if (t->active && !m->back)
            turn_began(m);
        return true;
    }
    return false;
}

bool move_involves(const struct worker *w)
{
    const struct server *s = w->server;
    for (size_t i = 0; i < s->n_workers; i++) {
        const struct thread *t = s->workers[i]->incoming;
        if (t && (t->move->from == w || t->move->to == w))
            return true;
    }
    return false;
}

static struct thread *moving_at(const struct worker *w)
{
    list_for_each (it, &w->threads) {
        struct thread *t = list_entry(it, struct thread, in_owner);
        if (t->move)
            return t;
    }
    return NULL;
}

/* Its owner is gone. */
static void owner_lost(struct move *m)
{
    struct thread *t = m->thread;
    struct worker *to = m->to;
    move_note(m, "worker %u is gone", t->owner->id);
    if (m->phase == MOVE_CHECKING) {
        forget(m);
        let_go(to);
    } else if (m->phase == MOVE_CLOSING) {
        load_next(m);
    } else {
        load_failed(m);
    }
}

void move_worker_lost(struct worker *w)
{
    struct thread *t;
    while ((t = moving_at(w)))
        owner_lost(t->move);
    if (!(t = w->incoming))
        return;
    w->incoming = NULL;
    move_note(t->move, "worker %u is gone", w->id);
    if (t->move->phase == MOVE_CHECKING)
        over(t->move);
    else
        t->move->back = true;
}

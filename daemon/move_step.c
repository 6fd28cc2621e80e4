#include "daemon/move_step.h"

#include "daemon/evict.h"
#include "proto/rpc.h"

#include <stdarg.h>
#include <stdio.h>

/* What an answer belongs to. */
struct question {
    move_answered *then;
    bool loads;
    unsigned long step;
    unsigned which;
    char thread_id[];
};

struct server *move_server(const struct move *m)
{
    return m->from->server;
}

uint64_t move_limit_ms(const struct move *m)
{
    return (uint64_t)move_server(m)->config->interrupt_timeout_ms;
}

static void on_answered(struct worker *w, const struct envelope *answer, void *arg)
{
    _cleanup_free_ struct question *q = arg;
    struct thread *t = q ? threads_find(&w->server->threads, slice_str(q->thread_id)) : NULL;
    struct move *m = t ? t->move : NULL;
    if (m && m->step == q->step) {
        m->asked--;
        q->then(m, answer, q->which);
    } else if (t && t->owner == w && t->evicting && q->loads) {
        evict_loaded(t, answer && answer->result.p);
    }
}

/* NULL when out of memory; then it is as if there were no answer. */
static struct question *question_new(struct move *m, move_answered *then, bool loads,
                                     unsigned which)
{
    const char *id = m->thread->id;
    struct question *q = malloc(sizeof(*q) + strlen(id) + 1);
    if (!q) {
        m->asked--;
        then(m, NULL, which);
        return NULL;
    }
    *q = (struct question){then, loads, m->step, which};
    memcpy(q->thread_id, id, strlen(id) + 1);
    return q;
}

void move_ask(struct move *m, const char *method, move_answered *then, unsigned which)
{
    struct worker *w = m->thread->owner;
    struct question *q = question_new(m, then, false, which);
    if (q)
        worker_ask_thread(w, method, q->thread_id, "", on_answered, q);
}

void move_ask_with(struct move *m, const char *method, cJSON *params, move_answered *then)
{
    struct worker *w = m->thread->owner;
    struct question *q = question_new(m, then, strcmp(method, "thread/resume") == 0, 0);
    if (q)
        worker_ask(w, method, params, on_answered, q);
    else
        cJSON_Delete(params);
}

void move_set_timer(struct move *m, uint64_t ms)
{
    ev_timer_stop(move_server(m)->loop, &m->timer);
    ev_timer_set(&m->timer, (double)ms / 1e3, 0.);
    ev_timer_start(move_server(m)->loop, &m->timer);
}

void move_begin_step(struct move *m, enum move_phase phase, unsigned questions, uint64_t ms)
{
    m->phase = phase;
    m->step = ++move_server(m)->move_steps;
    m->asked = questions;
    move_set_timer(m, ms);
}

void move_note(struct move *m, const char *format, ...)
{
    va_list args;
    if (*m->why)
        return;
    va_start(args, format);
    (void)vsnprintf(m->why, sizeof(m->why), format, args);
    va_end(args);
}

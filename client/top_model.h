/* A pool/status result as the screen needs it: workers in the order that was asked for, who waits,
 * and the names of clients. */
#ifndef CLIENT_TOP_MODEL_H
#define CLIENT_TOP_MODEL_H

#include "client/headline.h"
#include "proto/base.h"

/* Texts are borrowed from the tree, NULL where there is none; so is a number below 0, and an id of
 * 0. */
struct top_worker {
    unsigned id, client;
    const char *state, *client_name, *thread, *turn, *event, *lease, *version, *error, *retire;
    double turn_ms, silent_ms, event_ms, held_ms, age_ms, rss_bytes;
    double processes, threads, streams, restarts, pid, unanswered;
};

struct top_waiter {
    unsigned client, worker;
    const char *client_name, *method, *thread, *stays, *why;
    char id[96]; /* of the request, as JSON */
    double place, waited_ms;
};

enum top_sort { SORT_WORKER, SORT_TURN, SORT_SILENT, SORT_MEMORY, SORT_CLIENT, SORTS };

struct top_model {
    cJSON *status; /* NULL: nothing is known */
    struct top_worker *workers;
    struct top_waiter *waiters;
    size_t n_workers, n_waiters;
};

/* Takes a status over (also on failure) in place of the last one. 0 or -ENOMEM, then it is empty.
 */
int top_model_set(struct top_model *m, cJSON *status, enum top_sort sort) CP_MUSTCHECK;
void top_model_clear(struct top_model *m);

/* Puts the workers in another order. What has most comes first, but for ids and clients. */
void top_model_sort(struct top_model *m, enum top_sort sort);
const char *top_sort_name(enum top_sort sort);

/* The administrators have paused the pool. */
bool top_model_paused(const struct top_model *m);

#endif

/* Requests that Codex makes of a client: approvals, dynamic tool calls, questions.
 *
 * They go to the holder of the worker's lease, under an id of the client's own count, since every
 * worker counts from 0; only that client's answer goes back. */
#ifndef DAEMON_ASKS_H
#define DAEMON_ASKS_H

#include "daemon/client.h"
#include "daemon/worker.h"

/* A worker's request. */
void asks_from_worker(struct worker *w, const struct envelope *e, struct slice line);

/* A client's answer; one to nothing, or a second one, is dropped, as Codex does. */
void asks_answer(struct client *c, const struct envelope *e, struct slice line);

/* serverRequest/resolved, passed on with the id that the client knows unless it has opted out of
 * it; the request is over. */
void asks_resolved(struct worker *w, struct client *c, const struct envelope *e, struct slice line);

/* A client that was parked has its connection: what it had been asked before, and has yet to
 * answer, it is asked again, under the same ids. */
void asks_repeat(struct client *c);

/* How many requests a client has to answer, and in *first (may be NULL) the method of the oldest,
 * borrowed, or NULL. */
size_t asks_of_client(const struct client *c, const char **first);

/* What a client has been asked and not answered yet, by the id that it knows. Borrowed. */
struct ask_view {
    const struct worker *worker;
    const char *method, *thread_id, *raw_id;
};

/* False where there is no such request. */
bool asks_look(const struct client *c, struct slice id, struct ask_view *view);

/* How many of a worker's requests have not been answered. */
size_t asks_open(const struct worker *w);

/* One of them is about this thread. */
bool asks_of_thread(const struct worker *w, const char *thread_id);

/* Nobody waits for these any more. */
void asks_turn_over(struct worker *w, const char *thread_id);
void asks_forget_answered(struct worker *w);
void asks_forget_client(struct client *c);
/* The worker is gone: its clients are told that theirs are resolved. */
void asks_end(struct worker *w);

#endif

/* One request on its way from a client (or the daemon itself) to a worker and back. */
#ifndef DAEMON_REQUEST_H
#define DAEMON_REQUEST_H

#include "daemon/queue.h"
#include "daemon/server.h"
#include "proto/envelope.h"
#include "proto/method.h"
#include "proto/rpc.h"

struct client;
struct settings;
struct worker;

enum request_state {
    REQUEST_NEW,       /* being routed */
    REQUEST_QUEUED,    /* in the queue: waits for a worker */
    REQUEST_BLOCKED,   /* on a list of what it waits for: a thread, another request, any worker */
    REQUEST_PREPARING, /* its worker is leased and unloads the thread first */
    REQUEST_UNSENT,    /* its worker has enough unanswered ones */
    REQUEST_SENT,
};

/* Called with the answer to a request of the daemon's own; answer NULL: there will be none. The
 * request is freed afterwards. */
typedef void request_done(struct worker *w, const struct envelope *answer, void *arg);

struct request {
    struct server *server;
    struct client *client; /* NULL: the daemon's own, or its client has left */
    struct list in_client;
    const struct method *method;
    const char *id;        /* raw JSON, as the client wrote it; NULL: the daemon's own */
    const char *name;      /* of the method, which the table need not have */
    const char *thread_id; /* NULL: names none */
    const char *key;       /* processId of a command/exec; NULL: none */

    /* The message. Borrowed while it is being routed; once it has to wait its own, or held. */
    struct slice line;
    char *owned_line;       /* NULL: it is not its own */
    struct block *block;    /* that it holds, since the line in it is long; NULL: none */
    uint32_t id_at, id_len; /* where its id is in the line */

    enum request_state state;
    bool held;    /* its line is counted among its client's */
    bool acquire; /* pool/acquire: granted, it is answered and not sent */
    bool retry;   /* BLOCKED until its timer routes it again */
    struct waiter waiter;
    struct list node;            /* on the list of its state */
    struct list followers;       /* requests that must not overtake it */
    struct worker *worker;       /* where it is sent, or prepared, or waits to be sent */
    struct worker *lease_worker; /* in whose lease it counts as unanswered; NULL: in none */
    uint64_t worker_id;          /* its id as the worker sees it */
    unsigned slot;               /* at the worker, when sent */
    unsigned tries;              /* refused with "active writer" so often */
    uint64_t arrived_at;         /* ms */
    uint64_t queued_at;          /* ms */
    size_t told_position;        /* in the last pool/queued */
    uint64_t timeout_ms;         /* of its wait; 0: none */
    struct request_timer *timer; /* NULL: it does not run */

    struct settings *settings; /* with which it opens a thread; NULL: not known. Owned */
    struct worker *moved_from; /* that unloads its thread for it; NULL: none */
    uint64_t moved_at;         /* ms */

    request_done *done;
    void *arg;
    char texts[]; /* of its id, name, thread and key */
};

/* Of a client, for a line whose envelope was read. NULL when out of memory. */
struct request *request_new(struct client *c, struct slice line, const struct envelope *e);

/* Of the daemon's own. Takes `line` (a heap string as rpc_request makes with id 0) over, also on
 * failure. NULL when out of memory. */
struct request *request_new_internal(struct server *s, char *line, const char *method,
                                     request_done *done, void *arg);

/* Copies the line, or holds its block, if it is borrowed. False when out of memory, or where too
 * many of its client's requests wait already: then the request has been failed and is gone. */
bool request_keep(struct request *r) CP_MUSTCHECK;

/* The block that its line is in, as linebuf_block says it. */
struct block *request_block(const struct request *r);

/* Its line no longer counts among what its client keeps waiting. */
void request_unhold(struct request *r);

/* The same, and it is needed no longer. */
void request_drop_line(struct request *r);

/* Puts it on a list, BLOCKED, PREPARING or UNSENT. False as for request_keep; who
 * has nothing left to do with it need not look. */
bool request_park(struct request *r, enum request_state state, struct list *list);

/* Of its wait where it is QUEUED, else until it is tried again; it ends with its state. Few ever
 * need one. False when out of memory: then the request has been failed and is gone. */
bool request_start_timer(struct request *r, uint64_t ms);

/* Takes it off whatever its state keeps it on; it is NEW again. */
void request_unpark(struct request *r);

/* Answers with a line (heap, taken over; NULL: out of memory, the client is dropped), then frees.
 */
void request_answer(struct request *r, char *line);

/* Answers with an error of the daemon's own, then frees. */
void request_fail(struct request *r, int code, const char *format, ...) CP_PRINTF(3, 4);

/* Answers with an error as Codex itself words it, then frees. */
void request_refuse(struct request *r, int code, const char *format, ...) CP_PRINTF(3, 4);

/* Frees it without an answer, off every list; its followers are routed again. */
void request_free(struct request *r);

/* The client has left: nobody is to be answered any more. */
void request_orphan(struct request *r);

/* It names a thread, and it is `id`. */
bool request_names(const struct request *r, const char *id);

#endif

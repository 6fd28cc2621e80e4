/* A connection to the daemon: requests out, lines in, and the one place where a command waits. */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include "client/output.h"
#include "proto/envelope.h"
#include "proto/linebuf.h"

#include <cjson/cJSON.h>

struct session {
    int fd;
    int signals; /* readable when a signal has come */
    bool ended;  /* nothing more will be read */
    const char *path;
    struct linebuf in;
    struct outbuf out;
    int64_t last_id;
};

/* What to wait for besides the daemon. */
struct session_wait {
    int input;           /* a descriptor to be read from, or -1 */
    struct output *out;  /* where to go on writing, and whose reader to watch; or NULL */
    int64_t deadline_ms; /* on session_now's clock; 0: none */
};

enum session_event {
    SESSION_LINE,        /* *line is borrowed until the next wait */
    SESSION_CLOSED,      /* by the daemon, or the connection broke */
    SESSION_SIGNAL,      /* SIGINT, or SIGTERM where asked for; it has been taken */
    SESSION_INPUT,       /* `input` can be read */
    SESSION_OUTPUT_GONE, /* nobody reads `out` any more, or it cannot be written */
    SESSION_TIMEOUT,     /* the deadline has passed */
};

/* So long a request that needs no worker may take. */
#define SESSION_PATIENCE_MS 10000

/* Milliseconds on a clock that only goes forward. */
int64_t session_now(void);

/* Makes the session catch SIGINT (and `also`, unless 0) from here on, and connects. Prints what is
 * wrong and what to do. CMD_DONE or an exit code; session_close is due either way. */
int session_open(struct session *s, const char *path, int also) CP_MUSTCHECK;
void session_close(struct session *s);

/* Queues a line (a heap string, consumed; NULL means that there was no memory for it). What the
 * socket does not take at once goes out while waiting. 0 or -ENOMEM. */
int session_send(struct session *s, char *line) CP_MUSTCHECK;

/* Sends a request with the next id (then s->last_id); params as for rpc_request. 0 or -ENOMEM. */
int session_request(struct session *s, const char *method, cJSON *params) CP_MUSTCHECK;

enum session_event session_next(struct session *s, const struct session_wait *w,
                                struct slice *line) CP_MUSTCHECK;

/* Closes the connection, then writes what is left in `out`, however slowly it is read. False if a
 * signal or the end of its reader came first. */
bool session_drain(struct session *s, struct output *out);

/* Sends a request whose params are raw JSON, waits for its answer, refuses whatever the daemon asks
 * meanwhile and ignores what it tells. deadline_ms as above. Prints errors. CMD_DONE with *result
 * borrowed until the next wait, or an exit code. */
int session_call(struct session *s, const char *method, struct slice params, int64_t deadline_ms,
                 struct slice *result) CP_MUSTCHECK;

/* The same without a deadline; where the answer takes longer than so long, `notice` is printed on
 * stderr, once (NULL: nothing is). */
int session_call_patiently(struct session *s, const char *method, struct slice params,
                           int64_t quiet_ms, const char *notice, struct slice *result) CP_MUSTCHECK;

/* The parameters of `initialize`; NULL when out of memory. */
cJSON *session_initialize_params(void);

/* session_call of `initialize`. */
int session_initialize(struct session *s) CP_MUSTCHECK;

/* The number of a response's id, -1 if it is none of ours. */
int64_t session_id(struct slice id);

/* What to say when things end badly; each returns the exit code. */
int session_no_memory(void);
int session_lost(const struct session *s);
int session_error(struct slice error); /* a response's error */

/* An answer that refuses a server request; a heap string or NULL. */
char *session_refusal(const struct envelope *request);

#endif

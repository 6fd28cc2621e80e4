/* One place in the pool: a `codex app-server` child, its pipes and its state. */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include "daemon/backlog.h"
#include "daemon/queue.h"
#include "daemon/server.h"
#include "daemon/spawn.h"
#include "daemon/thread.h"
#include "proto/envelope.h"
#include "proto/linebuf.h"
#include "proto/outbuf.h"

struct client;
struct request;

enum worker_state {
    WORKER_DOWN,     /* no process */
    WORKER_STARTING, /* until initialize is answered */
    WORKER_IDLE,
    WORKER_BUSY,     /* leased */
    WORKER_ABORTING, /* being cleaned up after a client that left */
    WORKER_STOPPING, /* its stdin is closed; signals follow */
};

/* Codex drops requests that come in bursts of more than about 150 (measured on 0.169). */
#define WORKER_WINDOW 100
/* The daemon's own requests may go beyond that, so that an abort does not wait for anybody. */
#define WORKER_SLOTS 128

#define STDERR_LINES 8
/* Of the name of its last message, as people are shown it. */
#define EVENT_MAX 64

/* Who last changed a thread here that is not open: see ownership_asked. */
#define ASKERS_KEPT 32
#define EARLY_MCP_KEPT 32
struct asker {
    uint64_t thread; /* hash of its id; 0: free */
    unsigned client_id;
};

/* One client's exclusive hold of a worker. */
struct lease {
    struct client *holder; /* NULL: none */
    struct list in_client;
    bool acquired;       /* by pool/acquire: until it is given back */
    bool pinned;         /* until the client leaves */
    unsigned unanswered; /* the holder's stream requests here */
    uint64_t opened_at;  /* a thread was opened and no turn has started since, in ms; 0: no */
    uint64_t since;      /* ms */
};

struct worker {
    struct server *server;
    unsigned id; /* from 1 */
    enum worker_state state;
    char *path, *version; /* NULL where not known */
    struct binary binary;
    pid_t pid; /* 0: no process */
    char *mark;
    unsigned starts;

    int stdin_fd, stdout_fd, stderr_fd, exec_fd;
    struct linebuf out, err;
    struct outbuf in;
    ev_io out_watch, in_watch, err_watch, exec_watch;
    struct list in_dirty;
    struct list stuck; /* clients that are not read from because of it */
    bool out_held;     /* its output is not read: the lease's holder does not take it */
    char *stderr_tail[STDERR_LINES];
    unsigned stderr_next;

    struct request *slots[WORKER_SLOTS];
    unsigned in_flight;
    uint64_t sends;
    struct backlog unsent; /* requests beyond the window */
    struct list preparing; /* requests whose thread is being unloaded first */
    struct list asks;      /* server requests of its that a client has */

    struct lane lane;        /* those who wait for this worker */
    struct thread *incoming; /* moves here: the lease is for a request that waits for it */
    struct list threads;     /* it has loaded */
    struct closed_ring *closed;
    uint64_t early_mcp[EARLY_MCP_KEPT]; /* hashes of threads with an MCP server, not opened yet */
    unsigned next_early_mcp;
    struct asker askers[ASKERS_KEPT];
    unsigned next_asker;
    struct lease lease;

    ev_timer timer; /* of the state: start, idle, abort, stop, backoff */
    bool last_call; /* see time_is_over */
    ev_timer hold;  /* until a lease that waits for a turn is taken away */
    ev_timer evict; /* until the threads to be closed are asked again */
    ev_timer limit; /* until a turn has run too long */

    uint64_t started_at, ready_at, last_heard, idle_since; /* ms; 0: not */
    char event[EVENT_MAX]; /* the method of the last message that it sent by itself; "": none */
    uint64_t event_at;     /* ms */
    uint64_t released_us;  /* when its last lease ended; 0: there was none */
    unsigned long streams, restarts;
    unsigned long streams_since_start;
    bool wanted;        /* to be running: started when it is down */
    bool in_crew;       /* see crew_has */
    bool parked;        /* beside poolSize, see crew_count_parked */
    unsigned failures;  /* in a row, for the backoff */
    char *start_error;  /* why the start in progress fails */
    bool start_failed;  /* the last start did */
    char *stop_reason;  /* told to those who lose something by it */
    char *last_error;   /* how its last process has failed; NULL: none has */
    bool failed;        /* stopped because it is of no use: its successor starts by the backoff */
    bool replace;       /* start again at once when it has exited */
    const char *retire; /* why it is to be replaced; NULL: it is not */
    uint64_t held_until, held_last; /* ms, see renew_hold; until 0: it is not held */
    bool output_closed;             /* nothing more will be heard of it */
    bool exited;        /* its status is known; what is left in its pipes is being read */
    bool unloads;       /* has been seen to close a thread: this Codex lets go */
    bool keeps_threads; /* has been seen not to */
    unsigned lacks;     /* methods that it does not know, see lacks.c */
    bool probing;       /* asked whether it is alive */
    bool verifying;     /* asked what is still loaded */
    bool exec_failed;
    int exec_errno;
};

struct worker *worker_new(struct server *s, unsigned id);
void worker_free(struct worker *w);

const char *worker_state_name(enum worker_state state);

/* The one place where a worker changes its state: keeps its timer. */
void worker_set_state(struct worker *w, enum worker_state state);

/* Has answered initialize and is not being stopped. */
bool worker_ready(const struct worker *w);

/* From DOWN. Failure to start is reported like an exit. */
void worker_start(struct worker *w);

/* Ends the process in steps; everybody concerned is told at once, with the reason. `replace`: start
 * again at once when it is gone. */
void worker_stop(struct worker *w, bool replace, const char *reason);

/* It is of no use, and its successor need not be of more: kills it where it is starting, which is
 * then a failed start; else stops it. Either counts for the backoff. Not for one that is stopped.
 */
void worker_fail(struct worker *w, const char *reason);

/* It has sent a message with this method by itself: what it said last tells what it is at, or what
 * it waits for. */
void worker_note_event(struct worker *w, struct slice method);

/* Why its last process ended that failed, until one has been ready for a while; NULL: none has.
 * Valid until it fails again. */
const char *worker_last_error(const struct worker *w);

/* The last step of stopping, at once. */
void worker_kill(struct worker *w);

/* Sends, or keeps it for later where the window is full. The request is the worker's from then on;
 * it may be gone afterwards (out of memory). */
void worker_send(struct worker *w, struct request *r);

/* Sends a request of the daemon's own. `done` (may be NULL) is called once, whatever happens. */
void worker_ask(struct worker *w, const char *method, cJSON *params,
                void (*done)(struct worker *, const struct envelope *, void *), void *arg);

/* The same about a thread: params are its id and, as JSON, what else there is (",NAME:VALUE", or
 * ""). Much cheaper than a tree. */
void worker_ask_thread(struct worker *w, const char *method, const char *thread_id,
                       const char *more,
                       void (*done)(struct worker *, const struct envelope *, void *), void *arg);

/* For turn/interrupt: the id of a turn in its first milliseconds would be refused. */
#define WHATEVER_RUNS ",\"turnId\":\"\""

/* Sends a line that is no request. 0, also where it no longer reads; or -ENOMEM. */
int worker_send_line(struct worker *w, struct slice line) CP_MUSTCHECK;
/* The same with what the splice says, from a client (NULL: the daemon's own). */
int worker_send_spliced(struct worker *w, const struct client *from,
                        const struct splice *s) CP_MUSTCHECK;

/* The request that an answer's id belongs to; NULL if there is none. */
struct request *worker_find_answered(const struct worker *w, struct slice id);

/* Takes the request that an answer's id belongs to out of its slot; NULL if there is none. */
struct request *worker_take_answered(struct worker *w, struct slice id);

/* Frees a slot: its request is no longer expected to be answered. */
void worker_forget(struct worker *w, struct request *r);

/* Reads its output, or does not, as the holder of its lease can take it. */
void worker_update_reading(struct worker *w);

void worker_flush(struct worker *w);

/* Its process has ended, with waitpid's status. */
void worker_on_exit(struct worker *w, int status);

/* The last lines of its stderr, joined; a heap string or NULL. */
char *worker_stderr(const struct worker *w);

#endif

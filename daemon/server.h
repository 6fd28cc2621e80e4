/* The daemon's state, in one place, passed down. */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include "daemon/config.h"
#include "daemon/hangup.h"
#include "daemon/histogram.h"
#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/queue.h"
#include "daemon/thread.h"

#include <ev.h>

/* Of watchers for what has happened, before those for what should have happened by now: where the
 * loop was held up (a suspended daemon, a busy machine) both are due at once, and nobody is to be
 * given up whose word is there. */
#define PRIORITY_HAPPENED 1

/* For the callback of a timer after which somebody is given up: true the second time, which comes
 * at once, but after what had happened by the first has been seen. *last_call must be false when
 * the timer is started. */
bool time_is_over(struct ev_loop *loop, ev_timer *timer, bool *last_call);

/* The last times of a kind, for the percentiles in pool/status. */
#define TIMES_KEPT 1024

struct counters {
    unsigned long clients, streams, queued, aborted, cancelled, timed_out, rejected;
    unsigned long worker_starts, worker_exits, worker_replaced, dropped_messages, invalid_messages;
    unsigned long waits, moves, moves_failed;
    unsigned long parked, attached, parked_expired, parked_overflowed;
    unsigned long turns; /* that have ended, however */
};

/* A process outside the pool that has a thread which somebody asked for, the last one met. */
struct lock_met {
    pid_t pid;   /* 0: none */
    uint64_t at; /* ms */
    char thread_id[64], command[64];
};

/* What is timed for /metrics, each fed where it ends. */
enum server_time {
    TIME_WAIT,         /* of a stream request, until it has its worker */
    TIME_TURN,         /* from turn/started to turn/completed */
    TIME_HANDOFF,      /* of a worker, from one's lease to that of the next who waits */
    TIME_WORKER_START, /* until it has answered initialize */
    TIME_MOVE,         /* of a thread from worker to worker */
    SERVER_TIMES,
};

enum server_phase {
    SERVER_RUNNING,
    SERVER_DRAINING, /* running turns may finish */
    SERVER_STOPPING, /* workers are being stopped */
};

/* Who is let in, as administrators have it. */
enum admission {
    ADMISSION_OPEN,
    ADMISSION_PAUSED,   /* nobody gets a worker; the queue holds */
    ADMISSION_DRAINING, /* who waits is served, new stream requests are refused */
};

struct server {
    struct ev_loop *loop;
    struct config *config;
    struct config_flags flags; /* applied again at each reload */
    struct log log;
    enum server_phase phase;
    enum admission admission;
    uint64_t admission_since; /* ms */
    int exit_code;
    uint64_t started_at; /* ms */

    struct listener listener;
    struct hangup hangup;
    struct notify notify;

    struct list clients;
    size_t n_clients; /* that are connected: who is parked is not */
    unsigned last_client_id;
    struct list tracers;       /* see trace.h */
    bool telling_tracers;      /* what is sent meanwhile is in no trace */
    struct list doomed;        /* clients that are gone, cleaned up before the loop sleeps */
    struct list resumed;       /* clients with lines that were left unread, for the next round */
    struct list parks;         /* of clients without a connection, see park.h */
    struct list dirty_clients; /* with output to write before the loop sleeps */
    struct list dirty_workers;

    struct worker **workers; /* n_workers of them, ids from 1 */
    size_t n_workers;
    size_t n_parked; /* of them: beside poolSize, see crew_count_parked */
    struct threads threads;
    struct queue queue;
    struct list unready;     /* requests that wait for any worker to be ready */
    struct list retrying;    /* requests that wait for their next try */
    struct list steering;    /* what administrators wait for, see steer.h */
    char *initialize_result; /* of the first worker that answered; NULL before */
    char *start_failure;     /* why the last start failed; NULL after a success */

    struct lock_met lock_met;
    bool login_refused; /* the model has called a turn unauthorized, and none has completed since */

    struct counters counters;
    uint32_t waits_ms[TIMES_KEPT], moves_ms[TIMES_KEPT];
    struct histogram times[SERVER_TIMES];
    unsigned long move_steps; /* of all moves, see move.c */
    bool offer;               /* a lease may be over, or a worker of use to somebody who waits */
    bool renew;               /* a worker may be ready to be replaced */
    uint64_t looked_at;       /* for a changed codex binary, ms */

    ev_prepare before_sleep;
    ev_check after_poll;
    ev_idle stay_awake; /* runs while there are lines left */
    ev_signal on_term, on_int, on_hup, on_child;
    ev_timer drain_timer, position_timer, trim_timer, log_timer, watchdog;
};

/* Milliseconds and microseconds of the monotonic clock. */
uint64_t now_ms(void);
uint64_t now_us(void);

/* Creates everything and takes or binds the socket; starts no worker yet. 0, or a sysexits.h code
 * with the reason logged. Owns config from then on. */
int server_init(struct server *s, struct config *config, const struct config_flags *flags);
void server_deinit(struct server *s);

/* Runs until it is told to stop. Returns the exit code. */
int server_run(struct server *s);

/* SIGTERM: ends in phases (see enum server_phase); the second call does not wait. */
void server_stop(struct server *s);

/* Goes on to stop the workers once no turn runs. To be called when a worker has become free. */
void server_check_drained(struct server *s);

/* Gives memory that is free back to the system soon. To be called when much may have become so. */
void server_trim_later(struct server *s);

/* Ends the loop once the last worker is gone. To be called when one has exited. */
void server_check_stopped(struct server *s);

#endif

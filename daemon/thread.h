/* Codex threads that a worker has loaded: who owns each, who listens, what runs on it.
 *
 * Pure: knows no loop. What Codex says is the truth; this is where it is written down. */
#ifndef DAEMON_THREAD_H
#define DAEMON_THREAD_H

#include "proto/list.h"

struct client;
struct move;
struct request;
struct settings;
struct worker;

struct thread {
    struct list in_bucket;
    struct worker *owner; /* never NULL: a thread that nobody has loaded has no entry */
    struct list in_owner;
    struct client *subscriber; /* NULL: nobody */
    struct list in_client;
    struct thread *parent;   /* of a sub-agent, on the same worker */
    struct request *opening; /* the thread/resume that is sent and not answered */
    struct list blocked;     /* requests that wait until it is closed */

    uint64_t side_of; /* an ephemeral fork: the family of what it was forked from; 0: of its own */

    unsigned long stream; /* the owner's stream that it last took part in */
    bool provisional;     /* known only from a thread/resume that is not answered */
    bool ephemeral;
    bool persisted;    /* has a rollout file, so closing it loses nothing */
    bool active;       /* by thread/status/changed */
    unsigned running;  /* turns started and not completed */
    bool goal_active;  /* starts turns by itself */
    size_t queued;     /* items that may start a turn by themselves */
    uint64_t promised; /* when a turn was promised that has not started, in ms; 0: none */
    bool turn_open;    /* a client knows of turn_id and has not been told its end */

    struct settings *settings; /* as loaded and changed since; NULL: not known. Owned */
    uint64_t sources;          /* stamp of the files that they came from, then */
    bool turned;               /* its history brings back what a resume restores */
    unsigned keeps;            /* 1 << enum stay: what has been heard that holds it here */
    bool output_asked; /* a turn has begun in which the model can ask for what STAY_OUTPUT is about
                        */
    unsigned commands; /* that run in its turn, or have outlived it */
    unsigned samples;  /* answers of the model since there are any */
    struct move *move; /* NULL: it is not moving */
    bool echoes;       /* what a resume by ourselves says of it is still to come */

    bool unsubscribed;         /* its client said thread/unsubscribe; thread/closed is due */
    bool evicting;             /* by ourselves: interrupted, and asked again until it is closed */
    unsigned evict_asks;       /* unanswered requests of the eviction */
    bool evict_closed;         /* closed, as soon as they are answered */
    uint64_t evict_since;      /* ms */
    uint64_t evict_asked;      /* ms, the last try */
    uint64_t turn_since;       /* ms, of the turn that runs */
    uint64_t last_event;       /* ms */
    uint64_t retrying_since;   /* ms, the model cannot be reached; 0: it can, or is not asked */
    uint64_t turn_interrupted; /* ms, by a limit of ours: once is enough; 0: not */
    char *turn_id;             /* of the running turn, or of the last; NULL before the first */
    char id[];
};

struct threads {
    struct list *buckets;
    size_t n_buckets, count;
};

/* 0 or -ENOMEM. */
int threads_init(struct threads *ts) CP_MUSTCHECK;
/* Asserts that there are none left. */
void threads_deinit(struct threads *ts);

/* NULL where nobody has it loaded. */
struct thread *threads_find(const struct threads *ts, struct slice id);

/* A new entry; NULL when out of memory. `loaded` is the owner's list. */
struct thread *threads_add(struct threads *ts, struct slice id, struct worker *owner,
                           struct list *loaded);

/* Forgets and frees it; its sub-agents go to its parent. `loaded` is the owner's list. Nothing may
 * be blocked on it, and `opening` and `move` must be NULL. */
void threads_remove(struct threads *ts, struct thread *t, struct list *loaded);

/* NULL for nobody; `subscribed` is the client's list. */
void thread_subscribe(struct thread *t, struct client *c, struct list *subscribed);

/* Something runs or is promised to. */
bool thread_busy(const struct thread *t);

/* `t` is `of` or one of its sub-agents, at any depth. */
bool thread_descends(const struct thread *t, const struct thread *of);

/* The same, never 0, for all that may run beside each other in one stream: a thread, its sub-agents
 * at any depth, and the ephemeral forks in which its client asks something aside. */
uint64_t thread_family(const struct thread *t);

/* Remembers the id of the turn that runs. A failed allocation leaves none. */
void thread_set_turn(struct thread *t, struct slice turn_id);

/* Never 0. */
uint64_t thread_hash(struct slice id);

#endif

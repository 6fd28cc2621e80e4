/* The two sides of a fuzzed daemon: clients that write and read a socket, and workers that write
 * and read the pipes of a process which does not exist. */
#ifndef TESTS_FUZZ_PEERS_H
#define TESTS_FUZZ_PEERS_H

#include "daemon/server.h"
#include "proto/linebuf.h"
#include "proto/outbuf.h"
#include "tests/fuzz/outside.h"
#include "tests/fuzz/payload.h"
#include "tests/fuzz/promises.h"

#define CLIENTS 4
#define SERIALS_MAX 4096
#define UNANSWERED_MAX 128 /* WORKER_SLOTS */
#define ANSWERED_KEPT 32

struct peer_client {
    int fd; /* -1: not there */
    bool deaf, hung_up;
    struct outbuf out;
    struct linebuf in;
    struct promises promises;
    struct names threads; /* with its mark, so nobody else can name them */
};

/* A request that a worker has got and not answered. */
struct asked {
    char *id, *thread_id; /* raw; thread_id NULL: names none */
    const struct method *method;
    char *name;      /* of the method */
    unsigned client; /* whose mark it bears; 0: none */
};

struct peer_worker {
    pid_t pid; /* 0: not there */
    unsigned serial;
    bool deaf, honest;
    struct outbuf out;
    struct linebuf in, said;
    struct asked asked[UNANSWERED_MAX];
    size_t n_asked;
    char *answered[ANSWERED_KEPT]; /* ids of the last */
    size_t n_answered;
    struct names threads; /* opened there since it began */
    struct names loaded;  /* and not closed */
};

struct stage {
    struct server server;
    struct peer_client clients[CLIENTS];
    struct peer_worker workers[PROCESSES]; /* as outside()->processes */
    unsigned serials;
    unsigned names, words;
    struct strays strays;
    bool attach[SERIALS_MAX]; /* by serial: its words may be another's, too */
    bool manual;              /* workers do not answer initialize by themselves */
    bool stubborn;            /* nor end when they are told to */
    size_t moved;             /* bytes that have gone either way */
    size_t budget;            /* bytes that fillers may still bring */
};

/* Of the scripts' payloads payload.h tells. A client's mark and threads are its own. */
void client_connect(struct stage *st, struct peer_client *c, size_t i);
void client_write(struct stage *st, struct peer_client *c, struct slice payload, bool line);
void client_leave(struct peer_client *c);
/* Moves what can be moved; also from one that has been left by the daemon. */
void client_pump(struct stage *st, struct peer_client *c);
/* It is there, reads, and has not been cut off. */
bool client_listens(const struct peer_client *c);

/* A worker's mark is that of the client whose request it answers, else a new one each time; its
 * threads are those that were opened there. `about`: NULL, or the request that it writes about. */
void worker_write(struct stage *st, struct peer_worker *w, const struct asked *about,
                  struct slice payload, bool line);
/* Answers the k-th open request: with this member and value, or (no value) as Codex would. */
void worker_answer(struct stage *st, struct peer_worker *w, size_t k, const char *member,
                   struct slice value);
void worker_exit(struct stage *st, struct peer_worker *w, int status);
void worker_pump(struct stage *st, struct peer_worker *w);
/* The process that the daemon has in this place of the pool; NULL: none. */
struct peer_worker *worker_at(struct stage *st, size_t i);

#endif

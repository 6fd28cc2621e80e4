/* What an administrator has asked for that takes its time: answered when it is done. It goes on,
 * whoever asked for it leaves. */
#ifndef DAEMON_STEER_H
#define DAEMON_STEER_H

#include "daemon/client.h"
#include "proto/envelope.h"
#include "proto/rpc.h"

/* A worker as it was then. */
struct steer_worker {
    unsigned id, starts;
};

struct steer;
/* Called before the loop sleeps, until it ends it by steer_answer or steer_fail. */
typedef void steer_look(struct server *s, struct steer *t);

struct steer {
    struct list node; /* in the server's `steering` */
    struct client *client;
    char *id; /* raw JSON */
    const char *method;
    steer_look *look;
    uint64_t since;  /* ms */
    uint64_t number; /* what it means is the method's business, and so is the rest */
    char *thread_id;
    size_t n_workers;
    struct steer_worker workers[];
};

/* Begins to wait; `method` is a string that stays. NULL when out of memory: then the client has
 * been told so. */
struct steer *steer_begin(struct client *c, const struct envelope *e, const char *method,
                          steer_look *look);

/* One more of the server's workers that it waits for; of `starts` see worker.h. */
void steer_add_worker(struct steer *t, unsigned id, unsigned starts);

void steer_answer(struct steer *t, cJSON *result);
void steer_fail(struct steer *t, int code, const char *message);

void steer_look_all(struct server *s);

/* It waits for something. */
bool steer_has(const struct client *c);

/* Appends the ids of its requests that wait for something to a list. */
void steer_add_ids(cJSON *ids, const struct client *c);

/* The client is gone: nobody is to be told. */
void steer_forget(struct client *c);

/* Nothing of it will be done any more. */
void steer_shut_down(struct server *s);

/* For pool/status: [{"method","client","sinceMs"}]. */
cJSON *steer_status(const struct server *s);

#endif

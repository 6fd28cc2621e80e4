/* The connection of `codex-pool top`: nothing of it waits, and it says nothing by itself. */
#ifndef CLIENT_TOP_LINK_H
#define CLIENT_TOP_LINK_H

#include "proto/linebuf.h"
#include "proto/list.h"
#include "proto/outbuf.h"

#include <cjson/cJSON.h>

struct top_link {
    const char *path;
    int fd; /* -1: not connected */
    struct linebuf in;
    struct outbuf out;
    int64_t last_id;
    int64_t status_id; /* of the pool/status that is not answered; 0: none */
    struct list asked; /* other requests that are not answered */
    char said[160];    /* by the daemon of the connection itself, such as why it ends it; "" */
    char why[160];     /* it is not connected */
};

enum link_event {
    LINK_NOTHING, /* more has to be read first */
    LINK_STATUS,  /* `status` is the caller's */
    LINK_DONE,    /* a request was carried out; `what` is the caller's to free */
    LINK_FAILED,  /* or was not; `what` and `error`, too */
    LINK_LOST,    /* `why` of the link says how */
};

struct link_message {
    cJSON *status;
    char *what, *error;
};

void link_init(struct top_link *l, const char *path);
void link_deinit(struct top_link *l);

/* False where nobody is there; `why` says so. */
bool link_connect(struct top_link *l) CP_MUSTCHECK;
void link_disconnect(struct top_link *l, const char *why);

/* Asks for the status, unless that is not answered. 0 or -ENOMEM, as below. */
int link_ask_status(struct top_link *l) CP_MUSTCHECK;

/* Sends a request, taking `params` over; `what` is for its answer. */
int link_ask(struct top_link *l, const char *method, cJSON *params, const char *what) CP_MUSTCHECK;

/* What poll is to wait for. */
short link_wants(const struct top_link *l);

/* After poll: reads and writes what there is. */
void link_move(struct top_link *l);

/* What has come, until there is nothing more. Requests that were lost with the connection are
 * failed before that is told. */
enum link_event link_next(struct top_link *l, struct link_message *m) CP_MUSTCHECK;

#endif

/* One connection to the socket. */
#ifndef DAEMON_CLIENT_H
#define DAEMON_CLIENT_H

#include "daemon/server.h"
#include "proto/linebuf.h"
#include "proto/outbuf.h"

#include <sys/types.h>

struct http;
struct park;
struct tracer;
struct websocket;
struct worker;

/* How it speaks, which its first byte tells: no message begins with a letter. */
enum client_transport {
    CLIENT_SILENT,    /* has said nothing yet */
    CLIENT_LINES,     /* a message a line */
    CLIENT_WEBSOCKET, /* a message a text frame (websocket.h); began as the next */
    CLIENT_HTTP,      /* asks how the daemon is (http.h), has no messages */
};

/* Why a client is not read from; any reason is enough. */
enum client_pause {
    CLIENT_PAUSE_OUTPUT = 1 << 0, /* it does not take what it is due */
    CLIENT_PAUSE_WORKER = 1 << 1, /* a worker does not take what it sent */
    CLIENT_PAUSE_UNSENT = 1 << 2, /* workers have yet to answer much of what it sent */
    CLIENT_PAUSE_CLOSING = 1 << 3,
};

/* As the status says it: "lines" and so on. */
const char *client_transport_name(enum client_transport transport);

struct client {
    struct server *server;
    struct list in_clients;
    struct list in_dirty;
    struct list in_doomed;
    struct list in_resumed;
    struct list in_stuck;  /* of the worker that does not take what it sent */
    uint64_t connected_at; /* ms */
    unsigned id;
    int fd;
    uid_t uid;
    gid_t gid;
    pid_t pid;
    unsigned admin_worker; /* id of the worker that had its last global request; 0: none */
    enum client_transport transport;
    unsigned n_waiting; /* requests in the queue */

    uint8_t paused; /* of enum client_pause */
    bool admin;
    bool initialized;
    bool wants_queue_events, wants_moves;
    bool last_call; /* see time_is_over */
    bool closing;   /* to be closed when its output is written */
    bool doomed;    /* gone; nothing is written any more */

    ev_io ready;
    ev_timer stall; /* runs while it takes nothing of what it is due; or, by HTTP, asks nothing */
    struct linebuf in; /* lines, whichever way they came; of HTTP the bytes */
    struct outbuf out;
    struct http *http;     /* NULL: it does not speak it */
    struct websocket *ws;  /* NULL: it does not speak it */
    struct park *park;     /* its connection is gone and it is not, see park.h; NULL: connected */
    struct tracer *tracer; /* NULL: it does not trace */
    size_t traced_bytes;   /* of its output at most so many are what a trace tells */

    char *name; /* of its clientInfo; NULL before initialize */
    strings opted_out;

    struct list requests; /* all that are not answered */
    struct list leases;   /* workers it holds */
    struct list threads;  /* it subscribes to */
    struct list asks;     /* server requests it has */
    int64_t last_ask_id;
    size_t held_bytes;   /* of requests that wait in the daemon, for whatever it is */
    size_t unsent_bytes; /* of those that wait for room at a worker */
};

/* Takes the descriptor over. NULL on failure, the descriptor closed. */
struct client *client_new(struct server *s, int fd, uid_t uid, gid_t gid, pid_t pid);

/* One that will be given its connection by client_hand_over, which must follow at once. NULL when
 * out of memory. */
struct client *client_new_bare(struct server *s, uid_t uid, gid_t gid, pid_t pid);

/* The connection of `from`, with what it has sent and not been read and what it is still due, is
 * that of `to` from now on, which must have none and be due nothing. `from` has none then. With it
 * go the rights that it was given when it was accepted. */
void client_hand_over(struct client *from, struct client *to);

/* Closes and frees; everything it had must be gone. */
void client_free(struct client *c);

/* Queues bytes as they are, for what a transport says for itself: both or, out of memory, neither,
 * and the client is dropped. */
void client_put(struct client *c, struct slice head, struct slice body);

/* Queues a line (without newline) for the client; written before the loop sleeps. */
void client_send(struct client *c, struct slice line);

/* Queues lines, each with its newline, for a client of the transport CLIENT_LINES, connected. Many
 * of them are written at once where nothing else is queued, without a copy; of few, `more` says
 * that others are likely to follow before the loop sleeps. */
void client_send_lines(struct client *c, struct slice lines, bool more);

/* As client_send, and frees the line; NULL (out of memory) drops the client. */
void client_send_take(struct client *c, char *line);

/* As client_send, with what the splice says. */
void client_send_spliced(struct client *c, const struct splice *s);

/* It does not want this notification. */
bool client_opted_out(const struct client *c, struct slice method);

void client_pause(struct client *c, unsigned why);
void client_resume(struct client *c, unsigned why);

/* Counts the bytes of a request that has to wait. False where too many of its requests wait: this
 * one must be refused. It is still read from, since a turn may need its answer, or a word of its
 * to end, before any of them can go on. */
bool client_hold(struct client *c, size_t bytes) CP_MUSTCHECK;
void client_unhold(struct client *c, size_t bytes);

/* Counts the bytes of a request that waits for nothing but a worker's answers to others; it is not
 * read from while they are many. */
void client_add_unsent(struct client *c, size_t bytes);
void client_drop_unsent(struct client *c, size_t bytes);

/* Hands on lines that it had sent when it was paused, or when others had their turn. Called once a
 * round of the loop. */
void client_take_rest(struct client *c);

/* Has so much output waiting that nobody may produce more for it. */
bool client_backlogged(const struct client *c);

/* What its transport has to say before the connection is closed by the daemon. */
void client_say_goodbye(struct client *c);

/* The other end has closed its side, while nobody reads what it has sent. */
void client_hung_up(struct client *c);

/* Ends the connection: at once, cleaned up before the loop sleeps. */
void client_doom(struct client *c, const char *why);

/* Ends the connection after its output is written. What it still sends is thrown away. */
void client_close_after_output(struct client *c);

/* Writes what it can. Called before the loop sleeps, and once what it has sent has been taken. */
void client_flush(struct client *c);

#endif

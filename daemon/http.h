/* HTTP/1.1 on the daemon's socket, for monitoring: GET and HEAD of what http_answer.h has, and the
 * way in for WebSockets (websocket.h). A connection that speaks it counts as one of maxClients and
 * is limited as the others are, but has no messages, hence never a worker.
 *
 * The requests are read by http_parser (Debian's libhttp-parser): the parser that Node.js had until
 * its authors wrote llhttp in its place, which Debian 12 has not; small, without allocations, used
 * for years on the open net, and still mended there. It knows framing (Content-Length against
 * chunks, what ends a connection), which is what goes wrong in parsers of one's own. */
#ifndef DAEMON_HTTP_H
#define DAEMON_HTTP_H

#include "daemon/client.h"

/* The longest head of a request, its path alone, and what is read and thrown away of a body. */
#define HTTP_HEAD_MAX 16384
#define HTTP_TARGET_MAX 2048
#define HTTP_BODY_MAX 65536

/* What a request has said that matters here. */
struct http_request {
    unsigned method; /* enum http_method */
    unsigned hosts;  /* how many Host headers */
    bool origin;     /* sent by a page in a browser */
    bool expects;    /* waits to be told to send its body */
    bool websocket;  /* asks to be upgraded to one */
    bool keep_alive;
    bool http_1_0;
    bool strange;   /* another version than 1.x */
    bool too_large; /* its body */
    size_t target_len, body_len;
    char target[HTTP_TARGET_MAX + 1]; /* target_len may be more than is kept of it */
    char upgrade[32], key[32], version[8];
};

/* NULL when out of memory. */
struct http *http_new(struct client *c);
/* NULL. */
struct http *http_free(struct http *h);

/* Takes what the client has sent up to the end of a request, and answers that. False where there is
 * no whole one. */
bool http_take(struct http *h);

/* It has been a WebSocket since the last request: c->ws has it, with what else has been read. */
bool http_is_upgraded(const struct http *h);

/* It has asked nothing for too long, or not all of it. */
void http_timeout(struct http *h);

#endif

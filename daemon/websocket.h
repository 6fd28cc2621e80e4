/* WebSockets (RFC 6455) on the daemon's socket, as `codex app-server --listen unix://` speaks them:
 * one message a text frame, whole or in fragments, no extension and no subprotocol. They come by
 * http.h.
 *
 * What arrives becomes lines in the client's `in`, so that whoever takes those need not know; what
 * leaves gets a frame's head in place of a newline. Frames are read by wslay. Binary messages are
 * ignored, as Codex does; a message longer than maxMessageBytes ends the connection (1009), as does
 * one that is not UTF-8 (1007). A close frame is the client's disconnect. */
#ifndef DAEMON_WEBSOCKET_H
#define DAEMON_WEBSOCKET_H

#include "proto/base.h"

struct client;
struct websocket;

enum {
    WEBSOCKET_TEXT = 0x1,
    WEBSOCKET_CLOSE = 0x8,
    WEBSOCKET_PONG = 0xa,
};

/* Status codes of a close frame. */
enum {
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_NOT_UTF8 = 1007,
    WEBSOCKET_TOO_LARGE = 1009,
};

#define WEBSOCKET_HEAD_MAX 10
#define WEBSOCKET_ACCEPT_MAX 32

/* What the opening handshake answers to a Sec-WebSocket-Key, as a string. False: that is none. */
bool websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_MAX]) CP_MUSTCHECK;

/* Takes over what the client's `in` has pending: it may have sent frames already. NULL when out of
 * memory. */
struct websocket *websocket_new(struct client *c);
void websocket_free(struct websocket *ws);

/* Its connection is another client's now, with all that this one's `in` had. */
void websocket_set_client(struct websocket *ws, struct client *c);

/* As linebuf_read, into the client's `in`. Also LINEBUF_OK where it has only answered a ping, or
 * has begun to close the connection. */
int websocket_read(struct websocket *ws) CP_MUSTCHECK;

/* The head of an unfragmented frame of n bytes, in `room`. */
struct slice websocket_head(char room[WEBSOCKET_HEAD_MAX], unsigned opcode, size_t n);

/* Says that the connection is closed, and why, if it has not; nothing may follow. */
void websocket_close(struct websocket *ws, unsigned code);
bool websocket_is_closed(const struct websocket *ws);

#endif

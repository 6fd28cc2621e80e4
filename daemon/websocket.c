#include "daemon/websocket.h"

#include "daemon/client.h"
#include "proto/json.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <wslay/wslay.h>

static_assert((int)WEBSOCKET_TEXT == WSLAY_TEXT_FRAME &&
                  (int)WEBSOCKET_CLOSE == WSLAY_CONNECTION_CLOSE &&
                  (int)WEBSOCKET_PONG == WSLAY_PONG,
              "opcodes");

/* As linebuf_read takes at a time: then the lines have their turn. */
#define READ_MAX ((size_t)64 * 1024)

#define CONTROL_MAX 125
#define NO_OPCODE 0xff

struct websocket {
    struct client *client;
    wslay_frame_context_ptr frames;
    char *early; /* read with the request; NULL: nothing more */
    size_t early_at, early_len;
    bool closed;   /* its close frame has been sent */
    size_t budget; /* bytes that may still be read now */
    int result;    /* of the last read: LINEBUF_* or -errno */

    unsigned opcode;    /* of the message in progress; NO_OPCODE: there is none */
    bool fin;           /* the frame in progress is its last */
    size_t length;      /* of it so far, in the client's `in` */
    bool in_frame;      /* some of the frame in progress has been read */
    uint64_t remaining; /* of the frame in progress */
    unsigned control;   /* its opcode, where it is a control frame; 0: it is not */
    uint8_t control_data[CONTROL_MAX];
    size_t control_len;
};

bool websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_MAX])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    struct base64_decode_ctx decode;
    struct sha1_ctx sha1;
    uint8_t nonce[BASE64_DECODE_LENGTH(32)], digest[SHA1_DIGEST_SIZE];
    size_t n = sizeof(nonce);
    if (strlen(key) != BASE64_ENCODE_RAW_LENGTH(16))
        return false;
    base64_decode_init(&decode);
    if (!base64_decode_update(&decode, &n, nonce, strlen(key), key) ||
        !base64_decode_final(&decode) || n != 16)
        return false;
    sha1_init(&sha1);
    sha1_update(&sha1, strlen(key), (const uint8_t *)key);
    sha1_update(&sha1, sizeof(guid) - 1, (const uint8_t *)guid);
    sha1_digest(&sha1, sizeof(digest), digest);
    static_assert(BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE) < WEBSOCKET_ACCEPT_MAX, "room");
    base64_encode_raw(accept, sizeof(digest), digest);
    accept[BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE)] = '\0';
    return true;
}

/* Fills wslay's buffer, a few kilobytes. */
static ssize_t on_recv(uint8_t *bytes, size_t room, int flags, void *arg)
{
    struct websocket *ws = arg;
    size_t left = ws->early_len - ws->early_at;
    ssize_t n = (ssize_t)(left < room ? left : room);
    (void)flags;
    if (left) {
        memcpy(bytes, ws->early + ws->early_at, (size_t)n);
        ws->early_at += (size_t)n;
        return n;
    }
    if (ws->budget < room) {
        ws->result = LINEBUF_OK;
        return -1;
    }
    do
        n = read(ws->client->fd, bytes, room);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        ws->budget -= (size_t)n;
        return n;
    }
    if (n == 0)
        ws->result = LINEBUF_EOF;
    else
        ws->result = errno == EAGAIN || errno == EWOULDBLOCK ? LINEBUF_AGAIN : -errno;
    return -1;
}

struct websocket *websocket_new(struct client *c)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = on_recv};
    struct slice rest = linebuf_rest(&c->in);
    struct websocket *ws = calloc(1, sizeof(*ws));
    if (!ws)
        return NULL;
    ws->client = c;
    ws->opcode = NO_OPCODE;
    ws->early = rest.n ? slice_dup(rest) : NULL;
    ws->early_len = rest.n;
    if ((rest.n && !ws->early) || wslay_frame_context_init(&ws->frames, &callbacks, ws) != 0) {
        free(ws->early);
        free(ws);
        return NULL;
    }
    linebuf_skip(&c->in, rest.n);
    linebuf_trim(&c->in);
    return ws;
}

void websocket_free(struct websocket *ws)
{
    if (!ws)
        return;
    wslay_frame_context_free(ws->frames);
    free(ws->early);
    free(ws);
}

void websocket_set_client(struct websocket *ws, struct client *c)
{
    ws->client = c;
}

struct slice websocket_head(char room[WEBSOCKET_HEAD_MAX], unsigned opcode, size_t n)
{
    size_t len = 2;
    room[0] = (char)(0x80 | opcode);
    if (n <= 125) {
        room[1] = (char)n;
    } else if (n <= UINT16_MAX) {
        uint16_t net = htons((uint16_t)n);
        room[1] = 126;
        memcpy(room + 2, &net, sizeof(net));
        len += sizeof(net);
    } else {
        uint32_t net[2] = {htonl((uint32_t)((uint64_t)n >> 32)), htonl((uint32_t)n)};
        room[1] = 127;
        memcpy(room + 2, net, sizeof(net));
        len += sizeof(net);
    }
    return (struct slice){room, len};
}

static void put_frame(struct websocket *ws, unsigned opcode, struct slice payload)
{
    char room[WEBSOCKET_HEAD_MAX];
    client_put(ws->client, websocket_head(room, opcode, payload.n), payload);
}

void websocket_close(struct websocket *ws, unsigned code)
{
    uint16_t net = htons((uint16_t)code);
    if (!ws->closed)
        put_frame(ws, WEBSOCKET_CLOSE, (struct slice){(const char *)&net, sizeof(net)});
    ws->closed = true;
}

bool websocket_is_closed(const struct websocket *ws)
{
    return ws->closed;
}

/* Of no use any more: says why, and reads on only until the other side closes, too. */
static bool fail(struct websocket *ws, unsigned code)
{
    websocket_close(ws, code);
    client_close_after_output(ws->client);
    return false;
}

static bool valid_code(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

/* The client's disconnect: the same code goes back, then what it had is ended at once. */
static bool on_close(struct websocket *ws)
{
    struct slice payload = {(const char *)ws->control_data, ws->control_len};
    unsigned code = payload.n >= 2 ? ws->control_data[0] * 256U + ws->control_data[1] : 0;
    if (payload.n == 1 || (payload.n && !valid_code(code)))
        return fail(ws, WEBSOCKET_PROTOCOL_ERROR);
    if (payload.n && !json_is_utf8((struct slice){payload.p + 2, payload.n - 2}))
        return fail(ws, WEBSOCKET_NOT_UTF8);
    put_frame(ws, WEBSOCKET_CLOSE, (struct slice){payload.p, payload.n ? 2 : 0});
    ws->closed = true;
    client_flush(ws->client);
    client_doom(ws->client, "disconnected");
    return false;
}

static bool end_control(struct websocket *ws)
{
    unsigned opcode = ws->control;
    ws->control = 0;
    if (opcode == WSLAY_CONNECTION_CLOSE)
        return on_close(ws);
    if (opcode == WSLAY_PING)
        put_frame(ws, WEBSOCKET_PONG,
                  (struct slice){(const char *)ws->control_data, ws->control_len});
    return true;
}

/* False where the connection ends. */
static bool end_message(struct websocket *ws)
{
    struct client *c = ws->client;
    struct slice rest = linebuf_rest(&c->in);
    bool text = ws->opcode == WSLAY_TEXT_FRAME;
    struct slice message = SLICE_NULL;
    if (text && ws->length)
        message = (struct slice){rest.p + rest.n - ws->length, ws->length};
    ws->opcode = NO_OPCODE;
    ws->length = 0;
    if (!text)
        return true;
    if (!json_is_utf8(message))
        return fail(ws, WEBSOCKET_NOT_UTF8);
    if (linebuf_push(&c->in, "\n", 1) < 0) {
        client_doom(c, "out of memory for its input");
        return false;
    }
    return true;
}

/* What a frame's head says, when it has just been read. False where the connection ends. */
static bool begin_frame(struct websocket *ws, const struct wslay_frame_iocb *f)
{
    size_t max = ws->client->in.max_line_bytes;
    ws->in_frame = true;
    ws->remaining = f->payload_length;
    if (f->rsv || !f->mask)
        return fail(ws, WEBSOCKET_PROTOCOL_ERROR);
    if (f->opcode == WSLAY_CONNECTION_CLOSE || f->opcode == WSLAY_PING || f->opcode == WSLAY_PONG) {
        ws->control = f->opcode;
        ws->control_len = 0;
        return true;
    }
    bool first = f->opcode == WSLAY_TEXT_FRAME || f->opcode == WSLAY_BINARY_FRAME;
    if ((!first && f->opcode != WSLAY_CONTINUATION_FRAME) || first != (ws->opcode == NO_OPCODE))
        return fail(ws, WEBSOCKET_PROTOCOL_ERROR);
    if (first)
        ws->opcode = f->opcode;
    ws->fin = f->fin;
    if (f->payload_length > max - ws->length)
        return fail(ws, WEBSOCKET_TOO_LARGE);
    return true;
}

/* A piece of a message. A newline in it can only be white space between its values, or it is no
 * JSON: a tab says the same in both cases, and does not end the line. */
static bool take_text(struct websocket *ws, const struct wslay_frame_iocb *f)
{
    struct client *c = ws->client;
    char *bytes = (char *)(uintptr_t)f->data;
    ws->length += f->data_length;
    if (ws->opcode != WSLAY_TEXT_FRAME)
        return true;
    for (char *p = bytes; (p = memchr(p, '\n', f->data_length - (size_t)(p - bytes)));)
        *p = '\t';
    for (char *p = bytes; (p = memchr(p, '\r', f->data_length - (size_t)(p - bytes)));)
        *p = '\t';
    if (linebuf_push(&c->in, bytes, f->data_length) == 0)
        return true;
    client_doom(c, "out of memory for its input");
    return false;
}

/* A whole frame or a piece of one. False where the connection ends. */
static bool take_frame(struct websocket *ws, const struct wslay_frame_iocb *f)
{
    if (!ws->in_frame && !begin_frame(ws, f))
        return false;
    if (f->data_length && ws->control) {
        /* wslay lets none through that is longer. */
        memcpy(ws->control_data + ws->control_len, f->data, f->data_length);
        ws->control_len += f->data_length;
    } else if (f->data_length && !take_text(ws, f)) {
        return false;
    }
    ws->remaining -= f->data_length;
    if (ws->remaining)
        return true;
    ws->in_frame = false;
    if (ws->control)
        return end_control(ws);
    return ws->fin ? end_message(ws) : true;
}

int websocket_read(struct websocket *ws)
{
    struct wslay_frame_iocb f;
    struct client *c = ws->client;
    ssize_t r = 0;
    ws->budget = READ_MAX;
    ws->result = LINEBUF_OK;
    while (!c->doomed && !c->closing && (r = wslay_frame_recv(ws->frames, &f)) >= 0)
        if (!take_frame(ws, &f))
            return LINEBUF_OK;
    if (r < 0 && r != WSLAY_ERR_WANT_READ)
        (void)fail(ws, WEBSOCKET_PROTOCOL_ERROR);
    if (ws->early && ws->early_at == ws->early_len) {
        free(ws->early);
        ws->early = NULL;
        ws->early_at = ws->early_len = 0;
    }
    return ws->result;
}

#include "daemon/http.h"

#include "daemon/http_answer.h"
#include "daemon/websocket.h"

#include <ctype.h>
#include <http_parser.h>
#include <strings.h>

struct http {
    struct client *client;
    http_parser parser;
    struct http_request request;
    char name[32]; /* of the header that is being read, as far as any name of interest goes */
    size_t name_len;
    char *value; /* where its value is kept; NULL: nowhere */
    size_t value_room;
    bool in_value, complete, begun, upgraded;
};

static int on_begin(http_parser *p)
{
    struct http *h = p->data;
    h->begun = true;
    return 0;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
    struct http_request *r = &((struct http *)p->data)->request;
    size_t room = r->target_len < HTTP_TARGET_MAX ? HTTP_TARGET_MAX - r->target_len : 0;
    memcpy(r->target + (room ? r->target_len : 0), at, n < room ? n : room);
    r->target_len += n;
    return 0;
}

static int on_header_field(http_parser *p, const char *at, size_t n)
{
    struct http *h = p->data;
    if (h->in_value)
        h->name_len = 0;
    h->in_value = false;
    for (size_t i = 0; i < n; i++, h->name_len++)
        if (h->name_len < sizeof(h->name))
            h->name[h->name_len] = (char)tolower((unsigned char)at[i]);
    return 0;
}

static void begin_value(struct http *h)
{
    struct http_request *r = &h->request;
    struct slice name = {h->name, h->name_len < sizeof(h->name) ? h->name_len : 0};
    h->in_value = true;
    h->value = NULL;
    h->value_room = 0;
    if (slice_is(name, "origin")) {
        r->origin = true;
    } else if (slice_is(name, "host")) {
        r->hosts++;
    } else if (slice_is(name, "expect")) {
        r->expects = true;
    } else if (slice_is(name, "upgrade")) {
        h->value = r->upgrade;
        h->value_room = sizeof(r->upgrade);
    } else if (slice_is(name, "sec-websocket-key")) {
        h->value = r->key;
        h->value_room = sizeof(r->key);
    } else if (slice_is(name, "sec-websocket-version")) {
        h->value = r->version;
        h->value_room = sizeof(r->version);
    }
    if (h->value)
        memset(h->value, 0, h->value_room);
}

static int on_header_value(http_parser *p, const char *at, size_t n)
{
    struct http *h = p->data;
    if (!h->in_value)
        begin_value(h);
    /* One byte stays for the NUL; what is too long for its place is no value that is known. */
    size_t have = h->value ? strlen(h->value) : 0;
    size_t room = h->value ? h->value_room - 1 - have : 0;
    if (h->value)
        memcpy(h->value + have, at, n < room ? n : room);
    return 0;
}

static int on_headers_complete(http_parser *p)
{
    struct http *h = p->data;
    struct http_request *r = &h->request;
    bool body = (p->flags & (F_CHUNKED | F_CONTENTLENGTH)) != 0;
    r->method = p->method;
    r->http_1_0 = p->http_major == 1 && p->http_minor == 0;
    r->strange = p->http_major != 1;
    r->keep_alive = p->http_major == 1 && http_should_keep_alive(p);
    if ((p->flags & F_CONTENTLENGTH) && p->content_length > HTTP_BODY_MAX)
        r->too_large = true;
    if (body && r->expects && !r->too_large && !r->http_1_0)
        client_put(h->client, SLICE("HTTP/1.1 100 Continue\r\n\r\n"), SLICE_NULL);
    return r->too_large ? -1 : 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
    struct http_request *r = &((struct http *)p->data)->request;
    (void)at;
    r->body_len += n;
    r->too_large = r->body_len > HTTP_BODY_MAX;
    return r->too_large;
}

static int on_complete(http_parser *p)
{
    struct http *h = p->data;
    h->complete = true;
    http_parser_pause(p, 1);
    return 0;
}

static void expect_request(struct http *h)
{
    http_parser_init(&h->parser, HTTP_REQUEST);
    h->parser.data = h;
    h->request = (struct http_request){0};
    h->name_len = 0;
    h->in_value = h->complete = h->begun = false;
}

struct http *http_new(struct client *c)
{
    struct http *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    /* The library's own, for all its parsers; nobody else uses any. */
    http_parser_set_max_header_size(HTTP_HEAD_MAX);
    h->client = c;
    expect_request(h);
    return h;
}

struct http *http_free(struct http *h)
{
    free(h);
    return NULL;
}

bool http_is_upgraded(const struct http *h)
{
    return h->upgraded;
}

/* The rest of what it sends cannot be told from a request: one answer, and the end. */
static void refuse(struct http *h, unsigned status, const char *why)
{
    h->request.keep_alive = false;
    http_answer_status(h->client, &h->request, status, why, NULL);
    client_close_after_output(h->client);
}

static void refuse_unread(struct http *h)
{
    enum http_errno error = HTTP_PARSER_ERRNO(&h->parser);
    if (h->request.too_large)
        refuse(h, 413, "The body is too large.");
    else if (error == HPE_HEADER_OVERFLOW)
        refuse(h, 431, "The head of the request is too large.");
    else
        refuse(h, 400, http_errno_description(error));
}

static bool wants_websocket(const struct http *h)
{
    const char *at = strcasestr(h->request.upgrade, "websocket");
    return h->parser.upgrade && at;
}

static void answer(struct http *h)
{
    struct http_request *r = &h->request;
    struct client *c = h->client;
    r->websocket = wants_websocket(h);
    if (r->method == HTTP_CONNECT)
        r->keep_alive = false;
    h->upgraded = http_answer(c, r);
    if (!h->upgraded && !r->keep_alive)
        client_close_after_output(c);
}

bool http_take(struct http *h)
{
    static const http_parser_settings settings = {
        .on_message_begin = on_begin,
        .on_url = on_url,
        .on_header_field = on_header_field,
        .on_header_value = on_header_value,
        .on_headers_complete = on_headers_complete,
        .on_body = on_body,
        .on_message_complete = on_complete,
    };
    struct client *c = h->client;
    struct slice rest = linebuf_rest(&c->in);
    if (!rest.n || h->upgraded)
        return false;
    size_t n = http_parser_execute(&h->parser, &settings, rest.p, rest.n);
    linebuf_skip(&c->in, n < rest.n ? n : rest.n);
    if (h->complete) {
        answer(h);
        if (!h->upgraded)
            expect_request(h);
        return !h->upgraded;
    }
    if (HTTP_PARSER_ERRNO(&h->parser) != HPE_OK)
        refuse_unread(h);
    return false;
}

void http_timeout(struct http *h)
{
    if (h->begun)
        refuse(h, 408, "The request has not ended in time.");
    else
        client_doom(h->client, "asks nothing");
}

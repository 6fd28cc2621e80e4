#include "daemon/http_answer.h"

#include "daemon/crew.h"
#include "daemon/metrics.h"
#include "daemon/status.h"
#include "daemon/websocket.h"
#include "daemon/worker.h"
#include "proto/rpc.h"

#include <http_parser.h>
#include <stdio.h>
#include <time.h>

#define TEXT "text/plain; charset=utf-8"

static void date(char *room, size_t n)
{
    struct tm tm;
    time_t now = time(NULL);
    if (!gmtime_r(&now, &tm) || !strftime(room, n, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm))
        room[0] = '\0';
}

static const char *reason_phrase(unsigned status)
{
    static const struct {
        unsigned status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {426, "Upgrade Required"},
        {431, "Request Header Fields Too Large"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "";
}

static void respond(struct client *c, const struct http_request *r, unsigned status,
                    const char *type, struct slice body, const char *more)
{
    char head[512], when[64];
    const char *connection = "";
    if (!r->keep_alive)
        connection = "Connection: close\r\n";
    else if (r->http_1_0)
        connection = "Connection: keep-alive\r\n";
    date(when, sizeof(when));
    int n =
        snprintf(head, sizeof(head),
                 "HTTP/1.1 %u %s\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\n"
                 "Cache-Control: no-store\r\n%s%s\r\n",
                 status, reason_phrase(status), when, type, body.n, connection, more ? more : "");
    bool headers_only = r->method == HTTP_HEAD;
    client_put(c, (struct slice){head, (size_t)n}, headers_only ? SLICE_NULL : body);
}

void http_answer_status(struct client *c, const struct http_request *r, unsigned status,
                        const char *text, const char *more)
{
    char body[256];
    int n = snprintf(body, sizeof(body) - 1, "%s", text);
    if (n > (int)sizeof(body) - 2)
        n = (int)sizeof(body) - 2;
    body[n] = '\n';
    respond(c, r, status, TEXT, (struct slice){body, (size_t)n + 1}, more);
}

/* A heap string, handed over; NULL: there was no memory for it. */
static void respond_take(struct client *c, const struct http_request *r, const char *type,
                         char *body)
{
    if (body)
        respond(c, r, 200, type, slice_str(body), NULL);
    else
        client_doom(c, "out of memory for its output");
    free(body);
}

static void on_health(struct client *c, const struct http_request *r)
{
    http_answer_status(c, r, 200, "ok", NULL);
}

/* Why whoever comes now would not be served; NULL: they would. */
static const char *not_ready(const struct server *s)
{
    bool starting = false;
    if (s->phase != SERVER_RUNNING)
        return "The pool is being shut down.";
    if (s->admission != ADMISSION_OPEN)
        return s->admission == ADMISSION_PAUSED ? "The pool is paused." : "The pool drains.";
    for (size_t i = 0; i < s->n_workers; i++) {
        if (worker_ready(s->workers[i]))
            return NULL;
        starting = starting || s->workers[i]->state == WORKER_STARTING;
    }
    if (s->start_failure)
        return s->start_failure;
    if (crew_hopeless(s))
        return "No worker can be started.";
    if (starting && !s->initialize_result)
        return "The first worker is starting.";
    return NULL;
}

static void on_ready(struct client *c, const struct http_request *r)
{
    const char *why = not_ready(c->server);
    http_answer_status(c, r, why ? 503 : 200, why ? why : "ready", NULL);
}

static void on_metrics(struct client *c, const struct http_request *r)
{
    respond_take(c, r, METRICS_TYPE, metrics_build(c->server));
}

static void on_status(struct client *c, const struct http_request *r)
{
    if (config_denies(c->server->config, SLICE("pool/status")))
        http_answer_status(c, r, 403, "pool/status is refused here: it is in denyMethods.", NULL);
    else
        respond_take(c, r, "application/json", rpc_print(status_build(c->server)));
}

static const struct {
    const char *path;
    void (*answer)(struct client *c, const struct http_request *r);
} resources[] = {
    {"/healthz", on_health},
    {"/readyz", on_ready},
    {"/metrics", on_metrics},
    {"/status", on_status},
};

/* The path alone, of either form of a target. False where it is none. */
static bool read_path(const struct http_request *r, struct slice *path)
{
    struct http_parser_url url;
    http_parser_url_init(&url);
    if (r->method == HTTP_CONNECT ||
        http_parser_parse_url(r->target, r->target_len, false, &url) != 0)
        return false;
    *path = SLICE("/");
    if (url.field_set & (1 << UF_PATH))
        *path =
            (struct slice){r->target + url.field_data[UF_PATH].off, url.field_data[UF_PATH].len};
    return true;
}

static void answer_path(struct client *c, const struct http_request *r, struct slice path)
{
    for (size_t i = 0; i < ARRAY_LEN(resources); i++) {
        if (!slice_is(path, resources[i].path))
            continue;
        if (r->method == HTTP_GET || r->method == HTTP_HEAD)
            resources[i].answer(c, r);
        else
            http_answer_status(c, r, 405, "Only GET and HEAD.", "Allow: GET, HEAD\r\n");
        return;
    }
    http_answer_status(c, r, 404, "There are /healthz, /readyz, /metrics and /status.", NULL);
}

static bool upgrade(struct client *c, const struct http_request *r)
{
    char accept[WEBSOCKET_ACCEPT_MAX];
    if (strcmp(r->version, "13") != 0) {
        http_answer_status(c, r, 426, "Only version 13 of the protocol.",
                           "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
        return false;
    }
    if (r->method != HTTP_GET || r->http_1_0 || !websocket_accept(r->key, accept)) {
        http_answer_status(c, r, 400, "No opening handshake of a WebSocket.", NULL);
        return false;
    }
    char head[256];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                     accept);
    c->ws = websocket_new(c);
    if (!c->ws) {
        client_doom(c, "out of memory for its WebSocket");
        return false;
    }
    client_put(c, (struct slice){head, (size_t)n}, SLICE_NULL);
    return true;
}

bool http_answer(struct client *c, const struct http_request *r)
{
    struct slice path;
    if (r->strange)
        http_answer_status(c, r, 505, "HTTP/1.1, please.", NULL);
    else if (r->origin)
        http_answer_status(c, r, 403, "Not for pages in a browser.", NULL);
    else if (r->hosts != 1 && !(r->hosts == 0 && r->http_1_0))
        http_answer_status(c, r, 400, "One Host header, please.", NULL);
    else if (r->target_len > HTTP_TARGET_MAX)
        http_answer_status(c, r, 414, "The path is too long.", NULL);
    else if (r->websocket)
        return upgrade(c, r);
    else if (!read_path(r, &path))
        http_answer_status(c, r, r->method == HTTP_CONNECT ? 405 : 400, "No path of ours.",
                           r->method == HTTP_CONNECT ? "Allow: GET, HEAD\r\n" : NULL);
    else
        answer_path(c, r, path);
    return false;
}

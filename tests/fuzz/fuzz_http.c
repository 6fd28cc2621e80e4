/* HTTP and WebSockets: a client's bytes on a connection to a daemon without workers.
 *
 * Byte 0: how many bytes arrive at a time, and whether a WebSocket's opening handshake goes before;
 * then the bytes. Whatever they are, the daemon answers or closes; what it holds of them is
 * bounded. */
#include "daemon/client.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/outside.h"

#include <errno.h>
#include <sys/socket.h>

#define HANDSHAKE                                                                                  \
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                   \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"

static const char config_text[] =
    "{\"prewarm\":false,\"maxMessageBytes\":4096,\"log\":{\"level\":\"error\"}}";

static void run(struct server *s)
{
    for (int i = 0; i < 3; i++)
        ev_run(s->loop, EVRUN_NOWAIT);
}

/* Reads what the daemon has said, and keeps its beginning. */
static void hear(int fd, struct outbuf *first)
{
    char bytes[65536];
    for (ssize_t n; (n = read(fd, bytes, sizeof(bytes))) > 0;)
        if (!outbuf_len(first) && outbuf_reserve(first, (size_t)n) == 0)
            outbuf_put(first, (struct slice){bytes, (size_t)n});
}

static void check_bounds(struct server *s)
{
    list_for_each (it, &s->clients) {
        struct client *c = list_entry(it, struct client, in_clients);
        MUST(linebuf_pending(&c->in) <= 256 * 1024 + 4096 * 2, "%zu bytes of input",
             linebuf_pending(&c->in));
        MUST(outbuf_len(&c->out) <= 1024 * 1024, "%zu bytes of output", outbuf_len(&c->out));
    }
}

static void talk(struct server *s, struct slice text, size_t step, bool handshake)
{
    static const char switched[] = "HTTP/1.1 101 ";
    int fds[2];
    struct outbuf first;
    outbuf_init(&first);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0, "no socket");
    MUST(client_new(s, fds[1], geteuid(), getegid(), getpid()), "out of memory");
    if (handshake)
        MUST(write(fds[0], HANDSHAKE, sizeof(HANDSHAKE) - 1) == sizeof(HANDSHAKE) - 1, "full");
    while (text.n) {
        ssize_t n = send(fds[0], text.p, text.n < step ? text.n : step, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            break; /* the daemon has closed it */
        if (n > 0)
            text = (struct slice){text.p + n, text.n - (size_t)n};
        run(s);
        check_bounds(s);
        hear(fds[0], &first);
    }
    run(s);
    hear(fds[0], &first);
    if (handshake)
        MUST(outbuf_len(&first) >= sizeof(switched) - 1 &&
                 memcmp(first.data, switched, sizeof(switched) - 1) == 0,
             "no WebSocket");
    outbuf_deinit(&first);
    (void)close(fds[0]);
    run(s);
    MUST(s->n_clients == 0, "the client is still there");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct server server;
    struct config_flags flags = {.log_level = -1, .log_format = -1};
    _cleanup_free_ char *error = NULL;
    if (size < 1)
        return 0;
    outside_reset();
    struct config *config = config_parse(config_text, "config", &flags, &error);
    MUST(config, "no configuration");
    MUST(server_init(&server, config, &flags) == 0, "no server");
    /* Those are the fuzzer's. */
    ev_signal_stop(server.loop, &server.on_term);
    ev_signal_stop(server.loop, &server.on_int);
    ev_signal_stop(server.loop, &server.on_hup);
    ev_signal_stop(server.loop, &server.on_child);
    talk(&server, (struct slice){(const char *)data + 1, size - 1}, (size_t)(data[0] >> 1) * 8 + 1,
         data[0] & 1);
    server_stop(&server);
    server_stop(&server);
    run(&server);
    server_deinit(&server);
    return 0;
}

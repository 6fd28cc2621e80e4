/* The least that a relay does which has a line to its end before it passes it on: one connection to
 * a Unix socket, one worker, lines that are kept in memory of their own and looked at for their
 * newline alone. */
#include "tests/bench/speed/util.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#define ROOM ((size_t)64 * 1024)

struct way {
    int from, to;
    char *bytes;
    size_t n, room;
};

/* False at its end. */
static bool carry(struct way *way)
{
    if (way->room - way->n < ROOM)
        way->bytes = must(realloc(way->bytes, way->room = way->room ? 2 * way->room : ROOM));
    ssize_t n = read(way->from, way->bytes + way->n, way->room - way->n);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    way->n += (size_t)n;
    if (way->bytes[way->n - 1] != '\n')
        return true;
    write_all(way->to, way->bytes, way->n);
    free(way->bytes);
    *way = (struct way){.from = way->from, .to = way->to};
    return true;
}

static void relay(int client, const struct child *worker)
{
    struct way down = {.from = client, .to = worker->in}, up = {.from = worker->out, .to = client};
    struct pollfd fds[] = {{.fd = client, .events = POLLIN}, {.fd = worker->out, .events = POLLIN}};
    bool goes_on = true;
    while (goes_on) {
        if (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
            die("poll: %s", strerror(errno));
        goes_on = (!fds[0].revents || carry(&down)) && (!fds[1].revents || carry(&up));
    }
    free(down.bytes);
    free(up.bytes);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        die("usage: speed-whole SOCKET WORKER");
    (void)signal(SIGPIPE, SIG_IGN);
    struct pollfd listener = {.fd = listen_at(argv[1]), .events = POLLIN};
    struct child worker = spawn_piped(argv[2]);
    while (poll(&listener, 1, -1) > 0) {
        int client = accept(listener.fd, NULL, NULL);
        if (client < 0)
            die("accept: %s", strerror(errno));
        relay(client, &worker);
        (void)close(client);
    }
}

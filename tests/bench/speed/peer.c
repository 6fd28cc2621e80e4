#include "tests/bench/speed/peer.h"

#include "tests/bench/speed/wire.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define SMALL ((size_t)8 * 1024)

void peer_open(struct peer *p, const struct target *to)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *p = (struct peer){.cap = SMALL, .data = must(malloc(SMALL))};
    if (!to->socket) {
        struct child child = spawn_piped(to->worker);
        p->in = child.in;
        p->out = child.out;
        p->worker = child.pid;
        return;
    }
    if (strlen(to->socket) >= sizeof(address.sun_path))
        die("the socket's path is too long");
    (void)strcpy(address.sun_path, to->socket);
    p->in = p->out = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->in < 0 || connect(p->in, (struct sockaddr *)&address, sizeof(address)) < 0)
        die("%s: %s", to->socket, strerror(errno));
}

void peer_close(struct peer *p)
{
    (void)close(p->in);
    if (p->out != p->in)
        (void)close(p->out);
    if (p->worker) {
        (void)kill(p->worker, SIGKILL);
        (void)waitpid(p->worker, NULL, 0);
    }
    free(p->data);
    *p = (struct peer){.in = -1, .out = -1};
}

void peer_reserve(struct peer *p, size_t n)
{
    if (p->cap < n)
        p->data = must(realloc(p->data, p->cap = n));
}

void peer_send(struct peer *p, const char *format, ...)
{
    char line[2048];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof(line) - 1)
        die("a request is too long");
    line[n] = '\n';
    write_all(p->in, line, (size_t)n + 1);
}

void peer_send_hello(struct peer *p)
{
    peer_send(p, "{\"id\":1,\"method\":\"initialize\",\"params\":{\"clientInfo\":{\"name\":"
                 "\"speed\",\"title\":null,"
                 "\"version\":\"1\"},\"capabilities\":{\"experimentalApi\":true}}}\n{\"method\":"
                 "\"initialized\"}");
}

void peer_send_thread_start(struct peer *p)
{
    peer_send(p,
              "{\"id\":2,\"method\":\"thread/start\",\"params\":{\"cwd\":\"/tmp\",\"model\":null,"
              "\"approvalPolicy\":\"never\",\"sandbox\":\"read-only\"}}");
}

bool peer_next(struct peer *p, struct slice *line)
{
    const char *from = p->data + p->begin;
    const char *nl = memchr(from, '\n', p->end - p->begin);
    if (!nl)
        return false;
    *line = (struct slice){from, (size_t)(nl - from)};
    p->begin += line->n + 1;
    return true;
}

bool peer_read(struct peer *p)
{
    if (p->begin == p->end) {
        p->begin = p->end = 0;
    } else if (p->end == p->cap) {
        if (p->begin == 0)
            p->data = must(realloc(p->data, p->cap *= 2));
        memmove(p->data, p->data + p->begin, p->end - p->begin);
        p->end -= p->begin;
        p->begin = 0;
    }
    for (;;) {
        ssize_t n = read(p->out, p->data + p->end, p->cap - p->end);
        if (n > 0) {
            p->end += (size_t)n;
            return true;
        }
        if (n == 0)
            die("the connection was closed");
        if (errno == EAGAIN)
            return false;
        if (errno != EINTR)
            die("read: %s", strerror(errno));
    }
}

struct slice peer_line(struct peer *p)
{
    struct slice line;
    while (!peer_next(p, &line))
        (void)peer_read(p);
    return line;
}

struct slice peer_answer(struct peer *p, unsigned long id)
{
    struct slice line;
    do
        line = peer_line(p);
    while (!line_answers(line, id));
    return line;
}

bool line_has(struct slice line, const char *text)
{
    return memmem(line.p, line.n, text, strlen(text));
}

bool line_answers(struct slice line, unsigned long id)
{
    char start[40];
    int n = snprintf(start, sizeof(start), "{\"id\":%lu,", id);
    if (line.n < (size_t)n || memcmp(line.p, start, (size_t)n) != 0)
        return false;
    if (memcmp(line.p + n, "\"error\"", 7) == 0)
        die("refused: %.*s", (int)line.n, line.p);
    return true;
}

void line_string(struct slice line, const char *key, char *to, size_t n)
{
    const char *at = memmem(line.p, line.n, key, strlen(key));
    if (!at || (size_t)(line.p + line.n - at) < strlen(key) + n + 1 || at[strlen(key) + n] != '"')
        die("no %s in %.*s", key, (int)(line.n < 200 ? line.n : 200), line.p);
    memcpy(to, at + strlen(key), n);
    to[n] = '\0';
}

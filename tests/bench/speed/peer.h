/* One connection of the load generator: to the socket of what is measured, or to a worker by its
 * pipes. */
#ifndef SPEED_PEER_H
#define SPEED_PEER_H

#include "tests/bench/speed/util.h"

struct target {
    const char *socket; /* NULL: a worker of its own for each connection */
    const char *worker;
};

struct peer {
    int in, out; /* to write to, to read from; the same where it is a socket */
    pid_t worker;
    char *data;
    size_t begin, end, cap;
};

void peer_open(struct peer *p, const struct target *to);
void peer_close(struct peer *p);
/* One read may take so much. */
void peer_reserve(struct peer *p, size_t n);

/* A line, blocking. */
void peer_send(struct peer *p, const char *format, ...) CP_PRINTF(2, 3);

/* What each client says first; the answers have ids 1 and 2. */
void peer_send_hello(struct peer *p);
void peer_send_thread_start(struct peer *p);

/* The next line without its newline that has arrived; false: none whole. Borrowed until the next
 * call. */
bool peer_next(struct peer *p, struct slice *line);
/* Reads once, blocking or not; false when there is nothing. Dies at the end of input. */
bool peer_read(struct peer *p);
/* The next line, blocking. */
struct slice peer_line(struct peer *p);
/* The answer to an id, blocking; what comes before is dropped. Dies of a refusal. */
struct slice peer_answer(struct peer *p, unsigned long id);

bool line_has(struct slice line, const char *text);
/* Whether it is the answer to that id. */
bool line_answers(struct slice line, unsigned long id);
/* The string after `key` (e.g. "\"id\":\"") into `to`; dies where there is none, or of another
 * length. */
void line_string(struct slice line, const char *key, char *to, size_t n);

#endif

/* Lines on stderr, for people or for collectors. */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include "proto/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };
enum log_format { LOG_TEXT, LOG_JSON };

/* Where a line comes from that is written at level info or above: of each such place only so many
 * lines are written in a while, whoever makes it happen. */
struct log_site {
    const char *format;     /* NULL: free */
    uint64_t since;         /* ms, when its while has begun */
    unsigned lines;         /* since then */
    unsigned long left_out; /* not told yet */
    enum log_level level;
    char example[160]; /* the first that was left out */
};
#define LOG_SITES 64

struct log {
    int fd; /* borrowed */
    enum log_level level;
    enum log_format format;
    bool journal;          /* the descriptor goes to journald, which has its own time stamps */
    bool may_block;        /* the descriptor is no pipe or socket */
    unsigned long dropped; /* lines that a full pipe did not take */
    bool left_out;         /* lines were left out that have not been told yet */
    struct log_site sites[LOG_SITES];
};

/* What a line is about: members of its own in JSON. Text has it in words. */
struct log_fields {
    unsigned client, worker; /* numbers; 0: none */
    const char *thread;      /* NULL: none */
    const char *how; /* a request has left the queue, or was not let in; NULL: no such line */
    bool queued;     /* wait_ms and queue_length mean something */
    uint64_t wait_ms;
    size_t queue_length;
    unsigned long left_out; /* lines like this one; 0: no such line */
};

void log_init(struct log *log, int fd);
void log_set(struct log *log, enum log_level level, enum log_format format);

/* Names as in the configuration; the parsers return -1 for any other. */
const char *log_level_name(enum log_level level);
int log_level_parse(const char *name);
int log_format_parse(const char *name);

/* The time of day, as the lines have it. */
void log_stamp(char *to, size_t n);

/* One line. Never waits for the reader: a line that a full pipe does not take is counted, and the
 * count is told with the next line that it does take. Long lines are cut. */
void log_event(struct log *log, enum log_level level, const struct log_fields *fields,
               const char *format, ...) CP_PRINTF(4, 5);

/* How often a place's lines may come: more in so many milliseconds are left out, and their number
 * is told by log_left_out, which is due as long as log.left_out is true. */
#define LOG_SITE_LINES 50
#define LOG_SITE_MS 10000

/* Tells of what was left out in a while that is over; `all`: in any. */
void log_left_out(struct log *log, bool all);

#define log_at(log, level, ...) log_event(log, level, &(struct log_fields){0}, __VA_ARGS__)

/* About a client, a worker, a worker's thread. */
#define log_client(c, level, format, ...)                                                          \
    log_event(&(c)->server->log, level, &(struct log_fields){.client = (c)->id},                   \
              "client %u: " format, (c)->id, ##__VA_ARGS__)
#define log_worker(w, level, format, ...)                                                          \
    log_event(&(w)->server->log, level, &(struct log_fields){.worker = (w)->id},                   \
              "worker %u: " format, (w)->id, ##__VA_ARGS__)
#define log_thread(t, w, level, format, ...)                                                       \
    log_event(&(w)->server->log, level,                                                            \
              &(struct log_fields){.worker = (w)->id, .thread = (t)->id}, "thread %s: " format,    \
              (t)->id, ##__VA_ARGS__)

#define log_error(log, ...) log_at(log, LOG_ERROR, __VA_ARGS__)
#define log_warn(log, ...) log_at(log, LOG_WARN, __VA_ARGS__)
#define log_info(log, ...) log_at(log, LOG_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_at(log, LOG_DEBUG, __VA_ARGS__)
#define log_trace(log, ...) log_at(log, LOG_TRACE, __VA_ARGS__)

#endif

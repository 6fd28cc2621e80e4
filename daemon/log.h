/* Lines on stderr, for people or for collectors. */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include "proto/base.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };
enum log_format { LOG_TEXT, LOG_JSON };

struct log {
    int fd; /* borrowed */
    enum log_level level;
    enum log_format format;
    bool journal;          /* the descriptor goes to journald, which has its own time stamps */
    bool may_block;        /* the descriptor is no pipe or socket */
    unsigned long dropped; /* lines that a full pipe did not take */
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
void log_at(struct log *log, enum log_level level, const char *format, ...) CP_PRINTF(3, 4);

#define log_error(log, ...) log_at(log, LOG_ERROR, __VA_ARGS__)
#define log_warn(log, ...) log_at(log, LOG_WARN, __VA_ARGS__)
#define log_info(log, ...) log_at(log, LOG_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_at(log, LOG_DEBUG, __VA_ARGS__)
#define log_trace(log, ...) log_at(log, LOG_TRACE, __VA_ARGS__)

#endif

#include "daemon/log.h"

#include "proto/json.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

/* Up to this much a pipe takes at once or not at all (PIPE_BUF), hence without blocking. */
#define LOG_LINE_MAX 4096

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};
static const char *const format_names[] = {"text", "json"};

/* $JOURNAL_STREAM names the device and inode of the stream that journald reads (systemd.exec(5)).
 */
static bool is_journal(const struct stat *st)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && dev == st->st_dev &&
           ino == st->st_ino;
}

void log_init(struct log *log, int fd)
{
    struct stat st;
    bool known = fstat(fd, &st) == 0;
    *log = (struct log){.fd = fd, .level = LOG_INFO, .format = LOG_TEXT};
    log->may_block = !known || (!S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode));
    log->journal = known && is_journal(&st);
}

void log_set(struct log *log, enum log_level level, enum log_format format)
{
    log->level = level;
    log->format = format;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

static int parse(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return (int)i;
    return -1;
}

int log_level_parse(const char *name)
{
    return parse(name, level_names, ARRAY_LEN(level_names));
}

int log_format_parse(const char *name)
{
    return parse(name, format_names, ARRAY_LEN(format_names));
}

static bool ready(const struct log *log)
{
    struct pollfd p = {.fd = log->fd, .events = POLLOUT};
    return log->may_block || (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT));
}

/* Bytes that would break the line, or the JSON string, are written as escapes. */
static size_t escape(char *to, size_t room, const char *from, bool json)
{
    size_t n = 0;
    for (; *from && n + 7 < room; from++) {
        unsigned char ch = (unsigned char)*from;
        if (ch < 0x20 || ch == 0x7f)
            n += (size_t)snprintf(to + n, room - n, json ? "\\u%04x" : "\\x%02x", ch);
        else if (json && (ch == '"' || ch == '\\'))
            n += (size_t)snprintf(to + n, room - n, "\\%c", ch);
        else
            to[n++] = (char)ch;
    }
    to[n] = '\0';
    return n;
}

void log_stamp(char *to, size_t n)
{
    struct timespec now;
    struct tm tm;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    size_t len = strftime(to, n, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(to + len, n - len, ".%03ldZ", now.tv_nsec / 1000000);
}

static bool write_line(struct log *log, enum log_level level, const char *message)
{
    char line[LOG_LINE_MAX], text[LOG_LINE_MAX - 128], when[40];
    bool json = log->format == LOG_JSON;
    (void)escape(text, sizeof(text), message, json);
    json_clean_text(text);
    log_stamp(when, sizeof(when));
    /* Of syslog(3): err, warning, info, debug, debug. */
    static const int priorities[] = {3, 4, 6, 7, 7};
    if (log->journal && !json)
        (void)snprintf(when, sizeof(when), "<%d>", priorities[level]);
    int n = json ? snprintf(line, sizeof(line), "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":\"%s\"}\n",
                            when, level_names[level], text)
                 : snprintf(line, sizeof(line), "%s%s%-5s %s\n", when, log->journal ? "" : " ",
                            level_names[level], text);
    bool written = ready(log) && write(log->fd, line, (size_t)n) == n;
    log->dropped += !written;
    return written;
}

void log_at(struct log *log, enum log_level level, const char *format, ...)
{
    char message[LOG_LINE_MAX - 256];
    va_list args;
    if (level > log->level)
        return;
    if (log->dropped && ready(log)) {
        unsigned long dropped = log->dropped;
        (void)snprintf(message, sizeof(message),
                       "%lu log lines lost: stderr was not read, or its disk is full", dropped);
        log->dropped = write_line(log, LOG_WARN, message) ? 0 : dropped;
    }
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    (void)write_line(log, level, message);
}

#include "daemon/log.h"

#include "proto/json.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

/* Up to this much a pipe takes at once or not at all (PIPE_BUF), hence without blocking. */
#define LOG_LINE_MAX 4096
/* Of that, what a line is about. */
#define LOG_FIELDS_MAX 512

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

/* As escape, for one member; cut, and fit for JSON. */
static size_t put_text(char *to, size_t room, const char *name, const char *value)
{
    char text[128];
    (void)escape(text, sizeof(text), value, true);
    json_clean_text(text);
    return (size_t)snprintf(to, room, ",\"%s\":\"%s\"", name, text);
}

static size_t put_number(char *to, size_t room, const char *name, uint64_t value)
{
    return (size_t)snprintf(to, room, ",\"%s\":%llu", name, (unsigned long long)value);
}

/* The members of what there is; there is room for all. */
static void put_fields(char *to, size_t room, const struct log_fields *f)
{
    size_t n = 0;
    to[0] = '\0';
    if (f->client)
        n += put_number(to + n, room - n, "client", f->client);
    if (f->worker)
        n += put_number(to + n, room - n, "worker", f->worker);
    if (f->thread)
        n += put_text(to + n, room - n, "thread", f->thread);
    if (f->how)
        n += put_text(to + n, room - n, "how", f->how);
    if (f->queued) {
        n += put_number(to + n, room - n, "wait_ms", f->wait_ms);
        n += put_number(to + n, room - n, "queue_length", f->queue_length);
    }
    if (f->left_out)
        (void)put_number(to + n, room - n, "left_out", f->left_out);
}

static int put_json(char *to, size_t room, enum log_level level, int priority, const char *when,
                    const struct log_fields *f, const char *text)
{
    char fields[LOG_FIELDS_MAX];
    put_fields(fields, sizeof(fields), f);
    return snprintf(to, room, "{\"ts\":\"%s\",\"level\":\"%s\",\"PRIORITY\":%d,\"msg\":\"%s\"%s}\n",
                    when, level_names[level], priority, text, fields);
}

static bool write_line(struct log *log, enum log_level level, const struct log_fields *f,
                       const char *message)
{
    char line[LOG_LINE_MAX], text[LOG_LINE_MAX - LOG_FIELDS_MAX - 128], when[40];
    bool json = log->format == LOG_JSON;
    (void)escape(text, sizeof(text), message, json);
    json_clean_text(text);
    log_stamp(when, sizeof(when));
    /* Of syslog(3): err, warning, info, debug, debug. */
    static const int priorities[] = {3, 4, 6, 7, 7};
    if (log->journal && !json)
        (void)snprintf(when, sizeof(when), "<%d>", priorities[level]);
    int n = json ? put_json(line, sizeof(line), level, priorities[level], when, f, text)
                 : snprintf(line, sizeof(line), "%s%s%-5s %s\n", when, log->journal ? "" : " ",
                            level_names[level], text);
    bool written = ready(log) && write(log->fd, line, (size_t)n) == n;
    log->dropped += !written;
    return written;
}

static uint64_t clock_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* NULL for what is not limited: what somebody has asked for by the level, and what there is no
 * place for. */
static struct log_site *site_of(struct log *log, enum log_level level, const char *format)
{
    for (size_t i = 0; level <= LOG_INFO && i < LOG_SITES; i++) {
        struct log_site *site = &log->sites[i];
        if (site->format == format)
            return site;
        if (!site->format) {
            *site = (struct log_site){.format = format, .level = level, .since = clock_ms()};
            return site;
        }
    }
    return NULL;
}

/* One more line than it may have in this while: to be left out. */
static bool is_one_too_many(struct log *log, struct log_site *site)
{
    if (clock_ms() - site->since >= LOG_SITE_MS) {
        site->since = clock_ms();
        site->lines = 0;
    }
    if (site->lines < LOG_SITE_LINES) {
        site->lines++;
        return false;
    }
    site->left_out++;
    log->left_out = true;
    return true;
}

void log_left_out(struct log *log, bool all)
{
    char message[sizeof(log->sites[0].example) + 128];
    uint64_t now = clock_ms();
    log->left_out = false;
    for (size_t i = 0; i < LOG_SITES && log->sites[i].format; i++) {
        struct log_site *site = &log->sites[i];
        bool over = all || now - site->since >= LOG_SITE_MS;
        if (site->left_out && over) {
            (void)snprintf(message, sizeof(message),
                           "%lu more lines like this one were left out: %s", site->left_out,
                           site->example);
            (void)write_line(log, site->level, &(struct log_fields){.left_out = site->left_out},
                             message);
            site->left_out = 0;
        }
        log->left_out = log->left_out || site->left_out;
    }
}

static void tell_dropped(struct log *log)
{
    char message[128];
    unsigned long dropped = log->dropped;
    if (!dropped || !ready(log))
        return;
    (void)snprintf(message, sizeof(message),
                   "%lu log lines lost: stderr was not read, or its disk is full", dropped);
    log->dropped = write_line(log, LOG_WARN, &(struct log_fields){0}, message) ? 0 : dropped;
}

void log_event(struct log *log, enum log_level level, const struct log_fields *fields,
               const char *format, ...)
{
    char message[LOG_LINE_MAX - 256];
    va_list args;
    if (level > log->level)
        return;
    struct log_site *site = site_of(log, level, format);
    bool told_before = site && site->left_out;
    if (site && is_one_too_many(log, site) && told_before)
        return;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (site && site->left_out && !told_before) {
        (void)snprintf(site->example, sizeof(site->example), "%.*s", (int)sizeof(site->example) - 1,
                       message);
        return;
    }
    tell_dropped(log);
    if (log->left_out)
        log_left_out(log, false);
    (void)write_line(log, level, fields, message);
}

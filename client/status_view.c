#include "client/status_view.h"

#include "client/headline.h"
#include "client/human.h"
#include "client/problems_view.h"
#include "client/table.h"
#include "client/text.h"

#include <assert.h>

struct style {
    const char *bad, *warn, *good, *bold, *end;
};

static const struct style plain = {"", "", "", "", ""};
static const struct style coloured = {"\033[31m", "\033[33m", "\033[32m", "\033[1m", "\033[0m"};

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static double number(const cJSON *object, const char *name)
{
    const cJSON *value = member(object, name);
    return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

/* A member as a heap string that is safe to print, "-" where there is none. */
static char *shown(const cJSON *value)
{
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);
    if (!to)
        return NULL;
    if (cJSON_IsString(value) && *value->valuestring)
        text_show(to, slice_str(value->valuestring), " ");
    else if (cJSON_IsNumber(value))
        fprintf(to, "%.0f", value->valuedouble);
    else
        fputc('-', to);
    if (fclose(to) == 0)
        return text;
    free(text);
    return NULL;
}

static char *written(void (*write)(FILE *, double), const cJSON *value)
{
    char *text = NULL;
    size_t n;
    FILE *to = cJSON_IsNumber(value) ? open_memstream(&text, &n) : NULL;
    if (!to)
        return strdup("-");
    write(to, value->valuedouble);
    if (fclose(to) == 0)
        return text;
    free(text);
    return NULL;
}

static void print_headline(FILE *to, const cJSON *status, const struct style *s)
{
    const char *const moods[] = {[MOOD_GOOD] = s->good, [MOOD_WARN] = s->warn, [MOOD_BAD] = s->bad};
    fputs(moods[headline_mood(status)], to);
    headline_print(to, status);
    fprintf(to, "%s\n", s->end);
}

/* What is wrong, before anything else. */
static void print_troubles(FILE *to, const cJSON *status, const struct style *s)
{
    const cJSON *pool = member(status, "pool"), *queue = member(status, "queue");
    double down = number(pool, "down"), size = number(pool, "size");
    if (cJSON_IsFalse(member(status, "accepting")))
        fprintf(to, "%sThe daemon is stopping and takes no new work.%s\n", s->bad, s->end);
    if (down > 0 && down >= size)
        fprintf(to,
                "%sNo worker can be had: codex does not start or keeps exiting. The daemon's log "
                "tells what it said.%s\n",
                s->bad, s->end);
    else if (down > 0)
        fprintf(to,
                "%s%.0f of %.0f workers %s down: codex does not start or keeps exiting. The "
                "daemon's log tells what it said.%s\n",
                s->warn, down, size, down == 1 ? "is" : "are", s->end);
    if (number(queue, "max") > 0 && number(queue, "length") >= number(queue, "max"))
        fprintf(to, "%sThe queue is full: new requests are refused.%s\n", s->bad, s->end);
}

/* How many of a kind there were, and how long they took. */
static void print_times(FILE *to, const char *name, const cJSON *times, const struct style *s)
{
    static const char *const marks[] = {"p50", "p95", "p99", "max"};
    fprintf(to, "%s%s%s    %.0f so far", s->bold, name, s->end, number(times, "count"));
    for (size_t i = 0; number(times, "count") > 0 && i < ARRAY_LEN(marks); i++) {
        fprintf(to, "%s %s ", i ? "," : ":", marks[i]);
        human_duration(to, number(times, marks[i]));
    }
    fputc('\n', to);
}

/* What administrators have asked for that is not done yet. */
static void print_steering(FILE *to, const cJSON *steering, const struct style *s)
{
    const cJSON *each;
    cJSON_ArrayForEach(each, steering)
    {
        _cleanup_free_ char *method = shown(member(each, "method"));
        fprintf(to, "%sasked%s    %s by client %.0f, for ", s->bold, s->end, method ? method : "-",
                number(each, "client"));
        human_duration(to, number(each, "sinceMs"));
        fputc('\n', to);
    }
}

/* What the Codex that runs cannot do. */
static void print_limits(FILE *to, const cJSON *limits, const struct style *s)
{
    const cJSON *each;
    cJSON_ArrayForEach(each, limits)
    {
        _cleanup_free_ char *words = shown(each);
        fprintf(to, "%slimit%s    %s\n", s->bold, s->end, words ? words : "-");
    }
}

static void print_summary(FILE *to, const cJSON *status, const struct style *s)
{
    const cJSON *pool = member(status, "pool"), *queue = member(status, "queue");
    const cJSON *codex = member(status, "codex");
    _cleanup_free_ char *version = shown(member(status, "version"));
    _cleanup_free_ char *command = shown(member(codex, "command"));
    _cleanup_free_ char *codex_version = shown(member(codex, "version"));
    fprintf(to, "\n%sdaemon%s   codex-poold %s, pid %.0f, up ", s->bold, s->end,
            version ? version : "-", number(status, "pid"));
    human_duration(to, number(status, "uptimeMs"));
    fprintf(to, "; codex %s (%s)\n", codex_version ? codex_version : "-", command ? command : "-");
    print_limits(to, member(codex, "limits"), s);
    fprintf(to,
            "%spool%s     %.0f workers at most: %.0f ready, %.0f busy, %.0f starting, %.0f down\n",
            s->bold, s->end, number(pool, "size"), number(pool, "ready"), number(pool, "busy"),
            number(pool, "starting"), number(pool, "down"));
    if (number(pool, "parked") > 0)
        fprintf(to, "         %.0f of the busy ones %s parked and %s not count\n",
                number(pool, "parked"), number(pool, "parked") > 1 ? "are" : "is",
                number(pool, "parked") > 1 ? "do" : "does");
    fprintf(to, "%squeue%s    %.0f of %.0f waiting", s->bold, s->end, number(queue, "length"),
            number(queue, "max"));
    if (number(queue, "length") > 0) {
        fputs(", the oldest for ", to);
        human_duration(to, number(queue, "oldestWaitMs"));
    }
    fputc('\n', to);
    print_times(to, "waits", member(status, "waitMs"), s);
    if (number(member(status, "moveMs"), "count") > 0)
        print_times(to, "moves", member(status, "moveMs"), s);
    print_steering(to, member(status, "steering"), s);
}

/* What Codex said last; where its client has yet to answer it, that is what it waits for. */
static char *last_event(const cJSON *worker)
{
    return number(worker, "unansweredAsks") > 0
               ? strdup("waits for an answer")
               : shown(member(member(worker, "lastEvent"), "method"));
}

static void add_worker(struct table *t, const cJSON *worker)
{
    const cJSON *turn = member(worker, "turn");
    table_cell(t, shown(member(worker, "id")));
    table_cell(t, shown(member(worker, "state")));
    table_cell(t, shown(member(worker, "client")));
    table_cell(t, written(human_duration, member(turn, "runningMs")));
    table_cell(t, written(human_duration, member(turn, "lastEventMs")));
    table_cell(t, last_event(worker));
    table_cell(t, shown(member(worker, "threads")));
    table_cell(t, shown(member(worker, "streams")));
    table_cell(t, shown(member(worker, "restarts")));
    table_cell(t, written(human_bytes, member(worker, "rssBytes")));
    table_cell(t, shown(member(worker, "processes")));
    table_cell(t, written(human_duration, member(worker, "ageMs")));
    table_cell(t, shown(member(worker, "pid")));
    table_cell(t, shown(member(turn, "threadId")));
}

static void print_workers(FILE *to, const cJSON *workers, const struct style *s)
{
    static const char *const titles[] = {"WORKER",     "STATE",   "CLIENT",  "TURN",     "SILENT",
                                         "LAST EVENT", "THREADS", "STREAMS", "RESTARTS", "MEMORY",
                                         "PROCESSES",  "AGE",     "PID",     "THREAD"};
    static_assert(ARRAY_LEN(titles) <= TABLE_COLUMNS_MAX, "too many columns");
    struct table t;
    const cJSON *worker;
    table_init(&t, titles, ARRAY_LEN(titles), 0x1FDD);
    cJSON_ArrayForEach(worker, workers) add_worker(&t, worker);
    fputc('\n', to);
    if (cJSON_GetArraySize(workers) > 0)
        table_print(&t, to, s->bold, s->end);
    else
        fputs("no workers yet\n", to);
    table_deinit(&t);
}

/* How those that are down have failed. */
static void print_failures(FILE *to, const cJSON *workers, const struct style *s)
{
    const cJSON *worker;
    cJSON_ArrayForEach(worker, workers)
    {
        _cleanup_free_ char *error = shown(member(worker, "lastError"));
        const cJSON *state = member(worker, "state");
        if (cJSON_IsString(member(worker, "lastError")) && cJSON_IsString(state) &&
            strcmp(state->valuestring, "down") == 0)
            fprintf(to, "%sworker %.0f is down: %s%s\n", s->warn, number(worker, "id"),
                    error ? error : "-", s->end);
    }
}

/* What keeps a worker from being replaced. */
static void print_replacements(FILE *to, const cJSON *workers, const struct style *s)
{
    const cJSON *worker, *thread;
    cJSON_ArrayForEach(worker, workers)
    {
        const cJSON *replace = member(worker, "replace");
        _cleanup_free_ char *reason = shown(member(replace, "reason"));
        if (!cJSON_IsObject(replace))
            continue;
        fprintf(to, "%sworker %.0f is to be replaced: %s%s\n", s->warn, number(worker, "id"),
                reason ? reason : "-", s->end);
        cJSON_ArrayForEach(thread, member(replace, "threads"))
        {
            _cleanup_free_ char *id = shown(member(thread, "threadId"));
            _cleanup_free_ char *stays = shown(member(thread, "stays"));
            bool held = cJSON_IsString(member(thread, "stays"));
            fprintf(to, "  thread %s of client %.0f %s%s\n", id ? id : "-",
                    number(thread, "client"), held ? "stays: " : "is to move",
                    held && stays ? stays : "");
        }
    }
}

/* The ids of the workers that a client holds: "1, 2". */
static char *worker_ids(const cJSON *ids)
{
    char *text = NULL;
    size_t n;
    const cJSON *id;
    if (cJSON_GetArraySize(ids) == 0)
        return strdup("-");
    FILE *to = open_memstream(&text, &n);
    if (!to)
        return NULL;
    cJSON_ArrayForEach(id, ids)
        fprintf(to, "%s%.0f", id->prev && id != ids->child ? ", " : "", id->valuedouble);
    if (fclose(to) == 0)
        return text;
    free(text);
    return NULL;
}

/* Who waits for what. Beyond these a person counts on the summary. */
#define WAITERS_SHOWN 20

static const cJSON *client_name(const cJSON *clients, double id)
{
    const cJSON *client;
    cJSON_ArrayForEach(client, clients) if (number(client, "id") == id) return member(client,
                                                                                      "name");
    return NULL;
}

static void add_waiter(struct table *t, const cJSON *waiter, const cJSON *clients)
{
    const cJSON *worker = member(waiter, "worker"), *why = member(waiter, "why");
    table_cell(t, shown(member(waiter, "position")));
    table_cell(t, shown(member(waiter, "client")));
    table_cell(t, shown(client_name(clients, number(waiter, "client"))));
    table_cell(t, shown(member(waiter, "method")));
    table_cell(t, written(human_duration, member(waiter, "waitedMs")));
    if (cJSON_IsNumber(worker))
        table_printf(t, "worker %.0f", worker->valuedouble);
    else
        table_printf(t, "any worker");
    table_cell(t, shown(member(waiter, "threadId")));
    table_cell(t, shown(cJSON_IsString(why) ? why : member(waiter, "stays")));
}

static void print_waiters(FILE *to, const cJSON *status, const struct style *s)
{
    static const char *const titles[] = {"PLACE",  "CLIENT", "NAME",   "REQUEST",
                                         "WAITED", "FOR",    "THREAD", "WHY IT WAITS"};
    const cJSON *waiters = member(status, "waiters");
    double length = number(member(status, "queue"), "length");
    struct table t;
    const cJSON *waiter;
    int shown_rows = 0;
    table_init(&t, titles, ARRAY_LEN(titles), 0x13);
    cJSON_ArrayForEach(waiter, waiters)
    {
        if (shown_rows == WAITERS_SHOWN)
            break;
        add_waiter(&t, waiter, member(status, "clients"));
        shown_rows++;
    }
    fputc('\n', to);
    table_print(&t, to, s->bold, s->end);
    if (length > shown_rows)
        fprintf(to, "and %.0f more\n", length - shown_rows);
    table_deinit(&t);
}

static void print_clients(FILE *to, const cJSON *clients, const struct style *s)
{
    static const char *const titles[] = {"CLIENT", "NAME", "WORKERS",  "WAITING",
                                         "PID",    "UID",  "CONNECTED"};
    struct table t;
    const cJSON *client;
    table_init(&t, titles, ARRAY_LEN(titles), 0x79);
    cJSON_ArrayForEach(client, clients)
    {
        table_cell(&t, shown(member(client, "id")));
        table_cell(&t, shown(member(client, "name")));
        table_cell(&t, worker_ids(member(client, "workers")));
        table_cell(&t, shown(member(client, "waiting")));
        table_cell(&t, shown(member(client, "pid")));
        table_cell(&t, shown(member(client, "uid")));
        table_cell(&t, written(human_duration, member(client, "connectedMs")));
    }
    fputc('\n', to);
    table_print(&t, to, s->bold, s->end);
    table_deinit(&t);
}

static char *thread_ids(const cJSON *ids)
{
    int n = cJSON_GetArraySize(ids);
    _cleanup_free_ char *first = shown(cJSON_GetArrayItem(ids, 0));
    char *text = NULL;
    if (n < 2)
        return take_ptr(first);
    return asprintf(&text, "%s and %d more", first ? first : "-", n - 1) < 0 ? NULL : text;
}

/* Whose connection has gone, to come back. */
static void print_parked(FILE *to, const cJSON *parked, const struct style *s)
{
    static const char *const titles[] = {"PARKED", "NAME",    "UID",    "SINCE",
                                         "LEFT",   "WORKERS", "THREAD", "WHY"};
    struct table t;
    const cJSON *each;
    table_init(&t, titles, ARRAY_LEN(titles), 0x1C);
    cJSON_ArrayForEach(each, parked)
    {
        table_printf(&t, "client %.0f", number(each, "client"));
        table_cell(&t, shown(member(each, "name")));
        table_cell(&t, shown(member(each, "uid")));
        table_cell(&t, written(human_duration, member(each, "parkedMs")));
        table_cell(&t, written(human_duration, member(each, "leftMs")));
        table_cell(&t, worker_ids(member(each, "workers")));
        table_cell(&t, thread_ids(member(each, "threadIds")));
        table_cell(&t, shown(member(each, "why")));
    }
    fputc('\n', to);
    table_print(&t, to, s->bold, s->end);
    table_deinit(&t);
}

void status_view_print(FILE *to, const cJSON *status, bool colour)
{
    const struct style *s = colour ? &coloured : &plain;
    print_headline(to, status, s);
    if (!problems_view_print(to, status, s->bad, s->end))
        print_troubles(to, status, s); /* of a daemon that does not tell them */
    print_summary(to, status, s);
    print_workers(to, member(status, "workers"), s);
    print_failures(to, member(status, "workers"), s);
    print_replacements(to, member(status, "workers"), s);
    if (cJSON_GetArraySize(member(status, "waiters")) > 0)
        print_waiters(to, status, s);
    if (cJSON_GetArraySize(member(status, "clients")) > 0)
        print_clients(to, member(status, "clients"), s);
    if (cJSON_GetArraySize(member(status, "parked")) > 0)
        print_parked(to, member(status, "parked"), s);
}

#include "client/top_rows.h"

#include "client/fields.h"
#include "client/human.h"

#include <assert.h>
#include <stdarg.h>

enum {
    W_ID,
    W_STATE,
    W_CLIENT,
    W_TURN,
    W_SILENT,
    W_EVENT,
    W_MEMORY,
    W_PROCESSES,
    W_THREAD,
    W_COUNT
};
enum { Q_PLACE, Q_CLIENT, Q_REQUEST, Q_WAITED, Q_FOR, Q_THREAD, Q_WHY, Q_COUNT };

const struct column top_worker_columns[] = {
    [W_ID] = {"WORKER", 6, 6, 100, true, false},
    [W_STATE] = {"STATE", 5, 8, 95, false, false},
    [W_CLIENT] = {"CLIENT", 8, 24, 80, false, false},
    [W_TURN] = {"TURN", 7, 7, 90, true, false},
    [W_SILENT] = {"SILENT", 7, 7, 60, true, false},
    [W_EVENT] = {"LAST EVENT", 12, 40, 50, false, false},
    [W_MEMORY] = {"MEMORY", 7, 7, 70, true, false},
    [W_PROCESSES] = {"PROCS", 5, 5, 30, true, false},
    [W_THREAD] = {"THREAD", 9, 36, 40, false, true},
};
const size_t top_n_worker_columns = ARRAY_LEN(top_worker_columns);

const struct column top_waiter_columns[] = {
    [Q_PLACE] = {"PLACE", 6, 6, 100, true, false},
    [Q_CLIENT] = {"CLIENT", 8, 24, 80, false, false},
    [Q_REQUEST] = {"REQUEST", 12, 22, 85, false, false},
    [Q_WAITED] = {"WAITED", 7, 7, 90, true, false},
    [Q_FOR] = {"FOR", 8, 10, 75, false, false},
    [Q_THREAD] = {"THREAD", 9, 36, 40, false, true},
    [Q_WHY] = {"WHY", 16, 90, 65, false, false},
};
const size_t top_n_waiter_columns = ARRAY_LEN(top_waiter_columns);

static_assert(W_COUNT <= LAYOUT_COLUMNS_MAX && Q_COUNT <= LAYOUT_COLUMNS_MAX, "room for columns");

static void human(char *to, size_t n, void (*write)(FILE *, double), double value)
{
    (void)snprintf(to, n, "-");
    FILE *file = value >= 0 ? fmemopen(to, n, "w") : NULL;
    if (!file)
        return;
    write(file, value);
    (void)fclose(file);
}

void top_duration(char *to, size_t n, double ms)
{
    human(to, n, human_duration, ms);
}

static void put_number(char *to, double value)
{
    (void)snprintf(to, ROW_CELL_MAX, value < 0 ? "-" : "%.0f", value);
}

static void put_text(char *to, const char *text)
{
    (void)snprintf(to, ROW_CELL_MAX, "%s", text ? text : "-");
}

static void put_client(char *to, unsigned id, const char *name)
{
    (void)snprintf(to, ROW_CELL_MAX, id ? "%u%s%s" : "-", id, name ? " " : "", name ? name : "");
}

/* Where every event has the same first word, the others have to tell. */
static void put_event(char *to, const struct top_worker *w)
{
    const char *event = w->event;
    if (w->unanswered > 0)
        event = "waits for an answer";
    else if (w->error && text_is(w->state, "down"))
        event = w->error;
    else if (event && strncmp(event, "item/", 5) == 0)
        event += 5;
    put_text(to, event);
}

static enum mood mood_of(const struct top_worker *w)
{
    if (text_is(w->state, "down"))
        return MOOD_BAD;
    bool well = text_is(w->state, "busy") || text_is(w->state, "idle");
    return well && w->unanswered <= 0 ? MOOD_GOOD : MOOD_WARN;
}

void top_worker_row(const struct top_worker *w, struct row *row)
{
    row->mood = mood_of(w);
    put_number(row->cells[W_ID], w->id);
    put_text(row->cells[W_STATE], w->state);
    put_client(row->cells[W_CLIENT], w->client, w->client_name);
    top_duration(row->cells[W_TURN], ROW_CELL_MAX, w->turn_ms);
    top_duration(row->cells[W_SILENT], ROW_CELL_MAX, w->silent_ms);
    put_event(row->cells[W_EVENT], w);
    human(row->cells[W_MEMORY], ROW_CELL_MAX, human_bytes, w->processes > 0 ? w->rss_bytes : -1);
    put_number(row->cells[W_PROCESSES], w->processes > 0 ? w->processes : -1);
    put_text(row->cells[W_THREAD], w->thread);
}

void top_waiter_row(const struct top_waiter *w, struct row *row)
{
    row->mood = MOOD_GOOD;
    put_number(row->cells[Q_PLACE], w->place);
    put_client(row->cells[Q_CLIENT], w->client, w->client_name);
    put_text(row->cells[Q_REQUEST], w->method);
    top_duration(row->cells[Q_WAITED], ROW_CELL_MAX, w->waited_ms);
    (void)snprintf(row->cells[Q_FOR], ROW_CELL_MAX, w->worker ? "worker %u" : "any", w->worker);
    put_text(row->cells[Q_THREAD], w->thread);
    put_text(row->cells[Q_WHY], w->stays ? w->stays : w->why);
}

/* Appends to a text of n bytes. */
static void add(char *to, size_t n, const char *format, ...) CP_PRINTF(3, 4);
static void add(char *to, size_t n, const char *format, ...)
{
    size_t at = strlen(to);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(to + at, n - at, format, args);
    va_end(args);
}

/* What a lease is for that shows no turn. */
static const char *lease_words(const char *lease)
{
    static const struct {
        const char *lease, *words;
    } all[] = {
        {"request", "a request is not answered"},
        {"opened", "a thread was opened and no turn has begun"},
        {"acquire", "held by pool/acquire"},
        {"pinned", "kept for what its client left there"},
        {"promise", "a turn is to begin by itself"},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (text_is(lease, all[i].lease))
            return all[i].words;
    return NULL;
}

static void add_turn(const struct top_worker *w, char *to, size_t n)
{
    char since[32];
    const char *lease = lease_words(w->lease);
    if (w->thread)
        add(to, n, ": thread %s, turn %s", w->thread, w->turn ? w->turn : "-");
    if (w->unanswered > 0)
        add(to, n, "; its client has yet to answer");
    if (lease) {
        top_duration(since, sizeof(since), w->held_ms);
        add(to, n, ": %s (%s)", lease, since);
    }
    if (w->event) {
        top_duration(since, sizeof(since), w->event_ms);
        add(to, n, "; last event %s, %s ago", w->event, since);
    }
}

void top_worker_details(const struct top_worker *w, char *to, size_t n)
{
    char age[32];
    to[0] = '\0';
    add(to, n, "worker %u", w->id);
    add_turn(w, to, n);
    if (w->retire)
        add(to, n, "; to be replaced: %s", w->retire);
    if (w->error)
        add(to, n, "; last failure: %s", w->error);
    if (w->pid > 0) {
        top_duration(age, sizeof(age), w->age_ms);
        add(to, n, "; pid %.0f, codex %s, up %s", w->pid, w->version ? w->version : "-", age);
    }
    add(to, n, "; %.0f threads, %.0f streams, %.0f restarts", w->threads < 0 ? 0 : w->threads,
        w->streams < 0 ? 0 : w->streams, w->restarts < 0 ? 0 : w->restarts);
}

void top_waiter_details(const struct top_waiter *w, char *to, size_t n)
{
    to[0] = '\0';
    add(to, n, "client %u waits with %s (id %s): %s", w->client, w->method ? w->method : "-",
        w->id[0] ? w->id : "-",
        w->why     ? w->why
        : w->stays ? w->stays
                   : "-");
    if (w->thread)
        add(to, n, "; thread %s", w->thread);
}

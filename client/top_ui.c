#include "client/top_ui.h"

#include "client/fields.h"

#include <stdarg.h>

#define PAGE 10

void ui_init(struct top_ui *ui)
{
    *ui = (struct top_ui){0};
}

static void drop_act(struct top_ui *ui)
{
    cJSON_Delete(ui->act.params);
    ui->act = (struct ui_act){0};
}

void ui_deinit(struct top_ui *ui)
{
    drop_act(ui);
}

void ui_say(struct top_ui *ui, enum mood mood, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(ui->message, sizeof(ui->message), format, args);
    va_end(args);
    ui->message_mood = mood;
}

static size_t rows(const struct top_model *m)
{
    return m->n_workers + m->n_waiters;
}

static void identify(char *to, size_t n, const struct top_model *m, size_t row)
{
    to[0] = '\0';
    if (row < m->n_workers)
        (void)snprintf(to, n, "worker %u", m->workers[row].id);
    else if (row < rows(m))
        (void)snprintf(to, n, "client %u %s", m->waiters[row - m->n_workers].client,
                       m->waiters[row - m->n_workers].id);
}

static void select_row(struct top_ui *ui, const struct top_model *m, size_t row)
{
    size_t n = rows(m);
    ui->selected = row < n ? row : n ? n - 1 : 0;
    identify(ui->identity, sizeof(ui->identity), m, ui->selected);
}

void ui_follow(struct top_ui *ui, const struct top_model *m)
{
    char identity[sizeof(ui->identity)];
    for (size_t i = 0; ui->identity[0] && i < rows(m); i++) {
        identify(identity, sizeof(identity), m, i);
        if (strcmp(identity, ui->identity) == 0) {
            ui->selected = i;
            return;
        }
    }
    select_row(ui, m, ui->selected);
}

const struct top_worker *ui_worker(const struct top_ui *ui, const struct top_model *m)
{
    return ui->selected < m->n_workers ? &m->workers[ui->selected] : NULL;
}

const struct top_waiter *ui_waiter(const struct top_ui *ui, const struct top_model *m)
{
    bool waits = ui->selected >= m->n_workers && ui->selected < rows(m);
    return waits ? &m->waiters[ui->selected - m->n_workers] : NULL;
}

/* {NAME: VALUE}; NULL when out of memory: what lacks its parameter may mean something else. */
static cJSON *params_of(const char *name, cJSON *value)
{
    cJSON *params = cJSON_CreateObject();
    if (value && params && cJSON_AddItemToObject(params, name, value))
        return params;
    cJSON_Delete(value);
    cJSON_Delete(params);
    return NULL;
}

/* Asks whether it is really meant. Takes `params` over; NULL: out of memory. */
static void confirm(struct top_ui *ui, const char *method, cJSON *params, const char *how,
                    const char *format, ...) CP_PRINTF(5, 6);
static void confirm(struct top_ui *ui, const char *method, cJSON *params, const char *how,
                    const char *format, ...)
{
    va_list args;
    drop_act(ui);
    if (!params) {
        ui_say(ui, MOOD_BAD, "out of memory");
        return;
    }
    ui->act = (struct ui_act){.method = method, .params = params, .how = how};
    va_start(args, format);
    (void)vsnprintf(ui->act.what, sizeof(ui->act.what), format, args);
    va_end(args);
    ui->mode = UI_CONFIRM;
}

/* " (its name)", or nothing. */
static const char *in_brackets(const char *name, char *room, size_t n)
{
    room[0] = '\0';
    if (name)
        (void)snprintf(room, n, " (%s)", name);
    return room;
}

static void ask_interrupt(struct top_ui *ui, const struct top_model *m)
{
    char name[160];
    const struct top_worker *w = ui_worker(ui, m);
    if (!w || !w->thread) {
        ui_say(ui, MOOD_WARN, "no turn runs there to be interrupted");
        return;
    }
    cJSON *params = params_of("threadId", cJSON_CreateString(w->thread));
    confirm(ui, "pool/interrupt", params, "", "interrupt the turn of client %u%s on worker %u",
            w->client, in_brackets(w->client_name, name, sizeof(name)), w->id);
}

static void ask_kick(struct top_ui *ui, const struct top_model *m)
{
    char name[160];
    const struct top_worker *w = ui_worker(ui, m);
    const struct top_waiter *q = ui_waiter(ui, m);
    unsigned client = w ? w->client : q ? q->client : 0;
    if (!client) {
        ui_say(ui, MOOD_WARN, "no client is there to be dropped");
        return;
    }
    cJSON *params = params_of("client", cJSON_CreateNumber(client));
    confirm(ui, "pool/kick", params, ", and end all it does", "drop client %u%s", client,
            in_brackets(w ? w->client_name : q->client_name, name, sizeof(name)));
}

static void ask_recycle(struct top_ui *ui, const struct top_model *m)
{
    const struct top_worker *w = ui_worker(ui, m);
    if (!w) {
        ui_say(ui, MOOD_WARN, "select a worker to be recycled");
        return;
    }
    cJSON *params = params_of("worker", cJSON_CreateNumber(w->id));
    confirm(ui, "pool/recycle", params, w->thread ? ", when its turn has ended" : "",
            "recycle worker %u", w->id);
}

static void ask_pause(struct top_ui *ui, const struct top_model *m)
{
    if (top_model_paused(m))
        confirm(ui, "pool/resume", cJSON_CreateObject(), "", "resume the pool");
    else
        confirm(ui, "pool/pause", cJSON_CreateObject(),
                ": what runs goes on, nobody else gets a worker", "pause the pool");
}

static void move(struct top_ui *ui, const struct top_model *m, long by)
{
    long row = (long)ui->selected + by;
    select_row(ui, m, row < 0 ? 0 : (size_t)row);
}

static enum ui_effect answer(struct top_ui *ui, int key)
{
    ui->mode = UI_ROWS;
    if (key == 'y' || key == 'Y')
        return UI_ACT;
    ui_say(ui, MOOD_GOOD, "left as it was");
    drop_act(ui);
    return UI_DRAW;
}

static void act_key(struct top_ui *ui, const struct top_model *m, int key)
{
    static const struct {
        int key;
        void (*ask)(struct top_ui *ui, const struct top_model *m);
    } asks[] = {{'i', ask_interrupt}, {'k', ask_kick}, {'r', ask_recycle}, {'p', ask_pause}};
    for (size_t i = 0; m->status && i < ARRAY_LEN(asks); i++)
        if (asks[i].key == key)
            asks[i].ask(ui, m);
}

static void move_key(struct top_ui *ui, const struct top_model *m, int key)
{
    static const struct {
        int key;
        long by;
    } moves[] = {{UI_KEY_UP, -1},          {UI_KEY_DOWN, 1},          {UI_KEY_PAGE_UP, -PAGE},
                 {UI_KEY_PAGE_DOWN, PAGE}, {UI_KEY_HOME, -INT32_MAX}, {UI_KEY_END, INT32_MAX}};
    for (size_t i = 0; i < ARRAY_LEN(moves); i++)
        if (moves[i].key == key)
            move(ui, m, moves[i].by);
}

enum ui_effect ui_key(struct top_ui *ui, struct top_model *m, int key)
{
    if (ui->mode == UI_CONFIRM)
        return answer(ui, key);
    ui->message[0] = '\0';
    if (ui->mode == UI_HELP) {
        ui->mode = UI_ROWS;
        return UI_DRAW;
    }
    if (key == 'q' || key == 'Q')
        return UI_QUIT;
    if (key == '?' || key == 'h') {
        ui->mode = UI_HELP;
    } else if (key == 's') {
        ui->sort = (ui->sort + 1) % SORTS;
        top_model_sort(m, ui->sort);
        ui_follow(ui, m);
    } else {
        move_key(ui, m, key);
        act_key(ui, m, key);
    }
    return UI_DRAW;
}

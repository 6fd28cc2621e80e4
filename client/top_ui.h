/* What keys do: which row is selected, what is to be done with it, once that is confirmed. */
#ifndef CLIENT_TOP_UI_H
#define CLIENT_TOP_UI_H

#include "client/top_model.h"

/* Keys are characters, or these. */
enum ui_key {
    UI_KEY_UP = 0x110000,
    UI_KEY_DOWN,
    UI_KEY_PAGE_UP,
    UI_KEY_PAGE_DOWN,
    UI_KEY_HOME,
    UI_KEY_END,
    UI_KEY_OTHER,
};

enum ui_effect {
    UI_DRAW, /* something may look different */
    UI_QUIT,
    UI_ACT, /* `act` of the ui is to be sent: its owner is the caller from now on */
};

/* A request to the daemon. */
struct ui_act {
    const char *method; /* NULL: none */
    cJSON *params;      /* owned */
    char what[256];     /* in words: "recycle worker 1" */
    const char *how;    /* of it, for who confirms it: ", when its turn has ended"; "" */
};

enum ui_mode {
    UI_ROWS,
    UI_CONFIRM, /* `act` is done if y is pressed */
    UI_HELP,
};

struct top_ui {
    enum ui_mode mode;
    enum top_sort sort;
    size_t selected;    /* of the rows: workers, then who waits */
    char identity[128]; /* of what is selected, so that it stays so where rows move; "": nothing */
    struct ui_act act;
    char message[512]; /* "": none */
    enum mood message_mood;
};

void ui_init(struct top_ui *ui);
void ui_deinit(struct top_ui *ui);

/* After the model has changed: finds the selected row again, or one in its place. */
void ui_follow(struct top_ui *ui, const struct top_model *m);

/* NULL where the selected row is no worker, no waiter. */
const struct top_worker *ui_worker(const struct top_ui *ui, const struct top_model *m);
const struct top_waiter *ui_waiter(const struct top_ui *ui, const struct top_model *m);

enum ui_effect ui_key(struct top_ui *ui, struct top_model *m, int key) CP_MUSTCHECK;

void ui_say(struct top_ui *ui, enum mood mood, const char *format, ...) CP_PRINTF(3, 4);

#endif

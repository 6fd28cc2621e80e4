#include "client/cmd.h"
#include "client/fields.h"
#include "client/session.h"
#include "client/top_draw.h"

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>

const char cmd_top_help[] =
    "Shows the workers and the queue on the whole terminal, again every second: what\n"
    "each worker does and for whom, who waits for what and why; and for the last\n"
    "minutes how many turns have ended and how long the longest wait was.\n"
    "\n"
    "  up, down       select a worker or somebody who waits: more of it is shown\n"
    "  s              sort the workers by another column\n"
    "  i, k, r        interrupt the turn, drop the client, recycle the worker\n"
    "  p              pause the pool, or resume it\n"
    "  ?, q           help, quit\n"
    "\n"
    "What changes something asks first and is for administrators. A daemon that goes\n"
    "away is awaited. Colours only where NO_COLOR is not set.\n"
    "\n"
    "exit: 0 quit, also by Ctrl-C; 64 no terminal; 69 no daemon there\n";

#define INTERVAL_MS 1000

struct top {
    struct top_view view;
    struct top_link link;
    int signals;
    int64_t due_ms;   /* when to ask the daemon again, or to look whether there is one */
    int64_t asked_ms; /* when it was asked that is not answered */
    double turns;     /* that had ended when it last answered; -1: none of this daemon's is known */
    double pid;
    int killed_by; /* 0: it is to go on, or quits by itself */
    bool quits;
};

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};

static int catch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(caught); i++)
        sigaddset(&set, caught[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void take_signal(struct top *t)
{
    struct signalfd_siginfo info;
    if (read(t->signals, &info, sizeof(info)) != sizeof(info))
        return;
    switch (info.ssi_signo) {
    case SIGWINCH:
    case SIGCONT: /* somebody else may have written to it */
        screen_resized(&t->view.screen);
        break;
    case SIGTSTP:
        screen_stop(&t->view.screen);
        break;
    case SIGINT:
        t->quits = true;
        break;
    default:
        t->killed_by = (int)info.ssi_signo;
        t->quits = true;
    }
}

static void out_of_memory(struct top *t)
{
    ui_say(&t->view.ui, MOOD_BAD, "out of memory");
}

static void act(struct top *t)
{
    struct top_ui *ui = &t->view.ui;
    if (t->link.fd < 0) {
        cJSON_Delete(ui->act.params);
        ui_say(ui, MOOD_BAD, "%s: no daemon", ui->act.what);
    } else if (link_ask(&t->link, ui->act.method, ui->act.params, ui->act.what) < 0) {
        out_of_memory(t);
    } else {
        ui_say(ui, MOOD_WARN, "%s: asked for, not done yet", ui->act.what);
    }
    ui->act = (struct ui_act){0};
    t->due_ms = 0;
}

/* False where the terminal is gone. */
static bool take_keys(struct top *t)
{
    int key, left = 0;
    if (ioctl(STDIN_FILENO, FIONREAD, &left) < 0 || left == 0)
        return false;
    while (!t->quits && (key = screen_key()) >= 0) {
        switch (ui_key(&t->view.ui, &t->view.model, key)) {
        case UI_QUIT:
            t->quits = true;
            break;
        case UI_ACT:
            act(t);
            break;
        case UI_DRAW:
            break;
        }
    }
    return true;
}

/* What has ended since the last time; a daemon that has started anew counts anew. */
static void add_to_sparks(struct top *t, const cJSON *status)
{
    int64_t now = session_now();
    double turns = field_number(field(status, "counters"), "turns", 0);
    double pid = field_number(status, "pid", 0);
    bool known = t->turns >= 0 && pid == t->pid;
    spark_add(&t->view.turns, now, known ? turns - t->turns : 0);
    spark_add(&t->view.waits, now, field_number(field(status, "queue"), "oldestWaitMs", 0));
    t->turns = turns;
    t->pid = pid;
}

static void take_message(struct top *t, enum link_event event, struct link_message *m)
{
    _cleanup_free_ char *what = m->what, *error = m->error;
    struct top_view *v = &t->view;
    switch (event) {
    case LINK_STATUS:
        add_to_sparks(t, m->status);
        if (top_model_set(&v->model, m->status, v->ui.sort) < 0)
            out_of_memory(t);
        ui_follow(&v->ui, &v->model);
        break;
    case LINK_DONE:
        ui_say(&v->ui, MOOD_GOOD, "%s: done", what ? what : "");
        t->due_ms = 0;
        break;
    case LINK_FAILED:
        ui_say(&v->ui, MOOD_BAD, "%s: %s", what ? what : "", error ? error : "failed");
        break;
    default:
        break;
    }
}

static void take_messages(struct top *t)
{
    struct link_message m;
    enum link_event event;
    while ((event = link_next(&t->link, &m)) != LINK_NOTHING && event != LINK_LOST)
        take_message(t, event, &m);
    /* What it was says nothing of how it is. */
    if (event == LINK_LOST)
        top_model_clear(&t->view.model);
}

/* Asks, or looks for a daemon, once that is due. */
static void go_on(struct top *t)
{
    int64_t now = session_now();
    if (now < t->due_ms)
        return;
    if (t->link.fd >= 0 || link_connect(&t->link)) {
        if (!t->link.status_id)
            t->asked_ms = now;
        if (link_ask_status(&t->link) < 0)
            out_of_memory(t);
    }
    t->due_ms = now + INTERVAL_MS;
}

static void wait_for_something(struct top *t)
{
    enum { AT_KEYS, AT_SIGNALS, AT_DAEMON, AT_COUNT };
    struct pollfd p[AT_COUNT] = {
        [AT_KEYS] = {STDIN_FILENO, POLLIN, 0},
        [AT_SIGNALS] = {t->signals, POLLIN, 0},
        [AT_DAEMON] = {t->link.fd, link_wants(&t->link), 0},
    };
    int64_t left = t->due_ms - session_now();
    if (poll(p, AT_COUNT, left < 0 ? 0 : (int)left) <= 0)
        return;
    if (p[AT_SIGNALS].revents)
        take_signal(t);
    if (p[AT_KEYS].revents && !t->quits && !take_keys(t))
        t->quits = true;
    if (p[AT_DAEMON].revents) {
        link_move(&t->link);
        take_messages(t);
    }
}

static void run(struct top *t)
{
    while (!t->quits) {
        go_on(t);
        t->view.unanswered_ms = t->link.status_id ? session_now() - t->asked_ms : 0;
        top_draw(&t->view);
        wait_for_something(t);
    }
}

static bool wants_colour(void)
{
    const char *no_colour = getenv("NO_COLOR");
    return !(no_colour && *no_colour);
}

static int show(const struct cmd *cmd, const char *socket)
{
    struct top t = {.turns = -1};
    t.signals = catch_signals();
    if (t.signals < 0) {
        perror("codex-pool: cannot catch signals");
        return CMD_FAILED;
    }
    (void)setlocale(LC_CTYPE, "");
    link_init(&t.link, socket);
    ui_init(&t.view.ui);
    spark_init(&t.view.turns, SPARK_SUM);
    spark_init(&t.view.waits, SPARK_MAX);
    t.view.link = &t.link;
    bool opened = screen_open(&t.view.screen, wants_colour());
    if (opened)
        run(&t);
    screen_close(&t.view.screen);
    link_deinit(&t.link);
    ui_deinit(&t.view.ui);
    top_model_clear(&t.view.model);
    t.signals = cp_close(t.signals);
    if (!opened)
        return cmd_usage_error(cmd,
                               "this is no terminal that it can use (TERM is '%s'); "
                               "`codex-pool status --watch` needs none",
                               getenv("TERM") ? getenv("TERM") : "");
    return t.killed_by ? 128 + t.killed_by : CMD_DONE;
}

int cmd_top(const struct cmd *cmd, const char *socket, int argc, char **argv)
{
    struct session s;
    int code = cmd_options(cmd, NULL, 0, &argc, argv);
    if (code != CMD_OPTIONS_READ)
        return code;
    if (argc > 0)
        return cmd_usage_error(cmd, "unexpected argument '%s'", argv[0]);
    /* Says what is wrong as every command does, before there is a screen. */
    code = session_open(&s, socket, 0);
    session_close(&s);
    return code == CMD_DONE ? show(cmd, socket) : code;
}

/* Why a thread has to stay with its owner: what a move would lose or change. */
#ifndef DAEMON_STAY_H
#define DAEMON_STAY_H

#include <stdbool.h>

struct client;
struct thread;

enum stay {
    STAY_NOT, /* it can move */
    STAY_BUSY,
    STAY_OPENING,
    STAY_LEASED,
    STAY_UNANSWERED,
    STAY_ASKED,
    STAY_EPHEMERAL,
    STAY_TURNLESS,
    STAY_SUBAGENTS,
    STAY_GOAL,
    STAY_QUEUE,
    STAY_TERMINAL,
    STAY_OUTPUT,
    STAY_MCP,
    STAY_HOOKS,
    STAY_APPROVALS,
    STAY_MEMORY,
    STAY_RAW,
    STAY_UNKNOWN,
    STAY_CHANGED,
    STAY_UNSURE,
    STAY_KEPT,
    STAY_FAILED,
    STAYS,
};

/* In a few words, for people: "an MCP server runs for it". "" for STAY_NOT. */
const char *stay_words(enum stay stay);

/* What holds it, as far as the daemon has heard of it, for a request of this client. A thread that
 * is moving is judged as if it were not. */
enum stay stay_why(const struct thread *t, const struct client *c);

/* The same for a thread/resume of a client that is not its subscriber: the thread is unloaded for
 * that wherever it is resumed, so that there is less to lose. */
enum stay stay_cold(const struct thread *t, const struct client *c);

#endif

/* May Codex do this? Asks the person, or answers as told. */
#ifndef CLIENT_APPROVALS_H
#define CLIENT_APPROVALS_H

#include "client/session.h"
#include "client/turn_view.h"
#include "proto/list.h"

enum approve {
    APPROVE_NEVER,
    APPROVE_ASK, /* where nobody can be asked: as never */
    APPROVE_ALWAYS,
};

struct approvals {
    struct session *session;
    struct turn_view *view;
    enum approve approve;
    bool can_ask;          /* standard input and standard error are terminals */
    struct list questions; /* the first is being asked */
    struct linebuf answers;
    char *change; /* the last file change that Codex announced, raw; NULL before */
};

void approvals_init(struct approvals *a, struct session *s, struct turn_view *v,
                    enum approve approve);
void approvals_deinit(struct approvals *a);

/* Deals with a request of the daemon's: answers it, asks the person, or refuses what is no
 * question of approval, so that nothing hangs. 0 or -ENOMEM, as below. */
int approvals_request(struct approvals *a, struct slice line,
                      const struct envelope *e) CP_MUSTCHECK;

/* Remembers what a file change is about (a started item): the question itself does not say. */
void approvals_item(struct approvals *a, struct slice item);

/* The question with this raw id needs no answer any more. */
void approvals_resolved(struct approvals *a, struct slice id);

/* A question waits for a line on standard input; approvals_input reads it when it is there. */
bool approvals_asking(const struct approvals *a);
int approvals_input(struct approvals *a) CP_MUSTCHECK;

#endif

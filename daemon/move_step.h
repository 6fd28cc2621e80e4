/* A move's record and its steps: what it waits for, what it asks the worker that has the thread,
 * and which answers count. For move.c alone. */
#ifndef DAEMON_MOVE_STEP_H
#define DAEMON_MOVE_STEP_H

#include "daemon/worker.h"

enum move_phase {
    MOVE_CHECKING,  /* its owner is asked what holds it there */
    MOVE_CLOSING,   /* the worker that has it unloads it */
    MOVE_LOADING,   /* its next owner loads it */
    MOVE_REPAIRING, /* and is told what the loading has lost */
};

struct move {
    struct thread *thread; /* its owner is the worker that has it, or is to load it */
    struct worker *from, *to;
    enum move_phase phase;
    bool back;          /* it has failed: the thread goes back where it was */
    bool may_close;     /* and may yet be closed there, as had been asked */
    unsigned long step; /* answers to what was asked in earlier ones do not count */
    unsigned asked;     /* questions of this step that are not answered */
    unsigned tries;
    unsigned lost;          /* settings that the loading has lost, to be repaired */
    bool repaired;          /* the worker has said so */
    struct settings *found; /* what the worker reports that has loaded it; NULL before */
    uint64_t since;         /* ms */
    ev_timer timer;         /* until the step fails, or is tried again */
    char why[256];          /* what went wrong first */
};

typedef void move_answered(struct move *m, const struct envelope *answer, unsigned which);

struct server *move_server(const struct move *m);

/* Of a step that waits for a worker, in ms. */
uint64_t move_limit_ms(const struct move *m);

/* A step begins: earlier ones' answers count no longer. It asks so many questions, and after so
 * long its timer fires. */
void move_begin_step(struct move *m, enum move_phase phase, unsigned questions, uint64_t ms);
void move_set_timer(struct move *m, uint64_t ms);

/* Asks the thread's owner about it, with params that are its id alone; `then` gets the answer
 * (NULL: there is none) and `which` if it still counts. The move may be over on return. */
void move_ask(struct move *m, const char *method, move_answered *then, unsigned which);

/* The same with params that begin with its id; consumed. `which` is 0. */
void move_ask_with(struct move *m, const char *method, cJSON *params, move_answered *then);

/* What went wrong, where nothing had before. */
void move_note(struct move *m, const char *format, ...) CP_PRINTF(2, 3);

#endif

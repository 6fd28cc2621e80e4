/* How many workers there are: starting, keeping, replacing and dismissing them. */
#ifndef DAEMON_CREW_H
#define DAEMON_CREW_H

#include "daemon/worker.h"

/* Starts those that are wanted, and more where somebody waits for one. The first of all starts
 * alone: older Codexes lose a race on a fresh CODEX_HOME. */
void crew_start_workers(struct server *s);

/* All of them, with the daemon (the setting prewarm). */
void crew_prewarm(struct server *s);

/* Brings their number to the configuration's poolSize. 0, or -ENOMEM where there are not as many
 * places as that. */
int crew_resize(struct server *s) CP_MUSTCHECK;

/* A worker that a parked client (park.h) holds and that waits for its answer is in nobody's way: up
 * to maxParked of them are beside poolSize, and others may be started in their place. Looks which
 * they are. Called before the loop sleeps. */
void crew_count_parked(struct server *s);

/* One that is down and waits for its next try is tried now. */
void crew_retry(struct worker *w);

/* What a worker tells of itself. */
void crew_worker_ready(struct worker *w);
void crew_worker_unused(struct worker *w); /* idle for crew_idle_limit_ms */
void crew_worker_gone(struct worker *w);
void crew_start_failed(struct worker *w);

/* There is room for it: it is parked, or one of the first poolSize that are not. The others are on
 * their way out. */
bool crew_has(const struct worker *w);

/* After how long of being idle it is to be looked at; 0: never. */
uint64_t crew_idle_limit_ms(const struct worker *w);

/* No worker lives and the last start failed: nothing would come of waiting. */
bool crew_hopeless(const struct server *s);

/* A ready worker for a request that needs none to itself: one that the client holds, else the one
 * with the least to do; NULL if none is ready. */
struct worker *crew_any_ready(struct server *s, const struct client *c);

/* How long a leased worker may still say nothing before crew_worker_silent looks at it. */
uint64_t crew_silence_left_ms(const struct worker *w);
/* It may have hung: it is asked, and replaced where it does not answer. */
void crew_worker_silent(struct worker *w);

/* Has said nothing for so long that it must be asked before it is given away. */
bool crew_is_silent(const struct worker *w);
void crew_probe(struct worker *w);
/* Every idle one that is silent. */
void crew_probe_silent(struct server *s);

#endif

/* What pool/status says, beyond what every client may rely on:
 *
 * waiters: [{"position","client","id","method","threadId","waitedMs","worker","stays","why"}], in
 * the order of the queue, the first 1000. worker: the one that has its thread, which `stays` there,
 * for that reason (null: it would move). why: what it waits for, in words (why.h). workers, each
 * also: "waiting" (in its own lane), "lease": {"for","heldMs"} | null (why.h), "lastEvent":
 * {"method","agoMs"} | null, the last that Codex said of its own accord, since this process was
 * started; "unansweredAsks": its requests that its client has yet to answer; "replace":
 * {"reason","threads":[{"threadId","client","stays"}]} | null; "lastError", if any. clients, each
 * also: "threads", how many it has open. counters, also: "turns" that have ended. moveMs: as
 * waitMs, of the threads that have moved. */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

#include "daemon/server.h"

/* The whole of it; the caller's to delete. NULL when out of memory. */
cJSON *status_build(struct server *s);

#endif

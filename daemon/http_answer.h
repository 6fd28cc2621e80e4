/* What the daemon answers by HTTP:
 *
 *   /healthz  200 while the daemon lives
 *   /readyz   200 where it serves who comes; else 503, and why
 *   /metrics  metrics.h
 *   /status   what pool/status says
 *
 * GET and HEAD. Whatever a page in a browser sends (it has an Origin) is refused: pages are not to
 * talk to daemons. Any path takes a WebSocket, as those of Codex do. */
#ifndef DAEMON_HTTP_ANSWER_H
#define DAEMON_HTTP_ANSWER_H

#include "daemon/http.h"

/* Answers a request that has been read. True: the client is a WebSocket from now on. */
bool http_answer(struct client *c, const struct http_request *r);

/* An answer that is a status, a text that says why, and whole lines of headers in `more` (may be
 * NULL). */
void http_answer_status(struct client *c, const struct http_request *r, unsigned status,
                        const char *text, const char *more);

#endif

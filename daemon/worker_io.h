/* A worker's pipes: lines in, lines out, and which answer belongs to which request. */
#ifndef DAEMON_WORKER_IO_H
#define DAEMON_WORKER_IO_H

#include "daemon/worker.h"

void worker_io_init(struct worker *w);
/* Takes the descriptors over and starts reading. */
void worker_io_open(struct worker *w, const struct spawned *child);
void worker_io_close_stdin(struct worker *w);
/* Reads what is left after the exit, without waiting for whoever else holds the pipes. */
void worker_io_drain(struct worker *w);
void worker_io_close(struct worker *w);

#endif

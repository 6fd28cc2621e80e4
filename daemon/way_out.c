#include "daemon/way_out.h"

#include "daemon/client.h"

/* For programs, and in words. */
static const struct {
    const char *how, *words;
} ways[] = {
    [WAY_SERVED] = {"served", "served"},
    [WAY_CANCELLED] = {"cancelled", "cancelled"},
    [WAY_CANCELLED_BY_ADMIN] = {"cancelledByAdmin", "cancelled by an administrator"},
    [WAY_TIMED_OUT] = {"timedOut", "timed out"},
    [WAY_CLIENT_GONE] = {"clientGone", "client gone"},
    [WAY_SHUTDOWN] = {"shutdown", "shut down"},
    [WAY_WORKER_START] = {"workerStart", "no worker can be started"},
    [WAY_THREAD_LOST] = {"threadLost", "its thread is lost"},
    [WAY_REFUSED] = {"refused", "full"},
};

void way_out_log(const struct request *r, enum way_out way)
{
    struct log_fields fields = {
        .client = r->client->id,
        .thread = r->thread_id,
        .how = ways[way].how,
        .queued = true,
        .wait_ms = now_ms() - (r->queued_at ? r->queued_at : r->arrived_at),
        .queue_length = r->server->queue.length,
    };
    log_event(&r->server->log, LOG_DEBUG, &fields,
              "queue: %s: client %u, queue length %zu, waited %llu ms", ways[way].words,
              fields.client, fields.queue_length, (unsigned long long)fields.wait_ms);
}

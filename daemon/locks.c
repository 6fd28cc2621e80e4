#include "daemon/locks.h"

#include "daemon/client.h"
#include "daemon/home.h"
#include "daemon/worker.h"
#include "proto/rpc.h"

/* No answer is longer for however many threads there are. */
#define THREADS_SHOWN 10000

static void add_thread(cJSON *threads, const struct thread *t)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "threadId", t->id);
    cJSON_AddNumberToObject(o, "worker", t->owner->id);
    if (t->subscriber)
        cJSON_AddNumberToObject(o, "client", t->subscriber->id);
    else
        cJSON_AddNullToObject(o, "client");
    cJSON_AddBoolToObject(o, "running", t->running > 0);
    rpc_add(threads, NULL, o);
}

/* How many there was no room for. */
static size_t add_threads(cJSON *threads, const struct server *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_workers; i++)
        list_for_each (it, &s->workers[i]->threads)
            if (n++ < THREADS_SHOWN)
                add_thread(threads, list_entry(it, struct thread, in_owner));
    return n > THREADS_SHOWN ? n - THREADS_SHOWN : 0;
}

cJSON *locks_build(const struct server *s)
{
    _cleanup_free_ char *directory = home_path(s->config, "thread-writer-locks");
    cJSON *o = rpc_object();
    if (directory)
        cJSON_AddStringToObject(o, "directory", directory);
    else
        cJSON_AddNullToObject(o, "directory");
    cJSON_AddNumberToObject(o, "pid", getpid());
    cJSON *workers = cJSON_AddArrayToObject(o, "workers");
    for (size_t i = 0; i < s->n_workers; i++) {
        if (s->workers[i]->pid <= 0)
            continue;
        cJSON *worker = cJSON_CreateObject();
        cJSON_AddNumberToObject(worker, "id", s->workers[i]->id);
        cJSON_AddNumberToObject(worker, "pid", s->workers[i]->pid);
        rpc_add(workers, NULL, worker);
    }
    cJSON *threads = cJSON_AddArrayToObject(o, "threads");
    cJSON_AddNumberToObject(o, "threadsLeftOut", (double)add_threads(threads, s));
    return o;
}

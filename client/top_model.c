#include "client/top_model.h"

#include "client/fields.h"

#include <errno.h>
#include <stdio.h>

struct name {
    unsigned id;
    const char *name;
};

struct names {
    struct name *all;
    size_t n;
};

static int compare_names(const void *a, const void *b)
{
    unsigned x = ((const struct name *)a)->id, y = ((const struct name *)b)->id;
    return (x > y) - (x < y);
}

static unsigned id_of(const cJSON *object, const char *name)
{
    double value = field_number(object, name, 0);
    return value > 0 && value <= UINT32_MAX ? (unsigned)value : 0;
}

static size_t size_of(const cJSON *array)
{
    return (size_t)cJSON_GetArraySize(array);
}

static int read_names(struct names *names, const cJSON *clients)
{
    const cJSON *client;
    *names = (struct names){calloc(size_of(clients) + 1, sizeof(*names->all)), 0};
    if (!names->all)
        return -ENOMEM;
    cJSON_ArrayForEach(client, clients) names->all[names->n++] =
        (struct name){id_of(client, "id"), field_text(client, "name")};
    qsort(names->all, names->n, sizeof(*names->all), compare_names);
    return 0;
}

static const char *name_of(const struct names *names, unsigned id)
{
    struct name wanted = {id, NULL};
    const struct name *found =
        id ? bsearch(&wanted, names->all, names->n, sizeof(*names->all), compare_names) : NULL;
    return found ? found->name : NULL;
}

static struct top_worker read_worker(const cJSON *o, const struct names *names)
{
    const cJSON *turn = field(o, "turn"), *event = field(o, "lastEvent");
    const cJSON *lease = field(o, "lease");
    return (struct top_worker){
        .id = id_of(o, "id"),
        .client = id_of(o, "client"),
        .client_name = name_of(names, id_of(o, "client")),
        .state = field_text(o, "state"),
        .thread = field_text(turn, "threadId"),
        .turn = field_text(turn, "turnId"),
        .event = field_text(event, "method"),
        .lease = field_text(lease, "for"),
        .version = field_text(o, "version"),
        .error = field_text(o, "lastError"),
        .retire = field_text(field(o, "replace"), "reason"),
        .turn_ms = field_number(turn, "runningMs", -1),
        .silent_ms = field_number(turn, "lastEventMs", -1),
        .event_ms = field_number(event, "agoMs", -1),
        .held_ms = field_number(lease, "heldMs", -1),
        .age_ms = field_number(o, "ageMs", -1),
        .rss_bytes = field_number(o, "rssBytes", -1),
        .processes = field_number(o, "processes", -1),
        .threads = field_number(o, "threads", -1),
        .streams = field_number(o, "streams", -1),
        .restarts = field_number(o, "restarts", -1),
        .pid = field_number(o, "pid", -1),
        .unanswered = field_number(o, "unansweredAsks", 0),
    };
}

static struct top_waiter read_waiter(const cJSON *o, const struct names *names)
{
    const cJSON *id = field(o, "id");
    struct top_waiter w = {
        .client = id_of(o, "client"),
        .worker = id_of(o, "worker"),
        .client_name = name_of(names, id_of(o, "client")),
        .method = field_text(o, "method"),
        .thread = field_text(o, "threadId"),
        .stays = field_text(o, "stays"),
        .why = field_text(o, "why"),
        .place = field_number(o, "position", -1),
        .waited_ms = field_number(o, "waitedMs", -1),
    };
    if (cJSON_IsString(id))
        (void)snprintf(w.id, sizeof(w.id), "\"%s\"", id->valuestring);
    else if (cJSON_IsNumber(id))
        (void)snprintf(w.id, sizeof(w.id), "%.0f", id->valuedouble);
    return w;
}

static int read_all(struct top_model *m, const struct names *names)
{
    const cJSON *workers = field(m->status, "workers"), *waiters = field(m->status, "waiters");
    const cJSON *each;
    m->workers = calloc(size_of(workers) + 1, sizeof(*m->workers));
    m->waiters = calloc(size_of(waiters) + 1, sizeof(*m->waiters));
    if (!m->workers || !m->waiters)
        return -ENOMEM;
    cJSON_ArrayForEach(each, workers) m->workers[m->n_workers++] = read_worker(each, names);
    cJSON_ArrayForEach(each, waiters) m->waiters[m->n_waiters++] = read_waiter(each, names);
    return 0;
}

void top_model_clear(struct top_model *m)
{
    cJSON_Delete(m->status);
    free(m->workers);
    free(m->waiters);
    *m = (struct top_model){0};
}

int top_model_set(struct top_model *m, cJSON *status, enum top_sort sort)
{
    struct names names;
    top_model_clear(m);
    m->status = status;
    int r = read_names(&names, field(status, "clients"));
    if (r == 0)
        r = read_all(m, &names);
    free(names.all);
    if (r == 0)
        top_model_sort(m, sort);
    else
        top_model_clear(m);
    return r;
}

static int by_id(const void *a, const void *b)
{
    const struct top_worker *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* The most first, equal ones by their ids. */
static int by_most(double x, double y, const void *a, const void *b)
{
    return x == y ? by_id(a, b) : (x < y) - (x > y);
}

static int by_turn(const void *a, const void *b)
{
    return by_most(((const struct top_worker *)a)->turn_ms, ((const struct top_worker *)b)->turn_ms,
                   a, b);
}

static int by_silence(const void *a, const void *b)
{
    return by_most(((const struct top_worker *)a)->silent_ms,
                   ((const struct top_worker *)b)->silent_ms, a, b);
}

static int by_memory(const void *a, const void *b)
{
    return by_most(((const struct top_worker *)a)->rss_bytes,
                   ((const struct top_worker *)b)->rss_bytes, a, b);
}

/* Those that nobody has last. */
static int by_client(const void *a, const void *b)
{
    unsigned x = ((const struct top_worker *)a)->client, y = ((const struct top_worker *)b)->client;
    x = x ? x : UINT32_MAX;
    y = y ? y : UINT32_MAX;
    return x == y ? by_id(a, b) : (x > y) - (x < y);
}

static const struct {
    const char *name;
    int (*compare)(const void *a, const void *b);
} sorts[SORTS] = {
    [SORT_WORKER] = {"worker", by_id},      [SORT_TURN] = {"turn", by_turn},
    [SORT_SILENT] = {"silent", by_silence}, [SORT_MEMORY] = {"memory", by_memory},
    [SORT_CLIENT] = {"client", by_client},
};

void top_model_sort(struct top_model *m, enum top_sort sort)
{
    if (m->n_workers)
        qsort(m->workers, m->n_workers, sizeof(*m->workers), sorts[sort].compare);
}

const char *top_sort_name(enum top_sort sort)
{
    return sorts[sort].name;
}

bool top_model_paused(const struct top_model *m)
{
    return text_is(field_text(m->status, "admission"), "paused");
}

#include "client/headline.h"

#include "client/fields.h"
#include "client/human.h"

/* As people are told them, what matters first. */
static const struct {
    const char *state, *words;
} states[] = {
    {"busy", "busy"},         {"aborting", "being cleaned up"}, {"idle", "idle"},
    {"starting", "starting"}, {"stopping", "stopping"},         {"down", "down"},
};

static int count(const cJSON *workers, const char *state)
{
    const cJSON *worker;
    int n = 0;
    cJSON_ArrayForEach(worker, workers) n += text_is(field_text(worker, "state"), state);
    return n;
}

/* What the administrators have decided; NULL: nothing. */
static const char *admission(const cJSON *status)
{
    const char *value = field_text(status, "admission");
    if (text_is(value, "paused"))
        return "paused";
    if (text_is(value, "draining"))
        return "draining";
    return cJSON_IsFalse(field(status, "accepting")) ? "stopping" : NULL;
}

void headline_print(FILE *to, const cJSON *status)
{
    const cJSON *workers = field(status, "workers"), *queue = field(status, "queue");
    const char *decided = admission(status), *before = ": ";
    int n = cJSON_GetArraySize(workers);
    if (decided)
        fprintf(to, "%s; ", decided);
    if (n)
        fprintf(to, "%d worker%s", n, n == 1 ? "" : "s");
    else
        fputs("no workers", to);
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        int some = count(workers, states[i].state);
        if (some)
            fprintf(to, "%s%d %s", before, some, states[i].words);
        before = some ? ", " : before;
    }
    if (field_number(queue, "length", 0) <= 0) {
        fputs("; nobody waits", to);
        return;
    }
    fprintf(to, "; %.0f waiting, longest ", field_number(queue, "length", 0));
    human_duration(to, field_number(queue, "oldestWaitMs", 0));
}

enum mood headline_mood(const cJSON *status)
{
    const cJSON *pool = field(status, "pool"), *queue = field(status, "queue");
    double down = field_number(pool, "down", 0);
    bool full = field_number(queue, "max", 0) > 0 &&
                field_number(queue, "length", 0) >= field_number(queue, "max", 0);
    if (admission(status) || full || (down > 0 && down >= field_number(pool, "size", 0)))
        return MOOD_BAD;
    return down > 0 || field_number(queue, "length", 0) > 0 ? MOOD_WARN : MOOD_GOOD;
}

#include "client/headline.h"

#include "client/human.h"
#include "proto/base.h"

/* As people are told them, what matters first. */
static const struct {
    const char *state, *words;
} states[] = {
    {"busy", "busy"},         {"aborting", "being cleaned up"}, {"idle", "idle"},
    {"starting", "starting"}, {"stopping", "stopping"},         {"down", "down"},
};

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static double number(const cJSON *object, const char *name)
{
    const cJSON *value = member(object, name);
    return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

static bool text_is(const cJSON *value, const char *text)
{
    return cJSON_IsString(value) && strcmp(value->valuestring, text) == 0;
}

static int count(const cJSON *workers, const char *state)
{
    const cJSON *worker;
    int n = 0;
    cJSON_ArrayForEach(worker, workers) n += text_is(member(worker, "state"), state);
    return n;
}

/* What the administrators have decided; NULL: nothing. */
static const char *admission(const cJSON *status)
{
    const cJSON *value = member(status, "admission");
    if (text_is(value, "paused"))
        return "paused";
    if (text_is(value, "draining"))
        return "draining";
    return cJSON_IsFalse(member(status, "accepting")) ? "stopping" : NULL;
}

void headline_print(FILE *to, const cJSON *status)
{
    const cJSON *workers = member(status, "workers"), *queue = member(status, "queue");
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
    if (number(queue, "length") <= 0) {
        fputs("; nobody waits", to);
        return;
    }
    fprintf(to, "; %.0f waiting, longest ", number(queue, "length"));
    human_duration(to, number(queue, "oldestWaitMs"));
}

enum mood headline_mood(const cJSON *status)
{
    const cJSON *pool = member(status, "pool"), *queue = member(status, "queue");
    double down = number(pool, "down");
    bool full = number(queue, "max") > 0 && number(queue, "length") >= number(queue, "max");
    if (admission(status) || full || (down > 0 && down >= number(pool, "size")))
        return MOOD_BAD;
    return down > 0 || number(queue, "length") > 0 ? MOOD_WARN : MOOD_GOOD;
}

#include "daemon/move_check.h"

#include "proto/json.h"

static enum stay judge_terminals(struct slice result)
{
    return json_count(json_get(result, "data")) ? STAY_TERMINAL : STAY_NOT;
}

static enum stay judge_queue(struct slice result)
{
    return json_count(json_get(result, "data")) ? STAY_QUEUE : STAY_NOT;
}

/* Any other goal is only a note in Codex's state: nothing starts by it, wherever the thread is. */
static enum stay judge_goal(struct slice result)
{
    return slice_is(json_get_text(result, "goal.status"), "active") ? STAY_GOAL : STAY_NOT;
}

/* They run when a thread is loaded or unloaded. */
static void look_at_hook(struct slice hook, void *arg)
{
    struct slice event = json_get_text(hook, "eventName");
    struct slice trust = json_get_text(hook, "trustStatus");
    bool session = slice_is(event, "sessionStart") || slice_is(event, "sessionEnd");
    bool runs = slice_is(json_get(hook, "enabled"), "true") &&
                (slice_is(trust, "trusted") || slice_is(trust, "managed"));
    if (session && runs)
        *(enum stay *)arg = STAY_HOOKS;
}

static void look_at_place(struct slice place, void *arg)
{
    struct slice hooks = json_get(place, "hooks");
    if (hooks.n)
        json_each(hooks, look_at_hook, arg);
}

static enum stay judge_hooks(struct slice result)
{
    enum stay stay = STAY_NOT;
    struct slice data = json_get(result, "data");
    if (data.n)
        json_each(data, look_at_place, &stay);
    return stay;
}

static const struct {
    const char *method;
    enum stay (*judge)(struct slice result);
} questions[MOVE_CHECKS] = {
    {"thread/backgroundTerminals/list", judge_terminals},
    {"thread/goal/get", judge_goal},
    {"thread/queue/list", judge_queue},
    {"hooks/list", judge_hooks},
};

const char *move_check_method(unsigned i)
{
    return questions[i].method;
}

/* A Codex that does not know the question has no such thing. */
static bool unknown_method(struct slice error)
{
    static const char words[] = "unknown variant";
    struct slice message = json_get_text(error, "message");
    return slice_is(json_get(error, "code"), "-32601") ||
           (message.n && memmem(message.p, message.n, words, sizeof(words) - 1));
}

enum stay move_check_judge(unsigned i, const struct envelope *answer)
{
    if (answer && answer->result.p)
        return questions[i].judge(answer->result);
    return answer && unknown_method(answer->error) ? STAY_NOT : STAY_UNSURE;
}

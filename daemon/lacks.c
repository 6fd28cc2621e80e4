#include "daemon/lacks.h"

#include "daemon/worker.h"
#include "proto/rpc.h"

#include <stdio.h>

/* What the daemon asks workers by itself once they serve. */
static const char *const asked[] = {
    "command/exec/terminate",
    "hooks/list",
    "thread/backgroundTerminals/clean",
    "thread/backgroundTerminals/list",
    "thread/goal/get",
    "thread/goal/set",
    "thread/loaded/list",
    "thread/queue/list",
    "thread/resume",
    "thread/settings/update",
    "thread/unsubscribe",
    "turn/interrupt",
};

static const char *version(const struct worker *w)
{
    return w->version ? w->version : "(of unknown version)";
}

void lacks_unload(struct worker *w)
{
    if (w->keeps_threads)
        return;
    w->keeps_threads = true;
    log_worker(
        w, LOG_WARN,
        "codex %s does not unload threads: each stays with its worker, and its requests wait "
        "for that one",
        version(w));
}

void lacks_no_unload(struct worker *w)
{
    w->unloads = true;
    w->keeps_threads = false;
}

void lacks_heard(struct worker *w, const char *method, struct slice error)
{
    if (!rpc_says_unknown_method(error))
        return;
    for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
        if (strcmp(asked[i], method) != 0 || (w->lacks & (1U << i)))
            continue;
        w->lacks |= 1U << i;
        log_worker(w, LOG_WARN, "codex %s does not know %s", version(w), method);
    }
}

/* The first worker of those with the same version that lacks it; bit NULL: that it keeps threads.
 */
static bool is_first(const struct server *s, size_t at, const unsigned *bit)
{
    const struct worker *w = s->workers[at];
    for (size_t i = 0; i < at; i++) {
        const struct worker *other = s->workers[i];
        bool lacks = bit ? other->lacks & *bit : other->keeps_threads;
        if (lacks && strcmp(version(w), version(other)) == 0)
            return false;
    }
    return bit ? w->lacks & *bit : w->keeps_threads;
}

/* False when out of memory. */
static bool add(cJSON *list, const struct worker *w, const char *words)
{
    char text[160];
    (void)snprintf(text, sizeof(text), "codex %.24s %s", version(w), words);
    cJSON *each = cJSON_CreateString(text);
    return each && cJSON_AddItemToArray(list, each);
}

static bool add_unknown(cJSON *list, const struct worker *w, const char *method)
{
    char words[96];
    (void)snprintf(words, sizeof(words), "does not know %s", method);
    return add(list, w, words);
}

cJSON *lacks_list(const struct server *s)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list && i < s->n_workers; i++) {
        const struct worker *w = s->workers[i];
        bool ok = !is_first(s, i, NULL) ||
                  add(list, w, "does not unload threads: they stay with their workers");
        for (size_t m = 0; ok && m < ARRAY_LEN(asked); m++) {
            unsigned bit = 1U << m;
            ok = !is_first(s, i, &bit) || add_unknown(list, w, asked[m]);
        }
        if (!ok) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

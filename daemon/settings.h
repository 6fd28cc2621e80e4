/* What a thread was set to: what has to be brought along when it is loaded elsewhere, and what
 * tells whether it arrived.
 *
 * A bare thread/resume restores what Codex stores with the thread. It loses, silently, a
 * workspace-write sandbox, environments given at the start, the developer instructions once the
 * history is compacted, base instructions given at a resume, and every `config` key that is no
 * stored setting (measured on 0.169). Pure: knows JSON, no loop. */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include "proto/base.h"

#include <cjson/cJSON.h>

/* What Codex reports of a thread, in the answer that opens it or in thread/settings/updated. */
enum setting {
    SETTING_MODEL,
    SETTING_PROVIDER,
    SETTING_TIER,
    SETTING_EFFORT,
    SETTING_CWD,
    SETTING_ROOTS,
    SETTING_ENVIRONMENTS,
    SETTING_APPROVAL,
    SETTING_REVIEWER,
    SETTING_SANDBOX,
    SETTING_PROFILE,
    SETTING_PLUGINS,
    SETTING_COLLABORATION,
    SETTING_AGENTS,
    SETTING_SOURCES,
    SETTINGS,
};

struct settings {
    char *reported[SETTINGS]; /* raw JSON; NULL: not known */
    /* As given when it was opened, raw JSON; NULL: not given. */
    char *config; /* less what is stored */
    char *developer_instructions, *base_instructions;
    bool raw_events;
    bool relocated; /* its working directory is not the one that it was opened with */
};

/* From the parameters of the request that opens a thread. NULL when out of memory. */
struct settings *settings_new(struct slice params);
/* Takes NULL. */
void settings_free(struct settings *s);

/* From the answer to thread/start, resume or fork: replaces all that was reported. 0 or -ENOMEM;
 * then it must not be relied on. */
int settings_opened(struct settings *s, struct slice result) CP_MUSTCHECK;

/* Takes what another has reported, which is empty afterwards. */
void settings_take_reported(struct settings *s, struct settings *from);

/* From thread/settings/updated's threadSettings: replaces what it names. 0 or -ENOMEM. */
int settings_updated(struct settings *s, struct slice thread_settings) CP_MUSTCHECK;

/* Which reported settings differ, as bits 1 << enum setting; what either does not know is equal. */
unsigned settings_diff(const struct settings *a, const struct settings *b);

/* "model", "sandbox", …: as the answers call them. */
const char *settings_name(enum setting setting);

/* Parameters of a thread/resume that loads it as it was. Never model, cwd, approval policy or
 * sandbox: those undo what was changed later. NULL when out of memory. */
cJSON *settings_resume(const struct settings *s, const char *thread_id);

/* Parameters of a thread/settings/update that brings back what a resume has lost, where `diff` is
 * what it lost. NULL where an update cannot bring it back (or out of memory). */
cJSON *settings_repair(const struct settings *s, unsigned diff, const char *thread_id);

/* What of `diff` still counts after such a repair: what follows repaired environments is not told
 * again. */
unsigned settings_after_repair(unsigned diff, unsigned repaired);

#endif

#include "daemon/sources.h"

#include "daemon/home.h"
#include "daemon/thread.h"

#include <stdio.h>
#include <sys/stat.h>

static uint64_t mix(uint64_t stamp, uint64_t value)
{
    return (stamp ^ value) * UINT64_C(1099511628211);
}

static bool writes_itself(const char *line)
{
    static const char *const tables[] = {"[projects.", "[notice", "[tui"};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        if (strncmp(line, tables[i], strlen(tables[i])) == 0)
            return true;
    return false;
}

static uint64_t stamp_config(uint64_t stamp, const char *path)
{
    _cleanup_free_ char *line = NULL;
    size_t room = 0;
    ssize_t n;
    bool skip = false;
    FILE *f = path ? fopen(path, "re") : NULL;
    while (f && (n = getline(&line, &room, f)) > 0) {
        if (line[0] == '[')
            skip = writes_itself(line);
        /* Blank lines come and go with the tables. */
        if (!skip && line[0] != '\n')
            stamp = mix(stamp, thread_hash((struct slice){line, (size_t)n}));
    }
    if (f)
        (void)fclose(f);
    return stamp;
}

static uint64_t stamp_file(uint64_t stamp, const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return mix(stamp, 1);
    stamp = mix(stamp, (uint64_t)st.st_ino);
    stamp = mix(stamp, (uint64_t)st.st_size);
    stamp = mix(stamp, (uint64_t)st.st_mtim.tv_sec);
    return mix(stamp, (uint64_t)st.st_mtim.tv_nsec);
}

uint64_t sources_stamp(const struct config *config, const char *instruction_sources)
{
    _cleanup_free_ char *path = home_path(config, "config.toml");
    uint64_t stamp = stamp_config(0, path);
    cJSON *list = instruction_sources ? cJSON_Parse(instruction_sources) : NULL;
    const cJSON *each;
    cJSON_ArrayForEach(each, list)
    {
        if (cJSON_IsString(each))
            stamp = stamp_file(stamp, each->valuestring);
    }
    cJSON_Delete(list);
    return stamp;
}

#include "tests/bench/speed/usage.h"

#include "tests/bench/speed/util.h"

#include <dirent.h>
#include <stdio.h>

struct process {
    pid_t pid, parent;
    bool worker;
};

static bool read_process(const char *pid, struct process *p)
{
    char path[64], line[512];
    (void)snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool read = fgets(line, sizeof(line), file);
    (void)fclose(file);
    const char *name = read ? strchr(line, '(') : NULL;
    const char *end = name ? strrchr(line, ')') : NULL;
    if (!end || sscanf(end + 1, " %*c %d", &p->parent) != 1)
        return false;
    p->pid = (pid_t)strtol(pid, NULL, 10);
    p->worker = strncmp(name + 1, "speed-worker)", 13) == 0;
    return true;
}

/* Of all its threads. */
static uint64_t cpu_of(pid_t pid)
{
    char path[320];
    uint64_t sum = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    struct dirent *task;
    while (tasks && (task = readdir(tasks))) {
        unsigned long long ns = 0;
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, task->d_name);
        FILE *file = *task->d_name == '.' ? NULL : fopen(path, "re");
        if (!file)
            continue;
        if (fscanf(file, "%llu", &ns) == 1)
            sum += ns;
        (void)fclose(file);
    }
    if (tasks)
        (void)closedir(tasks);
    return sum;
}

static bool has(const struct usage *u, pid_t pid, unsigned *at)
{
    for (*at = 0; *at < u->count; (*at)++)
        if (u->of[*at].pid == pid)
            return true;
    return false;
}

static void add(struct usage *u, pid_t pid)
{
    unsigned at;
    if (has(u, pid, &at))
        return;
    if (u->count == USAGE_PROCESSES)
        die("process %d has too many children", (int)u->root);
    u->of[u->count].pid = pid;
    u->of[u->count].first = u->of[u->count].last = 0;
    u->count++;
}

/* Parents are listed before their children unless numbers have come round. */
static void find(struct usage *u)
{
    DIR *all = opendir("/proc");
    struct dirent *entry;
    unsigned parent;
    struct process p;
    add(u, u->root);
    while (all && (entry = readdir(all)))
        if (*entry->d_name >= '1' && *entry->d_name <= '9' && read_process(entry->d_name, &p) &&
            !p.worker && has(u, p.parent, &parent))
            add(u, p.pid);
    if (all)
        (void)closedir(all);
}

void usage_begin(struct usage *u, pid_t root)
{
    *u = (struct usage){.root = root};
    if (!root)
        return;
    find(u);
    for (unsigned i = 0; i < u->count; i++)
        u->of[i].first = u->of[i].last = cpu_of(u->of[i].pid);
}

void usage_sample(struct usage *u)
{
    if (!u->root)
        return;
    find(u);
    for (unsigned i = 0; i < u->count; i++) {
        uint64_t now = cpu_of(u->of[i].pid);
        /* Nothing is told of one that has ended. */
        if (now > u->of[i].last)
            u->of[i].last = now;
    }
}

uint64_t usage_cpu_ns(const struct usage *u)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < u->count; i++)
        sum += u->of[i].last - u->of[i].first;
    return sum;
}

uint64_t memory_of(pid_t pid, const char *file, const char *key)
{
    char path[64], line[256];
    unsigned long long kb = 0;
    if (!pid)
        return 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    FILE *in = fopen(path, "re");
    if (!in)
        die("%s cannot be read", path);
    while (fgets(line, sizeof(line), in))
        if (strncmp(line, key, strlen(key)) == 0)
            kb = strtoull(line + strlen(key), NULL, 10);
    (void)fclose(in);
    return kb * 1024;
}

void forget_peak(pid_t pid)
{
    char path[64];
    if (!pid)
        return;
    (void)snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)pid);
    FILE *out = fopen(path, "we");
    if (!out || fputs("5", out) < 0 || fclose(out) != 0)
        die("%s cannot be written", path);
}

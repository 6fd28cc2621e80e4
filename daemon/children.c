#include "daemon/children.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#define DEPTH_MAX 64

static ssize_t read_file(const char *path, char *to, size_t room)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t n = 0;
    ssize_t got;
    while (n < room - 1 && (got = read(fd, to + n, room - 1 - n)) > 0)
        n += (size_t)got;
    to[n] = '\0';
    return (ssize_t)n;
}

static pid_t parent_of(pid_t pid)
{
    char path[64], stat[512];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (read_file(path, stat, sizeof(stat)) < 0)
        return 0;
    /* The name may hold anything, also parentheses: the last one ends it. */
    const char *end = strrchr(stat, ')');
    int parent = 0;
    if (!end || sscanf(end + 1, " %*c %d", &parent) != 1)
        return 0;
    return parent;
}

uint64_t children_rss(pid_t pid)
{
    char path[64], statm[128];
    unsigned long pages = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    if (read_file(path, statm, sizeof(statm)) < 0 || sscanf(statm, "%*u %lu", &pages) != 1)
        return 0;
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

bool children_descends(pid_t pid, pid_t of)
{
    for (int i = 0; i < DEPTH_MAX && pid > 1; i++) {
        if (pid == of)
            return true;
        pid = parent_of(pid);
    }
    return false;
}

static void each_process(void (*each)(pid_t pid, void *arg), void *arg)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0)
            each(pid, arg);
    }
    if (proc)
        (void)closedir(proc);
}

struct count {
    pid_t root;
    struct tree tree;
};

static void count_one(pid_t pid, void *arg)
{
    struct count *c = arg;
    if (!children_descends(pid, c->root))
        return;
    c->tree.processes++;
    c->tree.rss_bytes += children_rss(pid);
}

/* From the process down, by the lists that the kernel keeps of each thread's children: what else
 * runs on the machine costs nothing. */
static void add_tree(pid_t pid, int depth, struct tree *tree)
{
    char path[64];
    struct dirent *entry;
    (void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = depth < DEPTH_MAX ? opendir(path) : NULL;
    if (!tasks)
        return;
    tree->processes++;
    tree->rss_bytes += children_rss(pid);
    while ((entry = readdir(tasks))) {
        int tid = (int)strtol(entry->d_name, NULL, 10), child;
        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, tid);
        FILE *children = tid > 0 ? fopen(path, "re") : NULL;
        while (children && fscanf(children, "%d", &child) == 1)
            add_tree(child, depth + 1, tree);
        if (children)
            (void)fclose(children);
    }
    (void)closedir(tasks);
}

struct tree children_tree(pid_t pid)
{
    struct count c = {.root = pid};
    if (pid <= 0)
        return c.tree;
    if (access("/proc/thread-self/children", F_OK) == 0)
        add_tree(pid, 0, &c.tree);
    else /* a kernel without CONFIG_PROC_CHILDREN */
        each_process(count_one, &c);
    return c.tree;
}

static void kill_if_marked(pid_t pid, void *arg)
{
    const char *assignment = arg;
    char path[64];
    static const size_t room = 128 * 1024;
    if (!children_descends(pid, getpid()))
        return;
    _cleanup_free_ char *env = malloc(room);
    (void)snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    ssize_t n = env ? read_file(path, env, room) : -1;
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(env + at) + 1) {
        if (strcmp(env + at, assignment) == 0) {
            (void)kill(pid, SIGKILL);
            return;
        }
    }
}

void children_kill_marked(const char *assignment)
{
    if (assignment)
        each_process(kill_if_marked, (void *)(uintptr_t)assignment);
}

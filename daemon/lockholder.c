#include "daemon/lockholder.h"

#include "daemon/children.h"
#include "daemon/home.h"
#include "daemon/worker.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static char *lock_path(const struct config *config, const char *thread_id)
{
    _cleanup_free_ char *name = NULL;
    if (strchr(thread_id, '/') || asprintf(&name, "thread-writer-locks/%s.lock", thread_id) < 0)
        return NULL;
    return home_path(config, name);
}

static void read_command(struct lock_holder *holder)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)holder->pid);
    FILE *f = fopen(path, "re");
    if (!f || !fgets(holder->command, sizeof(holder->command), f))
        (void)snprintf(holder->command, sizeof(holder->command), "?");
    holder->command[strcspn(holder->command, "\n")] = '\0';
    if (f)
        (void)fclose(f);
}

/* Lines such as "3: FLOCK  ADVISORY  WRITE 812 fe:00:1835 0 EOF"; a waiting one has "->". */
static pid_t flock_holder(const struct stat *st)
{
    char line[256];
    pid_t found = 0;
    FILE *f = fopen("/proc/locks", "re");
    while (f && !found && fgets(line, sizeof(line), f)) {
        int pid;
        unsigned major_id, minor_id;
        unsigned long long inode;
        if (sscanf(line, "%*d: FLOCK %*s WRITE %d %x:%x:%llu", &pid, &major_id, &minor_id,
                   &inode) == 4 &&
            inode == st->st_ino && major_id == major(st->st_dev) && minor_id == minor(st->st_dev))
            found = pid;
    }
    if (f)
        (void)fclose(f);
    return found;
}

struct lock_holder lockholder_find(const struct server *s, const char *thread_id)
{
    struct lock_holder holder = {0};
    struct stat st;
    _cleanup_free_ char *path = lock_path(s->config, thread_id);
    if (!path || stat(path, &st) < 0)
        return holder;
    holder.pid = flock_holder(&st);
    if (holder.pid <= 0)
        return (struct lock_holder){0};
    for (size_t i = 0; i < s->n_workers; i++)
        holder.ours = holder.ours ||
                      (s->workers[i]->pid > 0 && children_descends(holder.pid, s->workers[i]->pid));
    read_command(&holder);
    return holder;
}

#include "client/lockfile.h"

#include "proto/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define BTRFS_MAGIC 0x9123683E
#define DEPTH_MAX 64

static const char suffix[] = ".lock";

/* The thread that a file is for; n 0 for any other file, such as .coordination.lock. */
static struct slice thread_of(const char *name)
{
    size_t n = strlen(name), end = sizeof(suffix) - 1;
    if (name[0] == '.' || n <= end || strcmp(name + n - end, suffix) != 0)
        return SLICE_NULL;
    return (struct slice){name, n - end};
}

static int add(struct lockfiles *to, struct slice thread_id, const struct stat *st)
{
    struct lockfile *longer = realloc(to->files, (to->n + 1) * sizeof(*longer));
    char *id = slice_dup(thread_id);
    if (longer)
        to->files = longer;
    if (!longer || !id) {
        free(id);
        return -ENOMEM;
    }
    to->files[to->n++] = (struct lockfile){.thread_id = id, .dev = st->st_dev, .ino = st->st_ino};
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct lockfile *x = a, *y = b;
    return strcmp(x->thread_id, y->thread_id);
}

static int list_files(DIR *dir, struct lockfiles *to)
{
    struct dirent *entry;
    struct stat st;
    int r = 0;
    while (r == 0 && (entry = readdir(dir))) {
        struct slice thread_id = thread_of(entry->d_name);
        if (thread_id.n && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
            r = add(to, thread_id, &st);
    }
    if (to->n)
        qsort(to->files, to->n, sizeof(*to->files), by_name);
    return r;
}

/* Lines such as "3: FLOCK  ADVISORY  WRITE 812 fe:00:1835 0 EOF"; one that waits has "->" and no
 * lock. Files of btrfs have another device there than they have for stat. */
static void take_line(struct lockfiles *to, const char *line, bool any_device)
{
    char kind[16];
    int pid;
    unsigned major_id, minor_id;
    unsigned long long inode;
    if (sscanf(line, "%*d: %15s %*s %*s %d %x:%x:%llu", kind, &pid, &major_id, &minor_id, &inode) !=
            5 ||
        pid <= 0)
        return;
    for (size_t i = 0; i < to->n; i++) {
        struct lockfile *f = &to->files[i];
        if (f->ino == inode &&
            (any_device || (major(f->dev) == major_id && minor(f->dev) == minor_id)))
            f->holder = pid;
    }
}

static void find_holders(struct lockfiles *to, int directory)
{
    struct statfs fs;
    char line[256];
    bool any_device = fstatfs(directory, &fs) == 0 && fs.f_type == BTRFS_MAGIC;
    FILE *f = fopen("/proc/locks", "re");
    to->holders_known = f;
    while (f && fgets(line, sizeof(line), f))
        take_line(to, line, any_device);
    if (f)
        (void)fclose(f);
}

/* Whoever had them has let go and removed them since they were listed. */
static void leave_out_gone(struct lockfiles *to, int directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < to->n; i++) {
        struct lockfile *f = &to->files[i];
        char name[512];
        (void)snprintf(name, sizeof(name), "%s%s", f->thread_id, suffix);
        if (f->holder || faccessat(directory, name, F_OK, 0) == 0)
            to->files[kept++] = *f;
        else
            free(f->thread_id);
    }
    to->n = kept;
}

int lockfiles_read(const char *directory, struct lockfiles *to)
{
    *to = (struct lockfiles){0};
    DIR *dir = opendir(directory);
    if (!dir)
        return -errno;
    int r = list_files(dir, to);
    if (r == 0) {
        find_holders(to, dirfd(dir));
        leave_out_gone(to, dirfd(dir));
    }
    (void)closedir(dir);
    return r;
}

void lockfiles_free(struct lockfiles *files)
{
    for (size_t i = 0; i < files->n; i++)
        free(files->files[i].thread_id);
    free(files->files);
    *files = (struct lockfiles){0};
}

static size_t read_proc(pid_t pid, const char *name, char *to, size_t room)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, to, room - 1) : 0;
    to[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

struct process process_look(pid_t pid)
{
    struct process p = {.command = "?"};
    char path[64], line[sizeof(p.command)];
    struct stat st;
    (void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    p.seen = stat(path, &st) == 0;
    if (!p.seen)
        return p;
    p.uid = st.st_uid;
    size_t n = read_proc(pid, "cmdline", line, sizeof(line));
    while (n && line[n - 1] == '\0')
        n--;
    for (size_t i = 0; i < n; i++)
        if (line[i] == '\0')
            line[i] = ' ';
    if (!n && (n = read_proc(pid, "comm", line, sizeof(line))))
        line[strcspn(line, "\n")] = '\0';
    if (n)
        memcpy(p.command, line, sizeof(line));
    json_clean_text(p.command);
    return p;
}

static pid_t parent_of(pid_t pid)
{
    char stat[512];
    int parent = 0;
    if (!read_proc(pid, "stat", stat, sizeof(stat)))
        return 0;
    /* The name may hold anything, also parentheses: the last one ends it. */
    const char *end = strrchr(stat, ')');
    return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

bool process_descends(pid_t pid, pid_t of)
{
    for (int i = 0; i < DEPTH_MAX && pid > 1; i++) {
        if (pid == of)
            return true;
        pid = parent_of(pid);
    }
    return false;
}

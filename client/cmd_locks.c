#include "client/cmd.h"
#include "client/lockfile.h"
#include "client/session.h"
#include "client/table.h"
#include "client/text.h"
#include "proto/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const char cmd_locks_help[] =
    "Shows each writer lock of a Codex thread below the workers' CODEX_HOME: which\n"
    "worker and client of the pool have it, or which process outside, or that it is\n"
    "free (its file was left behind), and what helps.\n"
    "\n"
    "  --json         one JSON document on a line\n"
    "\n"
    "The files and processes are looked at from here: for a service that runs as\n"
    "another user, root sees more. What could not be seen is said.\n"
    "\n"
    "exit: 0 done, 1 the daemon does not know of this, 64 wrong usage, 69 no daemon\n"
    "there\n";

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static long number(const cJSON *object, const char *name)
{
    const cJSON *value = member(object, name);
    return cJSON_IsNumber(value) ? (long)value->valuedouble : 0;
}

/* What is to be told, gathered as the JSON that --json prints. */
struct locks {
    const cJSON *known; /* by the daemon; borrowed */
    cJSON *told;        /* {"directory","complete","notes","locks"}; owned */
    bool complete;
};

static void note(struct locks *l, const char *format, ...) CP_PRINTF(2, 3);

static void note(struct locks *l, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    l->complete = false;
    cJSON_AddItemToArray(cJSON_GetObjectItem(l->told, "notes"), cJSON_CreateString(text));
    free(text);
}

static const cJSON *known_thread(const struct locks *l, const char *thread_id)
{
    const cJSON *thread;
    cJSON_ArrayForEach(thread, member(l->known, "threads"))
    {
        const cJSON *id = member(thread, "threadId");
        if (cJSON_IsString(id) && strcmp(id->valuestring, thread_id) == 0)
            return thread;
    }
    return NULL;
}

/* 0: none. */
static long worker_of(const struct locks *l, pid_t pid)
{
    const cJSON *worker;
    cJSON_ArrayForEach(worker, member(l->known, "workers"))
    {
        long root = number(worker, "pid");
        if (root > 0 && process_descends(pid, (pid_t)root))
            return number(worker, "id");
    }
    return 0;
}

/* A lock and who has it; numbers are 0 where there is none. */
struct lock {
    const char *thread_id, *state;
    long worker, client;
    pid_t pid;
    bool running;
    struct process process; /* of one outside */
};

static void advise(const struct lock *k, char *to, size_t n)
{
    if (strcmp(k->state, "free") == 0)
        (void)snprintf(to, n, "nothing: left behind, the next to open the thread takes it");
    else if (strcmp(k->state, "outside") == 0)
        (void)snprintf(to, n, "close this conversation there, or end it: kill %d", (int)k->pid);
    else if (strcmp(k->state, "unknown") == 0)
        (void)snprintf(to, n, "look again as root or as the daemon's user");
    else if (k->client && k->running)
        (void)snprintf(to, n, "a turn runs: wait for its end, then for client %ld to leave it",
                       k->client);
    else if (k->client)
        (void)snprintf(to, n, "client %ld has it open: free when that leaves it", k->client);
    else
        (void)snprintf(to, n, "nothing: served to whoever asks the pool for it");
}

static void add_number(cJSON *o, const char *name, long value)
{
    if (value)
        cJSON_AddNumberToObject(o, name, (double)value);
    else
        cJSON_AddNullToObject(o, name);
}

static void add_lock(struct locks *l, const struct lock *k)
{
    char help[160];
    cJSON *o = cJSON_CreateObject();
    bool outside = strcmp(k->state, "outside") == 0;
    _cleanup_free_ char *id = strdup(k->thread_id);
    if (id)
        json_clean_text(id); /* a file may have any name */
    cJSON_AddStringToObject(o, "threadId", id ? id : "?");
    cJSON_AddStringToObject(o, "state", k->state);
    add_number(o, "worker", k->worker);
    add_number(o, "client", k->client);
    add_number(o, "pid", k->pid);
    if (outside)
        cJSON_AddStringToObject(o, "command", k->process.command);
    else
        cJSON_AddNullToObject(o, "command");
    if (outside && k->process.seen)
        cJSON_AddNumberToObject(o, "uid", k->process.uid);
    else
        cJSON_AddNullToObject(o, "uid");
    advise(k, help, sizeof(help));
    cJSON_AddStringToObject(o, "help", help);
    cJSON_AddItemToArray(cJSON_GetObjectItem(l->told, "locks"), o);
}

/* What the daemon has loaded is locked by the worker, whether that can be seen or not. */
static struct lock as_known(const char *thread_id, const cJSON *thread)
{
    return (struct lock){.thread_id = thread_id,
                         .state = "worker",
                         .worker = number(thread, "worker"),
                         .client = number(thread, "client"),
                         .running = cJSON_IsTrue(member(thread, "running"))};
}

static void judge(struct locks *l, const struct lockfile *f, bool holders_known)
{
    const cJSON *thread = known_thread(l, f->thread_id);
    struct lock k = {.thread_id = f->thread_id, .state = "free", .pid = f->holder};
    long worker = f->holder ? worker_of(l, f->holder) : 0;
    if (f->holder && !worker)
        k.process = process_look(f->holder);
    bool visible = f->holder && (worker || k.process.seen);
    if (thread && (worker == number(thread, "worker") || !visible)) {
        k = as_known(f->thread_id, thread);
        k.pid = f->holder;
    } else if (worker) {
        k.state = "worker";
        k.worker = worker;
    } else if (f->holder) {
        k.state = "outside";
    } else if (!holders_known) {
        k.state = "unknown";
    }
    if (f->holder && !visible)
        note(l, "process %d is not to be seen from here: another user's, or another container's",
             (int)f->holder);
    add_lock(l, &k);
}

static void add_known(struct locks *l)
{
    const cJSON *thread;
    cJSON_ArrayForEach(thread, member(l->known, "threads"))
    {
        const cJSON *id = member(thread, "threadId");
        if (!cJSON_IsString(id))
            continue;
        struct lock k = as_known(id->valuestring, thread);
        add_lock(l, &k);
    }
}

static void look(struct locks *l)
{
    struct lockfiles files = {0};
    const cJSON *directory = member(l->known, "directory");
    const char *path = cJSON_IsString(directory) ? directory->valuestring : NULL;
    int r = path ? lockfiles_read(path, &files) : -ENOENT;
    if (!path)
        note(l, "the daemon does not know its workers' CODEX_HOME: shown is what they have loaded");
    else if (r < 0 && r != -ENOENT)
        note(l,
             "%s: %s: shown is only what the pool has loaded; root, or the daemon's user, sees "
             "the rest",
             path, strerror(-r));
    else if (r == 0 && files.n && !files.holders_known)
        note(l, "/proc/locks: cannot be read: who else holds a lock is not known");
    else if (r == -ENOENT && cJSON_GetArraySize(member(l->known, "threads")) > 0)
        note(l,
             "%s: not there: a Codex that locks nothing (before 0.148), or out of sight from here",
             path);
    if (r < 0 && (!path || r != -ENOENT))
        add_known(l);
    for (size_t i = 0; r == 0 && i < files.n; i++)
        judge(l, &files.files[i], files.holders_known);
    if (number(l->known, "threadsLeftOut"))
        note(l, "the daemon has left out %ld of its threads", number(l->known, "threadsLeftOut"));
    lockfiles_free(&files);
}

/* A member as a cell: safe to print, "-" for null. */
static void cell(struct table *t, const cJSON *value)
{
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);
    if (to && cJSON_IsString(value))
        text_show(to, slice_str(value->valuestring), " ");
    else if (to && cJSON_IsNumber(value))
        fprintf(to, "%.0f", value->valuedouble);
    else if (to)
        fputc('-', to);
    if (to && fclose(to) != 0) {
        free(text);
        text = NULL;
    }
    table_cell(t, text);
}

/* "worker 2", "codex resume" (a process outside), "free". */
static void holder_cell(struct table *t, const cJSON *lock)
{
    const cJSON *command = member(lock, "command");
    if (number(lock, "worker"))
        table_printf(t, "worker %ld", number(lock, "worker"));
    else
        cell(t, cJSON_IsString(command) ? command : member(lock, "state"));
}

static void print_table(const cJSON *told)
{
    static const char *const titles[] = {"THREAD", "CLIENT", "PID", "HOLDER", "WHAT HELPS"};
    struct table t;
    const cJSON *lock, *text, *directory = member(told, "directory");
    table_init(&t, titles, ARRAY_LEN(titles), 0x6);
    cJSON_ArrayForEach(lock, member(told, "locks"))
    {
        cell(&t, member(lock, "threadId"));
        cell(&t, member(lock, "client"));
        cell(&t, member(lock, "pid"));
        holder_cell(&t, lock);
        cell(&t, member(lock, "help"));
    }
    if (t.count)
        table_print(&t, stdout, "", "");
    else
        printf("no thread is locked below %s\n",
               cJSON_IsString(directory) ? directory->valuestring : "an unknown CODEX_HOME");
    table_deinit(&t);
    cJSON_ArrayForEach(text, member(told, "notes")) if (cJSON_IsString(text))
        printf("note: %s\n", text->valuestring);
}

static int print(const cJSON *told, bool json)
{
    if (!json) {
        print_table(told);
        return CMD_DONE;
    }
    _cleanup_free_ char *text = cJSON_PrintUnformatted(told);
    if (!text)
        return session_no_memory();
    puts(text);
    return CMD_DONE;
}

static int show(struct slice result, bool json)
{
    cJSON *known = cJSON_ParseWithLength(result.p, result.n);
    struct locks l = {.known = known, .told = cJSON_CreateObject(), .complete = true};
    int code = CMD_FAILED;
    const cJSON *directory = member(known, "directory");
    if (known && l.told) {
        cJSON_AddItemToObject(l.told, "directory", cJSON_Duplicate(directory, true));
        cJSON_AddArrayToObject(l.told, "notes");
        cJSON_AddArrayToObject(l.told, "locks");
        look(&l);
        cJSON_AddBoolToObject(l.told, "complete", l.complete);
        code = print(l.told, json);
    } else {
        code = session_no_memory();
    }
    cJSON_Delete(l.told);
    cJSON_Delete(known);
    return code;
}

int cmd_locks(const struct cmd *cmd, const char *socket, int argc, char **argv)
{
    struct session s;
    struct slice result;
    bool json = false;
    const struct cmd_option options[] = {{"--json", &json, NULL}};
    int code = cmd_options(cmd, options, ARRAY_LEN(options), &argc, argv);
    if (code != CMD_OPTIONS_READ)
        return code;
    if (argc > 0)
        return cmd_usage_error(cmd, "unexpected argument '%s'", argv[0]);
    code = session_open(&s, socket, 0);
    if (code == CMD_DONE)
        code = session_call(&s, "pool/locks", SLICE("{}"), session_now() + SESSION_PATIENCE_MS,
                            &result);
    if (code == CMD_DONE)
        code = show(result, json);
    session_close(&s);
    return code;
}

/* `run`: one turn on a new thread or an old one, its text streamed. */
#include "client/approvals.h"
#include "client/cmd.h"
#include "client/session.h"
#include "client/text.h"
#include "client/turn_view.h"
#include "proto/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

const char cmd_run_help[] =
    "Runs one turn and streams its text to standard output. On a terminal it shows\n"
    "its place while it waits for a worker, and asks before Codex does what needs\n"
    "approval. Ctrl-C interrupts the turn, a second one leaves at once. The thread's\n"
    "id goes to standard error.\n"
    "\n"
    "  PROMPT         what to ask; - reads it from standard input; after -- it may\n"
    "                 start with a dash\n"
    "  --thread ID    go on with this thread instead of starting one\n"
    "  --cwd DIR      where Codex works; a new thread without it: here\n"
    "  --json         print each notification as a line instead of the text\n"
    "  --approve never|ask|always\n"
    "                 decline, ask or accept what needs approval; ask unless given;\n"
    "                 where there is no terminal to ask on, ask declines\n"
    "\n"
    "exit: 0 done, 1 the turn failed, 64 wrong usage, 69 no daemon there, 75 queue\n"
    "full, timed out or shutting down: try again, 130 interrupted\n";

/* So long an interrupted turn may take to end. */
#define INTERRUPT_PATIENCE_MS 5000
/* So long after its thread was closed the end of a turn may take to come. */
#define CLOSED_PATIENCE_MS 2000
#define PROMPT_MAX_BYTES ((size_t)64 * 1024 * 1024)

enum {
    GO_ON = -1, /* any other result of a handler is the exit code */
};

/* The request whose answer is awaited. */
enum step {
    STEP_INITIALIZE,
    STEP_SUBSCRIBE,
    STEP_OPEN,
    STEP_TURN,
    STEP_RUNNING, /* none: the turn runs */
};

struct run {
    struct session session;
    struct turn_view view;
    struct approvals approvals;
    char *prompt; /* a JSON string */
    char *cwd;    /* a JSON string or NULL */
    char *thread; /* raw, without quotes; NULL until it is known */
    bool resumes;
    enum step step;
    bool queued; /* the step's request waits in the daemon's queue */
    bool interrupted;
    bool leaves; /* at once */
    bool closed; /* the thread is, while its turn ran */
    int64_t deadline_ms;
};

static int request(struct run *r, const char *method, const char *format, ...) CP_PRINTF(3, 4);

static int request(struct run *r, const char *method, const char *format, ...)
{
    va_list args;
    _cleanup_free_ char *text = NULL;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    cJSON *params = text ? cJSON_CreateRaw(text) : NULL;
    if (!params || session_request(&r->session, method, params) < 0)
        return session_no_memory();
    return GO_ON;
}

static int open_thread(struct run *r)
{
    const char *key = r->cwd ? ",\"cwd\":" : "", *cwd = r->cwd ? r->cwd : "";
    r->step = STEP_OPEN;
    if (r->resumes)
        return request(r, "thread/resume", "{\"threadId\":\"%s\",\"excludeTurns\":true%s%s}",
                       r->thread, key, cwd);
    return request(r, "thread/start", "{%s%s}", r->cwd ? key + 1 : "", cwd);
}

static int start_turn(struct run *r, struct slice result)
{
    struct slice id = json_get_text(result, "thread.id");
    if (!id.p) {
        fputs("codex-pool: the answer names no thread\n", stderr);
        return CMD_FAILED;
    }
    free(r->thread);
    r->thread = slice_dup(id);
    if (!r->thread)
        return session_no_memory();
    if (!r->view.err_terminal)
        fprintf(stderr, "thread: %s\n", r->thread);
    r->step = STEP_TURN;
    return request(r, "turn/start",
                   "{\"threadId\":\"%s\",\"input\":[{\"type\":\"text\",\"text\":%s}]}", r->thread,
                   r->prompt);
}

static int on_response(struct run *r, const struct envelope *e)
{
    if (r->step == STEP_RUNNING || session_id(e->id) != r->session.last_id)
        return GO_ON;
    r->queued = false;
    turn_view_clear(&r->view);
    if (e->error.p) {
        turn_view_settle(&r->view);
        return session_error(e->error);
    }
    switch (r->step) {
    case STEP_INITIALIZE:
        r->step = STEP_SUBSCRIBE;
        return request(r, "pool/subscribe", "{\"events\":[\"queue\"]}");
    case STEP_SUBSCRIBE:
        return open_thread(r);
    case STEP_OPEN:
        return start_turn(r, e->result);
    default:
        r->step = STEP_RUNNING;
        return GO_ON;
    }
}

/* What a failed turn says of itself. */
static int turn_failed(struct run *r, const char *what, struct slice error)
{
    struct slice details = json_get_text(error, "additionalDetails");
    turn_view_settle(&r->view);
    fprintf(stderr, "codex-pool: the turn %s", what);
    if (json_get_text(error, "message").n) {
        fputs(": ", stderr);
        text_show_raw(stderr, json_get_text(error, "message"), "  ");
    }
    if (details.n) {
        fputs("\n  ", stderr);
        text_show_raw(stderr, details, "  ");
    }
    fputc('\n', stderr);
    return CMD_FAILED;
}

static int turn_completed(struct run *r, struct slice turn)
{
    struct slice status = json_get_text(turn, "status");
    if (r->interrupted)
        return CMD_INTERRUPTED;
    if (slice_is(status, "completed"))
        return CMD_DONE;
    return turn_failed(r, slice_is(status, "interrupted") ? "was interrupted" : "failed",
                       json_get(turn, "error"));
}

static int on_item_completed(struct run *r, struct slice item)
{
    if (r->view.json || !slice_is(json_get_text(item, "type"), "agentMessage"))
        return 0;
    return turn_view_message(&r->view, json_get_text(item, "id"), json_get_text(item, "text"));
}

/* Codex tries again by itself, for minutes: a person should know what it waits for. */
static void on_error(struct run *r, struct slice params)
{
    if (!slice_is(json_get(params, "willRetry"), "true"))
        return;
    turn_view_settle(&r->view);
    fputs("codex-pool: codex tries again: ", stderr);
    text_show_raw(stderr, json_get_text(params, "error.message"), "  ");
    fputc('\n', stderr);
}

/* A notification about our thread. */
static int on_thread(struct run *r, const struct envelope *e)
{
    struct slice params = e->params;
    int failed = 0;
    if (slice_is(e->method, "item/agentMessage/delta") && !r->view.json)
        failed = turn_view_delta(&r->view, json_get_text(params, "itemId"),
                                 json_get_text(params, "delta"));
    else if (slice_is(e->method, "item/completed"))
        failed = on_item_completed(r, json_get(params, "item"));
    else if (slice_is(e->method, "turn/completed") && r->step >= STEP_TURN)
        return turn_completed(r, json_get(params, "turn"));
    else if (slice_is(e->method, "error"))
        on_error(r, params);
    else if (slice_is(e->method, "thread/closed") && r->step == STEP_RUNNING && !r->interrupted) {
        r->closed = true;
        r->deadline_ms = session_now() + CLOSED_PATIENCE_MS;
    }
    return failed < 0 ? session_no_memory() : GO_ON;
}

static void on_queue(struct run *r, const struct envelope *e)
{
    if (session_id(json_get(e->params, "id")) != r->session.last_id)
        return;
    r->queued = slice_is(e->method, "pool/queued");
    if (r->queued)
        turn_view_waiting(&r->view, session_id(json_get(e->params, "position")),
                          session_id(json_get(e->params, "length")));
    else
        turn_view_clear(&r->view);
}

static int on_notification(struct run *r, struct slice line, const struct envelope *e)
{
    if (r->view.json && turn_view_line(&r->view, line) < 0)
        return session_no_memory();
    if (slice_is(e->method, "pool/queued") || slice_is(e->method, "pool/assigned"))
        on_queue(r, e);
    else if (slice_is(e->method, "serverRequest/resolved"))
        approvals_resolved(&r->approvals, json_get(e->params, "requestId"));
    else if (slice_is(e->method, "item/started"))
        approvals_item(&r->approvals, json_get(e->params, "item"));
    else if (r->thread && slice_is(e->thread_id, r->thread))
        return on_thread(r, e);
    return GO_ON;
}

static int on_line(struct run *r, struct slice line)
{
    struct envelope e;
    const char *why;
    if (envelope_scan(line, &e, &why) != ENVELOPE_OK) {
        if (!e.error.p)
            return GO_ON;
        turn_view_settle(&r->view);
        return session_error(e.error); /* of the connection, not of a request */
    }
    switch (e.kind) {
    case ENVELOPE_RESPONSE:
        return on_response(r, &e);
    case ENVELOPE_NOTIFICATION:
        return on_notification(r, line, &e);
    default:
        return approvals_request(&r->approvals, line, &e) < 0 ? session_no_memory() : GO_ON;
    }
}

/* Ctrl-C. While nothing runs, leaving is enough: the daemon takes us out of the queue. */
static int on_signal(struct run *r)
{
    if (r->interrupted || r->step < STEP_TURN || r->queued) {
        r->leaves = true;
        return CMD_INTERRUPTED;
    }
    r->interrupted = true;
    r->step = STEP_RUNNING;
    r->deadline_ms = session_now() + INTERRUPT_PATIENCE_MS;
    turn_view_settle(&r->view);
    if (r->view.err_terminal)
        fputs("interrupting; Ctrl-C again leaves at once\n", stderr);
    /* An empty turn id always works; a real one is refused in a turn's first milliseconds. */
    return request(r, "turn/interrupt", "{\"threadId\":\"%s\",\"turnId\":\"\"}", r->thread);
}

static int on_timeout(struct run *r)
{
    turn_view_settle(&r->view);
    if (r->closed) {
        fputs("codex-pool: the thread was closed while its turn ran\n", stderr);
        return CMD_FAILED;
    }
    fputs("codex-pool: the turn did not end in time; the daemon will see to it\n", stderr);
    return CMD_INTERRUPTED;
}

static int loop(struct run *r)
{
    struct slice line;
    cJSON *params = session_initialize_params();
    bool sent = params && session_request(&r->session, "initialize", params) == 0;
    int code = sent ? GO_ON : session_no_memory();
    while (code == GO_ON) {
        struct session_wait w = {
            .input = approvals_asking(&r->approvals) ? STDIN_FILENO : -1,
            .out = &r->view.out,
            .deadline_ms = r->deadline_ms,
        };
        switch (session_next(&r->session, &w, &line)) {
        case SESSION_LINE:
            code = on_line(r, line);
            break;
        case SESSION_SIGNAL:
            code = on_signal(r);
            break;
        case SESSION_INPUT:
            code = approvals_input(&r->approvals) < 0 ? session_no_memory() : GO_ON;
            break;
        case SESSION_TIMEOUT:
            code = on_timeout(r);
            break;
        case SESSION_OUTPUT_GONE:
            return CMD_FAILED;
        case SESSION_CLOSED:
            turn_view_settle(&r->view);
            code = r->interrupted ? CMD_INTERRUPTED : session_lost(&r->session);
        }
    }
    return code;
}

/* Writes what is left, and tells on a terminal how to go on. */
static int finish(struct run *r, int code)
{
    turn_view_clear(&r->view);
    if (turn_view_end(&r->view) < 0)
        return session_no_memory();
    bool written = r->leaves || session_drain(&r->session, &r->view.out);
    if (r->view.err_terminal && r->thread && r->step >= STEP_TURN)
        fprintf(stderr, "go on with: codex-pool run --thread %s PROMPT\n", r->thread);
    return code == CMD_DONE && !written ? CMD_FAILED : code;
}

/* All of standard input as a heap string of *n bytes; NULL (and a message) where it cannot be. */
static char *read_prompt(size_t *n)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    char chunk[64 * 1024];
    size_t got;
    while (to && size <= PROMPT_MAX_BYTES && (got = fread(chunk, 1, sizeof(chunk), stdin)) > 0) {
        fwrite(chunk, 1, got, to);
        fflush(to);
    }
    if (!to || fclose(to) != 0)
        (void)session_no_memory();
    else if (ferror(stdin))
        perror("codex-pool: cannot read standard input");
    else if (size > PROMPT_MAX_BYTES)
        fputs("codex-pool: the prompt is longer than 64 MiB\n", stderr);
    else {
        *n = size;
        return text;
    }
    free(text);
    return NULL;
}

/* The prompt as a JSON string; an exit code or GO_ON. */
static int take_prompt(const struct cmd *cmd, const char *operand, char **prompt)
{
    size_t n = strlen(operand);
    _cleanup_free_ char *text = strcmp(operand, "-") == 0 ? read_prompt(&n) : strdup(operand);
    if (!text)
        return CMD_FAILED;
    if (!n)
        return cmd_usage_error(cmd, "the prompt is empty");
    *prompt = text_quote((struct slice){text, n});
    if (!*prompt)
        return session_no_memory();
    if (!json_valid(slice_str(*prompt)))
        return cmd_usage_error(cmd, "the prompt is not UTF-8");
    return GO_ON;
}

/* Not resolved any further: the worker sees the directory, and this user may not. NULL with errno.
 */
static char *absolute(const char *directory)
{
    char *path = NULL;
    if (directory && *directory == '/')
        return strdup(directory);
    _cleanup_free_ char *here = getcwd(NULL, 0);
    if (!here ||
        asprintf(&path, "%s%s%s", here, directory ? "/" : "", directory ? directory : "") < 0)
        return NULL;
    return path;
}

static int take_cwd(const struct cmd *cmd, const char *directory, char **cwd)
{
    _cleanup_free_ char *path = absolute(directory);
    _cleanup_close_ int fd = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    /* One that this user may not enter may still be the worker's to enter. */
    if (!path || (fd < 0 && errno != EACCES))
        return cmd_usage_error(cmd, "--cwd %s: %s", directory ? directory : ".", strerror(errno));
    *cwd = text_quote(slice_str(path));
    if (!*cwd)
        return session_no_memory();
    if (!json_valid(slice_str(*cwd)))
        return cmd_usage_error(cmd, "the path of the directory is not UTF-8: %s", path);
    return GO_ON;
}

static int take_approve(const struct cmd *cmd, const char *value, enum approve *approve)
{
    static const char *const names[] = {
        [APPROVE_NEVER] = "never",
        [APPROVE_ASK] = "ask",
        [APPROVE_ALWAYS] = "always",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(value, names[i]) == 0) {
            *approve = (enum approve)i;
            return GO_ON;
        }
    }
    return cmd_usage_error(cmd, "--approve is never, ask or always, not '%s'", value);
}

/* An id is passed on as it is, so it must need no escapes. */
static int take_thread(const struct cmd *cmd, const char *id, char **thread)
{
    for (const char *p = id; *p; p++)
        if (*p <= ' ' || *p >= 0x7F || *p == '"' || *p == '\\')
            return cmd_usage_error(cmd, "'%s' is no thread's id", id);
    *thread = strdup(id);
    return *thread ? GO_ON : session_no_memory();
}

struct arguments {
    bool json;
    const char *thread, *cwd, *approve;
};

static int prepare(struct run *r, const struct cmd *cmd, const struct arguments *given, int argc,
                   char **argv, enum approve *approve)
{
    int code = GO_ON;
    *approve = APPROVE_ASK;
    if (argc < 1)
        return cmd_usage_error(cmd, "PROMPT is missing");
    if (argc > 1)
        return cmd_usage_error(cmd, "unexpected argument '%s' (quote a prompt of several words)",
                               argv[1]);
    if (given->approve)
        code = take_approve(cmd, given->approve, approve);
    if (code == GO_ON && given->thread)
        code = take_thread(cmd, given->thread, &r->thread);
    r->resumes = given->thread;
    if (code == GO_ON && (given->cwd || !given->thread))
        code = take_cwd(cmd, given->cwd, &r->cwd);
    return code == GO_ON ? take_prompt(cmd, argv[0], &r->prompt) : code;
}

int cmd_run(const struct cmd *cmd, const char *socket, int argc, char **argv)
{
    struct arguments given = {0};
    const struct cmd_option options[] = {
        {"--thread", NULL, &given.thread},
        {"--cwd", NULL, &given.cwd},
        {"--json", &given.json, NULL},
        {"--approve", NULL, &given.approve},
    };
    struct run r = {0};
    enum approve approve;
    int code = cmd_options(cmd, options, ARRAY_LEN(options), &argc, argv);
    if (code == CMD_OPTIONS_READ)
        code = prepare(&r, cmd, &given, argc, argv, &approve);
    if (code == GO_ON) {
        code = session_open(&r.session, socket, 0);
        turn_view_init(&r.view, given.json);
        approvals_init(&r.approvals, &r.session, &r.view, approve);
        if (code == CMD_DONE)
            code = finish(&r, loop(&r));
        approvals_deinit(&r.approvals);
        turn_view_deinit(&r.view);
        session_close(&r.session);
    }
    free(r.prompt);
    free(r.cwd);
    free(r.thread);
    return code;
}

#include "client/approvals.h"

#include "client/text.h"
#include "proto/json.h"
#include "proto/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <termios.h>

struct kind {
    const char *method;
    const char *what;   /* "codex wants to …" */
    const char *accept; /* the result; NULL: the permissions that were asked for, for this turn */
    const char *decline;
};

static const struct kind kinds[] = {
    {"item/commandExecution/requestApproval", "run a command", "{\"decision\":\"accept\"}",
     "{\"decision\":\"decline\"}"},
    {"item/fileChange/requestApproval", "change files", "{\"decision\":\"accept\"}",
     "{\"decision\":\"decline\"}"},
    {"item/permissions/requestApproval", "have more permissions for this turn", NULL,
     "{\"permissions\":{},\"scope\":\"turn\"}"},
    /* Of Codexes before there were items. */
    {"execCommandApproval", "run a command", "{\"decision\":\"approved\"}",
     "{\"decision\":{\"denied\":{\"rejection\":\"declined\"}}}"},
    {"applyPatchApproval", "change files", "{\"decision\":\"approved\"}",
     "{\"decision\":{\"denied\":{\"rejection\":\"declined\"}}}"},
};

struct question {
    struct list in_questions;
    const struct kind *kind;
    struct envelope e; /* of `line` */
    char line[];
};

void approvals_init(struct approvals *a, struct session *s, struct turn_view *v,
                    enum approve approve)
{
    *a = (struct approvals){
        .session = s,
        .view = v,
        .approve = approve,
        .can_ask = isatty(STDIN_FILENO) && isatty(STDERR_FILENO),
    };
    list_init(&a->questions);
    linebuf_init(&a->answers, 4096);
}

static void question_free(struct question *q)
{
    list_remove(&q->in_questions);
    free(q);
}

void approvals_deinit(struct approvals *a)
{
    list_for_each_safe (it, &a->questions)
        question_free(list_entry(it, struct question, in_questions));
    linebuf_deinit(&a->answers);
    free(a->change);
}

static const struct kind *find_kind(struct slice method)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (slice_is(method, kinds[i].method))
            return &kinds[i];
    return NULL;
}

static int answer(struct approvals *a, const struct kind *kind, const struct envelope *e,
                  bool accept)
{
    _cleanup_free_ char *granted = NULL;
    const char *result = accept ? kind->accept : kind->decline;
    if (!result) {
        struct slice wanted = json_get(e->params, "permissions");
        if (!wanted.n)
            wanted = SLICE("{}");
        if (asprintf(&granted, "{\"permissions\":%.*s,\"scope\":\"turn\"}", (int)wanted.n,
                     wanted.p) < 0) {
            granted = NULL;
            return -ENOMEM;
        }
        result = granted;
    }
    return session_send(a->session, rpc_result_raw(e->id, slice_str(result)));
}

/* Further lines of a value start below its first. */
static const char indent[] = "           ";

static void show_word(struct slice element, void *arg)
{
    bool *first = arg;
    if (!*first)
        fputc(' ', stderr);
    *first = false;
    text_show_raw(stderr, json_text(element), indent);
}

/* A line "  NAME  VALUE" for a string of the request's, an array of strings or any other value. */
static void show_member(const char *name, struct slice value)
{
    bool first = true;
    if (!value.n || slice_is(value, "null"))
        return;
    fprintf(stderr, "  %-8s ", name);
    if (value.p[0] == '"')
        text_show_raw(stderr, json_text(value), indent);
    else if (value.p[0] == '[')
        json_each(value, show_word, &first);
    else
        text_show(stderr, value, indent);
    fputc('\n', stderr);
}

static void show_file(struct slice path, struct slice kind)
{
    fprintf(stderr, "  %-8s ", "file");
    text_show_raw(stderr, path, indent);
    fputs(" (", stderr);
    text_show_raw(stderr, kind, indent);
    fputs(")\n", stderr);
}

static void show_change(struct slice change, void *arg)
{
    (void)arg;
    show_file(json_get_text(change, "path"), json_get_text(change, "kind.type"));
}

static void show_legacy_changes(struct slice changes)
{
    struct json_cursor c = {.p = changes.p, .end = changes.p + changes.n};
    struct slice path;
    bool first = true;
    if (!changes.n || !json_enter_object(&c))
        return;
    while (json_member(&c, &first, &path)) {
        show_file(path, json_get_text(json_skip(&c, 0), "type"));
    }
}

static void show_request(const struct approvals *a, const struct envelope *e)
{
    struct slice change = a->change ? slice_str(a->change) : SLICE_NULL;
    show_member("command", json_get(e->params, "command"));
    if (json_get_text(e->params, "itemId").p &&
        slice_eq(json_get_text(change, "id"), json_get_text(e->params, "itemId")))
        json_each(json_get(change, "changes"), show_change, NULL);
    show_legacy_changes(json_get(e->params, "fileChanges"));
    show_member("grants", json_get(e->params, "permissions"));
    show_member("below", json_get(e->params, "grantRoot"));
    show_member("host", json_get(e->params, "networkApprovalContext.host"));
    show_member("in", json_get(e->params, "cwd"));
    show_member("reason", json_get(e->params, "reason"));
}

static const char *what_it_wants(const struct kind *kind, const struct envelope *e)
{
    bool typing = slice_is(json_get_text(e->params, "kind"), "writeStdin");
    return typing ? "type into a running command" : kind->what;
}

static void tell(const struct approvals *a, const struct kind *kind, const struct envelope *e,
                 bool accept)
{
    bool nobody = a->approve == APPROVE_ASK;
    turn_view_settle(a->view);
    fprintf(stderr, "codex-pool: codex wants to %s: %s%s\n", what_it_wants(kind, e),
            accept ? "accepted" : "declined",
            nobody ? ", as there is no terminal to ask on (--approve always accepts)" : "");
    show_request(a, e);
}

static void ask(struct approvals *a)
{
    struct question *q = list_first(&a->questions, struct question, in_questions);
    if (!q)
        return;
    turn_view_settle(a->view);
    /* What was typed before the question was not meant for it. */
    (void)tcflush(STDIN_FILENO, TCIFLUSH);
    linebuf_deinit(&a->answers);
    linebuf_init(&a->answers, 4096);
    fprintf(stderr, "codex wants to %s\n", what_it_wants(q->kind, &q->e));
    show_request(a, &q->e);
    fputs("allow it? [y/N] ", stderr);
}

static int enqueue(struct approvals *a, const struct kind *kind, struct slice line)
{
    const char *why;
    struct question *q = malloc(sizeof(*q) + line.n);
    if (!q)
        return -ENOMEM;
    memcpy(q->line, line.p, line.n);
    q->kind = kind;
    bool first = list_empty(&a->questions);
    list_append(&a->questions, &q->in_questions);
    if (envelope_scan((struct slice){q->line, line.n}, &q->e, &why) != ENVELOPE_OK)
        abort(); /* the same bytes were a request a moment ago */
    if (first)
        ask(a);
    return 0;
}

int approvals_request(struct approvals *a, struct slice line, const struct envelope *e)
{
    const struct kind *kind = find_kind(e->method);
    if (!kind) {
        turn_view_settle(a->view);
        fputs("codex-pool: refused what codex asked of its client: ", stderr);
        text_show(stderr, e->method, "  ");
        fputc('\n', stderr);
        return session_send(a->session, session_refusal(e));
    }
    if (a->approve == APPROVE_ASK && a->can_ask)
        return enqueue(a, kind, line);
    bool accept = a->approve == APPROVE_ALWAYS;
    tell(a, kind, e, accept);
    return answer(a, kind, e, accept);
}

void approvals_item(struct approvals *a, struct slice item)
{
    if (!slice_is(json_get_text(item, "type"), "fileChange"))
        return;
    free(a->change);
    a->change = slice_dup(item);
}

void approvals_resolved(struct approvals *a, struct slice id)
{
    struct question *asked = list_first(&a->questions, struct question, in_questions);
    list_for_each_safe (it, &a->questions) {
        struct question *q = list_entry(it, struct question, in_questions);
        bool is_asked = q == asked;
        if (!slice_eq(q->e.id, id))
            continue;
        question_free(q);
        if (is_asked) {
            fputs("\nno answer is needed any more\n", stderr);
            ask(a);
        }
        return;
    }
}

bool approvals_asking(const struct approvals *a)
{
    return !list_empty(&a->questions);
}

/* The person's line: 1 yes, 0 no, -1 neither. */
static int understand(struct slice line)
{
    while (line.n && (line.p[0] == ' ' || line.p[0] == '\t'))
        line = (struct slice){line.p + 1, line.n - 1};
    while (line.n && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
        line.n--;
    if (!line.n || slice_is(line, "n") || slice_is(line, "N") || slice_is(line, "no"))
        return 0;
    return slice_is(line, "y") || slice_is(line, "Y") || slice_is(line, "yes") ? 1 : -1;
}

int approvals_input(struct approvals *a)
{
    struct question *q = list_first(&a->questions, struct question, in_questions);
    struct slice line = SLICE_NULL;
    if (!q)
        return 0;
    int r = linebuf_read(&a->answers, STDIN_FILENO);
    if (r == LINEBUF_AGAIN)
        return 0;
    if (r == LINEBUF_OK) {
        r = linebuf_next(&a->answers, &line);
        if (r == LINEBUF_NONE)
            return 0;
    }
    /* The end of the input, and whatever cannot be read, is a no. */
    int meaning = r == LINEBUF_OK ? understand(line) : 0;
    if (r != LINEBUF_OK)
        fputc('\n', stderr);
    if (meaning < 0) {
        fputs("y or n? ", stderr);
        return 0;
    }
    r = answer(a, q->kind, &q->e, meaning == 1);
    question_free(q);
    ask(a);
    return r;
}

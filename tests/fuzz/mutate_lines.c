/* How libFuzzer changes a session's script: half of the time by whole lines, since a change of
 * bytes mostly ends in a line that means nothing. Linked where there is a fuzzer only. */
#include "tests/fuzz/fuzz.h"

#define LINES_MAX 1000

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t max_size, unsigned seed);

/* What a session can always go on with. */
static const char *const more[] = {
    "c0 {\"id\":21,\"method\":\"thread/start\",\"params\":{\"x\":\"@\"}}",
    "c0 {\"id\":22,\"method\":\"turn/start\",\"params\":{\"threadId\":\"~0\",\"x\":\"@\"}}",
    "c0 {\"id\":23,\"method\":\"thread/resume\",\"params\":{\"threadId\":\"~0\",\"x\":\"@\"}}",
    "c0 {\"id\":24,\"method\":\"thread/resume\",\"params\":{\"threadId\":\"T\",\"model\":\"@\"}}",
    "c0 {\"id\":25,\"method\":\"turn/start\",\"params\":{\"threadId\":\"T\",\"x\":\"@\"}}",
    "c0 {\"id\":26,\"method\":\"thread/unsubscribe\",\"params\":{\"threadId\":\"~0\"}}",
    "c0 {\"id\":27,\"method\":\"turn/interrupt\",\"params\":{\"threadId\":\"~0\",\"turnId\":\"\"}}",
    "c0 {\"id\":28,\"method\":\"thread/archive\",\"params\":{\"threadId\":\"~0\"}}",
    "c0 {\"id\":29,\"method\":\"process/spawn\",\"params\":{\"processHandle\":\"p\",\"x\":\"@\"}}",
    "c0 {\"id\":30,\"method\":\"pool/acquire\",\"params\":{}}",
    "c0 {\"id\":31,\"method\":\"pool/acquire\",\"params\":{\"threadId\":\"~0\",\"timeoutMs\":500}}",
    "c0 {\"id\":32,\"method\":\"pool/release\"}",
    "c0 {\"id\":33,\"method\":\"pool/cancel\",\"params\":{\"id\":21}}",
    "c0 {\"id\":34,\"method\":\"pool/status\"}",
    "c0 {\"id\":35,\"method\":\"model/list\",\"params\":{\"x\":\"@\"}}",
    "c0 {\"id\":36,\"method\":\"thread/goal/set\",\"params\":{\"threadId\":\"~0\",\"x\":\"@\"}}",
    "c0 {\"id\":37,\"method\":\"thread/read\",\"params\":{\"threadId\":\"~0\",\"x\":\"@\"}}",
    "c0 {\"id\":38,\"method\":\"account/login/start\",\"params\":{\"x\":\"@\"}}",
    "c0 {\"id\":39,\"method\":\"command/exec\",\"params\":{\"processId\":\"e\",\"x\":\"@\"}}",
    "c0 {\"id\":40,\"method\":\"pool/resize\",\"params\":{\"size\":1}}",
    "c0 {\"id\":41,\"method\":\"pool/resize\",\"params\":{\"size\":3}}",
    "c0 {\"id\":42,\"method\":\"pool/recycle\",\"params\":{}}",
    "c0 {\"id\":43,\"method\":\"pool/recycle\",\"params\":{\"worker\":1}}",
    "c0 {\"id\":44,\"method\":\"pool/pause\"}",
    "c0 {\"id\":45,\"method\":\"pool/resume\"}",
    "c0 {\"id\":46,\"method\":\"pool/drain\"}",
    "c0 {\"id\":47,\"method\":\"pool/interrupt\",\"params\":{\"threadId\":\"~0\"}}",
    "c0 {\"id\":48,\"method\":\"pool/kick\",\"params\":{\"client\":2}}",
    "c0 {\"id\":49,\"method\":\"pool/cancel\",\"params\":{\"client\":2,\"id\":21}}",
    "c0 {\"id\":50,\"method\":\"pool/reload\"}",
    "c0 {\"id\":51,\"method\":\"pool/detach\",\"params\":{\"ttlMs\":500}}",
    "n1",
    "c1 {\"id\":52,\"method\":\"pool/attach\",\"params\":{\"token\":"
    "\"00000000000000000000000000000001\"}}",
    "C1 {\"id\":53,\"method\":\"pool/attach\",\"params\":{\"token\":"
    "\"00000000000000000000000000000002\"}}\n",
    "c0 {\"id\":0,\"result\":{\"decision\":\"accept\"}}",
    "w0 {\"id\":0,\"method\":\"item/tool/call\",\"params\":{\"threadId\":\"~0\"}}",
    "w0 {\"id\":1,\"method\":\"item/x/requestApproval\",\"params\":{\"threadId\":\"~0\"}}",
    "w0 {\"method\":\"serverRequest/resolved\",\"params\":{\"threadId\":\"~0\",\"requestId\":1}}",
    "w0 {\"method\":\"item/agentMessage/delta\",\"params\":{\"threadId\":\"~0\"}}",
    "w0 {\"method\":\"turn/started\",\"params\":{\"threadId\":\"~0\",\"turn\":{\"id\":\"t\"}}}",
    "w0 {\"method\":\"turn/started\",\"params\":{\"threadId\":\"S\",\"turn\":{\"id\":\"t\"}}}",
    "w0 {\"method\":\"turn/completed\",\"params\":{\"threadId\":\"~0\",\"turn\":{\"id\":\"t\","
    "\"status\":\"completed\"}}}",
    "w0 {\"method\":\"thread/status/changed\",\"params\":{\"threadId\":\"~0\",\"status\":"
    "{\"type\":\"idle\"}}}",
    "w0 {\"method\":\"thread/closed\",\"params\":{\"threadId\":\"~0\"}}",
    "w0 {\"method\":\"thread/queue/changed\",\"params\":{\"threadId\":\"~0\"}}",
    "w0 {\"method\":\"thread/settings/updated\",\"params\":{\"threadId\":\"~0\","
    "\"threadSettings\":{\"model\":\"n\",\"cwd\":\"/y\"}}}",
    "r0",
    "R0",
    "r0 {\"status\":\"notLoaded\"}",
    "r0 {\"data\":[\"~0\",\"T\"]}",
    "f0 {\"code\":-32600,\"message\":\"thread T already has an active writer\"}",
    "f0 {\"code\":-32001,\"message\":\"overloaded\"}",
    "x0",
    "n0",
    "y0",
    "d0",
    "z0",
    "a0",
    "k0 1",
    "K0",
    "o",
    "m",
    "p1",
    "p2",
    "t 25",
    "t 60",
    "t 1100",
    "t 11000",
    "t 61000",
    "s",
    "h {\"poolSize\":1}",
    "h {\"poolSize\":3,\"moves\":\"resume\"}",
};

struct lines {
    struct slice line[LINES_MAX];
    size_t n;
};

static void split(struct lines *to, struct slice text)
{
    to->n = 0;
    while (text.n && to->n < LINES_MAX)
        to->line[to->n++] = fuzz_cut(&text, '\n');
}

static size_t join(const struct lines *from, uint8_t *to, size_t max_size)
{
    size_t size = 0;
    for (size_t i = 0; i < from->n && size + from->line[i].n + 1 <= max_size; i++) {
        if (from->line[i].n)
            memcpy(to + size, from->line[i].p, from->line[i].n);
        size += from->line[i].n;
        to[size++] = '\n';
    }
    return size;
}

static void insert(struct lines *l, size_t at, struct slice line)
{
    if (l->n == LINES_MAX)
        return;
    memmove(&l->line[at + 1], &l->line[at], (l->n - at) * sizeof(l->line[0]));
    l->line[at] = line;
    l->n++;
}

/* Another place or client for what a line does. The line is written to. */
static void retarget(struct slice line, unsigned seed)
{
    char *digit = line.n > 1 ? (char *)(uintptr_t)line.p + 1 : NULL;
    if (digit && *digit >= '0' && *digit <= '9')
        *digit = (char)('0' + seed % 3);
}

static void change(struct lines *l, unsigned seed)
{
    size_t from = seed / 8 % (l->n ? l->n : 1), to = seed / 4096 % (l->n + 1);
    switch (l->n ? seed % 8 : 7) {
    case 0:
        memmove(&l->line[from], &l->line[from + 1], (--l->n - from) * sizeof(l->line[0]));
        break;
    case 1:
        insert(l, to, l->line[from]);
        break;
    case 2:
        if (to < l->n) {
            struct slice line = l->line[to];
            l->line[to] = l->line[from];
            l->line[from] = line;
        }
        break;
    case 3:
        retarget(l->line[from], seed / 65536);
        break;
    default:
        insert(l, to, slice_str(more[seed / 64 % ARRAY_LEN(more)]));
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static struct lines lines;
    if (seed & 1)
        return LLVMFuzzerMutate(data, size, max_size);
    struct slice copy = fuzz_exact(data, size);
    split(&lines, copy);
    /* Not always evenly spread, and that is good enough. */
    for (unsigned i = 0; i <= seed / 2 % 4; i++)
        change(&lines, (seed + i) * 2654435761U);
    size = join(&lines, data, max_size);
    free((char *)copy.p);
    return size;
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t max_size, unsigned seed)
{
    static struct lines one, other;
    split(&one, (struct slice){(const char *)a, a_size});
    split(&other, (struct slice){(const char *)b, b_size});
    size_t from = other.n ? seed % other.n : 0, n = 1 + seed / 256 % 8;
    size_t at = seed / 4096 % (one.n + 1);
    for (size_t i = 0; i < n && from + i < other.n; i++)
        insert(&one, at + i, other.line[from + i]);
    return join(&one, out, max_size);
}

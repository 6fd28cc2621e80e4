/* What reading a message's envelope costs, beside cJSON making a tree of the line: scan SIZE
 * SECONDS. */
#include "proto/envelope.h"
#include "tests/bench/speed/util.h"
#include "tests/bench/speed/wire.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <time.h>

/* Linked with --wrap: what proto/ asks of the allocator is counted; cJSON, a library, is given
 * these as hooks. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);

static size_t allocations;

void *__wrap_malloc(size_t n)
{
    allocations++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    allocations++;
    return __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
    allocations++;
    return __real_realloc(p, n);
}

static void scan(struct slice line)
{
    struct envelope e;
    const char *why;
    if (envelope_scan(line, &e, &why) != ENVELOPE_OK || e.thread_id.n != THREAD_ID_LEN)
        die("the envelope was not read");
}

static void parse(struct slice line)
{
    cJSON *tree = cJSON_ParseWithLength(line.p, line.n);
    if (!tree)
        die("the line was not parsed");
    cJSON_Delete(tree);
}

struct cost {
    double ns, allocations;
};

/* Of this thread, whatever else the machine does. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct cost measure(void (*read)(struct slice), struct slice line, double seconds)
{
    size_t lines = 0, before = allocations;
    uint64_t begin = cpu_ns(), end = begin + (uint64_t)(seconds * 1e9), now;
    do {
        for (int i = 0; i < 64; i++)
            read(line);
        lines += 64;
        now = cpu_ns();
    } while (now < end);
    return (struct cost){(double)(now - begin) / (double)lines,
                         (double)(allocations - before) / (double)lines};
}

int main(int argc, char **argv)
{
    if (argc != 3)
        die("usage: speed-scan SIZE SECONDS");
    size_t size = strtoul(argv[1], NULL, 10);
    double seconds = strtod(argv[2], NULL);
    _cleanup_free_ char *line = must(malloc(size));
    cJSON_Hooks hooks = {.malloc_fn = __wrap_malloc, .free_fn = free};
    cJSON_InitHooks(&hooks);
    wire_delta(line, size, "019b0000-0000-7000-8000-000000000001", 1);
    struct slice bytes = {line, size - 1};
    struct cost tree = measure(parse, bytes, seconds), envelope = measure(scan, bytes, seconds);
    (void)printf(
        "{\"cjsonNs\":%.2f,\"cjsonAllocations\":%.2f,\"scanNs\":%.2f,\"scanAllocations\":%.2f}\n",
        tree.ns, tree.allocations, envelope.ns, envelope.allocations);
    return fflush(stdout) != 0;
}

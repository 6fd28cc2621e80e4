/* Round trips: of small messages, alone or beside a stream, and of one long line. */
#include "tests/bench/speed/load.h"
#include "tests/bench/speed/wire.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define WARM_UP 500
#define GIVE_BACK_MS 3000

static void open_thread(struct peer *p, const struct options *o, char thread[THREAD_ID_LEN + 1])
{
    peer_open(p, &o->to);
    peer_send_hello(p);
    peer_send_thread_start(p);
    line_string(peer_answer(p, 2), "\"thread\":{\"id\":\"", thread, THREAD_ID_LEN);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double percentile_us(const uint64_t *sorted, size_t n, unsigned percent)
{
    size_t at = (n * percent + 99) / 100;
    return (double)sorted[at ? at - 1 : 0] / 1000;
}

static uint64_t trip(struct peer *p, unsigned long id)
{
    uint64_t begin = now_ns();
    peer_send(p, "{\"id\":%lu,\"method\":\"model/list\",\"params\":{\"cursor\":null,\"limit\":20}}",
              id);
    (void)peer_answer(p, id);
    return now_ns() - begin;
}

/* `count` trips, one each `pause_ns` or at once after the other; sorted. */
static void trips(struct peer *p, unsigned long *id, uint64_t *took, size_t count, long pause_ns)
{
    for (size_t i = 0; i < count; i++) {
        if (pause_ns)
            (void)nanosleep(&(struct timespec){.tv_nsec = pause_ns}, NULL);
        took[i] = trip(p, ++*id);
    }
    qsort(took, count, sizeof(*took), by_size);
}

void load_trips(const struct options *o)
{
    struct peer p;
    struct usage usage;
    char thread[THREAD_ID_LEN + 1];
    unsigned long id = 10;
    _cleanup_free_ uint64_t *took = must(calloc(o->count + WARM_UP, sizeof(*took)));
    open_thread(&p, o, thread);
    trips(&p, &id, took, WARM_UP, 0);
    usage_begin(&usage, o->relay);
    trips(&p, &id, took, o->count, 0);
    usage_sample(&usage);
    peer_close(&p);
    (void)printf("{\"messages\":%zu,\"p50us\":%.3f,\"p99us\":%.3f,\"cpuNs\":%llu}\n", o->count,
                 percentile_us(took, o->count, 50), percentile_us(took, o->count, 99),
                 (unsigned long long)usage_cpu_ns(&usage));
}

/* A line of o->size bytes with its newline; the text ends in the number of the trip. */
static char *long_line(const struct options *o, size_t *text_at)
{
    char *line = must(malloc(o->size + 1));
    int n = snprintf(line, o->size, "{\"id\":10,\"method\":\"bench/echo\",\"params\":{\"text\":\"");
    if (n < 0 || (size_t)n + 4 > o->size)
        die("a line of %zu bytes is too short", o->size);
    *text_at = (size_t)n;
    wire_text(line + n, o->size - (size_t)n - 4);
    memcpy(line + o->size - 4, "\"}}\n", 4);
    return line;
}

/* All of a long answer into `to`, which has room for it; how long it is. */
static size_t read_answer(struct peer *p, char *to, size_t room)
{
    size_t n = 0;
    while (n == 0 || to[n - 1] != '\n') {
        ssize_t got = read(p->out, to + n, room - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            die("the connection ended after %zu bytes of an answer", n);
        n += (size_t)got;
    }
    return n;
}

static uint64_t resident(pid_t relay)
{
    return memory_of(relay, "status", "VmRSS:");
}

/* How much more is resident than before, once that has come to rest. */
static uint64_t kept(pid_t relay, uint64_t before)
{
    uint64_t now = resident(relay);
    for (int i = 0; i < GIVE_BACK_MS / 10 && now > before + 1024 * 1024; i++) {
        (void)usleep(10000);
        now = resident(relay);
    }
    return now > before ? now - before : 0;
}

void load_line(const struct options *o)
{
    struct peer p;
    struct usage usage;
    char thread[THREAD_ID_LEN + 1];
    size_t text_at;
    _cleanup_free_ char *line = long_line(o, &text_at);
    _cleanup_free_ char *answer = must(malloc(o->size + 64));
    const char *head = "{\"id\":10,\"result\":{\"text\":\"";
    memset(answer, 1, o->size + 64);
    open_thread(&p, o, thread);
    uint64_t idle = resident(o->relay);
    forget_peak(o->relay);
    usage_begin(&usage, o->relay);
    uint64_t begin = now_ns();
    write_all(p.in, line, o->size);
    /* A notification or two may still come before it. */
    size_t n = read_answer(&p, answer, o->size + 64);
    uint64_t end = now_ns();
    usage_sample(&usage);
    size_t text = o->size - text_at;
    if (n != strlen(head) + text || memcmp(answer, head, strlen(head)) != 0 ||
        memcmp(answer + strlen(head), line + text_at, text) != 0)
        die("the answer of %zu bytes is not what was sent", n);
    uint64_t peak = memory_of(o->relay, "status", "VmHWM:");
    uint64_t left = kept(o->relay, idle);
    peer_close(&p);
    (void)printf("{\"messages\":2,\"bytes\":%zu,\"seconds\":%.9f,\"cpuNs\":%llu,\"peakBytes\":%llu,"
                 "\"keptBytes\":%llu}\n",
                 o->size, (double)(end - begin) / 1e9, (unsigned long long)usage_cpu_ns(&usage),
                 (unsigned long long)(peak > idle ? peak - idle : 0), (unsigned long long)left);
}

/* Takes a stream that does not end, and counts its bytes. */
static void __attribute__((noreturn))
consume(const struct options *o, volatile uint64_t *bytes, pid_t parent)
{
    struct peer p;
    char thread[THREAD_ID_LEN + 1];
    static char buffer[256 * 1024];
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        exit(1);
    open_thread(&p, o, thread);
    peer_send(
        &p,
        "{\"id\":3,\"method\":\"turn/start\",\"params\":{\"threadId\":\"%s\",\"input\":[{\"type\":"
        "\"text\",\"text\":\"stream 1000000000 %zu %s %u\"}]}}",
        thread, o->size, o->how, o->rate);
    for (;;) {
        ssize_t n = read(p.out, buffer, sizeof(buffer));
        if (n <= 0)
            die("the stream beside has ended");
        *bytes += (uint64_t)n;
    }
}

#define QUIET_PAUSE_NS 500000

void load_quiet(const struct options *o)
{
    struct peer p;
    char thread[THREAD_ID_LEN + 1];
    unsigned long id = 10;
    _cleanup_free_ uint64_t *idle = must(calloc(o->count, sizeof(*idle)));
    _cleanup_free_ uint64_t *busy = must(calloc(o->count, sizeof(*busy)));
    volatile uint64_t *bytes =
        mmap(NULL, sizeof(*bytes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        die("mmap: %s", strerror(errno));
    open_thread(&p, o, thread);
    trips(&p, &id, idle, o->count, QUIET_PAUSE_NS);
    pid_t parent = getpid(), beside = fork();
    if (beside < 0)
        die("fork: %s", strerror(errno));
    if (beside == 0)
        consume(o, bytes, parent);
    while (*bytes < 10 * o->size) {
        (void)usleep(1000);
        if (waitpid(beside, NULL, WNOHANG) == beside)
            die("there is no stream beside");
    }
    uint64_t begin = now_ns(), before = *bytes;
    trips(&p, &id, busy, o->count, QUIET_PAUSE_NS);
    double rate = (double)(*bytes - before) / ((double)(now_ns() - begin) / 1e9);
    (void)kill(beside, SIGKILL);
    (void)waitpid(beside, NULL, 0);
    peer_close(&p);
    (void)printf("{\"messages\":%zu,\"idleP50us\":%.3f,\"idleP99us\":%.3f,\"busyP50us\":%.3f,"
                 "\"busyP99us\":%.3f,\"beside\":%.0f}\n",
                 2 * o->count, percentile_us(idle, o->count, 50), percentile_us(idle, o->count, 99),
                 percentile_us(busy, o->count, 50), percentile_us(busy, o->count, 99), rate);
}

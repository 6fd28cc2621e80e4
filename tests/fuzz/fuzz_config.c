/* The configuration's text. One that is taken, printed and read again is the same; one that is not
 * is refused with words that name where it came from. */
#include "daemon/config.h"
#include "proto/json.h"
#include "tests/fuzz/fuzz.h"

static const struct config_flags no_flags = {.log_level = -1, .log_format = -1, .socket = "/x"};

static void check_ranges(const struct config *c)
{
    int64_t value;
    for (size_t i = 0; config_number(c, i, &value); i++)
        MUST(value >= 0, "a setting below zero");
    MUST(c->min_workers <= c->pool_size && c->pool_size >= 1 && c->pool_size <= 256, "poolSize");
    MUST((c->socket_mode & ~0777U) == 0, "socketMode");
}

static void check_again(const struct config *c)
{
    _cleanup_free_ char *text = config_print(c);
    _cleanup_free_ char *error = NULL;
    MUST(text, "out of memory");
    struct config *again = config_parse(text, "printed", &no_flags, &error);
    MUST(again, "refuses what it has printed: %s: %s", error, text);
    _cleanup_free_ char *same = config_print(again);
    MUST(same && strcmp(same, text) == 0, "another configuration: %s: %s", text, same);
    MUST(config_same_codex(c, again) && config_same_codex(again, c), "another codex: %s", text);
    (void)config_denies(c, SLICE("thread/start"));
    config_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = {(const char *)data, size};
    _cleanup_free_ char *text = slice_dup(all);
    _cleanup_free_ char *error = NULL;
    struct config *c = config_parse(text, "input", &no_flags, &error);
    if (c) {
        MUST(!error, "an error and a configuration");
        check_ranges(c);
        check_again(c);
    } else {
        MUST(error && strncmp(error, "input: ", 7) == 0, "no reason");
    }
    config_free(c);
    return 0;
}

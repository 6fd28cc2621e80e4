#include "client/cmd.h"

#include <stdarg.h>
#include <stdio.h>

int cmd_print_help(const struct cmd *cmd)
{
    printf("usage: codex-pool %s\n\n%s", cmd->usage, cmd->help);
    return CMD_DONE;
}

int cmd_usage_error(const struct cmd *cmd, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "codex-pool %s: ", cmd->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nusage: codex-pool %s\n", cmd->usage);
    return CMD_USAGE;
}

static const struct cmd_option *find(const struct cmd_option *options, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_is(name, options[i].name))
            return &options[i];
    return NULL;
}

/* Reads the option at argv[*i], moving *i on to its value where it has one. */
static int read_option(const struct cmd *cmd, const struct cmd_option *options, size_t n, int argc,
                       char **argv, int *i)
{
    const char *text = argv[*i];
    const char *equals = strchr(text, '=');
    struct slice name = {text, equals ? (size_t)(equals - text) : strlen(text)};
    const struct cmd_option *option = find(options, n, name);
    if (!option)
        return cmd_usage_error(cmd, "unknown option '%s'", text);
    if (option->flag) {
        if (equals)
            return cmd_usage_error(cmd, "'%s' takes no value", option->name);
        *option->flag = true;
        return CMD_OPTIONS_READ;
    }
    if (!equals && *i + 1 >= argc)
        return cmd_usage_error(cmd, "'%s' needs a value", option->name);
    *option->value = equals ? equals + 1 : argv[++*i];
    if (!**option->value)
        return cmd_usage_error(cmd, "the value of '%s' is empty", option->name);
    return CMD_OPTIONS_READ;
}

int cmd_options(const struct cmd *cmd, const struct cmd_option *options, size_t n, int *argc,
                char **argv)
{
    int operands = 0;
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            for (i++; i < *argc; i++)
                argv[operands++] = argv[i];
            break;
        }
        if (argv[i][0] != '-' || !argv[i][1]) {
            argv[operands++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return cmd_print_help(cmd);
        int r = read_option(cmd, options, n, *argc, argv, &i);
        if (r != CMD_OPTIONS_READ)
            return r;
    }
    *argc = operands;
    return CMD_OPTIONS_READ;
}

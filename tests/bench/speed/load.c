#include "tests/bench/speed/load.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>

static const struct {
    const char *name;
    void (*run)(const struct options *o);
} modes[] = {
    {"stream", load_stream},   {"trips", load_trips},     {"line", load_line},
    {"handoff", load_handoff}, {"waiters", load_waiters}, {"fair", load_fair},
    {"quiet", load_quiet},
};

static const struct option known[] = {
    {"socket", required_argument, NULL, 's'},
    {"worker", required_argument, NULL, 'w'},
    {"relay", required_argument, NULL, 'r'},
    {"cpu", required_argument, NULL, 'c'},
    {"count", required_argument, NULL, 'n'},
    {"size", required_argument, NULL, 'z'},
    {"how", required_argument, NULL, 'h'},
    {"clients", required_argument, NULL, 'k'},
    {"seconds", required_argument, NULL, 't'},
    {"rate", required_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

static void read_option(struct options *o, int option)
{
    switch (option) {
    case 's':
        o->to.socket = optarg;
        break;
    case 'w':
        o->to.worker = optarg;
        break;
    case 'r':
        o->relay = (pid_t)strtol(optarg, NULL, 10);
        break;
    case 'c':
        pin_to((int)strtol(optarg, NULL, 10));
        break;
    case 'n':
        o->count = strtoul(optarg, NULL, 10);
        break;
    case 'z':
        o->size = strtoul(optarg, NULL, 10);
        break;
    case 'h':
        o->how = optarg;
        break;
    case 'k':
        o->clients = (unsigned)strtoul(optarg, NULL, 10);
        break;
    case 't':
        o->seconds = strtod(optarg, NULL);
        break;
    case 'v':
        o->rate = (unsigned)strtoul(optarg, NULL, 10);
        break;
    default:
        die("unknown option");
    }
}

int main(int argc, char **argv)
{
    struct options o = {.count = 1, .size = 280, .how = "whole", .clients = 1, .seconds = 1};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        read_option(&o, option);
    (void)signal(SIGPIPE, SIG_IGN);
    raise_fd_limit();
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (argc == optind + 1 && strcmp(argv[optind], modes[i].name) == 0) {
            modes[i].run(&o);
            return fflush(stdout) != 0;
        }
    }
    die("usage: speed-load MODE --socket PATH|--worker PROGRAM [OPTION...]");
}

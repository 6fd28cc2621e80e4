/* What the programs of the speed benchmark share. Any failure ends the program: it measures nothing
 * then. */
#ifndef SPEED_UTIL_H
#define SPEED_UTIL_H

#include "proto/base.h"

#include <stdint.h>
#include <sys/types.h>

void die(const char *format, ...) CP_PRINTF(1, 2) __attribute__((noreturn));

uint64_t now_ns(void);

/* To a blocking descriptor; false with errno where that fails. */
bool write_whole(int fd, const void *bytes, size_t n) CP_MUSTCHECK;
/* The same; dies where it fails. */
void write_all(int fd, const void *bytes, size_t n);

void *must(void *allocated);

void set_nonblocking(int fd);

/* From then on this process and its children run on that core alone. */
void pin_to(int cpu);

/* As many descriptors as the system allows. */
void raise_fd_limit(void);

/* A Unix socket that does not block; it is there when it can be connected to. */
int listen_at(const char *path);

/* A program with pipes of 1 MB as its stdin and stdout. It ends with this process. */
struct child {
    pid_t pid;
    int in;  /* writes to its stdin */
    int out; /* reads its stdout */
};
struct child spawn_piped(const char *program);

#endif

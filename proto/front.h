/* The front of a notification as Codex writes it: {"method":"M","params":{"threadId":"T" …
 * (measured on Codex 0.169; an id, where there is one, comes before the params). All that decides
 * where such a line goes, at a small part of the cost of reading it whole. */
#ifndef PROTO_FRONT_H
#define PROTO_FRONT_H

#include "proto/base.h"

struct front {
    struct slice method;    /* without quotes; borrowed from the line, as all */
    struct slice thread_id; /* without quotes */
    size_t n;               /* bytes of the line up to here */
};

/* False where the line looks different, which says nothing of what it is. Where it is true and the
 * line is a notification to envelope_scan, both have found the same method and thread. */
bool front_scan(struct slice line, struct front *f) CP_MUSTCHECK;

/* The method is one that brings a piece of an item, and nothing else: item/agentMessage/delta,
 * item/commandExecution/outputDelta, … */
bool front_is_delta(const struct front *f) CP_MUSTCHECK;

#endif

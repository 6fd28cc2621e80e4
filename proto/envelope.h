/* What the daemon must know of a message, read in one pass over its line without a copy.
 *
 * The dialect of `codex app-server`: one JSON object a line, JSON-RPC 2.0 without the need for a
 * "jsonrpc" member; ids are strings or 64-bit integers (measured on Codex 0.169: others get no
 * answer at all). */
#ifndef PROTO_ENVELOPE_H
#define PROTO_ENVELOPE_H

#include "proto/base.h"

enum envelope_kind {
    ENVELOPE_REQUEST,
    ENVELOPE_NOTIFICATION,
    ENVELOPE_RESPONSE,
};

/* All slices are borrowed from the line; SLICE_NULL where the message has no such member. */
struct envelope {
    enum envelope_kind kind;
    struct slice id;        /* raw, a string's quotes included */
    struct slice method;    /* raw, without quotes */
    struct slice params;    /* raw value */
    struct slice result;    /* raw value */
    struct slice error;     /* raw value */
    struct slice thread_id; /* params.threadId, else params.thread.id, else params.conversationId */
};

enum {
    ENVELOPE_OK = 0,
    ENVELOPE_NOT_JSON = 1, /* not one JSON value, or nested too deep */
    ENVELOPE_INVALID = 2,  /* JSON, but no message of this protocol */
};

/* Reads a line. On anything but ENVELOPE_OK, *why says what is wrong in a few words (static), and
 * e->id is the id if a usable one was read. */
int envelope_scan(struct slice line, struct envelope *e, const char **why) CP_MUSTCHECK;

#endif

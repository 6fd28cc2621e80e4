/* cJSON as the reference for the scanner that builds no tree, and where the two may differ.
 *
 * Of what cJSON 1.7 takes, the scanner refuses what RFC 8259 or Codex refuses:
 *   - bytes other than space, tab, newline and return between tokens (cJSON skips all up to 0x20);
 *   - a zero byte (cJSON takes it for the end), and a byte order mark;
 *   - control characters in strings, and bytes that are no UTF-8;
 *   - \u followed by anything but four hex digits;
 *   - numbers with leading zeros, or without digits around the point or in the exponent;
 *   - more than JSON_MAX_DEPTH containers in each other (cJSON: 1000).
 * Of what the scanner takes, cJSON refuses numbers of more than 63 characters.
 * Everything else must be the same. */
#ifndef TESTS_FUZZ_REFERENCE_H
#define TESTS_FUZZ_REFERENCE_H

#include "proto/base.h"

#include <cjson/cJSON.h>

/* The text's tree, all of the text being one value; NULL where cJSON says that it is none. */
cJSON *reference_parse(struct slice text);

/* Which of the above cJSON has let pass in this text that it has parsed; NULL: none. */
const char *reference_laxness(struct slice text);

/* A number in it is longer than cJSON takes. */
bool reference_long_number(struct slice text);

/* The text's value is this part of a tree, down to its last number. */
bool reference_same(struct slice text, const cJSON *tree);

#endif

/* JSON's strings and people's: unescape, quote, show on a terminal, print a whole document. */
#ifndef CLIENT_TEXT_H
#define CLIENT_TEXT_H

#include "proto/base.h"

#include <stdio.h>

/* The characters of a valid string's raw text (without its quotes) as UTF-8: *n bytes, which may
 * contain NUL, and a NUL after them. The caller's to free; NULL when out of memory. */
char *text_unescape(struct slice raw, size_t *n);

/* Bytes as a JSON string, quotes included; the caller's to free, NULL when out of memory. Bytes
 * that are no UTF-8 stay as they are (json_valid tells). */
char *text_quote(struct slice bytes);

/* The length of the UTF-8 sequence at p, of which `left` > 0 bytes are there, and its character; of
 * a broken one it is one byte, U+FFFD. */
size_t text_decode(const char *p, size_t left, unsigned *code);

/* Writes UTF-8 so that it cannot move the cursor, colour the screen or reorder what is read:
 * control and direction characters are spelled out, a line feed is followed by `indent`. */
void text_show(FILE *to, struct slice bytes, const char *indent);

/* As text_show, of a raw string's characters; nothing for SLICE_NULL. */
void text_show_raw(FILE *to, struct slice raw, const char *indent);

/* A copy of prose for a terminal: only control characters other than tab and line feed are spelled
 * out. *n bytes; the caller's to free, NULL when out of memory. */
char *text_for_terminal(struct slice bytes, size_t *n);

/* A valid JSON text over several lines, its numbers and strings as they are. */
void text_pretty(FILE *to, struct slice json);

#endif

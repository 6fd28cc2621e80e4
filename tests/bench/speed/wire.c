#include "tests/bench/speed/wire.h"

#include "tests/bench/speed/util.h"

#include <stdio.h>

#define BATCH ((size_t)256 * 1024)

static const char sentence[] =
    "What stands in a delta is a few words of what the model says, and now a line:\\n";

size_t wire_cycle(size_t size)
{
    size_t lines = BATCH / size;
    return lines < 2 ? 2 : lines;
}

void wire_text(char *to, size_t n)
{
    size_t period = sizeof(sentence) - 1;
    for (; n >= period; n -= period, to += period)
        memcpy(to, sentence, period);
    memset(to, 'x', n);
}

void wire_tail(char tail[WIRE_TAIL], size_t n)
{
    for (int i = 7; i >= 0; i--, n /= 10)
        tail[i] = (char)('0' + n % 10);
    memcpy(tail + 8, "\"}}\n", 4);
}

void wire_delta(char *line, size_t size, const char *thread, size_t n)
{
    char head[256];
    int len = snprintf(head, sizeof(head),
                       "{\"method\":\"item/agentMessage/delta\",\"params\":{\"threadId\":\"%s\","
                       "\"turnId\":\"turn-of-%.12s\",\"itemId\":\"msg-0001\",\"delta\":\"",
                       thread, thread + THREAD_ID_LEN - 12);
    if (len < 0 || (size_t)len + WIRE_TAIL > size)
        die("a delta of %zu bytes is too short", size);
    memcpy(line, head, (size_t)len);
    wire_text(line + len, size - (size_t)len - WIRE_TAIL);
    wire_tail(line + size - WIRE_TAIL, n);
}

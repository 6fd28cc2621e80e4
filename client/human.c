#include "client/human.h"

#include <stdint.h>

void human_duration(FILE *to, double ms)
{
    int64_t s = (int64_t)(ms / 1e3);
    if (ms < 1000)
        fprintf(to, "%.0f ms", ms < 0 ? 0 : ms);
    else if (s < 60)
        fprintf(to, "%d.%d s", (int)s, (int)((int64_t)ms / 100 % 10));
    else if (s < 3600)
        fprintf(to, "%dm %ds", (int)(s / 60), (int)(s % 60));
    else if (s < 86400)
        fprintf(to, "%dh %dm", (int)(s / 3600), (int)(s / 60 % 60));
    else
        fprintf(to, "%lldd %dh", (long long)(s / 86400), (int)(s / 3600 % 24));
}

void human_bytes(FILE *to, double bytes)
{
    if (bytes < 1e6)
        fprintf(to, "%.0f kB", bytes / 1e3);
    else if (bytes < 1e9)
        fprintf(to, "%.0f MB", bytes / 1e6);
    else
        fprintf(to, "%.1f GB", bytes / 1e9);
}

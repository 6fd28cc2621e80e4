#include "client/top_spark.h"

void spark_init(struct spark *s, enum spark_kind kind)
{
    *s = (struct spark){.kind = kind, .bar = -1};
    for (size_t i = 0; i < SPARK_BARS; i++)
        s->value[i] = -1;
}

static void advance(struct spark *s, int64_t bar)
{
    int64_t by = s->bar < 0 || bar - s->bar > SPARK_BARS ? SPARK_BARS : bar - s->bar;
    for (size_t i = 0; i < SPARK_BARS; i++)
        s->value[i] = i + (size_t)by < SPARK_BARS ? s->value[i + (size_t)by] : -1;
    s->bar = bar;
}

void spark_add(struct spark *s, int64_t now_ms, double value)
{
    double *last = &s->value[SPARK_BARS - 1];
    if (now_ms / SPARK_BAR_MS > s->bar)
        advance(s, now_ms / SPARK_BAR_MS);
    value = value > 0 ? value : 0;
    if (*last < 0)
        *last = value;
    else if (s->kind == SPARK_SUM)
        *last += value;
    else if (value > *last)
        *last = value;
}

void spark_levels(const struct spark *s, size_t n, int *levels)
{
    double most = 0;
    n = n < SPARK_BARS ? n : SPARK_BARS;
    const double *value = s->value + SPARK_BARS - n;
    for (size_t i = 0; i < n; i++)
        most = value[i] > most ? value[i] : most;
    for (size_t i = 0; i < n; i++)
        levels[i] = value[i] < 0 ? -1 : value[i] > 0 ? 1 + (int)(value[i] / most * 6) : 0;
}

double spark_sum(const struct spark *s, size_t n, size_t *looked)
{
    double sum = 0;
    *looked = 0;
    for (size_t i = n < SPARK_BARS ? SPARK_BARS - n : 0; i < SPARK_BARS; i++) {
        *looked += s->value[i] >= 0;
        sum += s->value[i] > 0 ? s->value[i] : 0;
    }
    return sum;
}

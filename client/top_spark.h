/* The last minutes of a number, as a line of bars. */
#ifndef CLIENT_TOP_SPARK_H
#define CLIENT_TOP_SPARK_H

#include "proto/base.h"

#define SPARK_BARS 60
#define SPARK_BAR_MS 10000

enum spark_kind {
    SPARK_SUM, /* of what is added in a bar's time */
    SPARK_MAX,
};

struct spark {
    enum spark_kind kind;
    int64_t bar;              /* the newest's number; the time of bar n is n * SPARK_BAR_MS on */
    double value[SPARK_BARS]; /* the newest last; below 0: nobody has looked */
};

void spark_init(struct spark *s, enum spark_kind kind);

/* What has been seen at a time, which does not go back. */
void spark_add(struct spark *s, int64_t now_ms, double value);

/* The newest n bars, oldest first: 0 for nothing, 1 to 7 for what there was, in parts of the
 * highest of them; -1 where nobody has looked. */
void spark_levels(const struct spark *s, size_t n, int *levels);

/* The sum of the newest n bars that somebody has looked at, and how many they are. */
double spark_sum(const struct spark *s, size_t n, size_t *looked);

#endif

/* How often something took how long, by fixed bounds. */
#ifndef DAEMON_HISTOGRAM_H
#define DAEMON_HISTOGRAM_H

#include "proto/base.h"

#define HISTOGRAM_BOUNDS_MAX 16

struct histogram {
    const double *bounds; /* seconds, ascending */
    size_t n_bounds;
    uint64_t counts[HISTOGRAM_BOUNDS_MAX + 1]; /* at most bounds[i]; the last: more than all */
    double sum;
};

/* The bounds must outlive it; no more than HISTOGRAM_BOUNDS_MAX of them. */
void histogram_init(struct histogram *h, const double *bounds, size_t n_bounds);

void histogram_add(struct histogram *h, double seconds);

/* How many took at most bounds[i]; of i = n_bounds all. */
uint64_t histogram_upto(const struct histogram *h, size_t i);

#endif

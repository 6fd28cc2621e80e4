#include "daemon/histogram.h"

#include <assert.h>

void histogram_init(struct histogram *h, const double *bounds, size_t n_bounds)
{
    assert(n_bounds <= HISTOGRAM_BOUNDS_MAX);
    *h = (struct histogram){.bounds = bounds, .n_bounds = n_bounds};
}

void histogram_add(struct histogram *h, double seconds)
{
    size_t i = 0;
    while (i < h->n_bounds && seconds > h->bounds[i])
        i++;
    h->counts[i]++;
    h->sum += seconds;
}

uint64_t histogram_upto(const struct histogram *h, size_t i)
{
    uint64_t n = 0;
    for (size_t k = 0; k <= i; k++)
        n += h->counts[k];
    return n;
}

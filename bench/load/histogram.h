/*
 * bench/load/histogram.h - how long things took: counts in buckets of about 1.6 % width.
 *
 * As an HDR histogram: 64 buckets for each power of two of nanoseconds, so that the error is the
 * same share everywhere, from a microsecond to minutes, and no sample is ever left out.
 */
#ifndef CAIRN_BENCH_LOAD_HISTOGRAM_H
#define CAIRN_BENCH_LOAD_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_SUBS (1 << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUBS)

typedef struct st_histogram_t {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t max_ns;
} histogram_t;

static inline size_t histogram_bucket(uint64_t ns)
{
    if (ns < HISTOGRAM_SUBS)
        return ns;
    int shift = 63 - __builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
    return (size_t)(shift + 1) * HISTOGRAM_SUBS + (size_t)((ns >> shift) - HISTOGRAM_SUBS);
}

/** the largest value that falls into a bucket */
static inline uint64_t histogram_bucket_top(size_t bucket)
{
    if (bucket < HISTOGRAM_SUBS)
        return bucket;
    size_t shift = bucket / HISTOGRAM_SUBS - 1;
    return ((bucket % HISTOGRAM_SUBS + HISTOGRAM_SUBS + 1) << shift) - 1;
}

static inline void histogram_add(histogram_t *h, uint64_t ns)
{
    ++h->counts[histogram_bucket(ns)];
    ++h->total;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

static inline void histogram_merge(histogram_t *into, const histogram_t *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; ++i)
        into->counts[i] += from->counts[i];
    into->total += from->total;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
}

/** what `share` (0 to 1) of the samples do not exceed; 0 when there are none */
static inline uint64_t histogram_percentile(const histogram_t *h, double share)
{
    uint64_t rank = (uint64_t)((double)h->total * share), seen = 0;
    if (rank >= h->total)
        return h->max_ns;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; ++i) {
        seen += h->counts[i];
        if (seen > rank)
            return histogram_bucket_top(i) < h->max_ns ? histogram_bucket_top(i) : h->max_ns;
    }
    return h->max_ns;
}

#endif

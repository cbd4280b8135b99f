/*
 * server/metrics.c - what a worker counts.
 */
#include "server/metrics.h"

#include <stddef.h>

static const char *const labels[CAIRN_OP_COUNT] = {
#define X(name, label) label,
    CAIRN_OPS(X)
#undef X
};

const char *cairn_op_label(cairn_op_t op)
{
    return labels[op];
}

void cairn_metrics_request(cairn_metrics_t *metrics, cairn_op_t op, int status, uint64_t ns)
{
    unsigned status_class = status >= 100 && status < 600 ? (unsigned)status / 100 - 1 : 4;
    uint64_t us = ns / 1000;
    unsigned bucket = us == 0 ? 0 : 64 - (unsigned)__builtin_clzll(us);
    if (bucket >= CAIRN_LATENCY_BUCKETS)
        bucket = CAIRN_LATENCY_BUCKETS - 1;
    cairn_metrics_add(&metrics->requests[op][status_class], 1);
    cairn_metrics_add(&metrics->latencies[op][bucket], 1);
    cairn_metrics_add(&metrics->latency_ns_sum[op], ns);
}

void cairn_metrics_sum(cairn_metrics_t *sum, const cairn_metrics_t *part)
{
    /* the struct is nothing but counters */
    _Static_assert(sizeof(*sum) % sizeof(_Atomic uint64_t) == 0, "counters only");
    _Atomic uint64_t *to = (_Atomic uint64_t *)sum;
    const _Atomic uint64_t *from = (const _Atomic uint64_t *)part;
    for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); ++i)
        cairn_metrics_add(&to[i], atomic_load_explicit(&from[i], memory_order_relaxed));
}

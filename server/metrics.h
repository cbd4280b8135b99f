/*
 * server/metrics.h - what a worker counts, and how the sums are told.
 *
 * Each worker has counters of its own, which it alone changes; whoever answers /metrics sums them.
 */
#ifndef CAIRN_SERVER_METRICS_H
#define CAIRN_SERVER_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

/* the operations that are told apart: name, label */
#define CAIRN_OPS(X)                                                                               \
    X(OTHER, "other")                                                                              \
    X(GET, "get")                                                                                  \
    X(PUT, "put")                                                                                  \
    X(DELETE, "delete")                                                                            \
    X(INCR, "incr")                                                                                \
    X(APPEND, "append")                                                                            \
    X(BATCH, "batch")                                                                              \
    X(CHANGES, "changes")                                                                          \
    X(KEYS, "keys")                                                                                \
    X(SCAN, "scan")

typedef enum en_cairn_op_t {
#define X(name, label) CAIRN_OP_##name,
    CAIRN_OPS(X)
#undef X
        CAIRN_OP_COUNT
} cairn_op_t;

/** bucket i counts requests that took less than 2^i microseconds; the last one all that are left */
#define CAIRN_LATENCY_BUCKETS 24
/** 1xx to 5xx */
#define CAIRN_STATUS_CLASSES 5

typedef struct st_cairn_metrics_t {
    _Atomic uint64_t requests[CAIRN_OP_COUNT][CAIRN_STATUS_CLASSES];
    _Atomic uint64_t latencies[CAIRN_OP_COUNT][CAIRN_LATENCY_BUCKETS];
    _Atomic uint64_t latency_ns_sum[CAIRN_OP_COUNT];
    _Atomic uint64_t value_bytes_in;
    _Atomic uint64_t value_bytes_out;
    _Atomic uint64_t connections_accepted;
    _Atomic uint64_t connections_open;
    _Atomic uint64_t accept_failures;
    _Atomic uint64_t slow_readers;   /* cut off */
    _Atomic uint64_t bodies_refused; /* while they were arriving */
    _Atomic uint64_t followers_open; /* requests for changes that are streams or wait */
    _Atomic uint64_t followers_dropped;
    _Atomic uint64_t changes_sent;
} cairn_metrics_t;

/** Adds to a counter. Threads: the worker that owns it. */
static inline void cairn_metrics_add(_Atomic uint64_t *counter, uint64_t n)
{
    /* one thread writes: no locked instruction is needed */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/** Counts a finished request. Threads: the worker that owns the metrics. */
void cairn_metrics_request(cairn_metrics_t *metrics, cairn_op_t op, int status, uint64_t ns);

/** Adds all counters of `part` to `sum`, which no other thread sees. Threads: any. */
void cairn_metrics_sum(cairn_metrics_t *sum, const cairn_metrics_t *part);

const char *cairn_op_label(cairn_op_t op);

#endif

/*
 * bench/load/client.h - many connections that ask and wait, or ask by the clock.
 *
 * Closed loop: each connection sends its next request when the last has been answered, which finds
 * out how much a server can do. Open loop: requests are due at a fixed rate, whether or not the
 * ones before have been answered, and one's time is counted from when it was due: a server that
 * stalls is charged with everything that came due meanwhile (no coordinated omission).
 */
#ifndef CAIRN_BENCH_LOAD_CLIENT_H
#define CAIRN_BENCH_LOAD_CLIENT_H

#include "bench/load/histogram.h"
#include "bench/load/protocol.h"

typedef struct st_load_options_t {
    const protocol_t *protocol;
    uint16_t port;
    size_t thread_count;
    size_t connection_count;
    uint64_t warm_up_ns; /* before anything is counted */
    uint64_t run_ns;
    key_space_t space;
    size_t value_bytes;
    unsigned get_percent;
    size_t pipeline; /* requests sent together */
    size_t batch;    /* keys in a request */
    bool is_async;
    double rate;  /* requests a second of all threads together; 0: a closed loop */
    bool is_fill; /* puts every key once, in order, and ends */
} load_options_t;

typedef struct st_load_result_t {
    uint64_t requests;
    uint64_t errors;     /* answers that are no success, connections that broke */
    uint64_t unanswered; /* of an open loop, some seconds after its end */
    uint64_t bytes;      /* received */
    double seconds;
    uint64_t server_cpu_ns; /* of the processes in `pids` meanwhile */
    histogram_t latencies;
} load_result_t;

/** Runs the load. False, with a line on stderr, if no connection could be made. */
bool load_run(const load_options_t *options, const int *pids, size_t pid_count,
              load_result_t *result);

#endif

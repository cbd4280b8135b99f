/*
 * storage/writer.h - the one thread that writes.
 *
 * It takes what is queued, decides each write against the index and the writes before it, appends
 * all of it with one pwritev, syncs once, and only then changes the index and answers. While one
 * sync runs the next commit's writes queue up: the batch sizes itself, there is no delay.
 */
#ifndef CAIRN_STORAGE_WRITER_H
#define CAIRN_STORAGE_WRITER_H

#include "index/index.h"
#include "storage/clock.h"
#include "storage/log.h"
#include "storage/maintenance.h"
#include "storage/position.h"
#include "storage/watch.h"

typedef struct st_cairn_writer_t cairn_writer_t;

typedef struct st_cairn_writer_options_t {
    uint64_t sync_interval_ms;
    uint64_t segment_bytes;
    uint64_t value_bytes_max;
    uint64_t queue_ops_max;
    uint64_t queue_bytes_max;
    bool in_memory;
} cairn_writer_options_t;

/** counters; one thread writes them, any reads them, relaxed */
typedef struct st_cairn_writer_counters_t {
    _Atomic uint64_t commits;
    _Atomic uint64_t records;
    _Atomic uint64_t bytes;
    _Atomic uint64_t sync_ns_sum;
    _Atomic uint64_t syncs[CAIRN_HISTOGRAM_BUCKETS];
    _Atomic uint64_t last_version;
    _Atomic uint64_t durable_version;
    _Atomic uint64_t queued_ops;
    _Atomic uint64_t queued_bytes;
} cairn_writer_counters_t;

/**
 * Starts the thread on a log as recovery left it; the writer takes its memory over.
 * NULL when there is no memory or thread; then the log is still the caller's.
 */
cairn_writer_t *cairn_writer_start(cairn_log_t *log, cairn_index_t *index, cairn_space_t *space,
                                   cairn_segments_t *segments, cairn_maintenance_t *maintenance,
                                   cairn_health_t *health, cairn_clock_t *clock,
                                   cairn_watches_t *watches, cairn_position_cell_t *position,
                                   const cairn_writer_options_t *options);

/**
 * Finishes what is queued, syncs and marks it, ends the thread, frees. `*durable_version` becomes
 * what is known to be on disk.
 */
void cairn_writer_stop(cairn_writer_t *writer, uint64_t *durable_version);

/** As cairn_store_set_value_bytes_max() and cairn_store_set_queue_max(). Threads: any. */
void cairn_writer_set_value_bytes_max(cairn_writer_t *writer, uint64_t bytes);
void cairn_writer_set_queue_max(cairn_writer_t *writer, uint64_t ops, uint64_t bytes);

/** As cairn_store_enqueue(), cairn_store_enqueue_batch() and cairn_store_wake(). Threads: any. */
cairn_err_t cairn_writer_enqueue(cairn_writer_t *writer, cairn_write_t *write);
cairn_err_t cairn_writer_enqueue_batch(cairn_writer_t *writer, cairn_write_t *first,
                                       bool is_atomic);
void cairn_writer_wake(cairn_writer_t *writer);

const cairn_writer_counters_t *cairn_writer_counters(const cairn_writer_t *writer);

#endif

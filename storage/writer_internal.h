/*
 * storage/writer_internal.h - what the files of the writer share. Threads: the writer alone.
 */
#ifndef CAIRN_STORAGE_WRITER_INTERNAL_H
#define CAIRN_STORAGE_WRITER_INTERNAL_H

#include <pthread.h>

#include "storage/bell.h"
#include "storage/decide.h"
#include "storage/syncer.h"
#include "storage/writer.h"

struct st_cairn_writer_t {
    cairn_writer_options_t options;
    /* relaxed, all three: a write that comes a moment later sees them */
    _Atomic uint64_t value_bytes_max, queue_ops_max, queue_bytes_max;
    cairn_log_t log;
    cairn_index_t *index;
    cairn_space_t *space;
    cairn_segments_t *segments;
    cairn_maintenance_t *maintenance;
    cairn_health_t *health;
    cairn_clock_t *clock;
    cairn_watches_t *watches;
    cairn_position_cell_t *position; /* told after each commit how far the index has come */
    pthread_t thread;

    struct cds_wfcq_head queue_head; /* any thread puts in, the writer takes out */
    struct cds_wfcq_tail queue_tail;
    cairn_bell_t bell;
    _Atomic bool stopping;
    cairn_writer_counters_t counters;

    /* the sync of async writes, if one is in flight */
    cairn_syncer_t *syncer;
    bool is_syncing;
    uint64_t syncing_version; /* everything up to here was written before it began */
    uint64_t syncing_end;
    uint64_t syncing_since_ns;
    uint64_t logged_ms; /* the latest time that the log has seen */

    /* what has been taken and not yet been answered; NULL where it has */
    cairn_write_t *batch[CAIRN_COMMIT_RECORDS_MAX - 1 + CAIRN_BATCH_OPS_MAX];
    size_t batch_count;
    bool must_sync;        /* somebody waits for what earlier commits left unsynced */
    uint64_t answered_ops; /* that have been settled and not yet been handed back */
    uint64_t answered_bytes;
    cairn_sink_t *touched; /* sinks with something to hand back */
    cairn_overlay_t overlay;
};

typedef enum en_admission_t {
    ADMITTED,    /* decided, and in the commit if it has a record */
    COMMIT_FULL, /* it goes into the next one */
    SEGMENT_FULL /* it goes into the next segment */
} admission_t;

/** The largest record that fits an empty segment. Threads: any. */
uint64_t cairn_writer_span_max(const cairn_writer_t *w);

/** Takes what is queued, a commit's worth and no batch in part, into w->batch. */
void cairn_writer_take(cairn_writer_t *w);

/** Gives a decided write back to its sink, with the others when cairn_writer_answer() is called. */
void cairn_writer_settle(cairn_writer_t *w, size_t at);

/** Hands back what has been settled: one call a sink, however many writes it gets. */
void cairn_writer_answer(cairn_writer_t *w);

/**
 * Answers what of the range has no answer yet; `err` is for those that have none of their own.
 */
void cairn_writer_settle_all(cairn_writer_t *w, size_t from, size_t to, cairn_err_t err);

/**
 * Answers what of a commit has no answer yet: it failed. Also those that left no record, "no such
 * key": they were decided by what the failed ones before them would have done.
 */
void cairn_writer_settle_failed(cairn_writer_t *w, size_t from, size_t to, cairn_err_t err);

/** Bytes that this write must leave in the segment. */
uint64_t cairn_writer_reserve(const cairn_writer_t *w, const cairn_write_t *write);

/** Decides a write; what it framed is right for as long as nothing else is admitted before it. */
cairn_decision_t cairn_writer_decide(cairn_writer_t *w, cairn_write_t *write, bool is_atomic,
                                     uint64_t now_ms);

/**
 * Admits the atomic batch that begins at w->batch[from], whole or not at all. With ADMITTED all of
 * its operations have been decided.
 */
admission_t cairn_writer_admit_batch(cairn_writer_t *w, size_t from, bool *is_open,
                                     uint64_t now_ms);

#endif

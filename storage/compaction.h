/*
 * storage/compaction.h - making room: what is dead leaves the disk.
 *
 * A sealed segment, or several neighbours, is rewritten in place of itself: the copy covers the
 * same versions, in the same order, under the next generation, so feed, backup and recovery see
 * nothing of it. In order:
 *
 *   copy      what the index points to, and deletes that may still be needed, into a file aside
 *   settle    what has superseded the rest is made durable: else a power cut could take both
 *   replace   footer, sync, rename: from now on an open finds the copy, and the inputs not at all
 *   move      the index's entries, one by one, where they still point to the input
 *   retire    the inputs leave the list; when no reader and no checkpoint needs them, the disk
 *
 * It can stop or die between any two of these. Before `replace` the copy is nothing, after it the
 * inputs are.
 *
 * Threads: an upkeep job (storage/upkeep.h), unless it says otherwise.
 */
#ifndef CAIRN_STORAGE_COMPACTION_H
#define CAIRN_STORAGE_COMPACTION_H

#include "storage/clock.h"
#include "storage/health.h"
#include "storage/pace.h"
#include "storage/reserve.h"
#include "storage/segments.h"
#include "storage/store.h"
#include "storage/upkeep.h"

typedef struct st_cairn_compaction_t cairn_compaction_t;

/** what it works on; all of it outlives it */
typedef struct st_cairn_compaction_parts_t {
    const cairn_dir_t *dir;
    cairn_space_t *space;
    cairn_segments_t *segments;
    cairn_index_t *index;
    cairn_clock_t *clock;
    cairn_health_t *health;
    cairn_reserve_t *reserve;
    uint64_t segment_bytes;
    uint64_t tombstone_retention_ms; /* deletes younger than this are kept for feeds */
    /* makes durable all that has been written so far, and says up to which version all is durable
     * and in the index */
    cairn_err_t (*make_durable)(void *ctx, uint64_t *version);
    /* whether a checkpoint on disk, or one being written, names the segment with this salt */
    bool (*is_named)(void *ctx, uint64_t salt);
    /* removes the checkpoint on disk: its room, and that of segments only it needs, is wanted */
    void (*drop_checkpoint)(void *ctx);
    /* no checkpoint is written any more: the list of segments does not have all that entries of the
     * index point into */
    void (*stop_checkpoints)(void *ctx);
    /* what the log has had to do so far: pacing goes by it */
    void (*read_load)(void *ctx, cairn_log_load_t *load);
    /* first version of the segment in which a replay onto the index as it is now would begin */
    uint64_t (*position_first)(void *ctx);
    void *ctx;
} cairn_compaction_parts_t;

/** NULL when there is no memory. */
cairn_compaction_t *cairn_compaction_create(const cairn_compaction_parts_t *parts);

/** Closes what has been retired; nobody reads it any more. NULL is fine. */
void cairn_compaction_destroy(cairn_compaction_t *compaction);

/**
 * Takes over a segment, found by an open, that another has taken the place of: it is unlinked as if
 * this compaction had retired it. Errors: NOMEM; it is still the caller's. Before any job runs.
 */
cairn_err_t cairn_compaction_adopt(cairn_compaction_t *compaction, cairn_segment_t *superseded);

/** Whether any of what has been retired is kept for a checkpoint only. Threads: upkeep's. */
bool cairn_compaction_waits_for_checkpoint(const cairn_compaction_t *compaction);

/** The two jobs of it: to unlink what has been retired, and to compact. `ctx` is a
 * cairn_compaction_t. */
bool cairn_compaction_unlink(void *ctx, cairn_upkeep_t *upkeep);
bool cairn_compaction_run(void *ctx, cairn_upkeep_t *upkeep);

/** Rewrites, from now on, every segment sealed so far in which there is anything to free. Threads:
 * any. */
void cairn_compaction_ask(cairn_compaction_t *compaction);

/** Threads: any. */
void cairn_compaction_stats(cairn_compaction_t *compaction, cairn_compaction_stats_t *stats);

#endif

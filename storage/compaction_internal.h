/*
 * storage/compaction_internal.h - what the files of compaction share. Threads: upkeep's.
 */
#ifndef CAIRN_STORAGE_COMPACTION_INTERNAL_H
#define CAIRN_STORAGE_COMPACTION_INTERNAL_H

#include "storage/compaction.h"
#include "storage/segment_build.h"

/** neighbours that are merged at once, at most */
#define CAIRN_COMPACTION_INPUTS_MAX 64

/* ---------------------------------------------------------------- compaction_choose.c */

/** a sealed segment, as far as choosing goes */
typedef struct st_cairn_candidate_t {
    uint64_t bytes;      /* of its file */
    uint64_t dead_bytes; /* that rewriting it would free, as far as is known */
    uint64_t age_ms;     /* since it was written */
    bool is_usable;      /* false: not to be touched, as after damage was found in it */
    bool is_asked;       /* somebody wants it rewritten if there is anything at all to free */
} cairn_candidate_t;

/** what the disk looks like */
typedef struct st_cairn_pressure_t {
    uint64_t segment_bytes; /* the most that an output may have */
    uint64_t retired_bytes; /* of files that have been replaced and are still there */
    bool is_full;           /* there is no room for another segment: any gain will do */
} cairn_pressure_t;

/**
 * Which neighbours are to be rewritten into one: `*from` and how many, 0 if none is worth it.
 * Candidates are all sealed segments, in order of version.
 */
size_t cairn_compaction_choose(const cairn_candidate_t *candidates, size_t count,
                               const cairn_pressure_t *pressure, size_t *from);

/** Whether less of the disk is live than is promised, or it is full: no time is to be lost. */
bool cairn_compaction_is_urgent(const cairn_candidate_t *candidates, size_t count,
                                const cairn_pressure_t *pressure);

/* ---------------------------------------------------------------- compaction_copy.c */

/** a compaction of `count` neighbours under way */
typedef struct st_cairn_copying_t {
    const cairn_compaction_parts_t *parts;
    cairn_segment_t *const *inputs;
    size_t count;
    /* every record older than the inputs' that may still be on disk was its key's newest at this
     * version; UINT64_MAX: there is none */
    uint64_t horizon_before;
    uint64_t keep_since_ms; /* deletes that were written later are kept for feeds; 0: none is */
    uint64_t now_ms;        /* what has expired by now has expired */
    uint64_t durable_version;
    bool (*go_on)(void *ctx, uint64_t bytes); /* after each piece written; may rest */
    void *go_on_ctx;
    cairn_segment_build_t build;
    uint64_t dropped_version;
    uint64_t piece_bytes;    /* written since go_on was asked */
    uint64_t unsynced_bytes; /* and since the copy was synced, up to then */
    /* where a walk stopped because of damage */
    const cairn_segment_t *damaged;
    uint64_t damaged_at;
} cairn_copying_t;

/**
 * Copies what is worth keeping of the inputs into `build`, which has been begun. Entries of values
 * that have expired leave the index.
 *
 * Errors: DAMAGED (which and where is said), IO, DISK_FULL, TOO_LARGE (it does not fit one segment
 * after all), CANCELLED. The caller abandons the build.
 */
cairn_err_t cairn_compaction_copy(cairn_copying_t *copying);

/**
 * Moves the index's entries from the inputs to the copies of their records in `output`, which is
 * not in the list yet, and counts what has died meanwhile.
 *
 * False where the disk cannot read a record any more that was read just before: entries still
 * point to the inputs, which must stay.
 */
bool cairn_compaction_move(cairn_copying_t *copying, cairn_segment_t *output);

#endif

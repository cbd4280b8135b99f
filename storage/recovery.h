/*
 * storage/recovery.h - from the files of a store to its index, or a refusal that says why.
 */
#ifndef CAIRN_STORAGE_RECOVERY_H
#define CAIRN_STORAGE_RECOVERY_H

#include "storage/checkpoint.h"
#include "storage/reclaimer.h"
#include "storage/store.h"

/** the parts of a store that recovery fills */
typedef struct st_cairn_recovery_parts_t {
    cairn_dir_t *dir;
    cairn_segments_t *segments;
    cairn_health_t *health;
    cairn_clock_t *clock;
    cairn_position_cell_t *position;
    cairn_checkpoint_t *checkpoint;
} cairn_recovery_parts_t;

/** what a recovery came to; on an error the caller's too, where not NULL */
typedef struct st_cairn_recovered_t {
    cairn_space_t *space;
    cairn_index_t *index;
    cairn_reclaimer_t *reclaimer; /* runs beside the index */
    cairn_segment_t *active;      /* where the log may go on; NULL: in a new segment */
    /* segments that others have taken the place of, still mapped: a checkpoint may name them. The
     * array and they are the caller's */
    cairn_segment_t **superseded;
    size_t superseded_count;
    uint64_t last_version;
    cairn_chain_t chain;
} cairn_recovered_t;

/**
 * Opens all segments of the directory and makes the index of them: from the checkpoint and what has
 * been logged since, or from all records. What was tried and why it was given up is said in the
 * log. Raises the clock to the latest time there is, and tells where the index and the log are.
 *
 * Nothing on disk is changed, but for the removal of a blank spare, before all of it has been read
 * and found to fit together; then a torn tail is cut, segments that a crash left unsealed are
 * sealed, a spare that had come into use is given its name, and STORE is replaced.
 *
 * Threads: registered with QSBR. Errors: CORRUPT, IO, NOMEM, DISK_FULL, CANCELLED.
 */
cairn_err_t cairn_recover(const cairn_recovery_parts_t *parts, const cairn_store_options_t *options,
                          cairn_recovered_t *recovered, char *errmsg);

#endif

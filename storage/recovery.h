/*
 * storage/recovery.h - from the files of a store to its index, or a refusal that says why.
 */
#ifndef CAIRN_STORAGE_RECOVERY_H
#define CAIRN_STORAGE_RECOVERY_H

#include "storage/clock.h"
#include "storage/health.h"
#include "storage/segments.h"
#include "storage/store.h"

typedef struct st_cairn_recovered_t {
    cairn_space_t *space;
    cairn_segment_t *active; /* where the log may go on; NULL: in a new segment */
    uint64_t last_version;
    cairn_chain_t chain;
} cairn_recovered_t;

/**
 * Replays all segments of the directory into `index` and `segments`, and raises the clock to the
 * latest time in them.
 *
 * Nothing on disk is changed, but for the removal of a blank spare, before all of it has been read
 * and found to fit together; then a torn tail is cut, segments that a crash left unsealed are
 * sealed, a spare that had come into use is given its name, and STORE is replaced.
 *
 * On an error `segments` holds what was opened, for the caller to dispose, and `recovered->space`
 * is the caller's if it is not NULL. Errors: CORRUPT, IO, NOMEM, DISK_FULL.
 */
cairn_err_t cairn_recover(cairn_dir_t *dir, cairn_index_t *index, cairn_segments_t *segments,
                          cairn_health_t *health, cairn_clock_t *clock,
                          const cairn_store_options_t *options, cairn_recovered_t *recovered,
                          char *errmsg);

#endif

/*
 * storage/reserve.h - room on the disk that is kept for compaction.
 *
 * A full disk is made usable again by rewriting what is mostly dead, and that needs room first. So
 * a file of a segment's size is held ready: when the disk is full compaction borrows its room, and
 * until it is held again no segment is made for others. In memory, and without compaction, there is
 * none and every function is a quiet success.
 *
 * Threads: any; the lock is held across the calls to the system, which maintenance and upkeep make.
 */
#ifndef CAIRN_STORAGE_RESERVE_H
#define CAIRN_STORAGE_RESERVE_H

#include <pthread.h>

#include "storage/dir.h"

#define CAIRN_RESERVE_NAME "reserve"

typedef struct st_cairn_reserve_t {
    const cairn_dir_t *dir; /* NULL: there is none */
    uint64_t bytes;
    pthread_mutex_t mutex;
    bool is_held; /* guarded by mutex, as is all below */
    bool is_lent; /* compaction is using the room */
} cairn_reserve_t;

/** Prepares it; `dir` NULL for none. Nothing is on disk yet, but what the last process left. */
void cairn_reserve_init(cairn_reserve_t *reserve, const cairn_dir_t *dir, uint64_t bytes);
void cairn_reserve_dispose(cairn_reserve_t *reserve);

/** Makes sure that it is held, unless it is lent. Errors: DISK_FULL, NO_FILES, IO. */
cairn_err_t cairn_reserve_hold(cairn_reserve_t *reserve);

/** Gives its room to compaction, and takes note that compaction is done with it. */
void cairn_reserve_lend(cairn_reserve_t *reserve);
void cairn_reserve_return(cairn_reserve_t *reserve);

#endif

/*
 * storage/maintenance.h - everything that keeps a roll free for the writer.
 *
 * One thread makes the next segment ahead of time and, after a roll, names the new active segment,
 * seals the one before it and brings STORE up to date. It never appends to the log.
 */
#ifndef CAIRN_STORAGE_MAINTENANCE_H
#define CAIRN_STORAGE_MAINTENANCE_H

#include "storage/dir.h"
#include "storage/health.h"
#include "storage/reserve.h"
#include "storage/segments.h"
#include "storage/upkeep.h"

typedef struct st_cairn_maintenance_t cairn_maintenance_t;

/** what it works on; all of it outlives it */
typedef struct st_cairn_maintenance_parts_t {
    cairn_dir_t *dir;
    cairn_space_t *space;
    cairn_segments_t *segments;
    cairn_health_t *health;
    cairn_reserve_t *reserve;
    cairn_upkeep_t *upkeep; /* woken when a segment has been sealed, or there is no room for one */
    uint64_t segment_bytes;
    uint64_t max_bytes; /* that segments may take together; 0: as many as there are */
} cairn_maintenance_parts_t;

/** Starts the thread; it begins by making a spare. NULL when there is no memory or thread. */
cairn_maintenance_t *cairn_maintenance_start(const cairn_maintenance_parts_t *parts);

/** Finishes what a roll has left to do, then ends the thread. A spare not used is removed. */
void cairn_maintenance_stop(cairn_maintenance_t *maintenance);

/**
 * Takes the spare, which is the caller's to hand to cairn_maintenance_rolled(). Waits while one is
 * being made. Where there is no room for a whole segment there may be a smaller one: it is given
 * only `for_deletes`, which make room, and nothing else may be written to it while the disk is
 * full.
 *
 * Errors: why the last try to make one failed: DISK_FULL, NOMEM, or FAILED for all else.
 * Threads: the writer.
 */
cairn_err_t cairn_maintenance_take_spare(cairn_maintenance_t *maintenance, bool for_deletes,
                                         cairn_segment_t **spare);

/**
 * The log has gone on in `active`; everything before, in `previous` (NULL if none), is durable.
 * Threads: the writer, before it writes to `active`.
 */
void cairn_maintenance_rolled(cairn_maintenance_t *maintenance, cairn_segment_t *active,
                              cairn_segment_t *previous, uint64_t durable_version);

/** Waits until what the last roll has left to do is done. Threads: any that may wait. */
void cairn_maintenance_wait(cairn_maintenance_t *maintenance);

/** How large the latest commits have been, so that spares are zero-filled only where that pays. */
void cairn_maintenance_note_commit_bytes(cairn_maintenance_t *maintenance, uint64_t bytes);

#endif

/*
 * storage/syncer.h - the sync that nobody waits for: of async writes, once an interval.
 *
 * On the writer's own thread it would hold up every write for as long as the disk takes. One sync
 * is in flight at a time, and the writer takes its result before it begins another of any kind: an
 * error is told once for a descriptor, and who is not told would believe.
 */
#ifndef CAIRN_STORAGE_SYNCER_H
#define CAIRN_STORAGE_SYNCER_H

#include "storage/bell.h"
#include "storage/types.h"

typedef struct st_cairn_syncer_t cairn_syncer_t;

/** Starts the thread, which rings `bell` when a sync has ended. NULL when there is none to be had.
 */
cairn_syncer_t *cairn_syncer_start(cairn_bell_t *bell);

/** Ends the thread. No sync is in flight. */
void cairn_syncer_stop(cairn_syncer_t *syncer);

/** Begins to sync a file, which stays open. No other is in flight. Threads: the writer. */
void cairn_syncer_begin(cairn_syncer_t *syncer, int fd);

/** Whether the sync in flight has ended. Threads: the writer. */
bool cairn_syncer_has_ended(cairn_syncer_t *syncer);

/**
 * Waits for the sync in flight and takes its result, 0 or a negative errno value. `*ns` becomes the
 * time it took. Threads: the writer.
 */
int cairn_syncer_finish(cairn_syncer_t *syncer, uint64_t *ns);

#endif

/*
 * storage/snapshot.h - a store as it was at one version, kept beside it at no cost.
 *
 * The log rolls, and a snapshot is a directory of second names (hard links) of the sealed segments,
 * which never change, and a STORE of its own: `snapshots/NAME` in the data directory. It is made
 * under another name and appears, whole and durable, by a rename. Compaction goes on: what it
 * removes stays for as long as a snapshot has it. A copy of the directory is a data directory.
 *
 * Threads: inside a job of cairn_store_run(), since all of this may wait for the disk.
 */
#ifndef CAIRN_STORAGE_SNAPSHOT_H
#define CAIRN_STORAGE_SNAPSHOT_H

#include "storage/store.h"

#define CAIRN_SNAPSHOT_NAME_BYTES_MAX 64

typedef struct st_cairn_snapshot_t {
    char name[CAIRN_SNAPSHOT_NAME_BYTES_MAX + 1];
    uint64_t version; /* all up to here is in it, and nothing else */
    uint64_t bytes;
    size_t segments;
} cairn_snapshot_t;

/** Whether it may be a name: letters, digits, - _ and, but not first, dots. */
bool cairn_snapshot_name_is_good(const char *name, size_t count);

/**
 * Makes a snapshot of everything written so far. `name` is good. Writes go on meanwhile.
 *
 * Errors: EXISTS (there is one of that name, or it is being made), IN_MEMORY, DISK_FULL, IO, NOMEM,
 * FAILED, QUEUE_FULL; nothing of it is left then.
 */
cairn_err_t cairn_store_snapshot(cairn_store_t *store, const char *name,
                                 cairn_snapshot_t *snapshot);

/**
 * Calls `on_snapshot` for each there is, in no order, with what its files say.
 * Errors: IN_MEMORY, IO.
 */
cairn_err_t cairn_store_list_snapshots(cairn_store_t *store,
                                       void (*on_snapshot)(void *ctx,
                                                           const cairn_snapshot_t *snapshot),
                                       void *ctx);

/** Removes one. Errors: NOT_FOUND, IN_MEMORY, IO. */
cairn_err_t cairn_store_remove_snapshot(cairn_store_t *store, const char *name);

/** Removes what a crash has left of snapshots being made or removed. Not while the store runs. */
void cairn_store_clean_snapshots(cairn_store_t *store);

#endif

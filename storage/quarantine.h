/*
 * storage/quarantine.h - bytes that may have been acknowledged and that no reader is given.
 *
 * A directory in the store's. What is in it says that something is wrong which nobody has looked
 * at: as long as there is anything, the store is degraded. Who has looked removes it.
 *
 * Threads: the one that opens the store.
 */
#ifndef CAIRN_STORAGE_QUARANTINE_H
#define CAIRN_STORAGE_QUARANTINE_H

#include "storage/dir.h"

#define CAIRN_QUARANTINE_NAME "quarantine"
/** a segment's name, an offset in it, a version, and a NUL */
#define CAIRN_QUARANTINE_NAME_BYTES (CAIRN_SEGMENT_NAME_BYTES + 48)

/** The name for what lies at `offset` of a segment's file and may begin with this version. */
void cairn_quarantine_name(char name[CAIRN_QUARANTINE_NAME_BYTES], const char *segment,
                           uint64_t offset, uint64_t version);

/**
 * Keeps a copy of `count` bytes under a name, durably when it returns; one of the same name is
 * replaced. `bytes` may be in a map. Errors: DISK_FULL, NO_FILES, IO.
 */
cairn_err_t cairn_quarantine_keep(const cairn_dir_t *dir, const char *name, const void *bytes,
                                  uint64_t count);

/**
 * Keeps a file of the store's directory as it is: a second name, durable when it returns. Another
 * file that is there under its name, from before a backup was put back, gets a number behind its
 * own. Errors: DISK_FULL, NO_FILES, IO.
 */
cairn_err_t cairn_quarantine_link(const cairn_dir_t *dir, const char *name);

/** How many files there are. */
uint64_t cairn_quarantine_count(const cairn_dir_t *dir);

#endif

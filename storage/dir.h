/*
 * storage/dir.h - the data directory: its lock, its STORE file, the names of its segments.
 *
 * The directory is the manifest: which segments there are is said by their names alone. STORE says
 * whose directory it is and how far the log was known to reach, so that a lost newest file is
 * found. In memory-only mode there is no directory and every function here is a quiet success.
 */
#ifndef CAIRN_STORAGE_DIR_H
#define CAIRN_STORAGE_DIR_H

#include "storage/types.h"

#define CAIRN_UUID_BYTES 16
/** "<first version>-<generation>.seg", both in hex, and a NUL */
#define CAIRN_SEGMENT_NAME_BYTES 32
#define CAIRN_SEGMENT_SUFFIX ".seg"
/** behind the name that a file will have, while it is made */
#define CAIRN_TMP_SUFFIX ".tmp"
/** the segment made ahead; it gets its name when its first version is known */
#define CAIRN_SPARE_NAME "next.seg"

/** where the log ended at a clean stop: up to there it was on disk, and nothing was written after
 */
typedef struct st_cairn_closed_t {
    uint64_t salt; /* of the segment it ended in */
    uint64_t end;  /* bytes into it; 0: there was no clean stop, or the log has gone on since */
} cairn_closed_t;

typedef struct st_cairn_dir_t {
    int fd;      /* -1: memory only */
    int lock_fd; /* -1: memory only */
    uint8_t uuid[CAIRN_UUID_BYTES];
    uint64_t hash_seed;       /* of keys, from the uuid */
    bool is_new;              /* STORE was made by this open */
    uint64_t newest_first;    /* first version of the newest segment STORE knew, 0 if none */
    uint64_t durable_version; /* STORE knew everything up to here to be on disk */
    uint64_t accepted;        /* so many lost versions somebody has taken note of; mostly 0 */
    cairn_closed_t closed;    /* as STORE says */
    /* of a STORE that was damaged or gone, when it was opened to be salvaged: */
    bool store_is_right; /* it has been put right */
    unsigned proven_by;  /* or so many other files say what it said, as far as that is known */
} cairn_dir_t;

#define CAIRN_STORE_NAME "STORE"

/**
 * Opens and locks a data directory, making it (one level) and its STORE when they are missing.
 * `path` NULL opens memory-only mode.
 *
 * Errors: LOCKED (another process has it), CORRUPT (STORE is not ours or damaged; or segments are
 * there and STORE is not), DISK_FULL, IO; `errmsg` says what and where.
 */
cairn_err_t cairn_dir_open(cairn_dir_t *dir, const char *path, char *errmsg);

/**
 * The same for a store that is to be salvaged: where STORE is damaged or gone, what can be proven
 * of it is taken from its own sum and from the other files. Nothing is changed: that is for whoever
 * notes it next. Errors as above, CORRUPT if nothing can be proven.
 */
cairn_err_t cairn_dir_open_to_salvage(cairn_dir_t *dir, const char *path, char *errmsg);

/** Whether STORE was not whole. */
static inline bool cairn_dir_was_damaged(const cairn_dir_t *dir)
{
    return dir->store_is_right || dir->proven_by != 0;
}

/** Releases the lock and closes. */
void cairn_dir_close(cairn_dir_t *dir);

/**
 * Replaces STORE by one that knows this newest segment and durable version: written aside, synced,
 * renamed, directory synced. Errors: DISK_FULL, IO; the one before it is still there.
 * Threads: one at a time.
 */
cairn_err_t cairn_dir_note(cairn_dir_t *dir, uint64_t newest_first, uint64_t durable_version);

/** The same at a clean stop: nothing is written to the log before the next start replaces it. */
cairn_err_t cairn_dir_note_closed(cairn_dir_t *dir, uint64_t newest_first, uint64_t durable_version,
                                  const cairn_closed_t *closed);

/** What the STORE of an open directory says is durable, 0 if it cannot be read. */
uint64_t cairn_dir_durable_version(int fd);

/** Makes renames and new names durable. */
cairn_err_t cairn_dir_sync(const cairn_dir_t *dir);

static inline bool cairn_dir_is_memory(const cairn_dir_t *dir)
{
    return dir->fd < 0;
}

/** The name of a segment file. */
void cairn_segment_name(char name[CAIRN_SEGMENT_NAME_BYTES], uint64_t first_version,
                        uint32_t generation);

/** Whether `name` is one that cairn_segment_name() writes, and its parts. */
bool cairn_segment_name_parse(const char *name, uint64_t *first_version, uint32_t *generation);

#endif

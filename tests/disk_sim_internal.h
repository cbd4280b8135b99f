/*
 * tests/disk_sim_internal.h - what a simulated disk consists of, for the files of tests/disk_sim.h.
 *
 * Every function here takes a disk whose mutex is held, or an inode of one.
 */
#ifndef CAIRN_TESTS_DISK_SIM_INTERNAL_H
#define CAIRN_TESTS_DISK_SIM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "tests/disk_sim.h"
#include "tests/seed.h"

#define SECTOR_BYTES 512
#define NAMES_MAX 256
#define NAME_BYTES 100
#define HANDLES_MAX 512
/** the length of a file changes like a sector of its own */
#define LENGTH_SECTOR UINT64_MAX

/* a test cannot go on without memory, and none of these runs where it is staged to fail */
static inline void *disk_must(void *base)
{
    if (base == NULL)
        abort();
    return base;
}

/** something done to a file since its last sync */
typedef struct st_change_t {
    bool is_length;  /* else a write */
    uint64_t offset; /* or the new length */
    size_t count;
    uint8_t *bytes;
} change_t;

typedef struct st_inode_t {
    int memory; /* what a process sees: a memory file */
    uint64_t bytes;
    bool is_readonly;
    bool is_directory;
    bool is_locked;
    bool is_ahead; /* a failed sync: `memory` shows what neither is durable nor will be */
    uint8_t *durable;
    uint64_t durable_bytes;
    uint64_t durable_room; /* zeroes behind durable_bytes */
    bool durable_is_readonly;
    change_t *changes;
    size_t change_count, change_room;
    uint64_t last_synced_sector; /* + 1; 0 for none */
    unsigned uses;               /* names, changes of names, handles */
} inode_t;

typedef struct st_name_t {
    char name[NAME_BYTES];
    inode_t *inode; /* NULL: nothing of that name */
} name_t;

typedef struct st_names_t {
    name_t list[NAMES_MAX];
    size_t count;
} names_t;

/** a change of names: `set` gets the inode, or none, and `cleared` gets none */
typedef struct st_name_change_t {
    char set[NAME_BYTES];
    char cleared[NAME_BYTES]; /* may be empty */
    inode_t *inode;
} name_change_t;

typedef struct st_handle_t {
    inode_t *inode;
    int flags;
    bool has_lock;
    char path[NAME_BYTES]; /* of a directory: its name, and a slash */
} handle_t;

struct st_disk_sim_t {
    unsigned id;
    char path[32];
    pthread_mutex_t mutex; /* guards all below */
    random_t random;
    names_t names;
    names_t durable_names;
    name_change_t *name_changes;
    size_t name_change_count, name_change_room;
    handle_t handles[HANDLES_MAX];
    inode_t *last_synced;
    disk_sim_plan_t plan;
    unsigned lies;
    bool was_killed;
    bool is_full;                  /* for the next write */
    _Atomic uint64_t changes_seen; /* changed under the mutex, read by anyone */
    _Atomic bool is_off;
    _Atomic bool has_failed;
};

/** by number; changed while disk_sims_mutex is held */
extern disk_sim_t *disk_sims[DISK_SIM_MAX];
extern pthread_mutex_t disk_sims_mutex;

/* ---------------------------------------------------------------- names, tests/disk_sim_names.c */

/** An inode lives as long as something uses it; both take NULL. */
inode_t *disk_acquire(inode_t *inode);
void disk_release(disk_sim_t *disk, inode_t *inode);

/** Forgets what has been done to a file since its last sync. */
void disk_free_changes(inode_t *inode);

/** NULL if there is nothing of that name. */
name_t *disk_find_name(names_t *names, const char *name);

/** `inode` NULL: nothing has that name any more. */
void disk_set_name(disk_sim_t *disk, names_t *names, const char *name, inode_t *inode);
void disk_forget_names(disk_sim_t *disk, names_t *names);

/** Whether a name is of this directory, which ends in a slash: "" is the disk's own. */
bool disk_is_in(const char *name, const char *directory);

/** Changes names as a process sees them, durably only with disk_sync_names(). `cleared` may be "".
 */
void disk_change_names(disk_sim_t *disk, const char *set, const char *cleared, inode_t *inode);
void disk_apply_name_change(disk_sim_t *disk, names_t *names, const name_change_t *change);
void disk_forget_name_changes(disk_sim_t *disk);

/** Makes the changes of a directory's names durable, in order. */
void disk_sync_names(disk_sim_t *disk, const char *directory);

/* ---------------------------------------------------------------- a cut, tests/disk_sim_cut.c */

typedef enum en_manner_t {
    ALL_REACHED_IT,
    NOTHING_REACHED_IT,
    FIRST_FEW,
    ONE_SECTOR_LOST,
    ONE_SECTOR_KEPT,
    FEW_SECTORS_LOST,
    EACH_OR_NOT,
    EACH_AT_SOME_TIME,
    MANNER_COUNT
} manner_t;

/** up to which change each sector has come */
typedef struct st_outcome_t {
    manner_t manner;
    size_t count;    /* of changes */
    uint64_t pick;   /* a number of changes, or a sector */
    uint64_t chance; /* for each sector mixed with its number */
} outcome_t;

/** By chance, what of a file's changes would last if it were cut now. */
outcome_t disk_draw_outcome(disk_sim_t *disk, const inode_t *inode);

/** Makes durable what the outcome says and forgets the rest. */
void disk_settle(inode_t *inode, const outcome_t *o);

/** Shows a process what is durable. */
void disk_show_durable(inode_t *inode);

/** So that so many durable bytes have room; the new ones are zero. */
void disk_make_room(inode_t *inode, uint64_t bytes);
void disk_clear_behind_end(inode_t *inode);

/** The power goes, or the process dies, as planned; nothing if it has. */
void disk_cut_locked(disk_sim_t *disk);

#endif

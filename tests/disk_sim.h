/*
 * tests/disk_sim.h - a disk whose power can be cut.
 *
 * Stands in for `cairn_os`. A disk is one directory, with directories of files in it, and all of it
 * is memory: what a process sees is in memory files, so that maps are real maps; beside it the disk
 * keeps what would still be there after a power cut, and what has been changed since.
 *
 * What a power cut leaves. A file's bytes and its length become durable by `sync`, its names by
 * `sync_dir` of the directory they are in. Between two syncs the kernel writes back what it likes
 * when it likes, so a cut leaves of each 512-byte sector, each on its own, any of the contents it
 * has had since the last sync; of the length any that the file has had; of the names those before
 * the last sync_dir and any selection of the changes since, a rename wholly or not at all. Which,
 * is drawn from the seed, in several manners: all, none, the first few, one sector lost, each by
 * itself.
 *
 * The process. A cut comes at a call that changes something: the call that was cut short is one
 * more unsynced change, and no later call changes anything; they fail with EIO. When the store has
 * been closed, disk_sim_start() begins anew with what was left. A kill -9 is a cut that loses
 * nothing but the process. Reads of a file that a failed sync left behind show what was written,
 * until drop_cache shows what is there, and the next sync says that all is well: as Linux does.
 *
 * Threads: the functions here by one thread per disk while no other uses it, except
 * disk_sim_is_off() and disk_sim_changes(); the calls behind the table come from any.
 */
#ifndef CAIRN_TESTS_DISK_SIM_H
#define CAIRN_TESTS_DISK_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct st_disk_sim_t disk_sim_t;

/** Puts the table in the place of the real one. */
void disk_sim_install(void);
/** Puts the real one back; every disk has been destroyed. */
void disk_sim_remove(void);

/** An empty disk; at most DISK_SIM_MAX at once. */
#define DISK_SIM_MAX 16
disk_sim_t *disk_sim_create(uint64_t seed);
void disk_sim_destroy(disk_sim_t *disk);

/** What to open: the path of the disk's directory. Lives as long as the disk. */
const char *disk_sim_path(const disk_sim_t *disk);

/* ---- what is to go wrong */

typedef enum en_disk_sim_fault_t {
    DISK_SIM_NO_FAULT,
    DISK_SIM_SHORT_WRITE,     /* writes a part and says so */
    DISK_SIM_WRITE_EIO,       /* writes a part and fails */
    DISK_SIM_SHORT_THEN_FULL, /* writes a part, and the next write finds no room */
    DISK_SIM_WRITE_FULL,      /* ENOSPC, nothing written */
    DISK_SIM_SYNC_EIO,     /* some sectors reach the disk; the rest is given up and called clean */
    DISK_SIM_RESERVE_FULL, /* preallocate: ENOSPC */
    DISK_SIM_NAMES_EIO,    /* sync_dir fails */
    DISK_SIM_RENAME_EIO,
    DISK_SIM_FAULT_COUNT
} disk_sim_fault_t;

typedef struct st_disk_sim_plan_t {
    uint64_t cut_at;   /* the change at which the power goes, from 1; 0 for never */
    bool only_kill;    /* the process dies, the machine goes on */
    uint64_t fault_at; /* from this change on the next call that can, fails so, once; 0 for never */
    disk_sim_fault_t fault;
} disk_sim_plan_t;

/* lies: what a bad disk, or a store that leaves out a step, would do. For negative controls */
#define DISK_SIM_LIE_SYNC 1u        /* sync does nothing and says it did */
#define DISK_SIM_LIE_SYNC_DIR 2u    /* so does sync_dir */
#define DISK_SIM_LIE_SECTOR 4u      /* a cut also loses a sector of what was synced last */
#define DISK_SIM_LIE_SHORT 8u       /* a short write counts as whole: nobody looked at the result */
#define DISK_SIM_LIE_DROP_CACHE 16u /* drop_cache is not called: the page cache is believed */

/** Starts the machine, after a cut with what it left. No store is open. */
void disk_sim_start(disk_sim_t *disk, const disk_sim_plan_t *plan, unsigned lies);

/** Cuts now, if nothing did before. */
void disk_sim_cut(disk_sim_t *disk);

/** Whether the cut has come. */
bool disk_sim_is_off(const disk_sim_t *disk);
/** Whether the planned fault has been met since the start. */
bool disk_sim_has_failed(const disk_sim_t *disk);
/** Calls that changed something, or would have, since the start. */
uint64_t disk_sim_changes(const disk_sim_t *disk);

/* ---- damage; the disk is not started, or no store is open */

/** A disk with what is durable on `from`. */
disk_sim_t *disk_sim_copy(const disk_sim_t *from);

/** The name and length of the `at`th durable file, of one in a directory its name with that; false
 * behind the last one. */
bool disk_sim_file(const disk_sim_t *disk, size_t at, const char **name, uint64_t *bytes);

/** Flips a bit of a file, fills a piece of it (`count` is cut to what there is), cuts it to a
 * length, takes it away: in what is durable. */
void disk_sim_flip(disk_sim_t *disk, const char *name, uint64_t bit);
void disk_sim_fill(disk_sim_t *disk, const char *name, uint64_t offset, uint64_t count,
                   uint8_t byte);
void disk_sim_shorten(disk_sim_t *disk, const char *name, uint64_t bytes);
void disk_sim_lose(disk_sim_t *disk, const char *name);

#endif

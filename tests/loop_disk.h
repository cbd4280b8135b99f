/*
 * tests/loop_disk.h - a small disk of one's own: an image, a loop device, a file system on it.
 *
 * It can be made to fail as disks do: its end is lost (reads there are EIO), its power is cut, it
 * cannot write what it has taken.
 * Needs root, loop devices and the file system's mkfs; a test that has to do without says so with
 * `error` and is skipped.
 */
#ifndef CAIRN_TESTS_LOOP_DISK_H
#define CAIRN_TESTS_LOOP_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/temp_dir.h"

typedef struct st_loop_disk_t {
    temp_dir_t dir;
    char image[280];
    char mount[280]; /* where it is mounted */
    char type[8];    /* "ext4", "xfs" */
    char error[160]; /* why the last call returned false */
    bool is_mounted;
    bool is_thin; /* `dir` is a file system of its own */
} loop_disk_t;

/** Makes and mounts a disk of `bytes`, its image in `place`. On failure nothing is left. */
bool loop_disk_create(loop_disk_t *disk, const char *type, uint64_t bytes, temp_dir_place_t place);

/**
 * As above, in memory, and with no more than `room` bytes behind it, which may be fewer than it
 * says that it has: when they are used up it fails to write.
 */
bool loop_disk_create_thin(loop_disk_t *disk, const char *type, uint64_t bytes, uint64_t room);

/** Uses up what is left of a thin disk's room: from now on it takes no block it has not had. */
bool loop_disk_fill_up(loop_disk_t *disk);

/** Undoes that. */
bool loop_disk_give_back(loop_disk_t *disk);

/** Unmounts and removes it. False if something stayed. */
bool loop_disk_destroy(loop_disk_t *disk);

/** Unmounts, which writes everything, and mounts again with nothing cached. */
bool loop_disk_remount(loop_disk_t *disk);

/**
 * The power goes: what was not synced is gone, every call on an open file fails from now on. To be
 * followed by loop_disk_remount(), once nobody has a file open.
 */
bool loop_disk_cut_power(loop_disk_t *disk);

/** What lies on the disk from byte `from` of this file on cannot be read any more. */
bool loop_disk_lose_end_of(loop_disk_t *disk, const char *path, uint64_t from);

#endif

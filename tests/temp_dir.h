/*
 * tests/temp_dir.h - a private directory for one test, gone when the test is.
 */
#ifndef CAIRN_TESTS_TEMP_DIR_H
#define CAIRN_TESTS_TEMP_DIR_H

#include <stdbool.h>

typedef enum en_temp_dir_place_t {
    TEMP_DIR_ON_DISK,  /* under $TMPDIR, or /tmp: where syncs and full disks are real */
    TEMP_DIR_IN_MEMORY /* under /dev/shm: for tests that make many files and mean no disk */
} temp_dir_place_t;

typedef struct st_temp_dir_t {
    char path[256];
} temp_dir_t;

/**
 * Makes an empty directory that only this user can enter.
 *
 * Owner: the caller; end it with temp_dir_remove(). On failure `errno` says why and `path` is
 * empty.
 */
bool temp_dir_create(temp_dir_t *dir, temp_dir_place_t place);

/**
 * Removes the directory with everything in it; symbolic links are removed, not followed. Does
 * nothing when `path` is empty, and empties it, so a second call is harmless. False if something
 * stayed.
 */
bool temp_dir_remove(temp_dir_t *dir);

#endif

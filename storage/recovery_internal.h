/*
 * storage/recovery_internal.h - what the files of recovery share. Threads: the one that opens the
 * store.
 */
#ifndef CAIRN_STORAGE_RECOVERY_INTERNAL_H
#define CAIRN_STORAGE_RECOVERY_INTERNAL_H

#include "storage/recovery.h"
#include "storage/scan.h"

#define CAIRN_RECOVERY_ADVICE "; nothing was changed. Restore the store from a backup or snapshot"

typedef struct st_cairn_recovery_file_t {
    char name[CAIRN_SEGMENT_NAME_BYTES];
    uint64_t first_version; /* as the name says */
    bool is_spare;
    cairn_segment_t *segment;
    cairn_scan_t scan;
    bool is_sealed; /* a footer says so */
    cairn_scan_end_t end;
} cairn_recovery_file_t;

typedef struct st_cairn_recovery_t {
    cairn_dir_t *dir;
    cairn_index_t *index;
    cairn_segments_t *segments;
    cairn_health_t *health;
    cairn_clock_t *clock;
    const cairn_store_options_t *options;
    cairn_recovered_t *out;
    char *errmsg;
    cairn_recovery_file_t *files; /* in order of version */
    size_t count, room;
    bool failed_to_list;
    uint64_t bytes_total, bytes_done;
} cairn_recovery_t;

/** Says in the message to the person what is wrong; returns `err`. */
cairn_err_t cairn_recovery_fail(cairn_recovery_t *r, cairn_err_t err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---------------------------------------------------------------- recovery_files.c */

/**
 * Lists the files of the log in order of version. The spare is among them only if the log has gone
 * on in it: a blank one is removed. Errors: IO, NOMEM.
 */
cairn_err_t cairn_recovery_list_files(cairn_recovery_t *r);

/** Reserves address space in which each of the files fits a slot. Errors: NOMEM. */
cairn_err_t cairn_recovery_make_space(cairn_recovery_t *r);

/** Whether a file that has been read continues `previous`, NULL for the first. Errors: CORRUPT. */
cairn_err_t cairn_recovery_check_link(cairn_recovery_t *r, const cairn_recovery_file_t *file,
                                      const cairn_recovery_file_t *previous);

/**
 * The newest file, and no record in it: the log was cut short at its birth. The log does not go on
 * in it even where it could: what is too large for it would roll to another file of the same name.
 */
bool cairn_recovery_is_unused(const cairn_recovery_t *r, const cairn_recovery_file_t *file);

/** Whether the log that has been read reaches as far as STORE knows. Errors: CORRUPT. */
cairn_err_t cairn_recovery_check_against_store(cairn_recovery_t *r);

/* ---------------------------------------------------------------- recovery_replay.c */

/**
 * Brings a file in and applies its records to the index, up to where they are no valid continuation
 * of the log. Errors: IO, NOMEM, CANCELLED.
 */
cairn_err_t cairn_recovery_replay(cairn_recovery_t *r, cairn_recovery_file_t *file);

#endif

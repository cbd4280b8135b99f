/*
 * storage/verify_internal.h - what the files of verify share.
 */
#ifndef CAIRN_STORAGE_VERIFY_INTERNAL_H
#define CAIRN_STORAGE_VERIFY_INTERNAL_H

#include "storage/segment.h"
#include "storage/verify.h"

typedef struct st_cairn_verify_name_t {
    char text[CAIRN_SEGMENT_NAME_BYTES];
    uint64_t first_version; /* UINT64_MAX: the spare */
    uint32_t generation;
} cairn_verify_name_t;

/** where the log has come to, file by file */
typedef struct st_cairn_verify_place_t {
    uint64_t last_version;
    uint64_t first_version, end, salt; /* of the last segment */
    uint32_t generation;
    cairn_chain_t chain;
    bool is_known; /* nothing before it was missing or damaged */
} cairn_verify_place_t;

/** a key that has been lost, by its hash */
typedef struct st_cairn_verify_lost_key_t {
    uint64_t hash;
    uint64_t version; /* of its newest record; 0: there is no key here */
    bool is_mended;
} cairn_verify_lost_key_t;

typedef struct st_cairn_verify_lost_t {
    cairn_verify_lost_key_t *keys; /* `room` places for them, a power of two */
    size_t count, room;
} cairn_verify_lost_t;

typedef struct st_cairn_verify_t {
    const cairn_verify_options_t *options;
    cairn_verify_result_t *result;
    cairn_dir_t dir;
    cairn_space_t *space;
    cairn_verify_name_t *names;
    size_t count, room;
    uint64_t bytes_total, bytes_done;
    cairn_verify_place_t place;
    bool is_cancelled;
    bool is_out_of_memory; /* while names, or keys, were collected */
    cairn_verify_lost_t lost;
    char *errmsg;
} cairn_verify_t;

/** A file has come to an end: it is counted, and told. */
void cairn_verify_count_file(cairn_verify_t *v, const cairn_verify_file_t *file);

/** So many bytes more have been looked at; false: stop. `ctx` is the cairn_verify_t. */
bool cairn_verify_tell_progress(void *ctx, uint64_t bytes);

/** Takes a record that is whole into what is known of lost keys, and counts these in the end. */
void cairn_verify_note_lost(cairn_verify_t *v, const cairn_record_t *r);
void cairn_verify_end_lost(cairn_verify_t *v);

/**
 * Checks the key table of a sealed segment, if it has one: each block, and each entry against the
 * records, or, where `is_broken`, as far as that goes without them.
 *
 * Errors: NOMEM. What is wrong with the table is told as that of any file.
 */
cairn_err_t cairn_verify_keytable(cairn_verify_t *v, cairn_segment_t *segment,
                                  const cairn_segment_footer_t *footer, bool is_broken);

/** Bytes of all key tables that cairn_verify_keytable() may look at. */
uint64_t cairn_verify_keytable_bytes(const cairn_verify_t *v);

/** The rest of what only makes a start faster: the checkpoint, tables of no segment. Errors: IO,
 * CANCELLED. */
cairn_err_t cairn_verify_aids(cairn_verify_t *v);

#endif

/*
 * storage/verify.h - a store that nobody has open, checked to the last byte.
 *
 * Every record's head and content, every segment's footer, the chain of all of them from the first
 * version to the last, and the files that only help to start faster. Nothing is changed.
 */
#ifndef CAIRN_STORAGE_VERIFY_H
#define CAIRN_STORAGE_VERIFY_H

#include "storage/damage.h"
#include "storage/types.h"

/** a record as it lies in a segment, or what is left of one; lives for the call */
typedef struct st_cairn_verify_record_t {
    const char *file;
    uint64_t offset, end; /* in the file */
    const char *state;    /* "whole", "damaged content", "damaged head", "unreadable" */
    bool is_damaged;
    const char
        *type; /* "put", "delete", "mark", "link", "lost"; NULL where nothing is known, nor below */
    bool more; /* the next one belongs to the same atomic batch */
    uint64_t version; /* 0 where only the key is proven */
    uint64_t written_ms, expiry_ms;
    const void *key;
    size_t key_bytes, meta_bytes;
    uint64_t value_bytes;
    uint64_t head_sum, body_sum;
} cairn_verify_record_t;

#define CAIRN_VERIFY_SEGMENT "segment"
#define CAIRN_VERIFY_KEYTABLE "key table"
#define CAIRN_VERIFY_CHECKPOINT "checkpoint"

/** what a file has come to; lives for the call */
typedef struct st_cairn_verify_file_t {
    const char *name;
    const char *kind; /* one of the above */
    bool is_aid;      /* nothing is lost with it: the next start does without, and makes it anew */
    /* "clean", "torn": no damage; "suspect": a start will keep its end in quarantine/; "corrupt";
     * "unused", "superseded" */
    const char *verdict;
    uint64_t bytes;
    uint64_t records; /* puts and deletes that are whole */
    uint64_t keys;    /* of a key table */
    uint64_t first_version, last_version;
    uint64_t damaged;    /* records, or gaps where more may have been */
    const char *problem; /* a sentence; NULL if there is none */
} cairn_verify_file_t;

typedef struct st_cairn_verify_options_t {
    const char *path;
    const char *only; /* NULL, or the name of the one segment to look at */
    /* each may be NULL */
    bool (*on_progress)(void *ctx, uint64_t bytes_done, uint64_t bytes_total); /* false: stop */
    void (*on_record)(void *ctx, const cairn_verify_record_t *record);
    void (*on_file)(void *ctx, const cairn_verify_file_t *file);
    void *ctx;
} cairn_verify_options_t;

typedef struct st_cairn_verify_result_t {
    uint64_t files;
    uint64_t bad_files; /* with a problem */
    uint64_t bad_aids;  /* of them, those that nothing is lost with */
    uint64_t suspect_files;
    uint64_t bytes;
    uint64_t records;
    uint64_t damaged;
    uint64_t last_version;
    cairn_damage_t damage; /* that is known already: any of it makes the store degraded */
} cairn_verify_result_t;

/**
 * Checks a store. The calling thread is not registered with QSBR.
 *
 * Errors: OK (all is well), CORRUPT (something is damaged: on_file has said what; `errmsg` where it
 * is no file's), LOCKED (a server has it open), NOT_FOUND (there is no store, or no such segment),
 * IO, NOMEM, CANCELLED.
 */
cairn_err_t cairn_store_verify(const cairn_verify_options_t *options, cairn_verify_result_t *result,
                               char *errmsg);

#endif

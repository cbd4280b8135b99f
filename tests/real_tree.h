/*
 * tests/real_tree.h - the files under /usr/include and /usr/share/doc of this machine, and the
 * values that are made of them.
 *
 * All are held in memory. What cannot be done without is asserted with CUnit's _FATAL. Threads: a
 * tree is made and changed by one; files belong to one at a time.
 */
#ifndef CAIRN_TESTS_REAL_TREE_H
#define CAIRN_TESTS_REAL_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/http_client.h"
#include "tests/seed.h"

/** what a value may have in front of the file's bytes */
#define REAL_FILE_LABEL_BYTES_MAX 64

typedef enum en_pending_t { PENDING_NONE, PENDING_PUT, PENDING_DELETE } pending_t;

typedef struct st_real_file_t {
    char *path;
    char *target;
    uint8_t *bytes;
    size_t count;
    bool is_binary;
    /* the last acknowledged write: the round of the value, 0 when it was a delete or there was none
     */
    unsigned round;
    uint64_t version;
    /* what a kill left without an answer */
    pending_t pending;
    unsigned pending_round;
    uint64_t pending_above; /* its version, should it have got one, is higher */
} real_file_t;

typedef struct st_real_tree_t {
    real_file_t *files;
    size_t count;
    size_t bytes;
    size_t binary_count;
} real_tree_t;

/** Every regular file that can be read and is small enough, in an order that does not change.
 * `*tree` is zeroed before. */
void real_tree_load(real_tree_t *tree, size_t file_bytes_max);

/** Keeps the largest, some binary ones, and of others as many as may be, as the seed has it. */
void real_tree_sample(real_tree_t *tree, size_t files_max, size_t bytes_max, random_t *random);

void real_tree_dispose(real_tree_t *tree);

/**
 * The value that a file has in a round, counted from 1. Owner: the caller frees it; never NULL, so
 * that an empty file is put as a body of no bytes.
 */
uint8_t *real_file_make_value(const real_file_t *file, unsigned round, size_t *count);

/** Whether the body is that value. */
bool real_file_is_value(const real_file_t *file, unsigned round, const http_response_t *res);

#endif

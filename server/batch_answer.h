/*
 * server/batch_answer.h - the answer to a batch: NDJSON, a line for each operation.
 *
 * Made in pieces, so that memory does not grow with what is read, and a large piece off the event
 * loop. Threads: any that reads the store; one at a time.
 */
#ifndef CAIRN_SERVER_BATCH_ANSWER_H
#define CAIRN_SERVER_BATCH_ANSWER_H

#include "server/batch_parse.h"
#include "server/json_text.h"

typedef struct st_cairn_batch_answer_t {
    cairn_json_text_t text; /* lines made and not yet sent */
    uint64_t value_bytes;   /* in them */
    size_t _next;           /* operation */
    uint8_t *_value;        /* a copy of the one that is made a line of */
    size_t _value_capacity;
    /* plain gets: what the next ones have found */
    size_t _found_from, _found_to;
    cairn_value_t _values[CAIRN_GET_BATCH_MAX];
    cairn_err_t _errs[CAIRN_GET_BATCH_MAX];
} cairn_batch_answer_t;

/** Begins an answer, in memory that is zeroed. */
void cairn_batch_answer_init(cairn_batch_answer_t *answer);
void cairn_batch_answer_dispose(cairn_batch_answer_t *answer);

/**
 * Adds lines until there are `bytes_max` or a few more, or lines for `ops_max` operations. Without
 * `may_wait` (which is for the I/O pool) it also stops before a value that is large or not in
 * memory. True when the last line has been added.
 */
bool cairn_batch_answer_fill(cairn_batch_answer_t *answer, cairn_store_t *store,
                             const cairn_batch_ops_t *ops, size_t bytes_max, size_t ops_max,
                             bool may_wait);

#endif

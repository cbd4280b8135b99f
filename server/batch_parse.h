/*
 * server/batch_parse.h - the body of a batch: NDJSON, an operation a line.
 *
 * A body is read whole before anything of it happens, and a line that is wrong in itself, or that
 * the token may not ask for, refuses all of it. Lines of nothing but white space are skipped, but
 * counted.
 *
 * Threads: any; all of this works on memory that the caller owns.
 */
#ifndef CAIRN_SERVER_BATCH_PARSE_H
#define CAIRN_SERVER_BATCH_PARSE_H

#include "server/config.h"
#include "server/reply.h"

typedef struct st_cairn_batch_op_t {
    cairn_write_t *write;
    size_t line;       /* of the body, counted from 1 */
    void *_conditions; /* what the write borrows */
    void *_decoded;
    struct json_t *_value;
} cairn_batch_op_t;

typedef struct st_cairn_batch_ops_t {
    cairn_batch_op_t *list; /* NULL when there are only gets */
    cairn_key_t *gets;      /* of a batch that cairn_batch_gets_parse() has read, else NULL */
    size_t count;           /* in either */
    uint64_t value_bytes;   /* to be written */
    bool is_decided;        /* there is more than plain gets: the writer decides */
    size_t _capacity;
} cairn_batch_ops_t;

typedef struct st_cairn_batch_limits_t {
    uint64_t ops_max;
    uint64_t value_bytes_max;
    cairn_durability_t durability;
    const cairn_store_t *store;        /* whose keys they are */
    const cairn_config_token_t *token; /* that asks; NULL: may do everything */
} cairn_batch_limits_t;

typedef struct st_cairn_batch_fault_t {
    cairn_problem_t problem;
    size_t line; /* 0: the fault is not in one line */
    char detail[256];
} cairn_batch_fault_t;

/**
 * Reads a body into `ops`, which is empty, and links the writes by `next`. On false `fault` says
 * what is wrong with it.
 *
 * Owner: cairn_batch_ops_dispose() ends `ops` in either case. The body is not kept.
 */
bool cairn_batch_parse(cairn_bytes_t body, const cairn_batch_limits_t *limits,
                       cairn_batch_ops_t *ops, cairn_batch_fault_t *fault);

void cairn_batch_ops_dispose(cairn_batch_ops_t *ops);

/**
 * Decodes base64 (RFC 4648, section 4) into `out`, with room for 3 bytes for each 4 begun. False
 * unless the text is canonical: padded, and without a bit too many.
 */
bool cairn_base64_decode(const char *text, size_t count, uint8_t *out, size_t *out_count);

#endif

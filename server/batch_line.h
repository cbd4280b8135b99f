/*
 * server/batch_line.h - a line of a batch that looks as most clients write it, read at speed.
 *
 * Reading JSON member by member takes longer than finding or storing a value. What is taken here,
 * server/json_read.h would have read with the same result; every other line is left to it, and it
 * says what is wrong with one.
 */
#ifndef CAIRN_SERVER_BATCH_LINE_H
#define CAIRN_SERVER_BATCH_LINE_H

#include <stdbool.h>

#include "storage/store.h"

typedef struct st_cairn_batch_line_t {
    cairn_write_op_t op; /* GET, PUT or DELETE */
    cairn_bytes_t key;   /* both point into the line, and may be empty */
    cairn_bytes_t value; /* of a PUT */
} cairn_batch_line_t;

/**
 * Reads a line of `{"op":"get","key":"..."}`, `{"op":"delete","key":"..."}` or
 * `{"op":"put","key":"...","value":"..."}`: members in this order and no others, blanks between the
 * tokens, strings of ASCII without escapes. False if it is another one.
 *
 * Threads: any.
 */
bool cairn_batch_line_read(const char *text, size_t count, cairn_batch_line_t *line);

#endif

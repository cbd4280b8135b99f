/*
 * server/batch_gets.h - the body of a batch that is nothing but plain gets, read at speed.
 *
 * Batches that only read are what the batch is used for most. Where all lines look as most clients
 * write them (server/batch_line.h), no operations are made of them, only keys to be looked up; a
 * body with any other line is left to server/batch_parse.h, which says what is wrong with it. What
 * is taken here, it would have taken with the same result.
 */
#ifndef CAIRN_SERVER_BATCH_GETS_H
#define CAIRN_SERVER_BATCH_GETS_H

#include "server/batch_parse.h"

/**
 * Reads a body of such lines with gets into `ops`, which is empty. False, with `ops` still empty,
 * if there is any other line, or one that is to be refused.
 *
 * Owner: the keys point into the body, which must outlive `ops`; cairn_batch_ops_dispose() ends it.
 * Threads: any.
 */
bool cairn_batch_gets_parse(cairn_bytes_t body, const cairn_batch_limits_t *limits,
                            cairn_batch_ops_t *ops);

#endif

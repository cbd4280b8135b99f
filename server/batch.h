/*
 * server/batch.h - many operations in one request: POST /v1/batch.
 */
#ifndef CAIRN_SERVER_BATCH_H
#define CAIRN_SERVER_BATCH_H

#include "server/worker.h"

/** Answers if the path is /v1/batch; false if it is not. */
bool cairn_batch_handle(h2o_req_t *req, h2o_iovec_t path);

#endif

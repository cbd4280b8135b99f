/*
 * server/changes.h - what has changed: GET /v1/changes, in pages or as a stream.
 */
#ifndef CAIRN_SERVER_CHANGES_H
#define CAIRN_SERVER_CHANGES_H

#include "server/worker.h"

/** Handles the request if it is for this path; false if not. */
bool cairn_changes_handle(h2o_req_t *req, h2o_iovec_t path);

#endif

/*
 * server/pipeline.h - clients that send many requests without waiting for the answers.
 *
 * Their answers go out in as few packets as they fit: the socket is corked while a further request
 * that can be answered at once is already here. And they take turns with everybody else: libh2o
 * would answer all that one connection has sent before it looks at another.
 */
#ifndef CAIRN_SERVER_PIPELINE_H
#define CAIRN_SERVER_PIPELINE_H

#include "server/conn.h"

/**
 * Handles a request now by calling `handle`, or in a moment if its connection has had its share of
 * this turn of the loop.
 */
void cairn_pipeline_handle(h2o_req_t *req, void (*handle)(h2o_req_t *req));

/** What has been answered goes out now: the answer to come is late, or long. */
void cairn_pipeline_flush(cairn_conn_t *conn);

/** The connection is closing. */
void cairn_pipeline_dispose(cairn_conn_t *conn);

#endif

/*
 * server/pipeline.h - clients that send many requests without waiting for the answers.
 *
 * Their answers go out together: an answer is held while the request behind it is already here and
 * is sure to be handled at once, and goes out in one piece with that one's. They take turns with
 * everybody else: libh2o would answer all that one connection has sent before it looks at another.
 *
 * Sure to be handled is a GET of a value with the head of the request before it, but for its key:
 * what libh2o has taken once it takes again. So nothing of the library's own, such as its answer to
 * a head that it cannot read, can get in front of what is held.
 *
 * What goes out in one piece, a small value or that a write is done, is sent here, and its request
 * ended at once: the library would come back to the connection for that in another pass. Over TLS,
 * and where the socket does not take all, it is the library that sends.
 */
#ifndef CAIRN_SERVER_PIPELINE_H
#define CAIRN_SERVER_PIPELINE_H

#include "server/conn.h"

/**
 * Handles a request now by calling `handle`, or in a moment if its connection has had its share of
 * this turn of the loop.
 */
void cairn_pipeline_handle(h2o_req_t *req, void (*handle)(h2o_req_t *req));

/**
 * Answers a request that has waited by calling answer(ctx), which may also leave it waiting on, and
 * goes on with what is behind it. The request may be gone afterwards, and so may the connection.
 */
void cairn_pipeline_resume(cairn_conn_t *conn, void (*answer)(void *ctx), void *ctx);

/** What has been answered goes out now: the answer to come is late. */
void cairn_pipeline_flush(cairn_conn_t *conn);

/**
 * Memory for an answer of up to `bytes`, head first, that is to be sent by cairn_pipeline_send()
 * next: behind those that are held, or in the request's pool.
 */
char *cairn_pipeline_room(h2o_req_t *req, size_t bytes);

/**
 * h2o_send() for an answer whose head is its own (server/head.h): behind what is held, or held with
 * it. One or two buffers, which live as long as the request; at least one byte. The request lives
 * on until `handle` of cairn_pipeline_handle(), or `answer` of cairn_pipeline_resume(), returns.
 */
void cairn_pipeline_send(h2o_req_t *req, const h2o_iovec_t *bufs, size_t count,
                         h2o_send_state_t state);

/** The connection is closing. */
void cairn_pipeline_dispose(cairn_conn_t *conn);

#endif

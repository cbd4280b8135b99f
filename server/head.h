/*
 * server/head.h - the head of an answer, written by us.
 *
 * libh2o puts a head together with sprintf(), which takes more instructions than all that cairn
 * does for a GET. An answer whose length is known is sent with a head of our own instead, in
 * the same form; answers of unknown length keep the library's. Threads: the request's worker.
 */
#ifndef CAIRN_SERVER_HEAD_H
#define CAIRN_SERVER_HEAD_H

#include "server/http.h"

/**
 * Makes the head of the answer as the request's `res` says: status, reason, content_length
 * (SIZE_MAX: none is sent), headers; Date and Connection beside them. It lies where
 * cairn_pipeline_room() says, with `room` bytes behind it for a body that is copied there, and is
 * to be sent before another is made.
 */
h2o_iovec_t cairn_head_make(h2o_req_t *req, size_t room);

/**
 * The same for answers that come most often, of which headers are written without being made first.
 * _written: ETag, the version of a write, behind the headers of `res`. _plain: all that a value has
 * to which nothing is stored but when it was written; `res` has none.
 */
h2o_iovec_t cairn_head_make_written(h2o_req_t *req, uint64_t version);
h2o_iovec_t cairn_head_make_plain(h2o_req_t *req, uint64_t version, uint64_t written_ms,
                                  size_t room);

/**
 * Sends the head and the whole body, and ends the answer. The body lies anywhere, also behind the
 * head, and stays until the request ends; count 0: there is none.
 */
void cairn_head_send(h2o_req_t *req, h2o_iovec_t head, const char *body, size_t count);

/**
 * Sends the head and a first piece of the body, or all of it (`state` as in h2o_send()). Further
 * pieces are not counted by the library: add them to req->bytes_sent.
 */
void cairn_head_send_first(h2o_req_t *req, h2o_generator_t *generator, h2o_iovec_t head,
                           h2o_iovec_t piece, h2o_send_state_t state);

/** An HTTP date, H2O_TIMESTR_RFC1123_LEN bytes and a NUL; valid until the next call. */
const char *cairn_head_date(uint64_t seconds);

#endif

/*
 * server/changes_request.h - what a request for changes asks for: the query of GET /v1/changes.
 */
#ifndef CAIRN_SERVER_CHANGES_REQUEST_H
#define CAIRN_SERVER_CHANGES_REQUEST_H

#include "server/worker.h"

typedef struct st_cairn_changes_request_t {
    cairn_feed_t feed;    /* where to begin */
    cairn_bytes_t prefix; /* of the keys, in the request's pool or of its token */
    bool wants_values;
    bool is_stream; /* Server-Sent Events, without end; limit and wait mean nothing then */
    size_t limit;   /* changes of a page */
    uint64_t wait_ms;
} cairn_changes_request_t;

/** Reads query and headers. On failure the request has been answered. */
bool cairn_changes_request_read(h2o_req_t *req, cairn_changes_request_t *asked);

/** Adds the header `Link: <...>; rel="next"`: the same request, for what comes after `feed`. */
void cairn_changes_request_add_next(h2o_req_t *req, const cairn_changes_request_t *asked,
                                    const cairn_feed_t *feed);

#endif

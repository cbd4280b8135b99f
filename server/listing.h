/*
 * server/listing.h - many keys: GET /v1/keys in their order, GET /v1/scan by what values contain.
 */
#ifndef CAIRN_SERVER_LISTING_H
#define CAIRN_SERVER_LISTING_H

#include "server/worker.h"

/** Handles the request if it is for these paths; false if not. */
bool cairn_listing_handle(h2o_req_t *req, h2o_iovec_t path);

#endif

/*
 * server/tutorial.h - /set, /get, /delete: the API of the tutorial, for an address bar and for
 * curl.
 */
#ifndef CAIRN_SERVER_TUTORIAL_H
#define CAIRN_SERVER_TUTORIAL_H

#include "server/worker.h"

/** Answers the request if its path is one of the tutorial's. */
bool cairn_tutorial_handle(h2o_req_t *req, h2o_iovec_t path);

#endif

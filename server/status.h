/*
 * server/status.h - how the server is: /, /livez, /readyz, /metrics, /v1/stats.
 */
#ifndef CAIRN_SERVER_STATUS_H
#define CAIRN_SERVER_STATUS_H

#include "server/worker.h"

/** Answers the request if its path is one of these. Works while the store is loading. */
bool cairn_status_handle(h2o_req_t *req, h2o_iovec_t path);

/** 503: the store is still loading, and how far it is. */
void cairn_status_reply_loading(h2o_req_t *req);

#endif

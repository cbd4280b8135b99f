/*
 * server/admin.h - looking after the store: what is under /v1/admin/.
 */
#ifndef CAIRN_SERVER_ADMIN_H
#define CAIRN_SERVER_ADMIN_H

#include "server/worker.h"

/** Handles the request if it is for one of these paths; false if not. */
bool cairn_admin_handle(h2o_req_t *req, h2o_iovec_t path);

#endif

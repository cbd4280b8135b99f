/*
 * server/route.h - from a request to the code that answers it.
 */
#ifndef CAIRN_SERVER_ROUTE_H
#define CAIRN_SERVER_ROUTE_H

#include "server/worker.h"

/** Registers the one handler there is, for all paths, and what counts and ends requests. */
void cairn_route_register(cairn_server_t *server);

/** Whether a browser sends this on behalf of a page of another site. */
bool cairn_route_is_cross_site(const h2o_req_t *req);

#endif

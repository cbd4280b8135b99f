/*
 * server/sender.h - a large value on its way out of the map.
 */
#ifndef CAIRN_SERVER_SENDER_H
#define CAIRN_SERVER_SENDER_H

#include "server/http.h"

#include "storage/store.h"

/**
 * Starts the response, whose headers are there but for the length, and sends the value, which it
 * pins until the response has ended.
 *
 * The kernel passes its own pages on to a plain socket, without copying them (vmsplice to a pipe,
 * splice to the socket); over TLS, or when there is no descriptor left for a pipe, the value goes
 * in pieces through libh2o. Either way the loop is not held for more than a piece.
 */
void cairn_sender_start(h2o_req_t *req, const cairn_value_t *value);

#endif

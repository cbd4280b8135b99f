/*
 * server/list_request.h - what requests for many keys ask for alike: which keys, and how many.
 */
#ifndef CAIRN_SERVER_LIST_REQUEST_H
#define CAIRN_SERVER_LIST_REQUEST_H

#include "server/worker.h"

#define CAIRN_LIST_LIMIT_DEFAULT 1000
#define CAIRN_LIST_LIMIT_MAX 10000

/**
 * The parameter `name`, a key or the beginning of one, empty where it is not given; in the
 * request's pool. On failure the request has been answered, as with all below.
 */
bool cairn_list_request_key(h2o_req_t *req, const char *name, cairn_bytes_t *key);

/** The prefix asked for, narrowed to what the request's token reaches. */
bool cairn_list_request_prefix(h2o_req_t *req, cairn_bytes_t *prefix);

/** The limit, 1 to CAIRN_LIST_LIMIT_MAX. */
bool cairn_list_request_limit(h2o_req_t *req, size_t *limit);

/** A parameter that is a version, `*version` as it was where it is not given. */
bool cairn_list_request_version(h2o_req_t *req, const char *name, uint64_t *version);

#endif

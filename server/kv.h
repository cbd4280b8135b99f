/*
 * server/kv.h - one value: get, put, delete, incr, append, whatever path asked for it.
 */
#ifndef CAIRN_SERVER_KV_H
#define CAIRN_SERVER_KV_H

#include "server/worker.h"

/** Answers the request if its path is /v1/kv/, /v1/incr/ or /v1/append/ and a key, or /v1/sync. */
bool cairn_kv_handle(h2o_req_t *req, h2o_iovec_t path);

/**
 * Takes decoded bytes, which outlive the request, for a key, if the request's token reaches it. On
 * failure it has been answered.
 */
bool cairn_kv_take_key(h2o_req_t *req, const char *bytes, size_t count, cairn_key_t *key);

/** Each answers the request, now or later; the key's and value's bytes outlive the request. */
void cairn_kv_get(h2o_req_t *req, const cairn_key_t *key);
void cairn_kv_put(h2o_req_t *req, const cairn_key_t *key, cairn_bytes_t meta, cairn_bytes_t value);
void cairn_kv_delete(h2o_req_t *req, const cairn_key_t *key);

#endif

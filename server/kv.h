/*
 * server/kv.h - one value: get, put, delete, whatever path asked for it.
 */
#ifndef CAIRN_SERVER_KV_H
#define CAIRN_SERVER_KV_H

#include "server/worker.h"

/** /v1/kv/{key}; `raw` is the key as it stands in the target */
void cairn_kv_handle(h2o_req_t *req, h2o_iovec_t raw);

/**
 * Decodes a key into the request's pool and hashes it. On failure the request has been answered.
 * `plus_is_space` as in query strings.
 */
bool cairn_kv_decode_key(h2o_req_t *req, h2o_iovec_t raw, bool plus_is_space, cairn_key_t *key);

/** Takes decoded bytes, which outlive the request, for a key. On failure it has been answered. */
bool cairn_kv_take_key(h2o_req_t *req, const char *bytes, size_t count, cairn_key_t *key);

/** Each answers the request, now or later; the key's and value's bytes outlive the request. */
void cairn_kv_get(h2o_req_t *req, const cairn_key_t *key);
void cairn_kv_put(h2o_req_t *req, const cairn_key_t *key, cairn_bytes_t meta, cairn_bytes_t value);
void cairn_kv_delete(h2o_req_t *req, const cairn_key_t *key);

/** What the worker does with writes that come back, and with loads. */
void cairn_kv_on_writes(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);
void cairn_kv_on_loads(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages);

/** The on_done of a worker's sink; runs on the writer thread. */
void cairn_kv_on_done(cairn_sink_t *sink, cairn_write_t *list);

#endif

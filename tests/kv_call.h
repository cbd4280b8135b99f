/*
 * tests/kv_call.h - one operation on one key over HTTP, with the version it was answered with.
 *
 * Threads: a connection belongs to one thread at a time.
 */
#ifndef CAIRN_TESTS_KV_CALL_H
#define CAIRN_TESTS_KV_CALL_H

#include "tests/http_client.h"

/** an operation that takes longer has found a hang, also under a sanitizer on a busy machine */
#define KV_TIMEOUT_MS 60000

/** Connects, with the patience that KV_TIMEOUT_MS says. On failure there is nothing to close. */
bool kv_open(http_conn_t *conn, uint16_t port);

/**
 * Sends one request, with `Cairn-Durability: async` if so wanted, and reads its answer. `*version`
 * is that of the ETag, 0 without one.
 *
 * False, with a sentence in `conn->error` and nothing to dispose of, when no answer came or its
 * ETag is not one version in quotes.
 */
bool kv_call(http_conn_t *conn, const char *method, const char *target, bool is_async,
             const void *body, size_t body_bytes, uint64_t *version, http_response_t *res);

/** The same with `If-Match` for this version, unless it is 0. */
bool kv_call_if(http_conn_t *conn, const char *method, const char *target, uint64_t if_version,
                bool is_async, const void *body, size_t body_bytes, uint64_t *version,
                http_response_t *res);

#endif

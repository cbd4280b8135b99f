/*
 * tests/changes_call.h - writes, and what GET /v1/changes says of them, in a line.
 */
#ifndef CAIRN_TESTS_CHANGES_CALL_H
#define CAIRN_TESTS_CHANGES_CALL_H

#include "tests/site.h"

#define CHANGES "/v1/changes"
#define SSE "Accept: text/event-stream\r\n"
/** for what comes at once, on a machine that is busy */
#define PATIENCE_MS 20000

/** A write that must succeed; returns its version. */
uint64_t changes_put(http_conn_t *conn, const char *target, const void *value, size_t bytes);
uint64_t changes_put_text(http_conn_t *conn, const char *target, const char *value);
uint64_t changes_delete(http_conn_t *conn, const char *target);

/** The version that an answer says to go on from; UINT64_MAX if it says none. */
uint64_t changes_looked_at(const http_response_t *res);

/** A page, which must be one. Owner: the caller disposes the answer. */
void changes_get(http_conn_t *conn, const char *target, http_response_t *res);

/** The newest version. */
uint64_t changes_newest(http_conn_t *conn);

#endif

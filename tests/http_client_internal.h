/*
 * tests/http_client_internal.h - what the two files of the client share: the bytes of a connection.
 */
#ifndef CAIRN_TESTS_HTTP_CLIENT_INTERNAL_H
#define CAIRN_TESTS_HTTP_CLIENT_INTERNAL_H

#include "tests/http_client.h"

/** Leaves a sentence in `conn->error`; returns false. */
bool http_fail(http_conn_t *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Says where a failure happened, outside in: "chunk size: the server closed the connection". */
bool http_fail_in(http_conn_t *conn, const char *where);

/** Bytes at the end; false if there is no memory. */
bool http_buffer_append(http_buffer_t *buffer, const void *bytes, size_t count);
void http_buffer_dispose(http_buffer_t *buffer);

/** When a call that begins now has to be over. */
int64_t http_deadline_of(const http_conn_t *conn);

/** Waits for more bytes from the server. */
bool http_receive_more(http_conn_t *conn, int64_t deadline_ms);

/** What has come and nobody has taken yet. */
const char *http_unread(const http_conn_t *conn);
size_t http_unread_bytes(const http_conn_t *conn);

/** Moves it to the front, so that the buffer of a long-lived connection stays small. */
void http_drop_taken(http_conn_t *conn);

#endif

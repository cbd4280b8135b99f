/*
 * tests/tls_client.h - TLS under the client of tests/http_client.h, and certificates for it.
 *
 * A connection made here is used and closed like any other. Certificates are not verified: which
 * one the server showed is asked with tls_peer_name().
 */
#ifndef CAIRN_TESTS_TLS_CLIENT_H
#define CAIRN_TESTS_TLS_CLIENT_H

#include "tests/http_client.h"

typedef struct st_tls_options_t {
    int version;      /* this one only, as TLS1_2_VERSION; 0 leaves it to OpenSSL */
    const char *alpn; /* as on the wire, "\x02h2\x08http/1.1"; NULL offers nothing */
} tls_options_t;

/** Writes a key and a certificate signed by itself, with this common name, as two PEM files. */
bool tls_make_certificate(const char *name, const char *certificate_file, const char *key_file);

/** Connects to 127.0.0.1 and shakes hands; `options` may be NULL. On failure nothing is to close.
 */
bool tls_open(http_conn_t *conn, uint16_t port, const tls_options_t *options);

/** The same over a Unix socket. */
bool tls_open_unix(http_conn_t *conn, const char *path);

/** Shakes hands on what http_open() has opened. On failure nothing is to close. */
bool tls_begin(http_conn_t *conn, const tls_options_t *options);

/** The common name in the server's certificate. Owner: static, until the next call. */
const char *tls_peer_name(const http_conn_t *conn);

/** What ALPN came to; "" if nothing. Owner: static, until the next call. */
const char *tls_protocol(const http_conn_t *conn);

/** Whether the end that was read was announced (close_notify), and not only a closed socket. */
bool tls_end_was_announced(const http_conn_t *conn);

#endif

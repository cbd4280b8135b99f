/*
 * server/tls.h - certificate and key, and what of TLS we speak: 1.2 and later, HTTP/1.1 only.
 */
#ifndef CAIRN_SERVER_TLS_H
#define CAIRN_SERVER_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "server/config.h"

/** Whether the config asks for TLS. */
bool cairn_tls_is_on(const cairn_config_t *config);

/**
 * Reads tls.certificate and tls.key. Returns NULL, and `errmsg` says which file and why, when one
 * of them cannot be used or they do not belong together.
 *
 * Owner: the caller has one reference; all workers share the context (with one each, a session's
 * ticket would be good on the worker only that gave it).
 */
SSL_CTX *cairn_tls_load(const cairn_config_t *config, char *errmsg, size_t errmsg_bytes);

#endif

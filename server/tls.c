/*
 * server/tls.c - certificate and key, and what of TLS we speak: 1.2 and later, HTTP/1.1 only.
 */
#include "server/tls.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

/** all that is spoken, as on the wire; without "h2" a client cannot ask for what
 * docs/ARCHITECTURE.md forbids */
static const unsigned char protocols[] = "\x08http/1.1";

static const unsigned char session_context[] = "cairn";

bool cairn_tls_is_on(const cairn_config_t *config)
{
    return config->tls_certificate[0] != '\0';
}

/** a client that offers others, and not this one, is told so and not spoken to (RFC 7301, 3.2) */
static int select_protocol(SSL *ssl, const unsigned char **selected, unsigned char *bytes,
                           const unsigned char *offered, unsigned offered_bytes, void *ctx)
{
    (void)ssl;
    (void)ctx;
    unsigned char *found;
    if (SSL_select_next_proto(&found, bytes, protocols, sizeof(protocols) - 1, offered,
                              offered_bytes) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *selected = found;
    return SSL_TLSEXT_ERR_OK;
}

/** a key that is locked by a passphrase is refused: nobody sits at a terminal to type it */
static int no_passphrase(char *buffer, int size, int is_writing, void *ctx)
{
    (void)buffer;
    (void)size;
    (void)is_writing;
    (void)ctx;
    return -1;
}

static SSL_CTX *make_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL)
        return NULL;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* an idle connection keeps no buffers: 16 KiB instead of 25 */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    /* none at all costs some clients 40 ms a connection, through Nagle and delayed acknowledgement
     */
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
    return ctx;
}

/** always NULL, for the caller to return */
static SSL_CTX *refuse(SSL_CTX *ctx, const char *option, const char *file, char *errmsg,
                       size_t errmsg_bytes)
{
    /* the first of the queue is the cause, the others say through which doors it came */
    unsigned long code = ERR_get_error();
    const char *reason = ERR_reason_error_string(code);
    snprintf(errmsg, errmsg_bytes, "%s: %s: %s", option, file,
             ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
             : reason != NULL       ? reason
                                    : "cannot be used");
    ERR_clear_error();
    SSL_CTX_free(ctx);
    return NULL;
}

SSL_CTX *cairn_tls_load(const cairn_config_t *config, char *errmsg, size_t errmsg_bytes)
{
    const char *certificate = config->tls_certificate, *key = config->tls_key;
    ERR_clear_error();
    SSL_CTX *ctx = make_context();
    if (ctx == NULL)
        return refuse(ctx, "tls", "OpenSSL", errmsg, errmsg_bytes);
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
        return refuse(ctx, "tls.certificate", certificate, errmsg, errmsg_bytes);
    /* the latter for a key of another kind than the certificate's, which the former lets pass */
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return refuse(ctx, "tls.key", key, errmsg, errmsg_bytes);
    return ctx;
}

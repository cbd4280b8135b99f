/*
 * TLS under the client of tests/http_client.h, and certificates for it.
 */
#include "tests/tls_client.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

/* ---------------------------------------------------------------- certificates */

static X509 *sign(EVP_PKEY *key, const char *name)
{
    X509 *x509 = X509_new();
    X509_NAME *subject = X509_get_subject_name(x509);
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 24 * 3600);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x509, subject);
    X509_set_pubkey(x509, key);
    X509_sign(x509, key, EVP_sha256());
    return x509;
}

bool tls_make_certificate(const char *name, const char *certificate_file, const char *key_file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = sign(key, name);
    FILE *out = fopen(key_file, "w");
    bool ok = out != NULL && PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1;
    if (out != NULL)
        ok &= fclose(out) == 0;
    out = fopen(certificate_file, "w");
    ok &= out != NULL && PEM_write_X509(out, x509) == 1;
    if (out != NULL)
        ok &= fclose(out) == 0;
    X509_free(x509);
    EVP_PKEY_free(key);
    return ok;
}

/* ---------------------------------------------------------------- the transport */

static SSL *ssl_of(const http_conn_t *conn)
{
    return conn->_transport_data;
}

/* as the system calls say it */
static ssize_t result_of(SSL *ssl, int done)
{
    if (done > 0)
        return done;
    switch (SSL_get_error(ssl, done)) {
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_SYSCALL:
        if (errno == 0)
            errno = EPIPE;
        return -1;
    default: /* an end that was not announced, or an alert */
        errno = EPIPE;
        return -1;
    }
}

static bool has_pending(http_conn_t *conn)
{
    return SSL_has_pending(ssl_of(conn));
}

static int at_most(size_t count)
{
    return count < INT_MAX ? (int)count : INT_MAX;
}

static ssize_t receive(http_conn_t *conn, void *bytes, size_t count)
{
    ERR_clear_error();
    return result_of(ssl_of(conn), SSL_read(ssl_of(conn), bytes, at_most(count)));
}

static ssize_t send_some(http_conn_t *conn, const void *bytes, size_t count)
{
    ERR_clear_error();
    return result_of(ssl_of(conn), SSL_write(ssl_of(conn), bytes, at_most(count)));
}

static void end(http_conn_t *conn)
{
    ERR_clear_error();
    SSL_shutdown(ssl_of(conn));
    SSL_free(ssl_of(conn));
    conn->_transport_data = NULL;
}

static const http_transport_t transport = {has_pending, receive, send_some, end};

/* ---------------------------------------------------------------- shaking hands */

static SSL *make_ssl(const tls_options_t *options)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (options != NULL && options->version != 0) {
        SSL_CTX_set_security_level(ctx, 0); /* lets us ask for what the server must refuse */
        SSL_CTX_set_min_proto_version(ctx, options->version);
        SSL_CTX_set_max_proto_version(ctx, options->version);
    }
    if (options != NULL && options->alpn != NULL)
        SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)options->alpn,
                                (unsigned)strlen(options->alpn));
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx); /* the SSL has its own reference */
    return ssl;
}

/* bounded by the timeouts that http_open() has set for sending, and the same for receiving */
bool tls_begin(http_conn_t *conn, const tls_options_t *options)
{
    struct timeval timeout = {.tv_sec = conn->timeout_ms / 1000};
    SSL *ssl = make_ssl(options);
    setsockopt(conn->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    SSL_set_fd(ssl, conn->fd);
    ERR_clear_error();
    if (SSL_connect(ssl) != 1) {
        const char *reason = ERR_reason_error_string(ERR_peek_error());
        char error[sizeof(conn->error)];
        snprintf(error, sizeof(error), "TLS: %.150s", reason != NULL ? reason : "no handshake");
        SSL_free(ssl);
        http_close(conn);
        memcpy(conn->error, error, sizeof(error));
        return false;
    }
    fcntl(conn->fd, F_SETFL, O_NONBLOCK);
    conn->_transport = &transport;
    conn->_transport_data = ssl;
    return true;
}

bool tls_open(http_conn_t *conn, uint16_t port, const tls_options_t *options)
{
    return http_open(conn, port) && tls_begin(conn, options);
}

bool tls_open_unix(http_conn_t *conn, const char *path)
{
    return http_open_unix(conn, path) && tls_begin(conn, NULL);
}

const char *tls_peer_name(const http_conn_t *conn)
{
    static char name[128];
    X509 *x509 = SSL_get1_peer_certificate(ssl_of(conn));
    if (x509 == NULL || X509_NAME_get_text_by_NID(X509_get_subject_name(x509), NID_commonName, name,
                                                  sizeof(name)) < 0)
        name[0] = '\0';
    X509_free(x509);
    return name;
}

const char *tls_protocol(const http_conn_t *conn)
{
    static char protocol[64];
    const unsigned char *bytes;
    unsigned count;
    SSL_get0_alpn_selected(ssl_of(conn), &bytes, &count);
    snprintf(protocol, sizeof(protocol), "%.*s", (int)count,
             bytes != NULL ? (const char *)bytes : "");
    return protocol;
}

bool tls_end_was_announced(const http_conn_t *conn)
{
    return (SSL_get_shutdown(ssl_of(conn)) & SSL_RECEIVED_SHUTDOWN) != 0;
}

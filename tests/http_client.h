/*
 * tests/http_client.h - a small blocking HTTP/1.1 client that can also misbehave.
 *
 * The normal path: http_open(), then http_request() as often as wanted on the same connection, each
 * answer ended with http_response_dispose(), then http_close(). A hostile test sends its own bytes
 * with http_send(), and leaves with http_reset() or http_half_close().
 *
 * Every function that returns bool leaves a sentence in `conn->error` when it returns false.
 * Answers are read strictly (CRLF only, one framing, digits only in Content-Length): a server whose
 * framing is wrong fails here rather than in some client that is stricter than ours. Sending a
 * request and reading an answer each take at most `conn->timeout_ms`, so a test ends even if the
 * server hangs.
 *
 * Threads: a connection belongs to one thread at a time; there is no other state.
 */
#ifndef CAIRN_TESTS_HTTP_CLIENT_H
#define CAIRN_TESTS_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct st_http_buffer_t {
    char *bytes;
    size_t count;
    size_t capacity;
} http_buffer_t;

typedef struct st_http_conn_t http_conn_t;

/** what lies between the client and the socket; NULL for plain bytes (see tests/tls_client.h) */
typedef struct st_http_transport_t {
    bool (*has_pending)(http_conn_t *conn); /* bytes that poll() cannot see */
    /* as recv() and send() on a socket that does not block */
    ssize_t (*receive)(http_conn_t *conn, void *bytes, size_t count);
    ssize_t (*send)(http_conn_t *conn, const void *bytes, size_t count);
    void (*close)(http_conn_t *conn);
} http_transport_t;

struct st_http_conn_t {
    int fd;               /* -1 when there is no connection */
    int timeout_ms;       /* http_open() sets 10 seconds, a minute under a sanitizer */
    bool is_server_gone;  /* the server has closed its side, in order or with a reset */
    bool is_server_reset; /* it was a reset */
    char error[192];      /* why the last call that returned false did so */
    http_buffer_t _in;    /* received; from `_in_at` on not yet given to anyone */
    size_t _in_at;
    const http_transport_t *_transport;
    void *_transport_data;
};

typedef enum en_http_framing_t {
    HTTP_BODY_NONE, /* HEAD, 204, 304 */
    HTTP_BODY_BY_LENGTH,
    HTTP_BODY_CHUNKED,
    HTTP_BODY_UNTIL_CLOSE
} http_framing_t;

typedef struct st_http_response_t {
    int status;
    http_framing_t framing;
    int interim_count; /* the 1xx answers that came before this one */
    char *head;        /* as received, from the status line to the empty line, then a NUL */
    char *body;        /* never NULL after success; a NUL follows, which `body_bytes` leaves out */
    size_t body_bytes;
    char *_fields; /* name NUL value NUL ... NUL */
} http_response_t;

/** Connects to 127.0.0.1. On failure there is nothing to close. */
bool http_open(http_conn_t *conn, uint16_t port);

/** Connects to a Unix socket. On failure there is nothing to close. */
bool http_open_unix(http_conn_t *conn, const char *path);

/** Closes in order (FIN) and frees the buffers; harmless on a connection that is closed already. */
void http_close(http_conn_t *conn);

/** Closes with a reset (RST): what a client does that dies. Frees the buffers. */
void http_reset(http_conn_t *conn);

/** Says that nothing more will be sent (FIN); answers can still be read. */
bool http_half_close(http_conn_t *conn);

/**
 * Sends exactly these bytes. Answers that arrive while the socket is full are kept for
 * http_read_response(), so two sides that both have much to say do not wait for each other.
 */
bool http_send(http_conn_t *conn, const void *bytes, size_t count);

/**
 * Reads one answer; 1xx answers are counted and skipped. `method` is the request's, because a HEAD
 * has no body. Works after the server has closed, as long as the whole answer arrived before.
 *
 * Owner: fills `*res` without looking at it; end it with http_response_dispose(). After a failure
 *        `*res` is empty, and the connection is of no further use.
 */
bool http_read_response(http_conn_t *conn, const char *method, http_response_t *res);

/**
 * Sends a request and reads its answer. `headers` is NULL or whole lines, each ended by CRLF; Host
 * is added, and Content-Length when `body` is not NULL (a PUT of an empty value has a body of 0
 * bytes, a PUT with body NULL has none). A server may answer and close before it has taken the
 * whole body, so a failed send only counts if no answer is found either.
 */
bool http_request(http_conn_t *conn, const char *method, const char *target, const char *headers,
                  const void *body, size_t body_bytes, http_response_t *res);

/**
 * Whether the server closes its side within this time. Bytes that arrive before are kept for
 * http_read_response(). With false, nothing has failed and `error` is left alone.
 */
bool http_server_closes_within(http_conn_t *conn, int wait_ms);

/** The first header of this name in whatever case, without space around it; NULL if there is none.
 */
const char *http_header(const http_response_t *res, const char *name);

/** How many headers of this name there are. */
int http_header_count(const http_response_t *res, const char *name);

/** Frees what the answer holds and empties it; harmless when repeated. */
void http_response_dispose(http_response_t *res);

/**
 * `prefix` followed by the key, with every byte of the key outside RFC 3986's unreserved set as
 * %XX.
 *
 * Owner: the caller frees it; NULL when there is no memory.
 */
char *http_target(const char *prefix, const void *key, size_t key_bytes);

#endif

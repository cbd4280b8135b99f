/*
 * A small blocking HTTP/1.1 client that can also misbehave.
 *
 * All waiting happens in wait_for(), against one deadline per public call, and all receiving in
 * receive_now(), which appends to the connection's buffer.
 */
#include "tests/http_client_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* only a hang meets this; under a sanitizer a search through all values takes seconds */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define TIMEOUT_MS_DEFAULT 60000
#else
#define TIMEOUT_MS_DEFAULT 10000
#endif
/* room asked for before each receive: a few times the usual socket segment */
#define RECEIVE_BYTES ((size_t)64 << 10)

bool http_fail(http_conn_t *conn, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(conn->error, sizeof(conn->error), format, args);
    va_end(args);
    return false;
}

bool http_fail_in(http_conn_t *conn, const char *where)
{
    char inner[sizeof(conn->error)];
    memcpy(inner, conn->error, sizeof(inner));
    return http_fail(conn, "%s: %.150s", where, inner);
}

/* ---------------------------------------------------------------- buffers */

static bool buffer_reserve(http_buffer_t *buffer, size_t more)
{
    if (more > SIZE_MAX / 2 - buffer->count)
        return false;
    if (buffer->capacity - buffer->count >= more)
        return true;
    size_t capacity = buffer->capacity != 0 ? buffer->capacity : 1024;
    while (capacity - buffer->count < more)
        capacity *= 2;
    char *bytes = realloc(buffer->bytes, capacity);
    if (bytes == NULL)
        return false;
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return true;
}

bool http_buffer_append(http_buffer_t *buffer, const void *bytes, size_t count)
{
    if (!buffer_reserve(buffer, count))
        return false;
    if (count != 0)
        memcpy(buffer->bytes + buffer->count, bytes, count);
    buffer->count += count;
    return true;
}

static bool buffer_append_text(http_buffer_t *buffer, const char *text)
{
    return http_buffer_append(buffer, text, strlen(text));
}

void http_buffer_dispose(http_buffer_t *buffer)
{
    free(buffer->bytes);
    *buffer = (http_buffer_t){NULL, 0, 0};
}

/* ---------------------------------------------------------------- the socket */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t http_deadline_of(const http_conn_t *conn)
{
    return now_ms() + conn->timeout_ms;
}

/* the events that happened, 0 when the deadline has passed; looks once even if it has */
static short wait_for(http_conn_t *conn, short events, int64_t deadline_ms)
{
    struct pollfd entry = {.fd = conn->fd, .events = events};
    for (;;) {
        int64_t left_ms = deadline_ms - now_ms();
        int ready = poll(&entry, 1, left_ms > 0 ? (int)left_ms : 0);
        if (ready > 0)
            return entry.revents;
        if (ready == 0 || errno != EINTR)
            return 0;
    }
}

static bool note_server_gone(http_conn_t *conn, bool is_reset)
{
    conn->is_server_gone = true;
    conn->is_server_reset = is_reset;
    return http_fail(conn, is_reset ? "the server reset the connection"
                                    : "the server closed the connection");
}

void http_drop_taken(http_conn_t *conn)
{
    conn->_in.count -= conn->_in_at;
    if (conn->_in.count != 0)
        memmove(conn->_in.bytes, conn->_in.bytes + conn->_in_at, conn->_in.count);
    conn->_in_at = 0;
}

static ssize_t receive(http_conn_t *conn, void *bytes, size_t count)
{
    return conn->_transport != NULL ? conn->_transport->receive(conn, bytes, count)
                                    : recv(conn->fd, bytes, count, MSG_DONTWAIT);
}

static bool has_pending(http_conn_t *conn)
{
    return conn->_transport != NULL && conn->_transport->has_pending(conn);
}

typedef enum en_received_t { RECEIVED, RECEIVED_NOTHING, RECEIVE_FAILED } received_t;

/* takes what there is; under TLS a socket may be readable and still have nothing for us */
static received_t receive_now(http_conn_t *conn)
{
    if (!buffer_reserve(&conn->_in, RECEIVE_BYTES)) {
        http_fail(conn, "out of memory");
        return RECEIVE_FAILED;
    }
    ssize_t got =
        receive(conn, conn->_in.bytes + conn->_in.count, conn->_in.capacity - conn->_in.count);
    if (got > 0) {
        conn->_in.count += (size_t)got;
        return RECEIVED;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return RECEIVED_NOTHING;
    if (got == 0)
        note_server_gone(conn, conn->is_server_reset);
    else if (errno == ECONNRESET || errno == EPIPE)
        note_server_gone(conn, true);
    else
        http_fail(conn, "recv: %s", strerror(errno));
    return RECEIVE_FAILED;
}

bool http_receive_more(http_conn_t *conn, int64_t deadline_ms)
{
    received_t received;
    bool is_there = has_pending(conn);
    if (conn->is_server_gone)
        return note_server_gone(conn, conn->is_server_reset);
    do {
        if (!is_there && wait_for(conn, POLLIN, deadline_ms) == 0)
            return http_fail(conn, "nothing more came within %d ms", conn->timeout_ms);
        received = receive_now(conn);
        is_there = false; /* part of a record, if anything: the rest is still to come */
    } while (received == RECEIVED_NOTHING);
    return received == RECEIVED;
}

const char *http_unread(const http_conn_t *conn)
{
    return conn->_in.bytes + conn->_in_at;
}

size_t http_unread_bytes(const http_conn_t *conn)
{
    return conn->_in.count - conn->_in_at;
}

/* ---------------------------------------------------------------- public */

static bool connect_to(http_conn_t *conn, uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    /* bounds connect() as well, which otherwise waits minutes for a full backlog */
    struct timeval timeout = {.tv_sec = TIMEOUT_MS_DEFAULT / 1000};
    setsockopt(conn->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    /* split packets are a test's business, not Nagle's */
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        return http_fail(conn, "connect to port %u: %s", port, strerror(errno));
    return true;
}

bool http_open(http_conn_t *conn, uint16_t port)
{
    *conn = (http_conn_t){.fd = -1, .timeout_ms = TIMEOUT_MS_DEFAULT};
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return http_fail(conn, "socket: %s", strerror(errno));
    if (!connect_to(conn, port)) {
        http_close(conn);
        return false;
    }
    return true;
}

bool http_open_unix(http_conn_t *conn, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *conn = (http_conn_t){.fd = -1, .timeout_ms = TIMEOUT_MS_DEFAULT};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    conn->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return http_fail(conn, "socket: %s", strerror(errno));
    if (connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    http_fail(conn, "connect to %.100s: %s", path, strerror(errno));
    http_close(conn);
    return false;
}

void http_close(http_conn_t *conn)
{
    if (conn->_transport != NULL)
        conn->_transport->close(conn);
    conn->_transport = NULL;
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    http_buffer_dispose(&conn->_in);
    conn->_in_at = 0;
}

void http_reset(http_conn_t *conn)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    if (conn->fd >= 0)
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    http_close(conn);
}

bool http_half_close(http_conn_t *conn)
{
    if (shutdown(conn->fd, SHUT_WR) != 0)
        return http_fail(conn, "shutdown: %s", strerror(errno));
    return true;
}

/* waits until the socket takes bytes again, and keeps what arrives meanwhile */
static bool await_room(http_conn_t *conn, int64_t deadline_ms)
{
    short wanted = conn->is_server_gone ? POLLOUT : POLLIN | POLLOUT;
    short ready = wait_for(conn, wanted, deadline_ms);
    if (ready == 0)
        return http_fail(conn, "the server took nothing for %d ms", conn->timeout_ms);
    /* a server that closes only its side may still read, so that ends nothing here */
    return (ready & POLLIN) == 0 || receive_now(conn) != RECEIVE_FAILED || conn->is_server_gone;
}

bool http_send(http_conn_t *conn, const void *bytes, size_t count)
{
    int64_t deadline_ms = http_deadline_of(conn);
    const char *at = bytes;
    while (count != 0) {
        ssize_t sent = conn->_transport != NULL
                           ? conn->_transport->send(conn, at, count)
                           : send(conn->fd, at, count, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            at += sent;
            count -= (size_t)sent;
        } else if (errno == EAGAIN) {
            if (!await_room(conn, deadline_ms))
                return false;
        } else if (errno != EINTR) {
            /* told once, here; what came before can still be read, and ends like a normal close */
            conn->is_server_reset |= errno == ECONNRESET;
            return http_fail(conn, "send: %s", strerror(errno));
        }
    }
    return true;
}

static bool build_request(http_buffer_t *request, const char *method, const char *target,
                          const char *headers, const void *body, size_t body_bytes)
{
    char length[64] = "";
    if (body != NULL)
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", body_bytes);
    return buffer_append_text(request, method) && buffer_append_text(request, " ") &&
           buffer_append_text(request, target) &&
           buffer_append_text(request, " HTTP/1.1\r\nHost: 127.0.0.1\r\n") &&
           buffer_append_text(request, headers != NULL ? headers : "") &&
           buffer_append_text(request, length) && buffer_append_text(request, "\r\n") &&
           http_buffer_append(request, body, body != NULL ? body_bytes : 0);
}

bool http_request(http_conn_t *conn, const char *method, const char *target, const char *headers,
                  const void *body, size_t body_bytes, http_response_t *res)
{
    *res = (http_response_t){0};
    http_buffer_t request = {NULL, 0, 0};
    if (!build_request(&request, method, target, headers, body, body_bytes)) {
        http_buffer_dispose(&request);
        return http_fail(conn, "out of memory");
    }
    bool is_sent = http_send(conn, request.bytes, request.count);
    http_buffer_dispose(&request);
    char send_error[sizeof(conn->error)];
    memcpy(send_error, conn->error, sizeof(send_error));
    if (http_read_response(conn, method, res))
        return true;
    if (!is_sent)
        memcpy(conn->error, send_error, sizeof(send_error));
    return false;
}

bool http_server_closes_within(http_conn_t *conn, int wait_ms)
{
    char error[sizeof(conn->error)];
    memcpy(error, conn->error, sizeof(error));
    int64_t deadline_ms = now_ms() + wait_ms;
    while (!conn->is_server_gone && http_receive_more(conn, deadline_ms))
        ;
    memcpy(conn->error, error, sizeof(error));
    return conn->is_server_gone;
}

char *http_target(const char *prefix, const void *key, size_t key_bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    static const char unreserved[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    const unsigned char *from = key;
    char *target = malloc(strlen(prefix) + 3 * key_bytes + 1);
    if (target == NULL)
        return NULL;
    char *to = stpcpy(target, prefix);
    for (size_t i = 0; i != key_bytes; ++i) {
        if (from[i] != '\0' && strchr(unreserved, from[i]) != NULL) {
            *to++ = (char)from[i];
        } else {
            *to++ = '%';
            *to++ = digits[from[i] >> 4];
            *to++ = digits[from[i] & 15];
        }
    }
    *to = '\0';
    return target;
}

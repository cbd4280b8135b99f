/*
 * A small blocking HTTP/1.1 client that can also misbehave.
 *
 * All waiting happens in wait_for(), against one deadline per public call, and all receiving in
 * receive_now(), which appends to the connection's buffer. The readers of heads, lines, chunks and
 * bodies take from that buffer and ask for more when it runs short.
 */
#include "tests/http_client.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS_DEFAULT 10000
/* a head or chunk line longer than this is a server gone wrong, not an answer */
#define HEAD_BYTES_MAX ((size_t)1 << 20)
/* room asked for before each receive: a few times the usual socket segment */
#define RECEIVE_BYTES ((size_t)64 << 10)

static bool fail(http_conn_t *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(http_conn_t *conn, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(conn->error, sizeof(conn->error), format, args);
    va_end(args);
    return false;
}

/* says where a failure happened, outside in: "chunk size: the server closed the connection" */
static bool fail_in(http_conn_t *conn, const char *where)
{
    char inner[sizeof(conn->error)];
    memcpy(inner, conn->error, sizeof(inner));
    return fail(conn, "%s: %.150s", where, inner);
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

static bool buffer_append(http_buffer_t *buffer, const void *bytes, size_t count)
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
    return buffer_append(buffer, text, strlen(text));
}

static void buffer_dispose(http_buffer_t *buffer)
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

static int64_t deadline_of(const http_conn_t *conn)
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
    return fail(conn,
                is_reset ? "the server reset the connection" : "the server closed the connection");
}

/* moves what nobody has taken yet to the front, so a long-lived connection's buffer stays small */
static void drop_taken(http_conn_t *conn)
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
        fail(conn, "out of memory");
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
        fail(conn, "recv: %s", strerror(errno));
    return RECEIVE_FAILED;
}

static bool receive_more(http_conn_t *conn, int64_t deadline_ms)
{
    received_t received;
    bool is_there = has_pending(conn);
    if (conn->is_server_gone)
        return note_server_gone(conn, conn->is_server_reset);
    do {
        if (!is_there && wait_for(conn, POLLIN, deadline_ms) == 0)
            return fail(conn, "nothing more came within %d ms", conn->timeout_ms);
        received = receive_now(conn);
        is_there = false; /* part of a record, if anything: the rest is still to come */
    } while (received == RECEIVED_NOTHING);
    return received == RECEIVED;
}

static const char *unread(const http_conn_t *conn)
{
    return conn->_in.bytes + conn->_in_at;
}

static size_t unread_bytes(const http_conn_t *conn)
{
    return conn->_in.count - conn->_in_at;
}

/* ---------------------------------------------------------------- reading an answer */

/* makes sure that a whole piece of text ended by `end` is there; `*bytes` counts the end as well */
static bool await_text(http_conn_t *conn, const char *end, size_t *bytes, int64_t deadline_ms)
{
    size_t searched = 0;
    for (;;) {
        size_t there = unread_bytes(conn);
        const char *found =
            there > searched ? memmem(unread(conn) + searched, there - searched, end, strlen(end))
                             : NULL;
        if (found != NULL) {
            *bytes = (size_t)(found - unread(conn)) + strlen(end);
            return true;
        }
        if (there > HEAD_BYTES_MAX)
            return fail(conn, "longer than %zu bytes", HEAD_BYTES_MAX);
        /* the end may have come in part */
        searched = there >= strlen(end) ? there - strlen(end) + 1 : 0;
        if (!receive_more(conn, deadline_ms))
            return false;
    }
}

/* appends exactly `count` bytes of the answer to `body` */
static bool take_bytes(http_conn_t *conn, size_t count, http_buffer_t *body, int64_t deadline_ms)
{
    size_t wanted = count;
    for (;;) {
        size_t there = unread_bytes(conn);
        size_t part = there < count ? there : count;
        if (part != 0 && !buffer_append(body, unread(conn), part))
            return fail(conn, "out of memory");
        conn->_in_at += part;
        count -= part;
        if (count == 0)
            return true;
        drop_taken(conn);
        if (!receive_more(conn, deadline_ms)) {
            char where[64];
            snprintf(where, sizeof(where), "body: %zu of %zu bytes", wanted - count, wanted);
            return fail_in(conn, where);
        }
    }
}

static bool is_token(const char *text, size_t bytes)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i != bytes; ++i) {
        char c = text[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_alnum && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return bytes != 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* "HTTP/1.1 200 OK"; the reason may be empty, its space may not */
static bool parse_status_line(http_conn_t *conn, const char *line, size_t bytes, int *status)
{
    if (bytes < strlen("HTTP/1.1 200 ") || memcmp(line, "HTTP/1.", 7) != 0 ||
        (line[7] != '0' && line[7] != '1') || line[8] != ' ' || line[12] != ' ')
        return fail(conn, "not a status line: \"%.*s\"", (int)(bytes < 60 ? bytes : 60), line);
    *status = 0;
    for (size_t i = 9; i != 12; ++i) {
        if (line[i] < '0' || line[i] > '9')
            return fail(conn, "a status that is no number: \"%.3s\"", line + 9);
        *status = *status * 10 + (line[i] - '0');
    }
    if (*status < 100 || *status > 599)
        return fail(conn, "status %d is in no class", *status);
    return true;
}

static bool parse_field(http_conn_t *conn, const char *line, size_t bytes, http_buffer_t *fields)
{
    const char *colon = memchr(line, ':', bytes);
    if (colon == NULL || !is_token(line, (size_t)(colon - line)))
        return fail(conn, "not a header: \"%.*s\"", (int)(bytes < 60 ? bytes : 60), line);
    const char *value = colon + 1, *end = line + bytes;
    while (value != end && is_blank(*value))
        ++value;
    while (end != value && is_blank(end[-1]))
        --end;
    if (!buffer_append(fields, line, (size_t)(colon - line)) || !buffer_append(fields, "", 1) ||
        !buffer_append(fields, value, (size_t)(end - value)) || !buffer_append(fields, "", 1))
        return fail(conn, "out of memory");
    return true;
}

/* takes the head apart, line by line; its last line is empty */
static bool parse_head(http_conn_t *conn, const char *head, size_t head_bytes, int *status,
                       http_buffer_t *fields)
{
    if (memchr(head, '\0', head_bytes) != NULL)
        return fail(conn, "a bare CR, LF or NUL in the head");
    const char *line = head, *line_end;
    for (; (line_end = strstr(line, "\r\n")) != line; line = line_end + 2) {
        size_t bytes = (size_t)(line_end - line);
        if (memchr(line, '\n', bytes) != NULL || memchr(line, '\r', bytes) != NULL)
            return fail(conn, "a bare CR, LF or NUL in the head");
        bool is_good = line == head ? parse_status_line(conn, line, bytes, status)
                                    : parse_field(conn, line, bytes, fields);
        if (!is_good)
            return false;
    }
    if (line == head)
        return fail(conn, "not a status line: \"\"");
    if (!buffer_append(fields, "", 1))
        return fail(conn, "out of memory");
    return true;
}

static bool read_head(http_conn_t *conn, http_response_t *res, int64_t deadline_ms)
{
    size_t bytes;
    drop_taken(conn);
    if (!await_text(conn, "\r\n\r\n", &bytes, deadline_ms))
        return false;
    res->head = malloc(bytes + 1);
    if (res->head == NULL)
        return fail(conn, "out of memory");
    memcpy(res->head, unread(conn), bytes);
    res->head[bytes] = '\0';
    conn->_in_at += bytes;

    http_buffer_t fields = {NULL, 0, 0};
    bool is_good = parse_head(conn, res->head, bytes, &res->status, &fields);
    res->_fields = fields.bytes; /* the answer owns it now, half filled or not */
    return is_good;
}

/* the value of a digit of any base up to 16; 16 for what is none */
static unsigned digit_of(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c != '\0' ? strchr(digits, tolower((unsigned char)c)) : NULL;
    return found != NULL ? (unsigned)(found - digits) : 16;
}

/* digits of `base` and nothing else, below SIZE_MAX / 2 so that sums with it cannot wrap */
static bool parse_size(const char *text, size_t bytes, unsigned base, size_t *size)
{
    *size = 0;
    for (size_t i = 0; i != bytes; ++i) {
        unsigned digit = digit_of(text[i]);
        if (digit >= base || *size > (SIZE_MAX / 2 - digit) / base)
            return false;
        *size = *size * base + digit;
    }
    return bytes != 0;
}

static bool has_no_body(const char *method, int status)
{
    return strcmp(method, "HEAD") == 0 || status < 200 || status == 204 || status == 304;
}

/* decides how the body is framed, and refuses what two readers could understand differently */
static bool choose_framing(http_conn_t *conn, const char *method, http_response_t *res,
                           size_t *length)
{
    const char *coding = http_header(res, "transfer-encoding");
    const char *announced = http_header(res, "content-length");
    if (http_header_count(res, "content-length") > 1 ||
        http_header_count(res, "transfer-encoding") > 1 || (coding != NULL && announced != NULL))
        return fail(conn, "ambiguous framing");
    if (coding != NULL && strcasecmp(coding, "chunked") != 0)
        return fail(conn, "transfer-encoding \"%.40s\"", coding);
    if (announced != NULL && !parse_size(announced, strlen(announced), 10, length))
        return fail(conn, "content-length \"%.40s\"", announced);
    if (has_no_body(method, res->status))
        res->framing = HTTP_BODY_NONE;
    else if (coding != NULL)
        res->framing = HTTP_BODY_CHUNKED;
    else
        res->framing = announced != NULL ? HTTP_BODY_BY_LENGTH : HTTP_BODY_UNTIL_CLOSE;
    return true;
}

/* trailers are read and forgotten */
static bool skip_trailers(http_conn_t *conn, int64_t deadline_ms)
{
    size_t bytes;
    do {
        if (!await_text(conn, "\r\n", &bytes, deadline_ms))
            return fail_in(conn, "trailers");
        conn->_in_at += bytes;
    } while (bytes != 2);
    return true;
}

static bool read_chunk_size(http_conn_t *conn, size_t *size, int64_t deadline_ms)
{
    size_t line_bytes;
    if (!await_text(conn, "\r\n", &line_bytes, deadline_ms))
        return fail_in(conn, "chunk size");
    const char *line = unread(conn);
    const char *extension = memchr(line, ';', line_bytes);
    size_t digits = extension != NULL ? (size_t)(extension - line) : line_bytes - 2;
    if (!parse_size(line, digits, 16, size))
        return fail(conn, "chunk size \"%.*s\"", (int)(digits < 40 ? digits : 40), line);
    conn->_in_at += line_bytes;
    return true;
}

static bool expect_chunk_end(http_conn_t *conn, int64_t deadline_ms)
{
    http_buffer_t end = {NULL, 0, 0};
    bool is_good = take_bytes(conn, 2, &end, deadline_ms);
    if (is_good && memcmp(end.bytes, "\r\n", 2) != 0)
        is_good = fail(conn, "no CRLF after a chunk");
    buffer_dispose(&end);
    return is_good;
}

static bool read_chunks(http_conn_t *conn, http_buffer_t *body, int64_t deadline_ms)
{
    for (;;) {
        size_t size;
        if (!read_chunk_size(conn, &size, deadline_ms))
            return false;
        if (size == 0)
            return skip_trailers(conn, deadline_ms);
        if (!take_bytes(conn, size, body, deadline_ms) || !expect_chunk_end(conn, deadline_ms))
            return false;
    }
}

static bool read_until_close(http_conn_t *conn, http_buffer_t *body, int64_t deadline_ms)
{
    while (receive_more(conn, deadline_ms))
        ;
    if (!conn->is_server_gone || conn->is_server_reset)
        return fail_in(conn, "body until close");
    return take_bytes(conn, unread_bytes(conn), body, deadline_ms);
}

static bool read_body(http_conn_t *conn, http_framing_t framing, size_t length, http_buffer_t *body,
                      int64_t deadline_ms)
{
    switch (framing) {
    case HTTP_BODY_NONE:
        return true;
    case HTTP_BODY_BY_LENGTH:
        return take_bytes(conn, length, body, deadline_ms);
    case HTTP_BODY_CHUNKED:
        return read_chunks(conn, body, deadline_ms);
    case HTTP_BODY_UNTIL_CLOSE:
        return read_until_close(conn, body, deadline_ms);
    }
    return fail(conn, "no such framing");
}

static bool read_final_head(http_conn_t *conn, http_response_t *res, int64_t deadline_ms)
{
    for (int interim_count = 0;; ++interim_count) {
        res->interim_count = interim_count;
        if (!read_head(conn, res, deadline_ms))
            return fail_in(conn, "head");
        if (res->status >= 200)
            return true;
        http_response_dispose(res);
    }
}

/* fills `res`, which stays half filled on failure */
static bool read_parts(http_conn_t *conn, const char *method, http_response_t *res)
{
    int64_t deadline_ms = deadline_of(conn);
    size_t length = 0;
    if (!read_final_head(conn, res, deadline_ms) || !choose_framing(conn, method, res, &length))
        return false;
    http_buffer_t body = {NULL, 0, 0};
    bool is_good = read_body(conn, res->framing, length, &body, deadline_ms);
    res->body_bytes = body.count;
    if (!buffer_append(&body, "", 1) && is_good)
        is_good = fail(conn, "out of memory");
    res->body = body.bytes; /* the answer owns it now */
    return is_good;
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
        return fail(conn, "connect to port %u: %s", port, strerror(errno));
    return true;
}

bool http_open(http_conn_t *conn, uint16_t port)
{
    *conn = (http_conn_t){.fd = -1, .timeout_ms = TIMEOUT_MS_DEFAULT};
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        return fail(conn, "socket: %s", strerror(errno));
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
        return fail(conn, "socket: %s", strerror(errno));
    if (connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    fail(conn, "connect to %.100s: %s", path, strerror(errno));
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
    buffer_dispose(&conn->_in);
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
        return fail(conn, "shutdown: %s", strerror(errno));
    return true;
}

/* waits until the socket takes bytes again, and keeps what arrives meanwhile */
static bool await_room(http_conn_t *conn, int64_t deadline_ms)
{
    short wanted = conn->is_server_gone ? POLLOUT : POLLIN | POLLOUT;
    short ready = wait_for(conn, wanted, deadline_ms);
    if (ready == 0)
        return fail(conn, "the server took nothing for %d ms", conn->timeout_ms);
    /* a server that closes only its side may still read, so that ends nothing here */
    return (ready & POLLIN) == 0 || receive_now(conn) != RECEIVE_FAILED || conn->is_server_gone;
}

bool http_send(http_conn_t *conn, const void *bytes, size_t count)
{
    int64_t deadline_ms = deadline_of(conn);
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
            return fail(conn, "send: %s", strerror(errno));
        }
    }
    return true;
}

bool http_read_response(http_conn_t *conn, const char *method, http_response_t *res)
{
    *res = (http_response_t){0};
    if (read_parts(conn, method, res))
        return true;
    http_response_dispose(res);
    return false;
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
           buffer_append(request, body, body != NULL ? body_bytes : 0);
}

bool http_request(http_conn_t *conn, const char *method, const char *target, const char *headers,
                  const void *body, size_t body_bytes, http_response_t *res)
{
    *res = (http_response_t){0};
    http_buffer_t request = {NULL, 0, 0};
    if (!build_request(&request, method, target, headers, body, body_bytes)) {
        buffer_dispose(&request);
        return fail(conn, "out of memory");
    }
    bool is_sent = http_send(conn, request.bytes, request.count);
    buffer_dispose(&request);
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
    while (!conn->is_server_gone && receive_more(conn, deadline_ms))
        ;
    memcpy(conn->error, error, sizeof(error));
    return conn->is_server_gone;
}

/* the next name after this one, or the first when `name` is NULL; NULL at the end */
static const char *next_name(const http_response_t *res, const char *name)
{
    const char *next = res->_fields;
    if (name != NULL) {
        const char *value = name + strlen(name) + 1;
        next = value + strlen(value) + 1;
    }
    return next != NULL && *next != '\0' ? next : NULL;
}

const char *http_header(const http_response_t *res, const char *name)
{
    for (const char *at = next_name(res, NULL); at != NULL; at = next_name(res, at)) {
        if (strcasecmp(at, name) == 0)
            return at + strlen(at) + 1;
    }
    return NULL;
}

int http_header_count(const http_response_t *res, const char *name)
{
    int count = 0;
    for (const char *at = next_name(res, NULL); at != NULL; at = next_name(res, at))
        count += strcasecmp(at, name) == 0;
    return count;
}

void http_response_dispose(http_response_t *res)
{
    free(res->head);
    free(res->body);
    free(res->_fields);
    *res = (http_response_t){0};
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

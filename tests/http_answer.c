/*
 * An answer to the client, taken apart.
 *
 * The readers of heads, lines, chunks and bodies take from the connection's buffer and ask for more
 * when it runs short.
 */
#include "tests/http_client_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* a head or chunk line longer than this is a server gone wrong, not an answer */
#define HEAD_BYTES_MAX ((size_t)1 << 20)

/* makes sure that a whole piece of text ended by `end` is there; `*bytes` counts the end as well */
static bool await_text(http_conn_t *conn, const char *end, size_t *bytes, int64_t deadline_ms)
{
    size_t searched = 0;
    for (;;) {
        size_t there = http_unread_bytes(conn);
        const char *found = there > searched ? memmem(http_unread(conn) + searched,
                                                      there - searched, end, strlen(end))
                                             : NULL;
        if (found != NULL) {
            *bytes = (size_t)(found - http_unread(conn)) + strlen(end);
            return true;
        }
        if (there > HEAD_BYTES_MAX)
            return http_fail(conn, "longer than %zu bytes", HEAD_BYTES_MAX);
        /* the end may have come in part */
        searched = there >= strlen(end) ? there - strlen(end) + 1 : 0;
        if (!http_receive_more(conn, deadline_ms))
            return false;
    }
}

/* appends exactly `count` bytes of the answer to `body` */
static bool take_bytes(http_conn_t *conn, size_t count, http_buffer_t *body, int64_t deadline_ms)
{
    size_t wanted = count;
    for (;;) {
        size_t there = http_unread_bytes(conn);
        size_t part = there < count ? there : count;
        if (part != 0 && !http_buffer_append(body, http_unread(conn), part))
            return http_fail(conn, "out of memory");
        conn->_in_at += part;
        count -= part;
        if (count == 0)
            return true;
        http_drop_taken(conn);
        if (!http_receive_more(conn, deadline_ms)) {
            char where[64];
            snprintf(where, sizeof(where), "body: %zu of %zu bytes", wanted - count, wanted);
            return http_fail_in(conn, where);
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
        return http_fail(conn, "not a status line: \"%.*s\"", (int)(bytes < 60 ? bytes : 60), line);
    *status = 0;
    for (size_t i = 9; i != 12; ++i) {
        if (line[i] < '0' || line[i] > '9')
            return http_fail(conn, "a status that is no number: \"%.3s\"", line + 9);
        *status = *status * 10 + (line[i] - '0');
    }
    if (*status < 100 || *status > 599)
        return http_fail(conn, "status %d is in no class", *status);
    return true;
}

static bool parse_field(http_conn_t *conn, const char *line, size_t bytes, http_buffer_t *fields)
{
    const char *colon = memchr(line, ':', bytes);
    if (colon == NULL || !is_token(line, (size_t)(colon - line)))
        return http_fail(conn, "not a header: \"%.*s\"", (int)(bytes < 60 ? bytes : 60), line);
    const char *value = colon + 1, *end = line + bytes;
    while (value != end && is_blank(*value))
        ++value;
    while (end != value && is_blank(end[-1]))
        --end;
    if (!http_buffer_append(fields, line, (size_t)(colon - line)) ||
        !http_buffer_append(fields, "", 1) ||
        !http_buffer_append(fields, value, (size_t)(end - value)) ||
        !http_buffer_append(fields, "", 1))
        return http_fail(conn, "out of memory");
    return true;
}

/* takes the head apart, line by line; its last line is empty */
static bool parse_head(http_conn_t *conn, const char *head, size_t head_bytes, int *status,
                       http_buffer_t *fields)
{
    if (memchr(head, '\0', head_bytes) != NULL)
        return http_fail(conn, "a bare CR, LF or NUL in the head");
    const char *line = head, *line_end;
    for (; (line_end = strstr(line, "\r\n")) != line; line = line_end + 2) {
        size_t bytes = (size_t)(line_end - line);
        if (memchr(line, '\n', bytes) != NULL || memchr(line, '\r', bytes) != NULL)
            return http_fail(conn, "a bare CR, LF or NUL in the head");
        bool is_good = line == head ? parse_status_line(conn, line, bytes, status)
                                    : parse_field(conn, line, bytes, fields);
        if (!is_good)
            return false;
    }
    if (line == head)
        return http_fail(conn, "not a status line: \"\"");
    if (!http_buffer_append(fields, "", 1))
        return http_fail(conn, "out of memory");
    return true;
}

static bool read_head(http_conn_t *conn, http_response_t *res, int64_t deadline_ms)
{
    size_t bytes;
    http_drop_taken(conn);
    if (!await_text(conn, "\r\n\r\n", &bytes, deadline_ms))
        return false;
    res->head = malloc(bytes + 1);
    if (res->head == NULL)
        return http_fail(conn, "out of memory");
    memcpy(res->head, http_unread(conn), bytes);
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
        return http_fail(conn, "ambiguous framing");
    if (coding != NULL && strcasecmp(coding, "chunked") != 0)
        return http_fail(conn, "transfer-encoding \"%.40s\"", coding);
    if (announced != NULL && !parse_size(announced, strlen(announced), 10, length))
        return http_fail(conn, "content-length \"%.40s\"", announced);
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
            return http_fail_in(conn, "trailers");
        conn->_in_at += bytes;
    } while (bytes != 2);
    return true;
}

static bool read_chunk_size(http_conn_t *conn, size_t *size, int64_t deadline_ms)
{
    size_t line_bytes;
    if (!await_text(conn, "\r\n", &line_bytes, deadline_ms))
        return http_fail_in(conn, "chunk size");
    const char *line = http_unread(conn);
    const char *extension = memchr(line, ';', line_bytes);
    size_t digits = extension != NULL ? (size_t)(extension - line) : line_bytes - 2;
    if (!parse_size(line, digits, 16, size))
        return http_fail(conn, "chunk size \"%.*s\"", (int)(digits < 40 ? digits : 40), line);
    conn->_in_at += line_bytes;
    return true;
}

static bool expect_chunk_end(http_conn_t *conn, int64_t deadline_ms)
{
    http_buffer_t end = {NULL, 0, 0};
    bool is_good = take_bytes(conn, 2, &end, deadline_ms);
    if (is_good && memcmp(end.bytes, "\r\n", 2) != 0)
        is_good = http_fail(conn, "no CRLF after a chunk");
    http_buffer_dispose(&end);
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
    while (http_receive_more(conn, deadline_ms))
        ;
    if (!conn->is_server_gone || conn->is_server_reset)
        return http_fail_in(conn, "body until close");
    return take_bytes(conn, http_unread_bytes(conn), body, deadline_ms);
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
    return http_fail(conn, "no such framing");
}

static bool read_final_head(http_conn_t *conn, http_response_t *res, int64_t deadline_ms)
{
    for (int interim_count = 0;; ++interim_count) {
        res->interim_count = interim_count;
        if (!read_head(conn, res, deadline_ms))
            return http_fail_in(conn, "head");
        if (res->status >= 200)
            return true;
        http_response_dispose(res);
    }
}

/* fills `res`, which stays half filled on failure */
static bool read_parts(http_conn_t *conn, const char *method, http_response_t *res)
{
    int64_t deadline_ms = http_deadline_of(conn);
    size_t length = 0;
    if (!read_final_head(conn, res, deadline_ms) || !choose_framing(conn, method, res, &length))
        return false;
    http_buffer_t body = {NULL, 0, 0};
    bool is_good = read_body(conn, res->framing, length, &body, deadline_ms);
    res->body_bytes = body.count;
    if (!http_buffer_append(&body, "", 1) && is_good)
        is_good = http_fail(conn, "out of memory");
    res->body = body.bytes; /* the answer owns it now */
    return is_good;
}

bool http_read_response(http_conn_t *conn, const char *method, http_response_t *res)
{
    *res = (http_response_t){0};
    if (read_parts(conn, method, res))
        return true;
    http_response_dispose(res);
    return false;
}

/* ---------------------------------------------------------------- its headers */

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

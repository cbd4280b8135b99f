/*
 * tests/stream.c - an answer without end, read as it comes.
 */
#include "tests/stream.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/site.h"

#define READ_BYTES 65536

static void add(char **to, size_t *count, const char *bytes, size_t n)
{
    *to = realloc(*to, *count + n + 1);
    memcpy(*to + *count, bytes, n);
    *count += n;
    (*to)[*count] = '\0';
}

static void drop(stream_t *stream, size_t n)
{
    stream->_raw_count -= n;
    memmove(stream->_raw, stream->_raw + n, stream->_raw_count + 1);
}

bool stream_open(stream_t *stream, uint16_t port, const char *target, const char *headers,
                 bool is_http10)
{
    char request[2048];
    *stream = (stream_t){.text = calloc(1, 1), ._raw = calloc(1, 1)};
    if (!http_open(&stream->conn, port))
        return false;
    int n = snprintf(request, sizeof(request), "GET %s HTTP/1.%d\r\nHost: t\r\n%s\r\n", target,
                     is_http10 ? 0 : 1, headers);
    return http_send(&stream->conn, request, (size_t)n);
}

static void take_head(stream_t *stream)
{
    char *end = strstr(stream->_raw, "\r\n\r\n");
    if (end == NULL)
        return;
    size_t n = (size_t)(end + 4 - stream->_raw);
    add(&stream->text, &stream->count, stream->_raw, n);
    drop(stream, n);
    stream->_is_body = true;
    stream->_is_chunked = strstr(stream->text, "transfer-encoding: chunked") != NULL;
}

/* false when no whole chunk is there */
static bool take_chunk(stream_t *stream)
{
    char *line_end = strstr(stream->_raw, "\r\n");
    if (line_end == NULL || stream->has_ended)
        return false;
    size_t head = (size_t)(line_end + 2 - stream->_raw);
    size_t bytes = strtoul(stream->_raw, NULL, 16);
    if (stream->_raw_count < head + bytes + 2)
        return false;
    stream->has_ended = bytes == 0;
    add(&stream->text, &stream->count, stream->_raw + head, bytes);
    drop(stream, head + bytes + 2);
    return true;
}

static void decode(stream_t *stream)
{
    if (!stream->_is_body)
        take_head(stream);
    if (!stream->_is_body)
        return;
    if (stream->_is_chunked) {
        while (take_chunk(stream))
            ;
        return;
    }
    add(&stream->text, &stream->count, stream->_raw, stream->_raw_count);
    drop(stream, stream->_raw_count);
}

/* reads what comes within so long */
static void read_some(stream_t *stream, int ms)
{
    static __thread char bytes[READ_BYTES];
    struct pollfd fd = {.fd = stream->conn.fd, .events = POLLIN};
    if (poll(&fd, 1, ms) <= 0)
        return;
    ssize_t n = recv(stream->conn.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n > 0) {
        add(&stream->_raw, &stream->_raw_count, bytes, (size_t)n);
        decode(stream);
    } else if (n == 0 || (n < 0 && !stream->_is_chunked)) {
        stream->has_ended = true;
    } else {
        stream->has_ended = true;
        stream->conn.is_server_reset = true;
    }
}

bool stream_wait_for(stream_t *stream, const char *text, int ms)
{
    int64_t deadline = monotonic_ms() + ms, left;
    while (strstr(stream->text, text) == NULL) {
        if (stream->has_ended || (left = deadline - monotonic_ms()) <= 0)
            return false;
        read_some(stream, (int)left);
    }
    return true;
}

bool stream_wait_for_end(stream_t *stream, int ms)
{
    int64_t deadline = monotonic_ms() + ms, left;
    while (!stream->has_ended) {
        if ((left = deadline - monotonic_ms()) <= 0)
            return false;
        read_some(stream, (int)left);
    }
    return true;
}

size_t stream_count(const stream_t *stream, const char *text)
{
    size_t count = 0;
    for (const char *at = stream->text; (at = strstr(at, text)) != NULL; at += strlen(text))
        ++count;
    return count;
}

void stream_close(stream_t *stream)
{
    http_close(&stream->conn);
    free(stream->text);
    free(stream->_raw);
    stream->text = stream->_raw = NULL;
}

/*
 * tests/stream.h - an answer without end, read as it comes: Server-Sent Events.
 *
 * Threads: a stream belongs to one at a time.
 */
#ifndef CAIRN_TESTS_STREAM_H
#define CAIRN_TESTS_STREAM_H

#include "tests/http_client.h"

typedef struct st_stream_t {
    http_conn_t conn;
    char *text; /* the head and, without its framing, what of the body has come; ends in a NUL */
    size_t count;
    bool has_ended; /* with the last chunk, or the end of the connection */
    /* what has come and is not decoded yet */
    char *_raw;
    size_t _raw_count;
    bool _is_body, _is_chunked;
} stream_t;

/** Connects and sends a GET with these headers (whole lines), of HTTP/1.1 or 1.0. */
bool stream_open(stream_t *stream, uint16_t port, const char *target, const char *headers,
                 bool is_http10);

/** Reads until the text contains this, or the stream ends, or time is over; true in the first case.
 */
bool stream_wait_for(stream_t *stream, const char *text, int ms);

/** Reads until the stream ends; false if it does not in time. */
bool stream_wait_for_end(stream_t *stream, int ms);

/** How often this is in the text. */
size_t stream_count(const stream_t *stream, const char *text);

/** Closes in order; harmless when repeated. */
void stream_close(stream_t *stream);

#endif

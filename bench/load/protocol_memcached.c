/*
 * bench/load/protocol_memcached.c - memcached's text protocol.
 */
#include "bench/load/protocol.h"

#include <stdlib.h>
#include <string.h>

static size_t write_memcached(const request_t *request, char *out)
{
    char *at = append_text(out, request->is_get ? "get" : "set");
    for (size_t i = 0; i < request->key_count; ++i) {
        *at++ = ' ';
        at = append_key(at, request->space, request->numbers[i]);
    }
    if (!request->is_get) {
        at = append_text(at, " 0 0 ");
        at = append_number(at, request->value_bytes);
        at = append_text(at, "\r\n");
        at = append(at, request->value, request->value_bytes);
    }
    at = append_text(at, "\r\n");
    return (size_t)(at - out);
}

/** "VALUE key flags bytes", each with its bytes behind it, then "END"; or "STORED" */
static size_t read_memcached_head(const char *bytes, size_t count, answer_t *answer)
{
    const char *end = memmem(bytes, count, "\r\n", 2);
    if (end == NULL)
        return 0;
    size_t line_bytes = (size_t)(end - bytes);
    answer->body_bytes = 0;
    if (line_bytes > 6 && memcmp(bytes, "VALUE ", 6) == 0) {
        const char *length = memrchr(bytes, ' ', line_bytes);
        size_t value_bytes = strtoul(length, NULL, 10);
        answer->has_failed |= value_bytes < answer->value_bytes_least;
        answer->value_bytes_least = 0; /* there was one */
        answer->body_bytes = value_bytes + 2;
    } else {
        answer->parts_left = 0;
        bool is_end = line_bytes == 3 && memcmp(bytes, "END", 3) == 0;
        bool is_stored = line_bytes == 6 && memcmp(bytes, "STORED", 6) == 0;
        answer->has_failed |=
            answer->is_get ? !is_end || answer->value_bytes_least != 0 : !is_stored;
    }
    return line_bytes + 2;
}

const protocol_t protocol_memcached = {"memcached", write_memcached, read_memcached_head};

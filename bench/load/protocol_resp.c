/*
 * bench/load/protocol_resp.c - Redis's own protocol.
 */
#include "bench/load/protocol.h"

#include <stdlib.h>
#include <string.h>

static char *append_bulk(char *at, const char *bytes, size_t count)
{
    *at++ = '$';
    at = append_number(at, count);
    at = append_text(at, "\r\n");
    at = append(at, bytes, count);
    return append_text(at, "\r\n");
}

/** GET, SET, MGET or MSET */
static size_t write_resp(const request_t *request, char *out)
{
    char command[5], key[KEY_TEXT_BYTES_MAX], *at = out;
    size_t command_bytes = 0;
    if (request->key_count > 1)
        command[command_bytes++] = 'M';
    memcpy(command + command_bytes, request->is_get ? "GET" : "SET", 3);
    command_bytes += 3;
    *at++ = '*';
    at = append_number(at, 1 + request->key_count * (request->is_get ? 1 : 2));
    at = append_text(at, "\r\n");
    at = append_bulk(at, command, command_bytes);
    for (size_t i = 0; i < request->key_count; ++i) {
        at = append_bulk(at, key, key_space_name(request->space, request->numbers[i], key));
        if (!request->is_get)
            at = append_bulk(at, request->value, request->value_bytes);
    }
    return (size_t)(at - out);
}

static size_t read_resp_head(const char *bytes, size_t count, answer_t *answer)
{
    const char *end = memmem(bytes, count, "\r\n", 2);
    if (end == NULL)
        return 0;
    long number = strtol(bytes + 1, NULL, 10);
    answer->body_bytes = 0;
    --answer->parts_left;
    if (bytes[0] == '*') {
        answer->parts_left += (size_t)number;
    } else if (bytes[0] == '$') {
        answer->has_failed |= number < (long)answer->value_bytes_least; /* -1: no such key */
        answer->body_bytes = number >= 0 ? (size_t)number + 2 : 0;
    } else {
        answer->has_failed |= bytes[0] != '+' || answer->is_get;
    }
    return (size_t)(end - bytes) + 2;
}

const protocol_t protocol_resp = {"resp", write_resp, read_resp_head};

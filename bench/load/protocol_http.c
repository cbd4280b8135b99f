/*
 * bench/load/protocol_http.c - cairn's API (which nginx and the ceiling answer too), webdis, etcd.
 */
#include "bench/load/protocol.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOST " HTTP/1.1\r\nHost: 127.0.0.1\r\n"

/* ---------------------------------------------------------------- answers */

/** the value of a header that begins a line of the head, NULL if there is none */
static const char *find_header(const char *head, size_t count, const char *name)
{
    size_t name_count = strlen(name);
    const char *end = head + count;
    for (const char *line = memchr(head, '\n', count); line != NULL;
         line = memchr(line, '\n', (size_t)(end - line))) {
        ++line;
        if ((size_t)(end - line) > name_count && strncasecmp(line, name, name_count) == 0)
            return line + name_count;
    }
    return NULL;
}

static size_t read_chunk_head(const char *bytes, size_t count, answer_t *answer)
{
    const char *end = memmem(bytes, count, "\r\n", 2);
    if (end == NULL)
        return 0;
    answer->body_bytes = strtoul(bytes, NULL, 16) + 2;
    answer->parts_left = answer->body_bytes == 2 ? 0 : 1;
    return (size_t)(end - bytes) + 2;
}

static size_t read_http_head(const char *bytes, size_t count, answer_t *answer)
{
    if (answer->is_chunked)
        return read_chunk_head(bytes, count, answer);
    const char *end = memmem(bytes, count, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head_bytes = (size_t)(end - bytes) + 4;
    const char *length = find_header(bytes, head_bytes, "content-length:");
    answer->has_failed |= memcmp(bytes, "HTTP/1.1 2", 10) != 0;
    answer->body_bytes = length != NULL ? strtoul(length, NULL, 10) : 0;
    answer->is_chunked =
        length == NULL && find_header(bytes, head_bytes, "transfer-encoding:") != NULL;
    answer->parts_left = answer->is_chunked ? 1 : 0;
    if (answer->is_get && !answer->is_chunked && answer->body_bytes < answer->value_bytes_least)
        answer->has_failed = true;
    return head_bytes;
}

/* ---------------------------------------------------------------- cairn */

static char *append_body(char *at, const char *body, size_t bytes)
{
    at = append_text(at, "Content-Length: ");
    at = append_number(at, bytes);
    at = append_text(at, "\r\n\r\n");
    return append(at, body, bytes);
}

/** lines of NDJSON; their length is needed in front of them */
static size_t write_batch(const request_t *request, char *out)
{
    char *body = out + REQUEST_OVERHEAD_BYTES, *at = body;
    for (size_t i = 0; i < request->key_count; ++i) {
        at = append_text(at, request->is_get ? "{\"op\":\"get\",\"key\":\""
                                             : "{\"op\":\"put\",\"key\":\"");
        at = append_key(at, request->space, request->numbers[i]);
        if (!request->is_get) {
            at = append_text(at, "\",\"value\":\"");
            at = append(at, request->value, request->value_bytes);
        }
        at = append_text(at, "\"}\n");
    }
    size_t body_bytes = (size_t)(at - body);
    at = append_text(out, "POST /v1/batch" HOST "Cairn-Durability: ");
    at = append_text(at, request->is_async ? "async\r\n" : "sync\r\n");
    at = append_text(at, "Content-Length: ");
    at = append_number(at, body_bytes);
    at = append_text(at, "\r\n\r\n");
    memmove(at, body, body_bytes);
    return (size_t)(at - out) + body_bytes;
}

static size_t write_cairn(const request_t *request, char *out)
{
    if (request->key_count > 1)
        return write_batch(request, out);
    char *at = append_text(out, request->is_get ? "GET /v1/kv/" : "PUT /v1/kv/");
    at = append_key(at, request->space, request->numbers[0]);
    at = append_text(at, HOST);
    if (request->is_get) {
        at = append_text(at, "\r\n");
    } else {
        at = append_text(at, request->is_async ? "Cairn-Durability: async\r\n"
                                               : "Cairn-Durability: sync\r\n");
        at = append_body(at, request->value, request->value_bytes);
    }
    return (size_t)(at - out);
}

const protocol_t protocol_cairn = {"cairn", write_cairn, read_http_head};

/* ---------------------------------------------------------------- webdis */

static size_t write_webdis(const request_t *request, char *out)
{
    char *at = append_text(out, request->is_get ? "GET /GET/" : "PUT /SET/");
    at = append_key(at, request->space, request->numbers[0]);
    if (request->is_get) {
        at = append_text(at, ".txt" HOST "\r\n"); /* .txt: the value as it is, not in JSON */
    } else {
        at = append_text(at, HOST);
        at = append_body(at, request->value, request->value_bytes);
    }
    return (size_t)(at - out);
}

const protocol_t protocol_webdis = {"webdis", write_webdis, read_http_head};

/* ---------------------------------------------------------------- etcd */

static char *append_base64(char *at, const char *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < count; i += 3) {
        unsigned char three[3] = {0, 0, 0};
        size_t n = count - i < 3 ? count - i : 3;
        memcpy(three, bytes + i, n);
        *at++ = digits[three[0] >> 2];
        *at++ = digits[(three[0] & 3) << 4 | three[1] >> 4];
        *at++ = n > 1 ? digits[(three[1] & 15) << 2 | three[2] >> 6] : '=';
        *at++ = n > 2 ? digits[three[2] & 63] : '=';
    }
    return at;
}

static size_t write_etcd(const request_t *request, char *out)
{
    char key[KEY_TEXT_BYTES_MAX];
    size_t key_bytes = key_space_name(request->space, request->numbers[0], key);
    char *body = out + REQUEST_OVERHEAD_BYTES / 2, *at = body;
    at = append_text(at, "{\"key\":\"");
    at = append_base64(at, key, key_bytes);
    if (!request->is_get) {
        at = append_text(at, "\",\"value\":\"");
        at = append_base64(at, request->value, request->value_bytes);
    }
    at = append_text(at, "\"}");
    size_t body_bytes = (size_t)(at - body);
    at = append_text(out, request->is_get ? "POST /v3/kv/range" HOST : "POST /v3/kv/put" HOST);
    at = append_text(at, "Content-Length: ");
    at = append_number(at, body_bytes);
    at = append_text(at, "\r\n\r\n");
    memmove(at, body, body_bytes);
    return (size_t)(at - out) + body_bytes;
}

const protocol_t protocol_etcd = {"etcd", write_etcd, read_http_head};

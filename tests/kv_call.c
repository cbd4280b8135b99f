/*
 * One operation on one key over HTTP.
 */
#include "tests/kv_call.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool kv_open(http_conn_t *conn, uint16_t port)
{
    if (!http_open(conn, port))
        return false;
    conn->timeout_ms = KV_TIMEOUT_MS;
    return true;
}

/* strictly as the server writes it: a strong validator, in quotes, without leading zeros */
static bool parse_etag(const char *etag, uint64_t *version)
{
    char again[32];
    errno = 0;
    *version = etag[0] == '"' ? strtoull(etag + 1, NULL, 10) : 0;
    snprintf(again, sizeof(again), "\"%" PRIu64 "\"", *version);
    return errno == 0 && *version != 0 && strcmp(etag, again) == 0;
}

bool kv_call(http_conn_t *conn, const char *method, const char *target, bool is_async,
             const void *body, size_t body_bytes, uint64_t *version, http_response_t *res)
{
    return kv_call_if(conn, method, target, 0, is_async, body, body_bytes, version, res);
}

bool kv_call_if(http_conn_t *conn, const char *method, const char *target, uint64_t if_version,
                bool is_async, const void *body, size_t body_bytes, uint64_t *version,
                http_response_t *res)
{
    char headers[128];
    int n = snprintf(headers, sizeof(headers), "%s", is_async ? "Cairn-Durability: async\r\n" : "");
    if (if_version != 0)
        snprintf(headers + n, sizeof(headers) - (size_t)n, "If-Match: \"%" PRIu64 "\"\r\n",
                 if_version);
    *version = 0;
    if (!http_request(conn, method, target, headers, body, body_bytes, res))
        return false;
    const char *etag = http_header(res, "etag");
    if (etag == NULL || parse_etag(etag, version))
        return true;
    snprintf(conn->error, sizeof(conn->error), "ETag: %.100s is not a version", etag);
    http_response_dispose(res);
    return false;
}

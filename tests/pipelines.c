/*
 * Requests sent without waiting for their answers, by chance.
 */
#include "tests/pipelines.h"

#include <CUnit/CUnit.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* small ones are held and sent together; from 16 KiB on they go out in pieces; those above 192 KiB
 * wait for a load when they are first read */
static const size_t sizes[PIPELINE_VALUES] = {0,    1,     100,   100,    100,   1000,
                                              5000, 16384, 16385, 140000, 260000};
static char *values[PIPELINE_VALUES];

void pipeline_values_make(void)
{
    for (size_t i = 0; i != PIPELINE_VALUES; ++i) {
        values[i] = malloc(sizes[i] + 1);
        random_fill(i, values[i], sizes[i]);
    }
}

void pipeline_values_dispose(void)
{
    for (size_t i = 0; i != PIPELINE_VALUES; ++i)
        free(values[i]);
}

void pipeline_values_put(http_conn_t *conn, const char *headers)
{
    char target[32];
    for (size_t i = 0; i != PIPELINE_VALUES; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/%zu", i);
        int status = exchange_status(conn, "PUT", target, headers, values[i], sizes[i]);
        CU_ASSERT(status == 201 || status == 204);
    }
}

bool pipeline_is_value(const http_response_t *res, int value)
{
    return body_is(res, values[value], sizes[value]);
}

/* ---------------------------------------------------------------- what is sent */

static void add(pipeline_t *line, const char *text, const char *method, int status, int value)
{
    size_t bytes = strlen(text);
    assert(line->count < PIPELINE_LONGEST && bytes < PIPELINE_BYTES_MAX - line->bytes);
    memcpy(line->text + line->bytes, text, bytes);
    line->bytes += bytes;
    line->expected[line->count++] = (pipeline_expected_t){method, status, value};
}

/** mostly like the one before it; `headers` are those of the whole line of requests */
static void add_any(pipeline_t *line, random_t *random, const char *headers)
{
    char text[512];
    int value = (int)random_below(random, PIPELINE_VALUES);
    switch (random_below(random, 40)) {
    case 0:
        snprintf(text, sizeof(text), "GET /v1/kv/absent HTTP/1.1\r\n%s\r\n", headers);
        add(line, text, "GET", 404, -1);
        break;
    case 1:
        snprintf(text, sizeof(text), "GET /v1/kv/%%zz HTTP/1.1\r\n%s\r\n", headers);
        add(line, text, "GET", 400, -1);
        break;
    case 2:
        snprintf(text, sizeof(text), "HEAD /v1/kv/%d HTTP/1.1\r\n%s\r\n", value, headers);
        add(line, text, "HEAD", 200, -1);
        break;
    case 3:
        snprintf(text, sizeof(text), "PUT /v1/kv/other HTTP/1.1\r\n%sContent-Length: 3\r\n\r\nabc",
                 headers);
        add(line, text, "PUT", 0, -1);
        break;
    case 4:
        snprintf(text, sizeof(text), "GET /livez HTTP/1.1\r\n%s\r\n", headers);
        add(line, text, "GET", 204, -1);
        break;
    case 5:
        snprintf(text, sizeof(text), "GET /v1/kv/%d HTTP/1.1\r\n%sIf-Match: \"0\"\r\n\r\n", value,
                 headers);
        add(line, text, "GET", 412, -1);
        break;
    case 6:
        snprintf(text, sizeof(text), "GET /v1/kv/../v1/stats HTTP/1.1\r\n%s\r\n", headers);
        add(line, text, "GET", 404, -1);
        break;
    case 7:
        snprintf(text, sizeof(text), "GET /v1/keys?limit=1 HTTP/1.1\r\n%s\r\n", headers);
        add(line, text, "GET", 200, -1);
        break;
    case 8:
        snprintf(text, sizeof(text), "GET /v1/kv/%d HTTP/1.1\nhost:  x\n%s\n", value,
                 line->first_header);
        add(line, text, "GET", 200, value);
        break;
    default:
        /* mostly small values, so that there are answers to hold */
        value = random_below(random, 8) != 0 ? value % 7 : value;
        snprintf(text, sizeof(text), "GET /v1/kv/%d HTTP/1.1\r\n%s\r\n", value, headers);
        add(line, text, "GET", 200, value);
        break;
    }
}

/** one that ends the connection */
static void add_last(pipeline_t *line, random_t *random, const char *headers)
{
    char text[512];
    uint64_t kind = random_below(random, 9);
    line->ends_in_error = kind <= 5;
    switch (kind) {
    case 0: /* the library's own answer to a head that it cannot read */
        snprintf(text, sizeof(text), "GET /v1/kv/\x01 HTTP/1.1\r\n%s\r\n", headers);
        add(line, text, "GET", 400, -1);
        break;
    case 1:
        snprintf(text, sizeof(text), "GET /v1/kv/1 HTTP/1.1\r\n%sbad\r\n\r\n", headers);
        add(line, text, "GET", 400, -1);
        break;
    case 2:
        snprintf(text, sizeof(text), "GET /v1/kv/1 HTTP/9\r\n%s\r\n", headers);
        add(line, text, "GET", 400, -1);
        break;
    case 3:
        snprintf(text, sizeof(text), "GET /v1/kv/1 HTTP/1.1\r\n%sConnection: close\r\n\r\n",
                 headers);
        add(line, text, "GET", 200, 1);
        break;
    case 4: /* two lengths */
        snprintf(text, sizeof(text),
                 "GET /v1/kv/1 HTTP/1.1\r\n%sContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
                 headers);
        add(line, text, "GET", 400, -1);
        break;
    case 5: /* small letters, which names of headers may be in, but not this */
        snprintf(text, sizeof(text), "GET /v1/kv/1 http/1.1\r\n%s\r\n", headers);
        add(line, text, "GET", 400, -1);
        break;
    default: /* half a request */
        assert(line->bytes + 12 < PIPELINE_BYTES_MAX);
        memcpy(line->text + line->bytes, "GET /v1/kv/1", 12);
        line->bytes += 12;
        break;
    }
}

void pipeline_fill(pipeline_t *line, random_t *random, const char *first_header)
{
    static const char *const all_headers[] = {
        "Host: here\r\n",
        "Host:\r\n",
        "Host: here\r\nUser-Agent: A Long Name/1.0 (of a client)\r\nAccept: */*\r\n",
        "Host: here\r\nIf-None-Match: \"0\"\r\n",
    };
    char headers[256];
    snprintf(headers, sizeof(headers), "%s%s", first_header, all_headers[random_below(random, 4)]);
    size_t count =
        1 + random_below(random, random_below(random, 4) == 0 ? PIPELINE_LONGEST - 1 : 40);
    line->bytes = line->count = 0;
    line->first_header = first_header;
    for (size_t i = 0; i != count; ++i)
        add_any(line, random, headers);
    add_last(line, random, headers);
}

/* ---------------------------------------------------------------- what comes back */

bool pipeline_is_answer(const http_response_t *res, const pipeline_expected_t *expected)
{
    bool is_status =
        expected->status == 0 ? res->status / 100 == 2 : res->status == expected->status;
    return is_status && (expected->value < 0 || pipeline_is_value(res, expected->value));
}

/*
 * Pipelines by chance: whatever is sent without waiting is answered as if it had been sent alone.
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/seed.h"
#include "tests/site.h"
#include "tests/suites.h"
#include "tests/tls_client.h"

/** requests of one pipeline, at most */
#define LONGEST 200
#define TEXT_BYTES_MAX ((size_t)64 << 10)

/* small ones are held and sent together; from 16 KiB on they go out in pieces; those above 192 KiB
 * wait for a load when they are first read */
static const size_t sizes[] = {0, 1, 100, 100, 100, 1000, 5000, 16384, 16385, 140000, 260000};
enum { VALUES = sizeof(sizes) / sizeof(sizes[0]) };

static site_t site;
static char *values[VALUES];

/** what a request must be answered with */
typedef struct st_expected_t {
    const char *method;
    int status;
    int value; /* its body; -1: any */
} expected_t;

typedef struct st_line_of_requests_t {
    char text[TEXT_BYTES_MAX];
    size_t bytes;
    expected_t expected[LONGEST];
    size_t count;
    bool ends_in_error; /* the server closes: what it has not read by then would be a reset */
} line_of_requests_t;

static int start(void)
{
    for (size_t i = 0; i != VALUES; ++i) {
        values[i] = malloc(sizes[i] + 1);
        random_fill(i, values[i], sizes[i]);
    }
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    for (size_t i = 0; i != VALUES; ++i)
        free(values[i]);
    return site_end(&site);
}

static void put_values(void)
{
    http_conn_t conn;
    char target[32];
    site_open(&site, &conn);
    for (size_t i = 0; i != VALUES; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/%zu", i);
        int status = exchange_status(&conn, "PUT", target, NULL, values[i], sizes[i]);
        CU_ASSERT(status == 201 || status == 204);
    }
    http_close(&conn);
}

/* ---------------------------------------------------------------- what is sent */

static void add(line_of_requests_t *line, const char *text, const char *method, int status,
                int value)
{
    size_t bytes = strlen(text);
    CU_ASSERT_TRUE_FATAL(line->count < LONGEST && bytes < TEXT_BYTES_MAX - line->bytes);
    memcpy(line->text + line->bytes, text, bytes);
    line->bytes += bytes;
    line->expected[line->count++] = (expected_t){method, status, value};
}

/** mostly like the one before it; `headers` are those of the whole line of requests */
static void add_any(line_of_requests_t *line, random_t *random, const char *headers)
{
    char text[512];
    int value = (int)random_below(random, VALUES);
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
        snprintf(text, sizeof(text), "GET /v1/kv/%d HTTP/1.1\nhost:  x\n\n", value);
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
static void add_last(line_of_requests_t *line, random_t *random, const char *headers)
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
        CU_ASSERT(line->bytes + 12 < TEXT_BYTES_MAX);
        memcpy(line->text + line->bytes, "GET /v1/kv/1", 12);
        line->bytes += 12;
        break;
    }
}

static void fill(line_of_requests_t *line, random_t *random)
{
    static const char *const all_headers[] = {
        "Host: here\r\n",
        "Host:\r\n",
        "Host: here\r\nUser-Agent: A Long Name/1.0 (of a client)\r\nAccept: */*\r\n",
        "Host: here\r\nIf-None-Match: \"0\"\r\n",
    };
    const char *headers = all_headers[random_below(random, 4)];
    size_t count = 1 + random_below(random, random_below(random, 4) == 0 ? LONGEST - 1 : 40);
    line->bytes = line->count = 0;
    for (size_t i = 0; i != count; ++i)
        add_any(line, random, headers);
    add_last(line, random, headers);
}

/* ---------------------------------------------------------------- what comes back */

static bool is_as_expected(const http_response_t *res, const expected_t *expected)
{
    bool is_status =
        expected->status == 0 ? res->status / 100 == 2 : res->status == expected->status;
    return is_status &&
           (expected->value < 0 || body_is(res, values[expected->value], sizes[expected->value]));
}

/** in pieces, as a network might bring them */
static void send_in_pieces(http_conn_t *conn, const line_of_requests_t *line, random_t *random)
{
    bool is_whole = line->ends_in_error || random_below(random, 2) == 0;
    size_t most = is_whole ? line->bytes : 1 + random_below(random, 3000);
    for (size_t sent = 0, piece; sent != line->bytes; sent += piece) {
        piece = line->bytes - sent < most ? line->bytes - sent : most;
        if (!http_send(conn, line->text + sent, piece))
            return; /* an answer that ends the connection may come before all is sent */
    }
}

static void try_one(http_conn_t *conn, const line_of_requests_t *line, random_t *random)
{
    send_in_pieces(conn, line, random);
    for (size_t i = 0; i != line->count; ++i) {
        http_response_t res;
        bool is_there = http_read_response(conn, line->expected[i].method, &res);
        bool is_right = is_there && is_as_expected(&res, &line->expected[i]);
        if (!is_right)
            fprintf(stderr, "\n    CAIRN_SEED=%llu: answer %zu of %zu: %d instead of %d; %s\n%.*s",
                    (unsigned long long)seed_of_run(), i, line->count, res.status,
                    line->expected[i].status, is_there ? "" : conn->error, (int)line->bytes,
                    line->text);
        http_response_dispose(&res);
        CU_ASSERT_TRUE_FATAL(is_right);
    }
    http_close(conn);
}

static void any_pipeline(void)
{
    static line_of_requests_t line;
    random_t random = random_from(seed_of_run(), 1);
    int rounds = is_soak() ? 50000 : 500;
    put_values();
    for (int i = 0; i != rounds; ++i) {
        http_conn_t conn;
        if (i % 100 == 50) { /* what is large has to be loaded again */
            server_stop(&site.server);
            server_dispose(&site.server);
            site_start_again(&site, NULL);
        }
        fill(&line, &random);
        site_open(&site, &conn);
        try_one(&conn, &line, &random);
    }
}

/** its answers come when it reads them: what is held meanwhile is bounded, and none is lost */
static void slow_reader(void)
{
    enum { REQUESTS = 40000 };
    static const char request[] = "GET /v1/kv/6 HTTP/1.1\r\nHost: t\r\n\r\n";
    http_conn_t conn;
    http_response_t res;
    put_values();
    site_open(&site, &conn);
    conn.timeout_ms = 60000;
    for (int i = 0; i != REQUESTS / 1000; ++i) {
        static char requests[1000 * sizeof(request)];
        for (size_t j = 0; j != 1000; ++j)
            memcpy(requests + j * (sizeof(request) - 1), request, sizeof(request));
        CU_ASSERT_TRUE_FATAL(http_send(&conn, requests, 1000 * (sizeof(request) - 1)));
    }
    for (int i = 0; i != REQUESTS; ++i) {
        CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "GET", &res));
        CU_ASSERT_TRUE_FATAL(body_is(&res, values[6], sizes[6]));
        http_response_dispose(&res);
    }
    http_close(&conn);
}

static void client_dies(void)
{
    static line_of_requests_t line;
    random_t random = random_from(seed_of_run(), 2);
    put_values();
    size_t fds = fd_base_line(site.server.pid);
    for (int i = 0; i != 300; ++i) {
        http_conn_t conn;
        fill(&line, &random);
        site_open(&site, &conn);
        http_send(&conn, line.text, 1 + random_below(&random, line.bytes));
        http_reset(&conn);
    }
    CU_ASSERT(fd_count_comes_to(site.server.pid, fds));
    CU_ASSERT(site_answers(&site));
}

void suite_http_pipelines(void)
{
    CU_pSuite s = CU_add_suite("http_pipelines: requests sent without waiting", start, end);
    CU_add_test(s, "any pipeline is answered as its requests would be alone", any_pipeline);
    CU_add_test(s, "a reader that is slow gets every answer", slow_reader);
    CU_add_test(s, "clients that die between their answers leave nothing", client_dies);
}

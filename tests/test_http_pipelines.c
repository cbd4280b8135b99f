/*
 * Pipelines by chance: whatever is sent without waiting is answered as if it had been sent alone.
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <string.h>

#include "tests/pipelines.h"
#include "tests/suites.h"

static site_t site;

static int start(void)
{
    pipeline_values_make();
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    pipeline_values_dispose();
    return site_end(&site);
}

static void put_values(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    pipeline_values_put(&conn, NULL);
    http_close(&conn);
}

/** in pieces, as a network might bring them */
static void send_in_pieces(http_conn_t *conn, const pipeline_t *line, random_t *random)
{
    bool is_whole = line->ends_in_error || random_below(random, 2) == 0;
    size_t most = is_whole ? line->bytes : 1 + random_below(random, 3000);
    for (size_t sent = 0, piece; sent != line->bytes; sent += piece) {
        piece = line->bytes - sent < most ? line->bytes - sent : most;
        if (!http_send(conn, line->text + sent, piece))
            return; /* an answer that ends the connection may come before all is sent */
    }
}

static void try_one(http_conn_t *conn, const pipeline_t *line, random_t *random)
{
    send_in_pieces(conn, line, random);
    for (size_t i = 0; i != line->count; ++i) {
        http_response_t res;
        bool is_there = http_read_response(conn, line->expected[i].method, &res);
        bool is_right = is_there && pipeline_is_answer(&res, &line->expected[i]);
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
    static pipeline_t line;
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
        pipeline_fill(&line, &random, "");
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
        CU_ASSERT_TRUE_FATAL(pipeline_is_value(&res, 6));
        http_response_dispose(&res);
    }
    http_close(&conn);
}

static void client_dies(void)
{
    static pipeline_t line;
    random_t random = random_from(seed_of_run(), 2);
    put_values();
    size_t fds = fd_base_line(site.server.pid);
    for (int i = 0; i != 300; ++i) {
        http_conn_t conn;
        pipeline_fill(&line, &random, "");
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

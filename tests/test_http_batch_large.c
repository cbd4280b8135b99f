/*
 * What do batches of ten thousand operations and of many megabytes cost the others?
 *
 * Over real sockets, against the real program. Every test uses keys of its own.
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/batch_call.h"
#include "tests/suites.h"
#include "tests/worker_cost.h"

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    return site_end(&site);
}

/* ---------------------------------------------------------------- many */

static void ten_thousand(void)
{
    enum { ROOM = BATCH_OPS_MAX * 400 };
    http_conn_t conn;
    char *body = malloc(ROOM);
    site_open(&site, &conn);
    for (int round = 0; round < 2; ++round) {
        size_t at = 0;
        for (int i = 0; i < BATCH_OPS_MAX; ++i)
            at += (size_t)sprintf(
                body + at, "{\"op\":\"put\",\"key\":\"m%d\",\"value\":\"%0250d\"}\n", i, i + round);
        long long before = batch_commit_count(&conn);
        char *answer = batch_ask(&conn, round == 0 ? BATCH : BATCH_ATOMIC, body, at);
        CU_ASSERT_EQUAL(batch_line_count(answer), BATCH_OPS_MAX);
        /* it, and the MARK of the idle writer */
        CU_ASSERT_EQUAL(batch_commit_count(&conn), before + 2);
        free(answer);
    }
    size_t at = 0;
    for (int i = 0; i < BATCH_OPS_MAX; ++i)
        at +=
            (size_t)sprintf(body + at, "{\"op\":\"get\",\"key\":\"m%d\"}\n", BATCH_OPS_MAX - 1 - i);
    char *answer = batch_ask(&conn, BATCH, body, at), *line = answer, value[300];
    CU_ASSERT_EQUAL(batch_line_count(answer), BATCH_OPS_MAX);
    for (int i = 0; i < BATCH_OPS_MAX; ++i) {
        char *line_end = strchr(line, '\n');
        if (line_end == NULL)
            break;
        *line_end = '\0';
        sprintf(value, "\"value\":\"%0250d\"}", BATCH_OPS_MAX - i);
        if (strstr(line, value) == NULL)
            CU_FAIL("a get has the value of another key");
        line = line_end + 1;
    }
    free(answer);
    free(body);
    http_close(&conn);
}

/* values that make the answer go out in pieces, each made of what is too large for the event loop
 */
static void large_values(void)
{
    enum { LARGE = 3 << 20 };
    char *body = malloc(3 * LARGE);
    http_conn_t conn;
    site_open(&site, &conn);
    size_t at = (size_t)sprintf(body, "{\"op\":\"put\",\"key\":\"big\",\"value\":\"");
    memset(body + at, 'v', LARGE);
    at += LARGE;
    at += (size_t)sprintf(body + at, "\"}\n{\"op\":\"append\",\"key\":\"big\",\"value\":\"end\"}\n"
                                     "{\"op\":\"get\",\"key\":\"big\"}\n"
                                     "{\"op\":\"get\",\"key\":\"big\"}\n");
    for (int is_atomic = 0; is_atomic < 2; ++is_atomic) {
        char *answer = batch_ask(&conn, is_atomic ? BATCH_ATOMIC : BATCH, body, at);
        CU_ASSERT_EQUAL(batch_line_count(answer), 4);
        CU_ASSERT(strlen(answer) > 2 * (LARGE + 3));
        free(answer);
    }
    for (size_t i = at = 0; i < 10; ++i)
        at += (size_t)sprintf(body + at, "{\"op\":\"get\",\"key\":\"big\"}\n");
    char *answer = batch_ask(&conn, BATCH, body, at);
    CU_ASSERT_EQUAL(batch_line_count(answer), 10);
    CU_ASSERT_PTR_NOT_NULL(strstr(answer, "vend\"}\n{"));
    free(answer);
    free(body);
    http_close(&conn);
}

/* an answer in pieces has chunks, which HTTP/1.0 does not know: its end is the connection's, and
 * the client that asked to keep it is told so */
static void pieces_for_http_1_0(void)
{
    enum { OPS = 200, VALUE = 3000 };
    char value[VALUE + 1], *body = malloc(OPS * 64), head[128];
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    memset(value, 'v', VALUE);
    value[VALUE] = '\0';
    exchange_version(&conn, "PUT", "/v1/kv/old", NULL, value, 201);
    http_close(&conn);
    size_t at = 0;
    for (int i = 0; i < OPS; ++i)
        at += (size_t)sprintf(body + at, "{\"op\":\"get\",\"key\":\"old\"}\n");
    int n = snprintf(head, sizeof(head),
                     "POST " BATCH " HTTP/1.0\r\nConnection: keep-alive\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     at);
    site_open(&site, &conn);
    CU_ASSERT(http_send(&conn, head, (size_t)n) && http_send(&conn, body, at));
    CU_ASSERT(http_server_closes_within(&conn, 2000));
    CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "POST", &res));
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT_EQUAL(res.framing, HTTP_BODY_UNTIL_CLOSE);
    CU_ASSERT(header_is(&res, "connection", "close"));
    CU_ASSERT_EQUAL(batch_line_count(res.body), OPS);
    http_response_dispose(&res);
    http_close(&conn);
    free(body);
}

/* a client that goes while its answer is being made and sent leaves nothing behind */
static void vanishing_client(void)
{
    enum { LARGE = 2 << 20 };
    char *body = malloc(2 * LARGE);
    http_conn_t conn;
    site_open(&site, &conn);
    size_t at = (size_t)sprintf(body, "{\"op\":\"put\",\"key\":\"van\",\"value\":\"");
    memset(body + at, 'v', LARGE);
    strcpy(body + at + LARGE, "\"}\n");
    free(batch_ask(&conn, BATCH, body, strlen(body)));
    size_t fds = fd_base_line(site.server.pid);
    size_t bytes = 0;
    for (int i = 0; i < 40; ++i)
        bytes += (size_t)sprintf(body + bytes, "{\"op\":\"get\",\"key\":\"van\"}\n");
    for (unsigned i = 0; i < 8; ++i) {
        http_conn_t gone;
        char head[128];
        site_open(&site, &gone);
        int n = snprintf(head, sizeof(head),
                         "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                         i % 2 ? BATCH_ATOMIC : BATCH, bytes);
        CU_ASSERT(http_send(&gone, head, (size_t)n) && http_send(&gone, body, bytes));
        sleep_ms(3 * i);
        http_reset(&gone);
    }
    CU_ASSERT(fd_count_comes_to(site.server.pid, fds));
    CU_ASSERT(site_answers(&site));
    free(body);
    http_close(&conn);
}

/* ---------------------------------------------------------------- the event loop */

#define LOOP_NS_MAX 2000000

/* All that the event loop does for a batch of ten thousand operations, from the first byte read to
 * the last one sent, takes less than two milliseconds, so no step of it can take longer. */
static void the_loop_goes_on(void)
{
    static const struct {
        const char *name, *line;
        const char *last; /* a line behind them */
        int status;
    } batches[] = {
        {"puts",
         "{\"op\":\"put\",\"key\":\"loop%d\",\"value\":\"some text\",\"ttl\":\"90s\","
         "\"content_type\":\"text/plain\",\"if_match\":\"*\"}\n",
         "", 200},
        {"gets", "{\"op\":\"get\",\"key\":\"loop%d\"}\n", "", 200},
        {"a wrong line after 9,999", "{\"op\":\"put\",\"key\":\"loop%d\",\"value\":\"text\"}\n",
         "x", 400},
    };
    static const char *const args[] = {"--workers", "1", NULL};
    site_t own;
    http_conn_t conn;
    char *body = malloc(BATCH_OPS_MAX * 200);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, args), 0);
    site_open(&own, &conn);
    int worker = worker_cost_find(&conn, own.server.pid);
    for (size_t b = 0; b < sizeof(batches) / sizeof(batches[0]); ++b) {
        size_t at = 0;
        for (int i = 0; i < BATCH_OPS_MAX - (batches[b].status != 200); ++i)
            at += (size_t)sprintf(body + at, batches[b].line, i);
        at += (size_t)sprintf(body + at, "%s", batches[b].last);
        costed_t request = {"POST", BATCH, body, at, batches[b].status};
        worker_cost_t cost = worker_cost_of(&conn, own.server.pid, worker, &request);
        printf("\n    %s: %.2f ms of the event loop, %.2f ms in all", batches[b].name,
               (double)cost.worker_ns / 1e6, (double)cost.all_ns / 1e6);
        CU_ASSERT(WORKER_COST_MEANS_NOTHING || cost.worker_ns < LOOP_NS_MAX);
        CU_ASSERT(cost.worker_ns < cost.all_ns / 2);
    }
    printf(" ");
    free(body);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

void suite_http_batch_large(void)
{
    CU_pSuite s = CU_add_suite("http_batch_large: many operations, and large ones", start, end);
    CU_add_test(s, "ten thousand operations are one commit", ten_thousand);
    CU_add_test(s, "large values", large_values);
    CU_add_test(s, "an answer in pieces ends for HTTP/1.0 too", pieces_for_http_1_0);
    CU_add_test(s, "a client that vanishes leaves nothing behind", vanishing_client);
    CU_add_test(s, "the event loop goes on meanwhile", the_loop_goes_on);
}

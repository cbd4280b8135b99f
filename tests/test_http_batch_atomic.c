/*
 * Is an atomic batch all or nothing, also when the server dies in the middle of it?
 *
 * Over real sockets, against the real program. Every test uses keys of its own.
 */
#include <CUnit/CUnit.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/batch_call.h"
#include "tests/suites.h"

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    return site_end(&site);
}

/* ---------------------------------------------------------------- atomic */

static void atomic_success(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    long long before = batch_commit_count(&conn);
    CU_ASSERT(
        batch_answers(&conn, BATCH_ATOMIC,
                      "{\"op\":\"get\",\"key\":\"as\"}\n"
                      "{\"op\":\"put\",\"key\":\"as\",\"value\":\"1\",\"if_none_match\":\"*\"}\n"
                      "{\"op\":\"incr\",\"key\":\"as\",\"by\":2}\n"
                      "{\"op\":\"get\",\"key\":\"as\"}\n"
                      "{\"op\":\"append\",\"key\":\"as\",\"value\":\"0\"}\n"
                      "{\"op\":\"put\",\"key\":\"as2\",\"value\":\"x\"}\n"
                      "{\"op\":\"delete\",\"key\":\"as2\"}\n"
                      "{\"op\":\"get\",\"key\":\"as2\"}\n",
                      "{\"status\":404,\"code\":\"not_found\"}\n"
                      "{\"status\":201,\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"3\"}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"3\"}\n"
                      "{\"status\":204,\"version\":#}\n"
                      "{\"status\":201,\"version\":#}\n"
                      "{\"status\":204,\"version\":#}\n"
                      "{\"status\":404,\"code\":\"not_found\"}\n"));
    CU_ASSERT_EQUAL(batch_commit_count(&conn),
                    before + 2); /* it, and the MARK of the idle writer */
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/as", "30"));
    http_close(&conn);
}

static void atomic_failure(void)
{
    static const struct {
        const char *line;
        int status;
        const char *code;
    } rows[] = {
        {"{\"op\":\"put\",\"key\":\"af-there\",\"value\":\"x\",\"if_none_match\":\"*\"}", 412,
         "precondition_failed"},
        {"{\"op\":\"get\",\"key\":\"af-there\",\"if_match\":\"999999\"}", 412,
         "precondition_failed"},
        {"{\"op\":\"delete\",\"key\":\"af-none\"}", 404, "not_found"},
        {"{\"op\":\"incr\",\"key\":\"af-there\"}", 409, "not_a_number"},
    };
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(batch_answers(&conn, BATCH,
                            "{\"op\":\"put\",\"key\":\"af-there\",\"value\":\"text\"}",
                            "{\"status\":201,\"version\":#}\n"));
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); ++r)
        for (int position = 0; position < 5; ++position) {
            char body[1024];
            int at = sprintf(body, "\n");
            for (int i = 0; i < 5; ++i)
                at += i == position
                          ? sprintf(body + at, "%s\n", rows[r].line)
                          : sprintf(body + at,
                                    "{\"op\":\"put\",\"key\":\"af%d\",\"value\":\"x\"}\n", i);
            CU_ASSERT(batch_refuses(&conn, BATCH_ATOMIC, body, rows[r].status, rows[r].code,
                                    position + 2));
        }
    /* the version there is comes as with one value, and none where there is no value */
    uint64_t version = exchange_version(&conn, "GET", "/v1/kv/af-there", NULL, NULL, 200);
    static const char of_none[] =
        "{\"op\":\"put\",\"key\":\"af-none\",\"value\":\"\",\"if_match\":\"*\"}";
    CU_ASSERT_EQUAL(exchange_version(&conn, "POST", BATCH_ATOMIC, NULL, rows[0].line, 412),
                    version);
    CU_ASSERT_EQUAL(exchange_version(&conn, "POST", BATCH_ATOMIC, NULL, of_none, 412), 0);
    for (int i = 0; i < 5; ++i) {
        char target[32];
        snprintf(target, sizeof(target), "/v1/kv/af%d", i);
        CU_ASSERT(batch_has_none(&conn, target));
    }
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/af-there", "text"));
    http_close(&conn);
}

/* ---------------------------------------------------------------- crashes */

enum { CRASH_KEYS = 200 };

typedef struct st_writer_t {
    site_t *site;
    _Atomic int acknowledged;
} writer_t;

static size_t print_crash_batch(char *body, int n)
{
    size_t at = 0;
    for (int i = 0; i < CRASH_KEYS; ++i)
        at += (size_t)sprintf(body + at, "{\"op\":\"put\",\"key\":\"%d\",\"value\":\"%0100d\"}\n",
                              i, n);
    return at;
}

static void *write_batches(void *arg)
{
    static char body[CRASH_KEYS * 160];
    writer_t *writer = arg;
    http_conn_t conn;
    http_response_t res;
    if (!http_open(&conn, writer->site->server.port))
        return NULL;
    for (int n = atomic_load(&writer->acknowledged) + 1;; ++n) {
        size_t bytes = print_crash_batch(body, n);
        if (!http_request(&conn, "POST", BATCH_ATOMIC, NULL, body, bytes, &res))
            break;
        if (res.status == 200)
            atomic_store(&writer->acknowledged, n);
        http_response_dispose(&res);
    }
    http_close(&conn);
    return NULL;
}

static void killed_in_the_middle(void)
{
    static const char *const args[] = {"--storage.segment_bytes", "1MiB", NULL};
    site_t own;
    writer_t writer = {.site = &own, .acknowledged = 0};
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_ON_DISK, args), 0);
    for (unsigned round = 0; round < 6; ++round) {
        pthread_t thread;
        pthread_create(&thread, NULL, write_batches, &writer);
        sleep_ms(40 + 37 * round);
        CU_ASSERT_EQUAL(server_kill(&own.server), -SIGKILL);
        pthread_join(thread, NULL);
        site_start_again(&own, args);
        http_conn_t conn;
        int first = -1;
        site_open(&own, &conn);
        for (int i = 0; i < CRASH_KEYS; ++i) {
            char target[32];
            http_response_t res;
            snprintf(target, sizeof(target), "/v1/kv/%d", i);
            exchange(&conn, "GET", target, NULL, NULL, 0, &res);
            int n = res.status == 200 ? atoi(res.body) : 0;
            http_response_dispose(&res);
            if (i == 0)
                first = n;
            CU_ASSERT_EQUAL(n, first);
        }
        CU_ASSERT(first >= atomic_load(&writer.acknowledged));
        atomic_store(&writer.acknowledged, first);
        http_close(&conn);
    }
    CU_ASSERT(atomic_load(&writer.acknowledged) > 0);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

void suite_http_batch_atomic(void)
{
    CU_pSuite s = CU_add_suite("http_batch_atomic: all or nothing", start, end);
    CU_add_test(s, "an atomic batch sees itself", atomic_success);
    CU_add_test(s, "an atomic batch fails whole, and names the line", atomic_failure);
    CU_add_test(s, "killed in the middle, a batch is whole or none", killed_in_the_middle);
}

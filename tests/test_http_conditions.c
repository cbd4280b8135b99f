/*
 * Conditions and ranges over real sockets, and conditions from many at once.
 *
 * Every test uses keys of its own. What races runs in threads that count and do not assert; the
 * test looks at the counts when they have ended.
 */
#include <CUnit/CUnit.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/kv_call.h"
#include "tests/seed.h"
#include "tests/site.h"
#include "tests/suites.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    return site_end(&site);
}

/* ---------------------------------------------------------------- races */

#define RACERS 64

typedef struct st_racer_t {
    pthread_t thread;
    uint16_t port;
    unsigned index;
    unsigned rounds;
    unsigned won, lost, odd; /* 2xx, 412, anything else */
    uint64_t number_sum;
} racer_t;

static void count_status(racer_t *racer, int status)
{
    if (status / 100 == 2)
        ++racer->won;
    else if (status == 412)
        ++racer->lost;
    else
        ++racer->odd;
}

/* runs so many at once; the sum of what they counted */
static racer_t race(void *(*run)(void *), unsigned racers, unsigned rounds)
{
    static racer_t all[RACERS];
    racer_t sum = {.odd = 0};
    for (unsigned i = 0; i < racers; ++i) {
        all[i] = (racer_t){.port = site.server.port, .index = i, .rounds = rounds};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&all[i].thread, NULL, run, &all[i]), 0);
    }
    for (unsigned i = 0; i < racers; ++i) {
        pthread_join(all[i].thread, NULL);
        sum.won += all[i].won;
        sum.lost += all[i].lost;
        sum.odd += all[i].odd;
        sum.number_sum += all[i].number_sum;
    }
    return sum;
}

/* the status of a request, 0 when there was no answer; `number` and `version` may be NULL */
static int request(http_conn_t *conn, const char *method, const char *target, const char *headers,
                   const char *body, int64_t *number, uint64_t *version)
{
    http_response_t res;
    if (!http_request(conn, method, target, headers, body, body != NULL ? strlen(body) : 0, &res))
        return 0;
    const char *etag = http_header(&res, "etag");
    if (number != NULL)
        *number = strtoll(res.body, NULL, 10);
    if (version != NULL)
        *version = etag != NULL && etag[0] == '"' ? strtoull(etag + 1, NULL, 10) : 0;
    int status = res.status;
    http_response_dispose(&res);
    return status;
}

static void *increment_by_if_match(void *arg)
{
    racer_t *racer = arg;
    http_conn_t conn;
    if (!kv_open(&conn, racer->port)) {
        ++racer->odd;
        return NULL;
    }
    for (unsigned i = 0; i < racer->rounds; ++i) {
        int64_t number;
        uint64_t version;
        char line[64], body[32];
        if (request(&conn, "GET", "/v1/kv/race", NULL, NULL, &number, &version) != 200) {
            ++racer->odd;
            break;
        }
        snprintf(line, sizeof(line), "If-Match: \"%" PRIu64 "\"\r\n", version);
        snprintf(body, sizeof(body), "%" PRId64, number + 1);
        count_status(racer, request(&conn, "PUT", "/v1/kv/race", line, body, NULL, NULL));
    }
    http_close(&conn);
    return NULL;
}

static void increments_by_if_match_are_exact(void)
{
    http_conn_t conn;
    char expected[32];
    site_open(&site, &conn);
    exchange_version(&conn, "PUT", "/v1/kv/race", NULL, "0", 201);
    racer_t sum = race(increment_by_if_match, RACERS, 40);
    CU_ASSERT_EQUAL(sum.odd, 0);
    CU_ASSERT_EQUAL(sum.won + sum.lost, RACERS * 40);
    CU_ASSERT(sum.won >= 40 && sum.lost != 0); /* else nobody has raced */
    snprintf(expected, sizeof(expected), "%u", sum.won);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/race", expected));
    http_close(&conn);
}

/* a client that looks whether the version is still the same, and then writes without saying so */
static void *check_then_act(void *arg)
{
    racer_t *racer = arg;
    http_conn_t conn;
    if (!kv_open(&conn, racer->port)) {
        ++racer->odd;
        return NULL;
    }
    for (unsigned i = 0; i < racer->rounds; ++i) {
        int64_t number;
        uint64_t version, now;
        char body[32];
        request(&conn, "GET", "/v1/kv/lossy", NULL, NULL, &number, &version);
        request(&conn, "GET", "/v1/kv/lossy", NULL, NULL, NULL, &now);
        snprintf(body, sizeof(body), "%" PRId64, number + 1);
        if (now != version)
            ++racer->lost;
        else
            count_status(racer, request(&conn, "PUT", "/v1/kv/lossy", NULL, body, NULL, NULL));
    }
    http_close(&conn);
    return NULL;
}

/* the race above tells a check-then-act from a condition that the writer decides */
static void a_check_before_the_write_loses_increments(void)
{
    http_conn_t conn;
    int64_t number = 0;
    site_open(&site, &conn);
    exchange_version(&conn, "PUT", "/v1/kv/lossy", NULL, "0", 201);
    racer_t sum = race(check_then_act, RACERS, 40);
    CU_ASSERT_EQUAL(sum.odd, 0);
    request(&conn, "GET", "/v1/kv/lossy", NULL, NULL, &number, NULL);
    CU_ASSERT(number < sum.won);
    http_close(&conn);
}

static void *put_if_none(void *arg)
{
    racer_t *racer = arg;
    http_conn_t conn;
    if (!kv_open(&conn, racer->port)) {
        ++racer->odd;
        return NULL;
    }
    for (unsigned i = 0; i < racer->rounds; ++i) {
        char target[32], body[16];
        snprintf(target, sizeof(target), "/v1/kv/once%u", i / 32);
        snprintf(body, sizeof(body), "%u", racer->index);
        int status = request(&conn, "PUT", target, "If-None-Match: *\r\n", body, NULL, NULL);
        count_status(racer, status == 204 ? 0 : status);
    }
    http_close(&conn);
    return NULL;
}

static void one_of_a_thousand_creates_a_key(void)
{
    racer_t sum = race(put_if_none, 32, 128); /* 1,024 for each of four keys */
    CU_ASSERT_EQUAL(sum.odd, 0);
    CU_ASSERT_EQUAL(sum.won, 4);
    CU_ASSERT_EQUAL(sum.lost, 4096 - 4);
}

static void *increment(void *arg)
{
    racer_t *racer = arg;
    http_conn_t conn;
    if (!kv_open(&conn, racer->port)) {
        ++racer->odd;
        return NULL;
    }
    const char *headers = racer->index % 2 ? "Cairn-Durability: async\r\n" : NULL;
    for (unsigned i = 0; i < racer->rounds; ++i) {
        int64_t number = 0;
        count_status(racer, request(&conn, "POST", "/v1/incr/count", headers, NULL, &number, NULL));
        racer->number_sum += (uint64_t)number;
        count_status(racer, request(&conn, "POST", "/v1/append/line", headers, "x", NULL, NULL));
    }
    http_close(&conn);
    return NULL;
}

static void increments_and_appends_are_exact(void)
{
    enum { ROUNDS = 50, ALL = RACERS * ROUNDS };
    http_conn_t conn;
    http_response_t res;
    racer_t sum = race(increment, RACERS, ROUNDS);
    CU_ASSERT_EQUAL(sum.odd + sum.lost, 0);
    /* every number from 1 on was answered to one of them */
    CU_ASSERT_EQUAL(sum.number_sum, (uint64_t)ALL * (ALL + 1) / 2);
    site_open(&site, &conn);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/count", "3200"));
    exchange(&conn, "GET", "/v1/kv/line", NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.body_bytes, ALL);
    CU_ASSERT_EQUAL(strspn(res.body, "x"), ALL);
    http_response_dispose(&res);
    http_close(&conn);
}

/* ---------------------------------------------------------------- conditions */

static void writes_under_if_match(void)
{
    static const struct {
        const char *method, *target, *body;
        int status;
    } writes[] = {{"PUT", "/v1/kv/m", "1", 204},
                  {"POST", "/v1/incr/m", NULL, 200},
                  {"POST", "/v1/append/m", "5", 204},
                  {"DELETE", "/v1/kv/m", NULL, 204}};
    http_conn_t conn;
    http_response_t res;
    char line[128];
    site_open(&site, &conn);
    for (size_t i = 0; i < 4; ++i) {
        const char *method = writes[i].method, *target = writes[i].target, *body = writes[i].body;
        exchange_version(&conn, "DELETE", "/v1/kv/m", "If-None-Match: \"1\"\r\n", NULL,
                         i ? 204 : 404);
        /* no value: no version to tell */
        exchange(&conn, method, target, "If-Match: *\r\n", body, body ? strlen(body) : 0, &res);
        CU_ASSERT(is_problem(&res, 412, "precondition_failed"));
        CU_ASSERT_PTR_NULL(http_header(&res, "etag"));
        http_response_dispose(&res);

        uint64_t stale = exchange_version(&conn, "PUT", "/v1/kv/m", NULL, "7", 201);
        uint64_t now = exchange_version(&conn, "PUT", "/v1/kv/m", "If-Match: *\r\n", "8", 204);
        exchange(&conn, method, target, tagged("If-Match", stale), body, body ? strlen(body) : 0,
                 &res);
        CU_ASSERT(is_problem(&res, 412, "precondition_failed"));
        CU_ASSERT_EQUAL(version_of(&res), now);
        http_response_dispose(&res);
        CU_ASSERT_EQUAL(exchange_version(&conn, method, target, "If-None-Match: *\r\n", body, 412),
                        now);
        CU_ASSERT_EQUAL(
            exchange_version(&conn, method, target, tagged("If-None-Match", now), body, 412), now);
        CU_ASSERT(exchange_gives(&conn, "/v1/kv/m", "8"));

        snprintf(line, sizeof(line), "If-Match: \"%" PRIu64 "\", W/\"x\", \"%" PRIu64 "\"\r\n",
                 stale, now);
        uint64_t last = exchange_version(&conn, method, target, line, body, writes[i].status);
        CU_ASSERT(last > now);
        if (i != 3)
            CU_ASSERT_EQUAL(exchange_version(&conn, "HEAD", "/v1/kv/m", NULL, NULL, 200), last);
    }
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/m", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

static void conditions_that_make_no_sense(void)
{
    static const char *const bad[] = {"If-Match: 17\r\n", "If-Match: \r\n",
                                      "If-Match: *, \"1\"\r\n", "If-None-Match: \"1\r\n",
                                      "If-None-Match: yes\r\n"};
    http_conn_t conn;
    site_open(&site, &conn);
    uint64_t version = exchange_version(&conn, "PUT", "/v1/kv/nonsense", NULL, "5", 201);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        const char *kv = "/v1/kv/nonsense";
        CU_ASSERT(exchange_is_problem(&conn, "PUT", kv, bad[i], "6", 400, "bad_condition"));
        CU_ASSERT(exchange_is_problem(&conn, "DELETE", kv, bad[i], NULL, 400, "bad_condition"));
        CU_ASSERT(exchange_is_problem(&conn, "GET", kv, bad[i], NULL, 400, "bad_condition"));
        CU_ASSERT(exchange_is_problem(&conn, "POST", "/v1/incr/nonsense", bad[i], NULL, 400,
                                      "bad_condition"));
        CU_ASSERT(exchange_is_problem(&conn, "POST", "/v1/append/nonsense", bad[i], "6", 400,
                                      "bad_condition"));
    }
    CU_ASSERT_EQUAL(exchange_version(&conn, "HEAD", "/v1/kv/nonsense", NULL, NULL, 200), version);
    /* a read of nothing is 404, whatever it asks for */
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/kv/nothing", "If-Match: \"1\"\r\n", NULL, 404,
                                  "not_found"));
    http_close(&conn);
}

/* RFC 9110, 5.3: lines of one name are one list in pieces */
static void a_condition_in_several_lines(void)
{
    http_conn_t conn;
    char lines[160];
    site_open(&site, &conn);
    uint64_t version = exchange_version(&conn, "PUT", "/v1/kv/lines", NULL, "a", 201);
    snprintf(lines, sizeof(lines),
             "If-None-Match: \"%" PRIu64 "\"\r\nIf-None-Match: \"1000000\"\r\n", version);
    exchange_version(&conn, "GET", "/v1/kv/lines", lines, NULL, 304);
    CU_ASSERT_EQUAL(exchange_version(&conn, "PUT", "/v1/kv/lines", lines, "b", 412), version);
    snprintf(lines, sizeof(lines), "If-Match: \"%" PRIu64 "\"\r\nIf-Match: \"1000000\"\r\n",
             version);
    exchange_version(&conn, "GET", "/v1/kv/lines", lines, NULL, 200);
    CU_ASSERT(exchange_version(&conn, "PUT", "/v1/kv/lines", lines, "c", 204) > version);
    CU_ASSERT(exchange_is_problem(&conn, "PUT", "/v1/kv/lines",
                                  "If-None-Match: *\r\nIf-None-Match: \"5\"\r\n", "d", 400,
                                  "bad_condition"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/lines", "c"));
    http_close(&conn);
}

static void not_modified(void)
{
    static const char *const methods[] = {"GET", "HEAD"};
    http_conn_t conn;
    http_response_t whole, res;
    site_open(&site, &conn);
    uint64_t version =
        exchange_version(&conn, "PUT", "/v1/kv/cached",
                         "Cache-Control: public, max-age=77\r\nContent-Type: text/x\r\n", "v", 201);
    exchange(&conn, "GET", "/v1/kv/cached", NULL, NULL, 0, &whole);
    time_t written = date_of(&whole, "last-modified");
    CU_ASSERT(labs((long)(time(NULL) - written)) <= 5);
    const char *const unchanged[] = {tagged("If-None-Match", version), "If-None-Match: *\r\n",
                                     dated("If-Modified-Since", written),
                                     dated("If-Modified-Since", written + 60)};
    for (size_t i = 0; i < 8; ++i) {
        exchange(&conn, methods[i % 2], "/v1/kv/cached", unchanged[i / 2], NULL, 0, &res);
        CU_ASSERT_EQUAL(res.status, 304);
        CU_ASSERT_EQUAL(res.body_bytes, 0);
        CU_ASSERT_EQUAL(version_of(&res), version);
        CU_ASSERT(header_is(&res, "last-modified", http_header(&whole, "last-modified")));
        /* RFC 9110, 15.4.5: what a 200 would have said to a cache */
        CU_ASSERT(header_is(&res, "cache-control", "public, max-age=77"));
        CU_ASSERT_PTR_NULL(http_header(&res, "content-length"));
        http_response_dispose(&res);
    }
    const char *const changed[] = {
        tagged("If-None-Match", version + 1), dated("If-Modified-Since", written - 1),
        "If-Modified-Since: last week\r\n", dated("If-Unmodified-Since", written),
        "If-Unmodified-Since: last week\r\n"};
    for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); ++i)
        CU_ASSERT_EQUAL(exchange_version(&conn, "GET", "/v1/kv/cached", changed[i], NULL, 200),
                        version);
    const char *const failed[] = {tagged("If-Match", version + 1),
                                  dated("If-Unmodified-Since", written - 1)};
    for (size_t i = 0; i < 2; ++i) {
        CU_ASSERT_EQUAL(exchange_version(&conn, "GET", "/v1/kv/cached", failed[i], NULL, 412),
                        version);
        CU_ASSERT_EQUAL(exchange_version(&conn, "PUT", "/v1/kv/cached", failed[i], "w", 412),
                        version);
    }
    exchange_version(&conn, "PUT", "/v1/kv/cached", dated("If-Unmodified-Since", written), "w",
                     204);
    /* RFC 9110, 13.1.4: the date is for what has one */
    CU_ASSERT_EQUAL(exchange_status(&conn, "DELETE", "/v1/kv/undated",
                                    dated("If-Unmodified-Since", written), NULL, 0),
                    404);
    exchange_version(&conn, "PUT", "/v1/kv/undated", dated("If-Unmodified-Since", written), "w",
                     201);
    http_response_dispose(&whole);
    http_close(&conn);
}

/* ---------------------------------------------------------------- ranges */

static void parts_of_a_value(void)
{
    static const struct {
        const char *range;
        int status;
        const char *content_range, *body;
    } rows[] = {{"bytes=0-3", 206, "bytes 0-3/10", "0123"},
                {"bytes=9-", 206, "bytes 9-9/10", "9"},
                {"bytes=-4", 206, "bytes 6-9/10", "6789"},
                {"bytes=5-500", 206, "bytes 5-9/10", "56789"},
                {"bytes=0-", 206, "bytes 0-9/10", "0123456789"},
                {"bytes=-99999999999999999999", 206, "bytes 0-9/10", "0123456789"},
                {"bytes=0-1,4-5", 200, NULL, "0123456789"},
                {"bytes=4-2", 200, NULL, "0123456789"},
                {"lines=0-1", 200, NULL, "0123456789"},
                {"bytes=10-", 416, "bytes */10", NULL},
                {"bytes=-0", 416, "bytes */10", NULL},
                {"bytes=99999999999999999999-", 416, "bytes */10", NULL}};
    http_conn_t conn;
    http_response_t res;
    char line[80];
    site_open(&site, &conn);
    uint64_t version =
        exchange_version(&conn, "PUT", "/v1/kv/parts", "Cairn-Meta-A: b\r\n", "0123456789", 201);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        snprintf(line, sizeof(line), "Range: %s\r\n", rows[i].range);
        exchange(&conn, "GET", "/v1/kv/parts", line, NULL, 0, &res);
        CU_ASSERT_EQUAL(res.status, rows[i].status);
        CU_ASSERT_EQUAL(version_of(&res), version);
        if (rows[i].body != NULL) {
            CU_ASSERT(body_is(&res, rows[i].body, strlen(rows[i].body)));
            CU_ASSERT(header_is(&res, "cairn-meta-a", "b"));
            CU_ASSERT(header_is(&res, "accept-ranges", "bytes"));
        } else {
            CU_ASSERT(is_problem(&res, 416, "range_not_satisfiable"));
        }
        if (rows[i].content_range != NULL)
            CU_ASSERT(header_is(&res, "content-range", rows[i].content_range))
        else
            CU_ASSERT_PTR_NULL(http_header(&res, "content-range"))
        http_response_dispose(&res);
        /* a range is a GET's */
        exchange(&conn, "HEAD", "/v1/kv/parts", line, NULL, 0, &res);
        CU_ASSERT_EQUAL(res.status, 200);
        CU_ASSERT(header_is(&res, "content-length", "10"));
        http_response_dispose(&res);
    }
    exchange_version(&conn, "GET", "/v1/kv/parts", "Range: bytes=0-1\r\nRange: bytes=4-5\r\n", NULL,
                     200);
    exchange_version(&conn, "PUT", "/v1/kv/parts", NULL, "", 204);
    exchange(&conn, "GET", "/v1/kv/parts", "Range: bytes=0-\r\n", NULL, 0, &res);
    CU_ASSERT(is_problem(&res, 416, "range_not_satisfiable"));
    CU_ASSERT(header_is(&res, "content-range", "bytes */0"));
    http_response_dispose(&res);
    http_close(&conn);
}

static void parts_under_conditions(void)
{
    http_conn_t conn;
    http_response_t res;
    char lines[256];
    site_open(&site, &conn);
    uint64_t version = exchange_version(&conn, "PUT", "/v1/kv/if-range", NULL, "0123456789", 201);
    exchange(&conn, "GET", "/v1/kv/if-range", NULL, NULL, 0, &res);
    time_t written = date_of(&res, "last-modified");
    http_response_dispose(&res);
    const struct {
        const char *condition;
        int status;
    } rows[] = {{tagged("If-Range", version), 206},
                {tagged("If-Range", version + 1), 200},
                {"If-Range: W/\"1\"\r\n", 200},
                {"If-Range: *\r\n", 200},
                {"If-Range: \r\n", 200},
                /* two values may be of one second: with a date the parts might be of both */
                {dated("If-Range", written), 200},
                {dated("If-Range", written - 1), 200},
                {tagged("If-Match", version), 206},
                {"If-None-Match: *\r\n", 304},
                {"If-Match: \"1000000\"\r\n", 412}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        snprintf(lines, sizeof(lines), "Range: bytes=2-3\r\n%s", rows[i].condition);
        exchange(&conn, "GET", "/v1/kv/if-range", lines, NULL, 0, &res);
        if (res.status != rows[i].status)
            fprintf(stderr, "\n    %s", rows[i].condition);
        CU_ASSERT_EQUAL(res.status, rows[i].status);
        if (res.status / 100 == 2)
            CU_ASSERT(
                body_is(&res, res.status == 206 ? "23" : "0123456789", res.status == 206 ? 2 : 10))
        http_response_dispose(&res);
    }
    /* outside the value, but not of the value it names: the whole */
    snprintf(lines, sizeof(lines), "Range: bytes=99-\r\n%s", tagged("If-Range", version + 1));
    exchange_version(&conn, "GET", "/v1/kv/if-range", lines, NULL, 200);
    http_close(&conn);
}

static void random_parts_add_up(void)
{
    http_conn_t conn;
    http_response_t res;
    char line[96], expected[96];
    random_t random = random_from(seed_of_run(), 7);
    char *large = noise(MIB, 7), *put_together = calloc(1, MIB);
    CU_ASSERT_PTR_NOT_NULL_FATAL(put_together);
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/mib", NULL, large, MIB), 201);
    for (size_t at = 0; at < MIB;) {
        size_t most = random_below(&random, 3) == 0 ? 300 * KIB : 20 * KIB;
        size_t count = 1 + random_below(&random, most);
        size_t last = at + count - 1 < MIB ? at + count - 1 : MIB - 1;
        snprintf(line, sizeof(line), "Range: bytes=%zu-%zu\r\n", at, at + count - 1);
        snprintf(expected, sizeof(expected), "bytes %zu-%zu/%zu", at, last, MIB);
        exchange(&conn, "GET", "/v1/kv/mib", line, NULL, 0, &res);
        CU_ASSERT_EQUAL(res.status, 206);
        CU_ASSERT(header_is(&res, "content-range", expected));
        CU_ASSERT_EQUAL_FATAL(res.body_bytes, last + 1 - at);
        memcpy(put_together + at, res.body, res.body_bytes);
        http_response_dispose(&res);
        at = last + 1;
    }
    CU_ASSERT(memcmp(large, put_together, MIB) == 0);
    free(put_together);
    free(large);
    http_close(&conn);
}

void suite_http_conditions(void)
{
    CU_pSuite s = CU_add_suite("http_conditions: races, conditions, ranges", start, end);
    CU_add_test(s, "64 clients increment by If-Match", increments_by_if_match_are_exact);
    CU_add_test(s, "control: a check before the write loses some",
                a_check_before_the_write_loses_increments);
    CU_add_test(s, "one of a thousand creates a key", one_of_a_thousand_creates_a_key);
    CU_add_test(s, "64 clients incr and append", increments_and_appends_are_exact);
    CU_add_test(s, "writes under If-Match and If-None-Match", writes_under_if_match);
    CU_add_test(s, "conditions that make no sense", conditions_that_make_no_sense);
    CU_add_test(s, "a condition in several lines", a_condition_in_several_lines);
    CU_add_test(s, "what has not been modified", not_modified);
    CU_add_test(s, "parts of a value", parts_of_a_value);
    CU_add_test(s, "parts under conditions", parts_under_conditions);
    CU_add_test(s, "random parts add up to the value", random_parts_add_up);
}

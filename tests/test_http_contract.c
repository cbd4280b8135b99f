/*
 * Conditions, ranges, expiry, incr, append and /v1/sync over real sockets, and from many at once.
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

/* ---------------------------------------------------------------- small words */

/* one exchange: the status as expected; returns the version of its ETag, 0 for none */
static uint64_t done(http_conn_t *conn, const char *method, const char *target, const char *headers,
                     const char *body, int status)
{
    http_response_t res;
    exchange(conn, method, target, headers, body, body != NULL ? strlen(body) : 0, &res);
    uint64_t version = http_header(&res, "etag") != NULL ? version_of(&res) : 0;
    if (res.status != status)
        fprintf(stderr, "\n    %s %s: %d %s", method, target, res.status, res.body);
    CU_ASSERT_EQUAL(res.status, status);
    http_response_dispose(&res);
    return version;
}

static bool is_refused(http_conn_t *conn, const char *method, const char *target,
                       const char *headers, const char *body, int status, const char *code)
{
    http_response_t res;
    exchange(conn, method, target, headers, body, body != NULL ? strlen(body) : 0, &res);
    bool is_right = is_problem(&res, status, code);
    http_response_dispose(&res);
    return is_right;
}

static bool has_text(http_conn_t *conn, const char *target, const char *text)
{
    http_response_t res;
    exchange(conn, "GET", target, NULL, NULL, 0, &res);
    bool has = res.status == 200 && body_is(&res, text, strlen(text));
    if (!has)
        fprintf(stderr, "\n    %s: %d %.80s", target, res.status, res.body);
    http_response_dispose(&res);
    return has;
}

/* a header line for this version, in memory that the next few calls reuse */
static const char *tagged(const char *name, uint64_t version)
{
    static char lines[4][64];
    static size_t next;
    char *line = lines[next++ % 4];
    snprintf(line, sizeof(lines[0]), "%s: \"%" PRIu64 "\"\r\n", name, version);
    return line;
}

/* a header line with the date so many seconds from then */
static const char *dated(const char *name, time_t t)
{
    static char lines[4][96];
    static size_t next;
    char *line = lines[next++ % 4], date[64];
    struct tm tm;
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &tm));
    snprintf(line, sizeof(lines[0]), "%s: %s\r\n", name, date);
    return line;
}

static time_t date_of(const http_response_t *res, const char *name)
{
    struct tm tm = {.tm_mday = 1};
    const char *text = http_header(res, name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm));
    return timegm(&tm);
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
    done(&conn, "PUT", "/v1/kv/race", NULL, "0", 201);
    racer_t sum = race(increment_by_if_match, RACERS, 40);
    CU_ASSERT_EQUAL(sum.odd, 0);
    CU_ASSERT_EQUAL(sum.won + sum.lost, RACERS * 40);
    CU_ASSERT(sum.won >= 40 && sum.lost != 0); /* else nobody has raced */
    snprintf(expected, sizeof(expected), "%u", sum.won);
    CU_ASSERT(has_text(&conn, "/v1/kv/race", expected));
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
    done(&conn, "PUT", "/v1/kv/lossy", NULL, "0", 201);
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
    CU_ASSERT(has_text(&conn, "/v1/kv/count", "3200"));
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
        done(&conn, "DELETE", "/v1/kv/m", "If-None-Match: \"1\"\r\n", NULL, i ? 204 : 404);
        /* no value: no version to tell */
        exchange(&conn, method, target, "If-Match: *\r\n", body, body ? strlen(body) : 0, &res);
        CU_ASSERT(is_problem(&res, 412, "precondition_failed"));
        CU_ASSERT_PTR_NULL(http_header(&res, "etag"));
        http_response_dispose(&res);

        uint64_t stale = done(&conn, "PUT", "/v1/kv/m", NULL, "7", 201);
        uint64_t now = done(&conn, "PUT", "/v1/kv/m", "If-Match: *\r\n", "8", 204);
        exchange(&conn, method, target, tagged("If-Match", stale), body, body ? strlen(body) : 0,
                 &res);
        CU_ASSERT(is_problem(&res, 412, "precondition_failed"));
        CU_ASSERT_EQUAL(version_of(&res), now);
        http_response_dispose(&res);
        CU_ASSERT_EQUAL(done(&conn, method, target, "If-None-Match: *\r\n", body, 412), now);
        CU_ASSERT_EQUAL(done(&conn, method, target, tagged("If-None-Match", now), body, 412), now);
        CU_ASSERT(has_text(&conn, "/v1/kv/m", "8"));

        snprintf(line, sizeof(line), "If-Match: \"%" PRIu64 "\", W/\"x\", \"%" PRIu64 "\"\r\n",
                 stale, now);
        uint64_t last = done(&conn, method, target, line, body, writes[i].status);
        CU_ASSERT(last > now);
        if (i != 3)
            CU_ASSERT_EQUAL(done(&conn, "HEAD", "/v1/kv/m", NULL, NULL, 200), last);
    }
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/m", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

static void conditions_that_make_no_sense(void)
{
    static const char *const bad[] = {"If-Match: 17\r\n", "If-Match: \r\n",
                                      "If-Match: *, \"1\"\r\n", "If-None-Match: \"1\r\n",
                                      "If-None-Match: yes\r\n"};
    http_conn_t conn;
    site_open(&site, &conn);
    uint64_t version = done(&conn, "PUT", "/v1/kv/nonsense", NULL, "5", 201);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        const char *kv = "/v1/kv/nonsense";
        CU_ASSERT(is_refused(&conn, "PUT", kv, bad[i], "6", 400, "bad_condition"));
        CU_ASSERT(is_refused(&conn, "DELETE", kv, bad[i], NULL, 400, "bad_condition"));
        CU_ASSERT(is_refused(&conn, "GET", kv, bad[i], NULL, 400, "bad_condition"));
        CU_ASSERT(
            is_refused(&conn, "POST", "/v1/incr/nonsense", bad[i], NULL, 400, "bad_condition"));
        CU_ASSERT(
            is_refused(&conn, "POST", "/v1/append/nonsense", bad[i], "6", 400, "bad_condition"));
    }
    CU_ASSERT_EQUAL(done(&conn, "HEAD", "/v1/kv/nonsense", NULL, NULL, 200), version);
    /* a read of nothing is 404, whatever it asks for */
    CU_ASSERT(
        is_refused(&conn, "GET", "/v1/kv/nothing", "If-Match: \"1\"\r\n", NULL, 404, "not_found"));
    http_close(&conn);
}

/* RFC 9110, 5.3: lines of one name are one list in pieces */
static void a_condition_in_several_lines(void)
{
    http_conn_t conn;
    char lines[160];
    site_open(&site, &conn);
    uint64_t version = done(&conn, "PUT", "/v1/kv/lines", NULL, "a", 201);
    snprintf(lines, sizeof(lines),
             "If-None-Match: \"%" PRIu64 "\"\r\nIf-None-Match: \"1000000\"\r\n", version);
    done(&conn, "GET", "/v1/kv/lines", lines, NULL, 304);
    CU_ASSERT_EQUAL(done(&conn, "PUT", "/v1/kv/lines", lines, "b", 412), version);
    snprintf(lines, sizeof(lines), "If-Match: \"%" PRIu64 "\"\r\nIf-Match: \"1000000\"\r\n",
             version);
    done(&conn, "GET", "/v1/kv/lines", lines, NULL, 200);
    CU_ASSERT(done(&conn, "PUT", "/v1/kv/lines", lines, "c", 204) > version);
    CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/lines",
                         "If-None-Match: *\r\nIf-None-Match: \"5\"\r\n", "d", 400,
                         "bad_condition"));
    CU_ASSERT(has_text(&conn, "/v1/kv/lines", "c"));
    http_close(&conn);
}

static void not_modified(void)
{
    static const char *const methods[] = {"GET", "HEAD"};
    http_conn_t conn;
    http_response_t whole, res;
    site_open(&site, &conn);
    uint64_t version =
        done(&conn, "PUT", "/v1/kv/cached",
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
        CU_ASSERT_EQUAL(done(&conn, "GET", "/v1/kv/cached", changed[i], NULL, 200), version);
    const char *const failed[] = {tagged("If-Match", version + 1),
                                  dated("If-Unmodified-Since", written - 1)};
    for (size_t i = 0; i < 2; ++i) {
        CU_ASSERT_EQUAL(done(&conn, "GET", "/v1/kv/cached", failed[i], NULL, 412), version);
        CU_ASSERT_EQUAL(done(&conn, "PUT", "/v1/kv/cached", failed[i], "w", 412), version);
    }
    done(&conn, "PUT", "/v1/kv/cached", dated("If-Unmodified-Since", written), "w", 204);
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
    uint64_t version = done(&conn, "PUT", "/v1/kv/parts", "Cairn-Meta-A: b\r\n", "0123456789", 201);
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
    done(&conn, "GET", "/v1/kv/parts", "Range: bytes=0-1\r\nRange: bytes=4-5\r\n", NULL, 200);
    done(&conn, "PUT", "/v1/kv/parts", NULL, "", 204);
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
    uint64_t version = done(&conn, "PUT", "/v1/kv/if-range", NULL, "0123456789", 201);
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
    done(&conn, "GET", "/v1/kv/if-range", lines, NULL, 200);
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

/* ---------------------------------------------------------------- expiry */

/* whether the answer says that the value has so many seconds left, give or take what passed */
static bool has_seconds_left(http_conn_t *conn, const char *target, long seconds)
{
    http_response_t res;
    long age = -1;
    exchange(conn, "GET", target, NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL_FATAL(res.status, 200);
    const char *text = http_header(&res, "cache-control");
    CU_ASSERT_EQUAL(http_header_count(&res, "cache-control"), 1);
    bool is_right = text != NULL && sscanf(text, "max-age=%ld", &age) == 1 &&
                    http_header(&res, "expires") != NULL;
    if (is_right) {
        long until = (long)(date_of(&res, "expires") - time(NULL));
        is_right = age <= seconds && age >= seconds - 10 && labs(until - age) <= 3;
    }
    if (!is_right)
        fprintf(stderr, "\n    %s: %s", target, text != NULL ? text : "no Cache-Control");
    http_response_dispose(&res);
    return is_right;
}

static bool never_expires(http_conn_t *conn, const char *target)
{
    http_response_t res;
    exchange(conn, "HEAD", target, NULL, NULL, 0, &res);
    bool never = res.status == 200 && http_header(&res, "expires") == NULL &&
                 http_header(&res, "cache-control") == NULL;
    http_response_dispose(&res);
    return never;
}

static void a_time_to_live_is_told(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    done(&conn, "PUT", "/v1/kv/ttl?ttl=90s", NULL, "1", 201);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 90));
    done(&conn, "PUT", "/v1/kv/ttl", "Cairn-TTL: 2h\r\nCache-Control: no-store\r\n", "1", 204);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 7200));
    done(&conn, "PUT", "/v1/kv/ttl?ttl=3m", "Cairn-TTL: 2h\r\n", "1", 204);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 180));
    done(&conn, "PUT", "/v1/kv/ttl?a=b&ttl=36525d", NULL, "1", 204);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 36525L * 86400));
    done(&conn, "PUT", "/v1/kv/ttl", NULL, "1", 204);
    CU_ASSERT(never_expires(&conn, "/v1/kv/ttl"));

    done(&conn, "PUT", "/v1/kv/ttl?ttl=1h", NULL, "1", 204);
    done(&conn, "POST", "/v1/incr/ttl", NULL, NULL, 200);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 3600));
    done(&conn, "POST", "/v1/append/ttl", NULL, "0", 204);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 3600));
    done(&conn, "POST", "/v1/incr/ttl?by=2&ttl=2h", NULL, NULL, 200);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 7200));
    done(&conn, "POST", "/v1/append/ttl", "Cairn-TTL: 1m\r\n", "", 204);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/ttl", 60));
    CU_ASSERT(has_text(&conn, "/v1/kv/ttl", "22"));
    http_close(&conn);
}

/* a Cache-Control stored without a TTL and a TTL that came later: the reader is told one of them */
static void one_cache_control_is_told(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    done(&conn, "PUT", "/v1/kv/control", "Cache-Control: public, max-age=999999\r\n", "1", 201);
    done(&conn, "POST", "/v1/incr/control?ttl=50s", NULL, NULL, 200);
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/control", 50));
    exchange(&conn, "GET", "/v1/kv/control", "If-None-Match: *\r\n", NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 304);
    CU_ASSERT_EQUAL(http_header_count(&res, "cache-control"), 1);
    CU_ASSERT_PTR_NOT_NULL(http_header(&res, "expires"));
    http_response_dispose(&res);
    http_close(&conn);
}

static void an_expired_key_is_gone(void)
{
    static const char *const keys[] = {"get", "put", "delete", "incr", "append", "match"};
    http_conn_t conn;
    char target[64];
    site_open(&site, &conn);
    for (size_t i = 0; i < 6; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/gone-%s", keys[i]);
        done(&conn, "PUT", target, i % 2 ? "Cairn-TTL: 1s\r\n" : "Cairn-TTL: 1000ms\r\n", "5", 201);
        done(&conn, "GET", target, NULL, NULL, 200);
    }
    sleep_ms(1010);
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/gone-get", NULL, NULL, 404, "not_found"));
    CU_ASSERT(is_refused(&conn, "HEAD", "/v1/kv/gone-get", NULL, NULL, 404, "not_found"));
    CU_ASSERT(is_refused(&conn, "DELETE", "/v1/kv/gone-delete", NULL, NULL, 404, "not_found"));
    CU_ASSERT_EQUAL(done(&conn, "PUT", "/v1/kv/gone-match", "If-Match: *\r\n", "6", 412), 0);
    done(&conn, "PUT", "/v1/kv/gone-match", "If-None-Match: *\r\n", "6", 201);
    done(&conn, "PUT", "/v1/kv/gone-put", NULL, "6", 201);
    done(&conn, "POST", "/v1/append/gone-append", NULL, "6", 201);
    done(&conn, "POST", "/v1/incr/gone-incr", NULL, NULL, 200);
    CU_ASSERT(has_text(&conn, "/v1/kv/gone-append", "6"));
    CU_ASSERT(has_text(&conn, "/v1/kv/gone-incr", "1"));
    CU_ASSERT(never_expires(&conn, "/v1/kv/gone-incr"));
    CU_ASSERT(never_expires(&conn, "/v1/kv/gone-put"));
    http_close(&conn);
}

static void a_time_to_live_that_is_none(void)
{
    static const char *const bad[] = {"",
                                      "90",
                                      "s",
                                      "0s",
                                      "0ms",
                                      "-1s",
                                      "1.5s",
                                      "1w",
                                      "1S",
                                      "1s1",
                                      "1%20s",
                                      "%201s",
                                      "1s%20",
                                      "1us",
                                      "1min",
                                      "36526d",
                                      "99999999999999999999s",
                                      "18446744073709551615ms",
                                      "18446744073709551616ms",
                                      "213503982335d"};
    http_conn_t conn;
    char target[96], line[64];
    site_open(&site, &conn);
    uint64_t version = done(&conn, "PUT", "/v1/kv/bad-ttl", NULL, "1", 201);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        snprintf(target, sizeof(target), "/v1/kv/bad-ttl?ttl=%s", bad[i]);
        CU_ASSERT(is_refused(&conn, "PUT", target, NULL, "2", 400, "bad_ttl"));
        snprintf(target, sizeof(target), "/v1/incr/bad-ttl?ttl=%s", bad[i]);
        CU_ASSERT(is_refused(&conn, "POST", target, NULL, NULL, 400, "bad_ttl"));
        snprintf(target, sizeof(target), "/v1/append/bad-ttl?ttl=%s", bad[i]);
        CU_ASSERT(is_refused(&conn, "POST", target, NULL, "2", 400, "bad_ttl"));
        if (strchr(bad[i], '%') != NULL)
            continue;
        snprintf(line, sizeof(line), "Cairn-TTL: %s\r\n", bad[i]);
        CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/bad-ttl", line, "2", 400, "bad_ttl"));
    }
    CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/bad-ttl?ttl=%zz", NULL, "2", 400, "bad_escape"));
    CU_ASSERT_EQUAL(done(&conn, "HEAD", "/v1/kv/bad-ttl", NULL, NULL, 200), version);
    http_close(&conn);
}

/* ---------------------------------------------------------------- incr and append */

/* whether an increment answers with this number, as text and in what is stored */
static bool increments_to(http_conn_t *conn, const char *query, const char *number)
{
    http_response_t res;
    char target[96];
    snprintf(target, sizeof(target), "/v1/incr/n%s", query);
    exchange(conn, "POST", target, NULL, NULL, 0, &res);
    bool is_right = res.status == 200 && body_is(&res, number, strlen(number)) &&
                    header_is(&res, "content-type", "text/plain");
    uint64_t version = version_of(&res);
    http_response_dispose(&res);
    return is_right && done(conn, "HEAD", "/v1/kv/n", NULL, NULL, 200) == version &&
           has_text(conn, "/v1/kv/n", number);
}

static void numbers_are_added(void)
{
    static const char *const bad[] = {"",
                                      "one",
                                      "1.5",
                                      "+5",
                                      "%2B5",
                                      "-",
                                      "--1",
                                      "0x1",
                                      "1%20",
                                      "5,",
                                      "9223372036854775808",
                                      "-9223372036854775809"};
    http_conn_t conn;
    http_response_t res;
    char target[96];
    site_open(&site, &conn);
    CU_ASSERT(increments_to(&conn, "", "1"));
    exchange(&conn, "GET", "/v1/kv/n", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "content-type", "text/plain"));
    http_response_dispose(&res);
    CU_ASSERT(increments_to(&conn, "?by=41", "42"));
    CU_ASSERT(increments_to(&conn, "?by=-50", "-8"));
    CU_ASSERT(increments_to(&conn, "?by=0", "-8"));
    CU_ASSERT(increments_to(&conn, "?by=%38", "0"));
    CU_ASSERT(increments_to(&conn, "?by=9223372036854775807", "9223372036854775807"));
    CU_ASSERT(is_refused(&conn, "POST", "/v1/incr/n", NULL, NULL, 409, "overflow"));
    CU_ASSERT(increments_to(&conn, "?by=-9223372036854775808", "-1"));
    CU_ASSERT(increments_to(&conn, "?by=-9223372036854775807", "-9223372036854775808"));
    CU_ASSERT(is_refused(&conn, "POST", "/v1/incr/n?by=-1", NULL, NULL, 409, "overflow"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        snprintf(target, sizeof(target), "/v1/incr/n?by=%s", bad[i]);
        CU_ASSERT(is_refused(&conn, "POST", target, NULL, NULL, 400, "bad_number"));
    }
    CU_ASSERT(is_refused(&conn, "POST", "/v1/incr/n?by=%4", NULL, NULL, 400, "bad_escape"));
    CU_ASSERT(is_refused(&conn, "POST", "/v1/incr/", NULL, NULL, 400, "key_empty"));
    CU_ASSERT(has_text(&conn, "/v1/kv/n", "-9223372036854775808"));

    done(&conn, "PUT", "/v1/kv/n", "Content-Type: text/count\r\nCairn-Meta-A: b\r\n", "five", 204);
    CU_ASSERT(is_refused(&conn, "POST", "/v1/incr/n", NULL, NULL, 409, "not_a_number"));
    done(&conn, "PUT", "/v1/kv/n", "Content-Type: text/count\r\nCairn-Meta-A: b\r\n", "5", 204);
    CU_ASSERT(increments_to(&conn, "", "6"));
    exchange(&conn, "GET", "/v1/kv/n", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "content-type", "text/count"));
    CU_ASSERT(header_is(&res, "cairn-meta-a", "b"));
    http_response_dispose(&res);
    http_close(&conn);
}

static void bytes_are_appended(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    uint64_t first =
        done(&conn, "POST", "/v1/append/a%2Fb", "Content-Type: text/log\r\n", "one", 201);
    CU_ASSERT(done(&conn, "POST", "/v1/append/a/b", "Content-Type: x/y\r\n", ",two", 204) > first);
    CU_ASSERT(done(&conn, "POST", "/v1/append/a/b", NULL, "", 204) > first + 1);
    exchange(&conn, "GET", "/v1/kv/a/b", NULL, NULL, 0, &res);
    CU_ASSERT(body_is(&res, "one,two", 7));
    CU_ASSERT(header_is(&res, "content-type", "text/log"));
    http_response_dispose(&res);
    CU_ASSERT(is_refused(&conn, "POST", "/v1/append/a/b", NULL, NULL, 411, "length_required"));
    CU_ASSERT(is_refused(&conn, "POST", "/v1/append/", NULL, "x", 400, "key_empty"));
    http_close(&conn);
}

static void appends_keep_to_the_limit(void)
{
    static const char *const args[] = {"--limits.value_bytes", "64KiB", NULL};
    site_t own;
    http_conn_t conn;
    http_response_t res;
    char *bytes = noise(65 * KIB, 9);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, args), 0);
    site_open(&own, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "POST", "/v1/append/k", NULL, bytes, 60 * KIB), 201);
    for (int i = 0; i < 2; ++i) { /* each too much: both together, and the second alone */
        exchange(&conn, "POST", "/v1/append/k", NULL, bytes, i ? 65 * KIB : 4 * KIB + 1, &res);
        CU_ASSERT(is_problem(&res, 413, "value_too_large"));
        http_response_dispose(&res);
        if (i == 0)
            CU_ASSERT_EQUAL(
                exchange_status(&conn, "POST", "/v1/append/k", NULL, bytes + 60 * KIB, 4 * KIB),
                204);
    }
    http_close(&conn); /* it may have been closed: the last body was refused unread */
    site_open(&own, &conn);
    exchange(&conn, "GET", "/v1/kv/k", NULL, NULL, 0, &res);
    CU_ASSERT(body_is(&res, bytes, 64 * KIB));
    http_response_dispose(&res);
    http_close(&conn);
    free(bytes);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

/* ---------------------------------------------------------------- sync, methods, restarts */

static void a_sync_is_waited_for(void)
{
    static const char *const args[] = {"--storage.sync_interval", "1m", NULL};
    static const char *const bad[] = {"",
                                      "?",
                                      "?version=",
                                      "?version=x",
                                      "?version=-1",
                                      "?version=1.0",
                                      "?version=18446744073709551616",
                                      "?version=9223372036854775807",
                                      "?versions=1"};
    site_t own;
    http_conn_t conn;
    char target[64];
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_ON_DISK, args), 0);
    site_open(&own, &conn);
    uint64_t version = 0;
    for (int i = 0; i < 5; ++i)
        version = done(&conn, "POST", "/v1/incr/n", "Cairn-Durability: async\r\n", NULL, 200);
    snprintf(target, sizeof(target), "/v1/sync?version=%" PRIu64, version + 1);
    CU_ASSERT(is_refused(&conn, "GET", target, NULL, NULL, 400, "bad_version"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        snprintf(target, sizeof(target), "/v1/sync%s", bad[i]);
        CU_ASSERT(is_refused(&conn, "GET", target, NULL, NULL, 400, "bad_version"));
    }
    for (uint64_t v = version; v != 0; --v) {
        http_response_t res;
        snprintf(target, sizeof(target), "/v1/sync?version=%" PRIu64, v);
        CU_ASSERT_EQUAL(done(&conn, "GET", target, NULL, NULL, 204), 0);
        snprintf(target, sizeof(target), "\"durable_version\": %" PRIu64, version);
        exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, target));
        http_response_dispose(&res);
    }
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

static void other_methods(void)
{
    static const struct {
        const char *target, *allow;
        const char *methods[6];
    } rows[] = {
        {"/v1/kv/x", "GET, HEAD, PUT, DELETE", {"POST", "PATCH", "OPTIONS"}},
        {"/v1/incr/x", "POST", {"GET", "HEAD", "PUT", "DELETE", "PATCH"}},
        {"/v1/append/x", "POST", {"GET", "HEAD", "PUT", "DELETE", "PATCH"}},
        {"/v1/sync?version=1", "GET", {"HEAD", "POST", "PUT", "DELETE"}},
    };
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i)
        for (const char *const *method = rows[i].methods; *method != NULL; ++method) {
            exchange(&conn, *method, rows[i].target, NULL, NULL, 0, &res);
            CU_ASSERT(is_problem(&res, 405, "method_not_allowed"));
            CU_ASSERT(header_is(&res, "allow", rows[i].allow));
            http_response_dispose(&res);
        }
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/x", NULL, NULL, 404, "not_found"));
    http_close(&conn);
}

static void a_crash_changes_nothing(void)
{
    site_t own;
    http_conn_t conn;
    http_response_t res;
    char *large = noise(40 * KIB, 8);
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_ON_DISK, NULL), 0);
    site_open(&own, &conn);
    done(&conn, "PUT", "/v1/kv/short?ttl=700ms", NULL, "x", 201);
    done(&conn, "PUT", "/v1/kv/long?ttl=1h", NULL, "40", 201);
    uint64_t counted = done(&conn, "POST", "/v1/incr/long?by=2", NULL, NULL, 200);
    for (size_t at = 0; at < 40 * KIB; at += 5 * KIB)
        CU_ASSERT_EQUAL(exchange_status(&conn, "POST", "/v1/append/grown",
                                        at % 2048 ? NULL : "Cairn-Durability: async\r\n",
                                        large + at, 5 * KIB),
                        at ? 204 : 201);
    uint64_t once = done(&conn, "PUT", "/v1/kv/once", "If-None-Match: *\r\n", "1", 201);
    done(&conn, "DELETE", "/v1/kv/long", "If-Match: \"1\"\r\n", NULL, 412);
    http_close(&conn);
    CU_ASSERT(server_kill(&own.server) != 0);
    sleep_ms(700);
    site_start_again(&own, NULL);

    site_open(&own, &conn);
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/short", NULL, NULL, 404, "not_found"));
    CU_ASSERT(is_refused(&conn, "DELETE", "/v1/kv/short", NULL, NULL, 404, "not_found"));
    CU_ASSERT_EQUAL(done(&conn, "PUT", "/v1/kv/short", "If-Match: *\r\n", "y", 412), 0);
    CU_ASSERT(has_text(&conn, "/v1/kv/long", "42"));
    CU_ASSERT(has_seconds_left(&conn, "/v1/kv/long", 3600));
    CU_ASSERT_EQUAL(done(&conn, "GET", "/v1/kv/long", tagged("If-None-Match", counted), NULL, 304),
                    counted);
    exchange(&conn, "GET", "/v1/kv/grown", NULL, NULL, 0, &res);
    CU_ASSERT(body_is(&res, large, 40 * KIB));
    http_response_dispose(&res);
    CU_ASSERT_EQUAL(done(&conn, "PUT", "/v1/kv/once", "If-None-Match: *\r\n", "2", 412), once);
    CU_ASSERT(done(&conn, "PUT", "/v1/kv/once", tagged("If-Match", once), "2", 204) > once);
    done(&conn, "POST", "/v1/incr/long", NULL, NULL, 200);
    CU_ASSERT(has_text(&conn, "/v1/kv/long", "43"));
    http_close(&conn);
    free(large);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

/* a segment whose end is gone: what lies there is an I/O error to whoever touches it */
static void a_write_upon_what_cannot_be_read(void)
{
    static const struct {
        const char *method, *target, *headers, *body;
    } rows[] = {{"GET", "/v1/kv/lost", NULL, NULL},
                {"POST", "/v1/append/lost", NULL, "x"},
                {"POST", "/v1/incr/lost", NULL, NULL},
                {"PUT", "/v1/kv/lost", "If-Match: *\r\n", "x"}};
    site_t own;
    http_conn_t conn;
    char path[400];
    char *large = noise(20 * KIB, 10);
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_ON_DISK, NULL), 0);
    site_open(&own, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/before", NULL, large, 20 * KIB), 201);
    done(&conn, "PUT", "/v1/kv/lost", NULL, "5", 201);
    done(&conn, "PUT", "/v1/kv/also-lost", NULL, "5", 201);
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&own.server), 0);
    site_start_again(&own, NULL);
    snprintf(path, sizeof(path), "%s/0000000000000001-0000.seg", own.data);
    CU_ASSERT_EQUAL_FATAL(truncate(path, 8 * KIB), 0);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i) {
        site_open(&own, &conn);
        CU_ASSERT(is_refused(&conn, rows[i].method, rows[i].target, rows[i].headers, rows[i].body,
                             500, "read_failed"));
        http_close(&conn);
    }
    /* what needs nothing of it is done */
    site_open(&own, &conn);
    done(&conn, "PUT", "/v1/kv/lost", NULL, "mended", 204);
    CU_ASSERT(has_text(&conn, "/v1/kv/lost", "mended"));
    done(&conn, "DELETE", "/v1/kv/also-lost", NULL, NULL, 204);
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/also-lost", NULL, NULL, 404, "not_found"));
    http_close(&conn);
    CU_ASSERT(site_answers(&own));
    CU_ASSERT_EQUAL(server_kill(&own.server), -SIGKILL);
    server_dispose(&own.server);
    CU_ASSERT(temp_dir_remove(&own.dir));
    free(large);
}

void suite_http_contract(void)
{
    CU_pSuite s =
        CU_add_suite("http_contract: conditions, ranges, expiry, incr, append", start, end);
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
    CU_add_test(s, "a time to live is told", a_time_to_live_is_told);
    CU_add_test(s, "one Cache-Control is told", one_cache_control_is_told);
    CU_add_test(s, "an expired key is gone", an_expired_key_is_gone);
    CU_add_test(s, "a time to live that is none", a_time_to_live_that_is_none);
    CU_add_test(s, "numbers are added", numbers_are_added);
    CU_add_test(s, "bytes are appended", bytes_are_appended);
    CU_add_test(s, "appends keep to the limit", appends_keep_to_the_limit);
    CU_add_test(s, "a sync is waited for", a_sync_is_waited_for);
    CU_add_test(s, "other methods are told which there are", other_methods);
    CU_add_test(s, "a crash changes nothing", a_crash_changes_nothing);
    CU_add_test(s, "a write upon what cannot be read", a_write_upon_what_cannot_be_read);
}

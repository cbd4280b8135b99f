/*
 * Does the server say truly how it is: front page, /livez, /readyz, /metrics, /v1/stats? And how
 * compaction goes?
 */
#include <CUnit/CUnit.h>

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tests/site.h"
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

/* ---------------------------------------------------------------- pages */

static void front_page(void)
{
    static const char *const mentioned[] = {
        "/v1/kv/", "/set?key=", "/get?key=", "/metrics", "/v1/stats", "curl"};
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    exchange(&conn, "GET", "/", NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    for (size_t i = 0; i != sizeof(mentioned) / sizeof(mentioned[0]); ++i)
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, mentioned[i]));
    http_response_dispose(&res);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/?whatever", NULL, NULL, 0), 200);
    http_close(&conn);
}

static void alive_and_ready(void)
{
    static const char *const targets[] = {"/livez", "/readyz", "/readyz?verbose"};
    static const char *const methods[] = {"GET", "HEAD"};
    http_conn_t conn;
    site_open(&site, &conn);
    for (size_t i = 0; i != 3; ++i)
        for (size_t j = 0; j != 2; ++j)
            CU_ASSERT_EQUAL(exchange_status(&conn, methods[j], targets[i], NULL, NULL, 0), 204);
    http_close(&conn);
}

static void head_of_pages(void)
{
    static const char *const targets[] = {"/", "/dashboard", "/metrics", "/v1/stats"};
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    for (size_t i = 0; i != 4; ++i) {
        exchange(&conn, "HEAD", targets[i], NULL, NULL, 0, &res);
        CU_ASSERT_EQUAL(res.status, 200);
        CU_ASSERT(http_header(&res, "content-length") != NULL &&
                  atoi(http_header(&res, "content-length")) > 100);
        http_response_dispose(&res);
    }
    http_close(&conn);
}

static void unknown_paths(void)
{
    static const char *const targets[] = {
        "/x",     "/v1",      "/v1/",         "/v1/kv",     "/v2/kv/a",    "/livez/",
        "/LIVEZ", "/livezz",  "/v1/stats/",   "/metrics/a", "//",          "/./livez",
        "/../",   "/%6civez", "/v1%2Fkv%2Fa", "/set/",      "/index.html", "/v1/kV/a",
        "/a%zz%", "/%00",     "/favicon.ico", "/V1/kv/a",   "/sets?key=a", "//livez"};
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "BREW"};
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    for (size_t i = 0; i != sizeof(targets) / sizeof(targets[0]); ++i)
        for (size_t j = 0; j != sizeof(methods) / sizeof(methods[0]); ++j) {
            exchange(&conn, methods[j], targets[i], NULL, "x", 1, &res);
            CU_ASSERT(is_problem(&res, 404, "no_such_path"));
            http_response_dispose(&res);
        }
    http_close(&conn);
}

static void other_methods(void)
{
    static const char *const targets[] = {"/",       "/dashboard", "/livez",
                                          "/readyz", "/metrics",   "/v1/stats"};
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "get"};
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    for (size_t i = 0; i != sizeof(targets) / sizeof(targets[0]); ++i)
        for (size_t j = 0; j != sizeof(methods) / sizeof(methods[0]); ++j) {
            exchange(&conn, methods[j], targets[i], NULL, "x", 1, &res);
            CU_ASSERT(is_problem(&res, 405, "method_not_allowed"));
            CU_ASSERT(header_is(&res, "allow", "GET, HEAD"));
            http_response_dispose(&res);
        }
    http_close(&conn);
}

/* ---------------------------------------------------------------- /metrics */

/* the family that the samples being read belong to, and where in a histogram we are */
typedef struct st_family_t {
    char name[128];
    char type[16];
    char labels[128]; /* of the histogram's series, without le */
    double le;
    double cumulated;
    bool has_ended; /* its +Inf has come */
    int families, samples, series;
} family_t;

static bool complain(const char *what, const char *line)
{
    fprintf(stderr, "\n    %s: %.100s", what, line);
    return false;
}

static bool read_comment(family_t *family, const char *line)
{
    char name[128], rest[256];
    if (sscanf(line, "# HELP %127s %255[^\n]", name, rest) == 2) {
        if (strcmp(name, family->name) == 0)
            return complain("a family twice", line);
        snprintf(family->name, sizeof(family->name), "%s", name);
        family->type[0] = '\0';
        family->has_ended = false;
        ++family->families;
        return true;
    }
    if (sscanf(line, "# TYPE %127s %15s", name, family->type) != 2 ||
        strcmp(name, family->name) != 0)
        return complain("TYPE does not follow its HELP", line);
    size_t bytes = strlen(name);
    bool is_total = bytes > 6 && strcmp(name + bytes - 6, "_total") == 0;
    if (is_total != (strcmp(family->type, "counter") == 0)) /* as `promtool check metrics` has it */
        return complain("counters, and only those, are called _total", line);
    return is_total || strcmp(family->type, "gauge") == 0 ||
           strcmp(family->type, "histogram") == 0 || complain("an unknown type", line);
}

static bool read_bucket(family_t *family, char *labels, double value, const char *line)
{
    char *le = strstr(labels, "le=\"");
    if (le == NULL)
        return complain("a bucket without le", line);
    double bound = strtod(le + 4, NULL);
    *le = '\0';
    if (strcmp(labels, family->labels) != 0 || family->has_ended) {
        snprintf(family->labels, sizeof(family->labels), "%s", labels);
        family->le = family->cumulated = 0;
        family->has_ended = false;
        ++family->series;
    }
    if (bound <= family->le || value < family->cumulated)
        return complain("buckets do not rise", line);
    family->le = bound;
    family->cumulated = value;
    family->has_ended = isinf(bound);
    return true;
}

static bool read_histogram(family_t *family, const char *suffix, char *labels, double value,
                           const char *line)
{
    if (strcmp(suffix, "_bucket") == 0)
        return read_bucket(family, labels, value, line);
    if (!family->has_ended)
        return complain("no +Inf before", line);
    if (strcmp(suffix, "_sum") == 0)
        return value >= 0 || complain("a negative sum", line);
    return (strcmp(suffix, "_count") == 0 && value == family->cumulated) ||
           complain("the count is not the last bucket", line);
}

/* name{labels} value */
static bool read_sample(family_t *family, const char *line)
{
    char name[128] = "", labels[128] = "", *end;
    size_t name_bytes = strspn(line, "abcdefghijklmnopqrstuvwxyz_0123456789");
    if (name_bytes == 0 || name_bytes >= sizeof(name))
        return complain("not a name", line);
    memcpy(name, line, name_bytes);
    const char *at = line + name_bytes;
    if (*at == '{') {
        const char *close = strchr(at, '}');
        if (close == NULL || (size_t)(close - at) >= sizeof(labels))
            return complain("labels without end", line);
        memcpy(labels, at + 1, (size_t)(close - at - 1));
        at = close + 1;
    }
    double value = *at == ' ' ? strtod(at + 1, &end) : NAN;
    if (*at != ' ' || end == at + 1 || *end != '\0' || isnan(value))
        return complain("no value", line);
    size_t family_bytes = strlen(family->name);
    if (family->type[0] == '\0' || strncmp(name, family->name, family_bytes) != 0)
        return complain("a sample outside its family", line);
    ++family->samples;
    if (strcmp(family->type, "histogram") == 0)
        return read_histogram(family, name + family_bytes, labels, value, line);
    return name[family_bytes] == '\0' || complain("a sample outside its family", line);
}

static void metrics_format(void)
{
    http_conn_t conn;
    http_response_t res;
    family_t family = {.name = ""};
    site_open(&site, &conn);
    for (int i = 0; i != 100; ++i)
        exchange_status(&conn, "PUT", "/v1/kv/m", NULL, "x", 1);
    exchange(&conn, "GET", "/metrics", NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT(header_is(&res, "content-type", "text/plain; version=0.0.4; charset=utf-8"));
    CU_ASSERT_EQUAL(res.body[res.body_bytes - 1], '\n');
    for (char *line = strtok(res.body, "\n"); line != NULL; line = strtok(NULL, "\n"))
        CU_ASSERT(line[0] == '#' ? read_comment(&family, line) : read_sample(&family, line));
    CU_ASSERT(family.families > 15 && family.samples > 100);
    CU_ASSERT(family.series >= 5); /* an operation each, and the syncs */
    http_response_dispose(&res);
    http_close(&conn);
}

/* the value of one sample; NAN if there is none */
static double sample(http_conn_t *conn, const char *name)
{
    http_response_t res;
    double value = NAN;
    exchange(conn, "GET", "/metrics", NULL, NULL, 0, &res);
    for (char *line = strtok(res.body, "\n"); line != NULL; line = strtok(NULL, "\n"))
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ' ')
            value = strtod(line + strlen(name), NULL);
    http_response_dispose(&res);
    return value;
}

static void metrics_count(void)
{
    static const struct {
        const char *name;
        double by;
    } rows[] = {{"cairn_requests_total{op=\"get\",status=\"2xx\"}", 2},
                {"cairn_requests_total{op=\"get\",status=\"4xx\"}", 1},
                {"cairn_requests_total{op=\"put\",status=\"2xx\"}", 2},
                {"cairn_requests_total{op=\"put\",status=\"4xx\"}", 1},
                {"cairn_requests_total{op=\"put\",status=\"5xx\"}", 0},
                {"cairn_requests_total{op=\"delete\",status=\"2xx\"}", 1},
                {"cairn_requests_total{op=\"delete\",status=\"4xx\"}", 1},
                {"cairn_request_seconds_count{op=\"put\"}", 3},
                {"cairn_request_seconds_bucket{op=\"get\",le=\"+Inf\"}", 3},
                {"cairn_value_bytes_in_total", 8},
                {"cairn_value_bytes_out_total", 5},
                {"cairn_keys", 0},
                {"cairn_last_version", 3},
                {"cairn_durable_version", 3},
                {"cairn_commit_records_total", 3},
                {"cairn_connections_total", 0}};
    enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
    double before[ROWS];
    http_conn_t conn;
    site_open(&site, &conn);
    for (size_t i = 0; i != ROWS; ++i)
        before[i] = sample(&conn, rows[i].name);
    exchange_status(&conn, "PUT", "/v1/kv/count", NULL, "abc", 3);
    exchange_status(&conn, "PUT", "/v1/kv/count", NULL, "abcde", 5);
    exchange_status(&conn, "PUT", "/v1/kv/count", NULL, NULL, 0);
    exchange_status(&conn, "GET", "/v1/kv/count", NULL, NULL, 0);
    exchange_status(&conn, "HEAD", "/v1/kv/count", NULL, NULL, 0);
    exchange_status(&conn, "GET", "/v1/kv/uncounted", NULL, NULL, 0);
    exchange_status(&conn, "DELETE", "/v1/kv/count", NULL, NULL, 0);
    exchange_status(&conn, "DELETE", "/v1/kv/count", NULL, NULL, 0);
    for (size_t i = 0; i != ROWS; ++i) {
        double now = sample(&conn, rows[i].name);
        if (now - before[i] != rows[i].by)
            fprintf(stderr, "\n    %s: %.0f more", rows[i].name, now - before[i]);
        CU_ASSERT_EQUAL(now - before[i], rows[i].by);
    }
    CU_ASSERT(sample(&conn, "cairn_connections") >= 1);
    CU_ASSERT_EQUAL(sample(&conn, "cairn_ready"), 1);
    CU_ASSERT_EQUAL(sample(&conn, "cairn_failed"), 0);
    CU_ASSERT_EQUAL(sample(&conn, "cairn_disk_full"), 0);
    http_close(&conn);
}

/* ---------------------------------------------------------------- /v1/stats */

static json_t *stats(http_conn_t *conn)
{
    http_response_t res;
    exchange(conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT(header_is(&res, "content-type", "application/json"));
    json_t *json = json_loadb(res.body, res.body_bytes, JSON_REJECT_DUPLICATES, NULL);
    http_response_dispose(&res);
    CU_ASSERT_PTR_NOT_NULL_FATAL(json);
    return json;
}

/* a number by its path, "requests.put.2xx"; -1 if there is none */
static json_int_t number(const json_t *json, const char *path)
{
    char name[64];
    for (const char *dot; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        snprintf(name, sizeof(name), "%.*s", (int)(dot - path), path);
        json = json_object_get(json, name);
    }
    json = json_object_get(json, path);
    return json_is_integer(json) ? json_integer_value(json) : -1;
}

/* requests of an operation, summed up over all latencies; there is a bound for each but the last */
static json_int_t latency_count(const json_t *json, const char *op)
{
    const json_t *latency = json_object_get(json, "latency"), *n;
    const json_t *buckets = json_object_get(json_object_get(latency, "buckets"), op);
    json_int_t sum = 0;
    size_t i;
    CU_ASSERT_EQUAL(json_array_size(json_object_get(latency, "bounds_us")) + 1,
                    json_array_size(buckets));
    json_array_foreach(buckets, i, n) sum += json_integer_value(n);
    return sum;
}

/* asks for a compaction and for /v1/stats until it has been done: nothing moves any more; returns
 * how often it has asked */
static int compact(http_conn_t *conn)
{
    bool is_done = false;
    int asked = 1;
    CU_ASSERT_EQUAL(exchange_status(conn, "POST", "/v1/admin/compact", NULL, NULL, 0), 202);
    for (int64_t end = monotonic_ms() + 10000; !is_done && monotonic_ms() < end; ++asked) {
        sleep_ms(20);
        json_t *json = stats(conn), *compaction = json_object_get(json, "compaction");
        is_done = json_is_false(json_object_get(compaction, "asked")) &&
                  json_is_false(json_object_get(compaction, "running"));
        json_decref(json);
    }
    CU_ASSERT(is_done);
    return asked;
}

static void stats_agree(void)
{
    static const char *const extra[] = {"--storage.segment_bytes", "1MiB", "--workers", "3", NULL};
    site_t own;
    http_conn_t conn;
    char target[32];
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_IN_MEMORY, extra), 0);
    site_open(&own, &conn);
    json_t *json = stats(&conn);
    CU_ASSERT_EQUAL(number(json, "keys"), 0);
    CU_ASSERT_EQUAL(number(json, "last_version"), 0);
    CU_ASSERT_EQUAL(number(json, "workers"), 3);
    json_decref(json);

    char *value = noise(10000, 7);
    for (int i = 0; i != 400; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/%d", i % 300);
        CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", target, NULL, value, 10000),
                        i < 300 ? 201 : 204);
    }
    for (int i = 0; i != 50; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/%d", i);
        CU_ASSERT_EQUAL(exchange_status(&conn, "DELETE", target, NULL, NULL, 0), 204);
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", target, NULL, NULL, 0), 404);
    }
    free(value);
    int asked = compact(&conn);
    json = stats(&conn);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "state")), "ok");
    CU_ASSERT(json_is_false(json_object_get(json, "in_memory")));
    CU_ASSERT_EQUAL(number(json, "keys"), 250);
    CU_ASSERT_EQUAL(number(json, "last_version"), 450);
    CU_ASSERT_EQUAL(number(json, "durable_version"), 450);
    CU_ASSERT_EQUAL(number(json, "requests.put.2xx"), 400);
    CU_ASSERT_EQUAL(number(json, "requests.delete.2xx"), 50);
    CU_ASSERT_EQUAL(number(json, "requests.get.4xx"), 50);
    CU_ASSERT_EQUAL(latency_count(json, "put"), 400);
    CU_ASSERT_EQUAL(latency_count(json, "get"), 50);
    CU_ASSERT_EQUAL(number(json, "value_bytes_in"), 4000000);
    CU_ASSERT(number(json, "memory.resident_bytes") > number(json, "memory.own_bytes"));
    CU_ASSERT(number(json, "memory.own_bytes") > 0);
    CU_ASSERT_EQUAL(number(json, "requests.other.2xx"), 1 + asked); /* what came before these */
    CU_ASSERT_EQUAL(number(json, "commits.records"), 450);
    CU_ASSERT_EQUAL(number(json, "connections"), 1);
    CU_ASSERT_EQUAL(number(json, "queue.writes"), 0);
    CU_ASSERT(number(json, "index.bytes") > 0);
    json_int_t live = number(json, "live_bytes"), dead = number(json, "dead_bytes");
    CU_ASSERT_EQUAL(live + dead, number(json, "disk_bytes"));
    json_int_t freed =
        number(json, "compaction.bytes_read") - number(json, "compaction.bytes_written");
    CU_ASSERT(live >= 250 * 10000 && dead + freed >= 150 * 10000);

    /* 4 MB in segments of 1 MiB: they tile the versions, and add up */
    const json_t *segments = json_object_get(json, "segments"), *segment;
    size_t i;
    json_int_t first = 0, live_sum = 0, dead_sum = 0;
    CU_ASSERT(json_array_size(segments) >= 4);
    json_array_foreach(segments, i, segment)
    {
        CU_ASSERT(number(segment, "first_version") > first);
        first = number(segment, "first_version");
        live_sum += number(segment, "live_bytes");
        dead_sum += number(segment, "dead_bytes");
        CU_ASSERT(number(segment, "live_bytes") >= 0);
        CU_ASSERT(number(segment, "generation") >= 0);
        CU_ASSERT_PTR_NOT_NULL(json_string_value(json_object_get(segment, "name")));
        if (i + 1 == json_array_size(segments))
            CU_ASSERT(json_is_false(json_object_get(segment, "sealed")));
    }
    CU_ASSERT_EQUAL(dead_sum, dead);
    CU_ASSERT(live_sum >= live);
    json_decref(json);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

/* ---------------------------------------------------------------- compaction */

static void put_over_and_over(http_conn_t *conn, int count)
{
    char target[32], *value = noise(10000, 7);
    for (int i = 0; i != count; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/%d", i % 10);
        exchange_status(conn, "PUT", target, NULL, value, 10000);
    }
    free(value);
}

static json_int_t generations(const json_t *json)
{
    const json_t *segment;
    json_int_t sum = 0;
    size_t i;
    json_array_foreach(json_object_get(json, "segments"), i, segment) sum +=
        number(segment, "generation");
    return sum;
}

static void check_compaction(http_conn_t *conn, const json_t *json)
{
    const json_t *compaction = json_object_get(json, "compaction");
    json_int_t written = number(compaction, "bytes_written"), runs = number(compaction, "runs");
    double amplification = json_real_value(json_object_get(compaction, "write_amplification"));
    CU_ASSERT(runs > 0 && written > 0 && number(compaction, "bytes_read") > written);
    CU_ASSERT_EQUAL(number(compaction, "failures"), 0);
    CU_ASSERT_EQUAL(number(compaction, "dropped_version"), 0);
    CU_ASSERT_DOUBLE_EQUAL(amplification,
                           1 + (double)written / (double)number(json, "commits.bytes"), 1e-9);
    CU_ASSERT(generations(json) >= 1);
    CU_ASSERT_EQUAL(sample(conn, "cairn_compactions_total"), runs);
    CU_ASSERT_EQUAL(sample(conn, "cairn_compaction_written_bytes_total"), written);
    CU_ASSERT_EQUAL(sample(conn, "cairn_compaction_read_bytes_total"),
                    number(compaction, "bytes_read"));
    CU_ASSERT_EQUAL(sample(conn, "cairn_compaction_failures_total"), 0);
    CU_ASSERT_EQUAL(sample(conn, "cairn_compaction_running"), 0);
    CU_ASSERT_EQUAL(sample(conn, "cairn_dropped_version"), 0);
    CU_ASSERT_DOUBLE_EQUAL(sample(conn, "cairn_write_amplification"), amplification, 1e-9);
}

/* 3 MB written, of which 100 kB can still be read; one segment is always left to be written to */
static void what_is_dead_is_given_back(site_t *own)
{
    http_conn_t conn;
    char *value = noise(10000, 7);
    site_open(own, &conn);
    put_over_and_over(&conn, 300);
    compact(&conn);
    json_t *json = stats(&conn);
    CU_ASSERT(number(json, "disk_bytes") < 2 << 20);
    CU_ASSERT_EQUAL(number(json, "keys"), 10);
    check_compaction(&conn, json);
    json_decref(json);
    for (int i = 0; i != 10; ++i) {
        char target[32];
        http_response_t res;
        snprintf(target, sizeof(target), "/v1/kv/%d", i);
        exchange(&conn, "GET", target, NULL, NULL, 0, &res);
        CU_ASSERT(res.status == 200 && body_is(&res, value, 10000));
        http_response_dispose(&res);
    }
    free(value);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(own), 0);
}

static void compacted_on_disk(void)
{
    site_t own;
    CU_ASSERT_EQUAL_FATAL(
        site_start(&own, TEMP_DIR_IN_MEMORY,
                   (const char *const[]){"--storage.segment_bytes", "1MiB", NULL}),
        0);
    what_is_dead_is_given_back(&own);
}

static void compacted_in_memory(void)
{
    site_t own = {.data = ""};
    CU_ASSERT_EQUAL_FATAL(
        site_start_in_memory(&own, (const char *const[]){"--storage.segment_bytes", "1MiB", NULL}),
        0);
    what_is_dead_is_given_back(&own);
}

static void compaction_is_asked_for_by_post(void)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE"};
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    for (size_t i = 0; i != 4; ++i) {
        exchange(&conn, methods[i], "/v1/admin/compact", NULL, NULL, 0, &res);
        CU_ASSERT(is_problem(&res, 405, "method_not_allowed"));
        CU_ASSERT(header_is(&res, "allow", "POST"));
        http_response_dispose(&res);
    }
    exchange(&conn, "POST", "/v1/admin/compact", NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 202);
    CU_ASSERT(header_is(&res, "content-type", "application/json"));
    CU_ASSERT(body_is(&res, "{\"progress\":\"/v1/stats#/compaction\"}", 36));
    http_response_dispose(&res);
    http_close(&conn);
}

static void every_answer_says_who_and_when(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    exchange(&conn, "GET", "/livez", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "server", "cairn"));
    CU_ASSERT_EQUAL(http_header_count(&res, "date"), 1);
    http_response_dispose(&res);
    http_close(&conn);
}

void suite_http_status(void)
{
    CU_pSuite s = CU_add_suite("http_status: how the server is", start, end);
    CU_add_test(s, "the front page says where to look", front_page);
    CU_add_test(s, "/livez and /readyz are 204", alive_and_ready);
    CU_add_test(s, "HEAD of a page has its length", head_of_pages);
    CU_add_test(s, "an unknown path is no path", unknown_paths);
    CU_add_test(s, "other methods are told which there are", other_methods);
    CU_add_test(s, "/metrics is what Prometheus reads", metrics_format);
    CU_add_test(s, "/metrics counts what was done", metrics_count);
    CU_add_test(s, "/v1/stats agrees with what was done", stats_agree);
    CU_add_test(s, "compaction gives back what is dead on disk", compacted_on_disk);
    CU_add_test(s, "and in memory", compacted_in_memory);
    CU_add_test(s, "compaction is asked for by POST only", compaction_is_asked_for_by_post);
    CU_add_test(s, "every answer says who gave it and when", every_answer_says_who_and_when);
}

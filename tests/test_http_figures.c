/*
 * Do /metrics and /v1/stats say the same of a server that has done something of everything?
 */
#include <CUnit/CUnit.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tests/site.h"
#include "tests/suites.h"
#include "tests/worker_cost.h"

static site_t site;

static int start(void)
{
    static const char *const extra[] = {"--storage.segment_bytes", "1MiB", "--storage.scrub_rate",
                                        "0B", NULL};
    return site_start(&site, TEMP_DIR_IN_MEMORY, extra);
}

static int end(void)
{
    return site_end(&site);
}

/* every family of /metrics that is no histogram, and where /v1/stats has it; NULL: what it stands
 * for there is said in words */
static const struct {
    const char *family, *path;
} figures[] = {
    {"connections", "connections"},
    {"connections_total", "connections_accepted"},
    {"accept_failures_total", "accept_failures"},
    {"slow_readers_total", "slow_readers"},
    {"bodies_refused_total", "bodies_refused"},
    {"value_bytes_in_total", "value_bytes_in"},
    {"value_bytes_out_total", "value_bytes_out"},
    {"followers", "followers"},
    {"followers_dropped_total", "followers_dropped"},
    {"changes_sent_total", "changes_sent"},
    {"access_log_dropped_total", "access_log_dropped"},
    {"uptime_seconds", NULL},
    {"ready", NULL},
    {"keys", "keys"},
    {"index_bytes", "index.bytes"},
    {"index_slots", "index.slots"},
    {"index_bytes_per_key", "index.bytes_per_key"},
    {"index_finds_total", NULL},
    {"index_probes_total", NULL},
    {"segments", NULL},
    {"disk_bytes", "disk_bytes"},
    {"dead_bytes", "dead_bytes"},
    {"last_version", "last_version"},
    {"durable_version", "durable_version"},
    {"queued_writes", "queue.writes"},
    {"queued_bytes", "queue.bytes"},
    {"commits_total", "commits.count"},
    {"commit_records_total", "commits.records"},
    {"commit_bytes_total", "commits.bytes"},
    {"cold_loads_total", "cold_loads"},
    {"scrubbed_bytes_total", "scrub.bytes"},
    {"scrub_passes_total", "scrub.passes"},
    {"degraded", NULL},
    {"damaged_records", "damage.records"},
    {"lost_keys", "damage.lost_keys"},
    {"lost_versions", "damage.lost_versions"},
    {"quarantined_files", "damage.quarantined"},
    {"read_faults_total", "scrub.read_faults"},
    {"disk_full", NULL},
    {"failed", NULL},
    {"compactions_total", "compaction.runs"},
    {"compaction_failures_total", "compaction.failures"},
    {"compaction_read_bytes_total", "compaction.bytes_read"},
    {"compaction_written_bytes_total", "compaction.bytes_written"},
    {"compaction_running", "compaction.running"},
    {"write_amplification", "compaction.write_amplification"},
    {"retired_bytes", "compaction.retired_bytes"},
    {"dropped_version", "compaction.dropped_version"},
};
#define FIGURES (sizeof(figures) / sizeof(figures[0]))

/* a number or a truth by its path; NAN if there is none */
static double stat_of(const json_t *json, const char *path)
{
    char name[64];
    for (const char *dot; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        snprintf(name, sizeof(name), "%.*s", (int)(dot - path), path);
        json = json_object_get(json, name);
    }
    json = json_object_get(json, path);
    if (json_is_boolean(json))
        return json_is_true(json);
    return json_is_number(json) ? json_number_value(json) : NAN;
}

/* the value of a sample without labels; NAN if there is none */
static double sample_of(const char *metrics, const char *family)
{
    char line[96];
    int bytes = snprintf(line, sizeof(line), "\ncairn_%s ", family);
    const char *at = strstr(metrics, line);
    return at != NULL ? strtod(at + bytes, NULL) : NAN;
}

static void do_something_of_everything(http_conn_t *conn)
{
    char target[32], *value = noise(10000, 7);
    for (int i = 0; i != 300; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/%d", i % 100);
        exchange_status(conn, "PUT", target, NULL, value, 10000);
    }
    free(value);
    CU_ASSERT_EQUAL(exchange_status(conn, "GET", "/v1/kv/1", NULL, NULL, 0), 200);
    CU_ASSERT_EQUAL(exchange_status(conn, "DELETE", "/v1/kv/1", NULL, NULL, 0), 204);
    CU_ASSERT_EQUAL(exchange_status(conn, "GET", "/v1/changes?limit=7", NULL, NULL, 0), 200);
    CU_ASSERT_EQUAL(exchange_status(conn, "POST", "/v1/admin/compact", NULL, NULL, 0), 202);
}

/* what both say with nothing between them; the caller ends both */
static json_t *look(http_conn_t *conn, http_response_t *metrics)
{
    http_response_t stats;
    exchange(conn, "GET", "/v1/stats", NULL, NULL, 0, &stats);
    exchange(conn, "GET", "/metrics", NULL, NULL, 0, metrics);
    json_t *json = json_loadb(stats.body, stats.body_bytes, JSON_REJECT_DUPLICATES, NULL);
    http_response_dispose(&stats);
    CU_ASSERT_PTR_NOT_NULL_FATAL(json);
    return json;
}

/* how many figures differ, of which the last is told; upkeep may still be at work */
static size_t differences(const json_t *stats, const char *metrics, size_t *last)
{
    size_t count = 0;
    for (size_t i = 0; i != FIGURES; ++i) {
        double sample = sample_of(metrics, figures[i].family);
        double stat = figures[i].path != NULL ? stat_of(stats, figures[i].path) : sample;
        if (isnan(sample) || isnan(stat) || fabs(sample - stat) > 1e-9 * fabs(sample)) {
            ++count;
            *last = i;
        }
    }
    return count;
}

static void both_say_the_same(void)
{
    http_conn_t conn;
    http_response_t metrics;
    size_t last = 0, count = 1;
    site_open(&site, &conn);
    do_something_of_everything(&conn);
    for (int64_t until = monotonic_ms() + 5000; count != 0 && monotonic_ms() < until;) {
        json_t *stats = look(&conn, &metrics);
        count = differences(stats, metrics.body, &last);
        if (count == 0)
            CU_ASSERT_EQUAL(sample_of(metrics.body, "segments"),
                            (double)json_array_size(json_object_get(stats, "segments")));
        json_decref(stats);
        http_response_dispose(&metrics);
    }
    if (count != 0)
        fprintf(stderr, "\n    %zu differ, one is %s", count, figures[last].family);
    CU_ASSERT_EQUAL(count, 0);
    http_close(&conn);
}

/* a figure that is new in /metrics has a place in /v1/stats too */
static void none_is_in_one_alone(void)
{
    http_conn_t conn;
    http_response_t metrics;
    site_open(&site, &conn);
    json_decref(look(&conn, &metrics));
    for (const char *at = metrics.body; (at = strstr(at, "# TYPE cairn_")) != NULL; ++at) {
        char family[64], type[16];
        CU_ASSERT_EQUAL_FATAL(sscanf(at, "# TYPE cairn_%63s %15s", family, type), 2);
        bool is_known = strcmp(type, "histogram") == 0 || strcmp(family, "requests_total") == 0;
        for (size_t i = 0; i != FIGURES && !is_known; ++i)
            is_known = strcmp(family, figures[i].family) == 0;
        if (!is_known)
            fprintf(stderr, "\n    %s", family);
        CU_ASSERT(is_known);
    }
    http_response_dispose(&metrics);
    http_close(&conn);
}

/* a large store has many, and whoever watches it asks again and again */
static void a_thousand_segments_do_not_hold_up_the_others(void)
{
    enum { SEGMENTS = 1000 };
    static const char *const extra[] = {"--storage.segment_bytes",
                                        "64KiB",
                                        "--limits.value_bytes",
                                        "32KiB",
                                        "--storage.durability",
                                        "async",
                                        "--workers",
                                        "1",
                                        NULL};
    site_t own;
    http_conn_t conn;
    http_response_t res;
    char target[32], *value = noise(32000, 3);
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_IN_MEMORY, extra), 0);
    site_open(&own, &conn);
    int worker = worker_cost_find(&conn, own.server.pid);
    for (int i = 0; i != SEGMENTS; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/%d", i);
        CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", target, NULL, value, 32000), 201);
    }
    free(value);
    exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    json_t *json = json_loadb(res.body, res.body_bytes, JSON_REJECT_DUPLICATES, NULL);
    const json_t *segments = json_object_get(json, "segments");
    CU_ASSERT(json_array_size(segments) >= SEGMENTS);
    CU_ASSERT_EQUAL(stat_of(json_array_get(segments, SEGMENTS / 2), "bytes") -
                        stat_of(json_array_get(segments, SEGMENTS / 2), "dead_bytes"),
                    stat_of(json_array_get(segments, SEGMENTS / 2), "live_bytes"));
    json_decref(json);
    http_response_dispose(&res);
    costed_t request = {"GET", "/v1/stats", NULL, 0, 200};
    worker_cost_t cost = worker_cost_of(&conn, own.server.pid, worker, &request);
    printf("\n    %.2f ms of the event loop ", (double)cost.worker_ns / 1e6);
    CU_ASSERT(WORKER_COST_MEANS_NOTHING || cost.worker_ns < 2000000);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

void suite_http_figures(void)
{
    CU_pSuite s = CU_add_suite("http_figures: /metrics beside /v1/stats", start, end);
    CU_add_test(s, "both say the same", both_say_the_same);
    CU_add_test(s, "no figure is in one of them alone", none_is_in_one_alone);
    CU_add_test(s, "a thousand segments do not hold up the others",
                a_thousand_segments_do_not_hold_up_the_others);
}

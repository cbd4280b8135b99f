/*
 * server/status.c - how the server is.
 */
#include "server/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "server/access_log.h"
#include "server/clock.h"
#include "server/json_text.h"
#include "server/pages.h"
#include "server/pending.h"
#include "server/reply.h"

/** segments fetched from the store at a time */
#define SEGMENTS_AT_ONCE 256

void cairn_status_reply_loading(h2o_req_t *req)
{
    const cairn_server_t *server = cairn_worker_of(req)->server;
    uint64_t done = atomic_load_explicit(&server->load_done, memory_order_relaxed);
    uint64_t total = atomic_load_explicit(&server->load_total, memory_order_relaxed);
    unsigned percent = total != 0 ? (unsigned)(done * 100 / total) : 0;
    cairn_reply_problem(req, CAIRN_PROBLEM_LOADING,
                        "the log is being replayed: %" PRIu64 " of %" PRIu64 " bytes, %u %%", done,
                        total, percent);
}

static void reply_ready(h2o_req_t *req)
{
    cairn_store_t *store = cairn_pending_store(req);
    if (store == NULL) {
        cairn_status_reply_loading(req);
        return;
    }
    if (cairn_store_has_failed(store)) {
        cairn_reply_err(req, CAIRN_ERR_FAILED);
        return;
    }
    cairn_damage_t damage;
    char why[CAIRN_ERRMSG_BYTES];
    cairn_store_damage(store, &damage);
    if (cairn_damage_text(&damage, why)) { /* it serves, all but what is damaged */
        h2o_iovec_t reason = h2o_strdup(&req->pool, why, SIZE_MAX);
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("cairn-state"), 0, NULL,
                              H2O_STRLIT("degraded"));
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("cairn-state-reason"), 0,
                              NULL, reason.base, reason.len);
    }
    cairn_reply_empty(req, 204, "No Content");
}

static void sum_metrics(const cairn_server_t *server, cairn_metrics_t *sum)
{
    memset(sum, 0, sizeof(*sum));
    for (size_t i = 0; i < server->worker_count; ++i)
        cairn_metrics_sum(sum, &server->workers[i]->metrics);
}

static uint64_t uptime_ms(const cairn_server_t *server)
{
    return cairn_monotonic_ms() - server->started_ms;
}

/* ---------------------------------------------------------------- /metrics */

/** one sample with its HELP and TYPE, as the Prometheus text format 0.0.4 wants them */
static void metric(FILE *out, const char *name, const char *type, const char *help, double value)
{
    fprintf(out, "# HELP cairn_%s %s\n# TYPE cairn_%s %s\ncairn_%s %.17g\n", name, help, name, type,
            name, value);
}

static void histogram(FILE *out, const char *name, const char *labels, const uint64_t *buckets,
                      size_t count, uint64_t sum_ns)
{
    uint64_t below = 0;
    const char *comma = labels[0] != '\0' ? "," : "";
    for (size_t i = 0; i + 1 < count; ++i) {
        below += buckets[i];
        fprintf(out, "cairn_%s_bucket{%s%sle=\"%.9g\"} %" PRIu64 "\n", name, labels, comma,
                (double)((uint64_t)1 << i) / 1e6, below);
    }
    below += buckets[count - 1];
    fprintf(out, "cairn_%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, below);
    fprintf(out, "cairn_%s_sum{%s} %.9f\n", name, labels, (double)sum_ns / 1e9);
    fprintf(out, "cairn_%s_count{%s} %" PRIu64 "\n", name, labels, below);
}

static uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void print_requests(FILE *out, const cairn_metrics_t *sum)
{
    fprintf(out, "# HELP cairn_requests_total Requests answered.\n"
                 "# TYPE cairn_requests_total counter\n");
    for (cairn_op_t op = 0; op < CAIRN_OP_COUNT; ++op)
        for (int c = 0; c < CAIRN_STATUS_CLASSES; ++c)
            fprintf(out, "cairn_requests_total{op=\"%s\",status=\"%dxx\"} %" PRIu64 "\n",
                    cairn_op_label(op), c + 1, value_of(&sum->requests[op][c]));
    fprintf(out, "# HELP cairn_request_seconds From the whole request to the end of its answer.\n"
                 "# TYPE cairn_request_seconds histogram\n");
    for (cairn_op_t op = 0; op < CAIRN_OP_COUNT; ++op) {
        uint64_t buckets[CAIRN_LATENCY_BUCKETS];
        char labels[32];
        for (size_t i = 0; i < CAIRN_LATENCY_BUCKETS; ++i)
            buckets[i] = value_of(&sum->latencies[op][i]);
        snprintf(labels, sizeof(labels), "op=\"%s\"", cairn_op_label(op));
        histogram(out, "request_seconds", labels, buckets, CAIRN_LATENCY_BUCKETS,
                  value_of(&sum->latency_ns_sum[op]));
    }
}

static double bytes_per_key(const cairn_store_stats_t *s)
{
    return s->keys != 0 ? (double)s->index_bytes / (double)s->keys : 0.0;
}

/** bytes written to disk for each byte logged; 1 where nothing has been rewritten */
static double write_amplification(const cairn_store_stats_t *s)
{
    if (s->commit_bytes == 0)
        return 1;
    return 1 + (double)s->compaction.bytes_written / (double)s->commit_bytes;
}

static void print_compaction(FILE *out, const cairn_store_stats_t *s)
{
    const cairn_compaction_stats_t *c = &s->compaction;
    metric(out, "compactions_total", "counter", "Times segments have been rewritten.",
           (double)c->runs);
    metric(out, "compaction_failures_total", "counter", "Times that did not go well.",
           (double)c->failures);
    metric(out, "compaction_read_bytes_total", "counter", "Bytes of segments that were rewritten.",
           (double)c->bytes_read);
    metric(out, "compaction_written_bytes_total", "counter",
           "Bytes of segments that took their place.", (double)c->bytes_written);
    metric(out, "compaction_running", "gauge", "1 while segments are being rewritten.",
           c->is_running);
    metric(out, "write_amplification", "gauge", "Bytes written by the log and compaction by log's.",
           write_amplification(s));
    metric(out, "retired_bytes", "gauge",
           "Bytes of segments that have been replaced and not yet been removed.",
           (double)c->retired_bytes);
    metric(out, "dropped_version", "gauge",
           "Highest version of a delete that is not kept any more.", (double)c->dropped_version);
}

static void print_damage(FILE *out, const cairn_damage_t *d)
{
    char why[CAIRN_ERRMSG_BYTES];
    metric(out, "degraded", "gauge", "1 while something of what is stored is damaged or lost.",
           cairn_damage_text(d, why));
    metric(out, "damaged_records", "gauge", "Records that scrubbing found damaged.",
           (double)d->records);
    metric(out, "lost_keys", "gauge", "Keys that had a value which is lost.", (double)d->lost_keys);
    metric(out, "lost_versions", "gauge", "Versions that are lost with their keys, at most.",
           (double)d->lost_versions);
    metric(out, "quarantined_files", "gauge", "Files in quarantine/ at the start.",
           (double)d->quarantined);
}

static void print_store(FILE *out, const cairn_store_stats_t *s)
{
    metric(out, "keys", "gauge", "Keys that have a value.", (double)s->keys);
    metric(out, "index_bytes", "gauge", "Memory of the index.", (double)s->index_bytes);
    metric(out, "index_slots", "gauge", "Keys the index's present tables could hold.",
           (double)s->index_slots);
    metric(out, "index_bytes_per_key", "gauge", "Memory of the index by keys.", bytes_per_key(s));
    metric(out, "index_finds_total", "counter", "Look-ups in the index, sampled.",
           (double)s->index_finds);
    metric(out, "index_probes_total", "counter", "Cache lines those looked at.",
           (double)s->index_probes);
    metric(out, "segments", "gauge", "Segment files.", (double)s->segments);
    metric(out, "disk_bytes", "gauge", "Bytes of records in the segments.", (double)s->disk_bytes);
    metric(out, "dead_bytes", "gauge", "Bytes of records that have been replaced or deleted.",
           (double)s->dead_bytes);
    metric(out, "last_version", "gauge", "Version of the newest write.", (double)s->last_version);
    metric(out, "durable_version", "gauge", "Version up to which all is on disk.",
           (double)s->durable_version);
    metric(out, "queued_writes", "gauge", "Writes waiting for the writer.", (double)s->queued_ops);
    metric(out, "queued_bytes", "gauge", "Bytes of their records.", (double)s->queued_bytes);
    metric(out, "commits_total", "counter", "Group commits.", (double)s->commits);
    metric(out, "commit_records_total", "counter", "Records in them.", (double)s->commit_records);
    metric(out, "commit_bytes_total", "counter", "Bytes in them.", (double)s->commit_bytes);
    metric(out, "cold_loads_total", "counter", "Records brought in from disk for a request.",
           (double)s->loads);
    metric(out, "scrubbed_bytes_total", "counter", "Bytes verified in the background.",
           (double)s->scrubbed_bytes);
    metric(out, "scrub_passes_total", "counter", "Passes over all sealed segments.",
           (double)s->scrub_passes);
    print_damage(out, &s->damage);
    metric(out, "read_faults_total", "counter", "Pages that the disk could not deliver.",
           (double)s->read_faults);
    metric(out, "disk_full", "gauge", "1 while no further segment can be made.", s->disk_full);
    metric(out, "failed", "gauge", "1 after a failed write or sync: read-only until restarted.",
           s->failed);
    print_compaction(out, s);
    fprintf(out, "# HELP cairn_sync_seconds Time the disk takes to sync the log.\n"
                 "# TYPE cairn_sync_seconds histogram\n");
    histogram(out, "sync_seconds", "", s->syncs, CAIRN_HISTOGRAM_BUCKETS, s->sync_ns_sum);
}

static void reply_metrics(h2o_req_t *req)
{
    const cairn_server_t *server = cairn_worker_of(req)->server;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) {
        cairn_reply_err(req, CAIRN_ERR_NOMEM);
        return;
    }
    cairn_metrics_t sum;
    sum_metrics(server, &sum);
    print_requests(out, &sum);
    metric(out, "connections", "gauge", "Open connections.",
           (double)value_of(&sum.connections_open));
    metric(out, "connections_total", "counter", "Connections accepted.",
           (double)value_of(&sum.connections_accepted));
    metric(out, "accept_failures_total", "counter",
           "Times no connection could be accepted for want of a descriptor.",
           (double)value_of(&sum.accept_failures));
    metric(out, "slow_readers_total", "counter", "Clients cut off for reading too slowly.",
           (double)value_of(&sum.slow_readers));
    metric(out, "bodies_refused_total", "counter",
           "Requests refused while their body was arriving, for want of memory.",
           (double)value_of(&sum.bodies_refused));
    metric(out, "value_bytes_in_total", "counter", "Bytes of values put.",
           (double)value_of(&sum.value_bytes_in));
    metric(out, "value_bytes_out_total", "counter", "Bytes of values sent.",
           (double)value_of(&sum.value_bytes_out));
    metric(out, "followers", "gauge", "Streams of changes, and requests that wait for one.",
           (double)value_of(&sum.followers_open));
    metric(out, "followers_dropped_total", "counter",
           "Streams of changes that were ended because the client did not read.",
           (double)value_of(&sum.followers_dropped));
    metric(out, "changes_sent_total", "counter", "Changes sent, to all together.",
           (double)value_of(&sum.changes_sent));
    metric(out, "access_log_dropped_total", "counter",
           "Lines of the access log that could not be written in time.",
           (double)cairn_access_log_dropped(server->access_log));
    metric(out, "uptime_seconds", "gauge", "Since the process began to serve.",
           (double)uptime_ms(server) / 1000);
    cairn_store_t *store = cairn_pending_store(req);
    metric(out, "ready", "gauge", "1 once the store is loaded.", store != NULL);
    if (store != NULL) {
        cairn_store_stats_t stats;
        cairn_store_stats(store, &stats);
        print_store(out, &stats);
    }
    fclose(out);
    cairn_reply_text(req, "text/plain; version=0.0.4; charset=utf-8", text, bytes);
    free(text);
}

/* ---------------------------------------------------------------- /v1/stats */

/** for an instant more may be dead than has been published */
static uint64_t live_of(uint64_t bytes, uint64_t dead_bytes)
{
    return bytes > dead_bytes ? bytes - dead_bytes : 0;
}

static void add_segment(cairn_json_text_t *text, const cairn_segment_info_t *info)
{
    const struct {
        const char *name;
        uint64_t number;
    } members[] = {
        {"\", \"first_version\": ", info->first_version},
        {", \"generation\": ", info->generation},
        {", \"bytes\": ", info->end},
        {", \"live_bytes\": ", live_of(info->end, info->dead_bytes)},
        {", \"dead_bytes\": ", info->dead_bytes},
    };
    cairn_json_text_add_raw(text, "    {\"name\": \"");
    cairn_json_text_add_raw(text, info->name);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); ++i) {
        cairn_json_text_add_raw(text, members[i].name);
        cairn_json_text_add_number(text, members[i].number);
    }
    cairn_json_text_add_raw(text, info->sealed ? ", \"sealed\": true}" : ", \"sealed\": false}");
}

/** as text at once: a large store has ten thousands of them, and the event loop makes this */
static void add_segments(cairn_json_text_t *text, cairn_store_t *store)
{
    cairn_segment_info_t *infos = h2o_mem_alloc(SEGMENTS_AT_ONCE * sizeof(*infos));
    size_t n, from = 0;
    cairn_json_text_add_raw(text, "[");
    while ((n = cairn_store_segments(store, from, infos, SEGMENTS_AT_ONCE)) != 0) {
        for (size_t i = 0; i < n; ++i) {
            cairn_json_text_add_raw(text, from + i == 0 ? "\n" : ",\n");
            add_segment(text, &infos[i]);
        }
        from += n;
    }
    cairn_json_text_add_raw(text, "]");
    free(infos);
}

static json_t *requests_json(const cairn_metrics_t *sum)
{
    json_t *requests = json_object();
    for (cairn_op_t op = 0; op < CAIRN_OP_COUNT; ++op) {
        json_t *classes = json_object();
        for (int c = 0; c < CAIRN_STATUS_CLASSES; ++c) {
            char name[] = {(char)('1' + c), 'x', 'x', '\0'};
            json_object_set_new(classes, name,
                                json_integer((json_int_t)value_of(&sum->requests[op][c])));
        }
        json_object_set_new(requests, cairn_op_label(op), classes);
    }
    return requests;
}

/** how many requests took less than each bound, and not less than the one before; the last: longer
 */
static json_t *latency_json(const cairn_metrics_t *sum)
{
    json_t *latency = json_object(), *bounds = json_array(), *all = json_object();
    json_t *seconds = json_object();
    for (size_t i = 0; i + 1 < CAIRN_LATENCY_BUCKETS; ++i)
        json_array_append_new(bounds, json_integer((json_int_t)1 << i));
    for (cairn_op_t op = 0; op < CAIRN_OP_COUNT; ++op) {
        json_t *buckets = json_array();
        for (size_t i = 0; i < CAIRN_LATENCY_BUCKETS; ++i)
            json_array_append_new(buckets,
                                  json_integer((json_int_t)value_of(&sum->latencies[op][i])));
        json_object_set_new(all, cairn_op_label(op), buckets);
        json_object_set_new(seconds, cairn_op_label(op),
                            json_real((double)value_of(&sum->latency_ns_sum[op]) / 1e9));
    }
    json_object_set_new(latency, "bounds_us", bounds);
    json_object_set_new(latency, "buckets", all);
    json_object_set_new(latency, "seconds", seconds);
    return latency;
}

static void set_count(json_t *json, const char *name, uint64_t count)
{
    json_object_set_new(json, name, json_integer((json_int_t)count));
}

/** memory of the process: all that is resident, files mapped included, and what is its own */
static json_t *memory_json(void)
{
    uint64_t resident = 0, shared = 0, page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL && fscanf(file, "%*u %" SCNu64 " %" SCNu64, &resident, &shared) != 2)
        resident = shared = 0;
    if (file != NULL)
        fclose(file);
    json_t *memory = json_object();
    set_count(memory, "resident_bytes", resident * page_bytes);
    set_count(memory, "own_bytes", (resident > shared ? resident - shared : 0) * page_bytes);
    return memory;
}

static json_t *compaction_json(const cairn_store_stats_t *s)
{
    const cairn_compaction_stats_t *c = &s->compaction;
    json_t *json = json_object();
    json_object_set_new(json, "asked", json_boolean(c->is_asked));
    json_object_set_new(json, "running", json_boolean(c->is_running));
    set_count(json, "runs", c->runs);
    set_count(json, "failures", c->failures);
    set_count(json, "bytes_read", c->bytes_read);
    set_count(json, "bytes_written", c->bytes_written);
    json_object_set_new(json, "write_amplification", json_real(write_amplification(s)));
    set_count(json, "retired_bytes", c->retired_bytes);
    set_count(json, "dropped_version", c->dropped_version);
    return json;
}

/** `why`: in words; empty where nothing is damaged */
static json_t *damage_json(const cairn_damage_t *d, const char *why)
{
    json_t *json = json_object();
    json_object_set_new(json, "reason", json_string(why));
    set_count(json, "records", d->records);
    set_count(json, "lost_keys", d->lost_keys);
    set_count(json, "lost_versions", d->lost_versions);
    set_count(json, "lost_first", d->lost_first);
    set_count(json, "lost_last", d->lost_last);
    set_count(json, "quarantined", d->quarantined);
    return json;
}

static json_t *stats_json(const cairn_server_t *server, cairn_store_t *store)
{
    cairn_store_stats_t s;
    cairn_metrics_t sum;
    char why[CAIRN_ERRMSG_BYTES];
    cairn_store_stats(store, &s);
    sum_metrics(server, &sum);
    json_t *json = json_object();
    bool is_degraded = cairn_damage_text(&s.damage, why);
    json_object_set_new(json, "state",
                        json_string(s.failed      ? "read_only"
                                    : s.disk_full ? "disk_full"
                                    : is_degraded ? "degraded"
                                                  : "ok"));
    json_object_set_new(json, "damage", damage_json(&s.damage, why));
    json_object_set_new(json, "scrub",
                        json_pack("{s:I, s:I, s:I, s:I}", "bytes", (json_int_t)s.scrubbed_bytes,
                                  "passes", (json_int_t)s.scrub_passes, "damaged",
                                  (json_int_t)s.damage.records, "read_faults",
                                  (json_int_t)s.read_faults));
    set_count(json, "uptime_ms", uptime_ms(server));
    set_count(json, "workers", server->worker_count);
    json_object_set_new(json, "in_memory", json_boolean(s.in_memory));
    set_count(json, "keys", s.keys);
    set_count(json, "last_version", s.last_version);
    set_count(json, "durable_version", s.durable_version);
    set_count(json, "disk_bytes", s.disk_bytes);
    set_count(json, "live_bytes", live_of(s.disk_bytes, s.dead_bytes));
    set_count(json, "dead_bytes", s.dead_bytes);
    json_object_set_new(
        json, "index",
        json_pack("{s:I, s:I, s:f, s:f, s:f}", "bytes", (json_int_t)s.index_bytes, "slots",
                  (json_int_t)s.index_slots, "bytes_per_key", bytes_per_key(&s), "load",
                  s.index_slots != 0 ? (double)s.keys / (double)s.index_slots : 0.0,
                  "probes_per_find",
                  s.index_finds != 0 ? (double)s.index_probes / (double)s.index_finds : 0.0));
    json_object_set_new(json, "queue",
                        json_pack("{s:I, s:I}", "writes", (json_int_t)s.queued_ops, "bytes",
                                  (json_int_t)s.queued_bytes));
    json_object_set_new(json, "commits",
                        json_pack("{s:I, s:I, s:I, s:f}", "count", (json_int_t)s.commits, "records",
                                  (json_int_t)s.commit_records, "bytes", (json_int_t)s.commit_bytes,
                                  "sync_seconds", (double)s.sync_ns_sum / 1e9));
    json_object_set_new(json, "compaction", compaction_json(&s));
    set_count(json, "cold_loads", s.loads);
    set_count(json, "connections", value_of(&sum.connections_open));
    set_count(json, "connections_accepted", value_of(&sum.connections_accepted));
    set_count(json, "accept_failures", value_of(&sum.accept_failures));
    set_count(json, "slow_readers", value_of(&sum.slow_readers));
    set_count(json, "bodies_refused", value_of(&sum.bodies_refused));
    set_count(json, "value_bytes_in", value_of(&sum.value_bytes_in));
    set_count(json, "value_bytes_out", value_of(&sum.value_bytes_out));
    set_count(json, "followers", value_of(&sum.followers_open));
    set_count(json, "followers_dropped", value_of(&sum.followers_dropped));
    set_count(json, "changes_sent", value_of(&sum.changes_sent));
    set_count(json, "access_log_dropped", cairn_access_log_dropped(server->access_log));
    json_object_set_new(json, "memory", memory_json());
    json_object_set_new(json, "requests", requests_json(&sum));
    json_object_set_new(json, "latency", latency_json(&sum));
    return json;
}

static void reply_stats(h2o_req_t *req)
{
    cairn_store_t *store = cairn_pending_store(req);
    if (store == NULL) {
        cairn_status_reply_loading(req);
        return;
    }
    json_t *json = stats_json(cairn_worker_of(req)->server, store);
    char *members = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    if (members == NULL) {
        cairn_reply_err(req, CAIRN_ERR_NOMEM);
        return;
    }
    cairn_json_text_t text = {.bytes = NULL};
    members[strlen(members) - strlen("\n}")] = '\0'; /* one more follows */
    cairn_json_text_add_raw(&text, members);
    cairn_json_text_add_raw(&text, ",\n  \"segments\": ");
    add_segments(&text, store);
    cairn_json_text_add_raw(&text, "\n}");
    cairn_reply_text(req, "application/json", text.bytes, text.count);
    cairn_json_text_dispose(&text);
    free(members);
}

/* ---------------------------------------------------------------- which one */

static void reply_alive(h2o_req_t *req)
{
    cairn_reply_empty(req, 204, "No Content");
}

bool cairn_status_handle(h2o_req_t *req, h2o_iovec_t path)
{
    static const struct {
        const char *path;
        void (*reply)(h2o_req_t *req);
    } pages[] = {
        {"/", cairn_pages_reply_front}, {"/dashboard", cairn_pages_reply_dashboard},
        {"/livez", reply_alive},        {"/readyz", reply_ready},
        {"/metrics", reply_metrics},    {"/v1/stats", reply_stats},
    };
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); ++i)
        if (h2o_memis(path.base, path.len, pages[i].path, strlen(pages[i].path))) {
            if (cairn_method_is(req, "GET") || cairn_method_is(req, "HEAD"))
                pages[i].reply(req);
            else
                cairn_reply_method_not_allowed(req, "GET, HEAD");
            return true;
        }
    return false;
}

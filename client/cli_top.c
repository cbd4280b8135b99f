/*
 * client/cli_top.c - top: what a server is doing, look after look.
 *
 * Counters and latency histograms come from /metrics; the difference of two looks gives rates and
 * percentiles of the time between them.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli_internal.h"
#include "client/cli_stats.h"

#define OPS_MAX 32
#define BUCKETS_MAX 64
#define SEGMENTS_SHOWN 8
#define CLEAR_SCREEN "\x1b[H\x1b[J"

/** one operation's counters, all since the server's start */
typedef struct st_op_t {
    char name[32];
    double count, errors;
    double below[BUCKETS_MAX]; /* requests that took at most limits[i] seconds */
    double limits[BUCKETS_MAX];
    size_t bucket_count;
} op_t;

typedef struct st_look_t {
    double at; /* by cli_now() */
    op_t ops[OPS_MAX];
    size_t op_count;
    double commits, records, sync_seconds;
} look_t;

static op_t *find_op(look_t *look, const char *name, size_t bytes)
{
    for (size_t i = 0; i < look->op_count; ++i)
        if (strlen(look->ops[i].name) == bytes && memcmp(look->ops[i].name, name, bytes) == 0)
            return &look->ops[i];
    if (look->op_count == OPS_MAX || bytes >= sizeof(look->ops[0].name))
        return NULL;
    op_t *op = &look->ops[look->op_count++];
    memcpy(op->name, name, bytes);
    return op;
}

/** the text of a label; NULL if the line has none of that name */
static const char *label(const char *line, const char *name, size_t *bytes)
{
    char pattern[40];
    snprintf(pattern, sizeof(pattern), "%s=\"", name);
    const char *found = strstr(line, pattern);
    if (found == NULL)
        return NULL;
    found += strlen(pattern);
    *bytes = strcspn(found, "\"");
    return found;
}

static void take_request_line(look_t *look, const char *line, double value)
{
    size_t op_bytes, bytes;
    const char *name = label(line, "op", &op_bytes);
    op_t *op = name != NULL ? find_op(look, name, op_bytes) : NULL;
    if (op == NULL)
        return;
    const char *status = label(line, "status", &bytes), *limit = label(line, "le", &bytes);
    if (strncmp(line, "cairn_requests_total{", strlen("cairn_requests_total{")) == 0) {
        op->count += value;
        if (status != NULL && status[0] == '5')
            op->errors += value;
    } else if (limit != NULL && op->bucket_count < BUCKETS_MAX) {
        op->limits[op->bucket_count] = strtod(limit, NULL); /* "+Inf" is infinite */
        op->below[op->bucket_count++] = value;
    }
}

static void take_metrics(look_t *look, char *text)
{
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        const char *space = strrchr(line, ' ');
        if (line[0] == '#' || space == NULL)
            continue;
        double value = strtod(space + 1, NULL);
        size_t name_bytes = strcspn(line, "{ ");
        if (strncmp(line, "cairn_request", strlen("cairn_request")) == 0)
            take_request_line(look, line, value);
        else if (strncmp(line, "cairn_commits_total", name_bytes) == 0)
            look->commits = value;
        else if (strncmp(line, "cairn_commit_records_total", name_bytes) == 0)
            look->records = value;
        else if (strncmp(line, "cairn_sync_seconds_sum", name_bytes) == 0)
            look->sync_seconds = value;
    }
}

static int take_look(cli_t *cli, look_t *look)
{
    char *text;
    memset(look, 0, sizeof(*look));
    int status = cli_result(cli, cli->db, cairn_client_fetch(cli->db, "/metrics", &text));
    look->at = cli_now();
    if (status == CLI_OK)
        take_metrics(look, text);
    free(text);
    return status;
}

/* ---------------------------------------------------------------- showing */

/** the time within which this share of the requests between two looks were answered */
static double percentile(const op_t *before, const op_t *now, double share)
{
    double total = 0;
    if (now->bucket_count == 0)
        return 0;
    size_t last = now->bucket_count - 1;
    total = now->below[last] - before->below[last];
    for (size_t i = 0; i < last; ++i)
        if (now->below[i] - before->below[i] >= total * share)
            return now->limits[i];
    return last > 0 ? now->limits[last - 1] : 0;
}

static void show_ops(look_t *before, const look_t *now)
{
    static const op_t none;
    double passed = now->at - before->at;
    printf("\n%-14s %14s %10s %10s %12s\n", "operation", "a second", "p50 <=", "p99 <=", "failed");
    for (size_t i = 0; i < now->op_count; ++i) {
        const op_t *op = &now->ops[i], *old = find_op(before, op->name, strlen(op->name));
        if (old == NULL)
            old = &none;
        if (op->count == 0)
            continue;
        bool is_idle = op->count == old->count;
        printf("%-14s %14s %10s %10s %12s\n", op->name,
               cli_count_text((op->count - old->count) / passed),
               is_idle ? "-" : cli_time_text(percentile(old, op, 0.50)),
               is_idle ? "-" : cli_time_text(percentile(old, op, 0.99)),
               cli_count_text(op->errors - old->errors));
    }
    double commits = now->commits - before->commits;
    if (commits > 0)
        printf("%-14s %14s    %.1f writes each, %s of syncs each\n", "commits",
               cli_count_text(commits / passed), (now->records - before->records) / commits,
               cli_time_text((now->sync_seconds - before->sync_seconds) / commits));
}

static int more_dead(const void *a, const void *b)
{
    double left = cli_stats_number(*(json_t *const *)a, NULL, "dead_bytes");
    double right = cli_stats_number(*(json_t *const *)b, NULL, "dead_bytes");
    return left < right ? 1 : left > right ? -1 : 0;
}

/** the segments with most that is dead */
static void show_segments(const json_t *stats)
{
    const json_t *list = json_object_get(stats, "segments");
    size_t count = json_array_size(list);
    json_t **sorted = malloc((count + 1) * sizeof(*sorted));
    for (size_t i = 0; sorted != NULL && i < count; ++i)
        sorted[i] = json_array_get(list, i);
    if (sorted == NULL)
        return;
    qsort(sorted, count, sizeof(*sorted), more_dead);
    printf("\n%-34s %12s %12s\n", "segment", "bytes", "dead");
    for (size_t i = 0; i < count && i < SEGMENTS_SHOWN; ++i)
        printf("%-34s %12s %12s\n", json_string_value(json_object_get(sorted[i], "name")),
               cli_bytes_text(cli_stats_number(sorted[i], NULL, "bytes")),
               cli_bytes_text(cli_stats_number(sorted[i], NULL, "dead_bytes")));
    if (count > SEGMENTS_SHOWN)
        printf("and %zu more\n", count - SEGMENTS_SHOWN);
    free(sorted);
}

/** what happened between two looks, on a line: operations that there were, and commits */
static int print_json(look_t *before, const look_t *now, const json_t *stats)
{
    static const op_t none;
    double passed = now->at - before->at;
    json_t *ops = json_object();
    for (size_t i = 0; i < now->op_count; ++i) {
        const op_t *op = &now->ops[i], *old = find_op(before, op->name, strlen(op->name));
        if (old == NULL)
            old = &none;
        if (op->count > old->count)
            json_object_set_new(ops, op->name,
                                json_pack("{s:f, s:f, s:f, s:I}", "per_second",
                                          (op->count - old->count) / passed, "p50_seconds",
                                          percentile(old, op, 0.50), "p99_seconds",
                                          percentile(old, op, 0.99), "failed",
                                          (json_int_t)(op->errors - old->errors)));
    }
    json_t *line =
        json_pack("{s:f, s:I, s:I, s:I, s:f, s:f, s:o}", "seconds", passed, "keys",
                  (json_int_t)cli_stats_number(stats, NULL, "keys"), "disk_bytes",
                  (json_int_t)cli_stats_number(stats, NULL, "disk_bytes"), "live_bytes",
                  (json_int_t)cli_stats_number(stats, NULL, "live_bytes"), "commits_per_second",
                  (now->commits - before->commits) / passed, "writes_per_second",
                  (now->records - before->records) / passed, "operations", ops);
    bool is_printed = line != NULL && json_dumpf(line, stdout, JSON_COMPACT) == 0 &&
                      putchar('\n') != EOF && fflush(stdout) == 0;
    json_decref(line);
    return is_printed ? CLI_OK : CLI_FAILED;
}

/** draws the screen, or adds to what is written */
static int print_screen(look_t *before, const look_t *now, const json_t *stats)
{
    if (isatty(STDOUT_FILENO) == 1)
        fputs(CLEAR_SCREEN, stdout);
    cli_stats_print_summary(stats);
    show_ops(before, now);
    show_segments(stats);
    fflush(stdout);
    return ferror(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

static int show(cli_t *cli, look_t *before, const look_t *now)
{
    int status;
    json_t *stats = cli_stats_fetch(cli, &status);
    if (stats == NULL)
        return status;
    status =
        cli_has(cli, CLI_JSON) ? print_json(before, now, stats) : print_screen(before, now, stats);
    json_decref(stats);
    return status;
}

int cli_top(cli_t *cli)
{
    static look_t looks[2]; /* large for a stack */
    uint64_t interval_ms = 1000, count = UINT64_MAX;
    if (!cli_time_ms(cli, CLI_INTERVAL, &interval_ms) || !cli_number(cli, CLI_COUNT, &count))
        return CLI_USAGE;
    cli_catch_signals();
    int status = take_look(cli, &looks[0]);
    for (uint64_t i = 1; status == CLI_OK && i <= count && !cli_is_interrupted(); ++i) {
        nanosleep(&(struct timespec){.tv_sec = (time_t)(interval_ms / 1000),
                                     .tv_nsec = (long)(interval_ms % 1000) * 1000000},
                  NULL);
        status = take_look(cli, &looks[i % 2]);
        if (status == CLI_OK)
            status = show(cli, &looks[(i + 1) % 2], &looks[i % 2]);
    }
    return status;
}

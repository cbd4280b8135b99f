/*
 * client/cli_admin.c - looking after a server: snapshot, compact, stats.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "client/cli_internal.h"
#include "client/cli_stats.h"

int cli_snapshot(cli_t *cli)
{
    char now[40], *answer;
    time_t seconds = time(NULL);
    struct tm parts;
    strftime(now, sizeof(now), "%Y%m%dT%H%M%SZ", gmtime_r(&seconds, &parts));
    const char *name = cli->arg_count != 0 ? cli->args[0] : now;
    int status = cli_result(cli, cli->db, cairn_snapshot(cli->db, name, &answer));
    if (status == CLI_OK && cli_has(cli, CLI_JSON))
        printf("%s\n", answer);
    else if (status == CLI_OK)
        printf("snapshot %s: in snapshots/%s of the server's data directory\n"
               "copy it away, or 'cairn restore' it into an empty directory\n",
               name, name);
    free(answer);
    return status;
}

/* ---------------------------------------------------------------- stats */

json_t *cli_stats_fetch(cli_t *cli, int *status)
{
    char *text;
    *status = cli_result(cli, cli->db, cairn_client_fetch(cli->db, "/v1/stats", &text));
    json_t *stats = text != NULL ? json_loads(text, 0, NULL) : NULL;
    free(text);
    if (*status == CLI_OK && !json_is_object(stats)) {
        json_decref(stats);
        stats = NULL;
        *status = cli_failure(cli, "the server's stats are no JSON object");
    }
    return stats;
}

double cli_stats_number(const json_t *stats, const char *group, const char *name)
{
    const json_t *object = group != NULL ? json_object_get(stats, group) : stats;
    return json_number_value(json_object_get(object, name));
}

static double share_of(double part, double whole)
{
    return whole > 0 ? part * 100 / whole : 100;
}

static void print_requests(const json_t *stats)
{
    const char *op;
    json_t *classes;
    json_object_foreach(json_object_get(stats, "requests"), op, classes)
    {
        double good =
            cli_stats_number(classes, NULL, "2xx") + cli_stats_number(classes, NULL, "3xx");
        double refused = cli_stats_number(classes, NULL, "4xx");
        double failed = cli_stats_number(classes, NULL, "5xx");
        if (good + refused + failed > 0)
            printf("  %-14s %14s ok %12s refused %9s failed\n", op, cli_count_text(good),
                   cli_count_text(refused), cli_count_text(failed));
    }
}

void cli_stats_print_summary(const json_t *stats)
{
    double disk = cli_stats_number(stats, NULL, "disk_bytes");
    double live = cli_stats_number(stats, NULL, "live_bytes");
    printf("state        %s, up %s, %s\n", json_string_value(json_object_get(stats, "state")),
           cli_time_text(cli_stats_number(stats, NULL, "uptime_ms") / 1000),
           json_is_true(json_object_get(stats, "in_memory")) ? "in memory" : "on disk");
    printf("keys         %s\n", cli_count_text(cli_stats_number(stats, NULL, "keys")));
    printf("values       %s in %zu segments, %.0f %% of it live\n", cli_bytes_text(disk),
           json_array_size(json_object_get(stats, "segments")), share_of(live, disk));
    if (cli_stats_number(stats, "compaction", "runs") > 0)
        printf("compactions  %s, %s rewritten as %s; %.2f bytes written for one\n",
               cli_count_text(cli_stats_number(stats, "compaction", "runs")),
               cli_bytes_text(cli_stats_number(stats, "compaction", "bytes_read")),
               cli_bytes_text(cli_stats_number(stats, "compaction", "bytes_written")),
               cli_stats_number(stats, "compaction", "write_amplification"));
    printf("index        %s", cli_bytes_text(cli_stats_number(stats, "index", "bytes")));
    /* of a few keys it says nothing: the smallest index has room for many */
    if (cli_stats_number(stats, NULL, "keys") >= 100000)
        printf(", %.1f bytes a key", cli_stats_number(stats, "index", "bytes_per_key"));
    putchar('\n');
    printf("versions     %.0f is the newest, %.0f on disk\n",
           cli_stats_number(stats, NULL, "last_version"),
           cli_stats_number(stats, NULL, "durable_version"));
    printf("queue        %s writes, %s\n",
           cli_count_text(cli_stats_number(stats, "queue", "writes")),
           cli_bytes_text(cli_stats_number(stats, "queue", "bytes")));
}

static void print_commits(const json_t *stats)
{
    double commits = cli_stats_number(stats, "commits", "count");
    if (commits > 0)
        printf("commits      %s, %.1f writes each, %s of syncs each\n", cli_count_text(commits),
               cli_stats_number(stats, "commits", "records") / commits,
               cli_time_text(cli_stats_number(stats, "commits", "sync_seconds") / commits));
}

int cli_stats(cli_t *cli)
{
    int status;
    json_t *stats = cli_stats_fetch(cli, &status);
    if (stats == NULL)
        return status;
    if (cli_has(cli, CLI_JSON)) {
        json_dumpf(stats, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        cli_stats_print_summary(stats);
        print_commits(stats);
        printf("connections  %s\n", cli_count_text(cli_stats_number(stats, NULL, "connections")));
        printf("requests\n");
        print_requests(stats);
    }
    json_decref(stats);
    return status;
}

/* ---------------------------------------------------------------- compact */

/** what a server's compaction has done since its start */
typedef struct st_compaction_t {
    double runs, failures, bytes_read, bytes_written;
    bool is_under_way;
} compaction_t;

static int look_at_compaction(cli_t *cli, compaction_t *look)
{
    int status;
    json_t *stats = cli_stats_fetch(cli, &status);
    const json_t *compaction = json_object_get(stats, "compaction");
    *look = (compaction_t){
        .runs = cli_stats_number(compaction, NULL, "runs"),
        .failures = cli_stats_number(compaction, NULL, "failures"),
        .bytes_read = cli_stats_number(compaction, NULL, "bytes_read"),
        .bytes_written = cli_stats_number(compaction, NULL, "bytes_written"),
        .is_under_way = json_is_true(json_object_get(compaction, "asked")) ||
                        json_is_true(json_object_get(compaction, "running")),
    };
    json_decref(stats);
    return status;
}

/** until it has been done, or cannot be; `*now` is what it came to */
static int follow_compaction(cli_t *cli, const compaction_t *before, compaction_t *now)
{
    static const struct timespec interval = {.tv_nsec = 200000000};
    compaction_t shown = *before;
    cli_progress_t progress;
    int status;
    cli_progress_begin(cli, &progress, "compactions", 0);
    while ((status = look_at_compaction(cli, now)) == CLI_OK) {
        cli_progress_add(&progress, (uint64_t)(now->runs - shown.runs),
                         (uint64_t)(now->bytes_read - shown.bytes_read));
        shown = *now;
        if (!now->is_under_way || now->failures > before->failures)
            break;
        nanosleep(&interval, NULL);
    }
    if (status == CLI_OK)
        cli_progress_end(&progress);
    return status;
}

int cli_compact(cli_t *cli)
{
    compaction_t before, now;
    int status = look_at_compaction(cli, &before);
    if (status == CLI_OK)
        status = cli_result(cli, cli->db, cairn_compact(cli->db));
    if (status == CLI_OK)
        status = follow_compaction(cli, &before, &now);
    if (status != CLI_OK)
        return status;
    if (now.failures > before.failures)
        return cli_failure(cli, "a compaction has failed; the server's log says why");
    double read = now.bytes_read - before.bytes_read;
    double written = now.bytes_written - before.bytes_written;
    if (cli_has(cli, CLI_JSON))
        printf("{\"runs\":%.0f,\"bytes_read\":%.0f,\"bytes_written\":%.0f}\n",
               now.runs - before.runs, read, written);
    else
        printf("%s of segments have been rewritten as %s\n", cli_bytes_text(read),
               cli_bytes_text(written));
    return CLI_OK;
}

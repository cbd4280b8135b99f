/*
 * client/cli_plan.c - plan: what a store of some size will take, from what has been measured.
 *
 * bench/plan.sh puts it beside stores that are filled, stopped, killed and started.
 */
#include <inttypes.h>

#include <jansson.h>

#include "client/cli_internal.h"

/* a record on disk (docs/FORMAT.md): its head, the meta of a value with a short content type, and
 * padding to this */
#define HEAD_BYTES 48
#define META_BYTES 28
#define ALIGNMENT 8
/* an entry of a segment's key table, beside the key itself, measured */
#define TABLE_ENTRY_BYTES 32
/* compaction keeps at least so much of the disk live */
#define LIVE_SHARE 0.67
/* always on the disk (storage.segment_bytes each): the segment that waits to follow the newest, and
 * the reserve that compaction works in when the disk is full */
#define SPARE_BYTES (2.0 * 64 * 1024 * 1024)
/* a process with an empty store, 9 MiB, and what requests and the making of a segment's key table
 * leave behind: 23 to 27 MiB after a load of one to five million keys */
#define PROCESS_BYTES (24.0 * 1024 * 1024)
/* a start: reading and verifying the index from index.ckpt (docs/INDEX.md), and replaying at most
 * so much of the log (storage.checkpoint_bytes), 50 to 130 MB a second */
#define INDEX_BYTES_PER_SECOND 2.0e9
#define REPLAY_BYTES_MOST (256.0 * 1024 * 1024)
#define REPLAY_BYTES_PER_SECOND 100e6
/* opening files, binding the port: 0.15 to 0.3 */
#define START_SECONDS 0.25

typedef struct st_plan_t {
    double keys, key_bytes, value_bytes;
    double index_bytes, index_worst_bytes;
    double record_bytes, disk_bytes, disk_most_bytes;
    double start_seconds, crash_seconds;
} plan_t;

/** bytes of index a key: on average, and at the worst moment of growth (docs/INDEX.md) */
static void index_costs(double keys, double *average, double *worst)
{
    static const struct {
        double keys, average, worst;
    } measured[] = {{2e6, 11.88, 14.61}, {2e7, 10.56, 12.27}, {7e7, 10.19, 10.99}};
    *average = 10.13;
    *worst = 10.84;
    for (size_t i = 0; i < sizeof(measured) / sizeof(measured[0]); ++i)
        if (keys <= measured[i].keys) {
            *average = measured[i].average;
            *worst = measured[i].worst;
            return;
        }
}

static void make_plan(plan_t *plan)
{
    double average, worst;
    index_costs(plan->keys, &average, &worst);
    plan->index_bytes = plan->keys * average;
    plan->index_worst_bytes = plan->keys * worst;
    uint64_t record = (uint64_t)(HEAD_BYTES + META_BYTES + plan->key_bytes + plan->value_bytes);
    plan->record_bytes = (double)((record + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    double segments = plan->keys * (plan->record_bytes + TABLE_ENTRY_BYTES + plan->key_bytes);
    plan->disk_bytes = segments + plan->index_bytes + SPARE_BYTES;
    /* a new index.ckpt is written beside the old one */
    plan->disk_most_bytes = segments / LIVE_SHARE + 2 * plan->index_worst_bytes + SPARE_BYTES;
    double replay = plan->keys * plan->record_bytes;
    if (replay > REPLAY_BYTES_MOST)
        replay = REPLAY_BYTES_MOST;
    plan->start_seconds = START_SECONDS + plan->index_bytes / INDEX_BYTES_PER_SECOND;
    plan->crash_seconds = plan->start_seconds + replay / REPLAY_BYTES_PER_SECOND;
}

static void print_json(const plan_t *plan)
{
    json_t *json = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "index_bytes", (json_int_t)plan->index_bytes,
        "memory_bytes", (json_int_t)(plan->index_worst_bytes + PROCESS_BYTES), "record_bytes",
        (json_int_t)plan->record_bytes, "disk_bytes", (json_int_t)plan->disk_bytes,
        "disk_most_bytes", (json_int_t)plan->disk_most_bytes, "start_seconds", plan->start_seconds,
        "crash_seconds", plan->crash_seconds);
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

static void print_plan(const plan_t *plan)
{
    printf("%s keys of %s, values of %s\n\n", cli_count_text(plan->keys),
           cli_bytes_text(plan->key_bytes), cli_bytes_text(plan->value_bytes));
    printf("memory     %s: the index has %s (up to %s while it grows), the rest %s\n",
           cli_bytes_text(plan->index_worst_bytes + PROCESS_BYTES),
           cli_bytes_text(plan->index_bytes), cli_bytes_text(plan->index_worst_bytes),
           cli_bytes_text(PROCESS_BYTES));
    printf("           more memory is cache: with %s, every read is from memory\n",
           cli_bytes_text(plan->disk_bytes + plan->index_worst_bytes + PROCESS_BYTES));
    printf("disk       %s: records of %s, key tables, the index, and %s that\n"
           "           are always kept ready; up to %s when values are replaced\n",
           cli_bytes_text(plan->disk_bytes), cli_bytes_text(plan->record_bytes),
           cli_bytes_text(SPARE_BYTES), cli_bytes_text(plan->disk_most_bytes));
    printf("start-up   %s after a stop in order, %s at most after a crash, from warm files;\n"
           "           a cold disk adds the time to read %s\n",
           cli_time_text(plan->start_seconds), cli_time_text(plan->crash_seconds),
           cli_bytes_text(plan->index_bytes));
    puts("\nMeasured on two cores that were shared with other work: make bench-plan compares.");
}

int cli_plan(cli_t *cli)
{
    uint64_t keys = 0, key_bytes = 32, value_bytes = 1024;
    if (!cli_has(cli, CLI_KEYS))
        return cli_usage_error(cli, "how many keys? --keys 10M");
    if (!cli_number(cli, CLI_KEYS, &keys) || !cli_size(cli, CLI_KEY_BYTES, &key_bytes) ||
        !cli_size(cli, CLI_VALUE_BYTES, &value_bytes))
        return CLI_USAGE;
    if (keys == 0 || key_bytes == 0 || key_bytes > 2048)
        return cli_usage_error(cli, "a key has 1 to 2,048 bytes, and there is at least one");
    plan_t plan = {
        .keys = (double)keys, .key_bytes = (double)key_bytes, .value_bytes = (double)value_bytes};
    make_plan(&plan);
    if (cli_has(cli, CLI_JSON))
        print_json(&plan);
    else
        print_plan(&plan);
    return CLI_OK;
}

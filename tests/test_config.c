/*
 * The config: what a scratch_file(), a flag and a default may say, and what the server answers when
 * they say something else. Messages are compared whole: they are what a person has to go by.
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "tests/scratch.h"

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static char errmsg[CAIRN_CONFIG_ERRMSG_BYTES];

/* Loads the text as a scratch_file(); the config stays for the caller. "" or the message. */
static const char *load(cairn_config_t *config, const char *yaml)
{
    scratch_write(yaml, strlen(yaml));
    errmsg[0] = '\0';
    cairn_config_init(config);
    if (cairn_config_load(config, scratch_file(), errmsg, sizeof(errmsg)) &&
        cairn_config_finish(config, errmsg, sizeof(errmsg)))
        return "";
    CU_ASSERT_NOT_EQUAL(errmsg[0], '\0');
    return scratch_bare(errmsg);
}

static const char *outcome(const char *yaml)
{
    cairn_config_t config;
    const char *message = load(&config, yaml);
    cairn_config_dispose(&config);
    return message;
}

/* Sets one flag on the defaults. "" or the message. */
static const char *set(const char *key, const char *value)
{
    cairn_config_t config;
    bool is_good;

    errmsg[0] = '\0';
    cairn_config_init(&config);
    is_good = cairn_config_set(&config, key, value, errmsg, sizeof(errmsg));
    cairn_config_dispose(&config);
    CU_ASSERT_EQUAL(is_good, errmsg[0] == '\0');
    return errmsg;
}

/* ---- values ---- */

static void without_a_word_defaults_hold(void)
{
    cairn_config_t config;
    cpu_set_t cores;

    CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(cores), &cores), 0);
    CU_ASSERT_STRING_EQUAL(load(&config, ""), "");
    CU_ASSERT_STRING_EQUAL(config.listen, "127.0.0.1:8080");
    CU_ASSERT_EQUAL(config.workers, (uint64_t)CPU_COUNT(&cores));
    CU_ASSERT_STRING_EQUAL(config.storage_path, "./data");
    CU_ASSERT_EQUAL(config.storage_segment_bytes, 64 * MIB);
    CU_ASSERT_EQUAL(config.storage_durability, CAIRN_DURABILITY_SYNC);
    CU_ASSERT_EQUAL(config.storage_sync_interval_ms, 100);
    CU_ASSERT_EQUAL(config.storage_max_bytes, 0);
    CU_ASSERT_EQUAL(config.storage_tombstone_retention_ms, 3600 * 1000);
    CU_ASSERT_EQUAL(config.storage_io_threads, 4);
    CU_ASSERT_EQUAL(config.limits_value_bytes, 16 * MIB);
    CU_ASSERT_EQUAL(config.limits_connections, 16384);
    CU_ASSERT_EQUAL(config.limits_queue_ops, 65536);
    CU_ASSERT_EQUAL(config.limits_queue_bytes, 256 * MIB);
    CU_ASSERT_EQUAL(config.limits_idle_timeout_ms, 60000);
    CU_ASSERT_EQUAL(config.limits_shutdown_timeout_ms, 10000);
    CU_ASSERT_EQUAL(config.log_level, CAIRN_LOG_INFO);
    CU_ASSERT_EQUAL(config.log_access, CAIRN_ACCESS_LOG_OFF);
    CU_ASSERT_STRING_EQUAL(config.log_file, "-");
    CU_ASSERT_EQUAL(config.token_count, 0);
    cairn_config_dispose(&config);
}

static void every_key_of_a_file_arrives(void)
{
    cairn_config_t config;

    CU_ASSERT_TRUE(same(load(&config, "listen: \"[::1]:0\"\n"
                                      "workers: 3\n"
                                      "storage:\n"
                                      "  path: \":memory:\"\n"
                                      "  segment_bytes: 1MiB\n"
                                      "  durability: async\n"
                                      "  sync_interval: 2s\n"
                                      "  max_bytes: 3GB\n"
                                      "  tombstone_retention: 90m\n"
                                      "  io_threads: 7\n"
                                      "limits:\n"
                                      "  value_bytes: 10kB\n"
                                      "  connections: 100\n"
                                      "  queue_ops: 50\n"
                                      "  queue_bytes: 2MB\n"
                                      "  idle_timeout: 1h\n"
                                      "  shutdown_timeout: 0ms\n"
                                      "log:\n"
                                      "  level: warning\n"
                                      "  access: json\n"
                                      "  file: a.log\n"),
                        ""));
    CU_ASSERT_STRING_EQUAL(config.listen, "[::1]:0");
    CU_ASSERT_EQUAL(config.workers, 3);
    CU_ASSERT_STRING_EQUAL(config.storage_path, ":memory:");
    CU_ASSERT_EQUAL(config.storage_segment_bytes, MIB);
    CU_ASSERT_EQUAL(config.storage_durability, CAIRN_DURABILITY_ASYNC);
    CU_ASSERT_EQUAL(config.storage_sync_interval_ms, 2000);
    CU_ASSERT_EQUAL(config.storage_max_bytes, 3000000000);
    CU_ASSERT_EQUAL(config.storage_tombstone_retention_ms, 90 * 60 * 1000);
    CU_ASSERT_EQUAL(config.storage_io_threads, 7);
    CU_ASSERT_EQUAL(config.limits_value_bytes, 10000);
    CU_ASSERT_EQUAL(config.limits_connections, 100);
    CU_ASSERT_EQUAL(config.limits_queue_ops, 50);
    CU_ASSERT_EQUAL(config.limits_queue_bytes, 2000000);
    CU_ASSERT_EQUAL(config.limits_idle_timeout_ms, 3600000);
    CU_ASSERT_EQUAL(config.limits_shutdown_timeout_ms, 0);
    CU_ASSERT_EQUAL(config.log_level, CAIRN_LOG_WARNING);
    CU_ASSERT_EQUAL(config.log_access, CAIRN_ACCESS_LOG_JSON);
    CU_ASSERT_STRING_EQUAL(config.log_file, "a.log");
    cairn_config_dispose(&config);
}

static void files_that_say_nothing_are_good(void)
{
    CU_ASSERT_TRUE(same(outcome("# only a comment\n"), ""));
    CU_ASSERT_TRUE(same(outcome("---\n...\n"), ""));
    CU_ASSERT_TRUE(same(outcome("{}\n"), ""));
    CU_ASSERT_TRUE(same(outcome("storage:\nlimits:\n  # value_bytes: 1MiB\n"), ""));
}

static void limits_are_inclusive(void)
{
    static const struct {
        const char *key, *least, *below, *most, *above, *allowed;
    } rows[] = {
        {"workers", "1", "0", "256", "257", "auto or 1 to 256"},
        {"storage.segment_bytes", "64KiB", "65535", "4GiB", "4294967297", "64KiB to 4GiB"},
        {"storage.sync_interval", "1ms", "0ms", "1m", "60001ms", "1ms to 1m"},
        {"storage.max_bytes", "0B", NULL, "1024TiB", "1025TiB", "0B to 1024TiB"},
        {"storage.tombstone_retention", "0ms", NULL, "365d", "366d", "0ms to 365d"},
        {"storage.io_threads", "1", "0", "64", "65", "1 to 64"},
        {"limits.value_bytes", "1B", "0B", "1GiB", "1073741825B", "1B to 1GiB"},
        {"limits.connections", "1", "0", "1000000", "1000001", "1 to 1000000"},
        {"limits.queue_ops", "1", "0", "10000000", "10000001", "1 to 10000000"},
        {"limits.queue_bytes", "1MiB", "1MB", "64GiB", "65GiB", "1MiB to 64GiB"},
        {"limits.body_bytes", "1MiB", "1MB", "64GiB", "65GiB", "1MiB to 64GiB"},
        {"limits.read_rate", "0B", NULL, "1GiB", "1073741825B", "0B to 1GiB"},
        {"limits.idle_timeout", "100ms", "99ms", "1h", "61m", "100ms to 1h"},
        {"limits.shutdown_timeout", "0ms", NULL, "10m", "11m", "0ms to 10m"},
    };
    char expected[256];

    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        CU_ASSERT_TRUE(same(set(rows[i].key, rows[i].least), ""));
        CU_ASSERT_TRUE(same(set(rows[i].key, rows[i].most), ""));
        sprintf(expected, "--%s: \"%s\" is out of range; %s is allowed", rows[i].key, rows[i].above,
                rows[i].allowed);
        CU_ASSERT_TRUE(same(set(rows[i].key, rows[i].above), expected));
        if (rows[i].below == NULL)
            continue;
        sprintf(expected, "--%s: \"%s\" is out of range; %s is allowed", rows[i].key, rows[i].below,
                rows[i].allowed);
        CU_ASSERT_TRUE(same(set(rows[i].key, rows[i].below), expected));
    }
}

static void a_number_past_64_bits_is_out_of_range(void)
{
    CU_ASSERT_TRUE(same(set("limits.value_bytes", "99999999999999999999"),
                        "--limits.value_bytes: \"99999999999999999999\" is out of range; "
                        "1B to 1GiB is allowed"));
}

static void words_that_are_no_value_are_refused(void)
{
    char path[PATH_MAX + 1] = "";

    CU_ASSERT_TRUE(same(set("workers", "many"), "--workers: \"many\" is not a count; "
                                                "write for example auto (auto or 1 to 256)"));
    CU_ASSERT_TRUE(same(set("limits.connections", "1k"), "--limits.connections: \"1k\" is not a "
                                                         "count; write for example 16384 "
                                                         "(1 to 1000000)"));
    CU_ASSERT_TRUE(same(set("limits.connections", "auto"),
                        "--limits.connections: \"auto\" is not a count; "
                        "write for example 16384 (1 to 1000000)"));
    CU_ASSERT_TRUE(same(set("storage.sync_interval", "soon"),
                        "--storage.sync_interval: \"soon\" is not a time; "
                        "write for example 100ms (1ms to 1m)"));
    CU_ASSERT_TRUE(same(set("storage.sync_interval", "100"),
                        "--storage.sync_interval: \"100\" has no unit (ms, s, m, h, d); "
                        "write for example 100ms (1ms to 1m)"));
    CU_ASSERT_TRUE(same(set("storage.durability", "fast"),
                        "--storage.durability: \"fast\" is not a durability; "
                        "write sync or async"));
    CU_ASSERT_TRUE(same(set("listen", "localhost"),
                        "--listen: \"localhost\" has no port; write HOST:PORT, [IPv6]:PORT, "
                        ":PORT or unix:/PATH, for example 127.0.0.1:8080"));
    CU_ASSERT_TRUE(same(set("storage.path", ""), "--storage.path: \"\" is empty; write a "
                                                 "directory, for example ./data, or :memory:"));
    CU_ASSERT_TRUE(same(set("log.access", "on"),
                        "--log.access: \"on\" is not a format; write off or common or json"));
    CU_ASSERT_TRUE(same(set("log.level", "debug"),
                        "--log.level: \"debug\" is not a level; write error or warning or info"));
    CU_ASSERT_TRUE(same(set("log.file", ""),
                        "--log.file: \"\" is empty; "
                        "write a file, for example /var/log/cairn-access.log, or -"));
    memset(path, 'p', PATH_MAX);
    CU_ASSERT_PTR_NOT_NULL(strstr(set("storage.path", path), "is longer than any path can be"));
    path[PATH_MAX - 1] = '\0';
    CU_ASSERT_TRUE(same(set("storage.path", path), ""));
}

/* ---- files that are refused ---- */

static void a_wrong_value_is_named_with_its_line(void)
{
    CU_ASSERT_TRUE(same(outcome("# one\nlisten: :80\n\nstorage:\n  path: a\n"
                                "  segment_bytes: 7 potatoes\n"),
                        "c.yaml:6: storage.segment_bytes: \"7 potatoes\" is not a size; "
                        "write for example 64MiB (64KiB to 4GiB)"));
    CU_ASSERT_TRUE(same(outcome("storage: {path: a,\n  io_threads: 65}\n"),
                        "c.yaml:2: storage.io_threads: \"65\" is out of range; "
                        "1 to 64 is allowed"));
    CU_ASSERT_TRUE(same(outcome("workers:\n"), "c.yaml:1: workers: \"\" is not a count; "
                                               "write for example auto (auto or 1 to 256)"));
    CU_ASSERT_TRUE(same(outcome("\xef\xbb\xbf\r\nworkers: \"a\\nb\"\r\n"),
                        "c.yaml:2: workers: \"a\\x0ab\" is not a count; "
                        "write for example auto (auto or 1 to 256)"));
}

static void an_unknown_key_is_answered_with_the_known_ones(void)
{
    CU_ASSERT_TRUE(same(outcome("storage:\n  path: a\n  segmet_bytes: 1MiB\n"),
                        "c.yaml:3: there is no key \"segmet_bytes\" in storage; did you mean "
                        "storage.segment_bytes? the keys here are path, segment_bytes, "
                        "durability, sync_interval, scrub_rate, checkpoint_bytes, max_bytes, "
                        "tombstone_retention, io_threads"));
    CU_ASSERT_TRUE(
        same(outcome("\nstorge:\n  path: a\n"),
             "c.yaml:2: there is no key \"storge\" at the top; did you mean storage? "
             "the keys here are listen, workers, takeover, storage, tls, limits, log, auth"));
    CU_ASSERT_TRUE(same(
        outcome("durability: sync\n"),
        "c.yaml:1: there is no key \"durability\" at the top; did you mean storage.durability? "
        "the keys here are listen, workers, takeover, storage, tls, limits, log, auth"));
    CU_ASSERT_TRUE(
        same(outcome("limits:\n  colour: red\n"),
             "c.yaml:2: there is no key \"colour\" in limits; the keys here are "
             "value_bytes, connections, queue_ops, queue_bytes, body_bytes, read_rate, batch_ops, "
             "idle_timeout, wait, stall, shutdown_timeout"));
    CU_ASSERT_TRUE(
        same(outcome("Listen: \":80\"\n"),
             "c.yaml:1: there is no key \"Listen\" at the top; did you mean listen? "
             "the keys here are listen, workers, takeover, storage, tls, limits, log, auth"));
}

static void a_thing_of_the_wrong_kind_is_refused(void)
{
    CU_ASSERT_TRUE(same(outcome("workers: 1\nlisten: {host: a}\n"),
                        "c.yaml:2: listen: is a value, not a section; "
                        "write for example listen: 127.0.0.1:8080"));
    CU_ASSERT_TRUE(same(outcome("limits:\n\n  value_bytes:\n    - 1\n"),
                        "c.yaml:3: limits.value_bytes: is a value, not a list; "
                        "write for example value_bytes: 16MiB"));
    CU_ASSERT_TRUE(
        same(outcome("\n\nstorage: /srv/cairn\n"),
             "c.yaml:3: storage: is a section, not a value; its keys are path, "
             "segment_bytes, durability, sync_interval, scrub_rate, checkpoint_bytes, max_bytes, "
             "tombstone_retention, io_threads"));
    CU_ASSERT_TRUE(same(outcome("log:\n  file: [-]\n"),
                        "c.yaml:2: log.file: is a value, not a list; "
                        "write for example file: /var/log/cairn-access.log"));
    CU_ASSERT_TRUE(
        same(outcome("storage: [path]\n"),
             "c.yaml:1: storage: is a section, not a list; its keys are path, "
             "segment_bytes, durability, sync_interval, scrub_rate, checkpoint_bytes, max_bytes, "
             "tombstone_retention, io_threads"));
    CU_ASSERT_TRUE(same(outcome("\n- listen\n"), "c.yaml:2: is a list where keys belong; "
                                                 "write for example listen: 127.0.0.1:8080"));
    CU_ASSERT_TRUE(same(outcome("hello\n"), "c.yaml:1: is a value where keys belong; "
                                            "write for example listen: 127.0.0.1:8080"));
    CU_ASSERT_TRUE(
        same(outcome("workers: 1\n? [a]\n: b\n"), "c.yaml:2: a key must be a word, not a list"));
}

static void a_key_set_twice_is_refused(void)
{
    CU_ASSERT_TRUE(same(outcome("listen: \":80\"\nworkers: 1\nlisten: \":90\"\n"),
                        "c.yaml:3: listen: is set twice, first on line 1; keep one"));
    CU_ASSERT_TRUE(same(outcome("storage:\n  path: a\n  path: a\n"),
                        "c.yaml:3: storage.path: is set twice, first on line 2; keep one"));
    CU_ASSERT_TRUE(same(outcome("storage:\n  path: a\nstorage:\n  io_threads: 1\n"),
                        "c.yaml:3: storage: is set twice, first on line 1; keep one"));
}

#define QUOTES_HINT " (a value such as \":memory:\" or \"[::1]:8080\" needs its quotes)"

static void broken_yaml_is_refused(void)
{
    CU_ASSERT_TRUE(same(outcome("storage:\n  path: :memory:\n"),
                        "c.yaml:2: not valid YAML: mapping values are not allowed in this "
                        "context" QUOTES_HINT));
    CU_ASSERT_TRUE(same(outcome("workers: 1\n\n\tlisten: a\n"),
                        "c.yaml:3: not valid YAML: found a tab character that violates "
                        "indentation" QUOTES_HINT));
    CU_ASSERT_TRUE(same(outcome("workers: 1\n\nlisten: \xff\n"),
                        "c.yaml:3: not text: invalid leading UTF-8 octet"));
}

static void what_the_schema_cannot_see_is_refused(void)
{
    CU_ASSERT_TRUE(same(outcome("workers: 1\n---\nworkers: 2\n"),
                        "c.yaml:3: a second document; a config is a single one"));
    CU_ASSERT_TRUE(same(outcome("workers: 1\n---\n\tx\n"),
                        "c.yaml:3: not valid YAML: found character that cannot start any "
                        "token" QUOTES_HINT));
    CU_ASSERT_TRUE(same(outcome("storage:\n  path: \"a\\0b\"\n"),
                        "c.yaml:2: a text with a NUL byte in it; no key allows one"));
    CU_ASSERT_TRUE(same(outcome("\"workers\\0\": 1\n"),
                        "c.yaml:1: a text with a NUL byte in it; no key allows one"));
    CU_ASSERT_TRUE(same(outcome("listen: &a \":80\"\nstorage:\n  path: *a\n"),
                        "c.yaml:3: aliases (*name) are not allowed; write the value out"));
    CU_ASSERT_TRUE(same(outcome("listen: *a\n"),
                        "c.yaml:1: not valid YAML: found undefined alias" QUOTES_HINT));
}

/* ---- limits that depend on each other ---- */

static void a_value_limit_nobody_set_shrinks_into_a_segment(void)
{
    cairn_config_t config;

    CU_ASSERT_TRUE(same(load(&config, "storage: {segment_bytes: 64KiB}\n"), ""));
    CU_ASSERT_EQUAL(config.limits_value_bytes, 48 * KIB);
    cairn_config_dispose(&config);
    CU_ASSERT_TRUE(same(load(&config, "storage: {segment_bytes: 16400KiB}\n"), ""));
    CU_ASSERT_EQUAL(config.limits_value_bytes, 16 * MIB);
    cairn_config_dispose(&config);
}

static void a_value_limit_that_was_set_must_fit_into_a_segment(void)
{
    CU_ASSERT_TRUE(same(outcome("limits:\n  value_bytes: 65520KiB\n"), ""));
    CU_ASSERT_TRUE(same(outcome("limits:\n  value_bytes: 67092481\n"),
                        "c.yaml:2: limits.value_bytes: 67092481B does not fit into "
                        "storage.segment_bytes (64MiB) with its record; write at most 65520KiB, "
                        "or raise storage.segment_bytes"));
}

static void the_queue_holds_the_largest_value(void)
{
    cairn_config_t config;

    CU_ASSERT_TRUE(same(load(&config, "storage: {segment_bytes: 4GiB}\n"
                                      "limits: {value_bytes: 1GiB}\n"),
                        ""));
    CU_ASSERT_EQUAL(config.limits_queue_bytes, GIB);
    cairn_config_dispose(&config);
    CU_ASSERT_TRUE(same(outcome("limits:\n  queue_bytes: 16MiB\n"), ""));
    CU_ASSERT_TRUE(same(outcome("limits:\n  queue_bytes: 1MiB\n"),
                        "c.yaml:2: limits.queue_bytes: 1MiB cannot hold a value of "
                        "limits.value_bytes (16MiB); write at least 16MiB, or lower "
                        "limits.value_bytes"));
}

static void the_disk_that_may_be_taken_holds_four_segments(void)
{
    CU_ASSERT_TRUE(same(outcome("storage:\n  max_bytes: 256MiB\n"), ""));
    CU_ASSERT_TRUE(same(outcome("storage:\n  max_bytes: 0B\n"), ""));
    CU_ASSERT_TRUE(same(outcome("storage: {segment_bytes: 1MiB, max_bytes: 4MiB}\n"), ""));
    CU_ASSERT_TRUE(same(outcome("storage:\n  max_bytes: 255MiB\n"),
                        "c.yaml:2: storage.max_bytes: 255MiB cannot hold four segments of "
                        "storage.segment_bytes (64MiB); write at least 256MiB, lower "
                        "storage.segment_bytes, or write 0B for no limit"));
}

/* ---- garbage ---- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Whatever the bytes are, there is a config within its limits or a message that names the file. */
static void check_bytes(const char *bytes, size_t count)
{
    cairn_config_t config;
    bool is_good;

    scratch_write(bytes, count);
    errmsg[0] = '\0';
    cairn_config_init(&config);
    is_good = cairn_config_load(&config, scratch_file(), errmsg, sizeof(errmsg));
    if (!is_good)
        CU_ASSERT_EQUAL(strncmp(errmsg, scratch_file(), strlen(scratch_file())), 0);
    if (is_good && cairn_config_finish(&config, errmsg, sizeof(errmsg))) {
        CU_ASSERT_TRUE(config.workers >= 1 && config.workers <= 256);
        CU_ASSERT_TRUE(config.limits_value_bytes + 16 * KIB <= config.storage_segment_bytes);
        CU_ASSERT_TRUE(config.limits_value_bytes <= config.limits_queue_bytes);
        CU_ASSERT_TRUE(config.storage_path[0] != '\0' && strchr(config.listen, ':') != NULL);
    }
    cairn_config_dispose(&config);
}

static void random_bytes_get_an_answer(void)
{
    static const char letters[] = ":-[]{}&*?!|>'\"%@`#,\n\n  \tlisten\0storage\xff\xfe\xef\xbb\xbf";
    uint64_t state = 88172645463325252;
    char bytes[300];

    for (int round = 0; round != 3000; ++round) {
        size_t count = next_random(&state) % sizeof(bytes);
        for (size_t i = 0; i != count; ++i)
            bytes[i] = round % 2 == 0 ? (char)next_random(&state)
                                      : letters[next_random(&state) % sizeof(letters)];
        check_bytes(bytes, count);
    }
}

static void damaged_files_get_an_answer(void)
{
    static const char letters[] = ":-[]{}&*?'\"#,\n \t0a";
    uint64_t state = 1181783497276652981;
    char *printed, *damaged;
    size_t printed_bytes;
    FILE *out = open_memstream(&printed, &printed_bytes);

    cairn_config_print_default(out);
    fclose(out);
    damaged = malloc(printed_bytes);
    for (size_t count = 0; count <= printed_bytes; ++count)
        check_bytes(printed, count);
    for (int round = 0; round != 2000; ++round) {
        memcpy(damaged, printed, printed_bytes);
        for (uint64_t hits = 1 + next_random(&state) % 3; hits != 0; --hits)
            damaged[next_random(&state) % printed_bytes] =
                letters[next_random(&state) % sizeof(letters)];
        check_bytes(damaged, printed_bytes);
    }
    free(damaged);
    free(printed);
}

static void deep_nesting_gets_an_answer(void)
{
    char *deep = malloc(32768);

    memset(deep, '[', 32768);
    check_bytes(deep, 32768);
    for (size_t i = 0; i != 32768; ++i)
        deep[i] = "- "[i % 2];
    check_bytes(deep, 32768);
    free(deep);
}

void suite_config(void)
{
    CU_pSuite s = CU_add_suite("config", scratch_make, scratch_remove);

    CU_add_test(s, "without a word the defaults hold", without_a_word_defaults_hold);
    CU_add_test(s, "every key of a file arrives in its field", every_key_of_a_file_arrives);
    CU_add_test(s, "an empty file and empty sections are good", files_that_say_nothing_are_good);
    CU_add_test(s, "the least and the most are allowed, what lies beyond is not",
                limits_are_inclusive);
    CU_add_test(s, "a number past 64 bits is out of range", a_number_past_64_bits_is_out_of_range);
    CU_add_test(s, "a word that is no value is refused with an example",
                words_that_are_no_value_are_refused);
    CU_add_test(s, "a wrong value is named with its file, line and key",
                a_wrong_value_is_named_with_its_line);
    CU_add_test(s, "an unknown key is answered with the known ones",
                an_unknown_key_is_answered_with_the_known_ones);
    CU_add_test(s, "a list or section for a value is refused, and the reverse",
                a_thing_of_the_wrong_kind_is_refused);
    CU_add_test(s, "a key set twice is refused with both lines", a_key_set_twice_is_refused);
    CU_add_test(s, "broken YAML is refused with its line", broken_yaml_is_refused);
    CU_add_test(s, "second documents, NUL bytes and aliases are refused",
                what_the_schema_cannot_see_is_refused);
    CU_add_test(s, "a value limit nobody set shrinks into a segment",
                a_value_limit_nobody_set_shrinks_into_a_segment);
    CU_add_test(s, "a value limit that was set must fit into a segment",
                a_value_limit_that_was_set_must_fit_into_a_segment);
    CU_add_test(s, "the disk that may be taken holds four segments",
                the_disk_that_may_be_taken_holds_four_segments);
    CU_add_test(s, "the queue holds the largest value", the_queue_holds_the_largest_value);
    CU_add_test(s, "random bytes get an answer", random_bytes_get_an_answer);
    CU_add_test(s, "a cut or damaged default file gets an answer", damaged_files_get_an_answer);
    CU_add_test(s, "nesting as deep as a file can be gets an answer", deep_nesting_gets_an_answer);
}

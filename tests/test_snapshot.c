/*
 * Is a snapshot the store as it was at one version, whole or not there at all?
 */
#include <CUnit/CUnit.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/compaction.h"
#include "storage/feed.h"
#include "storage/os.h"
#include "storage/snapshot.h"
#include "storage/store_internal.h"
#include "tests/fault_os.h"
#include "tests/seed.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

static const cairn_bytes_t nothing;

static bool exists(const fixture_t *f, const char *name)
{
    struct stat st;
    return stat(fixture_path(f, name), &st) == 0;
}

/* a store of its own on a copy of a snapshot */
static void open_copy(const fixture_t *f, const char *name, fixture_t *copy)
{
    char from[512], to[512];
    fixture_init(copy, TEMP_DIR_IN_MEMORY);
    snprintf(from, sizeof(from), "%s/snapshots/%s", f->options.path, name);
    snprintf(to, sizeof(to), "%s", copy->options.path);
    mkdir(to, 0700);
    copy_dir(from, to);
    fixture_must_open(copy);
}

static void names(void)
{
    static const char *const good[] = {"a", "2026-11-25", "A.b_c-9", "x.tmp2", "tmp"};
    static const char *const bad[] = {"",    ".",     "..",   ".a", "a/b",
                                      "a b", "a.tmp", ".tmp", "é",  "a\n"};
    char longest[CAIRN_SNAPSHOT_NAME_BYTES_MAX + 2];
    memset(longest, 'n', sizeof(longest));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); ++i)
        CU_ASSERT(cairn_snapshot_name_is_good(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i)
        CU_ASSERT_FALSE(cairn_snapshot_name_is_good(bad[i], strlen(bad[i])));
    CU_ASSERT(cairn_snapshot_name_is_good(longest, CAIRN_SNAPSHOT_NAME_BYTES_MAX));
    CU_ASSERT_FALSE(cairn_snapshot_name_is_good(longest, CAIRN_SNAPSHOT_NAME_BYTES_MAX + 1));
}

static void a_snapshot_is_what_was(void)
{
    fixture_t f, copy;
    cairn_snapshot_t snapshot;
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    fixture_put(&f, "a", "1");
    fixture_write(&f, CAIRN_WRITE_PUT, text("b"), nothing, text("2"), CAIRN_ASYNC);
    fixture_put(&f, "gone", "x");
    fixture_delete(&f, "gone");
    CU_ASSERT_EQUAL_FATAL(cairn_store_snapshot(f.store, "one", &snapshot), CAIRN_OK);
    CU_ASSERT_EQUAL(snapshot.version, 4);
    CU_ASSERT_EQUAL(snapshot.segments, 1);
    CU_ASSERT(snapshot.bytes > 4096 && snapshot.bytes < FIXTURE_SEGMENT_BYTES);
    fixture_put(&f, "a", "later");
    fixture_put(&f, "c", "later");
    CU_ASSERT_EQUAL(cairn_store_snapshot(f.store, "one", &snapshot), CAIRN_ERR_EXISTS);
    CU_ASSERT_FALSE(exists(&f, "snapshots/one.tmp"));
    open_copy(&f, "one", &copy);
    CU_ASSERT_EQUAL(cairn_store_last_version(copy.store), 4);
    CU_ASSERT(fixture_has(&copy, "a", "1"));
    CU_ASSERT(fixture_has(&copy, "b", "2"));
    CU_ASSERT(fixture_has(&copy, "c", NULL));
    CU_ASSERT(fixture_has(&copy, "gone", NULL));
    /* both go on, and apart */
    CU_ASSERT_EQUAL(fixture_put(&copy, "a", "apart").version, 5);
    CU_ASSERT(fixture_has(&f, "a", "later"));
    fixture_dispose(&copy);
    /* the second one shares what has not changed since */
    CU_ASSERT_EQUAL_FATAL(cairn_store_snapshot(f.store, "two", &snapshot), CAIRN_OK);
    CU_ASSERT_EQUAL(snapshot.version, 6);
    CU_ASSERT_EQUAL(snapshot.segments, 2);
    struct stat here, there;
    char path[512];
    snprintf(path, sizeof(path), "%s", fixture_path(&f, "0000000000000001-0000.seg"));
    CU_ASSERT_EQUAL(stat(path, &here), 0);
    CU_ASSERT_EQUAL(stat(fixture_path(&f, "snapshots/two/0000000000000001-0000.seg"), &there), 0);
    CU_ASSERT_EQUAL(here.st_ino, there.st_ino);
    CU_ASSERT_EQUAL(here.st_nlink, 3);
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "a", "later"));
    fixture_dispose(&f);
}

static void of_nothing_and_of_nothing_new(void)
{
    fixture_t f, copy;
    cairn_snapshot_t snapshot;
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(cairn_store_snapshot(f.store, "empty", &snapshot), CAIRN_OK);
    CU_ASSERT_EQUAL(snapshot.version, 0);
    CU_ASSERT_EQUAL(snapshot.segments, 0);
    fixture_put(&f, "a", "1");
    for (int i = 0; i < 5; ++i) {
        char name[16];
        snprintf(name, sizeof(name), "again%d", i);
        CU_ASSERT_EQUAL(cairn_store_snapshot(f.store, name, &snapshot), CAIRN_OK);
        CU_ASSERT_EQUAL(snapshot.version, 1);
        CU_ASSERT_EQUAL(snapshot.segments, 1); /* nothing new: no segment more */
        if (i == 2)
            fixture_restart(&f);
    }
    open_copy(&f, "empty", &copy);
    CU_ASSERT(fixture_has(&copy, "a", NULL));
    CU_ASSERT_EQUAL(fixture_put(&copy, "b", "1").version, 1);
    fixture_dispose(&copy);
    open_copy(&f, "again4", &copy);
    CU_ASSERT(fixture_has(&copy, "a", "1"));
    fixture_dispose(&copy);
    fixture_dispose(&f);
}

static void count_and_add(void *ctx, const cairn_snapshot_t *snapshot)
{
    uint64_t *sums = ctx;
    ++sums[0];
    sums[1] += snapshot->version;
    sums[2] += snapshot->segments;
}

static void listed_and_removed(void)
{
    fixture_t f;
    cairn_snapshot_t snapshot;
    uint64_t sums[3] = {0};
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL(cairn_store_list_snapshots(f.store, count_and_add, sums), CAIRN_OK);
    CU_ASSERT_EQUAL(cairn_store_remove_snapshot(f.store, "none"), CAIRN_ERR_NOT_FOUND);
    fixture_put(&f, "a", "1");
    cairn_store_snapshot(f.store, "one", &snapshot);
    fixture_put(&f, "a", "2");
    cairn_store_snapshot(f.store, "two", &snapshot);
    CU_ASSERT_EQUAL(cairn_store_list_snapshots(f.store, count_and_add, sums), CAIRN_OK);
    CU_ASSERT(sums[0] == 2 && sums[1] == 3 && sums[2] == 3);
    CU_ASSERT_EQUAL(cairn_store_remove_snapshot(f.store, "none"), CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(cairn_store_remove_snapshot(f.store, "one"), CAIRN_OK);
    CU_ASSERT_FALSE(exists(&f, "snapshots/one") || exists(&f, "snapshots/one.tmp"));
    CU_ASSERT_EQUAL(cairn_store_snapshot(f.store, "one", &snapshot), CAIRN_OK);
    fixture_restart(&f);
    CU_ASSERT(fixture_has(&f, "a", "2"));
    fixture_dispose(&f);
}

static void memory_has_none(void)
{
    fixture_t f;
    cairn_snapshot_t snapshot;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.path = NULL;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    fixture_put(&f, "a", "1");
    CU_ASSERT_EQUAL(cairn_store_snapshot(f.store, "one", &snapshot), CAIRN_ERR_IN_MEMORY);
    CU_ASSERT_EQUAL(cairn_store_list_snapshots(f.store, count_and_add, NULL), CAIRN_ERR_IN_MEMORY);
    CU_ASSERT_EQUAL(cairn_store_remove_snapshot(f.store, "one"), CAIRN_ERR_IN_MEMORY);
    CU_ASSERT(fixture_has(&f, "a", "1"));
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- while others write */

#define KEYS 50
#define WRITES 4000
#define SNAPSHOTS 6

typedef struct st_history_of_keys_t {
    fixture_t *f;
    uint64_t seed;
    /* of each version: the key, and whether it was deleted */
    uint8_t keys[WRITES + 1];
    bool is_delete[WRITES + 1];
    _Atomic uint64_t count;
} history_of_keys_t;

static void *write_on(void *arg)
{
    history_of_keys_t *h = arg;
    random_t random = random_from(h->seed, 1);
    char key[16], value[64];
    bool has[KEYS] = {false};
    cairn_thread_register();
    while (h->count < WRITES) {
        unsigned k = (unsigned)random_below(&random, KEYS);
        bool is_delete = has[k] && random_below(&random, 4) == 0;
        uint64_t version = h->count + 1;
        snprintf(key, sizeof(key), "k%u", k);
        snprintf(value, sizeof(value), "value of version %llu", (unsigned long long)version);
        h->keys[version] = (uint8_t)k;
        h->is_delete[version] = is_delete;
        has[k] = !is_delete;
        outcome_t outcome = is_delete ? fixture_delete(h->f, key) : fixture_put(h->f, key, value);
        if (outcome.err != CAIRN_OK || outcome.version != version)
            break;
        h->count = version;
        cairn_thread_quiescent();
    }
    cairn_thread_unregister();
    return NULL;
}

/* whether the copy has exactly what there was at this version */
static bool is_as_of(fixture_t *copy, const history_of_keys_t *h, uint64_t version)
{
    uint64_t last[KEYS] = {0};
    bool is_right = cairn_store_last_version(copy->store) == version;
    char key[16], value[64];
    for (uint64_t v = 1; v <= version; ++v)
        last[h->keys[v]] = h->is_delete[v] ? 0 : v;
    for (unsigned k = 0; k < KEYS; ++k) {
        snprintf(key, sizeof(key), "k%u", k);
        snprintf(value, sizeof(value), "value of version %llu", (unsigned long long)last[k]);
        is_right &= fixture_has(copy, key, last[k] != 0 ? value : NULL);
    }
    return is_right;
}

/* the snapshot opened, and opened again; how many segments of it compaction had made */
static size_t check_copy(const fixture_t *f, const history_of_keys_t *h,
                         const cairn_snapshot_t *snapshot)
{
    fixture_t copy;
    cairn_segment_info_t info;
    size_t compacted = 0;
    open_copy(f, snapshot->name, &copy);
    for (size_t i = 0; cairn_store_segments(copy.store, i, &info, 1) == 1; ++i)
        compacted += strstr(info.name, "-0000.seg") == NULL;
    CU_ASSERT(is_as_of(&copy, h, snapshot->version));
    fixture_restart(&copy);
    CU_ASSERT(is_as_of(&copy, h, snapshot->version));
    fixture_dispose(&copy);
    return compacted;
}

/* until something has been compacted, or there is little hope that it will be */
static void wait_for_compaction(const fixture_t *f)
{
    cairn_compaction_stats_t stats = {.runs = 0};
    for (int i = 0; i < 6000 && stats.runs == 0; ++i) {
        cairn_compaction_stats(f->store->compaction, &stats);
        cairn_thread_quiescent();
        usleep(5000);
    }
}

static void take_snapshots_while_others_write(bool is_compacting)
{
    fixture_t f;
    pthread_t thread;
    cairn_snapshot_t snapshots[SNAPSHOTS];
    history_of_keys_t *h = calloc(1, sizeof(*h));
    size_t compacted = 0;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.no_compaction = !is_compacting;
    f.options.checkpoint_bytes = is_compacting ? 100000 : 0;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    h->f = &f;
    h->seed = seed_of_run();
    pthread_create(&thread, NULL, write_on, h);
    for (unsigned i = 0; i < SNAPSHOTS; ++i) {
        char name[16];
        uint64_t before = h->count;
        snprintf(name, sizeof(name), "s%u", i);
        if (is_compacting && i + 1 == SNAPSHOTS)
            wait_for_compaction(&f);
        CU_ASSERT_EQUAL_FATAL(cairn_store_snapshot(f.store, name, &snapshots[i]), CAIRN_OK);
        CU_ASSERT(snapshots[i].version >= before); /* all that had been answered */
        cairn_store_compact(f.store);              /* the next snapshot is taken beside it */
        cairn_thread_quiescent();
        usleep(5000);
    }
    cairn_thread_unregister();
    pthread_join(thread, NULL);
    cairn_thread_register();
    CU_ASSERT_EQUAL(h->count, WRITES);
    for (unsigned i = 0; i < SNAPSHOTS; ++i)
        compacted += check_copy(&f, h, &snapshots[i]);
    CU_ASSERT_EQUAL(compacted != 0, is_compacting);
    free(h);
    fixture_dispose(&f);
}

static void one_version_while_others_write(void)
{
    take_snapshots_while_others_write(false);
}

static void one_version_while_segments_are_compacted(void)
{
    take_snapshots_while_others_write(true);
}

/* a system in which a seal, once, waits */
static const cairn_os_t *beneath;
static cairn_os_t table;
static _Atomic bool is_held;
static sem_t reached, let_go;

static int wait_once(int fd)
{
    if (atomic_exchange(&is_held, false)) {
        sem_post(&reached);
        sem_wait(&let_go);
    }
    return beneath->make_readonly(fd);
}

typedef struct st_taking_t {
    fixture_t *f;
    cairn_snapshot_t snapshot;
    cairn_err_t err;
} taking_t;

static void *take_snapshot(void *arg)
{
    taking_t *taking = arg;
    cairn_thread_register();
    taking->err = cairn_store_snapshot(taking->f->store, "beside", &taking->snapshot);
    cairn_thread_unregister();
    return NULL;
}

/* after the log has been cut for a snapshot, and before its segments are taken, what it is to have
 * is overwritten, and compaction leaves it out of a segment */
static void compaction_between_cut_and_taking(void)
{
    fixture_t f, copy;
    pthread_t thread;
    taking_t taking = {.f = &f};
    beneath = cairn_os;
    table = *beneath;
    table.make_readonly = wait_once;
    cairn_os = &table; /* while no store is open */
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.no_compaction = false;
    f.options.upkeep_by_hand = true;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    fixture_put_filled(&f, text("a"), 20000, 1, CAIRN_SYNC); /* worth being freed */
    fixture_put(&f, "b", "old");
    cairn_snapshot_t first;
    CU_ASSERT_EQUAL_FATAL(cairn_store_snapshot(f.store, "first", &first), CAIRN_OK); /* seals */
    fixture_put(&f, "c", "old");
    sem_init(&reached, 0, 0);
    sem_init(&let_go, 0, 0);
    is_held = true;
    pthread_create(&thread, NULL, take_snapshot, &taking);
    sem_wait(&reached);
    fixture_put_filled(&f, text("a"), 20000, 2, CAIRN_SYNC);
    cairn_store_compact(f.store);
    cairn_store_upkeep(f.store);
    cairn_compaction_stats_t stats;
    cairn_compaction_stats(f.store->compaction, &stats);
    CU_ASSERT_EQUAL(stats.runs, 1);
    sem_post(&let_go);
    cairn_thread_unregister();
    pthread_join(thread, NULL);
    cairn_thread_register();
    CU_ASSERT_EQUAL_FATAL(taking.err, CAIRN_OK);
    open_copy(&f, "beside", &copy);
    CU_ASSERT_EQUAL(cairn_store_last_version(copy.store), taking.snapshot.version);
    CU_ASSERT(fixture_has_filled(&copy, text("a"), 20000, taking.snapshot.version >= 4 ? 2 : 1));
    CU_ASSERT(fixture_has(&copy, "b", "old"));
    CU_ASSERT(fixture_has(&copy, "c", "old"));
    fixture_dispose(&copy);
    fixture_dispose(&f);
    cairn_os = beneath;
    sem_destroy(&reached);
    sem_destroy(&let_go);
}

/* ---------------------------------------------------------------- crashes and errors */

static void fill(fixture_t *f, unsigned count)
{
    char key[16], value[3000];
    memset(value, 'v', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    for (unsigned i = 0; i < count; ++i) {
        snprintf(key, sizeof(key), "k%u", i);
        CU_ASSERT_EQUAL(fixture_put(f, key, value).err, CAIRN_OK);
    }
}

/* what is there after a start is whole, and nothing else is there */
static bool is_whole_or_not_there(fixture_t *f, bool *is_there)
{
    fixture_t copy;
    *is_there = exists(f, "snapshots/s");
    if (exists(f, "snapshots/s.tmp"))
        return false;
    if (!*is_there)
        return true;
    open_copy(f, "s", &copy);
    bool is_right = cairn_store_last_version(copy.store) == 60;
    for (unsigned i = 0; i < 60; ++i) {
        char key[16];
        cairn_value_t value;
        snprintf(key, sizeof(key), "k%u", i);
        is_right &= fixture_get(&copy, text(key), &value) == CAIRN_OK && value.count == 2999;
    }
    fixture_dispose(&copy);
    return is_right;
}

/* the process dies at one change on disk after the other; with `is_removal`, while one is removed
 */
static void die_at_every_step(bool is_removal)
{
    bool was_there = is_removal, has_kept = false, is_over = false;
    for (uint64_t step = 0; !is_over; ++step) {
        fixture_t f;
        cairn_snapshot_t snapshot;
        bool is_there;
        fault_os_install();
        fixture_init(&f, TEMP_DIR_IN_MEMORY);
        f.options.upkeep_by_hand = true; /* no other thread's changes are among the steps */
        CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
        fill(&f, 60);
        if (is_removal)
            CU_ASSERT_EQUAL_FATAL(cairn_store_snapshot(f.store, "s", &snapshot), CAIRN_OK);
        fault_os_wait_until_quiet();
        fault_os_freeze_after(step, false);
        is_over = is_removal ? cairn_store_remove_snapshot(f.store, "s") == CAIRN_OK
                             : cairn_store_snapshot(f.store, "s", &snapshot) == CAIRN_OK;
        fixture_close(&f);
        fault_os_reset();
        CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
        CU_ASSERT_FATAL(is_whole_or_not_there(&f, &is_there));
        CU_ASSERT(!is_over || is_there != was_there); /* what has been answered is done */
        has_kept |= is_there == was_there;
        for (unsigned i = 0; i < 60; ++i) {
            char key[16];
            cairn_value_t value;
            snprintf(key, sizeof(key), "k%u", i);
            CU_ASSERT_EQUAL(fixture_get(&f, text(key), &value), CAIRN_OK);
        }
        fixture_dispose(&f);
        fault_os_remove();
        CU_ASSERT_FATAL(step < 200);
    }
    CU_ASSERT(has_kept); /* some deaths came too early */
}

static void a_crash_at_any_step_leaves_no_half(void)
{
    die_at_every_step(false);
}

static void a_crash_while_one_is_removed_leaves_no_half(void)
{
    die_at_every_step(true);
}

static void an_error_leaves_nothing(void)
{
    static const struct {
        fault_function_t function;
        uint64_t nth;
        int error;
        cairn_err_t err;
    } cases[] = {{FAULT_make_dir, 1, 28 /* ENOSPC */, CAIRN_ERR_DISK_FULL},
                 {FAULT_make_dir, 2, 5 /* EIO */, CAIRN_ERR_IO},
                 {FAULT_link, 1, 5, CAIRN_ERR_IO},
                 {FAULT_link, 3, 31 /* EMLINK */, CAIRN_ERR_IO},
                 {FAULT_link, 5, 28, CAIRN_ERR_DISK_FULL},
                 {FAULT_open_subdir, 3, 24 /* EMFILE */, CAIRN_ERR_IO}};
    /* each segment is one link, and its key table, which may be missing, another */
    fixture_t f;
    cairn_snapshot_t snapshot;
    size_t fds = open_descriptors();
    fault_os_install();
    fixture_start(&f, TEMP_DIR_IN_MEMORY);
    fill(&f, 60);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        fault_os_wait_until_quiet();
        fault_os_reset();
        fault_os_fail(cases[i].function, cases[i].nth, cases[i].error, false);
        CU_ASSERT_EQUAL(cairn_store_snapshot(f.store, "s", &snapshot), cases[i].err);
        CU_ASSERT(fault_os_has_fired());
        fault_os_reset();
        CU_ASSERT_FALSE(exists(&f, "snapshots/s"));
        CU_ASSERT_EQUAL(fixture_put(&f, "still", "writes").err, CAIRN_OK);
        cairn_store_clean_snapshots(f.store); /* what could not be opened to be removed */
        CU_ASSERT_FALSE(exists(&f, "snapshots/s.tmp"));
    }
    CU_ASSERT_EQUAL(cairn_store_snapshot(f.store, "s", &snapshot), CAIRN_OK);
    fixture_dispose(&f);
    fault_os_remove();
    CU_ASSERT_EQUAL(open_descriptors(), fds);
}

void suite_snapshot(void)
{
    CU_pSuite s = CU_add_suite("snapshot", NULL, NULL);
    CU_add_test(s, "which names it may have", names);
    CU_add_test(s, "a snapshot is what was, and shares what has not changed",
                a_snapshot_is_what_was);
    CU_add_test(s, "of an empty store, and again with nothing new", of_nothing_and_of_nothing_new);
    CU_add_test(s, "snapshots are listed and removed", listed_and_removed);
    CU_add_test(s, "a store in memory has none", memory_has_none);
    CU_add_test(s, "it is of one version while others write", one_version_while_others_write);
    CU_add_test(s, "it is so while segments are compacted",
                one_version_while_segments_are_compacted);
    CU_add_test(s, "compaction between the cut of the log and its segments' taking",
                compaction_between_cut_and_taking);
    CU_add_test(s, "a crash at any step leaves no half of one", a_crash_at_any_step_leaves_no_half);
    CU_add_test(s, "a crash while one is removed leaves no half of it",
                a_crash_while_one_is_removed_leaves_no_half);
    CU_add_test(s, "an error leaves nothing, and writes go on", an_error_leaves_nothing);
}

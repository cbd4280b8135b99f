/*
 * What could go wrong between compaction and everything else: a failure halfway, a checkpoint from
 * before, a full disk, writes that are being applied meanwhile.
 */
#include <CUnit/CUnit.h>

#include <dirent.h>
#include <fcntl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/os.h"
#include "storage/record.h"
#include "storage/segment.h"
#include "storage/store_internal.h"
#include "tests/fault_os.h"
#include "tests/later.h"
#include "tests/seed.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

static void stage(void)
{
    fault_os_install();
    later_install();
}

static void unstage(void)
{
    later_remove();
    fault_os_remove();
}

static cairn_err_t put_ttl(fixture_t *f, const char *key, cairn_bytes_t value, uint64_t ttl_ms)
{
    waiter_t waiter;
    waiter_init(&waiter);
    cairn_write_t *w = fixture_frame(&waiter, CAIRN_WRITE_PUT, text(key), value, CAIRN_SYNC);
    w->ttl_ms = ttl_ms;
    cairn_err_t err = cairn_store_submit(f->store, w);
    if (err == CAIRN_OK) {
        w = waiter_take(&waiter, 1);
        err = w->err;
    }
    cairn_write_destroy(w);
    waiter_dispose(&waiter);
    return err;
}

static uint8_t big[1000];

/** so many puts of a kilobyte under names of their own */
static void fill(fixture_t *f, const char *prefix, unsigned count, uint64_t ttl_ms)
{
    char key[64];
    for (unsigned i = 0; i < count; ++i) {
        snprintf(key, sizeof(key), "%s%u", prefix, i);
        CU_ASSERT_EQUAL_FATAL(put_ttl(f, key, (cairn_bytes_t){big, sizeof(big)}, ttl_ms), CAIRN_OK);
    }
}

static void init(fixture_t *f)
{
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    f->options.upkeep_by_hand = true;
    f->options.no_compaction = false;
    f->options.tombstone_retention_ms = 0;
}

static void open_copy(const fixture_t *from, fixture_t *copy)
{
    fixture_init(copy, TEMP_DIR_IN_MEMORY);
    copy->options.upkeep_by_hand = true;
    copy->options.no_compaction = false;
    copy_dir(from->dir.path, copy->dir.path);
    cairn_err_t err = fixture_open(copy);
    if (err != CAIRN_OK)
        printf("\n  %s\n", copy->errmsg);
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
}

/* an expired value leaves the index, its compaction fails, the next one goes well: the delete that
 * hides an older value must not be forgotten */
static void abandoned_after_expiry(void)
{
    fixture_t f, copy;
    stage();
    init(&f);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    fixture_put(&f, "k", "old");
    fill(&f, "live", 62, 0); /* the first segment: all but full of what lives */
    put_ttl(&f, "k", text("new"), 2000);
    fill(&f, "dying", 58, 2000); /* the second: all of it expires */
    fill(&f, "more", 20, 0);     /* the third is active */
    fault_os_wait_until_quiet();
    cairn_store_upkeep(f.store); /* key tables */
    later_by(2100);
    CU_ASSERT(fixture_has(&f, "k", NULL));
    fault_os_fail(FAULT_pwritev, 2, EIO, false);
    cairn_store_upkeep(f.store);
    CU_ASSERT(fault_os_has_fired());
    fault_os_reset();
    later_by(5600);
    cairn_store_upkeep(f.store);
    CU_ASSERT(fixture_has(&f, "k", NULL));
    open_copy(&f, &copy);
    CU_ASSERT(fixture_has(&copy, "k", NULL));
    CU_ASSERT_FALSE(fixture_has(&copy, "k", "old"));
    fixture_dispose(&copy);
    fixture_dispose(&f);
    unstage();
}

/* a checkpoint, then values expire and become deletes, then a kill */
static void expired_after_checkpoint(void)
{
    fixture_t f, copy;
    stage();
    init(&f);
    f.options.checkpoint_bytes = 100000;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    fill(&f, "live", 62, 0);
    fill(&f, "dying", 59, 1500);
    fill(&f, "more", 20, 0);
    fault_os_wait_until_quiet();
    cairn_store_upkeep(f.store);
    later_by(1700);
    cairn_store_upkeep(f.store);
    CU_ASSERT(fixture_has(&f, "dying7", NULL));
    open_copy(&f, &copy);
    cairn_value_t v;
    cairn_err_t err = fixture_get(&copy, text("dying7"), &v);
    CU_ASSERT_EQUAL(err, CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_FALSE(fixture_has(&copy, "live7", NULL));
    fixture_dispose(&copy);
    fixture_dispose(&f);
    unstage();
}

static size_t count_files(const fixture_t *f)
{
    DIR *d = opendir(f->dir.path);
    struct dirent *entry;
    size_t count = 0;
    while ((entry = readdir(d)) != NULL)
        count += strstr(entry->d_name, ".seg") != NULL;
    closedir(d);
    return count;
}

static void begin_with_a_checkpoint(fixture_t *f)
{
    stage();
    init(f);
    f->options.checkpoint_bytes = 100000;
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    fill(f, "a", 180, 0);
    fault_os_wait_until_quiet();
    cairn_store_upkeep(f->store);
}

/* the disk is full for another segment, a checkpoint names what has been compacted */
static void full_with_a_checkpoint(void)
{
    fixture_t f;
    char key[64];
    begin_with_a_checkpoint(&f);
    fault_os_fail(FAULT_preallocate, 1, ENOSPC, true);
    cairn_err_t err = CAIRN_OK;
    for (unsigned i = 0; i < 200 && err == CAIRN_OK; ++i) {
        snprintf(key, sizeof(key), "b%u", i);
        err = put_ttl(&f, key, (cairn_bytes_t){big, sizeof(big)}, 0);
    }
    CU_ASSERT_EQUAL(err, CAIRN_ERR_DISK_FULL);
    for (unsigned i = 0; i < 30; ++i) {
        snprintf(key, sizeof(key), "a%u", i);
        CU_ASSERT_EQUAL(fixture_delete(&f, key).err, CAIRN_OK);
    }
    size_t before = count_files(&f);
    cairn_store_upkeep(f.store);
    cairn_store_upkeep(f.store);
    CU_ASSERT(count_files(&f) <= before);
    CU_ASSERT(access(fixture_path(&f, "0000000000000001-0000.seg"), F_OK) != 0);
    fault_os_heal();
    fixture_dispose(&f);
    unstage();
}

/* somebody is being sent a value whose segment is compacted meanwhile */
static void read_while_it_is_compacted(void)
{
    static const char first[] = "0000000000000001-0000.seg";
    uint8_t expected[1000];
    cairn_value_t sent, copied;
    fixture_t f;
    stage();
    init(&f);
    f.options.checkpoint_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    fixture_put_filled(&f, text("k"), sizeof(expected), 7, CAIRN_SYNC);
    random_fill(7, expected, sizeof(expected));
    fill(&f, "a", 180, 0);
    CU_ASSERT_EQUAL_FATAL(fixture_get(&f, text("k"), &sent), CAIRN_OK);
    cairn_value_pin(&sent);
    fill(&f, "a", 180, 0); /* the same once more */
    fault_os_wait_until_quiet();
    cairn_store_compact(f.store);
    cairn_store_upkeep(f.store);
    CU_ASSERT_EQUAL(fixture_get(&f, text("k"), &copied), CAIRN_OK);
    CU_ASSERT_NOT_EQUAL(copied.loc, sent.loc);
    CU_ASSERT(memcmp(copied.bytes, expected, sizeof(expected)) == 0);
    CU_ASSERT_EQUAL(access(fixture_path(&f, first), F_OK), 0);
    CU_ASSERT(memcmp(sent.bytes, expected, sizeof(expected)) == 0);
    cairn_value_unpin(&sent);
    cairn_store_upkeep(f.store);
    CU_ASSERT(access(fixture_path(&f, first), F_OK) != 0);
    fixture_dispose(&f);
    unstage();
}

/* no more checkpoints are written, and there is one that names what has been compacted */
static void old_checkpoint(void)
{
    fixture_t f;
    cairn_compaction_stats_t stats;
    begin_with_a_checkpoint(&f);
    fixture_close(&f);
    CU_ASSERT_EQUAL(access(fixture_path(&f, "index.ckpt"), F_OK), 0);
    f.options.checkpoint_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    fill(&f, "a", 180, 0); /* the same once more */
    fault_os_wait_until_quiet();
    cairn_store_upkeep(f.store);
    cairn_store_upkeep(f.store);
    cairn_compaction_stats(f.store->compaction, &stats);
    CU_ASSERT(stats.runs > 0);
    CU_ASSERT(cairn_segments_retired_bytes(&f.store->segments) <= f.options.segment_bytes);
    CU_ASSERT(access(fixture_path(&f, "0000000000000001-0000.seg"), F_OK) != 0);
    fixture_restart(&f);
    fixture_dispose(&f);
    unstage();
}

/* ---- the horizon */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define ROUNDS 40
#else
#define ROUNDS 120
#endif
#define KEYS 20000
#define OPS 4000
#define VERSIONS ((size_t)4 << 20)

static uint32_t *key_at; /* by version, + 1 */
static _Atomic bool stop_upkeep;
static cairn_store_t *upkeep_store;
static pthread_mutex_t upkeep_mutex = PTHREAD_MUTEX_INITIALIZER;

/** puts of the file that were replaced at or before its horizon */
static size_t check_segment(const char *path, uint64_t last)
{
    size_t bytes, wrong = 0, n = 0;
    uint8_t *map = read_file(path, &bytes);
    cairn_segment_footer_t footer;
    memcpy(&footer, map + bytes - sizeof(footer), sizeof(footer));
    uint64_t *next = calloc(KEYS, sizeof(*next));
    /* first version after v of the key, up to the horizon: walk the versions once, backwards */
    uint64_t first = 0;
    for (uint64_t at = CAIRN_SEGMENT_HEADER_BYTES; at < footer.end;) {
        const cairn_record_t *r = (const cairn_record_t *)(map + at);
        if (first == 0)
            first = r->version;
        at += cairn_record_bytes(r);
    }
    /* latest version of each key that is <= horizon */
    uint64_t horizon = footer.live_horizon < last ? footer.live_horizon : last;
    for (uint64_t v = 1; v <= horizon; ++v)
        if (key_at[v] != 0)
            next[key_at[v] - 1] = v;
    for (uint64_t at = CAIRN_SEGMENT_HEADER_BYTES; at < footer.end;) {
        const cairn_record_t *r = (const cairn_record_t *)(map + at);
        if (cairn_record_type(r) == CAIRN_RECORD_PUT) {
            unsigned key;
            memcpy(&key, cairn_record_key(r), sizeof(key));
            ++n;
            if (next[key] > r->version) {
                if (wrong++ == 0)
                    printf(
                        "\n  %s: horizon %llu, but key %u of version %llu was replaced at %llu\n",
                        path, (unsigned long long)footer.live_horizon, key,
                        (unsigned long long)r->version, (unsigned long long)next[key]);
            }
        }
        at += cairn_record_bytes(r);
    }
    free(next);
    free(map);
    return wrong;
}

static temp_dir_t kept;

static cairn_os_t table;
static const cairn_os_t *real_os;

/** keeps what compaction has made, to be looked at when all is known */
static int keep_then_unlink(int dir, const char *name)
{
    uint64_t first;
    uint32_t generation;
    char to[600];
    if (cairn_segment_name_parse(name, &first, &generation) && generation != 0) {
        snprintf(to, sizeof(to), "%s/%s", kept.path, name);
        if (linkat(dir, name, AT_FDCWD, to, 0) != 0)
            perror("link");
    }
    return real_os->unlink(dir, name);
}

static _Thread_local bool is_upkeep_thread;

/** the scheduler takes the processor away for a moment, as it may anywhere */
static void free_late(void *base)
{
    real_os->free(base);
    if (is_upkeep_thread)
        usleep((unsigned)(rand() % 4000));
}

static size_t check_kept(uint64_t last, size_t *looked_at)
{
    DIR *d = opendir(kept.path);
    size_t wrong = 0;
    struct dirent *entry;
    while ((entry = readdir(d)) != NULL) {
        char path[600];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", kept.path, entry->d_name);
        size_t n = check_segment(path, last);
        wrong += n != 0;
        ++*looked_at;
    }
    closedir(d);
    return wrong;
}

typedef struct st_flight_t {
    waiter_t waiter;
    bool is_up;
} flight_t;

static void send_batch(fixture_t *f, random_t *random, flight_t *flight)
{
    waiter_init(&flight->waiter);
    cairn_write_t *first = NULL, **at = &first;
    for (unsigned i = 0; i < OPS; ++i) {
        unsigned key = (unsigned)random_below(random, KEYS);
        bool is_delete = random_below(random, 3) == 0;
        cairn_write_t *w =
            fixture_frame(&flight->waiter, is_delete ? CAIRN_WRITE_DELETE : CAIRN_WRITE_PUT,
                          (cairn_bytes_t){(uint8_t *)&key, sizeof(key)},
                          is_delete ? (cairn_bytes_t){0} : (cairn_bytes_t){big, 100}, CAIRN_SYNC);
        *at = w;
        at = &w->next;
    }
    CU_ASSERT_EQUAL_FATAL(cairn_store_enqueue_batch(f->store, first, false), CAIRN_OK);
    cairn_store_wake(f->store);
    flight->is_up = true;
}

static uint64_t land_batch(flight_t *flight)
{
    cairn_write_t *done = waiter_take(&flight->waiter, OPS);
    uint64_t last = 0;
    while (done != NULL) {
        cairn_write_t *next = done->next;
        if (done->err == CAIRN_OK) {
            unsigned key;
            memcpy(&key, done->key.bytes, sizeof(key));
            key_at[done->version] = key + 1;
            last = done->version;
        }
        cairn_write_destroy(done);
        done = next;
    }
    waiter_dispose(&flight->waiter);
    flight->is_up = false;
    return last;
}

static void *upkeep_main(void *arg)
{
    (void)arg;
    cairn_thread_register();
    is_upkeep_thread = true;
    while (!atomic_load(&stop_upkeep)) {
        pthread_mutex_lock(&upkeep_mutex);
        cairn_store_upkeep(upkeep_store);
        cairn_thread_quiescent();
        pthread_mutex_unlock(&upkeep_mutex);
        usleep(500);
    }
    cairn_thread_unregister();
    return NULL;
}

#define FLIGHTS 3

static void horizon(void)
{
    fixture_t f;
    pthread_t thread;
    random_t random = random_from(seed_of_run(), 1);
    unsigned rounds = is_soak() ? 800 : ROUNDS;
    size_t files = 0;
    uint64_t last = 0;
    flight_t flights[FLIGHTS] = {{.is_up = false}};
    key_at = calloc(VERSIONS, sizeof(*key_at));
    init(&f);
    f.options.segment_bytes = (uint64_t)1 << 20;
    CU_ASSERT_FATAL(temp_dir_create(&kept, TEMP_DIR_IN_MEMORY));
    real_os = cairn_os;
    table = *cairn_os;
    table.unlink = keep_then_unlink;
    table.free = free_late;
    cairn_os = &table;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    upkeep_store = f.store;
    atomic_store(&stop_upkeep, false);
    pthread_create(&thread, NULL, upkeep_main, NULL);
    cairn_thread_unregister(); /* we wait for long */
    for (unsigned i = 0; i < rounds && last + (FLIGHTS + 1) * OPS < VERSIONS; ++i) {
        if (flights[i % FLIGHTS].is_up)
            last = land_batch(&flights[i % FLIGHTS]);
        send_batch(&f, &random, &flights[i % FLIGHTS]);
    }
    for (unsigned i = 0; i < FLIGHTS; ++i)
        if (flights[i].is_up) {
            uint64_t landed = land_batch(&flights[i]);
            last = landed > last ? landed : last;
        }
    atomic_store(&stop_upkeep, true);
    pthread_join(thread, NULL);
    cairn_thread_register();
    size_t wrong = check_kept(last, &files);
    printf("\n    %zu files looked at, %llu versions ", files, (unsigned long long)last);
    CU_ASSERT(files != 0);
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(temp_dir_remove(&kept));
    fixture_dispose(&f);
    cairn_os = real_os;
    free(key_at);
}

void suite_compaction_hazards(void)
{
    CU_pSuite s = CU_add_suite("compaction: hazards", NULL, NULL);
    CU_add_test(s, "an abandoned compaction does not forget what it took out",
                abandoned_after_expiry);
    CU_add_test(s, "what expired after a checkpoint stays gone", expired_after_checkpoint);
    CU_add_test(s, "a full disk is given back what a checkpoint names", full_with_a_checkpoint);
    CU_add_test(s, "a segment stays until its last reader has gone", read_while_it_is_compacted);
    CU_add_test(s, "a checkpoint that none follows gives way to compaction", old_checkpoint);
    CU_add_test(s, "the horizon is right beside writes", horizon);
}

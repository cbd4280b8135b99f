/*
 * Is everything that was acknowledged there after a real file system lost its power?
 *
 * On ext4 and on XFS, each on a loop device of its own: a child writes, syncs and acknowledges into
 * a pipe; at a random moment the file system is shut down without writing its log, which is what a
 * power cut does to it; it is mounted again, opened and compared, cut after cut on the same store.
 * What the child does follows from a seed, so the parent knows which write got which version: after
 * a cut the store must be what it was after one of them, no earlier than the last acknowledged one,
 * and not within an atomic batch.
 *
 * Then a disk whose sync really fails. All of it needs root and loop devices, and says so if they
 * are not there.
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "storage/os.h"
#include "storage/store_internal.h"
#include "tests/loop_disk.h"
#include "tests/seed.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define CUTS 12
#define CUTS_SOAK 1000
#define CUTS_CONTROL 40
/** on one disk, one after the other */
#define CUTS_A_DISK 50
#define DISK_BYTES ((uint64_t)512 << 20) /* XFS makes none of less than 300 MB */

#define KEYS 64
#define BURST_MAX 32
#define VALUE_BYTES_MAX 6000
/** the child is given this long, once it has begun, before the power goes: at most */
#define LOAD_US_MAX 30000
#define START_MS_MAX 20000

/* ---------------------------------------------------------------- what is written */

/** a write that got a version */
typedef struct st_past_t {
    uint32_t key;
    uint32_t number; /* of the value; 0: deleted */
    bool more;       /* the next version belongs to the same atomic batch */
} past_t;

/** the writes of one life, one after the other, as they follow from a seed */
typedef struct st_script_t {
    random_t random;
    uint32_t number;
    bool has[KEYS]; /* a value */
} script_t;

typedef struct st_burst_t {
    size_t count;
    bool is_batch, is_atomic, is_async;
    struct {
        uint32_t key;
        uint32_t number;
        bool is_found; /* a delete: whether it will get a version */
    } writes[BURST_MAX];
} burst_t;

static void draw_burst(script_t *script, burst_t *burst)
{
    random_t *random = &script->random;
    uint64_t dice = random_below(random, 8);
    *burst = (burst_t){.count = 1 + random_below(random, dice < 4 ? 8 : BURST_MAX),
                       .is_batch = dice < 4,
                       .is_atomic = dice < 3,
                       .is_async = random_below(random, 5) == 0};
    for (size_t i = 0; i < burst->count; ++i) {
        uint32_t key = (uint32_t)random_below(random, KEYS);
        /* one that finds nothing would fail the whole of an atomic batch */
        bool is_delete = random_below(random, 6) == 0 && (!burst->is_atomic || script->has[key]);
        burst->writes[i].key = key;
        burst->writes[i].number = is_delete ? 0 : ++script->number;
        burst->writes[i].is_found = script->has[key];
        script->has[key] = !is_delete;
    }
}

static size_t make_value(uint32_t number, uint8_t *out)
{
    random_t random = random_from(number, 3);
    size_t count = random_below(&random, random_below(&random, 4) == 0 ? VALUE_BYTES_MAX : 400);
    random_fill(number, out, count);
    return count;
}

static cairn_bytes_t key_of(uint32_t key, char room[16])
{
    snprintf(room, 16, "key %u", key);
    return text(room);
}

/* ---------------------------------------------------------------- the child */

typedef struct st_ack_t {
    uint64_t version;
    uint32_t key;
    uint32_t number;
} ack_t;

static void init_options(fixture_t *f, const loop_disk_t *disk)
{
    *f = (fixture_t){.options = {.path = disk->mount,
                                 .segment_bytes = (uint64_t)128 << 10,
                                 .value_bytes_max = 1 << 20,
                                 .sync_interval_ms = 20,
                                 .checkpoint_bytes = (uint64_t)96 << 10,
                                 .queue_ops_max = 1000,
                                 .queue_bytes_max = 1 << 24,
                                 .io_threads = 1,
                                 .tombstone_retention_ms = 1}};
}

static cairn_write_t *frame(waiter_t *waiter, const burst_t *burst, size_t i)
{
    static uint8_t values[BURST_MAX][VALUE_BYTES_MAX]; /* large ones are borrowed */
    char room[16];
    uint32_t number = burst->writes[i].number;
    cairn_bytes_t value = {values[i], number != 0 ? make_value(number, values[i]) : 0};
    return fixture_frame(waiter, number != 0 ? CAIRN_WRITE_PUT : CAIRN_WRITE_DELETE,
                         key_of(burst->writes[i].key, room), value,
                         burst->is_async ? CAIRN_ASYNC : CAIRN_SYNC);
}

/** queues a burst; false if the store takes no more */
static bool queue(cairn_store_t *store, const burst_t *burst, waiter_t *waiter,
                  cairn_write_t **writes)
{
    bool is_queued = true;
    for (size_t i = 0; i < burst->count; ++i) {
        writes[i] = frame(waiter, burst, i);
        if (writes[i] == NULL)
            return false;
        if (i != 0 && burst->is_batch)
            writes[i - 1]->next = writes[i];
    }
    if (burst->is_batch)
        is_queued = cairn_store_enqueue_batch(store, writes[0], burst->is_atomic) == CAIRN_OK;
    for (size_t i = 0; i < burst->count && !burst->is_batch; ++i)
        is_queued = is_queued && cairn_store_enqueue(store, writes[i]) == CAIRN_OK;
    cairn_store_wake(store);
    return is_queued;
}

/** false when the store takes no more, or nobody listens */
static bool write_burst(cairn_store_t *store, const burst_t *burst, waiter_t *waiter, int acks)
{
    cairn_write_t *writes[BURST_MAX];
    ack_t told[BURST_MAX];
    size_t count = 0;
    bool goes_on = true;
    if (!queue(store, burst, waiter, writes))
        return false;
    waiter_take(waiter, burst->count);
    for (size_t i = 0; i < burst->count; ++i) {
        const cairn_write_t *write = writes[i];
        if (write->err == CAIRN_OK && !burst->is_async)
            told[count++] = (ack_t){write->version, burst->writes[i].key, burst->writes[i].number};
        goes_on &= write->err == CAIRN_OK || write->err == CAIRN_ERR_NOT_FOUND;
        cairn_write_destroy(writes[i]);
    }
    return write(acks, told, count * sizeof(told[0])) == (ssize_t)(count * sizeof(told[0])) &&
           goes_on;
}

static int sync_nothing(int fd)
{
    (void)fd;
    return 0;
}

/** never returns; what it leaves open is closed by being killed */
static void be_child(const loop_disk_t *disk, script_t script, int acks, bool writes, bool lies)
{
    static cairn_os_t lying;
    fixture_t f;
    burst_t burst;
    waiter_t waiter;
    lying = *cairn_os;
    lying.sync = sync_nothing;
    if (lies)
        cairn_os = &lying;
    init_options(&f, disk);
    waiter_init(&waiter);
    if (fixture_open(&f) != CAIRN_OK)
        _exit(1);
    while (writes) {
        draw_burst(&script, &burst);
        if (!write_burst(f.store, &burst, &waiter, acks))
            break;
        if (random_below(&script.random, 50) == 0)
            cairn_store_compact(f.store);
    }
    for (;;)
        pause();
}

/* ---------------------------------------------------------------- the parent */

typedef struct st_tally_t {
    uint64_t cuts, open_cuts, acknowledged, versions, batches;
    uint64_t lost, torn, wrong, refused, suspects;
} tally_t;

typedef struct st_run_t {
    loop_disk_t disk;
    random_t random;
    tally_t tally;
    bool is_quiet; /* findings are wanted */
    bool lies;
    uint64_t life;
    script_t script;       /* as it was when this life began */
    uint32_t has[KEYS];    /* the number of the value of each key then, 0: none */
    uint64_t last;         /* version then */
    uint64_t acknowledged; /* the highest */
    past_t *past;          /* of this life: version last + 1 + i */
    size_t count, room;
} run_t;

static void report(run_t *run, uint64_t *finding, const char *what, uint64_t got, uint64_t expected)
{
    ++*finding;
    if (!run->is_quiet)
        printf("\n    CAIRN_SEED=%llu, %s, life %llu: %s: %llu, expected %llu",
               (unsigned long long)seed_of_run(), run->disk.type, (unsigned long long)run->life,
               what, (unsigned long long)got, (unsigned long long)expected);
}

static uint64_t findings(const tally_t *t)
{
    return t->lost + t->torn + t->wrong + t->refused + t->suspects;
}

/** what the child's bursts come to, at least up to this version */
static void follow_script(run_t *run, script_t *script, uint64_t version)
{
    burst_t burst;
    while (run->last + run->count < version) {
        draw_burst(script, &burst);
        if (run->count + BURST_MAX > run->room) {
            run->room = 2 * run->room + 4096;
            run->past = realloc(run->past, run->room * sizeof(*run->past));
            CU_ASSERT_PTR_NOT_NULL_FATAL(run->past);
        }
        for (size_t i = 0; i < burst.count; ++i)
            if (burst.writes[i].number != 0 || burst.writes[i].is_found)
                run->past[run->count++] = (past_t){.key = burst.writes[i].key,
                                                   .number = burst.writes[i].number,
                                                   .more = burst.is_atomic && i + 1 < burst.count};
        random_below(&script->random, 50); /* as the child does between two bursts */
    }
}

static void take_ack(run_t *run, script_t *script, const ack_t *ack)
{
    follow_script(run, script, ack->version);
    const past_t *past = ack->version > run->last ? &run->past[ack->version - run->last - 1] : NULL;
    if (past == NULL || past->key != ack->key || past->number != ack->number)
        report(run, &run->tally.wrong, "a version of another write was acknowledged", ack->version,
               run->last);
    if (ack->version > run->acknowledged)
        run->acknowledged = ack->version;
    ++run->tally.acknowledged;
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/** takes acknowledgements until then, or until there are no more; false at the end of the pipe */
static bool listen_until(run_t *run, script_t *script, int acks, uint64_t until_us, bool only_first)
{
    for (;;) {
        ack_t heard[64];
        uint64_t now = now_us();
        struct pollfd p = {.fd = acks, .events = POLLIN};
        struct timespec wait = {.tv_sec = (time_t)((until_us - now) / 1000000),
                                .tv_nsec = (long)((until_us - now) % 1000000) * 1000};
        if (now >= until_us || ppoll(&p, 1, &wait, NULL) <= 0)
            return true;
        ssize_t n = read(acks, heard, sizeof(heard));
        if (n <= 0)
            return false;
        /* what the child writes at once is read at once: the pipe is never full */
        CU_ASSERT_EQUAL_FATAL((size_t)n % sizeof(ack_t), 0);
        for (size_t i = 0; i < (size_t)n / sizeof(ack_t); ++i)
            take_ack(run, script, &heard[i]);
        if (only_first)
            return true;
    }
}

/** a child opens the store, writes if it shall, and meets its end; false if it could not begin */
static bool live_until_cut(run_t *run, bool writes)
{
    int pipes[2], status = 0;
    CU_ASSERT_EQUAL_FATAL(pipe2(pipes, O_CLOEXEC), 0);
    fflush(stdout);
    pid_t pid = fork();
    CU_ASSERT_FATAL(pid >= 0);
    if (pid == 0) {
        close(pipes[0]);
        be_child(&run->disk, run->script, pipes[1], writes, run->lies);
    }
    close(pipes[1]);
    script_t script = run->script;
    uint64_t before = run->tally.acknowledged;
    bool is_up = true;
    if (writes)
        is_up = listen_until(run, &script, pipes[0], now_us() + START_MS_MAX * 1000, true) &&
                run->tally.acknowledged != before;
    uint64_t load_us = random_below(&run->random, LOAD_US_MAX);
    if (is_up)
        listen_until(run, &script, pipes[0], now_us() + load_us, false);
    CU_ASSERT_FATAL(loop_disk_cut_power(&run->disk));
    kill(pid, SIGKILL);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    while (listen_until(run, &script, pipes[0], now_us() + 1000000, false))
        ;
    close(pipes[0]);
    CU_ASSERT_FATAL(loop_disk_remount(&run->disk));
    return is_up && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void check_key(run_t *run, fixture_t *f, uint32_t key)
{
    static uint8_t expected[VALUE_BYTES_MAX];
    char room[16];
    cairn_value_t value;
    uint32_t number = run->has[key];
    cairn_err_t err = fixture_get(f, key_of(key, room), &value);
    size_t count = number != 0 ? make_value(number, expected) : 0;
    bool is_right = number == 0 ? err == CAIRN_ERR_NOT_FOUND
                                : err == CAIRN_OK && value.count == count &&
                                      memcmp(value.bytes, expected, count) == 0;
    if (!is_right)
        report(run, &run->tally.wrong, "a key has not the value it had then", key, number);
}

/** the store must be what it was after one of the versions; false: this disk is done with */
static bool check_what_is_left(run_t *run)
{
    fixture_t f;
    init_options(&f, &run->disk);
    if (fixture_open(&f) != CAIRN_OK) {
        report(run, &run->tally.refused, f.errmsg, 0, run->acknowledged);
        return false;
    }
    cairn_damage_t damage;
    cairn_store_damage(f.store, &damage);
    if (damage.quarantined != 0)
        report(run, &run->tally.suspects, "an end is called suspect", damage.quarantined, 0);
    uint64_t found = cairn_store_last_version(f.store);
    if (found < run->acknowledged)
        report(run, &run->tally.lost, "the log ends too early", found, run->acknowledged);
    script_t script = run->script;
    run->count = 0;
    follow_script(run, &script, found);
    size_t versions = found > run->last ? found - run->last : 0;
    if (versions != 0 && run->past[versions - 1].more)
        report(run, &run->tally.torn, "a part of an atomic batch", found, found + 1);
    for (size_t i = 0; i < versions; ++i) {
        run->has[run->past[i].key] = run->past[i].number;
        run->tally.batches += run->past[i].more && (i == 0 || !run->past[i - 1].more);
    }
    for (uint32_t key = 0; key < KEYS; ++key)
        check_key(run, &f, key);
    run->tally.versions += versions;
    run->last = found;
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    return findings(&run->tally) == 0;
}

static bool live(run_t *run)
{
    run->acknowledged = run->last; /* what a store serves after a start is durable */
    run->count = 0;
    for (uint32_t key = 0; key < KEYS; ++key)
        run->script.has[key] = run->has[key] != 0;
    /* numbers are never given twice */
    run->script.number = (uint32_t)(run->life << 16);
    run->script.random = random_from(seed_of_run(), UINT64_C(1) << 50 | run->life);
    if (!live_until_cut(run, true)) {
        report(run, &run->tally.refused, "the child could not begin", 0, 0);
        return false;
    }
    ++run->tally.cuts;
    if (random_below(&run->random, 4) == 0) { /* again, while it is being opened */
        live_until_cut(run, false);
        ++run->tally.open_cuts;
    }
    return check_what_is_left(run);
}

/** a store on a new disk, cut after cut; false, with disk.error, if there can be none */
static bool run_on_a_disk(run_t *run, const char *type, uint64_t cuts)
{
    uint64_t until = run->tally.cuts + cuts;
    if (!loop_disk_create(&run->disk, type, DISK_BYTES, TEMP_DIR_IN_MEMORY))
        return false;
    run->last = 0;
    memset(run->has, 0, sizeof(run->has));
    for (bool goes_on = true; goes_on && run->tally.cuts < until; ++run->life)
        goes_on = live(run);
    CU_ASSERT(loop_disk_destroy(&run->disk));
    return true;
}

static void say_figures(const run_t *run)
{
    const tally_t *t = &run->tally;
    printf("\n    %s: power cuts %llu, and %llu while a store opened; versions compared %llu, of "
           "which acknowledged %llu, in atomic batches %llu: lost %llu, wrong %llu, torn batches "
           "%llu, refused %llu, called suspect %llu",
           run->disk.type, (unsigned long long)t->cuts, (unsigned long long)t->open_cuts,
           (unsigned long long)t->versions, (unsigned long long)t->acknowledged,
           (unsigned long long)t->batches, (unsigned long long)t->lost,
           (unsigned long long)t->wrong, (unsigned long long)t->torn,
           (unsigned long long)t->refused, (unsigned long long)t->suspects);
}

static void cut_power_on(const char *type)
{
    uint64_t cuts = is_soak() ? CUTS_SOAK : CUTS;
    run_t *run = calloc(1, sizeof(*run));
    CU_ASSERT_PTR_NOT_NULL_FATAL(run);
    run->random = random_from(seed_of_run(), UINT64_C(1) << 51);
    while (run->tally.cuts < cuts && findings(&run->tally) == 0) {
        uint64_t left = cuts - run->tally.cuts;
        if (!run_on_a_disk(run, type, left < CUTS_A_DISK ? left : CUTS_A_DISK)) {
            printf(" (skipped: %s) ", run->disk.error);
            break;
        }
        if (is_soak()) {
            printf("\r    %llu of %llu cuts", (unsigned long long)run->tally.cuts,
                   (unsigned long long)cuts);
            fflush(stdout);
        }
    }
    if (run->tally.cuts != 0) {
        say_figures(run);
        printf("\n    ");
        CU_ASSERT(run->tally.acknowledged > run->tally.cuts);
        CU_ASSERT_EQUAL(findings(&run->tally), 0);
    }
    free(run->past);
    free(run);
}

static void power_cuts_on_ext4(void)
{
    cut_power_on("ext4");
}

static void power_cuts_on_xfs(void)
{
    cut_power_on("xfs");
}

static void a_sync_that_does_nothing_is_seen(void)
{
    run_t *run = calloc(1, sizeof(*run));
    CU_ASSERT_PTR_NOT_NULL_FATAL(run);
    run->random = random_from(seed_of_run(), UINT64_C(1) << 52);
    run->is_quiet = run->lies = true;
    if (run_on_a_disk(run, "ext4", CUTS_CONTROL)) {
        printf("found within %llu cuts; ", (unsigned long long)run->tally.cuts);
        CU_ASSERT(findings(&run->tally) != 0);
    } else {
        printf(" (skipped: %s) ", run->disk.error);
    }
    free(run->past);
    free(run);
}

/* ---------------------------------------------------------------- a sync that fails */

#define LARGE_BYTES ((size_t)100 << 10)
#define LARGE_COUNT 400

static cairn_err_t put_large(fixture_t *f, unsigned i, uint8_t *room)
{
    char name[16];
    random_fill(i, room, LARGE_BYTES);
    return fixture_write(f, CAIRN_WRITE_PUT, key_of(i, name), (cairn_bytes_t){0},
                         (cairn_bytes_t){room, LARGE_BYTES}, CAIRN_SYNC)
        .err;
}

static bool has_large(fixture_t *f, unsigned i, uint8_t *room)
{
    char name[16];
    cairn_value_t value;
    random_fill(i, room, LARGE_BYTES);
    return fixture_get(f, key_of(i, name), &value) == CAIRN_OK && value.count == LARGE_BYTES &&
           memcmp(value.bytes, room, LARGE_BYTES) == 0;
}

/* the device takes no more blocks, which no file system is told before it writes back. The kernel
 * says so once, and calls the pages clean: a second sync would say that all is well */
static void a_sync_that_fails(const char *type)
{
    fixture_t f;
    loop_disk_t disk;
    unsigned count = 0, there = 0;
    cairn_err_t err = CAIRN_OK;
    uint8_t *room = malloc(LARGE_BYTES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(room);
    if (!loop_disk_create_thin(&disk, type, DISK_BYTES, DISK_BYTES)) {
        printf(" (skipped: %s) ", disk.error);
        free(room);
        return;
    }
    init_options(&f, &disk);
    f.options.segment_bytes = (uint64_t)4 << 20;
    f.options.checkpoint_bytes = 0;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (; count < 20; ++count)
        CU_ASSERT_EQUAL_FATAL(put_large(&f, count, room), CAIRN_OK);
    CU_ASSERT_FATAL(loop_disk_fill_up(&disk));
    while (count < LARGE_COUNT && (err = put_large(&f, count, room)) == CAIRN_OK)
        ++count;
    CU_ASSERT(err == CAIRN_ERR_UNKNOWN || err == CAIRN_ERR_FAILED);
    CU_ASSERT(cairn_store_has_failed(f.store));
    for (unsigned i = 0; i < 10; ++i) { /* never tried again, and reads go on */
        CU_ASSERT_EQUAL(put_large(&f, LARGE_COUNT + i, room), CAIRN_ERR_FAILED);
        CU_ASSERT(has_large(&f, i, room));
    }
    fixture_close(&f);
    CU_ASSERT_FATAL(loop_disk_give_back(&disk));
    CU_ASSERT_FATAL(loop_disk_remount(&disk));
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (unsigned i = 0; i < count; ++i)
        there += has_large(&f, i, room);
    printf("(%s: %u acknowledged, then %s; %u there after a restart) ", type, count,
           cairn_strerror(err), there);
    CU_ASSERT_EQUAL(there, count);
    CU_ASSERT_EQUAL(put_large(&f, count, room), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT(loop_disk_destroy(&disk));
    free(room);
}

static void a_sync_that_fails_on_ext4(void)
{
    a_sync_that_fails("ext4");
}

static void a_sync_that_fails_on_xfs(void)
{
    a_sync_that_fails("xfs");
}

void suite_real_disk(void)
{
    CU_pSuite s = CU_add_suite("real_disk", NULL, NULL);
    CU_add_test(s, "ext4: whatever was acknowledged is there after the power was cut",
                power_cuts_on_ext4);
    CU_add_test(s, "XFS: whatever was acknowledged is there after the power was cut",
                power_cuts_on_xfs);
    CU_add_test(s, "control: a sync that does nothing is seen", a_sync_that_does_nothing_is_seen);
    CU_add_test(s, "ext4: a sync that fails is the last one", a_sync_that_fails_on_ext4);
    CU_add_test(s, "XFS: a sync that fails is the last one", a_sync_that_fails_on_xfs);
}

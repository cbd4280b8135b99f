/*
 * Is damage to what was synced noticed, or harmless, whatever it is?
 *
 * A store of a few small segments, closed or cut, of which each bit is flipped and which is cut at
 * each byte, file by file: it is refused, or every key gives exactly what was put or an error. What
 * is not harmless is salvaged, with the power being cut on the way.
 * `make test` takes a sample, CAIRN_SOAK=1 all of it.
 */
#include <CUnit/CUnit.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "storage/verify.h"
#include "tests/disk_sim.h"
#include "tests/seed.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#if defined(__SANITIZE_THREAD__)
#define FLIP_STRIDE 4001
#elif defined(__SANITIZE_ADDRESS__)
#define FLIP_STRIDE 997
#else
#define FLIP_STRIDE 577
#endif

/** that many threads share the work */
#define LANES 3

#define VALUE_STEP 64
/* the value of write n begins at byte n * VALUE_STEP of this */
static uint8_t value_pool[64 * VALUE_STEP + 1024];

static int set_up(void)
{
    disk_sim_install();
    random_fill(1, value_pool, sizeof(value_pool));
    return 0;
}

static int tear_down(void)
{
    disk_sim_remove();
    return 0;
}

#define SMALL_KEYS 12
#define SMALL_STAY 4 /* keys that are written once */
#define SMALL_CHANGE (SMALL_KEYS - SMALL_STAY)
#define SMALL_WRITES 30
#define SMALL_SEGMENT_BYTES 8192
#define SECTOR_BYTES 512

static cairn_bytes_t key_of(unsigned key, char room[16])
{
    snprintf(room, 16, "key %u", key);
    return text(room);
}

/** a store of a few small segments, and what is in it */
typedef enum en_end_t {
    CUT,               /* by its power */
    CLOSED,            /* in order */
    CLOSED_WITH_TABLES /* and with key tables: a start does not read the records that they tell of
                        */
} end_t;

typedef struct st_small_t {
    disk_sim_t *disk;
    uint64_t versions[SMALL_KEYS]; /* also the numbers of their values; 0: deleted */
} small_t;

static fixture_t small_fixture(const disk_sim_t *disk)
{
    fixture_t f = {.options = {.path = disk_sim_path(disk),
                               .segment_bytes = SMALL_SEGMENT_BYTES,
                               .value_bytes_max = 1 << 20,
                               .sync_interval_ms = 60000,
                               .queue_ops_max = 1000,
                               .queue_bytes_max = 1 << 24,
                               .io_threads = 1,
                               .no_compaction = true,
                               .upkeep_by_hand = true}};
    return f;
}

static size_t small_bytes(uint64_t version)
{
    return version * 37 % 700;
}

/** the first ones stay, in segments that are sealed */
static unsigned small_key(uint64_t version)
{
    return (unsigned)(version <= SMALL_STAY ? SMALL_KEYS - version : version * 5 % SMALL_CHANGE);
}

static void write_small(fixture_t *f, small_t *small)
{
    for (uint64_t v = 1; v <= SMALL_WRITES; ++v) {
        char room[16];
        unsigned key = small_key(v);
        bool is_delete = v % 7 == 0 && small->versions[key] != 0;
        cairn_bytes_t value = {value_pool + v * VALUE_STEP, small_bytes(v)};
        outcome_t outcome =
            fixture_write(f, is_delete ? CAIRN_WRITE_DELETE : CAIRN_WRITE_PUT, key_of(key, room),
                          (cairn_bytes_t){0}, is_delete ? (cairn_bytes_t){0} : value, CAIRN_SYNC);
        CU_ASSERT_EQUAL_FATAL(outcome.err, CAIRN_OK);
        CU_ASSERT_EQUAL_FATAL(outcome.version, v);
        small->versions[key] = is_delete ? 0 : v;
    }
}

static void wait_until_quiet(const disk_sim_t *disk)
{
    uint64_t before;
    do {
        before = disk_sim_changes(disk);
        usleep(80000); /* four times what the writer waits before its idle mark */
    } while (disk_sim_changes(disk) != before);
}

static void make_small(small_t *small, end_t end)
{
    static const disk_sim_plan_t nothing;
    memset(small, 0, sizeof(*small));
    small->disk = disk_sim_create(seed_of_run());
    disk_sim_start(small->disk, &nothing, 0);
    fixture_t f = small_fixture(small->disk);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    write_small(&f, small);
    wait_until_quiet(small->disk);
    if (end == CLOSED_WITH_TABLES)
        cairn_store_upkeep(f.store);
    if (end == CUT)
        disk_sim_cut(small->disk);
    fixture_close(&f);
    if (end != CUT)
        disk_sim_cut(small->disk);
}

typedef struct st_verdicts_t {
    uint64_t tried, refused, damaged, harmless, wrong;
    uint64_t salvaged, stale; /* keys with an older value, where the store says that one is lost */
} verdicts_t;

/** a key gives exactly what was put, or an error that says it cannot */
static void read_one(fixture_t *f, unsigned key, const uint64_t *versions, verdicts_t *v)
{
    char room[16];
    cairn_value_t value;
    uint64_t n = versions[key];
    cairn_err_t err = fixture_get(f, key_of(key, room), &value);
    if (err == CAIRN_ERR_DAMAGED || err == CAIRN_ERR_IO)
        ++v->damaged;
    else if (n == 0)
        v->wrong += err != CAIRN_ERR_NOT_FOUND;
    else
        v->wrong += err != CAIRN_OK || value.version != n || value.count != small_bytes(n) ||
                    memcmp(value.bytes, value_pool + n * VALUE_STEP, value.count) != 0;
}

/** whether a key is damaged */
static bool read_small(fixture_t *f, const uint64_t *versions, verdicts_t *v)
{
    verdicts_t all = {0};
    for (unsigned key = 0; key < SMALL_KEYS; ++key)
        read_one(f, key, versions, &all);
    ++*(all.wrong != 0 ? &v->wrong : all.damaged != 0 ? &v->damaged : &v->harmless);
    return all.damaged != 0;
}

/* ---------------------------------------------------------------- salvaging it */

/** the version of the last write of a key, also where that was a delete */
static uint64_t last_write(unsigned key)
{
    uint64_t last = 0;
    for (uint64_t n = 1; n <= SMALL_WRITES; ++n)
        last = small_key(n) == key ? n : last;
    return last;
}

/**
 * Of a salvaged store: each key gives what was put, or an error; or, if its last version is among
 * those that the store says are lost, what it had before. It says that it is damaged, unless all is
 * as it was: what STORE said others know too.
 */
static bool is_salvaged(fixture_t *f, const uint64_t *versions, verdicts_t *v)
{
    cairn_damage_t damage;
    char why[CAIRN_ERRMSG_BYTES];
    cairn_store_damage(f->store, &damage);
    bool is_right = true, says = cairn_damage_text(&damage, why);
    for (unsigned key = 0; key < SMALL_KEYS; ++key) {
        verdicts_t one = {0};
        uint64_t last = last_write(key);
        read_one(f, key, versions, &one);
        bool is_said =
            damage.lost_versions != 0 && last >= damage.lost_first && last <= damage.lost_last;
        v->stale += one.wrong != 0 && is_said;
        is_right &= (one.wrong == 0 && (says || one.damaged == 0)) || is_said;
    }
    return is_right;
}

/** that file is for a backup to have */
static bool is_about_store(const fixture_t *f)
{
    return strstr(f->errmsg, "/STORE: not written") != NULL ||
           strstr(f->errmsg, "there are segments but no STORE") != NULL;
}

/** Salvages and verifies take longer than all else: a soak, which goes through every bit, has them
 * for each seventh, which comes to any change that a salvage is cut at. */
static bool is_seventh(const verdicts_t *v)
{
    return v->tried % 7 == 0;
}

static bool asks_verify(const verdicts_t *v)
{
    return is_soak() ? is_seventh(v) : v->tried % 8 == 0;
}

static bool asks_salvage(const verdicts_t *v)
{
    return !is_soak() || is_seventh(v);
}

static cairn_err_t verify(const disk_sim_t *disk, cairn_verify_result_t *result)
{
    char errmsg[CAIRN_ERRMSG_BYTES];
    cairn_verify_options_t options = {.path = disk_sim_path(disk)};
    return cairn_store_verify(&options, result, errmsg);
}

/** of a store that was open: what it said of its damage, verify says too, and nothing more */
static bool verify_agrees(const disk_sim_t *disk, const cairn_damage_t *damage)
{
    cairn_verify_result_t result;
    return verify(disk, &result) == CAIRN_OK && result.damage.lost_keys == damage->lost_keys &&
           result.damage.lost_versions == damage->lost_versions &&
           result.damage.lost_first == damage->lost_first &&
           result.damage.lost_last == damage->lost_last &&
           result.damage.quarantined == damage->quarantined;
}

/** salvages it, with the power being cut at this change; then all of it */
static void salvage(disk_sim_t *damaged, const uint64_t *versions, verdicts_t *v)
{
    disk_sim_plan_t plan = {.cut_at = 1 + v->tried % 40};
    fixture_t f = small_fixture(damaged);
    bool is_right = true;
    f.options.salvage = true;
    for (int i = 0; i < 2 && is_right; ++i) {
        disk_sim_cut(damaged);
        disk_sim_start(damaged, &plan, 0);
        cairn_err_t err = fixture_open(&f);
        is_right =
            err == CAIRN_OK || (plan.cut_at != 0 && disk_sim_is_off(damaged)) || is_about_store(&f);
        if (err == CAIRN_OK) {
            cairn_damage_t damage;
            cairn_store_damage(f.store, &damage);
            is_right = disk_sim_is_off(damaged) || is_salvaged(&f, versions, v);
            fixture_close(&f);
            /* verify syncs: a cut that is still to come would come there */
            if (i == 1 && asks_verify(v))
                is_right = is_right && verify_agrees(damaged, &damage);
        }
        plan.cut_at = 0;
    }
    if (!is_right)
        printf("\n    salvaged, with a cut at change %llu: wrong %s\n",
               (unsigned long long)(1 + v->tried % 40), f.errmsg);
    ++v->salvaged;
    v->wrong += !is_right;
}

/** opens a damaged copy, looks, salvages it if that shows, and throws it away; whether nothing
 * wrong was read */
static bool judge(disk_sim_t *damaged, const uint64_t *versions, verdicts_t *v)
{
    static const disk_sim_plan_t nothing;
    uint64_t wrong = v->wrong;
    bool is_damaged = true;
    cairn_verify_result_t result;
    /* an open that is refused takes the blank spare away, if nothing else */
    disk_sim_t *untouched = disk_sim_copy(damaged);
    bool is_clean = false;
    ++v->tried;
    if (asks_verify(v)) {
        disk_sim_start(untouched, &nothing, 0);
        is_clean = verify(untouched, &result) == CAIRN_OK;
    }
    fixture_t f = small_fixture(damaged);
    disk_sim_start(damaged, &nothing, 0);
    if (fixture_open(&f) == CAIRN_OK) {
        is_damaged = read_small(&f, versions, v);
        fixture_close(&f);
    } else {
        ++v->refused;
    }
    if (is_damaged && is_clean) {
        printf("\n    verify calls clean what is refused, or damaged: wrong");
        ++v->wrong;
    }
    if (is_damaged && asks_salvage(v))
        salvage(v->tried % 2 == 0 ? damaged : untouched, versions, v);
    disk_sim_destroy(untouched);
    disk_sim_destroy(damaged);
    return v->wrong == wrong;
}

/** one of those that go through the damage side by side, each on copies of its own */
typedef struct st_lane_t {
    pthread_t thread;
    const small_t *small;
    unsigned number;
    void (*damage)(struct st_lane_t *lane);
    uint64_t turn; /* every LANES-th damage is this lane's */
    verdicts_t verdicts;
    _Atomic bool is_over;
    _Atomic uint64_t tried; /* for who watches */
} lane_t;

static bool is_my_turn(lane_t *lane)
{
    return lane->turn++ % LANES == lane->number;
}

static bool try_one(lane_t *lane, disk_sim_t *damaged)
{
    bool is_right = judge(damaged, lane->small->versions, &lane->verdicts);
    atomic_store(&lane->tried, lane->verdicts.tried);
    return is_right;
}

/** the small ones, STORE among them, are gone through more closely */
static uint64_t step_of(uint64_t bytes, uint64_t stride)
{
    return bytes < 512 ? (stride + 15) / 16 : stride;
}

static void flip_bits(lane_t *lane)
{
    uint64_t bytes;
    const char *name;
    for (size_t i = 0; disk_sim_file(lane->small->disk, i, &name, &bytes); ++i) {
        uint64_t step = step_of(bytes, is_soak() ? 1 : FLIP_STRIDE);
        for (uint64_t bit = seed_of_run() % step; bit < bytes * 8; bit += step) {
            if (!is_my_turn(lane))
                continue;
            disk_sim_t *damaged = disk_sim_copy(lane->small->disk);
            disk_sim_flip(damaged, name, bit);
            if (!try_one(lane, damaged))
                printf("\n    CAIRN_SEED=%llu: bit %llu of %s flipped: wrong\n",
                       (unsigned long long)seed_of_run(), (unsigned long long)bit, name);
        }
    }
}

static void shorten_files(lane_t *lane)
{
    uint64_t bytes;
    const char *name;
    for (size_t i = 0; disk_sim_file(lane->small->disk, i, &name, &bytes); ++i) {
        uint64_t step = step_of(bytes, is_soak() ? 1 : FLIP_STRIDE / 8 + 1);
        for (uint64_t to = 0; to < bytes; to += step) {
            if (!is_my_turn(lane))
                continue;
            disk_sim_t *damaged = disk_sim_copy(lane->small->disk);
            disk_sim_shorten(damaged, name, to);
            if (!try_one(lane, damaged))
                printf("\n    %s cut to %llu bytes: wrong\n", name, (unsigned long long)to);
        }
        if (!is_my_turn(lane))
            continue;
        disk_sim_t *damaged = disk_sim_copy(lane->small->disk);
        disk_sim_lose(damaged, name);
        if (!try_one(lane, damaged))
            printf("\n    %s gone: wrong\n", name);
    }
}

/** each sector, by itself and with those that follow it: garbage, or zeroes */
static void ruin_sectors(lane_t *lane)
{
    uint64_t bytes;
    const char *name;
    for (size_t i = 0; disk_sim_file(lane->small->disk, i, &name, &bytes); ++i) {
        for (uint64_t at = 0; at < bytes; at += SECTOR_BYTES / (is_soak() ? 8 : 1)) {
            for (unsigned how = 0; how < 4; ++how) {
                if (!is_my_turn(lane))
                    continue;
                disk_sim_t *damaged = disk_sim_copy(lane->small->disk);
                disk_sim_fill(damaged, name, at, how < 2 ? SECTOR_BYTES : 5 * SECTOR_BYTES,
                              how % 2 == 0 ? 0 : 0x5a);
                if (!try_one(lane, damaged))
                    printf("\n    %s from byte %llu on ruined (%u): wrong\n", name,
                           (unsigned long long)at, how);
            }
        }
    }
}

static void *lane_main(void *arg)
{
    lane_t *lane = arg;
    lane->damage(lane);
    atomic_store(&lane->is_over, true);
    return NULL;
}

/** says how far they are, until they are there */
static void watch(const lane_t *lanes)
{
    bool is_over = false;
    while (!is_over) {
        uint64_t tried = 0;
        sleep(1);
        is_over = true;
        for (unsigned i = 0; i < LANES; ++i) {
            tried += atomic_load(&lanes[i].tried);
            is_over &= atomic_load(&lanes[i].is_over);
        }
        printf("\r    %llu tried", (unsigned long long)tried);
        fflush(stdout);
    }
}

static void damage_all(const small_t *small, void (*damage)(lane_t *lane), verdicts_t *sum)
{
    lane_t lanes[LANES];
    memset(lanes, 0, sizeof(lanes));
    for (unsigned i = 0; i < LANES; ++i) {
        lanes[i].small = small;
        lanes[i].number = i;
        lanes[i].damage = damage;
        CU_ASSERT_FATAL(pthread_create(&lanes[i].thread, NULL, lane_main, &lanes[i]) == 0);
    }
    if (is_soak())
        watch(lanes);
    for (unsigned i = 0; i < LANES; ++i) {
        pthread_join(lanes[i].thread, NULL);
        sum->tried += lanes[i].verdicts.tried;
        sum->refused += lanes[i].verdicts.refused;
        sum->damaged += lanes[i].verdicts.damaged;
        sum->harmless += lanes[i].verdicts.harmless;
        sum->wrong += lanes[i].verdicts.wrong;
        sum->salvaged += lanes[i].verdicts.salvaged;
        sum->stale += lanes[i].verdicts.stale;
    }
}

/** `from`: the ends at which all that was written has been proven */
static void damage_is_noticed_or_harmless(void (*damage)(lane_t *lane), end_t from)
{
    static const char *const names[] = {"power cut", "closed", "closed, with key tables"};
    for (end_t end = from; end <= CLOSED_WITH_TABLES; ++end) {
        small_t small;
        verdicts_t v = {0};
        make_small(&small, end);
        CU_ASSERT(judge(disk_sim_copy(small.disk), small.versions, &v));
        CU_ASSERT_EQUAL(v.harmless, 1);
        damage_all(&small, damage, &v);
        printf("\n    %s: tried %llu, refused to open %llu, read as damaged %llu, harmless %llu, "
               "wrong %llu; salvaged %llu, keys older where a version is said to be lost %llu",
               names[end], (unsigned long long)v.tried, (unsigned long long)v.refused,
               (unsigned long long)v.damaged, (unsigned long long)v.harmless,
               (unsigned long long)v.wrong, (unsigned long long)v.salvaged,
               (unsigned long long)v.stale);
        /* in a soak each seventh */
        CU_ASSERT(is_soak() ? v.salvaged > (v.refused + v.damaged) / 10
                            : v.salvaged == v.refused + v.damaged);
        CU_ASSERT(v.refused + v.damaged > v.tried / 8);
        CU_ASSERT_EQUAL(v.wrong, 0);
        disk_sim_destroy(small.disk);
    }
    printf("\n    ");
}

static void a_flipped_bit_is_noticed_or_harmless(void)
{
    damage_is_noticed_or_harmless(flip_bits, CUT);
}

static void a_shortened_file_is_noticed_or_harmless(void)
{
    damage_is_noticed_or_harmless(shorten_files, CUT);
}

/* a sector may have both the last commit and the MARK that proves it: then only STORE knows */
static void a_ruined_sector_is_noticed_or_harmless(void)
{
    damage_is_noticed_or_harmless(ruin_sectors, CLOSED);
}

static void a_wrong_byte_would_be_seen(void)
{
    small_t small;
    verdicts_t v = {0};
    make_small(&small, CLOSED);
    for (unsigned key = 0; key < SMALL_KEYS; ++key) {
        uint64_t versions[SMALL_KEYS];
        memcpy(versions, small.versions, sizeof(versions));
        versions[key] = versions[key] != 0 ? 0 : 1;
        CU_ASSERT_FALSE(judge(disk_sim_copy(small.disk), versions, &v));
        versions[key] = small.versions[key] + 1;
        CU_ASSERT_FALSE(judge(disk_sim_copy(small.disk), versions, &v));
    }
    disk_sim_destroy(small.disk);
}

void suite_damage(void)
{
    CU_pSuite s = CU_add_suite("damage", set_up, tear_down);
    CU_add_test(s, "a flipped bit is noticed or harmless", a_flipped_bit_is_noticed_or_harmless);
    CU_add_test(s, "a shortened or lost file is noticed or harmless",
                a_shortened_file_is_noticed_or_harmless);
    CU_add_test(s, "ruined sectors are noticed or harmless",
                a_ruined_sector_is_noticed_or_harmless);
    CU_add_test(s, "control: a wrong byte or an older value is seen", a_wrong_byte_would_be_seen);
}

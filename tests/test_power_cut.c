/*
 * Is everything that was acknowledged there after the power was cut, whenever that was? And would
 * the histories of tests/cut_history.h show it if it were not?
 */
#include <CUnit/CUnit.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/cut_history.h"
#include "tests/disk_sim.h"
#include "tests/seed.h"
#include "tests/suites.h"

#if defined(__SANITIZE_THREAD__)
#define CUTS 600
#define CUTS_WITH_CHECKPOINTS 60
#define CUTS_WITH_COMPACTION 60
#elif defined(__SANITIZE_ADDRESS__)
#define CUTS 2000
#define CUTS_WITH_CHECKPOINTS 150
#define CUTS_WITH_COMPACTION 150
#else
#define CUTS 10000
#define CUTS_WITH_CHECKPOINTS 600
#define CUTS_WITH_COMPACTION 600
#endif
#define CUTS_SOAK 1000000
#define CUTS_WITH_CHECKPOINTS_SOAK 40000
#define CUTS_WITH_COMPACTION_SOAK 40000
#define CUTS_CONTROL 400
/** histories run side by side, each on a disk of its own: most of one is waiting for its threads */
#define LANES 3

/* ---------------------------------------------------------------- many of them, side by side */

typedef struct st_lane_t {
    pthread_t thread;
    uint64_t first_seed;
    uint64_t cuts;
    unsigned lies;
    cut_upkeep_t upkeep;
    bool until_found;
    cut_tally_t tally;
    _Atomic uint64_t done; /* cuts, for who watches */
    _Atomic bool is_over;
} lane_t;

/** how often compaction is met depends on when its thread gets to run: on a busy machine it takes
 * more histories, up to some times as many */
static bool has_met_enough(const lane_t *lane)
{
    const cut_tally_t *t = &lane->tally;
    if ((lane->upkeep & CUT_UPKEEP_COMPACTION) == 0 || t->cuts >= 8 * lane->cuts)
        return true;
    return t->compactions >= lane->cuts / 20 + 1 && t->found >= lane->cuts / 10 + 1;
}

static void *lane_main(void *arg)
{
    lane_t *lane = arg;
    for (uint64_t i = 0; lane->tally.cuts < lane->cuts || !has_met_enough(lane); ++i) {
        cut_history_run(seed_of_run(), lane->first_seed + i, lane->lies, lane->upkeep,
                        &lane->tally);
        atomic_store(&lane->done, lane->tally.cuts);
        if (cut_findings(&lane->tally) != 0 &&
            (lane->until_found || cut_findings(&lane->tally) > 100))
            break;
    }
    atomic_store(&lane->is_over, true);
    return NULL;
}

static void add_tally(cut_tally_t *sum, const cut_tally_t *more)
{
    sum->cuts += more->cuts;
    sum->kills += more->kills;
    sum->opened += more->opened;
    sum->checked += more->checked;
    sum->lost += more->lost;
    sum->resurrected += more->resurrected;
    sum->partial += more->partial;
    sum->batches += more->batches;
    sum->torn_batches += more->torn_batches;
    sum->false_alarms += more->false_alarms;
    sum->suspects += more->suspects;
    sum->refused += more->refused;
    sum->restored += more->restored;
    sum->compactions += more->compactions;
    sum->found += more->found;
}

/** says how far they are, until they are there */
static void watch(lane_t *lanes, uint64_t cuts)
{
    bool is_over = false;
    while (!is_over) {
        uint64_t done = 0;
        sleep(1);
        is_over = true;
        for (unsigned i = 0; i < LANES; ++i) {
            done += atomic_load(&lanes[i].done);
            is_over &= atomic_load(&lanes[i].is_over);
        }
        printf("\r    %llu of %llu cuts", (unsigned long long)done, (unsigned long long)cuts);
        fflush(stdout);
    }
}

static cut_tally_t run_lanes(uint64_t cuts, unsigned lies, cut_upkeep_t upkeep, bool until_found)
{
    lane_t lanes[LANES];
    cut_tally_t sum = {0};
    memset(lanes, 0, sizeof(lanes));
    for (unsigned i = 0; i < LANES; ++i) {
        lanes[i].first_seed = (uint64_t)i << 40 | (uint64_t)lies << 32;
        lanes[i].cuts = (cuts + LANES - 1) / LANES;
        lanes[i].lies = lies;
        lanes[i].upkeep = upkeep;
        lanes[i].until_found = until_found;
        CU_ASSERT_FATAL(pthread_create(&lanes[i].thread, NULL, lane_main, &lanes[i]) == 0);
    }
    if (is_soak() && !until_found)
        watch(lanes, cuts);
    for (unsigned i = 0; i < LANES; ++i) {
        pthread_join(lanes[i].thread, NULL);
        add_tally(&sum, &lanes[i].tally);
    }
    return sum;
}

static void whatever_was_acknowledged_is_there(void)
{
    uint64_t cuts = is_soak() ? CUTS_SOAK : CUTS;
    cut_tally_t t = run_lanes(cuts, 0, CUT_UPKEEP_NONE, false);
    printf("\n    power cuts %llu, kills %llu, stores looked at %llu, acknowledged writes checked "
           "%llu: lost %llu, partial %llu, false alarms %llu, called suspect %llu; atomic batches "
           "%llu: torn %llu\n    ",
           (unsigned long long)t.cuts, (unsigned long long)t.kills, (unsigned long long)t.opened,
           (unsigned long long)t.checked, (unsigned long long)t.lost, (unsigned long long)t.partial,
           (unsigned long long)t.false_alarms, (unsigned long long)t.suspects,
           (unsigned long long)t.batches, (unsigned long long)t.torn_batches);
    CU_ASSERT(t.cuts >= cuts);
    CU_ASSERT(t.checked >= cuts);
    /* there is one in four cuts; of a few hundred cuts chance leaves fewer now and then */
    CU_ASSERT(t.batches >= cuts / (cuts < 1000 ? 10 : 5));
    CU_ASSERT_EQUAL(t.torn_batches, 0);
    CU_ASSERT_EQUAL(t.lost, 0);
    CU_ASSERT_EQUAL(t.resurrected, 0);
    CU_ASSERT_EQUAL(t.partial, 0);
    CU_ASSERT_EQUAL(t.false_alarms, 0);
    CU_ASSERT_EQUAL(t.suspects, 0);
}

/* beside running writes, sync and async, and cut at any step of writing one */
static void whatever_was_acknowledged_is_there_with_checkpoints(void)
{
    uint64_t cuts = is_soak() ? CUTS_WITH_CHECKPOINTS_SOAK : CUTS_WITH_CHECKPOINTS;
    cut_tally_t t = run_lanes(cuts, 0, CUT_UPKEEP_CHECKPOINTS, false);
    printf(
        "\n    power cuts %llu, stores opened from a checkpoint %llu, acknowledged writes checked "
        "%llu: lost %llu, partial %llu, false alarms %llu\n    ",
        (unsigned long long)t.cuts, (unsigned long long)t.restored, (unsigned long long)t.checked,
        (unsigned long long)t.lost, (unsigned long long)t.partial,
        (unsigned long long)t.false_alarms);
    CU_ASSERT(t.cuts >= cuts);
    CU_ASSERT(t.restored >= cuts / (cuts < 100 ? 10 : 4)); /* under ThreadSanitizer there are few */
    CU_ASSERT_EQUAL(cut_findings(&t) + t.suspects, 0);
}

/* beside running writes, and cut at any step of rewriting segments */
static void whatever_was_acknowledged_is_there_with_compaction(cut_upkeep_t upkeep)
{
    uint64_t cuts = is_soak() ? CUTS_WITH_COMPACTION_SOAK : CUTS_WITH_COMPACTION;
    cut_tally_t t = run_lanes(cuts, 0, upkeep, false);
    printf("\n    power cuts %llu, compactions %llu, stores opened with compacted segments %llu, "
           "from a checkpoint %llu, acknowledged writes checked %llu: lost %llu, resurrected %llu, "
           "partial %llu, false alarms %llu\n    ",
           (unsigned long long)t.cuts, (unsigned long long)t.compactions,
           (unsigned long long)t.found, (unsigned long long)t.restored,
           (unsigned long long)t.checked, (unsigned long long)t.lost,
           (unsigned long long)t.resurrected, (unsigned long long)t.partial,
           (unsigned long long)t.false_alarms);
    CU_ASSERT(t.cuts >= cuts);
    CU_ASSERT(t.compactions >= cuts / 20);
    CU_ASSERT(t.found >= cuts / 10);
    CU_ASSERT_EQUAL(t.restored != 0, upkeep == CUT_UPKEEP_BOTH);
    CU_ASSERT_EQUAL(cut_findings(&t) + t.suspects, 0);
}

static void with_compaction(void)
{
    whatever_was_acknowledged_is_there_with_compaction(CUT_UPKEEP_COMPACTION);
}

static void with_compaction_and_checkpoints(void)
{
    whatever_was_acknowledged_is_there_with_compaction(CUT_UPKEEP_BOTH);
}

/* killed between a roll's rename and its sync; no room for STORE at the next start; then the power
 * is cut while the next spare takes the name. One history in ten got there */
static void a_name_left_unsynced_is_synced_on_a_full_disk(void)
{
    cut_tally_t t = {0};
    for (int i = 0; i < 120; ++i)
        cut_history_run(77, UINT64_C(2199023256006), 0, CUT_UPKEEP_NONE, &t);
    CU_ASSERT_EQUAL(cut_findings(&t), 0);
}

/* ---------------------------------------------------------------- the checker sees what is wrong
 */

static void must_find(unsigned lies)
{
    cut_tally_t t = run_lanes(CUTS_CONTROL, lies, CUT_UPKEEP_NONE, true);
    printf("found within %llu cuts; ", (unsigned long long)t.cuts);
    CU_ASSERT(cut_findings(&t) != 0);
}

static void a_sync_that_does_nothing(void)
{
    must_find(DISK_SIM_LIE_SYNC);
}

static void a_sync_dir_that_does_nothing(void)
{
    must_find(DISK_SIM_LIE_SYNC_DIR);
}

static void a_synced_sector_that_is_lost(void)
{
    must_find(DISK_SIM_LIE_SECTOR);
}

static void short_writes_that_are_not_noticed(void)
{
    must_find(DISK_SIM_LIE_SHORT);
}

static void a_part_of_an_atomic_batch(void)
{
    must_find(CUT_LIE_ATOMIC);
}

static void a_page_cache_that_is_believed(void)
{
    must_find(DISK_SIM_LIE_DROP_CACHE);
}

void suite_power_cut(void)
{
    CU_pSuite s = CU_add_suite("power_cut", cut_history_set_up, cut_history_tear_down);
    CU_add_test(s, "whatever was acknowledged is there after the power was cut",
                whatever_was_acknowledged_is_there);
    CU_add_test(s,
                "whatever was acknowledged is there, also where checkpoints are written meanwhile",
                whatever_was_acknowledged_is_there_with_checkpoints);
    CU_add_test(s,
                "whatever was acknowledged is there, also where segments are compacted meanwhile",
                with_compaction);
    CU_add_test(s, "and where both go on", with_compaction_and_checkpoints);
    CU_add_test(s, "a name that a killed process left unsynced is synced on a full disk",
                a_name_left_unsynced_is_synced_on_a_full_disk);
    CU_add_test(s, "control: a sync that does nothing is seen", a_sync_that_does_nothing);
    CU_add_test(s, "control: a sync_dir that does nothing is seen", a_sync_dir_that_does_nothing);
    CU_add_test(s, "control: a synced sector that is lost is seen", a_synced_sector_that_is_lost);
    CU_add_test(s, "control: a short write that nobody notices is seen",
                short_writes_that_are_not_noticed);
    CU_add_test(s, "control: a page cache that is believed is seen", a_page_cache_that_is_believed);
    CU_add_test(s, "control: a part of an atomic batch is seen", a_part_of_an_atomic_batch);
}

/*
 * Does work in the background get out of the way of whoever waits for the disk or for a processor,
 * and still do twice as much as is being logged? On a clock, syncs and turns that the tests stage.
 */
#include <CUnit/CUnit.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "storage/os.h"
#include "storage/pace.h"
#include "tests/suites.h"

#define MIB ((uint64_t)1 << 20)
#define MS ((uint64_t)1000000)
#define SECOND (1000 * MS)
/** at a time, and what that takes of a processor */
#define PIECE_BYTES (MIB / 16)
#define PIECE_NS (MS / 8)

typedef struct st_stage_t {
    cairn_pace_t pace;
    uint64_t now_ns;
    cairn_log_load_t load;
    cairn_turns_t turns;
    uint64_t piece_bytes;
    /* what there is beside it */
    uint64_t waits_ns;     /* of each piece, for a processor */
    uint64_t sync_ns;      /* of each sync of the log, of which there are a thousand a second */
    uint64_t logged_per_s; /* bytes */
} stage_t;

static void pass(stage_t *s, uint64_t ns)
{
    uint64_t syncs = (s->now_ns + ns) / MS - s->now_ns / MS;
    s->now_ns += ns;
    s->load.bytes += s->logged_per_s * ns / SECOND;
    if (s->sync_ns != 0) {
        s->load.syncs += syncs;
        s->load.sync_ns += syncs * s->sync_ns;
    }
}

static void begin(stage_t *s)
{
    cairn_pace_begin(&s->pace, s->now_ns, &s->load, &s->turns);
}

static void setup(stage_t *s)
{
    *s = (stage_t){.now_ns = 1000 * SECOND, .piece_bytes = PIECE_BYTES};
    cairn_pace_init(&s->pace);
}

/** a piece and the rest after it */
static void step(stage_t *s)
{
    ++s->turns.count;
    s->turns.waited_ns += s->waits_ns;
    pass(s, PIECE_NS + s->waits_ns);
    pass(s, MS * cairn_pace_rest_ms(&s->pace, s->piece_bytes, s->now_ns, &s->load, &s->turns));
}

/** bytes a second over so many seconds */
static uint64_t rate_over(stage_t *s, unsigned seconds)
{
    uint64_t begun_ns = s->now_ns, bytes = 0;
    for (; s->now_ns - begun_ns < seconds * SECOND; bytes += s->piece_bytes)
        step(s);
    return bytes * SECOND / (s->now_ns - begun_ns);
}

/** `count` pieces, of which the first `busy` of each `period` wait for a processor */
static void steps_with_waits(stage_t *s, int count, int period, int busy, uint64_t waits_ns)
{
    for (int i = 0; i < count; ++i) {
        s->waits_ns = i % period < busy ? waits_ns : 0;
        step(s);
    }
}

static void it_speeds_up_while_nobody_waits(void)
{
    stage_t s;
    setup(&s);
    begin(&s);
    uint64_t before = rate_over(&s, 1);
    CU_ASSERT(before < 12 * MIB);
    rate_over(&s, 10);
    uint64_t after = rate_over(&s, 1);
    CU_ASSERT(after > 4 * before);
    CU_ASSERT(after <= 210 * MIB);
}

static void slow_syncs_of_the_log_slow_it_down(void)
{
    stage_t s;
    setup(&s);
    s.sync_ns = MS / 10;
    pass(&s, SECOND);
    cairn_pace_observe(&s.pace, &s.load); /* what they take while nothing else goes on */
    begin(&s);
    rate_over(&s, 10);
    uint64_t fast = rate_over(&s, 1);
    CU_ASSERT(fast > 100 * MIB);
    s.sync_ns = MS / 4;
    rate_over(&s, 2);
    CU_ASSERT(rate_over(&s, 2) < 6 * MIB);
    s.sync_ns = MS / 10;
    rate_over(&s, 10);
    CU_ASSERT(rate_over(&s, 1) > 100 * MIB);
}

static void busy_processors_slow_it_down(void)
{
    stage_t s;
    setup(&s);
    begin(&s);
    rate_over(&s, 10);
    CU_ASSERT(rate_over(&s, 1) > 100 * MIB);
    s.waits_ns = 3 * MS;
    uint64_t begun_ns = s.now_ns;
    while (s.pace.bytes_per_s > 8 * MIB && s.now_ns - begun_ns < 2 * SECOND)
        step(&s);
    CU_ASSERT(s.now_ns - begun_ns < 2 * SECOND);
    rate_over(&s, 1);
    CU_ASSERT(rate_over(&s, 5) < 5 * MIB);
    s.waits_ns = 0;
    rate_over(&s, 10);
    CU_ASSERT(rate_over(&s, 1) > 100 * MIB);
}

/* as of a command that somebody runs now and then */
static void a_moment_of_work_elsewhere_changes_nothing(void)
{
    stage_t s;
    setup(&s);
    begin(&s);
    steps_with_waits(&s, 20000, 400, 20, 2 * MS);
    CU_ASSERT(s.pace.bytes_per_s > 100 * MIB);
}

/** the kernel may look at who is to run no more often than that */
static void a_wait_for_a_tick_now_and_then_changes_nothing(void)
{
    stage_t s;
    setup(&s);
    begin(&s);
    steps_with_waits(&s, 20000, 80, 1, 4 * MS);
    CU_ASSERT(s.pace.bytes_per_s > 100 * MIB);
}

static void twice_as_much_is_done_as_is_logged(uint64_t logged_per_s, uint64_t piece_bytes)
{
    stage_t s;
    setup(&s);
    s.piece_bytes = piece_bytes;
    s.sync_ns = MS / 10;
    pass(&s, SECOND);
    cairn_pace_observe(&s.pace, &s.load);
    s.logged_per_s = logged_per_s;
    s.sync_ns = MS;
    s.waits_ns = piece_bytes / PIECE_BYTES * MS / 4;
    begin(&s);
    rate_over(&s, 3);
    uint64_t rate = rate_over(&s, 8);
    CU_ASSERT(rate > 19 * logged_per_s / 10);
    CU_ASSERT(rate < 23 * logged_per_s / 10);
}

static void twice_what_is_logged_is_done_whoever_waits(void)
{
    twice_as_much_is_done_as_is_logged(3 * MIB, PIECE_BYTES);
    twice_as_much_is_done_as_is_logged(10 * MIB, PIECE_BYTES);
    twice_as_much_is_done_as_is_logged(40 * MIB, PIECE_BYTES);
}

/* each is followed by a long rest, in which the log goes on */
static void large_pieces_are_no_faster(void)
{
    twice_as_much_is_done_as_is_logged(3 * MIB, 2 * MIB);
    twice_as_much_is_done_as_is_logged(10 * MIB, 4 * MIB);
}

/* as with small segments, of which each compaction does little */
static void many_short_works_are_as_fast_as_a_long_one(void)
{
    stage_t s;
    setup(&s);
    s.logged_per_s = 10 * MIB;
    for (int i = 0; i < 200; ++i) {
        begin(&s);
        step(&s);
        step(&s);
    }
    CU_ASSERT(rate_over(&s, 1) >= 19 * MIB);
}

static void after_a_while_without_work_it_begins_with_care(void)
{
    stage_t s;
    setup(&s);
    begin(&s);
    rate_over(&s, 10);
    begin(&s); /* the next segment, at once */
    CU_ASSERT(rate_over(&s, 1) > 100 * MIB);
    pass(&s, 2 * SECOND);
    begin(&s);
    CU_ASSERT(rate_over(&s, 1) < 12 * MIB);
}

static void no_rest_is_longer_than_a_second(void)
{
    stage_t s;
    setup(&s);
    begin(&s);
    CU_ASSERT_EQUAL(cairn_pace_rest_ms(&s.pace, (uint64_t)1 << 40, s.now_ns, &s.load, &s.turns),
                    1000);
}

/* ---------------------------------------------------------------- real processors */

static void spin(uint64_t ns)
{
    uint64_t begun_ns = cairn_os_real.monotonic_ns();
    while (cairn_os_real.monotonic_ns() - begun_ns < ns)
        ;
}

static void *spin_on_the_first(void *arg)
{
    spin(*(uint64_t *)arg);
    return NULL;
}

static void the_system_tells_who_has_waited_for_a_processor(void)
{
    cairn_turns_t before = {.count = 0}, after = before;
    uint64_t ns = 300 * MS;
    cpu_set_t all, one;
    pthread_t other;
    if (cairn_os_real.turns(&before.count, &before.waited_ns) != 0) {
        printf(" (skipped: the kernel does not count turns) ");
        return;
    }
    CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    CU_ASSERT_EQUAL_FATAL(sched_setaffinity(0, sizeof(one), &one), 0); /* the other inherits it */
    CU_ASSERT_EQUAL(cairn_os_real.turns(&before.count, &before.waited_ns), 0);
    int failure = pthread_create(&other, NULL, spin_on_the_first, &ns);
    if (failure != 0)
        sched_setaffinity(0, sizeof(all), &all); /* the tests to come want all of them */
    CU_ASSERT_EQUAL_FATAL(failure, 0);
    spin(ns);
    CU_ASSERT_EQUAL(cairn_os_real.turns(&after.count, &after.waited_ns), 0);
    pthread_join(other, NULL);
    CU_ASSERT_EQUAL(sched_setaffinity(0, sizeof(all), &all), 0);
    CU_ASSERT(after.count > before.count);
    CU_ASSERT(after.waited_ns - before.waited_ns > 50 * MS);
}

void suite_pace(void)
{
    CU_pSuite s = CU_add_suite("pace", NULL, NULL);
    CU_add_test(s, "it speeds up while nobody waits", it_speeds_up_while_nobody_waits);
    CU_add_test(s, "slow syncs of the log slow it down", slow_syncs_of_the_log_slow_it_down);
    CU_add_test(s, "busy processors slow it down", busy_processors_slow_it_down);
    CU_add_test(s, "a moment of work elsewhere changes nothing",
                a_moment_of_work_elsewhere_changes_nothing);
    CU_add_test(s, "a wait for a tick now and then changes nothing",
                a_wait_for_a_tick_now_and_then_changes_nothing);
    CU_add_test(s, "twice what is logged is done whoever waits",
                twice_what_is_logged_is_done_whoever_waits);
    CU_add_test(s, "large pieces are no faster", large_pieces_are_no_faster);
    CU_add_test(s, "many short works are as fast as a long one",
                many_short_works_are_as_fast_as_a_long_one);
    CU_add_test(s, "after a while without work it begins with care",
                after_a_while_without_work_it_begins_with_care);
    CU_add_test(s, "no rest is longer than a second", no_rest_is_longer_than_a_second);
    CU_add_test(s, "the system tells who has waited for a processor",
                the_system_tells_who_has_waited_for_a_processor);
}

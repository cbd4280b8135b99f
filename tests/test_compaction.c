/*
 * Does room come back, and nothing else with it?
 *
 * Random histories of puts, deletes, expiry, batches, compactions, restarts and deaths are held
 * against a model. Upkeep is run by hand, so that a history is the same each time; the wall clock
 * is the test's.
 */
#include "tests/store_fixture.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/compaction_internal.h"
#include "storage/os.h"
#include "storage/store_internal.h"
#include "tests/fault_os.h"
#include "tests/histories.h"
#include "tests/later.h"
#include "tests/seed.h"
#include "tests/suites.h"

#define KEYS 120
#define VALUE_BYTES_MAX 700
#define TTL_MS_MAX 3000
#define RETENTION_MS 2000

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STEPS 12000
#else
#define STEPS 100000
#endif
#define STEPS_SOAK 1000000
#define STEPS_A_HISTORY 4000

static const cairn_bytes_t nothing;

static int set_up(void)
{
    fault_os_install();
    later_install();
    return 0;
}

static int tear_down(void)
{
    later_remove();
    fault_os_remove();
    return 0;
}

/* ---------------------------------------------------------------- the model */

typedef struct st_model_key_t {
    bool exists;
    uint8_t seed;
    uint16_t bytes;
    uint64_t version;
    uint64_t expiry_ms; /* 0: never */
} model_key_t;

typedef struct st_model_t {
    fixture_t f;
    random_t random;
    waiter_t waiter;
    model_key_t keys[KEYS];
    histories_t views;
    uint64_t lost, resurrected, wrong, checked;
    uint64_t merges; /* segments that have taken the place of several */
} model_t;

static uint8_t pool[VALUE_BYTES_MAX + 256];

static cairn_bytes_t key_of(size_t i, char room[24])
{
    memcpy(room, "key/000", 8);
    room[4] = (char)('0' + i / 100 % 10);
    room[5] = (char)('0' + i / 10 % 10);
    room[6] = (char)('0' + i % 10);
    return (cairn_bytes_t){room, 7};
}

static bool is_there(const model_t *m, const model_key_t *key)
{
    return key->exists && (key->expiry_ms == 0 || key->expiry_ms > cairn_store_now_ms(m->f.store));
}

static void check_key(model_t *m, size_t i)
{
    char room[24];
    cairn_value_t value;
    const model_key_t *key = &m->keys[i];
    cairn_err_t err = fixture_get(&m->f, key_of(i, room), &value);
    ++m->checked;
    if (!is_there(m, key)) {
        m->resurrected += err != CAIRN_ERR_NOT_FOUND;
    } else if (err == CAIRN_ERR_NOT_FOUND) {
        m->lost += is_there(m, key); /* it may have expired just now */
    } else {
        m->wrong += err != CAIRN_OK || value.version != key->version || value.count != key->bytes ||
                    memcmp(value.bytes, pool + key->seed, key->bytes) != 0;
    }
}

static void check_all(model_t *m)
{
    for (size_t i = 0; i < KEYS; ++i)
        check_key(m, i);
}

/* ---------------------------------------------------------------- steps */

static cairn_write_t *frame(model_t *m, size_t i, cairn_write_op_t op, model_key_t *after)
{
    char room[24];
    bool is_put = op == CAIRN_WRITE_PUT;
    *after = (model_key_t){.exists = is_put,
                           .seed = (uint8_t)random_next(&m->random),
                           .bytes = (uint16_t)random_below(&m->random, VALUE_BYTES_MAX)};
    cairn_bytes_t value = is_put ? (cairn_bytes_t){pool + after->seed, after->bytes} : nothing;
    cairn_write_t *write =
        fixture_frame(&m->waiter, op, key_of(i, room), value,
                      random_below(&m->random, 3) == 0 ? CAIRN_ASYNC : CAIRN_SYNC);
    if (is_put && random_below(&m->random, 5) == 0) {
        write->ttl_ms = 1 + random_below(&m->random, TTL_MS_MAX);
        /* the writer decides; a moment later than this, and the checks allow for that */
        after->expiry_ms = cairn_store_now_ms(m->f.store) + write->ttl_ms;
    }
    return write;
}

/* what the writer has decided is what the model takes over */
static void take_over(model_t *m, size_t i, cairn_write_t *write, model_key_t after)
{
    if (write->err == CAIRN_OK) {
        after.version = write->version;
        if (write->ttl_ms != 0)
            after.expiry_ms = cairn_record_expiry_ms(write->_record);
        m->keys[i] = after;
        histories_note(&m->views, i,
                       (histories_key_t){.exists = after.exists,
                                         .version = after.version,
                                         .bytes = after.exists ? after.bytes : 0,
                                         .expiry_ms = after.expiry_ms});
    } else {
        CU_ASSERT_EQUAL(write->err, CAIRN_ERR_NOT_FOUND);
        CU_ASSERT_FALSE(is_there(m, &m->keys[i]));
    }
    cairn_write_destroy(write);
}

static void write_one(model_t *m)
{
    model_key_t after;
    size_t i = random_below(&m->random, KEYS);
    cairn_write_op_t op = random_below(&m->random, 4) == 0 ? CAIRN_WRITE_DELETE : CAIRN_WRITE_PUT;
    cairn_write_t *write = frame(m, i, op, &after);
    CU_ASSERT_EQUAL_FATAL(cairn_store_submit(m->f.store, write), CAIRN_OK);
    waiter_take(&m->waiter, 1);
    take_over(m, i, write, after);
}

/* puts only: an atomic batch with a delete of what is not there fails whole */
static void write_batch(model_t *m)
{
    enum { MOST = 12 };
    cairn_write_t *writes[MOST] = {NULL};
    model_key_t after[MOST];
    size_t first = random_below(&m->random, KEYS - MOST), count = 2 + random_below(&m->random, 10);
    for (size_t i = 0; i < count; ++i) {
        writes[i] = frame(m, first + i, CAIRN_WRITE_PUT, &after[i]);
        writes[i]->durability = CAIRN_SYNC;
        writes[i]->next = NULL;
        if (i != 0)
            writes[i - 1]->next = writes[i];
    }
    CU_ASSERT_EQUAL_FATAL(cairn_store_enqueue_batch(m->f.store, writes[0], true), CAIRN_OK);
    cairn_store_wake(m->f.store);
    waiter_take(&m->waiter, count);
    for (size_t i = 0; i < count; ++i)
        take_over(m, first + i, writes[i], after[i]);
}

/* from one moment on nothing on disk changes: what the death of a process looks like */
static void die(model_t *m)
{
    fault_os_freeze_after(random_below(&m->random, 4), false);
    if (random_below(&m->random, 2) == 0)
        cairn_store_upkeep(m->f.store);
    fixture_close(&m->f);
    fault_os_reset();
    fixture_must_open(&m->f);
}

/* where several segments began, one may begin now */
#define SEGMENTS_MAX 256

typedef struct st_layout_t {
    size_t count;
    uint64_t first_versions[SEGMENTS_MAX];
} layout_t;

static layout_t layout_of(const model_t *m)
{
    static cairn_segment_info_t infos[SEGMENTS_MAX];
    layout_t layout = {.count = cairn_store_segments(m->f.store, 0, infos, SEGMENTS_MAX)};
    CU_ASSERT_FATAL(layout.count < SEGMENTS_MAX);
    for (size_t i = 0; i < layout.count; ++i)
        layout.first_versions[i] = infos[i].first_version;
    return layout;
}

static void upkeep(model_t *m)
{
    layout_t before = layout_of(m);
    cairn_store_upkeep(m->f.store);
    layout_t after = layout_of(m);
    for (size_t i = 0, at = 0; i < after.count; ++i) {
        uint64_t next = i + 1 < after.count ? after.first_versions[i + 1] : UINT64_MAX;
        size_t replaced = 0;
        for (; at < before.count && before.first_versions[at] < next; ++at)
            ++replaced;
        m->merges += replaced > 1;
    }
}

static void compact_all(model_t *m)
{
    cairn_store_compact(m->f.store);
    upkeep(m);
}

static void step(model_t *m)
{
    uint64_t dice = random_below(&m->random, 1000);
    if (dice < 940)
        write_one(m);
    else if (dice < 970)
        write_batch(m);
    else if (dice < 985)
        later_by(random_below(&m->random, TTL_MS_MAX));
    else if (dice < 995)
        upkeep(m);
    else if (dice < 997)
        compact_all(m);
    else if (dice < 998)
        fixture_restart(&m->f);
    else if (dice < 999)
        histories_take_or_check_snapshot(&m->views, &m->f);
    else
        die(m);
    check_key(m, random_below(&m->random, KEYS));
    histories_check_listing(&m->views, m->f.store);
    histories_check_feed(&m->views, m->f.store);
    if (dice >= 970)
        histories_check_feed_from_0(&m->views, m->f.store);
}

/* ---------------------------------------------------------------- histories */

static void begin(model_t *m, uint64_t number, uint64_t checkpoint_bytes)
{
    memset(m, 0, sizeof(*m));
    m->random = random_from(seed_of_run(), number);
    random_fill(7, pool, sizeof(pool));
    fixture_init(&m->f, TEMP_DIR_IN_MEMORY);
    m->f.options.no_compaction = false;
    m->f.options.upkeep_by_hand = true;
    m->f.options.checkpoint_bytes = checkpoint_bytes;
    m->f.options.tombstone_retention_ms = RETENTION_MS;
    m->f.options.segment_bytes = (uint64_t)64 << 10;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&m->f), CAIRN_OK);
    waiter_init(&m->waiter);
    histories_init(&m->views, m->f.store, KEYS, key_of);
}

static void end(model_t *m)
{
    waiter_dispose(&m->waiter);
    fixture_dispose(&m->f);
}

static uint64_t steps_wanted(void)
{
    return is_soak() ? STEPS_SOAK : STEPS;
}

typedef struct st_tally_t {
    uint64_t steps, runs, merges, checked, lost, resurrected, wrong;
    uint64_t rows, changes, snapshots, wrong_rows, wrong_changes, wrong_snapshots;
} tally_t;

static uint64_t all_wrong(const tally_t *t)
{
    return t->lost + t->resurrected + t->wrong + t->wrong_rows + t->wrong_changes +
           t->wrong_snapshots;
}

static void count(tally_t *tally, const model_t *m)
{
    cairn_compaction_stats_t stats;
    cairn_compaction_stats(m->f.store->compaction, &stats);
    tally->runs += stats.runs;
    tally->merges += m->merges;
    tally->checked += m->checked;
    tally->lost += m->lost;
    tally->resurrected += m->resurrected;
    tally->wrong += m->wrong;
    tally->rows += m->views.rows;
    tally->changes += m->views.changes;
    tally->snapshots += m->views.snapshots;
    tally->wrong_rows += m->views.wrong_rows;
    tally->wrong_changes += m->views.wrong_changes;
    tally->wrong_snapshots += m->views.wrong_snapshots;
}

static void run_history(model_t *m, uint64_t number, void (*before_step)(model_t *m),
                        tally_t *tally)
{
    begin(m, number, number % 2 == 0 ? (uint64_t)256 << 10 : 0);
    for (uint64_t i = 0; i < STEPS_A_HISTORY; ++i, ++tally->steps) {
        if (before_step != NULL)
            before_step(m);
        step(m);
    }
    check_all(m);
    fixture_restart(&m->f);
    check_all(m);
    cairn_store_upkeep(m->f.store);
    check_all(m);
    count(tally, m);
    end(m);
}

static void random_histories(void)
{
    static model_t m;
    tally_t t = {.steps = 0};
    for (uint64_t number = 0; t.steps < steps_wanted() && all_wrong(&t) == 0; ++number)
        run_history(&m, number, NULL, &t);
    printf("\n    steps %llu, compactions after the last restarts %llu, upkeeps that merged %llu, "
           "reads checked %llu: lost %llu, resurrected %llu, wrong %llu (seed %llu) ",
           (unsigned long long)t.steps, (unsigned long long)t.runs, (unsigned long long)t.merges,
           (unsigned long long)t.checked, (unsigned long long)t.lost,
           (unsigned long long)t.resurrected, (unsigned long long)t.wrong,
           (unsigned long long)seed_of_run());
    printf("\n    %llu rows listed, %llu changes read, %llu snapshots: wrong %llu, %llu, %llu ",
           (unsigned long long)t.rows, (unsigned long long)t.changes,
           (unsigned long long)t.snapshots, (unsigned long long)t.wrong_rows,
           (unsigned long long)t.wrong_changes, (unsigned long long)t.wrong_snapshots);
    CU_ASSERT_EQUAL(t.wrong_rows, 0);
    CU_ASSERT_EQUAL(t.wrong_changes, 0);
    CU_ASSERT_EQUAL(t.wrong_snapshots, 0);
    CU_ASSERT(t.snapshots > 0);
    CU_ASSERT_EQUAL(t.lost, 0);
    CU_ASSERT_EQUAL(t.resurrected, 0);
    CU_ASSERT_EQUAL(t.wrong, 0);
    CU_ASSERT(t.runs > 0);
    CU_ASSERT(t.merges > 0);
}

/* a model that says something else than the store is contradicted, in each of its views */
static void views_that_differ_are_found(void)
{
    static model_t m;
    char room[24];
    begin(&m, 0, 0);
    outcome_t put =
        fixture_write(&m.f, CAIRN_WRITE_PUT, key_of(3, room), nothing, text("value"), CAIRN_SYNC);
    histories_key_t is = {.exists = true, .version = put.version, .bytes = 5}, was = is;
    histories_note(&m.views, 3, is);
    histories_take_or_check_snapshot(&m.views, &m.f);
    histories_check_listing(&m.views, m.f.store);
    histories_check_feed_from_0(&m.views, m.f.store);
    CU_ASSERT_EQUAL(m.views.wrong_rows + m.views.wrong_changes + m.views.wrong_snapshots, 0);
    m.views.pending[0].after.bytes = 6;
    histories_check_feed(&m.views, m.f.store);
    CU_ASSERT_EQUAL(m.views.wrong_changes, 1);
    is.version = was.version - 1;
    m.views.keys[3] = m.views.snapshot[3] = is;
    histories_check_feed_from_0(&m.views, m.f.store);
    CU_ASSERT_EQUAL(m.views.wrong_changes, 2);
    histories_check_listing(&m.views, m.f.store);
    CU_ASSERT_EQUAL(m.views.wrong_rows, 1);
    histories_take_or_check_snapshot(&m.views, &m.f);
    CU_ASSERT_EQUAL(m.views.wrong_snapshots, 1);
    m.views.keys[3] = (histories_key_t){.exists = false, .version = was.version};
    m.views.keys[4] = was;
    histories_check_listing(&m.views, m.f.store);
    CU_ASSERT_EQUAL(m.views.wrong_rows, 3); /* one too many, one too few */
    histories_note(&m.views, 5, was);
    histories_check_feed(&m.views, m.f.store);
    CU_ASSERT_EQUAL(m.views.wrong_changes, 3); /* never told */
    end(&m);
}

/* as if nothing older than any delete were on disk: then deletes go too early */
static void claim_that_all_is_live(model_t *m)
{
    cairn_segments_t *segments = &m->f.store->segments;
    pthread_mutex_lock(&segments->mutex);
    for (size_t i = 0; i < segments->count; ++i) /* of another one it is maintenance's to say */
        if (atomic_load_explicit(&segments->list[i]->sealed, memory_order_acquire))
            segments->list[i]->live_horizon = UINT64_MAX;
    pthread_mutex_unlock(&segments->mutex);
}

/* the model must find that */
static void eager_dropping_is_found(void)
{
    static model_t m;
    tally_t t = {.steps = 0};
    for (uint64_t number = 0; number < 20 && t.resurrected == 0; ++number)
        run_history(&m, number, claim_that_all_is_live, &t);
    CU_ASSERT(t.resurrected != 0);
}

/* ---------------------------------------------------------------- choosing */

#define MIB ((uint64_t)1 << 20)

static cairn_candidate_t segment_of(uint64_t mib, uint64_t dead_mib, uint64_t age_s)
{
    return (cairn_candidate_t){.bytes = mib * MIB,
                               .dead_bytes = dead_mib * MIB,
                               .age_ms = age_s * 1000,
                               .is_usable = true};
}

static void choosing(void)
{
    size_t from;
    cairn_pressure_t calm = {.segment_bytes = 64 * MIB}, full = calm;
    full.is_full = true;
    cairn_candidate_t c[8];
    for (size_t i = 0; i < 8; ++i)
        c[i] = segment_of(64, 10, 60);
    /* a sixth of it is dead: that may stay so, unless there is no room */
    CU_ASSERT_EQUAL(cairn_compaction_choose(c, 8, &calm, &from), 0);
    c[5].dead_bytes = 12 * MIB;
    CU_ASSERT_EQUAL(cairn_compaction_choose(c, 8, &full, &from), 1);
    CU_ASSERT_EQUAL(from, 5);
    /* asked for, anything that frees something is taken */
    c[2].is_asked = true;
    CU_ASSERT_EQUAL(cairn_compaction_choose(c, 8, &calm, &from), 1);
    CU_ASSERT_EQUAL(from, 2);
    c[2].is_usable = false;
    CU_ASSERT_EQUAL(cairn_compaction_choose(c, 8, &calm, &from), 0);
    /* all dead: always */
    c[7].dead_bytes = c[7].bytes;
    CU_ASSERT_EQUAL(cairn_compaction_choose(c, 8, &calm, &from), 1);
    CU_ASSERT_EQUAL(from, 7);
}

static void choosing_by_age(void)
{
    size_t from;
    cairn_pressure_t calm = {.segment_bytes = 64 * MIB};
    cairn_candidate_t c[3] = {segment_of(64, 30, 1000), segment_of(64, 34, 10),
                              segment_of(64, 20, 1500)};
    /* below the live share: the old one is worth more than the one that has a little more dead */
    CU_ASSERT_EQUAL(cairn_compaction_choose(c, 3, &calm, &from), 1);
    CU_ASSERT_EQUAL(from, 0);
    c[2].age_ms *= 4;
    CU_ASSERT_EQUAL(cairn_compaction_choose(c, 3, &calm, &from), 1);
    CU_ASSERT_EQUAL(from, 2);
}

/** beside the segment being written and the spare, a few mebibytes are nothing */
static void a_small_store_is_left_alone(void)
{
    size_t from;
    cairn_pressure_t calm = {.segment_bytes = 64 * MIB}, full = calm;
    full.is_full = true;
    cairn_candidate_t c = segment_of(20, 15, 60);
    CU_ASSERT_EQUAL(cairn_compaction_choose(&c, 1, &calm, &from), 0);
    CU_ASSERT_FALSE(cairn_compaction_is_urgent(&c, 1, &calm));
    CU_ASSERT_EQUAL(cairn_compaction_choose(&c, 1, &full, &from), 1);
    c.is_asked = true;
    CU_ASSERT_EQUAL(cairn_compaction_choose(&c, 1, &calm, &from), 1);
    c = segment_of(22, 17, 60); /* more than a quarter of a segment */
    CU_ASSERT_EQUAL(cairn_compaction_choose(&c, 1, &calm, &from), 1);
    CU_ASSERT_TRUE(cairn_compaction_is_urgent(&c, 1, &calm));
    c = segment_of(20, 15, 60);
    calm.retired_bytes = 2 * MIB; /* with what waits to be unlinked it is more, too */
    CU_ASSERT_EQUAL(cairn_compaction_choose(&c, 1, &calm, &from), 1);
}

/** what has been replaced and is still on disk is as dead as what is dead within */
static void what_waits_counts(void)
{
    size_t from;
    cairn_pressure_t calm = {.segment_bytes = 64 * MIB};
    cairn_candidate_t c[4];
    for (size_t i = 0; i < 4; ++i)
        c[i] = segment_of(64, i == 2 ? 17 : 14, 60); /* 0.77 of it live */
    CU_ASSERT_EQUAL(cairn_compaction_choose(c, 4, &calm, &from), 0);
    CU_ASSERT_FALSE(cairn_compaction_is_urgent(c, 4, &calm));
    calm.retired_bytes = 24 * MIB; /* 0.70 */
    CU_ASSERT_EQUAL(cairn_compaction_choose(c, 4, &calm, &from), 1);
    CU_ASSERT_EQUAL(from, 2);
    CU_ASSERT_FALSE(cairn_compaction_is_urgent(c, 4, &calm));
    calm.retired_bytes = 40 * MIB; /* 0.67 is passed */
    CU_ASSERT_TRUE(cairn_compaction_is_urgent(c, 4, &calm));
}

static void small_neighbours_are_merged(void)
{
    size_t from;
    cairn_pressure_t calm = {.segment_bytes = 64 * MIB};
    cairn_candidate_t c[9];
    for (size_t i = 0; i < 9; ++i)
        c[i] = segment_of(i < 3 ? 40 : 10, 0, 60);
    CU_ASSERT_EQUAL(cairn_compaction_choose(c, 9, &calm, &from), 6);
    CU_ASSERT_EQUAL(from, 3);
    c[5].bytes = 60 * MIB;
    CU_ASSERT_EQUAL(cairn_compaction_choose(c, 9, &calm, &from), 0);
}

void suite_compaction(void)
{
    CU_pSuite s =
        CU_add_suite("compaction: does room come back, and nothing else?", set_up, tear_down);
    CU_add_test(s, "what is worth rewriting", choosing);
    CU_add_test(s, "age counts", choosing_by_age);
    CU_add_test(s, "a small store is left alone", a_small_store_is_left_alone);
    CU_add_test(s, "what waits to be unlinked counts", what_waits_counts);
    CU_add_test(s, "small neighbours are merged", small_neighbours_are_merged);
    CU_add_test(s, "listings, feeds and snapshots that differ are found",
                views_that_differ_are_found);
    CU_add_test(s, "deletes that are dropped too early are found", eager_dropping_is_found);
    CU_add_test(s, "random histories come to what the model says", random_histories);
}

/*
 * Does a feed from any version on come to the present?
 *
 * A model knows the operation of every version; what the feed gives from any version on, applied to
 * the model's state at that version, must come to the state there is.
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/feed.h"
#include "storage/os.h"
#include "storage/store_internal.h"
#include "tests/later.h"
#include "tests/seed.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define KEYS 40
#define VALUE_BYTES_MAX 3000
#define TTL_MS 60000
#define RETENTION_MS 30000

typedef struct st_op_t {
    unsigned key;
    bool is_delete;
    uint64_t expiry_ms; /* 0: never */
    uint64_t seed;      /* of the value */
    size_t value_bytes;
} op_t;

typedef struct st_model_t {
    fixture_t f;
    random_t random;
    op_t *ops; /* by version, from 1 */
    uint64_t count, room;
    bool is_compacted;
    uint64_t refused; /* feeds that were too far behind */
} model_t;

/* what a key has: the version of its value, 0 for none */
typedef struct st_state_t {
    uint64_t versions[KEYS];
} state_t;

static void apply(state_t *state, const op_t *op, uint64_t version)
{
    state->versions[op->key] = op->is_delete ? 0 : version;
}

static bool has_expired(const op_t *op)
{
    return op->expiry_ms != 0 && op->expiry_ms <= cairn_os->now_ms();
}

static state_t state_at(const model_t *m, uint64_t version)
{
    state_t state = {.versions = {0}};
    for (uint64_t v = 1; v <= version; ++v)
        apply(&state, &m->ops[v], v);
    return state;
}

static void forget_expired(const model_t *m, state_t *state)
{
    for (unsigned key = 0; key < KEYS; ++key)
        if (state->versions[key] != 0 && has_expired(&m->ops[state->versions[key]]))
            state->versions[key] = 0;
}

static void write_something(model_t *m)
{
    char key[16];
    uint8_t value[VALUE_BYTES_MAX];
    op_t op = {.key = (unsigned)random_below(&m->random, KEYS),
               .is_delete = random_below(&m->random, 4) == 0,
               .seed = random_next(&m->random),
               .value_bytes = (size_t)random_below(&m->random, VALUE_BYTES_MAX)};
    bool has_ttl = !op.is_delete && random_below(&m->random, 5) == 0;
    waiter_t waiter;
    waiter_init(&waiter);
    if (op.is_delete)
        op.value_bytes = 0;
    random_fill(op.seed, value, op.value_bytes);
    snprintf(key, sizeof(key), "k%u", op.key);
    cairn_write_t *write =
        fixture_frame(&waiter, op.is_delete ? CAIRN_WRITE_DELETE : CAIRN_WRITE_PUT, text(key),
                      (cairn_bytes_t){value, op.value_bytes}, CAIRN_SYNC);
    write->ttl_ms = has_ttl ? TTL_MS : 0;
    CU_ASSERT_EQUAL_FATAL(cairn_store_submit(m->f.store, write), CAIRN_OK);
    write = waiter_take(&waiter, 1);
    if (write->err == CAIRN_OK) {
        if (++m->count >= m->room) {
            m->room = 2 * m->count;
            m->ops = realloc(m->ops, m->room * sizeof(*m->ops));
        }
        CU_ASSERT_EQUAL_FATAL(write->version, m->count);
        op.expiry_ms = has_ttl ? cairn_os->now_ms() + TTL_MS : 0;
        m->ops[m->count] = op;
    } else {
        CU_ASSERT_EQUAL(write->err, CAIRN_ERR_NOT_FOUND);
    }
    cairn_write_destroy(write);
    waiter_dispose(&waiter);
}

static bool is_of_model(const model_t *m, const cairn_change_t *change, bool has_value)
{
    char key[16];
    uint8_t value[VALUE_BYTES_MAX];
    if (change->version == 0 || change->version > m->count)
        return false;
    const op_t *op = &m->ops[change->version];
    size_t key_bytes = (size_t)snprintf(key, sizeof(key), "k%u", op->key);
    if (key_bytes != change->key.count || memcmp(key, change->key.base, key_bytes) != 0)
        return false;
    if (change->is_delete)
        return op->is_delete || has_expired(op);
    random_fill(op->seed, value, op->value_bytes);
    return !op->is_delete && !has_expired(op) && change->value_bytes == op->value_bytes &&
           (!has_value ||
            (change->value.count == op->value_bytes &&
             (op->value_bytes == 0 || memcmp(change->value.base, value, op->value_bytes) == 0)));
}

/* reads on from where the feed is, in steps of any length, to the end or to what the feed cannot
 * give; DAMAGED if anything that it gave is wrong */
static cairn_err_t follow(model_t *m, cairn_feed_t *feed, state_t *state, uint64_t *changes)
{
    cairn_feed_options_t options = {.may_wait = random_below(&m->random, 2) == 0};
    cairn_feed_reader_t reader;
    cairn_feed_result_t result;
    cairn_change_t change;
    bool is_right = true;
    do {
        uint64_t before = feed->version;
        options.records_max = 1 + random_below(&m->random, 100);
        options.wants_values = random_below(&m->random, 2) == 0;
        cairn_feed_begin(&reader, m->f.store, feed, &options);
        while ((result = cairn_feed_next(&reader, &change)) == CAIRN_FEED_CHANGE) {
            is_right &= change.version > before && is_of_model(m, &change, options.wants_values);
            before = change.version;
            ++*changes;
            apply(state, &(op_t){.key = m->ops[change.version].key, .is_delete = change.is_delete},
                  change.version);
        }
        cairn_feed_end(&reader);
        options.may_wait = result == CAIRN_FEED_FAILED;
    } while (is_right && (result == CAIRN_FEED_PAUSED ||
                          (result == CAIRN_FEED_FAILED && reader.err == CAIRN_ERR_COLD)));
    if (result == CAIRN_FEED_UP_TO_DATE)
        return is_right ? CAIRN_OK : CAIRN_ERR_DAMAGED;
    return is_right ? reader.err : CAIRN_ERR_DAMAGED;
}

/** whether what has been dropped since the feed's version could be missed */
static bool is_behind(const model_t *m, uint64_t version)
{
    return version != 0 && version < m->count &&
           version < cairn_segments_dropped_version(&m->f.store->segments);
}

static bool comes_to_present(model_t *m, uint64_t since)
{
    state_t state = state_at(m, since), present = state_at(m, m->count);
    cairn_feed_t feed = cairn_feed_from(m->f.store, since);
    uint64_t changes = 0;
    cairn_err_t err = follow(m, &feed, &state, &changes);
    if (is_behind(m, since)) {
        ++m->refused;
        return err == CAIRN_ERR_COMPACTED;
    }
    forget_expired(m, &state);
    forget_expired(m, &present);
    bool has_all = m->is_compacted ? changes <= m->count - since : changes == m->count - since;
    bool is_right = err == CAIRN_OK && feed.version == m->count && has_all &&
                    memcmp(&state, &present, sizeof(state)) == 0;
    if (!is_right)
        fprintf(stderr, "\nseed %llu: from %llu of %llu: %llu changes, ends at %llu\n",
                (unsigned long long)seed_of_run(), (unsigned long long)since,
                (unsigned long long)m->count, (unsigned long long)changes,
                (unsigned long long)feed.version);
    return is_right;
}

static void live_on(model_t *m)
{
    for (unsigned i = 0, n = (unsigned)random_below(&m->random, 400); i < n; ++i)
        write_something(m);
    if (random_below(&m->random, 3) == 0)
        fixture_restart(&m->f);
    if (random_below(&m->random, 4) == 0)
        later_by(TTL_MS / 2);
    if (!m->is_compacted)
        return;
    later_by(random_below(&m->random, 2 * RETENTION_MS));
    if (random_below(&m->random, 2) == 0)
        cairn_store_compact(m->f.store);
    cairn_store_upkeep(m->f.store);
}

/* one that follows all the time, over restarts too: its hint holds in the files there are */
typedef struct st_follower_t {
    cairn_feed_t feed;
    state_t state;
    uint64_t changes;
} follower_t;

static void check_follower(model_t *m, follower_t *follower)
{
    cairn_err_t err = is_behind(m, follower->feed.version) ? CAIRN_ERR_COMPACTED : CAIRN_OK;
    CU_ASSERT_EQUAL_FATAL(follow(m, &follower->feed, &follower->state, &follower->changes), err);
    if (err != CAIRN_OK) { /* it does what a client does: begins anew */
        *follower = (follower_t){.feed = cairn_feed_from(m->f.store, 0)};
        CU_ASSERT_EQUAL_FATAL(follow(m, &follower->feed, &follower->state, &follower->changes),
                              CAIRN_OK);
    }
    state_t expected = state_at(m, m->count), got = follower->state;
    forget_expired(m, &got);
    forget_expired(m, &expected);
    CU_ASSERT(memcmp(&got, &expected, sizeof(got)) == 0);
}

static void run_model(model_t *m, unsigned rounds)
{
    later_install();
    later_hold();
    m->random = random_from(seed_of_run(), 0xfeed);
    fixture_init(&m->f, TEMP_DIR_IN_MEMORY);
    m->f.options.upkeep_by_hand = true;
    m->f.options.no_compaction = !m->is_compacted;
    m->f.options.tombstone_retention_ms = RETENTION_MS;
    m->f.options.checkpoint_bytes = m->is_compacted ? 300000 : 0;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&m->f), CAIRN_OK);
    follower_t follower = {.feed = cairn_feed_from(m->f.store, 0)};
    for (unsigned round = 0; round < rounds; ++round) {
        live_on(m);
        CU_ASSERT_FATAL(comes_to_present(m, 0));
        CU_ASSERT_FATAL(comes_to_present(m, m->count));
        for (unsigned i = 0; i < 10; ++i)
            CU_ASSERT_FATAL(comes_to_present(m, random_below(&m->random, m->count + 1)));
        check_follower(m, &follower);
    }
    CU_ASSERT(m->is_compacted || follower.changes == m->count);
    free(m->ops);
    fixture_dispose(&m->f);
    later_remove();
}

static void feeds_come_to_the_present(void)
{
    model_t m = {.room = 0};
    run_model(&m, is_soak() ? 200 : 12);
    CU_ASSERT_EQUAL(m.refused, 0);
}

static void feeds_come_to_the_present_beside_compaction(void)
{
    model_t m = {.is_compacted = true};
    run_model(&m, is_soak() ? 300 : 25);
    CU_ASSERT(m.refused != 0);
}

void suite_feed_model(void)
{
    CU_pSuite s = CU_add_suite("feed_model: a feed beside a simple map", NULL, NULL);
    CU_add_test(s, "from any version a feed comes to the present", feeds_come_to_the_present);
    CU_add_test(s, "so it does where compaction and time take away what was replaced",
                feeds_come_to_the_present_beside_compaction);
}

/*
 * Does the feed give what has changed after a version, all of it, in order, once?
 *
 * A model knows the operation of every version; what the feed gives from any version on, applied to
 * the model's state at that version, must come to the state there is.
 */
#include <CUnit/CUnit.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static const cairn_bytes_t nothing;

static void start(fixture_t *f, temp_dir_place_t place)
{
    fixture_init(f, place);
    f->options.upkeep_by_hand = true; /* a checkpoint would sync what is to be seen unsynced */
    cairn_err_t err = fixture_open(f);
    if (err != CAIRN_OK)
        fprintf(stderr, "\n%s\n", f->errmsg);
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
}

/* ---------------------------------------------------------------- one step */

typedef struct st_step_t {
    cairn_feed_result_t result;
    cairn_err_t err;
    size_t changes;
    char text[512]; /* "1+a 2-b": version, put or delete, key */
} step_t;

static step_t step(fixture_t *f, cairn_feed_t *feed, const cairn_feed_options_t *options)
{
    cairn_feed_reader_t reader;
    cairn_change_t change;
    step_t s = {.changes = 0};
    size_t at = 0;
    cairn_feed_begin(&reader, f->store, feed, options);
    while ((s.result = cairn_feed_next(&reader, &change)) == CAIRN_FEED_CHANGE) {
        ++s.changes;
        CU_ASSERT_EQUAL(feed->version, change.version);
        if (at < sizeof(s.text) - 100)
            at += (size_t)sprintf(s.text + at, "%s%u%c%.*s", at != 0 ? " " : "",
                                  (unsigned)change.version, change.is_delete ? '-' : '+',
                                  (int)change.key.count, (const char *)change.key.base);
        if (options->wants_values && !change.is_delete)
            at += (size_t)sprintf(s.text + at, "=%.*s", (int)change.value.count,
                                  (const char *)change.value.base);
    }
    s.err = reader.err;
    cairn_feed_end(&reader);
    return s;
}

static bool gives(fixture_t *f, uint64_t since, const char *prefix, bool wants_values,
                  const char *expected)
{
    cairn_feed_options_t options = {.prefix = text(prefix),
                                    .wants_values = wants_values,
                                    .may_wait = true,
                                    .records_max = SIZE_MAX};
    cairn_feed_t feed = cairn_feed_from(f->store, since);
    step_t s = step(f, &feed, &options);
    bool is_right = s.result == CAIRN_FEED_UP_TO_DATE && strcmp(s.text, expected) == 0;
    if (!is_right)
        fprintf(stderr, "\nresult %d, error %d: %s\nexpected %s\n", s.result, s.err, s.text,
                expected);
    return is_right;
}

static void put_with_ttl(fixture_t *f, const char *key, const char *value, uint64_t ttl_ms)
{
    waiter_t waiter;
    waiter_init(&waiter);
    cairn_write_t *write =
        fixture_frame(&waiter, CAIRN_WRITE_PUT, text(key), text(value), CAIRN_SYNC);
    CU_ASSERT_PTR_NOT_NULL_FATAL(write);
    write->ttl_ms = ttl_ms;
    CU_ASSERT_EQUAL_FATAL(cairn_store_submit(f->store, write), CAIRN_OK);
    cairn_write_destroy(waiter_take(&waiter, 1));
    waiter_dispose(&waiter);
}

static void every_change_in_order(void)
{
    fixture_t f;
    start(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT(gives(&f, 0, "", false, ""));
    fixture_put(&f, "a", "one");
    fixture_put(&f, "ab", "two");
    fixture_put(&f, "a", "three");
    fixture_delete(&f, "a");
    fixture_delete(&f, "a"); /* there is none: no change */
    CU_ASSERT(gives(&f, 0, "", false, "1+a 2+ab 3+a 4-a"));
    CU_ASSERT(gives(&f, 0, "", true, "1+a=one 2+ab=two 3+a=three 4-a"));
    CU_ASSERT(gives(&f, 2, "", false, "3+a 4-a"));
    CU_ASSERT(gives(&f, 4, "", false, ""));
    CU_ASSERT(gives(&f, 1000, "", false, ""));
    CU_ASSERT(gives(&f, UINT64_MAX, "", false, ""));
    CU_ASSERT(gives(&f, 0, "ab", false, "2+ab"));
    CU_ASSERT(gives(&f, 0, "abc", false, ""));
    fixture_restart(&f);
    fixture_put(&f, "b", "");
    CU_ASSERT(gives(&f, 1, "", true, "2+ab=two 3+a=three 4-a 5+b="));
    fixture_dispose(&f);
}

static void expired_values_are_deletes(void)
{
    fixture_t f;
    later_install();
    start(&f, TEMP_DIR_IN_MEMORY);
    put_with_ttl(&f, "a", "short", 1000);
    put_with_ttl(&f, "b", "long", 1000000);
    CU_ASSERT(gives(&f, 0, "", true, "1+a=short 2+b=long"));
    later_by(5000);
    CU_ASSERT(gives(&f, 0, "", true, "1-a 2+b=long"));
    later_undo(); /* what has once been told to be gone stays gone */
    CU_ASSERT(gives(&f, 0, "", true, "1-a 2+b=long"));
    fixture_dispose(&f);
    later_remove();
}

static void only_what_is_durable(void)
{
    fixture_t f;
    start(&f, TEMP_DIR_ON_DISK);
    fixture_put(&f, "a", "1");
    outcome_t async =
        fixture_write(&f, CAIRN_WRITE_PUT, text("b"), nothing, text("2"), CAIRN_ASYNC);
    CU_ASSERT_EQUAL(async.version, 2);
    CU_ASSERT(gives(&f, 0, "", false, "1+a"));
    fixture_put(&f, "c", "3"); /* its sync covers both */
    CU_ASSERT(gives(&f, 0, "", false, "1+a 2+b 3+c"));
    fixture_dispose(&f);
}

static void short_steps_come_to_the_same(void)
{
    fixture_t f;
    char key[16];
    start(&f, TEMP_DIR_IN_MEMORY);
    for (unsigned i = 1; i <= 2000; ++i) {
        snprintf(key, sizeof(key), "%u", i);
        fixture_put(&f, key, "a value that takes some room, so that segments fill up");
    }
    cairn_feed_options_t options = {.records_max = 7};
    cairn_feed_t feed = cairn_feed_from(f.store, 0);
    uint64_t changes = 0, pauses = 0;
    for (step_t s = {.result = CAIRN_FEED_PAUSED}; s.result != CAIRN_FEED_UP_TO_DATE;) {
        s = step(&f, &feed, &options);
        /* what has just been written is in memory, unless it is a long search */
        options.may_wait = s.result == CAIRN_FEED_FAILED && s.err == CAIRN_ERR_COLD;
        CU_ASSERT_FATAL(s.result != CAIRN_FEED_FAILED || options.may_wait);
        changes += s.changes;
        pauses += s.result == CAIRN_FEED_PAUSED;
    }
    CU_ASSERT_EQUAL(changes, 2000);
    CU_ASSERT(pauses > 200);
    CU_ASSERT_EQUAL(feed.version, 2000);
    fixture_dispose(&f);
}

static void a_long_search_is_not_for_an_event_loop(void)
{
    fixture_t f;
    start(&f, TEMP_DIR_IN_MEMORY);
    f.options.segment_bytes = 1 << 20;
    fixture_restart(&f);
    for (unsigned i = 0; i < 1500; ++i)
        fixture_put(&f, "k", "v");
    cairn_feed_options_t options = {.records_max = 10};
    cairn_feed_t feed = cairn_feed_from(f.store, 1400);
    step_t s = step(&f, &feed, &options);
    CU_ASSERT_EQUAL(s.result, CAIRN_FEED_FAILED);
    CU_ASSERT_EQUAL(s.err, CAIRN_ERR_COLD);
    options.may_wait = true;
    options.records_max = SIZE_MAX;
    s = step(&f, &feed, &options);
    CU_ASSERT_EQUAL(s.changes, 100);
    /* it has left marks: others find a place near theirs at once */
    options.may_wait = false;
    options.records_max = 1500; /* a commit has its MARK */
    feed = cairn_feed_from(f.store, 1300);
    s = step(&f, &feed, &options);
    CU_ASSERT_EQUAL(s.result, CAIRN_FEED_UP_TO_DATE);
    CU_ASSERT_EQUAL(s.changes, 200);
    fixture_dispose(&f);
}

static void large_values_are_not_for_an_event_loop(void)
{
    fixture_t f;
    uint8_t *large = malloc(1 << 20);
    start(&f, TEMP_DIR_IN_MEMORY);
    f.options.segment_bytes = 4 << 20;
    fixture_restart(&f);
    random_fill(1, large, 1 << 20);
    fixture_write(&f, CAIRN_WRITE_PUT, text("large"), nothing, (cairn_bytes_t){large, 1 << 20},
                  CAIRN_SYNC);
    cairn_feed_options_t options = {.records_max = 10, .wants_values = true};
    cairn_feed_t feed = cairn_feed_from(f.store, 0);
    cairn_feed_reader_t reader;
    cairn_change_t change;
    for (int may_wait = 0; may_wait < 2; ++may_wait) {
        options.may_wait = may_wait;
        cairn_feed_begin(&reader, f.store, &feed, &options);
        cairn_feed_result_t result = cairn_feed_next(&reader, &change);
        CU_ASSERT_EQUAL(result, may_wait ? CAIRN_FEED_CHANGE : CAIRN_FEED_FAILED);
        if (may_wait) {
            CU_ASSERT(change.value.count == 1 << 20 &&
                      memcmp(change.value.base, large, 1 << 20) == 0);
        } else {
            CU_ASSERT_EQUAL(reader.err, CAIRN_ERR_COLD);
        }
        cairn_feed_end(&reader);
    }
    free(large);
    fixture_dispose(&f);
}

static void what_is_on_disk_only(void)
{
    fixture_t f;
    char value[2001];
    memset(value, 'x', 2000);
    value[2000] = '\0';
    start(&f, TEMP_DIR_ON_DISK);
    for (unsigned i = 0; i < 200; ++i)
        fixture_put(&f, "k", value);
    fixture_restart(&f);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    fixture_drop_caches(&f);
    cairn_feed_options_t options = {
        .records_max = SIZE_MAX, .wants_values = true, .may_wait = true};
    cairn_feed_t feed = cairn_feed_from(f.store, 0);
    step_t s = {.result = CAIRN_FEED_PAUSED};
    cairn_feed_reader_t reader;
    cairn_change_t change;
    cairn_feed_begin(&reader, f.store, &feed, &options);
    while ((s.result = cairn_feed_next(&reader, &change)) == CAIRN_FEED_CHANGE) {
        CU_ASSERT(change.value.count == 2000 && memcmp(change.value.base, value, 2000) == 0);
        ++s.changes;
    }
    cairn_feed_end(&reader);
    CU_ASSERT_EQUAL(s.result, CAIRN_FEED_UP_TO_DATE);
    CU_ASSERT_EQUAL(s.changes, 200);
    fixture_dispose(&f);
}

/* a record that cannot be believed ends the feed: what follows it must not be given without it */
static void damage_is_told(void)
{
    fixture_t f;
    char path[400];
    size_t count;
    start(&f, TEMP_DIR_ON_DISK);
    fixture_put(&f, "a", "first");
    fixture_put(&f, "b", "second");
    fixture_put(&f, "c", "third");
    snprintf(path, sizeof(path), "%s", fixture_path(&f, "0000000000000001-0000.seg"));
    uint8_t *bytes = read_file(path, &count);
    uint8_t *at = memmem(bytes, count, "bsecond", 7);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    cairn_feed_options_t options = {
        .records_max = SIZE_MAX, .wants_values = true, .may_wait = true};
    for (int i = 0; i < 2; ++i) {
        FILE *file = fopen(path, "r+"); /* the map shows it: it is the same page */
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        fseek(file, at - bytes + 1 - i, SEEK_SET); /* the value, then the key too */
        fputc('X', file);
        fclose(file);
        cairn_feed_t feed = cairn_feed_from(f.store, 0);
        step_t s = step(&f, &feed, &options);
        CU_ASSERT_EQUAL(s.result, CAIRN_FEED_FAILED);
        CU_ASSERT_EQUAL(s.err, CAIRN_ERR_DAMAGED);
        CU_ASSERT_EQUAL(s.changes, 1);
        CU_ASSERT_EQUAL(feed.version, 1);
        if (i == 0)
            CU_ASSERT(gives(&f, 0, "", false, "1+a 2+b 3+c")); /* nobody looks at the value */
    }
    free(bytes);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- behind the horizon */

static void dropped_deletes_end_a_feed(void)
{
    fixture_t f;
    start(&f, TEMP_DIR_IN_MEMORY);
    fixture_put(&f, "a", "1");
    fixture_put(&f, "b", "2");
    fixture_put(&f, "a", "3");
    fixture_delete(&f, "b");
    fixture_put(&f, "c", "5");
    cairn_feed_options_t options = {.may_wait = true, .records_max = 3}; /* LINK, MARK, one */
    cairn_feed_t begun = cairn_feed_from(f.store, 0), late = cairn_feed_from(f.store, 4);
    step(&f, &begun, &options);
    CU_ASSERT_EQUAL(begun.version, 1);
    /* as if compaction had dropped the delete of b, and its put before */
    cairn_segments_raise_dropped_version(&f.store->segments, 4);
    step_t s = step(&f, &begun, &options);
    CU_ASSERT_EQUAL(s.result, CAIRN_FEED_FAILED);
    CU_ASSERT_EQUAL(s.err, CAIRN_ERR_COMPACTED);
    for (uint64_t since = 1; since < 4; ++since) {
        cairn_feed_t feed = cairn_feed_from(f.store, since);
        s = step(&f, &feed, &options);
        CU_ASSERT_EQUAL(s.err, CAIRN_ERR_COMPACTED);
    }
    options.records_max = SIZE_MAX;
    s = step(&f, &late, &options);
    CU_ASSERT_EQUAL(s.changes, 1);
    CU_ASSERT_STRING_EQUAL(s.text, "5+c");
    /* from the beginning it goes on, page by page; what has been replaced is not given */
    options.records_max = 2;
    cairn_feed_t anew = cairn_feed_from(f.store, 0);
    CU_ASSERT_EQUAL(anew.base, 5);
    s = step(&f, &anew, &options);
    CU_ASSERT_EQUAL(s.result, CAIRN_FEED_PAUSED);
    options.records_max = SIZE_MAX;
    cairn_feed_t resumed = {.version = anew.version, .base = anew.base};
    s = step(&f, &resumed, &options);
    CU_ASSERT_EQUAL(s.result, CAIRN_FEED_UP_TO_DATE);
    CU_ASSERT_STRING_EQUAL(s.text, "3+a 4-b 5+c");
    /* an event loop leaves that to others */
    options.may_wait = false;
    anew = cairn_feed_from(f.store, 0);
    s = step(&f, &anew, &options);
    CU_ASSERT_EQUAL(s.err, CAIRN_ERR_COLD);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- against a model */

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
        /* the writer's clock is at most a moment behind ours, which is what TTLs are far from */
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

/* ---------------------------------------------------------------- being told */

typedef struct st_bell_t {
    cairn_watch_t watch; /* first: on_change casts back */
    sem_t rung;
    _Atomic unsigned count;
} bell_t;

static void on_change(cairn_watch_t *watch)
{
    bell_t *bell = (bell_t *)watch;
    ++bell->count;
    sem_post(&bell->rung);
}

static void bell_init(bell_t *bell, fixture_t *f)
{
    *bell = (bell_t){.watch = {.on_change = on_change}};
    sem_init(&bell->rung, 0, 0);
    cairn_feed_add_watch(f->store, &bell->watch);
}

static void who_is_armed_is_told_once(void)
{
    fixture_t f;
    bell_t bell, other;
    start(&f, TEMP_DIR_IN_MEMORY);
    bell_init(&bell, &f);
    bell_init(&other, &f);
    fixture_put(&f, "a", "1");
    CU_ASSERT_EQUAL(bell.count, 0);
    CU_ASSERT_FALSE(cairn_feed_arm(f.store, &bell.watch, 0)); /* there is something already */
    CU_ASSERT(cairn_feed_arm(f.store, &bell.watch, 1));
    CU_ASSERT_EQUAL(bell.count, 0);
    fixture_put(&f, "b", "2");
    sem_wait(&bell.rung);
    fixture_put(&f, "c", "3");
    CU_ASSERT_EQUAL(bell.count, 1);
    CU_ASSERT_EQUAL(other.count, 0);
    CU_ASSERT(cairn_feed_arm(f.store, &bell.watch, 3));
    CU_ASSERT(cairn_feed_arm(f.store, &other.watch, 3));
    fixture_put(&f, "d", "4");
    sem_wait(&bell.rung);
    sem_wait(&other.rung);
    CU_ASSERT_EQUAL(bell.count, 2);
    CU_ASSERT_EQUAL(other.count, 1);
    /* an async write is told of when it is durable */
    CU_ASSERT(cairn_feed_arm(f.store, &bell.watch, 4));
    fixture_write(&f, CAIRN_WRITE_PUT, text("e"), nothing, nothing, CAIRN_ASYNC);
    CU_ASSERT_EQUAL(bell.count, 2);
    fixture_put(&f, "f", "6");
    sem_wait(&bell.rung);
    CU_ASSERT_EQUAL(cairn_feed_newest(f.store), 6);
    fixture_dispose(&f);
    sem_destroy(&bell.rung);
    sem_destroy(&other.rung);
}

static void async_writes_are_told_in_time(void)
{
    fixture_t f;
    bell_t bell;
    fixture_init(&f, TEMP_DIR_ON_DISK);
    f.options.sync_interval_ms = 20;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    bell_init(&bell, &f);
    CU_ASSERT(cairn_feed_arm(f.store, &bell.watch, 0));
    fixture_write(&f, CAIRN_WRITE_PUT, text("a"), nothing, nothing, CAIRN_ASYNC);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    CU_ASSERT_EQUAL(sem_timedwait(&bell.rung, &until), 0);
    CU_ASSERT(gives(&f, 0, "", false, "1+a"));
    fixture_dispose(&f);
    sem_destroy(&bell.rung);
}

#define TAIL_WRITES 3000
#define TAIL_WRITERS 3
#define TAIL_FOLLOWERS 3

typedef struct st_tail_t {
    fixture_t *f;
    bell_t bell;
    unsigned number;
    uint64_t changes;
    bool is_right;
} tail_t;

static void *write_tail(void *arg)
{
    tail_t *tail = arg;
    char key[16];
    cairn_thread_register();
    for (unsigned i = 0; i < TAIL_WRITES / TAIL_WRITERS; ++i) {
        snprintf(key, sizeof(key), "%u-%u", tail->number, i);
        tail->is_right &= fixture_write(tail->f, CAIRN_WRITE_PUT, text(key), nothing, text(key),
                                        i % 2 != 0 ? CAIRN_SYNC : CAIRN_ASYNC)
                              .err == CAIRN_OK;
        cairn_thread_quiescent();
    }
    cairn_thread_unregister();
    return NULL;
}

static void *follow_tail(void *arg)
{
    tail_t *tail = arg;
    cairn_store_t *store = tail->f->store;
    cairn_feed_options_t options = {.records_max = 64, .wants_values = true};
    cairn_feed_reader_t reader;
    cairn_change_t change;
    cairn_thread_register();
    cairn_feed_t feed = cairn_feed_from(store, 0);
    while (tail->is_right && feed.version < TAIL_WRITES) {
        cairn_feed_result_t result;
        cairn_feed_begin(&reader, store, &feed, &options);
        while ((result = cairn_feed_next(&reader, &change)) == CAIRN_FEED_CHANGE)
            tail->is_right &= change.version == ++tail->changes &&
                              change.value.count == change.key.count &&
                              memcmp(change.value.base, change.key.base, change.key.count) == 0;
        tail->is_right &= result != CAIRN_FEED_FAILED || reader.err == CAIRN_ERR_COLD;
        options.may_wait = result == CAIRN_FEED_FAILED;
        cairn_feed_end(&reader);
        cairn_thread_quiescent();
        if (result == CAIRN_FEED_UP_TO_DATE && feed.version < TAIL_WRITES &&
            cairn_feed_arm(store, &tail->bell.watch, feed.version)) {
            cairn_thread_unregister();
            sem_wait(&tail->bell.rung);
            cairn_thread_register();
        }
    }
    cairn_thread_unregister();
    return NULL;
}

static void many_follow_the_tail(void)
{
    fixture_t f;
    pthread_t threads[TAIL_WRITERS + TAIL_FOLLOWERS];
    tail_t tails[TAIL_WRITERS + TAIL_FOLLOWERS];
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.sync_interval_ms = 1;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (unsigned i = 0; i < TAIL_WRITERS + TAIL_FOLLOWERS; ++i) {
        tails[i] = (tail_t){.f = &f, .number = i, .is_right = true};
        if (i < TAIL_FOLLOWERS)
            bell_init(&tails[i].bell, &f);
        pthread_create(&threads[i], NULL, i < TAIL_FOLLOWERS ? follow_tail : write_tail, &tails[i]);
    }
    cairn_thread_unregister();
    for (unsigned i = 0; i < TAIL_WRITERS + TAIL_FOLLOWERS; ++i)
        pthread_join(threads[i], NULL);
    cairn_thread_register();
    for (unsigned i = 0; i < TAIL_WRITERS + TAIL_FOLLOWERS; ++i) {
        CU_ASSERT(tails[i].is_right);
        if (i < TAIL_FOLLOWERS) {
            CU_ASSERT_EQUAL(tails[i].changes, TAIL_WRITES);
            CU_ASSERT(tails[i].bell.count != 0);
        }
    }
    fixture_dispose(&f);
}

void suite_feed(void)
{
    CU_pSuite s = CU_add_suite("feed", NULL, NULL);
    CU_add_test(s, "every change in the order of versions", every_change_in_order);
    CU_add_test(s, "expired values are deletes", expired_values_are_deletes);
    CU_add_test(s, "only what is durable is given", only_what_is_durable);
    CU_add_test(s, "short steps come to the same", short_steps_come_to_the_same);
    CU_add_test(s, "a long search is not for an event loop",
                a_long_search_is_not_for_an_event_loop);
    CU_add_test(s, "large values are not for an event loop",
                large_values_are_not_for_an_event_loop);
    CU_add_test(s, "what is on disk only is read too", what_is_on_disk_only);
    CU_add_test(s, "damage ends a feed and is told", damage_is_told);
    CU_add_test(s, "a dropped delete ends a feed that has not read it", dropped_deletes_end_a_feed);
    CU_add_test(s, "from any version a feed comes to the present", feeds_come_to_the_present);
    CU_add_test(s, "so it does where compaction and time take away what was replaced",
                feeds_come_to_the_present_beside_compaction);
    CU_add_test(s, "who is armed is told once", who_is_armed_is_told_once);
    CU_add_test(s, "async writes are told of once they are durable", async_writes_are_told_in_time);
    CU_add_test(s, "many follow the tail while others write", many_follow_the_tail);
}

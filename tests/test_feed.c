/*
 * Does the feed give what has changed after a version, all of it, in order, once?
 *
 * tests/test_feed_model.c has a model for the long run.
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

static const cairn_bytes_t nothing;

static void start(fixture_t *f, temp_dir_place_t place)
{
    fixture_init(f, place);
    f->options.upkeep_by_hand = true; /* a checkpoint would sync what is to be seen unsynced */
    fixture_must_open(f);
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
    CU_add_test(s, "who is armed is told once", who_is_armed_is_told_once);
    CU_add_test(s, "async writes are told of once they are durable", async_writes_are_told_in_time);
    CU_add_test(s, "many follow the tail while others write", many_follow_the_tail);
}

/*
 * Are the live keys listed in order, each once, whatever is written, rolled and restarted
 * meanwhile; and does a search meet each live value once?
 */
#include <CUnit/CUnit.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/keytable_internal.h"
#include "storage/listing.h"
#include "storage/search.h"
#include "storage/store_internal.h"
#include "tests/fault_os.h"
#include "tests/seed.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define KEYS 400
#define KEY_ROOM 48

/** what there should be: all keys that are ever used, in order, and which of them are live */
typedef struct st_model_t {
    fixture_t f;
    waiter_t waiter;
    random_t random;
    uint64_t compactions; /* of stores that have been closed */
    struct {
        uint8_t key[KEY_ROOM];
        size_t key_bytes;
        uint64_t version;
        size_t value_bytes;
        bool is_live;
    } keys[KEYS];
} model_t;

static cairn_bytes_t key_of(const model_t *m, size_t i)
{
    return (cairn_bytes_t){m->keys[i].key, m->keys[i].key_bytes};
}

static int by_key(const void *a, const void *b)
{
    const uint8_t *x = a, *y = b;
    size_t x_bytes, y_bytes;
    memcpy(&x_bytes, x + KEY_ROOM, sizeof(x_bytes));
    memcpy(&y_bytes, y + KEY_ROOM, sizeof(y_bytes));
    return cairn_key_compare((cairn_bytes_t){x, x_bytes}, (cairn_bytes_t){y, y_bytes});
}

/** many keys begin alike, some begin others, and there is every kind of byte */
static void model_init(model_t *m, uint64_t salt, bool compacts)
{
    memset(m, 0, sizeof(*m));
    m->random = random_from(seed_of_run(), salt);
    fixture_init(&m->f, TEMP_DIR_IN_MEMORY);
    m->f.options.upkeep_by_hand = true;
    m->f.options.no_compaction = !compacts;
    waiter_init(&m->waiter);
    for (size_t i = 0; i < KEYS; ++i) {
        uint8_t *key = m->keys[i].key;
        /* each its own: what follows the number cannot make it another one */
        size_t n = (size_t)sprintf((char *)key, "%c%zu.", "ab\xff"[i % 3], i);
        while (random_below(&m->random, 3) != 0 && n < KEY_ROOM)
            key[n++] = (uint8_t)(random_below(&m->random, 2) * random_below(&m->random, 256));
        m->keys[i].key_bytes = n;
    }
    qsort(m->keys, KEYS, sizeof(m->keys[0]), by_key);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&m->f), CAIRN_OK);
}

static void model_dispose(model_t *m)
{
    waiter_dispose(&m->waiter);
    fixture_dispose(&m->f);
}

/** puts a value of so many bytes, which with 1 ms to live is gone before anyone looks */
static void put(model_t *m, size_t i, size_t bytes, uint64_t ttl_ms)
{
    char value[600];
    memset(value, 'v', sizeof(value));
    if (bytes >= 8)
        memcpy(value + bytes / 2, bytes % 2 == 0 ? "even" : "odd!", 4);
    cairn_write_t *write = fixture_frame(&m->waiter, CAIRN_WRITE_PUT, key_of(m, i),
                                         (cairn_bytes_t){value, bytes}, CAIRN_ASYNC);
    write->ttl_ms = ttl_ms;
    CU_ASSERT_EQUAL_FATAL(cairn_store_submit(m->f.store, write), CAIRN_OK);
    CU_ASSERT_PTR_EQUAL(waiter_take(&m->waiter, 1), write);
    CU_ASSERT_EQUAL(write->err, CAIRN_OK);
    m->keys[i].version = write->version;
    m->keys[i].value_bytes = bytes;
    m->keys[i].is_live = ttl_ms != 1;
    cairn_write_destroy(write);
    if (ttl_ms == 1)
        usleep(2000);
}

static void delete_key(model_t *m, size_t i)
{
    outcome_t outcome = fixture_write(&m->f, CAIRN_WRITE_DELETE, key_of(m, i), (cairn_bytes_t){0},
                                      (cairn_bytes_t){0}, CAIRN_ASYNC);
    CU_ASSERT_EQUAL(outcome.err, m->keys[i].is_live ? CAIRN_OK : CAIRN_ERR_NOT_FOUND);
    m->keys[i].is_live = false;
}

static uint64_t count_compactions(model_t *m)
{
    cairn_compaction_stats_t stats;
    cairn_compaction_stats(m->f.store->compaction, &stats);
    return m->compactions + stats.runs;
}

static void restart(model_t *m)
{
    m->compactions = count_compactions(m);
    fixture_restart(&m->f);
}

static void change_something(model_t *m)
{
    size_t i = random_below(&m->random, KEYS);
    uint64_t what = random_below(&m->random, 100);
    if (what < 60)
        put(m, i, random_below(&m->random, 500), what < 10 ? 3600000 : 0);
    else if (what < 62)
        put(m, i, 20, 1);
    else if (what < 90)
        delete_key(m, i);
    else if (what < 97)
        cairn_store_upkeep(m->f.store);
    else if (what < 98)
        restart(m);
    else
        cairn_compaction_ask(m->f.store->compaction);
}

static bool begins_with(cairn_bytes_t key, cairn_bytes_t prefix)
{
    return key.count >= prefix.count && memcmp(key.base, prefix.base, prefix.count) == 0;
}

/** the next key of the model from `i` on that is to be listed; KEYS if there is none */
static size_t next_live(const model_t *m, size_t i, cairn_bytes_t prefix, cairn_bytes_t after)
{
    while (i < KEYS && (!m->keys[i].is_live || !begins_with(key_of(m, i), prefix) ||
                        (after.count != 0 && cairn_key_compare(key_of(m, i), after) <= 0)))
        ++i;
    return i;
}

static bool row_is(const model_t *m, size_t i, const cairn_row_t *row, bool wants_values)
{
    return i < KEYS && row->err == CAIRN_OK && cairn_key_compare(row->key, key_of(m, i)) == 0 &&
           row->version == m->keys[i].version && row->value_bytes == m->keys[i].value_bytes &&
           (!wants_values || row->value.count == row->value_bytes);
}

/** lists with these, in steps of some size, and compares with the model */
static bool listing_is_right(model_t *m, cairn_bytes_t prefix, cairn_bytes_t after)
{
    cairn_listing_options_t options = {.prefix = prefix,
                                       .wants_values = random_below(&m->random, 4) == 0,
                                       .entries_max = 1 + random_below(&m->random, 300)};
    cairn_listing_t listing;
    cairn_listing_result_t result = CAIRN_LISTING_PAUSED;
    cairn_row_t row;
    cairn_err_t err;
    size_t i = next_live(m, 0, prefix, after);
    cairn_listing_from(&listing, prefix, after);
    for (unsigned step = 0; result == CAIRN_LISTING_PAUSED && step < 10000; ++step) {
        cairn_listing_reader_t *reader = cairn_listing_begin(m->f.store, &listing, &options);
        CU_ASSERT_PTR_NOT_NULL_FATAL(reader);
        bool is_right = true;
        while (is_right && (result = cairn_listing_next(reader, &row, &err)) == CAIRN_LISTING_ROW) {
            is_right = row_is(m, i, &row, options.wants_values);
            i = is_right ? next_live(m, i + 1, prefix, after) : i;
        }
        cairn_listing_end(reader);
        if (!is_right)
            return false;
    }
    return result == CAIRN_LISTING_END && i == KEYS;
}

static bool random_listing_is_right(model_t *m)
{
    cairn_bytes_t prefix = {"", 0}, after = {"", 0};
    if (random_below(&m->random, 2) == 0) {
        prefix = key_of(m, random_below(&m->random, KEYS));
        prefix.count = 1 + random_below(&m->random, prefix.count < 3 ? prefix.count : 3);
    }
    if (random_below(&m->random, 2) == 0)
        after = key_of(m, random_below(&m->random, KEYS));
    return listing_is_right(m, prefix, after);
}

static void pages_equal_a_sorted_model_at_every_step(void)
{
    model_t m;
    unsigned steps = is_soak() ? 100000 : 4000, wrong = 0;
    model_init(&m, 1, true);
    for (unsigned step = 0; step < steps && wrong == 0; ++step) {
        change_something(&m);
        wrong += !random_listing_is_right(&m);
        if (wrong != 0)
            fprintf(stderr, "\nCAIRN_SEED=%" PRIu64 ", step %u\n", seed_of_run(), step);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(listing_is_right(&m, (cairn_bytes_t){"", 0}, (cairn_bytes_t){"", 0}));
    printf("(%" PRIu64 " compactions) ", count_compactions(&m));
    CU_ASSERT(count_compactions(&m) > 10);
    model_dispose(&m);
}

/** all but the newest segment get a table, once another thread has sealed them */
static void await_tables(model_t *m)
{
    size_t with_table = 0, wanted = m->f.store->segments.count - 1;
    for (unsigned i = 0; i < 10000 && with_table != wanted; ++i) {
        usleep(1000);
        cairn_store_upkeep(m->f.store);
        for (with_table = 0; with_table < wanted; ++with_table)
            if (cairn_keytable_of(m->f.store->segments.list[with_table]) == NULL)
                break;
    }
    CU_ASSERT_EQUAL_FATAL(with_table, wanted);
}

static void a_damaged_table_is_done_without(void)
{
    model_t m;
    model_init(&m, 2, false);
    do
        change_something(&m);
    while (m.f.store->segments.count < 4);
    await_tables(&m);
    /* what the disk now says of each table is something else */
    for (size_t i = 0; i + 1 < m.f.store->segments.count; ++i) {
        char name[CAIRN_KEYTABLE_NAME_BYTES];
        size_t count;
        cairn_keytable_name(name, m.f.store->segments.list[i]->first_version, 0);
        uint8_t *bytes = read_file(fixture_path(&m.f, name), &count);
        memset(bytes + CAIRN_KEYTABLE_HEADER_BYTES, 'x', 100);
        write_file(fixture_path(&m.f, name), bytes, count);
        free(bytes);
    }
    CU_ASSERT(listing_is_right(&m, (cairn_bytes_t){"", 0}, (cairn_bytes_t){"", 0}));
    cairn_store_upkeep(m.f.store);
    CU_ASSERT_EQUAL(cairn_keytable_verify(cairn_keytable_of(m.f.store->segments.list[0])),
                    CAIRN_OK);
    CU_ASSERT(listing_is_right(&m, (cairn_bytes_t){"", 0}, (cairn_bytes_t){"", 0}));
    model_dispose(&m);
}

/* ---------------------------------------------------------------- beside writes */

typedef struct st_busy_t {
    fixture_t *f;
    _Atomic bool is_over;
} busy_t;

/** overwrites the keys that stay, and puts and deletes others between them */
static void *keep_writing(void *arg)
{
    busy_t *busy = arg;
    random_t random = random_from(seed_of_run(), 77);
    cairn_thread_register();
    for (unsigned left = is_soak() ? 2000000 : 20000; left != 0; --left) {
        char key[32];
        uint64_t number = random_below(&random, 2000);
        size_t n = (size_t)sprintf(key, "%05" PRIu64, number);
        bool is_delete = number % 2 == 1 && random_below(&random, 2) == 0;
        fixture_write(busy->f, is_delete ? CAIRN_WRITE_DELETE : CAIRN_WRITE_PUT,
                      (cairn_bytes_t){key, n}, (cairn_bytes_t){0},
                      (cairn_bytes_t){"value", is_delete ? 0 : 5}, CAIRN_ASYNC);
        cairn_thread_quiescent();
    }
    atomic_store(&busy->is_over, true);
    cairn_thread_unregister();
    return NULL;
}

/** lists all in small steps; whether each even key came once, and all in order */
static bool all_that_stay_are_there(cairn_store_t *store)
{
    cairn_listing_options_t options = {.entries_max = 700};
    cairn_listing_t listing;
    cairn_listing_result_t result = CAIRN_LISTING_PAUSED;
    cairn_row_t row;
    cairn_err_t err;
    unsigned expected = 0, before = 0, count = 0;
    cairn_listing_from(&listing, options.prefix, options.prefix);
    while (result == CAIRN_LISTING_PAUSED) {
        cairn_listing_reader_t *reader = cairn_listing_begin(store, &listing, &options);
        while ((result = cairn_listing_next(reader, &row, &err)) == CAIRN_LISTING_ROW) {
            char key[8] = "";
            memcpy(key, row.key.base, row.key.count < 7 ? row.key.count : 7);
            unsigned number = (unsigned)strtoul(key, NULL, 10);
            if (count++ != 0 && number <= before)
                return false;
            before = number;
            if (number % 2 == 0 && number != expected)
                return false;
            expected += number % 2 == 0 ? 2 : 0;
        }
        cairn_listing_end(reader);
        cairn_thread_quiescent();
    }
    return result == CAIRN_LISTING_END && expected == 2000;
}

static void every_key_that_stays_is_seen_once_beside_writes(void)
{
    fixture_t f;
    pthread_t thread;
    fixture_init(&f, TEMP_DIR_IN_MEMORY); /* upkeep makes tables meanwhile */
    f.options.segment_bytes = (uint64_t)256 << 10;
    f.options.no_compaction = false;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (unsigned i = 0; i < 2000; i += 2) {
        char key[32];
        sprintf(key, "%05u", i);
        fixture_write(&f, CAIRN_WRITE_PUT, text(key), (cairn_bytes_t){0}, text("first"),
                      CAIRN_ASYNC);
    }
    busy_t busy = {.f = &f};
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, keep_writing, &busy), 0);
    unsigned wrong = 0, rounds = 0;
    for (; !atomic_load(&busy.is_over); ++rounds)
        wrong += !all_that_stay_are_there(f.store);
    CU_ASSERT_EQUAL(wrong, 0);
    printf("(%u times) ", rounds);
    pthread_join(thread, NULL);
    fixture_dispose(&f);
}

static void a_range_of_deleted_keys_is_passed_in_bounded_steps(void)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    for (unsigned i = 0; i < 1000; ++i) {
        char key[32];
        sprintf(key, "k%04u", i);
        fixture_write(&f, CAIRN_WRITE_PUT, text(key), (cairn_bytes_t){0}, text("v"), CAIRN_ASYNC);
        if (i != 999)
            fixture_write(&f, CAIRN_WRITE_DELETE, text(key), (cairn_bytes_t){0}, (cairn_bytes_t){0},
                          CAIRN_ASYNC);
    }
    cairn_listing_options_t options = {.entries_max = 100};
    cairn_listing_t listing;
    cairn_listing_result_t result;
    cairn_row_t row;
    cairn_err_t err;
    unsigned steps = 0;
    cairn_listing_from(&listing, options.prefix, options.prefix);
    do {
        cairn_listing_reader_t *reader = cairn_listing_begin(f.store, &listing, &options);
        result = cairn_listing_next(reader, &row, &err);
        if (result == CAIRN_LISTING_ROW)
            CU_ASSERT(row.key.count == 5 && memcmp(row.key.base, "k0999", 5) == 0);
        cairn_listing_end(reader);
        ++steps;
    } while (result == CAIRN_LISTING_PAUSED);
    CU_ASSERT_EQUAL(result, CAIRN_LISTING_ROW);
    CU_ASSERT(steps >= 10 && steps < 50);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- searching */

/** searches in small steps; how many rows are wrong, and how many there are */
static unsigned search(model_t *m, cairn_bytes_t contains, bool restarts, unsigned *rows)
{
    cairn_search_options_t options = {.contains = contains, .bytes_max = 5000};
    cairn_listing_result_t result = CAIRN_LISTING_PAUSED;
    cairn_row_t row;
    cairn_err_t err;
    cairn_search_place_t place = {.version = 0};
    uint64_t before = 0;
    unsigned wrong = 0;
    *rows = 0;
    while (result == CAIRN_LISTING_PAUSED) {
        cairn_search_t *s = cairn_search_begin(m->f.store, &place, &options);
        while ((result = cairn_search_next(s, &row, &err)) == CAIRN_LISTING_ROW) {
            size_t i = 0;
            while (i < KEYS && cairn_key_compare(key_of(m, i), row.key) != 0)
                ++i;
            wrong += i == KEYS || !m->keys[i].is_live || !row_is(m, i, &row, true) ||
                     row.version <= before;
            before = row.version;
            ++*rows;
        }
        cairn_search_end(s);
        if (restarts && random_below(&m->random, 4) == 0) {
            fixture_restart(&m->f);
            place = (cairn_search_place_t){.version = place.version}; /* as in a cursor */
        }
    }
    return wrong + (result != CAIRN_LISTING_END);
}

static void a_search_meets_each_live_value_once(void)
{
    model_t m;
    model_init(&m, 3, true);
    for (unsigned i = 0; i < 1500; ++i)
        change_something(&m);
    unsigned live = 0, even = 0, odd = 0, rows;
    for (size_t i = 0; i < KEYS; ++i) {
        live += m.keys[i].is_live;
        even += m.keys[i].is_live && m.keys[i].value_bytes >= 8 && m.keys[i].value_bytes % 2 == 0;
        odd += m.keys[i].is_live && m.keys[i].value_bytes >= 8 && m.keys[i].value_bytes % 2 == 1;
    }
    CU_ASSERT_EQUAL(search(&m, (cairn_bytes_t){NULL, 0}, false, &rows), 0);
    CU_ASSERT_EQUAL(rows, live);
    CU_ASSERT_EQUAL(search(&m, text("even"), true, &rows), 0);
    CU_ASSERT_EQUAL(rows, even);
    CU_ASSERT_EQUAL(search(&m, text("odd!"), false, &rows), 0);
    CU_ASSERT_EQUAL(rows, odd);
    CU_ASSERT_EQUAL(search(&m, text("neither"), false, &rows), 0);
    CU_ASSERT_EQUAL(rows, 0);
    model_dispose(&m);
}

/** values are read in the order of their keys, which is none on disk: whatever is brought in beside
 * one is of no use to the next */
static void values_in_memory_are_not_waited_for(void)
{
    model_t m;
    fault_os_install();
    model_init(&m, 7, false);
    for (size_t i = 0; i < KEYS; ++i)
        put(&m, i, 100, 0);
    for (unsigned round = 0; round < 2; ++round) {
        cairn_listing_options_t options = {.wants_values = true, .entries_max = KEYS};
        cairn_listing_t listing;
        cairn_row_t row;
        cairn_err_t err;
        size_t count = 0;
        fault_os_reset(); /* of the first round it does not matter what it costs */
        cairn_listing_from(&listing, (cairn_bytes_t){"", 0}, (cairn_bytes_t){"", 0});
        cairn_listing_reader_t *reader = cairn_listing_begin(m.f.store, &listing, &options);
        CU_ASSERT_PTR_NOT_NULL_FATAL(reader);
        while (cairn_listing_next(reader, &row, &err) == CAIRN_LISTING_ROW)
            count += row.value.count == 100;
        cairn_listing_end(reader);
        CU_ASSERT_EQUAL(count, KEYS);
    }
    CU_ASSERT_EQUAL(fault_os_calls(FAULT_populate) + fault_os_calls(FAULT_will_need), 0);
    model_dispose(&m);
    fault_os_remove();
}

void suite_listing(void)
{
    CU_pSuite s = CU_add_suite("listing", NULL, NULL);
    CU_add_test(s, "pages equal a sorted model at every step",
                pages_equal_a_sorted_model_at_every_step);
    CU_add_test(s, "a damaged table is done without", a_damaged_table_is_done_without);
    CU_add_test(s, "every key that stays is seen once beside writes",
                every_key_that_stays_is_seen_once_beside_writes);
    CU_add_test(s, "a range of deleted keys is passed in bounded steps",
                a_range_of_deleted_keys_is_passed_in_bounded_steps);
    CU_add_test(s, "values in memory are not waited for", values_in_memory_are_not_waited_for);
    CU_add_test(s, "a search meets each live value once", a_search_meets_each_live_value_once);
}

/*
 * A record is damaged where no key table knows its key: is every key listed all the same that can
 * be named, and is never one left out without a word?
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/listing.h"
#include "storage/search.h"
#include "storage/store_internal.h"
#include "tests/fault_os.h"
#include "tests/salvage_tools.h"
#include "tests/seed.h"
#include "tests/shell.h"
#include "tests/site.h"
#include "tests/suites.h"

#define KEYS SALVAGE_KEYS

/** what a listing or a search has told */
typedef struct st_told_t {
    cairn_listing_result_t result; /* END or FAILED */
    cairn_err_t err;               /* of what has FAILED */
    cairn_err_t left_out;
    unsigned times[KEYS];
    cairn_err_t errs[KEYS];
    unsigned unknown; /* rows with other keys or values */
} told_t;

/** what a key has had first, or what it has been given since */
static bool is_value(cairn_bytes_t value, unsigned key)
{
    bool is = value.count == SALVAGE_VALUE_BYTES &&
              memcmp(value.base, salvage_value(key), value.count) == 0;
    return is ||
           (value.count == SALVAGE_VALUE_BYTES && key % 7 == 0 &&
            memcmp(value.base, salvage_value(key + 1), value.count) == 0) ||
           (value.count == 3 && memcmp(value.base, "new", 3) == 0);
}

static void note(told_t *told, const cairn_row_t *row)
{
    for (unsigned i = 0; i < KEYS; ++i) {
        const char *key = salvage_key(i);
        if (row->key.count != strlen(key) || memcmp(row->key.base, key, row->key.count) != 0)
            continue;
        ++told->times[i];
        told->errs[i] = row->err;
        told->unknown += row->err == CAIRN_OK && !is_value(row->value, i);
        return;
    }
    ++told->unknown;
}

/** in steps of a few entries, as pages that know nothing of each other but the place */
static told_t list(fixture_t *f, bool is_partial)
{
    told_t told = {.result = CAIRN_LISTING_PAUSED};
    cairn_listing_t listing;
    cairn_listing_options_t options = {
        .wants_values = true, .is_partial = is_partial, .entries_max = 7};
    cairn_row_t row;
    cairn_listing_from(&listing, text(""), text(""));
    for (unsigned steps = 0; told.result == CAIRN_LISTING_PAUSED; ++steps) {
        CU_ASSERT_FATAL(steps < 1000);
        cairn_listing_reader_t *reader = cairn_listing_begin(f->store, &listing, &options);
        if (reader == NULL) {
            told.result = CAIRN_LISTING_FAILED;
            told.err = CAIRN_ERR_NOMEM;
        }
        while (reader != NULL &&
               (told.result = cairn_listing_next(reader, &row, &told.err)) == CAIRN_LISTING_ROW)
            note(&told, &row);
        cairn_listing_end(reader);
    }
    told.left_out = is_partial ? listing.left_out : CAIRN_OK;
    return told;
}

/** a page a row, of which the next one knows no more than the version */
static told_t search(fixture_t *f, bool is_partial)
{
    told_t told = {.result = CAIRN_LISTING_PAUSED};
    cairn_search_place_t place = {.version = 0};
    cairn_search_options_t options = {.is_partial = is_partial, .bytes_max = 20000};
    cairn_row_t row;
    for (unsigned pages = 0; told.result == CAIRN_LISTING_PAUSED; ++pages) {
        CU_ASSERT_FATAL(pages < 1000);
        cairn_search_t *s = cairn_search_begin(f->store, &place, &options);
        told.result = cairn_search_next(s, &row, &told.err);
        if (told.result == CAIRN_LISTING_ROW) {
            note(&told, &row);
            told.result = CAIRN_LISTING_PAUSED;
        }
        cairn_search_end(s);
        place = (cairn_search_place_t){.version = place.version, .left_out = place.left_out};
    }
    told.left_out = is_partial ? place.left_out : CAIRN_OK;
    return told;
}

/** how many keys are told otherwise than a get of them is answered, or left out without a word. (A
 * get wants the padding to be right, too, of a value that is right.) */
static unsigned count_wrong(fixture_t *f, const told_t *told)
{
    unsigned wrong = told->unknown;
    for (unsigned i = 0; i < KEYS; ++i) {
        cairn_err_t err = salvage_get(f, salvage_key(i));
        bool is_live = err != CAIRN_ERR_NOT_FOUND;
        bool may_lack = told->result == CAIRN_LISTING_FAILED || told->left_out != CAIRN_OK;
        wrong += told->times[i] > 1 || (told->times[i] == 1 && !is_live) ||
                 (told->times[i] == 0 && is_live && !may_lack) ||
                 (told->times[i] == 1 && told->errs[i] != err && told->errs[i] != CAIRN_OK);
    }
    return wrong;
}

static unsigned count_told(const told_t *told)
{
    unsigned count = 0;
    for (unsigned i = 0; i < KEYS; ++i)
        count += told->times[i];
    return count;
}

/* ---------------------------------------------------------------- damage to an open store */

/** bytes of a file of the store that have been changed */
typedef struct st_change_t {
    char path[400];
    off_t at;
    size_t count;
    uint8_t before[64];
} change_t;

static void write_at(const char *path, off_t at, const void *bytes, size_t count)
{
    chmod(path, 0600);
    int fd = open(path, O_WRONLY);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(pwrite(fd, bytes, count, at), (ssize_t)count);
    close(fd);
}

/** what is at `at` of the file becomes the same, or-ed with `mask` where it has a bit that is not
 */
static change_t change(const fixture_t *f, const char *name, off_t at, const void *flips,
                       size_t count)
{
    change_t c = {.at = at, .count = count};
    uint8_t after[64];
    snprintf(c.path, sizeof(c.path), "%s", fixture_path(f, name));
    int fd = open(c.path, O_RDONLY);
    CU_ASSERT_FATAL(fd >= 0 && pread(fd, c.before, count, at) == (ssize_t)count);
    close(fd);
    for (size_t i = 0; i < count; ++i)
        after[i] = c.before[i] ^ ((const uint8_t *)flips)[i];
    write_at(c.path, at, after, count);
    return c;
}

static void take_back(const change_t *c)
{
    write_at(c->path, c->at, c->before, c->count);
}

static const uint8_t one_bit[] = {0x10};
static const uint8_t many_bits[64] = {0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a};

/** where the last record of this key begins; `name` becomes that of its file */
static off_t find_record(const fixture_t *f, const char *key, char name[32])
{
    for (size_t from_end = 0; fixture_segment_name(f, from_end, name); ++from_end) {
        size_t bytes;
        uint8_t *content = read_file(fixture_path(f, name), &bytes);
        bool is_there = memmem(content, bytes, key, strlen(key)) != NULL;
        size_t at = is_there ? salvage_find_last(content, bytes, key) : 0;
        free(content);
        if (is_there)
            return (off_t)at;
    }
    CU_ASSERT_FATAL(fixture_segment_name(f, 0, name)); /* it has been damaged already */
    return CAIRN_SEGMENT_HEADER_BYTES + 64;
}

static change_t damage_key(const fixture_t *f, unsigned key, off_t offset, const void *flips,
                           size_t count)
{
    char name[32];
    off_t at = find_record(f, salvage_key(key), name);
    return change(f, name, at + offset, flips, count);
}

/** open, without key tables; some keys have been written again, some deleted */
static void begin(fixture_t *f)
{
    salvage_make_store(f);
    fixture_must_open(f);
    for (unsigned i = 0; i < KEYS; i += 7)
        CU_ASSERT_EQUAL(fixture_put(f, salvage_key(i), salvage_value(i + 1)).err, CAIRN_OK);
    for (unsigned i = 3; i < KEYS; i += 11)
        CU_ASSERT_EQUAL(fixture_delete(f, salvage_key(i)).err, CAIRN_OK);
    fixture_wait_until_rolled(f);
}

static void end(fixture_t *f, const change_t *c)
{
    take_back(c);
    fixture_dispose(f);
}

/* ---------------------------------------------------------------- one record */

/** key 5 has its value in the first segment, key 57 in the newest; key 0 had an older one before */
static void a_key_that_is_proven_is_listed_with_its_error(void)
{
    static const unsigned keys[] = {5, 57, 0};
    for (int how = 0; how < 6; ++how) {
        fixture_t f;
        begin(&f);
        unsigned key = keys[how % 3];
        unsigned live = count_told((told_t[]){list(&f, false)});
        CU_ASSERT_EQUAL_FATAL(salvage_get(&f, salvage_key(key)), CAIRN_OK);
        /* after a list, so that it has been sorted before: one bit, or all of its times */
        change_t c =
            how < 3 ? damage_key(&f, key, 9, one_bit, 1) : damage_key(&f, key, 32, many_bits, 6);
        told_t listed = list(&f, false), found = search(&f, false);
        CU_ASSERT_EQUAL(listed.result, CAIRN_LISTING_END);
        CU_ASSERT_EQUAL(found.result, CAIRN_LISTING_END);
        CU_ASSERT_EQUAL(listed.errs[key], CAIRN_ERR_DAMAGED);
        CU_ASSERT_EQUAL(found.errs[key], CAIRN_ERR_DAMAGED);
        CU_ASSERT_EQUAL(count_told(&listed), live);
        CU_ASSERT_EQUAL(count_told(&found), live);
        CU_ASSERT_EQUAL(count_wrong(&f, &listed), 0);
        CU_ASSERT_EQUAL(count_wrong(&f, &found), 0);
        /* a new value mends it */
        CU_ASSERT_EQUAL(fixture_put(&f, salvage_key(key), "new").err, CAIRN_OK);
        listed = list(&f, false);
        CU_ASSERT_EQUAL(listed.errs[key], CAIRN_OK);
        CU_ASSERT_EQUAL(count_wrong(&f, &listed), 0);
        end(&f, &c);
    }
}

/* nobody can name the key, so nobody is given a list that lacks it, unless he wants it so */
static void a_key_that_is_not_proven_is_not_left_out_without_a_word(void)
{
    fixture_t f;
    begin(&f);
    unsigned live = count_told((told_t[]){list(&f, false)});
    change_t c = damage_key(&f, 57, 24, many_bits, 40); /* lengths and key, too */
    for (int i = 0; i < 2; ++i) {
        told_t told = i == 0 ? list(&f, false) : search(&f, false);
        CU_ASSERT_EQUAL(told.result, CAIRN_LISTING_FAILED);
        CU_ASSERT_EQUAL(told.err, CAIRN_ERR_DAMAGED);
        told = i == 0 ? list(&f, true) : search(&f, true);
        CU_ASSERT_EQUAL(told.result, CAIRN_LISTING_END);
        CU_ASSERT_EQUAL(told.left_out, CAIRN_ERR_DAMAGED);
        CU_ASSERT_EQUAL(count_told(&told), live - 1);
        CU_ASSERT_EQUAL(told.times[57], 0);
        CU_ASSERT_EQUAL(count_wrong(&f, &told), 0);
    }
    end(&f, &c);
}

/* key 0 was written again, and is what it was written to last */
static void a_damaged_record_that_was_replaced_harms_nobody(void)
{
    fixture_t f;
    char name[32];
    begin(&f);
    CU_ASSERT_FATAL(fixture_has(&f, salvage_key(0), salvage_value(1)));
    size_t bytes;
    CU_ASSERT_FATAL(fixture_segment_name(&f, 0, name));
    uint8_t *content = read_file(fixture_path(&f, SALVAGE_FIRST), &bytes);
    const uint8_t *key = memmem(content, bytes, salvage_key(0), strlen(salvage_key(0)));
    CU_ASSERT_PTR_NOT_NULL_FATAL(key);
    off_t at = (off_t)(key - content) - CAIRN_RECORD_HEAD_BYTES;
    free(content);
    change_t c = change(&f, SALVAGE_FIRST, at + 9, one_bit, 1);
    told_t listed = list(&f, false), found = search(&f, false);
    CU_ASSERT_EQUAL(listed.result, CAIRN_LISTING_END);
    CU_ASSERT_EQUAL(found.result, CAIRN_LISTING_END);
    CU_ASSERT_EQUAL(listed.errs[0], CAIRN_OK);
    CU_ASSERT_EQUAL(count_wrong(&f, &listed), 0);
    CU_ASSERT_EQUAL(count_wrong(&f, &found), 0);
    end(&f, &c);
}

/* a log has every version: where none is missing, what is damaged was no write */
static void a_damaged_mark_hides_no_key(void)
{
    fixture_t f;
    char name[32];
    begin(&f);
    off_t at = find_record(&f, salvage_key(57), name);
    change_t c = change(&f, name, at - CAIRN_MARK_SPAN + 8, many_bits, 60);
    told_t listed = list(&f, false), found = search(&f, false);
    CU_ASSERT_EQUAL(listed.result, CAIRN_LISTING_END);
    CU_ASSERT_EQUAL(found.result, CAIRN_LISTING_END);
    CU_ASSERT_EQUAL(count_wrong(&f, &listed), 0);
    CU_ASSERT_EQUAL(count_wrong(&f, &found), 0);
    end(&f, &c);
}

/* key 0 was written again, and a salvage has found no more than that */
static void of_a_lost_value_no_older_one_is_told(void)
{
    fixture_t f;
    char name[32];
    salvage_make_store(&f);
    fixture_must_open(&f);
    CU_ASSERT_EQUAL(fixture_put(&f, salvage_key(0), salvage_value(1)).err, CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_close(&f), CAIRN_OK);
    find_record(&f, salvage_key(0), name);
    CU_ASSERT_STRING_NOT_EQUAL(name, SALVAGE_FIRST);
    salvage_damage(&f, name, salvage_key(0), salvage_flip_body);
    CU_ASSERT_EQUAL_FATAL(salvage_open(&f), CAIRN_OK);
    told_t listed = list(&f, false), found = search(&f, false);
    CU_ASSERT_EQUAL(listed.errs[0], CAIRN_ERR_DAMAGED);
    CU_ASSERT_EQUAL(found.errs[0], CAIRN_ERR_DAMAGED);
    CU_ASSERT_EQUAL(count_told(&found), KEYS);
    CU_ASSERT_EQUAL(count_wrong(&f, &listed), 0);
    CU_ASSERT_EQUAL(count_wrong(&f, &found), 0);
    fixture_dispose(&f);
}

/* a list that has no memory for what is damaged lacks nothing without a word either */
static void without_memory_nothing_is_left_out(void)
{
    static const fault_function_t functions[] = {FAULT_alloc, FAULT_calloc, FAULT_alloc_pages};
    fixture_t f;
    unsigned failed = 0;
    fault_os_install(); /* before there are threads */
    begin(&f);
    change_t c = damage_key(&f, 5, 9, one_bit, 1);
    for (int i = 0; i < 3; ++i)
        for (uint64_t nth = 1;; ++nth) {
            take_back(&c); /* or it would not open */
            fixture_restart(&f);
            c = damage_key(&f, 5, 9, one_bit, 1);
            fault_os_reset();
            fault_os_fail(functions[i], nth, ENOMEM, false);
            told_t listed = list(&f, false);
            bool is_over = fault_os_calls(functions[i]) < nth;
            fault_os_reset();
            failed += listed.result == CAIRN_LISTING_FAILED;
            CU_ASSERT(listed.result != CAIRN_LISTING_FAILED || listed.err == CAIRN_ERR_NOMEM);
            CU_ASSERT_EQUAL(count_wrong(&f, &listed), 0);
            listed = list(&f, false);
            CU_ASSERT_EQUAL(listed.result, CAIRN_LISTING_END);
            CU_ASSERT_EQUAL(count_wrong(&f, &listed), 0);
            if (is_over)
                break;
        }
    CU_ASSERT(failed != 0);
    end(&f, &c);
    fault_os_remove();
}

/* ---------------------------------------------------------------- what a client is told */

/** waits until the first segment has its name, and ruins the record of a key in it */
static void ruin_record(const site_t *site, const char *key)
{
    char path[400];
    size_t bytes;
    uint8_t ruin[CAIRN_RECORD_HEAD_BYTES + 4];
    snprintf(path, sizeof(path), "%.300s/" SALVAGE_FIRST, site->data);
    for (int i = 0; i < 10000 && access(path, F_OK) != 0; ++i)
        sleep_ms(1);
    uint8_t *content = read_file(path, &bytes);
    const uint8_t *found = memmem(content, bytes, key, strlen(key));
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    memset(ruin, 0x5a, sizeof(ruin));
    write_at(path, (off_t)(found - content) - CAIRN_RECORD_HEAD_BYTES, ruin, sizeof(ruin));
    free(content);
}

static void a_client_is_refused_or_told_that_it_is_partial(void)
{
    static const char *const paths[] = {"/v1/keys", "/v1/scan"};
    char partial[64];
    site_t site;
    http_conn_t conn;
    http_response_t res;
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_IN_MEMORY, NULL), 0);
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, "1", 1), 201);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/hidden-key", NULL, "1", 1), 201);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/z", NULL, "1", 1), 201);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/keys?partial=true", NULL, NULL, 0), 200);
    ruin_record(&site, "hidden-key");
    for (int i = 0; i < 2; ++i) {
        /* a search has told of the first key before it comes there */
        const char *first = i == 0 ? "/v1/keys" : "/v1/scan?cursor=1";
        exchange(&conn, "GET", first, NULL, NULL, 0, &res);
        CU_ASSERT_EQUAL(res.status, 500);
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"code\":\"damaged\""));
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "partial=true"));
        http_response_dispose(&res);
        snprintf(partial, sizeof(partial), "%s?partial=true&limit=1", paths[i]);
        exchange(&conn, "GET", partial, NULL, NULL, 0, &res);
        CU_ASSERT_EQUAL(res.status, 200);
        CU_ASSERT_PTR_NOT_NULL(strstr(http_header(&res, "link"), "&partial=true"));
        http_response_dispose(&res);
        snprintf(partial, sizeof(partial), "%s?partial=true", paths[i]);
        exchange(&conn, "GET", partial, NULL, NULL, 0, &res);
        CU_ASSERT_EQUAL(res.status, 200);
        CU_ASSERT(header_is(&res, "cairn-left-out", "damaged"));
        CU_ASSERT_PTR_NULL(http_header(&res, "link"));
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "{\"key\":\"a\",\"version\":1,"));
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "{\"key\":\"z\",\"version\":3,"));
        http_response_dispose(&res);
    }
    http_close(&conn);
    CU_ASSERT(shell_prints("(5)\na\nz\n(5)\na\nz\n(5)\n2\n(5)\n",
                           "export CAIRN_URL=http://localhost:%u; exec 2>/dev/null;"
                           "cairn() { \"$CAIRN_BINARY\" \"$@\"; };"
                           "cairn ls; echo \"($?)\"; cairn ls --partial; echo \"($?)\";"
                           "cairn scan 1 --partial; echo \"($?)\";"
                           "cairn export --partial | wc -l; echo \"(${PIPESTATUS[0]})\"",
                           site.server.port));
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

/* ---------------------------------------------------------------- anywhere */

static void wherever_it_is_damaged_no_key_is_left_out_without_a_word(void)
{
    fixture_t f;
    random_t random = random_from(seed_of_run(), 77);
    unsigned wrong = 0, failed = 0, named = 0, trials = is_soak() ? 3000 : 150;
    begin(&f);
    for (unsigned trial = 0; trial < trials; ++trial) {
        char name[32];
        uint8_t flips[64] = {0};
        change_t changes[2];
        size_t count = 1 + random_below(&random, 2);
        for (size_t i = 0; i < count; ++i) {
            CU_ASSERT_FATAL(fixture_segment_name(&f, random_below(&random, 3), name));
            size_t bytes = random_below(&random, 2) ? 1 : 1 + random_below(&random, 64);
            for (size_t j = 0; j < bytes; ++j)
                flips[j] = bytes == 1 ? (uint8_t)(1 << random_below(&random, 8)) : 0x5a;
            off_t at = CAIRN_SEGMENT_HEADER_BYTES + (off_t)random_below(&random, 55000);
            /* near the beginning of a record more often */
            if (random_below(&random, 2))
                at = find_record(&f, salvage_key((unsigned)random_below(&random, KEYS)), name) -
                     64 + (off_t)random_below(&random, 128);
            changes[i] = change(&f, name, at, flips, bytes);
        }
        told_t told[] = {list(&f, false), list(&f, true), search(&f, false), search(&f, true)};
        for (int i = 0; i < 4; ++i) {
            wrong += count_wrong(&f, &told[i]);
            wrong += i % 2 != 0 && told[i].result != CAIRN_LISTING_END;
            failed += told[i].result == CAIRN_LISTING_FAILED;
        }
        for (unsigned i = 0; i < KEYS; ++i)
            named += told[0].errs[i] == CAIRN_ERR_DAMAGED;
        if (wrong != 0) {
            printf("\n    trial %u (CAIRN_SEED=%llu): %u wrong", trial,
                   (unsigned long long)seed_of_run(), wrong);
            trials = 0;
        }
        for (size_t i = count; i-- != 0;)
            take_back(&changes[i]);
        fixture_restart(&f); /* forgets what it has seen */
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(failed != 0 && named != 0);
    fixture_dispose(&f);
}

void suite_listing_damage(void)
{
    CU_pSuite s = CU_add_suite("listing: over damaged records", NULL, NULL);
    CU_add_test(s, "a key that is proven is listed with its error",
                a_key_that_is_proven_is_listed_with_its_error);
    CU_add_test(s, "one that is not is not left out without a word",
                a_key_that_is_not_proven_is_not_left_out_without_a_word);
    CU_add_test(s, "a damaged record that was replaced harms nobody",
                a_damaged_record_that_was_replaced_harms_nobody);
    CU_add_test(s, "a damaged MARK hides no key", a_damaged_mark_hides_no_key);
    CU_add_test(s, "of a lost value no older one is told", of_a_lost_value_no_older_one_is_told);
    CU_add_test(s, "without memory nothing is left out", without_memory_nothing_is_left_out);
    CU_add_test(s, "a client is refused, or told that it is partial",
                a_client_is_refused_or_told_that_it_is_partial);
    CU_add_test(s, "wherever it is damaged, no key is left out without a word",
                wherever_it_is_damaged_no_key_is_left_out_without_a_word);
}

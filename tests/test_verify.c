/*
 * Checking a store that nobody has open: is what is whole said to be so, and all that is not named?
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "storage/keytable.h"
#include "storage/survey.h"
#include "storage/verify.h"
#include "tests/fault_os.h"
#include "tests/server_process.h"
#include "tests/store_fixture.h"
#include "tests/seed.h"
#include "tests/suites.h"

#define FIRST "0000000000000001-0000.seg"

/* a store of three segments, the first two sealed, that is closed */
static void make_store(fixture_t *f)
{
    char key[16], value[1500];
    fixture_init(f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (int i = 0; i < 100; ++i) {
        snprintf(key, sizeof(key), "key %d", i);
        CU_ASSERT_EQUAL_FATAL(fixture_put(f, key, value).err, CAIRN_OK);
    }
    CU_ASSERT_EQUAL(fixture_delete(f, "key 5").err, CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_close(f), CAIRN_OK);
}

typedef struct st_seen_t {
    uint64_t records, damaged, files, problems, tables, table_keys, unused;
    char key[64]; /* of the last damaged record */
    char problem[300];
} seen_t;

static void on_record(void *ctx, const cairn_verify_record_t *r)
{
    seen_t *seen = ctx;
    ++seen->records;
    if (!r->is_damaged)
        return;
    ++seen->damaged;
    snprintf(seen->key, sizeof(seen->key), "%.*s", (int)r->key_bytes,
             r->key != NULL ? (const char *)r->key : "");
}

static void on_file(void *ctx, const cairn_verify_file_t *file)
{
    seen_t *seen = ctx;
    ++seen->files;
    seen->tables += strcmp(file->kind, CAIRN_VERIFY_KEYTABLE) == 0;
    seen->table_keys += file->keys;
    seen->unused += strcmp(file->verdict, "unused") == 0;
    if (file->problem != NULL) {
        ++seen->problems;
        snprintf(seen->problem, sizeof(seen->problem), "%s: %s", file->name, file->problem);
    }
}

static cairn_err_t verify(const fixture_t *f, seen_t *seen)
{
    char errmsg[CAIRN_ERRMSG_BYTES];
    cairn_verify_result_t result;
    cairn_verify_options_t options = {
        .path = f->options.path, .on_record = on_record, .on_file = on_file, .ctx = seen};
    *seen = (seen_t){.records = 0};
    return cairn_store_verify(&options, &result, errmsg);
}

static void a_whole_store_is_clean(void)
{
    fixture_t f;
    seen_t seen;
    make_store(&f);
    CU_ASSERT_EQUAL(verify(&f, &seen), CAIRN_OK);
    CU_ASSERT(seen.files >= 3);
    CU_ASSERT(seen.records >= 101);
    CU_ASSERT_EQUAL(seen.damaged + seen.problems, 0);
    /* it still opens: nothing was changed */
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(verify(&f, &seen), CAIRN_ERR_LOCKED);
    fixture_dispose(&f);
}

static void no_store_is_made(void)
{
    temp_dir_t dir;
    char errmsg[CAIRN_ERRMSG_BYTES], path[300];
    cairn_verify_result_t result;
    CU_ASSERT_TRUE_FATAL(temp_dir_create(&dir, TEMP_DIR_IN_MEMORY));
    cairn_verify_options_t options = {.path = dir.path};
    CU_ASSERT_EQUAL(cairn_store_verify(&options, &result, errmsg), CAIRN_ERR_NOT_FOUND);
    snprintf(path, sizeof(path), "%s/nothing", dir.path);
    options.path = path;
    CU_ASSERT_EQUAL(cairn_store_verify(&options, &result, errmsg), CAIRN_ERR_NOT_FOUND);
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    CU_ASSERT(temp_dir_remove(&dir));
}

/* a sealed file has no bit that no sum covers */
static void every_bit_of_a_sealed_file_counts(void)
{
    fixture_t f;
    seen_t seen;
    size_t bytes;
    make_store(&f);
    char path[400];
    snprintf(path, sizeof(path), "%s", fixture_path(&f, FIRST));
    uint8_t *content = read_file(path, &bytes);
    chmod(path, 0600);
    size_t step = is_soak() ? 1 : 211;
    size_t missed = 0;
    for (size_t bit = 0; bit < 8 * bytes; bit += bit < 8 * 4300 && bit > 8 * 4090 ? 1 : step) {
        content[bit / 8] ^= (uint8_t)(1u << bit % 8);
        write_file(path, content, bytes);
        missed += verify(&f, &seen) != CAIRN_ERR_CORRUPT;
        content[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CU_ASSERT_EQUAL(missed, 0);
    for (size_t cut = 0; cut < bytes; cut += 997) {
        write_file(path, content, cut);
        missed += verify(&f, &seen) != CAIRN_ERR_CORRUPT;
    }
    CU_ASSERT_EQUAL(missed, 0);
    write_file(path, content, bytes);
    CU_ASSERT_EQUAL(verify(&f, &seen), CAIRN_OK);
    free(content);
    fixture_dispose(&f);
}

/* offset of the record with this key in the file's content */
static size_t find_key(const uint8_t *content, size_t bytes, const char *key)
{
    const uint8_t *found = memmem(content, bytes, key, strlen(key));
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    return (size_t)(found - content) - CAIRN_RECORD_HEAD_BYTES;
}

/* whichever bit of a record is wrong, the key it was for is told */
static void one_wrong_bit_names_its_key(void)
{
    fixture_t f;
    seen_t seen;
    size_t bytes, wrong = 0;
    char path[400];
    make_store(&f);
    snprintf(path, sizeof(path), "%s", fixture_path(&f, FIRST));
    uint8_t *content = read_file(path, &bytes);
    chmod(path, 0600);
    size_t at = find_key(content, bytes, "key 7");
    for (size_t bit = 8 * at; bit < 8 * (at + CAIRN_RECORD_HEAD_BYTES + 5 + 64); ++bit) {
        content[bit / 8] ^= (uint8_t)(1u << bit % 8);
        write_file(path, content, bytes);
        wrong += verify(&f, &seen) != CAIRN_ERR_CORRUPT || seen.damaged != 1 ||
                 strcmp(seen.key, "key 7") != 0;
        content[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    /* several fields lost, but the content proves the key */
    memset(content + at + 16, 0xff, 8);
    memset(content + at + 32, 0xff, 8);
    write_file(path, content, bytes);
    CU_ASSERT_EQUAL(verify(&f, &seen), CAIRN_ERR_CORRUPT);
    CU_ASSERT_STRING_EQUAL(seen.key, "key 7");
    /* nothing of it is left: a gap, and the records behind it are found */
    memset(content + at, 0xa5, 700);
    write_file(path, content, bytes);
    uint64_t all = seen.records;
    CU_ASSERT_EQUAL(verify(&f, &seen), CAIRN_ERR_CORRUPT);
    CU_ASSERT_EQUAL(seen.damaged, 1);
    CU_ASSERT_EQUAL(seen.records, all);
    free(content);
    fixture_dispose(&f);
}

static void a_missing_segment_is_named(void)
{
    fixture_t f;
    seen_t seen;
    char name[32];
    make_store(&f);
    CU_ASSERT_TRUE_FATAL(fixture_segment_name(&f, 1, name));
    CU_ASSERT_EQUAL(unlink(fixture_path(&f, name)), 0);
    CU_ASSERT_EQUAL(verify(&f, &seen), CAIRN_ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(seen.problem, "a segment is missing"));
    CU_ASSERT_TRUE_FATAL(fixture_segment_name(&f, 0, name));
    CU_ASSERT_EQUAL(unlink(fixture_path(&f, name)), 0);
    CU_ASSERT_EQUAL(verify(&f, &seen), CAIRN_ERR_CORRUPT); /* STORE knows of it */
    fixture_dispose(&f);
}

/* what ends in the middle of a commit that nobody was told of is no damage */
static void a_torn_end_is_clean(void)
{
    fixture_t f;
    seen_t seen;
    size_t bytes;
    char name[32];
    make_store(&f);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    CU_ASSERT_EQUAL(fixture_put(&f, "last", "written").err, CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_close(&f), CAIRN_OK);
    CU_ASSERT_TRUE_FATAL(fixture_segment_name(&f, 0, name));
    uint8_t *content = read_file(fixture_path(&f, name), &bytes);
    size_t end = bytes;
    while (end != 0 && content[end - 1] == 0)
        --end;
    content[end + 16] = 1; /* bytes of a record that never got its head */
    write_file(fixture_path(&f, name), content, bytes);
    CU_ASSERT_EQUAL(verify(&f, &seen), CAIRN_OK);
    free(content);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- key tables */

#define TABLE "0000000000000001-0000.keys"

/* the same store; its two sealed segments have tables */
static void make_store_with_tables(fixture_t *f)
{
    make_store(f);
    f->options.upkeep_by_hand = true;
    CU_ASSERT_EQUAL_FATAL(fixture_open(f), CAIRN_OK);
    cairn_store_upkeep(f->store);
    CU_ASSERT_EQUAL_FATAL(fixture_close(f), CAIRN_OK);
}

static bool is_blamed(const fixture_t *f, const char *file, const char *problem)
{
    seen_t seen;
    return verify(f, &seen) == CAIRN_ERR_CORRUPT && seen.problems == 1 &&
           strncmp(seen.problem, file, strlen(file)) == 0 && strstr(seen.problem, problem) != NULL;
}

static void key_tables_are_checked(void)
{
    fixture_t f;
    seen_t seen;
    size_t bytes, missed = 0;
    char path[400];
    make_store_with_tables(&f);
    CU_ASSERT_EQUAL(verify(&f, &seen), CAIRN_OK);
    CU_ASSERT_EQUAL(seen.tables, 2);
    CU_ASSERT(seen.table_keys > 60 && seen.table_keys < 100);
    snprintf(path, sizeof(path), "%s", fixture_path(&f, TABLE));
    uint8_t *content = read_file(path, &bytes);
    size_t step = is_soak() ? 1 : 61;
    for (size_t bit = 0; bit < 8 * bytes; bit += step) {
        content[bit / 8] ^= (uint8_t)(1u << bit % 8);
        write_file(path, content, bytes);
        missed += !is_blamed(&f, TABLE, "");
        content[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CU_ASSERT_EQUAL(missed, 0);
    for (size_t cut = 0; cut < bytes; cut += step) {
        write_file(path, content, cut);
        missed += !is_blamed(&f, TABLE, "");
    }
    CU_ASSERT_EQUAL(missed, 0);
    /* one that is missing is made at the next start, one of no segment is removed by it */
    unlink(path);
    write_file(fixture_path(&f, "00000000000000ff-0003.keys"), content, bytes);
    CU_ASSERT_EQUAL(verify(&f, &seen), CAIRN_OK);
    CU_ASSERT_EQUAL(seen.tables, 2);
    CU_ASSERT_EQUAL(seen.unused, 1);
    free(content);
    fixture_dispose(&f);
}

/* makes all sums good again; of one block */
static void sum_table(uint8_t *content)
{
    cairn_keytable_header_t *h = (cairn_keytable_header_t *)content;
    cairn_keytable_block_t block;
    memcpy(&block, content + h->index_at, sizeof(block));
    block.sum = XXH3_64bits(content + block.at, block.bytes);
    memcpy(content + h->index_at, &block, sizeof(block));
    h->index_sum = XXH3_64bits(content + h->index_at, h->index_bytes);
    h->sum = XXH3_64bits(h, offsetof(cairn_keytable_header_t, sum));
}

/* all sums are right, but it says what its segment does not */
static void a_key_table_that_says_something_else_is_found(void)
{
    static const size_t lies[] = {
        offsetof(cairn_keytable_entry_t, version), offsetof(cairn_keytable_entry_t, offset),
        offsetof(cairn_keytable_entry_t, expiry), offsetof(cairn_keytable_entry_t, value_bytes),
        offsetof(cairn_keytable_entry_t, meta_bytes)};
    fixture_t f;
    size_t bytes;
    char path[400];
    make_store_with_tables(&f);
    snprintf(path, sizeof(path), "%s", fixture_path(&f, TABLE));
    uint8_t *content = read_file(path, &bytes);
    uint8_t *entry = content + CAIRN_KEYTABLE_HEADER_BYTES;
    CU_ASSERT_EQUAL_FATAL(((cairn_keytable_header_t *)content)->block_count, 1);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); ++i) {
        entry[lies[i]] ^= 8;
        sum_table(content);
        write_file(path, content, bytes);
        CU_ASSERT(is_blamed(&f, TABLE, "its entries are not those of its segment's records"));
        entry[lies[i]] ^= 8;
    }
    /* a place that leads a feed elsewhere */
    cairn_keytable_header_t *h = (cairn_keytable_header_t *)content;
    uint8_t *place = content + h->index_at + 2 * sizeof(cairn_keytable_block_t);
    place[offsetof(cairn_keytable_place_t, version)] ^= 2;
    sum_table(content);
    write_file(path, content, bytes);
    CU_ASSERT(is_blamed(&f, TABLE, "its entries are not those of its segment's records"));
    place[offsetof(cairn_keytable_place_t, version)] ^= 2;
    /* an order that a search does not find its way in */
    entry[sizeof(cairn_keytable_entry_t)] ^= 1;
    sum_table(content);
    write_file(path, content, bytes);
    CU_ASSERT(is_blamed(&f, TABLE, "its keys are not in order"));
    entry[sizeof(cairn_keytable_entry_t)] ^= 1;
    sum_table(content);
    write_file(path, content, bytes);
    seen_t seen;
    CU_ASSERT_EQUAL(verify(&f, &seen), CAIRN_OK);
    free(content);
    fixture_dispose(&f);
}

/* what is damaged is the segment, and that is what is told */
static void a_key_table_of_a_damaged_segment_is_not_blamed(void)
{
    fixture_t f;
    size_t bytes;
    char path[400];
    make_store_with_tables(&f);
    snprintf(path, sizeof(path), "%s", fixture_path(&f, FIRST));
    uint8_t *content = read_file(path, &bytes);
    content[find_key(content, bytes, "key 7") + 100] ^= 1;
    write_file(path, content, bytes);
    CU_ASSERT(is_blamed(&f, FIRST, "damaged content"));
    free(content);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- a system that fails */

/* verifies with the nth call failing, until there are not so many; how often that came to OK though
 * not all of the store was looked at, or nothing was said to be wrong */
static unsigned fail_each(const fixture_t *f, const seen_t *all, fault_function_t function,
                          int error, unsigned *runs)
{
    unsigned wrong = 0;
    for (uint64_t nth = 1;; ++nth) {
        seen_t seen;
        size_t descriptors = open_descriptors();
        fault_os_install();
        fault_os_fail(function, nth, error, false);
        cairn_err_t err = verify(f, &seen);
        bool has_fired = fault_os_has_fired();
        fault_os_remove();
        if (!has_fired)
            return wrong;
        ++*runs;
        bool is_alike = seen.files == all->files && seen.records == all->records;
        bool is_wrong = err == CAIRN_OK && (all->problems != 0 || !is_alike);
        if (is_wrong || open_descriptors() != descriptors)
            printf("\n    %s, call %llu: ", fault_os_name(function), (unsigned long long)nth);
        wrong += is_wrong || open_descriptors() != descriptors;
    }
}

/* whatever fails, a store is called clean only if all of it was looked at, and was */
static void no_failing_call_makes_a_store_clean(void)
{
    static const struct {
        fault_function_t function;
        int error;
    } faults[] = {{FAULT_open_dir, EIO},       {FAULT_list, EIO},     {FAULT_lock, EIO},
                  {FAULT_open, EMFILE},        {FAULT_size, EIO},     {FAULT_pread, EIO},
                  {FAULT_reserve, ENOMEM},     {FAULT_map, ENOMEM},   {FAULT_will_need, EIO},
                  {FAULT_populate, EFAULT},    {FAULT_alloc, ENOMEM}, {FAULT_calloc, ENOMEM},
                  {FAULT_alloc_pages, ENOMEM}, {FAULT_close, EIO}};
    fixture_t f;
    size_t bytes;
    unsigned wrong = 0, runs = 0;
    char path[400];
    make_store_with_tables(&f);
    for (int is_damaged = 0; is_damaged < 2; ++is_damaged) {
        seen_t all;
        if (is_damaged) {
            snprintf(path, sizeof(path), "%s", fixture_path(&f, FIRST));
            uint8_t *content = read_file(path, &bytes);
            content[find_key(content, bytes, "key 7") + 100] ^= 1;
            write_file(path, content, bytes);
            free(content);
        }
        CU_ASSERT_EQUAL(verify(&f, &all), is_damaged ? CAIRN_ERR_CORRUPT : CAIRN_OK);
        for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); ++i)
            wrong += fail_each(&f, &all, faults[i].function, faults[i].error, &runs);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT(runs > 60);
    fixture_dispose(&f);
}

/* ---------------------------------------------------------------- the command */

static int run(const char *const *args, const char *expected)
{
    char *output = NULL;
    int status = -1;
    CU_ASSERT_TRUE_FATAL(run_cairn(args, &status, &output));
    if (strstr(output, expected) == NULL) {
        fprintf(stderr, "\n    %s", output);
        CU_FAIL("the output lacks what is expected");
    }
    free(output);
    return status;
}

static void the_command_has_its_exit_codes(void)
{
    fixture_t f;
    make_store(&f);
    const char *path = f.options.path;
    CU_ASSERT_EQUAL(run((const char *[]){"verify", path, NULL}, "clean: "), 0);
    CU_ASSERT_EQUAL(run((const char *[]){"verify", path, "--json", NULL}, "{\"clean\":true"), 0);
    CU_ASSERT_EQUAL(run((const char *[]){"verify", path, "--dump", FIRST, NULL},
                        "put    version 8        \"key 7\" key 5, meta 0, value 1499 bytes"),
                    0);
    CU_ASSERT_EQUAL(run((const char *[]){"verify", "--help", NULL}, "Exit status"), 0);
    CU_ASSERT_EQUAL(run((const char *[]){"verify", NULL}, "directory is missing"), 2);
    CU_ASSERT_EQUAL(run((const char *[]){"verify", path, "--what", NULL}, "no option"), 2);
    CU_ASSERT_EQUAL(run((const char *[]){"verify", "/nowhere", NULL}, "there is no store"), 2);
    CU_ASSERT_EQUAL(run((const char *[]){"verify", path, "--dump", "x.seg", NULL}, "no segment"),
                    2);
    size_t bytes;
    char file[400];
    snprintf(file, sizeof(file), "%s", fixture_path(&f, FIRST));
    uint8_t *content = read_file(file, &bytes);
    content[find_key(content, bytes, "key 7") + 100] ^= 1;
    chmod(file, 0600);
    write_file(file, content, bytes);
    free(content);
    CU_ASSERT_EQUAL(run((const char *[]){"verify", path, NULL}, FIRST "  DAMAGED"), 1);
    CU_ASSERT_EQUAL(run((const char *[]){"verify", path, "--json", NULL}, "{\"clean\":false"), 1);
    CU_ASSERT_EQUAL(
        run((const char *[]){"verify", path, "--dump", FIRST, NULL}, ": damaged content"), 1);
    fixture_dispose(&f);
}

static void the_command_says_what_a_damaged_key_table_costs(void)
{
    fixture_t f;
    size_t bytes;
    char file[400];
    make_store_with_tables(&f);
    const char *path = f.options.path;
    CU_ASSERT_EQUAL(run((const char *[]){"verify", path, NULL}, TABLE " clean  "), 0);
    snprintf(file, sizeof(file), "%s", fixture_path(&f, TABLE));
    uint8_t *content = read_file(file, &bytes);
    content[CAIRN_KEYTABLE_HEADER_BYTES] ^= 1;
    write_file(file, content, bytes);
    CU_ASSERT_EQUAL(run((const char *[]){"verify", path, NULL}, "No record is lost"), 1);
    CU_ASSERT_EQUAL(run((const char *[]){"verify", path, "--json", NULL}, "\"kind\":\"key table\""),
                    1);
    /* but where a segment is, too, it is not said to be harmless */
    snprintf(file, sizeof(file), "%s", fixture_path(&f, FIRST));
    free(content);
    content = read_file(file, &bytes);
    content[find_key(content, bytes, "key 7") + 100] ^= 1;
    write_file(file, content, bytes);
    free(content);
    CU_ASSERT_EQUAL(run((const char *[]){"verify", path, NULL}, "restore the store"), 1);
    fixture_dispose(&f);
}

void suite_verify(void)
{
    CU_pSuite s = CU_add_suite("verify: a store checked to the last byte", NULL, NULL);
    CU_add_test(s, "a whole store is clean, one that is open is left alone",
                a_whole_store_is_clean);
    CU_add_test(s, "where there is no store none is made", no_store_is_made);
    CU_add_test(s, "every bit of a sealed file counts", every_bit_of_a_sealed_file_counts);
    CU_add_test(s, "one wrong bit names its key", one_wrong_bit_names_its_key);
    CU_add_test(s, "a missing segment is named", a_missing_segment_is_named);
    CU_add_test(s, "a torn end is clean", a_torn_end_is_clean);
    CU_add_test(s, "key tables are checked to the last bit", key_tables_are_checked);
    CU_add_test(s, "a key table that says something else is found",
                a_key_table_that_says_something_else_is_found);
    CU_add_test(s, "a key table of a damaged segment is not blamed",
                a_key_table_of_a_damaged_segment_is_not_blamed);
    CU_add_test(s, "no failing call makes a store clean", no_failing_call_makes_a_store_clean);
    CU_add_test(s, "the command has its exit codes", the_command_has_its_exit_codes);
    CU_add_test(s, "the command says what a damaged key table costs",
                the_command_says_what_a_damaged_key_table_costs);
}

/*
 * Reading what nobody reads: is rot found, said, and met by nobody as good bytes?
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "tests/site.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

#define FIRST "0000000000000001-0000.seg"

/* flips a bit in the value of this key, in the first segment, which is sealed */
static void rot(const char *dir, const char *key)
{
    char path[400];
    size_t bytes;
    struct stat st = {.st_mode = S_IWUSR};
    snprintf(path, sizeof(path), "%s/" FIRST, dir);
    for (int tries = 0; tries < 500 && (st.st_mode & S_IWUSR) != 0; ++tries) {
        CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
        sleep_ms(10);
    }
    uint8_t *content = read_file(path, &bytes);
    uint8_t *found = memmem(content, bytes, key, strlen(key));
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    found[strlen(key) + 40] ^= 4;
    chmod(path, 0600);
    /* in place: the server has it mapped */
    FILE *file = fopen(path, "r+b");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(content, 1, bytes, file), bytes);
    fclose(file);
    free(content);
}

static void put_some(fixture_t *f)
{
    char key[24], value[1500];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (int i = 0; i < 100; ++i) {
        snprintf(key, sizeof(key), "key %d.", i);
        CU_ASSERT_EQUAL_FATAL(fixture_put(f, key, value).err, CAIRN_OK);
    }
}

static cairn_store_stats_t stats_after_a_pass(fixture_t *f)
{
    cairn_store_stats_t stats;
    for (int tries = 0; tries < 500; ++tries) {
        cairn_store_stats(f->store, &stats);
        if (stats.scrub_passes != 0)
            return stats;
        cairn_thread_quiescent();
        sleep_ms(10);
    }
    CU_FAIL("no pass has ended");
    return stats;
}

static void a_whole_store_gives_no_alarm(void)
{
    fixture_t f;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    put_some(&f);
    f.options.scrub_rate = 1 << 30;
    fixture_restart(&f);
    cairn_store_stats_t stats = stats_after_a_pass(&f);
    CU_ASSERT_EQUAL(stats.damage.records, 0);
    CU_ASSERT(stats.scrubbed_bytes > 100000);
    fixture_dispose(&f);
}

/* the checkpoint spares the start from reading the segment: only scrubbing looks at it */
static void rot_is_found(void)
{
    fixture_t f;
    cairn_value_t value;
    fixture_init(&f, TEMP_DIR_IN_MEMORY);
    f.options.checkpoint_bytes = 1;
    CU_ASSERT_EQUAL_FATAL(fixture_open(&f), CAIRN_OK);
    put_some(&f);
    CU_ASSERT_EQUAL(fixture_put(&f, "key 9.", "replaced").err, CAIRN_OK);
    CU_ASSERT_EQUAL_FATAL(fixture_close(&f), CAIRN_OK);
    rot(f.options.path, "key 7.");
    rot(f.options.path, "key 9."); /* nobody can meet this one */
    f.options.scrub_rate = 1 << 30;
    unsigned errors = f.error_lines;
    cairn_err_t err = fixture_open(&f);
    if (err == CAIRN_ERR_CORRUPT) { /* it was read after all, and refused */
        fixture_dispose(&f);
        return;
    }
    CU_ASSERT_EQUAL_FATAL(err, CAIRN_OK);
    cairn_store_stats_t stats = stats_after_a_pass(&f);
    CU_ASSERT_EQUAL(stats.damage.records, 1);
    char why[CAIRN_ERRMSG_BYTES];
    CU_ASSERT(cairn_damage_text(&stats.damage, why));
    CU_ASSERT_STRING_EQUAL(why, "scrubbing found 1 damaged record");
    CU_ASSERT(f.error_lines > errors);
    CU_ASSERT_EQUAL(fixture_get(&f, text("key 7."), &value), CAIRN_ERR_DAMAGED);
    CU_ASSERT_EQUAL(fixture_get(&f, text("key 8."), &value), CAIRN_OK);
    CU_ASSERT(fixture_has(&f, "key 9.", "replaced"));
    fixture_dispose(&f);
}

static void a_server_says_that_it_is_degraded(void)
{
    static const char *const flags[] = {"--storage.segment_bytes=64KiB",
                                        "--storage.scrub_rate=1GiB", NULL};
    site_t site;
    http_conn_t conn;
    http_response_t res;
    char target[32], *value = noise(1500, 3);
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_IN_MEMORY, flags), 0);
    site_open(&site, &conn);
    for (int i = 0; i < 100; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/key%d.", i);
        CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", target, NULL, value, 1500), 201);
    }
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    http_close(&conn);
    /* with the first pass at its very start it would be over before the rot */
    site_start_again(&site, (const char *[]){flags[0], "--storage.scrub_rate=64KiB", NULL});
    rot(site.data, "key30.");
    site_open(&site, &conn);
    bool is_degraded = false;
    for (int tries = 0; tries < 100 && !is_degraded; ++tries) {
        exchange(&conn, "GET", "/readyz", NULL, NULL, 0, &res);
        CU_ASSERT_EQUAL(res.status, 204);
        is_degraded = http_header(&res, "cairn-state") != NULL;
        if (is_degraded)
            CU_ASSERT(header_is(&res, "cairn-state-reason", "scrubbing found 1 damaged record"));
        http_response_dispose(&res);
        sleep_ms(50);
    }
    CU_ASSERT(is_degraded);
    exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"state\": \"degraded\""));
    http_response_dispose(&res);
    exchange(&conn, "GET", "/v1/kv/key30.", NULL, NULL, 0, &res);
    CU_ASSERT(is_problem(&res, 500, "damaged"));
    http_response_dispose(&res);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/key31.", NULL, NULL, 0), 200);
    http_close(&conn);
    free(value);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

void suite_scrub(void)
{
    CU_pSuite s = CU_add_suite("scrub: reading what nobody reads", NULL, NULL);
    CU_add_test(s, "a whole store gives no alarm", a_whole_store_gives_no_alarm);
    CU_add_test(s, "rot is found, and only what can be met counts", rot_is_found);
    CU_add_test(s, "a server says that it is degraded", a_server_says_that_it_is_degraded);
}

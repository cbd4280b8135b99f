/*
 * Does libcairn do with a real server what client/cairn.h says?
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cairn.h"
#include "tests/site.h"

static site_t site;
static cairn_client_t *db;

static int start(void)
{
    if (site_start_in_memory(&site, (const char *const[]){"--workers=2", NULL}) != 0)
        return 1;
    db = cairn_connect("127.0.0.1", site.server.port);
    return db == NULL;
}

static int end(void)
{
    cairn_disconnect(db);
    return site_end(&site);
}

/** whether a call went well; prints its message if not */
static bool ok(cairn_client_err_t err)
{
    if (err != CAIRN_CLIENT_OK)
        fprintf(stderr, "\n    %s", cairn_client_message(db));
    return err == CAIRN_CLIENT_OK;
}

static bool value_is(const cairn_client_value_t *value, const void *bytes, size_t count)
{
    return value->bytes != NULL && value->count == count && value->bytes[count] == '\0' &&
           memcmp(value->bytes, bytes, count) == 0;
}

/* ---------------------------------------------------------------- values */

static void three_lines(void)
{
    cairn_client_t *own = cairn_connect("localhost", site.server.port);
    CU_ASSERT_EQUAL(cairn_set(own, "greeting", "hello"), CAIRN_CLIENT_OK);
    CU_ASSERT_STRING_EQUAL(cairn_get(own, "greeting"), "hello");
    CU_ASSERT_EQUAL(cairn_append(own, "greeting", ", world"), CAIRN_CLIENT_OK);
    CU_ASSERT_STRING_EQUAL(cairn_get(own, "greeting"), "hello, world");
    CU_ASSERT_STRING_EQUAL(cairn_client_message(own), "ok");
    CU_ASSERT_EQUAL(cairn_delete(own, "greeting"), CAIRN_CLIENT_OK);
    CU_ASSERT_PTR_NULL(cairn_get(own, "greeting"));
    CU_ASSERT_EQUAL(cairn_client_error(own), CAIRN_CLIENT_NOT_FOUND);
    CU_ASSERT_EQUAL(cairn_client_status(own), 404);
    CU_ASSERT_STRING_EQUAL(cairn_client_code(own), "not_found");
    CU_ASSERT_EQUAL(cairn_delete(own, "greeting"), CAIRN_CLIENT_NOT_FOUND);
    CU_ASSERT(ok(cairn_set(own, "empty", "")));
    CU_ASSERT_STRING_EQUAL(cairn_get(own, "empty"), "");
    cairn_disconnect(own);
}

static void any_bytes(void)
{
    static const struct {
        const char *key;
        size_t key_bytes;
    } keys[] = {{"a\0b", 3},     {"a/b//../c", 9}, {".", 1},   {"..", 2},          {"%2F", 3},
                {"\xff\xfe", 2}, {"?x=1&y#z", 8},  {"+ +", 3}, {"\xc3\xa9\r\n", 4}};
    for (size_t i = 0; i != sizeof(keys) / sizeof(keys[0]); ++i) {
        cairn_client_value_t value;
        cairn_client_written_t written;
        char *bytes = noise(100 + i, i);
        bytes[3] = '\0';
        CU_ASSERT(ok(
            cairn_set_bytes(db, keys[i].key, keys[i].key_bytes, bytes, 100 + i, NULL, &written)));
        CU_ASSERT(written.is_new);
        CU_ASSERT(ok(cairn_get_bytes(db, keys[i].key, keys[i].key_bytes, NULL, &value)));
        CU_ASSERT(value_is(&value, bytes, 100 + i));
        CU_ASSERT_EQUAL(value.version, written.version);
        CU_ASSERT_STRING_EQUAL(value.content_type, "application/octet-stream");
        cairn_client_value_dispose(&value);
        free(bytes);
    }
    char longest[2049];
    memset(longest, '/', sizeof(longest));
    CU_ASSERT(ok(cairn_set_bytes(db, longest, 2048, "x", 1, NULL, NULL)));
    CU_ASSERT_EQUAL(cairn_set_bytes(db, longest, 2049, "x", 1, NULL, NULL), CAIRN_CLIENT_TOO_LARGE);
    CU_ASSERT_STRING_EQUAL(cairn_client_code(db), "key_too_long");
    CU_ASSERT_EQUAL(cairn_set(db, "", "x"), CAIRN_CLIENT_INVALID);
    CU_ASSERT_STRING_EQUAL(cairn_client_code(db), "key_empty");
}

static void small_empty_and_large_values(void)
{
    static const size_t sizes[] = {0, 1, 65536, (5 << 20) + 1, 16 << 20};
    for (size_t i = 0; i != sizeof(sizes) / sizeof(sizes[0]); ++i) {
        cairn_client_value_t value;
        char *bytes = noise(sizes[i], i);
        CU_ASSERT(ok(cairn_set_bytes(db, "size", 4, bytes, sizes[i], NULL, NULL)));
        CU_ASSERT(ok(cairn_get_bytes(db, "size", 4, NULL, &value)));
        CU_ASSERT(value_is(&value, bytes, sizes[i]));
        cairn_client_value_dispose(&value);
        CU_ASSERT(
            ok(cairn_get_bytes(db, "size", 4, &(cairn_client_read_t){.is_head = true}, &value)));
        CU_ASSERT_EQUAL(value.total, sizes[i]);
        CU_ASSERT_PTR_NULL(value.bytes);
        cairn_client_value_dispose(&value);
        free(bytes);
    }
    char *bytes = calloc(1, (16 << 20) + 1);
    CU_ASSERT_EQUAL(cairn_set_bytes(db, "size", 4, bytes, (16 << 20) + 1, NULL, NULL),
                    CAIRN_CLIENT_TOO_LARGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(cairn_client_message(db), "16777216"));
    free(bytes);
}

static void a_part_of_a_value(void)
{
    cairn_client_value_t value;
    CU_ASSERT(ok(cairn_set(db, "digits", "0123456789")));
    CU_ASSERT(ok(
        cairn_get_bytes(db, "digits", 6, &(cairn_client_read_t){.offset = 2, .count = 3}, &value)));
    CU_ASSERT(value_is(&value, "234", 3));
    CU_ASSERT_EQUAL(value.total, 10);
    cairn_client_value_dispose(&value);
    CU_ASSERT(ok(cairn_get_bytes(db, "digits", 6, &(cairn_client_read_t){.offset = 8}, &value)));
    CU_ASSERT(value_is(&value, "89", 2));
    cairn_client_value_dispose(&value);
    CU_ASSERT_EQUAL(cairn_get_bytes(db, "digits", 6, &(cairn_client_read_t){.offset = 10}, &value),
                    CAIRN_CLIENT_INVALID);
    CU_ASSERT_PTR_NULL(value.bytes);
}

static void what_is_stored_beside_a_value(void)
{
    cairn_client_meta_t meta[] = {{"Author", "Ada"}, {"empty", ""}, {"n", "a: b"}};
    cairn_client_write_t how = {.content_type = "text/html",
                                .content_encoding = "br",
                                .cache_control = "no-store",
                                .meta = meta,
                                .meta_count = 3};
    cairn_client_value_t value;
    CU_ASSERT(ok(cairn_set_bytes(db, "page", 4, "<p>", 3, &how, NULL)));
    CU_ASSERT(ok(cairn_get_bytes(db, "page", 4, NULL, &value)));
    CU_ASSERT_STRING_EQUAL(value.content_type, "text/html");
    CU_ASSERT_STRING_EQUAL(value.content_encoding, "br");
    CU_ASSERT_STRING_EQUAL(value.cache_control, "no-store");
    CU_ASSERT_EQUAL(value.expires_in_ms, -1);
    CU_ASSERT_EQUAL_FATAL(value.meta_count, 3);
    CU_ASSERT_STRING_EQUAL(value.meta[0].name, "author");
    CU_ASSERT_STRING_EQUAL(value.meta[0].value, "Ada");
    CU_ASSERT_STRING_EQUAL(value.meta[1].value, "");
    CU_ASSERT_STRING_EQUAL(value.meta[2].value, "a: b");
    cairn_client_value_dispose(&value);
    /* a line end would make a header of its own */
    meta[0].value = "x\r\nIf-Match: *";
    CU_ASSERT_EQUAL(cairn_set_bytes(db, "page", 4, "", 0, &how, NULL), CAIRN_CLIENT_INVALID);
    meta[0] = (cairn_client_meta_t){"x: y\r\nz", "1"};
    CU_ASSERT_EQUAL(cairn_set_bytes(db, "page", 4, "", 0, &how, NULL), CAIRN_CLIENT_INVALID);
}

static void values_expire(void)
{
    cairn_client_write_t how = {.ttl_ms = 60000};
    cairn_client_value_t value;
    CU_ASSERT(ok(cairn_set_bytes(db, "soon", 4, "x", 1, &how, NULL)));
    CU_ASSERT(ok(cairn_get_bytes(db, "soon", 4, NULL, &value)));
    CU_ASSERT(value.expires_in_ms > 30000 && value.expires_in_ms <= 60000);
    cairn_client_value_dispose(&value);
    how.ttl_ms = 1;
    CU_ASSERT(ok(cairn_set_bytes(db, "soon", 4, "x", 1, &how, NULL)));
    sleep_ms(5);
    CU_ASSERT_PTR_NULL(cairn_get(db, "soon"));
    CU_ASSERT_EQUAL(cairn_client_error(db), CAIRN_CLIENT_NOT_FOUND);
}

static void conditions_hold_or_not(void)
{
    cairn_client_write_t if_absent = {.if_absent = true}, if_present = {.if_present = true}, same;
    cairn_client_written_t first, second;
    cairn_client_value_t value;
    CU_ASSERT_EQUAL(cairn_set_bytes(db, "cas", 3, "0", 1, &if_present, NULL),
                    CAIRN_CLIENT_PRECONDITION);
    CU_ASSERT(ok(cairn_set_bytes(db, "cas", 3, "1", 1, &if_absent, &first)));
    CU_ASSERT_EQUAL(cairn_set_bytes(db, "cas", 3, "2", 1, &if_absent, &second),
                    CAIRN_CLIENT_PRECONDITION);
    CU_ASSERT_EQUAL(second.version, first.version);
    same = (cairn_client_write_t){.if_version = first.version};
    CU_ASSERT(ok(cairn_set_bytes(db, "cas", 3, "2", 1, &same, &second)));
    CU_ASSERT_FALSE(second.is_new);
    CU_ASSERT(second.version > first.version);
    CU_ASSERT_EQUAL(cairn_delete_bytes(db, "cas", 3, &same, NULL), CAIRN_CLIENT_PRECONDITION);
    CU_ASSERT_EQUAL(cairn_append_bytes(db, "cas", 3, "x", 1, &same, NULL),
                    CAIRN_CLIENT_PRECONDITION);
    CU_ASSERT_EQUAL(cairn_get_bytes(db, "cas", 3,
                                    &(cairn_client_read_t){.unless_version = second.version},
                                    &value),
                    CAIRN_CLIENT_NOT_MODIFIED);
    CU_ASSERT(ok(cairn_get_bytes(db, "cas", 3,
                                 &(cairn_client_read_t){.unless_version = first.version}, &value)));
    CU_ASSERT(value_is(&value, "2", 1));
    cairn_client_value_dispose(&value);
    same.if_version = second.version;
    CU_ASSERT(ok(cairn_delete_bytes(db, "cas", 3, &same, NULL)));
}

static void counting(void)
{
    int64_t number = 0;
    cairn_client_written_t written;
    CU_ASSERT(ok(cairn_incr(db, "count", 5, &number)));
    CU_ASSERT_EQUAL(number, 5);
    CU_ASSERT(ok(cairn_incr_bytes(db, "count", 5, -7, NULL, &written)));
    CU_ASSERT_EQUAL(written.number, -2);
    CU_ASSERT(ok(cairn_set(db, "count", "words")));
    CU_ASSERT_EQUAL(cairn_incr(db, "count", 1, &number), CAIRN_CLIENT_CONFLICT);
    CU_ASSERT_STRING_EQUAL(cairn_client_code(db), "not_a_number");
    CU_ASSERT_EQUAL(number, 5);
    CU_ASSERT(ok(cairn_set(db, "count", "9223372036854775807")));
    CU_ASSERT_EQUAL(cairn_incr(db, "count", 1, NULL), CAIRN_CLIENT_CONFLICT);
    CU_ASSERT_STRING_EQUAL(cairn_client_code(db), "overflow");
}

static void durable_now_or_soon(void)
{
    cairn_client_write_t how = {.durability = CAIRN_CLIENT_ASYNC};
    cairn_client_written_t written;
    CU_ASSERT(ok(cairn_set_bytes(db, "soft", 4, "x", 1, &how, &written)));
    CU_ASSERT(ok(cairn_sync(db, written.version)));
    how.durability = CAIRN_CLIENT_SYNC;
    CU_ASSERT(ok(cairn_set_bytes(db, "soft", 4, "x", 1, &how, &written)));
    CU_ASSERT_EQUAL(cairn_sync(db, written.version + 1000), CAIRN_CLIENT_INVALID);
    CU_ASSERT_STRING_EQUAL(cairn_client_code(db), "bad_version");
}

/* ---------------------------------------------------------------- batches */

static void a_batch_of_everything(void)
{
    cairn_client_batch_t *batch = cairn_batch_create();
    cairn_client_write_t if_absent = {.if_absent = true, .ttl_ms = 60000, .content_type = "a/b"};
    cairn_batch_set(batch, "b/1", 3, "one", 3, &if_absent);
    cairn_batch_set(batch, "b/\xff\0", 4, "\0\xfe", 2, NULL);
    cairn_batch_append(batch, "b/1", 3, " more", 5, NULL);
    cairn_batch_incr(batch, "b/n", 3, -12, NULL);
    cairn_batch_get(batch, "b/1", 3);
    cairn_batch_get(batch, "b/\xff\0", 4);
    cairn_batch_set(batch, "b/1", 3, "two", 3, &if_absent);
    cairn_batch_delete(batch, "b/none", 6, NULL);
    cairn_batch_get(batch, "b/none", 6);
    CU_ASSERT_EQUAL(cairn_batch_count(batch), 9);
    CU_ASSERT(ok(cairn_batch_run(db, batch, false)));
    static const int statuses[] = {201, 201, 204, 200, 200, 200, 412, 404, 404};
    for (size_t i = 0; i != 9; ++i) {
        CU_ASSERT_PTR_NOT_NULL_FATAL(cairn_batch_result(batch, i));
        CU_ASSERT_EQUAL(cairn_batch_result(batch, i)->status, statuses[i]);
    }
    CU_ASSERT_EQUAL(cairn_batch_result(batch, 3)->number, -12);
    CU_ASSERT_STRING_EQUAL(cairn_batch_result(batch, 4)->value, "one more");
    CU_ASSERT_EQUAL(cairn_batch_result(batch, 5)->value_bytes, 2);
    CU_ASSERT_EQUAL(memcmp(cairn_batch_result(batch, 5)->value, "\0\xfe", 2), 0);
    CU_ASSERT_EQUAL(cairn_batch_result(batch, 6)->err, CAIRN_CLIENT_PRECONDITION);
    CU_ASSERT_EQUAL(cairn_batch_result(batch, 7)->err, CAIRN_CLIENT_NOT_FOUND);
    CU_ASSERT_PTR_NULL(cairn_batch_result(batch, 8)->value);
    CU_ASSERT_PTR_NULL(cairn_batch_result(batch, 9));
    cairn_batch_clear(batch);
    CU_ASSERT_EQUAL(cairn_batch_count(batch), 0);
    CU_ASSERT_PTR_NULL(cairn_batch_result(batch, 0));
    CU_ASSERT(ok(cairn_batch_run(db, batch, false)));
    cairn_batch_destroy(batch);
}

static void all_or_nothing(void)
{
    cairn_client_batch_t *batch = cairn_batch_create();
    cairn_client_write_t if_present = {.if_present = true};
    CU_ASSERT(ok(cairn_set(db, "atom", "x")));
    cairn_batch_delete(batch, "atom", 4, NULL);
    cairn_batch_set(batch, "atom/2", 6, "x", 1, NULL);
    cairn_batch_set(batch, "atom/3", 6, "x", 1, &if_present);
    CU_ASSERT_EQUAL(cairn_batch_run(db, batch, true), CAIRN_CLIENT_PRECONDITION);
    CU_ASSERT_EQUAL(cairn_batch_failed_at(batch), 2);
    CU_ASSERT_PTR_NULL(cairn_batch_result(batch, 0));
    CU_ASSERT_STRING_EQUAL(cairn_get(db, "atom"), "x");
    CU_ASSERT_PTR_NULL(cairn_get(db, "atom/2"));
    cairn_batch_clear(batch);
    CU_ASSERT_EQUAL(cairn_batch_failed_at(batch), SIZE_MAX);
    cairn_batch_delete(batch, "atom", 4, NULL);
    cairn_batch_set(batch, "atom/2", 6, "x", 1, NULL);
    CU_ASSERT(ok(cairn_batch_run(db, batch, true)));
    CU_ASSERT(cairn_batch_result(batch, 1)->version > cairn_batch_result(batch, 0)->version);
    CU_ASSERT_EQUAL(cairn_batch_failed_at(batch), SIZE_MAX);
    cairn_batch_destroy(batch);
}

static void a_batch_refused_for_one_operation(void)
{
    cairn_client_batch_t *batch = cairn_batch_create();
    cairn_batch_set(batch, "good", 4, "x", 1, NULL);
    cairn_batch_set(batch, "", 0, "x", 1, NULL);
    CU_ASSERT_EQUAL(cairn_batch_run(db, batch, false), CAIRN_CLIENT_INVALID);
    CU_ASSERT_EQUAL(cairn_batch_failed_at(batch), 1);
    CU_ASSERT_PTR_NULL(cairn_batch_result(batch, 0));
    CU_ASSERT_PTR_NULL(cairn_get(db, "good"));
    cairn_batch_destroy(batch);
}

/* ---------------------------------------------------------------- lists, scans, changes */

typedef struct st_seen_t {
    char text[512];
    int calls, most;
} seen_t;

static bool see_entry(void *ctx, const cairn_client_entry_t *entry)
{
    seen_t *seen = ctx;
    size_t at = strlen(seen->text);
    if (seen->calls < 10)
        snprintf(seen->text + at, sizeof(seen->text) - at, "%s=%s/%d ", entry->key,
                 entry->value != NULL ? entry->value : "-", (int)entry->size);
    return ++seen->calls != seen->most;
}

static void lists_in_order(void)
{
    seen_t seen = {.most = -1};
    char key[32];
    cairn_client_batch_t *batch = cairn_batch_create();
    for (int i = 0; i != 2500; ++i) {
        int bytes = snprintf(key, sizeof(key), "l/%04d", i);
        cairn_batch_set(batch, key, (size_t)bytes, "v", 1, NULL);
    }
    cairn_batch_set(batch, "l/\xff", 3, "\0\xfe", 2, NULL);
    CU_ASSERT(ok(cairn_batch_run(db, batch, false)));
    cairn_batch_destroy(batch);
    cairn_client_list_t list = {.prefix = "l/", .prefix_bytes = 2};
    CU_ASSERT(ok(cairn_list(db, &list, see_entry, &seen)));
    CU_ASSERT_EQUAL(seen.calls, 2501);
    CU_ASSERT_EQUAL(strncmp(seen.text, "l/0000=-/1 l/0001=-/1 l/0002=-/1 ", 33), 0);
    seen = (seen_t){.most = -1};
    list = (cairn_client_list_t){.prefix = "l/",
                                 .prefix_bytes = 2,
                                 .after = "l/2498",
                                 .after_bytes = 6,
                                 .with_values = true,
                                 .page = 1};
    CU_ASSERT(ok(cairn_list(db, &list, see_entry, &seen)));
    CU_ASSERT_STRING_EQUAL(seen.text, "l/2499=v/1 l/\xff=/2 ");
    seen = (seen_t){.most = -1};
    list = (cairn_client_list_t){.prefix = "l/", .prefix_bytes = 2, .limit = 1234, .page = 100};
    CU_ASSERT(ok(cairn_list(db, &list, see_entry, &seen)));
    CU_ASSERT_EQUAL(seen.calls, 1234);
}

static void scans_by_what_is_inside(void)
{
    seen_t seen = {.most = -1};
    CU_ASSERT(ok(cairn_set(db, "s/1", "hay needle hay")));
    CU_ASSERT(ok(cairn_set(db, "s/2", "hay")));
    CU_ASSERT(ok(cairn_set(db, "t/1", "needle")));
    cairn_client_list_t scan = {
        .prefix = "s/", .prefix_bytes = 2, .contains = "needle", .contains_bytes = 6};
    CU_ASSERT(ok(cairn_scan(db, &scan, see_entry, &seen)));
    CU_ASSERT_STRING_EQUAL(seen.text, "s/1=-/14 ");
}

static bool see_change(void *ctx, const cairn_client_change_t *change)
{
    seen_t *seen = ctx;
    size_t at = strlen(seen->text);
    if (change != NULL)
        snprintf(seen->text + at, sizeof(seen->text) - at, "%s%s=%s ",
                 change->is_delete ? "-" : "+", change->key,
                 change->value != NULL ? change->value : "");
    return true;
}

static void changes_in_their_order(void)
{
    seen_t seen = {.most = -1};
    cairn_client_written_t written;
    CU_ASSERT(ok(cairn_set_bytes(db, "f/1", 3, "a", 1, NULL, &written)));
    CU_ASSERT(ok(cairn_set(db, "f/2", "b")));
    CU_ASSERT(ok(cairn_delete(db, "f/1")));
    CU_ASSERT(ok(cairn_set(db, "g", "c")));
    cairn_client_feed_t feed = {.since = written.version,
                                .prefix = "f/",
                                .prefix_bytes = 2,
                                .with_values = true,
                                .ends_at_present = true};
    CU_ASSERT(ok(cairn_changes(db, &feed, see_change, &seen)));
    CU_ASSERT_STRING_EQUAL(seen.text, "+f/2=b -f/1= ");
}

/* ---------------------------------------------------------------- connections */

static long metric(const char *name)
{
    char *text, line[64];
    CU_ASSERT(ok(cairn_client_fetch(db, "/metrics", &text)));
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(text, line);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    long value = (long)strtod(at + strlen(line), NULL);
    free(text);
    return value;
}

static void a_connection_is_kept(void)
{
    cairn_client_value_t value;
    long before = metric("cairn_connections_total");
    for (int i = 0; i != 50; ++i) {
        CU_ASSERT(ok(cairn_set(db, "kept", "x")));
        CU_ASSERT_STRING_EQUAL(cairn_get(db, "kept"), "x");
        CU_ASSERT_PTR_NULL(cairn_get(db, "absent"));
        CU_ASSERT(ok(cairn_incr(db, "kept count", 1, NULL)));
        CU_ASSERT(
            ok(cairn_get_bytes(db, "kept", 4, &(cairn_client_read_t){.is_head = true}, &value)));
        cairn_client_value_dispose(&value);
    }
    CU_ASSERT_EQUAL(metric("cairn_connections_total"), before);
}

static void *count_alone(void *failures)
{
    cairn_client_t *own = cairn_connect("127.0.0.1", site.server.port);
    for (int i = 0; i != 200; ++i)
        *(int *)failures += cairn_incr(own, "together", 1, NULL) != CAIRN_CLIENT_OK;
    cairn_disconnect(own);
    return NULL;
}

static void each_thread_its_handle(void)
{
    pthread_t threads[8];
    int failures[8] = {0};
    int64_t sum = 0;
    for (int i = 0; i != 8; ++i)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, count_alone, &failures[i]), 0);
    for (int i = 0; i != 8; ++i) {
        pthread_join(threads[i], NULL);
        CU_ASSERT_EQUAL(failures[i], 0);
    }
    CU_ASSERT(ok(cairn_incr(db, "together", 0, &sum)));
    CU_ASSERT_EQUAL(sum, 1600);
}

void suite_client(void)
{
    CU_pSuite s = CU_add_suite("client", start, end);
    CU_add_test(s, "connect, set, get, and then delete", three_lines);
    CU_add_test(s, "keys and values of any bytes", any_bytes);
    CU_add_test(s, "small, empty and large values", small_empty_and_large_values);
    CU_add_test(s, "a part of a value", a_part_of_a_value);
    CU_add_test(s, "what is stored beside a value comes back", what_is_stored_beside_a_value);
    CU_add_test(s, "values expire", values_expire);
    CU_add_test(s, "conditions hold or not", conditions_hold_or_not);
    CU_add_test(s, "counting", counting);
    CU_add_test(s, "on disk now, or soon", durable_now_or_soon);
    CU_add_test(s, "a batch of everything", a_batch_of_everything);
    CU_add_test(s, "an atomic batch is all or nothing", all_or_nothing);
    CU_add_test(s, "a batch is refused for one operation", a_batch_refused_for_one_operation);
    CU_add_test(s, "lists in order, page by page", lists_in_order);
    CU_add_test(s, "scans by what is inside", scans_by_what_is_inside);
    CU_add_test(s, "changes in their order", changes_in_their_order);
    CU_add_test(s, "a connection is kept between calls", a_connection_is_kept);
    CU_add_test(s, "each thread with a handle of its own", each_thread_its_handle);
}

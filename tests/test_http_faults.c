/*
 * What clients are told when the disk fails, is full, or lies.
 *
 * Over real sockets, against a server whose system is staged (tests/staged_site.h).
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/kv_call.h"
#include "tests/staged_site.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"

static staged_site_t staged;

/* ---------------------------------------------------------------- small words */

static bool is_refused(http_conn_t *conn, const char *method, const char *target, const char *body,
                       int status, const char *code)
{
    http_response_t res;
    exchange(conn, method, target, NULL, body, body != NULL ? strlen(body) : 0, &res);
    bool is_right = is_problem(&res, status, code);
    /* what only a restart mends is not worth asking for again */
    if (status == 503)
        is_right &= (http_header(&res, "retry-after") != NULL) == (strcmp(code, "read_only") != 0);
    http_response_dispose(&res);
    return is_right;
}

static int put(http_conn_t *conn, const char *target, const char *body)
{
    return exchange_status(conn, "PUT", target, NULL, body, strlen(body));
}

static bool stats_say(http_conn_t *conn, const char *text)
{
    http_response_t res;
    exchange(conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    bool say = res.status == 200 && strstr(res.body, text) != NULL;
    http_response_dispose(&res);
    return say;
}

/* ---------------------------------------------------------------- starting */

typedef struct st_early_t {
    uint16_t port;
    unsigned loading, odd; /* answers that say so, and others */
    bool says_how_far, is_alive, has_pages;
} early_t;

/* the status of a GET, 0 without an answer; whether its body has this text */
static int look(http_conn_t *conn, const char *target, const char *text, bool *has_text)
{
    http_response_t res;
    if (!http_request(conn, "GET", target, NULL, NULL, 0, &res))
        return 0;
    int status = res.status;
    *has_text = strstr(res.body, text) != NULL;
    http_response_dispose(&res);
    return status;
}

/* asks a server that is loading, then lets it go on; asserts nothing: it is not the test's thread
 */
static void *ask_early(void *arg)
{
    static const char *const targets[] = {"/readyz", "/v1/kv/a", "/v1/stats", "/v1/sync?version=0",
                                          "/get?key=a"};
    early_t *early = arg;
    http_conn_t conn;
    bool has_text;
    for (int i = 0; i < 10000 && !http_open(&conn, early->port); ++i)
        sleep_ms(1);
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); ++i) {
        int status = look(&conn, targets[i], "\"code\":\"loading\"", &has_text);
        ++*(status == 503 && has_text ? &early->loading : &early->odd);
    }
    early->says_how_far = look(&conn, "/readyz", "0 of 0 bytes, 0 %", &has_text) == 503 && has_text;
    early->is_alive = look(&conn, "/livez", "", &has_text) == 204;
    early->has_pages = look(&conn, "/", "cairn", &has_text) == 200 &&
                       look(&conn, "/dashboard", "cairn", &has_text) == 200 &&
                       look(&conn, "/metrics", "\ncairn_ready 0\n", &has_text) == 200 && has_text;
    http_close(&conn);
    staged_site_release(&staged);
    return NULL;
}

static void while_it_loads(void)
{
    early_t early = {.port = site_free_port()};
    char listen[32];
    const char *const args[] = {"--listen", listen, NULL};
    pthread_t thread;
    http_conn_t conn;
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", early.port);
    staged_site_prepare(&staged, true);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, ask_early, &early), 0);
    staged_site_start_again(&staged, args); /* returns when the store is open */
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(early.loading, 5);
    CU_ASSERT_EQUAL(early.odd, 0);
    CU_ASSERT(early.says_how_far);
    CU_ASSERT(early.is_alive);
    CU_ASSERT(early.has_pages);
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/readyz", NULL, NULL, 0), 204);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/a", "1"), 201);
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&staged.site.server), 0);
    staged_site_end(&staged);
}

/* ---------------------------------------------------------------- a disk that fails */

static void a_sync_fails(void)
{
    http_conn_t conn;
    staged_site_start(&staged, NULL);
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/before", "1"), 201);
    staged_site_fail(&staged, FAULT_sync, EIO, true); /* once: maintenance might meet it */
    CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/a", "2", 503, "outcome_unknown"));

    /* it is not tried again: what the kernel has thrown away does not come back */
    CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/a", "2", 503, "read_only"));
    CU_ASSERT(is_refused(&conn, "DELETE", "/v1/kv/before", NULL, 503, "read_only"));
    CU_ASSERT(is_refused(&conn, "POST", "/v1/incr/n", NULL, 503, "read_only"));
    CU_ASSERT(is_refused(&conn, "POST", "/v1/append/a", "x", 503, "read_only"));
    CU_ASSERT(is_refused(&conn, "GET", "/set?key=a&value=b", NULL, 503, "read_only"));
    CU_ASSERT(is_refused(&conn, "POST", "/v1/batch?atomic=true",
                         "{\"op\":\"put\",\"key\":\"a\",\"value\":\"b\"}", 503, "read_only"));
    CU_ASSERT(is_refused(&conn, "GET", "/readyz", NULL, 503, "read_only"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/before", "1"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
    CU_ASSERT(stats_say(&conn, "\"state\": \"read_only\""));
    http_close(&conn);

    /* a restart looks at what is really there */
    server_kill(&staged.site.server);
    staged_site_start_again(&staged, NULL);
    site_open(&staged.site, &conn);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/before", "1"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/readyz", NULL, NULL, 0), 204);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/before", "2"), 204);
    http_close(&conn);
    staged_site_end(&staged);
}

static void a_write_fails(void)
{
    http_conn_t conn;
    staged_site_start(&staged, NULL);
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/before", "1"), 201);
    staged_site_fail(&staged, FAULT_pwritev, EIO, true);
    CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/a", "2", 503, "outcome_unknown"));
    CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/a", "2", 503, "read_only"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/before", "1"));
    http_close(&conn);
    staged_site_end(&staged);
}

/* ---------------------------------------------------------------- no room */

/* puts until one is refused; how many were taken */
static int fill_up(http_conn_t *conn, const char *value, size_t bytes, int *refused_with)
{
    for (int i = 0; i < 1000; ++i) {
        char target[32];
        snprintf(target, sizeof(target), "/v1/kv/fill%d", i);
        *refused_with = exchange_status(conn, "PUT", target, NULL, value, bytes);
        if (*refused_with / 100 != 2)
            return i;
    }
    return 1000;
}

static void the_disk_is_full(void)
{
    static const char *const args[] = {"--storage.segment_bytes", "64KiB", NULL};
    http_conn_t conn;
    int status;
    char value[6001];
    memset(value, 'v', 6000);
    value[6000] = '\0';
    staged_site_start(&staged, args);
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/before", "1"), 201);
    staged_site_fail(&staged, FAULT_preallocate, ENOSPC, true);
    int taken = fill_up(&conn, value, 6000, &status);
    CU_ASSERT_EQUAL(status, 507);
    CU_ASSERT(taken > 5 && taken < 100);
    CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/more", value, 507, "disk_full"));
    CU_ASSERT(is_refused(&conn, "POST", "/v1/append/fill0", value, 507, "disk_full"));
    CU_ASSERT(stats_say(&conn, "\"state\": \"disk_full\""));

    /* reads and deletes go on */
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/before", "1"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "DELETE", "/v1/kv/fill0", NULL, NULL, 0), 204);
    CU_ASSERT_EQUAL(exchange_status(&conn, "DELETE", "/v1/kv/fill1", NULL, NULL, 0), 204);

    staged_site_heal(&staged);
    for (int i = 0; i < 5000; ++i, sleep_ms(1)) {
        status = exchange_status(&conn, "PUT", "/v1/kv/more", NULL, value, 6000);
        if (status != 507)
            break;
    }
    CU_ASSERT_EQUAL(status, 201);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/more", value));
    CU_ASSERT(stats_say(&conn, "\"state\": \"ok\""));
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&staged.site.server), 0);
    staged_site_end(&staged);
}

/* the process has no descriptor left for the next segment */
static void there_are_no_files(void)
{
    static const char *const args[] = {"--storage.segment_bytes", "64KiB", NULL};
    http_conn_t conn;
    int status;
    char value[6001];
    memset(value, 'v', 6000);
    value[6000] = '\0';
    staged_site_start(&staged, args);
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/before", "1"), 201);
    staged_site_fail(&staged, FAULT_open, EMFILE, true);
    int taken = fill_up(&conn, value, 6000, &status);
    CU_ASSERT_EQUAL(status, 503);
    CU_ASSERT(taken > 5 && taken < 100);
    CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/more", value, 503, "no_files"));
    CU_ASSERT(is_refused(&conn, "POST", "/v1/append/fill0", value, 503, "no_files"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/before", "1"));

    staged_site_heal(&staged);
    for (int i = 0; i < 5000; ++i, sleep_ms(1)) {
        status = exchange_status(&conn, "PUT", "/v1/kv/more", NULL, value, 6000);
        if (status != 503)
            break;
    }
    CU_ASSERT_EQUAL(status, 201);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/more", value));
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&staged.site.server), 0);
    staged_site_end(&staged);
}

/* each step of a snapshot: what could not be made is told, is not there, and can be made later */
static void a_snapshot_cannot_be_made(void)
{
    static const fault_function_t steps[] = {FAULT_make_dir, FAULT_link, FAULT_rename,
                                             FAULT_open_subdir};
    http_conn_t conn;
    http_response_t res;
    staged_site_start(&staged, NULL);
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/a", "1"), 201);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); ++i) {
        staged_site_fail(&staged, steps[i], EIO, true);
        CU_ASSERT(
            is_refused(&conn, "POST", "/v1/admin/snapshot?name=s", NULL, 500, "write_failed"));
        staged_site_heal(&staged);
        exchange(&conn, "GET", "/v1/admin/snapshot", NULL, NULL, 0, &res);
        CU_ASSERT_PTR_NULL(strstr(res.body, "\"name\""));
        http_response_dispose(&res);
    }
    CU_ASSERT_EQUAL(exchange_status(&conn, "POST", "/v1/admin/snapshot?name=s", NULL, NULL, 0),
                    201);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/a", "2"), 204);
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&staged.site.server), 0);
    staged_site_end(&staged);
}

static void there_is_no_memory(void)
{
    http_conn_t conn;
    staged_site_start(&staged, NULL);
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/before", "1"), 201);
    staged_site_fail(&staged, FAULT_alloc, ENOMEM, true);
    CU_ASSERT(is_refused(&conn, "PUT", "/v1/kv/a", "2", 503, "no_memory"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/before", "1"));
    staged_site_heal(&staged);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/a", "2"), 201);
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&staged.site.server), 0);
    staged_site_end(&staged);
}

typedef struct st_putter_t {
    pthread_t thread;
    unsigned index, taken, full, odd;
} putter_t;

/* asserts nothing: it is not the test's thread */
static void *put_many(void *arg)
{
    putter_t *putter = arg;
    http_conn_t conn;
    if (!kv_open(&conn, staged.site.server.port)) {
        ++putter->odd;
        return NULL;
    }
    for (unsigned i = 0; i < 50; ++i) {
        char target[32];
        http_response_t res;
        snprintf(target, sizeof(target), "/v1/kv/q%u.%u", putter->index, i);
        if (!http_request(&conn, "PUT", target, NULL, "x", 1, &res)) {
            ++putter->odd;
            break;
        }
        bool is_full = res.status == 503 && strstr(res.body, "\"code\":\"queue_full\"") != NULL &&
                       http_header(&res, "retry-after") != NULL;
        ++*(res.status == 201 ? &putter->taken : is_full ? &putter->full : &putter->odd);
        http_response_dispose(&res);
    }
    http_close(&conn);
    return NULL;
}

/* a queue of one, and many who want to be in it */
static void the_queue_is_full(void)
{
    static const char *const args[] = {"--limits.queue_ops", "1", NULL};
    putter_t putters[32], sum = {.odd = 0};
    http_conn_t conn;
    staged_site_start(&staged, args);
    for (unsigned i = 0; i < 32; ++i) {
        putters[i] = (putter_t){.index = i};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&putters[i].thread, NULL, put_many, &putters[i]), 0);
    }
    for (unsigned i = 0; i < 32; ++i) {
        pthread_join(putters[i].thread, NULL);
        sum.taken += putters[i].taken;
        sum.full += putters[i].full;
        sum.odd += putters[i].odd;
    }
    CU_ASSERT_EQUAL(sum.odd, 0);
    CU_ASSERT(sum.taken > 0 && sum.full > 0);
    CU_ASSERT_EQUAL(sum.taken + sum.full, 32 * 50);
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/after", "1"), 201);
    http_close(&conn);
    staged_site_end(&staged);
}

/* ---------------------------------------------------------------- a disk that lies */

/* changes one byte of a text in a file, which has it once */
static void damage(const char *path, const char *marker)
{
    size_t count;
    /* it gets its name some time after its first record */
    for (int i = 0; i < 10000 && access(path, F_OK) != 0; ++i)
        sleep_ms(1);
    uint8_t *bytes = read_file(path, &count);
    const uint8_t *at = memmem(bytes, count, marker, strlen(marker));
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    int fd = open(path, O_WRONLY);
    CU_ASSERT_EQUAL_FATAL(pwrite(fd, "#", 1, at - bytes), 1);
    close(fd);
    free(bytes);
}

static void a_value_is_damaged(void)
{
    http_conn_t conn;
    http_response_t res;
    char path[400];
    staged_site_start(&staged, NULL);
    site_open(&staged.site, &conn);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/rot", "an older value"), 201);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/rot", "a value that rots"), 204);
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/sound", "1"), 201);
    snprintf(path, sizeof(path), "%s/0000000000000001-0000.seg", staged.site.data);
    damage(path, "a value that rots");
    CU_ASSERT(is_refused(&conn, "GET", "/v1/kv/rot", NULL, 500, "damaged"));
    CU_ASSERT(is_refused(&conn, "POST", "/v1/append/rot", "x", 500, "damaged"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "HEAD", "/v1/kv/rot", NULL, NULL, 0), 500);
    exchange(&conn, "POST", "/v1/batch", NULL,
             "{\"op\":\"get\",\"key\":\"rot\"}\n{\"op\":\"get\",\"key\":\"sound\"}\n", 52, &res);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(res.body, "{\"status\":500,\"code\":\"damaged\"}\n{\"status\":200"));
    http_response_dispose(&res);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/sound", "1"));
    CU_ASSERT_EQUAL(put(&conn, "/v1/kv/rot", "mended"), 204);
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/rot", "mended"));
    http_close(&conn);
    staged_site_end(&staged);
}

void suite_http_faults(void)
{
    CU_pSuite s = CU_add_suite("http_faults: what clients are told of it", NULL, NULL);
    CU_add_test(s, "while the store is loading", while_it_loads);
    CU_add_test(s, "a sync that fails", a_sync_fails);
    CU_add_test(s, "a write that fails", a_write_fails);
    CU_add_test(s, "a full disk, until there is room again", the_disk_is_full);
    CU_add_test(s, "no descriptors, until there are some again", there_are_no_files);
    CU_add_test(s, "a snapshot that cannot be made", a_snapshot_cannot_be_made);
    CU_add_test(s, "no memory, until there is some again", there_is_no_memory);
    CU_add_test(s, "a full queue", the_queue_is_full);
    CU_add_test(s, "a damaged value", a_value_is_damaged);
}

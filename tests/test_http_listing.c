/*
 * Does GET /v1/keys list the live keys in order, page after page, and GET /v1/scan find values?
 */
#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/site.h"
#include "tests/store_fixture.h"
#include "tests/suites.h"
#include "tests/worker_cost.h"

static site_t site;
static http_conn_t conn;

/* SHA-256 of "secret" */
#define SECRET_SUM "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"

static int start(void)
{
    return site_start_in_memory(&site, (const char *const[]){NULL}) != 0 ||
           !http_open(&conn, site.server.port);
}

static int end(void)
{
    http_close(&conn);
    return site_end(&site);
}

static void put(const char *target, const char *headers, const char *value)
{
    int status = exchange_status(&conn, "PUT", target, headers, value, strlen(value));
    CU_ASSERT(status == 201 || status == 204);
}

/** puts N in the place of every number of this name: they differ from run to run */
static void hide_numbers(char *text, const char *name)
{
    for (char *at = text; (at = strstr(at, name)) != NULL;) {
        at += strlen(name);
        char *digits_end = at + strspn(at, "0123456789");
        memmove(at + 1, digits_end, strlen(digits_end) + 1);
        *at = 'N';
    }
}

/** whether a GET gives these rows, versions aside, and this Link, NULL for none */
static bool page_is(const char *target, const char *rows, const char *link)
{
    http_response_t res;
    exchange(&conn, "GET", target, NULL, NULL, 0, &res);
    hide_numbers(res.body, "\"version\":");
    hide_numbers(res.body, "\"expires\":");
    const char *got = http_header(&res, "link");
    bool is_right = res.status == 200 && header_is(&res, "content-type", "application/x-ndjson") &&
                    strcmp(res.body, rows) == 0 &&
                    (link == NULL ? got == NULL : got != NULL && strcmp(got, link) == 0);
    if (!is_right)
        fprintf(stderr, "\n%s: %d, link %s\n%s", target, res.status, got, res.body);
    http_response_dispose(&res);
    return is_right;
}

#define TEXT "Content-Type: text/plain\r\n"
#define ROW(key, size)                                                                             \
    "{\"key\":\"" key "\",\"version\":N,\"size\":" size ",\"content_type\":\"text/plain\"}\n"

static void rows_say_what_there_is(void)
{
    put("/v1/kv/r/plain", "", "x");
    put("/v1/kv/r/text?ttl=1h", TEXT, "text");
    put("/v1/kv/r/%ff%00", TEXT, "");
    CU_ASSERT(page_is("/v1/keys?prefix=r/",
                      "{\"key\":\"r/plain\",\"version\":N,\"size\":1,"
                      "\"content_type\":\"application/octet-stream\"}\n"
                      "{\"key\":\"r/text\",\"version\":N,\"size\":4,"
                      "\"content_type\":\"text/plain\",\"expires\":N}\n"
                      "{\"key_b64\":\"ci//AA==\",\"version\":N,\"size\":0,"
                      "\"content_type\":\"text/plain\"}\n",
                      NULL));
}

static void values_are_given_if_they_are_asked_for(void)
{
    put("/v1/kv/v/1", TEXT, "a \"b\"\n");
    put("/v1/kv/v/2", TEXT, "\xff\xfe");
    CU_ASSERT(page_is("/v1/keys?prefix=v/&values=true",
                      "{\"key\":\"v/1\",\"version\":N,\"size\":6,\"content_type\":\"text/plain\","
                      "\"value\":\"a \\\"b\\\"\\n\"}\n"
                      "{\"key\":\"v/2\",\"version\":N,\"size\":2,\"content_type\":\"text/plain\","
                      "\"value_b64\":\"//4=\"}\n",
                      NULL));
    CU_ASSERT(page_is("/v1/keys?prefix=v/2&values=false", ROW("v/2", "2"), NULL));
}

static void links_lead_from_page_to_page(void)
{
    put("/v1/kv/p%20%26/1", TEXT, "1");
    put("/v1/kv/p%20%26/%2B", TEXT, "2");
    put("/v1/kv/p%20%26/3", TEXT, "3");
    CU_ASSERT(page_is("/v1/keys?prefix=p+%26&limit=2", ROW("p &/+", "1") ROW("p &/1", "1"),
                      "</v1/keys?limit=2&after=p%20%26%2F1&prefix=p%20%26>; rel=\"next\""));
    CU_ASSERT(
        page_is("/v1/keys?limit=2&after=p%20%26%2F1&prefix=p%20%26", ROW("p &/3", "1"), NULL));
    /* exactly all of them: there is no more */
    CU_ASSERT(page_is("/v1/keys?prefix=p+%26&limit=3",
                      ROW("p &/+", "1") ROW("p &/1", "1") ROW("p &/3", "1"), NULL));
    CU_ASSERT(page_is("/v1/keys?prefix=p+%26&after=p+%26%2f%2b&limit=1", ROW("p &/1", "1"),
                      "</v1/keys?limit=1&after=p%20%26%2F1&prefix=p%20%26>; rel=\"next\""));
    CU_ASSERT(page_is("/v1/keys?prefix=p+%26&after=z", "", NULL));
}

static void what_is_gone_is_not_listed(void)
{
    put("/v1/kv/g/1", TEXT, "1");
    put("/v1/kv/g/2?ttl=1ms", TEXT, "2");
    put("/v1/kv/g/3", TEXT, "3");
    CU_ASSERT_EQUAL(exchange_status(&conn, "DELETE", "/v1/kv/g/1", NULL, NULL, 0), 204);
    sleep_ms(5);
    CU_ASSERT(page_is("/v1/keys?prefix=g/", ROW("g/3", "1"), NULL));
    put("/v1/kv/g/1", TEXT, "new");
    CU_ASSERT(page_is("/v1/keys?prefix=g/", ROW("g/1", "3") ROW("g/3", "1"), NULL));
}

static void values_are_found_by_what_they_contain(void)
{
    http_response_t res;
    put("/v1/kv/s/1", TEXT, "needle in a haystack");
    put("/v1/kv/s/2", TEXT, "hay");
    put("/v1/kv/s/3", TEXT, "a needle");
    put("/v1/kv/other", TEXT, "needle");
    CU_ASSERT(
        page_is("/v1/scan?prefix=s/&contains=needle", ROW("s/1", "20") ROW("s/3", "8"), NULL));
    CU_ASSERT(page_is("/v1/scan?prefix=s/&contains=needle+in", ROW("s/1", "20"), NULL));
    exchange(&conn, "GET", "/v1/scan?prefix=s/&contains=needle&limit=1", NULL, NULL, 0, &res);
    char next[256] = "";
    const char *link = http_header(&res, "link");
    CU_ASSERT_FATAL(link != NULL && sscanf(link, "<%255[^>]>; rel=\"next\"", next) == 1);
    http_response_dispose(&res);
    CU_ASSERT_PTR_NOT_NULL(strstr(next, "cursor="));
    CU_ASSERT(strncmp(next, "/v1/scan?", 9) == 0);
    exchange(&conn, "GET", next, NULL, NULL, 0, &res);
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"key\":\"s/3\""));
    CU_ASSERT_PTR_NULL(strstr(res.body, "\"key\":\"s/1\""));
    http_response_dispose(&res);
}

static void check_problem(const char *target, int status, const char *code)
{
    http_response_t res;
    exchange(&conn, "GET", target, NULL, NULL, 0, &res);
    CU_ASSERT(is_problem(&res, status, code));
    http_response_dispose(&res);
}

static void what_is_wrong_is_said(void)
{
    char target[8192];
    check_problem("/v1/keys?limit=0", 400, "bad_number");
    check_problem("/v1/keys?limit=10001", 400, "bad_number");
    check_problem("/v1/keys?limit=ten", 400, "bad_number");
    check_problem("/v1/keys?prefix=%f", 400, "bad_escape");
    check_problem("/v1/keys?after=%zz", 400, "bad_escape");
    check_problem("/v1/keys?values=1", 400, "bad_request");
    check_problem("/v1/scan?cursor=x", 400, "bad_version");
    check_problem("/v1/scan?contains=%", 400, "bad_escape");
    check_problem("/v1/scan?limit=-1", 400, "bad_number");
    int n = sprintf(target, "/v1/keys?after=");
    memset(target + n, 'k', 2049);
    target[n + 2049] = '\0';
    check_problem(target, 414, "key_too_long");
    target[n + 2048] = '\0';
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", target, NULL, NULL, 0), 200);
}

static void other_methods_are_refused_and_head_has_no_body(void)
{
    http_response_t res;
    exchange(&conn, "POST", "/v1/keys", NULL, "x", 1, &res);
    CU_ASSERT(is_problem(&res, 405, "method_not_allowed") && header_is(&res, "allow", "GET, HEAD"));
    http_response_dispose(&res);
    exchange(&conn, "DELETE", "/v1/scan", NULL, NULL, 0, &res);
    CU_ASSERT(is_problem(&res, 405, "method_not_allowed") && header_is(&res, "allow", "GET, HEAD"));
    http_response_dispose(&res);
    put("/v1/kv/h/1", TEXT, "1");
    exchange(&conn, "HEAD", "/v1/keys?prefix=h/", NULL, NULL, 0, &res);
    CU_ASSERT(res.status == 200 && res.body_bytes == 0 &&
              header_is(&res, "content-type", "application/x-ndjson"));
    http_response_dispose(&res);
}

static size_t row_count(const char *target)
{
    http_response_t res;
    size_t count = 0;
    exchange(&conn, "GET", target, NULL, NULL, 0, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    for (const char *at = res.body; (at = strchr(at, '\n')) != NULL; ++at)
        ++count;
    http_response_dispose(&res);
    return count;
}

static void ten_thousand_keys_come_once_each_in_order(void)
{
    char target[4096] = "/v1/keys?prefix=n/&limit=777", key[64];
    http_response_t res;
    unsigned number = 0, pages = 0;
    for (unsigned i = 0; i < 10000; ++i) {
        sprintf(key, "/v1/kv/n/%05u?", i * 7919 % 10000); /* not in order */
        CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", key, "Cairn-Durability: async\r\n", "v", 1),
                        201);
    }
    while (target[0] != '\0' && ++pages < 100) {
        exchange(&conn, "GET", target, NULL, NULL, 0, &res);
        CU_ASSERT_EQUAL_FATAL(res.status, 200);
        for (const char *at = res.body; (at = strstr(at, "{\"key\":\"n/")) != NULL; ++at, ++number)
            CU_ASSERT_EQUAL(strtoul(at + 10, NULL, 10), number);
        const char *link = http_header(&res, "link");
        if (link == NULL || sscanf(link, "<%4095[^>]>", target) != 1)
            target[0] = '\0';
        http_response_dispose(&res);
    }
    CU_ASSERT_EQUAL(number, 10000);
    CU_ASSERT_EQUAL(pages, 13);
    /* 1,000 are given if nothing is said, and all of them if 10,000 may be */
    CU_ASSERT_EQUAL(row_count("/v1/keys?prefix=n/"), 1000);
    CU_ASSERT_EQUAL(row_count("/v1/keys?prefix=n/&limit=10000"), 10000);
}

static void a_page_of_large_values_ends_early(void)
{
    char *value = noise((size_t)1 << 20, 1);
    char target[64];
    http_response_t res;
    for (int i = 0; i < 12; ++i) {
        sprintf(target, "/v1/kv/big/%02d", i);
        CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", target, NULL, value, (size_t)1 << 20), 201);
    }
    free(value);
    exchange(&conn, "GET", "/v1/keys?prefix=big/&values=true", NULL, NULL, 0, &res);
    CU_ASSERT(res.status == 200 && res.body_bytes > (size_t)4 << 20 &&
              res.body_bytes < (size_t)8 << 20);
    CU_ASSERT_PTR_NOT_NULL(http_header(&res, "link"));
    http_response_dispose(&res);
}

/* under ThreadSanitizer a step takes a second, and the server's stop waits for those under way */
#ifdef __SANITIZE_THREAD__
#define ABANDONED 8
#else
#define ABANDONED 40
#endif

/* A search of 64 MiB takes four steps; one of a client that has closed its side, and may be gone,
 * ends between two of them. If it still listens it has a page that ends early, and a Link: not a
 * false "nothing". Some requests are over before the client closes: it tries often. */
static void who_hangs_up_is_not_searched_for(void)
{
    enum { VALUES = 64 };
    static const char request[] = "GET /v1/scan?contains=nowhere HTTP/1.1\r\nHost: x\r\n\r\n";
    site_t large;
    http_conn_t other;
    http_response_t res;
    int finished = 0, stopped = 0;
    char target[32], *value = noise((size_t)1 << 20, 1);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&large, NULL), 0);
    site_open(&large, &other);
    for (int i = 0; i < VALUES; ++i) {
        snprintf(target, sizeof(target), "/v1/kv/%d", i);
        CU_ASSERT_EQUAL(exchange_status(&other, "PUT", target, NULL, value, (size_t)1 << 20), 201);
    }
    free(value);
    exchange(&other, "GET", "/v1/scan?contains=nowhere", NULL, NULL, 0, &res);
    CU_ASSERT(res.status == 200 && http_header(&res, "link") == NULL);
    http_response_dispose(&res);
    http_close(&other);
    for (int i = 0; i < ABANDONED; ++i) {
        site_open(&large, &other);
        CU_ASSERT(http_send(&other, request, sizeof(request) - 1));
        sleep_ms(i % 10);
        CU_ASSERT(http_half_close(&other));
        CU_ASSERT_TRUE_FATAL(http_read_response(&other, "GET", &res));
        CU_ASSERT_EQUAL(res.status, 200);
        finished += http_header(&res, "link") == NULL;
        stopped += http_header(&res, "link") != NULL;
        http_response_dispose(&res);
        http_close(&other);
        site_open(&large, &other);
        CU_ASSERT(http_send(&other, request, sizeof(request) - 1));
        http_reset(&other);
    }
    CU_ASSERT(site_answers(&large));
    CU_ASSERT_EQUAL(site_end(&large), 0);
    printf("(%d stopped, %d came to their end) ", stopped, finished);
    CU_ASSERT(stopped >= 1);
}

/* ---------------------------------------------------------------- what it costs others */

#define LOOP_NS_MAX 2000000

/* 64 MiB are looked through, and 60,000 keys listed of which few begin so: on the I/O pool */
static void the_loop_goes_on(void)
{
    enum { LARGE = 16, KEYS = 60000, KEYS_OF_A_BATCH = 10000 };
    static const char *const targets[] = {"/v1/scan?contains=nowhere", "/v1/keys?prefix=large",
                                          "/v1/scan?contains=nowhere&prefix=small"};
    static const char *const args[] = {"--workers", "1", NULL};
    site_t own;
    http_conn_t other;
    char target[64], *body = malloc(KEYS_OF_A_BATCH * 64), *value = noise((size_t)4 << 20, 1);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, args), 0);
    site_open(&own, &other);
    for (int i = 0; i < LARGE; ++i) {
        sprintf(target, "/v1/kv/large/%d", i);
        CU_ASSERT_EQUAL(exchange_status(&other, "PUT", target, NULL, value, (size_t)4 << 20), 201);
    }
    for (int i = 0; i < KEYS;) {
        size_t at = 0;
        for (int j = 0; j < KEYS_OF_A_BATCH; ++j, ++i)
            at += (size_t)sprintf(body + at,
                                  "{\"op\":\"put\",\"key\":\"small/%d\",\"value\":\"v\"}\n", i);
        CU_ASSERT_EQUAL(exchange_status(&other, "POST", "/v1/batch", NULL, body, at), 200);
    }
    int worker = worker_cost_find(&other, own.server.pid);
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); ++i) {
        costed_t request = {"GET", targets[i], NULL, 0, 200};
        worker_cost_t cost = worker_cost_of(&other, own.server.pid, worker, &request);
        printf("\n    %s: %.2f ms of the event loop, %.2f ms in all", targets[i],
               (double)cost.worker_ns / 1e6, (double)cost.all_ns / 1e6);
        CU_ASSERT(WORKER_COST_MEANS_NOTHING || cost.worker_ns < LOOP_NS_MAX);
    }
    printf(" ");
    free(body);
    free(value);
    http_close(&other);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

/* ---------------------------------------------------------------- tokens */

static void a_bound_token_lists_what_it_reaches(void)
{
    site_t bound;
    http_conn_t admin;
    http_response_t res;
    temp_dir_t dir;
    char path[300], config[1024];
    CU_ASSERT_FATAL(temp_dir_create(&dir, TEMP_DIR_IN_MEMORY));
    snprintf(path, sizeof(path), "%s/cairn.yaml", dir.path);
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    snprintf(config, sizeof(config),
             "auth:\n  tokens:\n    - name: shop\n      sha256: " SECRET_SUM
             "\n      scope: write\n      prefix: \"shop/\"\n");
    fputs(config, file);
    fclose(file);
    CU_ASSERT_EQUAL_FATAL(
        site_start_in_memory(&bound, (const char *const[]){"--config", path, NULL}), 0);
    site_open(&bound, &admin);
#define BEARER "Authorization: Bearer secret\r\n"
    CU_ASSERT_EQUAL(exchange_status(&admin, "PUT", "/v1/kv/shop/1", BEARER, "1", 1), 201);
    for (int i = 0; i < 2; ++i) {
        const char *path_of = i == 0 ? "/v1/keys" : "/v1/scan";
        char target[64];
        exchange(&admin, "GET", path_of, BEARER, NULL, 0, &res);
        CU_ASSERT(res.status == 200 && strstr(res.body, "\"shop/1\"") != NULL);
        http_response_dispose(&res);
        snprintf(target, sizeof(target), "%s?prefix=shop/1", path_of);
        CU_ASSERT_EQUAL(exchange_status(&admin, "GET", target, BEARER, NULL, 0), 200);
        snprintf(target, sizeof(target), "%s?prefix=other", path_of);
        CU_ASSERT_EQUAL(exchange_status(&admin, "GET", target, BEARER, NULL, 0), 403);
        CU_ASSERT_EQUAL(exchange_status(&admin, "GET", path_of, NULL, NULL, 0), 401);
    }
    http_close(&admin);
    CU_ASSERT_EQUAL(site_end(&bound), 0);
    CU_ASSERT(temp_dir_remove(&dir));
}

void suite_http_listing(void)
{
    CU_pSuite s = CU_add_suite("http_listing", start, end);
    CU_add_test(s, "rows say what there is", rows_say_what_there_is);
    CU_add_test(s, "values are given if they are asked for",
                values_are_given_if_they_are_asked_for);
    CU_add_test(s, "links lead from page to page", links_lead_from_page_to_page);
    CU_add_test(s, "what is gone is not listed", what_is_gone_is_not_listed);
    CU_add_test(s, "values are found by what they contain", values_are_found_by_what_they_contain);
    CU_add_test(s, "what is wrong is said", what_is_wrong_is_said);
    CU_add_test(s, "other methods are refused, and HEAD has no body",
                other_methods_are_refused_and_head_has_no_body);
    CU_add_test(s, "ten thousand keys come once each, in order",
                ten_thousand_keys_come_once_each_in_order);
    CU_add_test(s, "a page of large values ends early", a_page_of_large_values_ends_early);
    CU_add_test(s, "who hangs up is not searched for", who_hangs_up_is_not_searched_for);
    CU_add_test(s, "a bound token lists what it reaches", a_bound_token_lists_what_it_reaches);
    CU_add_test(s, "the event loop goes on meanwhile", the_loop_goes_on);
}

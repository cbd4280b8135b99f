/*
 * Does a token open what it is for and nothing else? First the judgement by itself, then every path
 * with every token over HTTP.
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "server/gate.h"
#include "tests/scratch.h"
#include "tests/site.h"

static site_t site;

/* one of each kind; a secret is "secret-of-" and the name */
static const struct {
    const char *name;
    cairn_scope_t scope;
    const char *prefix;
} kinds[] = {
    {"reader", CAIRN_SCOPE_READ, NULL},          {"writer", CAIRN_SCOPE_WRITE, NULL},
    {"admin", CAIRN_SCOPE_ADMIN, NULL},          {"shop-reader", CAIRN_SCOPE_READ, "shop/"},
    {"shop-writer", CAIRN_SCOPE_WRITE, "shop/"}, {"shop-admin", CAIRN_SCOPE_ADMIN, "shop/"},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static const char *const scope_names[] = {"read", "write", "admin"};

/* The hex sum of the secret of a name, or its bytes. */
static void sum_of(const char *name, unsigned char sum[CAIRN_TOKEN_SUM_BYTES], char hex[65])
{
    char secret[80];
    int bytes = snprintf(secret, sizeof(secret), "secret-of-%s", name);

    EVP_Digest(secret, (size_t)bytes, sum, NULL, EVP_sha256(), NULL);
    for (size_t i = 0; i != CAIRN_TOKEN_SUM_BYTES; ++i)
        sprintf(hex + 2 * i, "%02x", sum[i]);
}

/* Not scratch_write(): no test is running yet whose failure it could be. */
static bool write_config(void)
{
    char text[4096] = "auth:\n  tokens:\n", hex[65];
    unsigned char sum[CAIRN_TOKEN_SUM_BYTES];

    for (size_t i = 0; i != KIND_COUNT; ++i) {
        size_t at = strlen(text);
        sum_of(kinds[i].name, sum, hex);
        snprintf(text + at, sizeof(text) - at, "    - {name: %s, sha256: %s, scope: %s%s%s}\n",
                 kinds[i].name, hex, scope_names[kinds[i].scope],
                 kinds[i].prefix != NULL ? ", prefix: " : "",
                 kinds[i].prefix != NULL ? kinds[i].prefix : "");
    }
    FILE *file = fopen(scratch_file(), "w");
    bool is_written = file != NULL && fputs(text, file) >= 0;
    return (file == NULL || fclose(file) == 0) && is_written;
}

static int start(void)
{
    if (scratch_make() != 0 || !write_config())
        return 1;
    return site_start_in_memory(&site, (const char *const[]){"--config", scratch_file(), NULL});
}

static int end(void)
{
    int ended = site_end(&site);
    return scratch_remove() == 0 ? ended : 1;
}

/* ---------------------------------------------------------------- the judgement */

static cairn_auth_t *make_table(void)
{
    cairn_config_token_t tokens[KIND_COUNT];
    char hex[65];

    for (size_t i = 0; i != KIND_COUNT; ++i) {
        tokens[i] = (cairn_config_token_t){.name = (char *)kinds[i].name,
                                           .scope = kinds[i].scope,
                                           .prefix = (char *)kinds[i].prefix};
        sum_of(kinds[i].name, tokens[i].sum, hex);
    }
    return cairn_auth_create(tokens, KIND_COUNT);
}

static cairn_verdict_t judge(const cairn_auth_t *auth, const char *path, const char *authorization,
                             const cairn_config_token_t **token)
{
    cairn_auth_request_t request = {
        .method = "GET",
        .method_bytes = 3,
        .path = path,
        .path_bytes = strlen(path),
        .authorization = authorization,
        .authorization_bytes = authorization != NULL ? strlen(authorization) : 0,
    };
    return cairn_auth_judge(auth, &request, token);
}

static void a_header_is_read_strictly(void)
{
    static const struct {
        const char *authorization;
        cairn_verdict_t verdict;
    } rows[] = {
        {NULL, CAIRN_VERDICT_NO_TOKEN},
        {"", CAIRN_VERDICT_MALFORMED},
        {"Bearer", CAIRN_VERDICT_MALFORMED},
        {"Bearer ", CAIRN_VERDICT_MALFORMED},
        {"Bearersecret-of-reader", CAIRN_VERDICT_MALFORMED},
        {"Bearer  secret-of-reader", CAIRN_VERDICT_MALFORMED},
        {"Bearer secret-of-reader ", CAIRN_VERDICT_MALFORMED},
        {"Bearer secret-of-reader, Bearer x", CAIRN_VERDICT_MALFORMED},
        {"Bearer\tsecret-of-reader", CAIRN_VERDICT_MALFORMED},
        {"Bearer secret-of-reader\xc3\xa9", CAIRN_VERDICT_MALFORMED},
        {"Basic c2VjcmV0", CAIRN_VERDICT_MALFORMED},
        {"secret-of-reader", CAIRN_VERDICT_MALFORMED},
        {"Bearer secret-of-reade", CAIRN_VERDICT_UNKNOWN},
        {"Bearer secret-of-readers", CAIRN_VERDICT_UNKNOWN},
        {"Bearer Secret-of-reader", CAIRN_VERDICT_UNKNOWN},
        {"Bearer reader", CAIRN_VERDICT_UNKNOWN},
        {"Bearer secret-of-reader", CAIRN_VERDICT_ALLOWED},
        {"bearer secret-of-reader", CAIRN_VERDICT_ALLOWED},
        {"BEARER secret-of-shop-admin", CAIRN_VERDICT_ALLOWED},
    };
    cairn_auth_t *auth = make_table();
    const cairn_config_token_t *token;

    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        cairn_verdict_t verdict = judge(auth, "/v1/kv/a", rows[i].authorization, &token);
        CU_ASSERT_EQUAL(verdict, rows[i].verdict);
        CU_ASSERT_EQUAL(token != NULL, verdict == CAIRN_VERDICT_ALLOWED);
        CU_ASSERT_EQUAL(judge(auth, "/livez", rows[i].authorization, &token),
                        CAIRN_VERDICT_ALLOWED);
    }
    CU_ASSERT_EQUAL(judge(auth, "/", "Bearer secret-of-writer", &token), CAIRN_VERDICT_ALLOWED);
    CU_ASSERT_STRING_EQUAL(token->name, "writer");
    cairn_auth_release(auth);
}

static void a_path_nobody_thought_of_needs_admin(void)
{
    static const char *const paths[] = {
        "/v1/new", "/v1/kv", "/v1/kvx/a", "/livez/",    "/livezz",   "/Livez",       "/%6civez",
        "//livez", "/get/",  "/v1/",      "/v1/statsx", "/v1/admin", "/v1/admin/new"};
    cairn_auth_t *auth = make_table();
    const cairn_config_token_t *token;

    for (size_t i = 0; i != sizeof(paths) / sizeof(paths[0]); ++i) {
        CU_ASSERT_EQUAL(judge(auth, paths[i], NULL, &token), CAIRN_VERDICT_NO_TOKEN);
        CU_ASSERT_EQUAL(judge(auth, paths[i], "Bearer secret-of-writer", &token),
                        CAIRN_VERDICT_SCOPE);
        CU_ASSERT_EQUAL(judge(auth, paths[i], "Bearer secret-of-admin", &token),
                        CAIRN_VERDICT_ALLOWED);
        CU_ASSERT_EQUAL(judge(auth, paths[i], "Bearer secret-of-shop-admin", &token),
                        CAIRN_VERDICT_BOUND);
    }
    CU_ASSERT_EQUAL(judge(NULL, "/v1/new", NULL, &token), CAIRN_VERDICT_ALLOWED);
    CU_ASSERT_PTR_NULL(token);
    cairn_auth_release(auth);
}

static void a_prefix_is_compared_byte_by_byte(void)
{
    char long_prefix[] = "shop/";
    cairn_config_token_t bound = {.prefix = long_prefix}, unbound = {.prefix = NULL};

    CU_ASSERT_TRUE(cairn_auth_allows_key(&bound, "shop/", 5));
    CU_ASSERT_TRUE(cairn_auth_allows_key(&bound, "shop/a", 6));
    CU_ASSERT_TRUE(cairn_auth_allows_key(&bound, "shop/\0", 6));
    CU_ASSERT_FALSE(cairn_auth_allows_key(&bound, "shop", 4));
    CU_ASSERT_FALSE(cairn_auth_allows_key(&bound, "shop\0/", 6));
    CU_ASSERT_FALSE(cairn_auth_allows_key(&bound, "Shop/a", 6));
    CU_ASSERT_FALSE(cairn_auth_allows_key(&bound, "/shop/a", 7));
    CU_ASSERT_FALSE(cairn_auth_allows_key(&bound, "s", 1));
    CU_ASSERT_TRUE(cairn_auth_allows_key(&unbound, "s", 1));
    CU_ASSERT_TRUE(cairn_auth_allows_key(NULL, "s", 1));
}

/* A worker that is nothing but its event loop hears of two new tables, then of none. */
static void tables_are_replaced_while_requests_hold_the_old_ones(void)
{
    static cairn_server_t server;
    static cairn_worker_t worker;
    cairn_worker_t *workers[] = {&worker};
    char name[] = "a";
    cairn_config_token_t one = {.name = name};
    cairn_config_t config = {.tokens = &one, .token_count = 1};
    const cairn_config_token_t *token;
    h2o_loop_t *loop = h2o_evloop_create();
    h2o_multithread_queue_t *queue = h2o_multithread_create_queue(loop);

    memcpy(one.sum,
           "\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23\xb0\x03\x61"
           "\xa3\x96\x17\x7a\x9c\xb4\x10\xff\x61\xf2\x00\x15\xad",
           32); /* of "abc" */
    h2o_multithread_register_receiver(queue, &worker.tables, cairn_gate_on_tables);
    cairn_gate_set_tokens(&server, &config);
    CU_ASSERT_PTR_NOT_NULL_FATAL(server.auth);
    worker.auth = cairn_auth_acquire(server.auth);
    cairn_auth_t *held = cairn_auth_acquire(worker.auth); /* as a connection does */
    CU_ASSERT_EQUAL(judge(held, "/get", "Bearer abc", &token), CAIRN_VERDICT_ALLOWED);

    server.workers = workers;
    server.worker_count = 1;
    one.sum[0] ^= 1;
    cairn_gate_set_tokens(&server, &config);
    cairn_gate_set_tokens(&server, &config);
    CU_ASSERT_PTR_EQUAL(worker.auth, held);
    while (worker.auth != server.auth)
        h2o_evloop_run(loop, 10);
    CU_ASSERT_EQUAL(judge(worker.auth, "/get", "Bearer abc", &token), CAIRN_VERDICT_UNKNOWN);
    CU_ASSERT_EQUAL(judge(held, "/get", "Bearer abc", &token), CAIRN_VERDICT_ALLOWED);
    CU_ASSERT_STRING_EQUAL(token->name, "a");
    cairn_auth_release(held);

    config.token_count = 0;
    cairn_gate_set_tokens(&server, &config);
    while (worker.auth != NULL)
        h2o_evloop_run(loop, 10);
    CU_ASSERT_EQUAL(judge(worker.auth, "/metrics", NULL, &token), CAIRN_VERDICT_ALLOWED);
    h2o_multithread_unregister_receiver(queue, &worker.tables);
    h2o_multithread_destroy_queue(queue);
    /* the loop itself cannot be ended with this library */
}

/* ---------------------------------------------------------------- over HTTP */

static void bearer(char header[128], const char *name)
{
    snprintf(header, 128, "Authorization: Bearer secret-of-%s\r\n", name);
}

/* what a request needs, and whether a token bound to shop/ is let in if its scope is enough */
typedef struct st_row_t {
    const char *method, *target, *body;
    cairn_scope_t scope;
    bool is_for_shop;
} row_t;

static const row_t rows[] = {
    {"GET", "/", NULL, CAIRN_SCOPE_READ, true},
    {"GET", "/v1/kv/a", NULL, CAIRN_SCOPE_READ, false},
    {"HEAD", "/v1/kv/a", NULL, CAIRN_SCOPE_READ, false},
    {"GET", "/v1/kv/shop/a", NULL, CAIRN_SCOPE_READ, true},
    {"HEAD", "/v1/kv/shop/a", NULL, CAIRN_SCOPE_READ, true},
    {"GET", "/v1/kv/shop%2Fa", NULL, CAIRN_SCOPE_READ, true},
    {"GET", "/v1/kv/%73hop%2f", NULL, CAIRN_SCOPE_READ, true},
    {"GET", "/v1/kv/shop", NULL, CAIRN_SCOPE_READ, false},
    {"GET", "/v1/kv/shop%252Fa", NULL, CAIRN_SCOPE_READ, false},
    {"GET", "/v1/kv//shop/a", NULL, CAIRN_SCOPE_READ, false},
    {"GET", "/v1/kv/%2Fshop/a", NULL, CAIRN_SCOPE_READ, false},
    {"GET", "/v1/kv/shop%00/a", NULL, CAIRN_SCOPE_READ, false},
    {"GET", "/v1/kv/shop/../a", NULL, CAIRN_SCOPE_READ, true}, /* nothing is normalised */
    {"GET", "/v1/kv/a/../shop/a", NULL, CAIRN_SCOPE_READ, false},
    {"GET", "/v1/kv/a?key=shop/a", NULL, CAIRN_SCOPE_READ, false},
    {"PUT", "/v1/kv/a", "1", CAIRN_SCOPE_WRITE, false},
    {"PUT", "/v1/kv/shop/a", "1", CAIRN_SCOPE_WRITE, true},
    {"DELETE", "/v1/kv/b", NULL, CAIRN_SCOPE_WRITE, false},
    {"DELETE", "/v1/kv/shop/b", NULL, CAIRN_SCOPE_WRITE, true},
    {"POST", "/v1/kv/shop/a", "1", CAIRN_SCOPE_WRITE, true}, /* a 405 */
    {"get", "/v1/kv/shop/a", NULL, CAIRN_SCOPE_WRITE, true}, /* a 405 */
    {"POST", "/v1/incr/n", "", CAIRN_SCOPE_WRITE, false},
    {"POST", "/v1/incr/shop/n", "", CAIRN_SCOPE_WRITE, true},
    {"GET", "/v1/incr/shop/n", NULL, CAIRN_SCOPE_WRITE, true}, /* a 405 */
    {"POST", "/v1/append/a", "1", CAIRN_SCOPE_WRITE, false},
    {"POST", "/v1/append/shop%2fa", "1", CAIRN_SCOPE_WRITE, true},
    {"GET", "/v1/sync?version=0", NULL, CAIRN_SCOPE_WRITE, true},
    {"GET", "/get?key=a", NULL, CAIRN_SCOPE_READ, false},
    {"HEAD", "/get?key=a", NULL, CAIRN_SCOPE_READ, false},
    {"GET", "/get?key=shop/a", NULL, CAIRN_SCOPE_READ, true},
    {"GET", "/get?key=shop%2Fa", NULL, CAIRN_SCOPE_READ, true},
    {"GET", "/get?key=+shop/a", NULL, CAIRN_SCOPE_READ, false},
    {"GET", "/get?key=a&key=shop/a", NULL, CAIRN_SCOPE_READ, false},
    {"POST", "/get", "{\"key\":\"shop/a\"}", CAIRN_SCOPE_READ, true},
    {"POST", "/get", "{\"key\":\"a\"}", CAIRN_SCOPE_READ, false},
    {"GET", "/set?key=a&value=1", NULL, CAIRN_SCOPE_WRITE, false},
    {"GET", "/set?key=shop/a&value=1", NULL, CAIRN_SCOPE_WRITE, true},
    {"POST", "/set", "{\"key\":\"a\",\"value\":\"1\"}", CAIRN_SCOPE_WRITE, false},
    {"POST", "/set", "{\"key\":\"shop\\u002fa\",\"value\":\"1\"}", CAIRN_SCOPE_WRITE, true},
    {"GET", "/delete?key=b", NULL, CAIRN_SCOPE_WRITE, false},
    {"DELETE", "/delete?key=shop/b", NULL, CAIRN_SCOPE_WRITE, true},
    {"GET", "/metrics", NULL, CAIRN_SCOPE_ADMIN, false},
    {"HEAD", "/metrics?x", NULL, CAIRN_SCOPE_ADMIN, false},
    {"GET", "/v1/stats", NULL, CAIRN_SCOPE_ADMIN, false},
    {"POST", "/v1/admin/compact", "", CAIRN_SCOPE_ADMIN, false},
    {"POST", "/v1/admin/snapshot?name=a", "", CAIRN_SCOPE_ADMIN, false},
    {"GET", "/v1/batch", NULL, CAIRN_SCOPE_READ, true}, /* a 405 */
    {"POST", "/v1/batch", "", CAIRN_SCOPE_READ, true},
    {"POST", "/v1/batch", "{\"op\":\"get\",\"key\":\"a\"}", CAIRN_SCOPE_READ, false},
    {"POST", "/v1/batch", "{\"op\":\"get\",\"key\":\"shop/a\"}", CAIRN_SCOPE_READ, true},
    {"POST", "/v1/batch", "{\"op\":\"get\",\"key_b64\":\"c2hvcA==\"}", CAIRN_SCOPE_READ, false},
    {"POST", "/v1/batch", "{\"op\":\"get\",\"key_b64\":\"c2hvcC9h\"}", CAIRN_SCOPE_READ, true},
    {"POST", "/v1/batch?atomic=true",
     "{\"op\":\"get\",\"key\":\"shop/a\"}\n{\"op\":\"get\",\"key\":\"a\"}", CAIRN_SCOPE_READ,
     false},
    {"POST", "/v1/batch", "{\"op\":\"put\",\"key\":\"a\",\"value\":\"1\"}", CAIRN_SCOPE_WRITE,
     false},
    {"POST", "/v1/batch", "{\"op\":\"put\",\"key\":\"shop/a\",\"value\":\"1\"}", CAIRN_SCOPE_WRITE,
     true},
    {"POST", "/v1/batch", "{\"op\":\"append\",\"key\":\"shop/a\",\"value\":\"1\"}",
     CAIRN_SCOPE_WRITE, true},
    {"POST", "/v1/batch", "{\"op\":\"incr\",\"key\":\"shop/n\"}", CAIRN_SCOPE_WRITE, true},
    {"POST", "/v1/batch",
     "{\"op\":\"get\",\"key\":\"shop/a\"}\n{\"op\":\"delete\",\"key\":\"shop/b\"}",
     CAIRN_SCOPE_WRITE, true},
    {"GET", "/v1/keys?prefix=shop/", NULL, CAIRN_SCOPE_READ, true},
    {"GET", "/v1/keys?prefix=shed/", NULL, CAIRN_SCOPE_READ, false},
    {"GET", "/v1/scan?prefix=shop/", NULL, CAIRN_SCOPE_READ, true},
    {"GET", "/v1/scan?prefix=shed/", NULL, CAIRN_SCOPE_READ, false},
    {"GET", "/v1/changes?prefix=shop/", NULL, CAIRN_SCOPE_READ, true},
    {"GET", "/v1/changes?prefix=shed/", NULL, CAIRN_SCOPE_READ, false},
    {"GET", "/favicon.ico", NULL, CAIRN_SCOPE_ADMIN, false},
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static void ask(http_conn_t *conn, const row_t *row, const char *headers, http_response_t *res)
{
    exchange(conn, row->method, row->target, headers, row->body,
             row->body != NULL ? strlen(row->body) : 0, res);
}

static bool is_refused_401(const http_response_t *res)
{
    return is_problem(res, 401, "unauthorized") &&
           header_is(res, "www-authenticate", "Bearer realm=\"cairn\"");
}

static void every_path_with_every_token(void)
{
    http_conn_t conn;
    http_response_t res;
    char header[128];

    site_open(&site, &conn);
    for (size_t i = 0; i != ROW_COUNT; ++i) {
        for (size_t k = 0; k != KIND_COUNT; ++k) {
            bool may =
                kinds[k].scope >= rows[i].scope && (kinds[k].prefix == NULL || rows[i].is_for_shop);
            bool is_good;
            bearer(header, kinds[k].name);
            ask(&conn, &rows[i], header, &res);
            is_good =
                may ? res.status != 401 && res.status != 403 : is_problem(&res, 403, "forbidden");
            if (!is_good)
                fprintf(stderr, "\n    %s %s by %s: %d", rows[i].method, rows[i].target,
                        kinds[k].name, res.status);
            CU_ASSERT_TRUE(is_good);
            http_response_dispose(&res);
        }
    }
    http_close(&conn);
}

static void every_path_without_a_good_token(void)
{
    static const char *const headers[] = {
        NULL,
        "Authorization: Bearer wrong\r\n",
        "Authorization: Basic c2VjcmV0\r\n",
        "Authorization:\r\n",
        "Authorization: Bearer secret-of-admin\r\nAuthorization: Bearer secret-of-admin\r\n",
        "Proxy-Authorization: Bearer secret-of-admin\r\n",
        "Cookie: token=secret-of-admin\r\n",
    };
    http_conn_t conn;
    http_response_t res;

    site_open(&site, &conn);
    for (size_t i = 0; i != ROW_COUNT; ++i)
        for (size_t j = 0; j != sizeof(headers) / sizeof(headers[0]); ++j) {
            ask(&conn, &rows[i], headers[j], &res);
            CU_ASSERT_TRUE(is_refused_401(&res));
            http_response_dispose(&res);
        }
    http_close(&conn);
}

static void probes_need_no_token(void)
{
    static const char *const targets[] = {"/livez", "/readyz", "/readyz?verbose"};
    http_conn_t conn;

    site_open(&site, &conn);
    for (size_t i = 0; i != 3; ++i) {
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", targets[i], NULL, NULL, 0), 204);
        CU_ASSERT_EQUAL(exchange_status(&conn, "HEAD", targets[i], NULL, NULL, 0), 204);
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", targets[i], "Authorization: x\r\n", NULL, 0),
                        204);
    }
    /* nor does the page that a token is typed into */
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/dashboard", NULL, NULL, 0), 200);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/dashboard/", NULL, NULL, 0), 401);
    http_close(&conn);
}

/* What was shown on a connection is forgotten with the request: proxies share connections. */
static void a_token_counts_for_its_request_only(void)
{
    http_conn_t conn;
    char writer[128], shop[128];

    bearer(writer, "writer");
    bearer(shop, "shop-reader");
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/one", writer, "1", 1), 201);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/one", NULL, NULL, 0), 401);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/one", shop, NULL, 0), 403);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/one", writer, NULL, 0), 200);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
    CU_ASSERT_EQUAL(exchange_status(&conn, "DELETE", "/v1/kv/one", NULL, NULL, 0), 401);
    CU_ASSERT_EQUAL(exchange_status(&conn, "DELETE", "/v1/kv/one", writer, NULL, 0), 204);
    http_close(&conn);
}

static void what_is_refused_has_not_been_done(void)
{
    http_conn_t conn;
    http_response_t res;
    char admin[128], shop[128];

    bearer(admin, "admin");
    bearer(shop, "shop-writer");
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/mine", admin, "1", 1), 201);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/mine", shop, "2", 1), 403);
    CU_ASSERT_EQUAL(exchange_status(&conn, "POST", "/v1/append/mine", shop, "2", 1), 403);
    CU_ASSERT_EQUAL(exchange_status(&conn, "POST", "/v1/incr/mine", shop, "", 0), 403);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/set?key=mine&value=2", shop, NULL, 0), 403);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/delete?key=mine", NULL, NULL, 0), 401);
    exchange(&conn, "GET", "/v1/kv/mine", admin, NULL, 0, &res);
    CU_ASSERT_TRUE(body_is(&res, "1", 1));
    CU_ASSERT_EQUAL(version_of(&res) != 0, true);
    http_response_dispose(&res);
    http_close(&conn);
}

/* one line too far refuses the whole batch, which says where; large ones are read on another thread
 */
static void a_batch_is_refused_whole(void)
{
    static const char allowed[] = "{\"op\":\"put\",\"key\":\"shop/batch\",\"value\":\"2\"}\n";
    static const struct {
        const char *kind, *target, *last, *line;
        size_t before;
    } batches[] = {
        {"shop-writer", "/v1/batch", "{\"op\":\"get\",\"key\":\"batch\"}", "\"line\":3}", 2},
        {"shop-writer", "/v1/batch?atomic=true", "{\"op\":\"incr\",\"key\":\"shop\"}",
         "\"line\":2}", 1},
        {"shop-writer", "/v1/batch", "{\"op\":\"delete\",\"key\":\"batch\"}", "\"line\":1001}",
         1000},
        {"shop-admin", "/v1/batch", "{\"op\":\"put\",\"key\":\"batch\",\"value\":\"2\"}",
         "\"line\":2}", 1},
        {"reader", "/v1/batch", "{\"op\":\"get\",\"key\":\"batch\"}", "\"line\":1}", 1000},
    };
    http_conn_t conn;
    http_response_t res;
    char admin[128], header[128];

    bearer(admin, "admin");
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/batch", admin, "1", 1), 201);
    for (size_t i = 0; i != sizeof(batches) / sizeof(batches[0]); ++i) {
        char *body = malloc(batches[i].before * sizeof(allowed) + 256);
        size_t bytes = 0;
        CU_ASSERT_PTR_NOT_NULL_FATAL(body);
        for (size_t k = 0; k != batches[i].before; ++k)
            bytes += (size_t)sprintf(body + bytes, "%s", allowed);
        bytes += (size_t)sprintf(body + bytes, "%s", batches[i].last);
        bearer(header, batches[i].kind);
        exchange(&conn, "POST", batches[i].target, header, body, bytes, &res);
        CU_ASSERT_TRUE(is_problem(&res, 403, "forbidden"));
        CU_ASSERT_PTR_NOT_NULL(strstr(res.body, batches[i].line));
        http_response_dispose(&res);
        free(body);
    }
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/shop%2Fbatch", admin, NULL, 0), 404);
    exchange(&conn, "GET", "/v1/kv/batch", admin, NULL, 0, &res);
    CU_ASSERT_TRUE(body_is(&res, "1", 1));
    http_response_dispose(&res);
    http_close(&conn);
}

static void secrets_are_not_repeated(void)
{
    http_conn_t conn;
    http_response_t res;
    const row_t row = {"GET", "/v1/kv/a", NULL, CAIRN_SCOPE_READ, false};

    site_open(&site, &conn);
    ask(&conn, &row, "Authorization: Bearer hush-hush\r\n", &res);
    CU_ASSERT_TRUE(is_refused_401(&res));
    CU_ASSERT_PTR_NULL(strstr(res.head, "hush"));
    CU_ASSERT_PTR_NULL(strstr(res.body, "hush"));
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT_PTR_NULL(strstr(server_output(&site.server), "secret-of"));
    CU_ASSERT_PTR_NULL(strstr(server_output(&site.server), "hush"));
}

static void without_tokens_all_is_open(void)
{
    site_t open_site;
    http_conn_t conn;
    http_response_t res;

    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&open_site, NULL), 0);
    site_open(&open_site, &conn);
    for (size_t i = 0; i != ROW_COUNT; ++i) {
        ask(&conn, &rows[i], i % 2 == 0 ? NULL : "Authorization: Bearer whatever\r\n", &res);
        CU_ASSERT_TRUE(res.status != 401 && res.status != 403);
        http_response_dispose(&res);
    }
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&open_site), 0);
}

void suite_auth(void)
{
    CU_pSuite s = CU_add_suite("auth", start, end);

    CU_add_test(s, "an Authorization header is read strictly", a_header_is_read_strictly);
    CU_add_test(s, "a path nobody thought of needs admin", a_path_nobody_thought_of_needs_admin);
    CU_add_test(s, "a prefix is compared byte by byte", a_prefix_is_compared_byte_by_byte);
    CU_add_test(s, "tokens are replaced while requests hold the old ones",
                tables_are_replaced_while_requests_hold_the_old_ones);
    CU_add_test(s, "every path with every kind of token", every_path_with_every_token);
    CU_add_test(s, "every path without a good token", every_path_without_a_good_token);
    CU_add_test(s, "/livez and /readyz need none", probes_need_no_token);
    CU_add_test(s, "a token counts for its request only", a_token_counts_for_its_request_only);
    CU_add_test(s, "what is refused has not been done", what_is_refused_has_not_been_done);
    CU_add_test(s, "a secret is not repeated, nor logged", secrets_are_not_repeated);
    CU_add_test(s, "a batch is refused whole", a_batch_is_refused_whole);
    CU_add_test(s, "without tokens all is open", without_tokens_all_is_open);
}

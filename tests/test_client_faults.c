/*
 * What does libcairn say and do when there is no server, a wrong one, or one that dies under it?
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cairn.h"
#include "tests/impostor.h"
#include "tests/site.h"
#include "tests/tls_client.h"

/* ---------------------------------------------------------------- nobody, and the wrong one */

static bool message_has(const cairn_client_t *db, const char *text)
{
    bool has = strstr(cairn_client_message(db), text) != NULL;
    if (!has)
        fprintf(stderr, "\n    no \"%s\" in: %s", text, cairn_client_message(db));
    return has;
}

static void nobody_there(void)
{
    uint16_t port;
    int fd = impostor_listen(&port);
    close(fd); /* now nobody listens there */
    cairn_client_t *db = cairn_connect("127.0.0.1", port);
    CU_ASSERT_EQUAL(cairn_set(db, "a", "b"), CAIRN_CLIENT_UNREACHABLE);
    CU_ASSERT(message_has(db, "cairn serve"));
    CU_ASSERT_EQUAL(cairn_client_status(db), 0);
    CU_ASSERT_PTR_NULL(cairn_get(db, "a"));
    CU_ASSERT_EQUAL(cairn_client_error(db), CAIRN_CLIENT_UNREACHABLE);
    cairn_disconnect(db);
    db = cairn_connect("host.invalid", 1);
    CU_ASSERT_EQUAL(cairn_incr(db, "a", 1, NULL), CAIRN_CLIENT_UNREACHABLE);
    CU_ASSERT(message_has(db, "host.invalid"));
    cairn_disconnect(db);
    db = cairn_connect_url("unix:/nonexistent/socket", NULL);
    CU_ASSERT_EQUAL(cairn_delete(db, "a"), CAIRN_CLIENT_UNREACHABLE);
    cairn_disconnect(db);
}

static void a_url_that_is_none(void)
{
    static const char *const urls[] = {"",         "localhost:8080", "ftp://localhost",
                                       "http://",  "http://h/path",  "http://h/?x",
                                       "unix:rel", "unix+https:",    "http://h:1//"};
    for (size_t i = 0; i != sizeof(urls) / sizeof(urls[0]); ++i) {
        cairn_client_t *db = cairn_connect_url(urls[i], NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(db);
        CU_ASSERT_EQUAL(cairn_set(db, "a", "b"), CAIRN_CLIENT_INVALID);
        CU_ASSERT(message_has(db, "http://HOST:PORT"));
        cairn_disconnect(db);
    }
}

static void no_handle_at_all(void)
{
    cairn_client_value_t value;
    CU_ASSERT_EQUAL(cairn_set(NULL, "a", "b"), CAIRN_CLIENT_NOMEM);
    CU_ASSERT_EQUAL(cairn_append(NULL, "a", "b"), CAIRN_CLIENT_NOMEM);
    CU_ASSERT_EQUAL(cairn_incr(NULL, "a", 1, NULL), CAIRN_CLIENT_NOMEM);
    CU_ASSERT_EQUAL(cairn_delete(NULL, "a"), CAIRN_CLIENT_NOMEM);
    CU_ASSERT_EQUAL(cairn_get_bytes(NULL, "a", 1, NULL, &value), CAIRN_CLIENT_NOMEM);
    CU_ASSERT_PTR_NULL(cairn_get(NULL, "a"));
    CU_ASSERT_STRING_EQUAL(cairn_client_message(NULL), "out of memory");
    CU_ASSERT_EQUAL(cairn_client_error(NULL), CAIRN_CLIENT_NOMEM);
    cairn_disconnect(NULL);
    cairn_batch_destroy(NULL);
}

static void not_cairn(void)
{
    static const char *const answers[] = {"SSH-2.0-OpenSSH_9.2\r\n\r\n", NULL};
    impostor_t impostor;
    impostor_start(&impostor, answers, 2);
    cairn_client_t *db = cairn_connect("127.0.0.1", impostor.port);
    CU_ASSERT_EQUAL(cairn_set(db, "a", "b"), CAIRN_CLIENT_PROTOCOL);
    CU_ASSERT(message_has(db, "is that cairn?"));
    CU_ASSERT_EQUAL(cairn_set(db, "a", "b"), CAIRN_CLIENT_BROKEN);
    cairn_disconnect(db);
    impostor_end(&impostor);
}

static void an_answer_without_a_problem(void)
{
    static const char *const answers[] = {
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot JSON\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    impostor_t impostor;
    impostor_start(&impostor, answers, 3);
    cairn_client_t *db = cairn_connect("127.0.0.1", impostor.port);
    CU_ASSERT_EQUAL(cairn_set(db, "a", "b"), CAIRN_CLIENT_SERVER);
    CU_ASSERT(message_has(db, "502"));
    CU_ASSERT_STRING_EQUAL(cairn_client_code(db), "");
    cairn_client_batch_t *batch = cairn_batch_create();
    cairn_batch_get(batch, "a", 1);
    CU_ASSERT_EQUAL(cairn_batch_run(db, batch, false), CAIRN_CLIENT_PROTOCOL);
    CU_ASSERT_EQUAL(cairn_batch_run(db, batch, false), CAIRN_CLIENT_PROTOCOL);
    CU_ASSERT_PTR_NULL(cairn_batch_result(batch, 0));
    cairn_batch_destroy(batch);
    cairn_disconnect(db);
    impostor_end(&impostor);
}

/* ---------------------------------------------------------------- lost answers */

#define NO_CONTENT "HTTP/1.1 204 No Content\r\n\r\n"

static void what_is_safe_is_sent_again(void)
{
    static const char *const answers[] = {NO_CONTENT, NULL, NO_CONTENT};
    impostor_t impostor;
    impostor_start(&impostor, answers, 3);
    cairn_client_t *db = cairn_connect("127.0.0.1", impostor.port);
    CU_ASSERT_EQUAL(cairn_set(db, "a", "b"), CAIRN_CLIENT_OK);
    CU_ASSERT_EQUAL(cairn_set(db, "a", "b"), CAIRN_CLIENT_OK);
    cairn_disconnect(db);
    impostor_end(&impostor);
    CU_ASSERT_EQUAL(impostor.request_count, 3);
}

static void what_is_not_safe_is_sent_once(void)
{
    static const char *const answers[] = {NO_CONTENT, NULL, NO_CONTENT, NULL, NO_CONTENT, NULL};
    impostor_t impostor;
    impostor_start(&impostor, answers, 6);
    cairn_client_t *db = cairn_connect("127.0.0.1", impostor.port);
    CU_ASSERT_EQUAL(cairn_set(db, "a", "b"), CAIRN_CLIENT_OK);
    CU_ASSERT_EQUAL(cairn_incr(db, "a", 1, NULL), CAIRN_CLIENT_BROKEN);
    CU_ASSERT(message_has(db, "not sent twice"));
    CU_ASSERT_EQUAL(cairn_set(db, "a", "b"), CAIRN_CLIENT_OK);
    CU_ASSERT_EQUAL(cairn_append(db, "a", "b"), CAIRN_CLIENT_BROKEN);
    CU_ASSERT_EQUAL(cairn_set(db, "a", "b"), CAIRN_CLIENT_OK);
    cairn_client_write_t if_absent = {.if_absent = true};
    CU_ASSERT_EQUAL(cairn_set_bytes(db, "a", 1, "b", 1, &if_absent, NULL), CAIRN_CLIENT_BROKEN);
    cairn_disconnect(db);
    impostor_end(&impostor);
    CU_ASSERT_EQUAL(impostor.request_count, 6);
}

static void no_answer_in_time(void)
{
    uint16_t port;
    int fd = impostor_listen(&port); /* the kernel accepts, and nobody reads */
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
    cairn_client_t *db = cairn_connect_url(url, &(cairn_client_options_t){.timeout_ms = 50});
    int64_t before = monotonic_ms();
    CU_ASSERT_EQUAL(cairn_incr(db, "a", 1, NULL), CAIRN_CLIENT_TIMEOUT);
    CU_ASSERT(message_has(db, "50 ms"));
    CU_ASSERT(monotonic_ms() - before < 5000);
    cairn_disconnect(db);
    close(fd);
}

static void a_server_that_dies_and_comes_back(void)
{
    site_t site;
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, NULL), 0);
    cairn_client_t *db = cairn_connect("127.0.0.1", site.server.port);
    char listen_flag[64];
    snprintf(listen_flag, sizeof(listen_flag), "--listen=127.0.0.1:%u", site.server.port);
    CU_ASSERT_EQUAL(cairn_set(db, "a", "b"), CAIRN_CLIENT_OK);
    server_kill(&site.server);
    CU_ASSERT_EQUAL(cairn_set(db, "a", "c"), CAIRN_CLIENT_UNREACHABLE);
    site_start_again(&site, (const char *const[]){listen_flag, NULL});
    CU_ASSERT_STRING_EQUAL(cairn_get(db, "a"), "b");
    cairn_disconnect(db);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

/* ---------------------------------------------------------------- pages */

/** an answer of NDJSON; the next page is at `next` */
#define PAGE(next, length, body)                                                                   \
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nLink: <" next                        \
    ">; rel=\"next\"\r\nContent-Length: " length "\r\n\r\n" body
#define LAST_PAGE(length, body)                                                                    \
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: " length             \
    "\r\n\r\n" body

typedef struct st_seen_t {
    char text[256];
    int calls, most;
} seen_t;

static bool see_entry(void *ctx, const cairn_client_entry_t *entry)
{
    seen_t *seen = ctx;
    size_t at = strlen(seen->text);
    snprintf(seen->text + at, sizeof(seen->text) - at, "%s=%s@%d ", entry->key,
             entry->value != NULL ? entry->value : "-", (int)entry->version);
    return ++seen->calls != seen->most;
}

static void a_list_in_pages(void)
{
    static const char *const answers[] = {
        PAGE("/v1/keys?prefix=p%2F&limit=2&after=p%2Fb", "94",
             "{\"key\":\"p/a\",\"version\":1,\"size\":1,\"value\":\"x\"}\n"
             "{\"key\":\"p/b\",\"version\":2,\"size\":1,\"value\":\"y\"}\n"),
        LAST_PAGE("59",
                  "{\"key_b64\":\"cC//\",\"version\":3,\"size\":2,\"value_b64\":\"AEE=\"}\n")};
    impostor_t impostor;
    seen_t seen = {.most = -1};
    impostor_start(&impostor, answers, 2);
    cairn_client_t *db = cairn_connect("127.0.0.1", impostor.port);
    cairn_client_list_t list = {.prefix = "p/", .prefix_bytes = 2, .page = 2, .with_values = true};
    CU_ASSERT_EQUAL(cairn_list(db, &list, see_entry, &seen), CAIRN_CLIENT_OK);
    CU_ASSERT_STRING_EQUAL(cairn_client_message(db), "ok");
    CU_ASSERT_STRING_EQUAL(seen.text, "p/a=x@1 p/b=y@2 p/\xff=@3 ");
    cairn_disconnect(db);
    impostor_end(&impostor);
    CU_ASSERT(impostor_was_asked(&impostor, 0, "GET /v1/keys?prefix=p%2F&values=true&limit=2 "));
    CU_ASSERT(impostor_was_asked(&impostor, 1, "GET /v1/keys?prefix=p%2F&limit=2&after=p%2Fb "));
}

static void a_list_that_is_left(void)
{
    static const char *const answers[] = {
        PAGE(
            "/v1/keys?after=b", "66",
            "{\"key\":\"a\",\"version\":1,\"size\":1}\n{\"key\":\"b\",\"version\":2,\"size\":1}\n"),
        PAGE("/v1/scan?cursor=7", "33", "{\"key\":\"a\",\"version\":1,\"size\":1}\n"),
        LAST_PAGE("33", "{\"key\":\"b\",\"version\":1,\"size\":1}\n"),
        LAST_PAGE("15", "{\"version\":17}\n"),
        PAGE("http://elsewhere/", "33", "{\"key\":\"c\",\"version\":1,\"size\":1}\n")};
    impostor_t impostor;
    seen_t seen = {.most = 1};
    impostor_start(&impostor, answers, 5);
    cairn_client_t *db = cairn_connect("127.0.0.1", impostor.port);
    CU_ASSERT_EQUAL(cairn_list(db, NULL, see_entry, &seen), CAIRN_CLIENT_OK);
    CU_ASSERT_STRING_EQUAL(seen.text, "a=-@1 ");
    seen = (seen_t){.most = -1};
    cairn_client_list_t scan = {.contains = "\0x", .contains_bytes = 2, .limit = 2};
    CU_ASSERT_EQUAL(cairn_scan(db, &scan, see_entry, &seen), CAIRN_CLIENT_OK);
    CU_ASSERT_STRING_EQUAL(seen.text, "a=-@1 b=-@1 ");
    CU_ASSERT_EQUAL(cairn_list(db, NULL, see_entry, &seen), CAIRN_CLIENT_PROTOCOL);
    /* the token must not follow a link to another server */
    CU_ASSERT_EQUAL(cairn_list(db, NULL, see_entry, &seen), CAIRN_CLIENT_OK);
    CU_ASSERT_EQUAL(seen.calls, 3);
    cairn_disconnect(db);
    impostor_end(&impostor);
    CU_ASSERT(impostor_was_asked(&impostor, 1, "GET /v1/scan?contains=%00x&limit=2 "));
    CU_ASSERT(impostor_was_asked(&impostor, 2, "GET /v1/scan?cursor=7 "));
}

/* ---------------------------------------------------------------- a feed */

static bool see_change(void *ctx, const cairn_client_change_t *change)
{
    seen_t *seen = ctx;
    size_t at = strlen(seen->text);
    if (change == NULL)
        snprintf(seen->text + at, sizeof(seen->text) - at, "(nothing) ");
    else
        snprintf(seen->text + at, sizeof(seen->text) - at, "%s%s@%d ",
                 change->is_delete ? "-" : "+", change->key, (int)change->version);
    return change == NULL || change->version != 9;
}

static void a_feed_over_a_break(void)
{
    static const char *const answers[] = {
        PAGE("/v1/changes?since=4&wait=50ms", "44",
             "{\"version\":4,\"op\":\"put\",\"key\":\"a\",\"size\":1}\n"),
        NULL,
        NULL,
        PAGE("/v1/changes?since=5&wait=50ms", "38",
             "{\"version\":5,\"op\":\"delete\",\"key\":\"a\"}\n"),
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        PAGE("/v1/changes?since=6&wait=50ms", "0", ""),
        PAGE("/v1/changes?since=9", "44",
             "{\"version\":9,\"op\":\"put\",\"key\":\"b\",\"size\":1}\n"),
        "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"};
    impostor_t impostor;
    seen_t seen = {.most = -1};
    impostor_start(&impostor, answers, 8);
    cairn_client_t *db = cairn_connect("127.0.0.1", impostor.port);
    cairn_client_feed_t feed = {.since = 3, .wait_ms = 50};
    CU_ASSERT_EQUAL(cairn_changes(db, &feed, see_change, &seen), CAIRN_CLIENT_OK);
    CU_ASSERT_STRING_EQUAL(seen.text, "+a@4 (nothing) -a@5 (nothing) (nothing) +b@9 ");
    CU_ASSERT_EQUAL(cairn_changes(db, &feed, see_change, &seen), CAIRN_CLIENT_COMPACTED);
    cairn_disconnect(db);
    impostor_end(&impostor);
    CU_ASSERT(impostor_was_asked(&impostor, 0, "GET /v1/changes?since=3&limit=1000&wait=50ms "));
    CU_ASSERT(impostor_was_asked(&impostor, 3, "GET /v1/changes?since=4&wait=50ms "));
    CU_ASSERT(impostor_was_asked(&impostor, 6, "GET /v1/changes?since=6&wait=50ms "));
}

static void a_feed_of_a_server_that_stays_away(void)
{
    uint16_t port;
    close(impostor_listen(&port));
    cairn_client_t *db = cairn_connect("127.0.0.1", port);
    seen_t seen = {.most = -1};
    cairn_client_feed_t feed = {.give_up_ms = 100};
    CU_ASSERT_EQUAL(cairn_changes(db, &feed, see_change, &seen), CAIRN_CLIENT_UNREACHABLE);
    CU_ASSERT_STRING_EQUAL(seen.text, "(nothing) (nothing) ");
    feed = (cairn_client_feed_t){.ends_at_present = true};
    CU_ASSERT_EQUAL(cairn_changes(db, &feed, see_change, &seen), CAIRN_CLIENT_UNREACHABLE);
    cairn_disconnect(db);
}

static void looking_after_it(void)
{
    static const char *const answers[] = {
        "HTTP/1.1 201 Created\r\nContent-Length: 14\r\n\r\n{\"name\":\"a b\"}",
        "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"};
    impostor_t impostor;
    char *json;
    impostor_start(&impostor, answers, 2);
    cairn_client_t *db = cairn_connect("127.0.0.1", impostor.port);
    CU_ASSERT_EQUAL(cairn_snapshot(db, "a b", &json), CAIRN_CLIENT_OK);
    CU_ASSERT_STRING_EQUAL(json, "{\"name\":\"a b\"}");
    free(json);
    CU_ASSERT_EQUAL(cairn_compact(db), CAIRN_CLIENT_OK);
    cairn_disconnect(db);
    impostor_end(&impostor);
    CU_ASSERT(impostor_was_asked(&impostor, 0, "POST /v1/admin/snapshot?name=a%20b "));
    CU_ASSERT(impostor_was_asked(&impostor, 1, "POST /v1/admin/compact "));
}

/* ---------------------------------------------------------------- TLS, tokens, sockets */

#define SECRET "a-secret-for-tests"
/* printf %s 'a-secret-for-tests' | sha256sum */
#define SECRET_SUM "e242779449c117cb66b108785d1ffa95be4c6225cbcfa73cb53ab9c6f64ddf7d"

static void write_tls_config(const char *path, const char *certificate, const char *key)
{
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fprintf(file,
            "tls:\n  certificate: \"%s\"\n  key: \"%s\"\nauth:\n  tokens:\n    - name: test\n"
            "      sha256: %s\n      scope: write\n      prefix: mine/\n",
            certificate, key, SECRET_SUM);
    CU_ASSERT_EQUAL_FATAL(fclose(file), 0);
}

static void tls_and_tokens(void)
{
    temp_dir_t dir;
    site_t site;
    char certificate[300], key[300], other[300], other_key[300], config[300], url[64];
    CU_ASSERT_FATAL(temp_dir_create(&dir, TEMP_DIR_IN_MEMORY));
    snprintf(certificate, sizeof(certificate), "%s/a.crt", dir.path);
    snprintf(key, sizeof(key), "%s/a.key", dir.path);
    snprintf(other, sizeof(other), "%s/b.crt", dir.path);
    snprintf(other_key, sizeof(other_key), "%s/b.key", dir.path);
    snprintf(config, sizeof(config), "%s/c.yaml", dir.path);
    CU_ASSERT_FATAL(tls_make_certificate("localhost", certificate, key));
    CU_ASSERT_FATAL(tls_make_certificate("localhost", other, other_key));
    write_tls_config(config, certificate, key);
    CU_ASSERT_EQUAL_FATAL(
        site_start_in_memory(&site, (const char *const[]){"--config", config, NULL}), 0);
    snprintf(url, sizeof(url), "https://localhost:%u", site.server.port);

    cairn_client_options_t options = {.token = SECRET, .ca_file = certificate};
    cairn_client_t *db = cairn_connect_url(url, &options);
    CU_ASSERT_EQUAL(cairn_set(db, "mine/a", "b"), CAIRN_CLIENT_OK);
    CU_ASSERT_STRING_EQUAL(cairn_client_message(db), "ok");
    CU_ASSERT_EQUAL(cairn_set(db, "yours/a", "b"), CAIRN_CLIENT_DENIED);
    CU_ASSERT_STRING_EQUAL(cairn_client_code(db), "forbidden");
    cairn_disconnect(db);

    options.token = "another-secret";
    db = cairn_connect_url(url, &options);
    CU_ASSERT_EQUAL(cairn_set(db, "mine/a", "b"), CAIRN_CLIENT_DENIED);
    CU_ASSERT_STRING_EQUAL(cairn_client_code(db), "unauthorized");
    CU_ASSERT_PTR_NULL(strstr(cairn_client_message(db), "another-secret"));
    cairn_disconnect(db);

    options = (cairn_client_options_t){.token = SECRET, .ca_file = other};
    db = cairn_connect_url(url, &options);
    CU_ASSERT_EQUAL(cairn_set(db, "mine/a", "b"), CAIRN_CLIENT_UNREACHABLE);
    CU_ASSERT(message_has(db, "certificate"));
    cairn_disconnect(db);

    options.is_insecure = true;
    db = cairn_connect_url(url, &options);
    CU_ASSERT_STRING_EQUAL(cairn_get(db, "mine/a"), "b");
    cairn_disconnect(db);

    CU_ASSERT_EQUAL(site_end(&site), 0);
    CU_ASSERT(temp_dir_remove(&dir));
}

static void a_unix_socket(void)
{
    temp_dir_t dir;
    site_t site;
    char listen_flag[320], url[300];
    CU_ASSERT_FATAL(temp_dir_create(&dir, TEMP_DIR_IN_MEMORY));
    snprintf(url, sizeof(url), "unix:%s/socket", dir.path);
    snprintf(listen_flag, sizeof(listen_flag), "--listen=%s", url);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, (const char *const[]){listen_flag, NULL}), 0);
    cairn_client_t *db = cairn_connect_url(url, NULL);
    CU_ASSERT_EQUAL(cairn_set(db, "a", "b"), CAIRN_CLIENT_OK);
    CU_ASSERT_STRING_EQUAL(cairn_get(db, "a"), "b");
    cairn_disconnect(db);
    CU_ASSERT_EQUAL(site_end(&site), 0);
    CU_ASSERT(temp_dir_remove(&dir));
}

void suite_client_faults(void)
{
    CU_pSuite s = CU_add_suite("client_faults", NULL, NULL);
    CU_add_test(s, "nobody is there", nobody_there);
    CU_add_test(s, "a URL that is none", a_url_that_is_none);
    CU_add_test(s, "no handle at all", no_handle_at_all);
    CU_add_test(s, "somebody else is there", not_cairn);
    CU_add_test(s, "an error without a problem, and answers cut short",
                an_answer_without_a_problem);
    CU_add_test(s, "what is safe to repeat is sent again", what_is_safe_is_sent_again);
    CU_add_test(s, "what is not safe to repeat is sent once", what_is_not_safe_is_sent_once);
    CU_add_test(s, "no answer in time", no_answer_in_time);
    CU_add_test(s, "a server that dies and comes back", a_server_that_dies_and_comes_back);
    CU_add_test(s, "a list in pages", a_list_in_pages);
    CU_add_test(s, "a list that is left, and pages that are none", a_list_that_is_left);
    CU_add_test(s, "a feed goes on after a break", a_feed_over_a_break);
    CU_add_test(s, "a feed of a server that stays away", a_feed_of_a_server_that_stays_away);
    CU_add_test(s, "looking after a server", looking_after_it);
    CU_add_test(s, "TLS with its own authority, and tokens", tls_and_tokens);
    CU_add_test(s, "a Unix socket", a_unix_socket);
}

/*
 * Does what is stored beside a value go through lists and batches, and out and in again, whole?
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cairn.h"
#include "tests/shell.h"
#include "tests/site.h"

static site_t site, other;
static temp_dir_t dir;
static http_conn_t conn;

static int start(void)
{
    char url[64], *binary = realpath(getenv("CAIRN_BINARY"), NULL);
    if (binary == NULL || site_start_in_memory(&site, NULL) != 0 ||
        site_start_in_memory(&other, NULL) != 0 || !temp_dir_create(&dir, TEMP_DIR_ON_DISK) ||
        !http_open(&conn, site.server.port))
        return 1;
    setenv("CAIRN_UNDER_TEST", binary, 1);
    setenv("CAIRN_TEST_DIR", dir.path, 1);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", site.server.port);
    setenv("CAIRN_FROM", url, 1);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", other.server.port);
    setenv("CAIRN_TO", url, 1);
    free(binary);
    return 0;
}

static int end(void)
{
    http_close(&conn);
    int ended = site_end(&site) | site_end(&other);
    return temp_dir_remove(&dir) ? ended : 1;
}

/* ---------------------------------------------------------------- lists */

static void put(const char *target, const char *headers, const char *value)
{
    int status = exchange_status(&conn, "PUT", target, headers, value, strlen(value));
    CU_ASSERT(status == 201 || status == 204);
}

static bool list_has(const char *target, const char *row)
{
    http_response_t res;
    exchange(&conn, "GET", target, NULL, NULL, 0, &res);
    bool has = res.status == 200 && strstr(res.body, row) != NULL;
    if (!has)
        fprintf(stderr, "\n%s: %d\n%s", target, res.status, res.body);
    http_response_dispose(&res);
    return has;
}

static void a_list_has_it_if_it_is_asked_for(void)
{
    put("/v1/kv/l/1",
        "Content-Type: text/css\r\nContent-Encoding: gzip\r\nCache-Control: no-cache\r\n"
        "Cairn-Meta-Author: \"Ada\"\r\ncairn-meta-latin: caf\xe9\r\nCairn-Meta-None:\r\n",
        "x");
    CU_ASSERT(list_has("/v1/keys?prefix=l/&meta=true",
                       ",\"content_type\":\"text/css\",\"content_encoding\":\"gzip\","
                       "\"cache_control\":\"no-cache\",\"meta\":["
                       "{\"name\":\"author\",\"value\":\"\\\"Ada\\\"\"},"
                       "{\"name\":\"latin\",\"value_b64\":\"Y2Fm6Q==\"},"
                       "{\"name\":\"none\",\"value\":\"\"}]}\n"));
    CU_ASSERT(list_has("/v1/keys?prefix=l/", ",\"content_type\":\"text/css\"}\n"));
    CU_ASSERT(list_has("/v1/keys?prefix=l/&meta=false", ",\"content_type\":\"text/css\"}\n"));
    /* the next page has it too */
    put("/v1/kv/l/2", "Content-Encoding: br\r\n", "y");
    http_response_t res;
    exchange(&conn, "GET", "/v1/keys?prefix=l/&meta=true&values=true&limit=1", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "link",
                        "</v1/keys?limit=1&values=true&meta=true&after=l%2F1&prefix=l%2F>; "
                        "rel=\"next\""));
    http_response_dispose(&res);
    CU_ASSERT(list_has("/v1/keys?prefix=l/&after=l/1&meta=true&values=true",
                       ",\"content_encoding\":\"br\",\"value\":\"y\"}\n"));
    CU_ASSERT(
        list_has("/v1/scan?prefix=l/&contains=y&meta=true", ",\"content_encoding\":\"br\"}\n"));
    CU_ASSERT(exchange_is_problem(&conn, "GET", "/v1/keys?meta=1", NULL, NULL, 400, "bad_request"));
}

/* ---------------------------------------------------------------- batches */

static void a_batch_stores_it(void)
{
    static const char body[] =
        "{\"op\":\"put\",\"key\":\"b\",\"value\":\"v\",\"content_type\":\"a/b\","
        "\"content_encoding\":\"gzip\",\"cache_control\":\"no-cache\",\"meta\":["
        "{\"name\":\"Author\",\"value\":\"Ada\\tB.\"},{\"name\":\"e\",\"value\":\"\"}]}\n"
        "{\"op\":\"put\",\"key\":\"b-ttl\",\"value\":\"v\",\"ttl\":\"1h\","
        "\"cache_control\":\"no-cache\",\"meta\":[]}\n";
    http_response_t res;
    CU_ASSERT_EQUAL(exchange_status(&conn, "POST", "/v1/batch", NULL, body, strlen(body)), 200);
    exchange(&conn, "GET", "/v1/kv/b", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "content-type", "a/b"));
    CU_ASSERT(header_is(&res, "content-encoding", "gzip"));
    CU_ASSERT(header_is(&res, "cache-control", "no-cache"));
    CU_ASSERT(header_is(&res, "cairn-meta-author", "Ada\tB."));
    CU_ASSERT(header_is(&res, "cairn-meta-e", ""));
    http_response_dispose(&res);
    exchange(&conn, "GET", "/v1/kv/b-ttl", NULL, NULL, 0, &res);
    CU_ASSERT(strncmp(http_header(&res, "cache-control"), "max-age=", 8) == 0);
    http_response_dispose(&res);
}

static void a_batch_takes_nothing_that_is_no_header(void)
{
    static const char *const metas[] = {
        "\"meta\":{\"a\":\"b\"}",
        "\"meta\":\"a\"",
        "\"meta\":[\"a\"]",
        "\"meta\":[{\"name\":\"a\"}]",
        "\"meta\":[{\"value\":\"a\"}]",
        "\"meta\":[{\"name\":\"a\",\"value\":1}]",
        "\"meta\":[{\"name\":\"\",\"value\":\"a\"}]",
        "\"meta\":[{\"name\":\"a b\",\"value\":\"c\"}]",
        "\"meta\":[{\"name\":\"a:\",\"value\":\"c\"}]",
        "\"meta\":[{\"name\":\"a\\u0000\",\"value\":\"c\"}]",
        "\"meta\":[{\"name\":\"\\u00e9\",\"value\":\"c\"}]",
        "\"meta\":[{\"name\":\"a\",\"value\":\"b\\r\\nX: y\"}]",
        "\"meta\":[{\"name\":\"a\",\"value\":\"b\\u0000\"}]",
        "\"meta\":[{\"name\":\"a\",\"value\":\"b\",\"c\":\"d\"}]",
        "\"content_encoding\":\"a\\nb\"",
        "\"content_encoding\":1",
        "\"cache_control\":\"a\\u007f\"",
    };
    for (size_t i = 0; i < sizeof(metas) / sizeof(metas[0]); ++i) {
        char body[256];
        snprintf(body, sizeof(body), "{\"op\":\"put\",\"key\":\"n\",\"value\":\"v\",%s}", metas[i]);
        CU_ASSERT(
            exchange_is_problem(&conn, "POST", "/v1/batch", NULL, body, 400, "bad_operation"));
    }
    CU_ASSERT(exchange_is_problem(&conn, "POST", "/v1/batch", NULL,
                                  "{\"op\":\"incr\",\"key\":\"n\",\"meta\":[]}", 400,
                                  "bad_operation"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/n", NULL, NULL, 0), 404);
}

/** 1,024 bytes of names and values, "cairn-meta-" of the names included, and one more */
static void a_batch_has_the_limit_of_a_put(void)
{
    char body[2048];
    const char *too_much = body;
    for (int more = 0; more < 2; ++more) {
        snprintf(body, sizeof(body),
                 "{\"op\":\"put\",\"key\":\"m\",\"value\":\"v\",\"meta\":["
                 "{\"name\":\"a\",\"value\":\"%0*d\"},{\"name\":\"b\",\"value\":\"%0512d\"}]}",
                 1024 - 2 * 12 - 512 + more, 0, 0);
        int status = exchange_status(&conn, "POST", "/v1/batch", NULL, body, strlen(body));
        CU_ASSERT_EQUAL(status, more == 0 ? 200 : 400);
    }
    CU_ASSERT(
        exchange_is_problem(&conn, "POST", "/v1/batch", NULL, too_much, 400, "meta_too_large"));
}

/* ---------------------------------------------------------------- the library */

static const cairn_client_meta_t two_headers[] = {{"Author", "Ada"}, {"n", "1"}};
static const cairn_client_write_t all_of_it = {.content_type = "text/css",
                                               .content_encoding = "gzip",
                                               .cache_control = "no-cache",
                                               .meta = two_headers,
                                               .meta_count = 2};

/** counts the entries that have all of it */
static bool see(void *ctx, const cairn_client_entry_t *entry)
{
    bool is_whole = entry->content_type != NULL && strcmp(entry->content_type, "text/css") == 0 &&
                    entry->content_encoding != NULL && entry->cache_control != NULL &&
                    strcmp(entry->content_encoding, "gzip") == 0 &&
                    strcmp(entry->cache_control, "no-cache") == 0 && entry->meta_count == 2 &&
                    strcmp(entry->meta[0].name, "author") == 0 &&
                    strcmp(entry->meta[0].value, "Ada") == 0 &&
                    strcmp(entry->meta[1].name, "n") == 0 && entry->error == NULL;
    *(unsigned *)ctx += is_whole;
    return true;
}

static void the_library_stores_and_lists_it(void)
{
    unsigned count = 0;
    cairn_client_t *db = cairn_connect("127.0.0.1", site.server.port);
    cairn_client_batch_t *batch = cairn_batch_create();
    cairn_batch_set(batch, "c/1", 3, "v", 1, &all_of_it);
    cairn_batch_append(batch, "c/2", 3, "v", 1, &all_of_it);
    cairn_batch_incr(batch, "c-n", 3, 5, &all_of_it); /* a number has nothing beside it */
    cairn_batch_delete(batch, "c/1", 3, &all_of_it);
    cairn_batch_set(batch, "c/1", 3, "v", 1, &all_of_it);
    CU_ASSERT_EQUAL(cairn_batch_run(db, batch, true), CAIRN_CLIENT_OK);
    for (size_t i = 0; i < 5; ++i)
        CU_ASSERT(cairn_batch_result(batch, i) != NULL &&
                  cairn_batch_result(batch, i)->err == CAIRN_CLIENT_OK);
    cairn_client_list_t list = {
        .prefix = "c/", .prefix_bytes = 2, .page = 1, .with_values = true, .with_meta = true};
    CU_ASSERT_EQUAL(cairn_list(db, &list, see, &count), CAIRN_CLIENT_OK);
    CU_ASSERT_EQUAL(count, 2);
    list.with_meta = false;
    CU_ASSERT_EQUAL(cairn_list(db, &list, see, &count), CAIRN_CLIENT_OK);
    CU_ASSERT_EQUAL(count, 2);
    cairn_batch_destroy(batch);
    cairn_disconnect(db);
}

/* ---------------------------------------------------------------- out and in again */

#define IN_SHELL "cd \"$CAIRN_TEST_DIR\"; cairn() { \"$CAIRN_UNDER_TEST\" \"$@\"; }; "
#define PRINTS(expected, command)                                                                  \
    CU_ASSERT(shell_prints(expected, "%s", IN_SHELL "{ " command "; } 2>&1"))

/* a key that is a path, all bytes that a key may have, and both with all that is kept */
static void export_and_import_lose_nothing(void)
{
    PRINTS("201 201 201 201 201 201 201 ",
           "put() { curl -s -o answer -w '%{http_code} ' -T \"$1\" \"$CAIRN_FROM/v1/kv/$2\" "
           "\"${@:3}\"; }; head -c 70000 /dev/urandom >bin; head -c 400000 /dev/urandom >large; "
           ": >none; echo text >text; "
           "put text rt/text -H 'Content-Type: text/html; charset=utf-8'; "
           "put bin rt/%00%ff%0a%22 -H 'Content-Encoding: gzip' -H 'Cairn-Meta-A: 1' "
           "-H 'Cairn-Meta-B: two words'; "
           "put large rt/large -H 'Cache-Control: public, max-age=60' -H 'Cairn-Meta-L: large'; "
           "put none rt/none; "
           "put text rt/latin -H $'Cairn-Meta-N: caf\\xe9' -H $'Content-Type: a/\\xff'; "
           "put text 'rt/ttl?ttl=1h' -H 'Cairn-Meta-T: t'; "
           "put text rt/plain -H 'Content-Type: application/octet-stream'");
    PRINTS("7 7\n", "cairn export --url $CAIRN_FROM --prefix rt/ lines --quiet; "
                    "cairn import --url $CAIRN_TO lines --quiet; "
                    "cairn export --url $CAIRN_TO again --quiet; echo $(wc -l <lines) "
                    "$(wc -l <again)");
    /* the same but for a few milliseconds at which one expires */
    PRINTS("true\n", "cmp <(jq -Sc 'del(.expires)' lines) <(jq -Sc 'del(.expires)' again); "
                     "jq -s 'map(.expires // empty) | .[1] - .[0] | fabs < 10000' lines again");
    /* and to a reader each value is what it was, but for when it was written */
    PRINTS("7\n",
           "head() { curl -sI \"$1/v1/kv/$2\" | "
           "grep -aivE '^(etag|last-modified|date|expires|cache-control: max-age)' | sort; }; n=0; "
           "for k in text %00%ff%0a%22 large none latin ttl plain; do "
           "cmp <(head $CAIRN_FROM rt/$k) <(head $CAIRN_TO rt/$k) && "
           "cmp <(curl -s $CAIRN_FROM/v1/kv/rt/$k) <(curl -s $CAIRN_TO/v1/kv/rt/$k) && "
           "n=$((n + 1)); done; echo $n; head $CAIRN_TO rt/%00%ff%0a%22 | grep -c two.words >m");
    PRINTS("1\n", "cat m");
    PRINTS("true true\n",
           "for u in $CAIRN_FROM $CAIRN_TO; do "
           "cairn get rt/ttl --url $u --json | jq '.expires_in_ms > 3500000'; done | "
           "xargs");
}

static void what_cannot_be_stored_is_told(void)
{
    PRINTS("cairn import: standard input:1: \"meta\" is a list of {\"name\":\"...\",\"value\":"
           "\"...\"}\n(5)\n",
           "echo '{\"key\":\"a\",\"value\":\"b\",\"meta\":{\"a\":1}}' | "
           "cairn import --url $CAIRN_TO --quiet; echo \"($?)\"");
}

void suite_beside(void)
{
    CU_pSuite s = CU_add_suite("beside", start, end);
    CU_add_test(s, "a list has it if it is asked for", a_list_has_it_if_it_is_asked_for);
    CU_add_test(s, "a batch stores it", a_batch_stores_it);
    CU_add_test(s, "a batch takes nothing that is no header",
                a_batch_takes_nothing_that_is_no_header);
    CU_add_test(s, "a batch has the limit of a put", a_batch_has_the_limit_of_a_put);
    CU_add_test(s, "the library stores and lists it", the_library_stores_and_lists_it);
    CU_add_test(s, "export and import lose nothing", export_and_import_lose_nothing);
    CU_add_test(s, "what cannot be stored is told", what_cannot_be_stored_is_told);
}

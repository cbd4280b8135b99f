/*
 * Does POST /v1/batch do what the contract promises of many operations in one request?
 *
 * Over real sockets, against the real program. Every test uses keys of its own.
 */
#include <CUnit/CUnit.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "server/batch_parse.h"
#include "tests/site.h"
#include "tests/suites.h"

#define TARGET "/v1/batch"
#define ATOMIC "/v1/batch?atomic=true"
#define OPS_MAX 10000

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    return site_end(&site);
}

/* ---------------------------------------------------------------- asking */

/* the body of a 200; the caller frees it */
static char *ask(http_conn_t *conn, const char *target, const char *body, size_t body_bytes)
{
    http_response_t res;
    exchange(conn, "POST", target, "Content-Type: application/x-ndjson\r\n", body, body_bytes,
             &res);
    CU_ASSERT_EQUAL(res.status, 200);
    if (res.status != 200)
        fprintf(stderr, "\n%s\n", res.body);
    CU_ASSERT(header_is(&res, "content-type", "application/x-ndjson"));
    char *text = strdup(res.body);
    http_response_dispose(&res);
    return text;
}

/* whether the answer is this, where # stands for any version */
static bool answers(http_conn_t *conn, const char *target, const char *body, const char *expected)
{
    char *text = ask(conn, target, body, strlen(body));
    const char *at = text;
    bool same = true;
    for (const char *e = expected; *e != '\0' && same; ++e) {
        if (*e != '#') {
            same = *at++ == *e;
            continue;
        }
        same = *at >= '1' && *at <= '9';
        at += strspn(at, "0123456789");
    }
    same = same && *at == '\0';
    if (!same)
        fprintf(stderr, "\nexpected %s\nanswer   %s\n", expected, text);
    free(text);
    return same;
}

/* whether it is refused with this problem about this line; 0: about none */
static bool refuses_bytes(http_conn_t *conn, const char *target, const char *body, size_t bytes,
                          int status, const char *code, int line)
{
    http_response_t res;
    exchange(conn, "POST", target, NULL, body, bytes, &res);
    bool is_right = is_problem(&res, status, code);
    json_t *json = json_loads(res.body, 0, NULL);
    is_right = is_right && json_integer_value(json_object_get(json, "line")) == line;
    if (!is_right)
        fprintf(stderr, "\n%.200s\nanswer %s\n", body, res.body);
    json_decref(json);
    http_response_dispose(&res);
    return is_right;
}

static bool refuses(http_conn_t *conn, const char *target, const char *body, int status,
                    const char *code, int line)
{
    return refuses_bytes(conn, target, body, strlen(body), status, code, line);
}

static bool has_text(http_conn_t *conn, const char *target, const char *text)
{
    http_response_t res;
    exchange(conn, "GET", target, NULL, NULL, 0, &res);
    bool has = res.status == 200 && body_is(&res, text, strlen(text));
    http_response_dispose(&res);
    return has;
}

static bool has_none(http_conn_t *conn, const char *target)
{
    return exchange_status(conn, "GET", target, NULL, NULL, 0) == 404;
}

/* MARKs that the idle writer adds before and after a batch count too */
static json_int_t commit_count(http_conn_t *conn)
{
    http_response_t res;
    exchange(conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    json_t *json = json_loads(res.body, 0, NULL);
    json_int_t count =
        json_integer_value(json_object_get(json_object_get(json, "commits"), "count"));
    json_decref(json);
    http_response_dispose(&res);
    return count;
}

static size_t line_count(const char *text)
{
    size_t count = 0;
    for (; (text = strchr(text, '\n')) != NULL; ++text)
        ++count;
    return count;
}

/* ---------------------------------------------------------------- operations */

static void every_operation(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(answers(&conn, TARGET,
                      "{\"op\":\"get\",\"key\":\"e\"}\n"
                      "{\"op\":\"put\",\"key\":\"e\",\"value\":\"text\"}\n"
                      "{\"op\":\"get\",\"key\":\"e\"}\n"
                      "{\"op\":\"append\",\"key\":\"e\",\"value\":\"+\"}\n"
                      "{\"op\":\"append\",\"key\":\"e2\",\"value\":\"new\"}\n"
                      "{\"op\":\"incr\",\"key\":\"e3\"}\n"
                      "{\"op\":\"incr\",\"key\":\"e3\",\"by\":-9223372036854775808}\n"
                      "{\"op\":\"put\",\"key\":\"e\",\"value\":\"\"}\n"
                      "{\"op\":\"get\",\"key\":\"e\"}\n"
                      "{\"op\":\"delete\",\"key\":\"e\"}\n"
                      "{\"op\":\"get\",\"key\":\"e\"}\n",
                      "{\"status\":404,\"code\":\"not_found\"}\n"
                      "{\"status\":201,\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"text\"}\n"
                      "{\"status\":204,\"version\":#}\n"
                      "{\"status\":201,\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"1\"}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"-9223372036854775807\"}\n"
                      "{\"status\":204,\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"\"}\n"
                      "{\"status\":204,\"version\":#}\n"
                      "{\"status\":404,\"code\":\"not_found\"}\n"));
    CU_ASSERT(has_text(&conn, "/v1/kv/e2", "new"));
    http_close(&conn);
}

static void failures_per_line(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(answers(&conn, TARGET,
                      "{\"op\":\"put\",\"key\":\"f\",\"value\":\"text\"}\n"
                      "{\"op\":\"incr\",\"key\":\"f\"}\n"
                      "{\"op\":\"delete\",\"key\":\"f-none\"}\n"
                      "{\"op\":\"put\",\"key\":\"f\",\"value\":\"x\",\"if_none_match\":\"*\"}\n"
                      "{\"op\":\"put\",\"key\":\"f-none\",\"value\":\"x\",\"if_match\":\"*\"}\n"
                      "{\"op\":\"incr\",\"key\":\"f-n\",\"by\":9223372036854775807}\n"
                      "{\"op\":\"incr\",\"key\":\"f-n\"}\n",
                      "{\"status\":201,\"version\":#}\n"
                      "{\"status\":409,\"code\":\"not_a_number\"}\n"
                      "{\"status\":404,\"code\":\"not_found\"}\n"
                      "{\"status\":412,\"code\":\"precondition_failed\",\"version\":#}\n"
                      "{\"status\":412,\"code\":\"precondition_failed\"}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"9223372036854775807\"}\n"
                      "{\"status\":409,\"code\":\"overflow\"}\n"));
    CU_ASSERT(has_text(&conn, "/v1/kv/f", "text"));
    http_close(&conn);
}

static void binary(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(answers(&conn, TARGET,
                      "{\"op\":\"put\",\"key_b64\":\"AP8v\",\"value_b64\":\"/wA=\"}\n"
                      "{\"op\":\"get\",\"key_b64\":\"AP8v\"}\n"
                      "{\"op\":\"put\",\"key\":\"b\\u0000\",\"value\":"
                      "\"\\u0000\\u001f\\\"\\\\\\n\\t\\u00e9\\ud83d\\ude00\"}\n"
                      "{\"op\":\"get\",\"key_b64\":\"YgA=\"}\n"
                      "{\"op\":\"put\",\"key\":\"b\",\"value_b64\":\"7aCA\"}\n" /* a surrogate */
                      "{\"op\":\"get\",\"key\":\"b\"}\n"
                      "{\"op\":\"put\",\"key\":\"b\",\"value_b64\":\"wIA=\"}\n" /* overlong */
                      "{\"op\":\"get\",\"key\":\"b\"}\n"
                      "{\"op\":\"put\",\"key\":\"b\",\"value_b64\":\"\"}\n"
                      "{\"op\":\"get\",\"key\":\"b\"}\n",
                      "{\"status\":201,\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value_b64\":\"/wA=\"}\n"
                      "{\"status\":201,\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value\":"
                      "\"\\u0000\\u001f\\\"\\\\\\n\\t\u00e9\U0001f600\"}\n"
                      "{\"status\":201,\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value_b64\":\"7aCA\"}\n"
                      "{\"status\":204,\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value_b64\":\"wIA=\"}\n"
                      "{\"status\":204,\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"\"}\n"));
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/v1/kv/%00%FF%2F", NULL, NULL, 0), 200);
    http_close(&conn);
}

/* what a line of the answer has as its value, in either form, into `out` */
static size_t value_of(const char *line, uint8_t *out)
{
    size_t count = 0;
    json_t *json = json_loads(line, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, NULL);
    const json_t *text = json_object_get(json, "value"),
                 *base64 = json_object_get(json, "value_b64");
    CU_ASSERT_EQUAL_FATAL((text != NULL) + (base64 != NULL), 1);
    if (text != NULL)
        memcpy(out, json_string_value(text), count = json_string_length(text));
    else
        CU_ASSERT(cairn_base64_decode(json_string_value(base64), json_string_length(base64), out,
                                      &count));
    json_decref(json);
    return count;
}

/* text is copied in steps: each byte at each place of a step comes back, in whatever form */
static void every_byte_at_every_place(void)
{
    enum { BYTES = 21, PLACES = 17 };
    char *puts = NULL, *gets = NULL;
    size_t puts_bytes, gets_bytes;
    FILE *out = open_memstream(&puts, &puts_bytes), *ask_for = open_memstream(&gets, &gets_bytes);
    for (int byte = 0; byte < 256; ++byte)
        for (int place = 0; place < PLACES; ++place) {
            uint8_t value[BYTES + 1];
            char text[2 * BYTES];
            memset(value, 'x', BYTES);
            value[place] = (uint8_t)byte;
            EVP_EncodeBlock((unsigned char *)text, value, BYTES);
            fprintf(out, "{\"op\":\"put\",\"key\":\"e%d.%d\",\"value_b64\":\"%s\"}\n", byte, place,
                    text);
            fprintf(ask_for, "{\"op\":\"get\",\"key\":\"e%d.%d\"}\n", byte, place);
        }
    fclose(out);
    fclose(ask_for);
    http_conn_t conn;
    site_open(&site, &conn);
    free(ask(&conn, TARGET, puts, puts_bytes));
    char *answer = ask(&conn, TARGET, gets, gets_bytes), *line = answer;
    for (int i = 0; i < 256 * PLACES; ++i) {
        uint8_t value[4 * BYTES];
        CU_ASSERT_EQUAL_FATAL(value_of(line, value), BYTES);
        for (int at = 0; at < BYTES; ++at)
            CU_ASSERT_EQUAL(value[at], at == i % PLACES ? i / PLACES : 'x');
        line = strchr(line, '\n') + 1;
    }
    CU_ASSERT_EQUAL(*line, '\0');
    http_close(&conn);
    free(answer);
    free(puts);
    free(gets);
}

static void stored_beside(void)
{
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    CU_ASSERT(answers(&conn, TARGET,
                      "{\"op\":\"put\",\"key\":\"t\",\"value\":\"{}\",\"ttl\":\"90s\","
                      "\"content_type\":\"application/json\"}\n"
                      "{\"op\":\"incr\",\"key\":\"t-n\"}\n"
                      "{\"op\":\"put\",\"key\":\"t-short\",\"value\":\"x\",\"ttl\":\"30ms\"}\n",
                      "{\"status\":201,\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"1\"}\n"
                      "{\"status\":201,\"version\":#}\n"));
    exchange(&conn, "GET", "/v1/kv/t", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "content-type", "application/json"));
    CU_ASSERT_PTR_NOT_NULL(http_header(&res, "expires"));
    http_response_dispose(&res);
    exchange(&conn, "GET", "/v1/kv/t-n", NULL, NULL, 0, &res);
    CU_ASSERT(header_is(&res, "content-type", "text/plain"));
    http_response_dispose(&res);
    sleep_ms(60);
    CU_ASSERT(
        answers(&conn, TARGET,
                "{\"op\":\"get\",\"key\":\"t-short\"}\n"
                "{\"op\":\"put\",\"key\":\"t-short\",\"value\":\"x\",\"if_none_match\":\"*\"}\n",
                "{\"status\":404,\"code\":\"not_found\"}\n{\"status\":201,\"version\":#}\n"));
    http_close(&conn);
}

static void conditions(void)
{
    char body[512];
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    exchange(&conn, "PUT", "/v1/kv/c", NULL, "1", 1, &res);
    uint64_t v = version_of(&res);
    http_response_dispose(&res);
    snprintf(body, sizeof(body),
             "{\"op\":\"get\",\"key\":\"c\",\"if_match\":\"%" PRIu64 "\"}\n"
             "{\"op\":\"get\",\"key\":\"c\",\"if_match\":\"999999\"}\n"
             "{\"op\":\"incr\",\"key\":\"c\",\"if_match\":\"5, \\\"%" PRIu64 "\\\"\"}\n"
             "{\"op\":\"delete\",\"key\":\"c\",\"if_match\":\"%" PRIu64 "\"}\n"
             "{\"op\":\"append\",\"key\":\"c\",\"value\":\"0\",\"if_none_match\":\"%" PRIu64
             "\"}\n",
             v, v, v, v);
    CU_ASSERT(answers(&conn, TARGET, body,
                      "{\"status\":200,\"version\":#,\"value\":\"1\"}\n"
                      "{\"status\":412,\"code\":\"precondition_failed\",\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"2\"}\n"
                      "{\"status\":412,\"code\":\"precondition_failed\",\"version\":#}\n"
                      "{\"status\":204,\"version\":#}\n"));
    CU_ASSERT(has_text(&conn, "/v1/kv/c", "20"));
    http_close(&conn);
}

static void lines(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(answers(&conn, TARGET, "", ""));
    CU_ASSERT(answers(&conn, TARGET, "\n \t\r\n\n", ""));
    CU_ASSERT(answers(&conn, ATOMIC, "", ""));
    CU_ASSERT(answers(&conn, TARGET, "{\"op\":\"get\",\"key\":\"l\"}",
                      "{\"status\":404,\"code\":\"not_found\"}\n"));
    CU_ASSERT(answers(&conn, TARGET,
                      "\r\n{\"op\":\"put\",\"key\":\"l\",\"value\":\"1\"}\r\n\r\n"
                      " { \"op\" : \"get\" , \"key\" : \"l\" } \r\n",
                      "{\"status\":201,\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"1\"}\n"));
    CU_ASSERT(
        refuses(&conn, TARGET, "\n\n{\"op\":\"get\",\"key\":\"l\"}\r\nx", 400, "bad_json", 4));
    http_close(&conn);
}

/* ---------------------------------------------------------------- refusals */

static void wrong_lines(void)
{
    static const struct {
        const char *line;
        const char *code;
    } rows[] = {
        {"{", "bad_json"},
        {"[]", "bad_json"},
        {"17", "bad_json"},
        {"{\"op\":\"get\",\"key\":\"w\"} {}", "bad_json"},
        {"{\"op\":\"get\",\"key\":\"w\",\"key\":\"x\"}", "bad_json"},
        {"{\"op\":\"get\",\"key\":\"\xff\"}", "bad_json"},
        {"{\"op\":\"get\",\"key\":\"\\ud800\"}", "bad_json"},
        {"{\"op\":\"incr\",\"key\":\"w\",\"by\":9223372036854775808}", "bad_json"},
        {"{\"op\":\"incr\",\"key\":\"w\",\"by\":1e999}", "bad_json"},
        {"{}", "bad_operation"},
        {"{\"op\":\"nop\",\"key\":\"w\"}", "bad_operation"},
        {"{\"op\":\"get\\u0000\",\"key\":\"w\"}", "bad_operation"},
        {"{\"op\":1,\"key\":\"w\"}", "bad_operation"},
        {"{\"op\":\"get\",\"key\":1}", "bad_operation"},
        {"{\"op\":\"get\",\"key\":null}", "bad_operation"},
        {"{\"op\":\"get\",\"key\":\"w\",\"value\":\"v\"}", "bad_operation"},
        {"{\"op\":\"get\",\"key\":\"w\",\"if_none_match\":\"*\"}", "bad_operation"},
        {"{\"op\":\"delete\",\"key\":\"w\",\"ttl\":\"1s\"}", "bad_operation"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"by\":1}", "bad_operation"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"other\\u00e9\":1}", "bad_operation"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"value_b64\":\"\"}", "bad_operation"},
        {"{\"op\":\"put\",\"key\":\"w\",\"key_b64\":\"YQ==\",\"value\":\"v\"}", "bad_operation"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"content_type\":\"a\\r\\nB: c\"}",
         "bad_operation"},
        {"{\"op\":\"put\",\"value\":\"v\"}", "key_missing"},
        {"{\"op\":\"get\",\"key\":\"\"}", "key_empty"},
        {"{\"op\":\"get\",\"key_b64\":\"\"}", "key_empty"},
        {"{\"op\":\"put\",\"key\":\"w\"}", "value_missing"},
        {"{\"op\":\"append\",\"key\":\"w\"}", "value_missing"},
        {"{\"op\":\"get\",\"key_b64\":\"YQ\"}", "bad_base64"},
        {"{\"op\":\"get\",\"key_b64\":\"YR==\"}", "bad_base64"},
        {"{\"op\":\"get\",\"key_b64\":\"Y===\"}", "bad_base64"},
        {"{\"op\":\"get\",\"key_b64\":\"====\"}", "bad_base64"},
        {"{\"op\":\"get\",\"key_b64\":\"Y Q=\"}", "bad_base64"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value_b64\":\"YQ==YQ==\"}", "bad_base64"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"ttl\":\"90\"}", "bad_ttl"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"ttl\":\"0s\"}", "bad_ttl"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"ttl\":\"1s\\u0000\"}", "bad_ttl"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"if_match\":\"x\"}", "bad_condition"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"if_match\":\"\"}", "bad_condition"},
        {"{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\",\"if_match\":\"1 2\"}", "bad_condition"},
        {"{\"op\":\"incr\",\"key\":\"w\",\"by\":\"1\"}", "bad_number"},
        {"{\"op\":\"incr\",\"key\":\"w\",\"by\":1.0}", "bad_number"},
    };
    http_conn_t conn;
    site_open(&site, &conn);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); ++i)
        for (int is_atomic = 0; is_atomic < 2; ++is_atomic) {
            char body[512];
            snprintf(body, sizeof(body), "{\"op\":\"put\",\"key\":\"w\",\"value\":\"v\"}\n\n%s\n{",
                     rows[i].line);
            CU_ASSERT(refuses(&conn, is_atomic ? ATOMIC : TARGET, body, 400, rows[i].code, 3));
        }
    static const char with_nul[] =
        "{\"op\":\"get\",\"key\":\"w\"}\n{\"op\":\"get\",\0\"key\":\"w\"}";
    CU_ASSERT(refuses_bytes(&conn, TARGET, with_nul, sizeof(with_nul) - 1, 400, "bad_json", 2));
    CU_ASSERT(has_none(&conn, "/v1/kv/w"));
    http_close(&conn);
}

static void hostile_json(void)
{
    enum { DEEP = 200000 };
    http_conn_t conn;
    site_open(&site, &conn);
    char *deep = malloc(DEEP + 1);
    memset(deep, '[', DEEP);
    deep[DEEP] = '\0';
    CU_ASSERT(refuses(&conn, TARGET, deep, 400, "bad_json", 1));
    for (size_t i = 0; i + 5 < DEEP; i += 5)
        memcpy(deep + i, "{\"a\":", 5);
    CU_ASSERT(refuses(&conn, TARGET, deep, 400, "bad_json", 1));
    memset(deep, '\n', DEEP);
    deep[DEEP - 1] = '9';
    CU_ASSERT(refuses(&conn, TARGET, deep, 400, "bad_json", DEEP));
    memset(deep, '9', DEEP);
    CU_ASSERT(refuses(&conn, TARGET, deep, 400, "bad_json", 1));
    free(deep);
    http_close(&conn);
}

static void wrong_requests(void)
{
    static const char body[] = "{\"op\":\"put\",\"key\":\"r\",\"value\":\"v\"}\n";
    http_conn_t conn;
    http_response_t res;
    site_open(&site, &conn);
    exchange(&conn, "GET", TARGET, NULL, NULL, 0, &res);
    CU_ASSERT(is_problem(&res, 405, "method_not_allowed"));
    CU_ASSERT(header_is(&res, "allow", "POST"));
    http_response_dispose(&res);
    exchange(&conn, "POST", TARGET, NULL, NULL, 0, &res);
    CU_ASSERT(is_problem(&res, 411, "length_required"));
    http_response_dispose(&res);
    static const char *const headers[] = {"If-Match: \"1\"\r\n", "Cairn-TTL: 90s\r\n",
                                          "Cairn-Durability: never\r\n"};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); ++i) {
        exchange(&conn, "POST", TARGET, headers[i], body, sizeof(body) - 1, &res);
        CU_ASSERT(is_problem(&res, 400, "bad_request"));
        http_response_dispose(&res);
    }
    CU_ASSERT(refuses(&conn, "/v1/batch?atomic=yes", body, 400, "bad_request", 0));
    CU_ASSERT(refuses(&conn, "/v1/batch?atomic=%", body, 400, "bad_escape", 0));
    CU_ASSERT(has_none(&conn, "/v1/kv/r"));
    exchange(&conn, "POST", TARGET, "Cairn-Durability: async\r\n", body, sizeof(body) - 1, &res);
    CU_ASSERT_EQUAL(res.status, 200);
    http_response_dispose(&res);
    http_close(&conn);
}

static void limits(void)
{
    enum { ROOM = 1 << 20 };
    http_conn_t conn;
    http_response_t res;
    char *body = malloc(ROOM);
    site_open(&site, &conn);
    int n = sprintf(body, "{\"op\":\"get\",\"key\":\"a\"}\n{\"op\":\"get\",\"key\":\"");
    memset(body + n, 'k', 2049);
    strcpy(body + n + 2049, "\"}\n");
    CU_ASSERT(refuses(&conn, TARGET, body, 414, "key_too_long", 2));
    strcpy(body + n + 2048, "\"}\n");
    char *answer = ask(&conn, TARGET, body, strlen(body));
    CU_ASSERT_EQUAL(line_count(answer), 2);
    free(answer);
    size_t at = 0;
    for (int i = 0; i < OPS_MAX; ++i)
        at += (size_t)sprintf(body + at, "{\"op\":\"get\",\"key\":\"none\"}\n\n");
    answer = ask(&conn, TARGET, body, at);
    CU_ASSERT_EQUAL(line_count(answer), OPS_MAX);
    free(answer);
    at += (size_t)sprintf(body + at, "{\"op\":\"get\",\"key\":\"none\"}");
    exchange(&conn, "POST", TARGET, NULL, body, at, &res);
    CU_ASSERT(is_problem(&res, 413, "batch_too_large"));
    CU_ASSERT(detail_has(&res, "limits.batch_ops"));
    http_response_dispose(&res);
    free(body);
    http_close(&conn);

    static const char *const args[] = {"--limits.batch_ops",
                                       "2",
                                       "--limits.value_bytes",
                                       "10",
                                       "--storage.segment_bytes",
                                       "64KiB",
                                       NULL};
    site_t small;
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&small, args), 0);
    site_open(&small, &conn);
    CU_ASSERT(refuses(&conn, ATOMIC,
                      "{\"op\":\"get\",\"key\":\"a\"}\n{\"op\":\"get\",\"key\":\"a\"}\n"
                      "{\"op\":\"get\",\"key\":\"a\"}\n",
                      413, "batch_too_large", 3));
    CU_ASSERT(refuses(&conn, TARGET, "{\"op\":\"put\",\"key\":\"a\",\"value\":\"12345678901\"}",
                      413, "value_too_large", 1));
    CU_ASSERT(answers(&conn, TARGET,
                      "{\"op\":\"put\",\"key\":\"a\",\"value\":\"1234567890\"}\n"
                      "{\"op\":\"append\",\"key\":\"a\",\"value\":\"1\"}\n",
                      "{\"status\":201,\"version\":1}\n"
                      "{\"status\":413,\"code\":\"value_too_large\"}\n"));
    CU_ASSERT(refuses(&conn, ATOMIC,
                      "{\"op\":\"get\",\"key\":\"a\"}\n"
                      "{\"op\":\"append\",\"key\":\"a\",\"value\":\"1\"}\n",
                      413, "value_too_large", 2));
    http_close(&conn);
    site_end(&small);
}

/* ---------------------------------------------------------------- atomic */

static void atomic_success(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    json_int_t before = commit_count(&conn);
    CU_ASSERT(answers(&conn, ATOMIC,
                      "{\"op\":\"get\",\"key\":\"as\"}\n"
                      "{\"op\":\"put\",\"key\":\"as\",\"value\":\"1\",\"if_none_match\":\"*\"}\n"
                      "{\"op\":\"incr\",\"key\":\"as\",\"by\":2}\n"
                      "{\"op\":\"get\",\"key\":\"as\"}\n"
                      "{\"op\":\"append\",\"key\":\"as\",\"value\":\"0\"}\n"
                      "{\"op\":\"put\",\"key\":\"as2\",\"value\":\"x\"}\n"
                      "{\"op\":\"delete\",\"key\":\"as2\"}\n"
                      "{\"op\":\"get\",\"key\":\"as2\"}\n",
                      "{\"status\":404,\"code\":\"not_found\"}\n"
                      "{\"status\":201,\"version\":#}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"3\"}\n"
                      "{\"status\":200,\"version\":#,\"value\":\"3\"}\n"
                      "{\"status\":204,\"version\":#}\n"
                      "{\"status\":201,\"version\":#}\n"
                      "{\"status\":204,\"version\":#}\n"
                      "{\"status\":404,\"code\":\"not_found\"}\n"));
    CU_ASSERT(commit_count(&conn) <= before + 3);
    CU_ASSERT(has_text(&conn, "/v1/kv/as", "30"));
    http_close(&conn);
}

static void atomic_failure(void)
{
    static const struct {
        const char *line;
        int status;
        const char *code;
    } rows[] = {
        {"{\"op\":\"put\",\"key\":\"af-there\",\"value\":\"x\",\"if_none_match\":\"*\"}", 412,
         "precondition_failed"},
        {"{\"op\":\"get\",\"key\":\"af-there\",\"if_match\":\"999999\"}", 412,
         "precondition_failed"},
        {"{\"op\":\"delete\",\"key\":\"af-none\"}", 404, "not_found"},
        {"{\"op\":\"incr\",\"key\":\"af-there\"}", 409, "not_a_number"},
    };
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(answers(&conn, TARGET, "{\"op\":\"put\",\"key\":\"af-there\",\"value\":\"text\"}",
                      "{\"status\":201,\"version\":#}\n"));
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); ++r)
        for (int position = 0; position < 5; ++position) {
            char body[1024];
            int at = sprintf(body, "\n");
            for (int i = 0; i < 5; ++i)
                at += i == position
                          ? sprintf(body + at, "%s\n", rows[r].line)
                          : sprintf(body + at,
                                    "{\"op\":\"put\",\"key\":\"af%d\",\"value\":\"x\"}\n", i);
            CU_ASSERT(refuses(&conn, ATOMIC, body, rows[r].status, rows[r].code, position + 2));
        }
    for (int i = 0; i < 5; ++i) {
        char target[32];
        snprintf(target, sizeof(target), "/v1/kv/af%d", i);
        CU_ASSERT(has_none(&conn, target));
    }
    CU_ASSERT(has_text(&conn, "/v1/kv/af-there", "text"));
    http_close(&conn);
}

/* ---------------------------------------------------------------- many */

static void ten_thousand(void)
{
    enum { ROOM = OPS_MAX * 400 };
    http_conn_t conn;
    char *body = malloc(ROOM);
    site_open(&site, &conn);
    for (int round = 0; round < 2; ++round) {
        size_t at = 0;
        for (int i = 0; i < OPS_MAX; ++i)
            at += (size_t)sprintf(
                body + at, "{\"op\":\"put\",\"key\":\"m%d\",\"value\":\"%0250d\"}\n", i, i + round);
        json_int_t before = commit_count(&conn);
        char *answer = ask(&conn, round == 0 ? TARGET : ATOMIC, body, at);
        CU_ASSERT_EQUAL(line_count(answer), OPS_MAX);
        CU_ASSERT(commit_count(&conn) <= before + 3);
        free(answer);
    }
    size_t at = 0;
    for (int i = 0; i < OPS_MAX; ++i)
        at += (size_t)sprintf(body + at, "{\"op\":\"get\",\"key\":\"m%d\"}\n", OPS_MAX - 1 - i);
    char *answer = ask(&conn, TARGET, body, at), *line = answer, value[300];
    CU_ASSERT_EQUAL(line_count(answer), OPS_MAX);
    for (int i = 0; i < OPS_MAX; ++i) {
        char *line_end = strchr(line, '\n');
        if (line_end == NULL)
            break;
        *line_end = '\0';
        sprintf(value, "\"value\":\"%0250d\"}", OPS_MAX - i);
        if (strstr(line, value) == NULL)
            CU_FAIL("a get has the value of another key");
        line = line_end + 1;
    }
    free(answer);
    free(body);
    http_close(&conn);
}

/* values that make the answer go out in pieces, each made of what is too large for the event loop
 */
static void large_values(void)
{
    enum { LARGE = 3 << 20 };
    char *body = malloc(3 * LARGE);
    http_conn_t conn;
    site_open(&site, &conn);
    size_t at = (size_t)sprintf(body, "{\"op\":\"put\",\"key\":\"big\",\"value\":\"");
    memset(body + at, 'v', LARGE);
    at += LARGE;
    at += (size_t)sprintf(body + at, "\"}\n{\"op\":\"append\",\"key\":\"big\",\"value\":\"end\"}\n"
                                     "{\"op\":\"get\",\"key\":\"big\"}\n"
                                     "{\"op\":\"get\",\"key\":\"big\"}\n");
    for (int is_atomic = 0; is_atomic < 2; ++is_atomic) {
        char *answer = ask(&conn, is_atomic ? ATOMIC : TARGET, body, at);
        CU_ASSERT_EQUAL(line_count(answer), 4);
        CU_ASSERT(strlen(answer) > 2 * (LARGE + 3));
        free(answer);
    }
    for (size_t i = at = 0; i < 10; ++i)
        at += (size_t)sprintf(body + at, "{\"op\":\"get\",\"key\":\"big\"}\n");
    char *answer = ask(&conn, TARGET, body, at);
    CU_ASSERT_EQUAL(line_count(answer), 10);
    CU_ASSERT_PTR_NOT_NULL(strstr(answer, "vend\"}\n{"));
    free(answer);
    free(body);
    http_close(&conn);
}

/* a client that goes while its answer is being made and sent leaves nothing behind */
static void vanishing_client(void)
{
    enum { LARGE = 2 << 20 };
    char *body = malloc(2 * LARGE);
    http_conn_t conn;
    site_open(&site, &conn);
    size_t at = (size_t)sprintf(body, "{\"op\":\"put\",\"key\":\"van\",\"value\":\"");
    memset(body + at, 'v', LARGE);
    strcpy(body + at + LARGE, "\"}\n");
    free(ask(&conn, TARGET, body, strlen(body)));
    size_t fds = open_fd_count(site.server.pid);
    size_t bytes = 0;
    for (int i = 0; i < 40; ++i)
        bytes += (size_t)sprintf(body + bytes, "{\"op\":\"get\",\"key\":\"van\"}\n");
    for (unsigned i = 0; i < 8; ++i) {
        http_conn_t gone;
        char head[128];
        site_open(&site, &gone);
        int n = snprintf(head, sizeof(head),
                         "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                         i % 2 ? ATOMIC : TARGET, bytes);
        CU_ASSERT(http_send(&gone, head, (size_t)n) && http_send(&gone, body, bytes));
        sleep_ms(3 * i);
        http_reset(&gone);
    }
    CU_ASSERT(fd_count_comes_to(site.server.pid, fds));
    CU_ASSERT(site_answers(&site));
    free(body);
    http_close(&conn);
}

/* ---------------------------------------------------------------- crashes */

enum { CRASH_KEYS = 200 };

typedef struct st_writer_t {
    site_t *site;
    _Atomic int acknowledged;
} writer_t;

static size_t print_crash_batch(char *body, int n)
{
    size_t at = 0;
    for (int i = 0; i < CRASH_KEYS; ++i)
        at += (size_t)sprintf(body + at, "{\"op\":\"put\",\"key\":\"%d\",\"value\":\"%0100d\"}\n",
                              i, n);
    return at;
}

static void *write_batches(void *arg)
{
    static char body[CRASH_KEYS * 160];
    writer_t *writer = arg;
    http_conn_t conn;
    http_response_t res;
    if (!http_open(&conn, writer->site->server.port))
        return NULL;
    for (int n = atomic_load(&writer->acknowledged) + 1;; ++n) {
        size_t bytes = print_crash_batch(body, n);
        if (!http_request(&conn, "POST", ATOMIC, NULL, body, bytes, &res))
            break;
        if (res.status == 200)
            atomic_store(&writer->acknowledged, n);
        http_response_dispose(&res);
    }
    http_close(&conn);
    return NULL;
}

static void killed_in_the_middle(void)
{
    static const char *const args[] = {"--storage.segment_bytes", "1MiB", NULL};
    site_t own;
    writer_t writer = {.site = &own, .acknowledged = 0};
    CU_ASSERT_EQUAL_FATAL(site_start(&own, TEMP_DIR_ON_DISK, args), 0);
    for (unsigned round = 0; round < 6; ++round) {
        pthread_t thread;
        pthread_create(&thread, NULL, write_batches, &writer);
        sleep_ms(40 + 37 * round);
        CU_ASSERT_EQUAL(server_kill(&own.server), -SIGKILL);
        pthread_join(thread, NULL);
        site_start_again(&own, args);
        http_conn_t conn;
        int first = -1;
        site_open(&own, &conn);
        for (int i = 0; i < CRASH_KEYS; ++i) {
            char target[32];
            http_response_t res;
            snprintf(target, sizeof(target), "/v1/kv/%d", i);
            exchange(&conn, "GET", target, NULL, NULL, 0, &res);
            int n = res.status == 200 ? atoi(res.body) : 0;
            http_response_dispose(&res);
            if (i == 0)
                first = n;
            CU_ASSERT_EQUAL(n, first);
        }
        CU_ASSERT(first >= atomic_load(&writer.acknowledged));
        atomic_store(&writer.acknowledged, first);
        http_close(&conn);
    }
    CU_ASSERT(atomic_load(&writer.acknowledged) > 0);
    CU_ASSERT_EQUAL(site_end(&own), 0);
}

void suite_http_batch(void)
{
    CU_pSuite s = CU_add_suite("http_batch: many operations under /v1/batch", start, end);
    CU_add_test(s, "every operation has its answer, in order", every_operation);
    CU_add_test(s, "failures have status and code", failures_per_line);
    CU_add_test(s, "binary travels as base64", binary);
    CU_add_test(s, "every byte comes back at every place", every_byte_at_every_place);
    CU_add_test(s, "types and times to live are kept", stored_beside);
    CU_add_test(s, "conditions are those of the headers", conditions);
    CU_add_test(s, "empty bodies, blank lines, CRLF, no last newline", lines);
    CU_add_test(s, "a wrong line is named, and nothing happens", wrong_lines);
    CU_add_test(s, "hostile JSON is refused", hostile_json);
    CU_add_test(s, "a wrong request is refused", wrong_requests);
    CU_add_test(s, "limits are named", limits);
    CU_add_test(s, "an atomic batch sees itself", atomic_success);
    CU_add_test(s, "an atomic batch fails whole, and names the line", atomic_failure);
    CU_add_test(s, "ten thousand operations are one commit", ten_thousand);
    CU_add_test(s, "large values", large_values);
    CU_add_test(s, "a client that vanishes leaves nothing behind", vanishing_client);
    CU_add_test(s, "killed in the middle, a batch is whole or none", killed_in_the_middle);
}

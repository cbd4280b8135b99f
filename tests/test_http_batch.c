/*
 * Does each operation of POST /v1/batch do what it would do alone?
 *
 * Over real sockets, against the real program. Every test uses keys of its own.
 */
#include <CUnit/CUnit.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "server/batch_parse.h"
#include "tests/batch_call.h"
#include "tests/suites.h"

static site_t site;

static int start(void)
{
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    return site_end(&site);
}

/* ---------------------------------------------------------------- operations */

static void every_operation(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(batch_answers(&conn, BATCH,
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
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/e2", "new"));
    http_close(&conn);
}

static void failures_per_line(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(
        batch_answers(&conn, BATCH,
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
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/f", "text"));
    http_close(&conn);
}

static void binary(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(
        batch_answers(&conn, BATCH,
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
    free(batch_ask(&conn, BATCH, puts, puts_bytes));
    char *answer = batch_ask(&conn, BATCH, gets, gets_bytes), *line = answer;
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
    CU_ASSERT(
        batch_answers(&conn, BATCH,
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
    CU_ASSERT(batch_answers(
        &conn, BATCH,
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
    CU_ASSERT(batch_answers(&conn, BATCH, body,
                            "{\"status\":200,\"version\":#,\"value\":\"1\"}\n"
                            "{\"status\":412,\"code\":\"precondition_failed\",\"version\":#}\n"
                            "{\"status\":200,\"version\":#,\"value\":\"2\"}\n"
                            "{\"status\":412,\"code\":\"precondition_failed\",\"version\":#}\n"
                            "{\"status\":204,\"version\":#}\n"));
    CU_ASSERT(exchange_gives(&conn, "/v1/kv/c", "20"));
    http_close(&conn);
}

static void lines(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    CU_ASSERT(batch_answers(&conn, BATCH, "", ""));
    CU_ASSERT(batch_answers(&conn, BATCH, "\n \t\r\n\n", ""));
    CU_ASSERT(batch_answers(&conn, BATCH_ATOMIC, "", ""));
    CU_ASSERT(batch_answers(&conn, BATCH, "{\"op\":\"get\",\"key\":\"l\"}",
                            "{\"status\":404,\"code\":\"not_found\"}\n"));
    CU_ASSERT(batch_answers(&conn, BATCH,
                            "\r\n{\"op\":\"put\",\"key\":\"l\",\"value\":\"1\"}\r\n\r\n"
                            " { \"op\" : \"get\" , \"key\" : \"l\" } \r\n",
                            "{\"status\":201,\"version\":#}\n"
                            "{\"status\":200,\"version\":#,\"value\":\"1\"}\n"));
    CU_ASSERT(
        batch_refuses(&conn, BATCH, "\n\n{\"op\":\"get\",\"key\":\"l\"}\r\nx", 400, "bad_json", 4));
    http_close(&conn);
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
}

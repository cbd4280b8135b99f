/*
 * Does the tests' own HTTP client read what a server sends, and notice when it is wrong?
 *
 * The server here is canned. What it is told to expect it compares byte for byte, so the client's
 * sending is checked as well.
 */
#include "tests/http_client.h"

#include <CUnit/CUnit.h>

#include <stdlib.h>
#include <string.h>

#include "tests/canned_server.h"
#include "tests/suites.h"

/* for tests in which the client is meant to give up */
#define SHORT_TIMEOUT_MS 60

static bool body_is(const http_response_t *res, const char *text, size_t bytes)
{
    return res->body_bytes == bytes && memcmp(res->body, text, bytes) == 0 &&
           res->body[bytes] == '\0';
}

/* ---------------------------------------------------------------- answers as they should be */

static void dripped_answer(void)
{
    static const step_t steps[] = {
        {STEP_DRIP, TEXT("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: y\r\n\r\na\0\r\n")},
        {STEP_LINGER, NULL, 0},
        {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    CU_ASSERT_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT_EQUAL(res.status, 200);
    CU_ASSERT_EQUAL(res.framing, HTTP_BODY_BY_LENGTH);
    CU_ASSERT(body_is(&res, TEXT("a\0\r\n")));
    CU_ASSERT_FALSE(conn.is_server_gone);
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
}

static void chunked_answer(void)
{
    static const step_t steps[] = {
        {STEP_SEND, TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nab")},
        {STEP_PAUSE, NULL, 0},
        {STEP_SEND, TEXT("c\r")},
        {STEP_PAUSE, NULL, 0},
        {STEP_SEND, TEXT("\nA;name=value\r\n0123456789\r\n0\r\nTrailer: 1\r\n")},
        {STEP_PAUSE, NULL, 0},
        {STEP_SEND, TEXT("\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")},
        {STEP_LINGER, NULL, 0},
        {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    CU_ASSERT_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT_EQUAL(res.framing, HTTP_BODY_CHUNKED);
    CU_ASSERT(body_is(&res, TEXT("abc0123456789")));
    http_response_dispose(&res);
    CU_ASSERT_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT(body_is(&res, TEXT("")));
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
}

static void answer_until_close(void)
{
    static const step_t steps[] = {{STEP_SEND, TEXT("HTTP/1.0 200 OK\r\n\r\nall")},
                                   {STEP_PAUSE, NULL, 0},
                                   {STEP_SEND, TEXT(" of it")},
                                   {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    CU_ASSERT_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT_EQUAL(res.framing, HTTP_BODY_UNTIL_CLOSE);
    CU_ASSERT(body_is(&res, TEXT("all of it")));
    CU_ASSERT(conn.is_server_gone);
    CU_ASSERT_FALSE(conn.is_server_reset);
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
}

/* four answers in one packet, three of which have no body whatever they announce */
static void bodiless_answers(void)
{
    static const step_t steps[] = {
        {STEP_SEND, TEXT("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"
                         "HTTP/1.1 204 No Content\r\n\r\n"
                         "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"
                         "HTTP/1.1 404 \r\nContent-Length: 2\r\n\r\nno")},
        {STEP_LINGER, NULL, 0},
        {STEP_END, NULL, 0}};
    static const char *const methods[] = {"HEAD", "PUT", "GET", "GET"};
    static const int statuses[] = {200, 204, 304, 404};
    static const size_t bodies_bytes[] = {0, 0, 0, 2};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    for (size_t i = 0; i != 4; ++i) {
        CU_ASSERT_FATAL(http_read_response(&conn, methods[i], &res));
        CU_ASSERT_EQUAL(res.status, statuses[i]);
        CU_ASSERT_EQUAL(res.body_bytes, bodies_bytes[i]);
        http_response_dispose(&res);
    }
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
}

static void interim_answers(void)
{
    static const step_t steps[] = {
        {STEP_SEND, TEXT("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nA: b\r\n\r\n"
                         "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")},
        {STEP_LINGER, NULL, 0},
        {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    CU_ASSERT_FATAL(http_read_response(&conn, "PUT", &res));
    CU_ASSERT_EQUAL(res.status, 201);
    CU_ASSERT_EQUAL(res.interim_count, 2);
    CU_ASSERT_EQUAL(http_header_count(&res, "a"), 0);
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
}

static void headers_of_an_answer(void)
{
    static const step_t steps[] = {
        {STEP_SEND, TEXT("HTTP/1.1 200 OK\r\nETag: \"17\"\r\nEmpty:\r\nContent-Length:0\r\n"
                         "Cairn-Meta-A: \t one  two \t\r\nSame: 1\r\nsAME: 2\r\n\r\n")},
        {STEP_LINGER, NULL, 0},
        {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    CU_ASSERT_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT_STRING_EQUAL(http_header(&res, "etag"), "\"17\"");
    CU_ASSERT_STRING_EQUAL(http_header(&res, "EMPTY"), "");
    CU_ASSERT_STRING_EQUAL(http_header(&res, "cairn-meta-a"), "one  two");
    CU_ASSERT_STRING_EQUAL(http_header(&res, "same"), "1");
    CU_ASSERT_EQUAL(http_header_count(&res, "Same"), 2);
    CU_ASSERT_PTR_NULL(http_header(&res, "eta"));
    CU_ASSERT_EQUAL(strncmp(res.head, "HTTP/1.1 200 OK\r\nETag:", 22), 0);
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
}

/* ---------------------------------------------------------------- what the client sends */

static void sent_request(void)
{
    static const step_t steps[] = {
        {STEP_EXPECT, TEXT("PUT /v1/kv/a%2F%00 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: 1\r\n"
                           "Content-Length: 3\r\n\r\n\0\r\n")},
        {STEP_SEND, TEXT("HTTP/1.1 204 No Content\r\n\r\n")},
        {STEP_EXPECT, TEXT("PUT /e HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")},
        {STEP_SEND, TEXT("HTTP/1.1 204 No Content\r\n\r\n")},
        {STEP_EXPECT, TEXT("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")},
        {STEP_SEND, TEXT("HTTP/1.1 204 No Content\r\n\r\n")},
        {STEP_EXPECT_FIN, NULL, 0},
        {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    char *target = http_target("/v1/kv/", TEXT("a/\0"));
    CU_ASSERT_FATAL(http_request(&conn, "PUT", target, "X-A: 1\r\n", TEXT("\0\r\n"), &res));
    http_response_dispose(&res);
    CU_ASSERT_FATAL(http_request(&conn, "PUT", "/e", NULL, TEXT(""), &res));
    http_response_dispose(&res);
    CU_ASSERT_FATAL(http_request(&conn, "GET", "/", NULL, NULL, 0, &res));
    http_response_dispose(&res);
    http_close(&conn);
    free(target);
    CU_ASSERT(canned_finish(&canned));
}

static void encoded_key(void)
{
    unsigned char key[256];
    for (size_t i = 0; i != sizeof(key); ++i)
        key[i] = (unsigned char)i;
    char *target = http_target("/k/", key, sizeof(key));
    CU_ASSERT_PTR_NOT_NULL_FATAL(target);
    /* 66 bytes are unreserved; the other 190 take three characters */
    CU_ASSERT_EQUAL(strlen(target), 3 + 66 + 3 * 190);
    CU_ASSERT_EQUAL(strncmp(target, "/k/%00%01", 9), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(target, "%2B%2C-.%2F0123456789%3A"));
    CU_ASSERT_STRING_EQUAL(target + strlen(target) - 6, "%FE%FF");
    free(target);
}

static void half_closed_connection(void)
{
    static const step_t steps[] = {{STEP_EXPECT, TEXT("GET / HTTP/1.1\r\n\r\n")},
                                   {STEP_EXPECT_FIN, NULL, 0},
                                   {STEP_SEND, TEXT("HTTP/1.1 204 No Content\r\n\r\n")},
                                   {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    CU_ASSERT(http_send(&conn, TEXT("GET / HTTP/1.1\r\n\r\n")));
    CU_ASSERT(http_half_close(&conn));
    CU_ASSERT_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT_EQUAL(res.status, 204);
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
}

static void reset_connection(void)
{
    static const step_t steps[] = {{STEP_EXPECT, TEXT("GET")},
                                   {STEP_SEND, TEXT("HTTP/1.1 204 No Content\r\n\r\n")},
                                   {STEP_EXPECT_RESET, NULL, 0},
                                   {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    CU_ASSERT(http_send(&conn, TEXT("GET")));
    CU_ASSERT_FATAL(http_read_response(&conn, "GET", &res));
    http_response_dispose(&res);
    http_reset(&conn);
    CU_ASSERT(canned_finish(&canned));
}

/* the server says much before it reads, and the client much before it reads: both must end */
static void both_sides_talk_at_once(void)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n";
    const size_t bytes = 8388608; /* more than both sockets' buffers hold */
    char *text = malloc(bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'x', bytes);
    const step_t steps[] = {{STEP_SEND, head, sizeof(head) - 1},
                            {STEP_SEND, text, bytes},
                            {STEP_EXPECT, text, bytes},
                            {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    CU_ASSERT(http_send(&conn, text, bytes));
    CU_ASSERT_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT(body_is(&res, text, bytes));
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
    free(text);
}

/* ---------------------------------------------------------------- servers that misbehave */

/* a server that refuses a body closes without reading it, which turns into a reset */
static void answer_before_the_body_was_taken(void)
{
    static const step_t steps[] = {
        {STEP_EXPECT, TEXT("PUT")},
        {STEP_SEND, TEXT("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")},
        {STEP_END, NULL, 0}};
    const size_t bytes = 16777216; /* more than a socket's buffer takes, so that the send fails */
    char *body = calloc(1, bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(body);
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    CU_ASSERT_FATAL(http_request(&conn, "PUT", "/", NULL, body, bytes, &res));
    CU_ASSERT_EQUAL(res.status, 413);
    CU_ASSERT(body_is(&res, TEXT("big")));
    CU_ASSERT(http_server_closes_within(&conn, conn.timeout_ms));
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
    free(body);
}

static void silent_server(void)
{
    static const step_t steps[] = {
        {STEP_SEND, TEXT("HTTP/1.1 200 OK\r\n")}, {STEP_LINGER, NULL, 0}, {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    conn.timeout_ms = SHORT_TIMEOUT_MS;
    CU_ASSERT_FALSE(http_read_response(&conn, "GET", &res));
    CU_ASSERT_STRING_EQUAL(conn.error, "head: nothing more came within 60 ms");
    CU_ASSERT_PTR_NULL(res.head);
    CU_ASSERT_FALSE(conn.is_server_gone);
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
}

static void closing_seen(void)
{
    static const step_t steps[] = {{STEP_SEND, TEXT("HTTP/1.1 204 No Content\r\n\r\n")},
                                   {STEP_EXPECT, TEXT("bye")},
                                   {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    CU_ASSERT_FALSE(http_server_closes_within(&conn, SHORT_TIMEOUT_MS));
    CU_ASSERT_STRING_EQUAL(conn.error, "");
    CU_ASSERT(http_send(&conn, TEXT("bye")));
    CU_ASSERT(http_server_closes_within(&conn, conn.timeout_ms));
    CU_ASSERT_FALSE(conn.is_server_reset);
    CU_ASSERT_FATAL(http_read_response(&conn, "PUT", &res));
    http_response_dispose(&res);
    CU_ASSERT_FALSE(http_read_response(&conn, "PUT", &res));
    CU_ASSERT_STRING_EQUAL(conn.error, "head: the server closed the connection");
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
}

static void reset_seen(void)
{
    static const step_t steps[] = {
        {STEP_SEND, TEXT("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234")},
        {STEP_EXPECT, TEXT("now")},
        {STEP_RESET, NULL, 0},
        {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    CU_ASSERT(http_send(&conn, TEXT("now")));
    CU_ASSERT_FALSE(http_read_response(&conn, "GET", &res));
    CU_ASSERT(conn.is_server_reset);
    CU_ASSERT_STRING_EQUAL(conn.error, "body: 4 of 9 bytes: the server reset the connection");
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
}

static void nobody_listens(void)
{
    canned_t canned;
    http_conn_t conn;
    static const step_t steps[] = {{STEP_END, NULL, 0}};
    canned_start(&canned, steps, &conn);
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
    CU_ASSERT_FALSE(http_open(&conn, canned.port));
    CU_ASSERT_PTR_NOT_NULL(strstr(conn.error, "Connection refused"));
    CU_ASSERT_EQUAL(conn.fd, -1);
}

/* the error that reading this text, followed by a close, leaves; empty if it is a good answer */
static void error_of(const char *text, size_t bytes, char error[192])
{
    const step_t steps[] = {{STEP_SEND, text, bytes}, {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    bool is_good = http_read_response(&conn, "GET", &res);
    strcpy(error, is_good ? "" : conn.error);
    CU_ASSERT(is_good == (conn.error[0] == '\0'));
    CU_ASSERT(is_good == (res.head != NULL));
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT(canned_finish(&canned));
}

/* cut anywhere, a framed answer is an error and never a shorter answer */
static void cut_answers(void)
{
    static const char by_length[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345";
    static const char chunked[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nT: 1\r\n\r\n";
    char error[192];
    for (size_t bytes = 0; bytes != sizeof(by_length) - 1; ++bytes) {
        error_of(by_length, bytes, error);
        CU_ASSERT_PTR_NOT_NULL(strstr(error, "the server closed the connection"));
    }
    error_of(TEXT(by_length), error);
    CU_ASSERT_STRING_EQUAL(error, "");
    for (size_t bytes = 0; bytes != sizeof(chunked) - 1; ++bytes) {
        error_of(chunked, bytes, error);
        CU_ASSERT_PTR_NOT_NULL(strstr(error, "the server closed the connection"));
    }
}

static void broken_answers(void)
{
    static const struct {
        const char *text;
        size_t bytes;
        const char *error; /* how it begins */
    } cases[] = {
        {TEXT("SSH-2.0-x\r\n\r\n"), "head: not a status line: \"SSH-2.0-x\""},
        {TEXT("HTTP/2.0 200 OK\r\n\r\n"), "head: not a status line"},
        {TEXT("HTTP/1.1 200\r\n\r\n"), "head: not a status line"},
        {TEXT("HTTP/1.1 2x0 OK\r\n\r\n"), "head: a status that is no number"},
        {TEXT("HTTP/1.1 999 OK\r\n\r\n"), "head: status 999"},
        {TEXT("\r\n\r\n"), "head: not a status line"},
        {TEXT("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), "head: not a header: \"no colon\""},
        {TEXT("HTTP/1.1 200 OK\r\nA : b\r\n\r\n"), "head: not a header"},
        {TEXT("HTTP/1.1 200 OK\r\n: b\r\n\r\n"), "head: not a header"},
        {TEXT("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"), "head: not a header"},
        {TEXT("HTTP/1.1 200 OK\nA: b\r\n\r\n"), "head: a bare CR, LF or NUL"},
        {TEXT("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n"), "head: a bare CR, LF or NUL"},
        {TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\n12345"), "content-length \"5x\""},
        {TEXT("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n12345"), "content-length \"+5\""},
        {TEXT("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"), "content-length \"\""},
        {TEXT("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\n12345"),
         "content-length \"18446744073709551621\""},
        {TEXT("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n12345"),
         "body: 5 of 9223372036854775807 bytes"},
        {TEXT("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1"),
         "ambiguous framing"},
        {TEXT("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "ambiguous framing"},
        {TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"), "transfer-encoding \"gzip\""},
        {TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n:\r\n"), "chunk size \":\""},
        {TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"), "chunk size \"-1\""},
        {TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"), "chunk size \"\""},
        {TEXT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n"),
         "no CRLF after a chunk"},
    };
    char error[192];
    for (size_t i = 0; i != sizeof(cases) / sizeof(cases[0]); ++i) {
        error_of(cases[i].text, cases[i].bytes, error);
        CU_ASSERT_EQUAL(strncmp(error, cases[i].error, strlen(cases[i].error)), 0);
    }
}

static void endless_head(void)
{
    const size_t bytes = 3 << 20;
    char *text = malloc(bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    memset(text, 'H', bytes);
    const step_t steps[] = {{STEP_SEND, text, bytes}, {STEP_END, NULL, 0}};
    canned_t canned;
    http_conn_t conn;
    http_response_t res;
    canned_start(&canned, steps, &conn);
    CU_ASSERT_FALSE(http_read_response(&conn, "GET", &res));
    CU_ASSERT_STRING_EQUAL(conn.error, "head: longer than 1048576 bytes");
    http_close(&conn);
    canned_finish(&canned); /* it may have been cut off in the middle of its sending */
    free(text);
}

void suite_http_client(void)
{
    CU_pSuite s = CU_add_suite("http_client: the tests' own client", NULL, NULL);
    CU_add_test(s, "an answer that comes byte by byte is read whole", dripped_answer);
    CU_add_test(s, "chunks, extensions and trailers are taken apart", chunked_answer);
    CU_add_test(s, "a body without framing lasts until the server closes", answer_until_close);
    CU_add_test(s, "pipelined answers to HEAD, 204 and 304 have no body", bodiless_answers);
    CU_add_test(s, "1xx answers are counted and skipped", interim_answers);
    CU_add_test(s, "headers are found in any case, trimmed, the first first", headers_of_an_answer);
    CU_add_test(s, "a request is exactly the bytes it should be", sent_request);
    CU_add_test(s, "every byte of a key survives in a target", encoded_key);
    CU_add_test(s, "after a half-close the answer still arrives", half_closed_connection);
    CU_add_test(s, "http_reset() is a reset for the server", reset_connection);
    CU_add_test(s, "both sides may send much before they read", both_sides_talk_at_once);
    CU_add_test(s, "an answer given before the body was taken is found",
                answer_before_the_body_was_taken);
    CU_add_test(s, "a silent server is an error after the timeout", silent_server);
    CU_add_test(s, "the server's close is seen, and what came before is kept", closing_seen);
    CU_add_test(s, "the server's reset is told from a close", reset_seen);
    CU_add_test(s, "a port where nobody listens is an error", nobody_listens);
    CU_add_test(s, "an answer cut anywhere is an error", cut_answers);
    CU_add_test(s, "a broken answer is an error that says what is wrong", broken_answers);
    CU_add_test(s, "a head without end is an error", endless_head);
}

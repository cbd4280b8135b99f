/*
 * Pipelines by chance: whatever is sent without waiting is answered as if it had been sent alone.
 */
#include <CUnit/CUnit.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/pipelines.h"
#include "tests/suites.h"
#include "tests/tls_client.h"

/* answered with 5,000 bytes */
static const char large[] = "GET /v1/kv/6 HTTP/1.1\r\nHost: t\r\n\r\n";

static site_t site;

static int start(void)
{
    pipeline_values_make();
    return site_start(&site, TEMP_DIR_IN_MEMORY, NULL);
}

static int end(void)
{
    pipeline_values_dispose();
    return site_end(&site);
}

static void put_values(void)
{
    http_conn_t conn;
    site_open(&site, &conn);
    pipeline_values_put(&conn, NULL);
    http_close(&conn);
}

/** in pieces, as a network might bring them */
static void send_in_pieces(http_conn_t *conn, const pipeline_t *line, random_t *random)
{
    bool is_whole = line->ends_in_error || random_below(random, 2) == 0;
    size_t most = is_whole ? line->bytes : 1 + random_below(random, 3000);
    for (size_t sent = 0, piece; sent != line->bytes; sent += piece) {
        piece = line->bytes - sent < most ? line->bytes - sent : most;
        if (!http_send(conn, line->text + sent, piece))
            return; /* an answer that ends the connection may come before all is sent */
    }
}

static void try_one(http_conn_t *conn, const pipeline_t *line, random_t *random)
{
    send_in_pieces(conn, line, random);
    for (size_t i = 0; i != line->count; ++i) {
        http_response_t res;
        bool is_there = http_read_response(conn, line->expected[i].method, &res);
        bool is_right = is_there && pipeline_is_answer(&res, &line->expected[i]);
        if (!is_right)
            fprintf(stderr, "\n    CAIRN_SEED=%llu: answer %zu of %zu: %d instead of %d; %s\n%.*s",
                    (unsigned long long)seed_of_run(), i, line->count, res.status,
                    line->expected[i].status, is_there ? "" : conn->error, (int)line->bytes,
                    line->text);
        http_response_dispose(&res);
        CU_ASSERT_TRUE_FATAL(is_right);
    }
    http_close(conn);
}

static void any_pipeline(void)
{
    static pipeline_t line;
    random_t random = random_from(seed_of_run(), 1);
    int rounds = is_soak() ? 50000 : 500;
    put_values();
    for (int i = 0; i != rounds; ++i) {
        http_conn_t conn;
        if (i % 100 == 50) { /* what is large has to be loaded again */
            server_stop(&site.server);
            server_dispose(&site.server);
            site_start_again(&site, NULL);
        }
        pipeline_fill(&line, &random, "");
        site_open(&site, &conn);
        try_one(&conn, &line, &random);
    }
}

/** its answers come when it reads them: what is held meanwhile is bounded, and none is lost. The
 * requests come `together` at a time */
static void read_slowly(size_t together)
{
    enum { REQUESTS = 40000, TOGETHER_MAX = 1000 };
    static char requests[TOGETHER_MAX * sizeof(large)];
    http_conn_t conn;
    http_response_t res;
    put_values();
    site_open(&site, &conn);
    conn.timeout_ms = 60000;
    for (size_t j = 0; j != together; ++j)
        memcpy(requests + j * (sizeof(large) - 1), large, sizeof(large));
    for (size_t i = 0; i != REQUESTS / together; ++i)
        CU_ASSERT_TRUE_FATAL(http_send(&conn, requests, together * (sizeof(large) - 1)));
    for (int i = 0; i != REQUESTS; ++i) {
        CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "GET", &res));
        CU_ASSERT_TRUE_FATAL(pipeline_is_value(&res, 6));
        http_response_dispose(&res);
    }
    http_close(&conn);
}

/** answers are put together, and the socket takes a part of them */
static void slow_reader(void)
{
    read_slowly(1000);
}

/** each answer goes by itself, and the socket takes a part of one */
static void slow_reader_of_single_answers(void)
{
    read_slowly(1);
}

static void client_dies(void)
{
    static pipeline_t line;
    random_t random = random_from(seed_of_run(), 2);
    put_values();
    size_t fds = fd_base_line(site.server.pid);
    for (int i = 0; i != 300; ++i) {
        http_conn_t conn;
        pipeline_fill(&line, &random, "");
        site_open(&site, &conn);
        http_send(&conn, line.text, 1 + random_below(&random, line.bytes));
        http_reset(&conn);
    }
    CU_ASSERT(fd_count_comes_to(site.server.pid, fds));
    CU_ASSERT(site_answers(&site));
}

/** sends more than is answered before a stop, and reads what is after `pause_ms`: the last answer
 * says so, and what was not read behind it ends in no reset that would take answers along */
static void stop_in_a_pipeline(http_conn_t *conn, pid_t pid, unsigned pause_ms)
{
    enum { REQUESTS = 20000 };
    http_response_t res;
    bool is_last = false;
    int answers = 0;
    for (int i = 0; i != REQUESTS; ++i)
        CU_ASSERT_TRUE_FATAL(http_send(conn, large, sizeof(large) - 1));
    kill(pid, SIGTERM);
    sleep_ms(pause_ms);
    while (!is_last && http_read_response(conn, "GET", &res)) {
        const char *connection = http_header(&res, "connection");
        is_last = connection != NULL && strcmp(connection, "close") == 0;
        CU_ASSERT(pipeline_is_value(&res, 6));
        ++answers;
        http_response_dispose(&res);
    }
    CU_ASSERT(is_last && answers < REQUESTS);
    if (!is_last)
        fprintf(stderr, "\n    after %d answers: %s", answers, conn->error);
    CU_ASSERT(http_server_closes_within(conn, 1000) && !conn->is_server_reset);
    http_close(conn);
}

/* while a connection that is idle would still be kept, and after that */
enum { ROUNDS = 5 };
static const unsigned pauses_ms[ROUNDS] = {100, 600, 100, 600, 600};

static void stop_ends_in_a_whole_answer(void)
{
    for (int round = 0; round != ROUNDS; ++round) {
        http_conn_t conn;
        put_values();
        site_open(&site, &conn);
        stop_in_a_pipeline(&conn, site.server.pid, pauses_ms[round]);
        CU_ASSERT_EQUAL(server_stop(&site.server), 0);
        server_dispose(&site.server);
        site_start_again(&site, NULL);
    }
}

static void so_it_does_over_tls(void)
{
    char certificate[300], key[300];
    temp_dir_t dir;
    CU_ASSERT_TRUE_FATAL(temp_dir_create(&dir, TEMP_DIR_IN_MEMORY));
    snprintf(certificate, sizeof(certificate), "%s/a.crt", dir.path);
    snprintf(key, sizeof(key), "%s/a.key", dir.path);
    CU_ASSERT_TRUE_FATAL(tls_make_certificate("stop.example", certificate, key));
    for (int round = 0; round != ROUNDS; ++round) {
        const char *const args[] = {"--tls.certificate", certificate, "--tls.key", key, NULL};
        site_t own;
        http_conn_t conn;
        CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&own, args), 0);
        CU_ASSERT_TRUE_FATAL(tls_open(&conn, own.server.port, NULL));
        pipeline_values_put(&conn, NULL);
        stop_in_a_pipeline(&conn, own.server.pid, pauses_ms[round]);
        CU_ASSERT_EQUAL(site_end(&own), 0);
    }
    CU_ASSERT(temp_dir_remove(&dir));
}

/* ---------------------------------------------------------------- a byte is another */

static const char request[] = "GET /v1/kv/3 HTTP/1.1\r\nHost: here\r\nX-A: b\r\n\r\n";
enum { REQUEST_BYTES = sizeof(request) - 1, ANSWERS_MAX = 8 };

/** the request with one byte changed, put in or left out; returns its bytes */
static size_t mutate(random_t *random, char *text)
{
    static const char likely[] = " \t\r\n:/?%hH\0\x7f\xe9";
    size_t at = random_below(random, REQUEST_BYTES), kind = random_below(random, 4);
    char c = random_below(random, 2) != 0 ? (char)random_below(random, 256)
                                          : likely[random_below(random, sizeof(likely) - 1)];
    size_t from = kind == 0 ? at : at + 1, put = kind != 1;
    memcpy(text, request, at);
    text[at] = kind == 2 ? request[at] ^ 0x20 : c; /* mostly the same in small or in capitals */
    memcpy(text + at + put, request + from, REQUEST_BYTES - from);
    return at + put + REQUEST_BYTES - from;
}

/** all that is answered to these bytes, of which no more come; returns how many answers that are */
static size_t answers_to(const char *text, size_t bytes, int statuses[ANSWERS_MAX])
{
    http_conn_t conn;
    http_response_t res;
    size_t count = 0;
    site_open(&site, &conn);
    CU_ASSERT(http_send(&conn, text, bytes) && http_half_close(&conn));
    while (count != ANSWERS_MAX && http_read_response(&conn, "GET", &res)) {
        statuses[count++] = res.status;
        http_response_dispose(&res);
    }
    CU_ASSERT(conn.is_server_gone);
    http_close(&conn);
    return count;
}

static void any_byte(void)
{
    random_t random = random_from(seed_of_run(), 3);
    put_values();
    for (int i = 0; i != (is_soak() ? 300000 : 3000); ++i) {
        char text[3 * REQUEST_BYTES + 1];
        int alone[ANSWERS_MAX], behind[ANSWERS_MAX];
        memcpy(text, request, REQUEST_BYTES);
        size_t bytes = REQUEST_BYTES + mutate(&random, text + REQUEST_BYTES);
        memcpy(text + bytes, request, REQUEST_BYTES);
        bytes += REQUEST_BYTES;
        size_t count = answers_to(text + REQUEST_BYTES, bytes - REQUEST_BYTES, alone);
        bool is_same = answers_to(text, bytes, behind) == count + 1 && behind[0] == 200 &&
                       memcmp(behind + 1, alone, count * sizeof(alone[0])) == 0;
        if (!is_same)
            fprintf(stderr, "\n    CAIRN_SEED=%llu: not as alone: %d and so on to\n%.*s",
                    (unsigned long long)seed_of_run(), behind[0], (int)bytes, text);
        CU_ASSERT_TRUE_FATAL(is_same);
    }
}

void suite_http_pipelines(void)
{
    CU_pSuite s = CU_add_suite("http_pipelines: requests sent without waiting", start, end);
    CU_add_test(s, "any pipeline is answered as its requests would be alone", any_pipeline);
    CU_add_test(s, "so is one that differs in a byte from the one before", any_byte);
    CU_add_test(s, "a reader that is slow gets every answer", slow_reader);
    CU_add_test(s, "so does one that has asked one by one", slow_reader_of_single_answers);
    CU_add_test(s, "a stop ends it with a whole answer", stop_ends_in_a_whole_answer);
    CU_add_test(s, "over TLS as well", so_it_does_over_tls);
    CU_add_test(s, "clients that die between their answers leave nothing", client_dies);
}

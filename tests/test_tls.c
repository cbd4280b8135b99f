/*
 * Does the server speak TLS: as told, no older than 1.2, no HTTP/2, with certificates that change?
 */
#include <CUnit/CUnit.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "tests/site.h"
#include "tests/suites.h"
#include "tests/tls_client.h"

#define MIB ((size_t)1 << 20)

static temp_dir_t dir;
static char certificate[300], key[300], other_certificate[300], other_key[300], config[300];
static char certificate_flag[320], key_flag[320];

static void write_config(const char *certificate_file, const char *key_file)
{
    FILE *file = fopen(config, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fprintf(file, "workers: 2\ntls:\n  certificate: \"%s\"\n  key: \"%s\"\n", certificate_file,
            key_file);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static int make_dir(void)
{
    if (!temp_dir_create(&dir, TEMP_DIR_ON_DISK))
        return 1;
    snprintf(certificate, sizeof(certificate), "%s/a.crt", dir.path);
    snprintf(key, sizeof(key), "%s/a.key", dir.path);
    snprintf(other_certificate, sizeof(other_certificate), "%s/b.crt", dir.path);
    snprintf(other_key, sizeof(other_key), "%s/b.key", dir.path);
    snprintf(config, sizeof(config), "%s/config.yaml", dir.path);
    snprintf(certificate_flag, sizeof(certificate_flag), "--tls.certificate=%s", certificate);
    snprintf(key_flag, sizeof(key_flag), "--tls.key=%s", key);
    return tls_make_certificate("first.example", certificate, key) &&
                   tls_make_certificate("second.example", other_certificate, other_key)
               ? 0
               : 1;
}

static int remove_dir(void)
{
    return temp_dir_remove(&dir) ? 0 : 1;
}

static void start(site_t *site)
{
    const char *const extra[] = {certificate_flag, key_flag, "--workers=2", NULL};
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(site, extra), 0);
}

static void open_tls(const site_t *site, http_conn_t *conn, const tls_options_t *options)
{
    bool is_open = tls_open(conn, site->server.port, options);
    if (!is_open)
        fprintf(stderr, "\n    %s", conn->error);
    CU_ASSERT_TRUE_FATAL(is_open);
}

/* until the server has said so `count` times */
static void await_lines(site_t *site, const char *line, int count)
{
    for (int64_t deadline_ms = monotonic_ms() + 10000; monotonic_ms() < deadline_ms; sleep_ms(1)) {
        int found = 0;
        for (const char *at = server_output(&site->server); (at = strstr(at, line)) != NULL; ++at)
            ++found;
        if (found >= count)
            return;
    }
    fprintf(stderr, "\n    not %d times \"%s\" in: %s", count, line, server_output(&site->server));
    CU_FAIL_FATAL("the server does not say it");
}

static void await_line(site_t *site, const char *line)
{
    await_lines(site, line, 1);
}

/* ---------------------------------------------------------------- speaking it */

static void values_go_round(void)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    site_t site;
    http_conn_t conn;
    http_response_t res;
    char *value = noise(5 * MIB + 17, 1);
    start(&site);
    CU_ASSERT_PTR_NOT_NULL(strstr(server_output(&site.server), "curl 'https://127.0.0.1:"));
    for (int i = 0; i != 2; ++i) {
        open_tls(&site, &conn, &(tls_options_t){.version = versions[i]});
        CU_ASSERT_STRING_EQUAL(tls_peer_name(&conn), "first.example");
        CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, value, 5 * MIB + 17),
                        i == 0 ? 201 : 204);
        exchange(&conn, "GET", "/v1/kv/a", NULL, NULL, 0, &res);
        CU_ASSERT(body_is(&res, value, 5 * MIB + 17));
        http_response_dispose(&res);
        exchange(&conn, "GET", "/v1/kv/a", "Range: bytes=100000-400000\r\n", NULL, 0, &res);
        CU_ASSERT(body_is(&res, value + 100000, 300001));
        http_response_dispose(&res);
        CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/b", NULL, "x", 1),
                        i == 0 ? 201 : 204);
        /* pipelined: held and sent together */
        static const char two[] =
            "GET /v1/kv/b HTTP/1.1\r\nHost: t\r\n\r\nGET /v1/kv/b HTTP/1.1\r\nHost: t\r\n\r\n";
        CU_ASSERT(http_send(&conn, two, strlen(two)));
        for (int n = 0; n != 2; ++n) {
            CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "GET", &res));
            CU_ASSERT(body_is(&res, "x", 1));
            http_response_dispose(&res);
        }
        http_close(&conn);
    }
    free(value);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    server_dispose(&site.server);
}

static void old_versions_are_refused(void)
{
    site_t site;
    http_conn_t conn;
    start(&site);
    CU_ASSERT_FALSE(tls_open(&conn, site.server.port, &(tls_options_t){.version = TLS1_1_VERSION}));
    CU_ASSERT_FALSE(tls_open(&conn, site.server.port, &(tls_options_t){.version = TLS1_VERSION}));
    /* nor is a request in the clear answered, and neither takes a descriptor with it */
    size_t fds = open_fd_count(site.server.pid);
    CU_ASSERT_TRUE_FATAL(http_open(&conn, site.server.port));
    CU_ASSERT(http_send(&conn, "GET / HTTP/1.1\r\nHost: t\r\n\r\n", 27));
    CU_ASSERT(http_server_closes_within(&conn, 3000));
    http_close(&conn);
    CU_ASSERT(fd_count_comes_to(site.server.pid, fds));
    open_tls(&site, &conn, NULL);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    server_dispose(&site.server);
}

static void http2_is_off(void)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    site_t site;
    http_conn_t conn;
    http_response_t res;
    start(&site);
    open_tls(&site, &conn, &(tls_options_t){.alpn = "\x02h2\x08http/1.1"});
    CU_ASSERT_STRING_EQUAL(tls_protocol(&conn), "http/1.1");
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
    http_close(&conn);
    /* RFC 7301, 3.2: who speaks nothing else is not spoken to, rather than be left to guess */
    CU_ASSERT_FALSE(tls_open(&conn, site.server.port, &(tls_options_t){.alpn = "\x02h2"}));
    CU_ASSERT_FALSE(tls_open(&conn, site.server.port,
                             &(tls_options_t){.alpn = "\x03"
                                                      "ftp\x02h2"}));
    open_tls(&site, &conn,
             &(tls_options_t){.alpn = "\x03"
                                      "ftp\x08http/1.1"});
    CU_ASSERT_STRING_EQUAL(tls_protocol(&conn), "http/1.1");
    http_close(&conn);
    open_tls(&site, &conn, NULL);
    CU_ASSERT_STRING_EQUAL(tls_protocol(&conn), "");
    exchange_raw(&conn, preface, strlen(preface), "PRI", &res);
    CU_ASSERT_EQUAL(res.status, 400);
    http_response_dispose(&res);
    CU_ASSERT(http_server_closes_within(&conn, 3000));
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    server_dispose(&site.server);
}

static void too_large_over_tls(void)
{
    const char *const extra[] = {certificate_flag, key_flag, "--limits.value_bytes=1KiB", NULL};
    site_t site;
    http_conn_t conn;
    http_response_t res;
    char *value = noise(MIB, 2);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, extra), 0);
    open_tls(&site, &conn, NULL);
    exchange(&conn, "PUT", "/v1/kv/a", NULL, value, 2048, &res);
    CU_ASSERT(is_problem(&res, 413, "value_too_large"));
    http_response_dispose(&res);
    http_close(&conn);
    /* one refused before its body is read may see a reset instead; the server sees to the next */
    open_tls(&site, &conn, NULL);
    http_request(&conn, "PUT", "/v1/kv/a", NULL, value, MIB, &res);
    http_response_dispose(&res);
    http_close(&conn);
    open_tls(&site, &conn, NULL);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, value, 1024), 201);
    http_close(&conn);
    free(value);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    server_dispose(&site.server);
}

/* ---------------------------------------------------------------- certificates */

static bool is_refused(const char *certificate_file, const char *key_file, int status,
                       const char *said)
{
    const char *const args[] = {"serve",          "--listen",  "127.0.0.1:0", "--tls.certificate",
                                certificate_file, "--tls.key", key_file,      "--data",
                                ":memory:",       NULL};
    int ended;
    char *output;
    CU_ASSERT_TRUE_FATAL(run_cairn(args, &ended, &output));
    bool is_right = ended == status && strstr(output, said) != NULL;
    if (!is_right)
        fprintf(stderr, "\n    %d, not \"%s\": %s", ended, said, output);
    free(output);
    return is_right;
}

static void unusable_ones_are_named(void)
{
    char said[400];
    CU_ASSERT(is_refused(certificate, "", 2, "--tls.certificate: is set without tls.key"));
    CU_ASSERT(is_refused("", key, 2, "--tls.key: is set without tls.certificate"));
    CU_ASSERT(is_refused("/nonexistent/c", key, 1,
                         "tls.certificate: /nonexistent/c: No such file or directory"));
    snprintf(said, sizeof(said), "tls.certificate: %s: ", key);
    CU_ASSERT(is_refused(key, key, 1, said));
    snprintf(said, sizeof(said), "tls.key: %s: ", certificate);
    CU_ASSERT(is_refused(certificate, certificate, 1, said));
    snprintf(said, sizeof(said), "tls.key: %s: key values mismatch", other_key);
    CU_ASSERT(is_refused(certificate, other_key, 1, said));
}

static void certificates_change(void)
{
    const char *const extra[] = {"--config", config, NULL};
    site_t site;
    http_conn_t old[4], young;
    write_config(certificate, key);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, extra), 0);
    for (int i = 0; i != 4; ++i) {
        open_tls(&site, &old[i], NULL);
        CU_ASSERT_EQUAL(exchange_status(&old[i], "GET", "/livez", NULL, NULL, 0), 204);
    }
    /* one that cannot be used changes nothing */
    write_config(certificate, other_key);
    kill(site.server.pid, SIGHUP);
    await_line(&site, "key values mismatch; the certificate there is stays in use");
    await_line(&site, "reload: done");
    open_tls(&site, &young, NULL);
    CU_ASSERT_STRING_EQUAL(tls_peer_name(&young), "first.example");
    http_close(&young);
    /* and a good one is for those who come */
    write_config(other_certificate, other_key);
    kill(site.server.pid, SIGHUP);
    await_line(&site, "the certificate has been read again");
    for (int64_t deadline_ms = monotonic_ms() + 5000; monotonic_ms() < deadline_ms; sleep_ms(1)) {
        open_tls(&site, &young, NULL);
        bool is_new = strcmp(tls_peer_name(&young), "second.example") == 0;
        CU_ASSERT_EQUAL(exchange_status(&young, "GET", "/livez", NULL, NULL, 0), 204);
        http_close(&young);
        if (is_new)
            break;
    }
    for (int i = 0; i != 8; ++i) { /* on whichever worker */
        open_tls(&site, &young, NULL);
        CU_ASSERT_STRING_EQUAL(tls_peer_name(&young), "second.example");
        http_close(&young);
    }
    for (int i = 0; i != 4; ++i) {
        CU_ASSERT_EQUAL(exchange_status(&old[i], "GET", "/livez", NULL, NULL, 0), 204);
        http_close(&old[i]);
    }
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    server_dispose(&site.server);
}

/* each was accepted with a certificate that nobody else has any more when it begins */
static void who_hesitates_is_served(void)
{
    enum { RELOADS = 3, EACH = 8 };
    const char *const extra[] = {"--config", config, NULL};
    site_t site;
    http_conn_t silent[RELOADS][EACH];
    write_config(certificate, key);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, extra), 0);
    for (int i = 0; i != RELOADS; ++i) {
        for (int j = 0; j != EACH; ++j)
            site_open(&site, &silent[i][j]);
        sleep_ms(50); /* accepted, by then */
        write_config(i % 2 != 0 ? certificate : other_certificate, i % 2 != 0 ? key : other_key);
        kill(site.server.pid, SIGHUP);
        await_lines(&site, "reload: done", i + 1);
    }
    sleep_ms(150); /* the workers have heard of it after a turn of their loops */
    for (int i = 0; i != RELOADS; ++i)
        for (int j = 0; j != EACH; ++j) {
            CU_ASSERT_TRUE_FATAL(tls_begin(&silent[i][j], NULL));
            CU_ASSERT_EQUAL(exchange_status(&silent[i][j], "GET", "/livez", NULL, NULL, 0), 204);
            http_close(&silent[i][j]);
        }
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    server_dispose(&site.server);
}

/* ---------------------------------------------------------------- the end */

static void stops_in_order(void)
{
    site_t site;
    http_conn_t idle, slow;
    http_response_t res;
    char *value = noise(MIB, 3);
    start(&site);
    open_tls(&site, &idle, NULL);
    open_tls(&site, &slow, NULL);
    CU_ASSERT_EQUAL(exchange_status(&idle, "PUT", "/v1/kv/a", NULL, "x", 1), 201);
    static const char head[] =
        "PUT /v1/kv/slow HTTP/1.1\r\nHost: t\r\nContent-Length: 1048576\r\n\r\n";
    CU_ASSERT(http_send(&slow, head, strlen(head)));
    CU_ASSERT(http_send(&slow, value, MIB / 2));
    sleep_ms(50);
    kill(site.server.pid, SIGTERM);
    CU_ASSERT(http_server_closes_within(&idle, 3000));
    CU_ASSERT(tls_end_was_announced(&idle));
    CU_ASSERT(http_send(&slow, value + MIB / 2, MIB / 2));
    CU_ASSERT_TRUE_FATAL(http_read_response(&slow, "PUT", &res));
    CU_ASSERT_EQUAL(res.status, 201);
    CU_ASSERT(header_is(&res, "connection", "close"));
    http_response_dispose(&res);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    http_close(&idle);
    http_close(&slow);
    free(value);
    server_dispose(&site.server);
}

/* that more is coming cannot be seen then, and its rest must not make a reset of the end */
static void half_a_record_at_the_end(void)
{
    enum { BYTES = 300000, FEW = 32768 };
    static const char half[200] = {0x17, 3, 3, 2, 0}; /* of a record of 512 bytes */
    site_t site;
    http_conn_t conn;
    http_response_t res;
    char *value = noise(BYTES, 4);
    start(&site);
    open_tls(&site, &conn, NULL);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, value, BYTES), 201);
    /* so that most of the answer is still on the server's side when that has closed */
    CU_ASSERT_EQUAL(setsockopt(conn.fd, SOL_SOCKET, SO_RCVBUF, &(int){FEW}, sizeof(int)), 0);
    kill(site.server.pid, SIGTERM);
    await_lines(&site, "SIGTERM: stopping", 1);
    sleep_ms(150); /* the workers have heard of it */
    static const char request[] = "GET /v1/kv/a HTTP/1.1\r\nHost: t\r\n\r\n";
    CU_ASSERT(http_send(&conn, request, strlen(request)));
    CU_ASSERT_EQUAL(send(conn.fd, half, sizeof(half), MSG_NOSIGNAL), sizeof(half));
    sleep_ms(100);
    CU_ASSERT_EQUAL(send(conn.fd, half, sizeof(half), MSG_NOSIGNAL), sizeof(half));
    sleep_ms(50);
    CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT(body_is(&res, value, BYTES));
    CU_ASSERT(header_is(&res, "connection", "close"));
    http_response_dispose(&res);
    CU_ASSERT(http_server_closes_within(&conn, 1000) && tls_end_was_announced(&conn));
    http_close(&conn);
    free(value);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

static void over_a_unix_socket(void)
{
    char path[100], flag[128];
    site_t site;
    http_conn_t conn;
    snprintf(path, sizeof(path), "%.80s/s", dir.path);
    snprintf(flag, sizeof(flag), "--listen=unix:%s", path);
    const char *const extra[] = {certificate_flag, key_flag, flag, NULL};
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, extra), 0);
    CU_ASSERT_TRUE_FATAL(tls_open_unix(&conn, path));
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    server_dispose(&site.server);
}

void suite_tls(void)
{
    CU_pSuite s = CU_add_suite("tls", make_dir, remove_dir);
    CU_add_test(s, "values go round over TLS 1.2 and 1.3", values_go_round);
    CU_add_test(s, "older versions and plain requests are refused", old_versions_are_refused);
    CU_add_test(s, "HTTP/2 is neither offered nor spoken", http2_is_off);
    CU_add_test(s, "what is too large is refused, and the next is served", too_large_over_tls);
    CU_add_test(s, "a certificate or key that cannot be used is named", unusable_ones_are_named);
    CU_add_test(s, "SIGHUP changes the certificate and drops nobody", certificates_change);
    CU_add_test(s, "nor who has connected and begins later", who_hesitates_is_served);
    CU_add_test(s, "over TLS too, what is under way is finished", stops_in_order);
    CU_add_test(s, "half a record behind the last request loses no answer",
                half_a_record_at_the_end);
    CU_add_test(s, "TLS is spoken over a Unix socket as well", over_a_unix_socket);
}

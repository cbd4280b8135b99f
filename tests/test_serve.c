/*
 * Is `cairn serve` a program one can run: does it start, refuse and stop as it says?
 *
 * Its data is on disk here, where syncs are real.
 */
#include <CUnit/CUnit.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/site.h"
#include "tests/suites.h"

#define MIB ((size_t)1 << 20)

/* a directory for what is no store: config files, places that cannot be */
static temp_dir_t dir;

static int make_dir(void)
{
    return temp_dir_create(&dir, TEMP_DIR_ON_DISK) ? 0 : 1;
}

static int remove_dir(void)
{
    return temp_dir_remove(&dir) ? 0 : 1;
}

/* a path in that directory; valid until the next call */
static const char *path_of(const char *name)
{
    static char path[320];
    snprintf(path, sizeof(path), "%s/%s", dir.path, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

/* whether a run with these arguments ends by itself with this status and says this */
static bool run_ends(const char *const *args, int status, const char *said)
{
    int ended;
    char *output;
    CU_ASSERT_TRUE_FATAL(run_cairn(args, &ended, &output));
    bool is_right = ended == status && strstr(output, said) != NULL;
    if (!is_right)
        fprintf(stderr, "\n    %d instead of %d \"%s\": %s", ended, status, said, output);
    free(output);
    return is_right;
}

static bool says(server_process_t *server, const char *text)
{
    bool does = strstr(server_output(server), text) != NULL;
    if (!does)
        fprintf(stderr, "\n    no \"%s\" in: %s", text, server_output(server));
    return does;
}

static bool send_text(http_conn_t *conn, const char *text)
{
    return http_send(conn, text, strlen(text));
}

/* ---------------------------------------------------------------- starting */

static void where_it_listens(void)
{
    site_t site;
    char line[64];
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, NULL), 0);
    snprintf(line, sizeof(line), "listening on 127.0.0.1:%u\n", site.server.port);
    CU_ASSERT(says(&site.server, line));
    CU_ASSERT(site_answers(&site));
    /* it made its directory, and nothing for others to read */
    struct stat st;
    CU_ASSERT_EQUAL_FATAL(stat(site.data, &st), 0);
    CU_ASSERT(S_ISDIR(st.st_mode) && (st.st_mode & 022) == 0);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

static void locked_directory(void)
{
    site_t site;
    http_conn_t conn;
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, NULL), 0);
    const char *const args[] = {"serve", "--listen", "127.0.0.1:0", "--data", site.data, NULL};
    for (int i = 0; i != 2; ++i) {
        CU_ASSERT(run_ends(args, 1, "another cairn is serving it"));
        CU_ASSERT(run_ends(args, 1, site.data));
    }
    /* the first one has not noticed */
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, "x", 1), 201);
    http_close(&conn);
    /* a lock left by a crash is none */
    CU_ASSERT_EQUAL(server_kill(&site.server), -SIGKILL);
    site_start_again(&site, NULL);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

static void port_in_use(void)
{
    site_t site;
    char address[32], message[80];
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, NULL), 0);
    snprintf(address, sizeof(address), "127.0.0.1:%u", site.server.port);
    snprintf(message, sizeof(message), "listen on %s: Address already in use", address);
    /* another cairn, which shares its port among its own workers */
    const char *const args[] = {"serve", "--listen", address, "--data", path_of("second"), NULL};
    CU_ASSERT(run_ends(args, 1, message));
    /* it was refused before it touched anything */
    CU_ASSERT_NOT_EQUAL(access(path_of("second"), F_OK), 0);
    CU_ASSERT(site_answers(&site));
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

static void port_of_another_program(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(in);
    char address[32];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 && listen(fd, 1) == 0 &&
                    getsockname(fd, (struct sockaddr *)&in, &bytes) == 0);
    snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(in.sin_port));
    const char *const args[] = {"serve", "--listen", address, "--data", ":memory:", NULL};
    CU_ASSERT(run_ends(args, 1, "is another server running there?"));
    close(fd);
}

static void no_such_place(void)
{
    static const char *const places[] = {"file", "file/data", "/proc/cairn", "/proc/self/fdinfo"};
    write_file("file", "in the way");
    for (size_t i = 0; i != sizeof(places) / sizeof(places[0]); ++i) {
        const char *place = places[i][0] == '/' ? places[i] : path_of(places[i]);
        const char *const args[] = {"serve", "--listen", "127.0.0.1:0", "--data", place, NULL};
        CU_ASSERT(run_ends(args, 1, place));
    }
    unlink(path_of("file"));
}

static void no_such_address(void)
{
    static const char *const args[] = {"serve",  "--listen", "192.0.2.1:0",
                                       "--data", ":memory:", NULL};
    CU_ASSERT(run_ends(args, 1, "listen on 192.0.2.1:0: Cannot assign requested address"));
}

static void wrong_config(void)
{
    static const struct {
        const char *text, *said;
    } rows[] = {{"listen: 127.0.0.1:0\nworkers: many\n", "config.yaml:2"},
                {"listen: 127.0.0.1:0\n\nstorage:\n  pth: /x\n", "config.yaml:4"},
                {"limits:\n  value_bytes: 16MB\n  idle_timeout: 1fortnight\n", "config.yaml:3"},
                {"storage:\n  segment_bytes: 1KiB\n", "config.yaml:2"},
                {"storage: [\n", "config.yaml:"}};
    for (size_t i = 0; i != sizeof(rows) / sizeof(rows[0]); ++i) {
        write_file("config.yaml", rows[i].text);
        const char *const args[] = {"serve", "--config", path_of("config.yaml"), NULL};
        CU_ASSERT(run_ends(args, 2, rows[i].said));
    }
    unlink(path_of("config.yaml"));
    const char *const missing[] = {"serve", "--config", path_of("config.yaml"), NULL};
    CU_ASSERT(run_ends(missing, 2, "No such file"));
}

static void flags_over_file(void)
{
    site_t site;
    http_conn_t conn;
    /* the address and the path are not to be used, and the limit is */
    write_file("config.yaml", "listen: 192.0.2.1:1\nworkers: 1\nstorage:\n  path: /proc/no\n"
                              "  segment_bytes: 1MiB\nlimits:\n  value_bytes: 10\n");
    char config[320];
    snprintf(config, sizeof(config), "%s", path_of("config.yaml"));
    const char *const extra[] = {"--config", config, "--workers=2", NULL};
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, extra), 0);
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, "0123456789", 10), 201);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/a", NULL, "0123456789x", 11), 413);
    http_response_t res;
    exchange(&conn, "GET", "/v1/stats", NULL, NULL, 0, &res);
    CU_ASSERT_PTR_NOT_NULL(strstr(res.body, "\"workers\": 2"));
    http_response_dispose(&res);
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
    unlink(path_of("config.yaml"));
}

static void help_and_mistakes(void)
{
    static const char *const help[] = {"serve", "--help", NULL};
    static const char *const flags[] = {
        "--config", "--data", "--listen", "--storage.segment_bytes", "--limits.shutdown_timeout",
        "16MiB"};
    for (size_t i = 0; i != sizeof(flags) / sizeof(flags[0]); ++i)
        CU_ASSERT(run_ends(help, 0, flags[i]));
    static const char *const top[] = {"--help", NULL};
    CU_ASSERT(run_ends(top, 0, "cairn serve"));
    static const char *const nothing[] = {NULL};
    CU_ASSERT(run_ends(nothing, 2, "cairn serve --data"));
    static const char *const unknown[] = {"sreve", NULL};
    CU_ASSERT(run_ends(unknown, 2, "there is no command \"sreve\""));
    static const char *const flag[] = {"serve", "--worker", "2", NULL};
    CU_ASSERT(run_ends(flag, 2, "did you mean --workers?"));
    static const char *const value[] = {"serve", "--workers", "0", NULL};
    CU_ASSERT(run_ends(value, 2, "workers"));
}

/* ---------------------------------------------------------------- stopping */

/* sends the signal and waits for the end; how the server ended, and after how long */
static int end_by(server_process_t *server, int signal_number, int64_t *took_ms)
{
    int64_t began_ms = monotonic_ms();
    kill(server->pid, signal_number);
    int ended = server_stop(server); /* one more signal changes nothing */
    *took_ms = monotonic_ms() - began_ms;
    return ended;
}

/* waits until the server has noticed the signal */
static void await_line(server_process_t *server, const char *line)
{
    for (int64_t deadline_ms = monotonic_ms() + 10000; monotonic_ms() < deadline_ms; sleep_ms(1))
        if (strstr(server_output(server), line) != NULL)
            return;
    CU_FAIL_FATAL("the server does not say that it stops");
}

static void signals_stop_it(void)
{
    static const int signals[] = {SIGTERM, SIGINT};
    static const char *const lines[] = {"SIGTERM: stopping", "SIGINT: stopping"};
    site_t site;
    http_conn_t conns[20];
    int64_t took_ms;
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, NULL), 0);
    for (int run = 0; run != 2; ++run) {
        for (int i = 0; i != 20; ++i) {
            char target[32];
            site_open(&site, &conns[i]);
            snprintf(target, sizeof(target), "/v1/kv/%d", i);
            if (i % 2) /* the others have never said a word */
                CU_ASSERT_EQUAL(exchange_status(&conns[i], "PUT", target,
                                                "Cairn-Durability: async\r\n", target, 8),
                                run == 0 ? 201 : 204);
        }
        CU_ASSERT_EQUAL(end_by(&site.server, signals[run], &took_ms), 0);
        CU_ASSERT(took_ms < 3000);
        CU_ASSERT(says(&site.server, lines[run]));
        CU_ASSERT(says(&site.server, "stopped; everything is on disk"));
        for (int i = 0; i != 20; ++i) {
            CU_ASSERT(http_server_closes_within(&conns[i], 100));
            CU_ASSERT_FALSE(conns[i].is_server_reset);
            http_close(&conns[i]);
        }
        site_start_again(&site, NULL);
    }
    site_open(&site, &conns[0]);
    CU_ASSERT_EQUAL(exchange_status(&conns[0], "GET", "/v1/kv/19", NULL, NULL, 0), 200);
    http_close(&conns[0]);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

static void slow_put_is_finished(void)
{
    site_t site;
    http_conn_t slow, idle, late;
    http_response_t res;
    char *value = noise(MIB, 1);
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, NULL), 0);
    site_open(&site, &slow);
    site_open(&site, &idle);
    CU_ASSERT(
        send_text(&slow, "PUT /v1/kv/slow HTTP/1.1\r\nHost: t\r\nContent-Length: 1048576\r\n\r\n"));
    CU_ASSERT(http_send(&slow, value, MIB / 2));
    CU_ASSERT_EQUAL(exchange_status(&idle, "PUT", "/v1/kv/idle", NULL, "x", 1), 201);
    kill(site.server.pid, SIGTERM);
    /* who says nothing is let go, who is new is not let in, who is speaking may end */
    CU_ASSERT(http_server_closes_within(&idle, 3000));
    await_line(&site.server, "SIGTERM: stopping");
    for (int64_t deadline_ms = monotonic_ms() + 3000; monotonic_ms() < deadline_ms; sleep_ms(1)) {
        if (!http_open(&late, site.server.port))
            break;
        http_close(&late);
    }
    CU_ASSERT(late.fd < 0 && strstr(late.error, "refused") != NULL);
    CU_ASSERT(http_send(&slow, value + MIB / 2, MIB / 2));
    CU_ASSERT_TRUE_FATAL(http_read_response(&slow, "PUT", &res));
    CU_ASSERT_EQUAL(res.status, 201);
    CU_ASSERT(header_is(&res, "connection", "close"));
    uint64_t version = version_of(&res);
    http_response_dispose(&res);
    CU_ASSERT(http_server_closes_within(&slow, 1000));
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    http_close(&slow);
    http_close(&idle);

    site_start_again(&site, NULL);
    site_open(&site, &idle);
    exchange(&idle, "GET", "/v1/kv/slow", NULL, NULL, 0, &res);
    CU_ASSERT(body_is(&res, value, MIB));
    CU_ASSERT_EQUAL(version_of(&res), version);
    http_response_dispose(&res);
    http_close(&idle);
    free(value);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

static void large_answer_is_finished(void)
{
    site_t site;
    http_conn_t conn;
    http_response_t res;
    int64_t began_ms;
    char *value = noise(16 * MIB, 2);
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, NULL), 0);
    site_open(&site, &conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "PUT", "/v1/kv/large", NULL, value, 16 * MIB), 201);
    CU_ASSERT(send_text(&conn, "GET /v1/kv/large HTTP/1.1\r\nHost: t\r\n\r\n"));
    /* the answer has begun, as one that leaves the connection open */
    char byte;
    CU_ASSERT_EQUAL(recv(conn.fd, &byte, 1, MSG_PEEK), 1);
    kill(site.server.pid, SIGTERM);
    await_line(&site.server, "SIGTERM: stopping");
    sleep_ms(30);
    CU_ASSERT_TRUE_FATAL(http_read_response(&conn, "GET", &res));
    CU_ASSERT(body_is(&res, value, 16 * MIB));
    http_response_dispose(&res);
    /* now it is idle: the server need not wait for the client to leave */
    began_ms = monotonic_ms();
    CU_ASSERT(http_server_closes_within(&conn, 3000));
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    CU_ASSERT(monotonic_ms() - began_ms < 3000);
    http_close(&conn);
    free(value);
    server_dispose(&site.server);
    CU_ASSERT(temp_dir_remove(&site.dir));
}

static void pipelined_at_the_end(void)
{
    enum { REQUESTS = 2000 };
    static char requests[REQUESTS * 64];
    site_t site;
    http_conn_t conn;
    http_response_t res;
    size_t bytes = 0;
    int answered = 0;
    for (int i = 0; i != REQUESTS; ++i)
        bytes +=
            (size_t)sprintf(requests + bytes,
                            "PUT /v1/kv/%04d HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx", i);
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, NULL), 0);
    site_open(&site, &conn);
    CU_ASSERT_TRUE_FATAL(http_send(&conn, requests, bytes));
    kill(site.server.pid, SIGTERM);
    while (http_read_response(&conn, "PUT", &res)) {
        CU_ASSERT_EQUAL(res.status, 201);
        ++answered;
        http_response_dispose(&res);
    }
    http_close(&conn);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    /* every answer given was true */
    site_start_again(&site, NULL);
    site_open(&site, &conn);
    for (int i = 0; i != answered; ++i) {
        char target[32];
        snprintf(target, sizeof(target), "/v1/kv/%04d", i);
        CU_ASSERT_EQUAL(exchange_status(&conn, "GET", target, NULL, NULL, 0), 200);
    }
    http_close(&conn);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

static void shutdown_timeout(void)
{
    static const char *const extra[] = {"--limits.shutdown_timeout", "300ms", NULL};
    site_t site;
    http_conn_t sender, head, reader;
    int64_t took_ms;
    char *value = noise(16 * MIB, 3);
    CU_ASSERT_EQUAL_FATAL(site_start(&site, TEMP_DIR_ON_DISK, extra), 0);
    site_open(&site, &sender);
    CU_ASSERT_EQUAL(exchange_status(&sender, "PUT", "/v1/kv/a", NULL, value, 16 * MIB), 201);
    free(value);
    /* one who does not end its body, one who does not end its head, one who does not read */
    CU_ASSERT(
        send_text(&sender, "PUT /v1/kv/never HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc"));
    site_open(&site, &head);
    CU_ASSERT(send_text(&head, "GET /v1"));
    site_open(&site, &reader);
    CU_ASSERT(send_text(&reader, "GET /v1/kv/a HTTP/1.1\r\nHost: t\r\n\r\n"));
    sleep_ms(50);
    CU_ASSERT_EQUAL(end_by(&site.server, SIGTERM, &took_ms), 0);
    CU_ASSERT(took_ms >= 300 && took_ms < 5000);
    CU_ASSERT(says(&site.server, "limits.shutdown_timeout has passed"));
    CU_ASSERT(says(&site.server, "stopped; everything is on disk"));
    http_close(&sender);
    http_close(&head);
    http_close(&reader);
    site_start_again(&site, NULL);
    site_open(&site, &sender);
    CU_ASSERT_EQUAL(exchange_status(&sender, "GET", "/v1/kv/a", NULL, NULL, 0), 200);
    CU_ASSERT_EQUAL(exchange_status(&sender, "GET", "/v1/kv/never", NULL, NULL, 0), 404);
    http_close(&sender);
    CU_ASSERT_EQUAL(site_end(&site), 0);
}

void suite_serve(void)
{
    CU_pSuite s = CU_add_suite("serve: the program from start to stop", make_dir, remove_dir);
    CU_add_test(s, "it says where it listens", where_it_listens);
    CU_add_test(s, "a directory in use is refused, one left by a crash is not", locked_directory);
    CU_add_test(s, "a port in use by another cairn is refused", port_in_use);
    CU_add_test(s, "a port in use by another program is refused", port_of_another_program);
    CU_add_test(s, "a directory that cannot be is refused", no_such_place);
    CU_add_test(s, "an address that is not here is refused", no_such_address);
    CU_add_test(s, "a wrong config is refused with its line", wrong_config);
    CU_add_test(s, "flags win over the file", flags_over_file);
    CU_add_test(s, "--help helps, and mistakes are named", help_and_mistakes);
    CU_add_test(s, "SIGTERM and SIGINT stop it in order", signals_stop_it);
    CU_add_test(s, "a slow PUT is finished before the end", slow_put_is_finished);
    CU_add_test(s, "a large answer is finished before the end", large_answer_is_finished);
    CU_add_test(s, "what was answered at the end is there", pipelined_at_the_end);
    CU_add_test(s, "who never finishes is cut at last", shutdown_timeout);
}

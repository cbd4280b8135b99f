/*
 * Where a server can be reached besides TCP: Unix sockets, and sockets that it was given.
 */
#include <CUnit/CUnit.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/address.h"
#include "tests/site.h"
#include "tests/suites.h"

#define MIB ((size_t)1 << 20)

static temp_dir_t dir;
static char path[100], listen_flag[128];

static int make_dir(void)
{
    if (!temp_dir_create(&dir, TEMP_DIR_ON_DISK))
        return 1;
    snprintf(path, sizeof(path), "%.80s/cairn.sock", dir.path);
    snprintf(listen_flag, sizeof(listen_flag), "--listen=unix:%s", path);
    return 0;
}

static int remove_dir(void)
{
    return temp_dir_remove(&dir) ? 0 : 1;
}

static void open_unix(http_conn_t *conn)
{
    bool is_open = http_open_unix(conn, path);
    if (!is_open)
        fprintf(stderr, "\n    %s", conn->error);
    CU_ASSERT_TRUE_FATAL(is_open);
}

static void start(site_t *site, const char *more)
{
    const char *const extra[] = {listen_flag, more, NULL};
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(site, extra), 0);
}

static bool is_refused(const char *said)
{
    const char *const args[] = {"serve", listen_flag, "--data", ":memory:", NULL};
    int ended;
    char *output;
    CU_ASSERT_TRUE_FATAL(run_cairn(args, &ended, &output));
    bool is_right = ended == 1 && strstr(output, said) != NULL;
    if (!is_right)
        fprintf(stderr, "\n    %d, not \"%s\": %s", ended, said, output);
    free(output);
    return is_right;
}

/* ---------------------------------------------------------------- addresses */

static void paths_and_what_is_none(void)
{
    cairn_address_t address;
    char text[128] = "unix:/";
    CU_ASSERT_PTR_NULL(cairn_address_parse("unix:/run/cairn.sock", &address));
    CU_ASSERT_STRING_EQUAL(address.unix_path, "/run/cairn.sock");
    CU_ASSERT_PTR_NULL(cairn_address_parse("unixhost:80", &address));
    CU_ASSERT_STRING_EQUAL(address.unix_path, "");
    CU_ASSERT_STRING_EQUAL(address.host, "unixhost");
    static const char *const wrong[] = {"unix:", "unix:/", "unix:80", "unix:run/cairn.sock"};
    for (size_t i = 0; i != sizeof(wrong) / sizeof(wrong[0]); ++i)
        CU_ASSERT_PTR_NOT_NULL(cairn_address_parse(wrong[i], &address));
    memset(text + 6, 'p', 106);
    CU_ASSERT_PTR_NULL(cairn_address_parse(text, &address));
    CU_ASSERT_EQUAL(strlen(address.unix_path), 107);
    text[6 + 106] = 'p';
    CU_ASSERT_PTR_NOT_NULL(cairn_address_parse(text, &address));
}

/* ---------------------------------------------------------------- Unix sockets */

static void unix_serves(void)
{
    site_t site;
    http_conn_t conns[8];
    http_response_t res;
    struct stat st;
    char *value = noise(4 * MIB, 1);
    start(&site, "--workers=3");
    CU_ASSERT_EQUAL_FATAL(lstat(path, &st), 0);
    CU_ASSERT(S_ISSOCK(st.st_mode));
    CU_ASSERT_EQUAL(st.st_mode & 0777, 0660);
    CU_ASSERT_PTR_NOT_NULL(strstr(server_output(&site.server), "curl --unix-socket"));
    for (int i = 0; i != 8; ++i)
        open_unix(&conns[i]);
    for (int i = 0; i != 8; ++i) {
        CU_ASSERT_EQUAL(exchange_status(&conns[i], "PUT", "/v1/kv/a", NULL, value, 4 * MIB),
                        i == 0 ? 201 : 204);
        exchange(&conns[i], "GET", "/v1/kv/a", NULL, NULL, 0, &res);
        CU_ASSERT(body_is(&res, value, 4 * MIB));
        http_response_dispose(&res);
    }
    /* pipelined requests too, whose answers go out together */
    static const char two[] =
        "GET /livez HTTP/1.1\r\nHost: t\r\n\r\nGET /livez HTTP/1.1\r\nHost: t\r\n\r\n";
    CU_ASSERT(http_send(&conns[0], two, strlen(two)));
    for (int i = 0; i != 2; ++i) {
        CU_ASSERT_TRUE_FATAL(http_read_response(&conns[0], "GET", &res));
        CU_ASSERT_EQUAL(res.status, 204);
        http_response_dispose(&res);
    }
    for (int i = 0; i != 8; ++i)
        http_close(&conns[i]);
    free(value);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    CU_ASSERT_NOT_EQUAL(lstat(path, &st), 0);
    server_dispose(&site.server);
}

static void unix_live_is_refused(void)
{
    site_t site;
    http_conn_t conn;
    start(&site, NULL);
    CU_ASSERT(is_refused("another server is running there"));
    open_unix(&conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
    http_close(&conn);
    /* a crash leaves the file, and it is in nobody's way */
    CU_ASSERT_EQUAL(server_kill(&site.server), -SIGKILL);
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    server_dispose(&site.server);
    start(&site, NULL);
    open_unix(&conn);
    CU_ASSERT_EQUAL(exchange_status(&conn, "GET", "/livez", NULL, NULL, 0), 204);
    http_close(&conn);
    /* a file of the same name that is another's stays */
    CU_ASSERT_EQUAL(unlink(path), 0);
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fclose(file);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    server_dispose(&site.server);
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    CU_ASSERT(is_refused("a file that is no socket is there"));
    CU_ASSERT_EQUAL(unlink(path), 0);
}

static void unix_nowhere(void)
{
    static const char *const args[] = {"serve",  "--listen", "unix:/nonexistent/cairn.sock",
                                       "--data", ":memory:", NULL};
    int ended;
    char *output;
    CU_ASSERT_TRUE_FATAL(run_cairn(args, &ended, &output));
    CU_ASSERT_EQUAL(ended, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "unix:/nonexistent/cairn.sock: No such file"));
    free(output);
}

static void unix_stops_in_order(void)
{
    site_t site;
    http_conn_t idle, slow;
    http_response_t res;
    start(&site, NULL);
    open_unix(&idle);
    open_unix(&slow);
    CU_ASSERT_EQUAL(exchange_status(&idle, "PUT", "/v1/kv/a", NULL, "x", 1), 201);
    static const char half[] = "PUT /v1/kv/b HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nab";
    CU_ASSERT(http_send(&slow, half, strlen(half)));
    sleep_ms(50);
    kill(site.server.pid, SIGTERM);
    CU_ASSERT(http_server_closes_within(&idle, 3000));
    CU_ASSERT(http_send(&slow, "cd", 2));
    CU_ASSERT_TRUE_FATAL(http_read_response(&slow, "PUT", &res));
    CU_ASSERT_EQUAL(res.status, 201);
    CU_ASSERT(header_is(&res, "connection", "close"));
    http_response_dispose(&res);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    http_close(&idle);
    http_close(&slow);
    server_dispose(&site.server);
}

void suite_listen(void)
{
    CU_pSuite s = CU_add_suite("listen: Unix sockets, and sockets given", make_dir, remove_dir);
    CU_add_test(s, "unix: names an absolute path that fits", paths_and_what_is_none);
    CU_add_test(s, "a Unix socket serves all workers and is gone afterwards", unix_serves);
    CU_add_test(s, "a Unix socket in use is refused, one left behind is replaced",
                unix_live_is_refused);
    CU_add_test(s, "a directory that is not there is named", unix_nowhere);
    CU_add_test(s, "over a Unix socket too, what is under way is finished", unix_stops_in_order);
}

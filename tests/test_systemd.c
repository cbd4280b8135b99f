/*
 * Does the server take sockets from systemd, and tell it how it is?
 *
 * A script plays the part of systemd: it passes descriptors on as 3 and 4 and names its own process
 * in $LISTEN_PID, which the server then is.
 */
#include <CUnit/CUnit.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/site.h"
#include "tests/suites.h"

/* above what the test program and its shell use for themselves */
#define PASSED_FD 50

static temp_dir_t dir;
static char script[300], socket_path[100], notify_path[100];
static char *binary;

static int make_dir(void)
{
    if (getenv("CAIRN_BINARY") == NULL || !temp_dir_create(&dir, TEMP_DIR_ON_DISK))
        return 1;
    binary = strdup(getenv("CAIRN_BINARY"));
    snprintf(script, sizeof(script), "%s/systemd.sh", dir.path);
    snprintf(socket_path, sizeof(socket_path), "%.80s/s", dir.path);
    snprintf(notify_path, sizeof(notify_path), "%.80s/notify", dir.path);
    return 0;
}

static int remove_dir(void)
{
    free(binary);
    return temp_dir_remove(&dir) ? 0 : 1;
}

/* makes the script stand in for the server; `pid` is what it gives out as $LISTEN_PID */
static void become_systemd(const char *pid, int count)
{
    FILE *file = fopen(script, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fprintf(file, "#!/bin/bash\nexport LISTEN_PID=%s LISTEN_FDS=%d\nexec \"%s\" \"$@\"", pid, count,
            binary);
    for (int i = 0; i != count; ++i)
        fprintf(file, " %d<&%d %d<&-", 3 + i, PASSED_FD + i, PASSED_FD + i);
    CU_ASSERT_EQUAL(fclose(file), 0);
    CU_ASSERT_EQUAL(chmod(script, 0700), 0);
    setenv("CAIRN_BINARY", script, 1);
}

static void be_systemd_no_more(void)
{
    setenv("CAIRN_BINARY", binary, 1);
    unsetenv("NOTIFY_SOCKET");
}

/* moves a socket to where the script finds it */
static void pass(int fd, int number)
{
    CU_ASSERT_TRUE_FATAL(fd >= 0 && dup2(fd, PASSED_FD + number) >= 0);
    close(fd);
}

static int listen_tcp(uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CU_ASSERT_FATAL(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 && listen(fd, 16) == 0 &&
                    getsockname(fd, (struct sockaddr *)&in, &bytes) == 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static int bind_unix(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

static int listen_unix(const char *path)
{
    int fd = bind_unix(path, SOCK_STREAM);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 16), 0);
    return fd;
}

/* ---------------------------------------------------------------- sockets */

static void sockets_are_taken(void)
{
    static const char *const extra[] = {"--workers=3", NULL};
    site_t site;
    http_conn_t conns[12];
    uint16_t port;
    pass(listen_tcp(&port), 0);
    pass(listen_unix(socket_path), 1);
    become_systemd("$$", 2);
    /* it comes before the server does, and is not turned away */
    CU_ASSERT_TRUE_FATAL(http_open(&conns[0], port));
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, extra), 0);
    CU_ASSERT_EQUAL(site.server.port, port);
    for (int i = 0; i != 12; ++i) {
        if (i != 0)
            CU_ASSERT_TRUE_FATAL(i % 2 ? http_open_unix(&conns[i], socket_path)
                                       : http_open(&conns[i], port));
        CU_ASSERT_EQUAL(exchange_status(&conns[i], "PUT", "/v1/kv/a", NULL, "x", 1),
                        i == 0 ? 201 : 204);
    }
    for (int i = 0; i != 12; ++i)
        http_close(&conns[i]);
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    /* who comes between two runs waits for the next: the sockets are not the server's to close */
    CU_ASSERT_EQUAL(access(socket_path, F_OK), 0);
    CU_ASSERT_TRUE_FATAL(http_open(&conns[0], port));
    CU_ASSERT_TRUE_FATAL(http_open_unix(&conns[1], socket_path));
    site_start_again(&site, extra);
    for (int i = 0; i != 2; ++i) {
        CU_ASSERT_EQUAL(exchange_status(&conns[i], "GET", "/livez", NULL, NULL, 0), 204);
        http_close(&conns[i]);
    }
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    server_dispose(&site.server);
    be_systemd_no_more();
    close(PASSED_FD);
    close(PASSED_FD + 1);
    unlink(socket_path);
}

static void sockets_of_another_process(void)
{
    site_t site;
    uint16_t port;
    pass(listen_tcp(&port), 0);
    become_systemd("1", 1);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, NULL), 0);
    CU_ASSERT_NOT_EQUAL(site.server.port, port);
    CU_ASSERT(site_answers(&site));
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    server_dispose(&site.server);
    be_systemd_no_more();
    close(PASSED_FD);
}

static void what_is_no_listener(void)
{
    static const char *const args[] = {"serve", "--data", ":memory:", NULL};
    int ended;
    char *output;
    pass(bind_unix(socket_path, SOCK_DGRAM), 0);
    become_systemd("$$", 1);
    CU_ASSERT_TRUE_FATAL(run_cairn(args, &ended, &output));
    CU_ASSERT_EQUAL(ended, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "descriptor 3, which systemd passed, is no stream"));
    free(output);
    be_systemd_no_more();
    close(PASSED_FD);
    unlink(socket_path);
}

/* ---------------------------------------------------------------- states */

static bool hears(int fd, const char *expected)
{
    char state[256] = "nothing";
    if (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 10000) == 1) {
        ssize_t got = recv(fd, state, sizeof(state) - 1, 0);
        state[got > 0 ? got : 0] = '\0';
    }
    bool is_right = strncmp(state, expected, strlen(expected)) == 0;
    if (!is_right)
        fprintf(stderr, "\n    \"%s\" instead of \"%s\"", state, expected);
    return is_right;
}

static void states_are_told(void)
{
    site_t site;
    int fd = bind_unix(notify_path, SOCK_DGRAM);
    setenv("NOTIFY_SOCKET", notify_path, 1);
    CU_ASSERT_EQUAL_FATAL(site_start_in_memory(&site, NULL), 0);
    CU_ASSERT(hears(fd, "READY=1"));
    CU_ASSERT(site_answers(&site));
    kill(site.server.pid, SIGHUP);
    CU_ASSERT(hears(fd, "RELOADING=1\nMONOTONIC_USEC="));
    CU_ASSERT(hears(fd, "READY=1"));
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    CU_ASSERT(hears(fd, "STOPPING=1"));
    close(fd);
    unlink(notify_path);
    /* nobody there to hear it any more */
    site_start_again(&site, NULL);
    CU_ASSERT(site_answers(&site));
    CU_ASSERT_EQUAL(server_stop(&site.server), 0);
    server_dispose(&site.server);
    be_systemd_no_more();
}

void suite_systemd(void)
{
    CU_pSuite s = CU_add_suite("systemd", make_dir, remove_dir);
    CU_add_test(s, "sockets that were passed are served by all workers", sockets_are_taken);
    CU_add_test(s, "sockets passed to another process are left alone", sockets_of_another_process);
    CU_add_test(s, "a descriptor that does not listen is refused", what_is_no_listener);
    CU_add_test(s, "ready, reloading and stopping are told", states_are_told);
}

/*
 * A server that plays a list of steps.
 */
#include "tests/canned_server.h"

#include <CUnit/CUnit.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* long enough that what comes before and after does not arrive in one packet */
#define PAUSE_NS 3000000

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
}

static bool receives(int fd, const char *text, size_t bytes)
{
    char part[4096];
    while (bytes != 0) {
        size_t wanted = bytes < sizeof(part) ? bytes : sizeof(part);
        ssize_t got = recv(fd, part, wanted, 0);
        if (got <= 0 || memcmp(part, text, (size_t)got) != 0)
            return false;
        text += got;
        bytes -= (size_t)got;
    }
    return true;
}

static bool sends(int fd, const char *text, size_t bytes)
{
    while (bytes != 0) {
        ssize_t sent = send(fd, text, bytes, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        text += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

static bool drips(int fd, const char *text, size_t bytes)
{
    for (size_t i = 0; i != bytes; ++i) {
        if (!sends(fd, text + i, 1))
            return false;
        pause_briefly();
    }
    return true;
}

static bool ends_with(int fd, ssize_t result, int error)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, 0);
    return got == result && (got == 0 || errno == error);
}

static bool lingers(int fd)
{
    char byte;
    while (recv(fd, &byte, 1, 0) > 0)
        ;
    return true;
}

static bool resets_on_close(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    return setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)) == 0;
}

static bool play(int fd, const step_t *step)
{
    switch (step->kind) {
    case STEP_EXPECT:
        return receives(fd, step->text, step->bytes);
    case STEP_SEND:
        return sends(fd, step->text, step->bytes);
    case STEP_DRIP:
        return drips(fd, step->text, step->bytes);
    case STEP_PAUSE:
        pause_briefly();
        return true;
    case STEP_EXPECT_FIN:
        return ends_with(fd, 0, 0);
    case STEP_EXPECT_RESET:
        return ends_with(fd, -1, ECONNRESET);
    case STEP_RESET:
        return resets_on_close(fd);
    case STEP_LINGER:
        return lingers(fd);
    case STEP_END:
        break;
    }
    return true;
}

static void *serve_canned(void *arg)
{
    canned_t *canned = arg;
    int fd = accept(canned->listener, NULL, NULL);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    canned->is_as_expected = fd >= 0;
    for (const step_t *step = canned->steps; step->kind != STEP_END; ++step)
        canned->is_as_expected = play(fd, step) && canned->is_as_expected;
    close(fd);
    return NULL;
}

void canned_start(canned_t *canned, const step_t *steps, http_conn_t *conn)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof(address);
    canned->steps = steps;
    canned->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(bind(canned->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    CU_ASSERT_FATAL(listen(canned->listener, 1) == 0);
    CU_ASSERT_FATAL(getsockname(canned->listener, (struct sockaddr *)&address, &address_bytes) ==
                    0);
    canned->port = ntohs(address.sin_port);
    CU_ASSERT_FATAL(pthread_create(&canned->thread, NULL, serve_canned, canned) == 0);
    CU_ASSERT_FATAL(http_open(conn, canned->port));
}

bool canned_finish(canned_t *canned)
{
    pthread_join(canned->thread, NULL);
    close(canned->listener);
    return canned->is_as_expected;
}

/*
 * tests/impostor.c - a server that answers what a test wants.
 */
#include "tests/impostor.h"

#include <CUnit/CUnit.h>

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/** reads up to the end of a head; bodies here are small and come with it */
static bool read_request(impostor_t *impostor, int fd)
{
    char text[4096];
    size_t count = 0;
    while (count < sizeof(text) - 1) {
        ssize_t n = recv(fd, text + count, sizeof(text) - 1 - count, 0);
        if (n <= 0)
            return false;
        count += (size_t)n;
        text[count] = '\0';
        if (strstr(text, "\r\n\r\n") == NULL)
            continue;
        if (impostor->request_count < IMPOSTOR_REQUESTS_MAX)
            snprintf(impostor->requests[impostor->request_count], IMPOSTOR_REQUEST_BYTES, "%.*s",
                     IMPOSTOR_REQUEST_BYTES - 1, text);
        ++impostor->request_count;
        return true;
    }
    return false;
}

static void *run(void *arg)
{
    impostor_t *impostor = arg;
    int next = 0;
    while (next < impostor->answer_count) {
        int fd = accept(impostor->listen_fd, NULL, NULL);
        if (fd < 0)
            break;
        while (next < impostor->answer_count && read_request(impostor, fd)) {
            const char *answer = impostor->answers[next++];
            if (answer == NULL || send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
                break;
        }
        close(fd);
    }
    return NULL;
}

int impostor_listen(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 8), 0);
    getsockname(fd, (struct sockaddr *)&address, &bytes);
    *port = ntohs(address.sin_port);
    return fd;
}

void impostor_start(impostor_t *impostor, const char *const *answers, int count)
{
    *impostor = (impostor_t){.answers = answers, .answer_count = count};
    impostor->listen_fd = impostor_listen(&impostor->port);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&impostor->thread, NULL, run, impostor), 0);
}

void impostor_end(impostor_t *impostor)
{
    shutdown(impostor->listen_fd, SHUT_RDWR);
    pthread_join(impostor->thread, NULL);
    close(impostor->listen_fd);
}

bool impostor_was_asked(const impostor_t *impostor, int at, const char *begin)
{
    bool was = at < impostor->request_count && at < IMPOSTOR_REQUESTS_MAX &&
               strncmp(impostor->requests[at], begin, strlen(begin)) == 0;
    if (!was)
        fprintf(stderr, "\n    asked for \"%.100s\" instead of \"%s\"",
                at < impostor->request_count ? impostor->requests[at] : "(nothing)", begin);
    return was;
}

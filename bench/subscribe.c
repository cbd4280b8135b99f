/*
 * bench/subscribe.c - many clients that follow the change feed and throw away what it says.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/arguments.h"

#define SUBSCRIBERS_MAX 60000

static void die(const char *what)
{
    fprintf(stderr, "subscribe: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static void subscribe(int epoll_fd, uint16_t port)
{
    static const char request[] =
        "GET /v1/changes HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n";
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        die("connect");
    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != sizeof(request) - 1)
        die("send");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

/** until a feed ends, which none should */
static void follow(int epoll_fd)
{
    static char bytes[65536];
    struct epoll_event events[256];
    for (;;) {
        int count = epoll_wait(epoll_fd, events, 256, -1);
        for (int i = 0; i < count; ++i) {
            ssize_t n = recv(events[i].data.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
            if (n == 0 || (n < 0 && errno != EAGAIN))
                die("a feed has ended");
            if (n > 9 && memcmp(bytes, "HTTP/1.1 ", 9) == 0 && bytes[9] != '2') {
                fprintf(stderr, "subscribe: refused: %.12s\n", bytes);
                exit(EXIT_FAILURE);
            }
        }
    }
}

int main(int argc, char **argv)
{
    unsigned long port, count;
    if (argc != 3 || !parse_number(argv[1], 1, UINT16_MAX, &port) ||
        !parse_number(argv[2], 1, SUBSCRIBERS_MAX, &count)) {
        fprintf(stderr, "usage: subscribe PORT COUNT\n"
                        "COUNT clients follow /v1/changes of 127.0.0.1:PORT until stopped.\n");
        return 2;
    }
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned long i = 0; i < count; ++i)
        subscribe(epoll_fd, (uint16_t)port);
    follow(epoll_fd);
}

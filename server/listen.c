/*
 * server/listen.c - the sockets that clients connect to.
 */
#include "server/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/address.h"

#define BACKLOG 4096
/** a peer that takes no byte and acknowledges nothing for so long is gone */
#define USER_TIMEOUT_MS 30000

static bool set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

/**
 * The first socket is bound without SO_REUSEPORT, which fails if anybody listens there; only then
 * does it let our others join. With the option from the start, a second server would quietly get
 * every other connection of the first.
 */
static int open_one(const struct addrinfo *info, bool is_first)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    bool ok = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
              (is_first || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
              bind(fd, info->ai_addr, info->ai_addrlen) == 0 &&
              (!is_first || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
              set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
              set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS) &&
              listen(fd, BACKLOG) == 0;
    if (ok)
        return fd;
    int err = errno;
    close(fd);
    errno = err;
    return -1;
}

static void format_bound(int fd, char *bound)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof(address);
    char host[64], port[16];
    getsockname(fd, (struct sockaddr *)&address, &bytes);
    getnameinfo((struct sockaddr *)&address, bytes, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(bound, 128, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static bool open_all(struct addrinfo *info, int *fds, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        fds[i] = open_one(info, i == 0);
        if (fds[i] < 0) {
            int err = errno;
            while (i != 0)
                close(fds[--i]);
            errno = err;
            return false;
        }
        /* where the kernel chose the port, the others join it */
        if (i == 0)
            getsockname(fds[0], info->ai_addr, &info->ai_addrlen);
    }
    return true;
}

static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

bool cairn_listen(const char *text, int *fds, size_t count, char *bound, char *errmsg,
                  size_t errmsg_bytes)
{
    cairn_address_t address;
    const char *fault = cairn_address_parse(text, &address);
    if (fault != NULL) {
        snprintf(errmsg, errmsg_bytes, "listen: \"%s\": it %s", text, fault);
        return false;
    }
    char port[8];
    snprintf(port, sizeof(port), "%u", address.port);
    bool every = address.host[0] == '\0';
    /* the IPv6 wildcard takes IPv4 too; a kernel without IPv6 refuses it */
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE,
                             .ai_family = every && has_ipv6() ? AF_INET6 : AF_UNSPEC};
    struct addrinfo *infos = NULL;
    int r = getaddrinfo(every ? NULL : address.host, port, &hints, &infos);
    if (r != 0) {
        snprintf(errmsg, errmsg_bytes, "listen: \"%s\": %s", text, gai_strerror(r));
        return false;
    }
    bool ok = open_all(infos, fds, count);
    if (ok)
        format_bound(fds[0], bound);
    else
        snprintf(errmsg, errmsg_bytes, "listen on %s: %s%s", text, strerror(errno),
                 errno == EADDRINUSE ? "; is another server running there?" : "");
    freeaddrinfo(infos);
    return ok;
}

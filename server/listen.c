/*
 * server/listen.c - the sockets that clients connect to.
 */
#include "server/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/http.h"

#include "server/listen_unix.h"

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
static int open_one(const struct addrinfo *info, bool may_join)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    bool ok = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
              (!may_join || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
              bind(fd, info->ai_addr, info->ai_addrlen) == 0 &&
              (may_join || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
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

static void format_bound(int fd, char *bound, size_t bound_bytes)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t bytes = sizeof(address);
    char host[64], port[16];
    getsockname(fd, (struct sockaddr *)&address, &bytes);
    getnameinfo((struct sockaddr *)&address, bytes, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(bound, bound_bytes, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static bool open_all(struct addrinfo *info, cairn_listeners_t *listeners, bool takes_over)
{
    for (size_t i = 0; i < listeners->worker_count; ++i) {
        int fd = open_one(info, takes_over || i != 0);
        if (fd < 0)
            return false;
        listeners->fds[i][0] = fd;
        /* where the kernel chose the port, the others join it */
        if (i == 0)
            getsockname(fd, info->ai_addr, &info->ai_addrlen);
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

static bool listen_tcp(cairn_listeners_t *listeners, const cairn_address_t *address,
                       const char *text, bool takes_over, char *errmsg, size_t errmsg_bytes)
{
    char port[8];
    snprintf(port, sizeof(port), "%u", address->port);
    bool every = address->host[0] == '\0';
    /* the IPv6 wildcard takes IPv4 too; a kernel without IPv6 refuses it */
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE,
                             .ai_family = every && has_ipv6() ? AF_INET6 : AF_UNSPEC};
    struct addrinfo *infos = NULL;
    int r = getaddrinfo(every ? NULL : address->host, port, &hints, &infos);
    if (r != 0) {
        snprintf(errmsg, errmsg_bytes, "listen: \"%s\": %s", text, gai_strerror(r));
        return false;
    }
    bool ok = open_all(infos, listeners, takes_over);
    if (ok)
        format_bound(listeners->fds[0][0], listeners->bound, sizeof(listeners->bound));
    else
        snprintf(errmsg, errmsg_bytes, "listen on %s: %s%s", text, strerror(errno),
                 errno == EADDRINUSE ? "; is another server running there?" : "");
    freeaddrinfo(infos);
    return ok;
}

/** gives each worker a descriptor of one socket, which becomes the first's own */
static bool share(cairn_listeners_t *listeners, size_t slot, int fd)
{
    listeners->fds[0][slot] = fd;
    for (size_t i = 1; i < listeners->worker_count; ++i) {
        listeners->fds[i][slot] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (listeners->fds[i][slot] < 0)
            return false;
    }
    return true;
}

static bool listen_unix(cairn_listeners_t *listeners, const char *path, bool takes_over,
                        char *errmsg, size_t errmsg_bytes)
{
    const char *fault = NULL;
    struct stat st;
    int fd = cairn_listen_unix(path, BACKLOG, takes_over, &fault);
    if (fd < 0) {
        snprintf(errmsg, errmsg_bytes, "listen on unix:%s: %s", path, fault);
        return false;
    }
    strcpy(listeners->unix_path, path);
    if (stat(path, &st) == 0) {
        listeners->unix_dev = st.st_dev;
        listeners->unix_ino = st.st_ino;
    }
    snprintf(listeners->bound, sizeof(listeners->bound), "unix:%s", path);
    if (share(listeners, 0, fd))
        return true;
    snprintf(errmsg, errmsg_bytes, "listen on unix:%s: %s", path, strerror(errno));
    return false;
}

static void init(cairn_listeners_t *listeners, size_t worker_count)
{
    *listeners = (cairn_listeners_t){.worker_count = worker_count};
    listeners->fds = h2o_mem_alloc(worker_count * sizeof(*listeners->fds));
    for (size_t i = 0; i < worker_count; ++i)
        for (size_t slot = 0; slot < CAIRN_LISTEN_MAX; ++slot)
            listeners->fds[i][slot] = -1;
}

static void close_all(cairn_listeners_t *listeners)
{
    for (size_t i = 0; i < listeners->worker_count; ++i)
        for (size_t slot = 0; slot < CAIRN_LISTEN_MAX; ++slot)
            if (listeners->fds[i][slot] >= 0)
                close(listeners->fds[i][slot]);
}

/** what a socket that was given is, in the form of the config */
static void describe(int fd, char *text, size_t text_bytes)
{
    struct sockaddr_un address = {.sun_path = ""};
    socklen_t bytes = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) == 0 && address.sun_family == AF_UNIX)
        snprintf(text, text_bytes, "unix:%.107s", address.sun_path);
    else
        format_bound(fd, text, text_bytes);
}

static bool is_option_set(int fd, int name, int expected)
{
    int value = 0;
    socklen_t bytes = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &bytes) == 0 && value == expected;
}

static bool take_socket(cairn_listeners_t *listeners, size_t slot, int fd, char *errmsg,
                        size_t errmsg_bytes)
{
    if (!is_option_set(fd, SO_TYPE, SOCK_STREAM) || !is_option_set(fd, SO_ACCEPTCONN, 1)) {
        snprintf(errmsg, errmsg_bytes,
                 "descriptor %d, which systemd passed, is no stream socket that listens", fd);
        return false;
    }
    if (slot == 0)
        describe(fd, listeners->bound, sizeof(listeners->bound));
    /* as our own: these are no matter of systemd's, and fail harmlessly on a Unix socket */
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0 && share(listeners, slot, fd))
        return true;
    snprintf(errmsg, errmsg_bytes, "descriptor %d, which systemd passed: %s", fd, strerror(errno));
    return false;
}

bool cairn_listen_inherited(cairn_listeners_t *listeners, int first_fd, size_t count,
                            size_t worker_count, char *errmsg, size_t errmsg_bytes)
{
    if (count > CAIRN_LISTEN_MAX) {
        snprintf(errmsg, errmsg_bytes, "systemd passed %zu sockets, and at most %d can be used",
                 count, CAIRN_LISTEN_MAX);
        return false;
    }
    init(listeners, worker_count);
    for (size_t slot = 0; slot < count; ++slot)
        if (!take_socket(listeners, slot, first_fd + (int)slot, errmsg, errmsg_bytes)) {
            close_all(listeners);
            cairn_listeners_dispose(listeners);
            return false;
        }
    return true;
}

bool cairn_listen(cairn_listeners_t *listeners, const char *text, size_t worker_count,
                  bool takes_over, char *errmsg, size_t errmsg_bytes)
{
    cairn_address_t address;
    const char *fault = cairn_address_parse(text, &address);
    if (fault != NULL) {
        snprintf(errmsg, errmsg_bytes, "listen: \"%s\": it %s", text, fault);
        return false;
    }
    init(listeners, worker_count);
    bool ok = address.unix_path[0] != '\0'
                  ? listen_unix(listeners, address.unix_path, takes_over, errmsg, errmsg_bytes)
                  : listen_tcp(listeners, &address, text, takes_over, errmsg, errmsg_bytes);
    if (!ok) {
        close_all(listeners);
        cairn_listeners_dispose(listeners);
    }
    return ok;
}

void cairn_listeners_dispose(cairn_listeners_t *listeners)
{
    struct stat st;
    if (listeners->unix_path[0] != '\0' && stat(listeners->unix_path, &st) == 0 &&
        st.st_dev == listeners->unix_dev && st.st_ino == listeners->unix_ino)
        unlink(listeners->unix_path);
    free(listeners->fds);
    listeners->fds = NULL;
    listeners->unix_path[0] = '\0';
}

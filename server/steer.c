/*
 * server/steer.c - which of two processes gets the new connections of a port they share.
 */
#include "server/steer.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

/** the state LISTEN in /proc/net/tcp */
#define STATE_LISTEN 0x0a

/** the socket is `first` + a random number below `count`; a SYN carries no hash worth the name */
static void attach(int fd, size_t first, size_t count)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, (uint32_t)count),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, (uint32_t)first),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    /* a kernel that refuses picks by hash: a takeover is then less smooth, and nothing else */
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t bytes = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
        return 0;
    return address.ss_family == AF_INET    ? ntohs(((struct sockaddr_in *)&address)->sin_port)
           : address.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&address)->sin6_port)
                                           : 0;
}

static size_t listeners_in(const char *table, unsigned port)
{
    size_t count = 0;
    char line[512];
    FILE *file = fopen(table, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        unsigned local_port, state;
        if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &local_port, &state) == 2)
            count += local_port == port && state == STATE_LISTEN;
    }
    fclose(file);
    return count;
}

void cairn_steer_to_own(int fd, size_t own_count)
{
    attach(fd, 0, own_count);
}

size_t cairn_steer_to_others(int fd, size_t own_count)
{
    unsigned port = port_of(fd);
    if (port == 0)
        return 0;
    size_t all = listeners_in("/proc/net/tcp", port) + listeners_in("/proc/net/tcp6", port);
    size_t others = all > own_count ? all - own_count : 0;
    /* were some of them on another address, the program would at times name no socket: as by hash
     */
    if (others != 0)
        attach(fd, own_count, others);
    return others;
}

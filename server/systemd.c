/*
 * server/systemd.c - what systemd passes to a service, and what it wants to hear from it.
 */
#include "server/systemd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/clock.h"

/** a number and nothing else; 0 for anything else */
static unsigned long number_of(const char *text)
{
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return 0;
    unsigned long number = strtoul(text, &end, 10);
    return *end == '\0' ? number : 0;
}

size_t cairn_systemd_take_fds(void)
{
    /* left by a parent that was meant, the variables would make us take what is not ours */
    bool ours = number_of(getenv("LISTEN_PID")) == (unsigned long)getpid();
    size_t count = ours ? number_of(getenv("LISTEN_FDS")) : 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    for (size_t i = 0; i < count; ++i)
        if (fcntl(CAIRN_SYSTEMD_FIRST_FD + (int)i, F_SETFD, FD_CLOEXEC) != 0)
            return i; /* fewer are open than were announced */
    return count;
}

void cairn_systemd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof(address.sun_path))
        return;
    size_t bytes = strlen(path);
    memcpy(address.sun_path, path, bytes);
    if (path[0] == '@') /* an abstract name, which begins with a NUL and ends with its length */
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes));
    close(fd);
}

void cairn_systemd_notify_reloading(void)
{
    char state[64];
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             cairn_monotonic_ns() / 1000);
    cairn_systemd_notify(state);
}

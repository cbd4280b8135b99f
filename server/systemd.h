/*
 * server/systemd.h - what systemd passes to a service, and what it wants to hear from it.
 *
 * Both protocols are a few environment variables and one datagram (sd_listen_fds(3), sd_notify(3)),
 * promised to stay as they are; so they are spoken here and no library is needed.
 *
 * Threads: main.
 */
#ifndef CAIRN_SERVER_SYSTEMD_H
#define CAIRN_SERVER_SYSTEMD_H

#include <stddef.h>

/** where the first descriptor passed is found, and the others behind it */
#define CAIRN_SYSTEMD_FIRST_FD 3

/**
 * How many sockets were passed to this process ($LISTEN_FDS, if $LISTEN_PID is ours); 0 when it was
 * started in another way. They are set to close on exec, and the variables are gone afterwards.
 */
size_t cairn_systemd_take_fds(void);

/**
 * Tells the service manager a state such as "READY=1", if there is one to tell ($NOTIFY_SOCKET).
 * It is a courtesy: nothing depends on its being heard.
 */
void cairn_systemd_notify(const char *state);

/** As above, "RELOADING=1" with the time that goes with it. */
void cairn_systemd_notify_reloading(void);

#endif

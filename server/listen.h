/*
 * server/listen.h - the sockets that clients connect to.
 */
#ifndef CAIRN_SERVER_LISTEN_H
#define CAIRN_SERVER_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

/**
 * Opens `count` sockets that listen on the same address, one for each worker, so that the kernel
 * spreads the connections. `text` is as in the config; `bound` (room for 128 bytes) becomes the
 * address in the same form, with the port the kernel has chosen if it was 0.
 *
 * Owner: the caller closes `fds`. On failure none is open and `errmsg` says why.
 */
bool cairn_listen(const char *text, int *fds, size_t count, char *bound, char *errmsg,
                  size_t errmsg_bytes);

#endif

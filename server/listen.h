/*
 * server/listen.h - the sockets that clients connect to.
 *
 * TCP: one socket a worker on the same address, so that the kernel spreads the connections. A Unix
 * socket, or one that systemd has opened: one socket, and a second descriptor of it for each
 * worker.
 *
 * Threads: main.
 */
#ifndef CAIRN_SERVER_LISTEN_H
#define CAIRN_SERVER_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "server/address.h"

/** sockets a worker may listen on: `listen` is one, systemd may pass several */
#define CAIRN_LISTEN_MAX 8

typedef struct st_cairn_listeners_t {
    int (*fds)[CAIRN_LISTEN_MAX]; /* of each worker; -1 where there is none */
    size_t worker_count;
    char bound[CAIRN_ADDRESS_HOST_BYTES]; /* the address as in the config, with the port chosen */
    /* the socket's file, to be removed at the end; "" if there is none */
    char unix_path[CAIRN_ADDRESS_PATH_BYTES];
    dev_t unix_dev;
    ino_t unix_ino;
} cairn_listeners_t;

/**
 * Opens what the option `listen` says. A Unix socket is made with mode 0660; a file left by a
 * server that is gone is replaced, one that is in use is refused. Who `takes_over` joins another
 * cairn of the same user on its port, or puts a socket of its own in the place of another's.
 *
 * Owner: on success cairn_listeners_dispose(); the descriptors belong to the workers as soon as
 * they have been started. On failure nothing is open and `errmsg` says why.
 */
bool cairn_listen(cairn_listeners_t *listeners, const char *text, size_t worker_count,
                  bool takes_over, char *errmsg, size_t errmsg_bytes);

/**
 * Takes sockets that are open already instead: `count` descriptors from `first_fd` on. Each must be
 * a stream socket that listens. As cairn_listen() otherwise; a Unix socket's file is left alone.
 */
bool cairn_listen_inherited(cairn_listeners_t *listeners, int first_fd, size_t count,
                            size_t worker_count, char *errmsg, size_t errmsg_bytes);

/** Removes the Unix socket's file, unless it is another server's by now; frees the array. */
void cairn_listeners_dispose(cairn_listeners_t *listeners);

#endif

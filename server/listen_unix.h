/*
 * server/listen_unix.h - a Unix socket and its file.
 */
#ifndef CAIRN_SERVER_LISTEN_UNIX_H
#define CAIRN_SERVER_LISTEN_UNIX_H

#include <stdbool.h>

#include "server/address.h"

/**
 * Listens at this path, which is shorter than CAIRN_ADDRESS_PATH_BYTES and absolute. A file left by
 * a server that is gone is replaced; so is one in use by who `takes_over`, in one step, and clients
 * that connect from then on are the new one's. Returns the descriptor; or -1, and `*fault` says why
 * (static, or good until the next strerror()).
 */
int cairn_listen_unix(const char *path, int backlog, bool takes_over, const char **fault);

#endif

/*
 * server/serve.h - the server from start to stop.
 */
#ifndef CAIRN_SERVER_SERVE_H
#define CAIRN_SERVER_SERVE_H

#include "server/config.h"

/**
 * Serves until SIGTERM or SIGINT; then lets requests under way finish, syncs and returns. Returns
 * the exit status of the process: 0, or 1 after a line on stderr that says what went wrong.
 */
int cairn_serve(const cairn_config_t *config);

#endif

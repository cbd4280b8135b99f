/*
 * server/serve.h - the server from start to stop.
 */
#ifndef CAIRN_SERVER_SERVE_H
#define CAIRN_SERVER_SERVE_H

#include "server/worker.h"

/**
 * Serves until SIGTERM or SIGINT; then lets requests under way finish, syncs and returns. Returns
 * the exit status of the process: 0, or 1 after a line on stderr that says what went wrong.
 *
 * `argc` and `argv` are the arguments behind `serve`, from which `config` was made: SIGHUP reads
 * them and their file again (server/reload.h) and changes `config`.
 */
int cairn_serve(cairn_config_t *config, int argc, char *const *argv);

/** The limits that the config has, as far as the process may keep them; says so if it may not. */
cairn_limits_t cairn_serve_limits(const cairn_config_t *config);

/**
 * Opens the access log that the config asks for, if it asks for one; workers are told of it by
 * whoever calls. False, and `errmsg` says why not.
 */
bool cairn_serve_open_access_log(cairn_server_t *server, const cairn_config_t *config, char *errmsg,
                                 size_t errmsg_bytes);

/** Sets limits.value_bytes wherever it counts: in requests, in bodies that are read, in appends. */
void cairn_serve_set_value_bytes_max(cairn_server_t *server, uint64_t bytes);

#endif

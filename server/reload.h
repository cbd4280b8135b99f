/*
 * server/reload.h - what SIGHUP changes while the server runs.
 */
#ifndef CAIRN_SERVER_RELOAD_H
#define CAIRN_SERVER_RELOAD_H

#include "server/worker.h"

/**
 * Reads the command line and its config file again, and applies what may change at run time to
 * `config`, `server` and its workers. The log says so, also of what needs a restart or was
 * refused. A file with a mistake changes nothing. The file of the access log is opened anew in any
 * case.
 *
 * Threads: main, while the store is open.
 */
void cairn_reload(cairn_server_t *server, cairn_config_t *config, int argc, char *const *argv);

#endif

/*
 * server/cli.h - the command line of `cairn serve`.
 *
 * `--config FILE` names the file, `--data DIR` is short for `--storage.path DIR`, and every option
 * of server/options.h is a flag of its own name: `--workers 4` or `--workers=4`. Flags win over the
 * file wherever they stand; of two flags of one name the last wins.
 */
#ifndef CAIRN_SERVER_CLI_H
#define CAIRN_SERVER_CLI_H

#include <stdio.h>

#include "server/config.h"

typedef enum en_cairn_cli_result_t {
    CAIRN_CLI_RUN,  /* the config is finished; serve */
    CAIRN_CLI_HELP, /* the help has been printed; exit with status 0 */
    CAIRN_CLI_ERROR /* errmsg says what is wrong; exit with status 2 */
} cairn_cli_result_t;

/**
 * Reads the arguments that follow `serve`, and the file they name, into a config that
 * cairn_config_init() has prepared.
 *
 * Owner: the caller disposes the config whatever the result. Help goes to `out`; errmsg is one line
 * without a line end, and may be as long as CAIRN_CONFIG_ERRMSG_BYTES.
 */
cairn_cli_result_t cairn_cli_serve(cairn_config_t *config, int argc, char *const *argv, FILE *out,
                                   char *errmsg, size_t errmsg_bytes);

#endif

/*
 * server/main.c - the program `cairn`: which command, and its exit status.
 */
#include <stdio.h>
#include <string.h>

#include "client/cli.h"
#include "server/cli.h"
#include "server/serve.h"
#include "server/verify.h"

static int serve(int argc, char **argv)
{
    static char errmsg[CAIRN_CONFIG_ERRMSG_BYTES];
    cairn_config_t config;
    int status = 0;
    cairn_config_init(&config);
    switch (cairn_cli_serve(&config, argc, argv, stdout, errmsg, sizeof(errmsg))) {
    case CAIRN_CLI_RUN:
        status = cairn_serve(&config, argc, argv);
        break;
    case CAIRN_CLI_HELP:
        break;
    case CAIRN_CLI_ERROR:
        fprintf(stderr, "cairn: %s\n", errmsg);
        status = 2;
        break;
    }
    cairn_config_dispose(&config);
    return status;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "serve") == 0)
        return serve(argc - 2, argv + 2);
    if (argc >= 2 && strcmp(argv[1], "verify") == 0)
        return cairn_verify(argc - 2, argv + 2);
    return cairn_command_run(argc, argv);
}

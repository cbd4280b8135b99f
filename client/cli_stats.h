/*
 * client/cli_stats.h - the server's figures, for stats and top.
 */
#ifndef CAIRN_CLIENT_CLI_STATS_H
#define CAIRN_CLIENT_CLI_STATS_H

#include <jansson.h>

#include "client/cli_internal.h"

/** /v1/stats; NULL after a message, with the exit status in `*status`. Owner: the caller. */
json_t *cli_stats_fetch(cli_t *cli, int *status);

/** A number of a group of it (NULL: at the top); 0 if it is not there. */
double cli_stats_number(const json_t *stats, const char *group, const char *name);

/** Prints what a person wants to know first. */
void cli_stats_print_summary(const json_t *stats);

#endif

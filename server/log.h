/*
 * server/log.h - the log: lines on standard error, each with its time and its level.
 *
 *     2026-11-30T12:00:00Z error: scrub: ...
 *
 * Lines that matter less than the level are left out. What refuses a start, and that one which
 * takes over waits for the other, are no lines of the log: they are always said (server/main.c,
 * server/serve.c).
 */
#ifndef CAIRN_SERVER_LOG_H
#define CAIRN_SERVER_LOG_H

#include "storage/types.h"

/** Sets log.level, for the lines still to come; INFO until then. Threads: any. */
void cairn_log_set_level(cairn_log_level_t level);

/** Writes a line, given without its end. Threads: any. */
void cairn_log(cairn_log_level_t level, const char *line);

/** The same, for those who are given a function to call (`on_log`); `ctx` is not used. */
void cairn_log_on(void *ctx, cairn_log_level_t level, const char *line);

#endif

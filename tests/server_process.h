/*
 * tests/server_process.h - the real program as a child of a test.
 *
 * The binary is the one that $CAIRN_BINARY names. What the child prints goes to a file in memory,
 * so it never blocks on a reader and can be looked at while it runs or after it ended. A child does
 * not outlive the thread that started it, even if that thread crashes.
 *
 * How a run ended is one number: the exit status, or minus the signal that ended it.
 */
#ifndef CAIRN_TESTS_SERVER_PROCESS_H
#define CAIRN_TESTS_SERVER_PROCESS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/** what stopping a server that was never started, or stopped already, returns */
#define SERVER_NOT_RUNNING INT_MIN

typedef struct st_server_process_t {
    pid_t pid;       /* 0 when nothing runs */
    uint16_t port;   /* on 127.0.0.1; 0 if it listens on a Unix socket */
    char error[192]; /* why server_start() returned false */
    FILE *_output;
    char *_output_text;
} server_process_t;

/**
 * Runs `cairn serve --listen 127.0.0.1:0 --data DIR` with the NULL-terminated `extra_args` (or
 * NULL) behind it, and waits until it prints a line that begins with "listening on " and has the
 * port between its last colon and the next space or the end of the line, or names a Unix socket.
 *
 * `*server` is zeroed before its first start. It may be started again when it has ended; the output
 * of the earlier run is forgotten then. When the child ends or stays silent instead, nothing runs,
 * `error` says so, and server_output() has what it printed.
 */
bool server_start(server_process_t *server, const char *data_dir, const char *const *extra_args);

/**
 * Starts the server and kills it (SIGKILL) so much later, wherever it is by then: a crash while the
 * store opens. Returns how it ended, -SIGKILL unless it had before; SERVER_NOT_RUNNING, with a word
 * in `error`, if it could not be started at all.
 */
int server_start_and_kill(server_process_t *server, const char *data_dir,
                          const char *const *extra_args, uint64_t after_us);

/**
 * Asks the server to stop (SIGTERM) and waits. Returns how it ended; -SIGKILL also when it did not
 * stop in time and had to be killed.
 */
int server_stop(server_process_t *server);

/** Ends the server as a crash would (SIGKILL). Returns how it ended: -SIGKILL unless it had before.
 */
int server_kill(server_process_t *server);

/**
 * All that the last run has printed so far, stdout and stderr in order. Never NULL.
 *
 * Owner: `server`; valid until the next call for it.
 */
const char *server_output(server_process_t *server);

/** Kills the server if it still runs and frees its output; harmless on a zeroed struct. */
void server_dispose(server_process_t *server);

/**
 * Runs the program with these arguments (NULL-terminated, without the program's name) until it ends
 * by itself; one that does not is killed after a minute. False only if it could not be run at all.
 *
 * Owner: the caller frees `*output`, which is stdout and stderr in order; it is NULL on failure.
 */
bool run_cairn(const char *const *args, int *exit_status, char **output);

#endif

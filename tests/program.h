/*
 * tests/program.h - other programs as children of a test: haproxy, curl, wrk.
 *
 * A child does not outlive the thread that started it. Threads: any, a program belongs to one.
 */
#ifndef CAIRN_TESTS_PROGRAM_H
#define CAIRN_TESTS_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct st_program_t {
    pid_t pid; /* 0 when nothing runs */
    int _output_fd;
} program_t;

/** Starts argv[0], looked up in PATH and /usr/sbin, with stdout and stderr kept; false: no child.
 */
bool program_start(program_t *program, const char *const *argv);

/**
 * Waits until it ends, `timeout_ms` at most, after which it is killed. Returns its exit status, or
 * minus the signal that ended it.
 */
int program_wait(program_t *program, int timeout_ms);

/** What it has printed so far. Owner: the caller frees it. */
char *program_output(const program_t *program);

/** Kills it if it runs and lets its output go; harmless on a zeroed struct. */
void program_end(program_t *program);

/** Starts a program, waits for its end and gives its output, which the caller frees, if `output` is
 * not NULL. Returns as program_wait(). */
int program_run(const char *const *argv, int timeout_ms, char **output);

#endif

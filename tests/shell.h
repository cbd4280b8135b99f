/*
 * tests/shell.h - shell commands whose output is known.
 */
#ifndef CAIRN_TESTS_SHELL_H
#define CAIRN_TESTS_SHELL_H

#include <stdbool.h>

/**
 * Runs a command in bash and reads what it prints on its standard output. Owner: the caller frees
 * the text, which is never NULL. `*status` is the exit status, or 128 and the signal.
 */
char *shell_run(const char *command, int *status);

/** Whether a command ends with status 0 and prints exactly this; prints what it did if not. */
bool shell_prints(const char *expected, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif

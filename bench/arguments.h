/*
 * bench/arguments.h - numbers on the command lines of the benchmark's programs.
 */
#ifndef CAIRN_BENCH_ARGUMENTS_H
#define CAIRN_BENCH_ARGUMENTS_H

#include <stdbool.h>
#include <stdlib.h>

/** Digits and nothing else, from `least` to `most`; writes `*number` in any case. */
static inline bool parse_number(const char *text, unsigned long least, unsigned long most,
                                unsigned long *number)
{
    char *end;
    *number = strtoul(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *number >= least && *number <= most;
}

#endif

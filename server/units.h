/*
 * server/units.h - sizes, times and counts as a person writes them.
 *
 * "64MiB" is a size, "100ms" a time, "16384" a count. A text is read whole or refused; nothing is
 * rounded, and what does not fit into 64 bits is refused as too big. Printing gives the shortest
 * exact form, which reads back as the same number.
 *
 * Threads: any; nothing here keeps state.
 */
#ifndef CAIRN_SERVER_UNITS_H
#define CAIRN_SERVER_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* the longest text the print functions write: 20 digits, a unit of three letters, the NUL */
#define CAIRN_UNITS_TEXT_BYTES 24

typedef enum en_cairn_units_result_t {
    CAIRN_UNITS_OK,
    CAIRN_UNITS_NO_NUMBER, /* it does not begin with a digit */
    CAIRN_UNITS_NO_UNIT,   /* a bare number where a unit is needed */
    CAIRN_UNITS_BAD_UNIT,  /* what follows the number is not a unit of this kind */
    CAIRN_UNITS_TOO_BIG    /* it does not fit into 64 bits */
} cairn_units_result_t;

/**
 * Reads a size: a whole number of bytes, bare or with B, KiB, MiB, GiB, TiB (powers of 1024) or
 * kB, MB, GB, TB (powers of 1000). The k may be of either case, everything else is as written here.
 *
 * Owner: writes `*bytes` only when the result is OK. The text need not end in a NUL.
 */
cairn_units_result_t cairn_units_parse_bytes(const char *text, size_t text_bytes, uint64_t *bytes);

/**
 * Reads a time: a whole number with ms, s, m, h or d. A bare number is NO_UNIT, even 0.
 *
 * Owner: writes `*ms` only when the result is OK. The text need not end in a NUL.
 */
cairn_units_result_t cairn_units_parse_ms(const char *text, size_t text_bytes, uint64_t *ms);

/**
 * Reads a count: a whole number and nothing else.
 *
 * Owner: writes `*count` only when the result is OK. The text need not end in a NUL.
 */
cairn_units_result_t cairn_units_parse_count(const char *text, size_t text_bytes, uint64_t *count);

/** Prints a size in the largest power of 1024 that divides it: 65536 is "64KiB", 1000 is "1000B".
 */
void cairn_units_print_bytes(uint64_t bytes, char text[CAIRN_UNITS_TEXT_BYTES]);

/** Prints a time in the largest unit that divides it: 60000 is "1m", 1500 is "1500ms". */
void cairn_units_print_ms(uint64_t ms, char text[CAIRN_UNITS_TEXT_BYTES]);

/** Prints a count in decimal. */
void cairn_units_print_count(uint64_t count, char text[CAIRN_UNITS_TEXT_BYTES]);

#endif

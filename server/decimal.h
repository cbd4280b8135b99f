/*
 * server/decimal.h - numbers in decimal, where printf() would cost as much as the rest of an
 * answer.
 */
#ifndef CAIRN_SERVER_DECIMAL_H
#define CAIRN_SERVER_DECIMAL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** "18446744073709551615" */
#define CAIRN_DECIMAL_BYTES_MAX 20

/** Writes the digits of a number, CAIRN_DECIMAL_BYTES_MAX at most, and returns how many. */
static inline size_t cairn_decimal_write(char *out, uint64_t number)
{
    char digits[CAIRN_DECIMAL_BYTES_MAX];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    memcpy(out, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
}

#endif

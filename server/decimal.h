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

/** How many digits a number has: 0.301 a bit, which is right or one too many. */
static inline size_t cairn_decimal_bytes(uint64_t number)
{
    static const uint64_t least[] = {0, /* the least numbers of 2, 3 and more digits */
                                     UINT64_C(10),
                                     UINT64_C(100),
                                     UINT64_C(1000),
                                     UINT64_C(10000),
                                     UINT64_C(100000),
                                     UINT64_C(1000000),
                                     UINT64_C(10000000),
                                     UINT64_C(100000000),
                                     UINT64_C(1000000000),
                                     UINT64_C(10000000000),
                                     UINT64_C(100000000000),
                                     UINT64_C(1000000000000),
                                     UINT64_C(10000000000000),
                                     UINT64_C(100000000000000),
                                     UINT64_C(1000000000000000),
                                     UINT64_C(10000000000000000),
                                     UINT64_C(100000000000000000),
                                     UINT64_C(1000000000000000000),
                                     UINT64_C(10000000000000000000)};
    unsigned bits = 64 - (unsigned)__builtin_clzll(number | 1), more = bits * 1233 >> 12;
    return more + (number >= least[more]);
}

/** Writes the digits of a number, CAIRN_DECIMAL_BYTES_MAX at most, and returns how many. */
static inline size_t cairn_decimal_write(char *out, uint64_t number)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    size_t bytes = cairn_decimal_bytes(number);
    char *at = out + bytes;
    for (; number >= 100; number /= 100)
        memcpy(at -= 2, pairs + 2 * (number % 100), 2);
    if (number >= 10)
        memcpy(out, pairs + 2 * number, 2);
    else
        *out = (char)('0' + number);
    return bytes;
}

#endif

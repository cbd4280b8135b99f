/*
 * tests/fuzz/fuzz.h - what the fuzz targets share.
 *
 * Each target is one file with LLVMFuzzerTestOneInput(). `make fuzz` runs it under libFuzzer,
 * AddressSanitizer and UndefinedBehaviorSanitizer; `make test` runs its seeds. A property that does
 * not hold aborts.
 */
#ifndef CAIRN_TESTS_FUZZ_FUZZ_H
#define CAIRN_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/** Tries one input; always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

#define MUST(holds)                                                                                \
    do {                                                                                           \
        if (!(holds))                                                                              \
            abort();                                                                               \
    } while (0)

#endif

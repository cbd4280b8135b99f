/*
 * tests/fuzz/replay.c - runs a fuzz target over files, without libFuzzer: the seeds stay tests.
 *
 * Each file is given whole, and cut at each of its first bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define CUTS 256

/** an exact copy, so that a sanitizer sees a read behind its end */
static void run(const uint8_t *bytes, size_t count)
{
    uint8_t *copy = malloc(count != 0 ? count : 1);
    if (copy == NULL)
        abort();
    if (count != 0)
        memcpy(copy, bytes, count);
    LLVMFuzzerTestOneInput(copy, count);
    free(copy);
}

int main(int argc, char **argv)
{
    static uint8_t bytes[1 << 20];
    for (int i = 1; i < argc; ++i) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL) {
            perror(argv[i]);
            return 1;
        }
        size_t count = fread(bytes, 1, sizeof(bytes), file);
        fclose(file);
        run(bytes, count);
        for (size_t cut = 0; cut < count && cut < CUTS; ++cut)
            run(bytes, cut);
    }
    printf("%s: %d seeds\n", argv[0], argc - 1);
    return 0;
}

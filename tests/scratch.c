/*
 * The directory of the suite that is running.
 */
#include "tests/scratch.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], file[80];

int scratch_make(void)
{
    strcpy(dir, "/tmp/cairn-test-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    sprintf(file, "%s/c.yaml", dir);
    return 0;
}

int scratch_remove(void)
{
    unlink(file);
    return rmdir(dir);
}

char *scratch_file(void)
{
    return file;
}

void scratch_write(const char *bytes, size_t count)
{
    FILE *out = fopen(file, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    CU_ASSERT_EQUAL_FATAL(fwrite(bytes, 1, count, out), count);
    CU_ASSERT_EQUAL_FATAL(fclose(out), 0);
}

const char *scratch_bare(const char *message)
{
    size_t bytes = strlen(dir) + 1;
    return strncmp(message, file, bytes) == 0 ? message + bytes : message;
}

bool same(const char *got, const char *expected)
{
    if (strcmp(got, expected) == 0)
        return true;
    fprintf(stderr, "\n      got: %s\n expected: %s\n", got, expected);
    return false;
}

/*
 * tests/scratch.h - a directory of one's own with a file in it, and texts compared so that a
 * difference shows.
 *
 * Threads: one. A suite makes the directory in its init and removes it in its cleanup.
 */
#ifndef CAIRN_TESTS_SCRATCH_H
#define CAIRN_TESTS_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

/** Makes the directory; for CU_add_suite(), so 0 is success. */
int scratch_make(void);

/** Removes the file and the directory; 0 is success, which an unknown file in it prevents. */
int scratch_remove(void);

/** The path of the file, whether it exists or not. Lives as long as the directory. */
char *scratch_file(void);

/** Gives the file these bytes and no others. */
void scratch_write(const char *bytes, size_t count);

/** Steps over the directory at the front of a message: "c.yaml:2: ...". */
const char *scratch_bare(const char *message);

/** Whether the texts are equal; prints both if not, which CUnit would not. */
bool same(const char *got, const char *expected);

#endif

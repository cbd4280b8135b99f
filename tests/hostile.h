/*
 * tests/hostile.h - the server that hostile suites ask, and whether it is unharmed.
 */
#ifndef CAIRN_TESTS_HOSTILE_H
#define CAIRN_TESTS_HOSTILE_H

#include "tests/site.h"

/** The site of the suite that runs. */
extern site_t hostile_site;

/** For CU_add_suite(). */
int hostile_start(void);
int hostile_end(void);

/** Asserts that the server answers, and has as many descriptors open as before. */
void check_unharmed(void);

#endif

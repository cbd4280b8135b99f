/*
 * tests/later.h - clocks that a test sets on, so that nobody waits for what is to expire.
 *
 * The wall clock and the coarse one of the system in use run ahead of themselves by as much as the
 * test says. Threads: installed and removed while no store is open; set on at any time.
 */
#ifndef CAIRN_TESTS_LATER_H
#define CAIRN_TESTS_LATER_H

#include <stdint.h>

/** Lays itself over the system in use (cairn_os); it is not later yet. */
void later_install(void);

/** Puts back what was beneath. */
void later_remove(void);

/** From now on the wall clock moves by later_by() alone: nothing expires while it is looked at. */
void later_hold(void);

/** It becomes so much later. */
void later_by(uint64_t ms);

/** It is as late again as it really is. */
void later_undo(void);

#endif

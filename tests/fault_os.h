/*
 * tests/fault_os.h - the real system, except where a test says otherwise.
 *
 * Stands in for `cairn_os`: counts calls, fails the nth call of one function once or for good,
 * writes half of what it is given, or freezes, which is what the death of the process looks like to
 * its files: from one call on nothing on disk changes any more.
 *
 * Threads: orders are given while no store is open or from one thread; the calls come from any.
 */
#ifndef CAIRN_TESTS_FAULT_OS_H
#define CAIRN_TESTS_FAULT_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define FAULT_FUNCTIONS(X) \
    X(open_dir) X(list) X(sync_dir) X(rename) X(unlink) \
    X(make_dir) X(open_subdir) X(remove_dir) X(link) \
    X(lock) X(open) X(memory_file) X(close) X(size) \
    X(preallocate) X(truncate) X(make_readonly) X(pread) X(pwritev) \
    X(read_ahead) X(sync) X(drop_cache) X(overwrites_in_place) X(reserve) X(unreserve) \
    X(map) X(unmap) X(will_need) X(populate) X(is_resident) \
    X(alloc) X(calloc) X(alloc_pages) X(random) X(turns) X(on_bus_error)
/* clang-format on */

typedef enum en_fault_function_t {
#define X(name) FAULT_##name,
    FAULT_FUNCTIONS(X)
#undef X
        FAULT_FUNCTION_COUNT
} fault_function_t;

/** Puts the table in the place of the real one, with nothing staged and all counts at 0. */
void fault_os_install(void);

/** Puts the real one back. */
void fault_os_remove(void);

/** Forgets what was staged, and the counts. */
void fault_os_reset(void);

/**
 * The nth call of `function` from now on (the first is 1) fails with `error`, and with `for_good`
 * all after it. Functions that return a pointer give NULL, those that return a bool false; close
 * and the like do their work and then say it failed.
 */
void fault_os_fail(fault_function_t function, uint64_t nth, int error, bool for_good);

/** Ends a failure staged for good: the disk has room again. */
void fault_os_heal(void);

/** The nth pwritev writes no more than `bytes`, and says so. */
void fault_os_short_write(uint64_t nth, size_t bytes);

/**
 * After `calls` more changes on disk nothing changes any more: each further change fails. With
 * `tear` the last one, if it is a write, is cut in the middle.
 */
void fault_os_freeze_after(uint64_t calls, bool tear);

/** Says what kind of file system this is, so that both ways of making a spare are tried. */
void fault_os_pretend_in_place(bool in_place);

uint64_t fault_os_calls(fault_function_t function);
/** Changes on disk so far, done or refused. */
uint64_t fault_os_changes(void);
/** Whether a staged failure has been met. */
bool fault_os_has_fired(void);
/** Calls of `function` since the staged failure was first met, that one included. */
uint64_t fault_os_calls_since_fired(fault_function_t function);

/** Waits until maintenance and the idle mark are over: nothing has changed on disk for a while. */
void fault_os_wait_until_quiet(void);

const char *fault_os_name(fault_function_t function);

#endif

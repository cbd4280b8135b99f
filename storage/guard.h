/*
 * storage/guard.h - touching a map of which the disk may fail to deliver a page.
 *
 * The kernel says a read error under a map with SIGBUS, which by default ends the process. Every
 * touch of a segment's map, in this room or with what it has given to another, happens inside
 * cairn_guard_run(): a page that cannot be read then is false from it, and nothing else. System
 * calls need no guard: they return EFAULT.
 *
 * Arming costs two nanoseconds, so it is done for each record and not for each byte. A SIGBUS that
 * comes from elsewhere still ends the process, with its core dump.
 */
#ifndef CAIRN_STORAGE_GUARD_H
#define CAIRN_STORAGE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Makes SIGBUS come here, for the process; once or more often. A negative errno value if not. */
int cairn_guard_install(void);

/**
 * Calls touch(ctx); false if the disk could not deliver a page of a map meanwhile.
 *
 * `touch` is then left where it was: where it touches a map it holds no lock and nothing that only
 * it would free, and hands the map to no library that does. What it has written through `ctx` is
 * not to be believed. Guards may be nested; the innermost one is left. Threads: any.
 */
bool cairn_guard_run(void (*touch)(void *ctx), void *ctx);

/** Copies from a map; false if it cannot be read. */
bool cairn_guard_copy(void *to, const void *from, size_t bytes);

/** How many times a guard has been left so since the process began. Threads: any. */
uint64_t cairn_guard_faults(void);

#endif

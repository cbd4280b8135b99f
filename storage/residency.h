/*
 * storage/residency.h - is this piece of a segment in memory, so that an event loop may touch it?
 *
 * A stamp per block of CAIRN_BLOCK_BYTES says when it was last known to be in memory; a fresh stamp
 * is believed, so a hot read costs one load. A record larger than CAIRN_LARGE_BYTES covers at least
 * one block that no other record reaches into and that its own head, which may reach into a second
 * block, does not touch either. Only the writer and the I/O pool stamp such a block, and the pool
 * does it after verifying the body: fresh stamps all over a large record mean that it is verified.
 */
#ifndef CAIRN_STORAGE_RESIDENCY_H
#define CAIRN_STORAGE_RESIDENCY_H

#include "storage/segment.h"

/** bodies up to this size are verified at every read, larger ones when they are brought in */
#define CAIRN_LARGE_BYTES (3 * (uint64_t)CAIRN_BLOCK_BYTES)

/** Whether every block the range touches was in memory a moment ago. */
bool cairn_residency_is_fresh(const cairn_segment_t *segment, uint64_t offset, uint64_t bytes);

/** Fresh, or else asks the kernel, and remembers a yes. For heads and small records only. */
bool cairn_residency_check(cairn_segment_t *segment, uint64_t offset, uint64_t bytes);

/** The range has just been written, or brought in and verified. */
void cairn_residency_stamp(cairn_segment_t *segment, uint64_t offset, uint64_t bytes);

#endif

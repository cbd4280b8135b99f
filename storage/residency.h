/*
 * storage/residency.h - is this piece of a segment in memory, so that an event loop may touch it?
 *
 * A stamp per block of CAIRN_BLOCK_BYTES says when all of it that is written was last known to be
 * in memory; a fresh stamp is believed, so a hot read costs one load. A record that was brought in
 * says nothing of its neighbours in the block: it stamps only the blocks that are wholly its own.
 *
 * A record larger than CAIRN_LARGE_BYTES has at least one such block, which its head does not touch
 * either. Only the writer and the I/O pool stamp that, the pool after verifying the body: fresh
 * stamps there mean that the record is verified.
 *
 * Where something has had to be brought in, memory may be short: stamps from before are not
 * believed then but the kernel is asked, and it is told what is being used, so that it keeps that.
 * By itself it does not know: reads through a map that is to be read at random do not count as use
 * (since Linux 6.3, vma_has_recency() in mm).
 *
 * Threads: any.
 */
#ifndef CAIRN_STORAGE_RESIDENCY_H
#define CAIRN_STORAGE_RESIDENCY_H

#include "storage/segment.h"

/** bodies up to this size are verified at every read, larger ones when they are brought in */
#define CAIRN_LARGE_BYTES (3 * (uint64_t)CAIRN_BLOCK_BYTES)

/**
 * Whether a record of more than CAIRN_LARGE_BYTES has been brought in and verified a moment ago,
 * and its ends, in blocks that it shares, are in memory too.
 */
bool cairn_residency_is_verified(cairn_segment_t *segment, uint64_t offset, uint64_t bytes);

/**
 * Whether the range is in memory: 0 if not, else the offset up to which all is, at least its end.
 * For heads and small records only.
 */
uint64_t cairn_residency_check(cairn_segment_t *segment, uint64_t offset, uint64_t bytes);

/** The range has just been written, or brought in and verified. */
void cairn_residency_stamp(cairn_segment_t *segment, uint64_t offset, uint64_t bytes);

/** Something of the segment that a client asked for was not in memory and is being brought in. */
void cairn_residency_note_load(const cairn_segment_t *segment);

/** The range, of a small record, is in memory and is being used: while memory may be short, it is
 * to stay there. */
void cairn_residency_note_use(const cairn_segment_t *segment, uint64_t offset, uint64_t bytes);

#endif

/*
 * storage/segment_build.h - a segment that is made whole, aside, and then takes its place.
 *
 * The output of compaction, or of a salvage: records are added in order of version, the footer ends
 * it, and only when all of it is on disk does the file get the name under which the store knows it.
 * Until then it has a name that an open removes.
 *
 * Threads: one that is registered with QSBR and online; it goes offline while it waits for the
 * disk.
 */
#ifndef CAIRN_STORAGE_SEGMENT_BUILD_H
#define CAIRN_STORAGE_SEGMENT_BUILD_H

#include "storage/segment.h"

typedef struct st_cairn_segment_build_t {
    const cairn_dir_t *dir;
    cairn_segment_t *segment; /* not in a slot yet */
    uint64_t at;              /* where the next record will lie */
    uint8_t *buffer;          /* what is not in the file yet: `used` bytes that end at `at` */
    size_t used;
    uint64_t lost_keys; /* LOST records added */
    char tmp_name[CAIRN_SEGMENT_NAME_BYTES + sizeof(CAIRN_TMP_SUFFIX)];
} cairn_segment_build_t;

/** what the footer says beside the counts */
typedef struct st_cairn_segment_range_t {
    uint64_t last; /* the last version covered */
    uint64_t live_horizon;
    uint64_t dropped_version;
    cairn_chain_t chain;
    cairn_loss_t loss; /* but for the keys, which are counted as they are added */
    cairn_seal_reason_t reason;
} cairn_segment_range_t;

/**
 * Begins a segment of a generation above 0, for at most `segment_bytes`.
 * Errors: DISK_FULL, NO_FILES, NOMEM, IO; then there is nothing to abandon.
 */
cairn_err_t cairn_segment_build_begin(cairn_segment_build_t *build, const cairn_dir_t *dir,
                                      uint64_t first_version, uint32_t generation,
                                      uint64_t segment_bytes);

/** Whether a record of so many bytes still fits. */
bool cairn_segment_build_fits(const cairn_segment_build_t *build, uint64_t bytes);

/**
 * Adds a copy of a record, a PUT, DELETE or LOST, that fits: its head says where it lies now and
 * that it belongs to no batch, the rest stays. `head` is the record's, `rest` what follows it,
 * padding included; it may lie in a map: a page that the disk cannot deliver is IO.
 *
 * Errors: DISK_FULL, IO.
 */
cairn_err_t cairn_segment_build_add(cairn_segment_build_t *build, const cairn_record_t *head,
                                    const void *rest);

/** Writes what has been added so far and makes it durable. Errors: DISK_FULL, IO. */
cairn_err_t cairn_segment_build_flush(cairn_segment_build_t *build);

/**
 * Ends it, durably, under its name; this is the moment from which it is what an open finds.
 * `*segment` is mapped, sealed, and the caller's, and the build is over.
 *
 * Errors: DISK_FULL, IO, NOMEM: it has not taken its place and is to be abandoned; FAILED: whether
 * it has will be seen at the next open.
 */
cairn_err_t cairn_segment_build_end(cairn_segment_build_t *build, cairn_space_t *space,
                                    const cairn_segment_range_t *range, cairn_segment_t **segment);

/** Leaves nothing behind. */
void cairn_segment_build_abandon(cairn_segment_build_t *build);

#endif

/*
 * storage/segment_internal.h - what making a segment file in one go shares with segment.c.
 */
#ifndef CAIRN_STORAGE_SEGMENT_INTERNAL_H
#define CAIRN_STORAGE_SEGMENT_INTERNAL_H

#include "storage/segment.h"

/** What is wrong with a segment's header, or NULL. */
const char *cairn_segment_header_fault(const cairn_segment_header_t *header,
                                       const cairn_dir_t *dir);

/** A segment of a file, which it owns; NULL when there is no memory. It has no slot yet. */
cairn_segment_t *cairn_segment_new(int fd, uint64_t bytes);

/** Gives the segment a salt and writes its header, not synced. Errors: DISK_FULL, IO. */
cairn_err_t cairn_segment_write_header(cairn_segment_t *segment, const cairn_dir_t *dir);

/** Takes a slot, CAIRN_SLOT_ANY or this one, and maps the file there. Errors: NOMEM. */
cairn_err_t cairn_segment_map(cairn_segment_t *segment, cairn_space_t *space, uint32_t slot);

/** A sealed segment is read through its map and needs no descriptor. */
void cairn_segment_close_file(cairn_segment_t *segment);

#endif

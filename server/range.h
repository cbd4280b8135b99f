/*
 * server/range.h - which bytes of a value a request wants (RFC 9110, section 14).
 */
#ifndef CAIRN_SERVER_RANGE_H
#define CAIRN_SERVER_RANGE_H

#include "storage/types.h"

typedef enum en_cairn_range_result_t {
    CAIRN_RANGE_WHOLE,        /* no range that is served: several, another unit, or nonsense */
    CAIRN_RANGE_PART,         /* `*first` to `*last`, both included */
    CAIRN_RANGE_UNSATISFIABLE /* 416 */
} cairn_range_result_t;

/** Reads a Range header for a value of `size` bytes. */
cairn_range_result_t cairn_range_parse(cairn_bytes_t text, uint64_t size, uint64_t *first,
                                       uint64_t *last);

#endif

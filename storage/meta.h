/*
 * storage/meta.h - what is stored beside a value: a list of tagged fields.
 *
 * A field is {tag u8, zero u8, bytes u16, content}; tags are part of the format (docs/FORMAT.md).
 */
#ifndef CAIRN_STORAGE_META_H
#define CAIRN_STORAGE_META_H

#include "storage/types.h"

typedef enum en_cairn_meta_tag_t {
    CAIRN_META_CONTENT_TYPE = 1,
    CAIRN_META_USER = 2, /* one `Cairn-Meta-*` header: name, NUL, value */
    CAIRN_META_CONTENT_ENCODING = 3,
    CAIRN_META_CACHE_CONTROL = 4,
    CAIRN_META_IDEMPOTENCY = 5 /* 16 bytes */
} cairn_meta_tag_t;

/** meta under construction, on the caller's stack */
typedef struct st_cairn_meta_builder_t {
    size_t count;
    uint8_t bytes[CAIRN_META_BYTES_MAX];
} cairn_meta_builder_t;

/** Adds a field; false when it does not fit. */
bool cairn_meta_add(cairn_meta_builder_t *builder, cairn_meta_tag_t tag, cairn_bytes_t content);

/**
 * Walks the fields: `*at` begins at 0. Returns false at the end, or where the bytes are not a list
 * of fields. `content` points into `meta`.
 */
bool cairn_meta_next(cairn_bytes_t meta, size_t *at, cairn_meta_tag_t *tag, cairn_bytes_t *content);

#endif

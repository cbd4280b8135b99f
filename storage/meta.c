/*
 * storage/meta.c - what is stored beside a value: a list of tagged fields.
 */
#include "storage/meta.h"

#include <string.h>

#define FIELD_HEAD_BYTES 4

bool cairn_meta_add(cairn_meta_builder_t *builder, cairn_meta_tag_t tag, cairn_bytes_t content)
{
    if (content.count > sizeof(builder->bytes) - builder->count ||
        content.count + FIELD_HEAD_BYTES > sizeof(builder->bytes) - builder->count)
        return false;
    uint8_t *field = builder->bytes + builder->count;
    uint16_t bytes = (uint16_t)content.count;
    field[0] = (uint8_t)tag;
    field[1] = 0;
    memcpy(field + 2, &bytes, sizeof(bytes));
    if (content.count != 0)
        memcpy(field + FIELD_HEAD_BYTES, content.base, content.count);
    builder->count += FIELD_HEAD_BYTES + content.count;
    return true;
}

bool cairn_meta_next(cairn_bytes_t meta, size_t *at, cairn_meta_tag_t *tag, cairn_bytes_t *content)
{
    if (meta.count < FIELD_HEAD_BYTES || *at > meta.count - FIELD_HEAD_BYTES)
        return false;
    const uint8_t *field = (const uint8_t *)meta.base + *at;
    uint16_t bytes;
    memcpy(&bytes, field + 2, sizeof(bytes));
    if (bytes > meta.count - *at - FIELD_HEAD_BYTES)
        return false;
    *tag = (cairn_meta_tag_t)field[0];
    *content = (cairn_bytes_t){.base = field + FIELD_HEAD_BYTES, .count = bytes};
    *at += FIELD_HEAD_BYTES + bytes;
    return true;
}

/*
 * storage/record.h - the bytes of one record: how they are laid out, summed and checked.
 *
 * docs/FORMAT.md is the page to read beside this; the static_asserts below keep the two together.
 * Everything here works on memory and asks nothing of the system.
 */
#ifndef CAIRN_STORAGE_RECORD_H
#define CAIRN_STORAGE_RECORD_H

#include <assert.h>

#include "storage/types.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little endian, and so are we");

/** records begin at multiples of this, in bytes; a location counts in it */
#define CAIRN_RECORD_ALIGN 8

typedef enum en_cairn_record_type_t {
    CAIRN_RECORD_PUT = 1,
    CAIRN_RECORD_DELETE = 2, /* a tombstone: no value */
    CAIRN_RECORD_MARK = 3,   /* opens a group commit; value: cairn_mark_t */
    CAIRN_RECORD_LINK = 4,   /* opens a log segment; value: cairn_link_t */
    CAIRN_RECORD_LOST = 5    /* in the place of a PUT of which only the key is known any more */
} cairn_record_type_t;

/** the next record belongs to the same atomic batch */
#define CAIRN_RECORD_MORE 0x01

typedef struct st_cairn_record_t {
    uint64_t head_sum; /* binds the 40 bytes below, key and meta to this file and offset; never 0 */
    uint64_t body_sum; /* XXH3-64 of key, meta and value: content only, so it may be copied along */
    uint64_t version;  /* MARK and LINK: that of the last record before them */
    uint32_t value_bytes;
    uint16_t key_bytes;
    uint16_t meta_bytes;
    uint64_t written; /* bits 0-47: ms since 1970; 48-55: type; 56-63: flags */
    uint64_t expiry;  /* bits 0-47: ms since 1970, 0 for never; the rest is zero */
} cairn_record_t;
/* followed by key, meta, value and zeroes up to CAIRN_RECORD_ALIGN */

#define CAIRN_RECORD_HEAD_BYTES 48
static_assert(sizeof(cairn_record_t) == CAIRN_RECORD_HEAD_BYTES, "docs/FORMAT.md");
static_assert(offsetof(cairn_record_t, body_sum) == 8, "docs/FORMAT.md");
static_assert(offsetof(cairn_record_t, version) == 16, "docs/FORMAT.md");
static_assert(offsetof(cairn_record_t, value_bytes) == 24, "docs/FORMAT.md");
static_assert(offsetof(cairn_record_t, key_bytes) == 28, "docs/FORMAT.md");
static_assert(offsetof(cairn_record_t, meta_bytes) == 30, "docs/FORMAT.md");
static_assert(offsetof(cairn_record_t, written) == 32, "docs/FORMAT.md");
static_assert(offsetof(cairn_record_t, expiry) == 40, "docs/FORMAT.md");

/** XXH3-128 chained over all records so far: equal chains mean equal logs */
typedef struct st_cairn_chain_t {
    uint64_t low, high;
} cairn_chain_t;

/** what the commit that begins here promises of the commits before it, and says of itself */
typedef struct st_cairn_mark_t {
    uint64_t durable_version; /* every record up to here was synced before this was written */
    uint64_t epoch;           /* 0 on one machine */
    cairn_chain_t chain;      /* after this commit */
    uint32_t commit_records;  /* that follow in this commit */
    uint32_t commit_bytes;    /* of those records, padding included */
} cairn_mark_t;
static_assert(sizeof(cairn_mark_t) == 40, "docs/FORMAT.md");

/** where the log came from: finds a lost tail or a lost file */
typedef struct st_cairn_link_t {
    uint64_t previous_first; /* first version of the segment before; 0 if this is the first */
    uint64_t previous_end;   /* where its records end */
    uint64_t previous_salt;
    cairn_chain_t chain; /* before this segment */
} cairn_link_t;
static_assert(sizeof(cairn_link_t) == 40, "docs/FORMAT.md");

#define CAIRN_MS48_MAX (((uint64_t)1 << 48) - 1)

static inline cairn_record_type_t cairn_record_type(const cairn_record_t *r)
{
    return (cairn_record_type_t)(r->written >> 48 & 0xff);
}

/** whether a key has something by it: a value, or the knowledge that it had one */
static inline bool cairn_record_type_gives(cairn_record_type_t type)
{
    return type == CAIRN_RECORD_PUT || type == CAIRN_RECORD_LOST;
}

/** of a key: what a user has written */
static inline bool cairn_record_is_data(const cairn_record_t *r)
{
    cairn_record_type_t type = cairn_record_type(r);
    return cairn_record_type_gives(type) || type == CAIRN_RECORD_DELETE;
}

static inline uint8_t cairn_record_flags(const cairn_record_t *r)
{
    return (uint8_t)(r->written >> 56);
}

static inline uint64_t cairn_record_written_ms(const cairn_record_t *r)
{
    return r->written & CAIRN_MS48_MAX;
}

static inline uint64_t cairn_record_expiry_ms(const cairn_record_t *r)
{
    return r->expiry & CAIRN_MS48_MAX;
}

static inline const uint8_t *cairn_record_key(const cairn_record_t *r)
{
    return (const uint8_t *)(r + 1);
}

static inline const uint8_t *cairn_record_meta(const cairn_record_t *r)
{
    return cairn_record_key(r) + r->key_bytes;
}

static inline const uint8_t *cairn_record_value(const cairn_record_t *r)
{
    return cairn_record_meta(r) + r->meta_bytes;
}

/** bytes that a record takes in a segment, padding included */
static inline uint64_t cairn_record_span(size_t key_bytes, size_t meta_bytes, uint64_t value_bytes)
{
    uint64_t bytes = CAIRN_RECORD_HEAD_BYTES + key_bytes + meta_bytes + value_bytes;
    return (bytes + CAIRN_RECORD_ALIGN - 1) & ~(uint64_t)(CAIRN_RECORD_ALIGN - 1);
}

static inline uint64_t cairn_record_bytes(const cairn_record_t *r)
{
    return cairn_record_span(r->key_bytes, r->meta_bytes, r->value_bytes);
}

/**
 * The head sum of a record whose other fields, key and meta are in place behind `r`.
 *
 * `salt` is the segment's, `offset` where the record begins in it, in bytes.
 */
uint64_t cairn_record_head_sum(const cairn_record_t *r, uint64_t salt, uint64_t offset);

/** The body sum of key, meta and value, which lie one behind the other in `count` pieces. */
uint64_t cairn_record_body_sum(const cairn_bytes_t *pieces, size_t count);

/**
 * Whether `r`, with `available` bytes readable from it on, begins a record that was written at this
 * offset of the segment with this salt. Touches header, key and meta; the value is not looked at.
 */
bool cairn_record_head_is_valid(const cairn_record_t *r, uint64_t available, uint64_t salt,
                                uint64_t offset);

/** Whether the content behind a valid head is what was put: body sum and zero padding. */
bool cairn_record_body_is_valid(const cairn_record_t *r);

/** Whether a record with a valid head is for this key. */
bool cairn_record_has_key(const cairn_record_t *r, const cairn_key_t *key);

/**
 * Lays a MARK or a LINK out at `r`: head and value. Returns its span. `version` is that of the last
 * record before it.
 */
uint64_t cairn_record_write_mark(cairn_record_t *r, const cairn_mark_t *mark, uint64_t version,
                                 uint64_t now_ms, uint64_t salt, uint64_t offset);
uint64_t cairn_record_write_link(cairn_record_t *r, const cairn_link_t *link, uint64_t version,
                                 uint64_t now_ms, uint64_t salt, uint64_t offset);
#define CAIRN_MARK_SPAN (CAIRN_RECORD_HEAD_BYTES + sizeof(cairn_mark_t))
#define CAIRN_LINK_SPAN (CAIRN_RECORD_HEAD_BYTES + sizeof(cairn_link_t))

/** Reads the value of a valid MARK or LINK; the caller has checked the type. */
void cairn_record_read_mark(const cairn_record_t *r, cairn_mark_t *mark);
void cairn_record_read_link(const cairn_record_t *r, cairn_link_t *link);

/**
 * The chain after a record: XXH3-128 of the chain before it and the record's bytes 8..47, which do
 * not depend on the file it lies in. LINK and MARK are no part of it.
 */
cairn_chain_t cairn_chain_next(const cairn_chain_t *before, const cairn_record_t *r);

#endif

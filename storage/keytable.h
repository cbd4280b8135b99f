/*
 * storage/keytable.h - the keys of a sealed segment in byte order, in a file beside it.
 *
 * One entry for each key that has a record in the segment: the last one. With it a listing finds
 * its keys in order, an open the index, and a feed the place of a version, without reading the
 * segment. docs/FORMAT.md has the bytes; the static_asserts below keep the two together. A table
 * that is lost, damaged or of another segment is made again: nothing hangs on it but time.
 *
 * Threads: a table does not change once it is open; any number may read it. Those who do are
 * registered with QSBR, online, and may wait for the disk; the segment it belongs to stays.
 */
#ifndef CAIRN_STORAGE_KEYTABLE_H
#define CAIRN_STORAGE_KEYTABLE_H

#include "storage/segment.h"

#define CAIRN_KEYTABLE_FORMAT 1
#define CAIRN_KEYTABLE_HEADER_BYTES 256
/** entries are read, and summed, in blocks of at most this size */
#define CAIRN_KEYTABLE_BLOCK_BYTES 16384
/** the place of every so many-th record is kept */
#define CAIRN_KEYTABLE_PLACE_RECORDS 512
/** a table while it is being made has this behind its name */
#define CAIRN_KEYTABLE_TMP_SUFFIX ".tmp"

typedef struct st_cairn_keytable_header_t {
    char magic[8]; /* "CAIRNKEY" */
    uint32_t format;
    uint32_t header_bytes;
    uint8_t uuid[CAIRN_UUID_BYTES]; /* of the store */
    uint64_t salt;                  /* of the segment */
    uint64_t first_version;
    uint32_t generation;
    uint32_t block_count;
    uint64_t entry_count;
    uint64_t end;          /* of the segment's records */
    uint64_t fold;         /* of them, as in its footer: no other content has this table */
    uint64_t last_version; /* of them */
    uint64_t index_at;     /* where what follows the blocks begins */
    uint64_t index_bytes;  /* of it; it ends the file */
    uint64_t place_count;
    uint64_t index_sum; /* XXH3-64 of it */
    uint8_t zeroes[128];
    uint64_t sum; /* XXH3-64 of the 248 bytes before */
} cairn_keytable_header_t;
static_assert(sizeof(cairn_keytable_header_t) == CAIRN_KEYTABLE_HEADER_BYTES, "docs/FORMAT.md");
static_assert(offsetof(cairn_keytable_header_t, salt) == 32, "docs/FORMAT.md");
static_assert(offsetof(cairn_keytable_header_t, entry_count) == 56, "docs/FORMAT.md");
static_assert(offsetof(cairn_keytable_header_t, index_at) == 88, "docs/FORMAT.md");
static_assert(offsetof(cairn_keytable_header_t, index_sum) == 112, "docs/FORMAT.md");
static_assert(offsetof(cairn_keytable_header_t, sum) == 248, "docs/FORMAT.md");

/** an entry of the index, for each block; one more ends it, which has no bytes and the last key */
typedef struct st_cairn_keytable_block_t {
    uint64_t at;        /* in the file */
    uint64_t sum;       /* XXH3-64 of its bytes */
    uint32_t bytes;     /* at most CAIRN_KEYTABLE_BLOCK_BYTES */
    uint32_t count;     /* of entries */
    uint32_t key_at;    /* its first key, counted from behind the places */
    uint32_t key_bytes; /* of that */
} cairn_keytable_block_t;
static_assert(sizeof(cairn_keytable_block_t) == 32, "docs/FORMAT.md");

/** where a record is */
typedef struct st_cairn_keytable_place_t {
    uint64_t version;
    uint64_t offset; /* in the segment */
} cairn_keytable_place_t;
static_assert(sizeof(cairn_keytable_place_t) == 16, "docs/FORMAT.md");

/** what stands in front of a key in a block, not aligned */
typedef struct st_cairn_keytable_entry_t {
    uint64_t version;
    uint64_t offset; /* of the record in the segment */
    uint64_t expiry; /* bits 0-47: ms since 1970, 0 for never; 48-55: type; the rest is zero */
    uint32_t value_bytes;
    uint16_t key_bytes;
    uint16_t meta_bytes;
} cairn_keytable_entry_t;
static_assert(sizeof(cairn_keytable_entry_t) == 32, "docs/FORMAT.md");

static inline uint64_t cairn_keytable_expiry_ms(const cairn_keytable_entry_t *entry)
{
    return entry->expiry & CAIRN_MS48_MAX;
}

static inline cairn_record_type_t cairn_keytable_type(const cairn_keytable_entry_t *entry)
{
    return (cairn_record_type_t)(entry->expiry >> 48);
}

typedef struct st_cairn_keytable_t cairn_keytable_t;

#define CAIRN_KEYTABLE_NAME_BYTES 40

/** The name of a segment's table: "<first version>-<generation>.keys". */
void cairn_keytable_name(char name[CAIRN_KEYTABLE_NAME_BYTES], uint64_t first_version,
                         uint32_t generation);

/** Whether `name` is one that cairn_keytable_name() writes, with or without the suffix of one that
 * is being made; and its parts. */
bool cairn_keytable_name_parse(const char *name, uint64_t *first_version, uint32_t *generation);

/**
 * Opens the table of a sealed segment: header and index are read and checked, each block is when it
 * is read.
 *
 * Owner: the caller, with cairn_keytable_close().
 * Errors: NOT_FOUND; CORRUPT: damaged, cut or of another segment, `errmsg` says which; IO, NOMEM.
 */
cairn_err_t cairn_keytable_open(cairn_keytable_t **table, const cairn_segment_t *segment,
                                const cairn_dir_t *dir, char *errmsg);

/**
 * Makes the table of a sealed segment, whatever there was before, and opens it: written aside,
 * synced, renamed. In memory-only mode it is a file in memory.
 *
 * `go_on`, which may be NULL, is asked now and then; false ends it with CANCELLED.
 * Errors: DAMAGED (the segment), IO, DISK_FULL, NOMEM; nothing is left behind.
 */
cairn_err_t cairn_keytable_make(cairn_keytable_t **table, cairn_segment_t *segment,
                                const cairn_dir_t *dir, bool (*go_on)(void *ctx), void *ctx);

/** The table of a segment, which the caller has pinned; NULL while it has no good one. Threads:
 * any.
 */
cairn_keytable_t *cairn_keytable_of(const cairn_segment_t *segment);

/** Nobody reads it any more. NULL is fine. */
void cairn_keytable_close(cairn_keytable_t *table);

/** Reads all of it: every block, the order of the keys. Errors: DAMAGED, IO, NOMEM. */
cairn_err_t cairn_keytable_verify(const cairn_keytable_t *table);

/**
 * Compares a table with its segment: each entry with the last record of its key, and that no key is
 * missing. Takes as long, and as much memory, as making one.
 *
 * `go_on` as above. Errors: CORRUPT: they do not agree; DAMAGED, IO: of the table or the segment;
 * NOMEM, CANCELLED.
 */
cairn_err_t cairn_keytable_check(const cairn_keytable_t *table, cairn_segment_t *segment,
                                 bool (*go_on)(void *ctx), void *ctx);

uint64_t cairn_keytable_entry_count(const cairn_keytable_t *table);
uint64_t cairn_keytable_file_bytes(const cairn_keytable_t *table);

/** Its least and its greatest key; false if it has none. They live as long as the table. */
bool cairn_keytable_bounds(const cairn_keytable_t *table, cairn_bytes_t *least,
                           cairn_bytes_t *greatest);

/**
 * Where in the segment a walk begins that wants `version`: the offset of a record at or before it,
 * at most CAIRN_KEYTABLE_PLACE_RECORDS before, or of the first one.
 */
uint64_t cairn_keytable_offset_of(const cairn_keytable_t *table, uint64_t version);

/** a place in a table; zeroed but for `table`, it is before the first entry */
typedef struct st_cairn_keytable_cursor_t {
    const cairn_keytable_t *table;
    cairn_keytable_entry_t entry; /* where it stands */
    cairn_bytes_t key;            /* of it; until the cursor moves */
    uint8_t *_room;               /* the block, copied */
    size_t _block;                /* the one that comes after it */
    size_t _at;                   /* in it */
    size_t _bytes;                /* of it */
    uint32_t _left;               /* entries of it */
} cairn_keytable_cursor_t;

/**
 * Moves to the first entry whose key is `key` or greater. OK; NOT_FOUND if there is none; DAMAGED,
 * IO, NOMEM.
 */
cairn_err_t cairn_keytable_seek(cairn_keytable_cursor_t *cursor, cairn_bytes_t key);

/** Moves to the next entry. Results as above. */
cairn_err_t cairn_keytable_next(cairn_keytable_cursor_t *cursor);

/**
 * Keys of the entries to come, as far as they are in memory and sound, at most `max`; how many.
 * They stay until the cursor is moved past them.
 */
size_t cairn_keytable_peek(const cairn_keytable_cursor_t *cursor, cairn_bytes_t *keys, size_t max);

void cairn_keytable_cursor_dispose(cairn_keytable_cursor_t *cursor);

/** Keys in the order of a table: less than 0, 0, more. */
int cairn_key_compare(cairn_bytes_t a, cairn_bytes_t b);

#endif

/*
 * tests/fuzz/keytable.c - the key table of a segment: reading any bytes as one, and making one of
 * any records.
 *
 * The first byte says which, and what is made good so that the fuzzer gets past the sums. A table
 * is its header's varying part and what stands behind the header; a segment is what stands behind
 * its header.
 */
#include "storage/keytable_internal.h"

#include <fcntl.h>
#include <string.h>

#include <xxhash.h>

#include "storage/os.h"
#include "storage/store.h"
#include "tests/fuzz/fuzz.h"

#define FILE_BYTES ((size_t)64 << 10)
#define SALT 0x5a17
#define SEGMENT_END 65536 /* of the one that a table is read for */
#define FD 1000

/** bits of the first byte */
#define MAKE 1          /* a table of records, else read one */
#define GOOD_LENGTHS 2  /* counts and parts of the index fit the file */
#define GOOD_BLOCKS 4   /* blocks lie one behind the other, with their sums */
#define GOOD_SUM 8      /* of the index */
#define BAD_HEADER 0x80 /* the header's sum is left as it is */

/** what varies of the header, in the order of the input */
typedef struct st_varying_t {
    uint64_t entry_count;
    uint64_t index_at;
    uint64_t index_bytes;
    uint64_t place_count;
    uint32_t block_count;
} varying_t;

static uint8_t file[FILE_BYTES];
static size_t file_bytes;
static _Alignas(8) uint8_t map[FILE_BYTES];

/* ---------------------------------------------------------------- a file in memory */

static int fuzz_open(int dir, const char *name, int flags)
{
    (void)dir;
    (void)name;
    (void)flags;
    return FD;
}

static int fuzz_memory_file(const char *name)
{
    (void)name;
    file_bytes = 0;
    memset(file, 0, sizeof(file));
    return FD;
}

static int fuzz_close(int fd)
{
    (void)fd;
    return 0;
}

static int64_t fuzz_size(int fd)
{
    (void)fd;
    return (int64_t)file_bytes;
}

static int64_t fuzz_pread(int fd, void *base, size_t count, uint64_t offset)
{
    (void)fd;
    if (offset >= file_bytes)
        return 0;
    size_t n = count < file_bytes - offset ? count : file_bytes - offset;
    memcpy(base, file + offset, n);
    return (int64_t)n;
}

static int64_t fuzz_pwritev(int fd, const struct iovec *iov, int iov_count, uint64_t offset)
{
    (void)fd;
    MUST(iov_count == 1 && offset <= FILE_BYTES && iov->iov_len <= FILE_BYTES - offset);
    memcpy(file + offset, iov->iov_base, iov->iov_len);
    if (offset + iov->iov_len > file_bytes)
        file_bytes = offset + iov->iov_len;
    return (int64_t)iov->iov_len;
}

/* a map is a copy, of exactly the pages that it has */
static void *fuzz_reserve(size_t bytes)
{
    return calloc(1, bytes);
}

static int fuzz_unreserve(void *base, size_t bytes)
{
    (void)bytes;
    free(base);
    return 0;
}

static int fuzz_map(void *at, size_t bytes, int fd)
{
    (void)fd;
    memcpy(at, file, bytes < file_bytes ? bytes : file_bytes);
    return 0;
}

static int fuzz_touch(const void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
    return 0;
}

static bool fuzz_is_resident(const void *base, size_t bytes)
{
    (void)base;
    (void)bytes;
    return true;
}

static void use_memory(void)
{
    static cairn_os_t os;
    if (cairn_os == &os)
        return;
    os = cairn_os_real;
    os.open = fuzz_open;
    os.memory_file = fuzz_memory_file;
    os.close = fuzz_close;
    os.size = fuzz_size;
    os.pread = fuzz_pread;
    os.pwritev = fuzz_pwritev;
    os.reserve = fuzz_reserve;
    os.unreserve = fuzz_unreserve;
    os.map = fuzz_map;
    os.will_need = fuzz_touch;
    os.populate = fuzz_touch;
    os.is_resident = fuzz_is_resident;
    cairn_os = &os;
    cairn_thread_register();
}

/* ---------------------------------------------------------------- reading */

/** what a listing, a feed and a start ask of a table, whatever is in it */
static void ask(const cairn_keytable_t *table, cairn_bytes_t key)
{
    cairn_keytable_cursor_t cursor = {.table = table};
    cairn_bytes_t least, greatest;
    if (cairn_keytable_bounds(table, &least, &greatest))
        MUST(least.count <= CAIRN_KEY_BYTES_MAX && greatest.count <= CAIRN_KEY_BYTES_MAX);
    for (uint64_t version = 0; version < 8; ++version) {
        uint64_t at = cairn_keytable_offset_of(table, version * 100);
        MUST(at >= CAIRN_SEGMENT_HEADER_BYTES && at < SEGMENT_END && at % 8 == 0);
    }
    bool is_good = cairn_keytable_verify(table) == CAIRN_OK;
    uint64_t entries = 0;
    cairn_err_t err;
    while ((err = cairn_keytable_next(&cursor)) == CAIRN_OK) {
        MUST(cursor.key.count >= 1 && cursor.key.count <= CAIRN_KEY_BYTES_MAX);
        ++entries;
    }
    MUST(!is_good || (err == CAIRN_ERR_NOT_FOUND && entries == cairn_keytable_entry_count(table)));
    err = cairn_keytable_seek(&cursor, key);
    MUST(err != CAIRN_OK || cairn_key_compare(cursor.key, key) >= 0);
    cairn_keytable_cursor_dispose(&cursor);
}

/** blocks one behind the other before the index, with the sums of what lies there */
static void stamp_blocks(cairn_keytable_header_t *h)
{
    uint64_t at = CAIRN_KEYTABLE_HEADER_BYTES;
    h->entry_count = 0;
    for (uint32_t i = 0; i <= h->block_count; ++i) {
        cairn_keytable_block_t block;
        uint8_t *there = file + h->index_at + i * sizeof(block);
        memcpy(&block, there, sizeof(block));
        uint64_t left = h->index_at - at;
        block.at = at;
        block.bytes = i == h->block_count       ? 0
                      : i + 1 == h->block_count ? (uint32_t)left
                                                : (uint32_t)(block.bytes % (left + 1));
        block.count = i == h->block_count ? 0 : block.count % 64;
        block.sum = XXH3_64bits(file + at, block.bytes);
        at += block.bytes;
        h->entry_count += block.count;
        memcpy(there, &block, sizeof(block));
    }
}

static void stamp(cairn_keytable_header_t *h, const cairn_segment_t *segment,
                  const cairn_dir_t *dir, uint8_t which)
{
    uint64_t rest = file_bytes - CAIRN_KEYTABLE_HEADER_BYTES;
    memcpy(h->magic, "CAIRNKEY", 8);
    h->format = CAIRN_KEYTABLE_FORMAT;
    h->header_bytes = CAIRN_KEYTABLE_HEADER_BYTES;
    memcpy(h->uuid, dir->uuid, sizeof(h->uuid));
    h->salt = segment->salt;
    h->first_version = segment->first_version;
    h->end = SEGMENT_END;
    if ((which & GOOD_LENGTHS) != 0) {
        h->block_count %= 4;
        h->place_count %= 4;
        uint64_t parts = (h->block_count + 1) * sizeof(cairn_keytable_block_t) +
                         h->place_count * sizeof(cairn_keytable_place_t);
        if (parts <= rest) {
            h->index_bytes = parts + h->index_bytes % (rest - parts + 1);
            h->index_at = file_bytes - h->index_bytes;
            if ((which & GOOD_BLOCKS) != 0)
                stamp_blocks(h);
        }
    }
    if ((which & GOOD_SUM) != 0 && h->index_at <= file_bytes &&
        h->index_bytes <= file_bytes - h->index_at)
        h->index_sum = XXH3_64bits(file + h->index_at, h->index_bytes);
    if ((which & BAD_HEADER) == 0)
        h->sum = XXH3_64bits(h, offsetof(cairn_keytable_header_t, sum));
    memcpy(file, h, sizeof(*h));
}

static void read_one(uint8_t which, const uint8_t *bytes, size_t count)
{
    const cairn_dir_t dir = {.fd = 3, .uuid = {1, 2, 3}};
    const cairn_segment_t segment = {.salt = SALT, .first_version = 1, .end = SEGMENT_END};
    cairn_keytable_header_t header = {.format = 0};
    varying_t varying = {.entry_count = 0};
    cairn_keytable_t *table;
    char why[CAIRN_ERRMSG_BYTES] = "";
    size_t in_header = count < sizeof(varying) ? count : sizeof(varying);
    memcpy(&varying, bytes, in_header);
    header.entry_count = varying.entry_count;
    header.index_at = varying.index_at;
    header.index_bytes = varying.index_bytes;
    header.place_count = varying.place_count;
    header.block_count = varying.block_count;
    memset(file, 0, sizeof(header));
    memcpy(file + CAIRN_KEYTABLE_HEADER_BYTES, bytes + in_header, count - in_header);
    file_bytes = CAIRN_KEYTABLE_HEADER_BYTES + count - in_header;
    stamp(&header, &segment, &dir, which);
    cairn_err_t err = cairn_keytable_open(&table, &segment, &dir, why);
    MUST(err == CAIRN_OK || why[0] != '\0');
    if (err != CAIRN_OK)
        return;
    ask(table, (cairn_bytes_t){bytes, count < 8 ? count : 8});
    cairn_keytable_close(table);
}

/* ---------------------------------------------------------------- making */

/** gives records good sums as far as they are of any length; returns where they end */
static uint64_t stamp_records(size_t end)
{
    uint64_t at = CAIRN_SEGMENT_HEADER_BYTES;
    while (at + CAIRN_RECORD_HEAD_BYTES <= end) {
        cairn_record_t *r = (cairn_record_t *)(map + at);
        r->key_bytes %= 64;
        r->meta_bytes %= 64;
        r->value_bytes %= 512;
        uint64_t bytes = cairn_record_bytes(r);
        if (at + bytes > end)
            break;
        r->head_sum = cairn_record_head_sum(r, SALT, at);
        at += bytes;
    }
    return at;
}

static void make_one(uint8_t which, const uint8_t *bytes, size_t count)
{
    static _Atomic uint32_t stamps[1];
    static cairn_space_t *space; /* one for all: its address range is large */
    const cairn_dir_t dir = {.fd = -1, .lock_fd = -1};
    if (space == NULL)
        space = cairn_space_create(sizeof(map));
    MUST(space != NULL);
    memset(map, 0, sizeof(map));
    memcpy(map + CAIRN_SEGMENT_HEADER_BYTES, bytes, count);
    uint64_t end = CAIRN_SEGMENT_HEADER_BYTES + (count & ~(size_t)7);
    uint64_t stamped = stamp_records(end);
    if ((which & GOOD_LENGTHS) != 0)
        end = stamped;
    cairn_segment_t segment = {.salt = SALT,
                               .space = space,
                               .first_version = 1,
                               .map = map,
                               .bytes = sizeof(map),
                               .end = end,
                               .written = end,
                               .stamps = stamps};
    cairn_keytable_t *table;
    cairn_err_t err = cairn_keytable_make(&table, &segment, &dir, NULL, NULL);
    MUST(err == CAIRN_OK || err == CAIRN_ERR_DAMAGED || err == CAIRN_ERR_IO);
    if (err != CAIRN_OK)
        return;
    MUST(cairn_keytable_verify(table) == CAIRN_OK);
    MUST(cairn_keytable_check(table, &segment, NULL, NULL) == CAIRN_OK);
    cairn_keytable_close(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count == 0 || count > FILE_BYTES / 8)
        return 0;
    use_memory();
    if ((bytes[0] & MAKE) != 0)
        make_one(bytes[0], bytes + 1, count - 1);
    else
        read_one(bytes[0], bytes + 1, count - 1);
    return 0;
}

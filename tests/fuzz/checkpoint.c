/*
 * tests/fuzz/checkpoint.c - the header, the table and the dump of a checkpoint.
 *
 * The input is the file behind its header's fixed parts; the sums of header and table are made good
 * where the first byte says so.
 */
#include "storage/checkpoint.h"

#include <errno.h>
#include <string.h>

#include <xxhash.h>

#include "storage/os.h"
#include "tests/fuzz/fuzz.h"

#define FILE_BYTES ((size_t)32 << 10)
#define FD 1000

static uint8_t file[FILE_BYTES];
static size_t file_bytes;

static int fuzz_open(int dir, const char *name, int flags)
{
    (void)dir;
    (void)name;
    (void)flags;
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
    size_t n = count < file_bytes - offset ? count : (size_t)(file_bytes - offset);
    memcpy(base, file + offset, n);
    return (int64_t)n;
}

static int fuzz_read_ahead(int fd, uint64_t offset, uint64_t bytes)
{
    (void)fd;
    (void)offset;
    (void)bytes;
    return 0;
}

static int fuzz_drop_cache(int fd)
{
    (void)fd;
    return 0;
}

static void stamp(const cairn_dir_t *dir, uint8_t which)
{
    cairn_checkpoint_header_t header;
    memcpy(&header, file, sizeof(header));
    memcpy(header.magic, "CAIRNCKP", 8);
    header.format = CAIRN_CHECKPOINT_FORMAT;
    header.header_bytes = CAIRN_CHECKPOINT_HEADER_BYTES;
    memcpy(header.uuid, dir->uuid, sizeof(header.uuid));
    memset(header.zeroes, 0, sizeof(header.zeroes));
    uint64_t rest = file_bytes - sizeof(header);
    if ((which & 1) != 0) { /* lengths that fit the file */
        header.segment_count %= 8;
        uint64_t table = header.segment_count * sizeof(cairn_checkpoint_segment_t);
        if (table <= rest) {
            header.dump_bytes = rest - table;
            header.table_sum = XXH3_64bits(file + sizeof(header) + header.dump_bytes, table);
        }
    }
    if ((which & 2) != 0)
        header.sum = XXH3_64bits(&header, offsetof(cairn_checkpoint_header_t, sum));
    memcpy(file, &header, sizeof(header));
}

static bool on_bytes(void *ctx, uint64_t bytes)
{
    (void)ctx;
    (void)bytes;
    return true;
}

static void load(const cairn_dir_t *dir)
{
    cairn_checkpoint_image_t image = {.fd = -1};
    char why[CAIRN_ERRMSG_BYTES] = "";
    cairn_index_t *index = NULL;
    cairn_err_t err = cairn_checkpoint_open(&image, dir, why);
    if (err == CAIRN_OK)
        err = cairn_checkpoint_load(&image, on_bytes, NULL, &index, why);
    MUST(err == CAIRN_OK || why[0] != '\0');
    MUST(err != CAIRN_OK || index != NULL);
    if (index != NULL)
        cairn_index_destroy(index);
    cairn_checkpoint_close(&image);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static cairn_os_t os;
    cairn_dir_t dir = {.fd = 3, .uuid = {1, 2, 3}};
    if (count < 1 || count > FILE_BYTES - CAIRN_CHECKPOINT_HEADER_BYTES)
        return 0;
    os = cairn_os_real;
    os.open = fuzz_open;
    os.close = fuzz_close;
    os.size = fuzz_size;
    os.pread = fuzz_pread;
    os.read_ahead = fuzz_read_ahead;
    os.drop_cache = fuzz_drop_cache;
    cairn_os = &os;
    memset(file, 0, sizeof(file));
    file_bytes = CAIRN_CHECKPOINT_HEADER_BYTES + count - 1;
    /* what varies of the header comes first in the input */
    size_t varying = offsetof(cairn_checkpoint_header_t, zeroes) -
                     offsetof(cairn_checkpoint_header_t, dump_bytes);
    size_t in_header = count - 1 < varying ? count - 1 : varying;
    memcpy(file + offsetof(cairn_checkpoint_header_t, dump_bytes), bytes + 1, in_header);
    memcpy(file + CAIRN_CHECKPOINT_HEADER_BYTES, bytes + 1, count - 1);
    stamp(&dir, bytes[0]);
    load(&dir);
    return 0;
}

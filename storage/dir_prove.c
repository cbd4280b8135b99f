/*
 * storage/dir_prove.c - whose directory this is, as its other files say, where STORE does not.
 *
 * Segments, key tables and the checkpoint each begin with a header that has the store's uuid and a
 * sum of its own. How far the log went is in those of key tables and of the checkpoint.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "storage/checkpoint.h"
#include "storage/dir_internal.h"
#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/segment.h"

#define NAME_BYTES 64

/** all of them begin alike */
typedef union un_header_t {
    struct {
        char magic[8];
        uint32_t format;
        uint32_t header_bytes;
        uint8_t uuid[CAIRN_UUID_BYTES];
    };
    cairn_segment_header_t segment;
    cairn_keytable_header_t table;
    cairn_checkpoint_header_t checkpoint;
} header_t;

typedef struct st_proof_t {
    cairn_dir_t *dir;
    unsigned files; /* that say the same */
    char first[NAME_BYTES], other[NAME_BYTES];
    bool differ;
    int failure; /* a file could not be opened: not for damage, and it may know more than others */
} proof_t;

/** false where it is damaged, or the disk cannot read it */
static bool read_header(proof_t *proof, const char *name, const char *magic, uint32_t format,
                        uint32_t bytes, header_t *header)
{
    uint64_t sum;
    int fd = cairn_os->open(proof->dir->fd, name, O_RDONLY);
    if (fd < 0) {
        proof->failure = fd != -ENOENT ? fd : proof->failure;
        return false;
    }
    int64_t n = cairn_os->pread(fd, header, bytes, 0);
    cairn_os->close(fd);
    if (n != (int64_t)bytes)
        return false;
    memcpy(&sum, (const uint8_t *)header + bytes - sizeof(sum), sizeof(sum));
    return memcmp(header->magic, magic, sizeof(header->magic)) == 0 && header->format == format &&
           header->header_bytes == bytes && XXH3_64bits(header, bytes - sizeof(sum)) == sum;
}

static void take_uuid(proof_t *proof, const char *name, const header_t *header)
{
    uint8_t *uuid = proof->dir->uuid;
    if (proof->files == 0) {
        memcpy(uuid, header->uuid, CAIRN_UUID_BYTES);
        snprintf(proof->first, sizeof(proof->first), "%s", name);
    } else if (memcmp(uuid, header->uuid, CAIRN_UUID_BYTES) != 0) {
        snprintf(proof->other, sizeof(proof->other), "%s", name);
        proof->differ = true;
        return;
    }
    ++proof->files;
}

static void raise_to(uint64_t *version, uint64_t to)
{
    if (*version < to)
        *version = to;
}

static bool on_entry(void *ctx, const char *name)
{
    proof_t *proof = ctx;
    header_t header;
    uint64_t first;
    uint32_t generation;
    if (strcmp(name, CAIRN_SPARE_NAME) == 0 ||
        cairn_segment_name_parse(name, &first, &generation)) {
        if (read_header(proof, name, "CAIRNSEG", CAIRN_SEGMENT_FORMAT, CAIRN_SEGMENT_HEADER_BYTES,
                        &header))
            take_uuid(proof, name, &header);
    } else if (strcmp(name, CAIRN_CHECKPOINT_NAME) == 0) {
        if (!read_header(proof, name, "CAIRNCKP", CAIRN_CHECKPOINT_FORMAT,
                         CAIRN_CHECKPOINT_HEADER_BYTES, &header))
            return true;
        take_uuid(proof, name, &header);
        raise_to(&proof->dir->durable_version, header.checkpoint.durable_version);
        raise_to(&proof->dir->newest_first, header.checkpoint.position_first);
    } else if (cairn_keytable_name_parse(name, &first, &generation)) {
        if (!read_header(proof, name, "CAIRNKEY", CAIRN_KEYTABLE_FORMAT,
                         CAIRN_KEYTABLE_HEADER_BYTES, &header))
            return true;
        take_uuid(proof, name, &header);
        raise_to(&proof->dir->durable_version, header.table.last_version);
    }
    return !proof->differ;
}

cairn_err_t cairn_dir_prove(cairn_dir_t *dir, const char *path, char *errmsg)
{
    proof_t proof = {.dir = dir};
    dir->newest_first = dir->durable_version = dir->accepted = 0;
    dir->closed = (cairn_closed_t){.end = 0};
    int listed = cairn_os->list(dir->fd, on_entry, &proof);
    int failure = listed < 0 ? listed : proof.failure;
    if (failure < 0) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES,
                 "%s: STORE is damaged or gone, and the other files cannot be looked at: %s", path,
                 strerror(-failure));
        return CAIRN_ERR_IO;
    }
    if (proof.differ) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES,
                 "%s: STORE is damaged or gone, and %s and %s are of different stores: move away "
                 "what does not belong there",
                 path, proof.first, proof.other);
        return CAIRN_ERR_CORRUPT;
    }
    if (proof.files == 0) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES,
                 "%s: STORE is damaged or gone, and no file there says whose directory this is: "
                 "restore the store from a backup or snapshot",
                 path);
        return CAIRN_ERR_CORRUPT;
    }
    dir->proven_by = proof.files;
    return CAIRN_OK;
}

/*
 * storage/segment.c - one file of the log, mapped read-only, and the address space they share.
 */
#include "storage/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "storage/file.h"
#include "storage/guard.h"
#include "storage/keytable.h"
#include "storage/os.h"
#include "storage/segment_internal.h"

/** how many segments may be mapped at once: the kernel allows a process 65,530 maps by default */
#define SLOTS_MAX 65000
#define SLOTS_MIN 8
/** a map is given back in pieces of this size */
#define UNMAP_BYTES ((size_t)16 << 20)
/** zeroes are laid down in pieces of this size */
#define ZERO_PIECE_BYTES ((size_t)256 << 10)

struct st_cairn_space_t {
    uint8_t *base;
    unsigned slot_shift; /* log2 of the slot's bytes */
    uint32_t slot_count;
    pthread_mutex_t mutex; /* a leaf: slots are taken and left by maintenance and by upkeep */
    uint32_t next_slot;    /* where the search for a free slot goes on; guarded by mutex */
    /* release when a segment is mapped, acquire by those who come from the index */
    _Atomic(cairn_segment_t *) *slots;
    _Atomic uint32_t last_load; /* of storage/residency.c */
};

cairn_space_t *cairn_space_create(uint64_t segment_bytes)
{
    cairn_space_t *space = cairn_os->calloc(1, sizeof(*space));
    if (space == NULL)
        return NULL;
    pthread_mutex_init(&space->mutex, NULL);
    space->slot_shift = 16;
    while (((uint64_t)1 << space->slot_shift) < segment_bytes)
        ++space->slot_shift;
    uint64_t slots = (CAIRN_LOC_MAX + 1) * CAIRN_RECORD_ALIGN >> space->slot_shift;
    space->slot_count = slots < SLOTS_MAX ? (uint32_t)slots : SLOTS_MAX;
    do
        space->base = cairn_os->reserve((size_t)space->slot_count << space->slot_shift);
    while (space->base == NULL && (space->slot_count /= 2) >= SLOTS_MIN);
    if (space->base != NULL)
        space->slots = cairn_os->calloc(space->slot_count, sizeof(*space->slots));
    if (space->slots == NULL) {
        cairn_space_destroy(space);
        return NULL;
    }
    return space;
}

void cairn_space_destroy(cairn_space_t *space)
{
    if (space->slots != NULL)
        for (uint32_t i = 0; i < space->slot_count; ++i)
            assert(atomic_load_explicit(&space->slots[i], memory_order_relaxed) == NULL);
    if (space->base != NULL)
        cairn_os->unreserve(space->base, cairn_space_bytes(space));
    pthread_mutex_destroy(&space->mutex);
    cairn_os->free(space->slots);
    cairn_os->free(space);
}

unsigned cairn_space_slot_shift(const cairn_space_t *space)
{
    return space->slot_shift;
}

void cairn_space_leave_slots(cairn_space_t *space, uint32_t count)
{
    space->next_slot = count;
}

_Atomic uint32_t *cairn_space_last_load(cairn_space_t *space)
{
    return &space->last_load;
}

uint64_t cairn_space_bytes(const cairn_space_t *space)
{
    return (uint64_t)space->slot_count << space->slot_shift;
}

cairn_segment_t *cairn_space_segment(const cairn_space_t *space, cairn_loc_t loc)
{
    uint64_t slot = loc * CAIRN_RECORD_ALIGN >> space->slot_shift;
    assert(slot < space->slot_count);
    /* acquire: pairs with the release in take_slot() */
    cairn_segment_t *segment = atomic_load_explicit(&space->slots[slot], memory_order_acquire);
    assert(segment != NULL);
    return segment;
}

const cairn_record_t *cairn_space_record(const cairn_space_t *space, cairn_loc_t loc)
{
    return (const cairn_record_t *)(space->base + loc * CAIRN_RECORD_ALIGN);
}

cairn_loc_t cairn_segment_loc(const cairn_segment_t *segment, uint64_t offset)
{
    assert(offset % CAIRN_RECORD_ALIGN == 0 && offset < segment->bytes);
    return (((uint64_t)segment->slot << segment->space->slot_shift) + offset) / CAIRN_RECORD_ALIGN;
}

uint64_t cairn_segment_offset(const cairn_segment_t *segment, cairn_loc_t loc)
{
    return loc * CAIRN_RECORD_ALIGN - ((uint64_t)segment->slot << segment->space->slot_shift);
}

static bool find_slot_locked(cairn_space_t *space, uint32_t *slot)
{
    for (uint32_t tried = 0; tried < space->slot_count; ++tried) {
        *slot = (space->next_slot + tried) % space->slot_count;
        if (atomic_load_explicit(&space->slots[*slot], memory_order_relaxed) == NULL) {
            space->next_slot = *slot + 1;
            return true;
        }
    }
    return false;
}

static bool is_free_locked(const cairn_space_t *space, uint32_t slot)
{
    return slot < space->slot_count &&
           atomic_load_explicit(&space->slots[slot], memory_order_relaxed) == NULL;
}

/** the slot is the segment's from now on, though nothing is mapped there yet: no location that
 * anybody knows lies in it */
static bool take_slot(cairn_space_t *space, cairn_segment_t *segment, uint32_t slot)
{
    pthread_mutex_lock(&space->mutex);
    bool is_taken =
        slot == CAIRN_SLOT_ANY ? find_slot_locked(space, &slot) : is_free_locked(space, slot);
    if (is_taken) {
        segment->slot = slot;
        segment->space = space;
        segment->map = space->base + ((uint64_t)slot << space->slot_shift);
        /* release: pairs with the acquire in cairn_space_segment() */
        atomic_store_explicit(&space->slots[slot], segment, memory_order_release);
    }
    pthread_mutex_unlock(&space->mutex);
    return is_taken;
}

/** what was mapped there is not any more: from now on another thread may take it */
static void leave_slot(cairn_segment_t *segment)
{
    cairn_space_t *space = segment->space;
    pthread_mutex_lock(&space->mutex);
    atomic_store_explicit(&space->slots[segment->slot], NULL, memory_order_release);
    pthread_mutex_unlock(&space->mutex);
    segment->map = NULL;
}

cairn_err_t cairn_segment_map(cairn_segment_t *segment, cairn_space_t *space, uint32_t slot)
{
    if (segment->bytes > (uint64_t)1 << space->slot_shift || !take_slot(space, segment, slot))
        return CAIRN_ERR_NOMEM;
    size_t blocks = (segment->bytes + CAIRN_BLOCK_BYTES - 1) / CAIRN_BLOCK_BYTES;
    segment->stamps = cairn_os->calloc(blocks, sizeof(*segment->stamps));
    /* the whole slot, though the file may be shorter: a gap would cost a second map of the process
     */
    if (segment->stamps == NULL ||
        cairn_os->map(segment->map, (size_t)1 << space->slot_shift, segment->fd) < 0) {
        leave_slot(segment);
        return CAIRN_ERR_NOMEM;
    }
    return CAIRN_OK;
}

cairn_segment_t *cairn_segment_new(int fd, uint64_t bytes)
{
    cairn_segment_t *segment = cairn_os->calloc(1, sizeof(*segment));
    if (segment != NULL) {
        segment->fd = fd;
        segment->bytes = segment->bytes_made = bytes;
        atomic_init(&segment->end, CAIRN_SEGMENT_HEADER_BYTES);
        atomic_init(&segment->written, CAIRN_SEGMENT_HEADER_BYTES);
    }
    return segment;
}

void cairn_segment_close_file(cairn_segment_t *segment)
{
    if (segment->fd >= 0)
        cairn_os->close(segment->fd);
    segment->fd = -1;
}

/** piece by piece: while the kernel drops pages of one, nobody else's page fault gets through */
static void unmap(const cairn_segment_t *segment)
{
    size_t bytes = (size_t)1 << segment->space->slot_shift;
    for (size_t at = 0; at < bytes; at += UNMAP_BYTES)
        cairn_os->unmap(segment->map + at, bytes - at < UNMAP_BYTES ? bytes - at : UNMAP_BYTES);
}

void cairn_segment_close(cairn_segment_t *segment)
{
    assert(atomic_load_explicit(&segment->pins, memory_order_acquire) == 0);
    if (segment->map != NULL) {
        unmap(segment);
        leave_slot(segment);
    }
    cairn_segment_close_file(segment);
    cairn_keytable_close(atomic_load_explicit(&segment->keys, memory_order_acquire));
    cairn_os->free(segment->stamps);
    cairn_os->free(segment);
}

static cairn_err_t zero_fill(int fd, uint64_t bytes, const cairn_segment_create_t *how)
{
    static uint8_t
        zeroes[ZERO_PIECE_BYTES]; /* never written; not const, or it would be in the file */
    cairn_err_t err = CAIRN_OK;
    bool fill_on = true;
    for (uint64_t offset = 0; offset < bytes && err == CAIRN_OK && fill_on;
         offset += sizeof(zeroes)) {
        uint64_t count = bytes - offset < sizeof(zeroes) ? bytes - offset : sizeof(zeroes);
        err = cairn_file_write_all(fd, zeroes, count, offset);
        /* what is dirty all at once would be waited for by the next commit's sync */
        if (err == CAIRN_OK)
            err = cairn_file_err_of(cairn_os->sync(fd));
        if (err == CAIRN_OK)
            fill_on = how->fill_on(how->ctx);
    }
    return err;
}

cairn_err_t cairn_segment_write_header(cairn_segment_t *segment, const cairn_dir_t *dir)
{
    cairn_segment_header_t header = {
        .magic = {'C', 'A', 'I', 'R', 'N', 'S', 'E', 'G'},
        .format = CAIRN_SEGMENT_FORMAT,
        .header_bytes = CAIRN_SEGMENT_HEADER_BYTES,
        .first_version = segment->generation != 0 ? segment->first_version : 0,
        .generation = segment->generation,
        .created_ms = cairn_os->now_ms(),
        .segment_bytes = segment->bytes,
    };
    if (cairn_os->random(&segment->salt, sizeof(segment->salt)) < 0)
        return CAIRN_ERR_IO;
    header.salt = segment->salt;
    memcpy(header.uuid, dir->uuid, sizeof(header.uuid));
    header.sum = XXH3_64bits(&header, offsetof(cairn_segment_header_t, sum));
    return cairn_file_write_all(segment->fd, &header, sizeof(header), 0);
}

/** reserves the file's bytes on disk, or in memory just says how long it is */
static cairn_err_t give_size(const cairn_segment_t *segment, const cairn_dir_t *dir,
                             const cairn_segment_create_t *how)
{
    if (cairn_dir_is_memory(dir))
        return cairn_file_err_of(cairn_os->truncate(segment->fd, segment->bytes));
    cairn_err_t err = cairn_file_err_of(cairn_os->preallocate(segment->fd, segment->bytes));
    if (err == CAIRN_OK && how->fill_on != NULL && cairn_os->overwrites_in_place(segment->fd))
        err = zero_fill(segment->fd, segment->bytes, how);
    return err;
}

cairn_err_t cairn_segment_create(cairn_segment_t **created, cairn_space_t *space,
                                 const cairn_dir_t *dir, const cairn_segment_create_t *how)
{
    bool on_disk = !cairn_dir_is_memory(dir);
    int fd;
    if (on_disk) {
        cairn_os->unlink(dir->fd, CAIRN_SPARE_NAME); /* an abandoned one; usually there is none */
        fd = cairn_os->open(dir->fd, CAIRN_SPARE_NAME, O_RDWR | O_CREAT | O_EXCL);
    } else {
        fd = cairn_os->memory_file("cairn-segment");
    }
    if (fd < 0)
        return cairn_file_err_of(fd);
    cairn_err_t err = CAIRN_ERR_NOMEM;
    cairn_segment_t *segment = cairn_segment_new(fd, how->segment_bytes);
    if (segment != NULL)
        err = give_size(segment, dir, how);
    if (err == CAIRN_OK)
        err = cairn_segment_write_header(segment, dir);
    if (err == CAIRN_OK && on_disk)
        err = cairn_file_err_of(cairn_os->sync(fd));
    if (err == CAIRN_OK)
        err = cairn_dir_sync(dir);
    if (err == CAIRN_OK)
        err = cairn_segment_map(segment, space, CAIRN_SLOT_ANY);
    if (err != CAIRN_OK) {
        if (segment != NULL)
            cairn_segment_close(segment);
        else
            cairn_os->close(fd);
        if (on_disk)
            cairn_os->unlink(dir->fd, CAIRN_SPARE_NAME);
        return err;
    }
    *created = segment;
    return CAIRN_OK;
}

const char *cairn_segment_header_fault(const cairn_segment_header_t *header, const cairn_dir_t *dir)
{
    if (memcmp(header->magic, "CAIRNSEG", 8) != 0)
        return "this is not a segment of cairn";
    if (header->format != CAIRN_SEGMENT_FORMAT)
        return "it was written by another version of cairn";
    if (XXH3_64bits(header, offsetof(cairn_segment_header_t, sum)) != header->sum)
        return "the header's checksum does not match";
    if (header->header_bytes != CAIRN_SEGMENT_HEADER_BYTES)
        return "the header has another length";
    if (memcmp(header->uuid, dir->uuid, CAIRN_UUID_BYTES) != 0)
        return "it belongs to another store";
    return NULL;
}

bool cairn_segment_begins_footer(const uint8_t *at)
{
    return memcmp(at, "CAIRNEND", 8) == 0;
}

static bool footer_is_valid(const cairn_segment_footer_t *footer, uint64_t salt, uint64_t offset)
{
    return cairn_segment_begins_footer((const uint8_t *)footer) && footer->salt == salt &&
           footer->end == offset &&
           XXH3_64bits(footer, offsetof(cairn_segment_footer_t, sum)) == footer->sum;
}

bool cairn_segment_footer_at(const cairn_segment_t *segment, uint64_t offset,
                             cairn_segment_footer_t *footer)
{
    if (offset < CAIRN_SEGMENT_HEADER_BYTES || offset % CAIRN_RECORD_ALIGN != 0 ||
        offset + CAIRN_SEGMENT_FOOTER_BYTES > segment->bytes)
        return false;
    return cairn_guard_copy(footer, segment->map + offset, sizeof(*footer)) &&
           footer_is_valid(footer, segment->salt, offset);
}

uint64_t cairn_segment_file_bytes(const cairn_dir_t *dir, const char *name)
{
    int fd = cairn_os->open(dir->fd, name, O_RDONLY);
    if (fd < 0)
        return 0;
    int64_t bytes = cairn_os->size(fd);
    cairn_os->close(fd);
    return bytes > 0 ? (uint64_t)bytes : 0;
}

int cairn_segment_look_if_blank(const cairn_dir_t *dir, const char *name, bool *blank)
{
    uint64_t words[1024];
    int fd = cairn_os->open(dir->fd, name, O_RDONLY);
    if (fd < 0)
        return fd;
    int64_t n = 1;
    *blank = true;
    for (uint64_t at = CAIRN_SEGMENT_HEADER_BYTES; *blank && n > 0; at += (uint64_t)n) {
        memset(words, 0, sizeof(words));
        n = cairn_os->pread(fd, words, sizeof(words), at);
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); ++i)
            *blank &= words[i] == 0;
    }
    cairn_os->close(fd);
    return n < 0 ? (int)n : 0;
}

/** opens for writing where that is allowed: a sealed file is read-only and needs no more */
static int open_file(const cairn_dir_t *dir, const char *name)
{
    int fd = cairn_os->open(dir->fd, name, O_RDWR);
    return fd == -EACCES ? cairn_os->open(dir->fd, name, O_RDONLY) : fd;
}

static bool read_exactly(int fd, void *base, size_t count, uint64_t offset)
{
    return cairn_os->pread(fd, base, count, offset) == (int64_t)count;
}

/** whether the file ends in a footer of its own: it has been synced before that was written */
static bool ends_sealed(int fd, uint64_t bytes, const cairn_segment_header_t *header,
                        cairn_segment_footer_t *footer)
{
    uint64_t offset = bytes - sizeof(*footer);
    return bytes >= CAIRN_SEGMENT_HEADER_BYTES + sizeof(*footer) &&
           read_exactly(fd, footer, sizeof(*footer), offset) &&
           footer_is_valid(footer, header->salt, offset);
}

/**
 * Whether nothing was written to it since a clean stop, before which no sync had failed: what the
 * page cache has of it is what the disk has. STORE may be older than the log if it could not be
 * replaced at the start that followed; but whatever comes to the log then begins at that very end.
 */
static bool is_as_closed(int fd, const cairn_segment_header_t *header, const cairn_closed_t *closed)
{
    static const uint8_t zeroes[CAIRN_RECORD_HEAD_BYTES];
    uint8_t behind[CAIRN_RECORD_HEAD_BYTES];
    return closed->end >= CAIRN_SEGMENT_HEADER_BYTES && header->salt == closed->salt &&
           read_exactly(fd, behind, sizeof(behind), closed->end) &&
           memcmp(behind, zeroes, sizeof(zeroes)) == 0;
}

/**
 * Reads the header, and makes sure that what will be read of a file that is not sealed is on disk:
 * what a killed process left in the page cache is made durable before it is served, what a failed
 * sync left there, and only there, is forgotten. Before the map: mapped pages cannot be forgotten.
 */
static cairn_err_t read_header(int fd, uint64_t bytes, cairn_segment_header_t *header,
                               cairn_segment_open_t *how, const char *name, char *errmsg)
{
    bool is_read = read_exactly(fd, header, sizeof(*header), 0);
    how->is_sealed = is_read && ends_sealed(fd, bytes, header, &how->footer);
    if (is_read && !how->is_sealed) {
        int synced = cairn_os->sync(fd);
        if (synced < 0) {
            snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s: cannot be synced: %s", name,
                     strerror(-synced));
            return CAIRN_ERR_IO;
        }
        if (!is_as_closed(fd, header, &how->closed)) {
            cairn_os->drop_cache(fd);
            is_read = read_exactly(fd, header, sizeof(*header), 0);
        }
    }
    if (is_read)
        return CAIRN_OK;
    snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s: the disk cannot read its header", name);
    return CAIRN_ERR_IO;
}

cairn_err_t cairn_segment_open(cairn_segment_t **opened, cairn_space_t *space,
                               const cairn_dir_t *dir, const char *name, cairn_segment_open_t *how,
                               char *errmsg)
{
    cairn_segment_header_t header;
    cairn_segment_t *segment = NULL;
    cairn_err_t err = CAIRN_ERR_IO;
    int fd = open_file(dir, name);
    int64_t bytes = fd < 0 ? fd : cairn_os->size(fd);
    if (bytes < 0) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s: %s", name, strerror((int)-bytes));
        goto Fail;
    }
    if (bytes < CAIRN_SEGMENT_HEADER_BYTES) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s: it has %lld bytes, a segment at least %d", name,
                 (long long)bytes, CAIRN_SEGMENT_HEADER_BYTES);
        err = CAIRN_ERR_CORRUPT;
        goto Fail;
    }
    err = read_header(fd, (uint64_t)bytes, &header, how, name, errmsg);
    if (err != CAIRN_OK)
        goto Fail;
    const char *fault = cairn_segment_header_fault(&header, dir);
    if (fault != NULL) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s: %s", name, fault);
        err = CAIRN_ERR_CORRUPT;
        goto Fail;
    }
    segment = cairn_segment_new(fd, (uint64_t)bytes);
    uint32_t slot = how->slot_of != NULL ? how->slot_of(how->ctx, header.salt) : CAIRN_SLOT_ANY;
    err = segment != NULL ? cairn_segment_map(segment, space, slot) : CAIRN_ERR_NOMEM;
    if (err != CAIRN_OK) {
        snprintf(errmsg, CAIRN_ERRMSG_BYTES, "%s: no memory or address space to map it", name);
        goto Fail;
    }
    segment->salt = header.salt;
    segment->generation = header.generation;
    segment->first_version = header.first_version; /* of a log segment its LINK will say it */
    segment->bytes_made = header.segment_bytes;
    if (how->is_sealed) {
        cairn_segment_close_file(segment);
        cairn_segment_take_footer(segment, &how->footer);
    }
    *opened = segment;
    return CAIRN_OK;
Fail:
    if (segment != NULL)
        cairn_segment_close(segment);
    else if (fd >= 0)
        cairn_os->close(fd);
    return err;
}

cairn_err_t cairn_segment_rename_spare(const cairn_segment_t *segment, const cairn_dir_t *dir)
{
    if (cairn_dir_is_memory(dir))
        return CAIRN_OK;
    char name[CAIRN_SEGMENT_NAME_BYTES];
    cairn_segment_name(name, segment->first_version, segment->generation);
    if (cairn_os->rename(dir->fd, CAIRN_SPARE_NAME, name) < 0)
        return CAIRN_ERR_IO;
    return cairn_dir_sync(dir);
}

cairn_segment_footer_t cairn_segment_footer(const cairn_segment_t *segment, uint64_t end,
                                            cairn_seal_reason_t reason)
{
    return (cairn_segment_footer_t){
        .magic = {'C', 'A', 'I', 'R', 'N', 'E', 'N', 'D'},
        .salt = segment->salt,
        .end = end,
        .first_version = segment->first_version,
        .counts = segment->counts,
        .sealed_ms = cairn_os->now_ms(),
        .reason = reason,
        .range_last = segment->counts.last_version,
    };
}

void cairn_segment_sum_footer(cairn_segment_footer_t *footer)
{
    footer->sum = XXH3_64bits(footer, offsetof(cairn_segment_footer_t, sum));
}

void cairn_segment_take_footer(cairn_segment_t *segment, const cairn_segment_footer_t *footer)
{
    segment->range_last = footer->range_last;
    segment->live_horizon = footer->live_horizon;
    segment->dropped_version = footer->dropped_version;
    segment->loss = footer->loss;
    segment->sealed_ms = footer->sealed_ms;
}

uint64_t cairn_segment_bytes(const cairn_segment_t *segment)
{
    /* acquire: pairs with the release of who seals it */
    if (!atomic_load_explicit(&segment->sealed, memory_order_acquire))
        return segment->bytes;
    return atomic_load_explicit(&segment->end, memory_order_acquire) + CAIRN_SEGMENT_FOOTER_BYTES;
}

cairn_err_t cairn_segment_seal(cairn_segment_t *segment, cairn_seal_reason_t reason)
{
    uint64_t end = atomic_load_explicit(&segment->end, memory_order_acquire);
    assert(end <= cairn_segment_capacity(segment));
    cairn_segment_footer_t footer = cairn_segment_footer(segment, end, reason);
    cairn_segment_sum_footer(&footer);
    cairn_err_t err = cairn_file_write_all(segment->fd, &footer, sizeof(footer), end);
    /* synced before the cut: a file cut first could lose its footer and, with it, its end */
    if (err == CAIRN_OK)
        err = cairn_file_err_of(cairn_os->sync(segment->fd));
    if (err == CAIRN_OK)
        err = cairn_file_err_of(cairn_os->truncate(segment->fd, end + sizeof(footer)));
    if (err == CAIRN_OK)
        err = cairn_file_err_of(cairn_os->sync(segment->fd));
    if (err == CAIRN_OK)
        err = cairn_file_err_of(cairn_os->make_readonly(segment->fd));
    if (err == CAIRN_OK) {
        cairn_segment_close_file(segment);
        cairn_segment_take_footer(segment, &footer);
        atomic_store_explicit(&segment->sealed, true, memory_order_release);
    }
    return err;
}

uint64_t cairn_segment_capacity(const cairn_segment_t *segment)
{
    return segment->bytes < CAIRN_SEGMENT_FOOTER_BYTES
               ? 0
               : (segment->bytes - CAIRN_SEGMENT_FOOTER_BYTES) &
                     ~(uint64_t)(CAIRN_RECORD_ALIGN - 1);
}

static void count_put(cairn_segment_counts_t *counts, uint64_t expiry_ms)
{
    ++counts->puts;
    if (expiry_ms == 0) {
        ++counts->puts_without_expiry;
        return;
    }
    if (counts->expiry_least_ms == 0 || expiry_ms < counts->expiry_least_ms)
        counts->expiry_least_ms = expiry_ms;
    if (expiry_ms > counts->expiry_most_ms)
        counts->expiry_most_ms = expiry_ms;
}

void cairn_segment_count(cairn_segment_t *segment, const cairn_record_t *record)
{
    cairn_segment_counts_t *counts = &segment->counts;
    cairn_record_type_t type = cairn_record_type(record);
    if (type == CAIRN_RECORD_MARK)
        return;
    counts->fold = (counts->fold << 1 | counts->fold >> 63) ^ record->head_sum;
    if (cairn_record_type_gives(type)) {
        count_put(counts, cairn_record_expiry_ms(record));
    } else if (type == CAIRN_RECORD_DELETE) {
        ++counts->deletes;
        counts->delete_bytes += cairn_record_bytes(record);
    }
    counts->last_version = record->version;
}

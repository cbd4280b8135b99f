/*
 * storage/segment.h - one file of the log, mapped read-only, and the address space they share.
 *
 * Every segment has a slot in one large reserved range of addresses, so a location becomes a
 * pointer by one addition and a segment by one shift. A slot is as large as the largest segment,
 * rounded up to a power of two.
 *
 * The life of a segment: created ahead as the spare (headed, reserved on disk, synced), active (the
 * writer appends and publishes its end), sealed (a footer, cut to size, never changed again).
 */
#ifndef CAIRN_STORAGE_SEGMENT_H
#define CAIRN_STORAGE_SEGMENT_H

#include <stdatomic.h>

#include "index/index.h"
#include "storage/dir.h"
#include "storage/record.h"

/** bytes of the header; records begin here */
#define CAIRN_SEGMENT_HEADER_BYTES 4096
/** bytes of the footer that sealing adds; a segment keeps room for it */
#define CAIRN_SEGMENT_FOOTER_BYTES 256
/** the format's version; a file of another one is refused */
#define CAIRN_SEGMENT_FORMAT 2
/** residency is remembered for blocks of this size */
#define CAIRN_BLOCK_BYTES 65536

typedef struct st_cairn_segment_header_t {
    char magic[8]; /* "CAIRNSEG" */
    uint32_t format;
    uint32_t header_bytes;
    uint8_t uuid[CAIRN_UUID_BYTES]; /* of the store */
    uint64_t salt;                  /* random, new for every file */
    uint64_t first_version;         /* 0 in a log segment, whose LINK record says it */
    uint32_t generation;            /* 0 in a log segment */
    uint32_t reserved;
    uint64_t created_ms;
    uint64_t segment_bytes; /* the limit it was made with */
    uint8_t zeroes[4016];
    uint64_t sum; /* XXH3-64 of the 4088 bytes before */
} cairn_segment_header_t;
static_assert(sizeof(cairn_segment_header_t) == CAIRN_SEGMENT_HEADER_BYTES, "docs/FORMAT.md");
static_assert(offsetof(cairn_segment_header_t, salt) == 32, "docs/FORMAT.md");
static_assert(offsetof(cairn_segment_header_t, first_version) == 40, "docs/FORMAT.md");
static_assert(offsetof(cairn_segment_header_t, segment_bytes) == 64, "docs/FORMAT.md");
static_assert(offsetof(cairn_segment_header_t, sum) == 4088, "docs/FORMAT.md");

typedef enum en_cairn_seal_reason_t {
    CAIRN_SEAL_ROLL = 1,       /* it was full */
    CAIRN_SEAL_RECOVERY = 2,   /* a torn tail was cut, or a crash came between roll and seal */
    CAIRN_SEAL_COMPACTION = 3, /* it was made by compaction */
    CAIRN_SEAL_SALVAGE = 4     /* by a salvage, of what could be proven of a damaged one */
} cairn_seal_reason_t;

/** what a segment holds; kept while it is written, frozen in the footer */
typedef struct st_cairn_segment_counts_t {
    uint64_t last_version; /* first_version - 1 while there is none */
    uint64_t puts;
    uint64_t deletes;
    uint64_t delete_bytes; /* of their records */
    uint64_t puts_without_expiry;
    uint64_t expiry_least_ms; /* of the puts that have one; 0 if none has */
    uint64_t expiry_most_ms;
    uint64_t fold; /* of all head sums in order: ties other files to exactly this content */
    cairn_chain_t chain;
} cairn_segment_counts_t;

/** what a salvage has not found again of the versions that a segment covers */
typedef struct st_cairn_loss_t {
    uint64_t keys;     /* LOST records among its own */
    uint64_t versions; /* of which not even the key is known, at most so many, */
    uint64_t first;    /* the first one of them; 0 if there is none */
    uint64_t last;
} cairn_loss_t;

typedef struct st_cairn_segment_footer_t {
    char magic[8]; /* "CAIRNEND" */
    uint64_t salt;
    uint64_t end; /* where the records end and this footer begins */
    uint64_t first_version;
    cairn_segment_counts_t counts;
    uint64_t live_horizon; /* 0 in a log segment */
    uint64_t sealed_ms;
    uint32_t reason;
    uint32_t reserved;
    uint64_t range_last;      /* the last version it covers; in a log segment counts.last_version */
    uint64_t dropped_version; /* highest of a delete or expired value that is gone from its range */
    cairn_loss_t loss;
    uint8_t zeroes[64];
    uint64_t sum; /* XXH3-64 of the 248 bytes before */
} cairn_segment_footer_t;
static_assert(sizeof(cairn_segment_counts_t) == 80, "docs/FORMAT.md");
static_assert(sizeof(cairn_segment_footer_t) == CAIRN_SEGMENT_FOOTER_BYTES, "docs/FORMAT.md");
static_assert(offsetof(cairn_segment_footer_t, counts) == 32, "docs/FORMAT.md");
static_assert(offsetof(cairn_segment_footer_t, live_horizon) == 112, "docs/FORMAT.md");
static_assert(offsetof(cairn_segment_footer_t, range_last) == 136, "docs/FORMAT.md");
static_assert(offsetof(cairn_segment_footer_t, loss) == 152, "docs/FORMAT.md");
static_assert(offsetof(cairn_segment_footer_t, sum) == 248, "docs/FORMAT.md");

typedef struct st_cairn_space_t cairn_space_t;
struct st_cairn_keytable_t;

typedef struct st_cairn_segment_t {
    uint64_t first_version; /* 0 while it is the spare */
    uint32_t generation;
    uint32_t slot;
    uint64_t salt;
    uint64_t bytes;      /* of the file as mapped */
    uint64_t bytes_made; /* that it was made with; fewer are there once it is sealed */
    uint8_t *map;
    int fd; /* -1 once sealed */
    cairn_space_t *space;
    /* the writer's alone until the segment is sealed */
    cairn_segment_counts_t counts;
    /* what its footer says; once it is sealed, before others see that */
    uint64_t range_last;
    uint64_t live_horizon;
    uint64_t dropped_version;
    cairn_loss_t loss;
    /* of a copy that compaction has made since the open: what superseded the records it left out
     * is no newer than this; 0 for others. Before the segment is in a list */
    uint64_t superseded_by;
    uint64_t sealed_ms;
    /* where the published records end. Release by the writer after the records behind it may be
     * read; acquire by anyone who walks the segment */
    _Atomic uint64_t end;
    _Atomic uint64_t written;    /* what the file really has: end, and what is being synced */
    _Atomic uint64_t dead_bytes; /* of records that the index no longer points to; relaxed */
    _Atomic uint64_t lost_keys;  /* LOST records that the index points to; relaxed */
    _Atomic bool sealed;         /* release by maintenance or upkeep, acquire by those who care */
    _Atomic bool is_damaged;     /* something in it has been found to be; relaxed */
    /* readers that still send from the map; relaxed increments under the protection of QSBR,
     * release decrements that pair with the acquire of whoever gives the segment back */
    _Atomic uint32_t pins;
    _Atomic uint32_t *stamps; /* per block: the tick at which it was last known to be in memory */
    /* once it is sealed, its keys in order; NULL until they are there. Release by upkeep, acquire
     * by those who have the segment pinned; closed with the segment */
    _Atomic(struct st_cairn_keytable_t *) keys;
    uint64_t keys_failed_ns; /* upkeep's: when they could not be made; 0: they have not failed */
} cairn_segment_t;

/**
 * Reserves the address range for slots of at least `segment_bytes`.
 *
 * Tries CAIRN_LOC_MAX's whole 8 TiB first and settles for less where the system refuses (a limit on
 * address space, a sanitizer). NULL when not even room for a few segments is to be had.
 */
cairn_space_t *cairn_space_create(uint64_t segment_bytes);

/** Gives the range back; every segment has been closed. */
void cairn_space_destroy(cairn_space_t *space);

/** log2 of the bytes of a slot: what locations mean. */
unsigned cairn_space_slot_shift(const cairn_space_t *space);

/** Slots before this one are left to segments that ask for them by number. Before the first open.
 */
void cairn_space_leave_slots(cairn_space_t *space, uint32_t count);

/** When something in it had to be brought in from the disk; for storage/residency.c alone. */
_Atomic uint32_t *cairn_space_last_load(cairn_space_t *space);

/** Bytes of log that fit the range at once. */
uint64_t cairn_space_bytes(const cairn_space_t *space);

/**
 * The segment a location lies in. Threads: any that is registered with QSBR and found the location
 * in the index since its last quiescent state, or that otherwise knows the segment to stay.
 */
cairn_segment_t *cairn_space_segment(const cairn_space_t *space, cairn_loc_t loc);

/** The record at a location; the same rules. */
const cairn_record_t *cairn_space_record(const cairn_space_t *space, cairn_loc_t loc);

/** The location of an offset in a segment. */
cairn_loc_t cairn_segment_loc(const cairn_segment_t *segment, uint64_t offset);

/** The offset of a location in its segment. */
uint64_t cairn_segment_offset(const cairn_segment_t *segment, cairn_loc_t loc);

typedef struct st_cairn_segment_create_t {
    uint64_t segment_bytes;
    /* NULL, or: write zeroes now, so that appends later need no journal commit. Asked after each
     * piece; takes its time before it answers, so that other writes get theirs; false: that will do
     */
    bool (*fill_on)(void *ctx);
    void *ctx;
} cairn_segment_create_t;

/**
 * Creates the spare: a file named CAIRN_SPARE_NAME, reserved on disk, headed, synced, in the
 * directory durably, mapped.
 *
 * Errors: DISK_FULL, NOMEM, IO. Nothing is left behind on an error.
 */
cairn_err_t cairn_segment_create(cairn_segment_t **segment, cairn_space_t *space,
                                 const cairn_dir_t *dir, const cairn_segment_create_t *how);

/** any slot that is free and has not been left to others */
#define CAIRN_SLOT_ANY UINT32_MAX

/** how a segment file is opened, and what its last bytes say of it */
typedef struct st_cairn_segment_open_t {
    /* which slot the segment with this salt must have, or CAIRN_SLOT_ANY; NULL: any */
    uint32_t (*slot_of)(void *ctx, uint64_t salt);
    void *ctx;
    cairn_closed_t closed; /* where a clean stop has left the log, as far as that is known */
    /* out: */
    bool is_sealed; /* the file ends in a valid footer of its own: */
    cairn_segment_footer_t footer;
} cairn_segment_open_t;

/**
 * Opens and maps a segment file and checks its header; reads its footer, if there is one. The map
 * is not touched. Its end is the header's: the caller scans, or believes the footer.
 *
 * Errors: CORRUPT (with the reason in `errmsg`), NOMEM (or the slot is taken), IO.
 */
cairn_err_t cairn_segment_open(cairn_segment_t **segment, cairn_space_t *space,
                               const cairn_dir_t *dir, const char *name, cairn_segment_open_t *how,
                               char *errmsg);

/** Bytes a file must be mapped with, read from its size; 0 if it cannot be told. */
uint64_t cairn_segment_file_bytes(const cairn_dir_t *dir, const char *name);

/** `*blank`: whether all of a file behind its header is zero; a negative errno value where it
 * cannot be read. */
int cairn_segment_look_if_blank(const cairn_dir_t *dir, const char *name, bool *blank);

/** Gives the spare, which now is a part of the log, its name, durably. */
cairn_err_t cairn_segment_rename_spare(const cairn_segment_t *segment, const cairn_dir_t *dir);

/**
 * Seals: footer behind the published end, synced, file cut to size, synced, made read-only.
 * The caller is the only one that still knows the segment as unsealed.
 */
cairn_err_t cairn_segment_seal(cairn_segment_t *segment, cairn_seal_reason_t reason);

/**
 * Takes over what a valid footer says of the segment and of what the index cannot tell: its range,
 * its age.
 */
void cairn_segment_take_footer(cairn_segment_t *segment, const cairn_segment_footer_t *footer);

/** A footer for what the segment, or one that is being made, holds up to `end`; not yet summed. */
cairn_segment_footer_t cairn_segment_footer(const cairn_segment_t *segment, uint64_t end,
                                            cairn_seal_reason_t reason);
void cairn_segment_sum_footer(cairn_segment_footer_t *footer);

/** Bytes that its file has, or will have for as long as it is not sealed. */
uint64_t cairn_segment_bytes(const cairn_segment_t *segment);

/** Unmaps and closes; nobody reads it any more. */
void cairn_segment_close(cairn_segment_t *segment);

/** Bytes at which the records of a segment must end to leave room for the footer. */
uint64_t cairn_segment_capacity(const cairn_segment_t *segment);

/** Takes a valid record of the segment into its counts. */
void cairn_segment_count(cairn_segment_t *segment, const cairn_record_t *record);

/** Whether the 8 bytes at `at` are those that a footer begins with. */
bool cairn_segment_begins_footer(const uint8_t *at);

/** The footer at `offset`, if a valid one of this segment is there. */
bool cairn_segment_footer_at(const cairn_segment_t *segment, uint64_t offset,
                             cairn_segment_footer_t *footer);

static inline void cairn_segment_pin(cairn_segment_t *segment)
{
    atomic_fetch_add_explicit(&segment->pins, 1, memory_order_relaxed);
}

static inline void cairn_segment_unpin(cairn_segment_t *segment)
{
    uint32_t before = atomic_fetch_sub_explicit(&segment->pins, 1, memory_order_release);
    assert(before != 0);
    (void)before;
}

#endif

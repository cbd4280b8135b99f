/*
 * storage/salvage_file.c - a file of which anything may be damaged: what is it, and is it whole?
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "storage/guard.h"
#include "storage/os.h"
#include "storage/salvage_internal.h"
#include "storage/segment_internal.h"

/** pages are asked for ahead of the walk in pieces of this size */
#define AHEAD_BYTES ((uint64_t)4 << 20)

/* ---------------------------------------------------------------- what it is */

static bool read_exactly(int fd, void *base, size_t count, uint64_t offset)
{
    return cairn_os->pread(fd, base, count, offset) == (int64_t)count;
}

static bool header_sum_is_right(const cairn_segment_header_t *header)
{
    return XXH3_64bits(header, offsetof(cairn_segment_header_t, sum)) == header->sum;
}

/** tries each bit; the one that makes the sum right was the wrong one */
static bool put_header_right(cairn_segment_header_t *header)
{
    uint8_t *bytes = (uint8_t *)header;
    for (size_t bit = 0; bit < 8 * sizeof(*header); ++bit) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (header_sum_is_right(header))
            return true;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    return false;
}

/** the salt that its records are bound to, as its footer says; 0: it does not */
static uint64_t salt_of_footer(const cairn_salvage_file_t *file, int fd)
{
    cairn_segment_footer_t footer;
    uint64_t at = file->bytes - sizeof(footer);
    bool is_footer = file->bytes >= CAIRN_SEGMENT_HEADER_BYTES + sizeof(footer) &&
                     read_exactly(fd, &footer, sizeof(footer), at) &&
                     cairn_segment_begins_footer((const uint8_t *)&footer) && footer.end == at &&
                     XXH3_64bits(&footer, offsetof(cairn_segment_footer_t, sum)) == footer.sum;
    return is_footer ? footer.salt : 0;
}

static void look_for_link(void *ctx)
{
    cairn_salvage_file_t *file = ctx;
    const cairn_segment_t *segment = file->segment;
    uint64_t at = CAIRN_SEGMENT_HEADER_BYTES;
    const cairn_record_t *r = (const cairn_record_t *)(segment->map + at);
    file->has_link = cairn_record_head_is_valid(r, segment->bytes - at, segment->salt, at) &&
                     cairn_record_type(r) == CAIRN_RECORD_LINK && cairn_record_body_is_valid(r);
    if (!file->has_link)
        return;
    cairn_record_read_link(r, &file->link);
    file->link_version = r->version;
}

static cairn_err_t map(cairn_salvage_t *s, cairn_salvage_file_t *file, int fd, uint64_t salt,
                       const cairn_segment_header_t *header)
{
    cairn_segment_t *segment = cairn_segment_new(fd, file->bytes);
    cairn_err_t err =
        segment != NULL ? cairn_segment_map(segment, s->space, CAIRN_SLOT_ANY) : CAIRN_ERR_NOMEM;
    if (err != CAIRN_OK) {
        if (segment != NULL)
            cairn_segment_close(segment);
        else
            cairn_os->close(fd);
        return cairn_salvage_fail(s, err, "%s: no memory or address space to map it", file->name);
    }
    segment->salt = salt;
    segment->generation = file->generation;
    segment->bytes_made = header != NULL ? header->segment_bytes : s->options->segment_bytes;
    file->segment = segment;
    file->is_sealed =
        file->bytes >= CAIRN_SEGMENT_HEADER_BYTES + CAIRN_SEGMENT_FOOTER_BYTES &&
        cairn_segment_footer_at(segment, file->bytes - CAIRN_SEGMENT_FOOTER_BYTES, &file->footer);
    if (file->generation == 0 && !cairn_guard_run(look_for_link, file))
        file->has_link = false;
    return CAIRN_OK;
}

cairn_err_t cairn_salvage_open(cairn_salvage_t *s, cairn_salvage_file_t *file)
{
    cairn_segment_header_t header;
    int fd = cairn_os->open(s->dir->fd, file->name, O_RDONLY);
    int64_t bytes = fd < 0 ? fd : cairn_os->size(fd);
    /* what only the page cache has is on disk before it is believed, or not there any more */
    int synced = bytes < 0 ? (int)bytes : cairn_os->sync(fd);
    if (synced < 0) {
        if (fd >= 0)
            cairn_os->close(fd);
        return cairn_salvage_fail(s, CAIRN_ERR_IO, "%s: %s", file->name, strerror(-synced));
    }
    cairn_os->drop_cache(fd);
    file->bytes = (uint64_t)bytes;
    /* the log has not gone on in a spare that is blank, and an open does not look at its header */
    if (file->is_spare) {
        int looked = cairn_segment_look_if_blank(s->dir, file->name, &file->is_unused);
        if (looked < 0 || file->is_unused) {
            cairn_os->close(fd);
            return looked == 0 ? CAIRN_OK
                               : cairn_salvage_fail(s, CAIRN_ERR_IO, "%s: %s", file->name,
                                                    strerror(-looked));
        }
    }
    bool is_read = file->bytes >= sizeof(header) && read_exactly(fd, &header, sizeof(header), 0);
    bool is_whole = is_read && header_sum_is_right(&header);
    bool is_right = is_whole || (is_read && put_header_right(&header));
    const char *fault = is_right ? cairn_segment_header_fault(&header, s->dir) : NULL;
    if (fault != NULL) {
        cairn_os->close(fd);
        return cairn_salvage_fail(s, CAIRN_ERR_CORRUPT,
                                  "%s: %s: that is no damage that can be salvaged", file->name,
                                  fault);
    }
    file->header_is_whole = is_whole;
    uint64_t salt = is_right ? header.salt : salt_of_footer(file, fd);
    if (salt != 0)
        return map(s, file, fd, salt, is_right ? &header : NULL);
    cairn_os->close(fd);
    if (is_read || file->bytes < sizeof(header))
        return CAIRN_OK;
    /* that may pass, and what would be given up is all of it */
    return cairn_salvage_fail(s, CAIRN_ERR_IO,
                              "%s: the disk can read neither its header nor its footer. Try again, "
                              "or move the file away to do without it",
                              file->name);
}

/* ---------------------------------------------------------------- whether it is whole */

/** a walk over all of a file, that tells of progress */
typedef struct st_walk_t {
    cairn_salvage_t *salvage;
    cairn_survey_t survey;
    uint64_t told;
    cairn_err_t err;
} walk_t;

static void begin_walk(walk_t *walk, cairn_salvage_t *s, const cairn_salvage_file_t *file,
                       uint64_t end)
{
    *walk = (walk_t){.salvage = s};
    cairn_survey_init(&walk->survey, file->segment->map, end, file->segment->salt);
}

static bool next_piece(walk_t *walk, cairn_survey_piece_t *piece)
{
    uint64_t at = walk->survey.at;
    if (at >= walk->told) {
        uint64_t left = walk->survey.bytes - at;
        uint64_t bytes = left < AHEAD_BYTES ? left : AHEAD_BYTES;
        cairn_os->will_need(walk->survey.map + at, bytes);
        walk->err = cairn_salvage_progress(walk->salvage, bytes);
        walk->told = at + bytes;
    }
    return walk->err == CAIRN_OK && cairn_survey_next(&walk->survey, piece);
}

/** whether all that its footer says is so */
static cairn_err_t inspect_sealed(cairn_salvage_t *s, cairn_salvage_file_t *file)
{
    const cairn_segment_footer_t *footer = &file->footer;
    cairn_segment_t *segment = file->segment;
    cairn_survey_piece_t piece;
    walk_t walk;
    bool is_whole = file->header_is_whole && (file->generation != 0 || file->has_link);
    memset(&segment->counts, 0, sizeof(segment->counts));
    segment->counts.last_version = footer->first_version - 1;
    begin_walk(&walk, s, file, footer->end);
    while (next_piece(&walk, &piece)) {
        is_whole &= piece.kind == CAIRN_SURVEY_WHOLE;
        if (piece.kind == CAIRN_SURVEY_WHOLE)
            cairn_segment_count(segment, piece.record);
    }
    segment->counts.chain = footer->counts.chain; /* the fold has all head sums, in their order */
    is_whole &= walk.survey.at == footer->end &&
                memcmp(&segment->counts, &footer->counts, sizeof(footer->counts)) == 0;
    file->is_damaged = !is_whole;
    file->first = footer->first_version;
    file->last = footer->range_last;
    file->chain = footer->counts.chain;
    return walk.err;
}

/**
 * The last version of the newest file that was acknowledged, or may have been: up to what a MARK or
 * STORE proves, and on from there for as long as nothing is missing. What is cut off may have had
 * as many records as fit there.
 */
static cairn_err_t find_newest_last(cairn_salvage_t *s, cairn_salvage_file_t *file, uint64_t proven)
{
    cairn_survey_piece_t piece;
    walk_t walk;
    const cairn_segment_t *segment = file->segment;
    uint64_t last = proven, batch_last = proven;
    begin_walk(&walk, s, file, segment->bytes);
    while (next_piece(&walk, &piece)) {
        const cairn_record_t *r = piece.record;
        if (piece.kind != CAIRN_SURVEY_WHOLE || !cairn_record_is_data(r) ||
            r->version != batch_last + 1)
            continue;
        batch_last = r->version;
        if ((cairn_record_flags(r) & CAIRN_RECORD_MORE) == 0)
            last = batch_last;
    }
    if (segment->bytes < segment->bytes_made)
        last += (segment->bytes_made - segment->bytes) / CAIRN_RECORD_BYTES_MIN;
    file->last = last;
    return walk.err;
}

/** the highest version that a MARK anywhere in it, or STORE, knows to have been durable */
static uint64_t find_proven(cairn_salvage_t *s, const cairn_salvage_file_t *file, uint64_t proven)
{
    cairn_survey_t survey;
    cairn_survey_piece_t piece;
    const cairn_segment_t *segment = file->segment;
    if (s->dir->durable_version > proven)
        proven = s->dir->durable_version;
    cairn_survey_init(&survey, segment->map, segment->bytes, segment->salt);
    while (cairn_survey_next(&survey, &piece)) {
        cairn_mark_t mark;
        if (piece.kind == CAIRN_SURVEY_WHOLE &&
            cairn_record_type(piece.record) == CAIRN_RECORD_MARK &&
            cairn_guard_copy(&mark, segment->map + piece.offset + CAIRN_RECORD_HEAD_BYTES,
                             sizeof(mark)) &&
            mark.durable_version > proven)
            proven = mark.durable_version;
    }
    return proven;
}

/** the first version of a file, as far as it can be told: where the one before it ended */
static uint64_t first_of(const cairn_salvage_file_t *file)
{
    if (file == NULL)
        return 0;
    if (!file->is_spare)
        return file->name_first;
    if (file->has_link)
        return file->link_version + 1;
    cairn_survey_t survey;
    cairn_survey_piece_t piece;
    if (file->segment == NULL)
        return 0;
    cairn_survey_init(&survey, file->segment->map, file->segment->bytes, file->segment->salt);
    while (cairn_survey_next(&survey, &piece))
        if (piece.kind == CAIRN_SURVEY_WHOLE && cairn_record_is_data(piece.record))
            return piece.record->version;
    return 0;
}

/** whether the file behind it continues a log that ends so */
static bool is_continued(const cairn_salvage_file_t *next, const cairn_scan_t *scan)
{
    return first_of(next) == scan->last_version + 1 &&
           (!next->has_link || memcmp(&next->link.chain, &scan->chain, sizeof(scan->chain)) == 0);
}

/** the file that was written last, or one that was not sealed in time */
static cairn_err_t inspect_open(cairn_salvage_t *s, cairn_salvage_file_t *file,
                                uint64_t last_before, const cairn_salvage_file_t *next)
{
    const cairn_segment_t *segment = file->segment;
    cairn_scan_t scan;
    cairn_scan_unit_t unit;
    uint64_t proven;
    cairn_scan_init(&scan, segment->map, segment->bytes, segment->salt, last_before);
    while (cairn_scan_next(&scan, &unit))
        ;
    cairn_scan_end_t end = cairn_scan_end(&scan, &proven);
    bool is_whole = file->header_is_whole && end != CAIRN_SCAN_CORRUPT &&
                    segment->bytes >= segment->bytes_made && !scan.is_unreadable;
    if (next != NULL)
        is_whole = is_whole && scan.has_link && is_continued(next, &scan);
    else
        is_whole = is_whole && scan.last_version >= s->dir->durable_version;
    file->is_unused = is_whole && !scan.has_link; /* an open removes it */
    file->is_damaged = !is_whole;
    file->last = scan.last_version;
    file->chain = scan.chain;
    if (file->is_unused || is_whole || next != NULL)
        return cairn_salvage_progress(s, segment->bytes);
    return find_newest_last(s, file, find_proven(s, file, scan.last_version));
}

/** where nothing of it is known but its length, and that may have been cut */
static void guess_last(cairn_salvage_t *s, cairn_salvage_file_t *file)
{
    uint64_t segment_bytes = s->options->segment_bytes;
    uint64_t bytes = file->bytes > segment_bytes ? file->bytes : segment_bytes;
    file->last = file->first - 1 + bytes / CAIRN_RECORD_BYTES_MIN;
    if (file->last < s->dir->durable_version)
        file->last = s->dir->durable_version;
    if (file->last < file->first)
        file->last = file->first;
}

cairn_err_t cairn_salvage_inspect(cairn_salvage_t *s, cairn_salvage_file_t *file,
                                  uint64_t last_before, const cairn_salvage_file_t *next)
{
    uint64_t behind = first_of(next);
    cairn_err_t err = CAIRN_OK;
    if (behind == 0)
        next = NULL; /* a spare that the log has not gone on in */
    file->first = first_of(file);
    if (file->first == 0)
        file->first = last_before + 1;
    if (file->is_unused)
        return CAIRN_OK;
    if (file->segment == NULL) {
        file->is_damaged = true;
        guess_last(s, file);
    } else if (file->is_sealed) {
        err = inspect_sealed(s, file);
    } else if (file->generation != 0) {
        file->is_damaged = true;
        guess_last(s, file);
    } else {
        err = inspect_open(s, file, last_before, next);
    }
    if (file->is_damaged && !file->is_sealed && behind > file->first)
        file->last = behind - 1;
    if (file->is_damaged && file->last < file->first)
        file->last = file->first; /* it may have had one */
    if (file->is_damaged && next != NULL && next->has_link)
        file->chain = next->link.chain;
    return err;
}

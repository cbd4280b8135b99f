/*
 * storage/survey.c - walking a segment to its end, whatever is damaged on the way.
 */
#include "storage/survey.h"

#include <string.h>

#include "storage/guard.h"

/** what the disk delivers or fails to deliver at once */
#define PAGE_BYTES ((uint64_t)4096)

void cairn_survey_init(cairn_survey_t *survey, const uint8_t *map, uint64_t bytes, uint64_t salt)
{
    survey->map = map;
    survey->bytes = bytes;
    survey->salt = salt;
    survey->at = CAIRN_SEGMENT_HEADER_BYTES;
}

/* ---------------------------------------------------------------- looking, under a guard */

/** a look into the map from `from` on; the disk may fail to deliver what it touches */
typedef struct st_look_t {
    const cairn_survey_t *survey;
    volatile uint64_t from;
    uint64_t to;
    const cairn_record_t *copy;
    bool is_so;
} look_t;

static const cairn_record_t *record_at(const cairn_survey_t *survey, uint64_t offset)
{
    return (const cairn_record_t *)(survey->map + offset);
}

static bool head_is_valid(const cairn_survey_t *survey, uint64_t offset)
{
    return cairn_record_head_is_valid(record_at(survey, offset), survey->bytes - offset,
                                      survey->salt, offset);
}

static void look_at_head(void *ctx)
{
    look_t *look = ctx;
    look->is_so = head_is_valid(look->survey, look->from);
}

static void look_at_body(void *ctx)
{
    look_t *look = ctx;
    look->is_so = cairn_record_body_is_valid(record_at(look->survey, look->from));
}

static void look_for_zeroes(void *ctx)
{
    look_t *look = ctx;
    const uint8_t *from = look->survey->map + look->from;
    uint64_t bytes = look->survey->bytes - look->from;
    look->is_so = bytes == 0 || (from[0] == 0 && memcmp(from, from + 1, bytes - 1) == 0);
}

static void look_for_record(void *ctx)
{
    look_t *look = ctx;
    for (; look->from + CAIRN_RECORD_HEAD_BYTES <= look->to; look->from += CAIRN_RECORD_ALIGN) {
        look->is_so = head_is_valid(look->survey, look->from);
        if (look->is_so)
            return;
    }
    look->from = look->to;
}

/** whether the content in the map fits the body sum of a head, whose other fields may be wrong */
static void look_at_content(void *ctx)
{
    look_t *look = ctx;
    const cairn_record_t *r = look->copy;
    cairn_bytes_t piece = {look->survey->map + look->from + CAIRN_RECORD_HEAD_BYTES,
                           (size_t)r->key_bytes + r->meta_bytes + r->value_bytes};
    look->is_so = cairn_record_body_sum(&piece, 1) == r->body_sum;
}

/** what cannot be read is not so */
static bool is_so(void (*look_at)(void *ctx), look_t *look)
{
    look->is_so = false;
    return cairn_guard_run(look_at, look) && look->is_so;
}

/** where the next good head is; the end if there is none */
static uint64_t find_record(const cairn_survey_t *survey, uint64_t from)
{
    look_t look = {.survey = survey, .from = from, .to = survey->bytes};
    while (look.from < survey->bytes) {
        if (is_so(look_for_record, &look))
            return look.from;
        /* it came to the end, or to a page that cannot be read */
        look.from = (look.from / PAGE_BYTES + 1) * PAGE_BYTES;
    }
    return survey->bytes;
}

/* ---------------------------------------------------------------- what a damaged head was */

/** bytes of key and meta, as the copy's head says */
static uint64_t bytes_behind(const cairn_survey_t *survey)
{
    cairn_record_t head; /* read as bytes, for it is changed as bytes */
    memcpy(&head, survey->copy, sizeof(head));
    return (uint64_t)head.key_bytes + head.meta_bytes;
}

static bool copy_is_valid(const cairn_survey_t *survey, uint64_t room)
{
    return CAIRN_RECORD_HEAD_BYTES + bytes_behind(survey) <= room &&
           cairn_record_head_is_valid((const cairn_record_t *)survey->copy,
                                      survey->bytes - survey->at, survey->salt, survey->at);
}

/** tries each bit of the copy; the one that makes it valid was the wrong one */
static bool put_a_bit_right(cairn_survey_t *survey, uint64_t room)
{
    uint64_t bytes = CAIRN_RECORD_HEAD_BYTES + bytes_behind(survey);
    /* where the lengths are wrong, it is a bit of the head that puts them right */
    if (bytes > room)
        bytes = CAIRN_RECORD_HEAD_BYTES;
    for (uint64_t bit = 0; bit < 8 * bytes; ++bit) {
        uint8_t *byte = survey->copy + bit / 8;
        uint8_t was = *byte;
        *byte = (uint8_t)(was ^ 1u << bit % 8);
        if (copy_is_valid(survey, room))
            return true;
        *byte = was;
    }
    return false;
}

/** whether key, meta and value are good although the head is not */
static bool content_is_valid(const cairn_survey_t *survey, uint64_t room)
{
    const cairn_record_t *copy = (const cairn_record_t *)survey->copy;
    look_t look = {.survey = survey, .from = survey->at, .copy = copy};
    return copy->key_bytes >= 1 && copy->key_bytes <= CAIRN_KEY_BYTES_MAX &&
           copy->meta_bytes <= CAIRN_META_BYTES_MAX &&
           CAIRN_RECORD_HEAD_BYTES + (uint64_t)copy->key_bytes + copy->meta_bytes <= room &&
           cairn_record_bytes(copy) <= survey->bytes - survey->at && is_so(look_at_content, &look);
}

/** what can be proven of a record whose head is damaged; false: nothing */
static bool identify(cairn_survey_t *survey, cairn_survey_piece_t *piece)
{
    uint64_t left = survey->bytes - survey->at;
    uint64_t room = left < sizeof(survey->copy) ? left : sizeof(survey->copy);
    if (room < CAIRN_RECORD_HEAD_BYTES ||
        !cairn_guard_copy(survey->copy, survey->map + survey->at, room))
        return false;
    piece->key_only = !put_a_bit_right(survey, room);
    return !piece->key_only || content_is_valid(survey, room);
}

/* ---------------------------------------------------------------- the walk */

static void take_copy(cairn_survey_t *survey, cairn_survey_piece_t *piece)
{
    piece->record = (const cairn_record_t *)survey->copy;
    piece->end = piece->offset + cairn_record_bytes(piece->record);
}

/** the head at `at` is good */
static void take_record(cairn_survey_t *survey, cairn_survey_piece_t *piece)
{
    const cairn_record_t *r = record_at(survey, survey->at);
    look_t look = {.survey = survey, .from = survey->at};
    size_t bytes = CAIRN_RECORD_HEAD_BYTES;
    bool is_copied = cairn_guard_copy(survey->copy, r, bytes);
    const cairn_record_t *copy = (const cairn_record_t *)survey->copy;
    if (is_copied)
        is_copied = cairn_guard_copy(survey->copy + bytes, r + 1,
                                     (size_t)copy->key_bytes + copy->meta_bytes);
    if (!is_copied) { /* it could be read a moment ago */
        piece->kind = CAIRN_SURVEY_GAP;
        piece->end = find_record(survey, survey->at + CAIRN_RECORD_ALIGN);
        return;
    }
    piece->kind = is_so(look_at_body, &look) ? CAIRN_SURVEY_WHOLE : CAIRN_SURVEY_BODY;
    take_copy(survey, piece);
}

bool cairn_survey_next(cairn_survey_t *survey, cairn_survey_piece_t *piece)
{
    look_t look = {.survey = survey, .from = survey->at};
    if (survey->at >= survey->bytes)
        return false;
    *piece = (cairn_survey_piece_t){.kind = CAIRN_SURVEY_GAP, .offset = survey->at};
    if (is_so(look_at_head, &look)) {
        take_record(survey, piece);
    } else if (is_so(look_for_zeroes, &look)) {
        return false;
    } else if (identify(survey, piece)) {
        piece->kind = CAIRN_SURVEY_HEAD;
        take_copy(survey, piece);
    } else {
        piece->end = find_record(survey, survey->at + CAIRN_RECORD_ALIGN);
    }
    survey->at = piece->end;
    return true;
}

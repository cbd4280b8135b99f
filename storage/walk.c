/*
 * storage/walk.c - the records of a segment one after the other, as copies.
 */
#include "storage/walk.h"

#include <string.h>

#include "index/qsbr.h"
#include "storage/guard.h"
#include "storage/os.h"
#include "storage/residency.h"
#include "storage/survey.h"

/** the disk is waited for in pieces of this size */
#define BRING_IN_BYTES ((uint64_t)1 << 20)

void cairn_room_dispose(cairn_room_t *room)
{
    cairn_os->free(room->bytes);
    *room = (cairn_room_t){.bytes = NULL};
}

bool cairn_room_make(cairn_room_t *room, size_t bytes)
{
    if (bytes <= room->_capacity && room->bytes != NULL)
        return true;
    cairn_room_dispose(room);
    room->bytes = cairn_os->alloc(bytes != 0 ? bytes : 1);
    room->_capacity = room->bytes != NULL ? bytes : 0;
    return room->bytes != NULL;
}

void cairn_walk_begin(cairn_walk_t *walk, cairn_segment_t *segment, uint64_t at, uint64_t end)
{
    bool is_log = segment->generation == 0 && segment->first_version != 0;
    walk->segment = segment;
    walk->at = walk->_brought_in = at;
    walk->end = end;
    walk->_version = is_log && at == CAIRN_SEGMENT_HEADER_BYTES ? segment->first_version - 1
                                                                : CAIRN_WALK_NO_VERSION;
}

/** a fault on the map would read page by page, each a round trip to the disk. What cannot be read
 * shows when it is touched, and what is before it is good */
static void bring_in(const cairn_segment_t *segment, uint64_t at, uint64_t bytes)
{
    /* a disk may take long, and memory that others gave back would wait for it */
    rcu_thread_offline();
    cairn_os->will_need(segment->map + at, bytes);
    cairn_os->populate(segment->map + at, bytes);
    rcu_thread_online();
}

/** the bytes from here on, and some of what will be asked for next */
static void bring_in_ahead(cairn_walk_t *walk, uint64_t bytes)
{
    uint64_t left = walk->end - walk->at;
    if (walk->at + bytes <= walk->_brought_in)
        return;
    if (bytes < BRING_IN_BYTES)
        bytes = left < BRING_IN_BYTES ? left : BRING_IN_BYTES;
    bring_in(walk->segment, walk->at, bytes);
    walk->_brought_in = walk->at + bytes;
}

/** copies from the record: bytes that have been brought in, or that are faulted in one by one */
static cairn_err_t copy(const cairn_walk_t *walk, uint64_t offset, void *to, uint64_t count)
{
    return cairn_guard_copy(to, walk->segment->map + walk->at + offset, count) ? CAIRN_OK
                                                                               : CAIRN_ERR_IO;
}

/** how long the record would be in front of its value; false where it cannot be one */
static bool measure(const cairn_walk_t *walk, uint64_t *head)
{
    *head = CAIRN_RECORD_HEAD_BYTES + (uint64_t)walk->record.key_bytes + walk->record.meta_bytes;
    return *head <= sizeof(walk->_room) && *head <= walk->end - walk->at;
}

static cairn_err_t judge(const cairn_walk_t *walk)
{
    return cairn_record_head_is_valid(&walk->record, walk->end - walk->at, walk->segment->salt,
                                      walk->at)
               ? CAIRN_OK
               : CAIRN_ERR_DAMAGED;
}

/** where what is wanted lies in memory already, no call of the system is needed to know it */
static void bring_in_some(cairn_walk_t *walk, uint64_t bytes)
{
    if (cairn_residency_check(walk->segment, walk->at, bytes) == 0)
        bring_in(walk->segment, walk->at, bytes);
}

/** copies head, key and meta, for which `bring` waits, and judges the head */
static cairn_err_t look(cairn_walk_t *walk, void (*bring)(cairn_walk_t *, uint64_t bytes))
{
    uint64_t head = CAIRN_RECORD_HEAD_BYTES;
    if (walk->at > walk->end || walk->end - walk->at < head)
        return CAIRN_ERR_DAMAGED;
    bring(walk, head);
    cairn_err_t err = copy(walk, 0, &walk->record, head);
    if (err != CAIRN_OK)
        return err;
    if (!measure(walk, &head))
        return CAIRN_ERR_DAMAGED;
    bring(walk, head);
    err = copy(walk, CAIRN_RECORD_HEAD_BYTES, &walk->record + 1, head - CAIRN_RECORD_HEAD_BYTES);
    return err == CAIRN_OK ? judge(walk) : err;
}

cairn_err_t cairn_walk_look(cairn_walk_t *walk)
{
    walk->_is_lone = false;
    return walk->at < walk->end ? look(walk, bring_in_ahead) : CAIRN_ERR_NOT_FOUND;
}

void cairn_walk_step(cairn_walk_t *walk)
{
    walk->at += cairn_record_bytes(&walk->record);
    if (walk->segment->generation == 0)
        walk->_version = walk->record.version; /* MARK and LINK have that of the write before */
}

/* ---------------------------------------------------------------- over what is damaged */

/** the first version that can come behind what the survey stands behind */
static uint64_t version_behind(cairn_survey_t *survey)
{
    cairn_survey_piece_t piece;
    while (cairn_survey_next(survey, &piece)) {
        if (piece.record == NULL || piece.key_only)
            continue;
        return cairn_record_is_data(piece.record) ? piece.record->version
                                                  : piece.record->version + 1;
    }
    return CAIRN_WALK_NO_VERSION;
}

static cairn_walk_find_t survey(cairn_walk_t *walk, uint64_t *behind)
{
    cairn_survey_t survey;
    cairn_survey_piece_t piece;
    cairn_survey_init(&survey, walk->segment->map, walk->end, walk->segment->salt);
    survey.at = walk->at;
    *behind = CAIRN_WALK_NO_VERSION;
    walk->_behind = walk->end; /* zeroes up to there are no records */
    if (!cairn_survey_next(&survey, &piece))
        return CAIRN_WALK_UNKNOWN;
    walk->_behind = piece.end;
    if (piece.record != NULL)
        memcpy(&walk->record, piece.record,
               CAIRN_RECORD_HEAD_BYTES + (size_t)piece.record->key_bytes +
                   piece.record->meta_bytes);
    if (piece.record != NULL && piece.key_only)
        return CAIRN_WALK_KEY;
    if (piece.record != NULL)
        return cairn_record_is_data(&walk->record) ? CAIRN_WALK_RECORD : CAIRN_WALK_NO_WRITE;
    *behind = version_behind(&survey);
    /* a log has every version */
    return walk->_version != CAIRN_WALK_NO_VERSION && walk->_version + 1 == *behind
               ? CAIRN_WALK_NO_WRITE
               : CAIRN_WALK_UNKNOWN;
}

cairn_walk_find_t cairn_walk_survey(cairn_walk_t *walk, uint64_t *behind)
{
    /* it may have to look far, and waits for the disk */
    rcu_thread_offline();
    cairn_walk_find_t found = survey(walk, behind);
    rcu_thread_online();
    bool is_known = walk->_version != CAIRN_WALK_NO_VERSION;
    if (found == CAIRN_WALK_RECORD && walk->segment->generation == 0)
        walk->_version = walk->record.version;
    else if (found == CAIRN_WALK_KEY && is_known)
        ++walk->_version;
    else if (found == CAIRN_WALK_UNKNOWN)
        walk->_version = CAIRN_WALK_NO_VERSION;
    return found;
}

void cairn_walk_step_over(cairn_walk_t *walk)
{
    walk->at = walk->_brought_in = walk->_behind;
}

cairn_err_t cairn_walk_look_at(cairn_walk_t *walk, uint64_t at)
{
    walk->at = walk->_brought_in = at;
    walk->_is_lone = true;
    return look(walk, bring_in_some);
}

cairn_err_t cairn_walk_value(cairn_walk_t *walk, cairn_room_t *room)
{
    const cairn_record_t *r = &walk->record;
    uint64_t head = (uint64_t)r->key_bytes + r->meta_bytes;
    if (!cairn_room_make(room, r->value_bytes))
        return CAIRN_ERR_NOMEM;
    uint64_t bytes = CAIRN_RECORD_HEAD_BYTES + head + r->value_bytes;
    if (walk->_is_lone)
        bring_in_some(walk, bytes);
    else
        bring_in_ahead(walk, bytes);
    cairn_err_t err = copy(walk, CAIRN_RECORD_HEAD_BYTES + head, room->bytes, r->value_bytes);
    if (err != CAIRN_OK)
        return err;
    const cairn_bytes_t pieces[] = {{cairn_record_key(r), head}, {room->bytes, r->value_bytes}};
    return cairn_record_body_sum(pieces, 2) == r->body_sum ? CAIRN_OK : CAIRN_ERR_DAMAGED;
}

typedef struct st_check_t {
    const cairn_record_t *record;
    bool is_valid;
} check_t;

static void check(void *ctx)
{
    check_t *c = ctx;
    c->is_valid = cairn_record_body_is_valid(c->record);
}

cairn_err_t cairn_walk_check(cairn_walk_t *walk)
{
    check_t c = {.record = cairn_walk_in_map(walk)};
    bring_in_ahead(walk, cairn_record_bytes(&walk->record));
    if (!cairn_guard_run(check, &c))
        return CAIRN_ERR_IO;
    return c.is_valid ? CAIRN_OK : CAIRN_ERR_DAMAGED;
}

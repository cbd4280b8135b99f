/*
 * storage/keysort.c - puts the records of a segment into the order of their keys.
 *
 * Quicksort in three parts by one word of each key: less, equal, greater. Only the equal part is
 * looked at again, by the next word.
 */
#include "storage/keysort.h"

#include <string.h>

#include "storage/guard.h"
#include "storage/os.h"

/** key bytes in a word; its last byte says how many there are, so that a key that ends is less */
#define WORD_KEY_BYTES 7
/** there are more */
#define WORD_GOES_ON 8

typedef struct st_sorter_t {
    const cairn_segment_t *segment;
    uint64_t end;
    uint64_t random;
    cairn_keyplace_t *places;
    size_t count;
} sorter_t;

/** strangers choose the keys: they shall not choose the pivots */
static size_t random_below(sorter_t *s, size_t count)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return (size_t)(s->random % count);
}

static uint64_t word_at(const sorter_t *s, cairn_place_t place, size_t depth)
{
    uint64_t offset = (uint64_t)place * CAIRN_RECORD_ALIGN, word = 0;
    const cairn_record_t *r = (const cairn_record_t *)(s->segment->map + offset);
    /* it was valid; but should the disk say something else now, no other segment is touched */
    uint64_t room = s->end - offset - CAIRN_RECORD_HEAD_BYTES;
    uint64_t bytes = r->key_bytes < room ? r->key_bytes : room;
    uint64_t left = bytes > depth ? bytes - depth : 0;
    memcpy(&word, cairn_record_key(r) + depth, left < WORD_KEY_BYTES ? left : WORD_KEY_BYTES);
    return __builtin_bswap64(word) | (left < WORD_GOES_ON ? left : WORD_GOES_ON);
}

static void swap(cairn_keyplace_t *a, cairn_keyplace_t *b)
{
    cairn_keyplace_t c = *a;
    *a = *b;
    *b = c;
}

/** all of one key: the last one stays, the others become place 0, where no record is */
static void keep_last(cairn_keyplace_t *places, size_t count)
{
    size_t last = 0;
    for (size_t i = 1; i < count; ++i) {
        size_t older = places[i].place > places[last].place ? last : i;
        if (older == last)
            last = i;
        places[older].place = 0;
    }
}

static void sort(sorter_t *s, cairn_keyplace_t *places, size_t count, size_t depth)
{
    if (count < 2)
        return;
    uint64_t pivot = places[random_below(s, count)]._word;
    size_t less = 0, greater = count;
    for (size_t i = 0; i < greater;) {
        if (places[i]._word < pivot)
            swap(&places[less++], &places[i++]);
        else if (places[i]._word > pivot)
            swap(&places[i], &places[--greater]);
        else
            ++i;
    }
    sort(s, places, less, depth);
    sort(s, places + greater, count - greater, depth);
    places += less;
    count = greater - less;
    if (count < 2)
        return;
    if ((pivot & 0xff) < WORD_GOES_ON) {
        keep_last(places, count);
        return;
    }
    for (size_t i = 0; i < count; ++i)
        places[i]._word = word_at(s, places[i].place, depth + WORD_KEY_BYTES);
    sort(s, places, count, depth + WORD_KEY_BYTES);
}

/** under a guard: the disk may fail to deliver what is touched here */
static void sort_all(void *ctx)
{
    sorter_t *s = ctx;
    for (size_t i = 0; i < s->count; ++i)
        s->places[i]._word = word_at(s, s->places[i].place, 0);
    sort(s, s->places, s->count, 0);
}

bool cairn_keysort(const cairn_segment_t *segment, uint64_t end, cairn_keyplace_t *places,
                   size_t *count)
{
    sorter_t s = {.segment = segment,
                  .end = end,
                  .random = cairn_os->monotonic_ns() | 1,
                  .places = places,
                  .count = *count};
    if (!cairn_guard_run(sort_all, &s))
        return false;
    size_t kept = 0;
    for (size_t i = 0; i < s.count; ++i)
        if (places[i].place != 0)
            places[kept++] = places[i];
    *count = kept;
    return true;
}

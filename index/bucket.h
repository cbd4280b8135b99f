/*
 * index/bucket.h - one cache line of eight slots, and how to look at all eight at once.
 *
 *   63          43 42         40 39                0
 *  +--------------+-------------+-------------------+
 *  | tag (21)     | walked (3)  | location (40)     |   0 = empty: no location is 0
 *  +--------------+-------------+-------------------+
 *
 * `walked` is how many buckets behind its home the entry lives. Tag and walked together are the
 * slot's signature: a lookup knows both for every bucket it looks at, so one comparison of 24 bits
 * decides, and two entries of different homes never look alike.
 *
 * Slots are read while another thread stores into them. Each is read and written as a whole; eight
 * of them are not, and nothing here relies on it.
 */
#ifndef CAIRN_INDEX_BUCKET_H
#define CAIRN_INDEX_BUCKET_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "index/index.h"
#include "index/tsan.h"

/* ThreadSanitizer cannot see into vector loads, so it is shown the plain ones */
#if defined(__SSE2__) && !defined(CAIRN_TSAN) && !defined(CAIRN_INDEX_PLAIN_C)
#define CAIRN_INDEX_SSE2 1
#include <emmintrin.h>
#endif

#define CAIRN_TAG_BITS 21
#define CAIRN_TAG_MASK (((uint64_t)1 << CAIRN_TAG_BITS) - 1)
#define CAIRN_WALKED_BITS 3
#define CAIRN_WALKED_MAX 7
#define CAIRN_BUCKET_SLOTS 8

_Static_assert(CAIRN_TAG_BITS + CAIRN_WALKED_BITS + CAIRN_LOC_BITS == 64, "a slot is eight bytes");

typedef _Atomic uint64_t cairn_slot_t;

typedef struct st_cairn_bucket_t {
    alignas(64) cairn_slot_t slots[CAIRN_BUCKET_SLOTS];
} cairn_bucket_t;

_Static_assert(sizeof(cairn_bucket_t) == 64, "a bucket is a cache line");

static inline uint64_t cairn_slot_make(uint64_t tag, unsigned walked, cairn_loc_t loc)
{
    return tag << (CAIRN_LOC_BITS + CAIRN_WALKED_BITS) | (uint64_t)walked << CAIRN_LOC_BITS | loc;
}

static inline uint64_t cairn_slot_tag(uint64_t slot)
{
    return slot >> (CAIRN_LOC_BITS + CAIRN_WALKED_BITS);
}

static inline unsigned cairn_slot_walked(uint64_t slot)
{
    return (unsigned)(slot >> CAIRN_LOC_BITS) & CAIRN_WALKED_MAX;
}

static inline cairn_loc_t cairn_slot_loc(uint64_t slot)
{
    return slot & CAIRN_LOC_MAX;
}

static inline uint32_t cairn_signature(uint64_t tag, unsigned walked)
{
    return (uint32_t)(tag << CAIRN_WALKED_BITS | walked);
}

/** for readers. acquire: pairs with the release in cairn_slot_store() */
static inline uint64_t cairn_slot_load(const cairn_slot_t *slot)
{
    return atomic_load_explicit(slot, memory_order_acquire);
}

/** for whoever holds the stripe's lock, which is the only one that stores */
static inline uint64_t cairn_slot_peek(const cairn_slot_t *slot)
{
    return atomic_load_explicit(slot, memory_order_relaxed);
}

/** release: pairs with the acquire in cairn_slot_load(); the record at the location comes first,
 * and of two stores of one change the earlier is seen first */
static inline void cairn_slot_store(cairn_slot_t *slot, uint64_t value)
{
    atomic_store_explicit(slot, value, memory_order_release);
}

#ifdef CAIRN_INDEX_SSE2

/* x86 loads are acquire loads; what is left to forbid is the compiler's reordering. Every half of
 * an aligned 16-byte load is one slot, read as a whole on every x86-64. */
static inline unsigned four_words(__m128i left, __m128i right)
{
    return (unsigned)_mm_movemask_epi8(
        _mm_packs_epi16(_mm_packs_epi32(left, right), _mm_setzero_si128()));
}

static inline __m128i upper_halves(const __m128i *pair)
{
    return _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(_mm_load_si128(pair)),
                                           _mm_castsi128_ps(_mm_load_si128(pair + 1)),
                                           _MM_SHUFFLE(3, 1, 3, 1)));
}

static inline __m128i empty_words(const __m128i *pair)
{
    __m128i first = _mm_load_si128(pair), second = _mm_load_si128(pair + 1);
    __m128i low = _mm_castps_si128(
        _mm_shuffle_ps(_mm_castsi128_ps(first), _mm_castsi128_ps(second), _MM_SHUFFLE(2, 0, 2, 0)));
    __m128i high = _mm_castps_si128(
        _mm_shuffle_ps(_mm_castsi128_ps(first), _mm_castsi128_ps(second), _MM_SHUFFLE(3, 1, 3, 1)));
    return _mm_cmpeq_epi32(_mm_or_si128(low, high), _mm_setzero_si128());
}

/** one bit for each slot of this signature; an empty slot looks like signature 0 */
static inline unsigned cairn_bucket_match(const cairn_bucket_t *bucket, uint32_t signature)
{
    const __m128i *pairs = (const __m128i *)(const void *)bucket;
    __m128i wanted = _mm_set1_epi32((int)signature);
    __m128i left = _mm_cmpeq_epi32(_mm_srli_epi32(upper_halves(pairs), 8), wanted);
    __m128i right = _mm_cmpeq_epi32(_mm_srli_epi32(upper_halves(pairs + 2), 8), wanted);
    atomic_signal_fence(memory_order_acquire);
    return four_words(left, right);
}

/** one bit for each empty slot */
static inline unsigned cairn_bucket_empty(const cairn_bucket_t *bucket)
{
    const __m128i *pairs = (const __m128i *)(const void *)bucket;
    __m128i left = empty_words(pairs), right = empty_words(pairs + 2);
    atomic_signal_fence(memory_order_acquire);
    return four_words(left, right);
}

/** whether some slot has walked less than `walked`, or is empty; `walked` is at least 1 */
static inline bool cairn_bucket_has_richer(const cairn_bucket_t *bucket, unsigned walked)
{
    const __m128i *pairs = (const __m128i *)(const void *)bucket;
    __m128i field = _mm_set1_epi32(CAIRN_WALKED_MAX << 8), limit = _mm_set1_epi32((int)walked << 8);
    __m128i left = _mm_cmplt_epi32(_mm_and_si128(upper_halves(pairs), field), limit);
    __m128i right = _mm_cmplt_epi32(_mm_and_si128(upper_halves(pairs + 2), field), limit);
    atomic_signal_fence(memory_order_acquire);
    return _mm_movemask_epi8(_mm_or_si128(left, right)) != 0;
}

#else

static inline unsigned cairn_bucket_match(const cairn_bucket_t *bucket, uint32_t signature)
{
    unsigned found = 0;

    for (unsigned i = 0; i < CAIRN_BUCKET_SLOTS; ++i)
        found |= (unsigned)(cairn_slot_load(&bucket->slots[i]) >> CAIRN_LOC_BITS == signature) << i;
    return found;
}

static inline unsigned cairn_bucket_empty(const cairn_bucket_t *bucket)
{
    unsigned found = 0;

    for (unsigned i = 0; i < CAIRN_BUCKET_SLOTS; ++i)
        found |= (unsigned)(cairn_slot_load(&bucket->slots[i]) == 0) << i;
    return found;
}

static inline bool cairn_bucket_has_richer(const cairn_bucket_t *bucket, unsigned walked)
{
    for (unsigned i = 0; i < CAIRN_BUCKET_SLOTS; ++i)
        if (cairn_slot_walked(cairn_slot_load(&bucket->slots[i])) < walked)
            return true;
    return false;
}

#endif

#endif

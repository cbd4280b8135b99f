/*
 * storage/record.c - the bytes of one record.
 */
#include "storage/record.h"

#include <string.h>

#define XXH_INLINE_ALL /* small inputs: the call would cost more than the hash */
#include <xxhash.h>

const char *cairn_strerror(cairn_err_t err)
{
    static const char *const texts[] = {
#define X(name, text) text,
        CAIRN_ERRORS(X)
#undef X
    };
    assert((size_t)err < sizeof(texts) / sizeof(texts[0]));
    return texts[err];
}

cairn_key_t cairn_key(uint64_t seed, const void *bytes, size_t count)
{
    assert(count >= 1 && count <= CAIRN_KEY_BYTES_MAX);
    return (cairn_key_t){
        .bytes = bytes, .count = count, .hash = XXH3_64bits_withSeed(bytes, count, seed)};
}

/** the finaliser of MurmurHash3 (public domain, Austin Appleby): a bijection on 64 bits */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    x ^= x >> 33;
    return x;
}

uint64_t cairn_record_head_sum(const cairn_record_t *r, uint64_t salt, uint64_t offset)
{
    size_t covered =
        CAIRN_RECORD_HEAD_BYTES - sizeof(r->head_sum) + (size_t)r->key_bytes + r->meta_bytes;
    uint64_t content = XXH3_64bits(&r->body_sum, covered);
    uint64_t sum = mix(content ^ salt ^ offset * UINT64_C(0x9e3779b97f4a7c15));
    return sum != 0 ? sum : 1;
}

uint64_t cairn_record_body_sum(const cairn_bytes_t *pieces, size_t count)
{
    size_t last = count;
    while (last > 1 && pieces[last - 1].count == 0)
        --last;
    if (last == 1)
        return XXH3_64bits(pieces[0].base, pieces[0].count);
    XXH3_state_t state;
    XXH3_INITSTATE(&state);
    XXH3_64bits_reset(&state);
    for (size_t i = 0; i < last; ++i)
        if (pieces[i].count != 0)
            XXH3_64bits_update(&state, pieces[i].base, pieces[i].count);
    return XXH3_64bits_digest(&state);
}

/** the lengths that each type may have; a head sum that fits a nonsense record is still nonsense */
static bool shape_is_valid(const cairn_record_t *r)
{
    if (r->expiry >> 48 != 0 || (cairn_record_flags(r) & ~CAIRN_RECORD_MORE) != 0)
        return false;
    switch (cairn_record_type(r)) {
    case CAIRN_RECORD_PUT:
    case CAIRN_RECORD_DELETE:
        return r->key_bytes >= 1 && r->key_bytes <= CAIRN_KEY_BYTES_MAX &&
               r->meta_bytes <= CAIRN_META_BYTES_MAX &&
               (r->value_bytes == 0 || cairn_record_type(r) == CAIRN_RECORD_PUT);
    case CAIRN_RECORD_LOST:
        return r->key_bytes >= 1 && r->key_bytes <= CAIRN_KEY_BYTES_MAX && r->meta_bytes == 0 &&
               r->value_bytes == 0;
    case CAIRN_RECORD_MARK:
        return r->key_bytes == 0 && r->meta_bytes == 0 && r->value_bytes == sizeof(cairn_mark_t);
    case CAIRN_RECORD_LINK:
        return r->key_bytes == 0 && r->meta_bytes == 0 && r->value_bytes == sizeof(cairn_link_t);
    }
    return false;
}

bool cairn_record_head_is_valid(const cairn_record_t *r, uint64_t available, uint64_t salt,
                                uint64_t offset)
{
    if (available < CAIRN_RECORD_HEAD_BYTES || r->head_sum == 0)
        return false;
    if (cairn_record_bytes(r) > available || !shape_is_valid(r))
        return false;
    return cairn_record_head_sum(r, salt, offset) == r->head_sum;
}

bool cairn_record_body_is_valid(const cairn_record_t *r)
{
    const uint8_t *body = cairn_record_key(r);
    size_t bytes = (size_t)r->key_bytes + r->meta_bytes + r->value_bytes;
    size_t padded = cairn_record_bytes(r) - CAIRN_RECORD_HEAD_BYTES;
    for (size_t i = bytes; i < padded; ++i)
        if (body[i] != 0)
            return false;
    return XXH3_64bits(body, bytes) == r->body_sum;
}

bool cairn_record_has_key(const cairn_record_t *r, const cairn_key_t *key)
{
    return r->key_bytes == key->count && memcmp(cairn_record_key(r), key->bytes, key->count) == 0;
}

static uint64_t write_own(cairn_record_t *r, cairn_record_type_t type, const void *value,
                          size_t value_bytes, uint64_t version, uint64_t now_ms)
{
    memset(r, 0, sizeof(*r));
    memcpy(r + 1, value, value_bytes);
    r->body_sum = XXH3_64bits(value, value_bytes);
    r->version = version;
    r->value_bytes = (uint32_t)value_bytes;
    r->written = (now_ms & CAIRN_MS48_MAX) | (uint64_t)type << 48;
    return CAIRN_RECORD_HEAD_BYTES + value_bytes;
}

uint64_t cairn_record_write_mark(cairn_record_t *r, const cairn_mark_t *mark, uint64_t version,
                                 uint64_t now_ms, uint64_t salt, uint64_t offset)
{
    uint64_t span = write_own(r, CAIRN_RECORD_MARK, mark, sizeof(*mark), version, now_ms);
    r->head_sum = cairn_record_head_sum(r, salt, offset);
    return span;
}

uint64_t cairn_record_write_link(cairn_record_t *r, const cairn_link_t *link, uint64_t version,
                                 uint64_t now_ms, uint64_t salt, uint64_t offset)
{
    uint64_t span = write_own(r, CAIRN_RECORD_LINK, link, sizeof(*link), version, now_ms);
    r->head_sum = cairn_record_head_sum(r, salt, offset);
    return span;
}

void cairn_record_read_mark(const cairn_record_t *r, cairn_mark_t *mark)
{
    assert(cairn_record_type(r) == CAIRN_RECORD_MARK);
    memcpy(mark, cairn_record_value(r), sizeof(*mark));
}

void cairn_record_read_link(const cairn_record_t *r, cairn_link_t *link)
{
    assert(cairn_record_type(r) == CAIRN_RECORD_LINK);
    memcpy(link, cairn_record_value(r), sizeof(*link));
}

cairn_chain_t cairn_chain_next(const cairn_chain_t *before, const cairn_record_t *r)
{
    struct {
        cairn_chain_t before;
        uint8_t piece[CAIRN_RECORD_HEAD_BYTES - 8];
    } input = {.before = *before};
    memcpy(input.piece, &r->body_sum, sizeof(input.piece));
    XXH128_hash_t next = XXH3_128bits(&input, sizeof(input));
    return (cairn_chain_t){.low = next.low64, .high = next.high64};
}

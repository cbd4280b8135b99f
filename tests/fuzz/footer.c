/*
 * tests/fuzz/footer.c - the footer of a segment, and the meta of a record.
 */
#include <string.h>

#include <xxhash.h>

#include "storage/meta.h"
#include "storage/segment.h"
#include "tests/fuzz/fuzz.h"

static void look_for_footer(const uint8_t *bytes, size_t count)
{
    static _Alignas(8) uint8_t map[CAIRN_SEGMENT_HEADER_BYTES + 4096];
    cairn_segment_footer_t footer;
    size_t end = count < 4096 ? count : 4096;
    memset(map, 0, sizeof(map));
    memcpy(map + CAIRN_SEGMENT_HEADER_BYTES, bytes, end);
    cairn_segment_t segment = {.map = map, .bytes = CAIRN_SEGMENT_HEADER_BYTES + end, .salt = 1};
    for (uint64_t at = 0; at < segment.bytes + 16; at += 8) {
        bool room = at >= CAIRN_SEGMENT_HEADER_BYTES && at + sizeof(footer) <= segment.bytes;
        if (room) {
            cairn_segment_footer_t *there = (cairn_segment_footer_t *)(map + at);
            cairn_segment_footer_t kept = *there;
            there->sum = XXH3_64bits(there, offsetof(cairn_segment_footer_t, sum));
            bool found = cairn_segment_footer_at(&segment, at, &footer);
            MUST(!found || (footer.end == at && footer.salt == segment.salt));
            *there = kept;
        } else {
            MUST(!cairn_segment_footer_at(&segment, at, &footer));
        }
    }
}

static void walk_meta(const uint8_t *bytes, size_t count)
{
    cairn_bytes_t meta = {bytes, count}, content;
    cairn_meta_tag_t tag;
    size_t at = 0, before = 0;
    while (cairn_meta_next(meta, &at, &tag, &content)) {
        MUST(at > before && at <= count);
        MUST((const uint8_t *)content.base + content.count <= bytes + count);
        before = at;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    if (count <= 1024)
        look_for_footer(bytes, count);
    walk_meta(bytes, count);
    return 0;
}

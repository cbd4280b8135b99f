/*
 * tests/fuzz/target.c - keys in paths and queries.
 */
#include "server/target.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"

/* what was decoded, encoded again, decodes to the same */
static void go_round(const char *decoded, size_t count)
{
    char encoded[3 * 512], again[512];
    size_t again_count = 0, at = 0;
    size_t encoded_count = cairn_target_encode(decoded, count, encoded);
    MUST(encoded_count >= count && encoded_count <= 3 * count);
    MUST(cairn_target_decode(encoded, encoded_count, true, again, sizeof(again), &again_count,
                             &at) == CAIRN_DECODE_OK);
    MUST(again_count == count && memcmp(again, decoded, count) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const char *text = (const char *)bytes, *value;
    char out[512];
    size_t decoded = 0, at = 0, value_count;
    for (int plus = 0; plus < 2; ++plus) {
        cairn_decode_t result =
            cairn_target_decode(text, count, plus != 0, out, sizeof(out), &decoded, &at);
        MUST(decoded <= sizeof(out));
        if (result == CAIRN_DECODE_OK)
            go_round(out, decoded);
        else if (result == CAIRN_DECODE_BAD_ESCAPE)
            MUST(at < count && text[at] == '%');
    }
    if (cairn_target_param(text, count, "key", &value, &value_count))
        MUST(value >= text && value + value_count <= text + count);
    return 0;
}

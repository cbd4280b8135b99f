/*
 * tests/fuzz/target.c - keys in paths, and queries: every parameter that any request takes.
 */
#include "server/target.h"

#include <string.h>

#include "server/units.h"
#include "tests/fuzz/fuzz.h"

/** of all requests: values, lists, scans, changes, snapshots */
static const char *const params[] = {"after",   "atomic", "base",   "by",      "contains",
                                     "cursor",  "limit",  "name",   "prefix",  "since",
                                     "partial", "ttl",    "values", "version", "wait"};

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

/* as a request takes it: found, decoded into as much room as it has, and read as what it may be */
static void take_param(const char *query, size_t count, const char *name)
{
    const char *raw;
    size_t raw_count, decoded = 0, at = 0;
    uint64_t number = 0;
    if (!cairn_target_param(query, count, name, &raw, &raw_count))
        return;
    MUST(raw > query && raw + raw_count <= query + count);
    MUST(raw_count == 0 || raw[-1] == '='); /* a name alone has an empty value */
    MUST(memchr(raw, '&', raw_count) == NULL);
    char *value = malloc(raw_count + 1);
    MUST(value != NULL);
    cairn_decode_t result =
        cairn_target_decode(raw, raw_count, true, value, raw_count, &decoded, &at);
    MUST(result != CAIRN_DECODE_TOO_LONG);
    if (result == CAIRN_DECODE_OK) {
        MUST(decoded <= raw_count);
        cairn_units_parse_count(value, decoded, &number);
        cairn_units_parse_bytes(value, decoded, &number);
        if (cairn_units_parse_ms(value, decoded, &number) == CAIRN_UNITS_OK) {
            char text[CAIRN_UNITS_TEXT_BYTES];
            uint64_t again = number + 1;
            cairn_units_print_ms(number, text);
            MUST(cairn_units_parse_ms(text, strlen(text), &again) == CAIRN_UNITS_OK);
            MUST(again == number);
        }
    }
    free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const char *text = (const char *)bytes;
    char out[512];
    size_t decoded = 0, at = 0;
    for (int plus = 0; plus < 2; ++plus) {
        cairn_decode_t result =
            cairn_target_decode(text, count, plus != 0, out, sizeof(out), &decoded, &at);
        MUST(decoded <= sizeof(out));
        if (result == CAIRN_DECODE_OK)
            go_round(out, decoded);
        else if (result == CAIRN_DECODE_BAD_ESCAPE)
            MUST(at < count && text[at] == '%');
    }
    for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); ++i)
        take_param(text, count, params[i]);
    return 0;
}

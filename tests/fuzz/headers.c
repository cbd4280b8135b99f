/*
 * tests/fuzz/headers.c - ranges, conditions, dates, numbers, times: what clients write into
 * headers.
 */
#include "server/conditions.h"
#include "server/range.h"
#include "server/units.h"
#include "storage/store.h"
#include "tests/fuzz/fuzz.h"

static void read_range(cairn_bytes_t text)
{
    static const uint64_t sizes[] = {0, 1, 1000, UINT64_MAX / 2};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); ++i) {
        uint64_t first = 0, last = 0;
        if (cairn_range_parse(text, sizes[i], &first, &last) == CAIRN_RANGE_PART)
            MUST(first <= last && last < sizes[i]);
    }
}

static void read_conditions(cairn_bytes_t text)
{
    for (unsigned which = 1; which < 16; ++which) {
        cairn_conditions_t conditions;
        cairn_bytes_t none = {NULL, 0};
        cairn_condition_texts_t texts = {.if_match = which & 1 ? text : none,
                                         .if_none_match = which & 2 ? text : none,
                                         .if_modified_since = which & 4 ? text : none,
                                         .if_unmodified_since = which & 8 ? text : none};
        if (cairn_conditions_parse(&texts, &conditions) == NULL)
            cairn_conditions_check_read(&conditions, 17, 1700000000000);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    cairn_bytes_t text = {bytes, count};
    uint64_t number;
    int64_t by;
    read_range(text);
    read_conditions(text);
    cairn_conditions_parse_date(text, &number);
    cairn_conditions_parse_etag(text, &number);
    cairn_number_parse(bytes, count, &by);
    cairn_units_parse_ms((const char *)bytes, count, &number);    /* Cairn-TTL */
    cairn_units_parse_count((const char *)bytes, count, &number); /* Last-Event-ID */
    return 0;
}

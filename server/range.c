/*
 * server/range.c - which bytes of a value a request wants.
 */
#include "server/range.h"

#include <string.h>
#include <strings.h>

#include "server/text.h"
#include "server/units.h"

/** reads digits, saturating: a number too large for 64 bits is beyond every value anyway */
static bool take_number(const char **at, const char *end, uint64_t *number)
{
    const char *begin = *at;
    while (*at < end && **at >= '0' && **at <= '9')
        ++*at;
    if (cairn_units_parse_count(begin, (size_t)(*at - begin), number) == CAIRN_UNITS_TOO_BIG)
        *number = UINT64_MAX;
    return *at != begin;
}

/** `-N`: the last N bytes */
static cairn_range_result_t suffix(const char *at, const char *end, uint64_t size, uint64_t *first,
                                   uint64_t *last)
{
    uint64_t count;
    if (!take_number(&at, end, &count) || cairn_skip_blanks(at, end) != end)
        return CAIRN_RANGE_WHOLE;
    if (count == 0 || size == 0)
        return CAIRN_RANGE_UNSATISFIABLE;
    *first = count < size ? size - count : 0;
    *last = size - 1;
    return CAIRN_RANGE_PART;
}

cairn_range_result_t cairn_range_parse(cairn_bytes_t text, uint64_t size, uint64_t *first,
                                       uint64_t *last)
{
    static const char unit[] = "bytes=";
    const char *at = text.base, *end = at + text.count;
    if (text.count < sizeof(unit) - 1 || strncasecmp(at, unit, sizeof(unit) - 1) != 0)
        return CAIRN_RANGE_WHOLE;
    at = cairn_skip_blanks(at + sizeof(unit) - 1, end);
    if (at < end && *at == '-')
        return suffix(at + 1, end, size, first, last);
    if (!take_number(&at, end, first) || at == end || *at != '-')
        return CAIRN_RANGE_WHOLE;
    ++at;
    *last = UINT64_MAX;
    if (at < end && *at >= '0' && *at <= '9')
        take_number(&at, end, last);
    if (cairn_skip_blanks(at, end) != end || *last < *first)
        return CAIRN_RANGE_WHOLE; /* several ranges, or none that makes sense */
    if (*first >= size)
        return CAIRN_RANGE_UNSATISFIABLE;
    if (*last >= size)
        *last = size - 1;
    return CAIRN_RANGE_PART;
}

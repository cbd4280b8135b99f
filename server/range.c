/*
 * server/range.c - which bytes of a value a request wants.
 */
#include "server/range.h"

#include <string.h>
#include <strings.h>

/** reads digits, saturating: a number too large for 64 bits is beyond every value anyway */
static bool parse_number(const char **at, const char *end, uint64_t *number)
{
    const char *begin = *at;
    *number = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        uint64_t digit = (uint64_t)(**at - '0');
        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
    }
    return *at != begin;
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        ++at;
    return at;
}

/** `-N`: the last N bytes */
static cairn_range_result_t suffix(const char *at, const char *end, uint64_t size, uint64_t *first,
                                   uint64_t *last)
{
    uint64_t count;
    if (!parse_number(&at, end, &count) || skip_blanks(at, end) != end)
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
    at = skip_blanks(at + sizeof(unit) - 1, end);
    if (at < end && *at == '-')
        return suffix(at + 1, end, size, first, last);
    if (!parse_number(&at, end, first) || at == end || *at != '-')
        return CAIRN_RANGE_WHOLE;
    ++at;
    *last = UINT64_MAX;
    if (at < end && *at >= '0' && *at <= '9')
        parse_number(&at, end, last);
    if (skip_blanks(at, end) != end || *last < *first)
        return CAIRN_RANGE_WHOLE; /* several ranges, or none that makes sense */
    if (*first >= size)
        return CAIRN_RANGE_UNSATISFIABLE;
    if (*last >= size)
        *last = size - 1;
    return CAIRN_RANGE_PART;
}

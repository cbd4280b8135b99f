/*
 * server/text.h - what readers of heads, header values and batches have in common.
 *
 * Nothing here ends in a NUL. Threads: any.
 */
#ifndef CAIRN_SERVER_TEXT_H
#define CAIRN_SERVER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static inline bool cairn_begins_with(const char *bytes, size_t count, const char *prefix,
                                     size_t prefix_count)
{
    return count >= prefix_count && memcmp(bytes, prefix, prefix_count) == 0;
}

/** Where the line that begins at `at` ends: at its LF, or at `end` if that is missing. */
static inline const char *cairn_line_end(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline != NULL ? newline : end;
}

/** Where the optional white space (RFC 9110, 5.6.3) that begins at `at` ends, `end` at the latest.
 */
static inline const char *cairn_skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        ++at;
    return at;
}

#endif

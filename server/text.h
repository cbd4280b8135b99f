/*
 * server/text.h - what readers of header values have in common.
 */
#ifndef CAIRN_SERVER_TEXT_H
#define CAIRN_SERVER_TEXT_H

/** Where the optional white space (RFC 9110, 5.6.3) that begins at `at` ends, `end` at the latest.
 */
static inline const char *cairn_skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        ++at;
    return at;
}

#endif

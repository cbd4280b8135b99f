/*
 * server/batch_line.c - a line of a batch that looks as most clients write it, read at speed.
 */
#include "server/batch_line.h"

#include <string.h>

#include "server/text.h"

/** steps over blanks and then over this token; false if something else stands there */
static bool take(const char **at, const char *end, const char *token, size_t count)
{
    const char *begin = cairn_skip_blanks(*at, end);
    if ((size_t)(end - begin) < count || memcmp(begin, token, count) != 0)
        return false;
    *at = begin + count;
    return true;
}

/** the inside of a string in which every byte stands for itself; false if it is another one */
static bool take_string(const char **at, const char *end, cairn_bytes_t *string)
{
    if (!take(at, end, "\"", 1))
        return false;
    const char *begin = *at, *c = begin;
    /* a byte above 0x7f is below zero: whether that is UTF-8 is judged elsewhere */
    while (c < end && (signed char)*c >= ' ' && *c != '"' && *c != '\\')
        ++c;
    if (c == end || *c != '"')
        return false;
    *string = (cairn_bytes_t){begin, (size_t)(c - begin)};
    *at = c + 1;
    return true;
}

#define TAKE(token) take(&at, end, token, sizeof(token) - 1)

bool cairn_batch_line_read(const char *text, size_t count, cairn_batch_line_t *line)
{
    const char *at = text, *end = text + count;
    if (!TAKE("{") || !TAKE("\"op\"") || !TAKE(":"))
        return false;
    if (TAKE("\"get\""))
        line->op = CAIRN_WRITE_GET;
    else if (TAKE("\"put\""))
        line->op = CAIRN_WRITE_PUT;
    else if (TAKE("\"delete\""))
        line->op = CAIRN_WRITE_DELETE;
    else
        return false;
    if (!TAKE(",") || !TAKE("\"key\"") || !TAKE(":") || !take_string(&at, end, &line->key))
        return false;
    line->value = (cairn_bytes_t){NULL, 0};
    if (line->op == CAIRN_WRITE_PUT &&
        (!TAKE(",") || !TAKE("\"value\"") || !TAKE(":") || !take_string(&at, end, &line->value)))
        return false;
    if (!TAKE("}"))
        return false;
    at = cairn_skip_blanks(at, end);
    return at == end || (*at == '\r' && at + 1 == end);
}

/*
 * server/batch_gets.c - the body of a batch that is nothing but plain gets, read at speed.
 */
#include "server/batch_gets.h"

#include <string.h>

#include "server/auth.h"
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
    while (c < end && *c >= ' ' && *c != '"' && *c != '\\') /* a char above 0x7f is below zero */
        ++c;
    if (c == end || *c != '"')
        return false;
    *string = (cairn_bytes_t){begin, (size_t)(c - begin)};
    *at = c + 1;
    return true;
}

#define TAKE(token) take(&at, end, token, sizeof(token) - 1)

static bool take_line(const char *at, const char *end, cairn_bytes_t *key)
{
    if (!TAKE("{") || !TAKE("\"op\"") || !TAKE(":") || !TAKE("\"get\"") || !TAKE(",") ||
        !TAKE("\"key\"") || !TAKE(":") || !take_string(&at, end, key) || !TAKE("}"))
        return false;
    at = cairn_skip_blanks(at, end);
    return at == end || (*at == '\r' && at + 1 == end);
}

static bool add_get(cairn_batch_ops_t *ops, const cairn_batch_limits_t *limits, cairn_bytes_t key)
{
    if (ops->count == limits->ops_max || key.count == 0 || key.count > CAIRN_KEY_BYTES_MAX ||
        !cairn_auth_allows_key(limits->token, key.base, key.count))
        return false;
    if (ops->count == ops->_capacity) {
        ops->_capacity = ops->_capacity != 0 ? 2 * ops->_capacity : 128;
        ops->gets = h2o_mem_realloc(ops->gets, ops->_capacity * sizeof(*ops->gets));
    }
    ops->gets[ops->count++] = cairn_store_key(limits->store, key.base, key.count);
    return true;
}

bool cairn_batch_gets_parse(cairn_bytes_t body, const cairn_batch_limits_t *limits,
                            cairn_batch_ops_t *ops)
{
    const char *at = body.base, *end = at + body.count;
    bool is_good = body.count != 0;
    while (is_good && at < end) {
        cairn_bytes_t key;
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline != NULL ? newline : end;
        is_good = take_line(at, line_end, &key) && add_get(ops, limits, key);
        at = line_end + 1;
    }
    if (!is_good)
        cairn_batch_ops_dispose(ops);
    return is_good;
}

/*
 * server/batch_gets.c - the body of a batch that is nothing but plain gets, read at speed.
 */
#include "server/batch_gets.h"

#include "server/auth.h"
#include "server/batch_line.h"
#include "server/text.h"

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
        cairn_batch_line_t line;
        const char *line_end = cairn_line_end(at, end);
        is_good = cairn_batch_line_read(at, (size_t)(line_end - at), &line) &&
                  line.op == CAIRN_WRITE_GET && add_get(ops, limits, line.key);
        at = line_end + 1;
    }
    if (!is_good)
        cairn_batch_ops_dispose(ops);
    return is_good;
}

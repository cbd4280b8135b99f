/*
 * server/list_request.c - what requests for many keys ask for alike.
 */
#include "server/list_request.h"

#include "server/gate.h"
#include "server/reply.h"
#include "server/units.h"
#include "server/write_request.h"

bool cairn_list_request_key(h2o_req_t *req, const char *name, cairn_bytes_t *key)
{
    h2o_iovec_t text = {NULL, 0};
    if (cairn_write_request_param(req, name, &text) && text.base == NULL)
        return false;
    *key = (cairn_bytes_t){text.base, text.len};
    if (key->count <= CAIRN_KEY_BYTES_MAX)
        return true;
    cairn_reply_problem(req, CAIRN_PROBLEM_KEY_TOO_LONG, "%s has %zu bytes, %d are allowed", name,
                        key->count, CAIRN_KEY_BYTES_MAX);
    return false;
}

bool cairn_list_request_prefix(h2o_req_t *req, cairn_bytes_t *prefix)
{
    return cairn_list_request_key(req, "prefix", prefix) && cairn_gate_narrow(req, prefix);
}

/** a parameter that is a whole number; false, and it has been answered, if it is no good */
static bool read_count(h2o_req_t *req, const char *name, uint64_t *count, bool *is_number)
{
    h2o_iovec_t text;
    *is_number = true;
    if (!cairn_write_request_param(req, name, &text))
        return true;
    if (text.base == NULL)
        return false;
    *is_number = cairn_units_parse_count(text.base, text.len, count) == CAIRN_UNITS_OK;
    return true;
}

bool cairn_list_request_limit(h2o_req_t *req, size_t *limit)
{
    uint64_t count = CAIRN_LIST_LIMIT_DEFAULT;
    bool is_number;
    if (!read_count(req, "limit", &count, &is_number))
        return false;
    if (!is_number || count == 0 || count > CAIRN_LIST_LIMIT_MAX) {
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_NUMBER, "limit is a number from 1 to %d",
                            CAIRN_LIST_LIMIT_MAX);
        return false;
    }
    *limit = (size_t)count;
    return true;
}

bool cairn_list_request_version(h2o_req_t *req, const char *name, uint64_t *version)
{
    bool is_number;
    if (!read_count(req, name, version, &is_number))
        return false;
    if (!is_number)
        cairn_reply_problem(req, CAIRN_PROBLEM_BAD_VERSION,
                            "%s is a number, from the Link of the page before", name);
    return is_number;
}

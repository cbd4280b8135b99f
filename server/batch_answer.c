/*
 * server/batch_answer.c - the answer to a batch: NDJSON, a line for each operation.
 */
#include "server/batch_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

/** a larger value is not put into JSON on an event loop */
#define QUICK_BYTES_MAX 65536
/** a line without its value */
#define LINE_BYTES_MAX 160

void cairn_batch_answer_init(cairn_batch_answer_t *answer)
{
    answer->bytes = NULL;
    answer->_value = NULL;
    answer->count = answer->_capacity = answer->_value_capacity = answer->_next = 0;
    answer->value_bytes = 0;
    answer->_found_from = answer->_found_to = 0;
}

void cairn_batch_answer_dispose(cairn_batch_answer_t *answer)
{
    free(answer->bytes);
    free(answer->_value);
    answer->bytes = NULL;
    answer->_value = NULL;
}

/* ---------------------------------------------------------------- text */

static char *make_room(cairn_batch_answer_t *answer, size_t bytes)
{
    if (bytes > answer->_capacity - answer->count) {
        size_t least = answer->count + bytes;
        answer->_capacity = least > 2 * answer->_capacity ? least : 2 * answer->_capacity;
        answer->bytes = h2o_mem_realloc(answer->bytes, answer->_capacity);
    }
    return answer->bytes + answer->count;
}

/** adds a short text */
__attribute__((format(printf, 2, 3))) static void add(cairn_batch_answer_t *answer,
                                                      const char *format, ...)
{
    va_list args;
    char *at = make_room(answer, LINE_BYTES_MAX);
    va_start(args, format);
    int n = vsnprintf(at, LINE_BYTES_MAX, format, args);
    va_end(args);
    assert(n > 0 && n < LINE_BYTES_MAX);
    answer->count += (size_t)n;
}

/** bytes of the UTF-8 character that begins here; 0 if none does (RFC 3629) */
static size_t utf8_bytes(const uint8_t *at, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t count = at[0] < 0x80       ? 1
                   : at[0] >> 5 == 6  ? 2
                   : at[0] >> 4 == 14 ? 3
                   : at[0] >> 3 == 30 ? 4
                                      : 0;
    if (count <= 1 || count > left)
        return count == 1;
    uint32_t code = at[0] & (0x7fu >> count);
    for (size_t i = 1; i < count; ++i) {
        if (at[i] >> 6 != 2)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[count] || code > 0x10ffff || is_surrogate ? 0 : count;
}

static bool is_utf8(const uint8_t *bytes, size_t count)
{
    for (size_t at = 0, n; at < count; at += n)
        if ((n = utf8_bytes(bytes + at, count - at)) == 0)
            return false;
    return true;
}

/** adds the inside of a JSON string */
static void add_text(cairn_batch_answer_t *answer, const uint8_t *bytes, size_t count)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_forms[] = "btn\0fr"; /* of 8 to 13 */
    char *out = make_room(answer, 6 * count);
    for (size_t i = 0; i < count; ++i) {
        uint8_t c = bytes[i];
        if (c >= ' ' && c != '"' && c != '\\') {
            *out++ = (char)c;
            continue;
        }
        *out++ = '\\';
        if (c >= ' ') {
            *out++ = (char)c;
        } else if (c >= 8 && c <= 13 && short_forms[c - 8] != '\0') {
            *out++ = short_forms[c - 8];
        } else {
            memcpy(out, "u00", 3);
            out[3] = hex[c >> 4];
            out[4] = hex[c & 15];
            out += 5;
        }
    }
    answer->count = (size_t)(out - answer->bytes);
}

static void add_base64(cairn_batch_answer_t *answer, const uint8_t *bytes, size_t count)
{
    /* and the NUL that it adds */
    char *out = make_room(answer, (count + 2) / 3 * 4 + 1);
    answer->count += (size_t)EVP_EncodeBlock((unsigned char *)out, bytes, (int)count);
}

/* ---------------------------------------------------------------- lines */

/** a copy in memory of our own, which no read error can take away; false if there was one */
static bool copy_value(cairn_batch_answer_t *answer, const cairn_value_t *value)
{
    if (value->count > answer->_value_capacity) {
        answer->_value_capacity = value->count;
        answer->_value = h2o_mem_realloc(answer->_value, value->count);
    }
    return cairn_value_copy(value, 0, answer->_value, value->count);
}

/** false if the disk cannot read the value */
static bool add_value_line(cairn_batch_answer_t *answer, const cairn_value_t *value)
{
    if (!copy_value(answer, value))
        return false;
    bool is_text = is_utf8(answer->_value, value->count);
    add(answer, "{\"status\":200,\"version\":%" PRIu64 ",\"value%s\":\"", value->version,
        is_text ? "" : "_b64");
    if (is_text)
        add_text(answer, answer->_value, value->count);
    else
        add_base64(answer, answer->_value, value->count);
    add(answer, "\"}\n");
    answer->value_bytes += value->count;
    return true;
}

/** `version` is that of the present value where a condition has failed, else 0 */
static void add_failure_line(cairn_batch_answer_t *answer, cairn_err_t err, uint64_t version)
{
    cairn_problem_t problem = cairn_problem_of(err);
    add(answer, "{\"status\":%d,\"code\":\"%s\"", cairn_problem_status(problem),
        cairn_problem_code(problem));
    if (version != 0)
        add(answer, ",\"version\":%" PRIu64, version);
    add(answer, "}\n");
}

static void add_write_line(cairn_batch_answer_t *answer, const cairn_write_t *write)
{
    if (write->err != CAIRN_OK) {
        add_failure_line(answer, write->err,
                         write->err == CAIRN_ERR_PRECONDITION ? write->version : 0);
        return;
    }
    bool is_incr = write->op == CAIRN_WRITE_INCR;
    bool is_new = write->op != CAIRN_WRITE_DELETE && !write->existed;
    add(answer, "{\"status\":%d,\"version\":%" PRIu64,
        is_incr  ? 200
        : is_new ? 201
                 : 204,
        write->version);
    if (is_incr)
        add(answer, ",\"value\":\"%" PRId64 "\"", write->number);
    add(answer, "}\n");
}

/* ---------------------------------------------------------------- operations */

/** looks up the plain get `at` and those that follow, side by side */
static void find_some(cairn_batch_answer_t *answer, cairn_store_t *store,
                      const cairn_batch_ops_t *ops, size_t at)
{
    cairn_key_t keys[CAIRN_GET_BATCH_MAX];
    size_t count = ops->count - at;
    if (count > CAIRN_GET_BATCH_MAX)
        count = CAIRN_GET_BATCH_MAX;
    for (size_t i = 0; i < count; ++i)
        keys[i] = ops->list[at + i].write->key;
    cairn_store_get_batch(store, count, keys, answer->_values, answer->_errs);
    answer->_found_from = at;
    answer->_found_to = at + count;
}

/** what a plain get comes to; COLD if it must not wait */
static cairn_err_t get(cairn_batch_answer_t *answer, cairn_store_t *store,
                       const cairn_batch_ops_t *ops, size_t at, bool may_wait, cairn_value_t *value)
{
    if (at < answer->_found_from || at >= answer->_found_to)
        find_some(answer, store, ops, at);
    *value = answer->_values[at - answer->_found_from];
    cairn_err_t err = answer->_errs[at - answer->_found_from];
    if (err != CAIRN_ERR_COLD || !may_wait)
        return err;
    /* what the others have found does not outlive the wait: they do it again */
    answer->_found_to = 0;
    return cairn_store_get_waiting(store, &ops->list[at].write->key, value);
}

/** the line of an operation; false if it is not one to make here and now */
static bool add_line(cairn_batch_answer_t *answer, cairn_store_t *store,
                     const cairn_batch_ops_t *ops, size_t at, bool may_wait)
{
    const cairn_write_t *write = ops->list[at].write;
    cairn_value_t value;
    cairn_err_t err = write->err;
    if (write->op != CAIRN_WRITE_GET || (ops->is_decided && err != CAIRN_OK)) {
        add_write_line(answer, write);
        return true;
    }
    err = ops->is_decided ? cairn_write_value(store, write, may_wait, &value)
                          : get(answer, store, ops, at, may_wait, &value);
    bool is_large = err == CAIRN_OK && value.count > QUICK_BYTES_MAX;
    if (!may_wait && (err == CAIRN_ERR_COLD || is_large))
        return false;
    if (err == CAIRN_OK && !add_value_line(answer, &value))
        err = CAIRN_ERR_IO;
    if (err != CAIRN_OK)
        add_failure_line(answer, err, 0);
    return true;
}

bool cairn_batch_answer_fill(cairn_batch_answer_t *answer, cairn_store_t *store,
                             const cairn_batch_ops_t *ops, size_t bytes_max, size_t ops_max,
                             bool may_wait)
{
    /* what was found in an earlier turn may be gone */
    answer->_found_to = 0;
    for (size_t i = 0; i < ops_max && answer->count < bytes_max; ++i) {
        if (answer->_next == ops->count)
            return true;
        if (!add_line(answer, store, ops, answer->_next, may_wait))
            return false;
        ++answer->_next;
    }
    return answer->_next == ops->count;
}

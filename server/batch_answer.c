/*
 * server/batch_answer.c - the answer to a batch: NDJSON, a line for each operation.
 */
#include "server/batch_answer.h"

#include <inttypes.h>
#include <string.h>

/** a larger value is not put into JSON on an event loop */
#define QUICK_BYTES_MAX 65536

void cairn_batch_answer_init(cairn_batch_answer_t *answer)
{
    answer->text = (cairn_json_text_t){.bytes = NULL};
    answer->_value = NULL;
    answer->_value_capacity = answer->_next = 0;
    answer->value_bytes = 0;
    answer->_found_from = answer->_found_to = 0;
}

void cairn_batch_answer_dispose(cairn_batch_answer_t *answer)
{
    cairn_json_text_dispose(&answer->text);
    free(answer->_value);
    answer->_value = NULL;
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
    /* a hundred of these are one answer, and printf() took longer than finding the values */
    cairn_json_text_add_raw(&answer->text, "{\"status\":200,\"version\":");
    cairn_json_text_add_number(&answer->text, value->version);
    cairn_json_text_add_raw(&answer->text, ",");
    cairn_json_text_add_bytes(&answer->text, "value", answer->_value, value->count);
    cairn_json_text_add_raw(&answer->text, "}\n");
    answer->value_bytes += value->count;
    return true;
}

/** `version` is that of the present value where a condition has failed, else 0 */
static void add_failure_line(cairn_batch_answer_t *answer, cairn_err_t err, uint64_t version)
{
    cairn_problem_t problem = cairn_problem_of(err);
    cairn_json_text_add(&answer->text, "{\"status\":%d,\"code\":\"%s\"",
                        cairn_problem_status(problem), cairn_problem_code(problem));
    if (version != 0)
        cairn_json_text_add(&answer->text, ",\"version\":%" PRIu64, version);
    cairn_json_text_add(&answer->text, "}\n");
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
    cairn_json_text_add(&answer->text, "{\"status\":%d,\"version\":%" PRIu64,
                        is_incr  ? 200
                        : is_new ? 201
                                 : 204,
                        write->version);
    if (is_incr)
        cairn_json_text_add(&answer->text, ",\"value\":\"%" PRId64 "\"", write->number);
    cairn_json_text_add(&answer->text, "}\n");
}

/* ---------------------------------------------------------------- operations */

static const cairn_key_t *key_of(const cairn_batch_ops_t *ops, size_t at)
{
    return ops->gets != NULL ? &ops->gets[at] : &ops->list[at].write->key;
}

/** looks up the plain get `at` and those that follow, side by side */
static void find_some(cairn_batch_answer_t *answer, cairn_store_t *store,
                      const cairn_batch_ops_t *ops, size_t at)
{
    cairn_key_t keys[CAIRN_GET_BATCH_MAX];
    size_t count = ops->count - at;
    if (count > CAIRN_GET_BATCH_MAX)
        count = CAIRN_GET_BATCH_MAX;
    for (size_t i = 0; i < count; ++i)
        keys[i] = *key_of(ops, at + i);
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
    return cairn_store_get_waiting(store, key_of(ops, at), value);
}

/** the line of an operation; false if it is not one to make here and now */
static bool add_line(cairn_batch_answer_t *answer, cairn_store_t *store,
                     const cairn_batch_ops_t *ops, size_t at, bool may_wait)
{
    const cairn_write_t *write = ops->is_decided ? ops->list[at].write : NULL;
    cairn_value_t value;
    if (write != NULL && (write->op != CAIRN_WRITE_GET || write->err != CAIRN_OK)) {
        add_write_line(answer, write);
        return true;
    }
    cairn_err_t err = write != NULL ? cairn_write_value(store, write, may_wait, &value)
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
    for (size_t i = 0; i < ops_max && answer->text.count < bytes_max; ++i) {
        if (answer->_next == ops->count)
            return true;
        if (!add_line(answer, store, ops, answer->_next, may_wait))
            return false;
        ++answer->_next;
    }
    return answer->_next == ops->count;
}

/*
 * client/batch.c - many operations in one request.
 */
#include "client/client_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NDJSON "Content-Type: application/x-ndjson"

struct st_cairn_client_batch_t {
    cairn_client_buffer_t body; /* a line for each operation */
    size_t count;
    cairn_client_result_t *results;
    size_t result_count;
    size_t failed_at;
};

cairn_client_batch_t *cairn_batch_create(void)
{
    cairn_client_batch_t *batch = calloc(1, sizeof(*batch));
    if (batch != NULL)
        batch->failed_at = SIZE_MAX;
    return batch;
}

static void forget_results(cairn_client_batch_t *batch)
{
    for (size_t i = 0; i < batch->result_count; ++i)
        free(batch->results[i].value);
    free(batch->results);
    batch->results = NULL;
    batch->result_count = 0;
    batch->failed_at = SIZE_MAX;
}

void cairn_batch_destroy(cairn_client_batch_t *batch)
{
    if (batch == NULL)
        return;
    forget_results(batch);
    cairn_client_buffer_dispose(&batch->body);
    free(batch);
}

void cairn_batch_clear(cairn_client_batch_t *batch)
{
    if (batch == NULL)
        return;
    forget_results(batch);
    cairn_client_buffer_clear(&batch->body);
    batch->count = 0;
}

/* ---------------------------------------------------------------- adding */

static bool set_how(json_t *json, const cairn_client_write_t *how)
{
    char text[40];
    bool is_set = true;
    snprintf(text, sizeof(text), "%" PRIu64, how->if_version);
    if (how->if_version != 0 || how->if_present)
        is_set = json_object_set_new(json, "if_match",
                                     json_string(how->if_version != 0 ? text : "*")) == 0;
    if (how->if_absent)
        is_set &= json_object_set_new(json, "if_none_match", json_string("*")) == 0;
    is_set &= cairn_client_json_set_beside(json, how);
    snprintf(text, sizeof(text), "%" PRIu64 "ms", how->ttl_ms);
    if (how->ttl_ms != 0)
        is_set &= json_object_set_new(json, "ttl", json_string(text)) == 0;
    return is_set;
}

/** adds the line that `json` is, which it takes */
static void add_line(cairn_client_batch_t *batch, json_t *json, bool is_whole)
{
    char *line = is_whole ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (line == NULL) {
        batch->body.is_broken = true;
        return;
    }
    cairn_client_buffer_add(&batch->body, line, strlen(line));
    cairn_client_buffer_add(&batch->body, "\n", 1);
    free(line);
    ++batch->count;
}

/** an operation, its key, and how it is to be done if `how` says so */
static json_t *begin(const char *op, const void *key, size_t key_bytes,
                     const cairn_client_write_t *how, bool *is_whole)
{
    json_t *json = json_pack("{s:s}", "op", op);
    *is_whole = json != NULL && cairn_client_json_set(json, "key", key, key_bytes) &&
                (how == NULL || set_how(json, how));
    return json;
}

static void add_value(cairn_client_batch_t *batch, const char *op, const void *key,
                      size_t key_bytes, const void *value, size_t value_bytes,
                      const cairn_client_write_t *how)
{
    bool is_whole;
    if (batch == NULL)
        return;
    json_t *json = begin(op, key, key_bytes, how, &is_whole);
    is_whole = is_whole && cairn_client_json_set(json, "value", value, value_bytes);
    add_line(batch, json, is_whole);
}

void cairn_batch_set(cairn_client_batch_t *batch, const void *key, size_t key_bytes,
                     const void *value, size_t value_bytes, const cairn_client_write_t *how)
{
    add_value(batch, "put", key, key_bytes, value, value_bytes, how);
}

void cairn_batch_append(cairn_client_batch_t *batch, const void *key, size_t key_bytes,
                        const void *value, size_t value_bytes, const cairn_client_write_t *how)
{
    add_value(batch, "append", key, key_bytes, value, value_bytes, how);
}

void cairn_batch_incr(cairn_client_batch_t *batch, const void *key, size_t key_bytes, int64_t by,
                      const cairn_client_write_t *how)
{
    bool is_whole;
    if (batch == NULL)
        return;
    cairn_client_write_t counted = how != NULL ? *how : (cairn_client_write_t){.ttl_ms = 0};
    /* a number is text/plain, and nothing is stored beside it */
    cairn_client_beside_apply(&(cairn_client_beside_t){.content_type = NULL}, &counted);
    json_t *json = begin("incr", key, key_bytes, &counted, &is_whole);
    is_whole = is_whole && json_object_set_new(json, "by", json_integer(by)) == 0;
    add_line(batch, json, is_whole);
}

void cairn_batch_delete(cairn_client_batch_t *batch, const void *key, size_t key_bytes,
                        const cairn_client_write_t *how)
{
    bool is_whole;
    if (batch == NULL)
        return;
    cairn_client_write_t conditions = {.ttl_ms = 0};
    if (how != NULL)
        conditions = (cairn_client_write_t){.if_version = how->if_version,
                                            .if_absent = how->if_absent,
                                            .if_present = how->if_present};
    json_t *json = begin("delete", key, key_bytes, &conditions, &is_whole);
    add_line(batch, json, is_whole);
}

void cairn_batch_get(cairn_client_batch_t *batch, const void *key, size_t key_bytes)
{
    bool is_whole;
    if (batch == NULL)
        return;
    json_t *json = begin("get", key, key_bytes, NULL, &is_whole);
    add_line(batch, json, is_whole);
}

size_t cairn_batch_count(const cairn_client_batch_t *batch)
{
    return batch != NULL ? batch->count : 0;
}

size_t cairn_batch_bytes(const cairn_client_batch_t *batch)
{
    return batch != NULL ? batch->body.count : 0;
}

/* ---------------------------------------------------------------- running */

static void take_result(const json_t *json, cairn_client_result_t *result)
{
    result->status = (int)json_integer_value(json_object_get(json, "status"));
    result->version = (uint64_t)json_integer_value(json_object_get(json, "version"));
    result->err =
        cairn_client_err_of(result->status, json_string_value(json_object_get(json, "code")));
    cairn_client_json_get(json, "value", &result->value, &result->value_bytes);
    /* of incr the sum comes as a text, which is a value as well */
    result->number = result->value != NULL ? strtoll(result->value, NULL, 10) : 0;
}

/** lines of the body, and the operations that they are */
typedef struct st_part_t {
    const char *lines;
    size_t bytes;
    size_t first, count;
} part_t;

static cairn_client_err_t take_results(cairn_client_t *db, cairn_client_batch_t *batch,
                                       const part_t *part)
{
    bool is_error = false;
    size_t at = 0;
    for (size_t i = 0; i < part->count; ++i) {
        json_t *json = cairn_client_next_line(&db->answer, &at, &is_error);
        if (json == NULL)
            return cairn_client_fail(db, CAIRN_CLIENT_PROTOCOL,
                                     "the answer to a batch of %zu operations ends after %zu",
                                     part->count, i);
        take_result(json, &batch->results[part->first + i]);
        json_decref(json);
    }
    return CAIRN_CLIENT_OK;
}

static cairn_client_err_t send_part(cairn_client_t *db, cairn_client_batch_t *batch,
                                    const part_t *part, const char *path)
{
    cairn_client_target(db, path, NULL, 0);
    cairn_client_request_t request = {.method = "POST",
                                      .body = part->lines,
                                      .body_bytes = part->bytes,
                                      .headers = curl_slist_append(NULL, NDJSON),
                                      .is_once = true};
    cairn_client_err_t err = cairn_client_send(db, &request);
    batch->failed_at = err != CAIRN_CLIENT_OK && db->line != 0 && db->line <= part->count
                           ? part->first + db->line - 1
                           : SIZE_MAX;
    return err == CAIRN_CLIENT_OK ? take_results(db, batch, part) : err;
}

/** the first half of a part; what is left of it stays in `*part` */
static part_t take_half(part_t *part)
{
    part_t half = {part->lines, 0, part->first, part->count / 2};
    for (size_t i = 0; i < half.count; ++i) {
        const char *line = part->lines + half.bytes;
        half.bytes +=
            (size_t)((const char *)memchr(line, '\n', part->bytes - half.bytes) - line) + 1;
    }
    part->lines += half.bytes;
    part->bytes -= half.bytes;
    part->first += half.count;
    part->count -= half.count;
    return half;
}

/** sends what need not happen together: in halves, and halves of these, if it is more than the
 * server takes at a time; a line that is too large by itself fails by itself */
static cairn_client_err_t send_parts(cairn_client_t *db, cairn_client_batch_t *batch, part_t part)
{
    cairn_client_err_t err = send_part(db, batch, &part, "/v1/batch");
    if (err != CAIRN_CLIENT_TOO_LARGE)
        return err;
    if (part.count == 1) {
        batch->results[part.first] = (cairn_client_result_t){.err = err, .status = db->status};
        return CAIRN_CLIENT_OK;
    }
    part_t half = take_half(&part);
    err = send_parts(db, batch, half);
    return err == CAIRN_CLIENT_OK ? send_parts(db, batch, part) : err;
}

cairn_client_err_t cairn_batch_run(cairn_client_t *db, cairn_client_batch_t *batch, bool is_atomic)
{
    if (db == NULL || batch == NULL)
        return CAIRN_CLIENT_NOMEM;
    forget_results(batch);
    if (batch->count == 0 && !batch->body.is_broken)
        return CAIRN_CLIENT_OK;
    batch->results = batch->body.is_broken ? NULL : calloc(batch->count, sizeof(*batch->results));
    if (batch->results == NULL)
        return cairn_client_fail(db, CAIRN_CLIENT_NOMEM, "%s",
                                 cairn_client_strerror(CAIRN_CLIENT_NOMEM));
    batch->result_count = batch->count;
    part_t all = {batch->body.bytes, batch->body.count, 0, batch->count};
    cairn_client_err_t err = is_atomic ? send_part(db, batch, &all, "/v1/batch?atomic=true")
                                       : send_parts(db, batch, all);
    if (err == CAIRN_CLIENT_OK)
        return err;
    size_t failed_at = batch->failed_at;
    forget_results(batch);
    batch->failed_at = failed_at;
    return err;
}

const cairn_client_result_t *cairn_batch_result(const cairn_client_batch_t *batch, size_t at)
{
    return batch != NULL && at < batch->result_count ? &batch->results[at] : NULL;
}

size_t cairn_batch_failed_at(const cairn_client_batch_t *batch)
{
    return batch != NULL ? batch->failed_at : SIZE_MAX;
}

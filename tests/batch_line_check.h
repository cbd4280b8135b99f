/*
 * tests/batch_line_check.h - whether the quick reader of a batch's line and JSON agree.
 */
#ifndef CAIRN_TESTS_BATCH_LINE_CHECK_H
#define CAIRN_TESTS_BATCH_LINE_CHECK_H

#include <string.h>

#include <jansson.h>

#include "server/batch_line.h"
#include "server/json_read.h"

static inline bool is_member(const json_t *json, const char *name, cairn_bytes_t bytes)
{
    const json_t *member = json_object_get(json, name);
    return json_is_string(member) && json_string_length(member) == bytes.count &&
           memcmp(json_string_value(member), bytes.base, bytes.count) == 0;
}

/** False if the quick reader takes this line for something else than JSON does; `*is_taken`: it
 * takes it at all. */
static inline bool batch_line_is_as_json(const char *text, size_t count, bool *is_taken)
{
    static const char *const ops[] = {
        [CAIRN_WRITE_GET] = "get", [CAIRN_WRITE_PUT] = "put", [CAIRN_WRITE_DELETE] = "delete"};
    cairn_batch_line_t line;
    json_error_t error;
    *is_taken = cairn_batch_line_read(text, count, &line);
    if (!*is_taken)
        return true;
    json_t *json = cairn_json_read(text, count, &error);
    bool is_put = line.op == CAIRN_WRITE_PUT;
    bool is_alike = json != NULL && json_object_size(json) == (is_put ? 3 : 2) &&
                    is_member(json, "op", (cairn_bytes_t){ops[line.op], strlen(ops[line.op])}) &&
                    is_member(json, "key", line.key) &&
                    (!is_put || is_member(json, "value", line.value));
    json_decref(json);
    return is_alike;
}

#endif

/*
 * client/list.c - walking over keys, a page at a time: lists in order, and scans.
 */
#include "client/client_internal.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_DEFAULT 1000

typedef struct st_walk_t {
    cairn_client_t *db;
    cairn_client_entry_cb on_entry;
    void *ctx;
    uint64_t left; /* keys still wanted; UINT64_MAX for all */
    bool is_over;  /* the callback has had enough */
    bool *left_out;
} walk_t;

/** hands a line over; false if it is not as expected */
static bool take_entry(walk_t *walk, const json_t *json)
{
    char *key, *value;
    cairn_client_beside_t beside;
    if (!cairn_client_json_get_beside(json, &beside))
        return false;
    cairn_client_entry_t entry = {
        .version = (uint64_t)json_integer_value(json_object_get(json, "version")),
        .size = (uint64_t)json_integer_value(json_object_get(json, "size")),
        .error = json_string_value(json_object_get(json, "error")),
        .content_type = beside.content_type,
        .content_encoding = beside.content_encoding,
        .cache_control = beside.cache_control,
        .meta = beside.meta,
        .meta_count = beside.meta_count,
        .expires_ms = json_integer_value(json_object_get(json, "expires")),
    };
    cairn_client_json_get(json, "key", &key, &entry.key_bytes);
    cairn_client_json_get(json, "value", &value, &entry.value_bytes);
    bool is_good = key != NULL;
    if (is_good) {
        entry.key = key;
        entry.value = value;
        --walk->left;
        walk->is_over = !walk->on_entry(walk->ctx, &entry) || walk->left == 0;
    }
    free(key);
    free(value);
    cairn_client_beside_dispose(&beside);
    return is_good;
}

/** the page's own memory: the callback may use the handle and so overwrite the answer */
static cairn_client_buffer_t take_answer(cairn_client_t *db)
{
    cairn_client_buffer_t page = db->answer;
    db->answer = (cairn_client_buffer_t){.bytes = NULL};
    return page;
}

static cairn_client_err_t take_page(walk_t *walk)
{
    cairn_client_buffer_t page = take_answer(walk->db);
    bool is_good = true, is_error = false;
    size_t at = 0;
    while (is_good && !walk->is_over) {
        json_t *json = cairn_client_next_line(&page, &at, &is_error);
        if (json == NULL)
            break;
        is_good = take_entry(walk, json);
        json_decref(json);
    }
    cairn_client_buffer_dispose(&page);
    if (is_good && !is_error)
        return CAIRN_CLIENT_OK;
    return cairn_client_fail(walk->db, CAIRN_CLIENT_PROTOCOL, "a line of the list is not one");
}

static cairn_client_err_t walk_pages(walk_t *walk)
{
    for (;;) {
        cairn_client_err_t err =
            cairn_client_send(walk->db, &(cairn_client_request_t){.method = NULL});
        if (err != CAIRN_CLIENT_OK)
            return err;
        char *next = cairn_client_next_target(walk->db);
        if (walk->left_out != NULL && cairn_client_header(walk->db, "Cairn-Left-Out") != NULL)
            *walk->left_out = true;
        err = take_page(walk);
        if (err != CAIRN_CLIENT_OK || next == NULL || walk->is_over) {
            free(next);
            return err;
        }
        cairn_client_target(walk->db, next, NULL, 0);
        free(next);
    }
}

static cairn_client_err_t run(cairn_client_t *db, const char *path,
                              const cairn_client_list_t *which, cairn_client_entry_cb on_entry,
                              void *ctx)
{
    uint64_t page = which->page != 0 ? which->page : PAGE_DEFAULT;
    walk_t walk = {.db = db,
                   .on_entry = on_entry,
                   .ctx = ctx,
                   .left = which->limit != 0 ? which->limit : UINT64_MAX,
                   .left_out = which->left_out};
    cairn_client_target(db, path, NULL, 0);
    if (which->prefix_bytes != 0)
        cairn_client_query(db, "prefix", which->prefix, which->prefix_bytes);
    if (which->after_bytes != 0)
        cairn_client_query(db, "after", which->after, which->after_bytes);
    if (which->contains_bytes != 0)
        cairn_client_query(db, "contains", which->contains, which->contains_bytes);
    if (which->with_values)
        cairn_client_query(db, "values", "true", strlen("true"));
    if (which->with_meta)
        cairn_client_query(db, "meta", "true", strlen("true"));
    if (which->left_out != NULL)
        cairn_client_query(db, "partial", "true", strlen("true"));
    cairn_client_query_number(db, "limit", page < walk.left ? page : walk.left);
    return walk_pages(&walk);
}

cairn_client_err_t cairn_list(cairn_client_t *db, const cairn_client_list_t *which,
                              cairn_client_entry_cb on_entry, void *ctx)
{
    if (db == NULL)
        return CAIRN_CLIENT_NOMEM;
    cairn_client_list_t list = which != NULL ? *which : (cairn_client_list_t){.prefix = NULL};
    list.contains_bytes = 0;
    return run(db, "/v1/keys", &list, on_entry, ctx);
}

cairn_client_err_t cairn_scan(cairn_client_t *db, const cairn_client_list_t *which,
                              cairn_client_entry_cb on_entry, void *ctx)
{
    if (db == NULL)
        return CAIRN_CLIENT_NOMEM;
    cairn_client_list_t list = which != NULL ? *which : (cairn_client_list_t){.prefix = NULL};
    list.after_bytes = 0;
    list.with_values = false;
    return run(db, "/v1/scan", &list, on_entry, ctx);
}

/*
 * client/value.c - one value: set, get, delete, incr, append.
 */
#include "client/client_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KV_PATH "/v1/kv/"
#define META_PREFIX "cairn-meta-"
/* longer than any header the server takes */
#define HEADER_BYTES_MAX 8192

static const cairn_client_write_t plain_write;

/* ---------------------------------------------------------------- headers of a write */

/** headers that are being gathered; NULL and `is_broken` without memory, or for one too long */
typedef struct st_headers_t {
    struct curl_slist *list;
    const char *fault; /* what is wrong with them; NULL if nothing is */
} headers_t;

static void add(headers_t *headers, const char *name, const char *value)
{
    char line[HEADER_BYTES_MAX];
    if (strpbrk(name, "\r\n:") != NULL || strpbrk(value, "\r\n") != NULL) {
        headers->fault = "a header of a value must be one line of text";
        return;
    }
    /* curl takes "Name:" for "leave it out" and wants "Name;" for an empty one */
    int bytes = snprintf(line, sizeof(line), value[0] != '\0' ? "%s: %s" : "%s;", name, value);
    if (bytes >= (int)sizeof(line)) {
        headers->fault = "a header of a value is too long";
        return;
    }
    struct curl_slist *longer = curl_slist_append(headers->list, line);
    if (longer != NULL)
        headers->list = longer;
    else
        headers->fault = cairn_client_strerror(CAIRN_CLIENT_NOMEM);
}

static void add_conditions(headers_t *headers, const cairn_client_write_t *how)
{
    char etag[32];
    snprintf(etag, sizeof(etag), "\"%" PRIu64 "\"", how->if_version);
    if (how->if_version != 0)
        add(headers, "If-Match", etag);
    else if (how->if_present)
        add(headers, "If-Match", "*");
    if (how->if_absent)
        add(headers, "If-None-Match", "*");
    if (how->durability == CAIRN_CLIENT_SYNC)
        add(headers, "Cairn-Durability", "sync");
    if (how->durability == CAIRN_CLIENT_ASYNC)
        add(headers, "Cairn-Durability", "async");
}

static void add_meta(headers_t *headers, const cairn_client_write_t *how)
{
    add(headers, "Content-Type",
        how->content_type != NULL ? how->content_type : "application/octet-stream");
    if (how->content_encoding != NULL)
        add(headers, "Content-Encoding", how->content_encoding);
    if (how->cache_control != NULL)
        add(headers, "Cache-Control", how->cache_control);
    for (size_t i = 0; i < how->meta_count; ++i) {
        char name[256];
        int bytes = snprintf(name, sizeof(name), "Cairn-Meta-%s", how->meta[i].name);
        if (bytes >= (int)sizeof(name))
            headers->fault = "the name of a meta header is too long";
        else
            add(headers, name, how->meta[i].value);
    }
}

static bool is_conditional(const cairn_client_write_t *how)
{
    return how->if_version != 0 || how->if_absent || how->if_present;
}

/* ---------------------------------------------------------------- writing */

/** sends a write to db->target; what it came to goes to `*written`, which may be NULL */
static cairn_client_err_t send_write(cairn_client_t *db, headers_t *headers,
                                     cairn_client_request_t *request,
                                     const cairn_client_write_t *how,
                                     cairn_client_written_t *written)
{
    cairn_client_written_t ignored;
    if (written == NULL)
        written = &ignored;
    *written = (cairn_client_written_t){.version = 0};
    add_conditions(headers, how);
    if (headers->fault != NULL) {
        curl_slist_free_all(headers->list);
        return cairn_client_fail(db, CAIRN_CLIENT_INVALID, "%s", headers->fault);
    }
    if (how->ttl_ms != 0) {
        char ttl[32];
        int bytes = snprintf(ttl, sizeof(ttl), "%" PRIu64 "ms", how->ttl_ms);
        cairn_client_query(db, "ttl", ttl, (size_t)bytes);
    }
    request->headers = headers->list;
    request->is_once |= is_conditional(how);
    cairn_client_err_t err = cairn_client_send(db, request);
    if (db->status != 0)
        written->version = cairn_client_etag(db);
    written->is_new = db->status == 201;
    return err;
}

static cairn_client_err_t write_value(cairn_client_t *db, cairn_client_request_t *request,
                                      const void *value, size_t value_bytes,
                                      const cairn_client_write_t *how,
                                      cairn_client_written_t *written)
{
    headers_t headers = {NULL, NULL};
    request->body = value_bytes != 0 ? value : "";
    request->body_bytes = value_bytes;
    add_meta(&headers, how);
    return send_write(db, &headers, request, how, written);
}

cairn_client_err_t cairn_set_bytes(cairn_client_t *db, const void *key, size_t key_bytes,
                                   const void *value, size_t value_bytes,
                                   const cairn_client_write_t *how, cairn_client_written_t *written)
{
    if (db == NULL)
        return CAIRN_CLIENT_NOMEM;
    cairn_client_target(db, KV_PATH, key, key_bytes);
    cairn_client_request_t request = {.method = "PUT"};
    return write_value(db, &request, value, value_bytes, how != NULL ? how : &plain_write, written);
}

cairn_client_err_t cairn_append_bytes(cairn_client_t *db, const void *key, size_t key_bytes,
                                      const void *value, size_t value_bytes,
                                      const cairn_client_write_t *how,
                                      cairn_client_written_t *written)
{
    if (db == NULL)
        return CAIRN_CLIENT_NOMEM;
    cairn_client_target(db, "/v1/append/", key, key_bytes);
    cairn_client_request_t request = {.method = "POST", .is_once = true};
    return write_value(db, &request, value, value_bytes, how != NULL ? how : &plain_write, written);
}

cairn_client_err_t cairn_incr_bytes(cairn_client_t *db, const void *key, size_t key_bytes,
                                    int64_t by, const cairn_client_write_t *how,
                                    cairn_client_written_t *written)
{
    cairn_client_written_t ignored;
    headers_t headers = {NULL, NULL};
    char number[32];
    if (db == NULL)
        return CAIRN_CLIENT_NOMEM;
    if (written == NULL)
        written = &ignored;
    int bytes = snprintf(number, sizeof(number), "%" PRId64, by);
    cairn_client_target(db, "/v1/incr/", key, key_bytes);
    cairn_client_query(db, "by", number, (size_t)bytes);
    cairn_client_request_t request = {.method = "POST", .body = "", .is_once = true};
    /* takes away what curl would call an empty body */
    headers.list = curl_slist_append(NULL, "Content-Type:");
    cairn_client_err_t err =
        send_write(db, &headers, &request, how != NULL ? how : &plain_write, written);
    if (err == CAIRN_CLIENT_OK && db->answer.bytes != NULL)
        written->number = strtoll(db->answer.bytes, NULL, 10);
    return err;
}

cairn_client_err_t cairn_delete_bytes(cairn_client_t *db, const void *key, size_t key_bytes,
                                      const cairn_client_write_t *how,
                                      cairn_client_written_t *written)
{
    headers_t headers = {NULL, NULL};
    if (db == NULL)
        return CAIRN_CLIENT_NOMEM;
    cairn_client_write_t conditions = how != NULL ? *how : plain_write;
    conditions.ttl_ms = 0; /* a tombstone has none */
    cairn_client_target(db, KV_PATH, key, key_bytes);
    cairn_client_request_t request = {.method = "DELETE"};
    return send_write(db, &headers, &request, &conditions, written);
}

/* ---------------------------------------------------------------- reading */

/** a header's value that the caller frees; of an empty one curl leaves the line end in place */
static char *copy_value(const char *value)
{
    return strndup(value, strcspn(value, "\r\n"));
}

static bool copy_header(const cairn_client_t *db, const char *name, char **copy)
{
    const char *value = cairn_client_header(db, name);
    *copy = value != NULL ? copy_value(value) : NULL;
    return value == NULL || *copy != NULL;
}

static bool copy_meta(const cairn_client_t *db, cairn_client_value_t *value)
{
    struct curl_header *header = NULL;
    while ((header = curl_easy_nextheader(db->curl, CURLH_HEADER, -1, header)) != NULL) {
        if (strncasecmp(header->name, META_PREFIX, strlen(META_PREFIX)) != 0)
            continue;
        cairn_client_meta_t *more =
            realloc(value->meta, (value->meta_count + 1) * sizeof(*value->meta));
        if (more == NULL)
            return false;
        value->meta = more;
        char *name = strdup(header->name + strlen(META_PREFIX)), *text = copy_value(header->value);
        value->meta[value->meta_count++] = (cairn_client_meta_t){name, text};
        if (name == NULL || text == NULL)
            return false;
        for (char *at = name; *at != '\0'; ++at)
            *at = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
    }
    return true;
}

/** bytes of the whole value, whatever part of it this is */
static uint64_t total_bytes(const cairn_client_t *db)
{
    const char *range = cairn_client_header(db, "Content-Range");
    const char *slash = range != NULL ? strrchr(range, '/') : NULL;
    const char *length = cairn_client_header(db, "Content-Length");
    if (slash != NULL)
        return strtoull(slash + 1, NULL, 10);
    return length != NULL ? strtoull(length, NULL, 10) : db->answer.count;
}

static int64_t expires_in_ms(const cairn_client_t *db)
{
    const char *control = cairn_client_header(db, "Cache-Control");
    const char *expires = cairn_client_header(db, "Expires");
    const char *age = control != NULL ? strstr(control, "max-age=") : NULL;
    /* without Expires it is a Cache-Control that was put with the value */
    return expires != NULL && age != NULL ? strtoll(age + strlen("max-age="), NULL, 10) * 1000 : -1;
}

static cairn_client_err_t take_value(cairn_client_t *db, bool is_head, cairn_client_value_t *value)
{
    value->version = cairn_client_etag(db);
    value->total = total_bytes(db);
    value->expires_in_ms = expires_in_ms(db);
    bool is_copied = copy_header(db, "Content-Type", &value->content_type) &&
                     copy_header(db, "Content-Encoding", &value->content_encoding) &&
                     copy_meta(db, value);
    if (is_copied && value->expires_in_ms < 0)
        is_copied = copy_header(db, "Cache-Control", &value->cache_control);
    if (!is_head) {
        cairn_client_buffer_add(&db->answer, "", 0); /* of an empty value there is nothing yet */
        value->bytes = db->answer.bytes;             /* the caller owns it now */
        value->count = db->answer.count;
        db->answer = (cairn_client_buffer_t){.bytes = NULL};
    }
    if (is_copied && (is_head || value->bytes != NULL))
        return CAIRN_CLIENT_OK;
    cairn_client_value_dispose(value);
    return cairn_client_fail(db, CAIRN_CLIENT_NOMEM, "%s",
                             cairn_client_strerror(CAIRN_CLIENT_NOMEM));
}

cairn_client_err_t cairn_get_bytes(cairn_client_t *db, const void *key, size_t key_bytes,
                                   const cairn_client_read_t *what, cairn_client_value_t *value)
{
    static const cairn_client_read_t whole;
    headers_t headers = {NULL, NULL};
    char text[80];
    *value = (cairn_client_value_t){.expires_in_ms = -1};
    if (db == NULL)
        return CAIRN_CLIENT_NOMEM;
    if (what == NULL)
        what = &whole;
    snprintf(text, sizeof(text), "\"%" PRIu64 "\"", what->unless_version);
    if (what->unless_version != 0)
        add(&headers, "If-None-Match", text);
    if (what->count != 0)
        snprintf(text, sizeof(text), "bytes=%" PRIu64 "-%" PRIu64, what->offset,
                 what->offset + (what->count - 1));
    else
        snprintf(text, sizeof(text), "bytes=%" PRIu64 "-", what->offset);
    if (!what->is_head && (what->offset != 0 || what->count != 0))
        add(&headers, "Range", text);
    if (headers.fault != NULL) {
        curl_slist_free_all(headers.list);
        return cairn_client_fail(db, CAIRN_CLIENT_NOMEM, "%s", headers.fault);
    }
    cairn_client_target(db, KV_PATH, key, key_bytes);
    cairn_client_err_t err =
        cairn_client_send(db, &(cairn_client_request_t){.method = what->is_head ? "HEAD" : NULL,
                                                        .headers = headers.list});
    return err == CAIRN_CLIENT_OK ? take_value(db, what->is_head, value) : err;
}

void cairn_client_value_dispose(cairn_client_value_t *value)
{
    free(value->bytes);
    free(value->content_type);
    free(value->content_encoding);
    free(value->cache_control);
    for (size_t i = 0; i < value->meta_count; ++i) {
        free((char *)value->meta[i].name);
        free((char *)value->meta[i].value);
    }
    free(value->meta);
    *value = (cairn_client_value_t){.expires_in_ms = -1};
}

cairn_client_err_t cairn_sync(cairn_client_t *db, uint64_t version)
{
    if (db == NULL)
        return CAIRN_CLIENT_NOMEM;
    cairn_client_target(db, "/v1/sync", NULL, 0);
    cairn_client_query_number(db, "version", version);
    return cairn_client_send(db, &(cairn_client_request_t){.method = NULL});
}

/* ---------------------------------------------------------------- text */

static const cairn_client_write_t text_write = {.content_type = "text/plain; charset=utf-8"};

cairn_client_err_t cairn_set(cairn_client_t *db, const char *key, const char *value)
{
    return cairn_set_bytes(db, key, strlen(key), value, strlen(value), &text_write, NULL);
}

const char *cairn_get(cairn_client_t *db, const char *key)
{
    if (db == NULL)
        return NULL;
    cairn_client_target(db, KV_PATH, key, strlen(key));
    if (cairn_client_send(db, &(cairn_client_request_t){.method = NULL}) != CAIRN_CLIENT_OK)
        return NULL;
    cairn_client_buffer_add(&db->answer, "", 0);
    if (db->answer.bytes == NULL)
        cairn_client_fail(db, CAIRN_CLIENT_NOMEM, "%s", cairn_client_strerror(CAIRN_CLIENT_NOMEM));
    return db->answer.bytes;
}

cairn_client_err_t cairn_delete(cairn_client_t *db, const char *key)
{
    return cairn_delete_bytes(db, key, strlen(key), NULL, NULL);
}

cairn_client_err_t cairn_incr(cairn_client_t *db, const char *key, int64_t by, int64_t *number)
{
    cairn_client_written_t written = {.number = 0};
    cairn_client_err_t err = cairn_incr_bytes(db, key, strlen(key), by, NULL, &written);
    if (err == CAIRN_CLIENT_OK && number != NULL)
        *number = written.number;
    return err;
}

cairn_client_err_t cairn_append(cairn_client_t *db, const char *key, const char *value)
{
    return cairn_append_bytes(db, key, strlen(key), value, strlen(value), &text_write, NULL);
}

/*
 * server/meta_json.c - what is stored beside a value, as members of a line of NDJSON.
 */
#include "server/meta_json.h"

#include <string.h>

#include <jansson.h>

#include "server/reply.h"

#define PREFIX_BYTES (sizeof(CAIRN_USER_META_PREFIX) - 1)

/* ---------------------------------------------------------------- writing */

void cairn_meta_json_add_type(cairn_json_text_t *text, cairn_bytes_t meta)
{
    cairn_meta_tag_t tag;
    cairn_bytes_t content, type = {CAIRN_CONTENT_TYPE_DEFAULT, strlen(CAIRN_CONTENT_TYPE_DEFAULT)};
    for (size_t at = 0; cairn_meta_next(meta, &at, &tag, &content);)
        if (tag == CAIRN_META_CONTENT_TYPE)
            type = content;
    cairn_json_text_add_raw(text, ",");
    cairn_json_text_add_bytes(text, "content_type", type.base, type.count);
}

/** one Cairn-Meta-* header, stored as its whole name, NUL, value; false if it is not that */
static bool add_user(cairn_json_text_t *text, cairn_bytes_t field, const char *before)
{
    const char *name = field.base, *nul = memchr(name, '\0', field.count);
    size_t name_bytes = nul != NULL ? (size_t)(nul - name) : 0;
    if (name_bytes <= PREFIX_BYTES || memcmp(name, CAIRN_USER_META_PREFIX, PREFIX_BYTES) != 0)
        return false;
    cairn_json_text_add_raw(text, before);
    cairn_json_text_add_bytes(text, "name", name + PREFIX_BYTES, name_bytes - PREFIX_BYTES);
    cairn_json_text_add_raw(text, ",");
    cairn_json_text_add_bytes(text, "value", nul + 1, field.count - name_bytes - 1);
    cairn_json_text_add_raw(text, "}");
    return true;
}

void cairn_meta_json_add_rest(cairn_json_text_t *text, cairn_bytes_t meta)
{
    cairn_meta_tag_t tag;
    cairn_bytes_t content;
    bool has_list = false;
    for (size_t at = 0; cairn_meta_next(meta, &at, &tag, &content);) {
        if (tag != CAIRN_META_CONTENT_ENCODING && tag != CAIRN_META_CACHE_CONTROL)
            continue;
        cairn_json_text_add_raw(text, ",");
        cairn_json_text_add_bytes(
            text, tag == CAIRN_META_CACHE_CONTROL ? "cache_control" : "content_encoding",
            content.base, content.count);
    }
    for (size_t at = 0; cairn_meta_next(meta, &at, &tag, &content);)
        if (tag == CAIRN_META_USER)
            has_list |= add_user(text, content, has_list ? ",{" : ",\"meta\":[{");
    if (has_list)
        cairn_json_text_add_raw(text, "]");
}

/* ---------------------------------------------------------------- reading */

/** whether a header may have this value: it ends at no byte of it */
static bool is_value(const char *text, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
            return false;
    return true;
}

static bool add_text(cairn_meta_builder_t *builder, cairn_meta_tag_t tag, const json_t *text,
                     const char *wrong, const char **why)
{
    if (text == NULL)
        return true;
    *why = is_value(json_string_value(text), json_string_length(text)) ? NULL : wrong;
    return *why == NULL &&
           cairn_meta_add(builder, tag,
                          (cairn_bytes_t){json_string_value(text), json_string_length(text)});
}

/** writes the name in lower case, as names of headers are stored; false if it cannot be one */
static bool copy_name(const char *name, size_t count, char *out)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < count; ++i) {
        char c = name[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        else if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
                 (c == '\0' || strchr(others, c) == NULL))
            return false;
        out[i] = c;
    }
    return count != 0;
}

/** adds {"name":...,"value":...}; `*total` counts towards the limit */
static bool add_header(cairn_meta_builder_t *builder, const json_t *json, size_t *total,
                       const char **why)
{
    char field[CAIRN_USER_META_BYTES_MAX + 1];
    const json_t *name = json_object_get(json, "name"), *value = json_object_get(json, "value");
    size_t name_bytes = json_string_length(name), value_bytes = json_string_length(value);
    *why = "\"meta\" is a list of {\"name\":\"...\",\"value\":\"...\"}, names and values of "
           "headers";
    if (!json_is_string(name) || !json_is_string(value) || json_object_size(json) != 2 ||
        !is_value(json_string_value(value), value_bytes))
        return false;
    *total += PREFIX_BYTES + name_bytes + value_bytes;
    if (*total > CAIRN_USER_META_BYTES_MAX) {
        *why = NULL;
        return false;
    }
    memcpy(field, CAIRN_USER_META_PREFIX, PREFIX_BYTES);
    if (!copy_name(json_string_value(name), name_bytes, field + PREFIX_BYTES))
        return false;
    *why = NULL;
    field[PREFIX_BYTES + name_bytes] = '\0';
    memcpy(field + PREFIX_BYTES + name_bytes + 1, json_string_value(value), value_bytes);
    return cairn_meta_add(builder, CAIRN_META_USER,
                          (cairn_bytes_t){field, PREFIX_BYTES + name_bytes + 1 + value_bytes});
}

bool cairn_meta_json_read(const cairn_meta_json_t *members, cairn_meta_builder_t *builder,
                          const char **why)
{
    size_t total = 0;
    *why = NULL;
    if (!add_text(builder, CAIRN_META_CONTENT_TYPE, members->content_type,
                  "\"content_type\" is a line of text, such as text/plain", why) ||
        !add_text(builder, CAIRN_META_CONTENT_ENCODING, members->content_encoding,
                  "\"content_encoding\" is a line of text, such as gzip", why) ||
        !add_text(builder, CAIRN_META_CACHE_CONTROL, members->cache_control,
                  "\"cache_control\" is a line of text, such as no-cache", why))
        return false;
    for (size_t i = 0; i < json_array_size(members->meta); ++i)
        if (!add_header(builder, json_array_get(members->meta, i), &total, why))
            return false;
    return true;
}

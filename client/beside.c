/*
 * client/beside.c - what is stored beside a value, and how a line of NDJSON has it.
 */
#include "client/client_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- keeping it */

void cairn_client_beside_dispose(cairn_client_beside_t *beside)
{
    free(beside->content_type);
    free(beside->content_encoding);
    free(beside->cache_control);
    for (size_t i = 0; i < beside->meta_count; ++i) {
        free((char *)beside->meta[i].name);
        free((char *)beside->meta[i].value);
    }
    free(beside->meta);
    *beside = (cairn_client_beside_t){.content_type = NULL};
}

static bool copy_text(const char *text, char **copy)
{
    *copy = text != NULL ? strdup(text) : NULL;
    return text == NULL || *copy != NULL;
}

bool cairn_client_beside_copy(const cairn_client_write_t *how, cairn_client_beside_t *copy)
{
    *copy = (cairn_client_beside_t){.meta = calloc(how->meta_count + 1, sizeof(*copy->meta))};
    bool is_copied = copy->meta != NULL && copy_text(how->content_type, &copy->content_type) &&
                     copy_text(how->content_encoding, &copy->content_encoding) &&
                     copy_text(how->cache_control, &copy->cache_control);
    for (size_t i = 0; is_copied && i < how->meta_count; ++i) {
        char *name, *value;
        is_copied = copy_text(how->meta[i].name, &name);
        is_copied = copy_text(how->meta[i].value, &value) && is_copied;
        copy->meta[copy->meta_count++] = (cairn_client_meta_t){name, value};
    }
    if (!is_copied)
        cairn_client_beside_dispose(copy);
    return is_copied;
}

void cairn_client_beside_apply(const cairn_client_beside_t *beside, cairn_client_write_t *how)
{
    how->content_type = beside->content_type;
    how->content_encoding = beside->content_encoding;
    how->cache_control = beside->cache_control;
    how->meta = beside->meta;
    how->meta_count = beside->meta_count;
}

/* ---------------------------------------------------------------- as JSON */

static bool set_text(json_t *json, const char *name, const char *text)
{
    return text == NULL || cairn_client_json_set(json, name, text, strlen(text));
}

bool cairn_client_json_set_beside(json_t *json, const cairn_client_write_t *how)
{
    if (!set_text(json, "content_type", how->content_type) ||
        !set_text(json, "content_encoding", how->content_encoding) ||
        !set_text(json, "cache_control", how->cache_control))
        return false;
    if (how->meta_count == 0)
        return true;
    json_t *list = json_array();
    bool is_set = json_object_set_new(json, "meta", list) == 0;
    for (size_t i = 0; is_set && i < how->meta_count; ++i) {
        json_t *header = json_object();
        is_set = set_text(header, "name", how->meta[i].name) &&
                 set_text(header, "value", how->meta[i].value);
        is_set = json_array_append_new(list, header) == 0 && is_set;
    }
    return is_set;
}

/** a text that a header may have, which the caller frees; NULL if there is none */
static char *get_text(const json_t *json, const char *name)
{
    char *text;
    size_t bytes;
    cairn_client_json_get(json, name, &text, &bytes);
    if (text != NULL && strlen(text) == bytes)
        return text;
    free(text); /* it has a NUL inside */
    return NULL;
}

bool cairn_client_json_get_beside(const json_t *json, cairn_client_beside_t *beside)
{
    const json_t *list = json_object_get(json, "meta");
    size_t count = json_array_size(list);
    *beside = (cairn_client_beside_t){
        .content_type = get_text(json, "content_type"),
        .content_encoding = get_text(json, "content_encoding"),
        .cache_control = get_text(json, "cache_control"),
        .meta = count != 0 ? calloc(count, sizeof(*beside->meta)) : NULL,
    };
    bool is_good = (list == NULL || json_is_array(list)) && (count == 0 || beside->meta != NULL);
    for (size_t i = 0; is_good && i < count; ++i) {
        const json_t *header = json_array_get(list, i);
        char *name = get_text(header, "name"), *value = get_text(header, "value");
        is_good = name != NULL && value != NULL;
        beside->meta[beside->meta_count++] = (cairn_client_meta_t){name, value};
    }
    if (!is_good)
        cairn_client_beside_dispose(beside);
    return is_good;
}

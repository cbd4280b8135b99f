/*
 * server/changes_text.c - changes as text.
 */
#include "server/changes_text.h"

#include <inttypes.h>

static void add_content_type(cairn_json_text_t *text, cairn_bytes_t meta)
{
    cairn_meta_tag_t tag;
    cairn_bytes_t content;
    for (size_t at = 0; cairn_meta_next(meta, &at, &tag, &content);)
        if (tag == CAIRN_META_CONTENT_TYPE) {
            cairn_json_text_add(text, ",");
            cairn_json_text_add_bytes(text, "content_type", content.base, content.count);
        }
}

static void add_object(cairn_json_text_t *text, const cairn_change_t *change, bool has_value)
{
    cairn_json_text_add(text, "{\"version\":%" PRIu64 ",\"op\":\"%s\",", change->version,
                        change->is_delete ? "delete" : "put");
    cairn_json_text_add_bytes(text, "key", change->key.base, change->key.count);
    if (!change->is_delete) {
        cairn_json_text_add(text, ",\"size\":%" PRIu64, change->value_bytes);
        add_content_type(text, change->meta);
        if (change->expiry_ms != 0)
            cairn_json_text_add(text, ",\"expires\":%" PRIu64, change->expiry_ms);
        if (has_value) {
            cairn_json_text_add(text, ",");
            cairn_json_text_add_bytes(text, "value", change->value.base, change->value.count);
        }
    }
    cairn_json_text_add(text, "}\n");
}

void cairn_changes_text_add(cairn_json_text_t *text, const cairn_change_t *change, bool is_event,
                            bool has_value)
{
    if (is_event)
        cairn_json_text_add(text, "id: %" PRIu64 "\nevent: %s\ndata: ", change->version,
                            change->is_delete ? "delete" : "put");
    add_object(text, change, has_value);
    if (is_event)
        cairn_json_text_add(text, "\n");
}

void cairn_changes_text_add_end(cairn_json_text_t *text, const char *event, const char *code,
                                uint64_t version)
{
    cairn_json_text_add(text, "event: %s\ndata: {\"code\":\"%s\",\"version\":%" PRIu64 "}\n\n",
                        event, code, version);
}

/*
 * server/changes_text.h - changes as text: lines of JSON, or Server-Sent Events.
 */
#ifndef CAIRN_SERVER_CHANGES_TEXT_H
#define CAIRN_SERVER_CHANGES_TEXT_H

#include "server/json_text.h"
#include "server/reply.h"
#include "storage/feed.h"

/** Adds a change; as an event, its id is the version. */
void cairn_changes_text_add(cairn_json_text_t *text, const cairn_change_t *change, bool is_event,
                            bool has_value);

/** Adds the event that ends a stream: why, and how far it came. */
void cairn_changes_text_add_end(cairn_json_text_t *text, const char *event, const char *code,
                                uint64_t version);

#endif

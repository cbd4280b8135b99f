/*
 * server/meta_json.h - what is stored beside a value, as members of a line of NDJSON.
 *
 * "content_type", "content_encoding", "cache_control" are texts; "meta" is a list of the
 * Cairn-Meta-* headers, {"name":"author","value":"Ada"}, in the order in which they were put. A
 * list gives what is not UTF-8 under a name that ends in _b64, as everywhere; a batch takes texts
 * only.
 *
 * Threads: any; all of this works on memory that the caller owns.
 */
#ifndef CAIRN_SERVER_META_JSON_H
#define CAIRN_SERVER_META_JSON_H

#include <stdbool.h>

#include "server/json_text.h"
#include "storage/store.h"

/** `Cairn-Meta-*` headers of a value together, names and values */
#define CAIRN_USER_META_BYTES_MAX 1024
/** what their names begin with */
#define CAIRN_USER_META_PREFIX "cairn-meta-"

/** Adds `,"content_type":"..."`, the default type if there is none. */
void cairn_meta_json_add_type(cairn_json_text_t *text, cairn_bytes_t meta);

/** Adds all else that there is, each member with a comma before it. */
void cairn_meta_json_add_rest(cairn_json_text_t *text, cairn_bytes_t meta);

/** what a line has of it; NULL where it has none */
typedef struct st_cairn_meta_json_t {
    const struct json_t *content_type, *content_encoding, *cache_control;
    const struct json_t *meta;
} cairn_meta_json_t;

/**
 * Adds these members to `builder`. They become headers one day, so nothing is taken that would end
 * one early. False, with a sentence in `*why` (static memory), for what is none; false and NULL if
 * it is more than is stored beside a value.
 */
bool cairn_meta_json_read(const cairn_meta_json_t *members, cairn_meta_builder_t *builder,
                          const char **why);

#endif

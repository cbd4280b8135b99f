/*
 * server/target.h - what a request target says: the path, the key in it, the query.
 *
 * The raw target is taken as it came. `%XX` is decoded once and nothing is normalised: a key is any
 * bytes, so `a//b`, `../x` and `%00` are what they say.
 */
#ifndef CAIRN_SERVER_TARGET_H
#define CAIRN_SERVER_TARGET_H

#include <stdbool.h>
#include <stddef.h>

typedef enum en_cairn_decode_t {
    CAIRN_DECODE_OK,
    CAIRN_DECODE_BAD_ESCAPE, /* a % without two hex digits behind it; `*at` says where */
    CAIRN_DECODE_TOO_LONG    /* more bytes than there is room for */
} cairn_decode_t;

/**
 * Decodes `%XX` into `out`, which has room for `room` bytes. With `plus_is_space`, + becomes a
 * space, as HTML forms mean it. `*decoded` becomes the bytes written; `*at` the offset of a bad
 * escape in `text`.
 */
cairn_decode_t cairn_target_decode(const char *text, size_t count, bool plus_is_space, char *out,
                                   size_t room, size_t *decoded, size_t *at);

/**
 * Encodes bytes so that they stand for themselves in a query: %XX for all but RFC 3986's unreserved
 * ones. `out` has room for three times `count` bytes. Returns how many there are.
 */
size_t cairn_target_encode(const void *bytes, size_t count, char *out);

/**
 * The raw value of a query parameter, undecoded: the first of that name, empty where the name
 * stands alone, as in HTML forms. Names are compared as they stand. False if there is none.
 */
bool cairn_target_param(const char *query, size_t count, const char *name, const char **value,
                        size_t *value_count);

#endif

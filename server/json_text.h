/*
 * server/json_text.h - JSON written piece by piece, for answers of many lines.
 *
 * What is written is not checked to be JSON as a whole: the caller adds its braces and commas.
 * Threads: one at a time.
 */
#ifndef CAIRN_SERVER_JSON_TEXT_H
#define CAIRN_SERVER_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** zeroed, it is empty */
typedef struct st_cairn_json_text_t {
    char *bytes;
    size_t count;
    size_t _capacity;
} cairn_json_text_t;

/** Frees what it holds and empties it. */
void cairn_json_text_dispose(cairn_json_text_t *text);

/** one call of cairn_json_text_add() adds fewer bytes than this */
#define CAIRN_JSON_TEXT_ADD_MAX 160

/** Adds a short text. */
void cairn_json_text_add(cairn_json_text_t *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The same without a format, and a number in decimal, for what is written often. */
void cairn_json_text_add_raw(cairn_json_text_t *text, const char *raw);
void cairn_json_text_add_number(cairn_json_text_t *text, uint64_t number);

/**
 * Adds a member with any bytes: `"name":"..."` if they are UTF-8, else `"name_b64":"..."`. They may
 * not lie in a map.
 */
void cairn_json_text_add_bytes(cairn_json_text_t *text, const char *name, const void *bytes,
                               size_t count);

/** Whether the bytes are UTF-8 (RFC 3629), NUL included. */
bool cairn_json_text_is_utf8(const void *bytes, size_t count);

#endif

/*
 * server/json_read.h - JSON that a client has sent.
 */
#ifndef CAIRN_SERVER_JSON_READ_H
#define CAIRN_SERVER_JSON_READ_H

#include <stddef.h>

#include <jansson.h>

/** commas and opening brackets outside of strings: several times what any request has need of */
#define CAIRN_JSON_PARTS_MAX 1000

/**
 * Parses a text that is one value and nothing else; a member comes once, strings may have zero
 * bytes. A text of more parts than CAIRN_JSON_PARTS_MAX is refused before anything is made of it: a
 * few megabytes of members would take minutes, and hundreds of megabytes.
 *
 * Owner: the caller drops the reference.
 * Errors: NULL, and where in `error`, bytes and lines counted from 1; its code says nothing where
 *         there were too many parts.
 */
json_t *cairn_json_read(const char *text, size_t count, json_error_t *error);

#endif

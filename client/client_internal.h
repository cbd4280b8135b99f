/*
 * client/client_internal.h - what the files of libcairn share, and nobody else includes.
 */
#ifndef CAIRN_CLIENT_INTERNAL_H
#define CAIRN_CLIENT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>
#include <jansson.h>

#include "client/cairn.h"

/** bytes that grow; once memory ran out it stays `is_broken` and takes nothing more */
typedef struct st_cairn_client_buffer_t {
    char *bytes; /* NULL while nothing was added; else a NUL follows */
    size_t count;
    size_t capacity;
    bool is_broken;
} cairn_client_buffer_t;

void cairn_client_buffer_add(cairn_client_buffer_t *buffer, const void *bytes, size_t count);
void cairn_client_buffer_print(cairn_client_buffer_t *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** Adds bytes as %XX, all but RFC 3986's unreserved set. */
void cairn_client_buffer_escape(cairn_client_buffer_t *buffer, const void *bytes, size_t count);
/** Empties it, and keeps its memory. */
void cairn_client_buffer_clear(cairn_client_buffer_t *buffer);
void cairn_client_buffer_dispose(cairn_client_buffer_t *buffer);

struct st_cairn_client_t {
    CURL *curl;
    char *base;  /* "http://localhost:8080", what paths are added to; NULL if the URL was wrong */
    char *where; /* the URL as it was given, for messages */
    char *authorization;
    uint32_t timeout_ms;
    cairn_client_buffer_t target; /* of the request being made */
    cairn_client_buffer_t answer; /* body of the last answer */
    /* of the last call */
    cairn_client_err_t err;
    int status;
    size_t line; /* the problem's `line`; 0 if it has none */
    char code[64];
    char message[512];
    bool may_repeat;  /* of the request being made */
    unsigned attempt; /* at sending it */
};

/** a request; zero is a GET without body and headers */
typedef struct st_cairn_client_request_t {
    const char *method; /* NULL is GET */
    const void *body;   /* NULL sends none; "" with 0 bytes sends an empty one */
    size_t body_bytes;
    struct curl_slist *headers; /* taken: freed by the call */
    bool is_once;               /* must not reach the server twice */
    uint32_t wait_ms;           /* the server may take so long before it has an answer */
} cairn_client_request_t;

/** Begins a target: "/v1/kv/" and the key escaped (NULL for none). It is kept in db->target. */
void cairn_client_target(cairn_client_t *db, const char *path, const void *key, size_t key_bytes);
/** Adds ?name=value or &name=value, escaped. */
void cairn_client_query(cairn_client_t *db, const char *name, const void *value, size_t bytes);
void cairn_client_query_number(cairn_client_t *db, const char *name, uint64_t number);

/**
 * Sends a request to db->target and waits for the answer, whose body is then in db->answer. What is
 * not 2xx is an error. Sets all that cairn_client_message() and its sisters tell.
 */
cairn_client_err_t cairn_client_send(cairn_client_t *db, const cairn_client_request_t *request);

/** Sets the last call's error with a message of its own, and returns it. */
cairn_client_err_t cairn_client_fail(cairn_client_t *db, cairn_client_err_t err, const char *format,
                                     ...) __attribute__((format(printf, 3, 4)));

/** What a status of one operation means; `code` may be NULL. */
cairn_client_err_t cairn_client_err_of(int status, const char *code);

/** A header of the last answer, NULL if it has none. Owner: curl, until the next request. */
const char *cairn_client_header(const cairn_client_t *db, const char *name);

/** Where the last answer says it goes on, `Link: </v1/keys?...>; rel="next"`; NULL if nowhere.
 * Owner: the caller. */
char *cairn_client_next_target(const cairn_client_t *db);

/** The version in the last answer's ETag; 0 if there is none. */
uint64_t cairn_client_etag(const cairn_client_t *db);

/* ---------------------------------------------------------------- lines of JSON */

/** Sets `name` or, for bytes that are not UTF-8, `name`_b64. False without memory. */
bool cairn_client_json_set(json_t *json, const char *name, const void *bytes, size_t count);

/**
 * Reads the member `name`, or `name`_b64. Owner: the caller frees `*bytes`, which has a NUL behind
 * it; NULL if there is no such member, or it is malformed.
 */
void cairn_client_json_get(const json_t *json, const char *name, char **bytes, size_t *count);

/** what is stored beside a value, in memory of its own; zeroed, there is nothing */
typedef struct st_cairn_client_beside_t {
    char *content_type, *content_encoding, *cache_control; /* NULL where there is none */
    cairn_client_meta_t *meta;
    size_t meta_count;
} cairn_client_beside_t;

/** Copies what `how` has of it. False, with nothing copied, without memory. */
bool cairn_client_beside_copy(const cairn_client_write_t *how, cairn_client_beside_t *copy);
/** Has a write store it; it must outlive `how`. */
void cairn_client_beside_apply(const cairn_client_beside_t *beside, cairn_client_write_t *how);
void cairn_client_beside_dispose(cairn_client_beside_t *beside);

/** Sets content_type, content_encoding, cache_control and meta, as far as `how` has them. False
 * without memory. */
bool cairn_client_json_set_beside(json_t *json, const cairn_client_write_t *how);
/** Reads them. False, with nothing to dispose, for what they cannot be, or without memory. */
bool cairn_client_json_get_beside(const json_t *json, cairn_client_beside_t *beside);

/** Takes the next line that is not empty from a body; NULL at its end. `*error` is set, and NULL
 * returned, for one that is no JSON object. Owner: the caller. */
json_t *cairn_client_next_line(const cairn_client_buffer_t *body, size_t *at, bool *is_error);

#endif

/*
 * server/auth.h - who may do what.
 *
 * A table of tokens is made from the config, never changes, and is shared: whoever keeps it holds a
 * reference. A reload makes another one (server/gate.h). What each path needs stands in one table
 * in auth.c; a path that is not in it needs admin, so a new one cannot be forgotten open.
 *
 * Threads: any; a table is read only.
 */
#ifndef CAIRN_SERVER_AUTH_H
#define CAIRN_SERVER_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "server/config.h"

typedef struct st_cairn_auth_t cairn_auth_t;

/* what a request shows of itself; none of it is kept */
typedef struct st_cairn_auth_request_t {
    const char *method;
    size_t method_bytes;
    const char *path; /* the target as it came, up to the query */
    size_t path_bytes;
    const char *authorization; /* the header's value; NULL if there is none */
    size_t authorization_bytes;
} cairn_auth_request_t;

typedef enum en_cairn_verdict_t {
    CAIRN_VERDICT_ALLOWED,
    CAIRN_VERDICT_NO_TOKEN,  /* a token is needed and none was given */
    CAIRN_VERDICT_MALFORMED, /* the header is not "Bearer SECRET" */
    CAIRN_VERDICT_UNKNOWN,   /* no token has this secret */
    CAIRN_VERDICT_SCOPE,     /* the token's scope does not include what the path needs */
    CAIRN_VERDICT_BOUND,     /* the path is not for tokens that are bound to a prefix */
    CAIRN_VERDICT_PREFIX     /* the token is bound to a prefix that a key does not begin with */
} cairn_verdict_t;

/** The tokens of a config, copied; NULL if it has none: then everyone may do everything. */
cairn_auth_t *cairn_auth_create(const cairn_config_token_t *tokens, size_t count);

/** One reference more; returns the table. NULL is none, here and below. */
cairn_auth_t *cairn_auth_acquire(cairn_auth_t *auth);

/** One reference less; the last one frees the table. */
void cairn_auth_release(cairn_auth_t *auth);

/**
 * Who may do what: judges a request, but for the keys it names, which cairn_auth_allows_key() does
 * once they are decoded. `*token` becomes the token that was shown, NULL if none is or need be
 * known; it lives as long as the table.
 *
 * The sum of the secret is compared with those of all tokens, in a time that depends on their
 * number only.
 */
cairn_verdict_t cairn_auth_judge(const cairn_auth_t *auth, const cairn_auth_request_t *request,
                                 const cairn_config_token_t **token);

/**
 * Judges again who was let in by an earlier table and is still being told of keys that begin with
 * `prefix`. `shown` is the token it showed then, NULL if none was needed; it is known by its
 * secret, and each scope includes reading.
 */
cairn_verdict_t cairn_auth_judge_again(const cairn_auth_t *auth, const cairn_config_token_t *shown,
                                       const void *prefix, size_t prefix_bytes);

/** Whether a token reaches a key: the decoded bytes begin with its prefix. NULL reaches all. */
bool cairn_auth_allows_key(const cairn_config_token_t *token, const void *key, size_t key_bytes);

/** Whether a token may write, where the path alone does not say what a request does. NULL may. */
bool cairn_auth_allows_write(const cairn_config_token_t *token);

#endif

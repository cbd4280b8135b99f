/*
 * server/auth.c - who may do what.
 */
#include "server/auth.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "server/config_internal.h"
#include "server/text.h"

struct st_cairn_auth_t {
    atomic_size_t references;
    EVP_MD *sha256; /* looked up once: that costs more than a sum */
    size_t count;
    cairn_config_token_t tokens[];
};

/* ---------------------------------------------------------------- what a path needs */

typedef enum en_need_t {
    NEED_NOTHING, /* not even a token */
    NEED_READ,
    NEED_WRITE,
    NEED_BY_METHOD, /* GET and HEAD read, all else writes */
    NEED_ADMIN
} need_t;

typedef struct st_rule_t {
    const char *path;
    bool is_front; /* the rule is for all paths that begin so */
    need_t need;
    /* A bound token may use the path: it names no key, or each of its keys passes
     * cairn_auth_allows_key(). Never said of what lists, scans or feeds without being narrowed. */
    bool is_for_bound;
} rule_t;

static const rule_t rules[] = {
    {"/livez", false, NEED_NOTHING, true},
    {"/readyz", false, NEED_NOTHING, true},
    {"/", false, NEED_READ, true},
    /* a browser has no token to send for a page; there is nothing in it, see server/pages.h */
    {"/dashboard", false, NEED_NOTHING, true},
    {"/v1/kv/", true, NEED_BY_METHOD, true},
    {"/v1/incr/", true, NEED_WRITE, true},
    {"/v1/append/", true, NEED_WRITE, true},
    {"/v1/sync", false, NEED_WRITE, true},
    {"/set", false, NEED_WRITE, true},
    {"/get", false, NEED_READ, true},
    {"/delete", false, NEED_WRITE, true},
    {"/metrics", false, NEED_ADMIN, false},
    {"/v1/stats", false, NEED_ADMIN, false},
    {"/v1/admin/", true, NEED_ADMIN, false},
    {"/v1/batch", false, NEED_READ, true}, /* and what its lines need: server/batch_parse.c */
    {"/v1/keys", false, NEED_READ, true},
    {"/v1/scan", false, NEED_READ, true},
    {"/v1/changes", false, NEED_READ, true},
};

static const rule_t *find_rule(const cairn_auth_request_t *request)
{
    static const rule_t other = {"", true, NEED_ADMIN, false};

    for (size_t i = 0; i != sizeof(rules) / sizeof(rules[0]); ++i) {
        size_t bytes = strlen(rules[i].path);
        if ((rules[i].is_front ? request->path_bytes >= bytes : request->path_bytes == bytes) &&
            memcmp(request->path, rules[i].path, bytes) == 0)
            return &rules[i];
    }
    return &other;
}

static bool method_is(const cairn_auth_request_t *request, const char *name)
{
    return request->method_bytes == strlen(name) &&
           memcmp(request->method, name, request->method_bytes) == 0;
}

static cairn_scope_t scope_for(const rule_t *rule, const cairn_auth_request_t *request)
{
    switch (rule->need) {
    case NEED_NOTHING:
    case NEED_READ:
        return CAIRN_SCOPE_READ;
    case NEED_WRITE:
        return CAIRN_SCOPE_WRITE;
    case NEED_BY_METHOD:
        return method_is(request, "GET") || method_is(request, "HEAD") ? CAIRN_SCOPE_READ
                                                                       : CAIRN_SCOPE_WRITE;
    case NEED_ADMIN:
        break;
    }
    return CAIRN_SCOPE_ADMIN;
}

/* ---------------------------------------------------------------- whose secret it is */

/* The secret of "Bearer SECRET" (RFC 6750): bytes that can be seen. NULL if it is anything else. */
static const char *find_secret(const cairn_auth_request_t *request, size_t *bytes)
{
    static const char scheme[] = "Bearer ";
    const size_t scheme_bytes = sizeof(scheme) - 1;

    if (request->authorization_bytes <= scheme_bytes ||
        strncasecmp(request->authorization, scheme, scheme_bytes) != 0)
        return NULL;
    for (size_t i = scheme_bytes; i != request->authorization_bytes; ++i) {
        if (request->authorization[i] <= ' ' || request->authorization[i] > '~')
            return NULL;
    }
    *bytes = request->authorization_bytes - scheme_bytes;
    return request->authorization + scheme_bytes;
}

/* About 0.3 us for a short secret, so nothing is remembered of it from one request to the next. */
static void sum_up(const cairn_auth_t *auth, const char *secret, size_t bytes, unsigned char *sum)
{
    static _Thread_local EVP_MD_CTX *ctx; /* lives as long as the thread, as workers do */

    if (ctx == NULL)
        ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestInit_ex(ctx, auth->sha256, NULL) != 1 ||
        EVP_DigestUpdate(ctx, secret, bytes) != 1 || EVP_DigestFinal_ex(ctx, sum, NULL) != 1) {
        fprintf(stderr, "cairn: no memory to check a token\n");
        abort();
    }
}

/* Whether two sums are equal, in the same time if they are not, wherever they differ. OpenSSL's
 * CRYPTO_memcmp() goes byte by byte: with 200 tokens that took 15 us a request. */
static bool is_same_sum(const unsigned char *a, const unsigned char *b)
{
    uint64_t x[CAIRN_TOKEN_SUM_BYTES / 8], y[CAIRN_TOKEN_SUM_BYTES / 8];

    memcpy(x, a, sizeof(x));
    memcpy(y, b, sizeof(y));
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
}

/* Looks at every byte of every token, whichever it is. */
static const cairn_config_token_t *find_token(const cairn_auth_t *auth, const unsigned char *sum)
{
    const cairn_config_token_t *found = NULL;

    for (size_t i = 0; i != auth->count; ++i) {
        if (is_same_sum(auth->tokens[i].sum, sum))
            found = &auth->tokens[i];
    }
    return found;
}

cairn_verdict_t cairn_auth_judge(const cairn_auth_t *auth, const cairn_auth_request_t *request,
                                 const cairn_config_token_t **token)
{
    unsigned char sum[CAIRN_TOKEN_SUM_BYTES];
    const rule_t *rule = find_rule(request);
    const char *secret;
    size_t bytes;

    *token = NULL;
    if (auth == NULL || rule->need == NEED_NOTHING)
        return CAIRN_VERDICT_ALLOWED;
    if (request->authorization == NULL)
        return CAIRN_VERDICT_NO_TOKEN;
    if ((secret = find_secret(request, &bytes)) == NULL)
        return CAIRN_VERDICT_MALFORMED;
    sum_up(auth, secret, bytes, sum);
    if ((*token = find_token(auth, sum)) == NULL)
        return CAIRN_VERDICT_UNKNOWN;
    if ((*token)->scope < scope_for(rule, request))
        return CAIRN_VERDICT_SCOPE;
    if ((*token)->prefix != NULL && !rule->is_for_bound)
        return CAIRN_VERDICT_BOUND;
    return CAIRN_VERDICT_ALLOWED;
}

cairn_verdict_t cairn_auth_judge_again(const cairn_auth_t *auth, const cairn_config_token_t *shown,
                                       const void *prefix, size_t prefix_bytes)
{
    const cairn_config_token_t *token;

    if (auth == NULL)
        return CAIRN_VERDICT_ALLOWED;
    if (shown == NULL)
        return CAIRN_VERDICT_NO_TOKEN;
    if ((token = find_token(auth, shown->sum)) == NULL)
        return CAIRN_VERDICT_UNKNOWN;
    return cairn_auth_allows_key(token, prefix, prefix_bytes) ? CAIRN_VERDICT_ALLOWED
                                                              : CAIRN_VERDICT_PREFIX;
}

bool cairn_auth_allows_key(const cairn_config_token_t *token, const void *key, size_t key_bytes)
{
    if (token == NULL || token->prefix == NULL)
        return true;
    return cairn_begins_with(key, key_bytes, token->prefix, strlen(token->prefix));
}

bool cairn_auth_allows_write(const cairn_config_token_t *token)
{
    return token == NULL || token->scope >= CAIRN_SCOPE_WRITE;
}

/* ---------------------------------------------------------------- the table's life */

static void *must_have(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "cairn: no memory for the access tokens\n");
        abort();
    }
    return memory;
}

cairn_auth_t *cairn_auth_create(const cairn_config_token_t *tokens, size_t count)
{
    cairn_auth_t *auth;

    if (count == 0)
        return NULL;
    auth = must_have(malloc(sizeof(*auth) + count * sizeof(*tokens)));
    atomic_init(&auth->references, 1);
    auth->sha256 = must_have(EVP_MD_fetch(NULL, "SHA256", NULL));
    auth->count = count;
    for (size_t i = 0; i != count; ++i) {
        auth->tokens[i] = tokens[i];
        auth->tokens[i].name = cairn_config_copy(tokens[i].name);
        auth->tokens[i].prefix =
            tokens[i].prefix != NULL ? cairn_config_copy(tokens[i].prefix) : NULL;
    }
    return auth;
}

cairn_auth_t *cairn_auth_acquire(cairn_auth_t *auth)
{
    /* relaxed: who acquires holds a reference, or its table could not be here */
    if (auth != NULL)
        atomic_fetch_add_explicit(&auth->references, 1, memory_order_relaxed);
    return auth;
}

void cairn_auth_release(cairn_auth_t *auth)
{
    /* acquire and release: what others did with the table comes before its end */
    if (auth == NULL || atomic_fetch_sub_explicit(&auth->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i != auth->count; ++i) {
        free(auth->tokens[i].name);
        free(auth->tokens[i].prefix);
    }
    EVP_MD_free(auth->sha256);
    free(auth);
}

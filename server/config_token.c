/*
 * One access token at a time: from the texts of a file to an entry of cairn_config_t.
 */
#include "server/config_internal.h"

#include <stdlib.h>
#include <string.h>

#include "server/wording.h"

#define NAME_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

static const char *const scope_words[CAIRN_SCOPE_COUNT] = {
#define WORD(name, word) [CAIRN_SCOPE_##name] = word,
    CAIRN_SCOPES(WORD)
#undef WORD
};

/* what sha256sum says when the secret did not reach it */
static const unsigned char sum_of_nothing[CAIRN_TOKEN_SUM_BYTES] = {
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55};

/* what is being read, and where its error goes */
typedef struct st_reading_t {
    const char **key;
    char *errmsg;
    size_t errmsg_bytes;
} reading_t;

/* Always false, for the caller to return. `text` NULL: the file does not have the key. */
static bool refuse(const reading_t *reading, const char *key, const char *text, const char *wrong,
                   const char *allowed)
{
    char quoted[CAIRN_WORDING_QUOTE_BYTES];

    *reading->key = key;
    if (text == NULL) {
        snprintf(reading->errmsg, reading->errmsg_bytes, "is missing; write %s", allowed);
        return false;
    }
    cairn_wording_quote(text, quoted);
    snprintf(reading->errmsg, reading->errmsg_bytes, "%s %s; write %s", quoted, wrong, allowed);
    return false;
}

/* As refuse(), for what another token has already. */
static bool refuse_again(const reading_t *reading, const char *key, const char *what,
                         const cairn_config_token_t *earlier)
{
    *reading->key = key;
    snprintf(reading->errmsg, reading->errmsg_bytes,
             "%s as the token on line %zu; each needs its own", what, earlier->line);
    return false;
}

static bool check_name(const reading_t *reading, const char *name)
{
    static const char allowed[] = "1 to 64 letters, digits, - _ .";

    if (name == NULL)
        return refuse(reading, "name", NULL, "", allowed);
    if (name[0] == '\0')
        return refuse(reading, "name", name, "is empty", allowed);
    if (name[strspn(name, NAME_LETTERS)] != '\0')
        return refuse(reading, "name", name, "has other characters than are allowed", allowed);
    if (strlen(name) > CAIRN_TOKEN_NAME_BYTES_MAX)
        return refuse(reading, "name", name, "is too long", allowed);
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The text is not quoted back: who mistook the key for the secret's would find it in a log. */
static bool read_sum(const reading_t *reading, const char *text, unsigned char *sum)
{
    static const char allowed[] = "the 64 hex digits that printf %s \"$secret\" | sha256sum prints";
    size_t digits = 0;

    *reading->key = "sha256";
    if (text == NULL)
        return refuse(reading, "sha256", NULL, "", allowed);
    while (hex_digit(text[digits]) >= 0)
        ++digits;
    if (text[digits] != '\0' || digits != 2 * CAIRN_TOKEN_SUM_BYTES) {
        snprintf(reading->errmsg, reading->errmsg_bytes,
                 "is not a SHA-256 sum: %zu characters, %zu hex digits at its front; write %s",
                 strlen(text), digits, allowed);
        return false;
    }
    for (size_t i = 0; i != CAIRN_TOKEN_SUM_BYTES; ++i)
        sum[i] = (unsigned char)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    if (memcmp(sum, sum_of_nothing, CAIRN_TOKEN_SUM_BYTES) == 0) {
        snprintf(reading->errmsg, reading->errmsg_bytes, "is the sum of an empty secret; write %s",
                 allowed);
        return false;
    }
    return true;
}

static bool read_scope(const reading_t *reading, const char *text, cairn_scope_t *scope)
{
    static const char allowed[] = "read, write or admin";

    for (*scope = 0; text != NULL && *scope != CAIRN_SCOPE_COUNT; ++*scope) {
        if (strcmp(text, scope_words[*scope]) == 0)
            return true;
    }
    return refuse(reading, "scope", text, "is not a scope", allowed);
}

static bool check_prefix(const reading_t *reading, const char *prefix)
{
    static const char allowed[] =
        "the bytes that its keys begin with (1 to 2048), or leave prefix out for all keys";

    if (prefix == NULL)
        return true;
    if (prefix[0] == '\0')
        return refuse(reading, "prefix", prefix, "is empty", allowed);
    if (strlen(prefix) > CAIRN_TOKEN_PREFIX_BYTES_MAX)
        return refuse(reading, "prefix", prefix, "is longer than a key can be", allowed);
    return true;
}

static bool check_is_new(const reading_t *reading, const cairn_config_t *config, const char *name,
                         const unsigned char *sum)
{
    for (size_t i = 0; i != config->token_count; ++i) {
        const cairn_config_token_t *earlier = &config->tokens[i];
        if (strcmp(earlier->name, name) == 0)
            return refuse_again(reading, "name", "is the same name", earlier);
        if (memcmp(earlier->sum, sum, CAIRN_TOKEN_SUM_BYTES) == 0)
            return refuse_again(reading, "sha256", "is the same sum", earlier);
    }
    return true;
}

bool cairn_config_add_token(cairn_config_t *config, const cairn_token_texts_t *texts, size_t line,
                            const char **key, char *errmsg, size_t errmsg_bytes)
{
    const reading_t reading = {key, errmsg, errmsg_bytes};
    cairn_config_token_t token = {.line = line}, *tokens;

    if (!check_name(&reading, texts->name) || !read_sum(&reading, texts->sha256, token.sum) ||
        !read_scope(&reading, texts->scope, &token.scope) ||
        !check_prefix(&reading, texts->prefix) ||
        !check_is_new(&reading, config, texts->name, token.sum))
        return false;
    tokens = realloc(config->tokens, (config->token_count + 1) * sizeof(*tokens));
    if (tokens == NULL) {
        *key = "name";
        snprintf(errmsg, errmsg_bytes, "no memory for another token");
        return false;
    }
    token.name = cairn_config_copy(texts->name);
    token.prefix = texts->prefix != NULL ? cairn_config_copy(texts->prefix) : NULL;
    tokens[config->token_count++] = token;
    config->tokens = tokens;
    return true;
}

void cairn_config_clear_tokens(cairn_config_t *config)
{
    for (size_t i = 0; i != config->token_count; ++i) {
        free(config->tokens[i].name);
        free(config->tokens[i].prefix);
    }
    free(config->tokens);
    config->tokens = NULL;
    config->token_count = 0;
}

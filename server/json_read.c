/*
 * server/json_read.c - JSON that a client has sent.
 */
#include "server/json_read.h"

#include <stdbool.h>
#include <string.h>

/** the place of the quote that ends the string begun at `at`; `count` if none does */
static size_t string_end(const char *text, size_t count, size_t at)
{
    for (;;) {
        const char *quote = memchr(text + at + 1, '"', count - at - 1);
        if (quote == NULL)
            return count;
        size_t end = (size_t)(quote - text), backslashes = 0;
        while (text[end - 1 - backslashes] == '\\')
            ++backslashes;
        if (backslashes % 2 == 0)
            return end;
        at = end;
    }
}

/** false, and where, if there are too many parts; what is no JSON is left to the parser */
static bool has_few_parts(const char *text, size_t count, size_t *at)
{
    size_t parts = 0;
    for (*at = 0; *at < count; ++*at) {
        char c = text[*at];
        if (c == '"')
            *at = string_end(text, count, *at);
        else if ((c == ',' || c == '{' || c == '[') && ++parts > CAIRN_JSON_PARTS_MAX)
            return false;
    }
    return true;
}

/** where the parser would have said that this byte is */
static void tell_place(json_error_t *error, const char *text, size_t at)
{
    memset(error, 0, sizeof(*error));
    error->line = 1;
    error->position = (int)at + 1;
    for (size_t i = 0; i < at; ++i)
        error->line += text[i] == '\n';
}

json_t *cairn_json_read(const char *text, size_t count, json_error_t *error)
{
    size_t at;
    if (has_few_parts(text, count, &at))
        return json_loadb(text, count, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, error);
    tell_place(error, text, at);
    return NULL;
}

/*
 * client/lines.c - NDJSON: a JSON object a line, in which bytes that are not UTF-8 are base64.
 */
#include "client/client_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** room for a member's name with _b64 behind it */
#define NAME_BYTES 32

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** a text in base64 that the caller frees */
static char *encode(const unsigned char *bytes, size_t count)
{
    char *text = malloc((count + 2) / 3 * 4 + 1), *out = text;
    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < count; i += 3) {
        size_t left = count - i;
        uint32_t bits = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                        (left > 2 ? bytes[i + 2] : 0);
        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        *out++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[bits & 63] : '=';
    }
    *out = '\0';
    return text;
}

/** bytes that the caller frees, NULL if it is no base64 */
static char *decode(const char *text, size_t text_bytes, size_t *count)
{
    char *bytes = malloc(text_bytes / 4 * 3 + 3);
    uint32_t bits = 0;
    size_t n = 0, padding = 0;
    while (padding < 2 && padding < text_bytes && text[text_bytes - 1 - padding] == '=')
        ++padding;
    bool is_good = bytes != NULL && text_bytes % 4 == 0;
    for (size_t i = 0; is_good && i < text_bytes - padding; ++i) {
        const char *digit = text[i] != '\0' ? strchr(digits, text[i]) : NULL;
        is_good = digit != NULL;
        bits = bits << 6 | (is_good ? (uint32_t)(digit - digits) : 0);
        if (i % 4 != 0)
            bytes[n++] = (char)(bits >> (6 - 2 * (i % 4)));
    }
    if (!is_good) {
        free(bytes);
        return NULL;
    }
    bytes[n] = '\0';
    *count = n;
    return bytes;
}

bool cairn_client_json_set(json_t *json, const char *name, const void *bytes, size_t count)
{
    /* fails for what is not UTF-8 */
    json_t *text = json_stringn(count != 0 ? bytes : "", count);
    if (text != NULL)
        return json_object_set_new(json, name, text) == 0;
    char name_b64[NAME_BYTES], *encoded = encode(bytes, count);
    snprintf(name_b64, sizeof(name_b64), "%s_b64", name);
    bool is_set = encoded != NULL && json_object_set_new(json, name_b64, json_string(encoded)) == 0;
    free(encoded);
    return is_set;
}

void cairn_client_json_get(const json_t *json, const char *name, char **bytes, size_t *count)
{
    char name_b64[NAME_BYTES];
    const json_t *text = json_object_get(json, name);
    *bytes = NULL;
    *count = 0;
    if (json_is_string(text)) {
        size_t n = json_string_length(text);
        *bytes = malloc(n + 1);
        if (*bytes == NULL)
            return;
        memcpy(*bytes, json_string_value(text), n + 1);
        *count = n;
        return;
    }
    snprintf(name_b64, sizeof(name_b64), "%s_b64", name);
    const json_t *encoded = json_object_get(json, name_b64);
    if (json_is_string(encoded))
        *bytes = decode(json_string_value(encoded), json_string_length(encoded), count);
}

json_t *cairn_client_next_line(const cairn_client_buffer_t *body, size_t *at, bool *is_error)
{
    *is_error = false;
    while (*at < body->count && body->bytes[*at] == '\n')
        ++*at;
    if (*at == body->count)
        return NULL;
    const char *line = body->bytes + *at, *end = memchr(line, '\n', body->count - *at);
    size_t bytes = end != NULL ? (size_t)(end - line) : body->count - *at;
    *at += bytes;
    json_t *json = json_loadb(line, bytes, JSON_ALLOW_NUL, NULL);
    if (json_is_object(json))
        return json;
    json_decref(json);
    *is_error = true;
    return NULL;
}

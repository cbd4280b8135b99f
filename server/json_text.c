/*
 * server/json_text.c - JSON written piece by piece.
 */
#include "server/json_text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include <openssl/evp.h>

#include "server/decimal.h"
#include "server/http.h"

/** a hundred short lines find room in it without being moved */
#define ROOM_BYTES_MIN 16384

void cairn_json_text_dispose(cairn_json_text_t *text)
{
    free(text->bytes);
    *text = (cairn_json_text_t){.bytes = NULL};
}

static char *make_room(cairn_json_text_t *text, size_t bytes)
{
    if (bytes > text->_capacity - text->count) {
        size_t least = text->count + bytes > ROOM_BYTES_MIN ? text->count + bytes : ROOM_BYTES_MIN;
        text->_capacity = least > 2 * text->_capacity ? least : 2 * text->_capacity;
        text->bytes = h2o_mem_realloc(text->bytes, text->_capacity);
    }
    return text->bytes + text->count;
}

void cairn_json_text_add(cairn_json_text_t *text, const char *format, ...)
{
    va_list args;
    char *at = make_room(text, CAIRN_JSON_TEXT_ADD_MAX);
    va_start(args, format);
    int n = vsnprintf(at, CAIRN_JSON_TEXT_ADD_MAX, format, args);
    va_end(args);
    assert(n > 0 && n < CAIRN_JSON_TEXT_ADD_MAX);
    text->count += (size_t)n;
}

static void add_some(cairn_json_text_t *text, const void *bytes, size_t count)
{
    memcpy(make_room(text, count), bytes, count);
    text->count += count;
}

void cairn_json_text_add_raw(cairn_json_text_t *text, const char *raw)
{
    add_some(text, raw, strlen(raw));
}

void cairn_json_text_add_number(cairn_json_text_t *text, uint64_t number)
{
    text->count += cairn_decimal_write(make_room(text, CAIRN_DECIMAL_BYTES_MAX), number);
}

/** bytes of the UTF-8 character that begins here; 0 if none does (RFC 3629) */
static size_t utf8_bytes(const uint8_t *at, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t count = at[0] < 0x80       ? 1
                   : at[0] >> 5 == 6  ? 2
                   : at[0] >> 4 == 14 ? 3
                   : at[0] >> 3 == 30 ? 4
                                      : 0;
    if (count <= 1 || count > left)
        return count == 1;
    uint32_t code = at[0] & (0x7fu >> count);
    for (size_t i = 1; i < count; ++i) {
        if (at[i] >> 6 != 2)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < least[count] || code > 0x10ffff || is_surrogate ? 0 : count;
}

bool cairn_json_text_is_utf8(const void *bytes, size_t count)
{
    for (size_t at = 0, n; at < count; at += n)
        if ((n = utf8_bytes((const uint8_t *)bytes + at, count - at)) == 0)
            return false;
    return true;
}

/** whether one of eight bytes does not stand for itself in a JSON string, or is not ASCII */
static bool has_special(const uint8_t *bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
    uint64_t control = (word - ones * ' ') & ~word;
    return ((word | control | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) &
            highs) != 0;
}

/** bytes at the front, in steps of eight, that may be copied into a JSON string as they are */
static size_t plain_bytes(const uint8_t *bytes, size_t count)
{
    size_t at = 0;
    while (count - at >= 8 && !has_special(bytes + at))
        at += 8;
    return at;
}

/** adds the inside of a JSON string */
static void add_string(cairn_json_text_t *text, const uint8_t *bytes, size_t count)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_forms[] = "btn\0fr"; /* of 8 to 13 */
    char *out = make_room(text, 6 * count);
    for (size_t i = 0; i < count; ++i) {
        uint8_t c = bytes[i];
        if (c >= ' ' && c != '"' && c != '\\') {
            *out++ = (char)c;
            continue;
        }
        *out++ = '\\';
        if (c >= ' ') {
            *out++ = (char)c;
        } else if (c >= 8 && c <= 13 && short_forms[c - 8] != '\0') {
            *out++ = short_forms[c - 8];
        } else {
            memcpy(out, "u00", 3);
            out[3] = hex[c >> 4];
            out[4] = hex[c & 15];
            out += 5;
        }
    }
    text->count = (size_t)(out - text->bytes);
}

static void add_base64(cairn_json_text_t *text, const uint8_t *bytes, size_t count)
{
    /* and the NUL that it adds */
    char *out = make_room(text, (count + 2) / 3 * 4 + 1);
    text->count += (size_t)EVP_EncodeBlock((unsigned char *)out, bytes, (int)count);
}

void cairn_json_text_add_bytes(cairn_json_text_t *text, const char *name, const void *bytes,
                               size_t count)
{
    size_t plain = plain_bytes(bytes, count);
    bool is_text = cairn_json_text_is_utf8((const uint8_t *)bytes + plain, count - plain);
    cairn_json_text_add_raw(text, "\"");
    cairn_json_text_add_raw(text, name);
    cairn_json_text_add_raw(text, is_text ? "\":\"" : "_b64\":\"");
    if (is_text) {
        add_some(text, bytes, plain);
        add_string(text, (const uint8_t *)bytes + plain, count - plain);
    } else {
        add_base64(text, bytes, count);
    }
    cairn_json_text_add_raw(text, "\"");
}

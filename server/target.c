/*
 * server/target.c - what a request target says.
 */
#include "server/target.h"

#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

cairn_decode_t cairn_target_decode(const char *text, size_t count, bool plus_is_space, char *out,
                                   size_t room, size_t *decoded, size_t *at)
{
    size_t n = 0;
    /* most keys have nothing to decode */
    if (!plus_is_space && count <= room && memchr(text, '%', count) == NULL) {
        memcpy(out, text, count);
        *decoded = count;
        return CAIRN_DECODE_OK;
    }
    for (size_t i = 0; i < count; ++i) {
        char c = text[i];
        if (c == '%') {
            int high = count - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0) {
                *at = i;
                return CAIRN_DECODE_BAD_ESCAPE;
            }
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (n == room)
            return CAIRN_DECODE_TOO_LONG;
        out[n++] = c;
    }
    *decoded = n;
    return CAIRN_DECODE_OK;
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

size_t cairn_target_encode(const void *bytes, size_t count, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < count; ++i) {
        unsigned char c = ((const unsigned char *)bytes)[i];
        if (is_unreserved(c)) {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '%';
        out[n++] = digits[c >> 4];
        out[n++] = digits[c & 15];
    }
    return n;
}

bool cairn_target_param(const char *query, size_t count, const char *name, const char **value,
                        size_t *value_count)
{
    size_t name_count = strlen(name);
    const char *end = query + count;
    while (query < end) {
        const char *stop = memchr(query, '&', (size_t)(end - query));
        if (stop == NULL)
            stop = end;
        const char *end_of_name = memchr(query, '=', (size_t)(stop - query));
        if (end_of_name == NULL)
            end_of_name = stop;
        if ((size_t)(end_of_name - query) == name_count && memcmp(query, name, name_count) == 0) {
            *value = end_of_name != stop ? end_of_name + 1 : stop;
            *value_count = (size_t)(stop - *value);
            return true;
        }
        query = stop == end ? end : stop + 1;
    }
    return false;
}

/*
 * client/buffer.c - bytes that grow, and what they are written as in a URL.
 */
#include "client/client_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** room for `count` more and a NUL */
static bool make_room(cairn_client_buffer_t *buffer, size_t count)
{
    if (buffer->is_broken)
        return false;
    if (buffer->bytes != NULL && buffer->capacity - buffer->count > count)
        return true;
    size_t least = buffer->count + count + 1, doubled = 2 * buffer->capacity;
    size_t capacity = least > doubled ? least : doubled;
    char *bytes = realloc(buffer->bytes, capacity);
    if (bytes == NULL) {
        buffer->is_broken = true;
        return false;
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return true;
}

void cairn_client_buffer_add(cairn_client_buffer_t *buffer, const void *bytes, size_t count)
{
    if (!make_room(buffer, count))
        return;
    if (count != 0)
        memcpy(buffer->bytes + buffer->count, bytes, count);
    buffer->count += count;
    buffer->bytes[buffer->count] = '\0';
}

void cairn_client_buffer_print(cairn_client_buffer_t *buffer, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (bytes < 0 || (size_t)bytes >= sizeof(text))
        buffer->is_broken = true;
    else
        cairn_client_buffer_add(buffer, text, (size_t)bytes);
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void cairn_client_buffer_escape(cairn_client_buffer_t *buffer, const void *bytes, size_t count)
{
    static const char hex[] = "0123456789ABCDEF";
    const unsigned char *from = bytes;
    if (count > SIZE_MAX / 4 || !make_room(buffer, 3 * count)) {
        buffer->is_broken = true;
        return;
    }
    char *out = buffer->bytes + buffer->count;
    for (size_t i = 0; i < count; ++i) {
        if (is_unreserved(from[i])) {
            *out++ = (char)from[i];
        } else {
            *out++ = '%';
            *out++ = hex[from[i] >> 4];
            *out++ = hex[from[i] & 15];
        }
    }
    *out = '\0';
    buffer->count = (size_t)(out - buffer->bytes);
}

void cairn_client_buffer_clear(cairn_client_buffer_t *buffer)
{
    buffer->count = 0;
    buffer->is_broken = false;
    if (buffer->bytes != NULL)
        buffer->bytes[0] = '\0';
}

void cairn_client_buffer_dispose(cairn_client_buffer_t *buffer)
{
    free(buffer->bytes);
    *buffer = (cairn_client_buffer_t){.bytes = NULL};
}

/*
 * bench/load/protocol.c - the protocols by name, and what they write with.
 */
#include "bench/load/protocol.h"

#include <string.h>

const protocol_t *protocol_find(const char *name)
{
    static const protocol_t *const all[] = {&protocol_cairn, &protocol_webdis, &protocol_etcd,
                                            &protocol_resp, &protocol_memcached};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); ++i)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

char *append(char *at, const char *bytes, size_t count)
{
    memcpy(at, bytes, count);
    return at + count;
}

char *append_text(char *at, const char *text)
{
    return append(at, text, strlen(text));
}

char *append_number(char *at, uint64_t number)
{
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    while (n != 0)
        *at++ = digits[--n];
    return at;
}

char *append_key(char *at, const key_space_t *space, uint64_t number)
{
    return at + key_space_name(space, number, at);
}

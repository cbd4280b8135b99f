/*
 * Quoting what a person wrote, and guessing what was meant.
 */
#include "server/wording.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WORD_BYTES_MAX 63
#define LETTER_BYTES_MAX 4 /* of UTF-8, and of \xNN */

static bool is_control(unsigned char byte)
{
    return byte < 0x20 || byte == 0x7f;
}

/* A letter of UTF-8 is copied whole or not at all: half of one would garble a terminal. */
static size_t letter_bytes(const char *text)
{
    size_t bytes = 1;
    while (bytes != LETTER_BYTES_MAX && ((unsigned char)text[bytes] & 0xc0) == 0x80)
        ++bytes;
    return bytes;
}

void cairn_wording_quote(const char *text, char quoted[CAIRN_WORDING_QUOTE_BYTES])
{
    const size_t room = CAIRN_WORDING_QUOTE_BYTES - sizeof("...\"") - LETTER_BYTES_MAX;
    size_t at = 0;

    quoted[at++] = '"';
    while (*text != '\0' && at < room) {
        size_t bytes = letter_bytes(text);
        if (is_control((unsigned char)*text)) {
            bytes = 1;
            at += (size_t)sprintf(quoted + at, "\\x%02x", (unsigned char)*text);
        } else {
            memcpy(quoted + at, text, bytes);
            at += bytes;
        }
        text += bytes;
    }
    strcpy(quoted + at, *text != '\0' ? "...\"" : "\"");
}

static size_t least_of(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* One row of Levenshtein's table is enough: row[j] is the distance of a's front to b's first j. */
size_t cairn_wording_distance(const char *a, const char *b)
{
    size_t a_bytes = strlen(a), b_bytes = strlen(b), row[WORD_BYTES_MAX + 1];

    if (a_bytes > WORD_BYTES_MAX || b_bytes > WORD_BYTES_MAX)
        return a_bytes > b_bytes ? a_bytes : b_bytes;
    for (size_t j = 0; j <= b_bytes; ++j)
        row[j] = j;
    for (size_t i = 1; i <= a_bytes; ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_bytes; ++j) {
            size_t above = row[j];
            row[j] = least_of(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_bytes];
}

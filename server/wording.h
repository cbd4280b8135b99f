/*
 * server/wording.h - what the messages that a person reads have in common.
 *
 * Threads: any; nothing here keeps state.
 */
#ifndef CAIRN_SERVER_WORDING_H
#define CAIRN_SERVER_WORDING_H

#include <stddef.h>

/* a quoted text: enough to recognise what was written, short enough to keep a message on a line */
#define CAIRN_WORDING_QUOTE_BYTES 96

/**
 * Writes a text in double quotes, fit for a terminal and for one line of a log: control bytes
 * become \xNN, and a text that is too long ends in "...".
 */
void cairn_wording_quote(const char *text, char quoted[CAIRN_WORDING_QUOTE_BYTES]);

/**
 * How many letters must be added, dropped or changed to make one word of the other. Words that are
 * longer than any key here are as far apart as they are long.
 */
size_t cairn_wording_distance(const char *a, const char *b);

#endif

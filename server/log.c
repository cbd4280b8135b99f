/*
 * server/log.c - the log: lines on standard error, each with its time and its level.
 */
#include "server/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static const char *const words[] = {
#define WORD(name, word) [CAIRN_LOG_##name] = word,
    CAIRN_LOG_LEVELS(WORD)
#undef WORD
};

/* relaxed: a line sooner or later is the same */
static _Atomic cairn_log_level_t shown = CAIRN_LOG_INFO;

void cairn_log_set_level(cairn_log_level_t level)
{
    atomic_store_explicit(&shown, level, memory_order_relaxed);
}

void cairn_log(cairn_log_level_t level, const char *line)
{
    char when[32];
    time_t now = time(NULL);
    struct tm tm;
    if (level > atomic_load_explicit(&shown, memory_order_relaxed))
        return;
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    fprintf(stderr, "%s %s: %s\n", when, words[level], line);
}

void cairn_log_on(void *ctx, cairn_log_level_t level, const char *line)
{
    (void)ctx;
    cairn_log(level, line);
}

/*
 * storage/health.c - the states a failure puts the store in.
 */
#include "storage/health.h"

#include <stdarg.h>
#include <stdio.h>

void cairn_health_log(cairn_health_t *health, cairn_log_level_t level, const char *format, ...)
{
    if (health->on_log == NULL)
        return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    health->on_log(health->ctx, level, line);
}

void cairn_health_fail(cairn_health_t *health, const char *why)
{
    if (!atomic_exchange_explicit(&health->failed, true, memory_order_acq_rel))
        cairn_health_log(health, CAIRN_LOG_ERROR,
                         "%s: the store is read-only now; look at the disk, then restart cairn",
                         why);
}

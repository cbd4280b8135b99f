/*
 * storage/damage.c - what has gone wrong with what is stored, and how that is said.
 */
#include "storage/damage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/** adds a reason, if there is room for it */
static void add(char *why, const char *reason)
{
    size_t used = strlen(why);
    snprintf(why + used, CAIRN_ERRMSG_BYTES - used, "%s%s", used != 0 ? "; " : "", reason);
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

bool cairn_damage_text(const cairn_damage_t *damage, char *why)
{
    char reason[160];
    why[0] = '\0';
    if (damage->records != 0) {
        snprintf(reason, sizeof(reason), "scrubbing found %" PRIu64 " damaged record%s",
                 damage->records, plural(damage->records));
        add(why, reason);
    }
    if (damage->quarantined != 0) {
        snprintf(reason, sizeof(reason), "quarantine/ has %" PRIu64 " file%s to be looked at",
                 damage->quarantined, plural(damage->quarantined));
        add(why, reason);
    }
    return why[0] != '\0';
}

/*
 * storage/damage.c - what has gone wrong with what is stored, and how that is said.
 */
#include "storage/damage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/** as far as there is room for it */
static void append(char *why, const char *text)
{
    size_t used = strlen(why);
    snprintf(why + used, CAIRN_ERRMSG_BYTES - used, "%s", text);
}

static void add(char *why, const char *reason)
{
    if (why[0] != '\0')
        append(why, "; ");
    append(why, reason);
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
    if (damage->lost_keys != 0) {
        snprintf(reason, sizeof(reason), "the value%s of %" PRIu64 " key%s %s lost",
                 plural(damage->lost_keys), damage->lost_keys, plural(damage->lost_keys),
                 damage->lost_keys == 1 ? "is" : "are");
        add(why, reason);
    }
    if (damage->lost_versions > damage->accepted_versions) {
        snprintf(reason, sizeof(reason),
                 "lost up to %" PRIu64 " version%s, %" PRIu64 " to %" PRIu64 ", in segment %s",
                 damage->lost_versions, plural(damage->lost_versions), damage->lost_first,
                 damage->lost_last, damage->lost_segment);
        add(why, reason);
        if (damage->lost_segments > 1) {
            snprintf(reason, sizeof(reason), " and %" PRIu64 " more", damage->lost_segments - 1);
            append(why, reason);
        }
    }
    if (damage->quarantined != 0) {
        snprintf(reason, sizeof(reason), "quarantine/ has %" PRIu64 " file%s to be looked at",
                 damage->quarantined, plural(damage->quarantined));
        add(why, reason);
    }
    return why[0] != '\0';
}

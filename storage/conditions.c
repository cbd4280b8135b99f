/*
 * storage/conditions.c - what must be true of a key's present value for a write to happen.
 */
#include "storage/conditions.h"

static bool matches(const cairn_version_list_t *list, const cairn_current_t *current)
{
    if (!current->exists)
        return false;
    if (list->kind == CAIRN_VERSIONS_ANY)
        return true;
    for (size_t i = 0; i < list->count; ++i)
        if (list->versions[i] == current->version)
            return true;
    return false;
}

bool cairn_conditions_hold(const cairn_conditions_t *conditions, const cairn_current_t *current)
{
    if (conditions->if_match.kind != CAIRN_VERSIONS_NOT_ASKED &&
        !matches(&conditions->if_match, current))
        return false;
    if (conditions->if_none_match.kind != CAIRN_VERSIONS_NOT_ASKED &&
        matches(&conditions->if_none_match, current))
        return false;
    /* what is not there has no date, and then none counts (RFC 9110, 13.1.4) */
    return !conditions->has_unmodified_since || !current->exists ||
           current->written_ms / 1000 <= conditions->unmodified_since;
}

/*
 * server/conditions.c - what If-Match and its kin ask for.
 */
#include "server/conditions.h"

#include <string.h>
#include <time.h>

#include "server/text.h"
#include "server/units.h"

/** steps over commas too: elements of a list may be empty (RFC 9110, 5.6.1.2) */
static const char *skip_empty(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == ','))
        ++at;
    return at;
}

bool cairn_conditions_parse_etag(cairn_bytes_t text, uint64_t *version)
{
    const char *at = text.base;
    if (text.count < 3 || text.count > 22 || at[0] != '"' || at[text.count - 1] != '"' ||
        at[1] == '0')
        return false;
    return cairn_units_parse_count(at + 1, text.count - 2, version) == CAIRN_UNITS_OK;
}

/** takes one entity-tag off the front; false where none begins. `*is_weak` for W/"..." */
static bool take_tag(const char **at, const char *end, cairn_bytes_t *tag, bool *is_weak)
{
    const char *begin = *at;
    *is_weak = end - begin >= 2 && begin[0] == 'W' && begin[1] == '/';
    if (*is_weak)
        begin += 2;
    if (begin == end || *begin != '"')
        return false;
    const char *quote = memchr(begin + 1, '"', (size_t)(end - begin - 1));
    if (quote == NULL)
        return false;
    *tag = (cairn_bytes_t){begin, (size_t)(quote + 1 - begin)};
    *at = quote + 1;
    return true;
}

/** reads `*` or a list of tags; weak ones count only where the comparison is weak */
static const char *parse_list(cairn_bytes_t text, bool weak_counts, cairn_version_list_t *list)
{
    const char *at = text.base, *end = at + text.count;
    list->kind = CAIRN_VERSIONS_LISTED;
    at = cairn_skip_blanks(at, end);
    if (at < end && *at == '*') {
        list->kind = CAIRN_VERSIONS_ANY;
        return cairn_skip_blanks(at + 1, end) == end ? NULL : "nothing may follow *";
    }
    for (bool is_empty = true;; is_empty = false) {
        cairn_bytes_t tag;
        bool is_weak;
        uint64_t version;
        at = skip_empty(at, end);
        if (at == end && !is_empty)
            return NULL;
        if (!take_tag(&at, end, &tag, &is_weak))
            return "an ETag is a version in double quotes, \"17\"";
        if ((!is_weak || weak_counts) && cairn_conditions_parse_etag(tag, &version)) {
            if (list->count == CAIRN_VERSIONS_MAX)
                return "too many ETags are listed";
            list->versions[list->count++] = version;
        }
        at = cairn_skip_blanks(at, end);
        if (at < end && *at != ',')
            return "ETags in a list are separated by commas";
    }
}

bool cairn_conditions_parse_date(cairn_bytes_t text, uint64_t *seconds)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT", /* IMF-fixdate, the one that is sent today */
        "%A, %d-%b-%y %H:%M:%S GMT", /* RFC 850 */
        "%a %b %e %H:%M:%S %Y",      /* asctime */
    };
    char copy[64];
    if (text.count >= sizeof(copy))
        return false;
    memcpy(copy, text.base, text.count);
    copy[text.count] = '\0';
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); ++i) {
        struct tm tm = {.tm_mday = 1};
        const char *end = strptime(copy, forms[i], &tm);
        if (end == NULL || *end != '\0')
            continue;
        time_t t = timegm(&tm);
        *seconds = t > 0 ? (uint64_t)t : 0;
        return true;
    }
    return false;
}

const char *cairn_conditions_parse(const cairn_condition_texts_t *texts,
                                   cairn_conditions_t *conditions)
{
    const char *fault = NULL;
    conditions->if_match = (cairn_version_list_t){.kind = CAIRN_VERSIONS_NOT_ASKED};
    conditions->if_none_match = (cairn_version_list_t){.kind = CAIRN_VERSIONS_NOT_ASKED};
    conditions->has_modified_since = conditions->has_unmodified_since = false;
    if (texts->if_match.base != NULL)
        fault = parse_list(texts->if_match, false, &conditions->if_match);
    if (fault == NULL && texts->if_none_match.base != NULL)
        fault = parse_list(texts->if_none_match, true, &conditions->if_none_match);
    /* a date counts only where its ETag sibling was not sent (RFC 9110, 13.2.2) */
    if (texts->if_unmodified_since.base != NULL && texts->if_match.base == NULL)
        conditions->has_unmodified_since =
            cairn_conditions_parse_date(texts->if_unmodified_since, &conditions->unmodified_since);
    if (texts->if_modified_since.base != NULL && texts->if_none_match.base == NULL)
        conditions->has_modified_since =
            cairn_conditions_parse_date(texts->if_modified_since, &conditions->modified_since);
    return fault;
}

cairn_condition_result_t cairn_conditions_check_read(const cairn_conditions_t *conditions,
                                                     uint64_t version, uint64_t written_ms)
{
    cairn_current_t current = {.exists = true, .version = version, .written_ms = written_ms};
    cairn_conditions_t asks_match = *conditions;
    asks_match.if_none_match.kind = CAIRN_VERSIONS_NOT_ASKED;
    if (!cairn_conditions_hold(&asks_match, &current))
        return CAIRN_CONDITION_FAILED;
    if (!cairn_conditions_hold(conditions, &current))
        return CAIRN_CONDITION_NOT_MODIFIED;
    if (conditions->has_modified_since && written_ms / 1000 <= conditions->modified_since)
        return CAIRN_CONDITION_NOT_MODIFIED;
    return CAIRN_CONDITION_PASSED;
}

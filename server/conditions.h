/*
 * server/conditions.h - what If-Match and its kin ask for (RFC 9110, section 13).
 *
 * An ETag here is the version of a write, so a condition is a list of versions. What a write's
 * conditions come to is decided by the writer; those of a read are decided here.
 */
#ifndef CAIRN_SERVER_CONDITIONS_H
#define CAIRN_SERVER_CONDITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/store.h"

/** the header values of a request; a base of NULL: not sent */
typedef struct st_cairn_condition_texts_t {
    cairn_bytes_t if_match;
    cairn_bytes_t if_none_match;
    cairn_bytes_t if_modified_since;
    cairn_bytes_t if_unmodified_since;
} cairn_condition_texts_t;

/**
 * Reads the headers. NULL, or what is wrong with them as a text for a person.
 *
 * A weak or foreign ETag is a good one that matches no version; a date that is none is ignored, as
 * the RFC wants it.
 */
const char *cairn_conditions_parse(const cairn_condition_texts_t *texts,
                                   cairn_conditions_t *conditions);

typedef enum en_cairn_condition_result_t {
    CAIRN_CONDITION_PASSED,
    CAIRN_CONDITION_NOT_MODIFIED, /* 304 */
    CAIRN_CONDITION_FAILED        /* 412 */
} cairn_condition_result_t;

/** What the conditions of a GET or HEAD come to for a value that is there. */
cairn_condition_result_t cairn_conditions_check_read(const cairn_conditions_t *conditions,
                                                     uint64_t version, uint64_t written_ms);

/** Reads an HTTP date in any of the three forms of RFC 9110, 5.6.7; false if it is none. */
bool cairn_conditions_parse_date(cairn_bytes_t text, uint64_t *seconds);

/** Reads a strong ETag of ours, `"17"`, and nothing else. */
bool cairn_conditions_parse_etag(cairn_bytes_t text, uint64_t *version);

#endif

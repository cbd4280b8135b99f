/*
 * What conditional headers and ranges ask for: the texts, and what they come to.
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/conditions.h"
#include "server/range.h"

#define MOMENT UINT64_C(784111777) /* Sun, 06 Nov 1994 08:49:37 GMT, the RFC's example */
#define IMF "Sun, 06 Nov 1994 08:49:37 GMT"

/* a text with nothing readable behind it, so that a sanitizer sees a step too far */
static cairn_bytes_t exact(const char *text)
{
    static char *copies[4]; /* as many as one request has */
    static size_t next;
    size_t count = strlen(text), i = next++ % 4;
    free(copies[i]);
    copies[i] = malloc(count);
    CU_ASSERT_PTR_NOT_NULL_FATAL(copies[i]);
    memcpy(copies[i], text, count);
    return (cairn_bytes_t){copies[i], count};
}

static cairn_bytes_t sent(const char *text)
{
    return text != NULL ? exact(text) : (cairn_bytes_t){NULL, 0};
}

static const char *parse(const char *if_match, const char *if_none_match, const char *modified,
                         const char *unmodified, cairn_conditions_t *conditions)
{
    cairn_condition_texts_t texts = {.if_match = sent(if_match),
                                     .if_none_match = sent(if_none_match),
                                     .if_modified_since = sent(modified),
                                     .if_unmodified_since = sent(unmodified)};
    memset(conditions, 0xa5, sizeof(*conditions)); /* it comes from a pool: nothing is zero yet */
    return cairn_conditions_parse(&texts, conditions);
}

/* whether the text is a good If-Match of exactly these versions */
static bool lists(const char *text, size_t count, const uint64_t *versions)
{
    cairn_conditions_t conditions;
    const char *fault = parse(text, NULL, NULL, NULL, &conditions);
    const cairn_version_list_t *list = &conditions.if_match;
    bool is_right = fault == NULL && list->kind == CAIRN_VERSIONS_LISTED && list->count == count;
    for (size_t i = 0; is_right && i < count; ++i)
        is_right = list->versions[i] == versions[i];
    if (!is_right)
        fprintf(stderr, "\n    %s: %s", text, fault != NULL ? fault : "other versions");
    return is_right;
}

static bool is_faulty(const char *text)
{
    cairn_conditions_t conditions;
    const char *match = parse(text, NULL, NULL, NULL, &conditions);
    const char *none = parse(NULL, text, NULL, NULL, &conditions);
    if (match == NULL || none == NULL)
        fprintf(stderr, "\n    %s: taken", text);
    return match != NULL && none != NULL && match[0] != '\0';
}

/* ---------------------------------------------------------------- ETags */

static void etags_are_versions(void)
{
    static const struct {
        const char *text;
        uint64_t version;
    } good[] = {{"\"1\"", 1},
                {"\"17\"", 17},
                {"\"9223372036854775808\"", UINT64_C(9223372036854775808)},
                {"\"18446744073709551615\"", UINT64_MAX}};
    static const char *const bad[] = {"",
                                      "\"",
                                      "\"\"",
                                      "17",
                                      "\"17",
                                      "17\"",
                                      "\"0\"",
                                      "\"017\"",
                                      "\"+17\"",
                                      "\"-1\"",
                                      "\" 17\"",
                                      "\"17 \"",
                                      "\"17a\"",
                                      "W/\"17\"",
                                      "'17'",
                                      "\"17\" ",
                                      "\"1\"\"7\"",
                                      "\"0x11\"",
                                      "\"18446744073709551616\"",
                                      "\"99999999999999999999\"",
                                      "\"184467440737095516150\""};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); ++i) {
        uint64_t version = 0;
        CU_ASSERT(cairn_conditions_parse_etag(exact(good[i].text), &version));
        CU_ASSERT_EQUAL(version, good[i].version);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        uint64_t version;
        CU_ASSERT_FALSE(cairn_conditions_parse_etag(exact(bad[i]), &version));
    }
}

static void lists_are_read(void)
{
    static const uint64_t versions[] = {17, 18, 19};
    CU_ASSERT(lists("\"17\"", 1, versions));
    CU_ASSERT(lists(" \t\"17\"\t ", 1, versions));
    CU_ASSERT(lists("\"17\",\"18\"", 2, versions));
    CU_ASSERT(lists("\"17\" , \"18\",\t\"19\"", 3, versions));
    /* weak ones and those of other servers match nothing, and do no harm */
    CU_ASSERT(lists("\"17\", W/\"4\", \"18\"", 2, versions));
    CU_ASSERT(lists("W/\"17\"", 0, versions));
    CU_ASSERT(lists("\"\"", 0, versions));
    CU_ASSERT(lists("\"abc,def\", \"17\"", 1, versions));
    CU_ASSERT(lists("\"*\"", 0, versions));
    CU_ASSERT(lists("\"99999999999999999999\", \"17\"", 1, versions));
    CU_ASSERT(lists("\"017\"", 0, versions));
}

static void empty_elements_of_a_list_are_ignored(void)
{
    /* RFC 9110, 5.6.1.2: a recipient must take them */
    static const uint64_t versions[] = {17, 18};
    CU_ASSERT(lists("\"17\",", 1, versions));
    CU_ASSERT(lists(",\"17\"", 1, versions));
    CU_ASSERT(lists(" , ,\"17\" ,, \"18\" , ", 2, versions));
    CU_ASSERT(is_faulty(","));
    CU_ASSERT(is_faulty(" , , "));
}

static void a_star_stands_alone(void)
{
    cairn_conditions_t conditions;
    CU_ASSERT_PTR_NULL(parse("*", " *\t", NULL, NULL, &conditions));
    CU_ASSERT_EQUAL(conditions.if_match.kind, CAIRN_VERSIONS_ANY);
    CU_ASSERT_EQUAL(conditions.if_none_match.kind, CAIRN_VERSIONS_ANY);
    CU_ASSERT(is_faulty("**"));
    CU_ASSERT(is_faulty("*, \"17\""));
    CU_ASSERT(is_faulty("\"17\", *"));
}

static void malformed_lists_are_said_to_be(void)
{
    static const char *const bad[] = {
        "",         " ",          "17",      "\"17", "17\"",      "\"17\" \"18\"", "\"17\"\"18\"",
        "w/\"17\"", "W/17",       "W/",      "W",    "W /\"17\"", "\"17\";",       "\"17\", x",
        "'17'",     "\"17\", \"", "*\"17\"", "W/*"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i)
        CU_ASSERT(is_faulty(bad[i]));
}

static void as_many_etags_as_there_is_room_for(void)
{
    char text[CAIRN_VERSIONS_MAX * 8 + 64] = "\"foreign\"";
    uint64_t versions[CAIRN_VERSIONS_MAX];
    for (size_t i = 0; i < CAIRN_VERSIONS_MAX; ++i) {
        versions[i] = 100 + i;
        sprintf(text + strlen(text), ", \"%zu\"", 100 + i);
    }
    CU_ASSERT(lists(text, CAIRN_VERSIONS_MAX, versions));
    strcat(text, ", \"999\"");
    CU_ASSERT(is_faulty(text)); /* not a list with its end cut off */
}

static void weak_etags_count_in_if_none_match_alone(void)
{
    cairn_conditions_t conditions;
    CU_ASSERT_PTR_NULL(parse("W/\"17\"", "W/\"17\"", NULL, NULL, &conditions));
    CU_ASSERT_EQUAL(conditions.if_match.count, 0);
    CU_ASSERT_EQUAL_FATAL(conditions.if_none_match.count, 1);
    CU_ASSERT_EQUAL(conditions.if_none_match.versions[0], 17);
}

/* ---------------------------------------------------------------- dates */

static void dates_in_three_forms(void)
{
    static const char *const good[] = {IMF, "Sunday, 06-Nov-94 08:49:37 GMT",
                                       "Sun Nov  6 08:49:37 1994"};
    static const char *const bad[] = {
        "",
        "784111777",
        "yesterday",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT+1",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        (IMF ", " IMF),
        ("Sun, 06 Nov 1994 08:49:37 GMT                                "
         "                                                            ")};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); ++i) {
        uint64_t seconds = 0;
        CU_ASSERT(cairn_conditions_parse_date(exact(good[i]), &seconds));
        CU_ASSERT_EQUAL(seconds, MOMENT);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        uint64_t seconds;
        CU_ASSERT_FALSE(cairn_conditions_parse_date(exact(bad[i]), &seconds));
    }
    uint64_t seconds = 1;
    CU_ASSERT(cairn_conditions_parse_date(exact("Wed, 31 Dec 1969 23:59:59 GMT"), &seconds));
    CU_ASSERT_EQUAL(seconds, 0); /* before everything, not far in the future */
    CU_ASSERT(cairn_conditions_parse_date(exact("Fri, 31 Dec 9999 23:59:59 GMT"), &seconds));
    CU_ASSERT_EQUAL(seconds, UINT64_C(253402300799));
}

static void a_date_that_is_none_is_ignored(void)
{
    cairn_conditions_t conditions;
    CU_ASSERT_PTR_NULL(parse(NULL, NULL, "tomorrow", "tomorrow", &conditions));
    CU_ASSERT_FALSE(conditions.has_modified_since);
    CU_ASSERT_FALSE(conditions.has_unmodified_since);
    CU_ASSERT_PTR_NULL(parse(NULL, NULL, IMF, IMF, &conditions));
    CU_ASSERT(conditions.has_modified_since && conditions.modified_since == MOMENT);
    CU_ASSERT(conditions.has_unmodified_since && conditions.unmodified_since == MOMENT);
}

static void nothing_sent_asks_for_nothing(void)
{
    cairn_conditions_t conditions;
    cairn_current_t none = {.exists = false}, some = {.exists = true, .version = 1};
    CU_ASSERT_PTR_NULL(parse(NULL, NULL, NULL, NULL, &conditions));
    CU_ASSERT(cairn_conditions_hold(&conditions, &none));
    CU_ASSERT(cairn_conditions_hold(&conditions, &some));
    CU_ASSERT_EQUAL(cairn_conditions_check_read(&conditions, 1, 0), CAIRN_CONDITION_PASSED);
}

/* ---------------------------------------------------------------- decisions */

/* what a read of version 17, written half a second after MOMENT, comes to */
static cairn_condition_result_t read_of_17(const char *if_match, const char *if_none_match,
                                           const char *modified, const char *unmodified)
{
    cairn_conditions_t conditions;
    CU_ASSERT_PTR_NULL_FATAL(parse(if_match, if_none_match, modified, unmodified, &conditions));
    return cairn_conditions_check_read(&conditions, 17, MOMENT * 1000 + 500);
}

#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"

static void reads_one_condition(void)
{
    CU_ASSERT_EQUAL(read_of_17("\"17\"", NULL, NULL, NULL), CAIRN_CONDITION_PASSED);
    CU_ASSERT_EQUAL(read_of_17("\"3\", \"17\"", NULL, NULL, NULL), CAIRN_CONDITION_PASSED);
    CU_ASSERT_EQUAL(read_of_17("*", NULL, NULL, NULL), CAIRN_CONDITION_PASSED);
    CU_ASSERT_EQUAL(read_of_17("\"16\"", NULL, NULL, NULL), CAIRN_CONDITION_FAILED);
    CU_ASSERT_EQUAL(read_of_17("W/\"17\"", NULL, NULL, NULL), CAIRN_CONDITION_FAILED);
    CU_ASSERT_EQUAL(read_of_17("\"seventeen\"", NULL, NULL, NULL), CAIRN_CONDITION_FAILED);

    CU_ASSERT_EQUAL(read_of_17(NULL, "\"17\"", NULL, NULL), CAIRN_CONDITION_NOT_MODIFIED);
    CU_ASSERT_EQUAL(read_of_17(NULL, "W/\"17\"", NULL, NULL), CAIRN_CONDITION_NOT_MODIFIED);
    CU_ASSERT_EQUAL(read_of_17(NULL, "*", NULL, NULL), CAIRN_CONDITION_NOT_MODIFIED);
    CU_ASSERT_EQUAL(read_of_17(NULL, "\"16\", \"18\"", NULL, NULL), CAIRN_CONDITION_PASSED);

    /* Last-Modified has no fractions, so a value of that very second is not newer */
    CU_ASSERT_EQUAL(read_of_17(NULL, NULL, IMF, NULL), CAIRN_CONDITION_NOT_MODIFIED);
    CU_ASSERT_EQUAL(read_of_17(NULL, NULL, BEFORE, NULL), CAIRN_CONDITION_PASSED);
    CU_ASSERT_EQUAL(read_of_17(NULL, NULL, NULL, IMF), CAIRN_CONDITION_PASSED);
    CU_ASSERT_EQUAL(read_of_17(NULL, NULL, NULL, BEFORE), CAIRN_CONDITION_FAILED);
}

static void reads_in_the_order_of_the_rfc(void)
{
    /* 412 before 304 */
    CU_ASSERT_EQUAL(read_of_17("\"16\"", "\"17\"", NULL, NULL), CAIRN_CONDITION_FAILED);
    CU_ASSERT_EQUAL(read_of_17("\"17\"", "\"17\"", NULL, NULL), CAIRN_CONDITION_NOT_MODIFIED);
    CU_ASSERT_EQUAL(read_of_17(NULL, "\"17\"", NULL, BEFORE), CAIRN_CONDITION_FAILED);
    CU_ASSERT_EQUAL(read_of_17(NULL, NULL, IMF, BEFORE), CAIRN_CONDITION_FAILED);
    CU_ASSERT_EQUAL(read_of_17("\"17\"", NULL, IMF, NULL), CAIRN_CONDITION_NOT_MODIFIED);
    /* a date does not count beside its ETag, whichever way it would go */
    CU_ASSERT_EQUAL(read_of_17("\"17\"", NULL, NULL, BEFORE), CAIRN_CONDITION_PASSED);
    CU_ASSERT_EQUAL(read_of_17("\"16\"", NULL, NULL, IMF), CAIRN_CONDITION_FAILED);
    CU_ASSERT_EQUAL(read_of_17(NULL, "\"16\"", IMF, NULL), CAIRN_CONDITION_PASSED);
    CU_ASSERT_EQUAL(read_of_17(NULL, "\"17\"", BEFORE, NULL), CAIRN_CONDITION_NOT_MODIFIED);
}

static bool may_write(const char *if_match, const char *if_none_match, const char *unmodified,
                      bool exists)
{
    cairn_conditions_t conditions;
    /* what is not there has no version, whatever is left in the struct */
    cairn_current_t current = {.exists = exists, .version = 17, .written_ms = MOMENT * 1000 + 999};
    CU_ASSERT_PTR_NULL_FATAL(parse(if_match, if_none_match, IMF, unmodified, &conditions));
    return cairn_conditions_hold(&conditions, &current);
}

static void writes(void)
{
    CU_ASSERT(may_write("\"17\"", NULL, NULL, true));
    CU_ASSERT(may_write("*", NULL, NULL, true));
    CU_ASSERT_FALSE(may_write("\"18\"", NULL, NULL, true));
    CU_ASSERT_FALSE(may_write("\"17\"", NULL, NULL, false));
    CU_ASSERT_FALSE(may_write("*", NULL, NULL, false));
    CU_ASSERT(may_write(NULL, "*", NULL, false));
    CU_ASSERT(may_write(NULL, "\"17\"", NULL, false));
    CU_ASSERT_FALSE(may_write(NULL, "*", NULL, true));
    CU_ASSERT_FALSE(may_write(NULL, "\"17\"", NULL, true));
    CU_ASSERT(may_write(NULL, "\"18\"", NULL, true));
    CU_ASSERT(may_write(NULL, NULL, IMF, true));
    CU_ASSERT_FALSE(may_write(NULL, NULL, BEFORE, true));
    CU_ASSERT(may_write(NULL, NULL, BEFORE, false));
    /* both must hold */
    CU_ASSERT(may_write("*", "\"18\"", NULL, true));
    CU_ASSERT_FALSE(may_write("*", "\"17\"", NULL, true));
    CU_ASSERT_FALSE(may_write("*", "*", NULL, true));
    CU_ASSERT_FALSE(may_write("*", "*", NULL, false));
}

/* ---------------------------------------------------------------- ranges */

static bool is_part(const char *text, uint64_t size, uint64_t first, uint64_t last)
{
    uint64_t f = 0, l = 0;
    cairn_range_result_t result = cairn_range_parse(exact(text), size, &f, &l);
    if (result != CAIRN_RANGE_PART || f != first || l != last)
        fprintf(stderr, "\n    %s: %d, %zu to %zu", text, result, (size_t)f, (size_t)l);
    return result == CAIRN_RANGE_PART && f == first && l == last;
}

static cairn_range_result_t range(const char *text, uint64_t size)
{
    uint64_t first, last;
    return cairn_range_parse(exact(text), size, &first, &last);
}

static void ranges_of_every_form(void)
{
    CU_ASSERT(is_part("bytes=0-9", 100, 0, 9));
    CU_ASSERT(is_part("bytes=0-0", 100, 0, 0));
    CU_ASSERT(is_part("bytes=99-99", 100, 99, 99));
    CU_ASSERT(is_part("bytes=0-99", 100, 0, 99));
    CU_ASSERT(is_part("bytes=10-", 100, 10, 99));
    CU_ASSERT(is_part("bytes=0-", 1, 0, 0));
    CU_ASSERT(is_part("bytes=-1", 100, 99, 99));
    CU_ASSERT(is_part("bytes=-100", 100, 0, 99));
    CU_ASSERT(is_part("Bytes=007-0009", 100, 7, 9)); /* units are compared without case */
    CU_ASSERT(is_part("bytes= 1-2 ", 100, 1, 2));
}

static void ranges_beyond_the_end(void)
{
    CU_ASSERT(is_part("bytes=0-100", 100, 0, 99));
    CU_ASSERT(is_part("bytes=99-18446744073709551615", 100, 99, 99));
    CU_ASSERT(is_part("bytes=99-99999999999999999999999999", 100, 99, 99));
    CU_ASSERT(is_part("bytes=-101", 100, 0, 99));
    CU_ASSERT(is_part("bytes=-99999999999999999999999999", 100, 0, 99));
    CU_ASSERT_EQUAL(range("bytes=100-", 100), CAIRN_RANGE_UNSATISFIABLE);
    CU_ASSERT_EQUAL(range("bytes=100-100", 100), CAIRN_RANGE_UNSATISFIABLE);
    CU_ASSERT_EQUAL(range("bytes=18446744073709551615-", 100), CAIRN_RANGE_UNSATISFIABLE);
    CU_ASSERT_EQUAL(range("bytes=18446744073709551616-", 100), CAIRN_RANGE_UNSATISFIABLE);
    CU_ASSERT_EQUAL(range("bytes=18446744073709551617-99999999999999999999", 100),
                    CAIRN_RANGE_UNSATISFIABLE);
    CU_ASSERT_EQUAL(range("bytes=-0", 100), CAIRN_RANGE_UNSATISFIABLE);
}

static void ranges_of_an_empty_value(void)
{
    CU_ASSERT_EQUAL(range("bytes=0-", 0), CAIRN_RANGE_UNSATISFIABLE);
    CU_ASSERT_EQUAL(range("bytes=0-0", 0), CAIRN_RANGE_UNSATISFIABLE);
    CU_ASSERT_EQUAL(range("bytes=-1", 0), CAIRN_RANGE_UNSATISFIABLE);
    CU_ASSERT_EQUAL(range("bytes=-0", 0), CAIRN_RANGE_UNSATISFIABLE);
    CU_ASSERT_EQUAL(range("nonsense", 0), CAIRN_RANGE_WHOLE);
}

static void several_ranges_and_nonsense_mean_the_whole(void)
{
    static const char *const whole[] = {"",
                                        "bytes",
                                        "bytes=",
                                        "bytes= ",
                                        "bytes=-",
                                        "bytes=--1",
                                        "bytes=-1-2",
                                        "bytes=-+1",
                                        "bytes=1",
                                        "bytes=1-2-3",
                                        "bytes=1--2",
                                        "bytes=2-1",
                                        "bytes=99999999999999999999-5",
                                        "bytes=+1-2",
                                        "bytes=1 -2",
                                        "bytes=1- 2",
                                        "bytes=0x1-2",
                                        "bytes=1-2x",
                                        "bytes=0-0,2-3",
                                        "bytes=0-0, 200-",
                                        "bytes=0-,",
                                        "bytes=-1,-2",
                                        "bytes =0-1",
                                        "items=0-1",
                                        "bytes:0-1",
                                        "0-1"};
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); ++i) {
        cairn_range_result_t result = range(whole[i], 100);
        if (result != CAIRN_RANGE_WHOLE)
            fprintf(stderr, "\n    %s: %d", whole[i], result);
        CU_ASSERT_EQUAL(result, CAIRN_RANGE_WHOLE);
    }
}

void suite_conditions(void)
{
    CU_pSuite s = CU_add_suite("conditions: ETags, dates and ranges as texts", NULL, NULL);
    CU_add_test(s, "an ETag is a version in quotes", etags_are_versions);
    CU_add_test(s, "lists of ETags are read", lists_are_read);
    CU_add_test(s, "empty elements of a list are ignored", empty_elements_of_a_list_are_ignored);
    CU_add_test(s, "a star stands alone", a_star_stands_alone);
    CU_add_test(s, "malformed lists are said to be", malformed_lists_are_said_to_be);
    CU_add_test(s, "a list is taken whole or refused", as_many_etags_as_there_is_room_for);
    CU_add_test(s, "weak ETags count in If-None-Match alone",
                weak_etags_count_in_if_none_match_alone);
    CU_add_test(s, "dates come in three forms", dates_in_three_forms);
    CU_add_test(s, "a date that is none is ignored", a_date_that_is_none_is_ignored);
    CU_add_test(s, "nothing sent asks for nothing", nothing_sent_asks_for_nothing);
    CU_add_test(s, "a read under one condition", reads_one_condition);
    CU_add_test(s, "a read under several, in the RFC's order", reads_in_the_order_of_the_rfc);
    CU_add_test(s, "a write needs all its conditions", writes);
    CU_add_test(s, "a range of every form", ranges_of_every_form);
    CU_add_test(s, "a range beyond the end, and beyond 64 bits", ranges_beyond_the_end);
    CU_add_test(s, "a range of an empty value", ranges_of_an_empty_value);
    CU_add_test(s, "several ranges and nonsense mean the whole",
                several_ranges_and_nonsense_mean_the_whole);
}

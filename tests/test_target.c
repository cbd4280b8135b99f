/*
 * Is what a request target says taken as it is said, and nothing else?
 */
#include "server/target.h"

#include <CUnit/CUnit.h>

#include <string.h>

#include "tests/suites.h"

/* a decoding with everything that came of it */
typedef struct st_decoded_t {
    cairn_decode_t result;
    char bytes[1024];
    size_t count;
    size_t at;
} decoded_t;

static decoded_t decode_in(const char *text, size_t count, bool plus_is_space, size_t room)
{
    decoded_t decoded = {.count = 9999, .at = 9999};
    memset(decoded.bytes, '#', sizeof(decoded.bytes));
    decoded.result = cairn_target_decode(text, count, plus_is_space, decoded.bytes, room,
                                         &decoded.count, &decoded.at);
    /* whatever happened, nothing was written behind the room */
    for (size_t i = room; i < sizeof(decoded.bytes); ++i)
        CU_ASSERT_EQUAL(decoded.bytes[i], '#');
    return decoded;
}

static decoded_t decode(const char *text)
{
    return decode_in(text, strlen(text), false, 1000);
}

static bool decodes_to(const char *text, const char *expected, size_t expected_count)
{
    decoded_t decoded = decode(text);
    return decoded.result == CAIRN_DECODE_OK && decoded.count == expected_count &&
           memcmp(decoded.bytes, expected, expected_count) == 0;
}

static void all_bytes(void)
{
    static const char *const digits[] = {"0123456789abcdef", "0123456789ABCDEF"};
    for (size_t letters = 0; letters != 2; ++letters) {
        char text[3 * 256];
        for (size_t i = 0; i != 256; ++i) {
            text[3 * i] = '%';
            text[3 * i + 1] = digits[letters][i >> 4];
            text[3 * i + 2] = digits[letters][i & 15];
        }
        decoded_t decoded = decode_in(text, sizeof(text), false, 256);
        CU_ASSERT_EQUAL_FATAL(decoded.result, CAIRN_DECODE_OK);
        CU_ASSERT_EQUAL_FATAL(decoded.count, 256);
        for (size_t i = 0; i != 256; ++i)
            CU_ASSERT_EQUAL((unsigned char)decoded.bytes[i], i);
    }
}

static void unescaped_bytes(void)
{
    for (int c = 0; c != 256; ++c) {
        char byte = (char)c;
        if (byte == '%')
            continue;
        decoded_t decoded = decode_in(&byte, 1, false, 1);
        CU_ASSERT_EQUAL(decoded.result, CAIRN_DECODE_OK);
        CU_ASSERT(decoded.count == 1 && decoded.bytes[0] == byte);
    }
    CU_ASSERT(decodes_to("a//b/../x?y#z", "a//b/../x?y#z", 13));
    CU_ASSERT(decodes_to("", "", 0));
}

static void decoded_once(void)
{
    CU_ASSERT(decodes_to("%2541", "%41", 3));
    CU_ASSERT(decodes_to("a%2Fb", "a/b", 3));
    CU_ASSERT(decodes_to("a%00b", "a\0b", 3));
    CU_ASSERT(decodes_to("%25%25", "%%", 2));
}

static void plus(void)
{
    decoded_t decoded = decode_in("a+b%2B+", 7, true, 100);
    CU_ASSERT(decoded.result == CAIRN_DECODE_OK && decoded.count == 5);
    CU_ASSERT(memcmp(decoded.bytes, "a b+ ", 5) == 0);
    CU_ASSERT(decodes_to("a+b%2B+", "a+b++", 5));
}

static void bad_escapes(void)
{
    static const char *const bad[] = {"%",
                                      "%4",
                                      "%g0",
                                      "%0g",
                                      "%%41",
                                      "% 1",
                                      "%1 ",
                                      "%-1",
                                      "%+1",
                                      "%0x",
                                      "%/0",
                                      "%:0",
                                      "%@0",
                                      "%G0",
                                      "%`0",
                                      ("%\x10"
                                       "0")};
    static const size_t starts[] = {0, 1, 4}; /* in "x%41", before and behind the good escape */
    for (size_t i = 0; i != sizeof(bad) / sizeof(bad[0]); ++i)
        for (size_t j = 0; j != sizeof(starts) / sizeof(starts[0]); ++j) {
            char text[16] = "x%41";
            strcpy(text + starts[j], bad[i]);
            decoded_t decoded = decode(text);
            CU_ASSERT_EQUAL(decoded.result, CAIRN_DECODE_BAD_ESCAPE);
            CU_ASSERT_EQUAL(decoded.at, starts[j]);
        }
}

static void escape_cut_by_the_end(void)
{
    /* the digits stand there, but behind the end that was given */
    CU_ASSERT_EQUAL(decode_in("%41", 1, false, 10).result, CAIRN_DECODE_BAD_ESCAPE);
    CU_ASSERT_EQUAL(decode_in("%41", 2, false, 10).result, CAIRN_DECODE_BAD_ESCAPE);
    CU_ASSERT_EQUAL(decode_in("%41", 3, false, 10).result, CAIRN_DECODE_OK);
}

static void too_long(void)
{
    CU_ASSERT_EQUAL(decode_in("abcd", 4, false, 4).result, CAIRN_DECODE_OK);
    CU_ASSERT_EQUAL(decode_in("abcde", 5, false, 4).result, CAIRN_DECODE_TOO_LONG);
    CU_ASSERT_EQUAL(decode_in("%61%62%63%64", 12, false, 4).result, CAIRN_DECODE_OK);
    CU_ASSERT_EQUAL(decode_in("%61%62%63%64%65", 15, false, 4).result, CAIRN_DECODE_TOO_LONG);
    CU_ASSERT_EQUAL(decode_in("a", 1, false, 0).result, CAIRN_DECODE_TOO_LONG);
    CU_ASSERT_EQUAL(decode_in("", 0, false, 0).result, CAIRN_DECODE_OK);
}

/* "value" of a parameter, "-" if there is none */
static bool param_is(const char *query, const char *name, const char *expected)
{
    const char *value = NULL;
    size_t count = 0;
    if (!cairn_target_param(query, strlen(query), name, &value, &count))
        return strcmp(expected, "-") == 0;
    return count == strlen(expected) && memcmp(value, expected, count) == 0;
}

static void params(void)
{
    CU_ASSERT(param_is("key=foo&value=bar", "key", "foo"));
    CU_ASSERT(param_is("key=foo&value=bar", "value", "bar"));
    CU_ASSERT(param_is("value=bar&key=foo", "key", "foo"));
    CU_ASSERT(param_is("key=", "key", ""));
    CU_ASSERT(param_is("key=&value=", "key", ""));
    CU_ASSERT(param_is("key=a=b", "key", "a=b"));
    CU_ASSERT(param_is("key=%41+b", "key", "%41+b"));
    CU_ASSERT(param_is("key=1&key=2", "key", "1"));
    CU_ASSERT(param_is("&&key=1&&", "key", "1"));
    /* a name alone has an empty value, as in HTML forms */
    CU_ASSERT(param_is("key", "key", ""));
    CU_ASSERT(param_is("key&value=1", "key", ""));
    CU_ASSERT(param_is("value=1&key", "key", ""));
    CU_ASSERT(param_is("key&key=1", "key", ""));
}

static void no_params(void)
{
    CU_ASSERT(param_is("", "key", "-"));
    CU_ASSERT(param_is("&", "key", "-"));
    CU_ASSERT(param_is("keys=1", "key", "-"));
    CU_ASSERT(param_is("akey=1", "key", "-"));
    CU_ASSERT(param_is("KEY=1", "key", "-"));
    CU_ASSERT(param_is("a=key=1", "key", "-"));
    CU_ASSERT(param_is("ke", "key", "-"));
}

static void query_cut_by_its_end(void)
{
    const char *value;
    size_t count;
    CU_ASSERT_FALSE(cairn_target_param("key=1", 2, "key", &value, &count));
    CU_ASSERT_TRUE_FATAL(cairn_target_param("key=1", 3, "key", &value, &count));
    CU_ASSERT_EQUAL(count, 0);
    CU_ASSERT_FALSE(cairn_target_param(NULL, 0, "key", &value, &count));
    CU_ASSERT_TRUE_FATAL(cairn_target_param("key=12&", 5, "key", &value, &count));
    CU_ASSERT_EQUAL(count, 1);
}

void suite_target(void)
{
    CU_pSuite s = CU_add_suite("target: what a request target says", NULL, NULL);
    CU_add_test(s, "every byte travels as an escape, in either case", all_bytes);
    CU_add_test(s, "every byte but % travels as itself", unescaped_bytes);
    CU_add_test(s, "escapes are decoded once", decoded_once);
    CU_add_test(s, "+ is a space only where forms are meant", plus);
    CU_add_test(s, "a bad escape is found where it stands", bad_escapes);
    CU_add_test(s, "an escape may not reach behind the end", escape_cut_by_the_end);
    CU_add_test(s, "more bytes than there is room for are refused", too_long);
    CU_add_test(s, "a parameter is found, the first of its name", params);
    CU_add_test(s, "what only looks like a parameter is none", no_params);
    CU_add_test(s, "a query ends where its count says", query_cut_by_its_end);
}

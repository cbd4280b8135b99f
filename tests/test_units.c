/*
 * The small readers and printers under the config: sizes, times, addresses, and the words of
 * messages.
 */
#include "tests/suites.h"

#include <CUnit/CUnit.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "server/address.h"
#include "server/decimal.h"
#include "server/units.h"
#include "server/wording.h"
#include "tests/scratch.h"

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* ---- units ---- */

typedef cairn_units_result_t (*parse_fn)(const char *text, size_t text_bytes, uint64_t *number);

static uint64_t parsed(parse_fn parse, const char *text)
{
    uint64_t number = 424242;
    CU_ASSERT_EQUAL(parse(text, strlen(text), &number), CAIRN_UNITS_OK);
    return number;
}

static cairn_units_result_t rejected(parse_fn parse, const char *text)
{
    uint64_t number = 424242;
    cairn_units_result_t result = parse(text, strlen(text), &number);
    CU_ASSERT_EQUAL(number, 424242);
    return result;
}

static void sizes_are_read(void)
{
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "0"), 0);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "123"), 123);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "123B"), 123);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "1KiB"), 1024);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "1kiB"), 1024);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "2kB"), 2000);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "2KB"), 2000);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "64MiB"), 64 * MIB);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "10MB"), 10000000);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "2GiB"), 2 * GIB);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "3GB"), UINT64_C(3000000000));
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "1TiB"), 1024 * GIB);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "1TB"), UINT64_C(1000000000000));
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "18446744073709551615"), UINT64_MAX);
}

static void sizes_are_refused(void)
{
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, ""), CAIRN_UNITS_NO_NUMBER);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, "MiB"), CAIRN_UNITS_NO_NUMBER);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, "-1"), CAIRN_UNITS_NO_NUMBER);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, "+1"), CAIRN_UNITS_NO_NUMBER);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, " 1"), CAIRN_UNITS_NO_NUMBER);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, "1 MiB"), CAIRN_UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, "1MiB "), CAIRN_UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, "1mib"), CAIRN_UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, "1.5MiB"), CAIRN_UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, "0x10"), CAIRN_UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, "1ms"), CAIRN_UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, "18446744073709551616"), CAIRN_UNITS_TOO_BIG);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_bytes, "16777216TiB"), CAIRN_UNITS_TOO_BIG);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_bytes, "16777215TiB"), UINT64_MAX - 1024 * GIB + 1);
}

static void times_are_read_and_need_a_unit(void)
{
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_ms, "0ms"), 0);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_ms, "100ms"), 100);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_ms, "30s"), 30000);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_ms, "5m"), 300000);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_ms, "2h"), 7200000);
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_ms, "1d"), 86400000);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_ms, "100"), CAIRN_UNITS_NO_UNIT);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_ms, "0"), CAIRN_UNITS_NO_UNIT);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_ms, "1w"), CAIRN_UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_ms, "1M"), CAIRN_UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_ms, "1m30s"), CAIRN_UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_ms, "s"), CAIRN_UNITS_NO_NUMBER);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_ms, "213503982335d"), CAIRN_UNITS_TOO_BIG);
}

static void counts_are_whole_numbers(void)
{
    CU_ASSERT_EQUAL(parsed(cairn_units_parse_count, "16384"), 16384);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_count, "4k"), CAIRN_UNITS_BAD_UNIT);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_count, ""), CAIRN_UNITS_NO_NUMBER);
    CU_ASSERT_EQUAL(rejected(cairn_units_parse_count, "99999999999999999999"), CAIRN_UNITS_TOO_BIG);
}

static const char *printed(void (*print)(uint64_t, char *), uint64_t number)
{
    static char text[CAIRN_UNITS_TEXT_BYTES];
    print(number, text);
    return text;
}

static void printing_takes_the_largest_exact_unit(void)
{
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_bytes, 0), "0B");
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_bytes, 1), "1B");
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_bytes, 1000), "1000B");
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_bytes, 65536), "64KiB");
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_bytes, 64 * MIB - 16 * KIB), "65520KiB");
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_bytes, 4 * GIB), "4GiB");
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_bytes, UINT64_MAX), "18446744073709551615B");
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_ms, 0), "0ms");
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_ms, 1500), "1500ms");
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_ms, 60000), "1m");
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_ms, 90000), "90s");
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_ms, 86400000), "1d");
    CU_ASSERT_STRING_EQUAL(printed(cairn_units_print_count, 10000000), "10000000");
}

/* ---- addresses ---- */

static void check_address(const char *text, const char *host, unsigned port)
{
    cairn_address_t address;
    CU_ASSERT_PTR_NULL_FATAL(cairn_address_parse(text, &address));
    CU_ASSERT_TRUE(same(address.host, host));
    CU_ASSERT_EQUAL(address.port, port);
}

static void addresses_have_a_host_and_a_port(void)
{
    check_address("127.0.0.1:8080", "127.0.0.1", 8080);
    check_address("localhost:1", "localhost", 1);
    check_address("a-b.example:65535", "a-b.example", 65535);
    check_address(":80", "", 80);
    check_address(":0", "", 0);
    check_address("[::1]:8080", "::1", 8080);
    check_address("[::]:0", "::", 0);
    check_address("[fe80::1%eth0]:9", "fe80::1%eth0", 9);
}

static void other_addresses_are_refused(void)
{
    static const char *const wrong[] = {
        "",        "8080",          "localhost",    "localhost:",  "[::1]",   ":65536",
        ":-1",     ":http",         ": 80",         "300.1.1.1:1", "1.2.3:1", "::1:8080",
        "[::g]:1", "[127.0.0.1]:1", "[fe80::1%]:1", "[]:1",        "a b:1",   "*:80",
        "[::1:80", "::1]:80",       "http://a:80",  "a/b:80",      "a:80:90", "[:80",
    };
    cairn_address_t address;
    char name[CAIRN_ADDRESS_HOST_BYTES + sizeof(":80")];

    for (size_t i = 0; i != sizeof(wrong) / sizeof(wrong[0]); ++i) {
        if (cairn_address_parse(wrong[i], &address) == NULL)
            CU_ASSERT_TRUE(same(wrong[i], "an address that is refused"));
    }
    memset(name, 'a', CAIRN_ADDRESS_HOST_BYTES);
    strcpy(name + CAIRN_ADDRESS_HOST_BYTES, ":80");
    CU_ASSERT_PTR_NOT_NULL(cairn_address_parse(name, &address));
    CU_ASSERT_PTR_NULL(cairn_address_parse(name + 1, &address));
}

/* ---- numbers ---- */

static void is_written_as_printf_does(uint64_t number)
{
    char ours[CAIRN_DECIMAL_BYTES_MAX + 1], theirs[CAIRN_DECIMAL_BYTES_MAX + 1];
    size_t bytes = cairn_decimal_write(ours, number);
    ours[bytes] = '\0';
    sprintf(theirs, "%" PRIu64, number);
    CU_ASSERT_TRUE(same(ours, theirs));
}

/** around every number that has a digit, or a bit, more than the one before */
static void numbers_of_every_length_are_written(void)
{
    uint64_t power = 1;
    for (int digits = 1; digits <= CAIRN_DECIMAL_BYTES_MAX; ++digits, power *= 10)
        for (uint64_t near = 0; near != 3; ++near)
            is_written_as_printf_does(power - 1 + near);
    for (int bit = 0; bit != 64; ++bit)
        for (uint64_t near = 0; near != 3; ++near)
            is_written_as_printf_does(((uint64_t)1 << bit) - 1 + near);
    for (uint64_t number = 0; number != 10000; ++number)
        is_written_as_printf_does(number * number);
    is_written_as_printf_does(UINT64_MAX);
}

/* ---- messages ---- */

static void quotes_are_short_and_clean(void)
{
    char quoted[CAIRN_WORDING_QUOTE_BYTES], text[400];

    cairn_wording_quote("a\n\x1b[31m\x7f", quoted);
    CU_ASSERT_TRUE(same(quoted, "\"a\\x0a\\x1b[31m\\x7f\""));
    for (size_t shift = 0; shift != 4; ++shift) {
        /* letters of two bytes, begun at every place: none may be cut in half */
        memset(text, 'x', shift);
        for (size_t i = shift; i + 2 < sizeof(text); i += 2)
            memcpy(text + i, "\xc3\xa4", 3);
        cairn_wording_quote(text, quoted);
        size_t bytes = strlen(quoted);
        CU_ASSERT_TRUE(bytes > 80 && bytes < sizeof(quoted));
        CU_ASSERT_TRUE(same(quoted + bytes - 6, "\xc3\xa4...\""));
    }
    memset(text, '\xff', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    cairn_wording_quote(text, quoted);
    CU_ASSERT_TRUE(strlen(quoted) < sizeof(quoted));
}

static void distances_count_slips(void)
{
    CU_ASSERT_EQUAL(cairn_wording_distance("", ""), 0);
    CU_ASSERT_EQUAL(cairn_wording_distance("path", "path"), 0);
    CU_ASSERT_EQUAL(cairn_wording_distance("pth", "path"), 1);
    CU_ASSERT_EQUAL(cairn_wording_distance("kitten", "sitting"), 3);
    CU_ASSERT_EQUAL(cairn_wording_distance("", "abc"), 3);
}

void suite_units(void)
{
    CU_pSuite s = CU_add_suite("units", NULL, NULL);

    CU_add_test(s, "sizes are read with and without a unit", sizes_are_read);
    CU_add_test(s, "what is no size, or too big for 64 bits, is refused", sizes_are_refused);
    CU_add_test(s, "times are read, and a bare number is none", times_are_read_and_need_a_unit);
    CU_add_test(s, "counts are whole numbers", counts_are_whole_numbers);
    CU_add_test(s, "printing takes the largest exact unit", printing_takes_the_largest_exact_unit);
    CU_add_test(s, "addresses have a host and a port", addresses_have_a_host_and_a_port);
    CU_add_test(s, "other addresses are refused", other_addresses_are_refused);
    CU_add_test(s, "numbers of every length are written", numbers_of_every_length_are_written);
    CU_add_test(s, "quoted texts are short, and safe for a terminal", quotes_are_short_and_clean);
    CU_add_test(s, "the distance of two words counts slips", distances_count_slips);
}

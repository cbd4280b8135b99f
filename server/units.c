/*
 * Sizes, times and counts: a table of units each, one reader and one printer for both tables.
 */
#include "server/units.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef struct st_unit_t {
    const char *name;
    uint64_t factor;
    bool is_printed; /* printing uses this unit; the others are only understood */
} unit_t;

#define KIB ((uint64_t)1024)
#define SECOND_MS ((uint64_t)1000)

/* the printed ones from the largest down; the last one is the base and always fits */
static const unit_t size_units[] = {
    {"TiB", KIB *KIB *KIB *KIB, true},
    {"GiB", KIB *KIB *KIB, true},
    {"MiB", KIB *KIB, true},
    {"KiB", KIB, true},
    {"kiB", KIB, false},
    {"TB", UINT64_C(1000000000000), false},
    {"GB", UINT64_C(1000000000), false},
    {"MB", UINT64_C(1000000), false},
    {"KB", UINT64_C(1000), false},
    {"kB", UINT64_C(1000), false},
    {"B", 1, true},
    {NULL, 0, false},
};

static const unit_t time_units[] = {
    {"d", 24 * 60 * 60 * SECOND_MS, true},
    {"h", 60 * 60 * SECOND_MS, true},
    {"m", 60 * SECOND_MS, true},
    {"s", SECOND_MS, true},
    {"ms", 1, true},
    {NULL, 0, false},
};

/* Reads the digits at the front; `*digits` becomes their number. */
static cairn_units_result_t parse_number(const char *text, size_t text_bytes, uint64_t *number,
                                         size_t *digits)
{
    uint64_t sum = 0;
    size_t i;

    for (i = 0; i != text_bytes && text[i] >= '0' && text[i] <= '9'; ++i) {
        if (__builtin_mul_overflow(sum, (uint64_t)10, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(text[i] - '0'), &sum))
            return CAIRN_UNITS_TOO_BIG;
    }
    if (i == 0)
        return CAIRN_UNITS_NO_NUMBER;
    *number = sum;
    *digits = i;
    return CAIRN_UNITS_OK;
}

static const unit_t *find_unit(const unit_t *units, const char *name, size_t name_bytes)
{
    for (; units->name != NULL; ++units) {
        if (strlen(units->name) == name_bytes && memcmp(units->name, name, name_bytes) == 0)
            return units;
    }
    return NULL;
}

static cairn_units_result_t parse(const unit_t *units, const char *bare_unit, const char *text,
                                  size_t text_bytes, uint64_t *number)
{
    const unit_t *unit;
    uint64_t value;
    size_t digits;
    cairn_units_result_t result = parse_number(text, text_bytes, &value, &digits);

    if (result != CAIRN_UNITS_OK)
        return result;
    if (digits == text_bytes && bare_unit == NULL)
        return CAIRN_UNITS_NO_UNIT;
    if (digits == text_bytes)
        unit = find_unit(units, bare_unit, strlen(bare_unit));
    else
        unit = find_unit(units, text + digits, text_bytes - digits);
    if (unit == NULL)
        return CAIRN_UNITS_BAD_UNIT;
    if (__builtin_mul_overflow(value, unit->factor, &value))
        return CAIRN_UNITS_TOO_BIG;
    *number = value;
    return CAIRN_UNITS_OK;
}

/* Every unit divides zero, but "0ms" reads better than "0d": zero goes on to the last one. */
static void print(const unit_t *unit, uint64_t number, char text[CAIRN_UNITS_TEXT_BYTES])
{
    while (unit->factor != 1 && (number == 0 || !unit->is_printed || number % unit->factor != 0))
        ++unit;
    snprintf(text, CAIRN_UNITS_TEXT_BYTES, "%" PRIu64 "%s", number / unit->factor, unit->name);
}

cairn_units_result_t cairn_units_parse_bytes(const char *text, size_t text_bytes, uint64_t *bytes)
{
    return parse(size_units, "B", text, text_bytes, bytes);
}

cairn_units_result_t cairn_units_parse_ms(const char *text, size_t text_bytes, uint64_t *ms)
{
    return parse(time_units, NULL, text, text_bytes, ms);
}

cairn_units_result_t cairn_units_parse_count(const char *text, size_t text_bytes, uint64_t *count)
{
    uint64_t number;
    size_t digits;
    cairn_units_result_t result = parse_number(text, text_bytes, &number, &digits);

    if (result != CAIRN_UNITS_OK)
        return result;
    if (digits != text_bytes)
        return CAIRN_UNITS_BAD_UNIT;
    *count = number;
    return CAIRN_UNITS_OK;
}

void cairn_units_print_bytes(uint64_t bytes, char text[CAIRN_UNITS_TEXT_BYTES])
{
    print(size_units, bytes, text);
}

void cairn_units_print_ms(uint64_t ms, char text[CAIRN_UNITS_TEXT_BYTES])
{
    print(time_units, ms, text);
}

void cairn_units_print_count(uint64_t count, char text[CAIRN_UNITS_TEXT_BYTES])
{
    snprintf(text, CAIRN_UNITS_TEXT_BYTES, "%" PRIu64, count);
}

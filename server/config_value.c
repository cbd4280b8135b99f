/*
 * One option at a time: from text to field, and from number to text, by the option's type.
 */
#include "server/config_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "server/address.h"
#include "server/wording.h"

#define AUTO_TEXT "auto"

/* clang-format off */
const cairn_option_t cairn_options[CAIRN_OPTION_COUNT] = {
#define ROW(field, key, section, name, type, default_text, least, most, help) \
    [CAIRN_OPTION_##field] = {key, section, name, CAIRN_TYPE_##type, default_text, least, most, \
                              help, offsetof(cairn_config_t, field)},
#define TOP_ROW(field, section, name, ...) ROW(field, #name, "", #name, __VA_ARGS__)
#define SECTION_ROW(field, section, name, ...) \
    ROW(field, #section "." #name, #section, #name, __VA_ARGS__)
#define SECTION(section, rows) rows(SECTION_ROW)
    CAIRN_OPTIONS_TOP(TOP_ROW)
    CAIRN_SECTIONS(SECTION)
};
/* clang-format on */

static const char *const durability_words[] = {
#define WORD(name, word) [CAIRN_DURABILITY_##name] = word,
    CAIRN_DURABILITIES(WORD)
#undef WORD
        NULL};

static const char *const access_log_words[] = {
#define WORD(name, word) [CAIRN_ACCESS_LOG_##name] = word,
    CAIRN_ACCESS_LOGS(WORD)
#undef WORD
        NULL};

static const char *const log_level_words[] = {
#define WORD(name, word) [CAIRN_LOG_##name] = word,
    CAIRN_LOG_LEVELS(WORD)
#undef WORD
        NULL};

static const char *const yes_no_words[] = {
#define WORD(name, word) [CAIRN_##name] = word,
    CAIRN_YES_NOS(WORD)
#undef WORD
        NULL};

/* The words that an option may be, ended by NULL; NULL if it is none of words. */
static const char *const *words_of(const cairn_option_t *option)
{
    return option->type == CAIRN_TYPE_DURABILITY   ? durability_words
           : option->type == CAIRN_TYPE_ACCESS_LOG ? access_log_words
           : option->type == CAIRN_TYPE_LOG_LEVEL  ? log_level_words
           : option->type == CAIRN_TYPE_YES_NO     ? yes_no_words
                                                   : NULL;
}

bool cairn_option_is_text(const cairn_option_t *option)
{
    return option->type == CAIRN_TYPE_ADDRESS || option->type == CAIRN_TYPE_PATH ||
           option->type == CAIRN_TYPE_FILE_PATH || option->type == CAIRN_TYPE_OUTPUT;
}

static void *field_of(cairn_config_t *config, const cairn_option_t *option)
{
    return (char *)config + option->offset;
}

void cairn_option_print_number(const cairn_option_t *option, uint64_t number,
                               char text[CAIRN_UNITS_TEXT_BYTES])
{
    if (option->type == CAIRN_TYPE_BYTES)
        cairn_units_print_bytes(number, text);
    else if (option->type == CAIRN_TYPE_DURATION)
        cairn_units_print_ms(number, text);
    else
        cairn_units_print_count(number, text);
}

void cairn_option_print_range(const cairn_option_t *option, char text[CAIRN_OPTION_RANGE_BYTES])
{
    char least[CAIRN_UNITS_TEXT_BYTES], most[CAIRN_UNITS_TEXT_BYTES];
    const char *also = option->type == CAIRN_TYPE_AUTO_COUNT ? AUTO_TEXT " or " : "";
    const char *const *words = words_of(option);

    text[0] = '\0';
    if (cairn_option_is_text(option))
        return;
    for (size_t i = 0; words != NULL && words[i] != NULL; ++i)
        sprintf(text + strlen(text), "%s%s", i == 0 ? "" : " or ", words[i]);
    if (words != NULL)
        return;
    cairn_option_print_number(option, option->least, least);
    cairn_option_print_number(option, option->most, most);
    snprintf(text, CAIRN_OPTION_RANGE_BYTES, "%s%s to %s", also, least, most);
}

/* What a text of the option's type is called, after "is not". */
static const char *type_words(const cairn_option_t *option)
{
    switch (option->type) {
    case CAIRN_TYPE_COUNT:
    case CAIRN_TYPE_AUTO_COUNT:
        return "a count";
    case CAIRN_TYPE_BYTES:
        return "a size";
    case CAIRN_TYPE_DURATION:
        return "a time";
    case CAIRN_TYPE_DURABILITY:
        return "a durability";
    case CAIRN_TYPE_ACCESS_LOG:
        return "a format";
    case CAIRN_TYPE_LOG_LEVEL:
        return "a level";
    case CAIRN_TYPE_YES_NO:
        return "yes or no";
    default:
        abort(); /* texts are refused in words of their own */
    }
}

/* Says that a number cannot be read, or lies outside the limits. */
static bool refuse_number(const cairn_option_t *option, const char *text,
                          cairn_units_result_t result, char *errmsg, size_t errmsg_bytes)
{
    char quoted[CAIRN_WORDING_QUOTE_BYTES], range[CAIRN_OPTION_RANGE_BYTES];

    cairn_wording_quote(text, quoted);
    cairn_option_print_range(option, range);
    if (result == CAIRN_UNITS_OK || result == CAIRN_UNITS_TOO_BIG)
        snprintf(errmsg, errmsg_bytes, "%s is out of range; %s is allowed", quoted, range);
    else if (result == CAIRN_UNITS_NO_UNIT)
        snprintf(errmsg, errmsg_bytes, "%s has no unit (ms, s, m, h, d); write for example %s (%s)",
                 quoted, option->default_text, range);
    else
        snprintf(errmsg, errmsg_bytes, "%s is not %s; write for example %s (%s)", quoted,
                 type_words(option), option->default_text, range);
    return false;
}

static bool parse_number(const cairn_option_t *option, const char *text, uint64_t *number,
                         char *errmsg, size_t errmsg_bytes)
{
    size_t text_bytes = strlen(text);
    cairn_units_result_t result;

    if (option->type == CAIRN_TYPE_AUTO_COUNT && strcmp(text, AUTO_TEXT) == 0) {
        *number = 0;
        return true;
    }
    if (option->type == CAIRN_TYPE_BYTES)
        result = cairn_units_parse_bytes(text, text_bytes, number);
    else if (option->type == CAIRN_TYPE_DURATION)
        result = cairn_units_parse_ms(text, text_bytes, number);
    else
        result = cairn_units_parse_count(text, text_bytes, number);
    if (result == CAIRN_UNITS_OK && *number >= option->least && *number <= option->most)
        return true;
    return refuse_number(option, text, result, errmsg, errmsg_bytes);
}

static bool parse_word(const cairn_option_t *option, const char *text, uint64_t *number,
                       char *errmsg, size_t errmsg_bytes)
{
    const char *const *words = words_of(option);
    char quoted[CAIRN_WORDING_QUOTE_BYTES], range[CAIRN_OPTION_RANGE_BYTES];

    for (*number = 0; words[*number] != NULL; ++*number) {
        if (strcmp(text, words[*number]) == 0)
            return true;
    }
    cairn_wording_quote(text, quoted);
    cairn_option_print_range(option, range);
    snprintf(errmsg, errmsg_bytes, "%s is not %s; write %s", quoted, type_words(option), range);
    return false;
}

static bool check_address(const char *text, char *errmsg, size_t errmsg_bytes)
{
    char quoted[CAIRN_WORDING_QUOTE_BYTES];
    cairn_address_t address;
    const char *wrong = cairn_address_parse(text, &address);

    if (wrong == NULL)
        return true;
    cairn_wording_quote(text, quoted);
    snprintf(errmsg, errmsg_bytes,
             "%s %s; write HOST:PORT, [IPv6]:PORT, :PORT or unix:/PATH, for example 127.0.0.1:8080",
             quoted, wrong);
    return false;
}

static bool check_path(const char *text, const char *advice, char *errmsg, size_t errmsg_bytes)
{
    const char *wrong = *text == '\0'              ? "is empty"
                        : strlen(text) >= PATH_MAX ? "is longer than any path can be"
                                                   : NULL;
    char quoted[CAIRN_WORDING_QUOTE_BYTES];

    if (wrong == NULL)
        return true;
    cairn_wording_quote(text, quoted);
    snprintf(errmsg, errmsg_bytes, "%s %s; write %s", quoted, wrong, advice);
    return false;
}

static bool check_file_path(const char *text, char *errmsg, size_t errmsg_bytes)
{
    if (strlen(text) < PATH_MAX)
        return true;
    snprintf(errmsg, errmsg_bytes, "is longer than any path can be");
    return false;
}

/* Judges a text; `*number` is its meaning unless the option's field holds the text itself. */
static bool parse(const cairn_option_t *option, const char *text, uint64_t *number, char *errmsg,
                  size_t errmsg_bytes)
{
    if (option->type == CAIRN_TYPE_ADDRESS)
        return check_address(text, errmsg, errmsg_bytes);
    if (option->type == CAIRN_TYPE_PATH)
        return check_path(text, "a directory, for example ./data, or :memory:", errmsg,
                          errmsg_bytes);
    if (option->type == CAIRN_TYPE_FILE_PATH)
        return check_file_path(text, errmsg, errmsg_bytes);
    if (option->type == CAIRN_TYPE_OUTPUT)
        return check_path(text, "a file, for example /var/log/cairn-access.log, or -", errmsg,
                          errmsg_bytes);
    if (words_of(option) != NULL)
        return parse_word(option, text, number, errmsg, errmsg_bytes);
    return parse_number(option, text, number, errmsg, errmsg_bytes);
}

bool cairn_option_check(const cairn_option_t *option, const char *text, char *errmsg,
                        size_t errmsg_bytes)
{
    uint64_t number;
    return parse(option, text, &number, errmsg, errmsg_bytes);
}

void cairn_option_clear(cairn_config_t *config, const cairn_option_t *option)
{
    char **text = field_of(config, option);

    if (!cairn_option_is_text(option))
        return;
    free(*text);
    *text = NULL;
}

bool cairn_option_store(cairn_config_t *config, const cairn_option_t *option, const char *text,
                        char *errmsg, size_t errmsg_bytes)
{
    void *field = field_of(config, option);
    uint64_t number = 0;

    if (!parse(option, text, &number, errmsg, errmsg_bytes))
        return false;
    if (cairn_option_is_text(option)) {
        cairn_option_clear(config, option);
        *(char **)field = cairn_config_copy(text);
    } else if (option->type == CAIRN_TYPE_DURABILITY) {
        *(cairn_config_durability_t *)field = (cairn_config_durability_t)number;
    } else if (option->type == CAIRN_TYPE_ACCESS_LOG) {
        *(cairn_config_access_log_t *)field = (cairn_config_access_log_t)number;
    } else if (option->type == CAIRN_TYPE_LOG_LEVEL) {
        *(cairn_log_level_t *)field = (cairn_log_level_t)number;
    } else if (option->type == CAIRN_TYPE_YES_NO) {
        *(cairn_config_yes_no_t *)field = (cairn_config_yes_no_t)number;
    } else {
        *(uint64_t *)field = number;
    }
    return true;
}

char *cairn_config_copy(const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL) {
        fprintf(stderr, "cairn: no memory\n");
        abort();
    }
    return copy;
}

/*
 * server/config_internal.h - what config.c, config_value.c, config_token.c, config_file.c and
 * config_print.c share.
 *
 * The rows of server/options.h as data, and the ways between an option's text and its field.
 */
#ifndef CAIRN_SERVER_CONFIG_INTERNAL_H
#define CAIRN_SERVER_CONFIG_INTERNAL_H

#include "server/config.h"
#include "server/units.h"

typedef enum en_cairn_option_type_t {
#define CAIRN_OPTION_TYPE_ENUM(type, c_type, metavar) CAIRN_TYPE_##type,
    CAIRN_OPTION_TYPES(CAIRN_OPTION_TYPE_ENUM)
#undef CAIRN_OPTION_TYPE_ENUM
} cairn_option_type_t;

typedef struct st_cairn_option_t {
    const char *key;     /* "storage.path", "listen" */
    const char *section; /* "storage", "" */
    const char *name;    /* "path", "listen" */
    cairn_option_type_t type;
    const char *default_text;
    uint64_t least, most;
    const char *help;
    size_t offset; /* of the field in cairn_config_t */
} cairn_option_t;

/* by cairn_option_id_t */
extern const cairn_option_t cairn_options[CAIRN_OPTION_COUNT];

/* room for any message about one option, without a file's name before it */
#define CAIRN_OPTION_ERRMSG_BYTES 1024

/* the longest text of a range: two numbers, and words around them */
#define CAIRN_OPTION_RANGE_BYTES (2 * CAIRN_UNITS_TEXT_BYTES + 16)

/**
 * Reads a text as the option's value and keeps it in the config.
 *
 * On failure the config is as it was, and errmsg says what is wrong and what is allowed, without
 * the key: `"7 potatoes" is not a size; write for example 64MiB (64KiB to 4GiB)`.
 */
bool cairn_option_store(cairn_config_t *config, const cairn_option_t *option, const char *text,
                        char *errmsg, size_t errmsg_bytes);

/** As cairn_option_store(), but only judges. */
bool cairn_option_check(const cairn_option_t *option, const char *text, char *errmsg,
                        size_t errmsg_bytes);

/** Whether the option's field holds a text of its own. */
bool cairn_option_is_text(const cairn_option_t *option);

/** Frees the option's field if it holds a text. */
void cairn_option_clear(cairn_config_t *config, const cairn_option_t *option);

/** Prints a number in the option's unit. */
void cairn_option_print_number(const cairn_option_t *option, uint64_t number,
                               char text[CAIRN_UNITS_TEXT_BYTES]);

/** Prints what is allowed: "64KiB to 4GiB", "sync or async"; "" where the help says it. */
void cairn_option_print_range(const cairn_option_t *option, char text[CAIRN_OPTION_RANGE_BYTES]);

/**
 * The known key that an unknown one most likely means, or NULL if none is near. Forgotten, wrong
 * and superfluous sections are seen through: "segment_bytes" means "storage.segment_bytes".
 *
 * Owner: a static text.
 */
const char *cairn_option_nearest(const char *key);

/** The default of an option that exists, as an example of what to write. Owner: a static text. */
const char *cairn_option_example(const char *key);

/* what a file says of a token: NULL where it says nothing */
typedef struct st_cairn_token_texts_t {
    char *name;
    char *sha256;
    char *scope;
    char *prefix;
} cairn_token_texts_t;

/**
 * Adds a token to those of the config.
 *
 * On failure the config is as it was, `*key` is the key at fault (it may be missing in the file),
 * and errmsg says what is wrong and what is allowed, without the key.
 */
bool cairn_config_add_token(cairn_config_t *config, const cairn_token_texts_t *texts, size_t line,
                            const char **key, char *errmsg, size_t errmsg_bytes);

/** Frees the tokens of the config. */
void cairn_config_clear_tokens(cairn_config_t *config);

/** Copies a text, and ends the process when there is no memory. */
char *cairn_config_copy(const char *text);

#endif

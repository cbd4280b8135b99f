/*
 * server/config.h - what the server was told to do.
 *
 * The normal path: init gives every option its default, load reads a file, set applies a flag, and
 * finish checks the options against each other; from then on the config is only read. A flag wins
 * over the file whichever comes first. The options themselves stand in server/options.h; only the
 * access tokens (auth.tokens), which are a list and no flags, do not.
 *
 * What can fail does so with one line for a person in `errmsg`: the file and the line or the flag,
 * the key, what is wrong and what is allowed. After a failure the config may only be disposed.
 *
 * Threads: one thread until finish has returned; then any may read.
 */
#ifndef CAIRN_SERVER_CONFIG_H
#define CAIRN_SERVER_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "server/options.h"

/* room for any message: the longest name of a file, and what there is to say about it */
#define CAIRN_CONFIG_ERRMSG_BYTES (PATH_MAX + 1024)

/* what storage may add to a value in a segment: a key of 2 KiB, metadata of 1 KiB, the segment's
 * own header of 4 KiB, the record's and the commit's headers and padding; rounded up to a number
 * that need not change when one of them does */
#define CAIRN_CONFIG_RECORD_OVERHEAD_BYTES (16 * CAIRN_KIB)

typedef enum en_cairn_config_durability_t {
#define CAIRN_DURABILITY_ENUM(name, word) CAIRN_DURABILITY_##name,
    CAIRN_DURABILITIES(CAIRN_DURABILITY_ENUM)
#undef CAIRN_DURABILITY_ENUM
} cairn_config_durability_t;

typedef enum en_cairn_config_yes_no_t {
#define CAIRN_YES_NO_ENUM(name, word) CAIRN_##name,
    CAIRN_YES_NOS(CAIRN_YES_NO_ENUM)
#undef CAIRN_YES_NO_ENUM
} cairn_config_yes_no_t;

/* the options by number: CAIRN_OPTION_storage_path and so on */
typedef enum en_cairn_option_id_t {
#define CAIRN_OPTION_ENUM(field, ...) CAIRN_OPTION_##field,
    CAIRN_OPTIONS(CAIRN_OPTION_ENUM)
#undef CAIRN_OPTION_ENUM
        CAIRN_OPTION_COUNT
} cairn_option_id_t;

typedef enum en_cairn_config_access_log_t {
#define CAIRN_ACCESS_LOG_ENUM(name, word) CAIRN_ACCESS_LOG_##name,
    CAIRN_ACCESS_LOGS(CAIRN_ACCESS_LOG_ENUM)
#undef CAIRN_ACCESS_LOG_ENUM
} cairn_config_access_log_t;

/* what a token may do; each scope includes those before it: S(name, word) */
#define CAIRN_SCOPES(S)                                                                            \
    S(READ, "read")                                                                                \
    S(WRITE, "write")                                                                              \
    S(ADMIN, "admin")

typedef enum en_cairn_scope_t {
#define CAIRN_SCOPE_ENUM(name, word) CAIRN_SCOPE_##name,
    CAIRN_SCOPES(CAIRN_SCOPE_ENUM)
#undef CAIRN_SCOPE_ENUM
        CAIRN_SCOPE_COUNT
} cairn_scope_t;

/* SHA-256 */
#define CAIRN_TOKEN_SUM_BYTES 32
/* a name is short enough for every line of a log */
#define CAIRN_TOKEN_NAME_BYTES_MAX 64
/* no key is longer */
#define CAIRN_TOKEN_PREFIX_BYTES_MAX 2048

/* one entry of auth.tokens */
typedef struct st_cairn_config_token_t {
    char *name;
    unsigned char sum[CAIRN_TOKEN_SUM_BYTES]; /* of the secret, which is nowhere */
    cairn_scope_t scope;
    char *prefix; /* of the keys it is bound to; NULL if it is not */
    size_t line;  /* in the file, from 1 */
} cairn_config_token_t;

/* where the present value of an option comes from */
typedef struct st_cairn_config_origin_t {
    enum { CAIRN_ORIGIN_DEFAULT, CAIRN_ORIGIN_FILE, CAIRN_ORIGIN_FLAG } kind;
    size_t line; /* in the file, from 1 */
} cairn_config_origin_t;

/* cairn_option_BYTES_t and so on: how a value of a type is kept */
#define CAIRN_OPTION_TYPEDEF(type, c_type, metavar) typedef c_type cairn_option_##type##_t;
CAIRN_OPTION_TYPES(CAIRN_OPTION_TYPEDEF)
#undef CAIRN_OPTION_TYPEDEF

/* one field a row of server/options.h: listen, workers, storage_path, storage_segment_bytes, ... */
typedef struct st_cairn_config_t {
#define CAIRN_CONFIG_FIELD(field, section, name, type, ...) cairn_option_##type##_t field;
    CAIRN_OPTIONS(CAIRN_CONFIG_FIELD)
#undef CAIRN_CONFIG_FIELD
    /* --salvage and --accept-loss, which only the command line has: they are asked for once */
    bool salvage;
    bool accept_loss;
    cairn_config_token_t *tokens; /* auth.tokens, which only a file has */
    size_t token_count;
    cairn_config_origin_t _origins[CAIRN_OPTION_COUNT];
    char *_file; /* the file loaded last, NULL if none */
} cairn_config_t;

/**
 * Gives every option its default.
 *
 * Owner: the config's texts are its own; cairn_config_dispose() frees them.
 */
void cairn_config_init(cairn_config_t *config);

/** Frees what the config holds. */
void cairn_config_dispose(cairn_config_t *config);

/**
 * Reads a YAML file. What it does not name stays as it is, and so does what a flag has set. An
 * empty file is a good one. To be called once at most.
 */
bool cairn_config_load(cairn_config_t *config, const char *file, char *errmsg, size_t errmsg_bytes);

/** Whether there is an option of this name: "workers", "storage.path". */
bool cairn_config_knows(const char *key);

/**
 * Sets one option as a flag does. An unknown key is an error that names the nearest known one.
 *
 * Owner: key and value are not kept.
 */
bool cairn_config_set(cairn_config_t *config, const char *key, const char *value, char *errmsg,
                      size_t errmsg_bytes);

/**
 * Makes the options fit each other; call it once, after the last load and set.
 *
 * `workers` becomes the number of cores this process may use if it is "auto". A record of
 * limits.value_bytes and CAIRN_CONFIG_RECORD_OVERHEAD_BYTES must fit into storage.segment_bytes,
 * and the value into limits.queue_bytes: a limit that nobody has set is changed so that it does,
 * one that was set is an error. tls.certificate and tls.key come together or not at all,
 * and takeover needs a data directory.
 */
bool cairn_config_finish(cairn_config_t *config, char *errmsg, size_t errmsg_bytes);

/** The option's name: "storage.path". Owner: a static text. */
const char *cairn_config_key(cairn_option_id_t id);

/** Whether two finished configs differ in an option. */
bool cairn_config_differs(const cairn_config_t *a, const cairn_config_t *b, cairn_option_id_t id);

/** Gives the option the value that it has in another config. Threads: nobody reads it meanwhile. */
void cairn_config_take(cairn_config_t *config, const cairn_config_t *from, cairn_option_id_t id);

/** Prints the options of `cairn serve --help`. */
void cairn_config_print_help(FILE *out);

/** Prints configs/default.yaml: every option with its default, limits and help. */
void cairn_config_print_default(FILE *out);

#endif

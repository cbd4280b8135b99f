/*
 * The config as a whole: defaults, flags, and the limits that depend on each other.
 */
#include "server/config.h"

#include <assert.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config_internal.h"
#include "server/wording.h"

/* the front of a message: a flag, or a file, a line and a key */
#define PLACE_BYTES (PATH_MAX + 128)

/* what storage.max_bytes must have room for */
#define SEGMENTS_LEAST 4

static const cairn_option_t *find_option(const char *key)
{
    for (size_t i = 0; i != CAIRN_OPTION_COUNT; ++i) {
        if (strcmp(cairn_options[i].key, key) == 0)
            return &cairn_options[i];
    }
    return NULL;
}

/* The cores that this process may run on, which taskset and containers make fewer than there are.
 */
static uint64_t usable_cores(void)
{
    cpu_set_t cores;
    long online;

    if (sched_getaffinity(0, sizeof(cores), &cores) == 0)
        return (uint64_t)CPU_COUNT(&cores);
    /* a machine with more cores than cpu_set_t has bits */
    online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint64_t)online : 1;
}

/* Where the option was set and its name, as the front of a message. */
static void print_place(const cairn_config_t *config, cairn_option_id_t id, char place[PLACE_BYTES])
{
    const cairn_config_origin_t *origin = &config->_origins[id];

    if (origin->kind == CAIRN_ORIGIN_FILE)
        snprintf(place, PLACE_BYTES, "%s:%zu: %s", config->_file, origin->line,
                 cairn_options[id].key);
    else
        snprintf(place, PLACE_BYTES, "--%s", cairn_options[id].key);
}

static bool is_set(const cairn_config_t *config, cairn_option_id_t id)
{
    return config->_origins[id].kind != CAIRN_ORIGIN_DEFAULT;
}

static bool fit_value_into_segment(cairn_config_t *config, char *errmsg, size_t errmsg_bytes)
{
    uint64_t most = config->storage_segment_bytes - CAIRN_CONFIG_RECORD_OVERHEAD_BYTES;
    char place[PLACE_BYTES], value[CAIRN_UNITS_TEXT_BYTES], segment[CAIRN_UNITS_TEXT_BYTES],
        largest[CAIRN_UNITS_TEXT_BYTES];

    assert(config->storage_segment_bytes > CAIRN_CONFIG_RECORD_OVERHEAD_BYTES);
    if (config->limits_value_bytes <= most)
        return true;
    if (!is_set(config, CAIRN_OPTION_limits_value_bytes)) {
        config->limits_value_bytes = most;
        return true;
    }
    print_place(config, CAIRN_OPTION_limits_value_bytes, place);
    cairn_units_print_bytes(config->limits_value_bytes, value);
    cairn_units_print_bytes(config->storage_segment_bytes, segment);
    cairn_units_print_bytes(most, largest);
    snprintf(errmsg, errmsg_bytes,
             "%s: %s does not fit into storage.segment_bytes (%s) with its record; "
             "write at most %s, or raise storage.segment_bytes",
             place, value, segment, largest);
    return false;
}

/* `limit` is that of `option`, which must hold `count` of the largest values. */
static bool fit_values_into(cairn_config_t *config, cairn_option_id_t option, uint64_t *limit,
                            unsigned count, char *errmsg, size_t errmsg_bytes)
{
    uint64_t least = count * config->limits_value_bytes;
    char place[PLACE_BYTES], given[CAIRN_UNITS_TEXT_BYTES], value[CAIRN_UNITS_TEXT_BYTES],
        needed[CAIRN_UNITS_TEXT_BYTES];

    if (*limit >= least)
        return true;
    if (!is_set(config, option)) {
        *limit = least;
        return true;
    }
    print_place(config, option, place);
    cairn_units_print_bytes(*limit, given);
    cairn_units_print_bytes(config->limits_value_bytes, value);
    cairn_units_print_bytes(least, needed);
    snprintf(errmsg, errmsg_bytes,
             "%s: %s cannot hold %s of limits.value_bytes (%s); "
             "write at least %s, or lower limits.value_bytes",
             place, given, count == 1 ? "a value" : "two values", value, needed);
    return false;
}

/* One is written, one is ready for when it is full, one is what compaction makes of another. */
static bool fit_segments_into_disk(const cairn_config_t *config, char *errmsg, size_t errmsg_bytes)
{
    uint64_t least = SEGMENTS_LEAST * config->storage_segment_bytes;
    char place[PLACE_BYTES], given[CAIRN_UNITS_TEXT_BYTES], segment[CAIRN_UNITS_TEXT_BYTES],
        needed[CAIRN_UNITS_TEXT_BYTES];

    if (config->storage_max_bytes == 0 || config->storage_max_bytes >= least)
        return true;
    print_place(config, CAIRN_OPTION_storage_max_bytes, place);
    cairn_units_print_bytes(config->storage_max_bytes, given);
    cairn_units_print_bytes(config->storage_segment_bytes, segment);
    cairn_units_print_bytes(least, needed);
    snprintf(errmsg, errmsg_bytes,
             "%s: %s cannot hold four segments of storage.segment_bytes (%s); "
             "write at least %s, lower storage.segment_bytes, or write 0B for no limit",
             place, given, segment, needed);
    return false;
}

static bool fit_certificate_to_key(const cairn_config_t *config, char *errmsg, size_t errmsg_bytes)
{
    bool has_certificate = config->tls_certificate[0] != '\0';
    char place[PLACE_BYTES];

    if (has_certificate == (config->tls_key[0] != '\0'))
        return true;
    print_place(config, has_certificate ? CAIRN_OPTION_tls_certificate : CAIRN_OPTION_tls_key,
                place);
    snprintf(errmsg, errmsg_bytes, "%s: is set without %s; give both, or neither for plain HTTP",
             place, has_certificate ? "tls.key" : "tls.certificate");
    return false;
}

static bool fit_takeover_to_path(const cairn_config_t *config, char *errmsg, size_t errmsg_bytes)
{
    char place[PLACE_BYTES];

    if (config->takeover == CAIRN_NO || strcmp(config->storage_path, ":memory:") != 0)
        return true;
    print_place(config, CAIRN_OPTION_takeover, place);
    snprintf(errmsg, errmsg_bytes, "%s: what is in memory (storage.path) cannot be taken over",
             place);
    return false;
}

const char *cairn_option_example(const char *key)
{
    const cairn_option_t *option = find_option(key);
    /* a bare dash would be a list to YAML */
    return option->type == CAIRN_TYPE_OUTPUT ? "/var/log/cairn-access.log" : option->default_text;
}

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

const char *cairn_option_nearest(const char *key)
{
    /* two slips still leave a word recognisable; short names allow fewer */
    size_t best_distance = 3;
    const char *best = NULL, *dot = strrchr(key, '.'), *name = dot != NULL ? dot + 1 : key;

    for (size_t i = 0; i != CAIRN_OPTION_COUNT; ++i) {
        const cairn_option_t *option = &cairn_options[i];
        size_t distance = least_of(cairn_wording_distance(key, option->key),
                                   cairn_wording_distance(name, option->name));
        if (distance < best_distance && distance < strlen(option->name) / 2) {
            best_distance = distance;
            best = option->key;
        }
    }
    return best;
}

void cairn_config_init(cairn_config_t *config)
{
    char errmsg[CAIRN_OPTION_ERRMSG_BYTES];

    memset(config, 0, sizeof(*config));
    for (size_t i = 0; i != CAIRN_OPTION_COUNT; ++i) {
        const cairn_option_t *option = &cairn_options[i];
        if (!cairn_option_store(config, option, option->default_text, errmsg, sizeof(errmsg))) {
            fprintf(stderr, "cairn: default of %s: %s\n", option->key, errmsg);
            abort(); /* a row of server/options.h contradicts itself */
        }
    }
}

void cairn_config_dispose(cairn_config_t *config)
{
    for (size_t i = 0; i != CAIRN_OPTION_COUNT; ++i)
        cairn_option_clear(config, &cairn_options[i]);
    cairn_config_clear_tokens(config);
    free(config->_file);
    config->_file = NULL;
}

bool cairn_config_knows(const char *key)
{
    return find_option(key) != NULL;
}

bool cairn_config_set(cairn_config_t *config, const char *key, const char *value, char *errmsg,
                      size_t errmsg_bytes)
{
    const cairn_option_t *option = find_option(key);
    char quoted[CAIRN_WORDING_QUOTE_BYTES], reason[CAIRN_OPTION_ERRMSG_BYTES];

    if (option == NULL && (strcmp(key, "auth") == 0 || strncmp(key, "auth.", 5) == 0)) {
        snprintf(errmsg, errmsg_bytes,
                 "access tokens are not set by flags, which every user of the machine can see; "
                 "write them under auth.tokens in the file of --config");
        return false;
    }
    if (option == NULL) {
        const char *nearest = cairn_option_nearest(key);
        cairn_wording_quote(key, quoted);
        if (nearest != NULL)
            snprintf(errmsg, errmsg_bytes, "there is no option %s; did you mean --%s?", quoted,
                     nearest);
        else
            snprintf(errmsg, errmsg_bytes, "there is no option %s", quoted);
        return false;
    }
    if (!cairn_option_store(config, option, value, reason, sizeof(reason))) {
        snprintf(errmsg, errmsg_bytes, "--%s: %s", key, reason);
        return false;
    }
    config->_origins[option - cairn_options] = (cairn_config_origin_t){CAIRN_ORIGIN_FLAG, 0};
    return true;
}

bool cairn_config_finish(cairn_config_t *config, char *errmsg, size_t errmsg_bytes)
{
    if (config->workers == 0) {
        config->workers = usable_cores();
        if (config->workers > cairn_options[CAIRN_OPTION_workers].most)
            config->workers = cairn_options[CAIRN_OPTION_workers].most;
    }
    return fit_value_into_segment(config, errmsg, errmsg_bytes) &&
           fit_values_into(config, CAIRN_OPTION_limits_queue_bytes, &config->limits_queue_bytes, 1,
                           errmsg, errmsg_bytes) &&
           fit_values_into(config, CAIRN_OPTION_limits_body_bytes, &config->limits_body_bytes, 2,
                           errmsg, errmsg_bytes) &&
           fit_segments_into_disk(config, errmsg, errmsg_bytes) &&
           fit_certificate_to_key(config, errmsg, errmsg_bytes) &&
           fit_takeover_to_path(config, errmsg, errmsg_bytes);
}

const char *cairn_config_key(cairn_option_id_t id)
{
    return cairn_options[id].key;
}

static size_t field_bytes(const cairn_option_t *option)
{
    static const size_t bytes[] = {
#define FIELD_BYTES(type, c_type, metavar) [CAIRN_TYPE_##type] = sizeof(c_type),
        CAIRN_OPTION_TYPES(FIELD_BYTES)
#undef FIELD_BYTES
    };
    return bytes[option->type];
}

bool cairn_config_differs(const cairn_config_t *a, const cairn_config_t *b, cairn_option_id_t id)
{
    const cairn_option_t *option = &cairn_options[id];
    const char *in_a = (const char *)a + option->offset, *in_b = (const char *)b + option->offset;

    if (cairn_option_is_text(option))
        return strcmp(*(char *const *)in_a, *(char *const *)in_b) != 0;
    return memcmp(in_a, in_b, field_bytes(option)) != 0;
}

void cairn_config_take(cairn_config_t *config, const cairn_config_t *from, cairn_option_id_t id)
{
    const cairn_option_t *option = &cairn_options[id];
    char *to = (char *)config + option->offset;
    const char *source = (const char *)from + option->offset;

    if (cairn_option_is_text(option)) {
        cairn_option_clear(config, option);
        *(char **)to = cairn_config_copy(*(char *const *)source);
    } else {
        memcpy(to, source, field_bytes(option));
    }
}

/*
 * client/cli_args.c - what the values of options mean.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_internal.h"

typedef struct st_unit_t {
    const char *name;
    uint64_t factor;
} unit_t;

static const unit_t times[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                               {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const unit_t sizes[] = {{"", 1},          {"B", 1},           {"kB", 1000},
                               {"MB", 1000000},  {"GB", 1000000000}, {"KiB", 1 << 10},
                               {"MiB", 1 << 20}, {"GiB", 1 << 30},   {NULL, 0}};
/* people write a million keys as 1M */
static const unit_t counts[] = {{"", 1}, {"k", 1000}, {"M", 1000000}, {"G", 1000000000}, {NULL, 0}};

/** a number with one of these units; false if it is not one, or does not fit */
static bool parse(const char *text, const unit_t *units, uint64_t *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    for (; units->name != NULL; ++units)
        if (strcmp(end, units->name) == 0)
            return !__builtin_mul_overflow(number, units->factor, out);
    return false;
}

static bool take(const cli_t *cli, cli_option_id_t id, const unit_t *units, const char *example,
                 uint64_t *out)
{
    const char *text = cli->values[id];
    if (text == NULL || parse(text, units, out))
        return true;
    cli_usage_error(cli, "--%s: \"%s\" is not %s", cli_options[id].name, text, example);
    return false;
}

bool cli_number(const cli_t *cli, cli_option_id_t id, uint64_t *out)
{
    return take(cli, id, counts, "a number, such as 100 or 10M", out);
}

bool cli_time_ms(const cli_t *cli, cli_option_id_t id, uint64_t *out)
{
    return take(cli, id, times, "a time, such as 500ms, 90s, 15m, 12h or 7d", out);
}

bool cli_size(const cli_t *cli, cli_option_id_t id, uint64_t *out)
{
    return take(cli, id, sizes, "a size, such as 100, 4KiB or 16MiB", out);
}

/** splits each NAME=TEXT; the names live as long as the process, which is not long */
static bool take_meta(const cli_t *cli, cairn_client_meta_t *meta)
{
    for (size_t i = 0; i < cli->meta_count; ++i) {
        const char *equals = strchr(cli->meta[i], '=');
        if (equals == NULL || equals == cli->meta[i]) {
            cli_usage_error(cli, "--meta: \"%s\" is not NAME=TEXT", cli->meta[i]);
            return false;
        }
        /* the argument itself is ours to cut: it came with the process */
        *(char *)equals = '\0';
        meta[i] = (cairn_client_meta_t){cli->meta[i], equals + 1};
    }
    return true;
}

bool cli_how(const cli_t *cli, cairn_client_write_t *how, cairn_client_meta_t *meta)
{
    *how = (cairn_client_write_t){
        .content_type = cli->values[CLI_TYPE],
        .if_absent = cli_has(cli, CLI_IF_ABSENT),
        .if_present = cli_has(cli, CLI_IF_PRESENT),
        .meta = meta,
        .meta_count = cli->meta_count,
        .durability = cli_has(cli, CLI_ASYNC) ? CAIRN_CLIENT_ASYNC : CAIRN_CLIENT_AS_CONFIGURED,
    };
    return cli_time_ms(cli, CLI_TTL, &how->ttl_ms) &&
           cli_number(cli, CLI_IF_VERSION, &how->if_version) && take_meta(cli, meta);
}

/*
 * The table of options as text: for --help, and as the file configs/default.yaml.
 */
#include "server/config_internal.h"

#include <string.h>

static const char *const metavars[] = {
#define METAVAR(type, c_type, metavar) [CAIRN_TYPE_##type] = metavar,
    CAIRN_OPTION_TYPES(METAVAR)
#undef METAVAR
};

/* Prints the default in its shortest form, which is not always the table's: 60s is 1m. */
static void print_default(const cairn_config_t *defaults, const cairn_option_t *option, FILE *out)
{
    const void *field = (const char *)defaults + option->offset;
    char text[CAIRN_UNITS_TEXT_BYTES];

    if (option->type == CAIRN_TYPE_BYTES || option->type == CAIRN_TYPE_DURATION) {
        cairn_option_print_number(option, *(const uint64_t *)field, text);
        fputs(text, out);
    } else {
        fputs(option->default_text, out);
    }
}

static void print_help_row(const cairn_config_t *defaults, const cairn_option_t *option, FILE *out)
{
    char range[CAIRN_OPTION_RANGE_BYTES];

    cairn_option_print_range(option, range);
    fprintf(out, "  --%s %s\n      %s\n      ", option->key, metavars[option->type], option->help);
    if (range[0] != '\0')
        fprintf(out, "%s; ", range);
    fputs(option->default_text[0] != '\0' ? "default " : "no default", out);
    print_default(defaults, option, out);
    fputc('\n', out);
}

/* Texts are quoted always: YAML would take [::1]:8080 for a list and the colons of :memory: for
 * its own, and whoever changes the value should find the quotes in place. */
static void print_yaml_row(const cairn_config_t *defaults, const cairn_option_t *option, FILE *out)
{
    const char *indent = option->section[0] != '\0' ? "  " : "";
    bool is_text = cairn_option_is_text(option);
    char range[CAIRN_OPTION_RANGE_BYTES];

    cairn_option_print_range(option, range);
    fprintf(out, "%s# %s", indent, option->help);
    if (range[0] != '\0')
        fprintf(out, " (%s)", range);
    fprintf(out, "\n%s%s: %s", indent, option->name, is_text ? "\"" : "");
    print_default(defaults, option, out);
    fprintf(out, "%s\n", is_text ? "\"" : "");
}

static const char auth_rows[] =
    "\n"
    "# Access tokens. With any here, a request needs Authorization: Bearer SECRET, all but /livez "
    "and\n"
    "# /readyz; without, everyone may do everything. Only the SHA-256 of a secret is kept:\n"
    "#   secret=$(openssl rand -hex 24); echo \"$secret\"; printf %s \"$secret\" | sha256sum\n"
    "# name: letters, digits, - _ . (at most 64); it stands in the access log, so choose it to be "
    "seen\n"
    "# scope: read, write (includes read) or admin (includes both, and /metrics, /v1/stats, "
    "/v1/admin)\n"
    "# prefix: may be left out; the token is then good for these keys only, and never for admin's "
    "paths\n"
    "#auth:\n"
    "#  tokens:\n"
    "#    - name: shop\n"
    "#      sha256: THE-64-HEX-DIGITS\n"
    "#      scope: write\n"
    "#      prefix: \"shop/\"\n";

void cairn_config_print_help(FILE *out)
{
    cairn_config_t defaults;

    cairn_config_init(&defaults);
    for (size_t i = 0; i != CAIRN_OPTION_COUNT; ++i)
        print_help_row(&defaults, &cairn_options[i], out);
    fputs("  auth.tokens (in the file only)\n"
          "      who may do what; without tokens everyone may do everything\n",
          out);
    cairn_config_dispose(&defaults);
}

void cairn_config_print_default(FILE *out)
{
    const char *section = "";
    cairn_config_t defaults;

    cairn_config_init(&defaults);
    fputs(
        "# The options of cairn, each with its default. A key that is left out keeps it; a flag "
        "of\n"
        "# the same name wins over this file: cairn serve --config FILE --storage.path /srv/cairn\n"
        "#\n"
        "# A size is a number with B, KiB, MiB, GiB (1024) or kB, MB, GB (1000).\n"
        "# A time is a number with ms, s, m, h or d.\n",
        out);
    for (size_t i = 0; i != CAIRN_OPTION_COUNT; ++i) {
        const cairn_option_t *option = &cairn_options[i];
        if (strcmp(option->section, section) != 0) {
            section = option->section;
            fprintf(out, "\n%s:", section);
        }
        fputc('\n', out);
        print_yaml_row(&defaults, option, out);
    }
    fputs(auth_rows, out);
    cairn_config_dispose(&defaults);
}

/*
 * Reading a config file.
 *
 * The normal path: the text is composed into a libyaml document, libcyaml checks the same text
 * against the schema made from server/options.h and hands over every value as a text, and each
 * text is read as its option's type.
 *
 * The document is there for the messages. libcyaml says that a file breaks the schema but not on
 * which line; explain() finds the place by walking the document along the same schema arrays. Two
 * things libcyaml lets pass are refused here: a second document, and a NUL within a text.
 */
#include "server/config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cyaml/cyaml.h>
#include <yaml.h>

#include "server/config_internal.h"
#include "server/wording.h"

/* far above any real file; a stop for /dev/zero, and for nesting, which costs libyaml the square of
 * its depth */
#define FILE_BYTES_MAX (32 * CAIRN_KIB)

/* the file being read, and where its error goes */
typedef struct st_source_t {
    const char *name;
    char *text;
    size_t text_bytes;
    char *errmsg;
    size_t errmsg_bytes;
} source_t;

/* ---- the schema: a struct of texts per section, NULL where the file says nothing ---- */

#define TEXT_MEMBER(field, ...) char *field;
#define SECTION_STRUCT(section, rows)                                                              \
    typedef struct st_##section##_texts_t {                                                        \
        rows(TEXT_MEMBER)                                                                          \
    } section##_texts_t;
CAIRN_SECTIONS(SECTION_STRUCT)

/* the tokens are a list, which no row of the options can be */
typedef struct st_auth_texts_t {
    cairn_token_texts_t *tokens;
    unsigned tokens_count; /* libcyaml wants this name */
} auth_texts_t;

#define SECTION_MEMBER(section, rows) section##_texts_t *section;
typedef struct st_texts_t {
    CAIRN_OPTIONS_TOP(TEXT_MEMBER)
    CAIRN_SECTIONS(SECTION_MEMBER)
    auth_texts_t *auth;
} texts_t;

#define TEXT_FIELD(type, field, name)                                                              \
    CYAML_FIELD_STRING_PTR(#name, CYAML_FLAG_OPTIONAL, type, field, 0, CYAML_UNLIMITED),
#define SECTION_TEXT_FIELD(field, section, name, ...) TEXT_FIELD(section##_texts_t, field, name)
#define SECTION_SCHEMA(section, rows)                                                              \
    static const cyaml_schema_field_t section##_schema[] = {rows(SECTION_TEXT_FIELD)               \
                                                                CYAML_FIELD_END};
CAIRN_SECTIONS(SECTION_SCHEMA)

static const cyaml_schema_field_t token_schema[] = {
    TEXT_FIELD(cairn_token_texts_t, name, name) TEXT_FIELD(cairn_token_texts_t, sha256, sha256)
        TEXT_FIELD(cairn_token_texts_t, scope, scope)
            TEXT_FIELD(cairn_token_texts_t, prefix, prefix) CYAML_FIELD_END};
static const cyaml_schema_value_t token_entry = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, cairn_token_texts_t, token_schema)};
static const cyaml_schema_field_t auth_schema[] = {
    CYAML_FIELD_SEQUENCE("tokens", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER_NULL, auth_texts_t,
                         tokens, &token_entry, 0, CYAML_UNLIMITED),
    CYAML_FIELD_END};

/* a section may be empty, as when all its keys are commented out, and so may the file */
#define TOP_TEXT_FIELD(field, section, name, ...) TEXT_FIELD(texts_t, field, name)
#define SECTION_FIELD(section, rows)                                                               \
    CYAML_FIELD_MAPPING_PTR(#section, CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER_NULL, texts_t,      \
                            section, section##_schema),
static const cyaml_schema_field_t top_schema[] = {
    CAIRN_OPTIONS_TOP(TOP_TEXT_FIELD) CAIRN_SECTIONS(SECTION_FIELD) CYAML_FIELD_MAPPING_PTR(
        "auth", CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER_NULL, texts_t, auth, auth_schema),
    CYAML_FIELD_END};

static const cyaml_schema_value_t file_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER_NULL, texts_t, top_schema)};

/* no aliases: a config has nothing to repeat, and each would be one more way to be surprised */
static const cyaml_config_t cyaml_config = {
    .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR, .flags = CYAML_CFG_NO_ALIAS};

static const char *text_of(const texts_t *texts, size_t id)
{
    switch ((cairn_option_id_t)id) {
#define TOP_CASE(field, ...)                                                                       \
    case CAIRN_OPTION_##field:                                                                     \
        return texts->field;
#define SECTION_CASE(field, section, ...)                                                          \
    case CAIRN_OPTION_##field:                                                                     \
        return texts->section != NULL ? texts->section->field : NULL;
#define SECTION_CASES(section, rows) rows(SECTION_CASE)
        CAIRN_OPTIONS_TOP(TOP_CASE)
        CAIRN_SECTIONS(SECTION_CASES)
    case CAIRN_OPTION_COUNT:
        break;
    }
    return NULL;
}

/* ---- messages ---- */

/* Refuses the file; `line` 0 is the file as a whole. Always false, for the caller to return. */
static bool refuse(const source_t *source, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool refuse(const source_t *source, size_t line, const char *format, ...)
{
    char reason[CAIRN_OPTION_ERRMSG_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    if (line == 0)
        snprintf(source->errmsg, source->errmsg_bytes, "%s: %s", source->name, reason);
    else
        snprintf(source->errmsg, source->errmsg_bytes, "%s:%zu: %s", source->name, line, reason);
    return false;
}

static size_t line_of(const yaml_node_t *node)
{
    return node->start_mark.line + 1;
}

static size_t line_at(const source_t *source, size_t offset)
{
    size_t line = 1;

    for (size_t i = 0; i != source->text_bytes && i != offset; ++i)
        line += source->text[i] == '\n';
    return line;
}

static bool refuse_syntax(const source_t *source, const yaml_parser_t *parser)
{
    /* bytes that are no text are found before lines are counted */
    if (parser->error == YAML_READER_ERROR)
        return refuse(source, line_at(source, parser->problem_offset), "not text: %s",
                      parser->problem);
    if (parser->problem == NULL)
        return refuse(source, 0, "no memory to read it");
    return refuse(source, parser->problem_mark.line + 1,
                  "not valid YAML: %s (a value such as \":memory:\" or \"[::1]:8080\" "
                  "needs its quotes)",
                  parser->problem);
}

/* ---- the document ---- */

static const yaml_node_t *node_at(yaml_document_t *document, int index)
{
    return yaml_document_get_node(document, index);
}

static bool is_word(const yaml_node_t *node, const char *word)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.length == strlen(word) &&
           memcmp(node->data.scalar.value, word, node->data.scalar.length) == 0;
}

/* The pair of a mapping before `end` whose key is the word; NULL if there is none. */
static const yaml_node_pair_t *find_pair(yaml_document_t *document, const yaml_node_t *mapping,
                                         const char *word, const yaml_node_pair_t *end)
{
    const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;

    for (; pair != end; ++pair) {
        if (is_word(node_at(document, pair->key), word))
            return pair;
    }
    return NULL;
}

/* What a key that libcyaml found in the file has. */
static const yaml_node_t *value_in(yaml_document_t *document, const yaml_node_t *mapping,
                                   const char *key)
{
    const yaml_node_pair_t *pair =
        find_pair(document, mapping, key, mapping->data.mapping.pairs.top);
    return node_at(document, pair->value);
}

/* The line of an option that libcyaml found in the file. */
static size_t line_of_option(yaml_document_t *document, const cairn_option_t *option)
{
    const yaml_node_t *mapping = yaml_document_get_root_node(document);
    const yaml_node_pair_t *pair;

    if (option->section[0] != '\0')
        mapping = value_in(document, mapping, option->section);
    pair = find_pair(document, mapping, option->name, mapping->data.mapping.pairs.top);
    return line_of(node_at(document, pair->key));
}

/* The entry of auth.tokens that libcyaml found at this place of the list. */
static const yaml_node_t *token_at(yaml_document_t *document, size_t index)
{
    const yaml_node_t *root = yaml_document_get_root_node(document);
    const yaml_node_t *tokens = value_in(document, value_in(document, root, "auth"), "tokens");
    return node_at(document, tokens->data.sequence.items.start[index]);
}

/* The line of a key of a token, or that of the token if it lacks the key. */
static size_t line_in_token(yaml_document_t *document, const yaml_node_t *token, const char *key)
{
    const yaml_node_pair_t *pair = find_pair(document, token, key, token->data.mapping.pairs.top);
    return line_of(pair != NULL ? node_at(document, pair->key) : token);
}

/* libcyaml would take a text to end at its first NUL, and the rest would be lost in silence. */
static bool check_nul(const source_t *source, const yaml_document_t *document)
{
    for (const yaml_node_t *node = document->nodes.start; node != document->nodes.top; ++node) {
        if (node->type == YAML_SCALAR_NODE &&
            memchr(node->data.scalar.value, '\0', node->data.scalar.length) != NULL)
            return refuse(source, line_of(node), "a text with a NUL byte in it; no key allows one");
    }
    return true;
}

/* libcyaml would read the first document of a file and forget the others. */
static bool check_last(const source_t *source, yaml_parser_t *parser)
{
    yaml_document_t second;
    const yaml_node_t *root;
    size_t line;

    if (!yaml_parser_load(parser, &second))
        return refuse_syntax(source, parser);
    root = yaml_document_get_root_node(&second);
    line = root != NULL ? line_of(root) : 0;
    yaml_document_delete(&second);
    return root == NULL || refuse(source, line, "a second document; a config is a single one");
}

/* Composes the document. Owner: on success the caller deletes it. */
static bool compose(const source_t *source, yaml_document_t *document)
{
    yaml_parser_t parser;
    bool is_good = false;

    if (!yaml_parser_initialize(&parser))
        return refuse(source, 0, "no memory to read it");
    yaml_parser_set_input_string(&parser, (const unsigned char *)source->text, source->text_bytes);
    if (!yaml_parser_load(&parser, document))
        refuse_syntax(source, &parser);
    else if (check_last(source, &parser) && check_nul(source, document))
        is_good = true;
    else
        yaml_document_delete(document);
    yaml_parser_delete(&parser);
    return is_good;
}

/* ---- why libcyaml refused ---- */

static const cyaml_schema_field_t *find_field(const cyaml_schema_field_t *fields,
                                              const yaml_node_t *key)
{
    for (; fields->key != NULL; ++fields) {
        if (is_word(key, fields->key))
            return fields;
    }
    return NULL;
}

static void list_fields(const cyaml_schema_field_t *fields, char *list, size_t list_bytes)
{
    size_t at = 0;

    list[0] = '\0';
    for (size_t i = 0; fields[i].key != NULL && at < list_bytes; ++i)
        at +=
            (size_t)snprintf(list + at, list_bytes - at, "%s%s", i == 0 ? "" : ", ", fields[i].key);
}

static bool is_token_schema(const cyaml_schema_field_t *field)
{
    return field >= token_schema &&
           field < token_schema + sizeof(token_schema) / sizeof(token_schema[0]);
}

/* A misspelt key, one in the wrong section, or a misspelt section; NULL if nothing is near. */
static const char *guess(const cyaml_schema_field_t *fields, const char *word)
{
    const char *option = cairn_option_nearest(word);

    for (; option == NULL && fields->key != NULL; ++fields) {
        bool is_option = fields->value.type == CYAML_STRING && !is_token_schema(fields);
        if (!is_option && cairn_wording_distance(word, fields->key) <= 2)
            return fields->key;
    }
    return option;
}

static bool refuse_unknown(const source_t *source, const cyaml_schema_field_t *fields,
                           const char *section, const yaml_node_t *key)
{
    const char *word = (const char *)key->data.scalar.value, *meant = guess(fields, word);
    char quoted[CAIRN_WORDING_QUOTE_BYTES], list[CAIRN_OPTION_ERRMSG_BYTES / 2];

    cairn_wording_quote(word, quoted);
    list_fields(fields, list, sizeof(list));
    return refuse(source, line_of(key), "there is no key %s %s%s; %s%s%sthe keys here are %s",
                  quoted, section != NULL ? "in " : "at the top", section != NULL ? section : "",
                  meant != NULL ? "did you mean " : "", meant != NULL ? meant : "",
                  meant != NULL ? "? " : "", list);
}

static const char *kind_of(const yaml_node_t *node)
{
    return node->type == YAML_MAPPING_NODE    ? "a section"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "a value";
}

/* "storage.path", "storage" or "listen", from the schema's own words */
static void print_key(const char *section, const char *name, char key[CAIRN_WORDING_QUOTE_BYTES])
{
    snprintf(key, CAIRN_WORDING_QUOTE_BYTES, "%s%s%s", section != NULL ? section : "",
             section != NULL ? "." : "", name);
}

/* how an entry of auth.tokens is written */
#define TOKEN "- {name: shop, sha256: SUM, scope: read}"

static bool explain_value(const source_t *source, const cyaml_schema_field_t *field,
                          const char *section, size_t line, const yaml_node_t *value)
{
    char key[CAIRN_WORDING_QUOTE_BYTES], list[CAIRN_OPTION_ERRMSG_BYTES / 2];

    print_key(section, field->key, key);
    if (field->value.type == CYAML_SEQUENCE) {
        if (value->type == YAML_SEQUENCE_NODE || is_word(value, ""))
            return true;
        return refuse(source, line,
                      "%s: is a list, not %s; write its entries below, each as " TOKEN, key,
                      kind_of(value));
    }
    if (field->value.type != CYAML_MAPPING) {
        if (value->type == YAML_SCALAR_NODE)
            return true;
        if (is_token_schema(field))
            return refuse(source, line, "%s: is a value, not %s", key, kind_of(value));
        return refuse(source, line, "%s: is a value, not %s; write for example %s: %s", key,
                      kind_of(value), field->key, cairn_option_example(key));
    }
    /* YAML's null, a section with nothing in it */
    if (value->type == YAML_MAPPING_NODE || is_word(value, ""))
        return true;
    list_fields(field->value.mapping.fields, list, sizeof(list));
    return refuse(source, line, "%s: is a section, not %s; its keys are %s", key, kind_of(value),
                  list);
}

static bool explain(const source_t *source, yaml_document_t *document, const yaml_node_t *mapping,
                    const cyaml_schema_field_t *fields, const char *section);

/* The same for the entries of a list, which are mappings all. */
static bool explain_list(const source_t *source, yaml_document_t *document, const yaml_node_t *list,
                         const cyaml_schema_field_t *fields, const char *key)
{
    const yaml_node_item_t *item = list->data.sequence.items.start;

    for (; item != list->data.sequence.items.top; ++item) {
        const yaml_node_t *entry = node_at(document, *item);
        if (entry->type != YAML_MAPPING_NODE)
            return refuse(source, line_of(entry), "%s: an entry is written " TOKEN ", not as %s",
                          key, kind_of(entry));
        if (!explain(source, document, entry, fields, key))
            return false;
    }
    return true;
}

/* Refuses the first thing in the mapping that the schema does not allow; true if there is none. */
static bool explain(const source_t *source, yaml_document_t *document, const yaml_node_t *mapping,
                    const cyaml_schema_field_t *fields, const char *section)
{
    const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start, *before;

    for (; pair != mapping->data.mapping.pairs.top; ++pair) {
        const yaml_node_t *key = node_at(document, pair->key);
        const yaml_node_t *value = node_at(document, pair->value);
        const cyaml_schema_field_t *field = find_field(fields, key);
        char name[CAIRN_WORDING_QUOTE_BYTES];

        if (key->type != YAML_SCALAR_NODE)
            return refuse(source, line_of(key), "a key must be a word, not %s", kind_of(key));
        if (field == NULL)
            return refuse_unknown(source, fields, section, key);
        if ((before = find_pair(document, mapping, field->key, pair)) != NULL) {
            print_key(section, field->key, name);
            return refuse(source, line_of(key), "%s: is set twice, first on line %zu; keep one",
                          name, line_of(node_at(document, before->key)));
        }
        if (!explain_value(source, field, section, line_of(key), value))
            return false;
        if (value->type == YAML_MAPPING_NODE &&
            !explain(source, document, value, field->value.mapping.fields, field->key))
            return false;
        print_key(section, field->key, name);
        if (value->type == YAML_SEQUENCE_NODE &&
            !explain_list(source, document, value, field->value.sequence.entry->mapping.fields,
                          name))
            return false;
    }
    return true;
}

/* An alias leaves no trace in a composed document, only among the events. */
static size_t line_of_alias(const source_t *source)
{
    yaml_event_type_t type = YAML_NO_EVENT;
    yaml_parser_t parser;
    yaml_event_t event;
    size_t line = 0;

    if (!yaml_parser_initialize(&parser))
        return 0;
    yaml_parser_set_input_string(&parser, (const unsigned char *)source->text, source->text_bytes);
    while (type != YAML_ALIAS_EVENT && type != YAML_STREAM_END_EVENT &&
           yaml_parser_parse(&parser, &event)) {
        type = event.type;
        line = event.start_mark.line + 1;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return line;
}

static bool refuse_for(const source_t *source, yaml_document_t *document, cyaml_err_t err)
{
    const yaml_node_t *root = yaml_document_get_root_node(document);

    if (err == CYAML_ERR_ALIAS)
        return refuse(source, line_of_alias(source),
                      "aliases (*name) are not allowed; "
                      "write the value out");
    if (root != NULL && root->type != YAML_MAPPING_NODE)
        return refuse(source, line_of(root),
                      "is %s where keys belong; write for example listen: %s", kind_of(root),
                      cairn_option_example("listen"));
    if (root != NULL && !explain(source, document, root, top_schema, NULL))
        return false;
    return refuse(source, 0, "cannot be read: %s", cyaml_strerror(err));
}

/* ---- the whole ---- */

static bool read_all(source_t *source, int fd)
{
    ssize_t bytes;

    if ((source->text = malloc(FILE_BYTES_MAX + 1)) == NULL)
        return refuse(source, 0, "no memory to read it");
    while (source->text_bytes <= FILE_BYTES_MAX) {
        bytes =
            read(fd, source->text + source->text_bytes, FILE_BYTES_MAX + 1 - source->text_bytes);
        if (bytes == 0)
            return true;
        if (bytes < 0 && errno != EINTR)
            return refuse(source, 0, "%s", strerror(errno));
        source->text_bytes += bytes > 0 ? (size_t)bytes : 0;
    }
    return refuse(source, 0, "is larger than 32KiB; that is no config file");
}

static bool read_file(source_t *source)
{
    int fd = open(source->name, O_RDONLY | O_CLOEXEC);
    bool is_good;

    if (fd < 0)
        return refuse(source, 0, "%s", strerror(errno));
    is_good = read_all(source, fd);
    close(fd);
    return is_good;
}

/* Keeps what the file says. What a flag has set must be right in the file too, but stays. */
static bool apply(const source_t *source, yaml_document_t *document, const texts_t *texts,
                  cairn_config_t *config)
{
    char reason[CAIRN_OPTION_ERRMSG_BYTES];

    for (size_t i = 0; i != CAIRN_OPTION_COUNT; ++i) {
        const cairn_option_t *option = &cairn_options[i];
        cairn_config_origin_t *origin = &config->_origins[i];
        const char *text = text_of(texts, i);
        bool is_good;

        if (text == NULL)
            continue;
        if (origin->kind == CAIRN_ORIGIN_FLAG)
            is_good = cairn_option_check(option, text, reason, sizeof(reason));
        else
            is_good = cairn_option_store(config, option, text, reason, sizeof(reason));
        if (!is_good)
            return refuse(source, line_of_option(document, option), "%s: %s", option->key, reason);
        if (origin->kind != CAIRN_ORIGIN_FLAG)
            *origin = (cairn_config_origin_t){CAIRN_ORIGIN_FILE, line_of_option(document, option)};
    }
    return true;
}

static bool apply_tokens(const source_t *source, yaml_document_t *document,
                         const auth_texts_t *auth, cairn_config_t *config)
{
    char reason[CAIRN_OPTION_ERRMSG_BYTES];
    const char *key;

    for (size_t i = 0; i != auth->tokens_count; ++i) {
        const yaml_node_t *token = token_at(document, i);
        if (!cairn_config_add_token(config, &auth->tokens[i], line_of(token), &key, reason,
                                    sizeof(reason)))
            return refuse(source, line_in_token(document, token, key), "auth.tokens.%s: %s", key,
                          reason);
    }
    return true;
}

static bool check_and_apply(const source_t *source, yaml_document_t *document,
                            cairn_config_t *config)
{
    texts_t *texts = NULL;
    cyaml_err_t err = cyaml_load_data((const uint8_t *)source->text, source->text_bytes,
                                      &cyaml_config, &file_schema, (cyaml_data_t **)&texts, NULL);
    bool is_good;

    if (err != CYAML_OK)
        return refuse_for(source, document, err);
    is_good = texts == NULL ||
              (apply(source, document, texts, config) &&
               (texts->auth == NULL || apply_tokens(source, document, texts->auth, config)));
    cyaml_free(&cyaml_config, &file_schema, texts, 0);
    return is_good;
}

bool cairn_config_load(cairn_config_t *config, const char *file, char *errmsg, size_t errmsg_bytes)
{
    source_t source = {file, NULL, 0, errmsg, errmsg_bytes};
    yaml_document_t document;
    bool is_good = false;

    assert(config->_file == NULL);
    config->_file = cairn_config_copy(file);
    if (read_file(&source) && compose(&source, &document)) {
        is_good = check_and_apply(&source, &document, config);
        yaml_document_delete(&document);
    }
    free(source.text);
    return is_good;
}

/*
 * Reads a YAML file as JSON.
 */
#include "tests/yaml_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

static json_t *scalar(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    char *end;
    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return json_stringn(text, node->data.scalar.length);
    if (strcmp(text, "null") == 0 || text[0] == '\0')
        return json_null();
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(text[0] == 't');
    errno = 0;
    long long integer = strtoll(text, &end, 10);
    if (*end == '\0' && errno == 0)
        return json_integer(integer);
    double real = strtod(text, &end);
    if (*end == '\0')
        return json_real(real);
    return json_stringn(text, node->data.scalar.length);
}

static json_t *convert(yaml_document_t *document, int index)
{
    const yaml_node_t *node = yaml_document_get_node(document, index);
    json_t *json;
    if (node->type == YAML_SCALAR_NODE)
        return scalar(node);
    if (node->type == YAML_SEQUENCE_NODE) {
        json = json_array();
        for (yaml_node_item_t *i = node->data.sequence.items.start;
             i != node->data.sequence.items.top; ++i)
            json_array_append_new(json, convert(document, *i));
        return json;
    }
    json = json_object();
    for (yaml_node_pair_t *i = node->data.mapping.pairs.start; i != node->data.mapping.pairs.top;
         ++i) {
        const yaml_node_t *key = yaml_document_get_node(document, i->key);
        json_object_set_new(json, (const char *)key->data.scalar.value,
                            convert(document, i->value));
    }
    return json;
}

json_t *yaml_json_load(const char *path)
{
    yaml_parser_t parser;
    yaml_document_t document;
    json_t *json = NULL;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "\n    %s: %s\n", path, strerror(errno));
        return NULL;
    }
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_file(&parser, file);
    if (yaml_parser_load(&parser, &document)) {
        if (yaml_document_get_root_node(&document) != NULL)
            json = convert(&document, 1); /* nodes are counted from 1, and the root is the first */
        yaml_document_delete(&document);
    } else {
        fprintf(stderr, "\n    %s:%zu: %s\n", path, parser.problem_mark.line + 1, parser.problem);
    }
    yaml_parser_delete(&parser);
    fclose(file);
    return json;
}

void json_walk(const json_t *json, void (*look)(const json_t *object, void *ctx), void *ctx)
{
    const char *name;
    size_t i;
    json_t *value;
    if (json_is_object(json))
        look(json, ctx);
    json_object_foreach((json_t *)json, name, value) json_walk(value, look, ctx);
    json_array_foreach(json, i, value) json_walk(value, look, ctx);
}

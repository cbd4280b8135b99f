/*
 * tests/yaml_json.h - reads a YAML file as JSON.
 */
#ifndef CAIRN_TESTS_YAML_JSON_H
#define CAIRN_TESTS_YAML_JSON_H

#include <jansson.h>

/**
 * Reads the one document of a file. Plain scalars are null, booleans and integers where they look
 * like it, everything else is a string; aliases become shared values. NULL, after a line on stderr,
 * if it is no YAML.
 *
 * Owner: the caller gives the reference back.
 */
json_t *yaml_json_load(const char *path);

/** Calls `look` for each object in a document, outer ones first. */
void json_walk(const json_t *json, void (*look)(const json_t *object, void *ctx), void *ctx);

#endif

/*
 * server/write_request.h - what a request asks of a write beside key and value: conditions, time to
 * live, durability, what is stored with the value.
 */
#ifndef CAIRN_SERVER_WRITE_REQUEST_H
#define CAIRN_SERVER_WRITE_REQUEST_H

#include "server/worker.h"

/** a hundred years: longer is a mistake, and a record has 48 bits for the point in time */
#define CAIRN_TTL_MS_MAX ((uint64_t)36525 * 24 * 3600 * 1000)

typedef struct st_cairn_write_request_t {
    cairn_durability_t durability;
    uint64_t ttl_ms;                      /* 0: none */
    const cairn_conditions_t *conditions; /* NULL: none; in the request's pool */
} cairn_write_request_t;

/** Reads headers and query. On failure the request has been answered. */
bool cairn_write_request_read(h2o_req_t *req, cairn_write_request_t *asked);

/** Gives a write what was asked. A write of NULL stays NULL. */
void cairn_write_request_apply(const cairn_write_request_t *asked, cairn_write_t *write);

/**
 * Collects the headers that are stored with a value. On failure the request has been answered.
 * `has_ttl`: Cache-Control is not stored, since a reader is told the time left.
 */
bool cairn_write_request_meta(h2o_req_t *req, bool has_ttl, cairn_meta_builder_t *meta);

/** A parameter of the query, decoded, in the request's pool. False: none; base NULL: a bad escape,
 * and the request has been answered. */
bool cairn_write_request_param(h2o_req_t *req, const char *name, h2o_iovec_t *value);

/** A parameter that is true or false, false where it is not given. On failure the request has been
 * answered. */
bool cairn_write_request_flag(h2o_req_t *req, const char *name, bool *flag);

#endif

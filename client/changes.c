/*
 * client/changes.c - following what changes, over breaks and restarts.
 *
 * Each request asks for what comes next and waits on the server until there is something; its
 * answer names the request after it. So that name is all the state there is, and after a break the
 * same request is sent again.
 */
#include "client/client_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_DEFAULT_MS 30000
#define PAGE 1000
/* pauses before trying again after a break, doubling */
#define PAUSE_LEAST_MS 50
#define PAUSE_MOST_MS 2000

typedef struct st_follower_t {
    cairn_client_t *db;
    const cairn_client_feed_t *feed;
    cairn_client_change_cb on_change;
    void *ctx;
    uint64_t since; /* the last version told */
    char *next;     /* the target to ask next; NULL before the first answer */
    uint32_t wait_ms;
    uint32_t pause_ms; /* the last one; 0 while connected */
    uint64_t gone_ms;  /* how long the server has been gone */
    bool is_over;
} follower_t;

static bool take_change(follower_t *f, const json_t *json)
{
    const char *op = json_string_value(json_object_get(json, "op"));
    char *key, *value;
    cairn_client_change_t change = {
        .version = (uint64_t)json_integer_value(json_object_get(json, "version")),
        .is_delete = op != NULL && strcmp(op, "delete") == 0,
        .size = (uint64_t)json_integer_value(json_object_get(json, "size")),
    };
    cairn_client_json_get(json, "key", &key, &change.key_bytes);
    cairn_client_json_get(json, "value", &value, &change.value_bytes);
    bool is_good = key != NULL && change.version > f->since;
    if (is_good) {
        change.key = key;
        change.value = value;
        f->since = change.version;
        f->is_over = !f->on_change(f->ctx, &change);
    }
    free(key);
    free(value);
    return is_good;
}

/** hands over what came; `*count` is how many changes */
static cairn_client_err_t take_changes(follower_t *f, size_t *count)
{
    cairn_client_buffer_t page = f->db->answer; /* the callback may use the handle */
    f->db->answer = (cairn_client_buffer_t){.bytes = NULL};
    bool is_good = true, is_error = false;
    size_t at = 0;
    for (*count = 0; is_good && !f->is_over; ++*count) {
        json_t *json = cairn_client_next_line(&page, &at, &is_error);
        if (json == NULL)
            break;
        is_good = take_change(f, json);
        json_decref(json);
    }
    cairn_client_buffer_dispose(&page);
    if (is_good && !is_error)
        return CAIRN_CLIENT_OK;
    return cairn_client_fail(f->db, CAIRN_CLIENT_PROTOCOL, "a line of the feed is not one");
}

/** makes the target of the first request */
static void begin(follower_t *f)
{
    const cairn_client_feed_t *feed = f->feed;
    char wait[32];
    int bytes = snprintf(wait, sizeof(wait), "%ums", f->wait_ms);
    cairn_client_target(f->db, "/v1/changes", NULL, 0);
    if (feed->from_now)
        cairn_client_query(f->db, "since", "now", strlen("now"));
    else
        cairn_client_query_number(f->db, "since", f->since);
    cairn_client_query_number(f->db, "limit", PAGE);
    if (feed->prefix_bytes != 0)
        cairn_client_query(f->db, "prefix", feed->prefix, feed->prefix_bytes);
    if (feed->with_values)
        cairn_client_query(f->db, "values", "true", strlen("true"));
    if (!feed->ends_at_present)
        cairn_client_query(f->db, "wait", wait, (size_t)bytes);
}

static cairn_client_err_t ask(follower_t *f)
{
    if (f->next != NULL)
        cairn_client_target(f->db, f->next, NULL, 0);
    else
        begin(f);
    cairn_client_err_t err =
        cairn_client_send(f->db, &(cairn_client_request_t){.wait_ms = f->wait_ms});
    if (err != CAIRN_CLIENT_OK)
        return err;
    char *next = cairn_client_next_target(f->db);
    if (next == NULL)
        return cairn_client_fail(f->db, CAIRN_CLIENT_PROTOCOL,
                                 "the feed does not say how it goes on");
    free(f->next);
    f->next = next;
    return CAIRN_CLIENT_OK;
}

/** whether an error may be gone after a while */
static bool is_passing(cairn_client_err_t err)
{
    return err == CAIRN_CLIENT_UNREACHABLE || err == CAIRN_CLIENT_TIMEOUT ||
           err == CAIRN_CLIENT_BROKEN || err == CAIRN_CLIENT_BUSY;
}

/** waits a little after a break; false if it is time to give up */
static bool pause_and_go_on(follower_t *f)
{
    if (f->feed->give_up_ms != 0 && f->gone_ms >= f->feed->give_up_ms)
        return false;
    f->is_over = !f->on_change(f->ctx, NULL);
    if (f->is_over)
        return true;
    f->pause_ms = f->pause_ms == 0                  ? PAUSE_LEAST_MS
                  : f->pause_ms * 2 < PAUSE_MOST_MS ? f->pause_ms * 2
                                                    : PAUSE_MOST_MS;
    f->gone_ms += f->pause_ms;
    nanosleep(&(struct timespec){.tv_sec = f->pause_ms / 1000,
                                 .tv_nsec = (long)(f->pause_ms % 1000) * 1000000},
              NULL);
    return true;
}

/** one request and what comes of it; an error ends the feed */
static cairn_client_err_t follow(follower_t *f)
{
    size_t count = 0;
    cairn_client_err_t err = ask(f);
    if (is_passing(err) && !f->feed->ends_at_present)
        return pause_and_go_on(f) ? CAIRN_CLIENT_OK : err;
    f->pause_ms = 0;
    f->gone_ms = 0;
    if (err == CAIRN_CLIENT_OK)
        err = take_changes(f, &count);
    if (err != CAIRN_CLIENT_OK || count != 0)
        return err;
    f->is_over = f->feed->ends_at_present || !f->on_change(f->ctx, NULL);
    return CAIRN_CLIENT_OK;
}

cairn_client_err_t cairn_changes(cairn_client_t *db, const cairn_client_feed_t *feed,
                                 cairn_client_change_cb on_change, void *ctx)
{
    static const cairn_client_feed_t everything;
    cairn_client_err_t err = CAIRN_CLIENT_OK;
    if (db == NULL)
        return CAIRN_CLIENT_NOMEM;
    if (feed == NULL)
        feed = &everything;
    follower_t f = {.db = db,
                    .feed = feed,
                    .on_change = on_change,
                    .ctx = ctx,
                    .since = feed->since,
                    .wait_ms = feed->wait_ms != 0 ? feed->wait_ms : WAIT_DEFAULT_MS};
    while (err == CAIRN_CLIENT_OK && !f.is_over)
        err = follow(&f);
    free(f.next);
    return err;
}

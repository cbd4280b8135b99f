/*
 * server/reload.c - what SIGHUP changes while the server runs.
 *
 * Judge first, then apply: the whole new config is read and checked before anything changes. An
 * option that may change at run time has a line in may_change[] and its effect in apply(); only
 * log.level has it before, for the lines of the reload itself.
 */
#include "server/reload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/access_log.h"
#include "server/cli.h"
#include "server/gate.h"
#include "server/log.h"
#include "server/serve.h"
#include "server/tls.h"

static const bool may_change[CAIRN_OPTION_COUNT] = {
    [CAIRN_OPTION_tls_certificate] = true,
    [CAIRN_OPTION_tls_key] = true,
    [CAIRN_OPTION_limits_value_bytes] = true,
    [CAIRN_OPTION_limits_connections] = true,
    [CAIRN_OPTION_limits_queue_ops] = true,
    [CAIRN_OPTION_limits_queue_bytes] = true,
    [CAIRN_OPTION_limits_body_bytes] = true,
    [CAIRN_OPTION_limits_read_rate] = true,
    [CAIRN_OPTION_limits_batch_ops] = true,
    [CAIRN_OPTION_limits_wait_ms] = true,
    [CAIRN_OPTION_limits_stall_ms] = true,
    [CAIRN_OPTION_limits_idle_timeout_ms] = true,
    [CAIRN_OPTION_limits_shutdown_timeout_ms] = true,
    [CAIRN_OPTION_log_level] = true,
    [CAIRN_OPTION_log_access] = true,
};

typedef struct st_reload_t {
    cairn_server_t *server;
    cairn_config_t *config;
    cairn_config_t next;
    SSL_CTX *ssl_ctx; /* the certificate read anew; NULL to keep the old one */
} reload_t;

static void say(cairn_log_level_t level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(cairn_log_level_t level, const char *format, ...)
{
    char text[CAIRN_CONFIG_ERRMSG_BYTES], line[CAIRN_CONFIG_ERRMSG_BYTES + 16];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    snprintf(line, sizeof(line), "reload: %s", text);
    cairn_log(level, line);
}

/** takes an option back to what it is now */
static void keep(reload_t *r, cairn_option_id_t id)
{
    cairn_config_take(&r->next, r->config, id);
}

/** segments stay as they are until a restart, so the value must fit into those; that it fits into
 * the rest has been checked with the config */
static void check_value_fits(reload_t *r)
{
    uint64_t most = r->config->storage_segment_bytes - CAIRN_CONFIG_RECORD_OVERHEAD_BYTES;
    if (r->next.limits_value_bytes <= most)
        return;
    say(CAIRN_LOG_WARNING,
        "limits.value_bytes: %" PRIu64 " bytes need a restart; up to %" PRIu64
        " fit into segments as they are",
        r->next.limits_value_bytes, most);
    keep(r, CAIRN_OPTION_limits_value_bytes);
}

static void read_certificate(reload_t *r)
{
    char errmsg[CAIRN_CONFIG_ERRMSG_BYTES];
    if (cairn_tls_is_on(r->config) != cairn_tls_is_on(&r->next))
        say(CAIRN_LOG_WARNING, "tls: turning it on or off needs a restart");
    else if (!cairn_tls_is_on(r->config))
        return;
    else if ((r->ssl_ctx = cairn_tls_load(&r->next, errmsg, sizeof(errmsg))) != NULL)
        return;
    else
        say(CAIRN_LOG_ERROR, "%s; the certificate there is stays in use", errmsg);
    keep(r, CAIRN_OPTION_tls_certificate);
    keep(r, CAIRN_OPTION_tls_key);
}

/** opened once it is wanted, it stays open: its rings belong to workers that may be using them */
static void open_access_log(reload_t *r)
{
    char errmsg[CAIRN_CONFIG_ERRMSG_BYTES];
    if (r->server->access_log != NULL ||
        cairn_serve_open_access_log(r->server, &r->next, errmsg, sizeof(errmsg)))
        return;
    say(CAIRN_LOG_ERROR, "access log: %s; it stays off", errmsg);
    keep(r, CAIRN_OPTION_log_access);
}

static void sort_out(reload_t *r)
{
    for (cairn_option_id_t id = 0; id != CAIRN_OPTION_COUNT; ++id) {
        if (may_change[id] || !cairn_config_differs(r->config, &r->next, id))
            continue;
        say(CAIRN_LOG_WARNING, "%s: a new value needs a restart", cairn_config_key(id));
        keep(r, id);
    }
    check_value_fits(r);
    read_certificate(r);
    open_access_log(r);
}

/** all of them, changed or not: a list is no option that could be compared */
static void replace_tokens(reload_t *r)
{
    cairn_config_t *config = r->config, *next = &r->next;
    cairn_config_token_t *old_tokens = config->tokens;
    size_t old_count = config->token_count;
    config->tokens = next->tokens;
    config->token_count = next->token_count;
    next->tokens = old_tokens;
    next->token_count = old_count;
    cairn_gate_set_tokens(r->server, config);
    if (config->token_count != 0)
        say(CAIRN_LOG_INFO, "auth.tokens: %zu in force, also for those who follow changes",
            config->token_count);
    else if (old_count != 0)
        say(CAIRN_LOG_WARNING, "auth.tokens: there are none any more; everyone may do everything");
}

/** the one place where a reload takes effect */
static void apply(reload_t *r)
{
    cairn_server_t *server = r->server;
    for (cairn_option_id_t id = 0; id != CAIRN_OPTION_COUNT; ++id) {
        if (!cairn_config_differs(r->config, &r->next, id))
            continue;
        cairn_config_take(r->config, &r->next, id);
        say(CAIRN_LOG_INFO, "%s has its new value", cairn_config_key(id));
    }
    uint64_t value_bytes = r->config->limits_value_bytes;
    cairn_serve_set_value_bytes_max(server, value_bytes);
    server->limits = cairn_serve_limits(r->config);
    cairn_store_set_queue_max(atomic_load_explicit(&server->store, memory_order_relaxed),
                              r->config->limits_queue_ops, r->config->limits_queue_bytes);
    bool logs_access = r->config->log_access != CAIRN_ACCESS_LOG_OFF;
    if (logs_access)
        cairn_access_log_set_format(server->access_log, r->config->log_access);
    for (size_t i = 0; i < server->worker_count; ++i)
        cairn_worker_reload(server->workers[i], r->ssl_ctx, &server->limits, logs_access);
    replace_tokens(r);
    if (r->ssl_ctx != NULL)
        say(CAIRN_LOG_INFO, "the certificate has been read again, for connections still to come");
    say(CAIRN_LOG_INFO, "done");
}

void cairn_reload(cairn_server_t *server, cairn_config_t *config, int argc, char *const *argv)
{
    static char errmsg[CAIRN_CONFIG_ERRMSG_BYTES];
    reload_t r = {.server = server, .config = config};
    /* first, and even if the config has a mistake: whoever has moved the file away counts on it */
    if (server->access_log != NULL)
        cairn_access_log_reopen(server->access_log);
    cairn_config_init(&r.next);
    if (cairn_cli_serve(&r.next, argc, argv, stdout, errmsg, sizeof(errmsg)) == CAIRN_CLI_RUN) {
        cairn_log_set_level(r.next.log_level); /* first: it is for the lines below, too */
        sort_out(&r);
        apply(&r);
    } else {
        say(CAIRN_LOG_ERROR, "%s; nothing has changed", errmsg);
    }
    SSL_CTX_free(r.ssl_ctx);
    cairn_config_dispose(&r.next);
}

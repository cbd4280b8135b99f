/*
 * server/serve.c - the server from start to stop: up in order, down in reverse.
 *
 * The workers run before the store is open, so that a long replay is something a client can ask
 * about (/readyz) and not a port that refuses.
 */
#include "server/serve.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "server/access_log.h"
#include "server/clock.h"
#include "server/gate.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/reload.h"
#include "server/route.h"
#include "server/steer.h"
#include "server/systemd.h"
#include "server/tls.h"
#include "server/worker.h"

/** descriptors kept back for segments, the data directory, event loops, standard streams */
#define FDS_RESERVED 1024
/** a JSON body may say a value in more bytes than it has */
#define ENTITY_SLACK_BYTES 65536
/** how often a takeover tries the lock, and how often it says that it waits */
#define LOCK_POLL_MS 20
#define LOCK_REPORT_MS 5000
/** for connections whose handshake was under way when they were steered elsewhere */
#define HANDOVER_MS 100
/** how often main looks whether the workers have stopped */
#define STOP_POLL_MS 10
/** looking whether all workers have closed their listeners, and for how long */
#define CLOSE_POLL_MS 1
#define CLOSE_MS_MAX 200

static cairn_server_t server;
/* SIGHUP is one of signals only */
static sigset_t stop_signals, signals;

/** also listens to the signals: a long replay can be stopped */
static bool on_progress(void *ctx, uint64_t bytes_done, uint64_t bytes_total)
{
    static const struct timespec at_once = {0, 0};
    (void)ctx;
    atomic_store_explicit(&server.load_done, bytes_done, memory_order_relaxed);
    atomic_store_explicit(&server.load_total, bytes_total, memory_order_relaxed);
    return sigtimedwait(&stop_signals, NULL, &at_once) < 0;
}

/** connections there may be, as far as the process may have descriptors */
static size_t connections_max(const cairn_config_t *config)
{
    struct rlimit limit;
    uint64_t connections = config->limits_connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        uint64_t fds = limit.rlim_max;
        uint64_t reserved = fds / 4 < FDS_RESERVED ? fds / 4 : FDS_RESERVED;
        if (connections > fds - reserved) {
            char line[160];
            snprintf(line, sizeof(line),
                     "limits.connections is %" PRIu64 ", but the process may open only %" PRIu64
                     " files: %" PRIu64 " connections it is",
                     connections, fds, fds - reserved);
            cairn_log(CAIRN_LOG_WARNING, line);
            connections = fds - reserved;
        }
    }
    return (size_t)connections;
}

cairn_limits_t cairn_serve_limits(const cairn_config_t *config)
{
    return (cairn_limits_t){
        .connections = connections_max(config),
        .queue_ops = config->limits_queue_ops,
        .queue_bytes = config->limits_queue_bytes,
        .body_bytes = config->limits_body_bytes,
        .read_rate = config->limits_read_rate,
        .batch_ops = config->limits_batch_ops,
        .wait_ms = config->limits_wait_ms,
        .stall_ms = config->limits_stall_ms,
        .idle_timeout_ms = config->limits_idle_timeout_ms,
    };
}

void cairn_serve_set_value_bytes_max(cairn_server_t *s, uint64_t bytes)
{
    cairn_store_t *store = atomic_load_explicit(&s->store, memory_order_relaxed);
    atomic_store_explicit(&s->value_bytes_max, bytes, memory_order_relaxed);
    /* libh2o reads the word anew for each request */
    s->globalconf.max_request_entity_size = bytes + ENTITY_SLACK_BYTES;
    if (store != NULL)
        cairn_store_set_value_bytes_max(store, bytes);
}

static void configure_http(const cairn_config_t *config)
{
    /* a large body stays in memory: the library's temporary files cost disk time on the loop */
    h2o_socket_buffer_mmap_settings.threshold = SIZE_MAX;
    h2o_config_init(&server.globalconf);
    server.globalconf.http1.upgrade_to_http2 = 0; /* docs/ARCHITECTURE.md says why */
    server.globalconf.http1.req_timeout = config->limits_idle_timeout_ms;
    cairn_serve_set_value_bytes_max(&server, config->limits_value_bytes);
    server.globalconf.server_name = h2o_iovec_init(H2O_STRLIT("cairn"));
    server.host =
        h2o_config_register_host(&server.globalconf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    cairn_route_register(&server);
}

bool cairn_serve_open_access_log(cairn_server_t *s, const cairn_config_t *config, char *errmsg,
                                 size_t errmsg_bytes)
{
    cairn_access_log_options_t options = {
        .format = config->log_access,
        .file = config->log_file,
        .ring_count = config->workers,
        .on_log = cairn_log_on,
    };
    cairn_access_log_t *log;
    if (config->log_access == CAIRN_ACCESS_LOG_OFF)
        return true;
    if (!cairn_access_log_open(&log, &options, errmsg, errmsg_bytes))
        return false;
    /* release: pairs with the acquire of workers that log */
    atomic_store_explicit(&s->access_log, log, memory_order_release);
    return true;
}

static bool open_access_log(const cairn_config_t *config)
{
    char errmsg[CAIRN_CONFIG_ERRMSG_BYTES];
    if (cairn_serve_open_access_log(&server, config, errmsg, sizeof(errmsg)))
        return true;
    fprintf(stderr, "cairn: access log: %s\n", errmsg);
    return false;
}

static void close_access_log(void)
{
    char line[96];
    uint64_t dropped = cairn_access_log_close(server.access_log);
    server.access_log = NULL;
    if (dropped == 0)
        return;
    snprintf(line, sizeof(line), "access log: %" PRIu64 " lines have been dropped", dropped);
    cairn_log(CAIRN_LOG_ERROR, line);
}

static bool start_workers(const cairn_config_t *config, const cairn_listeners_t *listeners)
{
    server.limits = cairn_serve_limits(config);
    server.workers = h2o_mem_alloc(config->workers * sizeof(*server.workers));
    while (server.worker_count < config->workers) {
        size_t i = server.worker_count;
        server.workers[i] = cairn_worker_start(&server, i, listeners->fds[i]);
        if (server.workers[i] == NULL)
            return false;
        ++server.worker_count;
    }
    for (size_t i = 0; i < server.worker_count; ++i)
        cairn_worker_let_serve(server.workers[i]);
    return true;
}

static bool all_have_stopped(void)
{
    for (size_t i = 0; i < server.worker_count; ++i)
        if (!atomic_load_explicit(&server.workers[i]->has_stopped, memory_order_acquire))
            return false;
    return true;
}

static bool all_have_closed(void)
{
    for (size_t i = 0; i < server.worker_count; ++i)
        if (!atomic_load_explicit(&server.workers[i]->has_closed, memory_order_acquire))
            return false;
    return true;
}

/**
 * Before any connection is told that it ends: its client connects again at once, and must not meet
 * the socket of another worker that is about to close. One that is slow to close is not waited for
 * for ever.
 */
static void close_listeners(void)
{
    struct timespec poll = {.tv_nsec = CLOSE_POLL_MS * 1000000L};
    for (size_t i = 0; i < server.worker_count; ++i)
        cairn_worker_ask_to_close(server.workers[i]);
    for (unsigned ms = 0; ms < CLOSE_MS_MAX && !all_have_closed(); ms += CLOSE_POLL_MS)
        nanosleep(&poll, NULL);
}

static void stop_workers(const cairn_config_t *config)
{
    struct timespec poll = {.tv_nsec = STOP_POLL_MS * 1000000L};
    uint64_t deadline = cairn_monotonic_ms() + config->limits_shutdown_timeout_ms;
    bool abandoned = false;
    close_listeners();
    for (size_t i = 0; i < server.worker_count; ++i)
        cairn_worker_ask_to_stop(server.workers[i]);
    while (!all_have_stopped()) {
        if (!abandoned && cairn_monotonic_ms() >= deadline) {
            cairn_log(CAIRN_LOG_WARNING,
                      "limits.shutdown_timeout has passed: cutting the connections left");
            for (size_t i = 0; i < server.worker_count; ++i)
                cairn_worker_abandon(server.workers[i]);
            abandoned = true;
        }
        nanosleep(&poll, NULL);
    }
}

/** whether a signal to stop has come, or comes within so long */
static bool asked_to_stop_within(unsigned ms)
{
    struct timespec wait = {.tv_nsec = ms * 1000000L};
    return sigtimedwait(&stop_signals, NULL, &wait) > 0;
}

/**
 * In a takeover, as soon as the other cairn has let go of the directory. CANCELLED when a signal
 * has stopped it; any other error has been told.
 */
static cairn_err_t open_store(const cairn_config_t *config, cairn_store_t **store)
{
    char errmsg[CAIRN_ERRMSG_BYTES];
    bool in_memory = strcmp(config->storage_path, ":memory:") == 0;
    cairn_store_options_t options = {
        .path = in_memory ? NULL : config->storage_path,
        .salvage = config->salvage,
        .accept_loss = config->accept_loss,
        .segment_bytes = config->storage_segment_bytes,
        .value_bytes_max = config->limits_value_bytes,
        .sync_interval_ms = config->storage_sync_interval_ms,
        .scrub_rate = config->storage_scrub_rate,
        .checkpoint_bytes = config->storage_checkpoint_bytes,
        .queue_ops_max = config->limits_queue_ops,
        .queue_bytes_max = config->limits_queue_bytes,
        .io_threads = (unsigned)config->storage_io_threads,
        .max_bytes = config->storage_max_bytes,
        .tombstone_retention_ms = config->storage_tombstone_retention_ms,
        .on_progress = on_progress,
        .on_log = cairn_log_on,
    };
    cairn_err_t err = cairn_store_open(store, &options, errmsg);
    for (uint64_t waited_ms = 0; err == CAIRN_ERR_LOCKED && config->takeover == CAIRN_YES;
         waited_ms += LOCK_POLL_MS) {
        /* whoever asked for it waits to read this before he goes on, whatever log.level is */
        if (waited_ms % LOCK_REPORT_MS == 0)
            fputs("cairn: takeover: waiting for the other cairn to stop; send it SIGTERM\n",
                  stderr);
        if (asked_to_stop_within(LOCK_POLL_MS)) {
            cairn_log(CAIRN_LOG_INFO, "takeover: given up");
            return CAIRN_ERR_CANCELLED;
        }
        err = cairn_store_open(store, &options, errmsg);
    }
    if (err == CAIRN_ERR_CANCELLED)
        cairn_log(CAIRN_LOG_INFO, "stopping before the store is loaded");
    else if (err != CAIRN_OK)
        fprintf(stderr, "cairn: open store %s: %s\n", config->storage_path, errmsg);
    return err;
}

/** signals are taken by sigwait() in main only: every thread inherits the mask */
static void block_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    signals = stop_signals;
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

static void announce(const cairn_listeners_t *listeners)
{
    const char *bound = listeners->bound, *scheme = server.ssl_ctx != NULL ? "https" : "http";
    printf("listening on %s\n", bound);
    if (strncmp(bound, "unix:", 5) == 0)
        printf("try: curl --unix-socket %s '%s://localhost/set?key=foo&value=bar'\n", bound + 5,
               scheme);
    else
        printf("try: curl '%s://%s/set?key=foo&value=bar'; curl '%s://%s/get?key=foo'\n", scheme,
               bound, scheme, bound);
    fflush(stdout);
}

/** until it is to stop */
static void take_signals(cairn_config_t *config, int argc, char *const *argv)
{
    int got = SIGTERM;
    for (;;) {
        sigwait(&signals, &got);
        if (got != SIGHUP)
            break;
        cairn_systemd_notify_reloading();
        cairn_reload(&server, config, argc, argv);
        cairn_systemd_notify("READY=1");
    }
    cairn_systemd_notify("STOPPING=1");
    cairn_log(CAIRN_LOG_INFO, got == SIGINT ? "SIGINT: stopping" : "SIGTERM: stopping");
}

static bool start_serving(const cairn_config_t *config, const cairn_listeners_t *listeners)
{
    if (start_workers(config, listeners))
        return true;
    fprintf(stderr, "cairn: the threads of %" PRIu64 " workers cannot be started\n",
            config->workers);
    return false;
}

/**
 * From sockets that listen to a store that is open. In a takeover nothing is accepted before: who
 * connects waits in the backlog, and is not told that the server is loading.
 * What went wrong has been told.
 */
static cairn_err_t start(const cairn_config_t *config, const cairn_listeners_t *listeners,
                         cairn_store_t **store)
{
    bool takes_over = config->takeover == CAIRN_YES;
    configure_http(config);
    cairn_gate_set_tokens(&server, config);
    if (!open_access_log(config))
        return CAIRN_ERR_IO;
    if (!takes_over && !start_serving(config, listeners))
        return CAIRN_ERR_IO;
    cairn_err_t err = open_store(config, store);
    if (err != CAIRN_OK) {
        stop_workers(config);
        close_access_log();
        return err;
    }
    /* release: pairs with the acquire of the workers */
    atomic_store_explicit(&server.store, *store, memory_order_release);
    if (takes_over && !start_serving(config, listeners)) {
        cairn_store_close(*store);
        return CAIRN_ERR_IO;
    }
    cairn_steer_to_own(listeners->fds[0][0], listeners->worker_count);
    return CAIRN_OK;
}

/** while another cairn waits to take over, new connections go there before we close our sockets */
static void hand_over(const cairn_listeners_t *listeners)
{
    struct timespec wait = {.tv_nsec = HANDOVER_MS * 1000000L};
    if (cairn_steer_to_others(listeners->fds[0][0], listeners->worker_count) == 0)
        return;
    cairn_log(CAIRN_LOG_INFO, "another cairn takes over");
    nanosleep(&wait, NULL);
}

/** sockets that systemd has opened are used instead of the option `listen` */
static bool open_listeners(const cairn_config_t *config, cairn_listeners_t *listeners, char *errmsg,
                           size_t errmsg_bytes)
{
    size_t count = cairn_systemd_take_fds();
    if (count != 0)
        return cairn_listen_inherited(listeners, CAIRN_SYSTEMD_FIRST_FD, count, config->workers,
                                      errmsg, errmsg_bytes);
    return cairn_listen(listeners, config->listen, config->workers, config->takeover == CAIRN_YES,
                        errmsg, errmsg_bytes);
}

static bool prepare(const cairn_config_t *config, cairn_listeners_t *listeners)
{
    char errmsg[CAIRN_CONFIG_ERRMSG_BYTES];
    server.config = config;
    server.started_ms = cairn_monotonic_ms();
    cairn_log_set_level(config->log_level);
    if ((!cairn_tls_is_on(config) ||
         (server.ssl_ctx = cairn_tls_load(config, errmsg, sizeof(errmsg))) != NULL) &&
        open_listeners(config, listeners, errmsg, sizeof(errmsg)))
        return true;
    fprintf(stderr, "cairn: %s\n", errmsg);
    return false;
}

int cairn_serve(cairn_config_t *config, int argc, char *const *argv)
{
    cairn_listeners_t listeners;
    cairn_store_t *store = NULL;
    block_signals();
    if (!prepare(config, &listeners))
        return 1;
    cairn_err_t err = start(config, &listeners, &store);
    if (err == CAIRN_OK) {
        announce(&listeners);
        cairn_systemd_notify("READY=1");
        take_signals(config, argc, argv);
        hand_over(&listeners);
        stop_workers(config);
        close_access_log();
        err = cairn_store_close(store);
        if (err == CAIRN_OK)
            cairn_log(CAIRN_LOG_INFO, "stopped; everything is on disk");
        else
            cairn_log(CAIRN_LOG_ERROR, "stopped after a failure of the disk");
    }
    cairn_listeners_dispose(&listeners);
    return err == CAIRN_OK || err == CAIRN_ERR_CANCELLED ? 0 : 1;
}

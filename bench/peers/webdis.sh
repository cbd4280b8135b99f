# shellcheck shell=bash disable=SC2034,SC2154
# Redis over HTTP: webdis in front of the Redis that keeps nothing on disk.
ABOUT[webdis]="HTTP in front of redis, over loopback, a thread a core; GET /GET/key.txt"
PROTOCOL[webdis]=webdis
PACKAGE[webdis]=webdis
NEEDS[webdis]=redis

start_webdis() {
    PORT[webdis]=$(free_port)
    cat >"$WORK/webdis.json" <<CONFIG
{
    "redis_host": "127.0.0.1", "redis_port": ${PORT[redis]}, "redis_auth": null, "database": 0,
    "http_host": "127.0.0.1", "http_port": ${PORT[webdis]}, "threads": $WORKERS,
    "pool_size": 20, "daemonize": false, "verbosity": 0, "logfile": "$WORK/webdis.own.log"
}
CONFIG
    launch webdis webdis "$WORK/webdis.json"
    await_listening webdis
}

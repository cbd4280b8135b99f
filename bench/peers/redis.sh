# shellcheck shell=bash disable=SC2034,SC2154
# Redis through its own protocol, in three degrees of durability.
ABOUT[redis]="RESP, in memory only"
ABOUT[redis_everysec]="RESP, AOF with appendfsync everysec: cairn's async"
ABOUT[redis_always]="RESP, AOF with appendfsync always: cairn's sync"

start_redis_as() { # name option...
    local name=$1
    shift
    PORT["$name"]=$(free_port)
    mkdir -p "$WORK/$name"
    launch "$name" redis-server --bind 127.0.0.1 --port "${PORT[$name]}" --dir "$WORK/$name" \
        --save "" --maxclients 16384 --tcp-backlog 4096 "$@"
    await_listening "$name"
}

start_redis() {
    start_redis_as redis --appendonly no
}
start_redis_everysec() {
    start_redis_as redis_everysec --appendonly yes --appendfsync everysec
}
start_redis_always() {
    start_redis_as redis_always --appendonly yes --appendfsync always
}

for name in redis redis_everysec redis_always; do
    PROTOCOL["$name"]=resp
    PACKAGE["$name"]=redis-server
done

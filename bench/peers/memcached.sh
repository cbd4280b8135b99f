# shellcheck shell=bash disable=SC2034,SC2154
# memcached: memory only, its text protocol, a thread a core.
ABOUT[memcached]="text protocol, memory only, 4 GiB"
PROTOCOL[memcached]=memcached
PACKAGE[memcached]=memcached

start_memcached() {
    local user=()
    if [ "$(id -u)" = 0 ]; then user=(-u root); fi
    PORT[memcached]=$(free_port)
    launch memcached memcached -l 127.0.0.1 -p "${PORT[memcached]}" -U 0 -t "$WORKERS" -m 4096 \
        -c 16384 -I 2m "${user[@]}"
    await_listening memcached
}

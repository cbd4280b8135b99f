#!/usr/bin/env bash
# cairn beside the ceiling (a bare libh2o server that stores nothing) and nginx, on this machine.
#
# Every load runs for a few seconds against each server in turn, round after round, so that a machine
# that slows down slows all of them down. A ratio is taken within its round; the table shows the
# median of the ratios and their spread. Servers that are not under load are idle meanwhile.
#
# Environment: BUILD (build), ROUNDS (5), SECONDS_PER_RUN (4s), RESULT (bench/results/quick.md).
# Ends with 0 when every floor is met, with 3 when one is not, with 1 when something went wrong.
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=$PATH:/usr/sbin # where nginx is
BUILD=${BUILD:-build}
ROUNDS=${ROUNDS:-5}
SECONDS_PER_RUN=${SECONDS_PER_RUN:-4s}
RESULT=${RESULT:-bench/results/quick.md}

KEYS=100000
VALUE_BYTES=100
CLIENT_THREADS=2
CONNECTIONS=64
WORKERS=$(nproc)
WARM_UP=1s
START_SECONDS=20

# the floors: cairn's requests per second as a share of the other server's
GET_FLOOR=0.90
PUT_SYNC_FLOOR=0.40
PUT_ASYNC_FLOOR=0.80
NGINX_FLOOR=1.00

# on the disk that holds the build, which is where cairn's data belongs too
WORK=$(mktemp -d "$(realpath "$BUILD")/bench.XXXXXX")
declare -A PORT=()
PIDS=()

fail() {
    echo "bench: $*" >&2
    exit 1
}

progress() {
    echo "bench: $*" >&2
}

clean_up() {
    local pid
    trap - EXIT INT TERM
    for pid in "${PIDS[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "${PIDS[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$WORK"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---------------------------------------------------------------- servers

is_listening() { # port
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# starts a server in the background, its output in a log
launch() { # name command...
    local name=$1
    shift
    : >"$WORK/$name.log" # there before anyone looks into it
    "$@" >>"$WORK/$name.log" 2>&1 &
    PIDS+=("$!")
}

log_of() { # name
    cat "$WORK/$1.log"
}

# the port in "listening on ...:PORT ..."
announced_port() { # name
    sed -nE 's/^listening on [^ ]*:([0-9]+)( .*)?$/\1/p' "$WORK/$1.log" | head -n 1
}

# for a server that says where it listens
await_port() { # name
    local name=$1 pid=${PIDS[-1]}
    for ((i = 0; i < START_SECONDS * 20; ++i)); do
        PORT[$name]=$(announced_port "$name")
        if [ -n "${PORT[$name]}" ]; then return; fi
        kill -0 "$pid" 2>/dev/null || fail "$name has ended: $(log_of "$name")"
        sleep 0.05
    done
    fail "$name does not say where it listens: $(log_of "$name")"
}

# for a server that was told where to listen
await_listening() { # name
    local name=$1 pid=${PIDS[-1]}
    for ((i = 0; i < START_SECONDS * 20; ++i)); do
        kill -0 "$pid" 2>/dev/null || fail "$name has ended: $(log_of "$name")"
        if is_listening "${PORT[$name]}"; then return; fi
        sleep 0.05
    done
    fail "$name does not listen: $(log_of "$name")"
}

start_ceiling() {
    launch ceiling "$BUILD/ceiling" 0 "$WORKERS"
    await_port ceiling
}

start_cairn() {
    launch cairn "$BUILD/cairn" serve --listen 127.0.0.1:0 --data "$WORK/data"
    await_port cairn
}

free_port() {
    local port
    for ((i = 0; i < 100; ++i)); do
        port=$((20000 + RANDOM % 12000)) # below the range that outgoing connections use
        if ! is_listening "$port"; then
            echo "$port"
            return
        fi
    done
    fail "no free port found"
}

write_nginx_config() { # port user
    cat >"$WORK/nginx/nginx.conf" <<CONFIG
$2
daemon off;
pid nginx.pid;
error_log stderr warn;
worker_processes $WORKERS;
events {
    worker_connections 1024;
}
http {
    access_log off;
    sendfile on;
    open_file_cache max=1000 inactive=3600s;
    open_file_cache_valid 3600s;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    default_type application/octet-stream;
    client_body_temp_path tmp;
    proxy_temp_path tmp;
    fastcgi_temp_path tmp;
    uwsgi_temp_path tmp;
    scgi_temp_path tmp;
    server {
        listen 127.0.0.1:$1 reuseport backlog=4096;
        root files;
    }
}
CONFIG
}

start_nginx() {
    local user=""
    PORT[nginx]=$(free_port)
    # started by root, its workers would be somebody who may not look into this directory
    if [ "$(id -u)" = 0 ]; then user="user root;"; fi
    mkdir -p "$WORK/nginx/files" "$WORK/nginx/tmp"
    printf '%*s' "$VALUE_BYTES" '' >"$WORK/nginx/files/value"
    write_nginx_config "${PORT[nginx]}" "$user"
    launch nginx nginx -p "$WORK/nginx" -c "$WORK/nginx/nginx.conf"
    await_listening nginx
}

# ---------------------------------------------------------------- loads

# runs wrk once and prints its result line; any error of any kind ends the benchmark
run_wrk() { # load server duration
    local load=$1 server=$2 duration=$3 method=GET path="/v1/kv/key%08d" header="Accept: */*"
    case $load in
    get) ;;
    put_sync) method=PUT header="Cairn-Durability: sync" ;;
    put_async) method=PUT header="Cairn-Durability: async" ;;
    *) fail "no such load: $load" ;;
    esac
    if [ "$server" = nginx ]; then path=/value; fi
    wrk -t"$CLIENT_THREADS" -c"$CONNECTIONS" -d"$duration" -H "$header" -s bench/requests.lua \
        "http://127.0.0.1:${PORT[$server]}" -- "$method" "$path" "$KEYS" "$VALUE_BYTES" \
        >"$WORK/wrk.log" 2>&1 || fail "$load $server: wrk failed: $(cat "$WORK/wrk.log")"
    sed -n 's/^RESULT //p' "$WORK/wrk.log"
}

# checks one run and appends "round server requests_per_second p99_us bytes_per_answer" to its load
measure() { # load server round
    local load=$1 server=$2 round=$3 requests microseconds p99_us bytes errors
    read -r requests microseconds p99_us bytes errors < <(run_wrk "$load" "$server" \
        "$SECONDS_PER_RUN") || fail "$load $server: no result: $(cat "$WORK/wrk.log")"
    [ "$errors" = 0 ] || fail "$load $server: $errors socket errors or answers that are not 2xx:
$(cat "$WORK/wrk.log")"
    [ "$requests" -gt 0 ] || fail "$load $server: nothing was answered"
    if [ "$load" = get ] && [ "$bytes" -lt $((requests * VALUE_BYTES)) ]; then
        fail "$load $server: the answers are too short to hold the value"
    fi
    awk -v round="$round" -v server="$server" -v n="$requests" -v us="$microseconds" \
        -v p99="$p99_us" -v bytes="$bytes" \
        'BEGIN { printf "%d %s %.0f %d %.1f\n", round, server, n * 1e6 / us, p99, bytes / n }' \
        >>"$WORK/$load.runs"
    progress "$(tail -n 1 "$WORK/$load.runs" |
        awk -v load="$load" -v rounds="$ROUNDS" \
            '{ printf "round %d/%d  %-9s %-8s %8d requests/s  p99 %6.2f ms", $1, rounds, load, $2, $3, $4 / 1000 }')"
}

servers_of() { # load
    if [ "$1" = get ]; then echo ceiling cairn nginx; else echo ceiling cairn; fi
}

reversed() {
    local word words=""
    for word in "$@"; do words="$word $words"; done
    echo "$words"
}

measure_load() { # load round
    local load=$1 round=$2 server servers
    servers=$(servers_of "$load")
    # every other round the other way round, so that no server always follows the same one
    # shellcheck disable=SC2086 # they are words
    if ((round % 2 == 0)); then servers=$(reversed $servers); fi
    for server in $servers; do
        measure "$load" "$server" "$round"
    done
}

warm_up() {
    local load server
    for load in get put_sync put_async; do
        for server in $(servers_of "$load"); do
            run_wrk "$load" "$server" "$WARM_UP" >/dev/null
        done
    done
}

# ---------------------------------------------------------------- results

median() { # numbers on stdin
    sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

column() { # load server field
    awk -v server="$2" -v field="$3" '$2 == server { print $field }' "$WORK/$1.runs"
}

# one ratio per round: requests per second of `server` over those of `other`
ratios() { # load server other
    awk -v server="$2" -v other="$3" '
        $2 == server { ours[$1] = $3 }
        $2 == other { theirs[$1] = $3 }
        END { for (round in ours) printf "%.4f\n", ours[round] / theirs[round] }' "$WORK/$1.runs"
}

spread() { # numbers on stdin
    sort -g | awk 'NR == 1 { least = $1 } { most = $1 } END { printf "%.2f..%.2f", least, most }'
}

print_row() { # load server
    printf '| %s | %.0f | %.2f | %s | %.2f ms | %.0f |\n' "$2" \
        "$(column "$1" "$2" 3 | median)" \
        "$(ratios "$1" "$2" ceiling | median)" \
        "$(ratios "$1" "$2" ceiling | spread)" \
        "$(column "$1" "$2" 4 | median | awk '{ print $1 / 1000 }')" \
        "$(column "$1" "$2" 5 | median)"
}

print_table() { # load title
    local server
    printf '\n## %s\n\n' "$2"
    echo '| server | requests/s | of the ceiling | min..max | p99 | bytes/answer |'
    echo '|---|---:|---:|---:|---:|---:|'
    for server in $(servers_of "$1"); do
        print_row "$1" "$server"
    done
}

print_verdict() { # load other floor what
    local ratio verdict
    ratio=$(ratios "$1" cairn "$2" | median)
    verdict=$(awk -v ratio="$ratio" -v floor="$3" \
        'BEGIN { if (ratio >= floor) print "PASS"; else printf "SHORT by %.3f\n", floor - ratio }')
    printf -- '- %s: %.3f, floor %s: %s\n' "$4" "$ratio" "$3" "$verdict"
}

version_of() { # package
    dpkg-query -W -f='${Version}' "$1" 2>/dev/null || echo unknown
}

print_machine() {
    local commit
    commit=$(git rev-parse --short HEAD)
    git diff --quiet HEAD || commit="$commit with changes"
    echo "- machine: $(nproc) cores,$(sed -n 's/^model name\s*://p' /proc/cpuinfo | head -n 1)," \
        "Linux $(uname -r)"
    echo "- data on: $(stat -f -c %T "$WORK")"
    echo "- cairn: commit $commit; libh2o $(version_of libh2o-evloop-dev)"
    echo "- nginx: $(nginx -v 2>&1 | sed 's/.*nginx\///'); wrk $(version_of wrk)"
    echo "- load: $KEYS keys of $VALUE_BYTES bytes at random, $CONNECTIONS connections," \
        "$CLIENT_THREADS client threads on the same cores, $ROUNDS rounds of $SECONDS_PER_RUN"
}

print_result() {
    print_table get "GET"
    print_table put_sync "PUT, answered when it is on disk (sync)"
    print_table put_async "PUT, answered when it is in the log (async)"
    printf '\n## Floors\n\n'
    print_verdict get ceiling "$GET_FLOOR" "GET beside the ceiling"
    print_verdict put_sync ceiling "$PUT_SYNC_FLOOR" "PUT sync beside the ceiling"
    print_verdict put_async ceiling "$PUT_ASYNC_FLOOR" "PUT async beside the ceiling"
    print_verdict get nginx "$NGINX_FLOOR" "GET beside nginx with a file"
}

# ---------------------------------------------------------------- main

main() {
    local tool load round
    for tool in wrk nginx; do
        command -v "$tool" >/dev/null || fail "$tool is not installed; \`make deps-bench\` does it"
    done
    [[ $ROUNDS =~ ^[1-9][0-9]*$ ]] || fail "ROUNDS is a number from 1 on, not \"$ROUNDS\""
    { printf '# Quick benchmark\n\n' && print_machine; } | tee "$WORK/result.md"

    start_ceiling
    start_cairn
    start_nginx
    progress "storing $KEYS keys"
    "$BUILD/fill" "${PORT[cairn]}" "$KEYS" "$VALUE_BYTES" || fail "the keys could not be stored"
    progress "warming up"
    warm_up
    for ((round = 1; round <= ROUNDS; ++round)); do
        for load in get put_sync put_async; do
            measure_load "$load" "$round"
        done
    done

    print_result | tee -a "$WORK/result.md"
    mkdir -p "$(dirname "$RESULT")"
    cp "$WORK/result.md" "$RESULT"
    if grep -q SHORT "$WORK/result.md"; then exit 3; fi
}

main

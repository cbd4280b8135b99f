#!/usr/bin/env bash
# What `cairn plan` says beside what a store of that size takes: memory, disk, start-up.
#
# A server is given the keys over HTTP (`cairn import`), left until it has nothing more to do, stopped
# in order and started, killed and started. All from warm files.
#
# Environment: BUILD (build), SIZES (1000000 5000000), KEY_BYTES (24), VALUE_BYTES (100).
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build} SIZES=${SIZES:-1000000 5000000}
KEY_BYTES=${KEY_BYTES:-24} VALUE_BYTES=${VALUE_BYTES:-100}
IDLE_SECONDS=120 ROUNDS=5
cairn=$(realpath "$BUILD/cairn")
work=$(mktemp -d "$(realpath "$BUILD")/plan.XXXXXX")
port=$((20000 + RANDOM % 12000))
export CAIRN_URL=http://127.0.0.1:$port
server=

clean_up() {
    [ -z "$server" ] || kill -9 "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

now_ms() { date +%s%3N; }
stat_of() { "$cairn" stats --json | jq "$1"; }

# starts the server; prints the seconds until it is ready
start() {
    local began
    began=$(now_ms)
    "$cairn" serve --data "$work/data" --listen "127.0.0.1:$port" >>"$work/log" 2>&1 &
    server=$!
    until [ "$(curl -s -o /dev/null -w '%{http_code}' "$CAIRN_URL/readyz")" = 204 ]; do
        kill -0 "$server" || { cat "$work/log" >&2; exit 1; }
        sleep 0.01
    done
    seconds=$(awk "BEGIN { print ($(now_ms) - $began) / 1000 }")
}

stop() { # signal
    kill "-$1" "$server"
    wait "$server" 2>/dev/null || true
    server=
}

# a key a line, and 24 letters of content type, as the client library stores
lines() { # first last
    seq "$1" "$2" | awk -v k="$KEY_BYTES" -v v="$VALUE_BYTES" '
        BEGIN { value = sprintf("%0*d", v, 0) }
        { printf "{\"key\":\"%0*d\",\"value\":\"%s\",\"content_type\":\"application/vnd.api+json\"}\n", k, $1, value }'
}

# sealed segments get tables of their keys, and the index is written, when there is time
await_idle() {
    local before='' after i
    for ((i = 0; i < IDLE_SECONDS / 2; ++i)); do
        after=$(cd "$work/data" && ls -l)
        [ "$after" != "$before" ] || return 0
        before=$after
        sleep 2
    done
}

row() { # what planned measured
    awk -v what="$1" -v p="$2" -v m="$3" 'BEGIN { printf "| %s | %.4g | %.4g | %+.0f %% |\n", what, p, m, (p / m - 1) * 100 }'
}

mib() { awk "BEGIN { print ($1) / 1048576 }"; }

measure() { # keys
    local plan index own disk clean killed tail
    rm -rf "$work/data"
    start
    lines 1 "$1" | "$cairn" import --quiet
    await_idle
    plan=$("$cairn" plan --keys "$1" --key-bytes "$KEY_BYTES" --value-bytes "$VALUE_BYTES" --json)
    of() { echo "$plan" | jq ".$1"; }
    index=$(stat_of .index.bytes)
    own=$(stat_of .memory.own_bytes)
    disk=$(du -sB1 "$work/data" | cut -f1)
    : >"$work/starts"
    for _ in $(seq "$ROUNDS"); do
        stop TERM
        start
        echo "$seconds" >>"$work/starts"
    done
    clean=$(sort -g "$work/starts" | sed -n "$(((ROUNDS + 1) / 2))p")
    # half of what may be replayed lies behind the last checkpoint, or all there is
    tail=$((128 * 1048576 / (KEY_BYTES + VALUE_BYTES + 80)))
    lines 1 "$((tail < $1 ? tail : $1))" | "$cairn" import --quiet
    stop KILL
    start
    killed=$seconds
    stop TERM
    printf '\n%s keys of %s bytes, values of %s\n\n' "$1" "$KEY_BYTES" "$VALUE_BYTES"
    printf '| | planned | measured | planned is |\n|---|---:|---:|---:|\n'
    row "index, MiB" "$(mib "$(of index_bytes)")" "$(mib "$index")"
    row "memory of its own, MiB" "$(mib "$(of memory_bytes)")" "$(mib "$own")"
    row "disk, MiB" "$(mib "$(of disk_bytes)")" "$(mib "$disk")"
    row "start after a stop in order, s" "$(of start_seconds)" "$clean"
    row "start after a kill (at most, when planned), s" "$(of crash_seconds)" "$killed"
}

for keys in $SIZES; do
    measure "$keys"
done

#!/usr/bin/env bash
# How long a start takes: with few keys and with many, after a clean stop and after kill -9, and
# without what makes it fast, beside Redis loading the same data.
#
# Environment: BUILD (build), FEW (100000), MANY (10000000), TAIL_BYTES of log since the last
# checkpoint when it is killed (256 MiB, the default of storage.checkpoint_bytes, less 16), ROUNDS (5),
# RESULT (bench/results/restart.md).
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
FEW=${FEW:-100000} MANY=${MANY:-10000000}
TAIL_BYTES=${TAIL_BYTES:-251658240}
ROUNDS=${ROUNDS:-5}
RESULT=${RESULT:-bench/results/restart.md}
START_SECONDS=20
TABLE_SECONDS=${TABLE_SECONDS:-120}
TERM=15 KILL=9

# on the disk that holds the build, which is where data belongs too
WORK=$(mktemp -d "$(realpath "$BUILD")/restart.XXXXXX")
SOCKETS=$(mktemp -d) # the path of a socket must be short
REDIS_PID=
PORT=$((20000 + RANDOM % 12000))

fail() {
    echo "restart: $*" >&2
    exit 1
}

progress() {
    echo "restart: $*" >&2
}

clean_up() {
    trap - EXIT INT TERM
    if [ -n "$REDIS_PID" ]; then
        kill "$REDIS_PID" 2>/dev/null || true
        wait "$REDIS_PID" 2>/dev/null || true
    fi
    rm -rf "$WORK" "$SOCKETS"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

median() { # of the numbers on its input
    sort -g | awk '{ n[NR] = $1 } END { print n[int((NR + 1) / 2)] }'
}

# ---------------------------------------------------------------- cairn

start_cairn() { # signal directory: milliseconds until it is ready
    "$BUILD/bench-restart" time "$PORT" "$1" "$BUILD/cairn" serve --listen "127.0.0.1:$PORT" \
        --storage.path "$2" 2>>"$WORK/cairn.log" || fail "$(tail -n 5 "$WORK/cairn.log")"
}

rounds() { # signal directory file...: median over rounds, each without these files
    local signal=$1 directory=$2
    shift 2
    for ((i = 0; i < ROUNDS; ++i)); do
        # shellcheck disable=SC2086 # patterns are to be expanded
        for file in "$@"; do (cd "$directory" && rm -f $file); done
        start_cairn "$signal" "$directory"
    done | tee -a "$WORK/all.log" | median
}

make_store() { # keys
    mkdir "$WORK/$1"
    "$BUILD/bench-restart" fill "$WORK/$1" "$1"
}

# sealed segments get their tables while a server runs
await_tables() { # directory
    local pid segments tables
    "$BUILD/cairn" serve --listen 127.0.0.1:0 --storage.path "$1" >/dev/null 2>&1 &
    pid=$!
    for ((i = 0; i < TABLE_SECONDS * 10; ++i)); do
        segments=$(find "$1" -name '*-*.seg' | wc -l) tables=$(find "$1" -name '*.keys' | wc -l)
        if [ "$tables" -ge $((segments - 1)) ]; then break; fi
        sleep 0.1
    done
    kill "$pid"
    wait "$pid" || true
}

measure_cairn() { # keys: sets CLEAN, TABLES, SCANNED and KILLED for it
    local directory="$WORK/$1"
    progress "$1 keys: filling"
    make_store "$1"
    progress "$1 keys: after a clean stop"
    CLEAN[$1]=$(rounds "$TERM" "$directory")
    progress "$1 keys: making the key tables"
    await_tables "$directory"
    progress "$1 keys: from key tables"
    TABLES[$1]=$(rounds "$TERM" "$directory" index.ckpt)
    progress "$1 keys: from the records"
    SCANNED[$1]=$(rounds "$TERM" "$directory" index.ckpt "*.keys")
    # killed in the middle of its writes; Linux says 137 for it
    if "$BUILD/bench-restart" overwrite "$directory" "$1" "$TAIL_BYTES"; then
        fail "it was not killed"
    fi
    progress "$1 keys: after kill -9"
    KILLED[$1]=$(rounds "$KILL" "$directory")
    if grep -q "not used" "$WORK/cairn.log"; then fail "$(tail -n 5 "$WORK/cairn.log")"; fi
}

# ---------------------------------------------------------------- Redis

redis_command() {
    echo redis-server --port 0 --unixsocket "$SOCKETS/redis" --save "" --appendonly no \
        --daemonize no --dir "$WORK" --dbfilename "redis-$1.rdb"
}

fill_redis() { # keys
    rm -f "$SOCKETS/redis"
    # shellcheck disable=SC2046 # no word of it has a blank
    $(redis_command "$1") >"$WORK/redis.log" 2>&1 &
    REDIS_PID=$!
    for ((i = 0; i < START_SECONDS * 20; ++i)); do
        if [ -S "$SOCKETS/redis" ]; then break; fi
        sleep 0.05
    done
    "$BUILD/bench-restart" fill-redis "$SOCKETS/redis" "$1"
    redis-cli -s "$SOCKETS/redis" save >/dev/null
    redis-cli -s "$SOCKETS/redis" shutdown nosave >/dev/null 2>&1 || true
    wait "$REDIS_PID" || true
    REDIS_PID=
}

measure_redis() { # keys
    progress "$1 keys: Redis"
    fill_redis "$1"
    REDIS[$1]=$(for ((i = 0; i < ROUNDS; ++i)); do
        rm -f "$SOCKETS/redis"
        # shellcheck disable=SC2046
        "$BUILD/bench-restart" time "$SOCKETS/redis" "$KILL" $(redis_command "$1") \
            2>>"$WORK/redis.log" || fail "$(tail -n 5 "$WORK/redis.log")"
    done | tee -a "$WORK/all.log" | median)
    rm -f "$WORK/redis-$1.rdb"
}

# ---------------------------------------------------------------- the report

ratio() { # a b
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

row() { # what, map of figures
    local -n figures=$2
    echo "| $1 | ${figures[$FEW]} | ${figures[$MANY]} | $(ratio "${figures[$MANY]}" "${figures[$FEW]}") |"
}

report() {
    local commit
    commit=$(git rev-parse --short HEAD)
    git diff --quiet HEAD || commit="$commit with changes"
    echo "# How long a start takes"
    echo
    echo "Written by \`make bench-restart\`."
    echo
    echo "- machine: $(nproc) cores,$(sed -n 's/^model name\s*://p' /proc/cpuinfo | head -n 1)," \
        "$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)," \
        "Linux $(uname -r); load when it began: $LOAD"
    echo "- data on: $(stat -f -c %T "$WORK"); the kernel's cache is warm, for cairn and for Redis"
    echo "- cairn: commit $commit; Redis" \
        "$(dpkg-query -W -f='${Version}' redis-server 2>/dev/null || echo unknown), an RDB file"
    echo "- random keys of 16 bytes, values of 100 bytes; $TAIL_BYTES bytes of log since the last" \
        "checkpoint where it was killed"
    echo "- milliseconds from the start of the process to the first answer that it is ready, median" \
        "of $ROUNDS; asked every half a millisecond"
    echo
    echo "| start | $FEW keys | $MANY keys | ratio |"
    echo "|---|---:|---:|---:|"
    row "cairn, after a clean stop" CLEAN
    row "cairn, after kill -9" KILLED
    row "cairn, without a checkpoint: from key tables" TABLES
    row "cairn, without either: from the records" SCANNED
    row "Redis, from an RDB of the same data" REDIS
    echo
    echo "With $MANY keys, Redis takes $(ratio "${REDIS[$MANY]}" "${CLEAN[$MANY]}") times as long as" \
        "cairn after a clean stop, $(ratio "${REDIS[$MANY]}" "${KILLED[$MANY]}") times as after" \
        "kill -9, $(ratio "${REDIS[$MANY]}" "${TABLES[$MANY]}") times as from key tables, and" \
        "$(ratio "${REDIS[$MANY]}" "${SCANNED[$MANY]}") times as from the records."
}

main() {
    declare -A CLEAN KILLED TABLES SCANNED REDIS
    LOAD=$(cut -d ' ' -f 1 /proc/loadavg)
    for keys in "$FEW" "$MANY"; do
        measure_cairn "$keys"
        rm -rf "${WORK:?}/$keys"
        measure_redis "$keys"
    done
    report | tee "$RESULT.tmp"
    mv "$RESULT.tmp" "$RESULT"
}

main

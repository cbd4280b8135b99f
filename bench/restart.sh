#!/usr/bin/env bash
# How long a start takes: with few keys and with many, after a clean stop and after kill -9, and
# without what makes it fast, beside Redis loading the same data.
#
# Environment: BUILD (build), FEW (100000), MANY (10000000), TAIL_BYTES of log since the last
# checkpoint when it is killed (40 MiB: of few keys, too, nothing is compacted then, so both replay
# as much), LONG_TAIL_BYTES (256 MiB, the default of storage.checkpoint_bytes, less 16), ROUNDS (7),
# RESULT (bench/results/restart.md).
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
FEW=${FEW:-100000} MANY=${MANY:-10000000}
TAIL_BYTES=${TAIL_BYTES:-41943040} LONG_TAIL_BYTES=${LONG_TAIL_BYTES:-251658240}
ROUNDS=${ROUNDS:-7}
RESULT=${RESULT:-bench/results/restart.md}
TABLE_SECONDS=${TABLE_SECONDS:-120}
TERM=15 KILL=9
# the promise
RATIO_MOST=1.5

. bench/lib.sh
begin restart
AT=$(free_port)
SOCKETS=$(mktemp -d) # the path of a socket must be short
trap 'rm -rf "$SOCKETS"; clean_up' EXIT

# ---------------------------------------------------------------- cairn

start_cairn() { # signal directory: milliseconds until it is ready
    "$BUILD/bench-restart" time "$AT" "$1" "$BUILD/cairn" serve --listen "127.0.0.1:$AT" \
        --storage.path "$2" 2>>"$WORK/starts.log" || fail "$(tail -n 5 "$WORK/starts.log")"
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
    local segments tables
    launch_cairn --storage.path "$1"
    for ((i = 0; i < TABLE_SECONDS * 10; ++i)); do
        segments=$(find "$1" -name '*-*.seg' | wc -l) tables=$(find "$1" -name '*.keys' | wc -l)
        if [ "$tables" -ge $((segments - 1)) ]; then break; fi
        sleep 0.1
    done
    stop cairn
}

# killed in the middle of its writes; Linux says 137 for it
kill_it() { # directory keys bytes of log
    if "$BUILD/bench-restart" overwrite "$1" "$2" "$3" 2>/dev/null; then fail "it was not killed"; fi
}

measure_cairn() { # keys: sets a figure of each kind for it
    local directory="$WORK/$1"
    progress "$1 keys: filling"
    make_store "$1"
    progress "$1 keys: after a clean stop"
    CLEAN[$1]=$(rounds "$TERM" "$directory")
    kill_it "$directory" "$1" "$TAIL_BYTES"
    progress "$1 keys: after kill -9"
    KILLED[$1]=$(rounds "$KILL" "$directory")
    progress "$1 keys: making the key tables"
    await_tables "$directory" # and a checkpoint, in the end
    progress "$1 keys: from key tables"
    TABLES[$1]=$(rounds "$TERM" "$directory" index.ckpt)
    progress "$1 keys: from the records"
    SCANNED[$1]=$(rounds "$TERM" "$directory" index.ckpt "*.keys")
    kill_it "$directory" "$1" "$LONG_TAIL_BYTES"
    progress "$1 keys: after kill -9, with the longest tail"
    KILLED_LATE[$1]=$(rounds "$KILL" "$directory")
    REPLAYED[$1]=$(sed -nE 's/.* ([0-9]+) bytes of log have been replayed$/\1/p' "$WORK/starts.log" | tail -n 1)
    if grep -q "not used" "$WORK/starts.log"; then fail "$(tail -n 5 "$WORK/starts.log")"; fi
}

# ---------------------------------------------------------------- Redis

measure_redis() { # keys
    local rdb="redis-$1.rdb" command
    progress "$1 keys: Redis"
    launch_redis "$SOCKETS/redis" --dbfilename "$rdb"
    "$BUILD/bench-restart" fill-redis "$SOCKETS/redis" "$1"
    redis-cli -s "$SOCKETS/redis" save >/dev/null
    stop redis
    read -ra command <<<"$(redis_in_work "$SOCKETS/redis" --dbfilename "$rdb")"
    REDIS[$1]=$(for ((i = 0; i < ROUNDS; ++i)); do
        rm -f "$SOCKETS/redis"
        "$BUILD/bench-restart" time "$SOCKETS/redis" "$KILL" "${command[@]}" 2>>"$WORK/redis.log" ||
            fail "$(tail -n 5 "$WORK/redis.log")"
    done | tee -a "$WORK/all.log" | median)
    rm -f "$WORK/$rdb"
}

# ---------------------------------------------------------------- the report

row() { # what, map of figures
    local -n figures=$2
    echo "| $1 | ${figures[$FEW]} | ${figures[$MANY]} | $(ratio "${figures[$MANY]}" "${figures[$FEW]}") |"
}

kept() { # map of figures
    local -n figures=$1
    verdict "${figures[$MANY]} <= $RATIO_MOST * ${figures[$FEW]}"
}

report() {
    echo "# How long a start takes"
    echo
    echo "Written by \`make bench-restart\`."
    echo
    about_machine
    echo "- the kernel's cache is warm, for cairn and for Redis"
    echo "- cairn: commit $(this_commit); Redis $(version_of redis-server), an RDB file"
    echo "- random keys of 16 bytes, values of 100 bytes; $((TAIL_BYTES >> 20)) MiB of log since the last" \
        "checkpoint where it was killed"
    echo "- milliseconds from the start of the process to the first answer that it is ready, median" \
        "of $ROUNDS; asked every half a millisecond"
    echo
    echo "| start | $FEW keys | $MANY keys | ratio |"
    echo "|---|---:|---:|---:|"
    row "cairn, after a clean stop" CLEAN
    row "cairn, after kill -9" KILLED
    row "cairn, after kill -9, just before the next checkpoint" KILLED_LATE
    row "cairn, without a checkpoint: from key tables" TABLES
    row "cairn, without either: from the records" SCANNED
    row "Redis, from an RDB of the same data" REDIS
    echo
    echo "Promised is a ratio of at most $RATIO_MOST; kept after a clean stop: $(kept CLEAN), after kill" \
        "-9: $(kept KILLED). The longest tail, $((LONG_TAIL_BYTES >> 20)) MiB, is not as long with both:" \
        "of few keys nearly all of it has been replaced within it and is compacted before the kill," \
        "so that $((REPLAYED[$FEW] >> 20)) MiB are replayed with $FEW keys," \
        "$((REPLAYED[$MANY] >> 20)) MiB with $MANY."
    echo
    echo "With $MANY keys, Redis takes $(ratio "${REDIS[$MANY]}" "${CLEAN[$MANY]}") times as long as" \
        "cairn after a clean stop, $(ratio "${REDIS[$MANY]}" "${KILLED[$MANY]}") times as after" \
        "kill -9, $(ratio "${REDIS[$MANY]}" "${TABLES[$MANY]}") times as from key tables, and" \
        "$(ratio "${REDIS[$MANY]}" "${SCANNED[$MANY]}") times as from the records."
}

need deps-bench-engines redis-server redis-cli
# shellcheck disable=SC2034 # row() has them by name
declare -A CLEAN=() KILLED=() KILLED_LATE=() REPLAYED=() TABLES=() SCANNED=() REDIS=()
for keys in "$FEW" "$MANY"; do
    measure_cairn "$keys"
    rm -rf "${WORK:?}/$keys"
    measure_redis "$keys"
done
report | keep "$RESULT"

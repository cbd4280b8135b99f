#!/usr/bin/env bash
# How long a start takes: with few keys and with many, after a clean stop and after kill -9, and
# without what makes it fast, beside Redis loading the same data.
#
# Environment: BUILD (build), FEW (100000), MANY (10000000), TAIL_BYTES of log since the last
# checkpoint when it is killed (40 MiB: of few keys, too, nothing is compacted then, so both replay
# as much), LONG_TAIL_BYTES (256 MiB, the default of storage.checkpoint_bytes, less 16), ROUNDS (7),
# CLEAN_ROUNDS (three times as many), RESULT (bench/results/restart.md).
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
FEW=${FEW:-100000} MANY=${MANY:-10000000}
TAIL_BYTES=${TAIL_BYTES:-41943040} LONG_TAIL_BYTES=${LONG_TAIL_BYTES:-251658240}
ROUNDS=${ROUNDS:-7}
# a start after a clean stop is the shortest, and some meet memory that the machine has to get first
CLEAN_ROUNDS=${CLEAN_ROUNDS:-$((3 * ROUNDS))}
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

# with few keys and with many in turn, so that a machine that slows down slows both
rounds() { # map of figures, command of `time`...; it is called with the keys last
    local name=$1 keys count=$ROUNDS
    local -n figures=$1
    shift
    [ "$name" = CLEAN ] && count=$CLEAN_ROUNDS
    for ((i = 0; i < count; ++i)); do
        for keys in "$FEW" "$MANY"; do "$@" "$keys" >>"$WORK/$name.$keys"; done
    done
    for keys in "$FEW" "$MANY"; do
        # shellcheck disable=SC2034,SC2004 # the map that was named
        figures[$keys]=$(median <"$WORK/$name.$keys")
    done
    RATIO[$name]=$(paste "$WORK/$name.$MANY" "$WORK/$name.$FEW" | awk '{ printf "%.2f\n", $1 / $2 }' | median)
    progress "$name: ${figures[$FEW]} ms, ${figures[$MANY]} ms, ratio ${RATIO[$name]}"
}

start_after() { # signal keys: after it was ended by that
    start_cairn "$1" "$WORK/$2"
}

start_without() { # file... keys
    local keys=${*: -1}
    # shellcheck disable=SC2086,SC2068 # patterns are to be expanded
    (cd "$WORK/$keys" && rm -f ${@:1:$#-1})
    start_cairn "$TERM" "$WORK/$keys"
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

replayed() { # of the last start
    sed -nE 's/.* ([0-9]+) bytes of log have been replayed$/\1/p' "$WORK/starts.log" | tail -n 1
}

# all have their key tables again, and in the end a checkpoint
settle() {
    local keys
    for keys in "$FEW" "$MANY"; do
        progress "$keys keys: making the key tables"
        await_tables "$WORK/$keys"
    done
}

measure_cairn() {
    local keys
    for keys in "$FEW" "$MANY"; do
        progress "$keys keys: filling"
        make_store "$keys"
    done
    rounds CLEAN start_after "$TERM"
    settle
    rounds TABLES start_without index.ckpt # of what Redis will have in its file, and nothing else
    rounds SCANNED start_without index.ckpt "*.keys"
    settle
    for keys in "$FEW" "$MANY"; do kill_it "$WORK/$keys" "$keys" "$TAIL_BYTES"; done
    rounds KILLED start_after "$KILL"
    settle
    for keys in "$FEW" "$MANY"; do kill_it "$WORK/$keys" "$keys" "$LONG_TAIL_BYTES"; done
    rounds KILLED_LATE start_after "$KILL"
    for keys in "$FEW" "$MANY"; do
        start_after "$KILL" "$keys" >/dev/null
        REPLAYED[$keys]=$(replayed)
        rm -rf "${WORK:?}/$keys"
    done
    if grep -q "not used" "$WORK/starts.log"; then fail "$(tail -n 5 "$WORK/starts.log")"; fi
}

# ---------------------------------------------------------------- Redis

start_redis() { # keys
    local command
    read -ra command <<<"$(redis_in_work "$SOCKETS/redis" --dbfilename "redis-$1.rdb")"
    rm -f "$SOCKETS/redis"
    "$BUILD/bench-restart" time "$SOCKETS/redis" "$KILL" "${command[@]}" 2>>"$WORK/redis.log" ||
        fail "$(tail -n 5 "$WORK/redis.log")"
}

measure_redis() {
    local keys
    for keys in "$FEW" "$MANY"; do
        progress "$keys keys: filling Redis"
        launch_redis "$SOCKETS/redis" --dbfilename "redis-$keys.rdb"
        "$BUILD/bench-restart" fill-redis "$SOCKETS/redis" "$keys"
        redis-cli -s "$SOCKETS/redis" save >/dev/null
        stop redis
    done
    rounds REDIS start_redis
}

# ---------------------------------------------------------------- the report

# shellcheck disable=SC2178 # both are names of maps
row() { # what, map of figures
    local -n figures=$2
    echo "| $1 | ${figures[$FEW]} | ${figures[$MANY]} | ${RATIO[$2]} |"
}

kept() { # map of figures
    verdict "${RATIO[$1]} <= $RATIO_MOST"
}

ms_a_mib() { # keys: of the longest tail
    ratio "${KILLED_LATE[$1]}" "$((REPLAYED[$1] >> 20))"
}

beats_redis() { # keys
    verdict "${TABLES[$1]} < ${REDIS[$1]} && ${SCANNED[$1]} < ${REDIS[$1]}"
}

report() {
    echo "# How long a start takes"
    echo
    echo "Written by \`make bench-restart\`."
    echo
    about_machine
    echo "- the kernel's cache is warm, for cairn and for Redis; but with a checkpoint cairn reads what is" \
        "behind its position in the segment that was being written from the disk in any case, and with" \
        "few keys that is all of the tail"
    echo "- cairn: commit $(this_commit); Redis $(version_of redis-server), an RDB file"
    echo "- random keys of 16 bytes, values of 100 bytes; $((TAIL_BYTES >> 20)) MiB of log since the last" \
        "checkpoint where it was killed; without a checkpoint: as filled, which is what Redis has in its file"
    echo "- milliseconds from the start of the process to the first answer that it is ready, median" \
        "of $ROUNDS rounds, $CLEAN_ROUNDS after a clean stop, few and many keys in turn; asked every half" \
        "a millisecond; the ratio is the median of the rounds' ratios"
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
        "$((REPLAYED[$MANY] >> 20)) MiB with $MANY: $(ms_a_mib "$FEW") and $(ms_a_mib "$MANY") ms a MiB."
    echo
    echo "Each of the starts without a checkpoint is to be faster than Redis; kept with $FEW keys:" \
        "$(beats_redis "$FEW"), with $MANY: $(beats_redis "$MANY"). With $FEW keys, Redis takes" \
        "$(ratio "${REDIS[$FEW]}" "${CLEAN[$FEW]}") times as long as cairn after a clean stop," \
        "$(ratio "${REDIS[$FEW]}" "${TABLES[$FEW]}") times as from key tables, and" \
        "$(ratio "${REDIS[$FEW]}" "${SCANNED[$FEW]}") times as from the records."
    echo
    echo "With $MANY keys, Redis takes $(ratio "${REDIS[$MANY]}" "${CLEAN[$MANY]}") times as long as" \
        "cairn after a clean stop, $(ratio "${REDIS[$MANY]}" "${KILLED[$MANY]}") times as after" \
        "kill -9, $(ratio "${REDIS[$MANY]}" "${TABLES[$MANY]}") times as from key tables, and" \
        "$(ratio "${REDIS[$MANY]}" "${SCANNED[$MANY]}") times as from the records."
}

need deps-bench-engines redis-server redis-cli
# shellcheck disable=SC2034 # row() has them by name
declare -A CLEAN=() KILLED=() KILLED_LATE=() REPLAYED=() TABLES=() SCANNED=() REDIS=() RATIO=()
measure_cairn
measure_redis
report | keep "$RESULT"

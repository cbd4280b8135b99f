#!/usr/bin/env bash
# Reads in batches of 100: POST /v1/batch of cairn beside MGET of Redis, in one run.
#
# Environment: BUILD (build), KEYS (1000000), ROUNDS (5), RUN_MS (2000), RESULT (bench/results/batch.md).
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
KEYS=${KEYS:-1000000}
ROUNDS=${ROUNDS:-5}
RUN_MS=${RUN_MS:-2000}
RESULT=${RESULT:-bench/results/batch.md}
START_SECONDS=20

WORK=$(mktemp -d "$(realpath "$BUILD")/batch.XXXXXX")
CAIRN_PID= REDIS_PID= CAIRN_PORT= REDIS_PORT=

fail() {
    echo "batch: $*" >&2
    exit 1
}

clean_up() {
    local pid
    trap - EXIT INT TERM
    for pid in $CAIRN_PID $REDIS_PID; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$WORK"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

is_listening() { # port
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

start_cairn() { # one worker, since the figure is one of a core
    : >"$WORK/cairn.log"
    "$BUILD/cairn" serve --listen 127.0.0.1:0 --data "$WORK/data" --workers 1 >>"$WORK/cairn.log" 2>&1 &
    CAIRN_PID=$!
    for ((i = 0; i < START_SECONDS * 20; ++i)); do
        CAIRN_PORT=$(sed -nE 's/^listening on [^ ]*:([0-9]+)( .*)?$/\1/p' "$WORK/cairn.log" | head -n 1)
        if [ -n "$CAIRN_PORT" ]; then return; fi
        kill -0 "$CAIRN_PID" 2>/dev/null || fail "cairn has ended: $(cat "$WORK/cairn.log")"
        sleep 0.05
    done
    fail "cairn does not say where it listens"
}

start_redis() {
    REDIS_PORT=$((20000 + RANDOM % 12000))
    redis-server --bind 127.0.0.1 --port "$REDIS_PORT" --save "" --appendonly no --daemonize no \
        --dir "$WORK" >"$WORK/redis.log" 2>&1 &
    REDIS_PID=$!
    for ((i = 0; i < START_SECONDS * 20; ++i)); do
        kill -0 "$REDIS_PID" 2>/dev/null || fail "redis-server has ended: $(cat "$WORK/redis.log")"
        if is_listening "$REDIS_PORT"; then return; fi
        sleep 0.05
    done
    fail "redis-server does not listen"
}

print_head() {
    local commit
    commit=$(git rev-parse --short HEAD)
    git diff --quiet HEAD || commit="$commit with changes"
    echo "# Reads in batches: cairn and Redis"
    echo
    echo "Written by \`make bench-batch\`; [docs/PERFORMANCE.md](../../docs/PERFORMANCE.md) says how to read it."
    echo
    echo "- machine: $(nproc) cores,$(sed -n 's/^model name\s*://p' /proc/cpuinfo | head -n 1)," \
        "Linux $(uname -r); load when it began: $(cut -d ' ' -f 1 /proc/loadavg)"
    echo "- cairn: commit $commit, one worker; Redis $(dpkg-query -W -f='${Version}' redis-server)"
    echo "- $KEYS keys, values of 100 bytes, batches of 100 at random; $ROUNDS rounds of $RUN_MS ms, medians"
    echo
}

command -v redis-server >/dev/null || fail "redis-server is not installed; \`make deps-bench-engines\` does it"
print_head | tee "$WORK/result.md"
start_cairn
start_redis
"$BUILD/batch" "$CAIRN_PORT" "$CAIRN_PID" "$REDIS_PORT" "$REDIS_PID" "$KEYS" "$ROUNDS" "$RUN_MS" |
    tee -a "$WORK/result.md"
mkdir -p "$(dirname "$RESULT")"
cp "$WORK/result.md" "$RESULT"

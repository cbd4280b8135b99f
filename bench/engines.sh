#!/usr/bin/env bash
# cairn's storage beside LMDB, RocksDB and LevelDB in one process, and its memory beside Redis.
#
# Environment: BUILD (build), QUICK (1: a million keys, short runs), KEYS, ROUNDS, RUN_MS,
# RESULT (bench/results/engines.md, or engines-quick.md).
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
if [ "${QUICK:-0}" = 1 ]; then
    KEYS=${KEYS:-1000000} ROUNDS=${ROUNDS:-5} RUN_MS=${RUN_MS:-300}
    RESULT=${RESULT:-bench/results/engines-quick.md}
    COMMAND="QUICK=1 make bench-engines"
else
    KEYS=${KEYS:-10000000} ROUNDS=${ROUNDS:-7} RUN_MS=${RUN_MS:-500}
    RESULT=${RESULT:-bench/results/engines.md}
    COMMAND="make bench-engines"
fi
START_SECONDS=10

# on the disk that holds the build, which is where data belongs too
WORK=$(mktemp -d "$(realpath "$BUILD")/engines.XXXXXX")
# the path of a socket must be short
SOCKETS=$(mktemp -d)
REDIS_PID=

fail() {
    echo "engines: $*" >&2
    exit 1
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

start_redis() {
    redis-server --port 0 --unixsocket "$SOCKETS/redis" --save "" --appendonly no --daemonize no \
        --dir "$WORK" >"$WORK/redis.log" 2>&1 &
    REDIS_PID=$!
    for ((i = 0; i < START_SECONDS * 20; ++i)); do
        kill -0 "$REDIS_PID" 2>/dev/null || fail "redis-server has ended: $(cat "$WORK/redis.log")"
        if [ -S "$SOCKETS/redis" ]; then return; fi
        sleep 0.05
    done
    fail "redis-server does not listen: $(cat "$WORK/redis.log")"
}

version_of() { # package
    dpkg-query -W -f='${Version}' "$1" 2>/dev/null || echo unknown
}

print_head() {
    local commit
    commit=$(git rev-parse --short HEAD)
    git diff --quiet HEAD || commit="$commit with changes"
    echo "# In process: cairn, LMDB, RocksDB, LevelDB"
    echo
    echo "Written by \`$COMMAND\`; [docs/ENGINES.md](../../docs/ENGINES.md) says how to read it."
    echo
    echo "- machine: $(nproc) cores,$(sed -n 's/^model name\s*://p' /proc/cpuinfo | head -n 1)," \
        "$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)," \
        "Linux $(uname -r); load when it began: $(cut -d ' ' -f 1 /proc/loadavg)"
    echo "- data on: $(stat -f -c %T "$WORK")"
    echo "- cairn: commit $commit; LMDB $(version_of liblmdb0)," \
        "RocksDB $(version_of librocksdb-dev), LevelDB $(version_of libleveldb-dev)," \
        "Redis $(version_of redis-server)"
    echo "- $KEYS random keys of 16 bytes, values of 100 bytes; $ROUNDS rounds," \
        "$RUN_MS ms for each get load and engine"
}

main() {
    command -v redis-server >/dev/null ||
        fail "redis-server is not installed; \`make deps-bench-engines\` does it"
    print_head | tee "$WORK/result.md"
    start_redis
    "$BUILD/bench-engines" "$WORK" "$KEYS" "$ROUNDS" "$RUN_MS" "$SOCKETS/redis" |
        tee -a "$WORK/result.md"
    mkdir -p "$(dirname "$RESULT")"
    cp "$WORK/result.md" "$RESULT"
}

main

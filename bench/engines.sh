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
    MAKE_COMMAND="QUICK=1 make bench-engines"
else
    KEYS=${KEYS:-10000000} ROUNDS=${ROUNDS:-7} RUN_MS=${RUN_MS:-500}
    RESULT=${RESULT:-bench/results/engines.md}
    MAKE_COMMAND="make bench-engines"
fi

. bench/lib.sh
begin engines
SOCKETS=$(mktemp -d) # the path of a socket must be short
trap 'rm -rf "$SOCKETS"; clean_up' EXIT

print_head() {
    echo "# In process: cairn, LMDB, RocksDB, LevelDB"
    echo
    echo "Written by \`$MAKE_COMMAND\`; [docs/ENGINES.md](../../docs/ENGINES.md) says how to read it."
    echo
    about_machine
    echo "- cairn: commit $(this_commit); LMDB $(version_of liblmdb0)," \
        "RocksDB $(version_of librocksdb-dev), LevelDB $(version_of libleveldb-dev)," \
        "Redis $(version_of redis-server)"
    echo "- $KEYS random keys of 16 bytes, values of 100 bytes; $ROUNDS rounds," \
        "$RUN_MS ms for each get load and engine"
}

need deps-bench-engines redis-server
launch_redis "$SOCKETS/redis"
{
    print_head
    "$BUILD/bench-engines" "$WORK" "$KEYS" "$ROUNDS" "$RUN_MS" "$SOCKETS/redis"
} | keep "$RESULT"

#!/usr/bin/env bash
# cairn beside its peers on this machine: `bench/run.sh quick` or `full` (bench/suites/).
#
# Every load runs for a few seconds against each peer in turn, round after round, so that a machine
# that slows down slows all of them down; every other round the other way round, so that no peer
# always follows the same one. Peers that are not being measured are stopped (SIGSTOP). A ratio is
# taken within its round; the report shows the median of the ratios and their spread.
#
# Environment: BUILD (build), ROUNDS, SECONDS_PER_RUN, LOADS (names; all), PIN (apart: clients have
# the last core for themselves, servers the others), NAME (of the results; the suite's),
# CHECK (yes: end with 3 if a figure falls short).
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=$PATH:/usr/sbin # where nginx is
BUILD=${BUILD:-build}
SUITE=${1:?usage: bench/run.sh SUITE}
NAME=${NAME:-$SUITE${PIN:+-$PIN}}
RESULTS=${RESULTS:-bench/results}
# on the disk that holds the build, which is where cairn's data belongs too
WORK=$(mktemp -d "$(realpath "$BUILD")/bench.XXXXXX")

. bench/lib.sh
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for file in bench/peers/*.sh; do
    # shellcheck disable=SC1090 # they are all there
    . "$file"
done

# ---------------------------------------------------------------- what a suite is made of

LOAD_NAMES=()
declare -A LOAD_TITLE=() LOAD_PEERS=() LOAD_ARGUMENTS=()
FILLS=()

# a load: who is measured, and what the generator is told (bench/load, `build/load --help`). A peer
# with "+WORD" is measured while beside_WORD, which the suite defines, runs beside it; before_NAME,
# where the suite defines it, runs before each measurement of that load
load() { # name title peers argument...
    local name=$1
    if [ -n "${LOADS:-}" ] && [[ " $LOADS " != *" $name "* ]]; then return; fi
    LOAD_NAMES+=("$name")
    LOAD_TITLE[$name]=$2
    LOAD_PEERS[$name]=$3
    shift 3
    LOAD_ARGUMENTS[$name]=$*
}

# values that are there before anything is measured
fill() { # value_bytes keys peer...
    FILLS+=("$*")
}

# shellcheck disable=SC1090 # it is one of bench/suites
. "bench/suites/$SUITE.sh"

# ---------------------------------------------------------------- filling

peers_of_loads() {
    local name
    for name in "${LOAD_NAMES[@]}"; do echo "${LOAD_PEERS[$name]}"; done | tr ' ' '\n' |
        sed 's/+.*//' | awk 'NF && !seen[$1]++'
}

is_measured() { # peer
    [ -n "${PID[$1]:-}" ]
}

fill_peer() { # value_bytes keys peer
    local bytes=$1 keys=$2 peer=$3 batch=1
    is_measured "$peer" || return 0
    progress "$peer: storing $keys values of $bytes bytes"
    case $peer in
    nginx) fill_nginx "$bytes" "$keys" ;;
    *)
        if [ "${PROTOCOL[$peer]}" != memcached ] && [ "$bytes" -le 1024 ]; then batch=500; fi
        "$BUILD/load" --port "${PORT[$peer]}" --protocol "${PROTOCOL[$peer]}" --fill --threads 2 \
            --connections 16 --keys "$keys" --value-bytes "$bytes" --batch $batch --async \
            >"$WORK/fill.log" 2>&1 || fail "$peer could not be filled: $(cat "$WORK/fill.log")"
        ;;
    esac
}

fill_all() {
    local line words peer
    for line in "${FILLS[@]}"; do
        read -ra words <<<"$line"
        for peer in "${words[@]:2}"; do fill_peer "${words[0]}" "${words[1]}" "$peer"; done
    done
}

# ---------------------------------------------------------------- measuring

run_load() { # load peer
    local peer=$2 pids words=()
    read -ra words <<<"${LOAD_ARGUMENTS[$1]}"
    pids=$(pids_of "$peer" | paste -sd,)
    if [ "$peer" = nginx ]; then words+=(--keys-at-most "$NGINX_KEYS"); fi
    "${ON_CLIENT[@]}" "$BUILD/load" --port "${PORT[$peer]}" --protocol "${PROTOCOL[$peer]}" \
        --threads "${CLIENT_THREADS:-2}" --seconds "$SECONDS_PER_RUN" --pids "$pids" "${words[@]}"
}

# wrk, which everyone knows, says the same in other words
run_wrk() { # peer
    local keys=100000
    if [ "$1" = nginx ]; then keys=$NGINX_KEYS; fi
    "${ON_CLIENT[@]}" wrk -t2 -c64 -d"${SECONDS_PER_RUN}s" -s bench/load/wrk.lua \
        "http://127.0.0.1:${PORT[$1]}" -- "$keys" | sed -n 's/^RESULT //p'
}

# hundredths of a second of processor time that a server has had
processor_time() { # peer
    local pid sum=0 words
    for pid in $(pids_of "$1"); do
        read -ra words <"/proc/$pid/stat" || continue
        sum=$((sum + words[13] + words[14]))
    done
    echo $sum
}

# what the load before has left it to do, such as compacting, is no part of this one
settle() { # peer
    local before after i
    after=$(processor_time "$1")
    for ((i = 0; i < 40; ++i)); do
        before=$after
        sleep 0.25
        after=$(processor_time "$1")
        if ((after - before <= 1)); then return; fi
    done
}

measure() { # load peer[+word] round
    local load=$1 label=$2 round=$3 peer=${2%%+*} beside="" beside_pid result status=0
    is_measured "$peer" || return 0
    rest_all
    signal CONT "$peer"
    settle "$peer"
    if declare -F "before_$load" >/dev/null; then "before_$load" "$peer"; fi
    if [ "$label" != "$peer" ]; then
        beside=${label#*+}
        "beside_$beside" "$peer" >"$WORK/beside.log" 2>&1 &
        beside_pid=$!
    fi
    if [ "${LOAD_ARGUMENTS[$load]}" = wrk ]; then
        result=$(run_wrk "$peer") || status=$?
    else
        result=$(run_load "$load" "$peer" 2>"$WORK/load.log") || status=$?
    fi
    if [ -n "$beside" ]; then
        kill -0 $beside_pid 2>/dev/null ||
            fail "$load: what ran beside it has ended: $(cat "$WORK/beside.log")"
        kill_tree $beside_pid
        if declare -F "after_$beside" >/dev/null; then "after_$beside" "$peer"; fi
    fi
    if [ $status != 0 ] || [[ $result != *'"errors": 0,'* ]]; then
        fail "$load $label: $result $(cat "$WORK/load.log")"
    fi
    echo "{\"load\": \"$load\", \"peer\": \"$label\", \"round\": $round, ${result#\{}" >>"$WORK/runs.ndjson"
    progress "round $round/$ROUNDS  $(sed -nE \
        's/.*"load": "([^"]*)", "peer": "([^"]*)".*"rate": ([0-9.]*).*"server_cpu_us": ([0-9.]*).*"p99_us": ([0-9.]*).*/\1 \2 \3 \4 \5/p' \
        <(tail -n 1 "$WORK/runs.ndjson") |
        awk '{ printf "%-16s %-18s %9.0f/s  %8.2f us CPU  p99 %8.2f ms", $1, $2, $3, $4, $5 / 1000 }')"
}

kill_tree() { # pid
    local child
    for child in $(pgrep -P "$1" || true); do kill_tree "$child"; done
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

reversed() {
    local word all=""
    for word in "$@"; do all="$word $all"; done
    echo "$all"
}

measure_round() { # round
    local load peer peers
    for load in "${LOAD_NAMES[@]}"; do
        peers=${LOAD_PEERS[$load]}
        # shellcheck disable=SC2086 # they are words
        if (($1 % 2 == 0)); then peers=$(reversed $peers); fi
        for peer in $peers; do measure "$load" "$peer" "$1"; done
    done
}

# ---------------------------------------------------------------- what the report needs to know

version_of() { # package
    dpkg-query -W -f='${Version}' "$1" 2>/dev/null || echo unknown
}

describe_machine() {
    local commit
    commit=$(git rev-parse --short HEAD)
    git diff --quiet HEAD -- . ':!bench/results' || commit="$commit with changes"
    printf '%s\t%s\n' \
        suite "$SUITE" \
        began "$(date -u +%Y-%m-%dT%H:%MZ)" \
        commit "$commit" \
        cores "$(nproc)" \
        processor "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1)" \
        memory "$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)" \
        kernel "$(uname -sr)" \
        data_on "$(stat -f -c %T "$WORK")" \
        compiler "$(${CC:-gcc} --version | head -n 1)" \
        libh2o "$(version_of libh2o-evloop-dev)" \
        wrk "$(version_of wrk)" \
        pinned "${PIN:-no}" \
        client_threads "${CLIENT_THREADS:-2}" \
        server_threads "$WORKERS" \
        rounds "$ROUNDS" \
        seconds_per_run "$SECONDS_PER_RUN" \
        load_average_before "$(cut -d ' ' -f 1-3 /proc/loadavg)"
}

describe_peers() {
    local peer version
    for peer in $(peers_of_loads); do
        version="this commit"
        COMMAND[$peer]=${COMMAND[$peer]:-}
        if [ -n "${PACKAGE[$peer]}" ]; then version=$(version_of "${PACKAGE[$peer]}"); fi
        printf '%s\t%s\t%s\t%s\t%s\n' "$peer" "$version" "${ABOUT[$peer]}" \
            "${COMMAND[$peer]//$WORK/WORK}" "${SKIPPED[$peer]:-}"
    done
}

describe_loads() {
    local load
    for load in "${LOAD_NAMES[@]}"; do
        printf '%s\t%s\t%s\n' "$load" "${LOAD_TITLE[$load]}" "${LOAD_ARGUMENTS[$load]}"
    done
}

# ---------------------------------------------------------------- main

main() {
    local round
    [[ $ROUNDS =~ ^[1-9][0-9]*$ && $SECONDS_PER_RUN =~ ^[1-9][0-9]*$ ]] ||
        fail "ROUNDS and SECONDS_PER_RUN are numbers from 1 on"
    describe_machine | tee "$WORK/machine.tsv"
    # shellcheck disable=SC2046 # they are words
    start_peers $(peers_of_loads)
    fill_all
    for ((round = 1; round <= ROUNDS; ++round)); do
        measure_round "$round"
    done
    printf 'load_average_after\t%s\n' "$(cut -d ' ' -f 1-3 /proc/loadavg)" >>"$WORK/machine.tsv"
    describe_peers >"$WORK/peers.tsv"
    describe_loads >"$WORK/loads.tsv"
    mkdir -p "$RESULTS"
    /usr/bin/python3 bench/report.py "$WORK" bench/figures.tsv "$RESULTS/$NAME"
    if [ "${CHECK:-no}" = yes ] && grep -q '| short' "$RESULTS/$NAME.md"; then exit 3; fi
}

main

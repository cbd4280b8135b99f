# shellcheck shell=bash disable=SC2034,SC2154
# What the suite and the peers share: servers, ports, cgroups. Sourced by run.sh; bash.
#
# A peer is a file in bench/peers/ that sets, for its name NAME:
#   ABOUT[NAME]     one line for the reader: what it is and what was chosen for it
#   PROTOCOL[NAME]  of the load generator
#   PACKAGE[NAME]   whose version is told; empty for what is built here
#   NEEDS[NAME]     another peer that works for it, if there is one
#   start_NAME      starts it with launch() and waits until it listens
# A peer that cannot run here calls skip() instead of starting.

declare -A ABOUT=() PROTOCOL=() PACKAGE=() NEEDS=()
declare -A PORT=() PID=() COMMAND=() SKIPPED=()

WORKERS=$(nproc)
ON_SERVER=() ON_CLIENT=()
if [ "${PIN:-no}" = apart ]; then
    # servers on all cores but the last, which the clients have for themselves
    WORKERS=$(($(nproc) - 1))
    ON_SERVER=(taskset -c "0-$((WORKERS - 1))")
    ON_CLIENT=(taskset -c "$WORKERS")
fi
START_SECONDS=60
# what the peers may learn about their cgroups, see cairn_limited
CGROUPS=/sys/fs/cgroup
LIMITED_GROUP=cairn-bench.$$

fail() {
    echo "bench: $*" >&2
    exit 1
}

progress() {
    echo "bench: $*" >&2
}

skip() { # name why
    SKIPPED[$1]=$2
    progress "without $1: $2"
}

clean_up() {
    local pid controller
    trap - EXIT INT TERM
    for pid in "${PID[@]}"; do
        kill "$pid" 2>/dev/null || true
        kill -CONT "$pid" 2>/dev/null || true
    done
    for pid in "${PID[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    for controller in memory blkio; do
        rmdir "$CGROUPS/$controller/$LIMITED_GROUP" 2>/dev/null || true
    done
    rm -rf "$WORK"
}

# ---------------------------------------------------------------- starting

is_listening() { # port
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
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

# starts a server in the background, its output in a log, its command line for the report
launch() { # name command...
    local name=$1
    shift
    COMMAND[$name]=$*
    : >"$WORK/$name.log" # there before anyone looks into it
    "${ON_SERVER[@]}" "$@" >>"$WORK/$name.log" 2>&1 &
    PID[$name]=$!
}

ended() { # name
    fail "$1 has ended: $(tail -n 20 "$WORK/$1.log")"
}

# for a server that says where it listens: the port in "listening on ...:PORT ..."
await_port() { # name
    local name=$1
    for ((i = 0; i < START_SECONDS * 20; ++i)); do
        PORT[$name]=$(sed -nE 's/^listening on [^ ]*:([0-9]+)( .*)?$/\1/p' "$WORK/$name.log" | head -n 1)
        if [ -n "${PORT[$name]}" ]; then return; fi
        kill -0 "${PID[$name]}" 2>/dev/null || ended "$name"
        sleep 0.05
    done
    fail "$name does not say where it listens: $(tail -n 20 "$WORK/$name.log")"
}

# for a server that was told where to listen
await_listening() { # name
    local name=$1
    for ((i = 0; i < START_SECONDS * 20; ++i)); do
        kill -0 "${PID[$name]}" 2>/dev/null || ended "$name"
        if is_listening "${PORT[$name]}"; then return; fi
        sleep 0.05
    done
    fail "$name does not listen: $(tail -n 20 "$WORK/$name.log")"
}

# starts each peer once, with what works for it, and lets it rest
start_peers() { # name...
    local name
    for name in "$@"; do
        if [ -n "${PID[$name]:-}${SKIPPED[$name]:-}" ]; then continue; fi
        if [ -n "${NEEDS[$name]:-}" ]; then start_peers "${NEEDS[$name]}"; fi
        "start_$name"
        if [ -z "${SKIPPED[$name]:-}" ]; then progress "$name: ${COMMAND[$name]}"; fi
    done
}

# ---------------------------------------------------------------- one at a time

# a server's process and its children, and those of what works for it
pids_of() { # name
    local pid=${PID[$1]}
    { echo "$pid" && { pgrep -P "$pid" || true; }; if [ -n "${NEEDS[$1]:-}" ]; then pids_of "${NEEDS[$1]}"; fi; }
}

signal() { # STOP|CONT name
    local pid
    for pid in $(pids_of "$2"); do kill "-$1" "$pid" 2>/dev/null || true; done
}

# servers that are not being measured do not run at all
rest_all() {
    local name
    for name in "${!PID[@]}"; do signal STOP "$name"; done
}

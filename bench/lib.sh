# shellcheck shell=bash disable=SC2034,SC2154
# What the benches share: servers, ports, cgroups, figures. Sourced by them; bash. Who sources it
# has set BUILD, and calls begin() or makes WORK, a directory for all files, itself.
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

# who speaks
BENCH=bench

fail() {
    echo "$BENCH: $*" >&2
    exit 1
}

progress() {
    echo "$BENCH: $*" >&2
}

# makes WORK, on the disk that holds the build, which is where data belongs too; sets LOAD
begin() { # name
    BENCH=$1
    WORK=$(mktemp -d "$(realpath "$BUILD")/$1.XXXXXX")
    LOAD=$(cut -d ' ' -f 1 /proc/loadavg)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

need() { # target of make, tool...
    local target=$1 tool
    shift
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "$tool is not installed; \`make $target\` does it"
    done
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

# ends it and waits for that
stop() { # name
    kill "${PID[$1]}" 2>/dev/null || true
    wait "${PID[$1]}" 2>/dev/null || true
    unset "PID[$1]"
}

# cairn by itself, on a port that it chooses
launch_cairn() { # option...
    launch cairn "$BUILD/cairn" serve --listen 127.0.0.1:0 "$@"
    await_port cairn
}

# what makes Redis keep nothing on disk but what it is asked for, in WORK, and listen at a path
redis_in_work() { # socket, option...
    local socket=$1
    shift
    echo redis-server --port 0 --unixsocket "$socket" --save "" --appendonly no --daemonize no \
        --dir "$WORK" "$@"
}

# Redis by itself, at a path
launch_redis() { # socket, option...
    local socket=$1
    rm -f "$socket"
    # shellcheck disable=SC2046 # no word of it has a blank
    launch redis $(redis_in_work "$@")
    for ((i = 0; i < START_SECONDS * 20; ++i)); do
        kill -0 "${PID[redis]}" 2>/dev/null || ended redis
        if [ -S "$socket" ]; then return; fi
        sleep 0.05
    done
    fail "redis-server does not listen: $(tail -n 20 "$WORK/redis.log")"
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

# ---------------------------------------------------------------- figures and reports

median() { # numbers on its input, a line each
    sort -g | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

calculate() { # expression of awk
    awk "BEGIN { printf \"%.3f\", $1 }"
}

ratio() { # a b
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

verdict() { # condition of awk
    if awk "BEGIN { exit !($1) }"; then echo yes; else echo no; fi
}

this_commit() {
    local commit
    commit=$(git rev-parse --short HEAD)
    git diff --quiet HEAD || commit="$commit with changes"
    echo "$commit"
}

version_of() { # package
    dpkg-query -W -f='${Version}' "$1" 2>/dev/null || echo unknown
}

about_machine() {
    echo "- machine: $(nproc) cores,$(sed -n 's/^model name\s*://p' /proc/cpuinfo | head -n 1)," \
        "$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)," \
        "Linux $(uname -r); load when it began: $LOAD"
    echo "- data on: $(stat -f -c %T "$WORK")"
}

# shows a report, and keeps it where it is whole
keep() { # file
    mkdir -p "$(dirname "$1")"
    tee "$1.tmp"
    mv "$1.tmp" "$1"
}

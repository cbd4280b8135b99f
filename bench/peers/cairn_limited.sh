# shellcheck shell=bash disable=SC2034,SC2154
# cairn in a memory cgroup that holds a quarter of its data. Needs root and cgroups of version 1.
ABOUT[cairn_limited]="defaults, in a memory cgroup of LIMITED_BYTES"
PROTOCOL[cairn_limited]=cairn
PACKAGE[cairn_limited]=""
# the suite says how much is stored; see there
LIMITED_BYTES=${LIMITED_BYTES:-0}

start_cairn_limited() {
    local memory=$CGROUPS/memory/$LIMITED_GROUP blkio=$CGROUPS/blkio/$LIMITED_GROUP
    if ! mkdir "$memory" "$blkio" 2>/dev/null; then
        skip cairn_limited "needs root and the cgroups v1 memory and blkio under $CGROUPS"
        return
    fi
    echo "$LIMITED_BYTES" >"$memory/memory.limit_in_bytes"
    # shellcheck disable=SC2016 # for the inner shell
    launch cairn_limited sh -c 'for group in "$1" "$2"; do echo $$ >"$group/cgroup.procs"; done; shift 2; exec "$@"' \
        limited "$memory" "$blkio" \
        "$BUILD/cairn" serve --listen 127.0.0.1:0 --data "$WORK/cairn_limited" --workers "$WORKERS"
    await_port cairn_limited
}

# reads a second that its disk does for it; 0: as many as it can
throttle_reads() { # count
    local device
    device=$(stat -c %d "$WORK") # major * 256 + minor, of the partition
    echo "$((device >> 8)):$((device & 255)) $1" \
        >"$CGROUPS/blkio/$LIMITED_GROUP/blkio.throttle.read_iops_device"
}

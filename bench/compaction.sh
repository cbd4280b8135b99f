#!/usr/bin/env bash
# What compaction costs and what it keeps: values are replaced over and over, popular ones more often,
# until the disk has reached its steady state; then gets while segments are rewritten, and while not.
#
# Environment: BUILD (build), KEYS (400000), VALUE_BYTES (1024), SEGMENT_BYTES (16777216), OVERWRITES
# (6, times all the data), ROUNDS (15), ROUND_SECONDS (3), RESULT (bench/results/compaction.md).
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
KEYS=${KEYS:-400000}
VALUE_BYTES=${VALUE_BYTES:-1024}
SEGMENT_BYTES=${SEGMENT_BYTES:-16777216}
OVERWRITES=${OVERWRITES:-6}
ROUNDS=${ROUNDS:-15}
ROUND_SECONDS=${ROUND_SECONDS:-3}
RESULT=${RESULT:-bench/results/compaction.md}
BURST_SECONDS=2
SETTLE_SECONDS=60
# the promises
LIVE_SHARE_LEAST=0.67 AMPLIFICATION_MOST=2 P99_RATIO_MOST=1.3

. bench/lib.sh
begin compaction

stat_of() { # filter of jq
    curl -sS "http://127.0.0.1:${PORT[cairn]}/v1/stats" | jq "$1"
}

load() { # option...
    "$BUILD/load" --port "${PORT[cairn]}" --threads 1 --connections 64 --keys "$KEYS" --value-bytes "$VALUE_BYTES" \
        --get-percent 0 --async "$@" >"$WORK/load.json" || fail "puts have failed: $(cat "$WORK/load.json")"
}

# ---------------------------------------------------------------- the disk

# live bytes by those of all segment files, but for the two that hold nothing yet: the one being
# written and the one ready to follow it are as large on disk from the beginning as they may get
live_share() {
    local files live
    live=$(stat_of .live_bytes)
    files=$(find "$WORK/data" -maxdepth 1 -name '*.seg*' -printf '%b\n' 2>/dev/null |
        awk '{ sum += $1 * 512 } END { print sum }')
    calculate "$live / ($files - 2 * $SEGMENT_BYTES)"
}

# leaves live shares, one for each burst of the second half, in $WORK/shares
overwrite() {
    local data logged=0 begun_log begun_copied log copied
    begun_log=$(stat_of .commits.bytes)
    begun_copied=$(stat_of .compaction.bytes_written)
    data=$begun_log
    : >"$WORK/shares"
    while [ "$logged" -lt $((OVERWRITES * data)) ]; do
        load --zipf --seconds "$BURST_SECONDS" --warm-up 0
        log=$(stat_of .commits.bytes)
        copied=$(stat_of .compaction.bytes_written)
        logged=$((log - begun_log))
        if [ $((2 * logged)) -gt $((OVERWRITES * data)) ]; then live_share >>"$WORK/shares" && echo >>"$WORK/shares"; fi
        progress "$((logged >> 20)) MiB of $((OVERWRITES * data >> 20)) MiB replaced," \
            "$(((copied - begun_copied) >> 20)) MiB compacted, live share $(live_share)"
    done
    AMPLIFICATION=$(calculate "1 + ($copied - $begun_copied) / $logged")
}

# ---------------------------------------------------------------- gets beside it

settle() {
    for ((i = 0; i < SETTLE_SECONDS; ++i)); do
        if [ "$(stat_of '.compaction | .asked or .running')" = false ]; then return; fi
        sleep 1 # who asks all the time keeps compaction waiting for a processor
    done
    fail "compaction does not come to an end"
}

get_p99_us() {
    wrk -t 1 -c 16 -d "${ROUND_SECONDS}s" -s bench/load/wrk.lua "http://127.0.0.1:${PORT[cairn]}" -- "$KEYS" "$VALUE_BYTES" |
        sed -n 's/^RESULT //p' | jq .p99_us
}

# appends to $WORK/with, $WORK/without and $WORK/copied
round() {
    local before after
    load --seconds "$BURST_SECONDS" --warm-up 0 # every segment gets something to free
    settle
    get_p99_us >>"$WORK/without"
    before=$(stat_of .compaction.bytes_read)
    curl -sS -o /dev/null -X POST "http://127.0.0.1:${PORT[cairn]}/v1/admin/compact"
    get_p99_us >>"$WORK/with"
    after=$(stat_of .compaction.bytes_read)
    # one that has not come to the end of a segment is counted when it does
    [ "$after" -gt "$before" ] || [ "$(stat_of .compaction.running)" = true ] ||
        fail "nothing was compacted in the round that was to measure it"
    echo $(((after - before) >> 20)) >>"$WORK/copied"
    settle
    progress "p99 $(tail -n 1 "$WORK/without") us without, $(tail -n 1 "$WORK/with") us with" \
        "$(tail -n 1 "$WORK/copied") MiB compacted meanwhile"
}

# ---------------------------------------------------------------- the report

print_report() {
    local share with without ratio
    share=$(median <"$WORK/shares")
    with=$(median <"$WORK/with") without=$(median <"$WORK/without")
    ratio=$(paste "$WORK/with" "$WORK/without" | awk '{ print $1 / $2 }' | median)
    cat <<END
# Compaction: what it keeps, what it costs

Written by \`make bench-compaction\`.

$(about_machine)
- cairn: commit $(this_commit), one worker, segments of $((SEGMENT_BYTES >> 20)) MiB
- $KEYS keys of $VALUE_BYTES bytes, replaced by popularity (zipf 0.99, async) until $OVERWRITES times the data had been written
- gets: wrk, 16 connections, $ROUNDS rounds of $ROUND_SECONDS s without and with a compaction by hand, one after the other; between
  rounds values are replaced, so that there is something to compact

| | measured | promised | kept |
|---|---|---|---|
| live bytes by bytes of segment files, but for two spare ones; median of $(wc -l <"$WORK/shares") looks | $share | at least $LIVE_SHARE_LEAST | $(verdict "$share >= $LIVE_SHARE_LEAST") |
| bytes written by log and compaction, by bytes of the log | $AMPLIFICATION | at most $AMPLIFICATION_MOST | $(verdict "$AMPLIFICATION <= $AMPLIFICATION_MOST") |
| p99 of gets, with by without, median of the rounds | $(calculate "$ratio") ($with us by $without us) | at most $P99_RATIO_MOST | $(verdict "$ratio <= $P99_RATIO_MOST") |

The least live share of all looks was $(sort -n "$WORK/shares" | head -n 1): beside what compaction has left there are a copy
that is being made, and replaced segments that wait for a checkpoint, a sixteenth of all or one of
$((SEGMENT_BYTES >> 20)) MiB, $(calculate "100 * $SEGMENT_BYTES / ($KEYS * $VALUE_BYTES)") % of the values here.

MiB compacted in each round: $(tr '\n' ' ' <"$WORK/copied" | sed 's/ $//').
END
}

need deps-bench wrk jq curl
launch_cairn --data "$WORK/data" --storage.segment_bytes "${SEGMENT_BYTES}B" --workers 1
load --fill
overwrite
for ((round = 0; round < ROUNDS; ++round)); do round; done
print_report | keep "$RESULT"

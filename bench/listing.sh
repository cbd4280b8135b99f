#!/usr/bin/env bash
# What a page of a listing takes as a store grows, what memory it takes, and how fast a scan goes.
#
# Environment: BUILD (build), SIZES (keys; "100000 1000000 10000000"), PAGES (2000 a round), ROUNDS (5),
# RESULT (bench/results/listing.md).
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
SIZES=${SIZES:-100000 1000000 10000000}
PAGES=${PAGES:-2000}
ROUNDS=${ROUNDS:-5}
RESULT=${RESULT:-bench/results/listing.md}
TABLE_SECONDS=120
WARM_UP_PAGES=200

. bench/lib.sh
begin listing

# sealed segments get their key tables while a server runs; the active one has none
await_tables() { # directory
    local segments tables
    for ((i = 0; i < TABLE_SECONDS * 10; ++i)); do
        segments=$(find "$1" -name '*-*.seg' | wc -l) tables=$(find "$1" -name '*.keys' | wc -l)
        if [ "$tables" -ge $((segments - 1)) ]; then return; fi
        sleep 0.1
    done
    fail "the key tables are not made"
}

rss_kib() { # of memory that is the server's own; what it maps of files is the kernel's cache
    awk '/^RssAnon/ { print $2 }' "/proc/${PID[cairn]}/status"
}

pages() { # keys count
    "$BUILD/bench-listing" pages "${PORT[cairn]}" "$1" "$2"
}

measure() { # keys
    local directory="$WORK/$1" before
    progress "$1 keys: filling"
    mkdir "$directory"
    "$BUILD/bench-listing" fill "$directory" "$1"
    launch_cairn --storage.path "$directory" --workers 1
    await_tables "$directory"
    before=$(rss_kib)
    pages "$1" "$WARM_UP_PAGES" >/dev/null
    : >"$WORK/pages"
    for ((round = 0; round < ROUNDS; ++round)); do pages "$1" "$PAGES" >>"$WORK/pages"; done
    MEDIAN[$1]=$(cut -d ' ' -f 1 "$WORK/pages" | median)
    P99[$1]=$(cut -d ' ' -f 2 "$WORK/pages" | median)
    TOOK[$1]=$(($(rss_kib) - before))
    RSS[$1]=$(rss_kib)
    SEGMENTS[$1]=$(find "$directory" -name '*-*.seg' | wc -l)
    SCAN[$1]=$("$BUILD/bench-listing" scan "${PORT[cairn]}" "$1")
    stop cairn
    rm -rf "$directory"
    progress "$1 keys: ${MEDIAN[$1]} us a page, ${SCAN[$1]} values a second"
}

report() {
    local keys first=${SIZES%% *}
    echo "# Lists of keys"
    echo
    echo "Written by \`make bench-listing\`."
    echo
    about_machine
    echo "- cairn: commit $(this_commit), one worker, segments of 64 MiB; everything in the kernel's cache"
    echo "- keys of 16 bytes in no order, values of 100 bytes; a page is the 1,000 keys of a prefix," \
        "asked for by one client over one connection; $ROUNDS rounds of $PAGES, median of the rounds"
    echo "- a scan looks through all values for what is in none"
    echo
    echo "| keys | segments | a page: median, µs | by that of $first keys | p99, µs | own memory, MiB | of that since the first page, MiB | scan: values a second |"
    echo "|---:|---:|---:|---:|---:|---:|---:|---:|"
    for keys in $SIZES; do
        echo "| $keys | ${SEGMENTS[$keys]} | ${MEDIAN[$keys]} | $(ratio "${MEDIAN[$keys]}" "${MEDIAN[$first]}") |" \
            "${P99[$keys]} | $((RSS[$keys] / 1024)) | $((TOOK[$keys] / 1024)) | ${SCAN[$keys]} |"
    done
    echo
    echo "A page's cost has a part for each key on it and a small one for each segment, whose block of keys is read" \
        "and verified. Own memory is the index, 10 to 16 bytes a key; listing adds what the last column but one says."
}

declare -A MEDIAN=() P99=() RSS=() TOOK=() SEGMENTS=() SCAN=()
for keys in $SIZES; do measure "$keys"; done
report | keep "$RESULT"

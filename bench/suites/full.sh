# shellcheck shell=bash disable=SC2034,SC2154
# `make bench-full`: every load there is; see docs/PERFORMANCE.md.
ROUNDS=${ROUNDS:-5}
SECONDS_PER_RUN=${SECONDS_PER_RUN:-2}
KEYS=100000
MANY_KEYS=${MANY_KEYS:-10000000}
# cold reads: four times the memory that the limited cairn may use
COLD_KEYS=500000
LIMITED_BYTES=$((COLD_KEYS * 1088 / 4)) # with head, key and padding a KiB takes so much

ALL_GET="ceiling cairn nginx nginx_return redis webdis memcached"

fill 100 "$MANY_KEYS" cairn redis
fill 100 $KEYS memcached nginx redis_everysec
fill 1024 $KEYS cairn redis memcached nginx
fill 1024 $COLD_KEYS cairn_limited
fill 65536 2000 cairn redis nginx
fill 1048576 100 cairn redis nginx

# ---------------------------------------------------------------- gets
load get "GET 100 B at random, 64 connections" "$ALL_GET" --keys $KEYS
load get_zipf "GET 100 B, zipf" "ceiling cairn redis" --keys $KEYS --zipf
load get_many "GET 100 B at random over $MANY_KEYS keys" "ceiling cairn redis" --keys "$MANY_KEYS"
load get_many_zipf "GET 100 B, zipf over $MANY_KEYS keys" "ceiling cairn redis" \
    --keys "$MANY_KEYS" --zipf
load get_1kib "GET 1 KiB" "ceiling cairn nginx redis" --keys $KEYS --value-bytes 1024
load get_64kib "GET 64 KiB" "ceiling cairn nginx redis" --keys 2000 --value-bytes 65536
load get_1mib "GET 1 MiB, 16 connections" "ceiling cairn nginx redis" \
    --keys 100 --value-bytes 1048576 --connections 16
load get_1 "GET 100 B, 1 connection" "ceiling cairn nginx redis" \
    --keys $KEYS --connections 1 --threads 1
load get_1000 "GET 100 B, 1,000 connections" "ceiling cairn nginx redis" \
    --keys $KEYS --connections 1000
load get_10000 "GET 100 B, 10,000 connections" "ceiling cairn nginx redis" \
    --keys $KEYS --connections 10000
load get_pipelined "GET 100 B, 16 requests sent together" "ceiling cairn redis memcached" \
    --keys $KEYS --pipeline 16
load get_batch "GET 100 B, 100 in a request" "cairn redis memcached" --keys $KEYS --batch 100
load get_wrk "GET 100 B at random, 64 connections, asked by wrk" "ceiling cairn nginx" wrk

# ---------------------------------------------------------------- puts
load put_sync "PUT 100 B, on disk when answered, 64 connections" \
    "ceiling cairn redis_always etcd" --keys $KEYS --get-percent 0
load put_async "PUT 100 B, in the log when answered, 64 connections" \
    "ceiling cairn redis_everysec" --keys $KEYS --get-percent 0 --async
load put_sync_1 "PUT 100 B, sync, 1 connection" "ceiling cairn redis_always etcd" \
    --keys $KEYS --get-percent 0 --connections 1 --threads 1
load put_sync_1000 "PUT 100 B, sync, 1,000 connections" "ceiling cairn redis_always" \
    --keys $KEYS --get-percent 0 --connections 1000
load put_async_64kib "PUT 64 KiB, async" "ceiling cairn redis_everysec" \
    --keys 1000 --value-bytes 65536 --get-percent 0 --async --connections 16
load put_batch "PUT 100 B, sync, 100 in a request" "cairn redis_always" \
    --keys $KEYS --get-percent 0 --batch 100

# ---------------------------------------------------------------- both
load mix_95 "95 % GET, 5 % PUT async, 100 B" "ceiling cairn redis_everysec" \
    --keys $KEYS --get-percent 95 --async
load mix_50 "50 % GET, 50 % PUT async, 100 B" "ceiling cairn redis_everysec" \
    --keys $KEYS --get-percent 50 --async

# ---------------------------------------------------------------- by the clock
load get_open "GET 100 B, 5,000 a second by the clock" "ceiling cairn nginx redis" \
    --keys $KEYS --rate 5000
load put_open "PUT 100 B, sync, 2,000 a second by the clock" "ceiling cairn redis_always" \
    --keys $KEYS --get-percent 0 --rate 2000

# ---------------------------------------------------------------- beside other work
load get_beside "GET 100 B, 5,000 a second by the clock, beside other work" \
    "cairn cairn+snapshots cairn+feeds cairn+listing cairn+compaction" --keys $KEYS --rate 5000

# two a second, until one fails, which none should
beside_snapshots() { # peer
    local url="http://127.0.0.1:${PORT[$1]}/v1/admin/snapshot?name="
    while curl -sSf -o /dev/null -X POST "$url$(date +%s%N)"; do sleep 0.5; done
    return 1
}
after_snapshots() { # peer
    rm -rf "$WORK/$1"/snapshots
}

# pages of a thousand keys, ten a second
beside_listing() { # peer
    local url="http://127.0.0.1:${PORT[$1]}/v1/keys?limit=1000&prefix=v100-000"
    while curl -sSf -o /dev/null "$url$((RANDOM % 100))"; do sleep 0.1; done
    return 1
}

# overwrites, and a compaction asked for as soon as there may be something to do
beside_compaction() { # peer
    "$BUILD/load" --port "${PORT[$1]}" --get-percent 0 --async --rate 5000 --keys 100000 --warm-up 0 \
        --seconds 3600 &
    while curl -sSf -o /dev/null -X POST "http://127.0.0.1:${PORT[$1]}/v1/admin/compact"; do
        sleep 0.5
    done
    return 1
}

# a thousand who are told of fifty writes a second
beside_feeds() { # peer
    "$BUILD/subscribe" "${PORT[$1]}" 1000 &
    "$BUILD/load" --port "${PORT[$1]}" --get-percent 0 --rate 50 --keys 1000 --warm-up 0 --seconds 3600
}

# ---------------------------------------------------------------- less memory than data
load get_cold "GET 1 KiB at random, four times more data than memory" "cairn cairn_limited" \
    --keys $KEYS --value-bytes 1024
load get_hot "GET 1 KiB of a thousand hot keys, 2,000 a second by the clock" \
    "cairn_limited cairn_limited+cold" --keys 1000 --value-bytes 1024 --rate 2000

# what is hot is in memory already: from such a disk it would take ten seconds to come
before_get_hot() { # peer
    "$BUILD/load" --port "${PORT[$1]}" --keys 1000 --value-bytes 1024 --rate 4000 --seconds 1 >/dev/null
}

# cold reads from a disk that does a hundred a second
beside_cold() { # peer
    throttle_reads 100
    "$BUILD/load" --port "${PORT[$1]}" --first 1000 --keys $((COLD_KEYS - 1000)) --value-bytes 1024 \
        --connections 16 --warm-up 0 --seconds 3600
}
after_cold() {
    throttle_reads 0
}

# shellcheck shell=bash disable=SC2034,SC2154
# `make bench`: the figures that matter most, in a few minutes.
ROUNDS=${ROUNDS:-11}
SECONDS_PER_RUN=${SECONDS_PER_RUN:-1}
KEYS=100000

fill 100 $KEYS cairn redis memcached nginx
fill 1048576 100 cairn nginx

load get "GET 100 B at random, 64 connections" \
    "ceiling cairn nginx nginx_return redis webdis memcached" --keys $KEYS
load get_wrk "GET 100 B at random, 64 connections, asked by wrk" "ceiling cairn nginx" wrk
load get_pipelined "GET 100 B, 16 requests sent together" \
    "ceiling cairn redis memcached" --keys $KEYS --pipeline 16
load get_1mib "GET 1 MiB, 16 connections" "cairn nginx" \
    --keys 100 --value-bytes 1048576 --connections 16
load put_sync "PUT 100 B, on disk when answered, 64 connections" \
    "ceiling cairn redis_always etcd" --keys $KEYS --get-percent 0
load put_async "PUT 100 B, in the log when answered, 64 connections" \
    "ceiling cairn redis_everysec" --keys $KEYS --get-percent 0 --async
load get_open "GET 100 B, 5,000 a second by the clock" \
    "ceiling cairn nginx redis" --keys $KEYS --rate 5000

# shellcheck shell=bash disable=SC2034,SC2154
# The bare libh2o handler: cairn's sockets, threads and headers, and no store behind them.
ABOUT[ceiling]="bench/ceiling.c: answers GETs from memory, PUTs with 204 once read"
PROTOCOL[ceiling]=cairn
PACKAGE[ceiling]=libh2o-evloop-dev

start_ceiling() {
    launch ceiling "$BUILD/ceiling" 0 "$WORKERS"
    await_port ceiling
}

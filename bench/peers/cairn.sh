# shellcheck shell=bash disable=SC2034,SC2154
# cairn as it comes: configs/default.yaml says nothing that the defaults do not.
ABOUT[cairn]="defaults"
PROTOCOL[cairn]=cairn
PACKAGE[cairn]=""

start_cairn() {
    launch cairn "$BUILD/cairn" serve --listen 127.0.0.1:0 --data "$WORK/cairn" --workers "$WORKERS"
    await_port cairn
}

# shellcheck shell=bash disable=SC2034,SC2154
# etcd, a single member, through its JSON gateway: version 3 speaks gRPC, and HTTP/1.1 only there.
ABOUT[etcd]="one member; HTTP/1.1 through its own JSON gateway (/v3/kv/put)"
PROTOCOL[etcd]=etcd
PACKAGE[etcd]=etcd-server

start_etcd() {
    local peer_port
    PORT[etcd]=$(free_port)
    peer_port=$(free_port)
    launch etcd etcd --name bench --data-dir "$WORK/etcd" --logger zap --log-level error \
        --listen-client-urls "http://127.0.0.1:${PORT[etcd]}" \
        --advertise-client-urls "http://127.0.0.1:${PORT[etcd]}" \
        --listen-peer-urls "http://127.0.0.1:$peer_port" \
        --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
        --initial-cluster "bench=http://127.0.0.1:$peer_port"
    await_listening etcd
    sleep 2 # it listens before it has elected itself
}

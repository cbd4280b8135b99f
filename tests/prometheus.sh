#!/bin/bash
# prometheus.sh BUILD: do Prometheus and the dashboard's queries work with what configs/ has?
#
# Checks the config, fires each alert on invented figures, then has a Prometheus scrape a server and
# asks it every query of the dashboard. Prometheus is taken from PATH, or from Debian's package, which
# is unpacked below BUILD and not installed. Run by `make configs-check`.
set -euo pipefail
build=$(realpath "$1")
work=$(mktemp -d "$build/prometheus.XXXXXX")
children=()
clean_up() {
    [ ${#children[@]} = 0 ] || kill "${children[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap clean_up EXIT

if ! command -v promtool prometheus >/dev/null; then
    unpacked=$build/prometheus-package
    [ -x "$unpacked/usr/bin/promtool" ] || (mkdir -p "$unpacked" && cd "$unpacked" &&
        apt-get download prometheus >/dev/null && dpkg -x prometheus_*.deb .)
    PATH=$unpacked/usr/bin:$PATH
fi

promtool check config configs/prometheus.yml
promtool test rules tests/prometheus-alerts.test.yml
# an alert that no test names is not tested
for alert in $(sed -n 's/.*- alert: //p' configs/prometheus-alerts.yml); do
    [ "$(grep -c "alertname: $alert\b" tests/prometheus-alerts.test.yml)" = 2 ] || {
        echo "prometheus.sh: $alert is not tested both ways"
        exit 1
    }
done

# ---------------------------------------------------------------- a live one

free_port() { # the first of some that nobody listens on
    local port
    for port in $(seq $((20000 + RANDOM % 10000)) 32000); do
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}
cairn_port=$(free_port) prometheus_port=$(free_port)
[ "$cairn_port" != "$prometheus_port" ] || prometheus_port=$((prometheus_port + 1))

"$build/cairn" serve --data "$work/data" --listen "127.0.0.1:$cairn_port" >"$work/cairn.log" 2>&1 &
children+=($!)
# as it is shipped, but for the port, and in less of a hurry to wait
sed -e "s/localhost:8080/127.0.0.1:$cairn_port/" -e 's/15s/1s/' \
    -e "s|prometheus-alerts.yml|$PWD/configs/&|" configs/prometheus.yml >"$work/prometheus.yml"
prometheus --config.file "$work/prometheus.yml" --storage.tsdb.path "$work/tsdb" --log.level=error \
    --web.listen-address "127.0.0.1:$prometheus_port" 2>"$work/prometheus.log" &
children+=($!)
api=http://127.0.0.1:$prometheus_port/api/v1

query() { curl -s --data-urlencode "query=$1" "$api/query"; }
is_up() { query 'up{job="cairn"}' | jq -e '.data.result[0].value[1] == "1"' >/dev/null 2>&1; }
for ((i = 0; i < 60; ++i)); do is_up && break; sleep 0.5; done
is_up || { cat "$work"/*.log; echo "prometheus.sh: cairn is not up"; exit 1; }

export CAIRN_URL=http://127.0.0.1:$cairn_port
for ((i = 0; i < 40; ++i)); do
    "$build/cairn" set "key$i" value
    "$build/cairn" get "key$i" >/dev/null
    "$build/cairn" get "no$i" 2>/dev/null || true
    sleep 0.1
done
sleep 2
curl -s "$api/rules" | jq -e '[.data.groups[].rules[] | select(.health == "ok")] | length > 10' >/dev/null || {
    echo "prometheus.sh: the alerts are not evaluated"
    exit 1
}

failures=0 queries=0
while IFS= read -r expr; do
    expr=${expr//'$instance'/.*}
    expr=${expr//'$__rate_interval'/5s}
    answer=$(query "$expr" | jq -r 'if .status == "success" then .data.result | length else .error end')
    queries=$((queries + 1))
    case $answer in
    0 | *[!0-9]*)
        echo "prometheus.sh: $expr: $answer"
        failures=$((failures + 1))
        ;;
    esac
done < <(jq -r '.panels[].targets[]?.expr' configs/grafana.json)
echo "prometheus.sh: $queries queries of the dashboard, $failures without an answer"
[ "$failures" = 0 ]

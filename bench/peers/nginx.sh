# shellcheck shell=bash disable=SC2034,SC2154
# nginx with static files, sendfile, and every descriptor in its cache: it is asked for the first
# thousand keys only, which is the best case it has.
ABOUT[nginx]="static files, one a key, a thousand keys; sendfile, open_file_cache, no access log"
NGINX_KEYS=1000
PROTOCOL[nginx]=cairn
PACKAGE[nginx]=nginx-light

# nginx_return has no files and answers by itself
write_nginx_config() { # name port location
    local user=""
    # started by root, its workers would be somebody who may not look into this directory
    if [ "$(id -u)" = 0 ]; then user="user root;"; fi
    mkdir -p "$WORK/$1/tmp" "$WORK/nginx_files/v1/kv"
    cat >"$WORK/$1/nginx.conf" <<CONFIG
$user
daemon off;
pid nginx.pid;
error_log stderr warn;
worker_processes $WORKERS;
worker_rlimit_nofile $(ulimit -n);
events {
    worker_connections 16384;
}
http {
    access_log off;
    sendfile on;
    open_file_cache max=10000 inactive=3600s;
    open_file_cache_valid 3600s;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    default_type application/octet-stream;
    client_body_temp_path tmp;
    proxy_temp_path tmp;
    fastcgi_temp_path tmp;
    uwsgi_temp_path tmp;
    scgi_temp_path tmp;
    server {
        listen 127.0.0.1:$2 reuseport backlog=4096;
        $3
    }
}
CONFIG
}

start_nginx() {
    PORT[nginx]=$(free_port)
    write_nginx_config nginx "${PORT[nginx]}" "root ../nginx_files;"
    launch nginx nginx -p "$WORK/nginx" -c "$WORK/nginx/nginx.conf"
    await_listening nginx
}

fill_nginx() { # value_bytes keys
    local i path value keys=$(($2 < NGINX_KEYS ? $2 : NGINX_KEYS))
    value=$(head -c "$1" /dev/zero | tr '\0' v)
    for ((i = 0; i < keys; ++i)); do
        printf -v path '%s/v%d-%08d' "$WORK/nginx_files/v1/kv" "$1" "$i"
        printf '%s' "$value" >"$path"
    done
}

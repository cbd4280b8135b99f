# shellcheck shell=bash disable=SC2034,SC2154
# nginx that answers with 100 bytes from its own config: the least nginx can do. After nginx.sh.
ABOUT[nginx_return]="return 200 with 100 bytes from the config; no file, no lookup"
PROTOCOL[nginx_return]=cairn
PACKAGE[nginx_return]=nginx-light

start_nginx_return() {
    PORT[nginx_return]=$(free_port)
    write_nginx_config nginx_return "${PORT[nginx_return]}" \
        "location / { return 200 $(head -c 100 /dev/zero | tr '\0' v); }"
    launch nginx_return nginx -p "$WORK/nginx_return" -c "$WORK/nginx_return/nginx.conf"
    await_listening nginx_return
}

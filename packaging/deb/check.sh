#!/bin/bash
# check.sh VERSION BUILD: the packages that `make deb` made, under a systemd of their own.
#
# A small Debian is made below BUILD/deb-check by debootstrap, kept for the next time, copied and
# booted in a container without a network. There the packages are installed, used, upgraded, removed
# and purged. Needs root, debootstrap, systemd-nspawn and a Debian mirror; says so where there is none.
set -euo pipefail
version=$1 build=$2
deb=$build/deb work=$(realpath -m "$build")/deb-check
base=$work/base root=$work/root next=$work/next
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
arch=$(dpkg --print-architecture)
failures=0 nspawn=

skip() {
    echo "deb-check: skipped: $1"
    exit 0
}
[ "$(id -u)" = 0 ] || skip "only root can make a system to install on"
for tool in debootstrap systemd-nspawn nsenter; do
    command -v "$tool" >/dev/null || skip "there is no $tool"
done

# ---------------------------------------------------------------- the system

make_base() {
    local codename=${VERSION_CODENAME:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
    [ -e "$base/.done" ] && return
    rm -rf "$base"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,adduser,logrotate,curl,procps,man-db \
        "$codename" "$base" "$mirror" >"$work/debootstrap.log" 2>&1 || skip "debootstrap: see $work/debootstrap.log"
    touch "$base/.done"
}

# what the packages depend on; the container has no network
install_depends() {
    local depends
    depends=$(dpkg-deb -f "$deb/cairn_${version}_$arch.deb" Depends)
    mount -t proc proc "$root/proc"
    chroot "$root" sh -c "apt-get update -q && DEBIAN_FRONTEND=noninteractive \
        apt-get satisfy -q -y --no-install-recommends '$depends'" >"$work/apt.log" 2>&1 || {
        umount "$root/proc"
        skip "apt-get: see $work/apt.log"
    }
    umount "$root/proc"
}

# a program made with the files of libcairn-dev, to be run where only libcairn0 is
make_program() {
    local files=$work/dev
    rm -rf "$files"
    dpkg-deb -x "$deb/libcairn-dev_${version}_$arch.deb" "$files"
    dpkg-deb -x "$deb/libcairn0_${version}_$arch.deb" "$files"
    local flags
    flags=$(PKG_CONFIG_SYSROOT_DIR=$files PKG_CONFIG_LIBDIR=$(echo "$files"/usr/lib/*/pkgconfig) \
        pkg-config --cflags --libs cairn)
    # shellcheck disable=SC2086
    cc "$files/usr/share/doc/cairn/examples/hello.c" -o "$root/usr/local/bin/hello" $flags
}

leader() { pgrep -P "$nspawn" -x systemd; }
inside() { nsenter -t "$(leader)" -m -u -i -n -p --root -- env -C / "$@"; }
shell() { inside bash -c "$1"; }

boot() {
    systemd-nspawn -q --register=no --keep-unit --private-network -D "$root" -b --console=pipe \
        </dev/null >"$work/boot.log" 2>&1 &
    nspawn=$!
    for _ in $(seq 100); do
        sleep 0.2
        case $(inside systemctl is-system-running 2>/dev/null) in running | degraded) return ;; esac
        kill -0 "$nspawn" 2>/dev/null || break
    done
    skip "no system boots in a container here: see $work/boot.log"
}

power_off() {
    [ -n "$nspawn" ] || return 0
    inside systemctl poweroff 2>/dev/null || true
    for _ in $(seq 50); do
        kill -0 "$nspawn" 2>/dev/null || return 0
        sleep 0.2
    done
    kill "$nspawn"
}
trap power_off EXIT

# ---------------------------------------------------------------- checking

# ok WHAT COMMAND: a command in the container that must end well
ok() {
    local out
    if out=$(shell "$2" 2>&1); then
        echo "  ok      $1"
    else
        echo "  NOT OK  $1"
        printf '%s\n' "$2" "$out" | sed 's/^/          /'
        failures=$((failures + 1))
    fi
}
# is WHAT EXPECTED COMMAND: one that must print this
is() { ok "$1" "out=\$($3); [ \"\$out\" = '$2' ] || { echo \"\$out\"; exit 1; }"; }

main_pid='$(systemctl show -P MainPID cairn.service)'

check_lintian() {
    command -v lintian >/dev/null || return 0
    if lintian --allow-root --fail-on error,warning "$deb"/*_"${version}_$arch".deb; then
        echo "  ok      lintian has nothing to say"
    else
        failures=$((failures + 1))
    fi
}

check_installed() {
    ok "the packages install" "dpkg -i /packages/libcairn0_${version}_$arch.deb /packages/cairn_${version}_$arch.deb"
    is "a user of its own, who cannot log in" "/usr/sbin/nologin" "getent passwd cairn | cut -d: -f7"
    is "the config is for root and cairn only" "640 root:cairn" "stat -c '%a %U:%G' /etc/cairn/cairn.yaml"
    is "the service runs" "active" "systemctl is-active cairn.service"
    is "and will after a boot" "enabled" "systemctl is-enabled cairn.service"
    is "as that user" "cairn" "ps -o user= -p $main_pid"
    is "it gains no privileges" "1" "sed -n 's/^NoNewPrivs:\t//p' /proc/$main_pid/status"
    is "it has the right to low ports, and no other" "0000000000000400" \
        "sed -n 's/^CapEff:\t//p' /proc/$main_pid/status"
    is "its system is read-only" "ro" \
        "nsenter -t $main_pid -m findmnt -no OPTIONS / | grep -o '^r[ow]'"
    ok "it does not see homes" "[ -e /root/.bashrc ] && ! nsenter -t $main_pid -m test -e /root/.bashrc"
    ok "it answers" "cairn set greeting hello && [ \$(cairn get greeting) = hello ]"
    is "its data are nobody else's" "750 cairn:cairn" "stat -c '%a %U:%G' /var/lib/cairn"
    is "systemd has nothing to say of the units" "" \
        "systemd-analyze verify /lib/systemd/system/cairn.service /lib/systemd/system/cairn.socket 2>&1 | grep cairn || :"
    ok "systemd finds it little exposed (below 2.0 of 10)" "systemd-analyze security --threshold=20 cairn.service"
    is "a program made with libcairn-dev runs with libcairn0" "hello" "hello"
    ok "man pages, completion and configs are there" \
        "ls /usr/share/man/man1/cairn.1.gz /usr/share/man/man1/cairn-serve.1.gz \
         /usr/share/bash-completion/completions/cairn /usr/share/doc/cairn/configs/tls.yaml"
}

check_service() {
    ok "the access log is turned on, and SIGHUP has it read" \
        "sed -i 's/^  access: .*/  access: \"common\"/' /etc/cairn/cairn.yaml && systemctl restart cairn.service"
    ok "logrotate takes its file" "logrotate -d /etc/logrotate.d/cairn 2>&1 | grep -q '/var/log/cairn' "
    # lines are written a moment after the answer
    local logged="cairn get greeting >/dev/null; for i in \$(seq 30); do sleep 0.1; grep -q greeting /var/log/cairn/access.log && break; done"
    ok "what is logged after a rotation is in the new file" \
        "$logged; logrotate -f /etc/logrotate.d/cairn && $logged; \
         grep -q greeting /var/log/cairn/access.log.1 && grep -q greeting /var/log/cairn/access.log"
    is "the log is for cairn only" "640 cairn:cairn" "stat -c '%a %U:%G' /var/log/cairn/access.log"
    ok "a restart keeps what was stored" "systemctl restart cairn.service && [ \$(cairn get greeting) = hello ]"
    ok "killed, it comes back with it" \
        "systemctl kill -s KILL cairn.service; for i in \$(seq 50); do sleep 0.1; cairn get greeting && exit; done; exit 1"
    ok "a broken config does not start, and says why" \
        "cp -a /etc/cairn/cairn.yaml /tmp/good.yaml; echo 'nonsense: 1' >>/etc/cairn/cairn.yaml; \
         ! systemctl restart cairn.service && journalctl -u cairn.service | grep -q nonsense; r=\$?; \
         cp -a /tmp/good.yaml /etc/cairn/cairn.yaml; systemctl reset-failed cairn.service; systemctl start cairn.service && exit \$r"
}

check_socket() {
    # a store that is loading answers 503 with Retry-After; a refused connection is no such answer
    local ask="curl -sf --retry 5 http://localhost:8080/v1/kv/greeting"
    ok "systemd can hold the socket" \
        "systemctl stop cairn.service && systemctl enable --now cairn.socket && systemctl is-active cairn.socket"
    ok "the first request starts the service" \
        "! systemctl -q is-active cairn.service && [ \$($ask) = hello ] && systemctl is-active cairn.service"
    ok "no request is refused during a restart" \
        "systemctl restart cairn.service & for i in \$(seq 100); do $ask >/dev/null || exit 1; done; wait \$!"
    ok "and back" "systemctl disable --now cairn.socket && systemctl restart cairn.service && cairn get greeting"
}

check_upgrade() {
    ok "an upgrade over an edited config" \
        "dpkg -i /packages/libcairn0_$version+1_$arch.deb /packages/cairn_$version+1_$arch.deb"
    ok "keeps what was edited" "grep -q 'access: \"common\"' /etc/cairn/cairn.yaml"
    is "and its mode" "640 root:cairn" "stat -c '%a %U:%G' /etc/cairn/cairn.yaml"
    ok "and runs with the data" "systemctl -q is-active cairn.service && [ \$(cairn get greeting) = hello ]"
    ok "who had disabled it finds it disabled" \
        "systemctl disable cairn.service && dpkg -i /packages/cairn_$version+1_$arch.deb && \
         [ \$(systemctl is-enabled cairn.service) = disabled ]; r=\$?; systemctl enable cairn.service; exit \$r"
}

check_removed() {
    ok "it can be removed" "dpkg --remove cairn"
    is "nothing runs any more" "0" "pgrep -c -u cairn || :"
    ok "the program has gone, config and data have not" \
        "[ ! -e /usr/bin/cairn ] && [ -s /etc/cairn/cairn.yaml ] && [ -n \"\$(ls /var/lib/cairn)\" ]"
    ok "installed again, it has them" \
        "dpkg -i /packages/cairn_$version+1_$arch.deb && [ \$(cairn get greeting) = hello ]"
    ok "it can be purged, and says that the data stay" \
        "dpkg --purge cairn 2>&1 | tee /tmp/purge | grep -q 'data stay' && [ -n \"\$(ls /var/lib/cairn)\" ]"
    is "nothing else is left" "" \
        "find /etc /lib/systemd /usr /var/log /run -xdev -name '*cairn*' ! -name 'libcairn*' ! -name Pitcairn | sort"
    ok "nor are there units" "systemctl daemon-reload && ! systemctl cat cairn.service"
    ok "the library can be removed" "dpkg --purge libcairn0 && ! ldconfig -p | grep libcairn"
}

mkdir -p "$work" "$next"
echo "deb-check: packages $version in a container"
check_lintian
make_base
rm -rf "$root"
cp -a --reflink=auto "$base" "$root"
install_depends
packaging/deb/build.sh "$version+1" "$build" "$next" >/dev/null
mkdir "$root/packages"
cp "$deb"/*_"${version}_$arch".deb "$next"/*_"$version+1_$arch".deb "$root/packages/"
make_program
boot
check_installed
check_service
check_socket
check_upgrade
check_removed
echo "deb-check: $failures failures"
[ "$failures" = 0 ]

#!/bin/bash
# build.sh VERSION BUILD OUT: Debian packages out of what `make` has built, by dpkg-deb alone.
#
# Three packages: cairn (program, service, config), libcairn0 (the shared library), libcairn-dev
# (header, static library, pkg-config file). Run by `make deb`, from the top of the tree.
set -euo pipefail
version=$1 build=$2 out=$3
here=packaging/deb
arch=$(dpkg --print-architecture)
multiarch=$(dpkg-architecture -q DEB_HOST_MULTIARCH)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
# as Debian's own tools are told
maintainer="${DEBFULLNAME:-cairn} <${DEBEMAIL:-cairn@cairn.invalid}>"
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date +%s)}

all=$work/all
make -s install BUILD="$build" DESTDIR="$all" PREFIX=/usr LIBDIR="/usr/lib/$multiarch" >/dev/null

# move PACKAGE PATH...: what belongs to it
move() {
    local package=$1 path
    shift
    for path; do
        mkdir -p "$work/$package/$(dirname "$path")"
        mv "$all/$path" "$work/$package/$path"
    done
}
mapfile -t dev < <(cd "$all" && ls -d usr/include/cairn.h usr/lib/*/libcairn.a usr/lib/*/libcairn.so \
    usr/lib/*/pkgconfig/cairn.pc usr/share/doc/cairn/examples)
move libcairn-dev "${dev[@]}"
mapfile -t lib < <(cd "$all" && ls -d usr/lib/*/libcairn.so.*)
move libcairn0 "${lib[@]}"
mkdir -p "$work/cairn"
cp -a "$all/." "$work/cairn/"
find "$work/cairn" -depth -type d -empty -delete

root=$work/cairn
install -D -m 644 packaging/cairn.service "$root/lib/systemd/system/cairn.service"
install -D -m 644 packaging/cairn.socket "$root/lib/systemd/system/cairn.socket"
install -D -m 644 packaging/cairn.logrotate "$root/etc/logrotate.d/cairn"
install -d "$root/etc/cairn"
sed -e 's|^  path: "./data"|  path: "/var/lib/cairn"|' \
    -e 's|^  file: "-"|  file: "/var/log/cairn/access.log"|' \
    configs/default.yaml >"$root/etc/cairn/cairn.yaml"
gzip -9n "$root"/usr/share/man/man1/*.1
strip --strip-unneeded --remove-section=.comment "$root/usr/bin/cairn" "$work"/libcairn0/usr/lib/*/*.so.*.*
strip --strip-debug "$work"/libcairn-dev/usr/lib/*/*.a

# shlibs_of FILE: the packages that hold the libraries it is linked to
mkdir -p "$work/shlibs/debian"
printf 'Source: cairn\n\nPackage: cairn\nArchitecture: any\n' >"$work/shlibs/debian/control"
shlibs_of() {
    (cd "$work/shlibs" && dpkg-shlibdeps -O --ignore-missing-info "$1" 2>/dev/null) |
        sed -n 's/^shlibs:Depends=//p'
}

# pack PACKAGE SECTION DEPENDS TITLE TEXT
pack() {
    local package=$1 dir=$work/$1 doc=$work/$1/usr/share/doc/$1
    mkdir -p "$dir/DEBIAN" "$doc"
    { cat "$here/copyright"; sed -e '1,/^$/d' -e '1,/^$/d' -e 's/^$/./' -e 's/^/ /' LICENSE; } >"$doc/copyright"
    printf 'cairn (%s) unstable; urgency=medium\n\n  * Release %s.\n\n -- %s  %s\n' \
        "$version" "$version" "$maintainer" "$(date -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"
    cat >"$dir/DEBIAN/control" <<END
Package: $package
Source: cairn
Version: $version
Architecture: $arch
Maintainer: $maintainer
Section: $2
Priority: optional
Installed-Size: $(du -k -s --exclude=DEBIAN "$dir" | cut -f1)
Depends: $3
Description: $4
 $5
END
    (cd "$dir" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | xargs -0 md5sum) >"$dir/DEBIAN/md5sums"
    dpkg-deb --root-owner-group --build "$dir" "$out/${package}_${version}_$arch.deb" >/dev/null
    echo "$out/${package}_${version}_$arch.deb"
}

mkdir -p "$out" "$root/DEBIAN" "$work/libcairn0/DEBIAN"
install -m 755 "$here/postinst" "$here/prerm" "$here/postrm" "$root/DEBIAN/"
printf '/etc/cairn/cairn.yaml\n/etc/logrotate.d/cairn\n' >"$root/DEBIAN/conffiles"
printf 'activate-noawait ldconfig\n' >"$work/libcairn0/DEBIAN/triggers"
printf 'libcairn 0 libcairn0 (>= %s)\n' "$version" >"$work/libcairn0/DEBIAN/shlibs"
pack cairn database "adduser, init-system-helpers (>= 1.54), procps, $(shlibs_of "$root/usr/bin/cairn")" \
    "durable key-value database that speaks plain HTTP" \
    "Server and command line in one program. A write is answered once it is on disk."
pack libcairn0 libs "$(shlibs_of "$(ls "$work"/libcairn0/usr/lib/*/libcairn.so.*.*)")" \
    "client library of cairn, a key-value database" "The shared library that programs are run with."
pack libcairn-dev libdevel "libcairn0 (= $version), libcurl4-openssl-dev, libjansson-dev" \
    "client library of cairn, files to build with" "The header, the static library and the pkg-config file."

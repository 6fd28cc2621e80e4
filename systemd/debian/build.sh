#!/bin/sh
# build.sh BUILD VERSION: makes BUILD/codex-pool_VERSION_ARCHITECTURE.deb of what `make install` installs. The same sources
# and the same compiler make the same package.
set -eu
build=$1
version=$2
here=systemd/debian
root=$build/deb/root
for tool in dpkg-deb dpkg-shlibdeps scdoc strip; do
    command -v "$tool" >/dev/null || {
        echo "make deb: $tool is missing (Debian: dpkg-dev, scdoc, binutils)" >&2
        exit 1
    }
done
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Makefile)}
export SOURCE_DATE_EPOCH
umask 022

rm -rf "$build/deb"
make -s --no-print-directory BUILD="$build" PREFIX=/usr DESTDIR="$root" install
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root"/usr/bin/*
gzip -9n "$root"/usr/share/man/man?/*
# Where Debian's zsh looks for what packages bring along.
mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
install -D -m 0644 -t "$root/etc/codex-pool" $here/config.json
install -D -m 0644 LICENSE "$root/usr/share/doc/codex-pool/copyright"
install -D -m 0644 -t "$root/usr/share/doc/codex-pool" README.md
printf 'codex-pool (%s) unstable; urgency=medium\n\n  * See the history of the sources.\n\n -- codex-pool <root@localhost>  %s\n' \
    "$version" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" >"$root/usr/share/doc/codex-pool/changelog.Debian"
gzip -9n "$root/usr/share/doc/codex-pool/README.md" "$root/usr/share/doc/codex-pool/changelog.Debian"

# dpkg-shlibdeps wants to stand beside a debian/control.
mkdir -p "$build/deb/debian"
printf 'Source: codex-pool\n\nPackage: codex-pool\nArchitecture: any\n' >"$build/deb/debian/control"
depends=$(cd "$build/deb" && dpkg-shlibdeps --warnings=0 -O root/usr/bin/codex-poold root/usr/bin/codex-pool |
    sed -n 's/^shlibs:Depends=//p')
architecture=$(dpkg --print-architecture)
size=$(du -k -s --apparent-size "$root" | cut -f1)

mkdir "$root/DEBIAN"
(cd "$root" && find etc usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$build/deb/md5sums"
install -m 0644 "$build/deb/md5sums" "$root/DEBIAN/md5sums"
echo /etc/codex-pool/config.json >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 0755 $here/$script "$root/DEBIAN/$script"; done
sed "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/; s/@DEPENDS@/$depends/" $here/control \
    >"$root/DEBIAN/control"
dpkg-deb --root-owner-group --build "$root" "$build/codex-pool_${version}_$architecture.deb" >/dev/null
echo "$build/codex-pool_${version}_$architecture.deb"

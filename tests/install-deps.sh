#!/bin/sh
# Installs what is missing, and only that.
#   install-deps.sh build   compiler, libraries, Node.js: what building, the demo and the tests need
#   install-deps.sh npm     what tests/package-lock.json names, into build/npm
#   install-deps.sh check   what only tests need that can be left out: a systemd to run the units, tmux, promtool,
#                           shells with completions, what makes and checks the manual and the Debian package
#   install-deps.sh clang   the second compiler
#   install-deps.sh browser a Chromium, for the example of the Node.js client: 122 MB to fetch, 414 MB on the disk
#   install-deps.sh fuzz    the same, with its fuzzer
#   install-deps.sh bench   what the speed benchmark compares with, and counts instructions by
# Several may be given. Nothing to do: says nothing.
set -eu
cd "$(dirname "$0")/.."
. tests/progress.sh

log=
trap 'progress_stop; [ -z "$log" ] || rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

have() {
    command -v "$1" >/dev/null 2>&1
}

# A header that the compiler does not find, or a compiler that is not there, counts as missing.
has_headers() {
    have gcc && for header in "$@"; do echo "#include <$header>"; done | gcc -E - >/dev/null 2>&1
}

has_node() {
    have node && [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge 18 ]
}

missing_build() {
    have gcc || echo gcc
    has_headers stdio.h || echo libc6-dev
    have make || echo make
    have pkg-config || echo pkg-config
    has_headers ev.h || echo libev-dev
    has_headers cjson/cJSON.h || echo libcjson-dev
    has_headers http_parser.h || echo libhttp-parser-dev
    has_headers wslay/wslay.h || echo libwslay-dev
    has_headers nettle/sha1.h || echo nettle-dev
    has_headers check.h || echo check
    has_headers curses.h || echo libncurses-dev
    has_node || echo nodejs
    have npm || echo npm
    # Node.js of the distribution trusts what the system trusts.
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || echo ca-certificates
}

missing_check() {
    { have systemd-analyze && have systemctl; } || echo systemd
    have dbus-daemon || echo dbus-daemon
    have unshare || echo util-linux
    have tmux || echo tmux
    have scdoc || echo scdoc
    have mandoc || echo mandoc
    { have man && have groff; } || echo man-db groff-base
    have zsh || echo zsh
    have fish || echo fish
    have dpkg-shlibdeps || echo dpkg-dev
    have ps || echo procps
}

# The package starts a service, and brings fonts and scripts for its pages: all that is wanted of it is one program.
promtool_unpack() {
    dir=$(mktemp -d) &&
        chmod 755 "$dir" &&
        (cd "$dir" && apt-get -q download prometheus && dpkg-deb --fsys-tarfile ./*.deb | tar -xf - ./usr/bin/promtool) &&
        mkdir -p build &&
        mv "$dir/usr/bin/promtool" build/promtool
    status=$?
    rm -rf "$dir"
    return "$status"
}

get_promtool() {
    if have promtool || [ -x build/promtool ] || ! have apt-get || ! have dpkg-deb; then
        return 0
    fi
    apt-cache show prometheus >/dev/null 2>&1 || ! may_install || run 'package lists' apt_get update
    log=$(mktemp)
    if ! step 'promtool into build' "$log" promtool_unpack; then
        indent "$log"
        [ -z "${CI-}" ] || exit 1
        echo 'without promtool what it checks is skipped' >&2
    fi
    rm -f "$log"
    log=
}

missing_browser() {
    sh tests/lib/has-browser.sh >/dev/null || echo chromium
}

missing_bench() {
    have socat || echo socat
    have taskset || echo util-linux
    have valgrind || echo valgrind
}

missing_clang() {
    have clang || echo clang
}

# In Debian a package of its own beside clang's; older ones have it in clang's.
missing_fuzzer() {
    sh tests/fuzz/available.sh || echo "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
}

# What runs a command as root: nothing, or sudo; the status tells whether there is either.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

may_install() {
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

# run LABEL COMMAND...: a step whose output is shown only if it fails.
run() {
    label=$1
    shift
    log=$(mktemp)
    if ! step "$label" "$log" "$@"; then
        indent "$log"
        echo "failed: $label" >&2
        exit 1
    fi
    rm -f "$log"
    log=
}

install_packages() {
    if ! have apt-get; then
        echo "Missing, by their names in Debian: $*" >&2
        echo 'Only Debian and its relatives are installed to by themselves: please install these and run again.' >&2
        exit 1
    fi
    if ! may_install; then
        echo "Missing: $*" >&2
        echo 'Neither root nor sudo without a password. Please run this first (as root), then the same command again:' >&2
        sudo=
        ! have sudo || sudo='sudo '
        echo "  ${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends $*" >&2
        exit 1
    fi
    run 'package lists' apt_get update
    echo "installing $*"
    run 'packages' apt_get install --no-install-recommends "$@"
}

# What decides what npm installs: the locked list, and for whom.
npm_stamp() {
    { cat tests/package.json tests/package-lock.json && uname -sm; } | sha256sum | cut -d' ' -f1
}

npm_install() {
    rm -f build/npm/stamp &&
        mkdir -p build/npm &&
        cp tests/package.json tests/package-lock.json build/npm/ &&
        (cd build/npm && npm ci --no-audit --no-fund --no-update-notifier --ignore-scripts --loglevel=error) &&
        npm_stamp >build/npm/stamp
}

npm_packages() {
    if [ "$(cat build/npm/stamp 2>/dev/null)" != "$(npm_stamp)" ]; then
        run 'npm packages into build/npm' npm_install
    fi
    [ "$(readlink tests/node_modules)" = ../build/npm/node_modules ] ||
        ln -sfn ../build/npm/node_modules tests/node_modules
    [ "$(readlink client/node/node_modules)" = ../../build/npm/node_modules ] ||
        ln -sfn ../../build/npm/node_modules client/node/node_modules
}

wanted=
promtool=
npm=
fuzzer=
for what in "$@"; do
    case $what in
    build | clang | browser | bench) wanted="$wanted $("missing_$what")" ;;
    fuzz) wanted="$wanted $(missing_clang)" fuzzer=1 ;;
    check) promtool=1; ! { have apt-get && may_install; } || wanted="$wanted $(missing_check)" ;;
    npm) npm=1 ;;
    *)
        echo "usage: $0 [build] [check] [clang] [browser] [fuzz] [bench] [npm]" >&2
        exit 64
        ;;
    esac
done
# shellcheck disable=SC2086
set -- $wanted
[ $# = 0 ] || install_packages "$@"
if [ -n "$fuzzer" ]; then
    # Named after the version of the clang that is there now.
    # shellcheck disable=SC2046
    set -- $(missing_fuzzer)
    [ $# = 0 ] || install_packages "$@"
fi
[ -z "$promtool" ] || get_promtool
[ -z "$npm" ] || npm_packages

#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# check-dist -- what a packager relies on: the tarball, configure's answers, make install
#
# Usage: tests/check-dist.sh [BUILD]: the top of the source tree is the working directory;
# BUILD (default build/) is a finished build. Prints `ok: ...` or `FAIL: ...` for each
# thing looked at; exit status 1 when one failed. Needs git, and that the tree is a clone.
set -u
top=$PWD build=$(realpath "${1:-build}")
[ -f "$build/Makefile" ] || { echo "no build in $build" >&2; exit 64; }
tmp=$(mktemp -d "${TMPDIR:-/tmp}/check-dist.XXXXXX")
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
status=0

# verdict TEXT FILE: it holds when the file is empty, and else the file says what is wrong.
verdict() {
    if [ ! -s "$2" ]; then
        echo "ok: $1"
    else
        echo "FAIL: $1:"
        head -n 40 "$2" | sed 's/^/    /'
        status=1
    fi
}

# -- the tarball --

make -C "$build" distdir=tarball top_distdir=tarball distdir >"$tmp/distdir.log" 2>&1 || {
    echo "FAIL: make distdir"
    tail -n 20 "$tmp/distdir.log"
    exit 1
}
mv "$build/tarball" "$tmp/src"

for f in $(git ls-files); do [ ! -f "$f" ] || echo "$f"; done | LC_ALL=C sort >"$tmp/tracked"
(cd "$tmp/src" && find . -type f | sed 's|^\./||' | LC_ALL=C sort) >"$tmp/packed"
LC_ALL=C comm -23 "$tmp/tracked" "$tmp/packed" >"$tmp/missing"
verdict "the tarball has every file of the repository" "$tmp/missing"
LC_ALL=C comm -13 "$tmp/tracked" "$tmp/packed" |
    grep -vxE 'MANIFEST|configure|aclocal\.m4|config\.h\.in|Makefile\.in|build-aux/[a-z-]+' >"$tmp/foreign"
verdict "the tarball has nothing else but what autoreconf makes" "$tmp/foreign"

# -- configure --

# A pkg-config that does not know one module.
cat >"$tmp/pkg-config" <<'SH'
#!/bin/sh
case " $* " in *" $HIDDEN "*) echo "No package '$HIDDEN' found" >&2; exit 1 ;; esac
exec pkg-config "$@"
SH
chmod +x "$tmp/pkg-config"
chmod -R a-w "$tmp/src"
mkdir "$tmp/build"
cd "$tmp/build" || exit 1
export CONFIG_SHELL=/bin/sh

"$tmp/src/configure" -C >"$tmp/configure.log" 2>&1 || tail -n 20 "$tmp/configure.log" >"$tmp/wrong"
touch "$tmp/wrong"
verdict "the tarball configures, in a directory of its own" "$tmp/wrong"

# Later runs take all answers from the cache but those of pkg-config.
sed -i '/pkg_cv_/d; /ac_cv_env_/d; /ac_cv_path_.*PKG_CONFIG/d' config.cache
while read -r module package; do
    cp config.cache one.cache
    HIDDEN=$module "$tmp/src/configure" --cache-file=one.cache PKG_CONFIG="$tmp/pkg-config" >"$tmp/log" 2>&1 &&
        echo "configure went on" >"$tmp/wrong"
    grep -q "apt-get install $package\$" "$tmp/log" || tail -n 5 "$tmp/log" >"$tmp/wrong"
    verdict "without $module configure says which package to install" "$tmp/wrong"
    : >"$tmp/wrong"
done <<'END'
libsasl2 libsasl2-dev
openssl libssl-dev
zlib zlib1g-dev
uuid uuid-dev
icu-uc libicu-dev
jansson libjansson-dev
check check
END

# -- make install --

# into LAYOUT VARIABLE=VALUE...
into() {
    make -C "$build" install DESTDIR="$tmp/$1" "${@:2}" >"$tmp/install.log" 2>&1 ||
        tail -n 20 "$tmp/install.log" >"$tmp/wrong"
}

into debian prefix=/usr libexecdir=/usr/lib/cyrus/bin sbindir=/usr/lib/cyrus/bin mandir=/usr/share/man
verdict "make install, with the directories of Debian" "$tmp/wrong"
cd "$tmp/debian" || exit 1
find . ! -type d | grep -vE '^\./usr/(lib/cyrus/bin/[a-z0-9_]+|share/man/man[158]/[a-z0-9_.]+\.[158])$' >"$tmp/wrong"
verdict "only programs and manual pages are installed" "$tmp/wrong"
for program in master imapd lmtpd sync_server sync_client ctl_cyrusdb; do
    [ -x "usr/lib/cyrus/bin/$program" ] || echo "$program is not in /usr/lib/cyrus/bin"
done >"$tmp/wrong"
verdict "daemons and tools are where they belong" "$tmp/wrong"
for program in usr/lib/cyrus/bin/*; do
    name=${program##*/}
    [ -f "usr/share/man/man8/$name.8" ] || [ -f "usr/share/man/man1/$name.1" ] || echo "$name"
done >"$tmp/wrong"
verdict "each program has its manual page, and none is a test" "$tmp/wrong"

into local prefix=/usr/local
verdict "make install, with the usual directories" "$tmp/wrong"
cd "$tmp/local/usr/local" || exit 1
[ -x libexec/master ] || echo "master is not in libexec" >"$tmp/wrong"
[ -x sbin/ctl_cyrusdb ] || echo "ctl_cyrusdb is not in sbin" >>"$tmp/wrong"
verdict "daemons are in libexecdir, tools in sbindir" "$tmp/wrong"
make -C "$build" uninstall DESTDIR="$tmp/local" prefix=/usr/local >/dev/null 2>&1
find "$tmp/local" ! -type d >"$tmp/wrong"
verdict "make uninstall leaves nothing" "$tmp/wrong"
exit $status

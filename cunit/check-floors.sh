#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# check-floors -- a call goes down the floors, never up
#
# Links every object of floors 0..N, and nothing above, for each N. A call from
# a floor to a higher one leaves an undefined symbol and fails the check.
set -eu
: "${FLOOR_CC:?run by make check}" "${FLOOR_LIBS:?}"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/floors.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
echo 'int main(void) { return 0; }' >"$tmp/main.c"

status=0
below=
for archive in $FLOOR_LIBS; do
    name=${archive##*/}
    [ -f "$archive" ] || { echo "$archive is missing"; exit 99; }
    # An empty archive holds no members to link.
    [ -z "$(ar t "$archive")" ] || below="$below $archive"
    # shellcheck disable=SC2086 # the lists are meant to split
    if $FLOOR_CC ${FLOOR_LDFLAGS:-} -o "$tmp/floor" "$tmp/main.c" \
        -Wl,--whole-archive $below -Wl,--no-whole-archive ${FLOOR_SYSLIBS:-} >"$tmp/log" 2>&1; then
        echo "ok: $name calls only down"
    else
        echo "FAIL: $name calls something above it:"
        grep -E 'undefined reference|multiple definition' "$tmp/log" | sort -u || cat "$tmp/log"
        status=1
    fi
done
exit $status

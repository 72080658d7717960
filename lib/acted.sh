#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# acted -- makes lib/imapoptions.acted, the list of options that the programs act on
#
# Usage: lib/acted.sh [--check], from the top of the tree. An option counts when the code
# asks for IMAPOPT_NAME anywhere; options that are asked for in another way (by SASL, by the
# name of a channel) stand in the script. --check changes nothing and exits 1 when the list is out of
# date.
set -eu
list=lib/imapoptions.acted
[ -f "$list" ] || { echo "run from the top of the tree" >&2; exit 64; }
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
{
    echo '# SPDX-License-Identifier: BSD-3-Clause'
    echo '# Options that the programs act on, one name a line; made by lib/acted.sh.'
    # ZERO, LAST and TYPE_* are no options; a deprecated option acts through another.
    grep -rhoE 'IMAPOPT_[A-Z0-9_]+' --include='*.c' lib imap master ptclient |
        sed 's/^IMAPOPT_//' | tr 'A-Z' 'a-z' | LC_ALL=C sort -u |
        while read -r name; do
            ! grep -qE "^$name [a-z]+ " lib/imapoptions || echo "$name"
        done
} >"$tmp"
if [ "${1:-}" = --check ]; then
    cmp -s "$tmp" "$list" || { echo "$list is out of date: run lib/acted.sh"; exit 1; }
else
    cmp -s "$tmp" "$list" || cat "$tmp" >"$list"
fi

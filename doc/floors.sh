#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# floors -- writes the lists of files per floor into doc/architecture.md
#
# Usage: doc/floors.sh [--check], from the top of the tree. The lists come from the
# fragments of the makefile, so they are what is linked. --check changes nothing and
# exits 1 when the document is out of date.
set -eu
doc=doc/architecture.md
[ -f "$doc" ] || { echo "run from the top of the tree" >&2; exit 64; }
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT

# Modules of one library: file names without extension, each once.
modules() { # VARIABLE FRAGMENT
    sed -n "s/^$1 *+= *//p" "$2" | tr ' ' '\n' | sed -n 's/\.[ch]$//p' | sed 's|^lib/||; s|^imap/||' |
        LC_ALL=C sort -u | tr '\n' ' ' | sed 's/ $//; s/ /, /g' | fold -s -w 116 | sed 's| *$||'
}

row() { # TITLE VARIABLE FRAGMENT
    list=$(modules "$2" "$3")
    printf '\n**%s**\n\n%s\n' "$1" "${list:-(nothing yet)}"
}

{
    sed '/<!-- floors -->/q' "$doc"
    row "0 ground (\`lib/\`, libground)" lib_libground_a_SOURCES lib/lib.am
    row "1 services (\`lib/\`, libservices)" lib_libservices_a_SOURCES lib/lib.am
    row "2 mail data (\`imap/\`, libmaildata)" imap_libmaildata_a_SOURCES imap/imap.am
    row "3 stores (\`imap/\`, libstore)" imap_libstore_a_SOURCES imap/imap.am
    row "4 mail operations (\`imap/\`, libops)" imap_libops_a_SOURCES imap/imap.am
    row "5 conversations with the outside (\`imap/\`, libproto)" imap_libproto_a_SOURCES imap/imap.am
    echo
    sed -n '/<!-- \/floors -->/,$p' "$doc"
} >"$tmp"

if [ "${1:-}" = --check ]; then
    cmp -s "$tmp" "$doc" || { echo "$doc is out of date: run doc/floors.sh"; exit 1; }
else
    cmp -s "$tmp" "$doc" || cat "$tmp" >"$doc"
fi

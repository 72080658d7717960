#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# check-seen -- whether a message is seen is asked in one place (07 W031)
#
#   bit     FLAG_SEEN, and OPT_IMAP_SHAREDSEEN, which says whose it is: in the sources
#   index   index_flags_seen(): the state in the index, which is not that of every user: in the sources
#   db      the functions of seen.db: undefined symbols of the objects
#
# Everybody else goes through seen_view (imap/mailbox.h). Each exception is a line of the table below,
# with its reason; one that nobody uses is an error too. Last, a source and an object that offend are made and must be found.
#
# Usage: cunit/check-seen.sh, in the directory of the build.
set -eu
: "${FLOOR_CC:=cc}" "${srcdir:=..}"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/seen.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

# RULE FILE (a shell pattern) REASON
cat >"$tmp/may" <<'MAY'
bit imap/seen_view.c the place
bit imap/mailbox_index.h where the bits are defined
bit imap/mailbox_account.c the name of the bit
bit imap/mailbox_version.c an old index gets the owner's state as bits
bit imap/mbexamine.c the name of the bit, and of the option
bit imap/sync_crc.c the name of the bit
bit imap/sync_record.c the name of the bit on the wire
bit imap/sync_folder.h the name of the option on the wire
bit imap/mailbox_change.c options that may be set
bit imap/mailbox_salvage.c options that may be in a damaged header
bit imap/metadata_*.c the option, which is asked for and set by name
bit imap/imap_report.c flags of struct index_message, as the user has them
bit imap/search_match.c flags of struct index_message, as the user has them
bit imap/index.h says what its flags mean
bit imap/index_store.c flags that a user asks for
bit imap/append_store.c flags that a user asks for
index imap/mailbox_index.h where it is defined
index imap/seen_view.c the place
index imap/append.c flags that a user asks for, on their way to the place
index imap/mailbox_account.c the header counts what is unseen in the index
index imap/conversations_update.c conversations count what is unseen in the index
db imap/seen_view.o the place
db imap/mailbox_version.o the owner's state, of an old index
db imap/user_strays.o a second file of the user, whose records are joined
db imap/synccmd/get_meta.o replication: whole records
db imap/synccmd/apply_meta.o replication: whole records
db imap/sync_client_local.o replication: whole records
db imap/sync_client_absent.o replication: whole records
MAY

# Lines "RULE FILE WHAT" of a list of sources below the current directory.
in_sources() { # FILE ...
    grep -onwE 'FLAG_SEEN|OPT_IMAP_SHAREDSEEN|index_flags_seen' "$@" /dev/null |
        awk -F: '{ print ($3 == "index_flags_seen" ? "index" : "bit"), $1, "line " $2 ": " $3 }'
}

in_objects() { # OBJECT ...
    for object; do
        nm -u "$object" | awk -v o="$object" '$2 ~ /^seen_(read|write|foreach|delete)/ { print "db", o, $2 }'
    done
}

# Prints what no line of the table allows, and leaves the lines that allowed something in $tmp/used.
offences() {
    while read -r rule file what; do
        found=
        while read -r r pattern reason; do
            # shellcheck disable=SC2254 # it is a pattern
            [ "$r" = "$rule" ] && case $file in $pattern) found=1 ;; esac
            [ -z "$found" ] || { echo "$r $pattern $reason" >>"$tmp/used"; break; }
        done <"$tmp/may"
        [ -n "$found" ] || echo "$file: $what ($rule)"
    done
}

sources=$(cd "$srcdir" && find imap lib master ptclient -name '*.[ch]' | LC_ALL=C sort)
objects=$(find imap lib master ptclient -name '*.o' 2>/dev/null | LC_ALL=C sort)
[ -n "$objects" ] || { echo "FAIL: no objects here; run it in the directory of the build"; exit 99; }
: >"$tmp/used"
# shellcheck disable=SC2086 # the lists are meant to be split
{ (cd "$srcdir" && in_sources $sources); in_objects $objects; } | offences >"$tmp/bad"
status=0
if [ -s "$tmp/bad" ]; then
    echo "FAIL: \\Seen is asked past seen_view (see the table of check-seen.sh):"
    cat "$tmp/bad"
    status=1
else
    echo "ok: $(echo "$sources" | wc -l) sources ask seen_view whether a message is seen"
fi

if LC_ALL=C sort -u "$tmp/used" >"$tmp/u" && LC_ALL=C sort -u "$tmp/may" | LC_ALL=C comm -23 - "$tmp/u" | grep .; then
    echo "FAIL: nobody uses these exceptions"
    status=1
else
    echo "ok: every exception is in use"
fi

mkdir -p "$tmp/imap"
cat >"$tmp/imap/offender.c" <<'C'
#define FLAG_SEEN 16
#define index_flags_seen(f) ((f) & FLAG_SEEN)
int seen_read(void), seen_write(void);
int offend(int flags);
int offend(int flags)
{
    return index_flags_seen(flags) + seen_read() + seen_write();
}
C
$FLOOR_CC -c -o "$tmp/imap/offender.o" "$tmp/imap/offender.c"
found=$(cd "$tmp" && { in_sources imap/offender.c; in_objects imap/offender.o; } | offences | wc -l)
if [ "$found" -eq 6 ]; then
    echo "ok: one that offends is found"
else
    echo "FAIL: of six offences, $found are found"
    status=1
fi
exit $status

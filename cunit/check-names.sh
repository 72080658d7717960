#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# check-names -- the spellings of a mailbox name cannot be mixed (07 W030)
#
# Compiles one call for each pair of spellings (imap/mbname_forms.h) with all warnings off: what mixes two is refused by
# the compiler, what does not is accepted. Then the places are looked at that no type can guard: members of the types
# outside mbname*.c, names of mailboxes and users taken from a sync peer past sync_name.h, mailbox arguments of commands
# as bare strings, internal names that are made by hand.
#
# Usage: cunit/check-names.sh, in the directory of the build.
set -eu
: "${FLOOR_CC:=cc}" "${srcdir:=..}"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/names.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

fail() {
    echo "FAIL: $*"
    : >"$tmp/failed" # also out of the subshell of a pipe
}

compiles() { # BODY: of a function that has one of each spelling
    cat >"$tmp/snippet.c" <<C
#include <config.h>
#include "imap_session.h"
#include "mbentry.h"
#include "mboxlist.h"
#include "mboxname.h"
void snippet(struct imap_session *s, struct protstream *out, struct namespace *ns, const char *internal, extname_t ext,
             dbname_t db, syncname_t sync, mupdatename_t mupdate, struct buf *buf, mbentry_t *entry, mbname_t *m);
void snippet(struct imap_session *s, struct protstream *out, struct namespace *ns, const char *internal, extname_t ext,
             dbname_t db, syncname_t sync, mupdatename_t mupdate, struct buf *buf, mbentry_t *entry, mbname_t *m)
{
    $1
}
C
    $FLOOR_CC -w -Wno-error -I. -I"$srcdir" -I"$srcdir/imap" -I"$srcdir/lib" -c -o "$tmp/snippet.o" "$tmp/snippet.c" \
        >"$tmp/log" 2>&1
}

accepted() {
    compiles "$1" || { fail "the compiler refuses: $1"; cat "$tmp/log"; return 0; }
    accepted=$((accepted + 1))
}

refused() {
    if compiles "$1"; then fail "the compiler accepts: $1"; else refused=$((refused + 1)); fi
}

# Of each spelling: a function that takes it, with X for the name.
taker() {
    case $1 in
    internal) echo 'mboxname_policycheck(X);' ;;
    ext) echo 'mbname_from_extname(X, ns, "u");' ;;
    db) echo 'mbname_from_dbkey(X);' ;;
    sync) echo 'mbname_from_sync(X);' ;;
    mupdate) echo 'mbname_from_mupdate(X);' ;;
    esac
}

accepted=0 refused=0
for want in internal ext db sync mupdate; do
    for given in internal ext db sync mupdate; do
        call=$(taker $want | sed "s/X/$given/")
        if [ $want = $given ]; then accepted "$call"; else refused "$call"; fi
    done
done

# Assignments, results, and the edges.
while read -r kind body; do
    $kind "$body"
done <<'SNIPPETS'
accepted internal = mbname_intname(m);
accepted ext = mbname_extname(m, ns, "u");
accepted db = mbname_dbname(m);
accepted internal = imap_intname(s, ext);
accepted imap_print_mailbox(s, ext);
accepted imap_print_mailbox(s, imap_extname(s, internal));
accepted imap_arg_mailbox(s, &ext);
accepted mboxlist_lookup(imap_intname(s, ext), &entry, NULL);
accepted mboxlist_lookup(mboxname_from_sync(sync), &entry, NULL);
accepted mbentry_parse_n(db, "", 0, &entry);
refused internal = mbname_extname(m, ns, "u");
refused internal = mbname_dbname(m);
refused ext = mbname_intname(m);
refused ext = internal;
refused ext = db;
refused ext = mbname_dbname(m);
refused db = mbname_intname(m);
refused db = sync;
refused sync = mupdate;
refused mupdate = ext;
refused internal = ext;
refused internal = sync;
refused mboxlist_lookup(ext, &entry, NULL);
refused mboxlist_lookup(db, &entry, NULL);
refused mboxlist_lookup(sync, &entry, NULL);
refused imap_lookup(s, internal, 0, NULL, &entry);
refused imap_lookup(s, buf_cstring(buf), 0, NULL, &entry);
refused imap_intname(s, buf_cstring(buf));
refused imap_print_mailbox(s, internal);
refused imap_print_mailbox(s, entry->name);
refused prot_printastring(out, ext);
refused mbname_from_sync(internal, 1);
refused mbname_from_dbkey(internal, 1);
refused mbentry_parse_n(internal, "", 0, &entry);
refused strcmp(ext, "INBOX");
refused mboxlist_findall(ns, internal, false, "u", NULL, NULL, NULL);
SNIPPETS
[ -e "$tmp/failed" ] || echo "ok: the compiler refuses $refused mixtures of names and accepts $accepted right uses"

# ---- what no type guards ----

# Prints the lines of a search; a second argument is a pattern of lines that are meant.
search() { # PATTERN [EXCEPT] -- FILE ...
    pattern=$1 except='^$'
    shift
    [ "$1" = -- ] || { except=$1; shift; }
    shift
    (cd "$srcdir" && grep -nE -- "$pattern" "$@" /dev/null) | grep -vE -- "$except" >"$tmp/found" || :
    cat "$tmp/found"
}

none() { # WHAT, reads lines
    if grep . >"$tmp/bad"; then
        fail "$1:"
        cat "$tmp/bad"
    else
        echo "ok: nobody $2"
    fi
}

sources=$(cd "$srcdir" && find imap master ptclient -name '*.[ch]' | LC_ALL=C sort)
outside=$(echo "$sources" | grep -vE '^imap/(mbname|mboxname)[a-z_]*\.[ch]$')
# shellcheck disable=SC2086 # the lists are meant to be split
{
search '(\.|->)(ext|keylen|wire|wirelen|quoted|quotedlen)\b' '(rec|r|k)(\.|->)keylen|->keylen' -- $outside |
    none "members of the types of names are used outside mbname*.c" "looks into a spelling"
search 'dlist_(get|to)(atom|map|buf)\([^;()]*"((OLD|NEW)?MBOXNAME|QUOTAROOT|ROOT|USERID)"' \
    '^imap/sync_annot|"ENTRY"|^imap/synccmd/apply_annotation' -- $outside |
    none "names come from a sync peer past sync_name.h" "takes a peer's name unchecked"
search 'imap_arg_astring\([^)]*(name|mailbox|ref|from|to)\)' -- $outside |
    none "mailbox arguments are read as bare strings" "reads a mailbox argument as a string"
search '"(user[.]%|%s!|user[.]"|DELETED[.])|INTUSER_PREFIX' '^imap/check_replication|printf\("%s!%s\\n"' -- $outside |
    none "internal names are made by hand" "makes an internal name by hand"
}

# An offender of each kind is found.
mkdir -p "$tmp/imap"
cat >"$tmp/imap/offender.c" <<'C'
a = name.ext;
dlist_getatom(dl, "MBOXNAME", &name);
imap_arg_astring(s, &name);
a = xasprintf("user.%s", userid);
C
srcdir=$tmp
found=$({
    search '(\.|->)(ext|keylen|wire|wirelen|quoted|quotedlen)\b' -- imap/offender.c
    search 'dlist_(get|to)(atom|map|buf)\([^;()]*"((OLD|NEW)?MBOXNAME|QUOTAROOT|ROOT|USERID)"' -- imap/offender.c
    search 'imap_arg_astring\([^)]*(name|mailbox|ref|from|to)\)' -- imap/offender.c
    search '"(user[.]%|%s!|user[.]"|DELETED[.])|INTUSER_PREFIX' -- imap/offender.c
} | wc -l)
if [ "$found" -eq 4 ]; then
    echo "ok: one that offends is found"
else
    fail "of four offences, $found are found"
fi
[ ! -e "$tmp/failed" ]

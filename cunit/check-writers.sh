#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# check-writers -- who may change what is stored (07 W029)
#
# Looks at the undefined symbols of every object of the libraries and programs:
#
#   system   the system's calls that change files: diskio, and files that are no mail store
#   disk     diskio's calls that change files: the journal, the databases, what is staged
#   index    what makes or places bytes of cyrus.header, cyrus.index, cyrus.cache: the mailbox module
#   place    who can name those files
#
# Each exception is a line of the table below, with its reason; one that nobody uses is an error
# too, so the table stays true. A last check has an object that offends, which must be found.
#
# Usage: cunit/check-writers.sh [OBJECT ...], in the directory of the build; OBJECTs are looked
# at besides, and no unused exception is told then.
set -eu
: "${FLOOR_CC:=cc}"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/writers.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

# RULE SYMBOLS (an extended regular expression of whole names)
cat >"$tmp/rules" <<'RULES'
system p?writev?|fd?(ata)?sync|fsync|syncfs|sync_file_range|rename(at2?)?|(sym)?link(at)?|unlink(at)?|remove|rmdir
system mkdir(at)?|mk(d|s|os)temps?|tmpfile|f?truncate|(posix_)?fallocate|creat|open(at)?|fopen|freopen|fdopen
system f?chmod(at)?|[lf]?(set|remove)xattr|l?f?chown(at)?|utimes?|futimes|futimens|utimensat|copy_file_range|sendfile|splice|ioctl|mmap|mknod(at)?
disk diskio_(create|mkstemp|pwritev?|writev?|ftruncate|fallocate|rename|link|symlink|unlink|unlink_quiet|copyfile|copyrange|replacefile|chmod|setattr)
index index_(header|record)_write|mailbox_header_print|mailbox_write_(index|repacked|deleted)|mailbox_cache_commit
index mailbox_move_files|mailbox_make_dirs|mailbox_stage_record|mailbox_stage_cache|txn_pwrite
place mailbox_path_meta
RULES

# RULE OBJECT (a shell pattern) REASON
cat >"$tmp/may" <<'MAY'
system lib/diskio.o the door
system lib/diskio_record.o the record of what diskio did, for crash tests
system lib/diskio_trace.o the trace of diskio, for tests
system lib/diskio_util.o maps files for reading
system lib/diskio_hooks.o says which process a test has stopped, and where
system lib/lockwatch.o reads in /proc who holds a lock
system lib/journal_apart.o says through a pipe how the syncs went
system lib/backend_program.o tells through a pipe why a program cannot be run; /dev/null for the one that logs
system lib/buf.o maps files for reading
system lib/journal_control.o the memory that the journal's processes share
system lib/nonblock.o sockets
system lib/prot_raw.o sockets
system lib/xsyslog.o the log
system imap/append_spool.o a message on its way in, in a file without a name
system imap/check_replication.o the report that was asked for
system imap/cyr.o no input for what is meant for all
system imap/deliver.o the message on stdin goes to a socket
system imap/dlist_print.o reads a file that is sent
system imap/global.o stdin, stdout, stderr of a daemon; the owner of its lock
system imap/metadata_entries.o reads annotation_definitions
system imap/proc.o the proc file of a process, gone with it
system imap/sync_wait.o maps what the replica has acknowledged: all processes see it at once
system imap/failover.o reads the list of users
system imap/sync_client.o reads the list of users; stdin, stdout, stderr of a daemon
system master/master.o stdin, stdout, stderr of the daemon
system master/master_pidfile.o the pid file
system master/master_socket.o socket files
system master/masterconf.o reads cyrus.conf
system master/service.o the lock of a service's instances
system master/service_notify.o tells the master through a pipe
disk lib/filesum.o the sum of a file that is being made
disk lib/diskio_util.o copies, new files beside old ones
disk lib/journal*.o the journal and its apply
disk lib/cyrusdb*.o databases, which the journal covers (doc/journal.md)
disk lib/twoskip_*.o databases, which the journal covers (doc/journal.md)
disk lib/telemetry.o the log of a conversation
disk lib/spill.o bytes put away for as long as a process needs them, in a file without a name
disk imap/txn_stage.o new files, durable before the journal names them
disk imap/annotate_upgrade.o databases of an older version are kept under another name
disk imap/ctl_cyrusdb.o backups of databases
disk imap/mboxlist_upgrade.o mailboxes.db of an older version is kept under another name
disk imap/user_derive.o a damaged users.db is made anew from what can be read of it, and kept under another name
disk imap/userdeny_copy.o a second copy of user_deny.db, and the damaged one under another name
disk imap/sub_heal.o damaged subscriptions that are made anew from their history, and kept under another name
disk imap/lmtp_message.o a message on its way in
disk imap/move_user_state.o how far a move has come, on a file of its own
disk imap/server_role.o which end of a pair this server is, one file replaced as a whole
disk imap/sync_client_pool.o what a worker says, in a file without a name
disk imap/sync_client_channel.o the files of a channel that is given up
disk imap/sync_client_roll.o the shutdown file
disk imap/sync_client_roll_retry.o what a channel has still to do
disk imap/sync_client_roll_source.o the text log of a channel, when it is done with
disk imap/sync_client_roll_status.o what monitors see of a channel
disk imap/sync_log.o the log for sync_client, which is no store
disk imap/sync_reserve.o messages on their way in
disk imap/sync_wait.o what the replica has, in a page that all map: it may be lost
disk imap/sync_sieve.o scripts, which are files that users give whole
disk imap/verified.o which files were found whole: it may be lost
disk imap/mailbox_repack.o a new cyrus.index and cyrus.cache, durable before the journal names them
index imap/mailbox_*.o the mailbox module
index imap/expire_archive.o moves a message and its cache record to the archive, by the mailbox module
index imap/mailbox.o proves what a damaged cyrus.header said by its CRC
index imap/reconstruct_message.o gives the mailbox module a new cache record
place imap/mboxlist_relocate.o asks whether something is in the new place
place imap/mailbox.o the mailbox module
place imap/mailbox_*.o the mailbox module
place imap/annotate_msg.o cyrus.annotations
place imap/cyr_dbtool_path.o reads cyrus.annotations
place imap/reconstruct_databases.o reads cyrus.annotations
place imap/mboxlist_upgrade.o reads cyrus.header for the uniqueid
place imap/metadata_values.o the time of cyrus.index, which it asks for
place imap/imap_notify_list.o the time of cyrus.index, which it asks for
place imap/reconstruct_mailbox.o reads what is damaged; changes go through the mailbox module
MAY

# "OBJECT SYMBOL" of all that is called; a name of glibc's variants (open64, __open_2) is the plain one.
undefined() { # OBJECT ...
    for object; do
        nm -u "$object" | awk -v o="$object" '$1 == "U" {
            s = $2; sub(/@.*/, "", s); sub(/^__/, "", s); sub(/(64)?(_2|_chk)?$/, "", s); print o, s }'
    done
}

# Lines "RULE OBJECT SYMBOL": of each symbol that a rule has, and is called.
called() {
    awk 'NR == FNR { rule[++n] = $1; re[n] = "^(" $2 ")$"; next }
        { for (i = 1; i <= n; i++) if ($2 ~ re[i]) print rule[i], $1, $2 }' "$tmp/rules" -
}

# Prints what no line of the table allows, and leaves the lines that allowed something in $tmp/used.
offences() {
    : >"$tmp/used"
    while read -r rule object symbol; do
        found=
        while read -r r pattern reason; do
            # shellcheck disable=SC2254 # it is a pattern
            [ "$r" = "$rule" ] && case $object in $pattern) found=1 ;; esac
            [ -z "$found" ] || { echo "$r $pattern $reason" >>"$tmp/used"; break; }
        done <"$tmp/may"
        [ -n "$found" ] || echo "$object calls $symbol ($rule)"
    done
}

objects=$(find lib imap master ptclient -name '*.o' 2>/dev/null | LC_ALL=C sort)
[ -n "$objects" ] || { echo "FAIL: no objects here; run it in the directory of the build"; exit 99; }
# shellcheck disable=SC2086 # the list is meant to be split
undefined $objects "$@" | called | offences >"$tmp/bad"
status=0
if [ -s "$tmp/bad" ]; then
    echo "FAIL: files are changed past the door (see the table of check-writers.sh):"
    cat "$tmp/bad"
    status=1
else
    echo "ok: $(echo "$objects" | wc -l) objects change stored files only through their door"
fi
[ $# -eq 0 ] || exit $status

if LC_ALL=C sort -u "$tmp/used" >"$tmp/u" && LC_ALL=C sort -u "$tmp/may" | LC_ALL=C comm -23 - "$tmp/u" | grep .; then
    echo "FAIL: nobody uses these exceptions"
    status=1
else
    echo "ok: every exception is in use"
fi

# One that offends against each rule is found, each time.
mkdir -p "$tmp/imap"
cat >"$tmp/imap/offender.c" <<'C'
#include <stdio.h>
int index_record_write(void), diskio_rename(void), mailbox_path_meta(void);
int offend(void);
int offend(void)
{
    return rename("a", "b") + index_record_write() + diskio_rename() + mailbox_path_meta();
}
C
$FLOOR_CC -c -o "$tmp/imap/offender.o" "$tmp/imap/offender.c"
found=$(cd "$tmp" && undefined imap/offender.o | called | offences | wc -l)
if [ "$found" -eq 4 ]; then
    echo "ok: an object that offends is found"
else
    echo "FAIL: of an object that offends four times, $found are found"
    status=1
fi
exit $status

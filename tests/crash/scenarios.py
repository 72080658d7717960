# SPDX-License-Identifier: BSD-3-Clause
"""What clients do while a server is recorded. Each scenario is given a Recording that has not begun."""

import os
import re
import shutil
import subprocess
import threading
import time

from cyltest.credentials import password
from cyltest.syncline import mailbox, record, upload
from recording import message

RIGHTS = "lrswipkxtecdan"
OLD = "02-Jan-2023 10:00:00 +0000"
ALL_TWOSKIP = {"conversations_db": "twoskip", "quota_db": "twoskip", "subscription_db": "twoskip"}


def begin(r, env=None, fresh=False, **conf):
    """fresh: from an empty directory on. env: for the recorded processes."""
    r.server.conf.update(conf)
    if not fresh:
        r.fill()
    r.start(env)


def names(r, below):
    """Mailboxes with files at or below an internal name, parents first."""
    return sorted(name for name in re.findall(r"^mailbox (\S+) id ", r.state, re.M)
                  if name == below or name.startswith(below + "."))


def later(seconds=1.1):
    """What is deleted now is older than 0 seconds then; of a name that was deleted twice the second time is one later."""
    time.sleep(seconds)


def tree(r, root):
    """Internal name to number of messages, with the names below root relative."""
    return {name[len(root):]: len(r.messages(name)) for name in names(r, root)}


def two_partitions(r, **conf):
    """Index files apart from messages, and an archive; `plain` has neither."""
    def directory(name):
        return r.server.account.mkdir(r.server.path(name))

    return {"partition-plain": directory("spool-plain"), "partition-second": directory("spool-second"), "metapartition-second": directory("spool-meta"),
            "metapartition_files": "header index", "archive_enabled": True,
            "archivepartition-default": directory("spool-archive"),
            "archivepartition-second": directory("spool-archive2"), "allowusermoves": True, **conf}


def move(source, killed=None):
    """A function that runs move_user on the source; killed: "before" or "after" what the switch program does."""
    switch = source.path("switch")
    with open(switch, "w", encoding="ascii") as f:
        f.write('#!/bin/sh\n[ "$KILLED" = before ] && kill -9 $PPID && exit 1\necho "$3" >"$DIRECTORY"\n[ "$KILLED" = after ] && kill -9 $PPID\n:\n')
    os.chmod(switch, 0o755)

    def moving(*args):
        argv = [source.program("move_user"), "-C", source.imapd_conf, *args]
        env = {**source.env, "KILLED": killed or "", "DIRECTORY": source.path("tmp", "directory")}
        done = subprocess.run(argv, env=env, cwd=source.path("tmp"), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                              check=False, **source.account.popen_args())
        assert done.returncode in ((-9, 137) if killed else (0,)), (argv, done)

    return moving


def moving_to(source, target, user):
    return ("-S", f"127.0.0.1:{target.ports['csync']}", "--switch", source.path("switch"), user)


MOVING = {"sync_authname": "repl", "sync_password": password("repl"), "delete_mode": "delayed", "quota_db": "twoskip"}


def peer(r, name):
    server = r.factory(name, services=("imap", "lmtp", "csync"))
    server.conf.update(r.SMALL | MOVING)
    server.allow_log("")
    return server


# ---- what clients and tools do all day ----


def delivery(r, env=None):
    begin(r, env)
    deliveries = [(100, "alice"), (100, "alice", "bob"), (5000, "bob"), (9000, "bob", "alice")]
    with r.server.lmtp() as lmtp:
        for n, (size, *users) in enumerate(deliveries, 10):
            replies = r.step(lmtp.deliver, message(n, size), users)
            assert all(code == 250 for code, _ in replies)
            for user in users:
                assert r.stored(f"user.{user}", message(n, size))


def imap(r, env=None):
    begin(r, env, **ALL_TWOSKIP)
    with r.server.imap("alice") as imap:
        r.step(imap.append, "INBOX", message(20), "\\Flagged $label")
        r.step(imap.append, "INBOX", message(21, 6000), "\\Seen")
        assert r.stored("user.alice", message(21, 6000))
        r.step(imap.ok, "SELECT INBOX")
        r.step(imap.ok, "STORE 1:* +FLAGS (\\Answered $other)")
        r.step(imap.ok, "STORE 2 FLAGS (\\Deleted)")
        r.step(imap.ok, "COPY 1:2 INBOX.Work")
        assert len(r.messages("user.alice.Work")) == 2
        r.step(imap.ok, "EXPUNGE")
        r.step(imap.ok, "MOVE 1 INBOX.Work.Deep")
        r.step(imap.ok, "SUBSCRIBE INBOX.Work")
        r.step(imap.ok, 'SETMETADATA INBOX.Work (/private/comment "mine")')
        r.step(imap.ok, 'SETMETADATA INBOX (/shared/comment "ours")')
        r.step(imap.ok, "SETACL INBOX.Work bob lrs")
    with r.server.imap("bob") as imap:
        r.step(imap.ok, "SELECT user.alice.Work")
        r.step(imap.ok, "STORE 1 +FLAGS.SILENT (\\Seen)")
        r.step(imap.ok, "CLOSE")


def first_start_and_create(r, env=None):
    """From an empty directory on: nothing has ever been durable."""
    begin(r, env, fresh=True, autocreate_post=True, autocreate_inbox_folders="Sent | Trash",
          autocreate_quota="5000")
    with r.server.imap("admin") as imap:
        r.step(imap.ok, "CREATE user.alice")
        r.step(imap.ok, "CREATE user.alice.a")
        r.step(r.server.run, "ctl_cyrusdb", "-c")
        r.step(imap.ok, "CREATE user.alice.b.c.d")
        r.step(imap.ok, "SETQUOTA user.alice (STORAGE 1000 MESSAGE 100)")
        r.step(imap.ok, "CREATE shared")
        r.step(imap.ok, "SETACL shared anyone lrsip")
    with r.server.lmtp() as lmtp:
        r.step(lmtp.deliver, message(30), "alice")
        replies = r.step(lmtp.deliver, message(31), "bob", parts=True)
        assert replies[0][0] == 250
        assert r.stored("user.bob", message(31))
        r.step(lmtp.deliver, message(32, 4000), "bob")


def rename_and_delete(r, env=None):
    begin(r, env, delete_mode="delayed", allowusermoves=True)
    with r.server.imap("alice") as imap:
        r.step(imap.append, "INBOX.Work", message(40, 3000))
        r.step(imap.append, "INBOX.Work.Deep", message(41))
        r.step(imap.ok, "RENAME INBOX.Work INBOX.Play")
        assert r.stored("user.alice.Play", message(40, 3000))
        r.step(imap.ok, "RENAME INBOX INBOX.Old")
        r.step(imap.append, "INBOX", message(42))
        r.step(imap.ok, "RENAME INBOX.Play.Deep INBOX.Work")
        r.step(imap.ok, "CREATE INBOX.Play.Deep")
        r.step(imap.ok, "DELETE INBOX.Play.Deep")
        r.step(imap.ok, "DELETE INBOX.Old")
    with r.server.imap("admin") as imap:
        r.step(imap.ok, "RENAME user.bob user.carol")
        assert r.stored("user.carol", message(1))
        r.step(imap.ok, "SETACL user.carol admin lrswipkxtecda")
        r.step(imap.ok, "DELETE user.carol")
        r.step(r.server.run, "ctl_cyrusdb", "-c")
        r.step(imap.ok, "CREATE user.carol")


def subscriptions(r, env=None):
    """The mailbox, the subscription and its history change together; a subscription may move with its mailbox."""
    begin(r, env, delete_mode="delayed", delete_unsubscribe=True, rename_subscriptions=True)
    with r.server.imap("alice") as imap:
        r.step(imap.ok, "SUBSCRIBE INBOX.Work")
        r.step(imap.ok, "SUBSCRIBE INBOX.Work.Deep")
        r.step(imap.ok, "UNSUBSCRIBE INBOX.Work")
        r.step(imap.ok, "SUBSCRIBE INBOX.Work")
        r.step(imap.ok, "RENAME INBOX.Work INBOX.Play")
        assert "user.alice.Play.Deep" in r.subscriptions("alice"), r.state
        r.step(imap.ok, "RENAME INBOX.Play.Deep INBOX.Work")
        r.step(r.server.run, "ctl_cyrusdb", "-c")
        r.step(imap.ok, "RENAME INBOX.Play INBOX.Game")
        r.step(imap.ok, "DELETE INBOX.Game")
        assert r.subscriptions("alice") == ["user.alice.Work"]


def delete_at_once(r, env=None):
    begin(r, env, delete_mode="immediate", expunge_mode="immediate", allowusermoves=True)
    with r.server.imap("alice") as imap:
        r.step(imap.append, "INBOX", message(50, 3000))
        r.step(imap.ok, "SELECT INBOX")
        r.step(imap.ok, "COPY 1:* INBOX.Work")
        r.step(imap.ok, "STORE 1 +FLAGS (\\Deleted)")
        r.step(imap.ok, "EXPUNGE")
        r.step(imap.ok, "RENAME INBOX.Work INBOX.Play")
        r.step(imap.ok, "DELETE INBOX.Play.Deep")
        r.step(imap.ok, "DELETE INBOX.Play")
        r.step(imap.ok, "CREATE INBOX.Play")
        r.step(imap.append, "INBOX.Play", message(51))
    with r.server.imap("admin") as imap:
        r.step(imap.ok, "SETACL user.bob admin lrswipkxtecda")
        r.step(imap.ok, "DELETE user.bob")
        r.step(imap.ok, "CREATE user.bob")


def many_windows(r, env=None):
    """A checkpoint behind every command: each one is the first that changes mailboxes.db again."""
    begin(r, env, journal_checkpoint_size="1")
    with r.server.imap("admin") as imap:
        for n in range(8):
            r.step(imap.ok, f"CREATE user.alice.n{n}")
        r.step(imap.ok, "RENAME user.alice.n1 user.alice.m1")
        r.step(imap.ok, "SETACL user.alice.n2 admin lrswipkxtecda")
        r.step(imap.ok, "DELETE user.alice.n2")


def database_alone(r, env=None):
    """The commit protocol of twoskip itself, without the journal."""
    begin(r, env)
    db = r.server.path("conf", "alone.db")

    def dbtool(*args):
        r.step(r.server.run, "cyr_dbtool", "-n", db, "twoskip", *args)

    for n in range(12):
        dbtool("set", f"key{n * 7 % 12}", f"value {n} " * (n * 20 + 1))
    for n in (3, 5, 11):
        dbtool("delete", f"key{n}")
    dbtool("set", "key3", "again")
    assert "record alone.db key3 = again" in r.state


def many_at_once(r, env=None):
    """Deliveries that share their syncs: each one that was answered is there."""
    begin(r, env)
    users = ["alice", "bob"]
    numbers = iter(range(100, 200))

    def work(seed):
        with r.server.lmtp() as lmtp:
            for n in range(5):
                size = 3000 if (n + seed) % 3 == 0 else 200
                number = next(numbers)
                to = users[:1] if n % 2 else users[(n + seed) % 2:]
                r.deliver(lmtp, number, message(number, size), to)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert r.delivered() >= 20


# ---- single operations of the store: where mailboxes go, who may see and count them, what goes for good ----


def other_partition(r, env=None):
    """A tree, a leaf under another name, a user as a whole, also under another name; the old files go."""
    begin(r, env, **two_partitions(r))
    with r.server.imap("alice") as imap:
        r.step(imap.append, "INBOX.Work", message(60, 3000))
        r.step(imap.append, "INBOX.Work.Deep", message(61))
        r.step(imap.ok, "SELECT INBOX.Work")
        r.step(imap.ok, 'STORE 1 ANNOTATION (/comment (value.shared "ours"))')
    with r.server.imap("admin") as imap:
        before = tree(r, "user.alice")
        r.step(imap.ok, "RENAME user.alice.Work user.alice.Work second")
        assert "mailbox user.alice.Work.Deep id" in r.state and r.partition("user.alice.Work.Deep") == "second"
        r.step(imap.ok, "RENAME user.alice.Work.Deep user.alice.Deep default")
        r.step(imap.ok, "RENAME user.alice.Deep user.alice.Work.Deep")
        r.step(r.server.run, "ctl_cyrusdb", "-c")
        r.step(imap.ok, "RENAME user.alice user.alice second")
        assert tree(r, "user.alice") == before and r.partition("user.alice") == "second"
        r.step(imap.ok, "RENAME user.alice.Work user.alice.Work default")
        r.step(imap.ok, "RENAME user.bob user.carol second")
        assert r.stored("user.carol", message(1)) and r.partition("user.carol") == "second"
        r.step(imap.ok, "RENAME user.alice.Work user.carol.Work second")
        assert len(r.messages("user.carol.Work")) == 1
    assert r.step(r.server.deliver, message(62), "alice")


def archive(r, env=None):
    """Old messages go to the archive; from there they are copied, expunged, restored, moved, wiped."""
    begin(r, env, **two_partitions(r))
    with r.server.imap("alice") as imap:
        for n in range(70, 73):
            r.step(imap.append, "INBOX.Work.Deep", message(n, 200 * (n - 69)), None, OLD)
        r.step(r.server.run, "cyr_expire", "-A", "7d", "-c", "-p", "user.alice.Work.Deep")
        r.step(imap.ok, "SELECT INBOX.Work.Deep")
        r.step(imap.ok, "COPY 1:2 INBOX")
        r.step(imap.ok, "STORE 1,2 +FLAGS (\\Deleted)")
        r.step(imap.ok, "EXPUNGE")
        r.step(r.server.run, "unexpunge", "-u", "user.alice.Work.Deep", "1")
        assert len(r.messages("user.alice.Work.Deep")) >= 2
    with r.server.imap("admin") as imap:
        before = r.messages("user.alice.Work.Deep")
        for partition in ("second", "plain", "second"):
            r.step(imap.ok, f"RENAME user.alice.Work.Deep user.alice.Work.Deep {partition}")
            assert r.messages("user.alice.Work.Deep") == before and r.partition("user.alice.Work.Deep") == partition
        later()
        r.step(r.server.run, "cyr_expire", "-X", "0", "-c", "-p", "user.alice.Work.Deep")
        r.step(r.server.run, "ctl_cyrusdb", "-c")
        r.step(imap.ok, "SETACL user.alice.Work.Deep admin " + RIGHTS)
        r.step(imap.ok, "DELETE user.alice.Work.Deep")
        later()
        r.step(r.server.run, "cyr_expire", "-D", "0", "-c", each=True)


def whole_users(r, env=None):
    """Moved with quota roots, subtrees given away, deleted and brought back."""
    begin(r, env, delete_mode="delayed", allowusermoves=True, quota_db="twoskip")
    with r.server.imap("alice") as imap:
        r.step(imap.ok, "SUBSCRIBE INBOX.Work")
        r.step(imap.append, "INBOX.Work", message(80, 3000))
        r.step(imap.append, "INBOX.Work.Deep", message(81))
    with r.server.imap("admin") as imap:
        r.step(imap.ok, "SETQUOTA user.alice.Work (MESSAGE 50)")
        r.step(imap.ok, "RENAME user.alice user.carol")
        assert tree(r, "user.carol") == {"": 1, ".Work": 1, ".Work.Deep": 1}
        assert r.usage("user.carol.Work") and not r.usage("user.alice.Work")
        r.step(imap.ok, "RENAME user.carol.Work user.bob.Work")
        assert tree(r, "user.bob") == {"": 1, ".Work": 1, ".Work.Deep": 1}
        r.step(imap.ok, "RENAME user.bob.Work user.carol.Work")
        r.step(imap.ok, "SETACL user.carol admin " + RIGHTS)
        r.step(r.server.run, "ctl_cyrusdb", "-c")
        r.step(imap.ok, "DELETE user.carol")
        assert not names(r, "user.carol") and len(names(r, "DELETED.user.carol")) == 3
        for name in names(r, "DELETED.user.carol"):
            back = re.match(r"DELETED\.(.*)\.[0-9A-F]{8}$", name).group(1)
            r.step(imap.ok, f"RENAME {name} {back}")
        assert tree(r, "user.carol") == {"": 1, ".Work": 1, ".Work.Deep": 1}
        assert r.stored("user.carol.Work", message(80, 3000))
        r.step(imap.ok, "SETACL user.carol admin " + RIGHTS)
        r.step(imap.ok, "DELETE user.carol")
        r.step(imap.ok, "CREATE user.carol")
        later(2.1)
        r.step(r.server.run, "cyr_expire", "-D", "0", "-c", each=True)
        assert "mailbox DELETED." not in r.state


def users(r, env=None):
    """cyr_user: created, with a place alone, disabled, renamed, deleted, brought back, gone; by IMAP, too."""
    begin(r, env, delete_mode="delayed", allowusermoves=True, quota_db="twoskip")

    def cyr_user(*args):
        r.step(r.server.run, "cyr_user", *args)

    def state(user):
        """As the record says, or None."""
        match = re.search(rf"^record users\.db U\S+ = %\(V 1 U {user} S (\S+) ", r.state, re.M)
        return match and match.group(1)

    cyr_user("create", "--quota", "5000", "carol")
    assert state("carol") == "active" and r.usage("user.carol")
    cyr_user("create", "--moving-in", "dora")
    assert state("dora") == "moving-in"
    cyr_user("disable", "--reason", "not paid", "alice")
    assert r.step(r.server.deliver, message(85), "alice")
    cyr_user("rename", "alice", "anna")
    assert state("anna") == "disabled" and state("alice") is None
    assert tree(r, "user.anna") == {"": 2, ".Work": 0, ".Work.Deep": 0}
    r.step(r.server.run, "ctl_cyrusdb", "-c")
    cyr_user("delete", "anna")
    assert state("anna") == "deleted" and not names(r, "user.anna")
    cyr_user("undelete", "anna")
    assert state("anna") == "disabled" and r.stored("user.anna", message(85)) and r.usage("user.anna")
    cyr_user("enable", "anna")
    with r.server.imap("admin") as imap:
        r.step(imap.ok, "CREATE user.dora")
        assert state("dora") == "moving-in"
        cyr_user("enable", "dora")
        r.step(imap.ok, "RENAME user.dora user.emma")
        r.step(imap.ok, "SETACL user.emma admin " + RIGHTS)
        r.step(imap.ok, "DELETE user.emma")
        assert state("emma") == "deleted"
    cyr_user("delete", "--now", "bob")
    cyr_user("create", "bob")
    assert len(re.findall(r"^record users\.db U\S+ = %\(V 1 U bob ", r.state, re.M)) == 2


def users_at_once(r, env=None):
    """A user with children and quota roots goes, nothing of him stays, another one takes his name."""
    begin(r, env, delete_mode="immediate", allowusermoves=True)
    with r.server.imap("alice") as imap:
        r.step(imap.append, "INBOX.Work", message(90, 3000))
        r.step(imap.ok, "SUBSCRIBE INBOX.Work")
        r.step(imap.ok, 'SETMETADATA INBOX.Work (/private/comment "mine")')
    with r.server.imap("admin") as imap:
        r.step(imap.ok, "SETQUOTA user.alice.Work (MESSAGE 50)")
        r.step(imap.ok, "SETACL user.alice admin " + RIGHTS)
        r.step(imap.ok, "DELETE user.alice")
        assert not names(r, "user.alice")
        r.step(imap.ok, "RENAME user.bob user.alice")
        r.step(imap.ok, "CREATE user.bob")
        r.step(imap.ok, "SETACL user.alice admin " + RIGHTS)
        r.step(imap.ok, "DELETE user.alice")


def rights(r, env=None):
    """ACLs that are set, inherited, moved and removed, with the reverse records of mailboxes.db."""
    begin(r, env, reverseacls=True, delete_mode="delayed", allowusermoves=True)
    with r.server.imap("alice") as imap:
        r.step(imap.ok, "SETACL INBOX.Work bob lrs", each=True)
        r.step(imap.ok, "SETACL INBOX.Work anyone lr")
        r.step(imap.ok, "CREATE INBOX.Work.Heir", each=True)
        assert re.search(r"^mailbox user\.alice\.Work\.Heir .*bob\\?\s*lrs", r.state, re.M), r.state
        r.step(imap.ok, "SETACL INBOX.Work -bob w", each=True)
        r.step(imap.ok, "SETACL INBOX.Work bob -l", each=True)
        r.step(imap.ok, "DELETEACL INBOX.Work anyone")
        r.step(imap.ok, "RENAME INBOX.Work INBOX.Play", each=True)
        r.step(r.server.run, "ctl_cyrusdb", "-c")
        r.step(imap.ok, "DELETEACL INBOX.Play bob", each=True)
        r.step(imap.ok, "DELETE INBOX.Play.Heir", each=True)
    with r.server.imap("admin") as imap:
        r.step(imap.ok, "CREATE shared")
        r.step(imap.ok, "SETACL shared bob lrsip", each=True)
        r.step(imap.ok, "CREATE shared.heir", each=True)
        r.step(imap.ok, "RENAME user.bob user.carol", each=True)


def special_use(r, env=None):
    """The attribute comes with the mailbox, changes, moves and goes with it."""
    begin(r, env, delete_mode="immediate", specialuse_protect="\\Archive", specialuse_nochildren="\\Trash")
    with r.server.imap("alice") as imap:
        r.step(imap.ok, "CREATE INBOX.Sent (USE (\\Sent))")
        assert "Sent" in r.uses("user.alice.Sent")
        r.step(imap.ok, "CREATE INBOX.Box (USE (\\Junk \\Archive))")
        r.step(imap.ok, 'SETMETADATA INBOX.Work (/private/specialuse "\\\\Drafts")')
        r.step(imap.ok, "RENAME INBOX.Sent INBOX.Gone")
        r.step(imap.no, "DELETE INBOX.Box")
        r.step(imap.ok, "SETMETADATA INBOX.Box (/private/specialuse NIL)")
        r.step(imap.ok, "DELETE INBOX.Box")
        r.step(imap.ok, "DELETE INBOX.Gone")
        assert "Drafts" in r.uses("user.alice.Work") and not r.uses("user.alice.Box")


def quota_roots(r, env=None):
    """A root takes its mailboxes over with what they hold, gives them back, sees them come and go."""
    begin(r, env, quota_db="twoskip", allowusermoves=True, delete_mode="delayed")
    with r.server.imap("alice") as imap:
        r.step(imap.append, "INBOX.Work", message(1))
        r.step(imap.append, "INBOX.Work.Deep", message(101, 3000))
    with r.server.imap("admin") as imap, r.server.sync("repl") as sync:
        r.step(imap.ok, "SETQUOTA user.alice.Work (STORAGE 1000 MESSAGE 10 X-NUM-FOLDERS 5)")
        assert r.usage("user.alice.Work")
        r.step(imap.ok, "SETQUOTA user.alice.Work.Deep (STORAGE 500 X-ANNOTATION-STORAGE 10)")
        r.step(imap.ok, "SETQUOTA user.alice.Work (STORAGE 2000)")
        r.step(imap.ok, "RENAME user.alice.Work.Deep user.alice.Deep")
        r.step(imap.ok, "RENAME user.alice.Deep user.bob.Deep")
        r.step(imap.ok, "RENAME user.bob.Deep user.alice.Work.Deep")
        r.step(r.server.run, "ctl_cyrusdb", "-c")
        r.step(sync.ok, "APPLY UNQUOTA user.alice.Work.Deep")
        r.step(sync.ok, "APPLY UNQUOTA user.alice")
        r.step(imap.ok, "SETQUOTA user.alice (STORAGE 50000)")
        r.step(r.server.run, "quota", "-f")
        r.step(imap.ok, "RENAME user.alice user.carol")
        r.step(imap.ok, "SETACL user.carol.Work.Deep admin " + RIGHTS)
        r.step(imap.ok, "DELETE user.carol.Work.Deep")


def applied(r, env=None):
    """A master sends: a mailbox with messages below a quota root, a copy of one of them, flags, expunged ones, limits, the count of it all."""
    begin(r, env, quota_db="twoskip", expunge_mode="delayed")
    one, two, three = (message(n, 300) for n in range(120, 123))
    box = {"ACL": f'"alice\t{RIGHTS}\t"', "QUOTAROOT": "user.alice"}
    with r.server.sync("repl") as sync:
        def apply(name, records, last, modseq, uniqueid="appliedbox"):
            """What was uploaded before is not there when it is done again by itself."""
            sync.ok("APPLY " + mailbox(name, records, LAST_UID=last, HIGHESTMODSEQ=modseq, UNIQUEID=uniqueid, **box))

        sync.ok(upload(one, two))
        r.step(apply, "user.alice.Applied", [record(1, 3, content=one), record(2, 4, content=two)], 2, 4)
        sync.ok(upload(three))
        r.step(apply, "user.alice.Applied", [record(1, 5, "\\Seen $mine", one), record(3, 6, content=three)], 3, 6)
        r.step(apply, "user.alice.Other", [record(1, 7, content=one)], 1, 7, "appliedcopy")
        r.step(sync.ok, "APPLY QUOTA %(ROOT user.alice LIMIT 30000 STORAGE 30000 MESSAGE 900)")
        r.step(apply, "user.alice.Applied", [record(2, 8, "\\Expunged", two)], 3, 8)
        r.step(sync.ok, "APPLY RECOUNT alice")
        r.step(r.server.run, "ctl_cyrusdb", "-c")
        r.step(sync.ok, "APPLY UNMAILBOX user.alice.Other")
    assert len(r.messages("user.alice.Applied")) == 3


def expunged(r, env=None):
    """What was expunged comes back, or goes for good; what is old goes by itself; so do mailboxes and their traces."""
    begin(r, env, expunge_mode="delayed", delete_mode="delayed", duplicatesuppression=True)
    with r.server.imap("alice") as imap:
        for n in range(110, 114):
            r.step(imap.append, "INBOX.Work.Deep", message(n, 300), "\\Flagged $mine", OLD)
        r.step(imap.ok, "SELECT INBOX.Work.Deep")
        r.step(imap.ok, "STORE 1:3 +FLAGS (\\Deleted)")
        r.step(imap.ok, "EXPUNGE")
        r.step(r.server.run, "unexpunge", "-u", "-d", "-f", "Restored", "user.alice.Work.Deep", "1:2")
        later()
        r.step(r.server.run, "cyr_expire", "-X", "0", "-c", "-p", "user.alice.Work.Deep")
        assert len(r.messages("user.alice.Work.Deep")) == 3
        r.step(imap.ok, "NOOP")
        r.step(imap.ok, "STORE 1 FLAGS.SILENT (\\Deleted)")
        r.step(imap.ok, "EXPUNGE")
        r.step(r.server.run, "unexpunge", "-a", "user.alice.Work.Deep")
    with r.server.imap("admin") as imap:
        r.step(imap.ok, 'SETMETADATA user.alice.Work.Deep (/shared/vendor/cmu/cyrus-imapd/expire "3")')
        r.step(r.server.run, "cyr_expire", "-E", "3", "-c", each=True)
        later()
        r.step(r.server.run, "cyr_expire", "-X", "0", each=True)
        r.step(r.server.run, "cyr_expire", "-t", each=True)
        assert not r.messages("user.alice.Work.Deep")
        r.step(imap.ok, "SETACL user.alice.Work.Deep admin " + RIGHTS)
        r.step(imap.ok, "DELETE user.alice.Work.Deep")
        later()
        r.step(r.server.run, "cyr_expire", "-D", "0", "-E", "0", "-X", "0", each=True)
        assert "mailbox DELETED." not in r.state


def expunged_at_once(r, env=None):
    """Each message that goes leaves its tombstone: in no image is there neither of them."""
    name = "user.alice.Work.Deep"
    begin(r, env, expunge_mode="immediate")

    def tombstones():
        return len(re.findall(rf"^message {re.escape(name)} \d+ unlinked ", r.state, re.M))

    with r.server.imap("alice") as imap:
        for n in range(130, 136):
            r.step(imap.append, "INBOX.Work.Deep", message(n, 300))
        there = len(r.messages(name))
        r.step(imap.ok, "SELECT INBOX.Work.Deep")
        r.step(imap.ok, "STORE 1:2 +FLAGS (\\Deleted)")
        r.step(imap.ok, "EXPUNGE")
        r.step(imap.ok, "MOVE 1 INBOX")
        assert tombstones() == 3 and len(r.messages(name)) == there - 3
        later()
        r.step(r.server.run, "cyr_expire", "-X", "0", "-c", "-p", name)
        assert tombstones() == 3
        r.step(r.server.run, "reconstruct", "-V", "16", name)
        r.step(imap.ok, "STORE 1:* +FLAGS (\\Deleted)")
        r.step(imap.ok, "CLOSE")
        assert tombstones() == there and not r.messages(name)
    r.server.conf["expunge_tombstones"] = "1s"
    r.server.write_conf()
    later(2.1)
    r.step(r.server.run, "cyr_expire", "-X", "0", "-c", "-p", name)
    assert tombstones() == 0


def annotations(r, env=None):
    """Of the server, mailboxes and messages; they go where their mailbox and message go."""
    begin(r, env, delete_mode="immediate", expunge_mode="immediate")
    with r.server.imap("alice") as imap:
        r.step(imap.ok, 'SETMETADATA INBOX.Work (/private/comment "mine" /shared/comment "ours")')
        r.step(imap.append, "INBOX.Work", message(120))
        r.step(imap.ok, "SELECT INBOX.Work")
        r.step(imap.ok, 'STORE 1 ANNOTATION (/comment (value.shared "ours" value.priv "mine") '
                        '/altsubject (value.priv "other"))')
        r.step(imap.ok, "COPY 1 INBOX.Work.Deep")
        r.step(imap.ok, "MOVE 1 INBOX")
        r.step(imap.ok, "SELECT INBOX.Work.Deep")
        r.step(imap.ok, "STORE 1 ANNOTATION (/comment (value.shared NIL))")
        r.step(imap.ok, "RENAME INBOX.Work INBOX.Play")
        assert re.search(r"^record annotations\.db .*mine", r.state, re.M)
        r.step(imap.ok, "SELECT INBOX.Play.Deep")
        r.step(imap.ok, "STORE 1 +FLAGS (\\Deleted)")
        r.step(imap.ok, "CLOSE")
        r.step(imap.ok, "SETMETADATA INBOX.Play (/private/comment NIL)")
        r.step(imap.ok, "DELETE INBOX.Play.Deep")
        r.step(imap.ok, "DELETE INBOX.Play")
    with r.server.imap("admin") as imap:
        r.step(imap.ok, 'SETMETADATA "" (/shared/motd "hello")')


def conversations_merged(r, env=None):
    """Second files that an older server left are merged at the start, conversations with counts anew; nothing has begun then."""
    r.fill()
    own = r.user_file("alice", "conversations.db")
    other = r.server.path("conf", "user", "a", "alice.conversations")
    r.server.account.mkdir(r.server.path("conf", "user", "a"))
    shutil.copy(own, other)
    r.server.account.give(other)
    subscriptions = r.server.path("conf", "user", "a", "alice.sub")
    with open(subscriptions, "wb") as f:
        f.write(b"user.alice.Work\t\n")
    r.server.account.give(subscriptions)
    r.start(env)
    assert r.subscriptions("alice") == ["user.alice.Work"] and not os.path.exists(subscriptions)
    assert "merged a second set of conversations" in r.server.log_text()
    with r.server.imap("alice") as imap:
        r.step(imap.append, "INBOX", message(1))
        r.step(r.server.run, "ctl_conversationsdb", "-R", "alice")
        r.step(r.server.run, "ctl_conversationsdb", "-M", "alice")


def moved_away(r, env=None):
    """Users move to another server, move_user dies with the power at each step: what the switch program was told is written down."""
    source = r.server
    target = peer(r, "target").start()
    begin(r, env, **MOVING)
    source.allow_log("")

    def record_of(user):
        return re.search(rf"^record users\.db U\S+ = (.*\b{user}\b.*)", r.state, re.M).group(1)

    # killed when nobody has been told yet, then told, then removed
    r.step(move(source, "before"), *moving_to(source, target, "alice"), parts=True)
    assert "moving-out" in record_of("alice") and "STEP switching" in r.state
    r.step(move(source), "--resume", "alice", parts=True)
    assert "moving-out" in record_of("alice") and "STEP switched" in r.state
    r.step(move(source), "--resume", "--now", "alice", parts=True)
    assert "moved" in record_of("alice") and not names(r, "user.alice") and "STEP" not in r.state
    # and back
    r.step(move(source, "after"), *moving_to(source, target, "bob"), parts=True)
    assert "moving-out" in record_of("bob") and "STEP switching" in r.state
    r.step(move(source), "--abort", "bob", parts=True)
    assert "active" in record_of("bob") and names(r, "user.bob") and "STEP" not in r.state
    r.step(move(source), "--grace", "0", *moving_to(source, target, "bob"), parts=True)
    assert "moved" in record_of("bob") and not names(r, "user.bob") and "STEP" not in r.state
    target.stop()


def moved_here(r, env=None):
    """The other end: when the switch program is called the copy is there, whatever becomes of the power."""
    source = peer(r, "source")
    source.conf.update(MOVING)
    source.start()
    for user in ("carol", "dora"):
        source.create_user(user, "Work")
        for n in range(3):
            source.deliver(message(90 + n, 300 + 4000 * n), user)
    begin(r, env, **MOVING)
    r.step(move(source, "before"), *moving_to(source, r.server, "carol"), parts=True)
    assert tree(r, "user.carol") == {"": 3, ".Work": 0}
    r.step(move(source), "--resume", "--now", "carol")
    assert tree(r, "user.carol") == {"": 3, ".Work": 0}
    r.step(move(source, "after"), *moving_to(source, r.server, "dora"), parts=True)
    assert tree(r, "user.dora") == {"": 3, ".Work": 0}
    r.step(move(source), "--abort", "dora", parts=True)
    assert not names(r, "user.dora")
    source.stop()

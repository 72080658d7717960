# SPDX-License-Identifier: BSD-3-Clause
"""Scenarios (scenarios.py) of single operations of the store: where mailboxes go, who may see and count them, what goes for good."""

import re
import shutil
import time

from recording import message
from scenarios import begin

RIGHTS = "lrswipkxtecdan"
OLD = "02-Jan-2023 10:00:00 +0000"


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
    """Index files apart from messages, and an archive."""
    def directory(name):
        return r.server.account.mkdir(r.server.path(name))

    return {"partition-second": directory("spool-second"), "metapartition-second": directory("spool-meta"),
            "metapartition_files": "header index", "archive_enabled": True,
            "archivepartition-default": directory("spool-archive"),
            "archivepartition-second": directory("spool-archive2"), "allowusermoves": True, **conf}


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
        r.step(imap.ok, "RENAME user.alice.Work.Deep user.alice.Work.Deep second")
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
    """A second database that an older server left is merged at the start, with counts anew; nothing has begun then."""
    r.fill()
    own = r.user_file("alice", "conversations.db")
    other = r.server.path("conf", "user", "a", "alice.conversations")
    r.server.account.mkdir(r.server.path("conf", "user", "a"))
    shutil.copy(own, other)
    r.server.account.give(other)
    r.start(env)
    assert "merged a second set of conversations" in r.server.log_text()
    with r.server.imap("alice") as imap:
        r.step(imap.append, "INBOX", message(1))
        r.step(r.server.run, "ctl_conversationsdb", "-R", "alice")
        r.step(r.server.run, "ctl_conversationsdb", "-M", "alice")

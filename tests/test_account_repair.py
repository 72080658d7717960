# SPDX-License-Identifier: BSD-3-Clause
"""cyr_user check and repair: each kind of derived data of a user is damaged, named, put right; message files that are gone stay named."""

import os
import re
import shutil

import pytest

from cyltest import richstore
from cyltest.storefiles import IndexFile, damage, mailbox_dir, message_files

INBOX = "user/alice"


@pytest.fixture(scope="module")
def store(request):
    for server in richstore.stopped(request):
        server.allow_log("cache record is missing or damaged|DBERROR: (failed to detect DB type|can't read conversations)|IOERROR")
        yield server


def path(server, name, mailbox=INBOX):
    return os.path.join(mailbox_dir(server, mailbox), name)


def set_header(mailbox=INBOX, **fields):
    def apply(server):
        for field, value in fields.items():
            IndexFile(path(server, "cyrus.index", mailbox)).set(field, value)
    return apply


def set_record(recno, **fields):
    def apply(server):
        for field, value in fields.items():
            IndexFile(path(server, "cyrus.index")).set(field, value, recno=recno)
    return apply


def without(name):
    return lambda server: os.unlink(path(server, name))


def set_quota(root, value):
    return lambda server: server.run("cyr_dbtool", server.path("conf/quotas.db"), "twoskip", "set", root, value)


def conversations(*args):
    """The first record whose key begins with args[1] is changed: "delete", or "set" to args[2]. That of an empty folder is not: what was counted there
    can't be told from the mailboxes."""
    def apply(server):
        file = richstore.user_file(server, "alice", "conversations")
        shown = server.run("cyr_dbtool", file, "twoskip", "show").stdout
        key = next(line.split("\t")[0] for line in shown.splitlines() if line.startswith(args[1]) and " 0 0 0 0)" not in line)
        server.run("cyr_dbtool", file, "twoskip", args[0], key, *args[2:])
    return apply


def without_user_file(kind):
    return lambda server: os.unlink(richstore.user_file(server, "alice", kind))


# What is done; a line that must be said.
DERIVED = {
    "count of messages": (set_header(exists=9), "mailbox: user.alice: updating exists 9 => 4"),
    "count of a folder": (set_header("user/alice/Work", unseen=7), "mailbox: user.alice.Work: updating unseen 7 => 1"),
    "sum of sizes": (set_header(quota_mailbox_used=1), r"mailbox: user.alice updating quota_mailbox_used: 1 => \d+"),
    "sum of annotations": (set_header(quota_annot_used=77), r"mailbox: user.alice updating quota_annot_used: 77 => \d+"),
    "checksum": (set_header(sync_crc_basic=1), r"mailbox: user.alice: updating sync_crc 1 => \d+"),
    "deleted folder": (set_header("DELETED/user/alice/Gone", flagged=1), r"mailbox: DELETED.user.alice.Gone\.\w+: updating flagged 1 => 0"),
    "cache": (without("cyrus.cache"), r"mailbox: user.alice rewrote cache for 1 .*"),
    "header": (without("cyrus.header"), "mailbox: user.alice: failed to read cyrus.header, made from mailboxes.db"),
    "modseq of a message": (set_record(2, modseq=5000), "mailbox: user.alice uid 2 future modseq 5000 found"),
    "usage": (set_quota("user.alice", "%(S (12345 20000) M (7 100) AS (3 -1))"), r"quota: user.alice: STORAGE usage was 12345, is \d+"),
    "usage of annotations": (set_quota("user.alice", "%(S (12345 20000) M (7 100) AS (3 -1))"),
                             r"quota: user.alice: X-ANNOTATION-STORAGE usage was 3, is \d+"),
    "root without mailboxes": (set_quota("user.alice.Nowhere", "%(S (5 10))"), "quota: user.alice.Nowhere: no mailbox counts for it"),
    "folder's conversations": (conversations("delete", "F"), r"conversations: \d+ records are not what the mailboxes say"),
    "conversation": (conversations("delete", "B"), r"conversations: \d+ records are not what the mailboxes say"),
    "usage by conversations": (conversations("delete", "Q"), r"conversations: \d+ records are not what the mailboxes say"),
    "no conversations": (without_user_file("conversations"), r"conversations: \d+ records are not what the mailboxes say"),
    "no counters": (without_user_file("counters"), r"modseq: highest was 0, mailboxes have \d+"),
    "no record": (lambda s: os.unlink(s.path("conf/users.db")), "record: is not what mailboxes.db says"),
}


def resolve(server, name):
    """The deleted folder has a stamp in its name."""
    listed = server.run("ctl_mboxlist", "-d").stdout
    return re.search(r"DELETED\.user\.alice\.Gone\.\w+", listed)[0].replace(".", "/")


def files(server):
    found = {}
    for top in richstore.DIRECTORIES:
        for base, _, names in os.walk(server.path(top)):
            for name in names:
                file = os.path.join(base, name)
                if not re.search(r"/(proc|journal|lock)/|\.lock$|/verified$", file) and os.path.getsize(file):
                    with open(file, "rb") as f:
                        found[file] = f.read()
    return found


def told(server, what, wanted, user="alice"):
    done = server.run("cyr_user", what, user, check=False)
    assert (done.returncode, done.stderr) == (wanted, ""), (what, done)
    return done.stdout.splitlines()


def test_whole(store):
    store.saved.restore()
    before = files(store)
    for what in ("check", "repair"):
        for user in richstore.USERS:
            assert told(store, what, 0, user) == []
    assert files(store) == before
    assert store.run("cyr_user", "check", "nobody", check=False).returncode == 67
    for args in ((), ("alice", "bob"), ("-n", "alice")):
        assert store.run("cyr_user", "repair", *args, check=False).returncode == 64


@pytest.mark.parametrize("kind", DERIVED)
def test_derived(store, kind, monkeypatch):
    """Named by check, which changes nothing; put right; and not named any more."""
    store.saved.restore()
    apply, line = DERIVED[kind]
    if kind == "deleted folder":
        monkeypatch.setitem(globals(), "mailbox_dir", lambda server, name: store.run("mbpath", resolve(server, name)).stdout.strip())
    apply(store)
    before = files(store)
    lines = told(store, "check", 1)
    assert any(re.fullmatch(line, said) for said in lines), lines
    assert files(store) == before
    if kind != "no record":  # which is everybody's
        assert told(store, "check", 0, "bob") == []
    repaired = told(store, "repair", 0)
    assert any(re.fullmatch(line, said) for said in repaired), repaired
    assert told(store, "check", 0) == []


def test_others_are_left_alone(store):
    """Also who has a name that begins like his."""
    store.saved.restore()
    set_quota("user.alice", "%(S (12345 20000) M (7 100))")(store)
    set_quota("user.alicea", "%(S (5 10))")(store)
    set_quota("user.bob second", "%(S (5 10))")(store)
    before = store.run("cyr_dbtool", store.path("conf/quotas.db"), "twoskip", "show").stdout.splitlines()
    told(store, "repair", 0)
    after = store.run("cyr_dbtool", store.path("conf/quotas.db"), "twoskip", "show").stdout.splitlines()
    assert [line.split("\t")[0] for line in before if line not in after] == ["user.alice"]


@pytest.mark.parametrize("which", ["one", "all"])
def test_missing_messages_are_never_hidden(store, which):
    """Named, exit 1, every time; nothing is removed from any index; put back, all is well, with the same UIDs."""
    store.saved.restore()
    directory = mailbox_dir(store, INBOX)
    gone = message_files(directory)
    gone = gone if which == "all" else gone[:1]
    for name in gone:
        shutil.move(os.path.join(directory, name), store.path("tmp", name))
    set_header(answered=9)(store)  # what is derived is put right beside it
    lines = [f"message: user.alice uid {name[:-1]} not found" for name in gone]
    for what in ("check", "repair"):
        assert set(told(store, what, 1)) == {*lines, "mailbox: user.alice: updating answered 9 => 1"}
    assert told(store, "repair", 1) == told(store, "check", 1) == lines
    store.start()
    with store.imap("alice") as imap:
        assert b"* 4 EXISTS" in imap.ok("EXAMINE INBOX").untagged
        imap.no("UID FETCH 1 BODY.PEEK[]")
        imap.logout()
    store.stop()
    for name in gone:
        shutil.move(store.path("tmp", name), os.path.join(directory, name))
    assert told(store, "check", 0) == []
    store.start()
    after = richstore.seen_by_clients(store)
    store.stop()
    fetched = [question for question in store.seen if "FETCH" in question[1]]
    assert fetched and all(after[question] == store.seen[question] for question in fetched)


def test_another_message(store):
    """A file that is not the message of its record is named, and stays."""
    store.saved.restore()
    file = path(store, message_files(mailbox_dir(store, INBOX))[0])
    damage(file, 10, b"##")
    with open(file, "rb") as f:
        bytes_ = f.read()
    assert "message: user.alice uid 1 guid mismatch" in told(store, "check", 1)
    assert "message: user.alice uid 1 guid mismatch" in told(store, "repair", 1)
    with open(file, "rb") as f:
        assert f.read() == bytes_


@pytest.mark.parametrize("where", ["start", "middle", "end", "all"])
def test_damaged_database(store, where):
    """What can be read of it stays, the rest is counted again; the damaged bytes are kept."""
    store.saved.restore()
    file = richstore.user_file(store, "alice", "conversations")
    size = os.path.getsize(file)
    at, length = {"start": (0, 64), "middle": (size // 2, 64), "end": (size - 64, 64), "all": (0, size)}[where]
    damage(file, at, b"rubbish "[:8] * (length // 8))
    with open(file, "rb") as f:
        damaged = f.read()
    lines = told(store, "check", 1)
    assert lines and all(re.match(r"conversations: offset \d+ to \d+ of the database: ", line) for line in lines)
    lines = told(store, "repair", 0)
    assert f"conversations: made anew of what can be read, the damaged database is {file}.damaged" in lines
    with open(file + ".damaged", "rb") as f:
        assert f.read() == damaged
    assert told(store, "check", 0) == []


@pytest.mark.parametrize("kind", ["pwrite", "fdatasync", "rename", "unlink"])
def test_killed(store, kind):
    """At many changes of the disk: the next repair reaches the same state."""
    after, survived = set(), False
    for n in (1, 2, 3, 5, 8, 13, 21, 34, 55):
        store.saved.restore()
        set_header(exists=9, quota_mailbox_used=1)(store)
        set_quota("user.alice", "%(S (12345 20000) M (7 100))")(store)
        conversations("delete", "F")(store)
        without_user_file("counters")(store)
        store.env["CYLINDER_DISKIO_KILL"] = f"{kind}:{n}"
        done = store.run("cyr_user", "repair", "alice", check=False)
        del store.env["CYLINDER_DISKIO_KILL"]
        survived = done.returncode == 0
        told(store, "repair", 0)
        assert told(store, "check", 0) == []
        index = IndexFile(path(store, "cyrus.index")).header
        after.add((index["exists"], index["quota_mailbox_used"],
                   store.run("cyr_dbtool", store.path("conf/quotas.db"), "twoskip", "get", "user.alice").stdout))
        if survived:
            break
    assert survived and len(after) == 1 and n > 1

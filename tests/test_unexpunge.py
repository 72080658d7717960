# SPDX-License-Identifier: BSD-3-Clause
"""unexpunge (handbook 05 §3.15), ours and Debian's on the same store."""

import os
import time

import pytest

from cyltest.storefiles import (DELETED, EXPUNGED, FLAGGED, SEEN, UNLINKED, IndexFile, Snapshot, index_of,
                                mailbox_dir, message_files)

DEBIAN = "/usr/lib/cyrus/bin/unexpunge"
LISTED = """UID: 2
\tSize: {size}
\tSent: Mon Jan  5 00:00:00 2026
\tRecv: Mon Jan  2 10:00:00 2023
\tExpg: {expunged}
\tFrom: Sender <sender@example.org>
\tTo  : Alice <alice@example.com>
\tCc  : 
\tBcc : 
\tSubj: "Hello 2"

"""


def message(n):
    return (f"From: Sender <sender@example.org>\r\nTo: Alice <alice@example.com>\r\nSubject: Hello {n}\r\n"
            f"Date: Mon, 05 Jan 2026 10:00:0{n} +0000\r\nMessage-ID: <{n}@example.org>\r\n\r\nbody {n}\r\n").encode()


@pytest.fixture
def store(factory):
    """alice's INBOX: 1 to 5, of which 1, 2 and 4 are expunged; 2 with an annotation. Stopped."""
    s = factory()
    s.conf.update({"conversations": True, "quota_db": "twoskip"})
    s.env["TZ"] = "UTC"
    s.start()
    s.create_user("alice")
    with s.imap("admin") as c:
        c.ok("SETQUOTA user/alice (STORAGE 20000 MESSAGE 100)")
    with s.imap("alice") as c:
        for n, flags in enumerate(["\\Seen \\Flagged", "$Label1", None, None, None], 1):
            c.append("INBOX", message(n), flags, date="02-Jan-2023 10:00:00 +0000")
        c.ok("SELECT INBOX")
        c.ok('STORE 2 ANNOTATION (/comment (value.shared "ours" value.priv "mine"))')
        c.ok("STORE 1:2,4 +FLAGS (\\Deleted)")
        c.ok("EXPUNGE")
        c.logout()
    s.stop()
    return s


def state(server):
    """What a restore is about: records without times and places, and files."""
    index = index_of(server, "user/alice")
    assert index.crcs_are_good()
    drop = ("last_updated", "cache_offset", "cache_version")
    return ([{k: v for k, v in r.items() if k not in drop} for r in index.records if not r["flags"] & UNLINKED],
            [(r["uid"], r["flags"] & (EXPUNGED | UNLINKED)) for r in index.records],
            message_files(mailbox_dir(server, "user/alice")),
            {k: index.header[k] for k in ("exists", "last_uid", "uidvalidity", "highestmodseq", "deleted", "flagged",
                                          "quota_mailbox_used", "quota_annot_used", "sync_crc_annot",
                                          "last_appenddate", "num_records")})


def test_list(store):
    done = store.run("unexpunge", "-l", "user/alice", "2")
    rec = index_of(store, "user/alice").by_uid()[2]
    assert done.stdout == LISTED.format(size=rec["size"], expunged=time.strftime(
        "%a %b %e %H:%M:%S %Y", time.gmtime(rec["last_updated"])))
    assert store.run("unexpunge", "-l", "user/alice").stdout.count("UID: ") == 3
    assert store.run("unexpunge", "-l", "user/alice", "1,4:9").stdout.count("UID: ") == 2


def test_list_is_debians(store):
    if not os.path.exists(DEBIAN):
        pytest.skip("Debian's unexpunge is not installed")
    for args in (["user/alice"], ["user/alice", "4"], ["user/alice", "77"]):
        assert store.run("unexpunge", "-l", *args).stdout == store.run(DEBIAN, "-l", *args).stdout


def test_all(store):
    before = index_of(store, "user/alice").by_uid()
    done = store.run("unexpunge", "-a", "-v", "user/alice")
    assert done.stdout == ("restoring all expunged messages in mailbox 'user/alice'\n"
                           "Unexpunged user/alice: 1 => 6\nUnexpunged user/alice: 2 => 7\n"
                           "Unexpunged user/alice: 4 => 8\nrestored 3 expunged messages\n")
    index = index_of(store, "user/alice")
    after = index.by_uid()
    for old, new in ((1, 6), (2, 7), (4, 8)):
        assert after[old]["flags"] & (EXPUNGED | UNLINKED) == EXPUNGED | UNLINKED
        for field in ("guid", "size", "internaldate", "savedate", "cid", "user_flags"):
            assert after[new][field] == before[old][field]
        assert after[new]["flags"] == before[old]["flags"] & ~EXPUNGED
        assert after[new]["modseq"] > before[old]["modseq"]
    assert message_files(mailbox_dir(store, "user/alice")) == ["3.", "5.", "6.", "7.", "8."]
    assert store.run("unexpunge", "-a", "user/alice").stdout.endswith("restored 0 expunged messages\n")
    assert index.header["exists"] == 5 and index.header["last_uid"] == 8
    assert store.run("quota", "-f", "-q").stdout == ""
    store.start()
    with store.imap("alice") as c:
        c.ok("SELECT INBOX")
        assert "Hello 2" in str(c.ok("UID FETCH 7 (BODY.PEEK[])").untagged)
        text = str(c.ok("UID FETCH 7 (ANNOTATION (/comment (value.shared value.priv)))").untagged)
        assert "ours" in text and "mine" in text
        c.logout()


def test_one_with_a_flag(store):
    done = store.run("unexpunge", "-u", "-d", "-f", "Restored", "user/alice", "2")
    assert done.stdout.endswith("restored 1 expunged messages\n")
    after = index_of(store, "user/alice").by_uid()
    assert not after[6]["flags"] & (DELETED | EXPUNGED)
    assert after[1]["flags"] & SEEN and after[1]["flags"] & FLAGGED and after[1]["flags"] & EXPUNGED
    store.start()
    with store.imap("alice") as c:
        c.ok("SELECT INBOX")
        flags = str(c.ok("UID FETCH 6 (FLAGS)").untagged)
        assert "Restored" in flags and "$Label1" in flags
        c.logout()


def test_age(store):
    index = index_of(store, "user/alice")
    old = index.by_uid()[1]["last_updated"] - 10 * 86400
    index.set("last_updated", old, recno=1)
    assert "restored 2 expunged" in store.run("unexpunge", "-t", "1w", "user/alice").stdout
    assert "restored 1 expunged" in store.run("unexpunge", "-t", "2w", "user/alice").stdout


def test_file_that_is_gone(store):
    """One message can't come back: it is told and stays expunged; the others come."""
    path = os.path.join(mailbox_dir(store, "user/alice"), "2.")
    os.rename(path, path + "away")
    done = store.run("unexpunge", "-a", "user/alice", check=False)
    assert done.returncode == 65 and "can't restore message 2: its file is missing" in done.stderr
    assert done.stdout.endswith("restored 2 expunged messages\n")
    os.rename(path + "away", path)
    assert store.run("unexpunge", "-a", "user/alice").stdout.endswith("restored 1 expunged messages\n")


WRONG = [
    ([], 255), (["-a"], 255), (["-a", "-l", "user/alice"], 255), (["-u", "user/alice"], 255),
    (["-u", "user/alice", "x"], 255), (["-t", "5q", "user/alice"], 255), (["-t", "x", "user/alice"], 255),
    (["-d", "user/alice"], 255), (["-a", "-f", "\\Seen", "user/alice"], 70), (["-a", "user/nosuch"], 66),
    (["-l", "user/nosuch"], 66), (["-a", "-f", "a b", "user/alice"], 65)]


def test_wrong_use_changes_nothing(store):
    before = state(store)
    for args, status in WRONG:
        done = store.run("unexpunge", *args, check=False)
        assert done.returncode == status and done.stderr, args
        assert state(store) == before, args


def test_as_debian(store):
    """Both programs make the same of the same store."""
    if not os.path.exists(DEBIAN):
        pytest.skip("Debian's unexpunge is not installed")
    saved = Snapshot(store)
    for args in (["-a", "-v", "user/alice"], ["-u", "-d", "-f", "Again", "user/alice", "4", "2"],
                 ["-t", "1d", "user/alice"]):
        saved.restore()
        ours = store.run("unexpunge", *args).stdout
        after = state(store)
        saved.restore()
        assert store.run(DEBIAN, *args).stdout == ours
        theirs = state(store)
        for mine, other in zip(after[0], theirs[0]):
            assert mine == other
        assert theirs[1:] == after[1:]


def test_index_file_of_the_tests_sees_bad_crcs(store):
    """The reader of these tests is not blind."""
    path = os.path.join(mailbox_dir(store, "user/alice"), "cyrus.index")
    with open(path, "r+b") as f:
        f.seek(200)
        f.write(b"\xff")
    assert not IndexFile(path).crcs_are_good()

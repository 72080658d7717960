# SPDX-License-Identifier: BSD-3-Clause
"""cyr_expire (handbook 05 §3.9, 02 §5.2), and what each expunge_mode leaves (02 §5.4)."""

import os
import time

import pytest

from cyltest.storefiles import (ARCHIVED, EXPUNGED, UNLINKED, add_file, index_of, mailbox_dir, message_files)

DEBIAN = "/usr/lib/cyrus/bin/reconstruct"


def message(n, size=10):
    return (f"From: Sender <sender@example.org>\r\nTo: Alice <alice@example.com>\r\nSubject: Hello {n}\r\n"
            f"Date: Mon, 05 Jan 2026 10:00:0{n} +0000\r\nMessage-ID: <{n}@example.org>\r\n\r\n{'x' * size}\r\n").encode()


def start(server, **conf):
    server.conf.update({"conversations": True}, **conf)
    server.start()
    server.create_user("alice")
    return server


def is_sound(server, debian=True):
    done = server.run("reconstruct", "-G", "-q")
    assert (done.stdout, done.stderr) == ("", "")
    if debian and os.path.exists(DEBIAN):
        assert server.run(DEBIAN, "-n", "-G", "-q").stdout == ""
    assert server.run("ctl_conversationsdb", "-A", "alice").stdout == ""


@pytest.mark.parametrize("own", [True, False])
def test_archive(factory, own):
    """Old messages move to the archive partition (or are only marked, if it has none); FETCH finds them all.

    Debian's reconstruct takes the marks away again when there is no partition for them, so it is asked only if there is.
    """
    server = factory()
    conf = {"archive_enabled": True, "archive_keepflagged": True, "archive_maxsize": 4}
    if own:
        conf["archivepartition-default"] = server.account.mkdir(server.path("archive"))
    start(server, **conf)
    old, now = "02-Jan-2023 10:00:00 +0000", time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime())
    with server.imap("alice") as c:
        c.append("INBOX", message(1), None, date=old)
        c.append("INBOX", message(2), "\\Flagged", date=old)
        c.append("INBOX", message(3), None, date=now)
        c.append("INBOX", message(4, 9000), None, date=now)
        c.append("INBOX", message(5), "\\Deleted", date=old)
        c.ok("SELECT INBOX")
        c.ok("EXPUNGE")
        spool = mailbox_dir(server, "user/alice")
        before = index_of(server, "user/alice")
        server.run("cyr_expire", "-A", "7d")
        text = str(c.ok("FETCH 1:* (BODY.PEEK[] BODY.PEEK[HEADER.FIELDS (SUBJECT)])").untagged)
        assert all(f"Hello {n}" in text for n in (1, 2, 3, 4))
        c.logout()
    server.stop()
    after = index_of(server, "user/alice")
    assert after.crcs_are_good()
    assert {u: bool(r["flags"] & ARCHIVED) for u, r in after.by_uid().items()} == {
        1: True, 2: False, 3: False, 4: True, 5: True}
    for field in ("sync_crc_basic", "sync_crc_annot", "highestmodseq", "exists", "uidvalidity", "quota_mailbox_used"):
        assert after.header[field] == before.header[field]
    assert [r["modseq"] for r in after.records] == [r["modseq"] for r in before.records]
    archive = spool.replace("/spool/", "/archive/") if own else spool
    assert message_files(archive) == (["1.", "4.", "5."] if own else ["1.", "2.", "3.", "4.", "5."])
    assert message_files(spool) == (["2.", "3."] if own else ["1.", "2.", "3.", "4.", "5."])
    is_sound(server, own)
    assert "restored 1 expunged" in server.run("unexpunge", "-a", "user/alice").stdout
    is_sound(server, own)
    server.start()
    with server.imap("alice") as c:
        c.ok("SELECT INBOX")
        text = str(c.ok("FETCH 1:* (BODY.PEEK[] ENVELOPE)").untagged)
        assert all(f"Hello {n}" in text for n in (1, 2, 3, 4, 5))
        c.ok("CREATE Copies")
        c.ok("COPY 1:* Copies")
        c.ok("SELECT Copies")
        text = str(c.ok("FETCH 1:* (BODY.PEEK[])").untagged)
        assert all(f"Hello {n}" in text for n in (1, 2, 3, 4, 5))
        c.logout()


def test_archived_message_in_the_wrong_place(factory):
    """The mark follows the file; of a message that is in both places one copy goes."""
    server = factory()
    start(server, **{"archive_enabled": True, "archivepartition-default": server.account.mkdir(server.path("archive"))})
    with server.imap("alice") as c:
        for n in (1, 2):
            c.append("INBOX", message(n), None, date="02-Jan-2023 10:00:00 +0000")
        c.logout()
    server.stop()
    server.run("cyr_expire", "-A", "7d")
    spool = mailbox_dir(server, "user/alice")
    archive = spool.replace("/spool/", "/archive/")
    os.rename(os.path.join(archive, "1."), os.path.join(spool, "1."))
    add_file(server, os.path.join(archive, "2."), os.path.join(spool, "2."))
    done = server.run("reconstruct", "user/alice")
    assert "Marking file as not archived user.alice 1\n" in done.stdout
    assert "user.alice uid 2 is in spool and archive\n" in done.stdout
    assert message_files(spool) == ["1.", "2."] and message_files(archive) == []
    assert not any(r["flags"] & ARCHIVED for r in index_of(server, "user/alice").records)
    is_sound(server)


def test_archive_annotation(factory):
    """The annotation of a mailbox wins: 0 is never; -a does not look at it."""
    server = factory()
    start(server, **{"archive_enabled": True, "archivepartition-default": server.account.mkdir(server.path("archive"))})
    with server.imap("alice") as c:
        c.append("INBOX", message(1), None, date="02-Jan-2023 10:00:00 +0000")
        c.logout()
    with server.imap("admin") as c:
        c.ok('SETMETADATA user/alice (/shared/vendor/cmu/cyrus-imapd/archive "0")')
        c.logout()
    server.run("cyr_expire", "-A", "7d")
    assert not index_of(server, "user/alice").records[0]["flags"] & ARCHIVED
    server.run("cyr_expire", "-a", "-A", "7d")
    assert index_of(server, "user/alice").records[0]["flags"] & ARCHIVED
    server.stop()
    is_sound(server)


def test_user_flags(factory):
    server = start(factory())
    with server.imap("alice") as c:
        c.append("INBOX", message(1), "$Gone $Kept")
        c.ok("SELECT INBOX")
        c.ok("STORE 1 -FLAGS ($Gone)")
        c.logout()
    done = server.run("cyr_expire", "-t", "-x", "-c", "-v")
    assert done.stderr == "Expunged 1 user flags\n\n"
    with server.imap("alice") as c:
        flags = str(c.ok("SELECT INBOX").untagged)
        assert "$Kept" in flags and "$Gone" not in flags
        assert "$Kept" in str(c.ok("FETCH 1 (FLAGS)").untagged)
        c.logout()
    server.stop()
    is_sound(server)


def test_verbose_and_purge(factory):
    server = start(factory(), expunge_tombstones="0")
    with server.imap("alice") as c:
        c.append("INBOX", message(1))
        c.append("INBOX", message(2), "\\Deleted")
        c.ok("SELECT INBOX")
        c.ok("EXPUNGE")
        c.logout()
    expunge = index_of(server, "user/alice").by_uid()[2]["modseq"]
    done = server.run("cyr_expire", "-v", "-X", "7d", "-c")
    assert done.stderr.endswith("\n\n\nExpired 0 and expunged 0 out of 2 messages from 1 mailboxes\n\n")
    done = server.run("cyr_expire", "-v", "-X", "0", "-D", "0", "-E", "3")
    lines = [line for line in done.stderr.splitlines() if line]
    assert lines[:3] == ["Expunging deleted messages in mailboxes older than 0.00 days",
                         "cleaning up expunged messages in user.alice",
                         "Expired 0 and expunged 1 out of 2 messages from 1 mailboxes"]
    assert lines[3] == "Removing conversation entries older than 90.00 days"
    assert lines[-2:] == ["Removing deleted mailboxes older than 0.00 days", "Removed 0 deleted mailboxes"]
    index = index_of(server, "user/alice")
    assert [r["uid"] for r in index.records] == [1] and index.header["deletedmodseq"] == expunge
    server.stop()
    assert message_files(mailbox_dir(server, "user/alice")) == ["1."]
    is_sound(server)
    assert server.run("cyr_expire", check=False).returncode == 64


# expunge_mode (default: not set): flags of an expunged record (None: it is gone), its file stays
MODES = {"default": (EXPUNGED, True), "delayed": (EXPUNGED, True), "semidelayed": (EXPUNGED | UNLINKED, False),
         "immediate": (EXPUNGED | UNLINKED, False), "immediate, no tombstones": (None, False)}


@pytest.mark.parametrize("mode", MODES)
def test_expunge_mode(factory, mode):
    """Record, file and DELETEDMODSEQ after EXPUNGE; QRESYNC tells of what went, or of all it may have missed."""
    conf = {} if mode == "default" else {"expunge_mode": mode.split(",")[0]}
    if "no tombstones" in mode:
        conf["expunge_tombstones"] = "0"
    server = start(factory(), **conf)
    flags, stays = MODES[mode]
    with server.imap("alice") as c:
        for n in range(1, 5):
            c.append("INBOX", message(n))
        c.ok("ENABLE QRESYNC")
        c.ok("SELECT INBOX")
        before = index_of(server, "user/alice").header
        c.ok("STORE 2:3 +FLAGS (\\Deleted)")
        c.ok("EXPUNGE")
        c.logout()
    index = index_of(server, "user/alice")
    records = index.by_uid()
    assert index.header["exists"] == 2 and index.header["last_uid"] == 4
    if flags is None:
        assert list(records) == [1, 4]
        assert before["highestmodseq"] < index.header["deletedmodseq"] <= index.header["highestmodseq"]
        assert index.header["generation_no"] > before["generation_no"] and index.header["last_repack_time"]
    else:
        assert [records[u]["flags"] & (EXPUNGED | UNLINKED) for u in (1, 2, 3, 4)] == [0, flags, flags, 0]
        assert index.header["deletedmodseq"] == 0
        assert index.header["first_expunged"] == records[2]["last_updated"]
    with server.imap("alice") as c:
        c.ok("ENABLE QRESYNC")
        told = str(c.ok(f"SELECT INBOX (QRESYNC ({before['uidvalidity']} {before['highestmodseq']}))").untagged)
        assert "VANISHED (EARLIER) 2:3" in told
        c.logout()
    server.run("ctl_cyrusdb", "-c")
    assert message_files(mailbox_dir(server, "user/alice")) == (["1.", "2.", "3.", "4."] if stays else ["1.", "4."])
    restored = server.run("unexpunge", "-a", "user/alice").stdout
    assert restored.endswith(f"restored {2 if stays else 0} expunged messages\n")
    server.stop()
    is_sound(server)
    server.run("cyr_expire", "-X", "0")
    index = index_of(server, "user/alice")
    if flags is not None:  # they go when they are a week old, with what they have in the cache at once
        tombstones = [r for r in index.records if r["flags"] & EXPUNGED]
        assert [r["uid"] for r in tombstones] == [2, 3] and index.header["deletedmodseq"] == 0
        assert all(r["flags"] & UNLINKED and r["cache_offset"] == 0 for r in tombstones)
        is_sound(server)
        server.conf["expunge_tombstones"] = "0"
        server.write_conf()
        server.run("cyr_expire", "-X", "0")
        index = index_of(server, "user/alice")
    assert not any(r["flags"] & EXPUNGED for r in index.records) and index.header["deletedmodseq"]
    is_sound(server)

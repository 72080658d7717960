# SPDX-License-Identifier: BSD-3-Clause
"""One store, two servers in turn: what Cylinder wrote is read, checked and changed by 3.6.1, and the reverse.

The servers never run at the same time. Between them the store is plain: no journal is left.
"""

import os
import re

MESSAGES = [
    b"From: a%d@example.com\r\nTo: alice@example.com\r\nSubject: message %d\r\n"
    b"Message-ID: <m%d@example.com>\r\nDate: Mon, 02 Jan 2023 03:04:0%d +0100\r\n\r\nBody %d\r\n" % ((n,) * 5)
    for n in range(1, 6)
]


def on_same_store(debian, server):
    for option in ("configdirectory", "partition-default", "conversations"):
        debian.conf[option] = server.conf[option]
    return debian


def fill(server):
    server.create_user("alice", "Work")
    with server.imap("alice") as imap:
        for n, message in enumerate(MESSAGES):
            imap.append("INBOX", message, flags=("", r"\Seen", r"\Flagged $Label", r"\Draft", "Other")[n])
        imap.ok("SELECT INBOX")
        imap.ok("COPY 1:3 Work")
        imap.ok(r"STORE 2 +FLAGS (\Answered \Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("SELECT Work")
        imap.ok(r"STORE 1:* +FLAGS (Third)")
        imap.logout()


def assert_clean(debian):
    for name in ("user/alice", "user/alice/Work"):
        text = debian.run("mbexamine", name).stdout
        assert "Mailbox Header Info" in text
        assert not re.search(r"(?i)invalid|mismatch|error|corrupt", text), text
        checked = debian.run("reconstruct", "-n", "-G", name)
        lines = [line for line in (checked.stdout + checked.stderr).splitlines() if line.strip() != name]
        assert not lines, lines
    assert not re.search("(?i)ioerror|dberror|crc", debian.log_text()), debian.log_text()


def view(server, folder):
    with server.imap("alice") as imap:
        imap.ok(f"SELECT {folder}")
        got = imap.ok("FETCH 1:* (UID FLAGS MODSEQ INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])")
        status = imap.ok(f"STATUS {folder} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ)")
        lines = sorted(b"".join([item]) if isinstance(item, bytes) else str(item).encode()
                       for item in got.find("* "))
        lines = [line.replace(rb"\Recent", b"").replace(b"( ", b"(").replace(b" )", b")") for line in lines
                 if b"FETCH" in line]
        return lines, status.find("* STATUS")


def test_3_6_1_reads_what_we_wrote(factory, debian_factory):
    server = factory(services=("imap",)).start()
    fill(server)
    ours = [view(server, folder) for folder in ("INBOX", "Work")]
    server.stop()
    debian = on_same_store(debian_factory(services=("imap",)), server)
    assert_clean(debian)
    debian.start()
    theirs = [view(debian, folder) for folder in ("INBOX", "Work")]
    assert theirs == ours


def test_turn_by_turn(factory, debian_factory):
    server = factory(services=("imap",)).start()
    fill(server)
    server.stop()
    debian = on_same_store(debian_factory(services=("imap",)), server)
    for turn in range(2):
        debian.start()
        change(debian, b"3.6.1 %d" % turn)
        theirs = view(debian, "INBOX")
        debian.stop()
        server.start()
        assert view(server, "INBOX") == theirs
        change(server, b"cylinder %d" % turn)
        server.stop()
        assert_clean(debian)
    left = os.listdir(server.path("conf", "journal"))
    assert not [name for name in left if name.endswith(".log") or name == "control"], left


def change(server, word):
    with server.imap("alice") as imap:
        imap.append("INBOX", MESSAGES[0].replace(b"message", word), flags=r"\Seen New")
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1:* -FLAGS (\Answered)")
        imap.ok(r"STORE 1 +FLAGS (\Deleted $Word)")
        imap.ok("COPY 2 Work")
        imap.ok("EXPUNGE")
        imap.logout()

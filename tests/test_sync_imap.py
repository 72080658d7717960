# SPDX-License-Identifier: BSD-3-Clause
"""The replica's commands inside IMAP (handbook 03 §1.8, transcript sync-10)."""

import glob
import os
import signal
import time

import pytest

from cyltest.clients import Rejected
from cyltest.credentials import password
from cyltest.dlist import parse
from cyltest.syncdata import message
from cyltest.syncline import guid, mailbox, record, upload

ONE, TWO = b"Subject: one\r\n\r\none\r\n", b"Subject: two\r\n\r\ntwo\r\n"
INBOX = mailbox("user.anna", [record(1, 2, content=ONE)], UNIQUEID="uniqinbox", LAST_UID=1, HIGHESTMODSEQ=2)


@pytest.fixture
def server(factory):
    server = factory(services=("imap",))
    server.conf["conversations"] = True
    server.add_user("anna")
    server.start()
    return server


@pytest.fixture
def sync(server):
    with server.imap("repl") as imap:
        yield imap


def reserved(server):
    return glob.glob(server.path("spool/sync./*/*"))


def arrive(sync):
    """anna has an INBOX with one message."""
    sync.ok(b"SYNC" + upload(ONE))
    sync.ok("SYNCAPPLY " + INBOX)


def test_announced_to_who_may_use_it(server):
    """Also not before login, and no longer after UNAUTHENTICATE."""
    with server.imap("repl") as imap:
        words = imap.ok("CAPABILITY").untagged[0].decode().split()
        at = words.index("X-CREATEDMODSEQ")
        assert words[at:at + 4] == ["X-CREATEDMODSEQ", "X-REPLICATION", "X-SIEVE-MAILBOX", "XLIST"]
        imap.ok("UNAUTHENTICATE")
        assert b"X-REPLICATION" not in imap.ok("CAPABILITY").untagged[0]
        assert " X-REPLICATION " in imap.ok(f"LOGIN repl {password('repl')}").text
        imap.ok("UNAUTHENTICATE")
        assert "X-REPLICATION" not in imap.ok(f"LOGIN alice {password('alice')}").text
    with server.imap("alice") as imap:
        assert b"X-REPLICATION" not in imap.ok("CAPABILITY").untagged[0]
        for command in ("SYNCGET USER alice", "SYNCAPPLY RESERVE %(PARTITION default)", "SYNCRESTORE X", "SYNCRESTART"):
            assert imap.bad(command).text == "Unrecognized command"
        # The literal of a refused command is no command.
        assert imap.bad(b"SYNCAPPLY MESSAGE (%{default " + guid(ONE).encode() + b" 21}\r\nx9 LOGOUT" + b" " * 12 + b")").text
        imap.ok("NOOP")
    with server.imap() as imap:
        assert imap.bad("SYNCGET USER alice").text == "Please login first"


def test_as_in_the_transcript(server, sync):
    answer = sync.ok("SYNCAPPLY CAPABILITIES (SIEVE-MAILBOX)")
    assert (answer.untagged, answer.text) == ([b"* ENABLED (SIEVE-MAILBOX)"], "success")
    answer = sync.ok("SYNCGET MAILBOXES (user.anna)")
    assert (answer.untagged, answer.text) == ([], "success")
    wanted = f"SYNCAPPLY RESERVE %(PARTITION default MBOXNAME (user.anna) GUID ({guid(ONE)}))"
    assert sync.ok(wanted).untagged == [f"* MISSING ({guid(ONE)})".encode()]
    arrive(sync)
    kind, value = parse(sync.ok("SYNCGET MAILBOXES (user.anna)").untagged[0])
    assert kind == "MAILBOX" and (value["MBOXNAME"], value["LAST_UID"]) == (b"user.anna", b"1")
    assert sync.ok("SYNCRESTART").text == "Restarting"
    assert sync.ok("LOGOUT").untagged == [b"* BYE LOGOUT received"]
    with server.imap("anna") as imap:
        imap.ok("SELECT INBOX")
        assert ONE in imap.ok("FETCH 1 BODY[]").untagged[0]


@pytest.mark.parametrize("verb", ("Get", "Apply", "Restore"))
def test_bad_dlists(sync, verb):
    failure = f"Replication parse failure in Sync{verb.lower()}"
    for arguments in ("", " ", " USER (", " %(", " USER %(A", " MAILBOX %(A B))"):
        assert sync.bad(f"SYNC{verb.upper()}{arguments}").text == failure, arguments
    assert sync.no(f"SYNC{verb.upper()} NOSUCH X").text == "IMAP_PROTOCOL_ERROR Protocol error"
    assert sync.no(b"SYNC%s NOSUCH ({3}\r\nabc)" % verb.upper().encode()).text.startswith("IMAP_PROTOCOL_ERROR")
    assert sync.bad("SYNCRESTART now").text == "Unexpected extra arguments to Syncrestart"
    sync.ok("NOOP")


def test_refusals_are_tagged(sync):
    arrive(sync)
    assert sync.no("SYNCAPPLY " + mailbox("user.anna", [record(1, 1, content=TWO)], UNIQUEID="uniqinbox", LAST_UID=1)
                   ).text == "IMAP_SYNC_CHECKSUM Checksum Failure"
    assert sync.no("SYNCGET FULLMAILBOX user.nobody").text == "IMAP_MAILBOX_NONEXISTENT No Such Mailbox"
    assert sync.no("SYNCAPPLY " + mailbox("user.other", UNIQUEID="uniqinbox")
                   ).text == "IMAP_MAILBOX_MOVED Mailbox exists with another name or uniqueid"


def test_beside_a_selected_mailbox(server, sync):
    """The master's changes are told to sessions that look at the mailbox, also to the one that makes them."""
    arrive(sync)
    with server.imap("admin") as admin:
        admin.ok("SETACL user/anna repl lrs")
        admin.logout()
    sync.ok("SELECT user/anna")
    sync.ok(b"SYNC" + upload(TWO))
    answer = sync.ok("SYNCAPPLY " + mailbox(
        "user.anna", [record(1, 2, content=ONE), record(2, 3, content=TWO)], UNIQUEID="uniqinbox", LAST_UID=2,
        HIGHESTMODSEQ=3))
    assert b"* 2 EXISTS" in answer.untagged
    assert TWO in sync.ok("FETCH 2 BODY[]").untagged[0]


def test_pipelined(sync):
    tags = [sync.start(command) for command in (
        b"SYNC" + upload(ONE, TWO), "SYNCAPPLY " + INBOX, "SYNCGET USER anna", "NOOP", "SYNCRESTART")]
    answers = [sync.finish(tag) for tag in tags]
    assert [a.status for a in answers] == ["OK"] * 5
    assert b"user.anna" in answers[2].untagged[0]


def test_a_big_file_and_many(server, sync):
    """Files go to the disk as they arrive, beyond the limit of literals of other commands."""
    big = message(1) + b"x" * 70 * 100000 + b"\r\n"
    sync.ok(b"SYNC" + upload(big, *(message(n) for n in range(200))))
    assert len(reserved(server)) == 201


def test_what_was_reserved_goes(server, sync):
    sync.ok(b"SYNC" + upload(ONE))
    assert len(reserved(server)) == 1
    sync.ok("SYNCRESTART")
    assert not reserved(server)
    sync.ok(b"SYNC" + upload(ONE))
    sync.ok("UNAUTHENTICATE")
    assert not reserved(server)
    with server.imap("repl") as imap:
        imap.ok(b"SYNC" + upload(ONE))
        imap.logout()
    deadline = time.monotonic() + 20  # it goes after the last answer
    while reserved(server):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_a_killed_process_reserved_goes(server):
    with server.imap("repl") as imap:
        imap.ok(b"SYNC" + upload(ONE))
        (kept,) = reserved(server)
        os.kill(int(kept.split("/")[-2]), signal.SIGKILL)
        with pytest.raises((EOFError, ConnectionError, Rejected)):
            imap.ok("NOOP")
    server.allow_log("signaled to death|killed|by signal 9|SIGKILL")
    with server.imap("repl") as imap:
        imap.ok("SYNCGET USER anna")
        assert not os.path.exists(kept)

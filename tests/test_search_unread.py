# SPDX-License-Identifier: BSD-3-Clause
"""A search that can't look at a message says so: what it answers does not look complete, and the message is named."""

import os

import pytest

from cyltest.damage import damage, damaged, one_bit
from cyltest.storefiles import mailbox_dir

COUNT, BAD = 5, 3


def text(n):
    return (b"Message-ID: <%d@example.com>\r\nFrom: a@example.com\r\nSubject: number %d\r\n"
            b"Date: Mon, 07 Feb 2022 10:00:0%d +0100\r\n\r\n" % (n, n, n)) + b"a word of message %d\r\n" % n * 20


@pytest.fixture
def server(factory):
    server = factory(services=("imap", "lmtp"))
    server.conf["conversations"] = True
    server.start()
    server.create_user("alice", "Other")
    with server.imap("alice") as imap:
        for n in range(1, COUNT + 1):
            imap.append("INBOX", text(n))
            imap.append("Other", text(n).replace(b"word", b"ward"))
    server.allow_log("IOERROR: (message file|mailbox|cache record|index record)")
    return server


def path_of(server, name, mailbox="user/alice"):
    return os.path.join(mailbox_dir(server, mailbox), name)


def damage_cache(server):
    """The cache record can't be read, and can't be made anew of the message."""
    damage(path_of(server, "cyrus.cache"), lambda data: data[:4] + bytes(len(data) - 4))
    damage(path_of(server, f"{BAD}."), one_bit)


# (command, the answer without the message, the whole answer)
QUESTIONS = [
    ("SEARCH BODY word", b"* SEARCH 1 2 4 5", b"* SEARCH 1 2 3 4 5"),
    ("SEARCH NOT BODY nosuch", b"* SEARCH 1 2 4 5", b"* SEARCH 1 2 3 4 5"),
    ("SEARCH BODY nosuch", b"* SEARCH", b"* SEARCH"),
    ("UID SEARCH OR BODY word TEXT nosuch", b"* SEARCH 1 2 4 5", b"* SEARCH 1 2 3 4 5"),
    ("SEARCH RETURN () BODY word", b"ALL 1:2,4:5\r\n", b"ALL 1:5\r\n"),
    ("SEARCH RETURN (ALL COUNT MIN MAX) BODY word", b"ALL 1:2,4:5\r\n", b"ALL 1:5\r\n"),
    ("SEARCH RETURN (COUNT) BODY word", None, b"COUNT 5\r\n"),
    ("SEARCH RETURN (MIN MAX) BODY word", None, b"MIN 1 MAX 5\r\n"),
    ("SEARCH RETURN (PARTIAL 1:2) BODY word", None, b"PARTIAL (1:2 1:2)\r\n"),
    ("SORT (REVERSE UID) US-ASCII BODY word", b"* SORT 5 4 2 1", b"* SORT 5 4 3 2 1"),
    ("UID SORT (UID) US-ASCII BODY word", b"* SORT 1 2 4 5", b"* SORT 1 2 3 4 5"),
    ("THREAD ORDEREDSUBJECT US-ASCII BODY word", b"* THREAD (1)(2)(4)(5)", b"* THREAD (1)(2)(3)(4)(5)"),
]
CACHED = [
    ("SEARCH SUBJECT number", b"* SEARCH 1 2 4 5", b"* SEARCH 1 2 3 4 5"),
    ("SORT (SUBJECT) US-ASCII ALL", b"* SORT 1 2 4 5", b"* SORT 1 2 3 4 5"),
    ("SORT (FROM UID) US-ASCII ALL", b"* SORT 1 2 4 5", b"* SORT 1 2 3 4 5"),
    ("THREAD REFERENCES US-ASCII ALL", b"* THREAD (1)(2)(4)(5)", b"* THREAD (1)(2)(3)(4)(5)"),
]


def answers(response):
    return [line + b"\r\n" for line in response.untagged
            if line.startswith((b"* SEARCH", b"* ESEARCH", b"* SORT", b"* THREAD"))]


def check(response, want):
    assert want is None and not answers(response) or want in b"".join(answers(response)), response
    assert want is not None or not answers(response), response


def test_message_files(server):
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        with damaged(path_of(server, f"{BAD}."), one_bit):
            for command, without, _ in QUESTIONS:
                response = imap.no(command)
                assert f"[CORRUPTION] Search is not complete: UID {BAD} can't be read" in response.text, command
                check(response, without)
                assert b"COUNT" not in b"".join(answers(response)) and b"MIN" not in b"".join(answers(response))
            # What does not need the message, or leaves it out by its number, is answered as ever.
            for command, want in (("SEARCH ALL", b"* SEARCH 1 2 3 4 5"), ("SEARCH SUBJECT 3", b"* SEARCH 3"),
                                  (f"SEARCH NOT UID {BAD} BODY word", b"* SEARCH 1 2 4 5"),
                                  ("SORT (SUBJECT) US-ASCII ALL", b"* SORT 1 2 3 4 5")):
                assert want in answers(imap.ok(command))[0], command
        for command, _, whole in QUESTIONS:
            check(imap.ok(command), whole)


def test_cache_records(server):
    damage_cache(server)
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        for command, without, _ in CACHED:
            response = imap.no(command)
            assert f"UID {BAD} can't be read" in response.text, command
            check(response, without)
        damage(path_of(server, f"{BAD}."), one_bit)
        for command, _, whole in CACHED:
            check(imap.ok(command), whole)


def test_saved_result_is_empty(server):
    """RFC 5182 §2.1: of a search that fails."""
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok("SEARCH RETURN (SAVE) ALL")
        assert len(imap.ok("FETCH $ UID").untagged) == COUNT
        with damaged(path_of(server, f"{BAD}."), one_bit):
            imap.no("SEARCH RETURN (SAVE) BODY word")
        assert not imap.ok("FETCH $ UID").untagged


def test_many_mailboxes(server):
    """What can be searched is, in whichever order the mailboxes are named."""
    with server.imap("alice") as imap:
        with damaged(path_of(server, f"{BAD}."), one_bit):
            for order in ("INBOX Other", "Other INBOX"):
                response = imap.no(f"ESEARCH IN (mailboxes ({order})) RETURN (ALL) BODY a")
                assert "[CORRUPTION] Search is not complete: 1 messages" in response.text
                found = sorted(answers(response))
                assert b"INBOX" in found[0] and b"ALL 1:2,4:5\r\n" in found[0]
                assert b"Other" in found[1] and b"ALL 1:5\r\n" in found[1]
        damage(path_of(server, "cyrus.index"), lambda data: bytes(60) + data[60:])
        for order in ("INBOX Other", "Other INBOX"):
            response = imap.no(f"ESEARCH IN (mailboxes ({order})) RETURN (ALL) BODY a")
            assert len(answers(response)) == 1 and b"Other" in answers(response)[0]


def test_messages_that_went_meanwhile(server):
    """A message that another session removes while it is looked for is no damage."""
    server.conf["expunge_mode"] = "immediate"
    server.restart()
    with server.imap("alice") as imap, server.imap("alice") as other:
        imap.ok("SELECT INBOX")
        other.ok("SELECT INBOX")
        other.ok(f"STORE {BAD} +FLAGS.SILENT (\\Deleted)")
        other.ok("EXPUNGE")
        assert b"* SEARCH 1 2 4 5" in answers(imap.ok("SEARCH BODY word"))[0]

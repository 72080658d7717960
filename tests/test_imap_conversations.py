# SPDX-License-Identifier: BSD-3-Clause
"""Conversations as clients see them: keys of SEARCH, criteria of SORT, where else a message is. 3.6.1 finds everything or
aborts with most of these (doc/cyrus-3.6.1.md); what they share is in scripts/imap/conversations.txt."""

import re

import pytest


def message(n, parent=None, size=0):
    refs = f"References: <c{parent}@example.com>\r\n" if parent else ""
    return (f"From: Alice <alice@example.com>\r\nSubject: {'Re: ' if parent else ''}talk {parent or n}\r\n"
            f"Message-ID: <c{n}@example.com>\r\n{refs}Date: Mon, 07 Feb 2022 10:0{n}:00 +0000\r\n\r\n").encode() + b"x" * size + b"\r\n"


@pytest.fixture
def alice(factory):
    """1, 2, 4: a conversation of three; 3: one of its own, the largest; 5: another, newest."""
    server = factory(services=("imap",))
    server.conf.update({"conversations": True, "conversations_counted_flags": r"\Draft \Flagged $X"})
    server.start()
    with server.imap("admin") as admin:
        admin.ok("CREATE user/alice")
        admin.ok("CREATE user/bob")
    with server.imap("alice") as client:
        for n, parent, size in ((1, None, 0), (2, 1, 0), (3, None, 90000), (4, 1, 0), (5, None, 0)):
            client.append("INBOX", message(n, parent, size))
        client.ok("SELECT INBOX")
        client.server = server
        yield client


def found(response):
    return [int(w) for w in response.untagged[-1].split()[2:]]


def test_search_by_seen(alice):
    alice.ok(r"STORE 1,2,3 +FLAGS (\Seen)")
    for key in ("CONVSEEN", "CONVREAD"):
        assert found(alice.ok(f"SEARCH {key}")) == [3]
    for key in ("CONVUNSEEN", "CONVUNREAD"):
        assert found(alice.ok(f"SEARCH {key}")) == [1, 2, 4, 5]
    alice.ok(r"STORE 4 +FLAGS (\Seen)")
    assert found(alice.ok("SEARCH CONVSEEN")) == [1, 2, 3, 4]


def test_search_by_counted_flag(alice):
    alice.ok(r"STORE 2 +FLAGS (\Flagged $X)")
    alice.ok(r"STORE 5 +FLAGS ($X \Answered)")
    assert found(alice.ok(r"SEARCH CONVFLAG \Flagged")) == [1, 2, 4]
    assert found(alice.ok(r"SEARCH CONVFLAG $x NOT CONVFLAG \Flagged")) == [5]
    assert found(alice.ok(r"SEARCH CONVFLAG \Answered")) == [], "is not counted"
    assert found(alice.ok(r"UID THREAD REFERENCES UTF-8 CONVFLAG \Draft")) == []


def test_search_by_modseq(alice):
    modseq = int(re.search(rb"(\d+)\)", alice.ok("STATUS INBOX (HIGHESTMODSEQ)").untagged[0]).group(1))
    alice.ok(r"STORE 2 +FLAGS (\Flagged)")
    assert found(alice.ok(f"SEARCH CONVMODSEQ {modseq + 1}")) == [1, 2, 4], "the whole conversation has changed"


def test_sort(alice):
    for criteria, order in [("CONVEXISTS", [3, 5, 1, 2, 4]), ("REVERSE CONVEXISTS REVERSE UID", [4, 2, 1, 5, 3]),
                            ("CONVSIZE", [5, 1, 2, 4, 3]), ("CONVMODSEQ", [3, 1, 2, 4, 5])]:
        assert found(alice.ok(f"SORT ({criteria}) UTF-8 ALL")) == order, criteria
    alice.ok(r"STORE 2 +FLAGS (\Flagged)")
    assert found(alice.ok(r"SORT (HASCONVFLAG \Flagged) UTF-8 ALL")) == [3, 5, 1, 2, 4]
    assert found(alice.ok(r"SORT (CONVMODSEQ) UTF-8 ALL")) == [3, 5, 1, 2, 4]


def test_where_else_a_message_is(alice):
    alice.ok("CREATE Copies")
    alice.ok("CREATE \"With blank\"")
    alice.ok("COPY 1:2 Copies")
    alice.ok("COPY 1 \"With blank\"")
    ids = {name: re.search(rb"MAILBOXID \(([^)]+)\)", alice.ok(f'STATUS "{name}" (MAILBOXID)').untagged[0]).group(1)
           for name in ("INBOX", "Copies", "With blank")}
    one, two, three = alice.ok("FETCH 1:3 (MAILBOXES MAILBOXIDS)").untagged
    assert b'MAILBOXES (INBOX Copies "With blank") MAILBOXIDS (' + b" ".join(ids.values()) + b")" in one
    assert b"MAILBOXES (INBOX Copies) " in two and b"MAILBOXES (INBOX) " in three
    alice.ok("SELECT Copies")
    alice.ok(r"STORE 1 +FLAGS (\Deleted)")
    alice.ok("EXPUNGE")
    alice.ok("SELECT INBOX")
    assert b'MAILBOXES (INBOX "With blank")' in alice.ok("FETCH 1 (MAILBOXES)").untagged[0]


def test_of_others_only_what_may_be_seen(alice):
    alice.ok("CREATE Private")
    alice.ok("COPY 1 Private")
    alice.ok("SETACL INBOX bob lrs")
    with alice.server.imap("bob") as bob:
        bob.ok('SELECT "Other Users/alice"')
        assert bob.ok("FETCH 1 (MAILBOXES)").untagged == [b'* 1 FETCH (MAILBOXES ("Other Users/alice"))']


def test_without_conversations_none_of_it_exists(factory):
    server = factory(services=("imap",))
    server.conf["conversations"] = False
    server.start()
    with server.imap("admin") as admin:
        admin.ok("CREATE user/alice")
    with server.imap("alice") as client:
        client.append("INBOX", message(1))
        client.ok("SELECT INBOX")
        for command in ("SEARCH CONVSEEN", "SORT (CONVEXISTS) UTF-8 ALL", "FETCH 1 (MAILBOXES)", "FETCH 1 (MAILBOXIDS)"):
            assert client.cmd(command).status == "BAD", command

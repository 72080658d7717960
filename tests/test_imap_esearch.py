# SPDX-License-Identifier: BSD-3-Clause
"""ESEARCH: one search over many mailboxes (RFC 7377)."""

import re

import pytest

FOLDERS = {"INBOX": 3, "Work": 2, "Work/Deep": 2, "Work/Deep/Down": 1, "Empty": 0, "Other": 1}


def message(folder, n):
    return (f"From: Alice <alice@example.com>\r\nSubject: {folder} {n}\r\nMessage-ID: <{folder}.{n}@example.com>\r\n"
            f"Date: Mon, 07 Feb 2022 10:00:00 +0000\r\n\r\nbody common\r\n").encode()


@pytest.fixture
def server(imap_server):
    with imap_server.imap("admin") as admin:
        admin.ok("CREATE user/bob/open")
        admin.ok("CREATE user/bob/closed")
        admin.ok("SETACL user/bob/open alice lrs")
        admin.ok("SETACL user/bob/closed alice l")
    with imap_server.imap("bob") as bob:
        bob.append("open", message("open", 1))
        bob.append("closed", message("closed", 1))
    with imap_server.imap("alice") as alice:
        for folder, n in FOLDERS.items():
            if folder != "INBOX":
                alice.ok(f"CREATE {folder}")
            for i in range(n):
                alice.append(folder, message(folder, i))
    return imap_server


@pytest.fixture
def alice(server):
    with server.imap("alice") as client:
        yield client


LINE = re.compile(rb'\* ESEARCH \(TAG "(\S+)" MAILBOX (".*?"|\S+) UIDVALIDITY (\d+)\) UID (.*)$')


def results(client, command):
    """Mailbox -> what was found; the rest of each line is checked."""
    tag = client.start(command)
    response = client.finish(tag)
    assert response.status == "OK", response
    found = {}
    for line in response.untagged:
        match = LINE.match(line)
        assert match and match.group(1) == tag.encode(), line
        name = match.group(2).decode().strip('"')
        assert name not in found, "told twice"
        found[name] = match.group(4).decode()
    return found


def test_sources(alice):
    everything = {"INBOX": "ALL 1:3", "Work": "ALL 1:2", "Work/Deep": "ALL 1:2", "Work/Deep/Down": "ALL 1", "Other": "ALL 1"}
    assert results(alice, "ESEARCH IN (personal) BODY common") == everything
    assert results(alice, "ESEARCH IN (PERSONAL inboxes mailboxes INBOX) BODY common") == everything, "each once"
    assert results(alice, "ESEARCH IN (inboxes) ALL") == {"INBOX": "ALL 1:3"}
    assert results(alice, "ESEARCH IN (mailboxes Work) ALL") == {"Work": "ALL 1:2"}
    assert results(alice, 'ESEARCH IN (mailboxes ("Work" Other Empty Nowhere)) ALL') == {"Work": "ALL 1:2", "Other": "ALL 1"}
    assert set(results(alice, "ESEARCH IN (subtree Work) ALL")) == {"Work", "Work/Deep", "Work/Deep/Down"}
    assert set(results(alice, "ESEARCH IN (subtree-one Work) ALL")) == {"Work", "Work/Deep"}
    assert set(results(alice, "ESEARCH IN (subtree (Work/Deep Other)) ALL")) == {"Work/Deep", "Work/Deep/Down", "Other"}
    assert results(alice, "ESEARCH IN (subscribed) ALL") == {}
    alice.ok("SUBSCRIBE Work")
    alice.ok('SUBSCRIBE "Other Users/bob/open"')
    assert set(results(alice, "ESEARCH IN (subscribed) ALL")) == {"Work", "Other Users/bob/open"}


def test_rights(alice):
    """A mailbox that may be seen and not read is not searched, and nobody is told."""
    assert results(alice, 'ESEARCH IN (mailboxes ("Other Users/bob/open" "Other Users/bob/closed" "Other Users/bob")) ALL') == {
        "Other Users/bob/open": "ALL 1"}
    assert set(results(alice, 'ESEARCH IN (subtree "Other Users/bob") ALL')) == {"Other Users/bob/open"}


def test_return_options(alice):
    for options, answer in [("COUNT", "COUNT 3"), ("MIN", "MIN 1"), ("MAX COUNT", "COUNT 3 MAX 3"), ("", "ALL 1:3"), ("PARTIAL 2:5", "PARTIAL (2:5 2:3)")]:
        assert results(alice, f"ESEARCH IN (inboxes) RETURN ({options}) ALL") == {"INBOX": answer}
    assert results(alice, "ESEARCH IN (personal) RETURN (COUNT) SUBJECT Deep") == {"Work/Deep": "COUNT 2", "Work/Deep/Down": "COUNT 1"}
    assert results(alice, "ESEARCH IN (personal) CHARSET UTF-8 SUBJECT Other UID 1:*") == {"Other": "ALL 1"}


def test_selected(alice):
    assert alice.cmd("ESEARCH IN (selected) ALL").text == "Please select a mailbox first"
    assert alice.cmd("ESEARCH ALL").status == "BAD"
    alice.ok("SELECT Work")
    assert results(alice, "ESEARCH ALL") == {"Work": "ALL 1:2"}
    assert results(alice, "ESEARCH RETURN (COUNT) SUBJECT Work") == {"Work": "COUNT 2"}
    assert results(alice, "ESEARCH IN (selected mailboxes (Work Other)) ALL") == {"Work": "ALL 1:2", "Other": "ALL 1"}
    assert results(alice, "ESEARCH RETURN (SAVE COUNT) UID 2") == {"Work": "COUNT 1"}
    assert alice.ok("SEARCH $").untagged == [b"* SEARCH 2"]
    assert results(alice, "ESEARCH IN (selected) UID $") == {"Work": "ALL 2"}


def test_nothing_of_it_is_left(alice):
    """Searching another mailbox neither selects it nor takes its \\Recent."""
    alice.ok("SELECT Work")
    results(alice, "ESEARCH IN (mailboxes Other) BODY common")
    assert alice.ok("FETCH 1 (FLAGS)").untagged == [rb"* 1 FETCH (FLAGS (\Recent))"]
    assert alice.ok("STATUS Other (RECENT UNSEEN)").untagged == [b"* STATUS Other (RECENT 1 UNSEEN 1)"]


def test_uidvalidity_is_the_mailbox_s(alice):
    told = re.search(rb"UIDVALIDITY (\d+)", alice.ok("STATUS Work (UIDVALIDITY)").untagged[0]).group(1)
    assert LINE.match(alice.ok("ESEARCH IN (mailboxes Work) ALL").untagged[0]).group(3) == told


def test_modseq(alice):
    alice.ok("SELECT Other")
    alice.ok(r"STORE 1 +FLAGS (\Flagged)")
    modseq = re.search(rb"MODSEQ \((\d+)\)", alice.ok("FETCH 1 (MODSEQ)").untagged[-1]).group(1).decode()
    assert results(alice, "ESEARCH IN (mailboxes Other) MODSEQ 1") == {"Other": f"ALL 1 MODSEQ {modseq}"}


@pytest.mark.parametrize("command", [
    "ESEARCH", "ESEARCH IN", "ESEARCH IN personal ALL", "ESEARCH IN () ALL", "ESEARCH IN (nonsense) ALL", "ESEARCH IN (mailboxes) ALL",
    "ESEARCH IN (mailboxes (Work) ALL", "ESEARCH IN (personal)", "ESEARCH IN (personal) RETURN (FOO) ALL", "ESEARCH IN (personal) 1:3",
    "ESEARCH IN (personal) RETURN (SAVE) ALL", "ESEARCH IN (personal) NONSENSE", "ESEARCH IN (personal) OR 1 ALL"])
def test_errors(alice, command):
    assert alice.cmd(command).status == "BAD", command
    assert alice.ok("NOOP")


def test_many_mailboxes_and_one_that_goes(server, alice):
    for n in range(60):
        alice.ok(f"CREATE Many/f{n}")
        alice.append(f"Many/f{n}", message("many", n))
    tag = alice.start("ESEARCH IN (subtree Many) BODY common")
    with server.imap("alice") as other:
        for n in range(0, 60, 7):
            other.ok(f"DELETE Many/f{n}")
    response = alice.finish(tag)
    assert response.status == "OK" and 51 <= len(response.untagged) <= 60


def test_scan(server, alice):
    """SCAN finds what 3.6.1's, which is announced all the same, never does; what alice may only see stays unread."""
    def scan(arguments):
        response = alice.ok(f"SCAN {arguments}")
        assert response.text.startswith("Completed (")
        assert all(line.startswith(b"* LIST (") for line in response.untagged)
        return [line.rpartition(b" ")[2].strip(b'"').decode() for line in response.untagged]

    alice.append("Other", b"Subject: =?utf-8?Q?K=C3=A4se?=\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8gaGF5c3RhY2sK\r\n")
    assert scan('"" * COMMON') == ["INBOX", "Other", "Work", "Work/Deep", "Work/Deep/Down", "Users/bob/open"]
    assert scan('"" * "Work/Deep 1"') == ["Work/Deep"]
    assert scan('"" % common') == ["INBOX", "Other", "Work"]
    assert scan('Work/ % common') == ["Work/Deep"]
    assert scan('"" * {8+}\r\nhaystack') == ["Other"]
    assert scan('"" * {5+}\r\nk\u00e4se') == ["Other"]
    assert scan('"" * nowhere') == scan('"" None* common') == []
    alice.ok("SELECT Work")
    assert alice.ok('SCAN "" Work "Work 0"').untagged[0].startswith(b'* LIST (\\HasChildren) "/" Work')
    assert alice.ok("FETCH 1 FLAGS").untagged == [b"* 1 FETCH (FLAGS (\\Recent))"]
    for bad, text in (('', "Missing required argument to Scan"), ('""', "Missing required argument to Scan: mailbox pattern"),
                      ('"" *', "Missing required argument to Scan"), ('"" * a b', "Unexpected extra arguments to Scan"),
                      ('"" (INBOX) a', "Missing required argument to Scan: mailbox pattern")):
        assert alice.bad(f"SCAN {bad}".rstrip()).text == text, bad

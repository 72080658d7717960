# SPDX-License-Identifier: BSD-3-Clause
"""Extensions that Cyrus 3.6.1 has not: each is announced because all of it works."""

import re

import pytest

from cyltest.clients import Literal


def message(n, subject="message", size=0):
    return (f"From: Alice <alice@example.com>\r\nTo: bob@example.com\r\nSubject: {subject} {n}\r\n"
            f"Message-ID: <{subject}{n}@example.com>\r\nDate: Mon, 07 Feb 2022 10:00:00 +0000\r\n\r\n"
            f"body {n}\r\n").encode() + b"x" * size + b"\r\n"


@pytest.fixture
def server(imap_server):
    return imap_server


@pytest.fixture
def alice(server):
    """Ten messages; 2, 4, 6, 8, 10 are flagged; UIDs are message numbers + 1."""
    with server.imap("alice") as client:
        client.append("INBOX", message(0))
        client.ok("SELECT INBOX")
        client.ok(r"STORE 1 +FLAGS (\Deleted)")
        client.ok("EXPUNGE")
        for n in range(1, 11):
            client.append("INBOX", message(n, "even" if n % 2 == 0 else "odd"))
        client.ok("NOOP")
        client.ok(r"STORE 2,4,6,8,10 +FLAGS (\Flagged)")
        yield client


def numbers(response):
    found = (re.match(rb"\* (\d+) FETCH", line) for line in response.untagged)
    return [int(match.group(1)) for match in found if match]


def esearch(response):
    """The one ESEARCH line without its tag."""
    [line] = response.find("* ESEARCH")
    return re.sub(rb'^\* ESEARCH \(TAG "[^"]*"\)', b"", line).strip().decode()


def test_announced(alice):
    words = alice.ok("CAPABILITY").untagged[0].split()
    for name in (b"SEARCHRES", b"PARTIAL", b"QUOTA=RES-STORAGE", b"QUOTA=RES-MESSAGE", b"QUOTASET", b"REPLACE", b"UIDONLY", b"INPROGRESS"):
        assert name in words


# -- SEARCHRES --

def test_saved_result_in_each_command(alice):
    assert alice.ok("SEARCH RETURN (SAVE) FLAGGED").untagged == []
    assert numbers(alice.ok("FETCH $ (UID)")) == [2, 4, 6, 8, 10]
    assert numbers(alice.ok("UID FETCH $ (UID)")) == [2, 4, 6, 8, 10]
    assert alice.ok("SEARCH $ SUBJECT 4").untagged == [b"* SEARCH 4"]
    assert alice.ok("UID SEARCH UID $ SUBJECT 4").untagged == [b"* SEARCH 5"]
    assert alice.ok("SEARCH NOT $").untagged == [b"* SEARCH 1 3 5 7 9"]
    assert alice.ok("SEARCH OR $ 1").untagged == [b"* SEARCH 1 2 4 6 8 10"]
    assert alice.ok("SEARCH ($ 1:4)").untagged == [b"* SEARCH 2 4"]
    assert alice.ok("SORT (REVERSE SUBJECT) UTF-8 $").untagged == [b"* SORT 8 6 4 2 10"]
    assert b"(2)" in alice.ok("THREAD REFERENCES UTF-8 $").untagged[0]
    alice.ok("CREATE Copies")
    assert "COPYUID" in alice.ok("COPY $ Copies").text
    assert numbers(alice.ok("STORE $ +FLAGS ($Kept)")) == [2, 4, 6, 8, 10]
    assert numbers(alice.ok(r"UID STORE $ +FLAGS (\Deleted)")) == [2, 4, 6, 8, 10]
    assert alice.ok("UID EXPUNGE $").find("* 2 EXPUNGE")
    assert alice.ok("FETCH $ (UID)").untagged == [], "gone is gone"
    assert alice.ok("STATUS Copies (MESSAGES)").untagged == [b"* STATUS Copies (MESSAGES 5)"]


def test_moved_by_the_saved_result(alice):
    alice.ok("CREATE Moved")
    alice.ok("SEARCH RETURN (SAVE) FLAGGED")
    assert b"COPYUID" in alice.ok("MOVE $ Moved").untagged[0]
    assert alice.ok("SEARCH ALL").untagged == [b"* SEARCH 1 2 3 4 5"]
    assert alice.ok("UID MOVE $ Moved").untagged == []


def test_what_is_saved_with_other_options(alice):
    """RFC 5182 section 2.4: MIN and MAX save themselves; with ALL or COUNT everything is."""
    for options, answer, saved in [
            ("SAVE MIN", "MIN 2", [2]), ("SAVE MAX", "MAX 10", [10]), ("MIN MAX SAVE", "MIN 2 MAX 10", [2, 10]),
            ("SAVE MIN COUNT", "COUNT 5 MIN 2", [2, 4, 6, 8, 10]), ("SAVE ALL MIN", "MIN 2 ALL 2,4,6,8,10", [2, 4, 6, 8, 10]),
            ("SAVE PARTIAL 2:3", "PARTIAL (2:3 4,6)", [4, 6]), ("SAVE MIN PARTIAL -1:-2", "MIN 2 PARTIAL (-1:-2 8,10)", [2, 8, 10]),
            ("SAVE COUNT PARTIAL 2:3", "COUNT 5 PARTIAL (2:3 4,6)", [2, 4, 6, 8, 10])]:
        assert esearch(alice.ok(f"SEARCH RETURN ({options}) FLAGGED")) == answer
        assert numbers(alice.ok("FETCH $ (UID)")) == saved, options
    assert esearch(alice.ok("SORT RETURN (SAVE MIN) (REVERSE SUBJECT) UTF-8 FLAGGED")) == "MIN 8"
    assert numbers(alice.ok("FETCH $ (UID)")) == [8]


def test_empty_result_is_valid(alice):
    assert alice.ok("FETCH $ (UID)").untagged == [], "at the beginning"
    alice.ok("SEARCH RETURN (SAVE) FLAGGED")
    assert alice.ok("SEARCH RETURN (SAVE) SUBJECT nowhere").untagged == []
    assert alice.ok("FETCH $ (UID)").untagged == []
    assert alice.ok("STORE $ +FLAGS (\\Seen)").untagged == []
    assert alice.ok("COPY $ INBOX").untagged == []
    assert alice.ok("SEARCH $").untagged == [b"* SEARCH"]


def test_only_a_search_that_fails_empties_it(alice):
    alice.ok("SEARCH RETURN (SAVE) FLAGGED")
    assert alice.cmd("SEARCH RETURN (SAVE) NONSENSE").status == "BAD"
    assert alice.cmd("SEARCH RETURN (SAVE FOO) ALL").status == "BAD"
    alice.ok("SEARCH RETURN () SUBJECT odd")
    assert numbers(alice.ok("FETCH $ (UID)")) == [2, 4, 6, 8, 10]
    alice.ok("SELECT INBOX")
    assert alice.ok("FETCH $ (UID)").untagged == [], "another SELECT"


def test_others_expunge_and_deliver(server, alice):
    """The saved ones keep meaning the same messages, whatever their numbers are."""
    alice.ok("SEARCH RETURN (SAVE) FLAGGED")
    with server.imap("alice") as other:
        other.ok("SELECT INBOX")
        other.ok(r"STORE 1,4 +FLAGS (\Deleted)")
        other.ok("EXPUNGE")
        other.append("INBOX", message(11))
    alice.ok("NOOP")
    response = alice.ok("FETCH $ (UID)")
    assert [re.search(rb"UID (\d+)", line).group(1) for line in response.untagged] == [b"3", b"7", b"9", b"11"]


def test_dollar_is_no_sequence_elsewhere(alice):
    for command in ("FETCH $,1 (UID)", "FETCH 1:$ (UID)", "SEARCH $,1", "SEARCH UID $,1", "FETCH $$ (UID)"):
        assert alice.cmd(command).status == "BAD", command


def test_saved_result_and_vanished(alice):
    alice.ok("ENABLE QRESYNC")
    alice.ok("SEARCH RETURN (SAVE) 1:3")
    alice.ok(r"STORE 2,5 +FLAGS (\Deleted)")
    modseq = re.search(rb"MODSEQ (\d+)", alice.ok("SEARCH RETURN (MAX) MODSEQ 1").untagged[0]).group(1).decode()
    alice.ok("EXPUNGE")
    assert alice.ok(f"UID FETCH $ (FLAGS) (CHANGEDSINCE {modseq} VANISHED)").untagged == [b"* VANISHED (EARLIER) 3"]


# -- PARTIAL --

def test_partial_search(alice):
    for args, answer in [
            ("PARTIAL 1:3", "PARTIAL (1:3 1:3)"), ("PARTIAL 3:1", "PARTIAL (3:1 1:3)"), ("PARTIAL 9:20", "PARTIAL (9:20 9:10)"),
            ("PARTIAL -1:-3", "PARTIAL (-1:-3 8:10)"), ("PARTIAL -9:-20", "PARTIAL (-9:-20 1:2)"),
            ("PARTIAL 11:20", "PARTIAL (11:20 NIL)"), ("PARTIAL -11:-20", "PARTIAL (-11:-20 NIL)"),
            ("COUNT PARTIAL 2:2", "COUNT 10 PARTIAL (2:2 2)"), ("MIN MAX PARTIAL 2:2", "MIN 1 MAX 10 PARTIAL (2:2 2)")]:
        assert esearch(alice.ok(f"SEARCH RETURN ({args}) ALL")) == answer
    assert esearch(alice.ok("UID SEARCH RETURN (PARTIAL 1:2) FLAGGED")) == "UID PARTIAL (1:2 3,5)"
    assert esearch(alice.ok("UID SEARCH RETURN (PARTIAL 1:2) SUBJECT nowhere")) == "UID PARTIAL (1:2 NIL)"
    assert esearch(alice.ok("SORT RETURN (PARTIAL 1:3) (REVERSE SUBJECT) UTF-8 FLAGGED")) == "PARTIAL (1:3 8,6,4)"


def test_partial_search_tells_the_modseq_of_what_it_tells(alice):
    alice.ok(r"STORE 10 +FLAGS ($Last)")
    first = esearch(alice.ok("SEARCH RETURN (PARTIAL 1:1) MODSEQ 1"))
    modseq = re.search(rb"MODSEQ \((\d+)\)", alice.ok("FETCH 1 (MODSEQ)").untagged[-1]).group(1).decode()
    assert first == f"PARTIAL (1:1 1) MODSEQ {modseq}"


@pytest.mark.parametrize("options", ["PARTIAL", "PARTIAL 1", "PARTIAL 0:1", "PARTIAL 1:-1", "PARTIAL -1:1", "PARTIAL 1:3 ALL",
                                     "ALL PARTIAL 1:3", "PARTIAL x:y", "PARTIAL 1:", "PARTIAL --1:-2", "PARTIAL *:1"])
def test_partial_search_errors(alice, options):
    assert alice.cmd(f"SEARCH RETURN ({options}) ALL").status == "BAD"
    assert alice.ok("NOOP").status == "OK"


def test_partial_fetch(alice):
    for args, want in [("1:3", [1, 2, 3]), ("3:1", [1, 2, 3]), ("9:50", [9, 10]), ("-1:-2", [9, 10]), ("-9:-50", [1, 2]),
                       ("11:12", []), ("-11:-12", [])]:
        assert numbers(alice.ok(f"UID FETCH 1:* (FLAGS) (PARTIAL {args})")) == want, args
    assert numbers(alice.ok("UID FETCH 3:7 (FLAGS) (PARTIAL -1:-2)")) == [5, 6]
    alice.ok("SEARCH RETURN (SAVE) FLAGGED")
    assert numbers(alice.ok("UID FETCH $ (FLAGS) (PARTIAL 1:2)")) == [2, 4]


def test_partial_fetch_counts_what_has_changed(alice):
    modseq = re.search(rb"HIGHESTMODSEQ (\d+)", alice.ok("STATUS INBOX (HIGHESTMODSEQ)").untagged[0]).group(1).decode()
    alice.ok(r"STORE 3,5,7 +FLAGS ($New)")
    assert numbers(alice.ok(f"UID FETCH 1:* (UID) (PARTIAL -1:-2 CHANGEDSINCE {modseq})")) == [5, 7]
    assert numbers(alice.ok(f"UID FETCH 1:* (UID) (CHANGEDSINCE {modseq} PARTIAL 1:1)")) == [3]


def test_partial_fetch_errors(alice):
    for command in ("FETCH 1:* (FLAGS) (PARTIAL 1:3)", "UID FETCH 1:* (FLAGS) (PARTIAL)", "UID FETCH 1:* (FLAGS) (PARTIAL 0:3)",
                    "UID FETCH 1:* (FLAGS) (PARTIAL 1:-3)", "UID FETCH 1:* (FLAGS) (PARTIAL 1)"):
        assert alice.cmd(command).status == "BAD", command


# -- QUOTA=RES-*, QUOTASET (RFC 9208), APPENDLIMIT (RFC 7889) --

def test_status_of_deleted_messages(alice):
    assert alice.ok("STATUS INBOX (DELETED DELETED-STORAGE)").untagged == [b"* STATUS INBOX (DELETED 0 DELETED-STORAGE 0)"]
    sizes = [int(re.search(rb"RFC822.SIZE (\d+)", line).group(1)) for line in alice.ok("FETCH 2,5,10 (RFC822.SIZE)").untagged]
    alice.ok(r"STORE 2,5,10 +FLAGS (\Deleted)")
    want = f"* STATUS INBOX (DELETED 3 DELETED-STORAGE {sum(sizes)})".encode()
    assert alice.ok("STATUS INBOX (DELETED DELETED-STORAGE)").untagged == [want]
    alice.ok("EXPUNGE")
    alice.ok(r"STORE 1 +FLAGS (\Deleted)")
    assert b"DELETED 1 " in alice.ok("STATUS INBOX (DELETED DELETED-STORAGE)").untagged[0]


def test_status_appendlimit_is_what_is_announced(alice):
    [limit] = [w[12:] for w in alice.ok("CAPABILITY").untagged[0].split() if w.startswith(b"APPENDLIMIT=")]
    assert alice.ok("STATUS INBOX (APPENDLIMIT)").untagged == [b"* STATUS INBOX (APPENDLIMIT " + limit + b")"]
    assert alice.ok('LIST "" INBOX RETURN (STATUS (APPENDLIMIT DELETED))').untagged[1] == (
        b"* STATUS INBOX (DELETED 0 APPENDLIMIT " + limit + b")")


def test_quota_that_is_set_is_told(server, alice):
    with server.imap("admin") as admin:
        assert admin.ok("SETQUOTA user/alice (STORAGE 500 MESSAGE 10)").untagged == [
            b"* QUOTA user/alice (STORAGE 1 500 MESSAGE 10 10)"]
        assert admin.ok("SETQUOTA user/bob ()").untagged == [b"* QUOTA user/bob ()"]
        assert admin.no("SETQUOTA user/bob (X-RAW-STORAGE 5)").untagged == []


def test_over_quota_has_its_code(server, alice):
    alice.ok("CREATE Copies")
    with server.imap("admin") as admin:
        admin.ok("SETQUOTA user/alice (MESSAGE 10 X-NUM-FOLDERS 2)")
        admin.ok("CREATE user/bob/Shared")
        admin.ok("SETACL user/bob/Shared alice lrswite")
        admin.ok("SETQUOTA user/bob/Shared (MESSAGE 1)")
    literal = Literal(message(12))
    for command in (["APPEND INBOX ", literal], "COPY 1:2 \"Other Users/bob/Shared\"", "MOVE 1:2 \"Other Users/bob/Shared\"",
                    "CREATE Third"):
        assert alice.no(command).text == "[OVERQUOTA] Over quota", command
    assert alice.ok("SEARCH ALL").untagged == [b"* SEARCH 1 2 3 4 5 6 7 8 9 10"]


# -- REPLACE (RFC 8508) --

def test_replace_a_draft(server, alice):
    with server.imap("alice") as other:
        other.ok("SELECT INBOX")
        response = alice.ok(["REPLACE 4 INBOX (\\Seen \\Draft) ", Literal(message(99, "new"))])
        assert re.fullmatch(rb"\* OK \[APPENDUID \d+ 12\] Replacement message ready", response.untagged[0])
        assert response.untagged[1:] == [b"* 4 EXPUNGE", b"* 10 EXISTS", b"* 10 RECENT"]
        assert response.text == "Completed"
        assert alice.ok("SEARCH DRAFT SUBJECT new").untagged == [b"* SEARCH 10"]
        assert alice.ok("UID SEARCH UID 5").untagged == [b"* SEARCH"]
        told = other.ok("NOOP").untagged
        assert told[0] == b"* 4 EXPUNGE" and b"* 10 EXISTS" in told


def test_replace_into_another_mailbox(alice):
    alice.ok("CREATE Sent")
    response = alice.ok(["UID REPLACE 5 Sent ", Literal(message(99, "sent"))])
    assert b"APPENDUID" in response.untagged[0] and response.untagged[1:] == [b"* 4 EXPUNGE"]
    assert alice.ok("STATUS Sent (MESSAGES UNSEEN)").untagged == [b"* STATUS Sent (MESSAGES 1 UNSEEN 1)"]
    assert b"* 9 EXISTS" in alice.ok("SELECT INBOX").untagged
    alice.ok("ENABLE QRESYNC")
    assert b"* VANISHED 11" in alice.ok(["REPLACE * Sent ", Literal(message(98))]).untagged


def test_replace_at_the_limit(server, alice):
    """The quota is full: a replacement of the same size fits, a greater one doesn't, and the old message stays."""
    with server.imap("admin") as admin:
        admin.ok("SETQUOTA user/alice (MESSAGE 10 STORAGE 3)")
    assert alice.no(["APPEND INBOX ", Literal(message(0))]).text == "[OVERQUOTA] Over quota"
    alice.ok(["REPLACE 1 INBOX ", Literal(message(1))])
    assert alice.no(["REPLACE 1 INBOX ", Literal(message(1, size=5000))]).text == "[OVERQUOTA] Over quota"
    assert b"* 10 EXISTS" in alice.ok("SELECT INBOX").untagged
    assert alice.ok("UID SEARCH ALL").untagged == [b"* SEARCH 3 4 5 6 7 8 9 10 11 12"]


@pytest.mark.parametrize("command, text", [
    ("REPLACE 11 INBOX ", "No matching messages"), ("UID REPLACE 2000 INBOX ", "No matching messages"),
    ("REPLACE 1 Nowhere ", "[TRYCREATE] Mailbox does not exist"), ("REPLACE 1 \"Other Users/bob\" ", "Mailbox does not exist")])
def test_replace_is_refused_before_the_message(alice, command, text):
    assert alice.no([command, Literal(message(0))]).text == text
    assert alice.ok("SEARCH ALL").untagged == [b"* SEARCH 1 2 3 4 5 6 7 8 9 10"]


@pytest.mark.parametrize("command", ["REPLACE 1:2 INBOX {1+}\r\nx", "REPLACE 0 INBOX {1+}\r\nx", "REPLACE $ INBOX {1+}\r\nx", "REPLACE 1",
                                     "REPLACE 1 INBOX", "REPLACE 1 INBOX {1+}\r\nx {1+}\r\nx", "REPLACE x INBOX {1+}\r\nx"])
def test_replace_syntax(alice, command):
    assert alice.cmd(command).status == "BAD"
    assert alice.ok("SEARCH ALL").untagged == [b"* SEARCH 1 2 3 4 5 6 7 8 9 10"]


def test_replace_needs_rights(server, alice):
    with server.imap("bob") as bob:
        bob.append("INBOX", message(1))
        bob.ok("SETACL INBOX alice lrswip")
    alice.ok('SELECT "Other Users/bob"')
    assert alice.no(['REPLACE 1 "Other Users/bob" ', Literal(message(2))]).text == "Permission denied"
    alice.ok('EXAMINE INBOX')
    assert alice.no(['REPLACE 1 INBOX ', Literal(message(2))]).text == "Permission denied"


def test_replace_of_what_has_gone(server, alice):
    with server.imap("alice") as other:
        other.ok("SELECT INBOX")
        other.ok(r"STORE 4 +FLAGS (\Deleted)")
        other.ok("EXPUNGE")
    response = alice.no(["REPLACE 4 INBOX ", Literal(message(99))])
    assert response.text == "No matching messages"
    assert alice.ok("NOOP") and alice.ok("SEARCH ALL").untagged == [b"* SEARCH 1 2 3 4 5 6 7 8 9"], "nothing was added"


# -- UIDONLY (RFC 9586) --

@pytest.fixture
def uidonly(alice):
    assert alice.ok("ENABLE UIDONLY").untagged == [b"* ENABLED UIDONLY"]
    assert alice.ok("ENABLE UIDONLY").untagged == []
    return alice


def test_uidonly_answers(uidonly):
    c = uidonly
    select = c.ok("SELECT INBOX").untagged
    assert b"* 10 EXISTS" in select and not any(b"UNSEEN" in line for line in select)
    assert c.ok("UID FETCH 3 (FLAGS)").untagged == [rb"* 3 UIDFETCH (FLAGS (\Flagged))"]
    assert c.ok("UID FETCH 3 (UID)").untagged == [b"* 3 UIDFETCH (UID 3)"]
    [line] = c.ok(r"UID STORE 4 +FLAGS (\Seen)").untagged
    assert line == rb"* 4 UIDFETCH (FLAGS (\Seen))"
    [line] = c.ok("UID FETCH 5 (BODY[HEADER.FIELDS (SUBJECT)])").untagged
    assert line.startswith(b"* 5 UIDFETCH (") and b"Subject: even 4" in line and rb"\Seen" in line
    assert c.ok("UID SEARCH FLAGGED").untagged == [b"* SEARCH 3 5 7 9 11"]
    assert esearch(c.ok("UID SEARCH RETURN (SAVE COUNT) UID 3:6")) == "UID COUNT 4"
    assert c.ok("UID SEARCH $").untagged == [b"* SEARCH 3 4 5 6"]
    c.ok(r"UID STORE 6:7 +FLAGS.SILENT (\Deleted)")
    assert c.ok("EXPUNGE").untagged == [b"* VANISHED 6:7"]


def test_uidonly_and_others(server, uidonly):
    with server.imap("alice") as other:
        other.ok("SELECT INBOX")
        tag = uidonly.start("IDLE")
        assert uidonly.readline() == b"+ idling"
        other.ok(r"STORE 1 +FLAGS ($New)")
        assert uidonly.readline().startswith(b"* FLAGS ")
        assert uidonly.readline().startswith(b"* OK [PERMANENTFLAGS")
        assert uidonly.readline().startswith(b"* 2 UIDFETCH (FLAGS (")
        other.ok(r"STORE 1 +FLAGS (\Deleted)")
        assert uidonly.readline().startswith(b"* 2 UIDFETCH (FLAGS")
        other.ok("EXPUNGE")
        assert uidonly.readline() == b"* VANISHED 2"
        uidonly.sendline("DONE")
        assert uidonly.finish(tag).status == "OK"


def test_uidonly_resync(uidonly):
    uidonly.ok("ENABLE QRESYNC")
    select = uidonly.ok("SELECT INBOX")
    validity = re.search(rb"UIDVALIDITY (\d+)", b" ".join(select.untagged)).group(1).decode()
    modseq = int(re.search(rb"HIGHESTMODSEQ (\d+)", b" ".join(select.untagged)).group(1))
    uidonly.ok(r"UID STORE 4 +FLAGS.SILENT (\Seen)")
    uidonly.ok(r"UID STORE 5 +FLAGS.SILENT (\Deleted)")
    uidonly.ok("EXPUNGE")
    told = uidonly.ok(f"SELECT INBOX (QRESYNC ({validity} {modseq}))").untagged
    assert b"* VANISHED (EARLIER) 5" in told
    assert any(re.fullmatch(rb"\* 4 UIDFETCH \(FLAGS \(\\Seen\) MODSEQ \(\d+\)\)", line) for line in told)
    answer = uidonly.cmd(f"SELECT INBOX (QRESYNC ({validity} {modseq} 1:9 (1:2 1:2)))")
    assert answer.status == "BAD" and answer.text.startswith("[UIDREQUIRED]")


@pytest.mark.parametrize("command", ["FETCH 1 (FLAGS)", r"STORE 1 +FLAGS (\Seen)", "COPY 1 INBOX", "MOVE 1 INBOX", "SEARCH ALL",
                                     "SORT (ARRIVAL) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "UID SEARCH 1:3", "UID SEARCH NOT (OR 1 UID 3)",
                                     "UID SORT (ARRIVAL) UTF-8 1:*", "REPLACE 1 INBOX {1+}\r\nx", "XMOVE 1 INBOX"])
def test_uidonly_refuses_numbers(uidonly, command):
    answer = uidonly.cmd(command)
    assert answer.status == "BAD" and answer.text.startswith("[UIDREQUIRED]"), answer
    assert uidonly.ok("UID SEARCH ALL").untagged == [b"* SEARCH 2 3 4 5 6 7 8 9 10 11"]


# -- INPROGRESS (RFC 9585) --

def test_progress_of_a_long_search(factory):
    server = factory(services=("imap",))
    server.conf["imap_progress_interval"] = "0.000001"
    server.start()
    with server.imap("admin") as admin:
        admin.ok("CREATE user/alice")
    with server.imap("alice") as client:
        client.ok("SELECT INBOX")
        client.ok(["APPEND INBOX"] + [part for n in range(600) for part in (" ", Literal(message(n)))])
        client.ok("NOOP")
        for command in ("SEARCH BODY nothing", "UID SORT (SUBJECT) UTF-8 BODY nothing", "THREAD REFS UTF-8 BODY nothing"):
            tag = client.start(command)
            response = client.finish(tag)
            told = [tuple(map(int, m)) for m in re.findall(rb'\* OK \[INPROGRESS \("%s" (\d+) (\d+)\)\]' % tag.encode(),
                                                           b"\n".join(response.untagged))]
            assert told == [(256, 600), (512, 600)], command
            assert response.untagged[-1].startswith((b"* SEARCH", b"* SORT", b"* THREAD"))
        assert client.ok("SEARCH 1:3").untagged == [b"* SEARCH 1 2 3"], "nothing to tell of"


def test_a_short_search_tells_no_progress(alice):
    assert alice.ok("SEARCH BODY body").find("* OK") == []


def test_status_size(alice):
    sizes = [int(re.search(rb"RFC822.SIZE (\d+)", line).group(1)) for line in alice.ok("FETCH 1:* (RFC822.SIZE)").untagged]
    assert alice.ok("STATUS INBOX (SIZE)").untagged == [f"* STATUS INBOX (SIZE {sum(sizes)})".encode()]
    alice.ok(r"STORE 1 +FLAGS (\Deleted)")
    alice.ok("EXPUNGE")
    assert alice.ok("STATUS INBOX (SIZE)").untagged == [f"* STATUS INBOX (SIZE {sum(sizes[1:])})".encode()]

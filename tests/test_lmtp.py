# SPDX-License-Identifier: BSD-3-Clause
"""lmtpd: the conversation, who gets mail, what is stored, and that 250 means durable."""

import os
import re

import pytest

MESSAGE = (b"From: Alice <alice@example.com>\r\nSubject: lmtp 1\r\nMessage-ID: <lm1@example.com>\r\n"
           b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\nbody\r\n.dot\r\n")


def message(n, body=b"body\r\n"):
    return (b"From: a@example.com\r\nSubject: number %d\r\nMessage-ID: <m%d@example.com>\r\n"
            b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\n" % (n, n)) + body


def texts(reply):
    code, lines = reply
    return f"{code} " + (lines if isinstance(lines, str) else " ".join(map(str, lines)))


@pytest.fixture
def lmtp_server(factory):
    server = factory(services=("imap", "lmtp", "lmtpunix"))
    server.start()
    server.create_user("alice", "Work", "Two Words", "Closed")
    server.create_user("bob")
    with server.imap("admin") as imap:
        imap.ok('SETACL "user/alice/Work" anyone p')
        imap.ok('SETACL "user/alice/Two Words" anyone p')
        imap.ok("CREATE shared")
        imap.ok("SETACL shared anyone lrp")
        imap.ok("CREATE hidden")
        imap.ok("DELETEACL hidden anyone")
    return server


def uids(server, user, mailbox="INBOX"):
    with server.imap(user) as imap:
        imap.ok(f'EXAMINE "{mailbox}"')
        found = imap.ok("UID SEARCH ALL").find("* SEARCH")
        return [int(n) for n in found[0].split()[2:]]


def fetch(server, user, uid, mailbox="INBOX"):
    with server.imap(user) as imap:
        imap.ok(f'EXAMINE "{mailbox}"')
        line = imap.ok(f"UID FETCH {uid} BODY.PEEK[]").find("*")[-1]
        head, _, rest = line.partition(b"}\r\n")
        return rest[:int(head.rpartition(b"{")[2])]


# Command and start of the answer, from sessions with 3.6.1.
CONVERSATION = [
    ("NOOP", "250 2.0.0 ok"),
    ("FOO", "500 5.5.2 Syntax error"),
    ("EHLO x", "500 5.5.2 Syntax error"),
    ("VRFY x", "252 2.3.3 try RCPT to attempt delivery"),
    ("RCPT TO:<bob>", "503 5.5.1 Need MAIL command"),
    ("DATA", "503 5.5.1 No recipients"),
    ("MAIL FROM:<alice@example.com>", "250 2.1.0 ok"),
    ("MAIL FROM:<x@y>", "503 5.5.1 Nested MAIL command"),
    ("RSET", "250 2.0.0 Ok SESSIONID=<"),
    ("MAIL FROM:<alice@example.com> SIZE=100 BODY=8BITMIME", "250 2.1.0 ok"),
    ("RSET", "250 2.0.0 Ok"),
    ("MAIL FROM:<alice@example.com> FOO=1", "501 5.5.4 Unrecognized parameters"),
    ("MAIL FROM:<alice@example.com> BODY=x", "501 5.5.4 Unrecognized BODY type"),
    ("MAIL FROM:<alice@example.com> SIZE=x", "501 5.5.2 SIZE requires a value"),
    ("MAIL FROM:alice@example.com", "501 5.5.4 Syntax error in parameters"),
    ("MAIL FROM:<>", "250 2.1.0 ok"),
    ("DATA", "503 5.5.1 No recipients"),
    ("RCPT TO:<alice>", "250 2.1.5 ok"),
    ("RCPT TO:<AliCe>", "250 2.1.5 ok"),
    ("RCPT TO:<alice+Work>", "250 2.1.5 ok"),
    ("RCPT TO:<alice+nosuch>", "250 2.1.5 ok"),
    ("RCPT TO:<nosuch>", "550 "),
    ("RCPT TO:<+shared>", "250 2.1.5 ok"),
    ("RCPT TO:<+hidden>", "550 "),
    ("RCPT TO:<+nosuch>", "550 "),
    ('RCPT TO:<"alice">', "550 "),
    ("RCPT TO:<bob> IGNOREQUOTA", "250 2.1.5 ok"),
    ("RCPT TO:<bob> FOO", "501 5.5.4 Unrecognized parameters"),
    ("RCPT TO:bob", "501 5.5.4 Syntax error in parameters"),
    ("RCPT TO:<>", "550 "),
    ("RCPT TO:<@a,@b:alice@example.com>", "250 2.1.5 ok"),
    ("RSET", "250 2.0.0 Ok"),
    ("QUIT", "221 2.0.0 bye"),
]


def test_conversation(lmtp_server):
    with lmtp_server.lmtp() as lmtp:
        assert b"LMTP" in str(lmtp.greeting).encode() and lmtp.greeting[0] == 220
        for command, answer in CONVERSATION:
            code, text = lmtp.cmd(command)
            got = f"{code} {text if isinstance(text, str) else text}"
            want = answer[:3]
            assert str(code) == want, (command, code, text)
            if len(answer) > 4:
                assert answer[4:] in str(text), (command, got)


def test_stored_form(lmtp_server):
    replies = lmtp_server.deliver(MESSAGE, "alice")
    assert "2.1.5 Success SESSIONID=<" in str(replies[0][1])
    stored = fetch(lmtp_server, "alice", uids(lmtp_server, "alice")[0])
    assert stored.endswith(MESSAGE)
    assert re.match(
        rb"Return-Path: <sender@example.com>\r\n"
        rb"Received: from client\.test \(localhost \[127\.0\.0\.1\]\)\r\n"
        rb"\t by \S+ \(Cyrus \S+\) with LMTPA;\r\n\t [^\r]*\r\n"
        rb"X-Cyrus-Session-Id: [-\w]+\r\nFrom: ", stored)


def test_where_it_goes(lmtp_server):
    lmtp_server.deliver(message(1), "alice+Work", "alice+Two Words".replace(" ", "\\ "))
    lmtp_server.deliver(message(2), "alice+nosuch")
    lmtp_server.deliver(message(3), "alice+Closed")
    lmtp_server.deliver(message(4), "+shared")
    assert len(uids(lmtp_server, "alice", "Work")) == 1
    assert len(uids(lmtp_server, "alice", "Closed")) == 0
    assert len(uids(lmtp_server, "alice")) >= 2
    with lmtp_server.imap("admin") as imap:
        assert imap.ok("STATUS shared (MESSAGES)").find("* STATUS")[0].endswith(b"(MESSAGES 1)")


def test_duplicates_are_stored_once(lmtp_server):
    for _ in range(2):
        lmtp_server.deliver(MESSAGE, "alice", "alice", "bob")
    assert len(uids(lmtp_server, "alice")) == 1
    assert len(uids(lmtp_server, "bob")) == 1


def test_messages_without_message_id_are_never_duplicates(lmtp_server):
    """Sessions of one process within a second must not make the same Message-ID."""
    for _ in range(5):
        lmtp_server.deliver(b"Subject: nobody named me\r\n\r\nbody\r\n", "alice")
    assert len(uids(lmtp_server, "alice")) == 5


def spool_files(server):
    found = []
    for top, _, names in os.walk(server.path("spool")):
        found += [os.path.join(top, name) for name in names if re.fullmatch(r"\d+\.", name)]
    return found


def test_one_file_for_all_recipients(lmtp_server):
    lmtp_server.deliver(message(7, b"x" * 200000 + b"\r\n"), "alice", "bob", "alice+Work")
    files = spool_files(lmtp_server)
    assert len(files) == 3
    assert len({os.stat(f).st_ino for f in files}) == 1


def test_one_bad_recipient_leaves_the_others(lmtp_server):
    with lmtp_server.lmtp() as lmtp:
        replies = lmtp.deliver(message(8), ["alice", "nosuch", "bob"])
    assert [code for code, _ in replies] == [250, 550, 250]


def test_quota(lmtp_server):
    with lmtp_server.imap("admin") as imap:
        imap.ok("SETQUOTA user/bob (STORAGE 1)")
    big = message(9, b"x" * 72 + b"\r\n")[:-2] + b"\r\n" + (b"x" * 70 + b"\r\n") * 40
    lmtp_server.deliver(big, "bob")
    with lmtp_server.lmtp() as lmtp:
        assert lmtp.cmd("MAIL FROM:<>")[0] == 250
        code, text = lmtp.cmd("RCPT TO:<bob>")
        assert code == 452 and "4.2.2 Over quota SESSIONID=<" in str(text)
        assert lmtp.cmd("RCPT TO:<bob> IGNOREQUOTA")[0] == 250
        assert lmtp.cmd("DATA")[0] == 354
        lmtp.send(message(10) + b".\r\n")
        assert lmtp.reply()[0] == 250
    assert len(uids(lmtp_server, "bob")) == 2


@pytest.mark.parametrize("text", [
    b"Subject: nul\r\n\r\na\0b\r\n",
    b": bad\r\n\r\nx\r\n",
    b"Message-ID: \r\n\r\nx\r\n",
])
def test_bad_messages_are_refused(lmtp_server, text):
    with lmtp_server.lmtp() as lmtp:
        replies = lmtp.deliver(text, ["alice", "bob"])
        assert all(code == 554 and "5.6.0" in str(reply) for code, reply in replies)
        assert lmtp.cmd("NOOP")[0] == 250
        assert [code for code, _ in lmtp.deliver(message(11), ["alice"])] == [250]
    assert len(uids(lmtp_server, "alice")) == 1


def test_message_too_large(factory):
    server = factory(services=("imap", "lmtp"))
    server.conf["maxmessagesize"] = 500
    server.start()
    server.create_user("alice")
    server.create_user("bob")
    with server.lmtp() as lmtp:
        assert "SIZE 500" in str(lmtp.extensions)
        code, text = lmtp.cmd("MAIL FROM:<> SIZE=600")
        assert (code, "exceeds fixed maximum message size (500)" in str(text)) == (552, True)
        replies = lmtp.deliver(message(1, b"z" * 600 + b"\r\n"), ["alice", "bob"])
        assert [code for code, _ in replies] == [552, 552]
        assert lmtp.cmd("MAIL FROM:<>")[0] == 250
        assert lmtp.cmd("RSET")[0] == 250
        envelope(lmtp, "alice", "bob")
        lmtp.send(b"BDAT 714\r\nSubject: z\r\n\r\n" + b"z" * 700)
        assert lmtp.reply()[0] == 552
        lmtp.send(b"BDAT 1 LAST\r\nz")
        assert [lmtp.reply()[0] for _ in range(2)] == [552, 552]
    assert uids(server, "alice") == []


def test_login_is_needed_without_a(factory):
    server = factory(services=("imap",))
    server.add_service("lmtp", cmd="lmtpd")
    server.start()
    server.create_user("alice")
    with server.lmtp() as lmtp:
        assert "AUTH PLAIN" in str(lmtp.extensions)
        assert lmtp.cmd("MAIL FROM:<>")[0] == 430
        assert lmtp.cmd("AUTH FOO")[0] == 504
        assert lmtp.cmd("AUTH PLAIN AHBvc3RtYW4AYmFk")[0] == 501
        assert lmtp.cmd("RCPT TO:<alice>")[0] == 503


def test_starttls_forgets_what_was_sent_ahead(factory):
    server = factory(services=("imap",))
    server.add_service("lmtp", cmd="lmtpd")
    server.use_tls()
    server.start()
    with server.lmtp() as lmtp:
        assert "STARTTLS" in str(lmtp.extensions)
        lmtp.send(b"STARTTLS\r\nNOOP\r\n")
        assert lmtp.reply()[0] == 220
        lmtp.start_tls(server.cafile)
        assert lmtp.cmd("VRFY x")[0] == 252


def chunks(lmtp, data, *cuts):
    """Sends it in BDATs that end at cuts; the codes of all but the last are checked."""
    edges = [0, *cuts, len(data)]
    for begin, end in zip(edges, edges[1:]):
        last = " LAST" if end == len(data) and begin == edges[-2] else ""
        lmtp.send(b"BDAT %d%s\r\n" % (end - begin, last.encode()) + data[begin:end])
        if not last:
            assert lmtp.reply() == (250, [f"2.0.0 {end - begin} octets received"])


def envelope(lmtp, *users):
    for line in ("MAIL FROM:<sender@example.com>", *(f"RCPT TO:<{user}>" for user in users)):
        assert lmtp.cmd(line)[0] == 250


def test_chunks(lmtp_server):
    """RFC 3030: wherever they are cut, and no dot means anything."""
    text = message(1, b".\r\n..\r\n.dot\r\nbare \r cr\nlf\r\n.\r\nQUIT\r\n")
    want = text.replace(b"bare \r cr\n", b"bare  cr\r\n")
    with lmtp_server.lmtp() as lmtp:
        assert "CHUNKING" in str(lmtp.extensions)
        for n, cuts in enumerate(((), (0,), (1,), (len(text),), range(1, len(text)), (10, 10, 20))):
            envelope(lmtp, "alice", "bob")
            once = text.replace(b"Message-ID: <", b"Message-ID: <chunks%d." % n)
            assert once != text
            chunks(lmtp, once, *[cut for cut in cuts])
            assert [lmtp.reply()[0] for _ in range(2)] == [250, 250]
            assert fetch(lmtp_server, "alice", n + 1).endswith(want.partition(b"Message-ID: <")[2])
        assert uids(lmtp_server, "bob") == [1, 2, 3, 4, 5, 6]


def test_chunks_in_their_place(lmtp_server):
    with lmtp_server.lmtp() as lmtp:
        lmtp.send(b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        assert [lmtp.reply()[0] for _ in range(2)] == [503, 250], "what is refused is no command"
        envelope(lmtp, "alice")
        lmtp.send(b"BDAT 11\r\nSubject: a\n")
        assert lmtp.reply()[0] == 250
        for command in ("DATA", "RCPT TO:<bob>", "MAIL FROM:<>"):
            assert lmtp.cmd(command)[0] == 503
        assert lmtp.cmd("RSET")[0] == 250
        envelope(lmtp, "alice")
        assert lmtp.cmd("DATA")[0] == 354
        lmtp.send(message(2) + b".\r\n")
        assert lmtp.reply()[0] == 250
        envelope(lmtp, "alice", "bob")
        chunks(lmtp, b"Subject: nul\r\n\r\n\0\r\n")
        assert [lmtp.reply()[0] for _ in range(2)] == [554, 554]
        envelope(lmtp, "alice")
        lmtp.send(b"BDAT 3\r\na\0b")
        assert lmtp.reply()[0] == 554
        lmtp.send(b"BDAT 0 LAST\r\n")
        assert lmtp.reply()[0] == 554
        assert lmtp.cmd("BDAT")[0] == 500
        envelope(lmtp, "alice")
        lmtp.send(b"BDAT 4 LAST\r\nab")
    assert uids(lmtp_server, "alice") == [1] and uids(lmtp_server, "bob") == []
    for bad in ("x", "-1", "1 2", "99999999999999999999999 LAST", "3 LASTING"):
        with lmtp_server.lmtp() as lmtp:
            assert lmtp.cmd(f"BDAT {bad}")[0] == 501
            assert lmtp.at_eof(), "how much follows is not known"


def test_many_recipients(lmtp_server):
    with lmtp_server.lmtp() as lmtp:
        assert lmtp.cmd("MAIL FROM:<>")[0] == 250
        lmtp.send(b"RCPT TO:<alice>\r\n" * 1000)
        assert all(lmtp.reply()[0] == 250 for _ in range(1000))
        assert lmtp.cmd("DATA")[0] == 354
        lmtp.send(message(12) + b".\r\n")
        assert all(lmtp.reply()[0] == 250 for _ in range(1000))
    assert len(uids(lmtp_server, "alice")) == 1


def test_delivered_means_durable(lmtp_server):
    for n in range(20, 25):
        lmtp_server.deliver(message(n), "alice", "bob")
    lmtp_server.kill()
    lmtp_server.start()
    assert len(uids(lmtp_server, "alice")) == 5
    assert len(uids(lmtp_server, "bob")) == 5


def test_killed_during_data_stores_nothing(lmtp_server):
    with lmtp_server.lmtp() as lmtp:
        assert lmtp.cmd("MAIL FROM:<>")[0] == 250
        assert lmtp.cmd("RCPT TO:<alice>")[0] == 250
        assert lmtp.cmd("DATA")[0] == 354
        lmtp.send(message(30))
    assert uids(lmtp_server, "alice") == []


@pytest.mark.parametrize("commands", [(), ("MAIL FROM:<a@example.com>", "RCPT TO:<alice>"),
                                      ("MAIL FROM:<a@example.com>", "RCPT TO:<alice>", "DATA")])
def test_stop_does_not_wait_for_clients(factory, commands):
    """An MTA keeps its connection open; master stops at once, and what was not ended by a dot is not there."""
    server = factory(services=("imap", "lmtp"))
    server.start()
    server.create_user("alice")
    with server.lmtp() as lmtp:
        for command in commands:
            assert lmtp.cmd(command)[0] in (250, 354)
        if "DATA" in commands:
            lmtp.send("Subject: half\r\n\r\n")
        server.stop(timeout=10)
        assert lmtp.at_eof()
    server.start()
    assert uids(server, "alice") == []


def test_autocreate(factory):
    server = factory(services=("imap", "lmtp"))
    server.conf.update({"autocreate_post": True, "autocreate_quota": 0})
    server.start()
    server.deliver(message(1), "alice")
    assert len(uids(server, "alice")) == 1
    files = []
    for top, _, names in os.walk(server.path("conf", "user")):
        files += [os.path.join(top, n) for n in names if "conversations" in n]
    assert len(files) == 1 and "/uuid/" in files[0]

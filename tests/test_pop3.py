# SPDX-License-Identifier: BSD-3-Clause
"""pop3d: the conversation, what QUIT does, and bad input."""

import glob
import os
import poplib
import re

import pytest

from cyltest.pop3 import make, message, uids


@pytest.fixture
def pop_server(factory):
    return make(factory)


# Command and answer, or its start when it ends in "*"; from sessions with 3.6.1.
BEFORE = [
    ("NOOP", "-ERR Unrecognized command"),
    ("STAT", "-ERR Unrecognized command"),
    ("", "-ERR Unrecognized command"),
    (" CAPA", "-ERR Unrecognized command"),
    ("CAPA ", "-ERR Syntax error"),
    ("CAPA x", "-ERR Unexpected extra argument"),
    ("LANG", "-ERR Unrecognized command"),
    ("UTF8", "-ERR Unrecognized command"),
    ("STLS", "-ERR Unrecognized command"),
    ("LAST", "-ERR Unrecognized command"),
    ("PASS x", "-ERR [AUTH] Must give USER command"),
    ("USER", "-ERR Missing argument"),
    ("USER no/such", "-ERR [AUTH] Invalid user"),
    ("USER  alice", "+OK Name is a valid mailbox"),
    ("USER bob", "-ERR [AUTH] Must give PASS command"),
    ("PASS", "-ERR Missing argument"),
    ("PASS bad", "-ERR [AUTH] Invalid login"),
    ("PASS alice.pw", "-ERR [AUTH] Must give USER command"),
    ("AUTH FOO", "-ERR [AUTH] authenticating: no mechanism available"),
    ("AUTH PLAIN", "+ "),
    ("*", "-ERR [AUTH] Client canceled authentication"),
    ("AUTH PLAIN =", "-ERR [AUTH] authenticating: *"),
    ("APOP alice", "-ERR Missing argument"),
    ("APOP alice 0123456789abcdef0123456789abcdef", "-ERR [AUTH] authenticating: *"),
    ("user ALICE ", "+OK Name is a valid mailbox"),
    ("pass alice.pw", "+OK Mailbox locked and ready SESSIONID=<*"),
]
AFTER = [
    ("USER alice", "-ERR Unrecognized command"),
    ("PASS x", "-ERR Unrecognized command"),
    ("AUTH PLAIN", "-ERR Unrecognized command"),
    ("APOP x y", "-ERR Unrecognized command"),
    ("STLS", "-ERR Unrecognized command"),
    ("STAT x", "-ERR Unexpected extra argument"),
    ("STAT ", "-ERR Syntax error"),
    ("STAT", "+OK 3 *"),
    ("LIST 0", "-ERR No such message"),
    ("LIST 4", "-ERR No such message"),
    ("LIST -1", "-ERR Not a number"),
    ("LIST x", "-ERR Not a number"),
    ("LIST 4294967297", "-ERR Not a number"),
    ("LIST 99999999999999999999", "-ERR Not a number"),
    ("LIST 1 2", "-ERR Unexpected extra argument"),
    ("LIST 1x", "-ERR Unexpected extra argument"),
    ("LIST  1", "+OK 1 *"),
    ("UIDL 0", "-ERR No such message"),
    ("UIDL 2", "+OK 2 *.2"),
    ("TOP", "-ERR Missing argument"),
    ("TOP 1", "-ERR Missing argument"),
    ("TOP 1 x", "-ERR Invalid number of lines"),
    ("TOP 1 -1", "-ERR Invalid number of lines"),
    ("TOP 1 2 3", "-ERR Unexpected extra argument"),
    ("TOP 9 1", "-ERR No such message"),
    ("RETR", "-ERR Missing argument"),
    ("RETR x", "-ERR Not a number"),
    ("RETR 9", "-ERR No such message"),
    ("RETR 1 2", "-ERR Unexpected extra argument"),
    ("DELE", "-ERR Missing argument"),
    ("DELE 9", "-ERR No such message"),
    ("DELE 1", "+OK message deleted"),
    ("DELE 1", "-ERR No such message"),
    ("RETR 1", "-ERR No such message"),
    ("LIST 1", "-ERR No such message"),
    ("UIDL 1", "-ERR No such message"),
    ("TOP 1 1", "-ERR No such message"),
    ("STAT", "+OK 2 *"),
    ("RSET x", "-ERR Unexpected extra argument"),
    ("RSET", "+OK"),
    ("STAT", "+OK 3 *"),
    ("NOOP", "+OK"),
    ("LAST", "-ERR Unrecognized command"),
    ("XTND", "-ERR Unrecognized command"),
    ("QUIT x", "-ERR Unexpected extra argument"),
    ("quit", "+OK"),
]


def check_answers(pop, conversation):
    for command, want in conversation:
        got = pop.cmd(command).decode()
        regex = re.escape(want).replace(r"\*", ".*")
        assert re.fullmatch(regex, got), (command, got, want)


def test_conversation(pop_server):
    with pop_server.pop3() as pop:
        check_answers(pop, BEFORE)
        check_answers(pop, AFTER)
        assert pop.at_eof()
    assert uids(pop_server) == [1, 2, 3]


def test_greeting_and_capabilities(pop_server):
    with pop_server.pop3() as pop:
        assert re.fullmatch(rb"\+OK cyl\.test Cyrus POP3 \S+ server ready <[^<>@]+@cyl\.test>",
                            pop.greeting)
        common = [b"EXPIRE NEVER", b"LOGIN-DELAY 0", b"TOP", b"UIDL", b"PIPELINING",
                  b"RESP-CODES", b"AUTH-RESP-CODE"]
        capa = pop.multiline("CAPA")
        assert capa[:-1] == [b"SASL PLAIN LOGIN", *common, b"USER"]
        assert re.fullmatch(rb"IMPLEMENTATION Cyrus POP3 \S+", capa[-1])
        assert pop.multiline("AUTH") == [b"PLAIN", b"LOGIN"]
        pop.login("alice", "alice.pw")
        assert pop.multiline("CAPA")[:-1] == common


def test_capabilities_by_options(factory):
    server = make(factory, messages=0, serverinfo="min", popexpiretime="30", popminpoll="5",
                  allowapop=False)
    with server.pop3() as pop:
        assert pop.greeting == b"+OK cyl.test server ready "
        capa = pop.multiline("CAPA")
        assert b"EXPIRE 30" in capa and b"LOGIN-DELAY 300" in capa
        assert not any(line.startswith(b"IMPLEMENTATION") for line in capa)
        assert pop.cmd("APOP alice x") == b"-ERR Unrecognized command"


def test_a_day_with_poplib(pop_server):
    with pop_server.imap("alice") as imap:
        imap.append("INBOX", message(4, b"line1\r\n.dot\r\n..two\r\n.\r\nend\r\n"))
        imap.append("INBOX", message(5, b"no newline at the end"))
        imap.append("INBOX", b"Subject: only a header\r\n")
    pop = poplib.POP3("127.0.0.1", pop_server.ports["pop3"], timeout=30)
    pop.user("alice")
    pop.pass_("alice.pw")
    count, size = pop.stat()
    listing = [tuple(map(int, line.split())) for line in pop.list()[1]]
    assert [n for n, _ in listing] == [1, 2, 3, 4, 5, 6] and count == 6
    assert sum(octets for _, octets in listing) == size
    assert b"\r\n".join(pop.retr(1)[1]) + b"\r\n" == message(1)
    assert listing[0][1] == len(message(1))
    assert pop.retr(4)[1][-5:] == [b"line1", b".dot", b"..two", b".", b"end"]
    assert pop.retr(5)[1][-2:] == [b"", b"no newline at the end"]
    assert pop.retr(6)[1] == [b"Subject: only a header"]
    assert pop.top(4, 0)[1] == message(4, b"").split(b"\r\n")[:-1]
    assert pop.top(4, 2)[1][-2:] == [b"line1", b".dot"]
    assert len(pop.top(4, 4294967295)[1]) == len(pop.retr(4)[1])
    ids = [line.split()[1] for line in pop.uidl()[1]]
    assert len(set(ids)) == 6
    pop.dele(2)
    pop.dele(6)
    pop.quit()
    assert uids(pop_server) == [1, 3, 4, 5]
    pop_server.wait_log(r"counts: retr=<5> top=<3> dele=<2>")
    pop_server.wait_log(r"Expunged 2 messages from user\.alice")


def test_without_quit_nothing_is_deleted(pop_server):
    pop = pop_server.pop3("alice")
    pop.ok("DELE 1")
    mark = pop_server.log_mark()
    pop.close()
    pop_server.wait_log(r"counts: retr=<0> top=<0> dele=<1>", mark)
    assert uids(pop_server) == [1, 2, 3]


def test_killed_after_quit_deletions_stay(pop_server):
    with pop_server.pop3("alice") as pop:
        pop.ok("DELE 1")
        pop.ok("DELE 3")
        pop.ok("QUIT")
        pop_server.kill()
    pop_server.start()
    assert uids(pop_server) == [2]


def test_the_list_is_a_snapshot(pop_server):
    with pop_server.pop3("alice") as one, pop_server.pop3("alice") as two:
        with pop_server.imap("alice") as imap:
            imap.append("INBOX", message(9))
        one.ok("DELE 1")
        one.ok("DELE 2")
        one.ok("QUIT")
        assert two.cmd("STAT").split()[1] == b"3"
        assert b"\r\n".join(two.multiline("RETR 1")) + b"\r\n" == message(1)
        two.ok("DELE 1")
        two.ok("DELE 3")
        two.ok("QUIT")
    assert uids(pop_server) == [4]


@pytest.mark.parametrize("mode", ["immediate", "semidelayed", "delayed"])
def test_expunged_by_another_session(factory, mode):
    server = make(factory, expunge_mode=mode)
    with server.pop3("alice") as pop:
        with server.imap("alice") as imap:
            imap.ok("SELECT INBOX")
            imap.ok(r"STORE 2 +FLAGS (\Deleted)")
            imap.ok("EXPUNGE")
        if mode == "delayed":
            pop.multiline("RETR 2")
        else:
            assert pop.cmd("RETR 2") == b"-ERR [SYS/PERM] Could not read message file"
            assert pop.cmd("TOP 2 0") == b"-ERR [SYS/PERM] Could not read message file"
        assert b"\r\n".join(pop.multiline("RETR 3")) + b"\r\n" == message(3)
        pop.ok("DELE 2")
        pop.ok("DELE 3")
        pop.ok("QUIT")
    assert uids(server) == [1]


def test_mailbox_replaced_meanwhile(factory):
    server = make(factory, popsubfolders=True)
    with server.imap("alice") as imap:
        for n in (1, 2):
            imap.append("Work", message(n))
    with server.pop3() as pop:
        pop.login("alice+Work", "alice.pw")
        pop.ok("DELE 1")
        with server.imap("alice") as imap:
            imap.ok("DELETE Work")
            imap.ok("CREATE Work")
            imap.append("Work", message(7))
        assert pop.cmd("RETR 2") == b"-ERR [SYS/PERM] Could not read message file"
        assert pop.cmd("QUIT").startswith(b"-ERR [SYS/TEMP] ")
    assert uids(server, mailbox="Work") == [1]


def test_missing_message_file(pop_server):
    pop_server.allow_log("what=<can't read message file>")
    (path,) = glob.glob(pop_server.path("spool") + "/**/2.", recursive=True)
    os.unlink(path)
    with pop_server.pop3("alice") as pop:
        assert pop.cmd("RETR 2") == b"-ERR [SYS/PERM] Could not read message file"
        pop.multiline("RETR 3")
        pop.ok("QUIT")


# ---- bad input ----


def test_line_too_long(pop_server):
    with pop_server.pop3("alice") as pop:
        pop.send(b"NOOP " + b"x" * 8187 + b"\r\n")
        assert pop.readline() == b"-ERR Unexpected extra argument"
        pop.send(b"x" * 9000 + b"DELE 1\r\nQUIT\r\n")
        assert pop.readline() == b"-ERR [SYS/TEMP] line too long"
        assert pop.at_eof()
    assert uids(pop_server) == [1, 2, 3]


@pytest.mark.parametrize("rubbish", [
    b"\0\r\n", b"USER al\0ice\r\n", b"\xff\xfe\x80\r\n", b"\r\n", b"\n", b"\r\r\r\n", b"STAT\r\r\n",
    b"CAPA\0\r\n", b"%s%n%d\r\n", b"AUTH\x0b PLAIN\r\n"])
def test_rubbish(pop_server, rubbish):
    with pop_server.pop3() as pop:
        pop.send(rubbish)
        assert pop.readline() == b"-ERR Unrecognized command"
        pop.ok("CAPA")


def test_pipelined(pop_server):
    with pop_server.pop3() as pop:
        pop.send(b"USER alice\r\nPASS alice.pw\r\nSTAT\r\nFOO\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n")
        answers = []
        while not answers or answers[-1] != b"+OK":
            answers.append(pop.readline())
        assert pop.at_eof()
    assert [a[:4] for a in answers[:5]] == [b"+OK ", b"+OK ", b"+OK ", b"-ERR", b"+OK "]
    assert uids(pop_server) == [2, 3]


def test_disconnects(pop_server):
    for sent in (b"", b"US", b"USER alice\r\nPASS alice.pw\r\nDELE 1\r\nQUIT",
                 b"AUTH PLAIN\r\n", b"AUTH PLAIN\r\nAAAA", b"USER alice\r\nPASS alice.pw\r\nRETR 1\r\n"):
        mark = pop_server.log_mark()
        with pop_server.pop3() as pop:
            pop.send(sent)
        pop_server.wait_log("counts: ", mark)
    assert uids(pop_server) == [1, 2, 3]


def test_large_message_and_slow_reader(factory):
    server = make(factory, messages=0)
    body = (b"." * 70 + b"\r\n" + b"x" * 70 + b"\r\n") * 100000
    with server.imap("alice") as imap:
        imap.append("INBOX", message(1, body))
    with server.pop3("alice") as slow:
        slow.sendline("RETR 1")
        assert slow.readline() == b"+OK Message follows"
        with server.imap("alice") as imap:  # nobody waits for the reader
            imap.append("INBOX", message(2))
        got = []
        while True:
            line = slow.readline()
            if line == b".":
                break
            got.append(line[1:] if line.startswith(b".") else line)
    assert b"\r\n".join(got) + b"\r\n" == message(1, body)


def test_shutdown_deletes_nothing(pop_server):
    pop = pop_server.pop3("alice")
    pop.ok("DELE 1")
    pop_server.stop()
    assert pop.at_eof()
    pop.close()
    pop_server.start()
    assert uids(pop_server) == [1, 2, 3]


def test_proc_file(pop_server):
    with pop_server.pop3("alice"):
        texts = []
        for path in glob.glob(pop_server.path("conf", "proc", "*")):
            with open(path, encoding="ascii") as f:
                texts.append(f.read())
        assert "pop3\tlocalhost [127.0.0.1]\talice\tuser.alice\t\n" in texts


def test_telemetry_and_traffic(factory):
    server = make(factory, auditlog=True)
    server.account.mkdir(server.path("conf", "log", "alice"))
    with server.pop3("alice") as pop:
        pop.ok("STAT")
        pop.ok("QUIT")
    server.wait_log(r"auditlog: traffic sessionid=<\S+> bytes_in=<\d+> bytes_out=<\d+>")
    (path,) = glob.glob(server.path("conf", "log", "alice", "pop3-*"))
    with open(path, "rb") as f:
        text = f.read()
    assert b"STAT" in text and b"alice.pw" not in text


def test_starts_without_a_certificate_fail(factory):
    server = factory(services=("pop3",))
    server.write_conf()
    server.env.update({"CYRUS_SERVICE": "pop3s", "CYRUS_ID": "0"})
    assert server.run("pop3d", "-s", "-X", check=False).returncode == 78
    assert server.run("pop3d", "-k", "-X", check=False).returncode == 64

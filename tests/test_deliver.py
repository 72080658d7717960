# SPDX-License-Identifier: BSD-3-Clause
"""deliver: addresses, options, exit codes, and what becomes of the bytes on the way."""

import os
import re
import socket
import threading

import pytest

MESSAGE = b"From: a@example.com\nSubject: hello\n\n.dot\n..two\nbody\n"


@pytest.fixture
def server(factory):
    made = factory(services=("imap", "lmtpunix"))
    made.start()
    made.create_user("alice", "Work", "Closed")
    made.create_user("bob")
    with made.imap("admin") as imap:
        imap.ok("SETACL user/alice/Work anyone p")
        imap.ok("SETQUOTA user/bob (STORAGE 1)")
        imap.ok("CREATE shared")
        imap.ok("SETACL shared anyone lrp")
        imap.ok("CREATE closed")
        imap.ok("SETACL closed anyone lr")
        imap.ok("SETACL closed alice lrp")
    return made


def deliver(server, *args, data=MESSAGE):
    done = server.run("deliver", *args, data=data, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def stored(server, user="alice", mailbox="INBOX"):
    """The messages of a mailbox."""
    with server.imap(user) as imap:
        imap.ok(f'EXAMINE "{mailbox}"')
        found = []
        for line in imap.cmd("FETCH 1:* BODY.PEEK[]").untagged:
            head, _, rest = line.partition(b"}\r\n")
            if b"FETCH" in head:
                found.append(rest[:int(head.rpartition(b"{")[2])])
        return found


def count(server, mailbox):
    with server.imap("admin") as imap:
        line = imap.ok(f"STATUS {mailbox} (MESSAGES)").find("* STATUS")[0]
        return int(re.search(rb"MESSAGES (\d+)", line)[1])


def test_delivers(server):
    assert deliver(server, "alice") == (0, "", "")
    (message,) = stored(server)
    assert re.match(rb"Return-Path: <\w+@cyl\.test>\r\nReceived: from deliver \(\[unix socket\]\)",
                    message)
    assert message.endswith(b"\r\n\r\n.dot\r\n..two\r\nbody\r\n")


@pytest.mark.parametrize("text, want", [
    (b"A: b\r\n\r\nx\r\n", b"x\r\n"),
    (b"A: b\n\nx", b"x\r\n"),
    (b"A: b\n\n.", b".\r\n"),
    (b"A: b\n\nx\r", b"x\r\n"),
    (b"A: b\n\n" + b"." * 40000 + b"\n" + b".y\n" * 20000,
     b"." * 40000 + b"\r\n" + b".y\r\n" * 20000),
], ids=["crlf", "no-end", "dot", "cr", "long"])
def test_bytes(server, text, want):
    assert deliver(server, "alice", data=text) == (0, "", "")
    (message,) = stored(server)
    assert message.partition(b"\r\n\r\n")[2] == want


def test_header_only_and_empty(server):
    assert deliver(server, "alice", data=b"Subject: x\n")[0] == 0
    assert deliver(server, "alice", data=b"")[0] == 0
    assert len(stored(server)) == 2


def test_return_path(server):
    for args in (("-r", "x@example.com"), ("-f", "<y@example.com>"), ("-r", "<>"), ("-r", "")):
        assert deliver(server, *args, "alice") == (0, "", "")
    paths = [m.split(b"\r\n")[0] for m in stored(server)]
    assert paths == [b"Return-Path: <x@example.com>", b"Return-Path: <y@example.com>",
                     b"Return-Path: <>", b"Return-Path: <>"]
    assert deliver(server, "-r", "a b", "alice") == (65, "alice: Bad protocol\n", "")
    assert deliver(server, "-r", "x>\r\nRCPT TO:<bob", "alice")[0] == 65
    assert stored(server, "bob") == []


def test_folders(server):
    assert deliver(server, "-m", "Work", "alice@example.com") == (0, "", "")
    assert deliver(server, "-m", "Closed", "alice") == (0, "", "")  # no right: INBOX
    assert deliver(server, "-m", "shared") == (0, "", "")
    assert deliver(server, "-m", "nosuch") == (65, "+nosuch: Mailbox does not exist\n", "")
    assert deliver(server, "-m", "closed") == (65, "+closed: Permission denied\n", "")
    assert deliver(server, "-a", "alice", "-m", "closed") == (0, "", "")
    assert len(stored(server, mailbox="Work")) == 1
    assert len(stored(server)) == 1
    assert count(server, "shared") == 1 and count(server, "closed") == 1


def test_refusals(server):
    assert deliver(server, "nosuch") == (65, "nosuch: Mailbox does not exist\n", "")
    assert deliver(server, "alice", "nosuch", "bob", "nobody") == (
        65, "nosuch: Mailbox does not exist\nnobody: Mailbox does not exist\n", "")
    assert len(stored(server)) == 1 and len(stored(server, "bob")) == 1
    assert deliver(server, "al ice") == (65, "al ice: Bad protocol\n", "")
    assert deliver(server, "alice\r\nRCPT TO:<bob")[0] == 65
    assert len(stored(server, "bob")) == 1
    assert deliver(server, "alice", data=b"bad header\n\nx\n") == (
        65, "alice: Message contains invalid header\n", "")
    assert deliver(server, "alice", "bob", data=b"A: b\n\nnul\0\n") == (
        65, "alice: Message contains NUL characters\nbob: Message contains NUL characters\n", "")


def test_over_quota_is_temporary(server):
    big = MESSAGE + b"x" * 70 * 30 + b"\n"
    assert deliver(server, "bob", data=big) == (0, "", "")
    assert deliver(server, "bob") == (75, "", "")
    assert deliver(server, "bob", "nosuch") == (75, "nosuch: Mailbox does not exist\n", "")
    assert deliver(server, "alice", "bob") == (75, "", "")
    assert deliver(server, "-q", "bob") == (0, "", "")
    assert len(stored(server, "bob")) == 2 and len(stored(server)) == 1


USAGE = re.compile(r"421-4\.3\.0 usage: deliver \[-C <alt_config> \] \[-m mailbox\] \[-a auth\] "
                   r"\[-r return_path\] \[-l\] \[-D\]\r\n421 4\.3\.0 3\.6\.1\S*\n$")


@pytest.mark.parametrize("args, text", [
    ((), ""),
    (("-m", "a", "-m", "b"), "deliver: multiple -m options\n"),
    (("-a", "a", "-a", "b", "alice"), "deliver: multiple -a options\n"),
    (("-F", "x", "alice"), "deliver: 'F' option no longer supported\n"),
    (("-E", "3"), "deliver: 'E' option no longer supported\n"),
    (("-X",), None),
])
def test_usage(server, args, text):
    code, out, err = deliver(server, *args)
    assert (code, out) == (64, "")
    assert USAGE.search(err)
    if text is not None:
        assert err.startswith(text + "421-")


def test_old_options_are_ignored(server):
    assert deliver(server, "-d", "-e", "-D", "alice") == (0, "", "")


def test_no_lmtpd(server):
    server.stop()
    code, out, err = deliver(server, "alice")
    assert code == 78 and out == "421 4.3.0 deliver: couldn't connect to lmtpd\r\n" and err
    code, out, err = deliver(server, "-l", data=b"NOOP\r\n")
    assert code == 78 and out == "421 4.3.0 deliver: connect failed\r\n" and err


def test_pass_through(server):
    code, out, err = deliver(server, "-l", data=(
        b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice>\r\nDATA\r\nA: b\r\n\r\nx\r\n.\r\nQUIT\r\n"))
    assert (code, err) == (0, "")
    assert out.startswith("220 ") and out.endswith("221 2.0.0 bye\r\n")
    assert "\r\n250 2.1.5 Success" in out and len(stored(server)) == 1


class FakeLmtpd:
    """Says what it is told; the connection ends behind the last answer."""

    def __init__(self, path, answers):
        self.got = b""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.bind(path)
        os.chmod(path, 0o777)
        self._sock.listen(1)
        self._sock.settimeout(30)
        self._answers = answers
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        conn, _ = self._sock.accept()
        with conn:
            conn.settimeout(30)
            for wanted, answer in self._answers:
                while wanted not in self.got:
                    more = conn.recv(65536)
                    if not more:
                        return
                    self.got += more
                conn.sendall(answer)

    def close(self):
        self._thread.join(30)
        self._sock.close()


HELLO = [(b"", b"220 x\r\n"), (b"LHLO", b"250 x\r\n"), (b"LHLO deliver", b"250-x\r\n250 SIZE\r\n")]
ENVELOPE = [(b"MAIL", b"250 ok\r\n"), (b"RCPT", b"250 ok\r\n"), (b"DATA", b"354 go\r\n")]


@pytest.mark.parametrize("answers, want", [
    (HELLO, (75, "")),
    (HELLO + [(b"MAIL", b"451 4.3.0 later\r\n")], (75, "")),
    (HELLO + [(b"MAIL", b"550 5.7.1 no\r\n")], (65, "alice: Permission denied\n")),
    (HELLO + [(b"MAIL", b"rubbish\r\n")], (75, "")),
    (HELLO + ENVELOPE[:2], (75, "")),
    (HELLO + ENVELOPE, (75, "")),
    (HELLO + ENVELOPE + [(b"\r\n.\r\n", b"554-5.6.0 one\r\n554 5.6.0 Message contains invalid header\r\n")],
     (65, "alice: Message contains invalid header\n")),
    (HELLO + ENVELOPE + [(b"\r\n.\r\n", b"250 2.1.5 ok\r\n")], (0, "")),
], ids=["gone", "mail-later", "mail-no", "rubbish", "gone-at-data", "gone-in-data", "refused", "ok"])
def test_servers_that_fail(factory, answers, want):
    server = factory(services=("imap",))
    server.allow_log("ERROR")
    server.write_conf()
    lmtpd = FakeLmtpd(server.path("conf", "socket", "lmtp"), answers)
    code, out, _ = deliver(server, "alice")
    lmtpd.close()
    assert (code, out) == want

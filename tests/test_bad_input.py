# SPDX-License-Identifier: BSD-3-Clause
"""Bad input and bad surroundings: a clear error, nothing crashes, nothing is lost.

Every server of these tests is checked at its end for crashes and unexpected ERROR lines.
"""

import base64
import os
import socket
import time

import pytest

from cyltest.clients import LineClient
from cyltest.instance import StartFailed
from cyltest.mallocpeak import MallocPeak
from cyltest.memory import own_bytes

GOOD = (b"From: a@example.com\r\nSubject: good\r\nMessage-ID: <good%d@example.com>\r\n"
        b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\nbody\r\n")


@pytest.fixture
def mail_server(factory):
    server = factory(services=("imap", "lmtp")).start()
    server.create_user("alice")
    server.deliver(GOOD % 0, "alice")
    return server


def still_works(server, expected):
    server.deliver(GOOD % (expected + 100), "alice")
    with server.imap("alice") as imap:
        assert f"MESSAGES {expected + 1}".encode() in \
            imap.ok("STATUS INBOX (MESSAGES)").find("* STATUS")[0]
        imap.ok("SELECT INBOX")
        imap.ok("FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[])")


BROKEN_MIME = [
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n--x\r\n--x\r\n",
    b"Content-Type: multipart/mixed; boundary=\"\r\n\r\n--\r\n\r\n",
    b"Content-Type: multipart/mixed\r\n\r\n--\r\nContent-Type: message/rfc822\r\n\r\n",
    b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!\r\n",
    b"Content-Type: text/plain; charset=\"no such charset\"; charset*0*=%\r\n\r\n\xff\xfe\r\n",
    b"Subject: =?utf-8?b?////?= =?x?q?=\r\nFrom: <<<>>>,,;:@\r\nDate: 99 Foo 0\r\n\r\n\r\n",
    b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\n" * 2000 + b"--a--\r\n",
]


def test_broken_mime(mail_server):
    with mail_server.lmtp() as lmtp:
        for n, text in enumerate(BROKEN_MIME):
            replies = lmtp.deliver(b"Message-ID: <b%d@x>\r\n" % n + text, ["alice"])
            assert replies[0][0] == 250, (text, replies)
    still_works(mail_server, 1 + len(BROKEN_MIME))
    with mail_server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok("SEARCH TEXT nothing")
        imap.ok("FETCH 1:* (BODY.PEEK[1] BODY.PEEK[1.1.MIME] BODY.PEEK[2.TEXT] RFC822.SIZE)")


def test_nuls(mail_server):
    with mail_server.lmtp() as lmtp:
        replies = lmtp.deliver(b"Subject: x\r\n\r\na\0b\r\n", ["alice"])
        assert replies[0][0] == 554
    with mail_server.imap("alice") as imap:
        text = b"Subject: x\r\n\r\na\0b\r\n"
        tag = imap.start(f"APPEND INBOX {{{len(text)}+}}")
        imap.send(text + b"\r\n")
        response = imap.finish(tag)
        assert response.status in ("NO", "BAD"), response
        imap.send(b"x NOOP\0\r\n")
        assert imap.readline().startswith((b"x BAD", b"* BAD", b"* BYE"))
    still_works(mail_server, 1)


def test_huge_header(mail_server):
    header = b"".join(b"X-Header-%d: %s\r\n" % (n, b"h" * 900) for n in range(12 << 10))
    assert len(header) > 10 << 20
    with mail_server.lmtp() as lmtp:
        replies = lmtp.deliver(b"Message-ID: <huge@x>\r\n" + header + b"\r\nbody\r\n", ["alice"])
        assert replies[0][0] == 250
    still_works(mail_server, 2)


def test_a_hundred_thousand_recipients(mail_server):
    with mail_server.lmtp() as lmtp:
        assert lmtp.cmd("MAIL FROM:<>")[0] == 250
        codes = {}
        for _ in range(100):
            lmtp.send(b"RCPT TO:<alice>\r\n" * 1000)
            for _ in range(1000):
                code = lmtp.reply()[0]
                codes[code] = codes.get(code, 0) + 1
        assert set(codes) == {250, 452}, codes
        assert codes[250] + codes[452] == 100000
        assert lmtp.cmd("RSET")[0] == 250
    still_works(mail_server, 1)


def test_endless_literal(mail_server):
    with mail_server.imap() as imap:
        imap.send(b"a LOGIN {4294967295+}\r\n")
        sent = 0
        try:
            while sent < 64 << 20:
                imap.send(b"x" * 65536)
                sent += 65536
        except (BrokenPipeError, ConnectionResetError, socket.timeout):
            pass
        assert sent < 64 << 20, "the server reads for ever"
    with mail_server.imap() as imap:
        try:
            imap.send(b"a " + b"x" * (8 << 20) + b"\r\n")
            line = imap.readline()
            assert line.startswith((b"* BYE", b"a BAD", b"* BAD")), line[:80]
        except (EOFError, ConnectionResetError, BrokenPipeError):
            pass
    still_works(mail_server, 1)


def test_flood_of_wrong_passwords(mail_server):
    for _ in range(5):
        with mail_server.imap() as imap:
            for _ in range(5):
                try:
                    imap.sendline("x LOGIN alice wrong")
                    line = imap.readline()
                except EOFError:
                    break
                assert line.startswith((b"x NO", b"* BYE")), line
    assert "wrong" not in mail_server.log_text()
    still_works(mail_server, 1)


def test_unknown_option(factory):
    server = factory(services=("imap",))
    server.conf["no_such_option"] = "yes"
    server.start()
    assert "no_such_option" in server.run("cyr_info", "conf-lint", check=False).stdout


def test_bad_value(factory):
    server = factory(services=("imap",))
    server.conf["maxword"] = "many"
    with pytest.raises(StartFailed) as failed:
        server.start()
    assert "maxword" in str(failed.value)


def test_missing_partition_directory(factory):
    server = factory(services=("imap", "lmtp"))
    server.conf["partition-default"] = "/nonexistent/spool"
    server.allow_log("IOERROR|DBERROR")
    server.start()
    with server.imap("admin") as imap:
        assert imap.cmd("CREATE user/alice").status == "NO"
        assert not imap.ok('LIST "" *').find("* LIST")
        imap.ok("NOOP")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs an account that is not ours")
def test_unwritable_partition(factory):
    server = factory(services=("imap", "lmtp"))
    server.allow_log("IOERROR|DBERROR")
    server.start()
    server.create_user("alice")
    server.deliver(GOOD % 1, "alice")
    for top, dirs, _ in os.walk(server.path("spool")):
        os.chown(top, 0, 0)
        os.chmod(top, 0o555)
        for name in dirs:
            os.chown(os.path.join(top, name), 0, 0)
    with server.lmtp() as lmtp:
        code, text = lmtp.deliver(GOOD % 2, ["alice"])[0]
        assert code // 100 == 4, (code, text)
        assert lmtp.cmd("NOOP")[0] == 250
    assert "IOERROR" in server.log_text()


def test_client_that_goes_away(mail_server):
    for text in (b"", b"a LOGIN alice", b"a APPEND INBOX {100+}\r\nabc", b"a LOGIN {5}\r\n"):
        with mail_server.imap() as imap:
            imap.send(text)
    with mail_server.lmtp() as lmtp:
        lmtp.cmd("MAIL FROM:<>")
        lmtp.cmd("RCPT TO:<alice>")
        lmtp.cmd("DATA")
        lmtp.send(b"half a mess")
    time.sleep(0.2)
    still_works(mail_server, 1)


def test_stored_names_that_are_none(mail_server):
    """In a key of mailboxes.db: its bytes are logged in hex, the other mailboxes are there."""
    server = mail_server
    server.allow_log("DBERROR: damaged record")
    key = "Nuser\x1falice\x1f../../../etc"
    value = "%(T e I badbadbadbadbadbadbadbad P default V 1 U 1 C 1 F 1 M 1 A %(alice lrswipkxtecdn))"
    server.run("cyr_dbtool", server.path("conf/mailboxes.db"), "twoskip", "set", key, value)
    mark = server.log_mark()
    assert "etc" in server.run("cyr_dbtool", server.path("conf/mailboxes.db"), "twoskip", "show").stdout
    with server.imap("admin") as imap:
        assert [line.split()[-1] for line in imap.ok('LIST "" *').find("* LIST")] == [b"user/alice"]
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
    server.wait_log(f"DBERROR: damaged record.*bytes=<{key.encode().hex()}>", mark)


HEADERS = {
    "name": (b"N user.alice", b"N {15+}\r\nuser.a\x1f/../../e", b"user.a\x1f/../../e"),
    "quota root": (b" N user.alice", b" Q ../../etc N user.alice", b"../../etc"),
}


@pytest.mark.parametrize("what", HEADERS)
def test_names_in_headers_that_are_none(mail_server, what):
    """In cyrus.header: its bytes are logged in hex, the mailbox cannot be opened, others can."""
    server = mail_server
    was, becomes, bad = HEADERS[what]
    server.allow_log("IOERROR")
    with server.imap("alice") as imap:
        imap.ok("CREATE Other")
    path = server.run("mbpath", "user/alice").stdout.strip() + "/cyrus.header"
    with open(path, "r+b") as file:
        header = file.read()
        assert header.count(was) == 1
        file.seek(0)
        file.write(header.replace(was, becomes))
    mark = server.log_mark()
    with server.imap("alice") as imap:
        assert imap.cmd("SELECT INBOX").status == "NO"
        imap.ok("SELECT Other")
    server.wait_log(f"IOERROR: a mailbox header holds bytes that are no name.*bytes=<{bad.hex()}>", mark)


def test_subscriptions_that_are_none(mail_server):
    """In a key of the subscriptions: its bytes are logged in hex, the other subscriptions are there."""
    server = mail_server
    server.allow_log("DBERROR: a subscription is no name")
    with server.imap("alice") as imap:
        imap.ok("SUBSCRIBE INBOX")
    key = "Nuser\x1falice\x1f../../x"
    server.run("cyr_dbtool", "--user=alice", "sub", "set", key, "")
    mark = server.log_mark()
    with server.imap("alice") as imap:
        assert [line.split()[-1] for line in imap.ok('LSUB "" *').find("* LSUB")] == [b"INBOX"]
    server.wait_log(f"DBERROR: a subscription is no name.*bytes=<{key.encode().hex()}>", mark)


def test_quota_roots_that_are_none(factory):
    """In a key of quotas.db: its bytes are logged in hex, the other roots are told."""
    server = factory()
    server.conf["quota_db"] = "twoskip"
    server.start()
    server.create_user("alice")
    server.allow_log("DBERROR: a quota root is no name")
    with server.imap("admin") as imap:
        imap.ok("SETQUOTA user/alice (STORAGE 1000)")
    key = "user.alice/../../x"
    server.run("cyr_dbtool", server.path("conf/quotas.db"), "twoskip", "set", key, "%(S (0 1000))")
    mark = server.log_mark()
    told = server.run("quota").stdout
    assert "user/alice" in told and ".." not in told
    server.wait_log(f"DBERROR: a quota root is no name.*bytes=<{key.encode().hex()}>", mark)


# ---- lines and words without end, passwords that are wrong, at every server ----

SERVICES = ("imap", "lmtp", "pop3", "csync")


@pytest.fixture
def all_services(factory):
    server = factory(services=SERVICES)
    server.start()
    server.create_user("alice")
    server.deliver(GOOD % 0, "alice")
    return server


@pytest.mark.parametrize("service", SERVICES)
def test_endless_line(all_services, service):
    """A line that never ends is answered, or ends the session, long before it fills the memory."""
    server = all_services
    with LineClient(server.address(service)) as client:
        client.readline()
        peak = sent = 0
        try:
            while sent < 64 << 20:
                client.send(b"x" * (1 << 20))
                sent += 1 << 20
                peak = max([peak, *(own_bytes(pid) for pid in server.children())])
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert peak < 24 << 20, f"{peak >> 20} MB after {sent >> 20} MB"
    still_works(server, 1)


def wrong_password(service, client):
    """One try, in a session of the service; its answer."""
    plain = base64.b64encode(b"\0alice\0wrong").decode()
    if service == "imap":
        answer = client.cmd("LOGIN alice wrong")
        return answer.status == "NO" and answer.text
    if service == "pop3":
        client.ok("USER alice")
        return client.err("PASS wrong").decode()
    if service == "lmtp":
        code, lines = client.cmd(f"AUTH PLAIN {plain}")
        return code // 100 == 5 and lines[0]
    answer = client.cmd(f"AUTHENTICATE PLAIN {plain}")
    return answer.status == "NO" and answer.text


def session(server, service):
    return getattr(server, "sync" if service == "csync" else service)()


def flood_server(factory, pause):
    server = factory(services=SERVICES)
    server.conf["failedloginpause"] = pause
    server.service_entries["lmtp"]["cmd"] = "lmtpd"
    return server.start()


def test_wrong_passwords_cost_time(factory):
    server = flood_server(factory, "1s")
    for service in SERVICES:
        with session(server, service) as client:
            start = time.monotonic()
            assert wrong_password(service, client)
            assert time.monotonic() - start >= 0.99, service


def test_wrong_passwords_leave_nothing(factory):
    """A flood of them takes no memory, the password never gets into a log, and others are served meanwhile."""
    server = flood_server(factory, 0)
    server.stop()
    peaks = {}
    for tries in (50, 500):
        with MallocPeak(server) as peak:
            server.start()
            for service in SERVICES:
                with session(server, service) as client, server.imap("alice") as other:
                    for _ in range(tries):
                        assert wrong_password(service, client), service
                    other.ok("NOOP")
            server.stop()
            peaks[tries] = [peak.of(program) for program in ("imapd", "lmtpd", "pop3d", "sync_server")]
    grown = [many - few for few, many in zip(peaks[50], peaks[500])]
    assert max(grown) < 16 << 10, (peaks, grown)
    assert "wrong" not in server.log_text()

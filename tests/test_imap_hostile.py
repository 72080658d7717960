# SPDX-License-Identifier: BSD-3-Clause
"""What a client may try: every such session ends or goes on, and others never notice."""

import socket
import ssl
import time

import pytest

from cyltest.clients import Literal

MESSAGE = b"From: a@example.com\r\nSubject: x\r\n\r\nbody\r\n"


@pytest.fixture
def imap_server(factory):
    server = factory(services=("imap",))
    server.start()
    with server.imap("admin") as admin:
        admin.ok("CREATE user/alice")
    return server


def still_serves(server):
    with server.imap("alice") as client:
        client.ok("SELECT INBOX")


def test_unknown_commands_and_bad_tags(imap_server):
    with imap_server.imap() as client:
        client.sendline("* NOOP")
        assert client.readline() == b"* BAD Invalid tag"
        client.sendline("")
        assert client.readline() == b"* BAD Invalid tag"
        assert client.bad("FROBNICATE").text == "Please login first"
        assert client.bad("NOSUCH").text == "Unrecognized command"
        assert client.bad("LIST \"\" *").text == "Please login first"
        for _ in range(200):
            client.bad("XYZZY")
        client.ok("NOOP")


def test_word_without_end(imap_server):
    with imap_server.imap() as client:
        client.send(b"a1 " + b"A" * 200000)
        assert client.readline().startswith(b"* BYE")
        assert client.at_eof()
    still_serves(imap_server)


def test_quoted_without_end(imap_server):
    with imap_server.imap() as client:
        client.send(b'a1 LOGIN "' + b"A" * 200000)
        assert client.readline().startswith(b"* BYE")
        assert client.at_eof()
    still_serves(imap_server)


def test_literal_that_is_too_large_is_not_asked_for(imap_server):
    with imap_server.imap() as client:
        client.sendline("a1 LOGIN {4000000000}")
        answer = client.readline()
        assert answer.startswith((b"a1 NO [TOOBIG]", b"* BYE")), answer
    with imap_server.imap("alice") as client:
        client.sendline("a1 CREATE {99999999999999999999}")
        assert client.readline().startswith((b"a1 BAD", b"a1 NO", b"* BYE"))
    still_serves(imap_server)


def test_nuls(imap_server):
    with imap_server.imap() as client:
        client.send(b"a1 NO\0OP\r\n")
        assert b"BAD" in client.readline()
        client.send(b"a2 LOGIN ali\0ce x\r\n")
        assert client.readline().startswith(b"a2 BAD")
        client.send(b"a3 LOGIN {5+}\r\nal\0ce x\r\n")
        assert client.readline().startswith((b"a3 BAD", b"a3 NO"))
        client.ok("NOOP")


def test_append_with_nul_is_refused(imap_server):
    with imap_server.imap("alice") as client:
        response = client.no(["APPEND INBOX ", Literal(MESSAGE + b"\0")])
        assert response.text == "Message contains NUL characters"
        client.append("INBOX", MESSAGE)


def test_literals_of_a_refused_append_are_no_commands(imap_server):
    evil = b"x1 DELETE INBOX\r\nx2 LOGOUT\r\n"
    with imap_server.imap("alice") as client:
        client.send(b'a1 APPEND INBOX "bad date" {%d+}\r\n%s\r\n' % (len(evil), evil))
        assert client.readline() == b"a1 BAD Invalid date-time in Append command"
        client.send(b'a2 APPEND nosuch {%d+}\r\n%s {%d+}\r\n%s\r\n' % (len(evil), evil, len(evil), evil))
        assert client.readline().startswith(b"a2 NO")
        client.send(b'a3 SETQUOTA x (STORAGE x) {%d+}\r\n%s\r\n' % (len(evil), evil))
        assert client.readline().startswith(b"a3 BAD")
        client.ok("NOOP")


def test_wrong_passwords(imap_server):
    with imap_server.imap() as client:
        for _ in range(20):
            assert client.no("LOGIN alice wrong").text.startswith("Login failed")
        client.login("alice", "alice.pw")


def test_wrong_password_waits(factory):
    server = factory(services=("imap",))
    server.conf["failedloginpause"] = "2s"
    server.start()
    with server.imap() as client:
        start = time.monotonic()
        client.no("LOGIN alice wrong")
        assert time.monotonic() - start >= 1.9


def test_starttls_takes_no_plain_command_along(factory):
    server = factory(services=("imap",))
    server.use_tls()
    server.start()
    with server.imap() as client:
        client.send(b"a1 STARTTLS\r\na2 LOGIN alice wrong\r\na3 NOOP\r\n")
        assert client.readline() == b"a1 OK Begin TLS negotiation now"
        context = ssl.create_default_context(cafile=server.cafile)
        client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
        client.sendline("a4 NOOP")
        assert client.readline() == b"a4 OK Completed"
        assert client.bad("STARTTLS").text == "Already did a successful Starttls"
        client.login("alice", "alice.pw")


def test_half_a_command_and_gone(imap_server):
    for data in (b"a1 LOG", b"a1 LOGIN {10}\r\n", b"a1 APPEND INBOX {10+}\r\nabc"):
        with imap_server.imap() as client:
            client.send(data)
    with imap_server.imap("alice") as client:
        client.send(b"a1 APPEND INBOX {1000+}\r\nabc")
    with imap_server.imap("alice") as client:
        assert client.ok("STATUS INBOX (MESSAGES)").untagged == [b"* STATUS INBOX (MESSAGES 0)"]


def test_slow_reader_holds_no_lock(imap_server):
    """A client that does not read its FETCH keeps nobody from delivering."""
    with imap_server.imap("alice") as slow, imap_server.imap("alice") as other:
        for _ in range(4):
            other.append("INBOX", MESSAGE + b"x" * 78 + b"\r\n" + b"y" * 2000000 + b"\r\n")
        slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.ok("SELECT INBOX")
        slow.start("FETCH 1:* BODY.PEEK[]")
        time.sleep(0.5)
        start = time.monotonic()
        other.append("INBOX", MESSAGE)
        assert time.monotonic() - start < 10


def test_deep_lists(imap_server):
    with imap_server.imap("alice") as client:
        client.ok("SELECT INBOX")
        for command in ("FETCH 1 ((((", "STORE 1 +FLAGS ((((", "STATUS INBOX ((", "LIST (((", "GETMETADATA (((("):
            client.bad(command)
        client.bad("FETCH " + ",".join(["1"] * 20000) + ",x FLAGS")
        client.ok("NOOP")

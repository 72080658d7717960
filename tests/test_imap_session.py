# SPDX-License-Identifier: BSD-3-Clause
"""Sessions as clients have them: a day's work, notifications, quota, memory, the administrator's messages."""

import contextlib
import imaplib
import os
import re
import time

import pytest

from cyltest.clients import Literal
from cyltest.memory import OwnMemory


def message(n, size=0):
    body = b"".join(b"x" * 70 + b"\r\n" for _ in range(size // 72))
    return (f"From: Alice <alice@example.com>\r\nTo: bob@example.com\r\nSubject: message {n}\r\n"
            f"Message-ID: <m{n}@example.com>\r\nDate: Mon, 07 Feb 2022 10:00:00 +0000\r\n\r\n"
            f"body {n}\r\n").encode() + body


def test_a_day_with_imaplib(imap_server):
    client = imaplib.IMAP4("127.0.0.1", imap_server.ports["imap"])
    client.login("alice", "alice.pw")
    assert client.create("Work")[0] == "OK"
    assert client.subscribe("Work")[0] == "OK"
    for n in range(3):
        assert client.append("Work", r"(\Seen)", None, message(n))[0] == "OK"
    assert client.select("Work") == ("OK", [b"3"])
    status, data = client.fetch("1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    assert status == "OK" and b"message 1" in data[2][1]
    assert client.store("2", "+FLAGS", r"(\Deleted $Label)")[0] == "OK"
    assert client.copy("1", "INBOX")[0] == "OK"
    assert client.expunge() == ("OK", [b"2"])
    assert client.status("Work", "(MESSAGES UNSEEN)")[1] == [b"Work (MESSAGES 2 UNSEEN 0)"]
    assert client.rename("Work", "Works")[0] == "OK"
    assert client.lsub()[1] == [None]
    client.close()
    assert client.delete("Works")[0] == "OK"
    client.logout()


def test_other_sessions_are_told_at_once_in_idle(imap_server):
    with imap_server.imap("alice") as idle, imap_server.imap("alice") as other:
        other.append("INBOX", message(1))
        idle.ok("SELECT INBOX")
        tag = idle.start("IDLE")
        assert idle.readline() == b"+ idling"
        start = time.monotonic()
        other.append("INBOX", message(2))
        assert idle.readline() == b"* 2 EXISTS"
        assert idle.readline() == b"* 2 RECENT"
        assert time.monotonic() - start < 5
        other.ok("SELECT INBOX")
        other.ok(r"STORE 1 +FLAGS (\Flagged)")
        assert idle.readline() == rb"* 1 FETCH (FLAGS (\Recent \Flagged))"
        other.ok(r"STORE 1 +FLAGS (\Deleted)")
        assert rb"\Deleted" in idle.readline()
        other.ok("EXPUNGE")
        assert idle.readline() == b"* 1 EXPUNGE"
        idle.sendline("DONE")
        assert idle.finish(tag).status == "OK"


def test_300_idling_sessions(factory):
    """All are told of a new message by the kernel: more than the 128 that inotify has room for, and no polling."""
    server = factory(services=("imap",))
    server.conf["imapidlepoll"] = "1h"
    server.start()
    with server.imap("admin") as admin, contextlib.ExitStack() as stack:
        admin.ok("CREATE user/alice")
        sessions = [stack.enter_context(server.imap("alice")) for _ in range(300)]
        for session in sessions:
            session.sock.settimeout(120)
            session.ok("SELECT INBOX")
            session.start("IDLE")
            assert session.readline() == b"+ idling"
        sender = stack.enter_context(server.imap("alice"))
        for n in (1, 2):
            sender.append("INBOX", message(n))
            for session in sessions:
                assert session.readline() == f"* {n} EXISTS".encode()
                assert session.readline().endswith(b" RECENT")
        sessions[0].sendline("DONE")
        assert sessions[0].readline() == b"t3 OK Completed"
    assert "polling" not in server.log_text()


def test_idle_ends_with_the_service(imap_server):
    with imap_server.imap("alice") as idle:
        idle.start("IDLE")
        assert idle.readline() == b"+ idling"
        with open(imap_server.path("conf", "msg", "new"), "w", encoding="ascii") as f:
            f.write("[back soon\n")
        os.rename(f.name, imap_server.path("conf", "msg", "shutdown"))
        assert idle.readline() == b"* BYE [ALERT] back soon"
        assert idle.at_eof()
    with imap_server.imap("alice") as client:
        client.sendline("x NOOP")
        assert client.readline() == b"* BYE [ALERT] back soon"
    with imap_server.imap("admin") as admin:
        admin.ok("NOOP")


def test_expunges_are_held_back(imap_server):
    with imap_server.imap("alice") as one, imap_server.imap("alice") as two:
        for n in range(4):
            two.append("INBOX", message(n))
        one.ok("SELECT INBOX")
        two.ok("SELECT INBOX")
        two.ok(r"STORE 2 +FLAGS.SILENT (\Deleted)")
        two.ok("EXPUNGE")
        for command in ("FETCH 1 UID", r"STORE 1 +FLAGS (\Seen)", "STATUS INBOX (MESSAGES)", "LIST \"\" %"):
            assert not one.ok(command).find("* 2 EXPUNGE"), command
        assert one.ok("FETCH 3 UID").find("* 3 FETCH (UID 3)")
        assert one.ok("NOOP").find("* 2 EXPUNGE")
        assert one.ok("FETCH 3 UID").find("* 3 FETCH (UID 4)")


def test_what_came_and_went_is_not_told(imap_server):
    with imap_server.imap("alice") as one, imap_server.imap("alice") as two:
        one.ok("SELECT INBOX")
        two.ok("SELECT INBOX")
        two.append("INBOX", message(1))
        two.ok(r"STORE 1 +FLAGS (\Deleted)")
        two.ok("EXPUNGE")
        assert one.ok("NOOP").untagged == []


def test_multiappend_is_all_or_nothing(imap_server):
    with imap_server.imap("alice") as client:
        bad = b"no header at all\r\n"
        client.no(["APPEND INBOX ", Literal(message(1)), " ", Literal(bad)])
        assert client.ok("STATUS INBOX (MESSAGES UIDNEXT)").untagged == [b"* STATUS INBOX (MESSAGES 0 UIDNEXT 1)"]
        ok = client.ok(["APPEND INBOX (\\Seen) ", Literal(message(1)), " ", Literal(message(2))])
        assert re.match(r"\[APPENDUID \d+ 1:2\] Completed", ok.text)


def test_large_message(imap_server):
    """Larger than what is kept in memory, and fetched back unharmed in pieces."""
    big = message(1, 3_000_000)
    with imap_server.imap("alice") as client:
        client.append("INBOX", big)
        client.ok("SELECT INBOX")
        whole = client.ok("FETCH 1 BODY.PEEK[]").untagged[0]
        assert big in whole
        part = client.ok("FETCH 1 BODY.PEEK[]<1000000.500>").untagged[0]
        assert big[1000000:1000500] in part


def test_compress(imap_server):
    with imap_server.imap("alice") as client:
        client.ok("COMPRESS DEFLATE")
        client.start_deflate()
        assert client.ok("NOOP").text == "Completed"


def test_level_above_shared_mailboxes(imap_server):
    """"Shared Folders" is a name that no mailbox can have."""
    with imap_server.imap("admin") as admin:
        admin.ok("CREATE team/one")
    for pattern in ("%", "Shared Folders", "S%"):
        for command in ("LIST", "LSUB", "XLIST"):
            with imap_server.imap("alice") as client:
                client.ok('SUBSCRIBE "Shared Folders/team/one"')
                shown = client.ok(f'{command} "" "{pattern}"').find(f"* {command} (\\Noselect \\HasChildren)")
                assert shown == [f'* {command} (\\Noselect \\HasChildren) "/" "Shared Folders"'.encode()]
                client.ok(f'LIST "" "{pattern}" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES))')


def test_raw_quota(factory):
    server = factory(services=("imap",))
    server.conf["quota_use_conversations"] = True
    server.start()
    with server.imap("admin") as admin, server.imap("alice") as client:
        admin.ok("CREATE user/alice")
        admin.ok("SETQUOTA user/alice (STORAGE 1000 MESSAGE 100)")
        client.ok("CREATE copies")
        client.append("INBOX", message(1, 3000))
        client.ok("SELECT INBOX")
        for _ in range(3):
            client.ok("COPY 1 copies")
        assert "X-RAWQUOTA" in client.ok("CAPABILITY").untagged[0].decode().split()
        plain = client.ok("GETQUOTAROOT INBOX").untagged
        assert plain == [b"* QUOTAROOT INBOX INBOX", b"* QUOTA INBOX (STORAGE 3 1000 MESSAGE 1 100)"]
        raw = client.ok("GETQUOTAROOT INBOX (RAW)").untagged
        assert raw == [b"* QUOTAROOT INBOX INBOX",
                       b"* QUOTA INBOX (STORAGE 3 1000 MESSAGE 1 100 X-RAW-STORAGE 12 1000 X-RAW-MESSAGE 4 100)"]
        assert admin.ok("GETQUOTA user/alice (raw)").untagged == [
            b"* QUOTA user/alice (STORAGE 3 1000 MESSAGE 1 100 X-RAW-STORAGE 12 1000 X-RAW-MESSAGE 4 100)"]
        for bad in ("(FOO)", "()", "(RAW RAW)", "(RAW", "RAW", "(RAW) x"):
            assert client.bad(f"GETQUOTAROOT INBOX {bad}").untagged == []
        assert admin.no("SETQUOTA user/alice (X-RAW-STORAGE 5)").text == "Unsupported quota resource"
        assert client.ok("GETQUOTAROOT INBOX").untagged == plain
        entry = "/shared/vendor/cmu/cyrus-imapd/userrawquota"
        assert client.ok(f"GETMETADATA INBOX {entry}").untagged == [
            f'* METADATA INBOX ("{entry}" "(STORAGE 12 1000 MESSAGE 4 100)")'.encode()]
        assert client.no(f'SETMETADATA INBOX ({entry} "x")').text == "Permission denied"


def test_raw_quota_is_not_announced_before_login(imap_server):
    with imap_server.imap() as client:
        assert b"X-RAWQUOTA" not in client.ok("CAPABILITY").untagged[0]


def test_selected_mailbox_is_deleted(imap_server):
    with imap_server.imap("alice") as one, imap_server.imap("alice") as two:
        two.ok("CREATE gone")
        for n in range(2):
            two.append("gone", message(n))
        one.ok("SELECT gone")
        two.ok("DELETE gone")
        assert one.ok("NOOP").untagged == [b"* 1 EXPUNGE", b"* 1 EXPUNGE"]
        assert one.ok("NOOP").untagged == []
        assert one.no("FETCH 1 FLAGS").text.startswith("Mailbox does not exist")
        assert one.no(r"STORE 1 +FLAGS (\Seen)").text == "Mailbox does not exist"
        one.ok("CLOSE")


def test_rights_of_others(imap_server):
    with imap_server.imap("alice") as alice, imap_server.imap("bob") as bob:
        alice.append("INBOX", message(1))
        assert bob.no("SELECT \"Other Users/alice\"").text == "Mailbox does not exist"
        alice.ok("SETACL INBOX bob lrs")
        bob.ok("SELECT \"Other Users/alice\"")
        assert bob.ok(r"STORE 1 +FLAGS (\Seen)").untagged == [rb"* 1 FETCH (FLAGS (\Recent \Seen))"]
        assert bob.no(r"STORE 1 +FLAGS (\Flagged)").text == "Permission denied"
        alice.ok("SELECT INBOX")
        assert b"Seen" not in alice.ok("FETCH 1 FLAGS").untagged[0]
        assert bob.no("EXPUNGE").text == "Permission denied"


def test_login_line_in_the_log(imap_server):
    with imap_server.imap("alice") as client:
        client.logout()
    imap_server.wait_log(r"login: \S+ ?\[127\.0\.0\.1\] alice plaintext User logged in SESSIONID=<")


def test_root_of_the_shared_namespace(imap_server):
    """A name of its own kind: no mailbox, no internal name; it once ended the process."""
    with imap_server.imap("admin") as admin:
        admin.ok("CREATE shared")
        admin.ok("SETACL shared anyone lr")
    root = b'"/" "Shared Folders"'
    with imap_server.imap("alice") as alice:
        for command, flags in (('LIST "" %', rb"\Noselect \HasChildren"),
                               ('XLIST "" %', rb"\Noselect \HasChildren"),
                               ('LIST "" % RETURN (SUBSCRIBED)', rb"\NonExistent \HasChildren")):
            assert b"* %s (%s) %s" % (command.split()[0].encode(), flags, root) in alice.ok(command).untagged
        alice.ok('SUBSCRIBE "Shared Folders/shared"')
        assert alice.ok('LSUB "" %').untagged == [rb'* LSUB (\Noselect \HasChildren) ' + root]
        assert alice.ok('LIST (SUBSCRIBED RECURSIVEMATCH) "" %').untagged == [
            rb'* LIST (\NonExistent \HasChildren) ' + root + b' (CHILDINFO ("SUBSCRIBED"))']


def process_of(server, user):
    """The pid of the only session of a user, by its title."""
    found = [pid for pid in server.children()
             if f" {user}".encode() in open(f"/proc/{pid}/cmdline", "rb").read()]
    assert len(found) == 1, found
    return found[0]


def append_many(client, first, last):
    for n in range(first, last, 100):
        client.send(b"m APPEND INBOX" + b"".join(b" {%d+}\r\n%s" % (len(m), m) for m in map(message, range(n, n + 100)))
                    + b"\r\n")
        line = client.readline()
        while not line.startswith(b"m "):
            line = client.readline()
        assert line.startswith(b"m OK"), line


FETCH_ALL = "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT X-NONE)])"


@pytest.mark.parametrize("tls", (False, True), ids=("plain", "tls"))
def test_an_idle_session_is_small(factory, tls):
    """1.5 MB of its own, whatever it did before; what OpenSSL keeps for a TLS session comes on top."""
    limit = (1536 + (256 if tls else 0)) << 10
    server = factory(services=("imap",))
    server.use_tls()
    server.start()

    def session(user):
        client = server.imap()
        if tls:
            client.starttls(server.cafile)
        client.login(user, f"{user}.pw")
        return client

    def small(pid, when):
        deadline = time.monotonic() + 30
        while (own := OwnMemory(pid)).bytes > limit:
            assert time.monotonic() < deadline, f"{when}: {own}"
            time.sleep(0.1)

    with server.imap("admin") as admin:
        admin.ok("CREATE user/alice")
        admin.ok("CREATE user/bob")
    with session("bob") as other, session("alice") as client:
        for c in (other, client):
            c.ok("SELECT INBOX")
        pid = process_of(server, "alice")
        small(pid, "selected")
        append_many(other, 0, 100)
        append_many(client, 0, 1000)
        small(pid, "1000 messages appended")
        append_many(client, 1000, 10000)
        for c in (other, client):
            c.ok("NOOP")
            c.ok(FETCH_ALL)
        small(pid, "10,000 messages fetched")
        client.start("IDLE")
        assert client.readline() == b"+ idling"
        small(pid, "idle")

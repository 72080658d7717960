# SPDX-License-Identifier: BSD-3-Clause
"""A whole store goes from 3.6.1 to us, back, and again: each answers what the other answered.

Both servers work on it in turn with the same kinds of operations. After each turn the
packaged tools must find nothing to repair, and the next server must tell the same of every
mailbox and message.
"""

import re

import pytest

from cyltest.store import assert_alike, debian_tool, servers_on_one_store, snapshot

CONF = {"conversations": True, "conversations_db": "twoskip", "annotation_allow_undefined": True,
        "quota_db": "quotalegacy", "expunge_mode": "delayed", "delete_mode": "delayed",
        "sieve_maxscriptsize": None, "specialusealways": True, "statuscache": True,
        "conversations_counted_flags": r"\Draft \Flagged $IsMailingList", "allowusermoves": True,
        "sharedprefix": "Shared", "autocreate_quota": None}
USERS = ("alice", "bob", "carol")


def mail(key, subject, ref=None, extra=b"", body=b"one line\r\n"):
    head = (f"From: Ann <ann@{key}.example>\r\nTo: bob@example.com\r\nSubject: {subject}\r\n"
            f"Date: Mon, 6 Feb 2023 10:00:00 +0000\r\nMessage-ID: <{key}@example.com>\r\n")
    if ref:
        head += f"References: <{ref}@example.com>\r\n"
    return head.encode() + extra + b"\r\n" + body


MIME = (b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x"\r\n',
        b"--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        b"gr\xc3\xbc\xc3\x9fe\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nin\r\n"
        b"--x--\r\n")


def set_up(server):
    server.create_user("alice", "Sent", "Trash", "a", "a/b", "a/b/c")
    server.create_user("bob", "Work")
    server.create_user("carol")
    with server.imap("admin") as imap:
        for name in ("shared", "shared/news"):
            imap.ok(f"CREATE {name}")
        imap.ok("SETACL shared/news anyone lrsp")
        imap.ok("SETACL shared/news alice lrswipkxte")
        imap.ok("SETQUOTA user/alice (STORAGE 5000 MESSAGE 1000 X-NUM-FOLDERS 50 X-ANNOTATION-STORAGE 100)")
        imap.ok("SETQUOTA shared (STORAGE 10)")
        imap.ok('SETMETADATA "" (/shared/comment "of the server")')
        imap.logout()


def work_as_alice(server, n):
    with server.imap("alice") as imap:
        imap.append("INBOX", mail(f"x{n}", "first"), flags=rf"\Seen \Flagged $Label{n}",
                    date="07-Feb-2022 09:01:02 +0000")
        imap.append("INBOX", mail(f"y{n}", "Re: first", ref=f"x{n}"), flags=r"\Answered")
        imap.append("INBOX", mail(f"z{n}", "=?utf-8?q?gr=C3=BC=C3=9Fe?=", extra=MIME[0], body=MIME[1]))
        imap.append("a/b", mail(f"d{n}", "a draft"), flags=r"\Draft $IsMailingList")
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1:2 +FLAGS (\Seen kept)")
        imap.ok(r"STORE * -FLAGS (\Seen)")
        imap.ok('STORE 1 ANNOTATION (/comment (value.shared "shared %d" value.priv "mine"))' % n)
        imap.ok("COPY 1:* Sent")
        imap.ok("MOVE 2 Trash")
        imap.ok(r"STORE 2 +FLAGS.SILENT (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok(f"CREATE n{n}")
        imap.ok(f'CREATE "n{n}/Gr&APwA3w-e &- x.y"')
        imap.append(f"n{n}", mail(f"f{n}", "in a folder"))
        imap.ok(f"RENAME n{n} renamed{n}")
        imap.ok(f"CREATE gone{n}")
        imap.append(f"gone{n}", mail(f"g{n}", "gone"))
        imap.ok(f"DELETE gone{n}")
        imap.ok(f"SUBSCRIBE renamed{n}")
        imap.ok("SUBSCRIBE INBOX")
        imap.ok("SUBSCRIBE a/b/c" if n % 2 == 0 else "UNSUBSCRIBE a/b/c")
        imap.ok(f"SETACL renamed{n} bob lrsw")
        imap.ok(f"SETACL INBOX bob lrs{'w' if n % 2 else 't'}")
        imap.ok(f'SETMETADATA renamed{n} (/shared/comment "s{n}" /private/comment "p{n}")')
        imap.ok(f'SETMETADATA INBOX (/shared/vendor/example/x "{n}" /private/comment NIL)')
        imap.ok("CLOSE")
        imap.logout()


def work_as_bob(server, n):
    """Seen state, flags and messages in other people's mailboxes."""
    with server.imap("bob") as imap:
        imap.ok('SELECT "Other Users/alice"')
        imap.ok("STORE 1,* +FLAGS (\\Seen)")
        imap.ok("UNSELECT")
        imap.ok("SELECT Shared/shared/news")
        imap.ok("STORE 1:* +FLAGS (\\Seen)")
        imap.ok("SUBSCRIBE Shared/shared/news")
        imap.append("Work", mail(f"b{n}", "work"), flags=r"\Seen")
        imap.ok("UNSELECT")
        imap.logout()


def work(server, n):
    server.deliver(mail(f"l{n}", "delivered"), "alice", "bob", "carol")
    server.deliver(mail(f"m{n}", "Re: delivered", ref=f"l{n}"), "alice")
    with server.lmtp() as lmtp:
        assert lmtp.deliver(mail(f"s{n}", "to the folder"), ["+shared/news"])[0][0] == 250
        lmtp.quit()
    work_as_alice(server, n)
    work_as_bob(server, n)
    with server.imap("admin") as imap:
        imap.ok(f"SETQUOTA user/alice (STORAGE {6000 + n} MESSAGE 1000 X-NUM-FOLDERS 50)")
        imap.ok(f"SETQUOTA user/alice/a/b (STORAGE {60 + n})")
        imap.logout()


def assert_nothing_to_repair(server):
    """The packaged tools on a store at rest."""
    for name in ("mailboxes.db", "annotations.db", "deliver.db"):
        done = debian_tool(server, "cyr_dbtool", server.path("conf", name), "twoskip", "consistent")
        assert done.stdout.strip() == "Yes, consistent", (name, done.stdout)
    assert not debian_tool(server, "ctl_mboxlist", "-d").stderr
    done = debian_tool(server, "ctl_conversationsdb", "-v", "-A", "-r")
    assert not re.findall(r".*(?:ONLY|REAL|TEMP|BROKEN).*", done.stdout), done.stdout
    assert len(re.findall(r"is OK", done.stdout)) == len(USERS)
    done = debian_tool(server, "quota", "-f", "-n")
    assert not done.stderr, done.stderr
    done = debian_tool(server, "reconstruct", "-n", "-r", "user/*", "shared/*")
    assert not done.stderr, done.stderr
    for line in done.stdout.splitlines():
        assert re.fullmatch(r"(user|shared)/[^ ].*", line) and ":" not in line, done.stdout


@pytest.fixture
def store(debian_factory, factory):
    debian, ours = servers_on_one_store(debian_factory, factory, CONF)
    debian.start()
    return debian, ours


def turn(leaving, coming, n, root):
    """`leaving` works and says what it sees; `coming` must see the same."""
    work(leaving, n)
    seen = snapshot(leaving, USERS)
    leaving.stop()
    assert_nothing_to_repair(root)
    coming.start()
    assert_alike(seen, snapshot(coming, USERS))


def test_there_and_back_again(store):
    debian, ours = store
    set_up(debian)
    turn(debian, ours, 0, root=debian)
    turn(ours, debian, 1, root=debian)
    turn(debian, ours, 2, root=debian)
    turn(ours, debian, 3, root=debian)

# SPDX-License-Identifier: BSD-3-Clause
"""A user with something of everything, and comparisons of two ends of a replication."""

from .credentials import password
from .dlist import parse
from .syncline import comparable, crcs, full


def message(n, subject=None, body=None):
    return (f"Message-ID: <m{n}@example.com>\r\nDate: Sun, 01 Nov 2026 12:00:0{n % 10} +0000\r\n"
            f"From: bob@example.com\r\nTo: anna@example.com\r\nSubject: {subject or f'test {n}'}\r\n"
            f"\r\n{body or f'body {n}'}\r\n").encode()


def fill_user(server, user="anna"):
    """INBOX with 3 messages, Sent and Work with one; flags, annotations, special use, quota, subscriptions."""
    server.add_user(user)
    server.create_user(user)
    date = "01-Nov-2026 12:00:0%d +0000"
    with server.imap(user) as imap:
        imap.ok('CREATE INBOX.Work')
        imap.ok(r'CREATE INBOX.Sent (USE (\Sent))')
        imap.append("INBOX", message(1), date=date % 1)
        imap.append("INBOX", message(2), r"\Seen", date % 2)
        imap.append("INBOX", message(3), r"\Flagged $Label1", date % 3)
        imap.append("INBOX.Work", message(4), r"\Answered \Seen", date % 4)
        imap.append("INBOX.Sent", message(5), r"\Draft", date % 5)
        imap.ok('SETMETADATA INBOX.Work (/shared/comment "a shared comment" '
                '/private/comment "a private one")')
        imap.ok("SUBSCRIBE INBOX")
        imap.ok("SUBSCRIBE INBOX.Work")
        imap.logout()
    with server.imap("admin") as imap:
        imap.ok(f"SETQUOTA user.{user} (STORAGE 10000 MESSAGE 500)")
        imap.logout()


def diverge(master, replica, user="anna"):
    """Both ends had 1-5; then each went its own way (transcript sync-08)."""
    with replica.imap(user) as imap:
        imap.append("INBOX", message(20))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Flagged $Rep)")
        imap.ok(r"STORE 4 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.append("INBOX", message(22))
        imap.logout()
    with master.imap(user) as imap:
        imap.append("INBOX", message(21))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 2 +FLAGS (\Answered)")
        imap.ok(r"STORE 3 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.logout()


def login(server):
    sync = server.sync()
    sync.login("repl", password("repl"))
    sync.ok("APPLY CAPABILITIES (SIEVE-MAILBOX)")
    return sync


def user_state(server, user="anna"):
    """Everything of a user as a sync server tells it, with the checksums proved."""
    out = {"MAILBOX": {}, "QUOTA": {}, "SEEN": {}, "LSUB": []}
    with login(server) as sync:
        for line in sync.ok(f"GET USER {user}").untagged:
            kind, value = parse(line)
            if kind == "MAILBOX":
                name = value["MBOXNAME"].decode()
                whole = full(sync, f'"{name}"')
                assert (int(whole["SYNC_CRC"]), int(whole["SYNC_CRC_ANNOT"])) == crcs(whole), name
                out["MAILBOX"][name] = comparable(whole)
            elif kind == "QUOTA":
                value.pop("MODSEQ")
                out["QUOTA"][value["ROOT"]] = value
            elif kind == "SEEN":
                out["SEEN"][value["UNIQUEID"]] = value
            elif kind == "LSUB":
                out["LSUB"] = sorted(value)
    return out


def assert_same(a, b, user="anna"):
    one, two = user_state(a, user), user_state(b, user)
    assert sorted(one["MAILBOX"]) == sorted(two["MAILBOX"])
    for name, value in one["MAILBOX"].items():
        other = two["MAILBOX"][name]
        differing = {key: (value.get(key), other.get(key)) for key in {*value, *other}
                     if value.get(key) != other.get(key)}
        assert not differing, f"{name}: {differing}"
    one.pop("MAILBOX")
    two.pop("MAILBOX")
    assert one == two
    return one


def sent_commands(done):
    """The protocol lines that sync_client -v -v printed that change anything."""
    text = done.stderr
    return [line for line in text.splitlines() if "APPLY " in line and "APPLY CAPABILITIES" not in line]

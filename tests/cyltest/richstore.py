# SPDX-License-Identifier: BSD-3-Clause
"""A store that has something of everything, and where each class of file lies (doc/rebuild.md)."""

import os

from .account import Account
from .credentials import Credentials
from .instance import Instance
from .programs import BuildPrograms
from .store import snapshot
from .storefiles import Snapshot, mailbox_dir

DIRECTORIES = ("conf", "spool", "second")
USERS = ("alice", "bob")
MESSAGE = (b"Message-ID: <%(id)s@example.com>\r\n%(refs)sFrom: Sender <s@example.org>\r\nTo: alice@example.com\r\n"
           b"Subject: %(subject)s\r\nDate: Mon, 07 Feb 2022 10:00:0%(n)d +0000\r\n\r\nbody of %(id)s\r\n")
DATE = "02-Jan-2023 10:00:00 +0000"


def message(ident, n=0, parent=None, subject="hello"):
    refs = f"In-Reply-To: <{parent}@example.com>\r\n".encode() if parent else b""
    return MESSAGE % {b"id": ident.encode(), b"refs": refs, b"subject": subject.encode(), b"n": n}


def configure(server):
    server.env["TZ"] = "UTC"
    server.conf.update({
        "conversations": True, "quota_db": "twoskip", "sync_log": True, "expunge_mode": "delayed", "delete_mode": "delayed",
        "duplicatesuppression": True, "specialusealways": True, "anyoneuseracl": True,
        "conversations_counted_flags": "\\Flagged", "annotation_allow_undefined": True, "tls_sessions_db": "twoskip"})
    server.conf["partition-second"] = server.path("second")
    server.account.mkdir(server.path("second"))
    server.use_tls()
    server.add_service("imaps")


def fill(server):
    """Two users and a shared folder; alice's Work is read by bob, too. The server runs and goes on."""
    with server.imap("admin") as c:
        for name in ("user/alice", "user/alice/Work", "user/alice/Work/Deep", "user/alice/Gone", "user/alice/Old",
                     "user/alice/No/Such/Parent", "user/bob second", "board"):
            c.ok(f"CREATE {name}")
        c.ok("RENAME user/alice/Old user/alice/New")
        c.ok("CREATE user/alice/Drafts (USE (\\Drafts))")
        c.ok("SETQUOTA user/alice (STORAGE 20000 MESSAGE 100)")
        c.ok("SETQUOTA user/alice/Work (STORAGE 5000)")
        c.ok("SETACL board anyone lrsp")
        c.ok('SETMETADATA "" (/shared/comment "of the server")')
        c.ok('SETMETADATA board (/shared/comment "of the board")')
        c.logout()
    with server.imap("alice") as c:
        for n, (ident, flags, parent) in enumerate([
                ("first", "\\Seen \\Flagged", None), ("answer", "$Label1", "first"), ("doomed", None, None),
                ("other", "\\Answered", None)], 1):
            c.append("INBOX", message(ident, n, parent), flags, date=DATE)
        for n, ident in enumerate(("first", "work"), 1):
            c.append("Work", message(ident, n), "\\Seen" if n == 1 else None, date=DATE)
        c.append("Work/Deep", message("deep"), date=DATE)
        c.append("Gone", message("gone"), date=DATE)
        c.append("New", message("renamed"), "$Label2", date=DATE)
        c.ok("SELECT INBOX")
        c.ok('STORE 2 ANNOTATION (/comment (value.shared "kept" value.priv "mine"))')
        c.ok("STORE 3 +FLAGS (\\Deleted)")
        c.ok("EXPUNGE")
        c.ok("DELETE Gone")
        c.ok("SETACL Work bob lrswit")
        c.ok('SETMETADATA Work (/shared/comment "of work" /private/comment "alice\'s")')
        for name in ("INBOX", "Work", "Drafts"):
            c.ok(f"SUBSCRIBE {name}")
        c.ok("UNSUBSCRIBE Drafts")
        c.logout()
    with server.imap("bob") as c:
        c.append("INBOX", message("bobs"), date=DATE)
        c.ok('SELECT "Other Users/alice/Work"')
        c.ok("STORE 2 +FLAGS (\\Seen)")
        c.ok('SUBSCRIBE "Other Users/alice/Work"')
        c.logout()
    server.deliver(message("delivered", 5, "answer"), "alice", "bob")
    with server.imap(service="imaps") as c:
        c.ok("NOOP")
        c.logout()
    server.run("cyr_dbtool", "-n", server.path("conf", "user_deny.db"), "flat", "set", "dave", "2\timap\tlater")


def seen_by_clients(server):
    """All that clients see of it: {(user, command): lines}."""
    return snapshot(server, USERS)


def user_file(server, user, kind):
    inbox = f"user.{user}" if server.conf.get("unixhierarchysep") is False else f"user/{user}"
    uniqueid = os.path.basename(mailbox_dir(server, inbox))
    return server.path("conf", "user", "uuid", uniqueid[0], uniqueid[1], uniqueid, kind + ".db")


def stopped(request):
    """The rich store as a server that is stopped, for a fixture: .seen is what clients see of it, .saved.restore() makes it anew."""
    from conftest import Factory

    account, credentials = Account(), Credentials()
    made = Factory(Instance, account, BuildPrograms(account), credentials)
    server = made("rich", services=("imap", "lmtp"))
    configure(server)
    server.allow_log("IOERROR: mailbox: what=<can't (read|open) cyrus")
    server.start()
    fill(server)
    server.run("ctl_cyrusdb", "-c")
    server.seen = seen_by_clients(server)
    server.stop()
    server.saved = Snapshot(server, directories=DIRECTORIES)
    yield server
    made.finish(request.session.testsfailed)
    credentials.close()


def path_of(server, kind):
    """A file, or the files, of that class of doc/rebuild.md: alice's, but for what only bob has."""
    inbox = mailbox_dir(server, "user/alice")
    return {
        "cyrus.header": os.path.join(inbox, "cyrus.header"), "cyrus.cache": os.path.join(inbox, "cyrus.cache"),
        "cyrus.annotations": os.path.join(inbox, "cyrus.annotations"),
        "conversations.db": user_file(server, "alice", "conversations"),
        "counters.db": user_file(server, "alice", "counters"),
        "seen": user_file(server, "bob", "seen"),
        "sub": [user_file(server, user, "sub") for user in USERS],
        "subhistory": user_file(server, "alice", "subhistory"),
        "journal": server.path("conf", "journal"),
    }.get(kind, server.path("conf", kind))

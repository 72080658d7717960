# SPDX-License-Identifier: BSD-3-Clause
"""A file that can't be opened, read or written: the log names it, whoever needed it, and the server goes on for others."""

import re

import pytest

MESSAGE = b"From: a@example.com\r\nSubject: told\r\nMessage-ID: <told@example.com>\r\n\r\nbody\r\n"
BIG = MESSAGE + b"a line of a large message\r\n" * 6000
# What is in a path, and in the log line of whoever can't have it.
OPENED = ["/conf/journal/", "/conf/journal/control", "/conf/mailboxes.db", "/conf/annotations.db", "/conf/quotas.db",
          "/conversations.db", "/counters.db", "/seen.db", "/sub.db", "/subhistory.db", "/cyrus.header", "/cyrus.index", "/cyrus.cache",
          "/cyrus.annotations", "/conf/deliver.db", "/conf/users.db", "/1.", "/stage./"]
READ = ["/conf/journal/", "/sub.db", "/1."]  # others are mapped
WRITTEN = ["/conf/journal/", "/conf/journal/control", "/conf/mailboxes.db", "/conf/annotations.db", "/conf/quotas.db",
           "/conversations.db", "/counters.db", "/seen.db", "/sub.db", "/subhistory.db", "/cyrus.header", "/cyrus.index",
           "/cyrus.cache", "/cyrus.annotations", "/conf/deliver.db", "/stage./"]
CASES = [(file, f"{kind}:1+:{error}") for files, kind, error in
         ((OPENED, "open", "EACCES"), (READ, "pread", "EIO"), (WRITTEN, "write", "ENOSPC")) for file in files]


def try_everything(server):
    """Answers do not matter, but there are some, or the connection ends."""
    for user in ("alice", "bob"):
        try:
            with server.imap(user) as imap:
                box = "INBOX" if user == "alice" else "user.alice"
                for command in (f"SELECT {box}", "FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[])", "STORE 1 +FLAGS (\\Seen $x)",
                                'STORE 1 ANNOTATION (/comment (value.shared "x"))', "FETCH 1 ANNOTATION (/comment value.shared)",
                                f"SUBSCRIBE {box}", f"UNSUBSCRIBE {box}", f'SETMETADATA {box} (/shared/comment "x")', f"GETQUOTAROOT {box}",
                                f"COPY 1 {box}", f"CREATE {box}.New"):
                    imap.cmd(command)
                imap.append(box, BIG)
        except (AssertionError, EOFError, OSError):
            pass
    try:
        server.deliver(MESSAGE, "alice")
        server.deliver(MESSAGE.replace(b"<told@", b"<another@"), "alice")
    except (AssertionError, EOFError, OSError):
        pass


def lines_about(log, file):
    return [line for line in log.splitlines() if file.rstrip("/") in line and re.search("Permission denied|Input/output error|No space left", line)]


@pytest.mark.parametrize("file, fault", CASES)
def test_the_log_names_the_file(factory, file, fault):
    server = factory(services=("imap", "lmtp"))
    server.conf.update({"quota_db": "twoskip", "duplicatesuppression": True, "altnamespace": False, "unixhierarchysep": False})
    server.start()
    server.create_user("alice")
    server.create_user("bob")
    with server.imap("admin") as imap:
        imap.ok("SETQUOTA user.alice (STORAGE 100000)")
    server.deliver(MESSAGE, "alice", "bob")
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok("SETACL INBOX bob lrswipkxten")
        imap.ok('STORE 1 ANNOTATION (/comment (value.shared "x"))')
        imap.ok("SUBSCRIBE INBOX")
    with server.imap("bob") as imap:
        imap.ok("SELECT user.alice")
        imap.ok("STORE 1 +FLAGS (\\Seen)")
        imap.ok("SUBSCRIBE user.alice")
    server.stop()
    server.allow_log("")
    server.start_jobs.clear()
    server.env["CYLINDER_DISKIO_FAULT"] = f"{fault}:{file}"
    server.start()
    before = len(server.log_text())
    try_everything(server)
    server.kill()
    del server.env["CYLINDER_DISKIO_FAULT"]
    log = server.log_text()[before:]
    assert lines_about(log, file), log
    server.start()
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok("FETCH 1 BODY.PEEK[]")
    server.deliver(MESSAGE, "bob")

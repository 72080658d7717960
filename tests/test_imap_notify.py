# SPDX-License-Identifier: BSD-3-Clause
"""NOTIFY (RFC 5465): what a session is told of mailboxes without asking, and between commands."""

import itertools
import re

import pytest


def message(n, subject="plain"):
    return (b"Message-ID: <n%d@example.com>\r\nFrom: a@example.com\r\nSubject: %s\r\n"
            b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\nbody %d\r\n" % (n, subject.encode(), n))


USERS = itertools.count(1)


@pytest.fixture(scope="module")
def server(module_factory):
    server = module_factory(services=("imap",))
    server.conf.update({"conversations": True, "annotation_allow_undefined": True})
    server.start()
    return server


class Told:
    """A session that waits, and another one of the same new user that does things."""

    def __init__(self, server, *folders):
        self.server = server
        self.user = f"user{next(USERS)}"
        server.add_user(self.user)
        server.create_user(self.user, *folders)
        self.imap, self.other = server.imap(self.user), server.imap(self.user)
        self.marks = itertools.count(1)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.imap.close()
        self.other.close()

    def set(self, groups):
        return self.imap.ok(f"NOTIFY SET {groups}").untagged

    def lines(self, count):
        """What the session is told without saying anything."""
        return [self.imap.readline().decode() for _ in range(count)]

    def all_lines(self):
        """All that it is told of what has been done; a personal group must have MailboxName."""
        mark = f"mark{next(self.marks)}"
        self.other.ok(f"CREATE {mark}")
        lines = []
        while not lines or not (lines[-1].startswith("* LIST ") and lines[-1].endswith(f" {mark}")):
            lines += self.lines(1)
        told = lines[:-1] + [line.decode() for line in self.imap.ok("NOOP").untagged]
        return [line for line in told if mark not in line]


def status(line):
    match = re.fullmatch(r"\* STATUS (\S+) \((.*)\)", line)
    words = match[2].split()
    return match[1], dict(zip(words[::2], map(int, words[1::2])))


def test_status_of_other_mailboxes(server):
    """At once those of all but the selected one, then whatever changes, while the session waits and in IDLE."""
    with Told(server, "Work", "Home") as t:
        t.imap.ok("SELECT Home")
        first = dict(status(line.decode()) for line in
                     t.set("STATUS (personal (MessageNew MessageExpunge FlagChange MailboxName))"))
        assert sorted(first) == ["INBOX", "Work"]
        assert first["Work"].pop("UIDVALIDITY") and first["Work"].pop("HIGHESTMODSEQ")
        assert first["Work"] == {"MESSAGES": 0, "UIDNEXT": 1, "UNSEEN": 0}
        t.other.append("Work", message(1))
        name, got = status(*t.lines(1))
        assert (name, got["MESSAGES"], got["UIDNEXT"], got["UNSEEN"]) == ("Work", 1, 2, 1)
        t.other.ok("SELECT Work")
        t.other.ok(r"STORE 1 +FLAGS (\Seen)")
        assert status(*t.lines(1))[1]["UNSEEN"] == 0
        modseq = got["HIGHESTMODSEQ"]
        t.other.ok(r"STORE 1 +FLAGS (\Flagged)")
        name, got = status(*t.lines(1))
        assert got["HIGHESTMODSEQ"] > modseq
        tag = t.imap.start("IDLE")
        assert t.imap.continuation(tag) is None
        t.other.append("INBOX", message(2))
        name, got = status(*t.lines(1))
        assert (name, got["MESSAGES"]) == ("INBOX", 1)
        t.imap.sendline("DONE")
        t.imap.finish(tag)
        t.other.ok(r"STORE 1 +FLAGS (\Deleted)")
        t.lines(1)
        t.other.ok("EXPUNGE")
        assert status(*t.lines(1))[1]["MESSAGES"] == 0
        # of the selected one nothing is told like that, and none of its messages, as nobody asked
        t.other.append("Home", message(3))
        assert [line for line in t.all_lines() if "EXISTS" not in line and "RECENT" not in line and "FLAGS" not in line] == []
        # once another is selected it is one of the others
        t.imap.ok("UNSELECT")
        t.other.append("Home", message(4))
        assert status(*t.lines(1))[0] == "Home"


def test_selected(server):
    """At once, with what was asked for of new messages, which marks nothing as read; expunges, flags."""
    with Told(server) as t:
        for n in range(1, 4):
            t.other.append("INBOX", message(n))
        for c in (t.imap, t.other):
            c.ok("SELECT INBOX")
        t.set("(selected (MessageNew (UID BODY[HEADER.FIELDS (SUBJECT)] BODY[TEXT]) MessageExpunge FlagChange))")
        t.other.append("INBOX", message(4, "hello"))
        lines = t.lines(2)
        assert lines[0] == "* 4 EXISTS" and "RECENT" in lines[1]
        assert t.lines(1)[0].startswith("* 4 FETCH (UID 4 BODY[HEADER.FIELDS (SUBJECT)] {")
        lines = t.lines(4)
        assert lines[0] == "Subject: hello" and lines[3] == "body 4"
        assert t.lines(1) == [")"]
        assert b"\\Seen" not in t.other.ok("FETCH 4 FLAGS").untagged[-1]
        t.other.ok(r"STORE 1 +FLAGS (\Flagged)")
        assert t.lines(1) == [r"* 1 FETCH (FLAGS (\Recent \Flagged))"]
        t.other.ok(r"STORE 2 +FLAGS (\Deleted)")
        t.lines(1)
        t.other.ok("EXPUNGE")
        assert t.lines(1) == ["* 2 EXPUNGE"]


def test_selected_delayed(server):
    """Expunges wait for a command that may tell them; flags nobody asked for are not told in between."""
    with Told(server) as t:
        for n in range(1, 4):
            t.other.append("INBOX", message(n))
        for c in (t.imap, t.other):
            c.ok("SELECT INBOX")
        t.set("(selected-delayed (MessageNew MessageExpunge)) (personal (MailboxName))")
        t.other.ok(r"STORE 2 +FLAGS (\Deleted)")
        t.other.ok("EXPUNGE")
        t.other.append("INBOX", message(4))
        assert t.lines(1) == ["* 4 EXISTS"]
        t.lines(1)
        assert {b"* 1 FETCH (UID 1)", b"* 3 FETCH (UID 3)", b"* 4 FETCH (UID 4)"} <= set(t.imap.cmd("FETCH 1:* UID").untagged)
        assert t.imap.ok("NOOP").untagged[0] == b"* 2 EXPUNGE"
        assert t.all_lines() == []


def test_names(server):
    """Created, renamed, deleted; subscribed and not."""
    with Told(server) as t:
        t.set("(personal (MailboxName SubscriptionChange))")
        t.other.ok("CREATE New")
        assert t.lines(1) == ['* LIST () "/" New']
        t.other.ok("RENAME New Newer")
        assert t.lines(1) == ['* LIST () "/" Newer ("OLDNAME" (New))']
        t.other.ok("SUBSCRIBE Newer")
        assert t.lines(1) == [r'* LIST (\Subscribed) "/" Newer']
        t.other.ok("UNSUBSCRIBE Newer")
        assert t.lines(1) == ['* LIST () "/" Newer']
        t.other.ok("DELETE Newer")
        assert t.lines(1) == [r'* LIST (\NonExistent) "/" Newer']
        # its own changes, too
        t.imap.ok("CREATE Mine")
        assert t.lines(1) == ['* LIST () "/" Mine']
        t.imap.ok("NOTIFY NONE")
        t.other.ok("CREATE Silent")
        assert t.imap.ok("NOOP").untagged == []


def test_metadata(server):
    with Told(server, "Work") as t, server.imap("admin") as admin:
        t.set("(personal (MailboxMetadataChange ServerMetadataChange MailboxName))")
        t.other.ok('SETMETADATA Work (/shared/comment "one" /private/comment "two")')
        assert t.lines(1) == ["* METADATA Work /private/comment /shared/comment"]
        t.other.ok("SETMETADATA Work (/private/comment NIL)")
        assert t.lines(1) == ["* METADATA Work /private/comment"]
        admin.ok('SETMETADATA "" (/shared/comment "server")')
        assert t.lines(1) == ['* METADATA "" /shared/comment']
        admin.ok('SETMETADATA "" (/shared/comment NIL)')
        assert t.lines(1) == ['* METADATA "" /shared/comment']
        t.other.append("Work", message(1))
        assert t.all_lines() == []


def test_groups(server):
    """The first group that names a mailbox decides; mailboxes of others; what may not be seen or read is not there."""
    with Told(server, "Work", "Work/Sub", "Home", "Quiet") as t, Told(server, "Shared", "Secret") as owner:
        owner.other.ok(f"SETACL Shared {t.user} lrs")
        their = f'"Other Users/{owner.user}"'
        t.other.ok("SUBSCRIBE Home")
        messages = "(MessageNew MessageExpunge)"
        first = t.set(f"STATUS (mailboxes (Quiet nosuch) NONE) (subtree Work {messages}) (subscribed {messages}) "
                      f"(subtree {their} {messages}) (personal (MailboxName))")
        names = [re.match(rb'\* STATUS ("[^"]*"|\S+)', line)[1].decode() for line in first]
        shared = f'"Other Users/{owner.user}/Shared"'
        assert sorted(names) == sorted(["Work", "Work/Sub", "Home", shared])
        for folder in ("Quiet", "INBOX"):
            t.other.append(folder, message(1))
        owner.other.append("Secret", message(2))
        assert t.all_lines() == []
        owner.other.append("Shared", message(3))
        assert t.lines(1)[0].startswith(f"* STATUS {shared} (MESSAGES 1 ")
        t.other.append("Work/Sub", message(4))
        assert t.lines(1)[0].startswith("* STATUS Work/Sub (MESSAGES 1 ")
        # the right to read goes, and with it what is told
        owner.other.ok(f"SETACL Shared {t.user} l")
        owner.other.append("Shared", message(5))
        assert t.all_lines() == []
        owner.other.ok(f"SETACL Shared {t.user} lrs")
        assert t.lines(1)[0].startswith(f"* STATUS {shared} (MESSAGES 2 ")
        # the right to see it
        t.set(f"(subtree {their} (MailboxName)) (personal (MailboxName))")
        owner.other.ok(f"DELETEACL Shared {t.user}")
        assert t.lines(1) == [rf'* LIST (\NoAccess) "/" {shared}']
        owner.other.ok("RENAME Shared Gone")
        assert t.all_lines() == []
        owner.other.ok(f"SETACL Gone {t.user} l")
        assert t.lines(1) == [f'* LIST () "/" "Other Users/{owner.user}/Gone"']
        # what is named before it is there
        t.set(f"(mailboxes Later {messages}) (personal (MailboxName))")
        t.other.ok("CREATE Later")
        assert t.lines(1)[0].startswith("* STATUS Later (MESSAGES 0 ")


def test_commands(server):
    with Told(server) as t:
        for groups in ("", "SET", "SET STATUS", "SET ()", "SET (personal)", "SET (nosuch (MailboxName))", "SET (personal MailboxName)",
                       "SET (personal ())", "SET (personal (MessageNew))", "SET (personal (FlagChange))",
                       "SET (selected (MessageNew MessageExpunge)) (selected-delayed NONE)", "SOON", "NONE x",
                       "SET (personal (MessageNew (FLAGS) MessageExpunge))", "SET (selected (MessageNew (NOSUCH) MessageExpunge))",
                       "SET (subtree (MailboxName))", "SET (personal (MailboxName)", "SET(personal NONE)"):
            t.imap.bad(f"NOTIFY {groups}".rstrip())
        answer = t.imap.no("NOTIFY SET (personal (MailboxName AnnotationChange))")
        assert answer.text.startswith("[BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange "
                                      "MailboxMetadataChange ServerMetadataChange)]")
        # what was refused changes nothing
        t.set("(PERSONAL (mailboxname))")
        t.imap.no("NOTIFY SET (personal (nosuch)")
        t.other.ok("CREATE x")
        assert t.lines(1) == ['* LIST () "/" x']
        assert b" NOTIFY " in t.imap.ok("CAPABILITY").untagged[0]


def test_context_is_told_at_once(server):
    """Between commands what a search finds goes on as well (RFC 5267)."""
    with Told(server) as t:
        for c in (t.imap, t.other):
            c.ok("SELECT INBOX")
        t.set("(selected (MessageNew MessageExpunge FlagChange))")
        tag = t.imap.start("UID SEARCH RETURN (UPDATE ALL) UNFLAGGED")
        t.imap.finish(tag)
        t.other.append("INBOX", message(1))
        assert t.lines(3)[2] == f'* ESEARCH (TAG "{tag}") UID ADDTO (0 1)'
        t.other.ok(r"STORE 1 +FLAGS (\Flagged)")
        assert t.lines(2)[1] == f'* ESEARCH (TAG "{tag}") UID REMOVEFROM (0 1)'


def test_selected_mailbox_vanishes(factory):
    """Nobody asks, and the session ends once, with BYE; or goes on, where sessions outlive mailboxes."""
    for disconnect in (True, False):
        server = factory(services=("imap",))
        server.conf["disconnect_on_vanished_mailbox"] = disconnect
        server.start()
        with Told(server, "Work") as t:
            t.other.append("Work", message(1))
            t.imap.ok("SELECT Work")
            t.set("(selected (MessageNew MessageExpunge)) (personal (MailboxName))")
            t.other.ok("DELETE Work")
            if disconnect:
                assert t.lines(1) == ["* BYE Fatal error: Mailbox has been (re)moved"]
                assert t.imap.at_eof()
                assert "closing connection" not in server.log_text()
            else:
                assert t.lines(2) == ["* 1 EXPUNGE", r'* LIST (\NonExistent) "/" Work']
                t.imap.ok("SELECT INBOX")
                t.other.append("INBOX", message(2))
                assert t.lines(1) == ["* 1 EXISTS"]

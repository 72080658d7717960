# SPDX-License-Identifier: BSD-3-Clause
"""Each kind of difference that two servers may have: how to make it, and the line that names it.

A kind is made on the second server (B) of a finished replication, for a user of its own,
in the user's "." names. `line` is what check_replication has to say: {user}, {A} and {B}
are filled in; the rest is a regular expression for the whole line.
"""

from .clients import Imap
from .credentials import password

GUID = "[0-9a-f]{40}"
ID = "[-a-z0-9]+"


def message(n, extra=""):
    return (f"Message-ID: <d{n}@example.com>\r\nDate: Sun, 01 Nov 2026 12:00:0{n % 10} +0000\r\n"
            f"From: bob@example.com\r\nSubject: difference {n}\r\n{extra}\r\nbody {n}\r\n").encode()


class Planter:
    """One user on both ends, and sessions there as the user and as administrator."""

    def __init__(self, user, a, b):
        self.user, self._servers = user, {"a": a, "b": b}

    def as_user(self, end="b"):
        server = self._servers[end]
        imap = Imap(server.address("imap"))
        imap.login_as(self.user, "admin", password("admin"))
        return imap

    def run(self, *commands, end="b"):
        with self.as_user(end) as imap:
            for command in commands:
                imap.ok(command)
            imap.logout()

    def admin(self, *commands, end="b"):
        with self._servers[end].imap("admin") as imap:
            for command in commands:
                imap.ok(command.replace("USER", f"user.{self.user}"))
            imap.logout()

    def csync(self, *commands, end="b"):
        with self._servers[end].sync("repl") as sync:
            for command in commands:
                sync.ok(command.format(user=self.user))

    def append(self, folder, text, end="b", **kwargs):
        with self.as_user(end) as imap:
            imap.append(folder, text, **kwargs)
            imap.logout()

    def message(self, command, folder="INBOX"):
        self.run(f"SELECT {folder}", command)


def fill(server, user):
    """What every difference begins with: INBOX (2 messages), Sent, Work (1) and Work.Deep."""
    planter = Planter(user, server, server)
    planter.admin("CREATE USER", "SETQUOTA USER (STORAGE 1000 MESSAGE 100)")
    with planter.as_user() as imap:
        for command in (r"CREATE INBOX.Sent (USE (\Sent))", "CREATE INBOX.Work",
                        "CREATE INBOX.Work.Deep", "SUBSCRIBE INBOX", "SUBSCRIBE INBOX.Work",
                        'SETMETADATA INBOX.Work (/shared/comment "shared" /private/comment "private")',
                        "SETACL INBOX.Work bob lr"):
            imap.ok(command)
        for n in (1, 2):
            imap.append("INBOX", message(n), r"\Flagged $Label", f"01-Nov-2026 12:00:0{n} +0000")
        imap.append("INBOX.Work", message(3))
        imap.ok("SELECT INBOX")
        imap.ok('STORE 1 ANNOTATION (/comment (value.shared "note"))')
        imap.logout()


def _other_uniqueid(p):
    p.run("DELETE INBOX.Work.Deep", "CREATE INBOX.Work.Deep")


def _uidnext(p):
    p.append("INBOX.Sent", message(9))
    p.run("SELECT INBOX.Sent", r"STORE 1:* +FLAGS.SILENT (\Deleted)", "EXPUNGE")


def _same_uid_other_message(p):
    p.append("INBOX.Sent", message(4), end="a")
    p.append("INBOX.Sent", message(55555), end="b")


def _date(p):
    p.append("INBOX.Sent", message(4), end="a", date="02-Nov-2026 12:00:01 +0000")
    p.append("INBOX.Sent", message(4), end="b", date="03-Nov-2026 12:00:02 +0000")


def _cid(p):
    """On A the thread of the message exists, on B it does not."""
    p.append("INBOX.Sent", message(5), end="a")
    p.append("INBOX.Work.Deep", message(6, "References: <d5@example.com>\r\nIn-Reply-To: <d5@example.com>\r\n")
             .replace(b"difference 6", b"Re: difference 5"), end="a")
    p.append("INBOX.Work.Deep", message(6, "References: <d5@example.com>\r\nIn-Reply-To: <d5@example.com>\r\n")
             .replace(b"difference 6", b"Re: difference 5"), end="b")


def _reads(p):
    """The user reads a shared mailbox of anna's."""
    p.run("SELECT user.anna.Work", r"STORE 1 +FLAGS (\Seen)")


SCRIPT = "APPLY SIEVE %(USERID {user} FILENAME a.script LAST_UPDATE 1795310753 CONTENT keep;)"


# kind: (how to make it, the line)
DIFFERENCES = {
    "mailbox-only-b": (
        lambda p: p.run("CREATE INBOX.New"),
        r"{user} user/{user}/New mailbox: only on {B} \(uniqueid " + ID + r", 0 messages\)"),
    "mailbox-only-a": (
        lambda p: p.run("DELETE INBOX.Work.Deep"),
        r"{user} user/{user}/Work/Deep mailbox: only on {A} \(uniqueid " + ID + r", 0 messages\)"),
    "name": (
        lambda p: p.run("RENAME INBOX.Work.Deep INBOX.Work.Low"),
        r"{user} user/{user}/Work/Deep name: {A} has user/{user}/Work/Deep, {B} has user/{user}/Work/Low"),
    "uniqueid": (
        _other_uniqueid,
        r"{user} user/{user}/Work/Deep uniqueid: {A} has (" + ID + r"), {B} has (?!\1)" + ID),
    "uidvalidity": (
        _other_uniqueid,
        r"{user} user/{user}/Work/Deep UIDVALIDITY: {A} has (\d+), {B} has (?!\1$)\d+"),
    "uidnext": (_uidnext, r"{user} user/{user}/Sent UIDNEXT: {A} has 1, {B} has 2"),
    "highestmodseq": (
        lambda p: p.message(r"STORE 2 +FLAGS (\Answered)"),
        r"{user} user/{user} HIGHESTMODSEQ: {A} has (\d+), {B} has (?!\1$)\d+"),
    "acl-value": (
        lambda p: p.admin("SETACL USER.Work bob lrs"),
        r"{user} user/{user}/Work ACL of bob: {A} has lr, {B} has lrs"),
    "acl-only-b": (
        lambda p: p.admin("SETACL USER.Work carol l"),
        r"{user} user/{user}/Work ACL of carol: only on {B} \(l\)"),
    "special-use": (
        lambda p: p.run(r'SETMETADATA INBOX.Work (/private/specialuse "\\Archive")'),
        r"{user} user/{user}/Work /private/specialuse: only on {B} \(\\Archive\)"),
    "shared-annotation": (
        lambda p: p.run('SETMETADATA INBOX.Work (/shared/comment "other")'),
        r"{user} user/{user}/Work /shared/comment: {A} has shared, {B} has other"),
    "private-annotation": (
        lambda p: p.run('SETMETADATA INBOX.Work (/private/comment NIL)'),
        r"{user} user/{user}/Work /private/comment: only on {A} \(private\)"),
    "mailbox-option": (
        lambda p: p.admin('SETMETADATA USER.Work (/shared/vendor/cmu/cyrus-imapd/sharedseen "true")'),
        r"{user} user/{user}/Work /shared/vendor/cmu/cyrus-imapd/sharedseen: {A} has false, {B} has true"),
    "message-annotation": (
        lambda p: p.message('STORE 1 ANNOTATION (/comment (value.shared "remark"))'),
        r"{user} user/{user} 1 annotations: {A} has /comment value.shared note, "
        r"{B} has /comment value.shared remark"),
    "quota-root": (
        lambda p: p.admin("SETQUOTA USER.Work (STORAGE 500)"),
        r"{user} user/{user}/Work quota root: {A} has user/{user}, {B} has user/{user}/Work"),
    "quota-limit": (
        lambda p: p.admin("SETQUOTA USER (STORAGE 2000 MESSAGE 100)"),
        r"Quota mismatch: 0/1000 vs 0/2000 \({user} user/{user} STORAGE, {A} vs {B}\)"),
    "quota-usage": (
        lambda p: p.append("INBOX.Work", message(9)),
        r"Quota mismatch: 3/100 vs 4/100 \({user} user/{user} MESSAGE, {A} vs {B}; "
        r"{A} agrees with its messages; {B} agrees with its messages\)"),
    "quota-missing": (
        lambda p: p.admin("SETQUOTA USER (STORAGE 1000)"),
        r"Quota mismatch: 3/100 vs none \({user} user/{user} MESSAGE, {A} vs {B}\)"),
    "subscription-only-a": (
        lambda p: p.run("UNSUBSCRIBE INBOX.Work"),
        r"{user} user/{user}/Work subscription: only on {A}"),
    "subscription-only-b": (
        lambda p: p.run("SUBSCRIBE INBOX.Sent"),
        r"{user} user/{user}/Sent subscription: only on {B}"),
    "message-only-b": (
        lambda p: p.append("INBOX", message(9)),
        r"{user} user/{user} 3 message: only on {B} \(digest " + GUID + r", \d+ octets\)"),
    "message-only-a": (
        lambda p: p.run("SELECT INBOX", r"STORE 2 +FLAGS.SILENT (\Deleted)", "EXPUNGE"),
        r"{user} user/{user} 2 message: only on {A} \(digest " + GUID + r", \d+ octets\)"),
    "flags": (
        lambda p: p.message(r"STORE 2 +FLAGS (\Answered)"),
        r"{user} user/{user} 2 flags: {A} has \$Label \\Flagged, {B} has \$Label \\Answered \\Flagged"),
    "user-flags": (
        lambda p: p.message(r"STORE 2 -FLAGS ($Label)"),
        r"{user} user/{user} 2 flags: {A} has \$Label \\Flagged, {B} has \\Flagged"),
    "seen": (
        lambda p: p.message(r"STORE 2 +FLAGS (\Seen)"),
        r"{user} user/{user} 2 seen: {A} has no, {B} has yes"),
    "internal-date": (
        _date,
        r"{user} user/{user}/Sent 1 internal date: {A} has  2-Nov-2026 12:00:01 \+0000, "
        r"{B} has  3-Nov-2026 12:00:02 \+0000"),
    "size": (
        _same_uid_other_message,
        r"{user} user/{user}/Sent 1 size: {A} has 125, {B} has 137"),
    "digest": (
        _same_uid_other_message,
        r"{user} user/{user}/Sent 1 digest: {A} has (" + GUID + r"), {B} has (?!\1)" + GUID),
    "modseq": (
        lambda p: p.message(r"STORE 2 +FLAGS (\Answered)"),
        r"{user} user/{user} 2 modseq: {A} has (\d+), {B} has (?!\1$)\d+"),
    "options": (
        lambda p: p.run('SETMETADATA INBOX.Work (/shared/vendor/cmu/cyrus-imapd/sharedseen "true")'),
        r"{user} user/{user}/Work options: {A} has P, {B} has PS"),
    "conversations": (
        lambda p: p.append("INBOX.Sent", message(7)),
        r"{user} user/{user}/Sent conversations: {A} has 0, {B} has 1"),
    "folder-modseq": (
        lambda p: p.run("RENAME INBOX.Work.Deep INBOX.Work.Other", "RENAME INBOX.Work.Other INBOX.Work.Deep"),
        r"{user} user/{user}/Work/Deep FOLDERMODSEQ: {A} has \d+, {B} has \d+"),
    "reads": (
        _reads, r"{user} seen in mailbox " + ID + r": only on {B} \(1 up to 1\)"),
    "sieve-script": (
        lambda p: p.csync(SCRIPT), r"{user} Sieve script a.script: only on {B} \(" + GUID + r"\)"),
    "sieve-active": (
        lambda p: p.csync(SCRIPT, "APPLY ACTIVATE_SIEVE %(USERID {user} FILENAME a.bc)"),
        r"{user} Sieve script a.bc: only on {B} \(active\)"),
    "conversation-id": (
        _cid,
        r"{user} user/{user}/Work/Deep 1 conversation id: {A} has ([0-9a-f]{16}), {B} has (?!\1)[0-9a-f]{16}"),
}


def expected(kind, labels):
    """The regular expression of the kind's line."""
    user = user_of(kind)
    text = DIFFERENCES[kind][1]
    return text.replace("{user}", user).replace("{A}", labels[0]).replace("{B}", labels[1])


def user_of(kind):
    return kind.replace("-", "")

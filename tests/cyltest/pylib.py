# SPDX-License-Identifier: BSD-3-Clause
"""A day with each of Python's mail clients, every method that a mail store can answer, errors too.

Each day is a list of (what, status, answer) with everything left out that differs between two runs, so the days of two
servers can be compared. status is what the library made of it: OK, NO, or BAD for an exception.
"""

import imaplib
import poplib
import re
import smtplib
import ssl

from .credentials import password

PLAIN = (b"From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: first\r\nMessage-ID: <1@example.com>\r\n"
         b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\nHello.\r\n")
REPLY = (b"From: Bob <bob@example.com>\r\nTo: ann@example.com\r\nSubject: Re: first\r\nMessage-ID: <2@example.com>\r\n"
         b"In-Reply-To: <1@example.com>\r\nReferences: <1@example.com>\r\nDate: Mon, 07 Feb 2022 11:00:00 +0100\r\n"
         b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
         b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n")
STAMP = imaplib.Time2Internaldate(1644224400)

# Differs between two runs, or between two builds of one server.
_NOISE = [
    (rb"\[CAPABILITY [^\]]*\]", b"[CAPABILITY]"),
    (rb"SESSIONID=<[^>]*>", b"SESSIONID=<>"),
    (rb"UIDVALIDITY \d+", b"UIDVALIDITY N"),
    (rb"(APPENDUID|COPYUID) \d+", rb"\1 N"),
    (rb"MAILBOXID \([^)]*\)", b"MAILBOXID ()"),
    (rb" \(\d+\.\d+ secs( \d+ calls)?\)", b""),
    (rb"\d+\.\d+ secs( \d+ calls)?", b""),
    (rb"\d\d-[A-Z][a-z]{2}-20[2-9]\d \d\d:\d\d:\d\d [+-]\d{4}", lambda m: m.group() if b"2022" in m.group() else b"NOW"),
    (rb"Cyrus (IMAP|POP3|LMTP) [^ ]+", rb"Cyrus \1"),
    (rb"<[^<>@ ]*@cyl.test>", b"<>"),
]


def quiet(answer):
    if isinstance(answer, (list, tuple)):
        return type(answer)(quiet(item) for item in answer)
    if isinstance(answer, str):
        answer = answer.encode()
    if isinstance(answer, bytes):
        for pattern, by in _NOISE:
            answer = re.sub(pattern, by, answer)
    return answer


class Day:
    def __init__(self):
        self.steps = []

    def do(self, what, call, *args, **kwargs):
        """One call; what it returned or raised is kept."""
        try:
            answer = call(*args, **kwargs)
            status = answer[0] if isinstance(answer, tuple) and answer[0] in ("OK", "NO") else "OK"
        except (imaplib.IMAP4.error, poplib.error_proto, smtplib.SMTPException) as error:
            status = "BAD"
            answer = error.args if not isinstance(error, smtplib.SMTPRecipientsRefused) else sorted(error.recipients.items())
        self.steps.append((what, status, quiet(answer)))
        return answer

    def statuses(self):
        return {what: status for what, status, _ in self.steps}


# What an imaplib method must make of it; all others OK.
IMAP_NOT_OK = {
    "login wrong": "BAD", "authenticate wrong": "BAD", "select before login": "BAD", "starttls without": "BAD",
    "select missing": "NO", "create again": "NO", "create empty": "NO", "delete missing": "NO", "delete INBOX": "NO",
    "rename missing": "NO", "rename onto": "NO", "subscribe missing": "NO", "status missing": "NO",
    "status bad item": "BAD", "append missing": "NO", "append nul": "NO", "append bad date": "BAD",
    "fetch bad item": "BAD", "fetch bad set": "BAD", "store bad flag": "BAD", "store read-only": "NO",
    "expunge read-only": "NO", "copy missing": "NO", "search bad key": "BAD", "search bad charset": "BAD", "fetch none": "NO", "delete admin": "NO",
    "sort bad key": "BAD", "thread bad algorithm": "BAD", "uid bad": "BAD", "uid unknown": "BAD", "fetch in no mailbox": "BAD",
    "setacl bad rights": "BAD", "getacl missing": "NO", "deleteacl missing": "NO", "myrights missing": "NO",
    "setquota denied": "NO", "getquota missing": "NO", "getquotaroot missing": "NO", "getannotation": "NO",
    "setannotation": "NO", "proxyauth": "BAD", "xatom unknown": "BAD",
}


def imap_day(server):
    """imaplib.IMAP4 as alice, and for quotas and rights as admin."""
    day = Day()
    imap = imaplib.IMAP4(*server.address("imap"))
    do = day.do
    do("select before login", imap.select)
    do("noop before login", imap.noop)
    do("capability", lambda: imap.capability()[0])
    do("starttls without", imap.starttls)
    do("login wrong", imap.login, "alice", "wrong")
    do("authenticate wrong", imap.authenticate, "PLAIN", lambda _: b"\0alice\0wrong")
    do("authenticate", imap.authenticate, "PLAIN", lambda _: b"\0alice\0" + password("alice").encode())
    _imap_mailboxes(imap, do)
    _imap_messages(imap, do)
    _imap_rights(imap, do)
    do("enable", imap.enable, "CONDSTORE")
    do("enable unknown", imap.enable, "NOSUCH")
    do("xatom", imap.xatom, "ID", "NIL")
    do("xatom unknown", imap.xatom, "XNOSUCH")
    do("proxyauth", imap.proxyauth, "bob")
    do("logout", imap.logout)
    _imap_admin(server, do)
    return day


def _imap_mailboxes(imap, do):
    do("namespace", imap.namespace)
    for what, name in (("create", "Work"), ("create again", "Work"), ("create empty", '""'), ("create below", "Work/Sub"),
                       ("create quoted", '"With space"'), ("create utf7", '"M&APw-ll"')):
        do(what, imap.create, name)
    do("rename", imap.rename, "Work/Sub", "Work/Other")
    do("rename missing", imap.rename, "Nothing", "Something")
    do("rename onto", imap.rename, "Work", "INBOX")
    do("subscribe", imap.subscribe, "Work")
    do("subscribe missing", imap.subscribe, "Nothing")
    do("unsubscribe never", imap.unsubscribe, "Nothing")
    do("lsub", imap.lsub)
    do("unsubscribe", imap.unsubscribe, "Work")
    do("lsub none", imap.lsub)
    do("list", imap.list)
    do("list percent", imap.list, '""', "%")
    do("list reference", imap.list, "Work/", "*")
    do("list delimiter", imap.list, '""', '""')
    do("status", imap.status, "Work", "(MESSAGES RECENT UIDNEXT UNSEEN)")
    do("status missing", imap.status, "Nothing", "(MESSAGES)")
    do("status bad item", imap.status, "Work", "(NOSUCH)")
    do("delete", imap.delete, "Work/Other")
    do("delete missing", imap.delete, "Work/Other")
    do("delete INBOX", imap.delete, "INBOX")


def _imap_messages(imap, do):
    do("append", imap.append, "Work", r"(\Seen keyword)", STAMP, PLAIN)
    do("append plain", imap.append, "Work", None, None, REPLY)
    do("append missing", imap.append, "Nothing", None, None, PLAIN)
    do("append nul", imap.append, "Work", None, None, b"Subject: x\r\n\r\na\0b\r\n")
    do("append bad date", imap.append, "Work", None, '"32-Foo-2022 00:00:00 +0000"', PLAIN)
    do("fetch in no mailbox", imap.fetch, "1", "FLAGS")
    do("select missing", imap.select, "Nothing")
    do("select", imap.select, "Work")
    for code in ("FLAGS", "EXISTS", "PERMANENTFLAGS", "UIDNEXT", "READ-WRITE"):
        do(f"response {code}", imap.response, code)
    do("recent", imap.recent)
    for item in ("(FLAGS)", "(UID INTERNALDATE RFC822.SIZE)", "ENVELOPE", "BODYSTRUCTURE", "BODY", "RFC822.HEADER",
                 "BODY.PEEK[HEADER.FIELDS (SUBJECT X)]", "BODY.PEEK[1]", "BODY.PEEK[2.MIME]", "BODY.PEEK[TEXT]<2.3>",
                 "RFC822", "RFC822.TEXT", "FAST", "FULL"):
        do(f"fetch {item}", imap.fetch, "1:*", item)
    do("fetch none", imap.fetch, "9", "FLAGS")
    do("fetch bad item", imap.fetch, "1", "NOSUCH")
    do("fetch bad set", imap.fetch, "1:x", "FLAGS")
    for what, args in (("", (None, "ALL")), (" key", (None, "FROM", "ann")), (" utf-8", ("UTF-8", "SUBJECT", "first")),
                       (" not", (None, "NOT", "SEEN")), (" or", (None, "OR KEYWORD keyword BODY text")),
                       (" date", (None, "SENTSINCE", "7-Feb-2022")), (" none", (None, "SUBJECT", "zzz")),
                       (" bad key", (None, "NOSUCH")), (" bad charset", ("NO-SUCH", "ALL"))):
        do(f"search{what}", imap.search, *args)
    do("sort", imap.sort, "(REVERSE DATE)", "UTF-8", "ALL")
    do("sort bad key", imap.sort, "(NOSUCH)", "UTF-8", "ALL")
    do("thread", imap.thread, "REFERENCES", "UTF-8", "ALL")
    do("thread bad algorithm", imap.thread, "NOSUCH", "UTF-8", "ALL")
    do("store", imap.store, "2", "+FLAGS", r"(\Flagged other)")
    do("store minus", imap.store, "1", "-FLAGS", "keyword")
    do("store silent", imap.store, "1", "FLAGS.SILENT", r"\Answered")
    do("store bad flag", imap.store, "1", "+FLAGS", r"\Nosuch")
    do("copy", imap.copy, "1:2", "INBOX")
    do("copy missing", imap.copy, "1", "Nothing")
    for what, args in (("fetch", ("FETCH", "1:*", "FLAGS")), ("search", ("SEARCH", "ALL")), ("bad", ("NOOP",)), ("unknown", ("NOOP", "1")),
                       ("store", ("STORE", "1", "+FLAGS", r"(\Deleted)")), ("copy", ("COPY", "1", "INBOX")),
                       ("sort", ("SORT", "(SIZE)", "UTF-8", "ALL")), ("thread", ("THREAD", "ORDEREDSUBJECT", "UTF-8", "ALL")),
                       ("expunge", ("EXPUNGE", "2")), ("move", ("MOVE", "2", "INBOX"))):
        do(f"uid {what}", imap.uid, *args)
    do("check", imap.check)
    do("noop", imap.noop)
    do("expunge", imap.expunge)
    do("expunge none", imap.expunge)
    do("close", imap.close)
    do("select read-only", imap.select, "INBOX", True)
    do("fetch read-only", imap.fetch, "1:*", "(FLAGS BODY[TEXT])")
    do("store read-only", imap.store, "1", "+FLAGS", r"\Seen")
    do("expunge read-only", imap.expunge)
    do("unselect", imap.unselect)


def _imap_rights(imap, do):
    do("getacl", imap.getacl, "Work")
    do("setacl", imap.setacl, "Work", "bob", "lrs")
    do("setacl more", imap.setacl, "Work", "bob", "+i")
    do("setacl bad rights", imap.setacl, "Work", "bob", "!")
    do("getacl after", imap.getacl, "Work")
    do("deleteacl", imap.deleteacl, "Work", "bob")
    do("deleteacl missing", imap.deleteacl, "Nothing", "bob")
    do("getacl missing", imap.getacl, "Nothing")
    do("myrights", imap.myrights, "Work")
    do("myrights missing", imap.myrights, "Nothing")
    do("getquotaroot", imap.getquotaroot, "INBOX")
    do("getquotaroot missing", imap.getquotaroot, "Nothing")
    do("getquota missing", imap.getquota, "Nothing")
    do("setquota denied", imap.setquota, "INBOX", "(STORAGE 100)")
    do("getannotation", imap.getannotation, "INBOX", '"/comment"', '"value.shared"')
    do("setannotation", imap.setannotation, "INBOX", '"/comment"', '("value.shared" "x")')


def _imap_admin(server, do):
    with imaplib.IMAP4(*server.address("imap")) as admin:
        do("login", admin.login, "admin", password("admin"))
        do("setquota", admin.setquota, "user/alice", "(STORAGE 100 MESSAGE 10)")
        do("getquota", admin.getquota, "user/alice")
        do("getquotaroot admin", admin.getquotaroot, "user/alice/Work")
        do("setquota none", admin.setquota, "user/alice", "()")
        do("list admin", admin.list, '""', "user/alice*")
        do("create admin", admin.create, "user/dave")
        do("delete admin", admin.delete, "user/dave")


def imap_tls_day(server):
    """STARTTLS with imaplib.IMAP4."""
    day = Day()
    context = ssl.create_default_context(cafile=server.cafile)
    imap = imaplib.IMAP4("localhost", server.address("imap")[1])
    day.do("login in the clear", imap.login, "alice", password("alice"))
    day.do("starttls", imap.starttls, context)
    day.do("starttls again", imap.starttls, context)
    day.do("login", imap.login, "alice", password("alice"))
    day.do("select", imap.select)
    day.do("logout", imap.logout)
    return day


POP_NOT_OK = {"user bad": "BAD", "pass wrong": "BAD", "stat before login": "BAD", "retr missing": "BAD", "list missing": "BAD",
              "dele missing": "BAD", "dele again": "BAD", "uidl missing": "BAD", "top missing": "BAD", "retr deleted": "BAD",
              "rpop": "BAD", "apop": "BAD", "stls": "BAD", "utf8": "BAD", "top bad": "BAD"}


def pop_day(server):
    """poplib.POP3 as carol, who gets three messages by APPEND, so that no header of a delivery is in them."""
    with server.imap("carol") as imap:
        for text in (PLAIN, REPLY, PLAIN):
            imap.append("INBOX", text)
    day = Day()
    do = day.do
    pop = poplib.POP3(*server.address("pop3"))
    do("welcome", pop.getwelcome)
    do("capa", lambda: sorted(pop.capa()))
    do("stat before login", pop.stat)
    do("stls", pop.stls)
    do("user bad", pop.user, "no/such")
    do("user", pop.user, "carol")
    do("pass wrong", pop.pass_, "wrong")
    do("apop", pop.apop, "carol", "wrong")
    do("rpop", pop.rpop, "carol")
    do("user again", pop.user, "carol")
    do("pass", pop.pass_, password("carol"))
    do("stat", pop.stat)
    do("list", pop.list)
    do("list one", pop.list, 2)
    do("list missing", pop.list, 9)
    do("uidl one", lambda: re.sub(rb"\d+\.(\d+)$", rb"N.\1", pop.uidl(2)))
    do("uidl", lambda: [re.sub(rb"\d+\.(\d+)$", rb"N.\1", line) for line in pop.uidl()[1]])
    do("uidl missing", pop.uidl, 9)
    do("top", pop.top, 1, 0)
    do("top lines", pop.top, 2, 3)
    do("top missing", pop.top, 9, 1)
    do("top bad", pop.top, 1, -1)
    do("retr", pop.retr, 2)
    do("retr missing", pop.retr, 9)
    do("dele", pop.dele, 1)
    do("dele again", pop.dele, 1)
    do("retr deleted", pop.retr, 1)
    do("list after", pop.list)
    do("dele missing", pop.dele, 9)
    do("noop", pop.noop)
    do("rset", pop.rset)
    do("stat after", pop.stat)
    do("utf8", pop.utf8)
    do("dele last", pop.dele, 3)
    do("quit", pop.quit)
    pop = poplib.POP3(*server.address("pop3"))
    pop.user("carol")
    pop.pass_(password("carol"))
    do("what is left", pop.list)
    pop.close()
    return day


LMTP_NOT_OK = {"no recipient is known": "BAD", "data without mail": "BAD"}


def lmtp_day(server):
    """smtplib.LMTP: sendmail with every outcome, and the single commands."""
    day = Day()
    do = day.do
    lmtp = smtplib.LMTP(*server.address("lmtp"))
    do("lhlo", lambda: sorted(line for line in lmtp.ehlo("client.test")[1].split(b"\n")[1:]))
    do("has_extn", lambda: [lmtp.has_extn(name) for name in ("pipelining", "8bitmime", "size", "nosuch")])
    do("sendmail", lmtp.sendmail, "a@example.com", ["bob"], PLAIN)
    for user in ("alice", "bob"):  # sendmail() reads one answer only
        do(f"sendmail to {user}", lmtp.sendmail, "a@example.com", [user], REPLY)
    do("sendmail to one that is not", lmtp.sendmail, "a@example.com", ["bob", "nobody"], PLAIN.replace(b"<1@", b"<3@"))
    do("no recipient is known", lmtp.sendmail, "a@example.com", ["nobody", "neither"], PLAIN)
    do("duplicate", lmtp.sendmail, "a@example.com", ["bob"], PLAIN)
    do("sendmail 8 bit", lmtp.sendmail, "", ["bob"], PLAIN.replace(b"Hello", b"\xc3\xa9").replace(b"<1@", b"<4@"),
       ["BODY=8BITMIME"])
    do("dots", lmtp.sendmail, "a@example.com", ["alice"], PLAIN.replace(b"Hello.", b".\r\n..\r\n.x").replace(b"<1@", b"<5@"))
    do("rcpt before mail", lmtp.rcpt, "bob")
    do("data without mail", lmtp.data, PLAIN)
    do("mail", lmtp.mail, "a@example.com")
    do("mail again", lmtp.mail, "a@example.com")
    do("rset", lmtp.rset)
    do("vrfy", lmtp.vrfy, "bob")
    do("vrfy unknown", lmtp.vrfy, "nobody")
    do("expn", lmtp.expn, "bob")
    do("noop", lmtp.noop)
    do("help", lmtp.docmd, "HELP")
    do("unknown", lmtp.docmd, "XNOSUCH")
    do("quit", lmtp.quit)
    return day


def stored(server, user):
    """Subjects and texts of what a user has, for a look behind the answers."""
    with server.imap(user) as imap:
        imap.ok("SELECT INBOX")
        return quiet(imap.ok("FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT MESSAGE-ID)] BODY.PEEK[TEXT])").find("* "))


def prepare(server):
    """A server of either flavour on which the days can be spent."""
    server.start()
    for user in ("alice", "bob", "carol"):
        server.create_user(user)
    return server


def prepare_tls(server):
    """A server that takes no password in the clear."""
    server.start()
    with server.imap() as admin:
        admin.starttls(server.cafile)
        admin.login("admin", password("admin"))
        admin.ok("CREATE user/alice")
    return server

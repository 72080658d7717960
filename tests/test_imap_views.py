# SPDX-License-Identifier: BSD-3-Clause
"""Several clients on one mailbox at once, all kinds: each believes nothing but what it is told, and in the end all know
the same (cyltest/imap_view.py checks every response). Some are told between commands (RFC 5465). Each follows some searches, too (RFC
5267), whose results must be those of a new search.

CYL_VIEWS_ROUNDS  rounds of each seed (default 60)
CYL_VIEWS_SEEDS   how many (default 4)
"""

import os
import random

import pytest

from cyltest.clients import Literal
from cyltest.imap_view import Context, Inconsistent, Session, View

ROUNDS = int(os.environ.get("CYL_VIEWS_ROUNDS") or 60)
SEEDS = int(os.environ.get("CYL_VIEWS_SEEDS") or 4)
KINDS = ["plain", "plain", "condstore", "qresync", "qresync"]
FLAGS = [r"\Flagged", r"\Answered", r"\Deleted", r"\Deleted", r"\Seen", "$A", "$B"]


def message(n):
    return f"From: a@example.com\r\nSubject: message {n}\r\nMessage-ID: <v{n}@example.com>\r\n\r\nbody {n}\r\n".encode()


class Crowd:
    def __init__(self, server, seed):
        self.server = server
        self.random = random.Random(seed)
        self.count = 0
        for _ in range(10):
            self.deliver()
        self.sessions = [Session(server, "alice", "INBOX", kind, f"{i}-{kind}", notify=i % 2 == 1)
                         for i, kind in enumerate(KINDS)]

    def deliver(self):
        self.count += 1
        with self.server.imap("alice") as client:
            client.append("INBOX", message(self.count))

    def some(self, session, low=1):
        """A set of the session's message numbers, or none."""
        n = len(session.view.messages)
        if n < low:
            return None
        a, b = sorted(self.random.randint(1, n) for _ in range(2))
        return f"{a}:{min(b, a + 3)}"

    def command(self, session):
        r = self.random
        numbers = self.some(session)
        known = [u for u in session.view.uids() if u]
        uids = ",".join(map(str, sorted(r.sample(known, min(len(known), 3))))) or "1"
        self.count += 1
        commands = ["NOOP", "CHECK", "SEARCH ALL", "UID SEARCH UNDELETED", "UID SORT (ARRIVAL) UTF-8 ALL", "EXPUNGE",
                    f"UID FETCH {uids} (FLAGS)", f"UID EXPUNGE {uids}", "STATUS INBOX (MESSAGES)", "FETCH 1:* (UID FLAGS)",
                    f"UID STORE {uids} +FLAGS ({r.choice(FLAGS)})", f"UID STORE {uids} -FLAGS ({r.choice(FLAGS)})",
                    f"UID COPY {uids} INBOX", f"UID MOVE {uids} Elsewhere",
                    ["APPEND INBOX ", Literal(message(self.count))]]
        if numbers:
            commands += [f"FETCH {numbers} (FLAGS UID)", f"FETCH {numbers} (BODY[TEXT] FLAGS)", f"STORE {numbers} FLAGS ({r.choice(FLAGS)})",
                         f"STORE {numbers} +FLAGS ({r.choice(FLAGS)})", f"COPY {numbers} INBOX", f"SORT (SUBJECT) UTF-8 {numbers}",
                         f"MOVE {numbers} Elsewhere"]
        return r.choice(commands)

    def round(self):
        busy = self.random.sample(self.sessions, self.random.randint(1, len(self.sessions)))
        for session in busy:
            if session.idling:
                continue
            if self.random.random() < 0.15:
                session.begin_idle()
            else:
                # A message that another one has removed: NO, and nothing has happened.
                session.begin(self.command(session))
        for session in busy:
            if session.idling:
                if self.random.random() < 0.5:
                    session.end_idle()
            else:
                session.end(("OK", "NO"))
        if self.random.random() < 0.1:
            self.reconnect(self.random.choice([s for s in self.sessions if s.kind == "qresync"]))
        for session in self.sessions:
            if not session.idling and self.random.random() < 0.5:
                session.learn()

    def reconnect(self, session):
        """Away, while others go on; then QRESYNC."""
        if session.idling:
            session.end_idle()
        session.learn()
        old = session.view
        # A client may only rely on a HIGHESTMODSEQ that it was told when it knew everything up to there.
        with self.server.imap("alice") as ask:
            text = ask.ok("STATUS INBOX (HIGHESTMODSEQ)").untagged[0]
        session.run("NOOP")
        session.learn()
        old.highestmodseq = int(text.split(b"HIGHESTMODSEQ ")[1].rstrip(b")"))
        session.cut()
        for other in self.sessions:
            if other is not session and not other.idling and self.random.random() < 0.5:
                other.run(self.command(other), ("OK", "NO"))
        session.connect(resume=old)

    def settle(self):
        """Everybody hears the rest; then all know what a newcomer is told."""
        for session in self.sessions:
            if session.idling:
                session.end_idle()
            session.run("NOOP")
            session.learn()
            session.check_contexts()
        with self.server.imap("alice") as fresh:
            fresh.ok("SELECT INBOX")
            view = View()
            view.exists(len(fresh.ok("UID SEARCH ALL").untagged[0].split()) - 2)
            for line in fresh.ok("UID FETCH 1:* (FLAGS)").untagged:
                view.take(line)
        truth = [(m.uid, m.flags) for m in view.messages]
        for session in self.sessions:
            told = [(m.uid, m.flags) for m in session.view.messages]
            if told != truth:
                session.view.fail(f"{session.name} knows {told}, the mailbox is {truth}")


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_everybody_is_told_the_same(factory, seed):
    server = factory(services=("imap",))
    # Copies of copies are not what this is about.
    server.conf.update({"conversations_max_guidinfolder": 100000, "conversations_max_guidexists": 100000})
    server.start()
    with server.imap("admin") as admin:
        admin.ok("CREATE user/alice")
    with server.imap("alice") as alice:
        alice.ok("CREATE Elsewhere")
    crowd = Crowd(server, seed)
    for n in range(ROUNDS):
        crowd.round()
        if n % 10 == 9:
            crowd.settle()
    crowd.settle()
    for session in crowd.sessions:
        session.cut()


@pytest.mark.parametrize("line", [b"* 3 EXPUNGE", b"* 1 EXISTS", b"* 3 FETCH (FLAGS ())", b"* 2 FETCH (UID 4)", b"* 1 FETCH (UID 8)",
                                  b"* 1 FETCH (MODSEQ (4))", b"* SEARCH 3", b"* OK [HIGHESTMODSEQ 8] Ok", b"* VANISHED 5"])
def test_the_view_notices(line):
    """The checker itself: each of these can't be true."""
    view = View()
    for told in (b"* 2 EXISTS", b"* 1 FETCH (UID 5 MODSEQ (6))", b"* 2 FETCH (UID 7)", b"* OK [HIGHESTMODSEQ 9] Ok"):
        view.take(told)
    with pytest.raises(Inconsistent):
        view.take(line)


def test_the_view_notices_an_expunge_during_fetch():
    view = View()
    view.take(b"* 2 EXISTS")
    view.command = "FETCH"
    with pytest.raises(Inconsistent):
        view.take(b"* 1 EXPUNGE")
    view.command = "UID FETCH"
    view.take(b"* 1 EXPUNGE")


FOLLOWED = [b'* ESEARCH (TAG "s") UID ADDTO (0 5)', b'* ESEARCH (TAG "s") UID REMOVEFROM (0 7)', b'* ESEARCH (TAG "s") UID ADDTO (1 7)',
            b'* ESEARCH (TAG "s") ADDTO (0 2)', b'* ESEARCH (TAG "s") UID ADDTO (0 8)', b'* ESEARCH (TAG "t") UID ADDTO (0 7)',
            b'* ESEARCH (TAG "o") REMOVEFROM (1 1)', b'* ESEARCH (TAG "o") ADDTO (4 1)', b'* ESEARCH (TAG "o") ADDTO (1 3)',
            b'* NO [NOUPDATE "s"] No', b"* 1 EXPUNGE", b"* 2 EXPUNGE"]


@pytest.mark.parametrize("line", FOLLOWED)
def test_the_view_notices_in_a_search_that_goes_on(line):
    """There are UIDs 5 and 7; of the one search 5 is found, of the sorted one by number the second."""
    view = View()
    view.contexts = {"s": Context("UID SEARCH FLAGGED"), "o": Context("SORT (SUBJECT) UTF-8 ALL")}
    for told in (b"* 2 EXISTS", b"* 1 FETCH (UID 5)", b"* 2 FETCH (UID 7)", b'* ESEARCH (TAG "s") UID ALL 5', b'* ESEARCH (TAG "o") ALL 2'):
        view.take(told)
    with pytest.raises(Inconsistent):
        view.take(line)

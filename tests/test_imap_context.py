# SPDX-License-Identifier: BSD-3-Clause
"""Searches that go on (RFC 5267): a client that follows ADDTO and REMOVEFROM has what the same search finds anew."""

import os
import random
import re

import pytest

from cyltest.imap_view import numbers_of
from cyltest.storefiles import mailbox_dir

STEPS = int(os.environ.get("CYL_CONTEXT_STEPS", "60"))
SEED = int(os.environ.get("CYL_CONTEXT_SEED", "7"))


def message(n, subject="plain"):
    return (b"Message-ID: <%d@example.com>\r\nFrom: a%d@example.com\r\nSubject: %s\r\n"
            b"Date: Mon, 07 Feb 2022 10:%02d:%02d +0100\r\n\r\nbody %d\r\n"
            % (n, n * 7 % 10, subject.encode(), n * 37 % 60, n % 60, n))


@pytest.fixture
def server(factory):
    server = factory(services=("imap",))
    server.conf["conversations"] = True
    server.start()
    server.create_user("alice")
    return server


class Context:
    """What a client knows of one search, by what it is told."""

    def __init__(self, imap, command, by_uid):
        self.by_uid = by_uid
        self.command = command
        self.tag = imap.start(("UID " if by_uid else "") + command)
        answer = imap.finish(self.tag)
        assert answer.status == "OK", answer
        self.answer = answer
        self.refused = None
        self.found = []
        for line in answer.untagged:
            self.line(line)
            if b" ALL " in line and self.mine(line):
                self.found = numbers_of(line.split(b" ALL ")[1].split()[0])

    def mine(self, line):
        return line.startswith(b'* ESEARCH (TAG "%s")' % self.tag.encode())

    def line(self, line):
        """One untagged line of the session."""
        words = line.split()
        if words[0] == b"*" and words[-1] == b"EXPUNGE" and not self.by_uid:
            gone = int(words[1])
            assert gone not in self.found, "told too late"
            self.found = [n - (n > gone) for n in self.found]
        if b'[NOUPDATE "%s"]' % self.tag.encode() in line:
            self.refused = line
        if self.mine(line):
            assert (b" UID" in line) == self.by_uid
            for name, pairs in re.findall(rb" (ADDTO|REMOVEFROM) \(([^)]*)\)", line):
                pairs = pairs.split()
                for place, nums in zip(pairs[::2], pairs[1::2]):
                    self.change(name, int(place), numbers_of(nums))

    def change(self, name, place, nums):
        if name == b"ADDTO":
            assert not set(nums) & set(self.found)
            at = place - 1 if place else len(self.found)
            self.found[at:at] = nums
        elif place:
            assert self.found[place - 1:place - 1 + len(nums)] == nums
            del self.found[place - 1:place - 1 + len(nums)]
        else:
            assert set(nums) <= set(self.found)
            self.found = [n for n in self.found if n not in nums]
        if place == 0:
            self.found.sort()


def again(imap, context):
    """The same search without context."""
    command = re.sub(r"RETURN \([^)]*\) ", "", context.command)
    line, = (line for line in imap.ok(("UID " if context.by_uid else "") + command).untagged
             if re.match(rb"\* (SEARCH|SORT)\b", line))
    return [int(n) for n in line.split()[2:]]


def hear(imap, contexts, command="NOOP"):
    for line in imap.ok(command).untagged:
        for context in contexts:
            context.line(line)


def test_updates(server):
    """Line by line: a new message, a flag, an expunge; by UID and by number."""
    with server.imap("alice") as imap, server.imap("alice") as other:
        for n in range(1, 4):
            imap.append("INBOX", message(n))
        for c in (imap, other):
            c.ok("SELECT INBOX")
        uid = Context(imap, "SEARCH RETURN (UPDATE COUNT ALL) UNFLAGGED", True).tag
        num = Context(imap, "SEARCH RETURN (UPDATE CONTEXT) UNFLAGGED", False)
        assert num.found == [1, 2, 3]
        num = num.tag

        def told(command="NOOP"):
            lines = imap.ok(command).untagged
            return [line.decode().replace(uid, "U").replace(num, "N") for line in lines if b"ESEARCH" in line or
                    b"EXPUNGE" in line or b"EXISTS" in line]

        other.append("INBOX", message(4))
        assert told() == ["* 4 EXISTS", '* ESEARCH (TAG "N") ADDTO (0 4)', '* ESEARCH (TAG "U") UID ADDTO (0 4)']
        other.ok(r"STORE 2:3 +FLAGS (\Flagged)")
        assert told() == ['* ESEARCH (TAG "N") REMOVEFROM (0 2:3)', '* ESEARCH (TAG "U") UID REMOVEFROM (0 2:3)']
        other.ok(r"STORE 1 +FLAGS (\Deleted)")
        other.ok("EXPUNGE")
        assert told("FETCH 1:2 UID") == []
        assert told() == ['* ESEARCH (TAG "N") REMOVEFROM (0 1)', '* ESEARCH (TAG "U") UID REMOVEFROM (0 1)', "* 1 EXPUNGE"]
        # its own change, too; and while it waits
        assert told(r"STORE 1 FLAGS.SILENT ()") == ['* ESEARCH (TAG "N") ADDTO (0 1)', '* ESEARCH (TAG "U") UID ADDTO (0 2)']
        tag = imap.start("IDLE")
        assert imap.continuation(tag) is None
        other.append("INBOX", message(5))
        lines = [imap.readline() for _ in range(4)]
        assert [line for line in lines if b"ADDTO" in line] == [
            b'* ESEARCH (TAG "%s") ADDTO (0 4)' % num.encode(), b'* ESEARCH (TAG "%s") UID ADDTO (0 5)' % uid.encode()]
        imap.sendline("DONE")
        imap.finish(tag)
        # one ends, the other goes on, then both
        imap.ok(f'CANCELUPDATE "{num}" "nosuch"')
        other.append("INBOX", message(6))
        assert told() == ["* 5 EXISTS", '* ESEARCH (TAG "U") UID ADDTO (0 6)']
        imap.bad("CANCELUPDATE")
        imap.ok("EXAMINE INBOX")
        other.append("INBOX", message(7))
        assert told() == ["* 6 EXISTS"]
        imap.ok("UNSELECT")
        imap.bad('CANCELUPDATE "x"')


def test_sorted(server):
    """Places count from 1, and each pair is meant after those before it."""
    with server.imap("alice") as imap, server.imap("alice") as other:
        for n, subject in enumerate(("b", "d", "f"), 1):
            imap.append("INBOX", message(n, subject))
        for c in (imap, other):
            c.ok("SELECT INBOX")
        context = Context(imap, "SORT RETURN (UPDATE ALL) (SUBJECT) UTF-8 UNDELETED", True)
        assert context.found == [1, 2, 3]
        for n, subject in enumerate(("a", "e", "d", "g"), 4):
            other.append("INBOX", message(n, subject))
        other.ok(r"STORE 1,3 +FLAGS (\Deleted)")
        line, = (line for line in imap.ok("NOOP").untagged if b"ESEARCH" in line)
        assert line.split(b" UID ")[1] == b"REMOVEFROM (3 3 1 1) ADDTO (1 4 3 5 3 6 5 7)"
        context.line(line)
        assert context.found == [4, 2, 6, 5, 7] == again(imap, context)


@pytest.mark.parametrize("numbers, enable, leaves", [
    ("UID ", None, [b"* 1 EXPUNGE"] * 3), ("", None, [b"* 1 EXPUNGE"] * 3), ("UID ", "QRESYNC", [b"* VANISHED 1:3"]),
])
def test_mailbox_goes(server, numbers, enable, leaves):
    """Everything leaves the result before the messages leave; then there is nothing to follow."""
    with server.imap("alice") as imap, server.imap("alice") as other:
        other.ok("CREATE Box")
        for n in range(1, 4):
            other.append("Box", message(n, f"subject {n}"))
        if enable:
            imap.ok(f"ENABLE {enable}")
        imap.ok("SELECT Box")
        tag = Context(imap, "SORT RETURN (UPDATE ALL) (REVERSE SUBJECT) UTF-8 ALL", bool(numbers)).tag
        other.ok("DELETE Box")
        assert imap.ok("NOOP").untagged == [
            b'* ESEARCH (TAG "%s") %sREMOVEFROM (3 1 2 2 1 3)' % (tag.encode(), numbers.encode())] + leaves
        assert imap.ok("NOOP").untagged == []
        imap.ok(f'CANCELUPDATE "{tag}"')


def test_what_numbers_mean(server):
    """Message numbers and "$" are those of the command; what had no end has none."""
    with server.imap("alice") as imap, server.imap("alice") as other:
        for n in range(1, 6):
            imap.append("INBOX", message(n))
        for c in (imap, other):
            c.ok("SELECT INBOX")
        imap.ok("SEARCH RETURN (SAVE) 3,5")
        contexts = [Context(imap, f"SEARCH RETURN (UPDATE ALL) {keys} UNSEEN", True) for keys in
                    ("1,4", "2:9", "3:*", "*", "7:*", "$", "UID 4:*", "NOT 2:3")]
        assert [c.found for c in contexts] == [[1, 4], [2, 3, 4, 5], [3, 4, 5], [5], [5], [3, 5], [4, 5], [1, 4, 5]]
        imap.ok("SEARCH RETURN (SAVE) 1")
        other.ok(r"STORE 1 +FLAGS (\Deleted)")
        other.ok("EXPUNGE")
        for n in range(6, 8):
            other.append("INBOX", message(n))
        hear(imap, contexts)
        assert [c.found for c in contexts] == [[4], [2, 3, 4, 5], [3, 4, 5, 6, 7], [5, 7], [5, 6, 7], [3, 5],
                                               [4, 5, 6, 7], [4, 5, 6, 7]]
        other.ok(r"STORE 1:* +FLAGS (\Seen)")
        other.ok(r"STORE 1:* -FLAGS (\Seen)")
        hear(imap, contexts)
        assert [c.found for c in contexts][:2] + [contexts[5].found] == [[4], [2, 3, 4, 5], [3, 5]]


def test_what_is_not_followed(server):
    """The search is answered, and NOUPDATE says that it doesn't go on."""
    with server.imap("alice") as imap, server.imap("alice") as other:
        imap.append("INBOX", message(1))
        for c in (imap, other):
            c.ok("SELECT INBOX")
        for command in ("SEARCH RETURN (UPDATE ALL) CONVREAD", "SORT RETURN (UPDATE ALL) (CONVMODSEQ) UTF-8 ALL",
                        r"SORT RETURN (UPDATE ALL) (HASFLAG \Seen) UTF-8 ALL", "SORT RETURN (UPDATE) (MODSEQ) UTF-8 ALL",
                        "ESEARCH IN (personal) RETURN (UPDATE ALL) ALL"):
            tag = imap.start(command)
            answer = imap.finish(tag)
            assert answer.status == "OK"
            assert any(line.startswith(b'* NO [NOUPDATE "%s"] ' % tag.encode()) for line in answer.untagged), command
        contexts = [Context(imap, "SEARCH RETURN (UPDATE ALL) UNSEEN", True) for _ in range(17)]
        assert [bool(c.refused) for c in contexts] == [False] * 16 + [True]
        assert b"Too many contexts" in contexts[-1].refused
        imap.ok(f'CANCELUPDATE "{contexts[0].tag}"')
        assert not Context(imap, "SEARCH RETURN (UPDATE ALL) UNSEEN", True).refused
        # a word that is none
        imap.bad("SEARCH RETURN (UPDATES) ALL")
        # one that can't be kept any more
        imap.ok("SELECT INBOX")
        context = Context(imap, "SEARCH RETURN (UPDATE ALL) TEXT body", True)
        assert context.found == [1]
        os.unlink(os.path.join(mailbox_dir(server, "user/alice"), "1."))
        server.allow_log("IOERROR")
        other.ok(r"STORE 1 +FLAGS (\Flagged)")
        hear(imap, [context])
        assert context.refused
        other.append("INBOX", message(2))
        hear(imap, [context])
        assert context.found == [1]


SEARCHES = ("SEARCH RETURN (UPDATE ALL) UNSEEN", "SEARCH RETURN (UPDATE ALL) OR FLAGGED FROM a3",
            "SORT RETURN (UPDATE ALL) (DATE) UTF-8 UNSEEN", "SORT RETURN (UPDATE ALL) (REVERSE FROM SUBJECT) UTF-8 NOT FLAGGED")


def test_random_changes(server):
    """Of both sessions; after each step all contexts are what the same search finds."""
    rng = random.Random(SEED)
    print("CYL_CONTEXT_SEED", SEED)
    with server.imap("alice") as imap, server.imap("alice") as other:
        for n in range(1, 8):
            imap.append("INBOX", message(n, rng.choice("abc")))
        for c in (imap, other):
            c.ok("SELECT INBOX")
        contexts = [Context(imap, search, by_uid) for search in SEARCHES for by_uid in (False, True)]
        for n in range(8, 8 + STEPS):
            for _ in range(rng.choice((1, 1, 4))):
                count = max(1, len(other.ok("UID SEARCH ALL").untagged[-1].split()) - 2)
                who = rng.choice((imap, other, other))
                what = f"{rng.randint(1, count)}:{rng.randint(1, count)}"
                command = rng.choice((
                    rf"STORE {what} {rng.choice('+-')}FLAGS{rng.choice(('', '.SILENT'))} (\Seen)",
                    rf"STORE {what} {rng.choice('+-')}FLAGS (\Flagged)",
                    rf"STORE {rng.randint(1, count)} +FLAGS (\Deleted)", "EXPUNGE", "NOOP", None, None))
                answer = who.cmd(command) if command else who.append("INBOX", message(n, rng.choice("abc")))
                for line in answer.untagged if who is imap else ():
                    for context in contexts:
                        context.line(line)
            hear(imap, contexts)
            for context in contexts:
                assert context.found == again(imap, context), (n, context.command, context.by_uid)
                assert not context.refused

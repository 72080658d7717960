# SPDX-License-Identifier: BSD-3-Clause
"""What a careful client knows of a mailbox, from untagged responses alone; every response is checked against it.

RFC 3501 §5.2, §7.4.1 (numbers, and when messages may leave), RFC 7162 (MODSEQ, VANISHED), RFC 5267 (ADDTO, REMOVEFROM).
"""

import re

from cyltest.clients import Imap, Rejected

_ITEM = re.compile(rb"(UID|MODSEQ|FLAGS) (\d+|\([^)]*\))")
# Behind these, unless they come with UID, numbers must not move (RFC 3501 §7.4.1).
NO_EXPUNGE = {"FETCH", "STORE", "SEARCH", "SORT", "THREAD", "COPY"}


class Inconsistent(AssertionError):
    """A response that can't be true beside the ones before it."""


def numbers_of(text):
    """The numbers of "7,1:3", in this order."""
    numbers = []
    for part in text.split(b","):
        low, _, high = part.partition(b":")
        low, high = sorted((int(low), int(high or low)))
        numbers += range(low, high + 1)
    return numbers


def uid_set(text):
    return set(numbers_of(text))


class Message:
    """None: not told yet."""

    def __init__(self):
        self.uid = self.flags = self.modseq = None


class Context:
    """A search that goes on. found: UIDs, or with numbers the messages themselves, in the order of the answer."""

    def __init__(self, command):
        self.command = command
        self.by_uid = command.startswith("UID ")
        self.sorted = "SORT" in command
        self.found = []
        self.answered = False  # ALL was there

    def change(self, view, name, place, items):
        if name == b"ADDTO":
            view.expect(not any(item in self.found for item in items), f"{self.command}: added, and was there")
            at = place - 1 if place else len(self.found)
            view.expect(at <= len(self.found), f"{self.command}: added at {place} of {len(self.found)}")
            self.found[at:at] = items
        elif place:
            view.expect(self.found[place - 1:place - 1 + len(items)] == items, f"{self.command}: another one is at {place}")
            del self.found[place - 1:place - 1 + len(items)]
        else:
            view.expect(all(item in self.found for item in items), f"{self.command}: removed, and was not there")
            self.found = [item for item in self.found if item not in items]


class View:
    """messages: as the client counts them. known: what went wrong is told with the last responses."""

    def __init__(self, qresync=False):
        self.qresync = qresync
        self.messages = []
        self.uidvalidity = self.uidnext = None
        self.highestmodseq = 0
        self.command = "NOOP"  # running, "UID FETCH" and the like
        self.history = []
        self.contexts = {}  # by tag

    def fail(self, why):
        raise Inconsistent(why + "\n" + "\n".join(self.history[-30:]))

    def expect(self, condition, why):
        if not condition:
            self.fail(why)

    def uids(self):
        return [m.uid for m in self.messages]

    # -- responses --

    def take(self, line):
        """One untagged line."""
        self.history.append(f"  {line[:300]!r}")
        for pattern, method in self.PATTERNS:
            match = pattern.match(line)
            if match:
                method(self, *match.groups())
                return

    def exists(self, n):
        n = int(n)
        self.expect(n >= len(self.messages), f"EXISTS {n} with {len(self.messages)} messages and no EXPUNGE")
        self.messages += [Message() for _ in range(n - len(self.messages))]

    def expunge(self, n):
        n = int(n)
        self.expect(not self.qresync, "EXPUNGE although VANISHED was asked for")
        self.may_leave()
        self.expect(1 <= n <= len(self.messages), f"EXPUNGE {n} of {len(self.messages)}")
        self.leaves(self.messages.pop(n - 1))

    def leaves(self, message):
        for context in self.contexts.values():
            self.expect((message.uid if context.by_uid else message) not in context.found,
                        f"{context.command}: a message leaves before REMOVEFROM")

    def vanished(self, earlier, uids):
        self.expect(self.qresync, "VANISHED without QRESYNC")
        gone = uid_set(uids)
        if not earlier:
            self.may_leave()
            here = {m.uid for m in self.messages}
            # A message that was never told by its UID leaves by it all the same.
            unknown = sum(1 for m in self.messages if m.uid is None)
            self.expect(len(gone - here) <= unknown, f"VANISHED {sorted(gone - here)}: never here")
        for uid in sorted(gone - {m.uid for m in self.messages}):
            self.forget_unknown(uid)
        for message in self.messages:
            if message.uid in gone:
                self.leaves(message)
        self.messages = [m for m in self.messages if m.uid not in gone]

    def forget_unknown(self, uid):
        """The first of the messages without a UID that may be this one."""
        for i, message in enumerate(self.messages):
            before = max((m.uid for m in self.messages[:i] if m.uid), default=0)
            after = min((m.uid for m in self.messages[i:] if m.uid), default=1 << 32)
            if message.uid is None and before < uid < after:
                del self.messages[i]
                return

    def may_leave(self):
        self.expect(self.command not in NO_EXPUNGE, f"a message left during {self.command}")

    def fetch(self, n, items):
        n = int(n)
        self.expect(1 <= n <= len(self.messages), f"FETCH of {n}, there are {len(self.messages)}")
        message = self.messages[n - 1]
        for name, value in _ITEM.findall(items):
            if name == b"UID":
                self.take_uid(n, message, int(value))
            elif name == b"FLAGS":
                message.flags = frozenset(value[1:-1].split()) - {rb"\Recent"}
            else:
                modseq = int(value[1:-1])
                self.expect(modseq >= (message.modseq or 0), f"MODSEQ of {n} went back from {message.modseq} to {modseq}")
                message.modseq = modseq

    def take_uid(self, n, message, uid):
        self.expect(message.uid in (None, uid), f"{n} was UID {message.uid}, and is {uid} now")
        below = [m.uid for m in self.messages[:n - 1] if m.uid]
        above = [m.uid for m in self.messages[n:] if m.uid]
        self.expect(not below or max(below) < uid, f"UID {uid} at {n}, behind {below[-1:]}")
        self.expect(not above or min(above) > uid, f"UID {uid} at {n}, before {above[:1]}")
        message.uid = uid

    def numbers(self, kind, text):
        """SEARCH or SORT."""
        found = [int(w) for w in text.split(b"(")[0].split()]
        known = set(self.uids())
        for number in found:
            if self.command.startswith("UID "):
                self.expect(number in known or None in known, f"{kind} found UID {number}: not here")
            else:
                self.expect(1 <= number <= len(self.messages), f"{kind} found {number} of {len(self.messages)}")

    def items(self, context, text):
        """What numbers of a context stand for."""
        nums = numbers_of(text)
        if context.by_uid:
            known = self.uids()
            self.expect(None in known or set(nums) <= set(known), f"{context.command} has UIDs {nums}: not all here")
            return nums
        self.expect(all(1 <= n <= len(self.messages) for n in nums), f"{context.command} has {nums} of {len(self.messages)}")
        return [self.messages[n - 1] for n in nums]

    def esearch(self, tag, uid, data):
        context = self.contexts.get(tag.decode())
        self.expect(context, f"ESEARCH with tag {tag}: no such search")
        self.expect(bool(uid) == context.by_uid, f"{context.command} is answered{uid or b' by number'}")
        for name, pairs in re.findall(rb" (ADDTO|REMOVEFROM) \(([^)]*)\)", data):
            self.expect(context.answered, f"{context.command} changes before it is answered")
            words = pairs.split()
            for place, nums in zip(words[::2], words[1::2]):
                self.expect((place != b"0") == context.sorted, f"{context.command}: place {place}")
                context.change(self, name, int(place), self.items(context, nums))
        if not context.answered:
            context.answered = True
            context.found = self.items(context, data[len(b" ALL "):]) if data.startswith(b" ALL ") else []

    def noupdate(self, tag):
        self.fail(f"the search with tag {tag} is not kept up to date")

    def modseq_told(self, modseq):
        self.expect(int(modseq) >= self.highestmodseq, f"HIGHESTMODSEQ went back from {self.highestmodseq} to {modseq}")
        self.highestmodseq = int(modseq)

    def validity(self, n):
        self.expect(self.uidvalidity in (None, int(n)), "UIDVALIDITY changed")
        self.uidvalidity = int(n)

    def next(self, n):
        self.expect(int(n) >= (self.uidnext or 0), "UIDNEXT went back")
        self.uidnext = int(n)

    PATTERNS = [
        (re.compile(rb"\* (\d+) EXISTS$"), exists),
        (re.compile(rb"\* (\d+) EXPUNGE$"), expunge),
        (re.compile(rb"\* VANISHED (\(EARLIER\) )?([\d:,]+)$"), vanished),
        (re.compile(rb"\* (\d+) FETCH \((.*)\)$", re.DOTALL), fetch),
        (re.compile(rb"\* (SEARCH|SORT) ?(.*)$"), numbers),
        (re.compile(rb'\* ESEARCH \(TAG "([^"]*)"\)( UID)?(.*)$'), esearch),
        (re.compile(rb'\* NO \[NOUPDATE "([^"]*)"\]'), noupdate),
        (re.compile(rb"\* OK \[HIGHESTMODSEQ (\d+)\]"), modseq_told),
        (re.compile(rb"\* OK \[UIDVALIDITY (\d+)\]"), validity),
        (re.compile(rb"\* OK \[UIDNEXT (\d+)\]"), next),
    ]


# By kind of session. Who has QRESYNC does not hear by number what has gone.
_BY_UID = ["UID SEARCH OR FLAGGED KEYWORD $A", "UID SORT (REVERSE SUBJECT) UTF-8 UNDELETED"]
SEARCHES = {"plain": [*_BY_UID, "SEARCH UNANSWERED", "SORT (SUBJECT REVERSE ARRIVAL) UTF-8 NOT KEYWORD $B"],
            "condstore": [*_BY_UID, "SEARCH OR UNSEEN DELETED"], "qresync": _BY_UID}


class Session:
    """A client that keeps a View. begin() sends, end() reads; several sessions may be between the two at once."""

    def __init__(self, server, user, mailbox, kind, name, notify=False):
        """notify: it is told between commands, too (RFC 5465)."""
        self.server, self.user, self.mailbox, self.kind, self.name, self.notify = server, user, mailbox, kind, name, notify
        self.client = self.view = self.tag = None
        self.idling = False
        self.connect()

    def connect(self, resume=None):
        """resume: a View that was left; it is brought up to date by QRESYNC."""
        self.client = Imap(("127.0.0.1", self.server.ports["imap"]))
        self.client.login(self.user, f"{self.user}.pw")
        if self.kind != "plain":
            self.client.ok("ENABLE " + {"condstore": "CONDSTORE", "qresync": "QRESYNC"}[self.kind])
        if resume:
            self.view = self.resync(resume)
        else:
            self.view = View(self.kind == "qresync")
            self.run(f"SELECT {self.mailbox}")
        self.learn()
        if self.notify:
            self.run("NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))")
        for search in SEARCHES[self.kind]:
            self.follow(search)

    def follow(self, search):
        """A search that goes on: its result is kept in the view, by ADDTO and REMOVEFROM alone."""
        words = search.split()
        at = 2 if words[0] == "UID" else 1
        self.begin(" ".join(words[:at] + ["RETURN (UPDATE ALL)"] + words[at:]))
        self.view.contexts[self.tag] = Context(search)
        self.end()
        self.view.expect(self.view.contexts[self.tag].answered, f"{search}: no answer")

    def check_contexts(self):
        """What was followed is what the same search finds now."""
        for context in self.view.contexts.values():
            lines = [line for line in self.run(context.command).untagged if re.match(rb"\* (SEARCH|SORT)\b", line)]
            self.view.expect(len(lines) == 1, f"{context.command}: {lines}")
            nums = b",".join(lines[0].split()[2:])
            now = self.view.items(context, nums) if nums else []
            found = context.found
            if not context.sorted:
                # in the order of the mailbox, wherever in the list they came to stand
                order = {id(message): n for n, message in enumerate(self.view.messages)}
                found = sorted(found, key=lambda one: one if context.by_uid else order[id(one)])
            self.view.expect(found == now, f"{context.command}: {len(found)} were followed, {len(now)} are found")

    def resync(self, old):
        known = [m for m in old.messages if m.uid]
        response = self.client.ok(f"SELECT {self.mailbox} (QRESYNC ({old.uidvalidity} {old.highestmodseq}))")
        new = View(True)
        new.history = old.history[-10:] + ["-- resync"]
        gone = set()
        for match in (re.match(rb"\* VANISHED \(EARLIER\) (\S+)", line) for line in response.untagged):
            gone |= uid_set(match.group(1)) if match else set()
        new.messages = [m for m in known if m.uid not in gone]
        [exists] = [int(line.split()[1]) for line in response.untagged if line.endswith(b" EXISTS")]
        new.expect(len(new.messages) <= exists, f"after VANISHED {sorted(gone)} {len(new.messages)} are left, EXISTS {exists}")
        for line in response.untagged:
            if not line.startswith(b"* VANISHED"):
                new.take(line)
        return new

    def learn(self):
        """UIDs and flags of what is new."""
        first = next((i for i, m in enumerate(self.view.messages, 1) if None in (m.uid, m.flags)), None)
        if first:
            self.run(f"FETCH {first}:* (UID FLAGS{' MODSEQ' if self.kind != 'plain' else ''})")

    def begin(self, command):
        words = (command if isinstance(command, str) else command[0]).split()
        self.view.command = " ".join(words[:2]) if words[0] == "UID" else words[0]
        self.view.history.append(f"{self.name}: {command if isinstance(command, str) else command[0]}")
        self.tag = self.client.start(command)

    def end(self, wanted=("OK",)):
        response = self.client.finish(self.tag)
        for line in response.untagged:
            self.view.take(line)
        self.view.history.append(f"  {response.status} {response.text}")
        code = re.match(r"\[HIGHESTMODSEQ (\d+)\]", response.text)
        if code:
            self.view.modseq_told(code.group(1))
        if response.status not in wanted:
            raise Rejected(f"{self.view.history[-20:]}")
        return response

    def run(self, command, wanted=("OK",)):
        self.begin(command)
        return self.end(wanted)

    def begin_idle(self):
        self.view.command = "IDLE"
        self.view.history.append(f"{self.name}: IDLE")
        self.tag = self.client.start("IDLE")
        early = self.client.continuation(self.tag)
        assert early is None, early
        self.idling = True

    def end_idle(self):
        self.idling = False
        self.client.sendline("DONE")
        self.end()

    def cut(self):
        """The connection ends without a farewell."""
        self.client.close()

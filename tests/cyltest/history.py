# SPDX-License-Identifier: BSD-3-Clause
"""Random histories of a mailbox whose two ends went their own ways, and what must become of them.

A history is a function of its seed. What the repair must give is said here in terms of messages and of what their
readers have seen, not in terms of the algorithm (handbook 03 §11.1 is what both follow):

- a message that is alive wherever it is known lives on; one that an end has expunged is gone from both;
- an end that keeps the records of expunged messages (option expunge_tombstones) has expunged them after a purge, too: whatever
  the other end did to such a message, knowing nothing of that, it is gone, as it is before a purge;
- what an end has forgotten (expunged and purged) it cannot tell from what it has never had: the master takes a message of the
  replica that is older than the last thing that it has forgotten for forgotten, and keeps the others, as those were
  changed later than it knows of anything;
- a UID under which an end has shown another message, or none any more, is never used: the message gets a new one;
- of two sets of flags that of the replica wins when it has the higher modseq and is not older.

A message is its UID and its GUID: two ends that made the same message under the same UID have the same message.
"""

import copy
import random
from dataclasses import dataclass, field

from .syncline import VENDOR, guid, mailbox, record, upload

START = 1795310000
FLAGS = (r"\Answered", r"\Flagged", r"\Draft", r"\Seen", r"\Deleted", "$Label1", "Keyword")


@dataclass
class Message:
    """A record of one end."""

    uid: int
    content: bytes
    modseq: int
    updated: int
    created: int = 0  # 0: each end has its own idea of when
    createdmodseq: int = 0
    flags: frozenset = frozenset()
    comment: str = ""
    comment_modseq: int = 0
    expunged: bool = False

    @property
    def key(self):
        return self.uid, guid(self.content)

    @property
    def looks(self):
        return self.flags, self.comment

    def line(self):
        flags = sorted(self.flags) + ([r"\Expunged"] if self.expunged else [])
        values = []
        if self.comment:
            values.append(("/comment", self.comment_modseq, self.comment))
        if self.created:
            values += [(VENDOR + "savedate", 0, self.created), (VENDOR + "createdmodseq", 0, self.createdmodseq)]
        annotations = " ".join(f'%(ENTRY {entry} USERID "" MODSEQ {modseq} VALUE {value})'
                               for entry, modseq, value in values)
        return record(self.uid, self.modseq, " ".join(flags), self.content, last_updated=self.updated,
                      annotations=annotations)


@dataclass
class End:
    records: dict = field(default_factory=dict)  # UID: Message
    last_uid: int = 0
    highestmodseq: int = 1
    uidvalidity: int = 1000
    now: int = START
    forgotten: set = field(default_factory=set)  # keys
    deletedmodseq: int = 0
    keeps: bool = False  # the records of purged messages
    before_purge: "End" = None

    def alive(self, uid):
        rec = self.records.get(uid)
        return rec if rec and not rec.expunged else None

    def living(self):
        return [rec for rec in self.records.values() if not rec.expunged]

    def touch(self, rec, rng):
        self.highestmodseq += rng.choice((1, 1, 1, 2, 5))
        self.now += rng.choice((0, 0, 1, 7))
        rec.modseq, rec.updated = self.highestmodseq, self.now

    def append(self, content, rng):
        self.last_uid += 1
        rec = self.records[self.last_uid] = Message(self.last_uid, content, 0, 0)
        self.touch(rec, rng)
        if rng.random() < 0.9:
            rec.created, rec.createdmodseq = rec.updated, rec.modseq
        rec.flags = frozenset(rng.sample(FLAGS, rng.choice((0, 0, 1, 2))))

    def purge(self):
        """As cyr_expire -X 0."""
        self.before_purge = None
        self.before_purge = copy.deepcopy(self)
        if self.keeps:
            return
        for uid, rec in list(self.records.items()):
            if rec.expunged:
                self.forgotten.add(rec.key)
                self.deletedmodseq = max(self.deletedmodseq, rec.modseq)
                del self.records[uid]

    def commands(self, name, uniqueid):
        """What brings a server into this state."""
        lines = [self.records[uid].line() for uid in sorted(self.records)]
        return [upload(*[rec.content for rec in self.records.values()]),
                "APPLY " + mailbox(f'"{name}"', lines, UNIQUEID=uniqueid, LAST_UID=self.last_uid,
                                   HIGHESTMODSEQ=self.highestmodseq, UIDVALIDITY=self.uidvalidity,
                                   CREATEDMODSEQ=1)]


class History:
    def __init__(self, seed, forgetful, keepers=()):
        """forgetful: ends may purge; keepers: those of "master", "replica" that keep records."""
        self.seed = seed
        self.rng = random.Random(seed)
        self.made = 0
        base = End()
        for _ in range(self.rng.randrange(7)):
            base.append(self._content(base), self.rng)
            if self.rng.random() < 0.3:
                self._change(base)
        self.master, self.replica = copy.deepcopy(base), copy.deepcopy(base)
        self.master.keeps, self.replica.keeps = (end in keepers for end in ("master", "replica"))
        if self.rng.random() < 0.2:
            self._drop_expunged(self.replica)
        self.replica.uidvalidity += self.rng.choice((-3, 0, 0, 0, 0, 0, 0, 0, 3))
        for end in (self.master, self.replica):
            end.now += self.rng.choice((0, 0, 3))
            purge_at = self.rng.randrange(8) if forgetful and self.rng.random() < 0.6 else None
            for n in range(self.rng.randrange(8)):
                if n == purge_at:
                    end.purge()
                self._change(end)

    def _content(self, end):
        """Mostly a new message; sometimes a copy of one that is there."""
        if end.living() and self.rng.random() < 0.15:
            return self.rng.choice(end.living()).content
        self.made += 1
        return (f"Message-ID: <h{self.seed}.{self.made}@example.com>\\r\\nSubject: {self.seed}\\r\\n\\r\\n"
                f"{self.rng.random()}\\r\\n").replace("\\r\\n", "\r\n").encode()

    def _change(self, end):
        living = end.living()
        what = self.rng.random()
        if not living or what < 0.4:
            end.append(self._content(end), self.rng)
            return
        rec = self.rng.choice(living)
        if what < 0.6:
            rec.expunged = True
        elif what < 0.7:
            rec.comment = self.rng.choice(("one", "two", ""))
        else:
            rec.flags = rec.flags ^ {self.rng.choice(FLAGS)}
        end.touch(rec, self.rng)
        if 0.6 <= what < 0.7:
            rec.comment_modseq = rec.modseq

    @staticmethod
    def _drop_expunged(end):
        """A replica that was made when these were expunged already."""
        for uid, rec in list(end.records.items()):
            if rec.expunged:
                del end.records[uid]

    # ---- what must be ----

    def _taken_for_forgotten(self, theirs, careless):
        """A message of the replica of which the master has no trace under a UID that it has passed.

        A careless master (3.6.1) does not ask whether it has another message under that UID, in which case it cannot
        have had this one.
        """
        return (theirs.uid <= self.master.last_uid
                and (careless or theirs.uid not in self.master.records)
                and theirs.modseq < self.master.deletedmodseq)

    def survivors(self, careless=False):
        """[(GUID, (flags, comment))] of what must be alive, in order."""
        out = []
        for key in {rec.key for end in (self.master, self.replica) for rec in end.records.values()}:
            ours, theirs = (end.records.get(key[0]) for end in (self.master, self.replica))
            ours, theirs = (rec if rec and rec.key == key else None for rec in (ours, theirs))
            if (ours and ours.expunged) or (theirs and theirs.expunged):
                continue
            if not ours and self._taken_for_forgotten(theirs, careless):
                continue
            out.append((key[1], self._winner(ours, theirs).looks))
        return sorted(out, key=lambda item: (item[0], sorted(item[1][0]), item[1][1]))

    @staticmethod
    def _winner(ours, theirs):
        if not ours or not theirs:
            return ours or theirs
        newer = theirs.modseq > ours.modseq and theirs.updated >= ours.updated
        return theirs if newer else ours

    def judge(self, value, careless=False):
        """Problems of a FULLMAILBOX answer that both ends give after the repair."""
        problems = []
        found, uids = [], {}
        for rec in value["RECORD"]:
            flags = {flag.decode() for flag in rec["FLAGS"]}
            if r"\Expunged" in flags:
                continue
            comments = [a["VALUE"].decode() for a in rec.get("ANNOTATIONS", ()) if a["ENTRY"] == b"/comment"]
            found.append((rec["GUID"].decode(), (frozenset(flags), "".join(comments))))
            uids[int(rec["UID"])] = rec["GUID"].decode()
        found.sort(key=lambda item: (item[0], sorted(item[1][0]), item[1][1]))
        if found != self.survivors(careless):
            problems.append(f"alive: {found}\nshould be: {self.survivors(careless)}")
        for end in (self.master, self.replica):
            for uid, guid_ in uids.items():
                shown = end.alive(uid)
                if uid <= end.last_uid and not (shown and guid(shown.content) == guid_):
                    problems.append(f"UID {uid} is used for another message")
        if int(value["UIDVALIDITY"]) != max(self.master.uidvalidity, self.replica.uidvalidity):
            problems.append("UIDVALIDITY")
        return problems

    def __str__(self):
        text = [f"seed {self.seed}"]
        for name, end in (("master", self.master), ("replica", self.replica)):
            text.append(f"{name}: LAST_UID {end.last_uid} HIGHESTMODSEQ {end.highestmodseq} "
                        f"DELETEDMODSEQ {end.deletedmodseq}")
            text += [f"  {end.records[uid].line()}" for uid in sorted(end.records)]
        return "\n".join(text)

# SPDX-License-Identifier: BSD-3-Clause
"""A client at each end that forgets nothing: a UID that it was told is gone is never shown again (W022)."""

import re

UIDVALIDITY = re.compile(rb"\[UIDVALIDITY (\d+)\]")
MODSEQ = re.compile(rb"\[HIGHESTMODSEQ (\d+)\]")
IDENTITY = re.compile(rb"\[MAILBOXID \(([^)]+)\)\]")
VANISHED = re.compile(rb"^\* VANISHED (?:\(EARLIER\) )?([\d:,]+)")


def numbers(uids):
    """Of a set of IMAP, which names its ends."""
    found = set()
    for part in filter(None, uids.split(b",")):
        first, _, last = part.partition(b":")
        found |= set(range(int(first), int(last or first) + 1))
    return found


class UidMonitor:
    """What each end has shown and told of mailboxes.

    A mailbox is known by its name and by its identity; what is gone is gone under both. What one end has told holds for that end at once,
    and for both when they have met: then everything that has been changed at either of them has come to the other.
    """

    def __init__(self):
        self._gone = {}  # {end: {(name or identity, uidvalidity): UIDs}}
        self._common = {}
        self._shown = {}  # as _gone: when it was last seen
        self._now = {}  # {(end, user): the same of what was there at the last look}
        self._validity = {}  # {identity: {end: the uidvalidity that it had first}}
        self._known = {}  # {(end, user, box): what QRESYNC needs}
        self.told = 0

    def note(self, end, keys, uidvalidity, shown, gone=frozenset(), user=None, twice=False):
        """A look at a mailbox that has these keys, the last of which is its identity. twice: both ends may have made one of that name, of
        which the ends make one, with the higher UIDVALIDITY."""
        first = self._validity.setdefault(keys[-1], {})
        first.setdefault(end, uidvalidity)
        assert twice or uidvalidity in first.values(), f"{end} {keys}: another UIDVALIDITY: {uidvalidity}"
        for key in ((key, uidvalidity) for key in keys):
            before = self._shown.setdefault(end, {}).get(key, set())
            known = self._gone.setdefault(end, {}).setdefault(key, set())
            again = shown & (known | self._common.get(key, set()))
            assert not again, f"{end} {key}: shown again: {sorted(again)}"
            self.told += len(((before - shown) | gone) - known)
            known |= (before - shown) | gone
            self._shown[end][key] = self._now.setdefault((end, user), {})[key] = shown

    def met(self, identity=None):
        """Both ends are equal (in that mailbox). What one has told has come to the other."""
        for end, boxes in self._gone.items():
            for key, uids in self._chosen(boxes, identity):
                self._common.setdefault(key, set()).update(uids)
        for (end, _), boxes in self._now.items():
            for key, uids in self._chosen(boxes, identity):
                again = uids & self._common.get(key, set())
                assert not again, f"{end} {key}: gone on the other end: {sorted(again)}"

    @staticmethod
    def _chosen(boxes, identity):
        return [(key, uids) for key, uids in boxes.items() if identity in (None, key[0])]

    # -- by IMAP --

    def look(self, server, user):
        """Everything that is there, with a session of its own, which tells what it has seen so far."""
        self._now[(server.name, user)] = {}
        with server.imap(user) as imap:
            imap.ok("ENABLE QRESYNC")
            for line in imap.ok('LIST "" "*"').find("* LIST"):
                name = line.rsplit(b" ", 1)[1].decode()
                if r"\noselect" not in line.decode().lower():
                    self._look_at(imap, server.name, user, name)
            imap.logout()

    def _look_at(self, imap, end, user, name):
        known = self._known.get((end, user, name))
        answer = imap.cmd(f"EXAMINE {name}" + (f" (QRESYNC ({known[0]} {known[1]}))" if known else ""))
        if answer.status != "OK":
            return
        lines = answer.untagged
        uidvalidity, identity = (next(m[1] for m in map(what.search, lines) if m) for what in (UIDVALIDITY, IDENTITY))
        modseq = next((int(m[1]) for m in map(MODSEQ.search, lines) if m), 0)
        gone = set().union(*(numbers(m[1]) for m in map(VANISHED.search, lines) if m))
        found = imap.ok("UID SEARCH ALL").find("* SEARCH")
        self.note(end, [(user, name), identity.decode()], int(uidvalidity), {int(uid) for uid in found[0].split()[2:]} if found else set(),
                  gone, user, name != "INBOX")
        self._known[(end, user, name)] = (int(uidvalidity), modseq) if modseq else None

    # -- by the replication protocol --

    def take(self, end, value):
        """A MAILBOX with all its records: what it does not have below its last UID was told to be gone, or will never come."""
        shown = {int(rec["UID"]) for rec in value["RECORD"] if b"\\Expunged" not in rec["FLAGS"]}
        self.note(end, [value["UNIQUEID"].decode()], int(value["UIDVALIDITY"]), shown, set(range(1, int(value["LAST_UID"]) + 1)) - shown)

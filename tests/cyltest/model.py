# SPDX-License-Identifier: BSD-3-Clause
"""What a store must look like to clients: mailboxes, messages, rights and quota of a few users, in memory.

Names are internal ("user.alice.a"). What the server chooses (UIDVALIDITY, ids, modseqs, digests of delivered messages) is
None until it has been seen once; from then on it must stay. A change sets the modseq of what it changes to None: the
server must give it one that is higher than all that the owner had before. Modseqs that are not None must not move.
"""

import copy
import hashlib
from dataclasses import dataclass, field

SYSTEM = (r"\Answered", r"\Flagged", r"\Draft", r"\Deleted")
FULL = "lrswipkxtecdan"
SEEN, DELETED = r"\Seen", r"\Deleted"
RESOURCES = ("STORAGE", "MESSAGE", "X-ANNOTATION-STORAGE", "X-NUM-FOLDERS")


@dataclass
class Message:
    uid: int
    content: bytes | None  # None: delivered; the server has added to it
    date: str | None
    flags: frozenset = frozenset()  # with \Seen of the owner
    note: str = ""  # the shared /comment
    digest: str | None = None
    size: int | None = None
    modseq: int | None = None

    def __post_init__(self):
        if self.content is not None and self.digest is None:
            self.digest, self.size = hashlib.sha1(self.content).hexdigest(), len(self.content)


@dataclass
class Box:
    name: str
    uidnext: int = 1
    uidvalidity: int | None = None
    id: str | None = None
    modseq: int | None = None
    messages: dict = field(default_factory=dict)  # UID: Message
    expunged: dict = field(default_factory=dict)  # what unexpunge can restore
    acl: dict = field(default_factory=dict)
    seen: dict = field(default_factory=dict)  # user who does not own it: UIDs
    comment: str = ""  # the shared /comment of the mailbox

    @property
    def owner(self):
        return owner(self.name)


def owner(name):
    return name.removeprefix("DELETED.").split(".")[1]


def inbox(user):
    return f"user.{user}"


def is_at_or_below(name, root):
    return name == root or name.startswith(root + ".")


class Store:
    def __init__(self, users, delayed, aware):
        """delayed: expunge_mode; aware: quota_use_conversations."""
        self.delayed, self.aware = delayed, aware
        self.boxes, self.deleted = {}, []  # name: Box; those that were deleted, oldest first
        self.subscribed = {user: set() for user in users}
        self.roots = {}  # name: {resource: limit}
        self.top = dict.fromkeys(users, 0)  # the highest modseq that was seen of each user
        for user in users:
            self.boxes[inbox(user)] = Box(inbox(user), acl={user: FULL})

    def copy(self):
        """All of it; nothing is shared."""
        return copy.deepcopy(self)

    # ---- mailboxes ----

    def below(self, name):
        """The names of a tree, its top first."""
        return sorted(n for n in self.boxes if is_at_or_below(n, name))

    def of(self, user):
        return [box for name, box in sorted(self.boxes.items()) if is_at_or_below(name, inbox(user))]

    def parent(self, name):
        while "." in name:
            name = name.rpartition(".")[0]
            if name in self.boxes:
                return self.boxes[name]
        return None

    def create(self, name):
        """With the mailboxes above it that are missing."""
        self._parents(name)
        self.boxes[name] = Box(name, acl=dict(self.parent(name).acl))

    def _parents(self, name):
        parts = name.split(".")
        for part in [".".join(parts[:n]) for n in range(2, len(parts))]:
            if part not in self.boxes:
                self.boxes[part] = Box(part, acl=dict(self.parent(part).acl))

    def delete(self, name):
        box = self.boxes.pop(name)
        box.name, box.modseq = "DELETED." + name, None
        self.deleted.append(box)

    def rename(self, old, new, alone=False):
        """alone: into its own subtree; the other mailboxes stay. Missing parents are created."""
        self._parents(new)
        for name in [old] if alone else self.below(old):
            box = self.boxes.pop(name)
            box.name, box.modseq = new + name[len(old):], None
            self.boxes[box.name] = box
        self._parents(new)

    def undelete(self, box, name):
        self._parents(name)
        self.deleted.remove(box)
        box.name, box.modseq = name, None
        self.boxes[name] = box

    def rename_inbox(self, user, new):
        self.create(new)
        source = self.boxes[inbox(user)]
        self.move(user, source, self.boxes[new], sorted(source.messages))

    # ---- messages ----

    def add(self, box, user, content, flags=(), date=None, note=""):
        message = Message(box.uidnext, content, date, frozenset(flags), note)
        self._place(box, user, message)

    def _place(self, box, user, message):
        box.uidnext += 1
        box.modseq = message.modseq = None
        if user != box.owner and SEEN in message.flags:
            box.seen.setdefault(user, set()).add(message.uid)
            message.flags -= {SEEN}
        box.messages[message.uid] = message

    def flags_for(self, box, user, message):
        if user == box.owner:
            return message.flags
        seen = message.uid in box.seen.get(user, ())
        return message.flags - {SEEN} | ({SEEN} if seen else set())

    def copy_to(self, user, source, target, uids):
        """COPY: with flags as the user sees them, and with annotations."""
        for uid in uids:
            was = source.messages[uid]
            new = copy.copy(was)
            new.uid, new.flags = target.uidnext, frozenset(self.flags_for(source, user, was))
            self._place(target, user, new)

    def move(self, user, source, target, uids):
        self.copy_to(user, source, target, uids)
        self.expunge(source, uids)

    def store(self, box, user, uids, how, flags, unchangedsince=None):
        """Flags of which the user has the right; returns the UIDs that UNCHANGEDSINCE spared."""
        spared = []
        for uid in uids:
            message = box.messages[uid]
            if unchangedsince is not None and (message.modseq or 0) > unchangedsince:
                spared.append(uid)
                continue
            was = self.flags_for(box, user, message)
            now = {"+": was | flags, "-": was - flags, "": flags}[how]
            self._set_flags(box, user, message, frozenset(now))
        return spared

    def _set_flags(self, box, user, message, now):
        if now == self.flags_for(box, user, message):
            return
        box.modseq = message.modseq = None
        if user != box.owner:
            seen = box.seen.setdefault(user, set())
            (seen.add if SEEN in now else seen.discard)(message.uid)
            now = now - {SEEN} | (message.flags & {SEEN})
        message.flags = now

    def annotate(self, box, uid, note):
        box.messages[uid].note = note
        box.modseq = box.messages[uid].modseq = None

    def expunge(self, box, uids):
        for uid in list(uids):
            message = box.messages.pop(uid)
            box.modseq = None
            if self.delayed:
                box.expunged[uid] = message

    def deleted_in(self, box, uids=None):
        return [uid for uid, message in sorted(box.messages.items())
                if DELETED in message.flags and (uids is None or uid in uids)]

    def unexpunge(self, box, uids, undelete):
        for uid in sorted(uids):
            message = box.expunged.pop(uid)
            message.uid = box.uidnext
            if undelete:
                message.flags -= {DELETED}
            self._place(box, box.owner, message)

    def expire(self):
        """cyr_expire -X 0 -D 0."""
        for box in self.boxes.values():
            box.expunged.clear()
        self.deleted.clear()

    # ---- quota ----

    def root_of(self, name):
        found = [root for root in self.roots if is_at_or_below(name, root)]
        return max(found, key=len, default=None)

    def end_roots(self):
        """quota -f: a root without a mailbox goes; their names."""
        gone = [root for root in self.roots if not self.below(root)]
        for root in gone:
            del self.roots[root]
        return sorted(gone)

    def may_exceed(self, name, octets, messages):
        """Could a limit stand in the way of so much more in that mailbox?"""
        root = self.root_of(name)
        if root is None:
            return False
        limits, raw = self.roots[root], self.used(root)
        shown = self.used_by_conversations(owner(root))
        return any(res in limits and max(raw[n], shown[n] if self.aware else 0) + more > limits[res] * unit
                   for n, (res, more, unit) in enumerate((("STORAGE", octets, 1024), ("MESSAGE", messages, 1))))

    def used(self, root):
        """Octets, messages, octets of annotations, mailboxes: raw."""
        boxes = [box for name, box in self.boxes.items() if self.root_of(name) == root]
        messages = [message for box in boxes for message in box.messages.values()]
        notes = sum(len(message.note) for message in messages) + sum(len(box.comment) for box in boxes)
        return [sum(message.size or 0 for message in messages), len(messages), notes,
                len(boxes) + sum(self.root_of(name) == root for name in self.levels())]

    def levels(self):
        """Names between mailboxes that are none."""
        found = set()
        for name in self.boxes:
            parts = name.split(".")
            found |= {".".join(parts[:n]) for n in range(3, len(parts))}
        return found - self.boxes.keys()

    def used_by_conversations(self, user):
        """Octets and messages: each counts once, if one copy is not \\Deleted."""
        sizes = {message.digest: message.size or 0 for box in self.of(user) for message in box.messages.values()
                 if DELETED not in message.flags}
        return [sum(sizes.values()), len(sizes)]

    def quota(self, root):
        """{resource: (usage, limit)} of GETQUOTA (RAW)."""
        raw = self.used(root)
        shown = self.used_by_conversations(owner(root)) + raw[2:] if self.aware else raw
        limits = self.roots[root]
        units = (1024, 1, 1024, 1)
        told = {res: (shown[n] // units[n], limits[res]) for n, res in enumerate(RESOURCES) if res in limits}
        for n, res in enumerate(RESOURCES[:2]):
            if res in limits:
                told["X-RAW-" + res] = (raw[n] // units[n], limits[res])
        return told

# SPDX-License-Identifier: BSD-3-Clause
"""Is the server as the model says? Everything is asked over IMAP."""

import re

from .model import SEEN, inbox, is_at_or_below

STATUS = "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE MAILBOXID)"
FETCH = "(FLAGS INTERNALDATE RFC822.SIZE DIGEST.SHA1 MODSEQ ANNOTATION (/comment value.shared))"
LINE = re.compile(rb'\* \d+ FETCH \(FLAGS \(([^)]*)\) UID (\d+) DIGEST.SHA1 (\w+) INTERNALDATE "([^"]*)" MODSEQ \((\d+)\) '
                  rb'RFC822.SIZE (\d+) ANNOTATION \(/comment \(value.shared (NIL|"[^"]*"|\{\d+\}\r\n[^)]*)\)\)\)$', re.S)


def external(user, name):
    if is_at_or_below(name, inbox(user)):
        return "INBOX" + name[len(inbox(user)):]
    return name


def internal(user, name):
    return inbox(user) + name[5:] if name == "INBOX" or name.startswith("INBOX.") else name


class View:
    """Sessions that only look. check() fills in what the model could not know, or says what is wrong."""

    def __init__(self, server, users, raw=True):
        """raw: the server knows GETQUOTA (RAW)."""
        self.users, self.raw = users, raw
        self.imap = {user: server.imap(user) for user in (*users, "admin")}

    def close(self):
        for imap in self.imap.values():
            imap.close()

    def check(self, store, touched=(), everything=False):
        """A list of what differs. touched: names of mailboxes that are looked at message by message."""
        problems = []
        for user in self.users:
            problems += self._statuses(store, user)
            problems += self._subscriptions(store, user) if everything else []
        for name in list(store.boxes) if everything else touched:
            if name in store.boxes:
                problems += self._messages(store, store.boxes[name])
                problems += self._rights(store.boxes[name]) if everything else []
        problems += self._quota(store)
        self._raise_tops(store)
        return problems

    @staticmethod
    def _raise_tops(store):
        for box in store.boxes.values():
            store.top[box.owner] = max(store.top[box.owner], box.modseq or 0)

    # ---- mailboxes ----

    def _statuses(self, store, user):
        lines = self.imap[user].ok(f'LIST "" * RETURN (STATUS {STATUS})').find("* STATUS ")
        told = {}
        for line in lines:
            words = line.decode().replace("(", "").replace(")", "").split()[2:]
            told[internal(user, words[0])] = dict(zip(words[1::2], words[2::2]))
        seen = {name: box for name, box in store.boxes.items() if "r" in box.acl.get(user, "")}
        problems = [f"{user} sees {name}: {name in told}, should: {name in seen}" for name in told.keys() ^ seen.keys()]
        for name in told.keys() & seen.keys():
            problems += self._status(store, user, seen[name], told[name])
        return problems

    def _status(self, store, user, box, told):
        messages = box.messages.values()
        flags = [store.flags_for(box, user, message) for message in messages]
        want = {"MESSAGES": len(messages), "UIDNEXT": box.uidnext, "UNSEEN": sum(SEEN not in f for f in flags)}
        if all(message.size is not None for message in messages):
            want["SIZE"] = sum(message.size for message in messages)
        problems = [f"STATUS of {box.name} for {user}: {key} {told[key]}, should be {value}"
                    for key, value in want.items() if told[key] != str(value)]
        for attribute, value in (("uidvalidity", int(told["UIDVALIDITY"])), ("id", told["MAILBOXID"])):
            problems += learn(box, attribute, value, box.name)
        return problems + learn_modseq(store, box, int(told["HIGHESTMODSEQ"]), box, box.name)

    def _subscriptions(self, store, user):
        lines = self.imap[user].ok('LSUB "" *').find("* LSUB ")
        told = {internal(user, line.decode().split()[-1]) for line in lines if b"\\Noselect" not in line}
        want = {name for name in store.subscribed[user] & store.boxes.keys()
                if "l" in store.boxes[name].acl.get(user, "")}
        return [f"LSUB of {user}: {sorted(told)}, should be {sorted(want)}"] if told != want else []

    def _rights(self, box):
        words = self.imap["admin"].ok(f"GETACL {box.name}").find("* ACL")[0].decode().split()[3:]
        told = {user: set(rights) for user, rights in zip(words[::2], words[1::2])}
        want = {user: set(rights) for user, rights in box.acl.items()}
        problems = [f"ACL of {box.name}: {told}, should be {want}"] if told != want else []
        lines = self.imap[box.owner].ok(f"GETMETADATA {external(box.owner, box.name)} (/shared/comment)").find("* METADATA")
        told = lines[0].decode().rpartition(" ")[2].strip('")') if lines else "NIL"
        if told != (box.comment or "NIL"):
            problems.append(f"/shared/comment of {box.name}: {told}, should be {box.comment}")
        return problems

    # ---- messages ----

    def _messages(self, store, box):
        problems = []
        for user in self.users:
            if "r" in box.acl.get(user, ""):
                imap = self.imap[user]
                imap.ok(f"EXAMINE {external(user, box.name)}")
                lines = [line for line in imap.ok(f"UID FETCH 1:* {FETCH}").find("* ") if b" FETCH (" in line]
                problems += self._fetched(store, user, box, lines)
                imap.ok("UNSELECT")
        return problems

    @staticmethod
    def _fetched(store, user, box, lines):
        problems, uids = [], []
        for line in lines:
            match = LINE.match(line)
            if not match:
                return [f"FETCH of {box.name}: {line!r}"]
            flags, uid, digest, date, modseq, size, note = match.groups()
            uids.append(int(uid))
            message = box.messages.get(int(uid))
            if message is None:
                continue
            what = f"{user}: {box.name} {message.uid}"
            flags = frozenset(flags.decode().split()) - {r"\Recent"}
            want = store.flags_for(box, user, message)
            if flags != want:
                problems.append(f"{what}: {sorted(flags)}, should be {sorted(want)}")
            note = "" if note == b"NIL" else note.rpartition(b"\r\n")[2].strip(b'"').decode()
            if note != message.note:
                problems.append(f"{what}: /comment {note}, should be {message.note}")
            for attribute, value in (("digest", digest.decode()), ("date", date.decode()), ("size", int(size))):
                problems += learn(message, attribute, value, what)
            problems += learn_modseq(store, message, int(modseq), box, what)
        if any(message.modseq and message.modseq > (box.modseq or 0) for message in box.messages.values()):
            problems.append(f"{box.name}: a modseq above HIGHESTMODSEQ {box.modseq}")
        if uids != sorted(box.messages):
            problems.append(f"{user}: {box.name} has {uids}, should have {sorted(box.messages)}")
        return problems

    # ---- quota ----

    def _quota(self, store):
        problems = []
        for root in store.roots:
            line = self.imap["admin"].ok(f"GETQUOTA {root}{' (RAW)' if self.raw else ''}").find("* QUOTA ")[0].decode()
            words = line.partition("(")[2].rstrip(")").split()
            told = {words[n]: (int(words[n + 1]), int(words[n + 2])) for n in range(0, len(words), 3)}
            want = {res: value for res, value in store.quota(root).items() if self.raw or "RAW" not in res}
            problems += [f"quota of {root}: {told}, should be {want}"] if told != want else []
        return problems


def learn(thing, attribute, value, what):
    want = getattr(thing, attribute)
    if want is None:
        setattr(thing, attribute, value)
    elif want != value:
        return [f"{what}: {attribute} {value}, should be {want}"]
    return []


def learn_modseq(store, thing, value, box, what):
    if thing.modseq is not None:
        return learn(thing, "modseq", value, what)
    thing.modseq = value
    top = store.top[box.owner]
    return [] if value > top else [f"{what}: modseq {value} is not above {top}"]

# SPDX-License-Identifier: BSD-3-Clause
"""Random operations of clients on a store, each with what it must do to the model.

Every maker takes the world (its store, its random numbers) and returns an Op, or None when the store has nothing for it.
"""

from dataclasses import dataclass, field

from .clients import Literal
from .model import DELETED, FULL, SEEN, SYSTEM, inbox, is_at_or_below
from .model_view import external

KEYWORDS = ("$Work", "$Label1", "Junk", "later")
LEVELS = ("a", "b", "c", "d")
MOST_BOXES, MOST_MESSAGES = 12, 14


@dataclass
class Op:
    session: str
    command: object  # text, or parts for Imap.cmd
    effect: object  # of the store; called when the answer was OK
    touches: set | None = field(default_factory=set)  # mailboxes; None: anything
    select: str | None = None
    answers: tuple = ("OK",)
    check: object = None  # of the response, before the effect

    def __str__(self):
        parts = [self.command] if isinstance(self.command, str) else self.command
        shown = "".join(f"{{{len(p)}}}" if isinstance(p, Literal) else p for p in parts)
        return f"{self.session}: {f'[{self.select}] ' if self.select else ''}{shown} -> {'/'.join(self.answers)}"


def uidset(uids):
    return ",".join(map(str, uids))


def quota_answers(w, target, octets, messages):
    return ("OK", "NO") if w.store.may_exceed(target, octets, messages) else ("OK",)


# ---- choices ----

def text(w):
    """One of 60 messages, so that the same one comes again."""
    n = w.rng.randrange(60)
    refs = f"References: <m{n // 4 * 4}@example.com>\r\n" if n % 4 else ""
    head = (f"From: a@example.com\r\nTo: b@example.com\r\nSubject: {'Re: ' if n % 4 else ''}thread {n // 4}\r\n"
            f"Date: Mon, 07 Feb 2022 10:00:00 +0000\r\nMessage-ID: <m{n}@example.com>\r\n{refs}\r\n")
    return (head + "x" * (n * n % 2900) + "\r\n").encode()


def date(w):
    return f"{w.rng.randrange(10, 29)}-Feb-2022 09:01:{w.rng.randrange(60):02d} +0000"


def some_flags(w):
    return frozenset(w.rng.sample((*SYSTEM, SEEN, SEEN, *KEYWORDS), w.rng.choice((0, 1, 1, 2, 3))))


def a_box(w, user="alice", filled=False, right="w", room=False):
    found = [name for name, box in w.store.boxes.items() if right in box.acl.get(user, "")
             and (box.messages or not filled) and (len(box.messages) < MOST_MESSAGES or not room)]
    return w.rng.choice(sorted(found)) if found else None


def some_uids(w, box):
    uids = sorted(w.store.boxes[box].messages)
    return sorted(w.rng.sample(uids, min(len(uids), w.rng.choice((1, 1, 2, 4)))))


def new_name(w):
    """Of a folder of alice that does not exist; its parents may not exist either."""
    for _ in range(20):
        base = w.rng.choice(sorted(box.name for box in w.store.of("alice")))
        name = ".".join([base, *w.rng.choices(LEVELS, k=w.rng.choice((1, 1, 1, 2)))])
        if name not in w.store.boxes and name.count(".") < 6:
            return name
    return None


def user_of(w, session):
    return session.rstrip("12")


def a_session(w):
    """Who acts, and the right that makes a mailbox his."""
    return w.rng.choice(("alice1", "alice1", "alice2", "alice2", "bob"))


# ---- messages ----

def append(w):
    session = a_session(w)
    user = user_of(w, session)
    name = a_box(w, user, room=True)
    if not name:
        return None
    many = w.rng.choice((1, 1, 1, 2, 3))
    new = [(text(w), some_flags(w), date(w)) for _ in range(many)]
    parts = [f"APPEND {external(user, name)}"]
    for content, flags, when in new:
        parts += [f' ({" ".join(sorted(flags))}) "{when}" ', Literal(content)]

    def effect(store):
        for content, flags, when in new:
            store.add(store.boxes[name], user, content, flags, when)

    octets = sum(len(content) for content, _, _ in new)
    return Op(session, parts, effect, {name}, answers=quota_answers(w, name, octets, many))


def copy_or_move(w, verb):
    session = a_session(w)
    user = user_of(w, session)
    source = a_box(w, user, filled=True, right="r" if verb == "COPY" else "e")
    target = a_box(w, user, room=True)
    if not source or not target:
        return None
    uids = some_uids(w, source)

    def effect(store):
        getattr(store, "copy_to" if verb == "COPY" else "move")(user, store.boxes[source], store.boxes[target], uids)

    octets = sum(w.store.boxes[source].messages[uid].size or 0 for uid in uids)
    return Op(session, f"UID {verb} {uidset(uids)} {external(user, target)}", effect, {source, target}, source,
              answers=quota_answers(w, target, octets, len(uids)))


def copy(w):
    return copy_or_move(w, "COPY")


def move(w):
    return copy_or_move(w, "MOVE")


def store_flags(w, conditional=False):
    session = a_session(w)
    user = user_of(w, session)
    name = a_box(w, user, filled=True)
    if not name:
        return None
    uids, how, flags = some_uids(w, name), w.rng.choice("++- "), some_flags(w)
    how = how.strip()
    if not flags and how:
        return None
    unchanged = None
    if conditional:
        known = [message.modseq for message in w.store.boxes[name].messages.values()]
        unchanged = w.rng.choice([1, *known]) - w.rng.choice((0, 0, 1))
    modifier = f" (UNCHANGEDSINCE {unchanged})" if conditional else ""
    silent = w.rng.choice(("", ".SILENT"))
    return Op(session, f"UID STORE {uidset(uids)}{modifier} {how}FLAGS{silent} ({' '.join(sorted(flags))})",
              lambda store: store.store(store.boxes[name], user, uids, how, flags, unchanged), {name}, name)


def store_unchangedsince(w):
    return store_flags(w, conditional=True)


def read(w):
    """BODY[] sets \\Seen."""
    session = a_session(w)
    user = user_of(w, session)
    name = a_box(w, user, filled=True, right="s")
    if not name:
        return None
    uids = some_uids(w, name)
    return Op(session, f"UID FETCH {uidset(uids)} BODY[]",
              lambda store: store.store(store.boxes[name], user, uids, "+", frozenset({SEEN})), {name}, name)


def annotate(w):
    name = a_box(w, filled=True)
    uid, note = some_uids(w, name)[0] if name else 0, w.rng.choice(("", "one", "two", "t" * 700))
    if not name:
        return None
    value = f'"{note}"' if note else "NIL"
    return Op("alice1", f"UID STORE {uid} ANNOTATION (/comment (value.shared {value}))",
              lambda store: store.annotate(store.boxes[name], uid, note), {name}, name,
              answers=("OK", "NO") if note and over_notes(w, name) else ("OK",))


def over_notes(w, name):
    root = w.store.root_of(name)
    return root and "X-ANNOTATION-STORAGE" in w.store.roots[root]


def expunge(w):
    session = a_session(w)
    user = user_of(w, session)
    name = a_box(w, user, filled=True, right="e")
    if not name:
        return None
    if w.rng.random() < 0.6:
        return Op(session, "EXPUNGE", lambda store: store.expunge(store.boxes[name], store.deleted_in(store.boxes[name])),
                  {name}, name)
    uids = some_uids(w, name)
    return Op(session, f"UID EXPUNGE {uidset(uids)}",
              lambda store: store.expunge(store.boxes[name], store.deleted_in(store.boxes[name], uids)), {name}, name)


def clear_out(w):
    """Keeps mailboxes small."""
    full = [name for name, box in sorted(w.store.boxes.items())
            if len(box.messages) >= MOST_MESSAGES - 2 and "e" in box.acl.get("alice", "")]
    if not full:
        return None
    name = w.rng.choice(full)
    uids = sorted(w.store.boxes[name].messages)[:-2]
    gone = w.store.deleted_in(w.store.boxes[name])
    if len(gone) > 4:
        return Op("alice2", "EXPUNGE", lambda store: store.expunge(store.boxes[name], gone), {name}, name)
    target = w.rng.choice(("INBOX", None))
    if target and name != inbox("alice") and len(w.store.boxes[inbox("alice")].messages) < 4:
        return Op("alice2", f"UID MOVE {uidset(uids)} INBOX",
                  lambda store: store.move("alice", store.boxes[name], store.boxes[inbox("alice")], uids),
                  {name, inbox("alice")}, name, answers=quota_answers(w, inbox("alice"), 1 << 20, 20))
    return Op("alice1", f"UID STORE {uidset(uids)} +FLAGS.SILENT ({DELETED})",
              lambda store: store.store(store.boxes[name], "alice", uids, "+", frozenset({DELETED})), {name}, name)


def forbidden(w):
    """What bob may not do, and what nobody can."""
    name = w.rng.choice(sorted(box.name for box in w.store.of("alice")))
    rights = w.store.boxes[name].acl.get("bob", "")
    commands = [f"DELETE {external('bob', inbox('bob'))}", f"CREATE {name}", f"RENAME INBOX {inbox('alice')}"]
    if "x" not in rights:
        commands += [f"DELETE {name}", f"RENAME {name} INBOX.stolen"]
    if "i" not in rights:
        commands.append([f"APPEND {name} ", Literal(text(w))])
    if "a" not in rights:
        commands.append(f"SETACL {name} bob {FULL}")
    return Op("bob", w.rng.choice(commands), lambda store: None, {name}, answers=("NO",))


# ---- mailboxes ----

def create(w):
    name = new_name(w)
    if not name or len(w.store.of("alice")) >= MOST_BOXES:
        return None
    root = w.store.root_of(name)
    limited = root and "X-NUM-FOLDERS" in w.store.roots[root]
    return Op(w.rng.choice(("alice1", "alice2")), f"CREATE {external('alice', name)}", lambda store: store.create(name),
              None, answers=("OK", "NO") if limited else ("OK",))


def folder(w):
    found = [box.name for box in w.store.of("alice") if box.name != inbox("alice")]
    return w.rng.choice(found) if found else None


def delete(w):
    name = folder(w)
    if not name or (len(w.store.of("alice")) < 6 and w.rng.random() < 0.7):
        return None
    children = len(w.store.below(name)) > 1
    return Op(w.rng.choice(("alice1", "alice2")), f"DELETE {external('alice', name)}", lambda store: store.delete(name),
              None, answers=("NO",) if children else ("OK",))


def rename(w):
    old, new = folder(w), new_name(w)
    if not old or not new:
        return None
    alone = is_at_or_below(new, old)
    moved = [old] if alone else w.store.below(old)
    clash = any(new + name[len(old):] in w.store.boxes for name in moved[1:])
    return Op(w.rng.choice(("alice1", "alice2")), f"RENAME {external('alice', old)} {external('alice', new)}",
              lambda store: store.rename(old, new, alone), None, answers=("NO",) if clash else ("OK",))


def rename_inbox(w):
    new = new_name(w)
    if not new or len(w.store.of("alice")) >= MOST_BOXES:
        return None
    return Op("alice2", f"RENAME INBOX {external('alice', new)}", lambda store: store.rename_inbox("alice", new), None,
              answers=("OK", "NO") if w.store.root_of(new) else ("OK",))


def subscribe(w):
    user = w.rng.choice(("alice", "alice", "bob"))
    name = a_box(w, user, right="l")
    return Op("bob" if user == "bob" else "alice2", f"SUBSCRIBE {external(user, name)}",
              lambda store: store.subscribed[user].add(name), {name})


def unsubscribe(w):
    user = w.rng.choice(("alice", "alice", "bob"))
    if not w.store.subscribed[user]:
        return None
    name = w.rng.choice(sorted(w.store.subscribed[user]))
    return Op("bob" if user == "bob" else "alice2", f"UNSUBSCRIBE {external(user, name)}",
              lambda store: store.subscribed[user].discard(name), {name})


def set_acl(w):
    name, rights = a_box(w, right="a"), w.rng.choice(("", "lrs", "lrswipkxtecd"))
    if not name or name == inbox("bob"):
        return None

    def effect(store):
        box = store.boxes[name]
        box.modseq = None
        box.acl.pop("bob", None)
        if rights:
            box.acl["bob"] = rights

    command = f"SETACL {external('alice', name)} bob {rights}" if rights else f"DELETEACL {external('alice', name)} bob"
    return Op("alice1", command, effect, None)


def set_metadata(w):
    name, value = a_box(w, right="a"), w.rng.choice(("", "remark", "r" * 600))
    root = w.store.root_of(name)

    def effect(store):
        box = store.boxes[name]
        if box.comment != value:
            box.comment, box.modseq = value, None

    return Op("alice1", f"SETMETADATA {external('alice', name)} (/shared/comment {value and chr(34) + value + chr(34) or 'NIL'})",
              effect, {name}, answers=("OK", "NO") if root and value and over_notes(w, name) else ("OK",))


def set_quota(w):
    """Mostly more than enough, sometimes tight."""
    name = w.rng.choice((inbox("alice"), inbox("bob"), a_box(w, right="a")))
    if len(w.store.roots) > 4 and name not in w.store.roots:
        return None
    limits = {"STORAGE": w.rng.choice((1000, 5000, 5000, 40)), "MESSAGE": w.rng.choice((5000, 5000, 40)),
              "X-ANNOTATION-STORAGE": 1000, "X-NUM-FOLDERS": w.rng.choice((500, 500, 12))}
    chosen = {res: limits[res] for res in limits if w.rng.random() < 0.8}
    told = " ".join(f"{res} {limit}" for res, limit in chosen.items())
    return Op("admin", f"SETQUOTA {name} ({told})", lambda store: store.roots.update({name: chosen}), None)


def undelete(w):
    """A mailbox that was deleted, by its administrator."""
    name = new_name(w)
    if not name or not w.store.deleted or len(w.store.of("alice")) >= MOST_BOXES:
        return None
    box = w.rng.choice(w.store.deleted)
    found = w.deleted_name(box)
    return Op("admin", f"RENAME {found} {name}",
              lambda store: store.undelete(next(b for b in store.deleted if b.id == box.id), name), None)

# SPDX-License-Identifier: BSD-3-Clause
"""Drives a server and a model side by side; see tests/test_model.py."""

import collections
import random
import re
import time

from . import model_ops
from .clients import Rejected
from .model import RESOURCES, Store, inbox
from .model_view import View

USERS = ("alice", "bob")
SESSIONS = ("alice1", "alice2", "bob", "admin")
GONE = (EOFError, OSError)
EVERYTHING_EVERY = 60  # steps
CONF = {"unixhierarchysep": False, "altnamespace": False, "conversations": True, "delete_mode": "delayed",
        "virtdomains": "off", "conversations_max_guidinfolder": 1000, "imapidlepoll": 1}

# name of an operation: how often
CLIENT_OPS = {"append": 14, "copy": 10, "move": 8, "store_flags": 20, "store_unchangedsince": 5, "read": 4, "annotate": 4,
              "expunge": 9, "clear_out": 9, "forbidden": 2, "create": 4, "delete": 3, "rename": 4, "rename_inbox": 1,
              "subscribe": 2, "unsubscribe": 1, "set_acl": 2, "set_metadata": 2, "set_quota": 2, "undelete": 2}
WORLD_OPS = {"deliver": 7, "together": 8, "unexpunge": 1, "expire": 0.4, "reconstruct": 0.4, "checkpoint": 0.3,
             "fix_quota": 0.3, "restart": 0.2, "kill_between": 0.2, "kill_during": 0.7}

# Lines of a tool that are no complaint: a report of usage, names.
HARMLESS = {"quota": re.compile(r"Quota +% Used +Used +Resource Root|(\d+ +){1,3}(" + "|".join(RESOURCES) + r") user\.\S+"),
            "reconstruct": re.compile(r"(DELETED\.)?user\.[\w.]+")}


class Wrong(AssertionError):
    pass


class World:
    def __init__(self, server, seed, **conf):
        self.server, self.seed, self.rng = server, seed, random.Random(seed)
        self.log = collections.deque(maxlen=25)
        self.counts = collections.Counter()
        self.steps = self.delivered = 0
        self.conf = {"expunge_mode": self.rng.choice(("delayed", "delayed", "immediate")),
                     "quota_use_conversations": self.rng.choice((True, False)), **conf}
        server.conf.update(CONF, **self.conf)
        server.env["TZ"] = "UTC"
        server.start()
        server.create_user("alice")
        server.create_user("bob")
        self.store = Store(USERS, self.conf["expunge_mode"] == "delayed", self.conf["quota_use_conversations"])
        self.connect()

    def connect(self):
        self.view = View(self.server, USERS)
        self.imap = {name: self.server.imap(name.rstrip("12")) for name in SESSIONS}
        self.selected = dict.fromkeys(SESSIONS)
        self.lmtp = self.server.lmtp()

    def close(self):
        self.view.close()
        self.lmtp.close()
        for imap in self.imap.values():
            imap.close()

    # ---- the run ----

    def run(self, steps):
        try:
            while self.steps < steps:
                self.steps += 1
                self.step()
            self.must_be_right("the end", everything=True)
        except Exception as error:
            raise Wrong(f"seed {self.seed}, step {self.steps}, {self.conf}\n{error}\nthe last steps:\n"
                        + "\n".join(self.log)) from error

    def step(self):
        ops = {**CLIENT_OPS, **WORLD_OPS}
        name = self.rng.choices(list(ops), list(ops.values()))[0]
        self.counts[name] += 1
        touched = getattr(self, name)() if name in WORLD_OPS else self.client_op(name)
        if touched is None:
            self.must_be_right(name, everything=True)
        else:
            self.must_be_right(name, touched, self.steps % EVERYTHING_EVERY == 0)

    def must_be_right(self, what, touched=(), everything=False):
        problems = self.view.check(self.store, touched, everything)
        if problems:
            raise Wrong(f"after {what}:\n" + "\n".join(problems[:12]))

    def note(self, text):
        self.log.append(f"  {self.steps}: {str(text)[:300]}")

    # ---- operations of clients ----

    def make(self, name):
        return getattr(model_ops, name)(self)

    def client_op(self, name):
        op = self.make(name)
        if op is None:
            return ()
        self.begin(op)
        return self.end(op, self.imap[op.session].finish(op.tag))

    def begin(self, op):
        """Sends the command; end() takes the answer."""
        self.note(op)
        imap = self.imap[op.session]
        if op.select and self.selected[op.session] != op.select:
            imap.ok(f"SELECT {model_ops.external(op.session.rstrip('12'), op.select)}")
            self.selected[op.session] = op.select
        elif op.select:
            imap.ok("NOOP")
        op.tag = imap.start(op.command)

    def end(self, op, response):
        if response.status not in op.answers:
            raise Wrong(f"{op}: {response}")
        before = dict(self.store.boxes)
        if response.status == "OK":
            op.effect(self.store)
        if op.touches is not None:
            return op.touches
        self.forget_selected({name for name, box in before.items() if self.store.boxes.get(name) is not box})
        return {name for name, box in self.store.boxes.items() if before.get(name) is not box or box.modseq is None}

    def forget_selected(self, names):
        for session, name in self.selected.items():
            if name in names:
                self.imap[session].cmd("UNSELECT")
                self.selected[session] = None

    def together(self):
        """Commands of several sessions at once, and a delivery, that meet in no mailbox."""
        ops, touched, sessions = [], set(), set()
        for name in self.rng.choices(("append", "copy", "move", "store_flags", "expunge", "read"), k=4):
            op = self.make(name)
            if op and op.session not in sessions and not op.touches & touched and self.has_room(op.touches):
                ops.append(op)
                touched |= op.touches
                sessions.add(op.session)
        for op in ops:
            self.begin(op)
        if inbox("alice") not in touched and self.has_room({inbox("alice")}):
            touched |= self.deliver(("alice",))
        for op in ops:
            self.end(op, self.imap[op.session].finish(op.tag))
        return touched

    def has_room(self, names):
        """For all that may happen together."""
        return not any(self.store.may_exceed(name, 1 << 16, 16) for name in names)

    # ---- operations of the world ----

    def message(self):
        self.delivered += 1
        n = self.delivered
        return (f"From: a@example.com\r\nSubject: delivered {n // 3}\r\nDate: Mon, 07 Feb 2022 10:00:00 +0000\r\n"
                f"Message-ID: <d{self.seed}.{n}@example.com>\r\n\r\n{'y' * (n * 37 % 1500)}\r\n").encode()

    def deliver(self, users=None):
        users = users or self.rng.choice((("alice",), ("bob",), USERS))
        users = [user for user in users if len(self.store.boxes[inbox(user)].messages) < model_ops.MOST_MESSAGES + 6]
        if not users:
            return set()
        self.note(f"LMTP to {users}")
        for user, (code, lines) in zip(users, self.lmtp.deliver(self.message(), list(users))):
            if code == 250:
                self.store.add(self.store.boxes[inbox(user)], user, None)
            elif not self.store.may_exceed(inbox(user), 0, 0):
                raise Wrong(f"LMTP: {user}: {code} {lines}")
        return {inbox(user) for user in users}

    def tool(self, *args):
        self.note(" ".join(args))
        done = self.server.run(*args)
        return done.stdout + done.stderr

    def unexpunge(self):
        found = [name for name, box in sorted(self.store.boxes.items()) if box.expunged]
        if not found:
            return ()
        name = self.rng.choice(found)
        box, undelete = self.store.boxes[name], self.rng.random() < 0.6
        uids = sorted(box.expunged)
        if len(uids) > 6 or self.rng.random() < 0.5:
            uids = sorted(self.rng.sample(uids, min(3, len(uids))))
        self.tool("unexpunge", *["-d"] * undelete, "-u", name, *map(str, uids))
        self.store.unexpunge(box, uids, undelete)
        return {name}

    def expire(self):
        self.tool("cyr_expire", "-E", "1", "-X", "0", "-D", "0")
        self.store.expire()

    def reconstruct(self):
        self.tool("reconstruct", "-r", inbox("alice"), inbox("bob"))

    def checkpoint(self):
        self.tool("ctl_cyrusdb", "-c")

    def fix_quota(self):
        out = self.tool("quota", "-f")
        gone = self.store.end_roots()
        if sorted(re.findall(r"^(.*): removed$", out, re.M)) != gone or "used was" in out:
            raise Wrong(f"quota -f, of which {gone} should go:\n{out}")

    def restart(self):
        self.note("restart")
        self.close()
        self.server.restart()
        self.connect()

    def kill_between(self):
        self.note("kill -9")
        self.server.kill()
        self.close()
        self.server.start()
        self.connect()

    def kill_during(self):
        """What was not answered has happened as a whole, or not at all."""
        op = self.make(self.rng.choice(list(CLIENT_OPS)))
        if op is None:
            return ()
        self.begin(op)
        time.sleep(self.rng.choice((0, 0.001, 0.003, 0.006, 0.012)))
        self.server.kill()
        self.note("kill -9 during that")
        try:
            status = self.imap[op.session].finish(op.tag).status
        except GONE:
            status = None
        self.close()
        self.server.start()
        self.connect()
        if status:
            if status not in op.answers:
                raise Wrong(f"{op}: {status}")
            if status == "OK":
                op.effect(self.store)
            return None
        self.decide(op)
        return None

    def decide(self, op):
        before, after = self.store.copy(), self.store.copy()
        op.effect(after)
        problems = []
        for store in (after, before):
            kept = store.copy()
            problems.append(self.look(store))
            if not problems[-1]:
                self.store = kept
                self.counts["killed before" if store is before else "killed after"] += 1
                return
        raise Wrong(f"killed during {op}; neither done\n" + "\n".join(problems[0][:8])
                    + "\nnor not\n" + "\n".join(problems[1][:8]))

    def look(self, store):
        """As check() of everything, also when a mailbox or a root is not there at all."""
        try:
            return self.view.check(store, everything=True)
        except Rejected as rejected:
            self.view.close()
            self.view = View(self.server, USERS)
            return [str(rejected)]

    def deleted_name(self, box):
        imap = self.imap["admin"]
        for line in imap.ok('LIST "" DELETED.*').find("* LIST"):
            name = line.decode().split()[-1]
            got = imap.ok(f"GETMETADATA {name} (/shared/vendor/cmu/cyrus-imapd/uniqueid)").untagged
            if got and box.id.encode() in got[0]:
                return name
        raise Wrong(f"{box.name} {box.id} is not among the deleted mailboxes")

    # ---- the end ----

    def complaints(self, command, run=None):
        """What a tool of the build tree, or one that run() runs, finds to be wrong."""
        done = (run or self.server.run)(*command)
        gone = {f"{root}: removed" for root in self.store.copy().end_roots()}
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
        harmless = HARMLESS.get(command[0], re.compile(r"(?!)"))
        return [f"{command[0]}: {line}" for line in lines if line and line not in gone and not harmless.fullmatch(line)]

    def nothing_to_repair(self):
        found = []
        for command in (("ctl_conversationsdb", "-A", "-r"), ("quota", "-f", "-n"), ("reconstruct", "-n", "-G"),
                        ("ctl_mboxlist", "-v")):
            found += self.complaints(command)
        if found:
            raise Wrong(f"seed {self.seed}: to be repaired:\n" + "\n".join(found))

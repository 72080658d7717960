# SPDX-License-Identifier: BSD-3-Clause
"""Random operations on the primary of a rolling pair, while either end is killed now and then.

CYL_ROLL_SECONDS  how long (default 12); CYL_ROLL_SEED  the seed (default: by the clock, it is printed)
"""

import os
import random
import time

from . import rolling
from .clients import Rejected
from .syncdata import message

SECONDS = float(os.environ.get("CYL_ROLL_SECONDS") or 12)
USERS = ("anna", "bert")
FLAGS = (r"\Seen", r"\Flagged", r"\Answered", r"\Deleted", "$Junk", "later")
NAMES = ("Work", "Home", "Old", "Work.a", "Work.b", "Home.x.y", "Z")
GONE = (EOFError, OSError)


def a_seed():
    seed = int(os.environ.get("CYL_ROLL_SEED") or time.time())
    print(f"CYL_ROLL_SEED={seed}")
    return seed


class Load:
    """Every operation may fail: it is not there, or the server is not. What was answered must be on both ends."""

    def __init__(self, pair, seed):
        self.pair, self.rng = pair, random.Random(seed)
        self.imap, self.n, self.done = {}, 0, 0

    def begin(self):
        for user in USERS:
            for server in (self.pair.primary, self.pair.replica):
                server.add_user(user)
            self.pair.primary.create_user(user, "Work", "Home")

    def server(self):
        """Where the next operation happens."""
        return self.pair.primary

    def session(self, user):
        if user not in self.imap:
            self.imap[user] = self.server().imap(user)
        return self.imap[user]

    def forget(self, user):
        client = self.imap.pop(user, None)
        if client:
            client.close()

    def step(self):
        self.one(self.rng.choice(USERS))

    def one(self, user):
        op = self.rng.choice((self.append, self.append, self.deliver, self.flags, self.flags, self.expunge, self.copy,
                              self.move, self.create, self.rename, self.delete, self.subscribe, self.metadata,
                              self.acl, self.quota))
        try:
            op(user)
            self.done += 1
        except Rejected:
            pass
        except (*GONE, AssertionError):
            self.forget(user)
            time.sleep(0.05)

    def a_box(self):
        name = self.rng.choice(("", "", *NAMES))
        return ".".join(filter(None, ("INBOX", name)))

    def text(self):
        self.n += 1
        return message(self.n, body="x" * self.rng.choice((10, 200, 3000, 70000)))

    def uids(self, imap, box):
        imap.ok(f"SELECT {box}")
        found = imap.ok("UID SEARCH ALL").find("* SEARCH")
        uids = found[0].split()[2:] if found else []
        if not uids:
            raise Rejected("nothing there")
        return b",".join(self.rng.sample(uids, min(len(uids), 3))).decode()

    def append(self, user):
        self.session(user).append(self.a_box(), self.text(), self.rng.choice(FLAGS))

    def deliver(self, user):
        self.server().deliver(self.text(), user)

    def flags(self, user):
        imap = self.session(user)
        imap.ok(f"UID STORE {self.uids(imap, self.a_box())} {self.rng.choice('+-')}FLAGS ({self.rng.choice(FLAGS)})")

    def expunge(self, user):
        imap = self.session(user)
        uids = self.uids(imap, self.a_box())
        imap.ok(rf"UID STORE {uids} +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")

    def copy(self, user):
        imap = self.session(user)
        imap.ok(f"UID COPY {self.uids(imap, self.a_box())} {self.a_box()}")

    def move(self, user):
        imap = self.session(user)
        imap.ok(f"UID MOVE {self.uids(imap, self.a_box())} {self.a_box()}")

    def create(self, user):
        self.session(user).ok(f"CREATE INBOX.{self.rng.choice(NAMES)}")

    def rename(self, user):
        self.session(user).ok(f"RENAME INBOX.{self.rng.choice(NAMES)} INBOX.{self.rng.choice(NAMES)}")

    def delete(self, user):
        self.session(user).ok(f"DELETE INBOX.{self.rng.choice(NAMES)}")

    def subscribe(self, user):
        self.session(user).ok(f"{self.rng.choice(('SUBSCRIBE', 'UNSUBSCRIBE'))} {self.a_box()}")

    def metadata(self, user):
        value = self.rng.choice(('"one"', '"two"', "NIL"))
        self.session(user).ok(f"SETMETADATA {self.a_box()} (/shared/comment {value})")

    def acl(self, user):
        other = USERS[1 - USERS.index(user)]
        self.session(user).ok(f"SETACL {self.a_box()} {other} {self.rng.choice(('lrs', 'lrswi'))}")

    def quota(self, user):
        with self.server().imap("admin") as imap:
            imap.ok(f"SETQUOTA user.{user} (STORAGE {self.rng.choice((90000, 100000))})")
            imap.logout()

    def run(self, kills, seconds=SECONDS):
        """kills: functions, one of which is called about every two seconds."""
        end = time.monotonic() + seconds
        next_kill = time.monotonic() + 1
        while time.monotonic() < end:
            self.step()
            if kills and time.monotonic() > next_kill:
                self.rng.choice(kills)()
                next_kill = time.monotonic() + self.rng.uniform(0.5, 3)
        for user in USERS:
            self.forget(user)


def kill_and_start(server):
    server.kill()
    server.start()


def settle(pair, timeout=120.0):
    pair.primary.reload()  # master lets a daemon rest that has died too often
    rolling.caught_up(pair.primary, timeout=timeout)
    rolling.must_be_equal(pair, *USERS)

# SPDX-License-Identifier: BSD-3-Clause
"""No shear (W038, W045): wherever a log is cut in two, no message that lives is absent from the replica for a moment once
it was there, and nothing is sent that the replica has.

Rights, quota roots and their limits are equal on both ends afterwards. In one mode the client is killed between two commands, over and over.

Each history of creations, renames, deletions and appends is played on as many pairs of users as its log has lines. For the n-th pair
the log is cut behind the n-th line, and each part is a run of its own.

CYL_SHEAR_HISTORIES  how many (default 1; every night 200)
"""

import os
import random
import re

import pytest

from cyltest import processes, rolling
from cyltest.dlist import parse
from cyltest.relay import Relay
from cyltest.syncdata import login, message
from cyltest.syncline import full

HISTORIES = int(os.environ.get("CYL_SHEAR_HISTORIES") or 1)
FOLDERS = ("a", "b", "c")
STEPS = 6
# A folder that is deleted and made anew at once, beside others: once an error in the log.
KNOWN = [("DELETE", (1, "a")), ("CREATE", (1, "c")), ("APPEND", (1, "c")), ("RENAME", (1, "c"), (1, "b")), ("DELETE", (0, "a")), ("CREATE", (0, "a")),
         ("APPEND", (0, "a")), ("RENAME", (1, "b"), (0, "c"))]


class Names:
    """A history in terms of the users 0 and 1: every step is possible when its turn comes."""

    def __init__(self, rng):
        self.rng, self.there, self.steps = rng, {(0, "a"), (0, "b"), (1, "a")}, []
        for _ in range(STEPS):
            rng.choice((self.rename, self.rename, self.rename, self.delete, self.create, self.append))()

    def _some(self, there):
        found = [(u, f) for u in (0, 1) for f in FOLDERS if ((u, f) in self.there) == there]
        return self.rng.choice(found) if found else None

    def rename(self):
        old, new = self._some(True), self._some(False)
        if old and new:
            self.there.symmetric_difference_update((old, new))
            self.steps.append(("RENAME", old, new))

    def delete(self):
        name = self._some(True)
        if name:
            self.there.discard(name)
            self.steps.append(("DELETE", name))

    def create(self):
        name = self._some(False)
        if name:
            self.there.add(name)
            self.steps += [("CREATE", name), ("APPEND", name)]

    def append(self):
        name = self._some(True)
        if name:
            self.steps.append(("APPEND", name))


class Player:
    """Plays histories on the primary, as an administrator who may do everything."""

    def __init__(self, server):
        self.server = server
        self.imap = server.imap("admin")
        self.log = rolling.log_path(server)
        self.n = 0

    def name(self, users, where):
        return f"user.{users[where[0]]}.{where[1]}"

    def create(self, name):
        self.imap.ok(f"CREATE {name}")
        self.imap.ok(f"SETACL {name} admin lrswipkxtecda")

    def append(self, name):
        self.n += 1
        self.imap.append(name, message(self.n))

    def begin(self, users):
        for user in users:
            self.create(f"user.{user}")
            self.append(f"user.{user}")
        for n, user in enumerate(users):
            self.imap.ok(f"SETQUOTA user.{user} (STORAGE {8000 + n})")
        for where in ((0, "a"), (0, "b"), (1, "a")):
            self.create(self.name(users, where))
            self.append(self.name(users, where))
            self.imap.ok(f"SETACL {self.name(users, where)} {users[1 - where[0]]} lrs")

    def play(self, users, steps):
        """The lines that it writes to the log."""
        was = os.path.getsize(self.log)
        for verb, *where in steps:
            names = [self.name(users, one) for one in where]
            if verb == "CREATE":
                self.create(*names)
            elif verb == "APPEND":
                self.append(*names)
            else:
                self.imap.ok(f"{verb} {' '.join(names)}")
        with open(self.log, encoding="ascii") as f:
            f.seek(was)
            return f.read().splitlines(True)


def told(csync, user):
    """Of each mailbox its identity, its rights and its quota root, and of each quota root its limit."""
    lines = [parse(line) for line in csync.ok(f"GET USER {user}").untagged]
    return [{value["MBOXNAME"]: (value["UNIQUEID"], value["ACL"], value.get("QUOTAROOT")) for kind, value in lines if kind == "MAILBOX"},
            {value["ROOT"]: value["STORAGE"] for kind, value in lines if kind == "QUOTA"}]


def living(csync, users):
    found = set()
    for user in users:
        for line in csync.ok(f"GET USER {user}").untagged:
            kind, value = parse(line)
            if kind == "MAILBOX":
                whole = full(csync, f'"{value["MBOXNAME"].decode()}"')
                found |= {r["GUID"] for r in whole.get("RECORD") or [] if b"\\Expunged" not in r["FLAGS"]}
    return found


class Watcher:
    """Looks at the users of a command before it and after the next one; says what lives here and is not there any more."""

    def __init__(self, pair, pairs, alive):
        self.pair, self.alive, self.csync = pair, alive, login(pair.replica)
        self.of = {user: users for users in pairs for user in users}
        self.there = {users: self.look(users) for users in pairs}
        self.at_first = set().union(*self.there.values())
        self.problems, self.uploaded, self.last = [], [], ()

    def look(self, users):
        return living(self.csync, users) & self.alive[users]

    def check(self, users, command):
        now = self.look(users)
        if self.there[users] - now:
            self.problems.append((users, command[:100], self.there[users] - now))
        self.there[users] |= now

    def on_command(self, command):
        if command.startswith(b"APPLY MESSAGE"):
            self.uploaded += re.findall(rb"%\{\S+ ([0-9a-f]{40}) \d+\+?\}", command)
        named = {self.of[user] for user in map(bytes.decode, re.findall(rb"[uv]\d+x\d+", command)) if user in self.of}
        for users in {*self.last, *named}:
            self.check(users, command)
        self.last = named

    def run(self, lines, rng=None):
        """rng: the client is killed again and again, each time some commands later; what it has left of the log is said once more."""
        path = rolling.write_log(self.pair.primary, lines, name=f"part{os.urandom(4).hex()}")
        cut = 1
        while rng and self.once(path, cut):
            cut += rng.randint(8, 40)
        if not rng:
            self.once(path)
        for users in self.there:
            self.check(users, b"the end")

    def once(self, path, cut_at=None):
        """Was it killed?"""
        with Relay(self.pair.primary.path("tmp", "relay"), self.pair.replica.path("conf/socket/csync"), cut_at=cut_at,
                   on_cut=lambda: processes.kill(client.pid), on_command=self.on_command) as relay:
            client = self.pair.primary.popen("sync_client", "-R", "-f", path, "-S", relay.path)
            assert client.wait(900) == (-9 if relay.cut else 0)
        return relay.cut


@pytest.mark.parametrize("mode, killed", [("delayed", False), ("immediate", False), ("delayed", True)], ids=["delayed", "immediate", "killed"])
def test_every_cut_of_every_log(pair, mode, killed):
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC")
    rolling.set_up(pair, sync_log=True)
    for server in (pair.primary, pair.replica):
        server.conf["delete_mode"] = mode
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.replica.path("conf/socket/csync"))
    pair.start()
    player, parts, alive = Player(pair.primary), {}, {}
    rng = random.Random(38)
    count = HISTORIES // 5 if killed else HISTORIES  # a run for each kill takes time
    histories = [KNOWN, *(Names(rng).steps for _ in range(count))]
    for h, steps in enumerate(histories):
        cut, cuts = 0, 1
        while cut < cuts:
            users = (f"u{h}x{cut}", f"v{h}x{cut}")
            player.begin(users)
            parts[users] = (steps, cut)
            if not cut:
                probe = (f"u{h}x9999", f"v{h}x9999")
                player.begin(probe)
                cuts = len(player.play(probe, steps)) + 1
            cut += 1
    pair.primary.run("sync_client", "-A", timeout=900)
    first, second = [], []
    for users, (steps, cut) in parts.items():
        lines = player.play(users, steps)
        first += lines[:cut]
        second += lines[cut:]
    with login(pair.primary) as csync:
        for users in parts:
            alive[users] = living(csync, users)
    watcher = Watcher(pair, list(parts), alive)
    watcher.run(first, rng if killed else None)
    watcher.run(second, rng if killed else None)
    assert not watcher.problems, watcher.problems[:3]
    if not killed:  # what was sent and not used yet is sent once more
        assert len(watcher.uploaded) == len(set(watcher.uploaded)), "sent twice"
    assert not set(watcher.uploaded) & watcher.at_first, "sent, and it was there"
    for users in parts:
        assert watcher.there[users] == alive[users], (users, parts[users])
    with login(pair.replica) as replica, login(pair.primary) as primary:
        for users in parts:
            for user in users:
                assert told(primary, user) == told(replica, user), (user, parts[users])

# SPDX-License-Identifier: BSD-3-Clause
"""Two years of a pair in a few minutes: each end is the master of one of two users, both take changes of both, connections break, either
end is killed, roles are swapped. When it is quiet one run of sync_client makes the ends equal (W028, W036, W043).

No message that an end has taken is lost unless somebody has expunged it, and none that was expunged comes back. A client at each end,
which remembers every UID that it was told is gone, is never shown one of them again, at neither end (W022).

CYL_YEARS_PERIODS  quiet periods of each seed (default 8); CYL_YEARS_SEEDS  how many seeds (default 1); CYL_YEARS_SEED  the first one
"""

import os
import random
import re

import pytest

from cyltest import rolling
from cyltest.clients import Rejected
from cyltest.folders import contents
from cyltest.pair import Pair
from cyltest.relay import Relay
from cyltest.rolling_load import USERS, Load, kill_and_start
from cyltest.syncline import guid
from cyltest.uidmonitor import UidMonitor

PERIODS = int(os.environ.get("CYL_YEARS_PERIODS") or 8)
SEED = int(os.environ.get("CYL_YEARS_SEED") or 2026)
SEEDS = range(SEED, SEED + int(os.environ.get("CYL_YEARS_SEEDS") or 1))
STEPS = 25
# Of ten changes so many are not made where the user is at home.
ASTRAY = 3
# The client looks after one of so many steps.
LOOKS = 3
# A conversation's number rises with what comes and goes between two runs, of which the replica does not hear; former names are told as no
# difference.
ALLOWED = re.compile(r" conversations' modseq: | former names: ")


class Years(Load):
    """Changes at both ends, and what was promised."""

    def __init__(self, one, two, seed):
        super().__init__(Pair(one, two), seed)
        self.ends = (one, two)
        self.home = dict(zip(USERS, self.ends))
        self.at = one
        self.token = {}  # {EMAILID of a message, which is the beginning of its GUID: its number}
        self.taken, self.doomed, self.expunged, self.spread = set(), set(), set(), set()
        self.story = []
        self.monitor, self.looks = UidMonitor(), random.Random(seed)

    def begin(self):
        for user, home in self.home.items():
            for server in self.ends:
                server.add_user(user)
            home.create_user(user, "Work", "Home")

    def other(self, server):
        return self.ends[1 - self.ends.index(server)]

    # -- changes --

    def server(self):
        return self.at

    def session(self, user):
        key = (self.at.name, user)
        if key not in self.imap:
            self.imap[key] = self.at.imap(user)
        return self.imap[key]

    def forget(self, user):
        for server in self.ends:
            super().forget((server.name, user))

    def text(self):
        text = super().text()
        self.token[guid(text)[:24]] = self.n
        return text

    def append(self, user):
        super().append(user)
        self.taken.add(self.n)

    def deliver(self, user):
        super().deliver(user)
        imap = self.session(user)  # LMTP has added to it
        imap.ok("SELECT INBOX")
        told = b" ".join(imap.ok("UID FETCH * (EMAILID)").untagged)
        self.token[re.search(rb"EMAILID \(M([0-9a-f]{24})\)", told)[1].decode()] = self.n
        self.taken.add(self.n)

    def tokens(self, imap, uids):
        answer = imap.ok(f"UID FETCH {uids} (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        return {int(n) for line in answer.untagged for n in re.findall(rb"<m(\d+)@", line)}

    def expunge(self, user):
        imap = self.session(user)
        uids = self.uids(imap, self.a_box())
        tokens = self.tokens(imap, uids)
        self.doomed |= tokens
        imap.ok(rf"UID STORE {uids} +FLAGS (\Deleted)")
        imap.ok(f"UID EXPUNGE {uids}")
        self.expunged |= tokens

    def _spread(self, user, verb):
        imap = self.session(user)
        uids = self.uids(imap, self.a_box())
        self.spread |= self.tokens(imap, uids)
        imap.ok(f"UID {verb} {uids} {self.a_box()}")

    def copy(self, user):
        self._spread(user, "COPY")

    def move(self, user):
        self._spread(user, "MOVE")

    # -- what becomes of them --

    def sync(self, user, **relay):
        """One run where he is at home; the relay may break it off."""
        home = self.home[user]
        path = self.other(home).path("conf/socket/csync")
        with Relay(home.path("tmp", "relay"), path, **relay) as broken:
            done = home.run("sync_client", "-v", "-S", broken.path, "-o", "-u", user, check=False)
        self.story.append(f"{home.name} -u {user} {relay}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def broken_sync(self, user):
        """The connection ends, or the server of the other end is killed, or the client is."""
        home = self.home[user]
        replica = self.other(home)
        kind = self.rng.choice(("cut", "cut", "server", "all", "client"))
        if kind == "client":
            home.env["CYLINDER_DISKIO_KILL"] = f"change:{self.rng.randint(1, 25)}"
            self.sync(user)
            del home.env["CYLINDER_DISKIO_KILL"]
            return
        self.sync(user, cut_at=self.rng.randint(2, 25), where=self.rng.choice(("before", "half", "after")),
                  on_cut={"cut": None, "server": lambda: replica.kill_children("sync_server"), "all": replica.kill}[kind])
        if not replica.running:  # it may have needed fewer commands
            replica.start()

    def housekeeping(self):
        server = self.rng.choice(self.ends)
        self.story.append(f"housekeeping {server.name}")
        self.rng.choice((lambda: server.run("cyr_expire", "-E", "1", "-X", "0"), lambda: kill_and_start(server),
                         lambda: server.run("reconstruct", "-r", *(f"user.{user}" for user in USERS)),
                         server.restart))()
        for user in USERS:
            self.forget(user)

    def period(self):
        for _ in range(STEPS):
            user = self.rng.choice(USERS)
            away = self.rng.randrange(10) < ASTRAY
            self.at = self.other(self.home[user]) if away else self.home[user]
            self.one(user)
            if self.looks.randrange(LOOKS) == 0:
                self.monitor.look(self.looks.choice(self.ends), user)
            if self.rng.randrange(8) == 0:
                self.broken_sync(self.rng.choice(USERS))
            if self.rng.randrange(30) == 0:
                self.housekeeping()

    # -- when it is quiet --

    def must_be_right(self):
        for user in USERS:
            done = self.sync(user)
            assert done.returncode == 0, self.told()
            found = rolling.differences(Pair(self.home[user], self.other(self.home[user])), user)
            different = [line for line in found.splitlines() if line.startswith((f"{user} ", "Quota mismatch"))]
            assert all(ALLOWED.search(line) for line in different), found + self.told()
            assert different or not found, found + self.told()  # it could compare
        for server in self.ends:
            for user in USERS:
                self.monitor.look(server, user)
        self.monitor.met()
        there = [contents(server, *USERS) for server in self.ends]
        everywhere = self.numbers(there, plain=False)
        lost = self.taken - self.doomed - everywhere
        assert not lost, f"lost: {sorted(lost)}" + self.told()
        back = (self.expunged - self.spread) & self.numbers(there, plain=True)
        assert not back, f"came back: {sorted(back)}" + self.told()

    def numbers(self, there, plain):
        return {self.token[g[:24]] for found in there for name, guids in found.items() for g in guids
                if g[:24] in self.token and not (plain and name.startswith("DELETED."))}

    def told(self):
        return "\n" + "\n".join(self.story[-12:])

    def swap(self):
        for user in USERS:
            if self.rng.randrange(3) == 0:
                self.home[user] = self.other(self.home[user])
                self.story.append(f"swap {user}: {self.home[user].name}")


@pytest.mark.parametrize("seed", SEEDS)
def test_years(factory, seed):
    one, two = factory(name="one"), factory(name="two")
    for server in (one, two):
        server.allow_log(".")
        server.add_service("csyncunix", cmd="sync_server", listen=server.path("conf/socket/csync"))
    for pair in (Pair(two, one), Pair(one, two)):
        rolling.set_up(pair)
    for server in (one, two):
        server.conf["sync_log"] = False
        server.start()
    years = Years(one, two, seed)
    years.begin()
    for _ in range(PERIODS):
        years.period()
        years.must_be_right()
        years.swap()
    assert years.done > PERIODS * STEPS // 4 and years.monitor.told > PERIODS

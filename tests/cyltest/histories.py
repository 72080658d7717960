# SPDX-License-Identifier: BSD-3-Clause
"""Many histories, brought to two real servers, repaired by sync_client, and judged."""

import re

from .history import History
from .syncdata import login, sent_commands
from .syncline import comparable, crcs, full, mailbox
from .uidmonitor import UidMonitor

PER_USER = 100
CONF = {"conversations": True, "unixhierarchysep": False, "altnamespace": False,
        "virtdomains": "off", "expunge_mode": "delayed", "delete_mode": "delayed", "expunge_tombstones": "0"}
KEEP = "10000d"  # for expunge_tombstones: histories are of a time that becomes ever longer ago


def normal(value):
    """What must be equal: the order of flags and the modseqs of annotations are each end's own."""
    out = comparable(value)
    for rec in out["RECORD"]:
        rec["FLAGS"] = sorted(rec["FLAGS"])
        for annotation in rec.get("ANNOTATIONS", ()):
            annotation.pop("MODSEQ")
    return out


def differing(ours, theirs):
    one, two = normal(ours), normal(theirs)
    return [f"ends differ: {key}: {one.get(key)} and {two.get(key)}" for key in sorted({*one, *two})
            if one.get(key) != two.get(key)]


class Histories:
    """A mailbox for the history of each seed; per_user of them belong to one user. Messages of a seed are the same, and are not sent where
    another mailbox of the user has them."""

    def __init__(self, pair, seeds, per_user=PER_USER):
        keepers = [which for which, server in (("master", pair.primary), ("replica", pair.replica))
                   if server.flavour == "cylinder" and server.conf["expunge_tombstones"] == KEEP]
        self.pair = pair
        self.all = {}
        for n, seed in enumerate(seeds):
            name = f"user.hist{n // per_user}.m{n % per_user:02d}"
            self.all[name] = History(seed, forgetful=seed % 2 == 1, keepers=keepers)
        self.monitor = UidMonitor()
        self.users = [f"hist{n}" for n in range(len(self.all) // per_user + 1)]

    def load(self):
        """Both servers know the mailboxes afterwards; neither has heard of the other."""
        self._load_end(self.pair.primary, "master")
        self._load_end(self.pair.replica, "replica")

    def _load_end(self, server, which):
        with login(server) as csync:
            for user in self.users:
                csync.ok("APPLY " + mailbox(f"user.{user}", UNIQUEID=f"inbox{user}", LAST_UID=0,
                                            HIGHESTMODSEQ=1, CREATEDMODSEQ=1))
            purged = {name: getattr(h, which).before_purge for name, h in self.all.items()
                      if getattr(h, which).before_purge}
            self._apply(csync, purged)
        if purged:
            server.run("cyr_expire", "-E", "1", "-X", "0")
        with login(server) as csync:
            self._apply(csync, {name: getattr(h, which) for name, h in self.all.items()})
            for name in self.all:
                self.monitor.take(which, full(csync, name))

    @staticmethod
    def _apply(csync, ends):
        for name, end in ends.items():
            csync.ok_all([*end.commands(name, "id" + name.replace(".", "")), "RESTART"])

    def sync(self):
        """One run over all users; the commands that it sent."""
        done = self.pair.primary.run("sync_client", "-v", "-v", "-o", "-u", *self.users, check=False,
                                     timeout=300)
        refused = re.findall(r"^(?:user\.|Error from).*", done.stderr, re.M)
        assert done.returncode == 0, "\n".join(refused)
        return done.stdout, sent_commands(done)

    def must_be_right(self, names=None):
        wrong = self._judge(names or self.all)
        assert not wrong, f"{len(wrong)} of {len(self.all)} histories\n" + "\n\n".join(wrong[:3])

    def _judge(self, names):
        """A text for each history whose ends are not what they should be."""
        wrong = []
        with login(self.pair.primary) as one, login(self.pair.replica) as two:
            for name in names:
                history = self.all[name]
                ours, theirs = full(one, name), full(two, name)
                self.monitor.take("master", ours)
                self.monitor.take("replica", theirs)
                self.monitor.met(ours["UNIQUEID"].decode())
                problems = history.judge(theirs, self.pair.primary.flavour != "cylinder")
                problems += differing(ours, theirs)
                problems += ["checksums" for value in (ours, theirs)
                             if (int(value["SYNC_CRC"]), int(value["SYNC_CRC_ANNOT"])) != crcs(value)]
                if problems:
                    wrong.append("\n".join([str(history), name, *problems]))
        return wrong

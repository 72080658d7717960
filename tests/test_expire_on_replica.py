# SPDX-License-Identifier: BSD-3-Clause
"""All tasks of cyr_expire and ipurge run on both ends of a pair: those that only remove what has gone already may run anywhere, and what
makes messages expire by their age runs on the primary (W024, doc/failover.md).

CYL_EXPIRE_ROUNDS  how many times in the simulated year the tasks run (default 14)
"""

import os
import random
import re
import time
from email.utils import formatdate

import pytest

from cyltest.clockshift import Clock
from cyltest.folders import CONF, names
from cyltest.storefiles import EXPUNGED, UNLINKED, IndexFile, message_files
from cyltest.syncdata import sent_commands

ROUNDS = int(os.environ.get("CYL_EXPIRE_ROUNDS") or 14)
HOUR, DAY = 3600, 86400
YEAR = 365 * DAY
# Ages are compared with whole hours that have passed, and the seconds that the test needs: no message is at its limit.
TASKS = [("cyr_expire", "-E", "3", "-X", "7.02d"), ("cyr_expire", "-D", "7.02d"), ("cyr_expire", "-A", "30.02d"), ("cyr_expire", "-t"),
         ("cyr_expire", "-E", "3"), ("ipurge", "-f", "-X", "-d", "60", "user.anna.Old")]
POLICY = [("cyr_expire", "-t", "--policy-on-replica"), ("ipurge", "-f", "-X", "-d", "60", "--policy-on-replica", "user.anna.Old")]
LEFT = re.compile(r"This server is a replica: messages of 1 mailboxes expire on the primary; with --policy-on-replica here, too")


class Year:
    """A pair, its clock, and a user who works at the primary."""

    def __init__(self, pair, clock, seed):
        self.pair, self.clock, self.rng, self.n = pair, clock, random.Random(seed), 0

    def now(self):
        return time.time() + self.clock.shift

    def text(self, subject="m"):
        self.n += 1
        return (f"From: a@example.com\r\nSubject: {subject} {self.n}\r\nDate: {formatdate(self.now())}\r\n"
                f"Message-ID: <{self.n}@x>\r\n\r\nbody\r\n").encode()

    def work(self):
        """Mail comes, some of it is expunged or flagged; folders come and go."""
        with self.pair.primary.imap("anna") as imap:
            for box in ("INBOX", "INBOX.Brief", "INBOX.Old"):
                for _ in range(3):
                    imap.append(box, self.text(), f"Key{self.rng.randrange(20)}")
                imap.ok(f"SELECT {box}")
                imap.ok(rf"STORE {self.rng.choice('123')} +FLAGS (\Deleted)")
                imap.ok("EXPUNGE")
                imap.ok(rf"STORE 1 FLAGS (\Seen Key{self.rng.randrange(20)})")
            imap.ok(f"CREATE INBOX.f{self.n}")
            imap.append(f"INBOX.f{self.n}", self.text())
            if self.rng.randrange(2):
                imap.ok(f"DELETE INBOX.f{self.n - 1}")
            imap.logout()

    def tasks(self):
        """What each end said of what it did not do."""
        told = {server.name: "" for server in (self.pair.primary, self.pair.replica)}
        for server, task in self.rng.sample([(s, t) for s in (self.pair.primary, self.pair.replica) for t in TASKS], 2 * len(TASKS)):
            told[server.name] += server.run(*task, *(["-v"] if task[0] == "cyr_expire" else [])).stderr
        return told

    def sync(self):
        return sent_commands(self.pair.primary.run("sync_client", "-v", "-v", "-o", "-A"))


def retained(server):
    """{identity of a mailbox, deleted or not: UIDs of the messages that it still has, expunged or not}."""
    found = {}
    mailboxes = names(server)
    for path, uniqueid in zip(server.run("mbpath", *mailboxes).stdout.split(), mailboxes.values()):
        index = IndexFile(os.path.join(path, "cyrus.index"))
        uids = {rec["uid"] for rec in index.records if not rec["flags"] & UNLINKED}
        archived = path.replace("/spool/", "/archive/")
        files = message_files(path) + (message_files(archived) if os.path.isdir(archived) else [])
        assert {int(name[:-1]) for name in files} >= uids, path
        found[uniqueid] = uids
    return found


def alive(server, name):
    index = IndexFile(os.path.join(server.run("mbpath", name).stdout.strip(), "cyrus.index"))
    return {rec["uid"] for rec in index.records if not rec["flags"] & EXPUNGED}


@pytest.fixture
def year(pair):
    clock = Clock(pair.primary, pair.replica)
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.conf.update({"archive_enabled": True, "archivepartition-default": server.account.mkdir(server.path("archive"))})
        server.add_user("anna")
    pair.start()
    pair.primary.create_user("anna", "Brief", "Old")
    with pair.primary.imap("anna") as imap:
        imap.ok('SETMETADATA INBOX.Brief (/shared/vendor/cmu/cyrus-imapd/expire "40")')
        imap.logout()
    pair.primary.run("failover", "takeover")
    return Year(pair, clock, 24)


def test_all_tasks_on_both_ends_for_a_year(year):
    primary, replica = year.pair.primary, year.pair.replica
    expired = 0
    for _ in range(ROUNDS):
        year.clock.go_on(year.rng.randrange(1, 2 * YEAR // ROUNDS // HOUR) * HOUR)
        year.work()
        if year.rng.randrange(2):
            year.sync()
        before = alive(primary, "user.anna.Brief") | alive(primary, "user.anna.Old")
        told = year.tasks()
        expired += len(before - (alive(primary, "user.anna.Brief") | alive(primary, "user.anna.Old")))
        assert "replica" not in told[primary.name]
        assert len(LEFT.findall(told[replica.name])) == 5 and "ipurge: this server is a replica: purge on the primary" in told[replica.name]
        sent = year.sync()
        assert not [line for line in sent if "FULLMAILBOX" in line or "APPLY FETCH" in line], sent
        kept, there = retained(primary), retained(replica)
        missing = {uniqueid: uids - there.get(uniqueid, set()) for uniqueid, uids in kept.items()}
        assert not any(missing.values()) and set(kept) <= set(there), missing
        assert year.sync() == []
    assert expired and year.clock.shift > YEAR // 2
    for server in (primary, replica):
        assert not re.search("inefficient|CRC|checksum|FULLMAILBOX", server.log_text(), re.I)


def test_policy_where_it_must_not_run(year):
    """What the tasks say and do by force; a dry run is none of that. A role that can't be read counts as a replica's."""
    primary, replica = year.pair.primary, year.pair.replica
    for server in (primary, replica):
        server.allow_log("SYNCERROR|can't tell the role")
    year.work()
    year.sync()
    year.clock.go_on(100 * DAY)
    boxes = ("user.anna.Brief", "user.anna.Old")
    before = [alive(replica, box) for box in boxes]
    year.tasks()
    assert [alive(replica, box) for box in boxes] == before and all(before)
    assert not any(alive(primary, box) for box in boxes)
    assert "ipurge" not in replica.run("ipurge", "-f", "-n", "-X", "-d", "60", "user.anna.Old").stderr
    year.work()
    year.sync()
    year.clock.go_on(100 * DAY)
    assert all(alive(replica, box) for box in boxes)
    for task in POLICY:
        assert "replica" not in replica.run(*task).stderr
    assert not any(alive(replica, box) for box in boxes) and all(alive(primary, box) for box in boxes)
    # this is what it is for: both ends have gone their own ways
    assert "CRC failure" in year.pair.primary.run("sync_client", "-v", "-v", "-o", "-A", check=False).stderr + primary.log_text()
    with open(primary.path("conf/role"), "w", encoding="ascii") as f:
        f.write("prim")
    assert LEFT.search(primary.run("cyr_expire", "-t", "-v").stderr) is not None

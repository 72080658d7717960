# SPDX-License-Identifier: BSD-3-Clause
"""A user with very many folders is one piece of work (W039): a rename of the root of his tree is one command and one transaction on the
replica, of which no session there sees a half; a client that is killed in the middle of him sends nobody else's again, and none of his that
is there.

CYL_FOLDERS  how many (default 60; once a night 20000)
"""

import os
import re
import threading

import pytest

from cyltest import Pair, processes, rolling
from cyltest.clients import TIMEOUT
from cyltest.folders import message, names, ready
from cyltest.relay import Relay

FOLDERS = int(os.environ.get("CYL_FOLDERS") or 60)
USERS = ("anna", "bob", "carl")
PATIENCE = TIMEOUT + FOLDERS / 10


def pipelined(server, commands, user="anna"):
    """In batches, so that neither end waits for the other."""
    with server.imap(user, timeout=PATIENCE) as imap:
        for at in range(0, len(commands), 200):
            tags = [imap.start(command) for command in commands[at:at + 200]]
            for tag in tags:
                answer = imap.finish(tag)
                assert answer.status == "OK", answer
        imap.logout()


def listed(imap):
    """Folders of the tree, by the name of its root."""
    lines = imap.ok('LIST "" "INBOX.*.*"').untagged
    found = {}
    for line in lines:
        root = re.search(rb"INBOX\.(\w+)\.", line)[1].decode()
        found[root] = found.get(root, 0) + 1
    return found


class Onlooker:
    """A session of the user on the replica that lists his folders all the time."""

    def __init__(self, server):
        self.server, self.seen, self.over = server, [], threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def _look(self):
        with self.server.imap("anna", timeout=PATIENCE) as imap:
            while True:
                last = self.over.is_set()
                found = listed(imap)
                if not self.seen or self.seen[-1] != found:
                    self.seen.append(found)
                if last:
                    return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.thread.join(PATIENCE)


class Runs:
    """Runs of a client that reads a log, through a relay."""

    def __init__(self, pair):
        self.pair, self.commands = pair, []

    def once(self, cut_at=None):
        """The log that the primary has written, read by a rolling client that may be killed at a command."""
        with Relay(self.pair.primary.path("tmp", "relay"), self.pair.replica.path("conf/socket/csync"), cut_at=cut_at,
                   on_cut=lambda: processes.kill(client.pid), timeout=PATIENCE) as relay:
            client = self.pair.primary.popen("sync_client", "-R", "-f", self.log, "-S", relay.path)
            assert client.wait(PATIENCE) == (-9 if relay.cut else 0)
        self.commands = relay.commands
        return self

    def take_log(self):
        """What the primary has logged by now is what the next runs read."""
        written = rolling.log_path(self.pair.primary)
        self.log = written + "-part"
        os.rename(written, self.log)

    def changes(self):
        return [c for c in self.commands if c.startswith(b"APPLY") and b"CAPABILITIES" not in c]


@pytest.fixture(scope="module")
def many(module_factory):
    """anna has a tree of folders with a message in every tenth; both ends know it."""
    pair = ready(Pair(module_factory("primary"), module_factory("replica")), *USERS)
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC")
    runs = Runs(pair)
    runs.take_log()
    runs.once()
    return runs


def folder(n, root="T"):
    return f"INBOX.{root}.f{n:05}"


def test_whole_tree_is_renamed(many):
    """One command, all or nothing; the client that reads one line of the log after the other finds it in the first."""
    primary, replica = many.pair.primary, many.pair.replica
    pipelined(primary, ["CREATE INBOX.T", *(f"CREATE {folder(n)}" for n in range(FOLDERS))])
    with primary.imap("anna") as imap:
        for n in range(0, FOLDERS, max(10, FOLDERS // 50)):
            imap.append(folder(n), message(n))
        imap.logout()
    many.take_log()
    many.once()
    assert len(names(replica)) == FOLDERS + 2
    assert not any(c.startswith(b"APPLY RENAME") for c in many.changes())

    with primary.imap("anna", timeout=PATIENCE) as imap:
        imap.ok("RENAME INBOX.T INBOX.Moved")
        imap.logout()
    many.take_log()
    with Onlooker(replica) as onlooker:
        many.once()
    assert onlooker.seen == [{"T": FOLDERS}, {"Moved": FOLDERS}]
    renames = [c for c in many.changes() if c.startswith(b"APPLY RENAME")]
    assert [c.split(b"(")[0] for c in renames] == [b"APPLY RENAMES "]
    assert renames[0].count(b"%(") == FOLDERS + 1
    assert not any(c.startswith((b"APPLY MESSAGE", b"APPLY UNMAILBOX")) for c in many.commands)
    assert names(replica) == names(primary)


def test_two_trees_change_places(many):
    """As many rings as there are folders."""
    primary, replica = many.pair.primary, many.pair.replica
    for root in ("One", "Two"):
        pipelined(primary, [f"CREATE INBOX.{root}", *(f"CREATE {folder(n, root)}" for n in range(FOLDERS))], user="carl")
    many.take_log()
    many.once()
    pipelined(primary, ["RENAME INBOX.One INBOX.Tmp", "RENAME INBOX.Two INBOX.One", "RENAME INBOX.Tmp INBOX.Two"], user="carl")
    many.take_log()
    renames = [c for c in many.once().changes() if c.startswith(b"APPLY RENAME")]
    assert len(renames) == 1 and renames[0].count(b"%(") == 3 * (FOLDERS + 1)
    assert names(replica, "carl") == names(primary, "carl")


def test_killed_in_the_middle_of_a_user(many):
    """What was brought over is asked about, and not sent again; who comes behind him is there after the next run."""
    primary, replica = many.pair.primary, many.pair.replica
    for user in USERS:
        with primary.imap(user) as imap:
            imap.append("INBOX", message(3, f"{user} 3"))
            imap.logout()
    pipelined(primary, [f"CREATE INBOX.New.n{n:02}" for n in range(40)], user="bob")
    many.take_log()
    sent = many.once(cut_at=30).changes()[:-1]  # the last one did not arrive
    assert any(b"user.anna " in c for c in sent) and any(b"user.bob.New" in c for c in sent)
    assert not any(b"user.carl" in c for c in sent)
    again = many.once().changes()
    assert not set(sent) & set(again)
    assert {found for c in again for found in re.findall(rb"user\.(\w+)", c)} == {b"bob", b"carl"}
    for user in USERS:
        assert names(replica, user) == names(primary, user)
    assert many.once().changes() == []

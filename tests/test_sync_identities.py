# SPDX-License-Identifier: BSD-3-Clause
"""The identity of a mailbox is in three places: its header, its entry and the record under its UNIQUEID. Whatever one of them has become at
either end, reconstruct there and a run make the ends equal, the mailbox is still who it was, and nothing is sent that was there (W042)."""

import os
import re

import pytest

from cyltest import Pair
from cyltest.folders import Watch, contents, fill, names, ready
from cyltest.storefiles import mailbox_dir
from cyltest.syncdata import assert_same

OTHER = "0b2e4f30-0000-4000-8000-00000000000f"


class End:
    """One server, and the mailbox that is damaged there."""

    def __init__(self, server, user):
        self.server, self.name, self.key = server, f"user.{user}.Work", f"Nuser\x1f{user}\x1fWork"
        self.id = names(server, user)[self.name]
        self.header = os.path.join(mailbox_dir(server, self.name), "cyrus.header")

    def rewrite(self, fn):
        with open(self.header, "rb") as f:
            data = f.read()
        assert fn(data) != data
        with open(self.header, "wb") as f:
            f.write(fn(data))

    def db(self, *args):
        return self.server.run("cyr_dbtool", self.server.path("conf/mailboxes.db"), "twoskip", *args).stdout.rstrip("\n")

    def entry(self, key, old, new):
        value = self.db("get", key)
        assert old in value
        self.db("set", key, value.replace(old, new))


DAMAGE = {
    "header: another id": lambda e: e.rewrite(lambda data: data.replace(e.id.encode(), OTHER.encode())),
    "header: id of zeros": lambda e: e.rewrite(lambda data: data.replace(e.id.encode(), b"\0" * len(e.id))),
    "header: half an id": lambda e: e.rewrite(lambda data: data.replace(e.id.encode(), e.id[:18].encode())),
    "header: zeros": lambda e: e.rewrite(lambda data: b"\0" * len(data)),
    "header: empty": lambda e: e.rewrite(lambda data: b""),
    "header: gone": lambda e: os.unlink(e.header),
    "entry: another id": lambda e: e.entry(e.key, f"I {e.id}", f"I {OTHER}"),
    "entry: no id": lambda e: e.entry(e.key, f"I {e.id} ", ""),
    "entry: rubbish": lambda e: e.db("set", e.key, "%(P def"),
    "entry: gone": lambda e: e.db("delete", e.key),
    "record: gone": lambda e: e.db("delete", f"I{e.id}"),
    "record: rubbish": lambda e: e.db("set", f"I{e.id}", "%(N us"),
    "record: another name": lambda e: e.entry(f"I{e.id}", "\x1fWork", "\x1fElse"),
}


CASES = [(what, end) for what in DAMAGE for end in ("primary", "replica")]


def user_of(case):
    return f"u{CASES.index(case):02}"


@pytest.fixture(scope="module")
def both(module_factory):
    users = [user_of(case) for case in CASES]
    pair = ready(Pair(module_factory("primary"), module_factory("replica")), *users)
    for server in (pair.primary, pair.replica):
        server.allow_log(".")
    for user in users:
        fill(pair.primary, "INBOX.Work", 3, 4, 5, user=user)
    pair.primary.run("sync_client", "-A")
    return pair


@pytest.mark.parametrize("case", CASES, ids=": ".join)
def test_one_copy_of_an_identity(both, case):
    (what, end), user = case, user_of(case)
    before = names(both.primary, user), contents(both.primary, user)
    server = getattr(both, end)
    damaged = End(server, user)
    DAMAGE[what](damaged)
    done = server.run("reconstruct", "-r", f"user.{user}", check=False)
    if what.startswith("entry:"):  # it leads nowhere: the directory says who it is
        done = server.run("reconstruct", "-P", os.path.dirname(damaged.header), check=False)
    watch = Watch(both, (user,))
    watch.run("-u", user)
    told = done.stdout + watch.done.stdout
    assert names(both.primary, user) == before[0], told
    assert names(both.replica, user) == before[0], told
    assert contents(both.primary, user) == contents(both.replica, user) == before[1], told
    assert watch.uploaded == [], told
    assert_same(both.primary, both.replica, user)
    again = Watch(both, (user,))
    again.run("--verify", "-u", user)
    assert again.changes() == []
    assert not re.search("Wrong|Missing|created", server.run("reconstruct", "-r", f"user.{user}").stdout)

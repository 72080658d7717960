# SPDX-License-Identifier: BSD-3-Clause
"""The table of acknowledgements follows the rolling client, and is never too high, whatever is lost or restored (W065, doc/rolling.md)."""

import json
import os
import random
import shutil

import pytest

from cyltest import Pair, rolling
from cyltest.syncdata import message

SEED = int(os.environ.get("CYL_ACKED_SEED") or 65)
ROUNDS = int(os.environ.get("CYL_ACKED_ROUNDS") or 6)


@pytest.fixture(scope="module")
def running(module_factory):
    pair = rolling.set_up(Pair(module_factory("primary"), module_factory("replica")), duplicatesuppression=False)
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|IOERROR|ERROR|Can not connect|journal: ")
    pair.start()
    for user in ("alice", "bob"):
        pair.primary.add_user(user)
        pair.primary.create_user(user, "Work")
        pair.primary.deliver(message(1), user)
    turns(pair)
    pair.primary.run("sync_client", "-A")
    pair.number = iter(range(2, 10000))
    return pair


@pytest.fixture
def pair(running):
    """Each has a row that goes on."""
    turns(running)
    running.primary.run("sync_client", "-u", "alice", "bob")
    return running


def turns(pair, *args, check=True):
    return pair.primary.run("sync_client", "-R", "-1", *args, check=check)


def look(pair, *args, user="alice", server=None, check=True):
    done = (server or pair.primary).run("sync_client", "--status", "--json", *args, "--user", user, check=check)
    return next(told for told in json.loads(done.stdout) if told["channel"] == "")


def deliver(pair, user="alice", server=None):
    (server or pair.primary).deliver(message(next(pair.number)), user)


def append(pair, folder, user="alice"):
    with pair.primary.imap(user) as imap:
        imap.append(folder, message(next(pair.number)))
        imap.logout()


def is_not_too_high(pair, user="alice"):
    """Returns what is known without asking."""
    here, asked = look(pair, user=user), look(pair, "--ask", user=user)
    assert asked["proven"]
    assert (here["acknowledged_modseq"] or 0) <= asked["acknowledged_modseq"], (here, asked)
    return here["acknowledged_modseq"]


@pytest.mark.parametrize("jobs", [(), ("-j", "3")])
def test_each_acknowledgement(pair, jobs):
    """The lag is the number of changes since, without asking anybody."""
    bob = look(pair, user="bob")
    for n in range(1, 4):
        for _ in range(n):
            append(pair, "INBOX.Work")
        here = look(pair)
        assert here["modseqs_behind"] == n and here["items_behind"] and not here["proven"]
        turns(pair, *jobs)
        here = look(pair)
        assert (here["modseqs_behind"], here["items_behind"], here["seconds_behind"]) == (0, 0, 0)
        assert here["acknowledged_modseq"] == here["modseq"]
    assert look(pair, user="bob")["acknowledged_modseq"] == bob["acknowledged_modseq"] == bob["modseq"]
    assert is_not_too_high(pair)


def test_no_row_before_the_whole_user(pair):
    """What a turn brings over is some mailboxes: it says nothing of the others."""
    pair.primary.add_user("carol")
    pair.primary.create_user("carol", "Work")
    pair.primary.deliver(message(1), "carol")
    pair.primary.run("cyr_dbtool", pair.primary.path("conf/verified.db"), "twoskip", "delete", "acked::user:alice")
    turns(pair)
    assert look(pair, user="carol")["modseqs_behind"] == 0  # a new user is brought over as a whole
    append(pair, "INBOX.Work")
    turns(pair)
    here = look(pair)
    assert here["modseqs_behind"] is here["acknowledged_modseq"] is None and here["items_behind"] == 0
    pair.primary.run("sync_client", "-u", "alice")
    assert look(pair)["modseqs_behind"] == 0


def test_a_failing_mailbox_holds_the_row(pair):
    before = look(pair)["acknowledged_modseq"]
    append(pair, "INBOX.Work")
    spool = next(os.path.join(top, name) for top, _, names in os.walk(pair.primary.path("spool")) for name in names
                 if name == "1." and b"alice" in open(os.path.join(top, "cyrus.header"), "rb").read()
                 and b"Work" in open(os.path.join(top, "cyrus.header"), "rb").read())
    index = os.path.join(os.path.dirname(spool), "cyrus.index")
    hidden = index + ".hidden"
    os.rename(index, hidden)
    turns(pair)
    deliver(pair)
    turns(pair)
    os.rename(hidden, index)
    here = look(pair)
    assert here["acknowledged_modseq"] == before and here["items_behind"]
    turns(pair)
    assert look(pair)["modseqs_behind"] == 0
    assert is_not_too_high(pair) > before


def test_replica_restored_from_a_backup(pair, tmp_path):
    """Nobody tells the primary: what was acknowledged before counts no more from the first connection on."""
    pair.replica.stop()
    trees = copy(pair.replica, tmp_path)
    pair.replica.start()
    pair.primary.run("sync_client", "-u", "alice")
    append(pair, "INBOX.Work")
    turns(pair)
    assert look(pair)["modseqs_behind"] == 0
    pair.replica.stop()
    put_back(pair.replica, trees)
    pair.replica.start()
    deliver(pair)
    turns(pair)
    here = look(pair)
    assert here["acknowledged_modseq"] is None, here
    is_not_too_high(pair)
    pair.primary.run("sync_client", "-u", "alice")
    assert look(pair)["modseqs_behind"] == 0


@pytest.mark.parametrize("table", ["old", "new"])
def test_primary_restored_from_a_backup(pair, tmp_path, table):
    """With the table of then, or with that of now beside all else of then."""
    pair.primary.stop()
    trees = copy(pair.primary, tmp_path)
    pair.primary.start()
    for _ in range(5):
        append(pair, "INBOX.Work")
    turns(pair)
    assert look(pair)["modseqs_behind"] == 0
    pair.primary.stop()
    verified = pair.primary.path("conf/verified.db")
    now = open(verified, "rb").read()
    put_back(pair.primary, trees)
    if table == "new":
        with open(verified, "wb") as f:
            f.write(now)
        pair.primary.account.give(verified)
    pair.primary.start()
    deliver(pair)
    is_not_too_high(pair)
    for _ in range(8):
        append(pair, "INBOX.Work")
        is_not_too_high(pair)


def copy(server, where):
    trees = {}
    for name in ("conf", "spool"):
        trees[name] = str(where / f"{name}-{server.path('').count('/')}")
        shutil.copytree(server.path(name), trees[name], symlinks=True, ignore=shutil.ignore_patterns("socket", "log"))
    return trees


def put_back(server, trees):
    for name, tree in trees.items():
        for entry in os.listdir(server.path(name)):
            path = server.path(name, entry)
            if entry in ("socket", "log"):
                continue
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        shutil.copytree(tree, server.path(name), symlinks=True, dirs_exist_ok=True)
        for top, dirs, names in os.walk(server.path(name)):
            for entry in (*dirs, *names):
                server.account.give(os.path.join(top, entry))


def test_user_deleted_and_there_again(pair):
    """His modseqs begin anew: what was acknowledged of the other one is not his."""
    for _ in range(5):
        append(pair, "INBOX", user="bob")
    turns(pair)
    old = look(pair, user="bob")
    assert old["modseqs_behind"] == 0
    with pair.primary.imap("admin") as admin:
        admin.ok("SETACL user.bob admin lrswipkxtecda")
        admin.ok("DELETE user.bob")
        admin.ok("CREATE user.bob")
        admin.logout()
    for _ in range(30):
        deliver(pair, "bob")
    here = look(pair, user="bob")
    assert here["acknowledged_modseq"] is None and here["items_behind"]
    turns(pair)
    is_not_too_high(pair, "bob")


def test_channel_given_up_and_begun_anew(pair):
    """Events of the time between are nobody's: no row goes on over them."""
    pair.primary.run("sync_client", "--forget", "--force", "-n", "")
    assert look(pair)["acknowledged_modseq"] is None
    append(pair, "INBOX.Work")
    pair.primary.run("sync_client", "-u", "alice")
    append(pair, "INBOX.Work")  # no reader
    turns(pair)  # the channel begins
    deliver(pair)
    turns(pair)
    assert is_not_too_high(pair) < look(pair)["modseq"]
    pair.primary.run("sync_client", "-u", "alice")
    deliver(pair)
    turns(pair)
    assert look(pair)["modseqs_behind"] == 0


def test_random(pair):
    rng = random.Random(SEED)
    for _ in range(ROUNDS):
        for _ in range(rng.randint(1, 5)):
            user = rng.choice(("alice", "bob"))
            rng.choice((lambda: deliver(pair, user), lambda: append(pair, "INBOX", user), lambda: flag(pair, user)))()
        what = rng.choice(("turns", "turns", "workers", "replica restarts", "nothing"))
        if what == "replica restarts":
            pair.replica.restart()
        if what in ("turns", "workers"):
            turns(pair, *(("-j", "2") if what == "workers" else ()))
        for user in ("alice", "bob"):
            is_not_too_high(pair, user)


def flag(pair, user):
    with pair.primary.imap(user) as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1:* -FLAGS (\Flagged)")
        imap.ok(r"STORE 1 +FLAGS (\Flagged)")
        imap.logout()


def test_what_came_from_another_server_is_not_brought_over(factory):
    """Without sync_log_chain the server in the middle does not send on what it is told: no row goes on over it."""
    first, middle, last = factory("first"), factory("middle"), factory("last")
    one, two = rolling.set_up(Pair(first, middle)), rolling.set_up(Pair(middle, last))
    for server in (first, middle, last):
        server.allow_log("SYNC|IOERROR|ERROR")
    last.start()
    middle.start()
    first.start()
    for server in (first, middle, last):
        server.add_user("anna")
    one.number = two.number = iter(range(1, 1000))
    first.create_user("anna", "Work")
    turns(two)
    turns(one)
    first.run("sync_client", "-A")
    middle.run("sync_client", "-A")
    row = look(two, user="anna")
    assert row["acknowledged_modseq"] == row["modseq"]
    append(one, "INBOX.Work", user="anna")
    first.run("sync_client", "-u", "anna")
    append(two, "INBOX", user="anna")
    turns(two)
    here = look(two, user="anna")
    assert here["acknowledged_modseq"] == row["acknowledged_modseq"] < here["modseq"]
    is_not_too_high(two, "anna")

# SPDX-License-Identifier: BSD-3-Clause
"""Both ends rename folders: the later name wins, whichever end has it and whichever is the master; nothing is sent and nothing lost (W043).

CYL_NAMES_ROUNDS  random renames at both ends, then a run (default 6); CYL_NAMES_SEED
"""

import os
import random

import pytest

from cyltest import Pair
from cyltest.folders import Watch, contents, do, every, fill, names, ready
from cyltest.rolling import write_log

ROUNDS = int(os.environ.get("CYL_NAMES_ROUNDS") or 6)
SEED = int(os.environ.get("CYL_NAMES_SEED") or 43)
FOLDERS = 8


@pytest.fixture(scope="module")
def both(module_factory):
    """Either end can be the master."""
    one, two = module_factory("one"), module_factory("two")
    back = Pair(two, one)
    one.add_service("csyncunix", cmd="sync_server", listen=one.path("conf/socket/csync"))
    pair = ready(Pair(one, two), "anna")
    pair.back = back
    for server in (one, two):
        server.allow_log("SYNCNOTICE")
    for n in range(FOLDERS):
        fill(one, f"INBOX.a{n}", 10 + n)
    one.run("sync_client", "-u", "anna")
    return pair


def ids(server):
    return {uniqueid: name for name, uniqueid in names(server).items()}


def meet(pair):
    """One run, and what must hold whatever it was."""
    there = every(contents(pair.replica, "anna"))
    before = every(contents(pair.primary, "anna")) | there
    who = {**ids(pair.replica), **ids(pair.primary)}.keys()
    watch = Watch(pair)
    watch.run("-u", "anna")
    assert not there & set(watch.uploaded)
    assert names(pair.primary) == names(pair.replica) and ids(pair.primary).keys() == who
    assert every(contents(pair.primary, "anna")) == every(contents(pair.replica, "anna")) == before
    again = Watch(pair)
    again.run("--verify", "-u", "anna")
    assert again.changes() == []
    return watch


def id_of(pair, folder):
    return names(pair.primary)[f"user.anna.{folder}"]


@pytest.mark.parametrize("turn", ["one to two", "two to one"])
@pytest.mark.parametrize("where", ["primary", "replica"])
def test_renamed_at_one_end(both, turn, where):
    """That end's name, also when the other end has changed something else of the folder since."""
    pair = both if turn == "one to two" else both.back
    server, other = getattr(pair, where), pair.replica if where == "primary" else pair.primary
    uniqueid = id_of(pair, "a1")
    do(server, "RENAME INBOX.a1 INBOX.b1")
    do(other, "SETACL INBOX.a1 bob lrs", "SETACL INBOX.a1 bob lr")
    meet(pair)
    assert ids(pair.primary)[uniqueid] == "user.anna.b1"
    # and back: the undoing of a change is the latest one
    do(server, "RENAME INBOX.b1 INBOX.a1")
    meet(pair)
    assert ids(pair.primary)[uniqueid] == "user.anna.a1"


@pytest.mark.parametrize("turn", ["one to two", "two to one"])
@pytest.mark.parametrize("last", ["primary", "replica"])
def test_renamed_at_both_ends(both, turn, last):
    """The one with more changes behind it, for both ends the same."""
    pair = both if turn == "one to two" else both.back
    late, early = (pair.primary, pair.replica) if last == "primary" else (pair.replica, pair.primary)
    uniqueid = id_of(pair, "a2")
    do(early, "RENAME INBOX.a2 INBOX.early")
    # a rename that came from the other end may have counted here, too
    steps = ["a2", "x1", "x2", "x3", "x4", "late"]
    do(late, *(f"RENAME INBOX.{old} INBOX.{new}" for old, new in zip(steps, steps[1:])))
    meet(pair)
    assert ids(pair.primary)[uniqueid] == "user.anna.late"
    do(pair.primary, "RENAME INBOX.late INBOX.a2")
    meet(pair)


def test_found_by_an_item_of_a_log(both):
    uniqueid = id_of(both, "a3")
    do(both.replica, "RENAME INBOX.a3 INBOX.b3")
    both.primary.run("sync_client", "-R", "-f", write_log(both.primary, ["MAILBOX user.anna.a3"], name="item"))
    assert ids(both.primary)[uniqueid] == ids(both.replica)[uniqueid] == "user.anna.b3"
    do(both.primary, "RENAME INBOX.b3 INBOX.a3")
    meet(both)


@pytest.mark.parametrize("turn", ["one to two", "two to one"])
@pytest.mark.parametrize("older", ["primary", "replica"])
def test_two_want_one_name(both, turn, older):
    """The older one keeps it, whichever end has it there and whichever is the master; the other one gets a name beside it, and that is told."""
    pair = both if turn == "one to two" else both.back
    at_older, at_younger = (pair.primary, pair.replica) if older == "primary" else (pair.replica, pair.primary)
    first, second = id_of(pair, "a4"), id_of(pair, "a5")
    do(at_older, "RENAME INBOX.a4 INBOX.hot")
    do(at_younger, "RENAME INBOX.a5 INBOX.hot")
    mark = pair.primary.log_mark()
    watch = meet(pair)
    beside = f"user.anna.hot~{second[:8]}"
    assert ids(pair.primary)[first] == "user.anna.hot" and ids(pair.primary)[second] == beside
    assert f"COLLISION user.anna.hot: {first} keeps it, {second} -> {beside}" in watch.done.stdout
    pair.primary.wait_log(f"SYNCNOTICE: two mailboxes have one name, the older one keeps it: name=<user.anna.hot> uniqueid=<{first}>", mark)
    do(pair.primary, "RENAME INBOX.hot INBOX.a4", f"RENAME {beside.replace('user.anna', 'INBOX')} INBOX.a5")
    meet(pair)


@pytest.mark.parametrize("turn", ["one to two", "two to one"])
@pytest.mark.parametrize("made", ["primary", "replica"])
def test_renamed_to_what_the_other_end_has_made(both, turn, made):
    """Two folders, not one: nothing of either comes into the other."""
    pair = both if turn == "one to two" else both.back
    maker, renamer = (pair.primary, pair.replica) if made == "primary" else (pair.replica, pair.primary)
    first, name = id_of(pair, "a6"), f"new{made}{turn[:3]}"
    do(renamer, f"RENAME INBOX.a6 INBOX.{name}")
    do(maker, f"CREATE INBOX.{name}")
    second = names(maker)[f"user.anna.{name}"]
    meet(pair)
    assert ids(pair.primary)[first] == f"user.anna.{name}"
    assert ids(pair.primary)[second] == f"user.anna.{name}~{second[:8]}"
    do(pair.primary, f"RENAME INBOX.{name} INBOX.a6", f"DELETE INBOX.{name}~{second[:8]}")
    meet(pair)


@pytest.mark.parametrize("turn", ["one to two", "two to one"])
@pytest.mark.parametrize("where", ["primary", "replica"])
def test_names_that_changed_hands(both, turn, where):
    """A ring and a chain at one end: that end's names, wherever the master is."""
    pair = both if turn == "one to two" else both.back
    server = getattr(pair, where)
    first, second, third = (id_of(pair, name) for name in ("a1", "a2", "a3"))
    do(server, "RENAME INBOX.a1 INBOX.t", "RENAME INBOX.a2 INBOX.a1", "RENAME INBOX.a3 INBOX.a2", "RENAME INBOX.t INBOX.a3")
    meet(pair)
    assert [ids(pair.primary)[i] for i in (first, second, third)] == ["user.anna.a3", "user.anna.a1", "user.anna.a2"]
    do(pair.primary, "RENAME INBOX.a3 INBOX.t", "RENAME INBOX.a2 INBOX.a3", "RENAME INBOX.a1 INBOX.a2", "RENAME INBOX.t INBOX.a1")
    meet(pair)


def test_force_changes_nothing_here(both):
    before = names(both.primary)
    do(both.replica, "RENAME INBOX.a6 INBOX.b6")
    both.primary.run("sync_client", "-O", "-u", "anna")
    assert names(both.primary) == names(both.replica) == before


def test_random_renames(both):
    """And folders that are made, each end its own names for those, and renames to any name that is free there."""
    rng = random.Random(SEED)
    for n in range(ROUNDS):
        pair = rng.choice((both, both.back))
        for server, kind in ((both.primary, "p"), (both.replica, "r")):
            for k in range(rng.randint(0, 5)):
                there = [name.replace("user.anna", "INBOX") for name in names(server) if name.count(".") == 2]
                new = f"INBOX.{rng.choice('abc')}{rng.randint(0, FOLDERS)}"
                if new not in there:
                    do(server, f"RENAME {rng.choice(there)} {new}")
                elif k == 0:
                    fill(server, f"INBOX.{kind}{n}", 1000 + 2 * n + (kind == "r"))
        meet(pair)

# SPDX-License-Identifier: BSD-3-Clause
"""The repair of two diverged ends is interrupted at every step, on both ends; the next run ends as if nothing had been.

Nothing is lost, nothing is there twice, no UID means two messages.

CYL_INTERRUPTED_ALL=1  each history is interrupted in each way; else each in one
"""

import os

import pytest

from cyltest.histories import CONF, Histories
from cyltest.relay import Relay
from cyltest.syncdata import login, sent_commands
from cyltest.syncline import full

# Together they have every row of the table: flags of either end win, expunged on either end, only on one end in front of and
# behind the other's last UID, forgotten, two messages under one UID in both orders.
SEEDS = (14563, 56825, 53315)
WHERE = ("before", "half", "after")


@pytest.fixture
def pair(pair):
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.allow_log("SYNC|ERROR|signaled|abnormally|zero length|response")
    pair.replica.add_service("csyncunix", cmd="sync_server",
                             listen=pair.replica.path("conf/socket/csync"))
    pair.start()
    return pair


def sync(pair, name, *args, check=True):
    return pair.primary.run("sync_client", "-v", "-v", "-o", *args, "-m", name, check=check)


def settle(pair, histories, name):
    """The next run repairs all, and one more has nothing to do."""
    sync(pair, name, "--verify")
    histories.must_be_right([name])
    assert sent_commands(sync(pair, name)) == []


def interrupted(pair, name, cut_at, where, on_cut=None):
    """The command at which the connection was cut, or None."""
    with Relay(pair.primary.path("tmp", "relay"), pair.replica.path("conf/socket/csync"), cut_at, where,
               on_cut) as relay:
        done = sync(pair, name, "-S", relay.path, check=False)
    if not relay.cut or relay.at_the_end:
        return None
    assert done.returncode == 1
    return relay.commands[-1]


@pytest.mark.parametrize("seed, where", [(seed, where) for n, seed in enumerate(SEEDS) for m, where in enumerate(WHERE)
                                         if n == m or os.environ.get("CYL_INTERRUPTED_ALL")])
@pytest.mark.parametrize("least, verb", [("1000", b"GET FULLMAILBOX"), ("0", b"GET RANGES")], ids=["list", "ranges"])
def test_server_is_killed_at_each_command(pair, seed, where, least, verb):
    pair.primary.env["CYLINDER_RANGES_LEAST"] = least
    histories = Histories(pair, [seed] * 30, per_user=1)
    histories.load()

    def kill():
        pair.replica.kill_children("sync_server")

    verbs = set()
    for n, name in enumerate(histories.all, 1):
        command = interrupted(pair, name, n, where, kill)
        if command is None:
            break
        verbs.add(b" ".join(command.split()[:2]))
        settle(pair, histories, name)
    else:
        pytest.fail("the run has no end")
    assert verbs >= {b"GET MAILBOXES", b"APPLY MAILBOX", verb, b"GET FETCH",
                     b"APPLY EXPUNGE", b"APPLY MESSAGE"}


def states(pair, name):
    """FULLMAILBOX of both ends."""
    with login(pair.primary) as one, login(pair.replica) as two:
        return full(one, name), full(two, name)


@pytest.mark.parametrize("seed", SEEDS)
def test_client_is_killed_at_changes_of_its_disk(pair, seed):
    """At every fourth one; the three histories begin at different ones."""
    histories = Histories(pair, [seed] * 40, per_user=1)
    histories.load()
    for n, name in enumerate(histories.all):
        pair.primary.env["CYLINDER_DISKIO_KILL"] = f"change:{4 * n + 1 + SEEDS.index(seed)}"
        done = sync(pair, name, check=False)
        del pair.primary.env["CYLINDER_DISKIO_KILL"]
        if done.returncode == 0:
            break
        settle(pair, histories, name)
    else:
        pytest.fail("the run has no end")
    assert n > 3


FAULTS = ["write:1+:ENOSPC:/sync./", "open:1+:EROFS:/sync./", "mkdir:1+:EACCES:/sync./",
          "pwrite:1:ENOSPC:/spool/", "pwrite:1:EIO:/conf/journal/",
          "open:1:EACCES:cylinder-spill.", "open:1:ENOSPC:cylinder-spill.", "pwrite:1:ENOSPC:cylinder-spill.",
          "pwrite:3:EIO:cylinder-spill.", "pread:1:EIO:cylinder-spill.", "pread:5:EIO:cylinder-spill."]


@pytest.mark.parametrize("fault", FAULTS)
def test_disk_of_the_master_while_copying_back(pair, fault):
    """The run fails and says why; neither end has lost or changed a message; the next run repairs all."""
    histories = Histories(pair, SEEDS, per_user=1)
    histories.load()
    for name in histories.all:
        before = states(pair, name)
        pair.primary.env.update(CYLINDER_DISKIO_FAULT=fault, CYLINDER_SPILL_LIMIT="100")
        done = sync(pair, name, check=False)
        del pair.primary.env["CYLINDER_DISKIO_FAULT"], pair.primary.env["CYLINDER_SPILL_LIMIT"]
        assert done.returncode == 1
        # with the journal goes the store, before the run comes to a mailbox
        assert f"{name}: " in done.stderr or ("/journal/" in fault and "sync_client: System I/O error" in done.stderr)
        after = states(pair, name)
        assert [end["RECORD"] for end in after] == [end["RECORD"] for end in before]
        settle(pair, histories, name)


@pytest.mark.parametrize("fault", ["open:1:ENOSPC", "pwrite:1:ENOSPC", "pread:1:EIO"])
def test_temporary_file_of_the_replica(pair, fault):
    """Its answer is refused or breaks off; half an answer is never taken for a whole one."""
    histories = Histories(pair, SEEDS, per_user=1)
    histories.load()
    for name in histories.all:
        before = states(pair, name)
        pair.replica.env.update(CYLINDER_DISKIO_FAULT=f"{fault}:cylinder-spill.", CYLINDER_SPILL_LIMIT="100")
        pair.replica.restart()
        done = sync(pair, name, check=False)
        del pair.replica.env["CYLINDER_DISKIO_FAULT"], pair.replica.env["CYLINDER_SPILL_LIMIT"]
        pair.replica.restart()
        assert done.returncode == 1
        assert f"{name}: " in done.stderr
        assert [end["RECORD"] for end in states(pair, name)] == [end["RECORD"] for end in before]
        settle(pair, histories, name)

# SPDX-License-Identifier: BSD-3-Clause
"""Rolling under load, with kill -9 of the client, the replica and the primary at random times: the ends are equal afterwards."""

import pytest

from cyltest import processes, rolling, rolling_load
from cyltest.rolling_load import Load, kill_and_start, settle
from cyltest.syncdata import sent_commands


@pytest.fixture
def pair(pair):
    for server in (pair.primary, pair.replica):
        server.allow_log(".")
    return rolling.set_up(pair)


def kill_worker(server):
    """One of them, the rolling client itself lives."""
    parent = rolling.status(server)["pid"]
    for pid in [pid for pid in rolling.pids(server) if pid != parent][:1]:
        processes.kill(pid)


@pytest.mark.parametrize("journal, jobs", [("roomy", 1), ("tight", 1), ("roomy", 3), ("tight", 3)])
def test_load(pair, journal, jobs):
    """tight: what the replica has not got after a moment goes through the text log."""
    rolling.daemon(pair.primary, "-j", str(jobs))
    if journal == "tight":
        pair.primary.conf.update({"journal_segment_size": "64k", "journal_checkpoint_size": "64k",
                                  "journal_reader_max": "64k"})
    pair.start()
    rolling.caught_up(pair.primary)
    load = Load(pair, rolling_load.a_seed())
    load.begin()
    primary, replica = pair.primary, pair.replica
    load.run([lambda: rolling.kill_client(primary), lambda: kill_worker(primary) if jobs > 1 else rolling.kill_client(primary),
              lambda: replica.kill_children("sync_server"), lambda: replica.kill_children("sync_server"),
              lambda: kill_and_start(replica), lambda: kill_and_start(primary)])
    assert load.done > 30
    settle(pair)
    for user in rolling_load.USERS:
        done = primary.run("sync_client", "-v", "-v", "-o", "-u", user)
        assert sent_commands(done) == []
    text = primary.log_text()
    assert "are lost: all users" not in text
    if journal == "tight":
        assert "its events are kept elsewhere" in text

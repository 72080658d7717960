# SPDX-License-Identifier: BSD-3-Clause
"""sync_client --forget: a channel is given up for good; nothing of it is left, and nothing else is touched (doc/rolling.md)."""

import os
import re
import time

import pytest

from cyltest import rolling
from cyltest.storefiles import Snapshot
from cyltest.syncdata import message

FILES = ("log", "log-run", "log-retry", "log-status", "log-lock", "compare-lock")
NOWHERE = "127.0.0.1:1"


@pytest.fixture(scope="module")
def server(module_factory):
    server = module_factory()
    server.conf.update({"sync_log": False, "sync_log_channels": "kept gone", "journal_segment_size": "64k",
                        "journal_checkpoint_size": "64k", "sync_repeat_interval": "0", "sync_reconnect_maxwait": "1s"})
    server.allow_log("SYNC|Can not connect|response|DBERROR|journal|finish|no user name")
    server.start()
    server.add_user("alice")
    server.create_user("alice")
    return server


def reader(server, channel):
    return server.path("conf/journal", "reader.sync" + (f"-{channel}" if channel else ""))


def begin(server, *channels):
    """The channels have a reader in the journal, and all files that there may be."""
    for channel in channels:
        server.run("sync_client", "-R", "-1", "-o", "-n", channel, "-S", NOWHERE, check=False)
        for name in FILES:
            rolling.write_log(server, ["USER alice"] if name in FILES[:3] else [], channel, name)


def deliver(server, n, size=0):
    for i in range(n):
        server.deliver(message(i, body="x" * size), "alice")


def forget(server, channel, *args, status=0):
    done = server.run("sync_client", "--forget", "-n", channel, *args, check=False)
    assert done.returncode == status, done
    return done.stdout + done.stderr


def left(server, channel):
    found = [name for name in FILES if os.path.exists(rolling.log_path(server, name, channel))]
    if channel and os.path.exists(rolling.log_path(server, "", channel)):
        found.append("directory")
    return found + ["reader"] * os.path.exists(reader(server, channel))


EVERYTHING = [*FILES, "directory", "reader"]


def segments(server):
    return [name for name in os.listdir(server.path("conf/journal")) if re.fullmatch(r"[0-9a-f]{16}\.log", name)]


def test_nothing_is_left_and_the_journal_goes(server):
    begin(server, "gone", "kept")
    deliver(server, 12, 20000)
    os.unlink(reader(server, "kept"))
    server.run("ctl_cyrusdb", "-c")
    assert len(segments(server)) > 3
    behind = rolling.status(server, "gone")["events_behind"]
    assert behind >= 12 + 3
    assert f"channel gone is given up: {behind} events are thrown away\n" == forget(server, "gone")
    assert left(server, "gone") == []
    assert left(server, "kept") == [name for name in EVERYTHING if name != "reader"]
    deliver(server, 8, 20000)  # until checkpoints have come
    server.run("ctl_cyrusdb", "-c")
    assert len(segments(server)) <= 2
    assert left(server, "gone") == []
    assert forget(server, "gone") == "there is nothing of channel gone\n"
    assert left(server, "gone") == []


def test_the_one_without_name_and_files_of_others(server):
    begin(server, "", "kept")
    rolling.write_log(server, ["mine"], "kept", "notes")
    assert "channel \"\" is given up: " in forget(server, "")
    assert left(server, "") == [] and left(server, "kept") == EVERYTHING
    forget(server, "kept")
    assert left(server, "kept") == ["directory"] and os.listdir(rolling.log_path(server, "", "kept")) == ["notes"]
    os.unlink(rolling.log_path(server, "notes", "kept"))
    forget(server, "kept")
    assert left(server, "kept") == []


def test_not_while_a_client_is_at_it(server):
    begin(server, "gone")
    client = server.popen("sync_client", "-R", "-n", "gone", "-S", NOWHERE)
    try:
        rolling.wait_until(server, lambda now: now["running"], "gone")
        said = forget(server, "gone", status=75)
        assert f"(pid {client.pid})" in said and "end it first" in said
        assert left(server, "gone") == EVERYTHING
    finally:
        client.terminate()
        client.communicate(timeout=60)
    forget(server, "gone")
    assert left(server, "gone") == []


def test_not_while_imapd_conf_names_it(server):
    """With sync_log every change would be written for it again; with --force it is done all the same."""
    begin(server, "gone", "other")
    server.conf["sync_log"] = True
    server.write_conf()
    try:
        said = forget(server, "gone", status=78)
        assert "sync_log_channels names it" in said and "--force" in said
        assert left(server, "gone") == EVERYTHING
        forget(server, "other")
        forget(server, "gone", "--force")
        assert left(server, "gone") == left(server, "other") == []
    finally:
        server.conf["sync_log"] = False
        server.write_conf()


@pytest.mark.parametrize("args", [("--forget",), ("--forget", "-n", "x", "alice"), ("--forget", "-n", "../conf"),
                                  ("--forget", "-n", ".."), ("--force", "-n", "x", "--status"), ("--forget", "-n", "x", "-u")])
def test_usage(server, args):
    done = server.run("sync_client", *args, check=False)
    assert done.returncode == 64 and done.stderr


def test_a_name_that_comes_again_has_not_been_compared(server):
    """verified.db knows who was equal by channel: a new replica has nothing to do with the old one."""
    path = server.path("conf/verified.db")
    now = str(int(time.time()))
    for channel in ("gone", "gone2"):
        server.run("cyr_dbtool", "-n", path, "twoskip", "set", f"sync:{channel}:user:alice", now)
        server.run("cyr_dbtool", "-n", path, "twoskip", "set", f"pass:sync:{channel}", f"{now} {now} 1 0")
    assert rolling.status(server, "gone")["compared"]
    forget(server, "gone")
    assert "compared" not in rolling.status(server, "gone")
    keys = [line.split("\t")[0] for line in server.run("cyr_dbtool", path, "twoskip", "show").stdout.splitlines()]
    assert keys == ["pass:sync:gone2", "sync:gone2:user:alice"]
    forget(server, "gone2")


def test_killed_at_each_change_of_the_disk(factory):
    """It is done again, and then nothing is left; nobody else's files were touched."""
    server = factory()
    server.allow_log("DBERROR|journal|finish|SYNC|Can not connect|response")
    server.start()
    server.stop()
    begin(server, "gone", "kept")
    server.run("cyr_dbtool", "-n", server.path("conf/verified.db"), "twoskip", "set", "pass:sync:gone", "1 1 1 0")
    saved = Snapshot(server)
    states = []
    for nth in range(1, 100):
        saved.restore()
        server.env["CYLINDER_DISKIO_KILL"] = f"change:{nth}"
        done = server.run("sync_client", "--forget", "-n", "gone", check=False)
        del server.env["CYLINDER_DISKIO_KILL"]
        states.append(left(server, "gone"))
        if done.returncode:
            forget(server, "gone")
        assert left(server, "gone") == [] and left(server, "kept") == EVERYTHING, nth
        assert "compared" not in rolling.status(server, "gone"), nth
        if done.returncode == 0:
            break
    assert done.returncode == 0 and nth > len(EVERYTHING)
    assert states[0] == EVERYTHING and states[-1] == []
    assert all("reader" not in state for state in states if len(state) < len(EVERYTHING))

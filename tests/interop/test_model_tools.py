# SPDX-License-Identifier: BSD-3-Clause
"""After random operations of all kinds on a store of ours (tests/test_model.py) the packaged tools read all of it, and find
nothing to repair; what they do to it changes nothing that clients see."""

import glob
import json
import os
import re

import pytest

from cyltest.conv_audit import database, differences, is_known, unseen_in_copies
from cyltest.model import inbox
from cyltest.model_world import USERS, World
from cyltest.store import debian_tool

STEPS = int(os.environ.get("CYL_MODEL_TOOLS_STEPS") or 200)
SEED = int(os.environ.get("CYL_MODEL_SEED") or 1)
SEEDS = int(os.environ.get("CYL_MODEL_TOOLS_SEEDS") or 4)


def backend(path):
    with open(path, "rb") as f:
        magic = f.read(8)
    return {b"\xa1\x02\x8b\rtwos": "twoskip", b"\xa1\x02\x8b\rskip": "skiplist"}.get(magic, "flat")


def databases(server):
    """[(path, backend)]; counters.db is none, and a lazily made one may be empty."""
    found = []
    if os.path.isdir(server.path("conf", "quota")):  # with the first root
        found.append((server.path("conf", "quota") + "/", "quotalegacy"))
    for path in glob.glob(server.path("conf", "*.db")) + glob.glob(server.path("conf", "user", "uuid", "*", "*", "*", "*.db")):
        if os.path.basename(path) != "counters.db" and os.path.getsize(path):
            found.append((path, backend(path)))
    return found


def assert_databases_are_read(server):
    read = databases(server)
    assert {os.path.basename(path) for path, _ in read} >= {"mailboxes.db", "annotations.db", "conversations.db"}
    for path, kind in read:
        shown = server.run("/usr/lib/cyrus/bin/cyr_dbtool", path, kind, "show", data=b"").stdout
        assert shown == server.run("cyr_dbtool", path, kind, "show", data=b"").stdout, path
        if kind == "twoskip":
            assert debian_tool(server, "cyr_dbtool", path, kind, "consistent").stdout.strip() == "Yes, consistent", path


def assert_mailboxes_are_read(world):
    for name, box in world.store.boxes.items():
        done = debian_tool(world.server, "mbexamine", name)
        told = dict(re.findall(r"UID:(\d+) .*?GUID:([0-9a-f]{40})", done.stdout, re.S))
        assert {int(uid): guid for uid, guid in told.items()} == {m.uid: m.digest for m in box.messages.values()}, name
        assert not done.stderr
        said = debian_tool(world.server, "mbexamine", "-q", name).stdout
        assert "CORRECT total quota usage" in said and "INCORRECT" not in said, name
        # Whose file is another one than the index has it, or gone; expunged ones are among them.
        differ = re.findall(r"^  UID: (\d+)", debian_tool(world.server, "mbexamine", "-c", name).stdout, re.M)
        assert not set(map(int, differ)) & box.messages.keys(), name


def assert_conversations_are_sound(server):
    found = differences(debian_tool(server, "ctl_conversationsdb", "-v", "-A", "-r", check=False).stdout)
    assert found.keys() == set(USERS)
    assert [d for user in USERS for d in found[user] if not is_known(d)] == []
    for user in USERS:
        for folder, count, true in unseen_in_copies(database(server, inbox(user))):
            assert count == true, f"{user}: {folder}"


def assert_mailbox_list_is_sound(server):
    """3.6.1 tells of every entry that has no directory at the legacy path, and so of all (doc/cyrus-3.6.1.md)."""
    done = debian_tool(server, "ctl_mboxlist", "-v")
    told = re.findall(r"^'(.*)' has a DB entry but no directory on partition '.*'$", done.stdout, re.M)
    assert len(told) == len(done.stdout.splitlines()) and not done.stderr
    assert sorted(told) == sorted(json.loads(debian_tool(server, "ctl_mboxlist", "-d").stdout))


@pytest.mark.usefixtures("debian_factory")
@pytest.mark.parametrize("seed", range(SEED, SEED + SEEDS))
def test_the_packaged_tools_find_nothing(factory, seed):
    world = World(factory(services=("imap", "lmtp")), seed, conversations_db="twoskip")
    server = world.server
    try:
        world.run(STEPS)
        world.close()
        server.stop()
        assert_databases_are_read(server)
        assert_mailboxes_are_read(world)
        assert_conversations_are_sound(server)
        assert_mailbox_list_is_sound(server)
        packaged = lambda tool, *args: debian_tool(server, tool, *args)  # noqa: E731
        assert world.complaints(("quota", "-f", "-n"), packaged) == []
        assert world.complaints(("reconstruct", "-n", "-G", "-r", "user", "DELETED"), packaged) == []
        server.start()
        world.connect()
        world.must_be_right("the packaged tools", everything=True)
        world.nothing_to_repair()
    finally:
        world.close()

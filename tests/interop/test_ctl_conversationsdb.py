# SPDX-License-Identifier: BSD-3-Clause
"""ctl_conversationsdb beside the packaged one, on copies of one store that 3.6.1 made."""

import glob
import os
import re
import subprocess

import pytest

from cyltest.store import BIN, copy_of, debian_tool, records
from test_whole_store import CONF, USERS, set_up, work

TOOL = "ctl_conversationsdb"


@pytest.fixture(scope="module")
def store(module_debian_factory):
    """The store that all tests copy."""
    server = module_debian_factory("store", services=("imap", "lmtp"))
    server.conf.update(CONF)
    server.start()
    set_up(server)
    work(server, 0)
    work(server, 1)
    server.stop()
    return server


@pytest.fixture
def debian(store, debian_factory):
    return copy_of(store, debian_factory, "debian")


def dump(server, user="alice", tool=BIN + TOOL):
    """The bytes of -d, by the packaged tool if not told otherwise."""
    return server.run(tool, "-d", user, data=b"").stdout


def databases(server):
    """{user: path} of the conversations."""
    found = {}
    for user in USERS:
        done = debian_tool(server, "mbpath", "-U", f"user/{user}")
        found[user] = os.path.join(done.stdout.strip(), "conversations.db")
    return found


def kept(server, name):
    """Contents of the files that were moved out of the way."""
    found = []
    for path in sorted(glob.glob(server.path("conf", "lost+found", name + ".*"))):
        with open(path, "rb") as f:
            found.append(f.read())
    return found


def set_record(server, path, key, value):
    server.run(BIN + "cyr_dbtool", path, "twoskip", "set", key, value)


def test_the_same_store_gives_the_same_text(debian, factory):
    ours = copy_of(debian, factory)
    for user in USERS:
        # 3.6.1 prints a value up to its first NUL, which all G records have.
        lines = [re.sub(rb"\0[^\n]*$", b"", line) for line in dump(ours, user, TOOL).split(b"\n")]
        assert dump(debian, user).split(b"\n") == lines
    theirs = debian_tool(debian, TOOL, "-v", "-A", "alice").stdout
    assert ours.run(TOOL, "-v", "-A", "alice").stdout == theirs
    assert theirs.endswith("alice is OK\n")
    assert ours.run(TOOL, "-F", "alice").stdout == debian_tool(debian, TOOL, "-F", "alice").stdout


def test_recalculation_is_equal_byte_for_byte(debian, factory):
    path = databases(debian)["alice"]
    live = records(path)
    ours = copy_of(debian, factory, "first")
    debian_tool(debian, TOOL, "-R", "alice")
    ours.run(TOOL, "-R", "alice")
    before = records(path)
    # 3.6.1 lowers the THREADMODSEQ of folders; clients were told the higher ones, so ours stay.
    mine = records(databases(ours)["alice"])
    assert [k for k in before if k[0] != "F" and before[k] != mine[k]] == []
    modseq = {k: [int(r[k].split("(")[1].split()[0]) for r in (live, before, mine)] for k in before if k[0] == "F"}
    assert all(now == was >= theirs for was, theirs, now in modseq.values())
    # Break what can be recalculated.
    inbox = next(key for key in before if key.startswith("F") and before[key].endswith(" 6 4)"))
    set_record(debian, path, "Q", "1 %(E 1 S 1)")
    set_record(debian, path, inbox, re.sub(r"\((\d+) .*", r"(\1 9 9 9 9)", before[inbox]))
    set_record(debian, path, "B0000000000000001", "1 (5 1 1 1 () ((0 5 1 1 1)) () x 10 () 5)")
    ours = copy_of(debian, factory)

    broken = debian_tool(debian, TOOL, "-A", "-v", "alice").stdout
    done = ours.run(TOOL, "-A", "-v", "alice", check=False)
    assert done.returncode == 1 and done.stdout == broken
    assert "REALONLY" in broken and "REAL: " in broken and "BROKEN (3 differences)" in broken
    told = ours.run(TOOL, "-R", "-n", "alice").stdout
    assert told == "alice: 3 records would change\n" and dump(ours) == dump(debian)

    names = debian_tool(debian, TOOL, "-R", "-v", "alice").stdout
    assert ours.run(TOOL, "-R", "-v", "alice").stdout == names
    assert dump(ours).split(b"\n") == dump(debian).split(b"\n")
    assert ours.run(TOOL, "-A", "alice").stdout == ""


def test_ids_taken_away_and_given_again(debian, factory):
    ours = copy_of(debian, factory)
    before = records(databases(ours)["alice"])
    told = ours.run(TOOL, "-z", "-n", "alice").stdout
    count = int(re.fullmatch(r"alice: (\d+) messages would lose their conversation id\n", told)[1])
    assert count > 20 and records(databases(ours)["alice"]) == before

    ours.run(TOOL, "-z", "alice")
    zeroed = records(databases(ours)["alice"])
    assert not [key for key in zeroed if key.startswith("B")]
    assert {k: v for k, v in zeroed.items() if k[0] == "<"} == {k: v for k, v in before.items() if k[0] == "<"}
    assert ours.run(TOOL, "-b", "-n", "alice").stdout == f"alice: {count} messages would get a conversation id\n"
    ours.run(TOOL, "-b", "alice")
    after = records(databases(ours)["alice"])
    assert {k for k in after if k[0] == "B"} == {k for k in before if k[0] == "B"}
    assert after["Q"] == before["Q"]
    ours.run(TOOL, "-A", "alice")
    assert "OK" in debian_tool(ours, TOOL, "-A", "-v", "alice").stdout
    # And so does 3.6.1, but for subjects, which it forgets.
    debian_tool(debian, TOOL, "-z", "alice")
    debian_tool(debian, TOOL, "-b", "alice")
    theirs = records(databases(debian)["alice"])
    assert {k for k in theirs if k[0] == "B"} == {k for k in after if k[0] == "B"}


def test_huge_conversations_are_split(debian, factory):
    ours = copy_of(debian, factory, conversations_max_thread=1)
    debian.conf["conversations_max_thread"] = 1
    debian.write_conf()
    before = records(databases(ours)["alice"])
    big = {k for k, v in before.items() if k[0] == "B" and int(v.split()[3]) > 1}
    assert big
    assert re.search(r"alice: \d+ messages would go to another conversation",
                     ours.run(TOOL, "-R", "-S", "-n", "alice").stdout)
    assert records(databases(ours)["alice"]) == before
    ours.run(TOOL, "-R", "-S", "alice")
    debian_tool(debian, TOOL, "-R", "-S", "alice")
    after, theirs = (records(databases(s)["alice"]) for s in (ours, debian))
    assert all(int(v.split()[3]) <= 1 for k, v in after.items() if k[0] == "B")
    # 3.6.1 does not count what was expunged on the way, and so leaves one or the other together.
    assert {k for k in after if k[0] == "B"} >= {k for k in theirs if k[0] == "B"} != set(before)
    assert "OK" in debian_tool(ours, TOOL, "-A", "-v", "alice").stdout
    assert "splitconversations" in debian_tool(ours, "ctl_mboxlist", "-d").stdout


def test_a_dump_is_loaded_whole(debian, factory):
    ours = copy_of(debian, factory)
    before = dump(ours, tool=TOOL)
    assert b"{7+}\r\n" in before  # a value with LF; 3.6.1 loads only what stands before it
    set_record(ours, databases(ours)["alice"], "Q", "1 %(E 1 S 1)")
    ours.run(TOOL, "-u", "alice", data=before)
    assert dump(ours, tool=TOOL) == before
    for bad in (b"no tab\n", b"key\tvalue without end", b"\tx\n", b"k\t{9+}\r\nab\n", b"a\nb\tc\n"):
        done = ours.run(TOOL, "-u", "alice", data=before + bad, check=False)
        assert done.returncode == 1 and f"byte {len(before)}".encode() in done.stderr, bad
        assert dump(ours, tool=TOOL) == before
    ours.run(TOOL, "-u", "-n", "alice", data=b"Q\tx\n")
    assert dump(ours, tool=TOOL) == before


def test_duplicate_folders(debian, factory):
    path = databases(debian)["alice"]
    ids = records(path)["$FOLDER_IDS"]
    first = ids[1:-1].split()[0]
    set_record(debian, path, "$FOLDER_IDS", f"{ids[:-1]} {first})")
    ours = copy_of(debian, factory)
    assert debian_tool(debian, TOOL, "-F", "alice").stdout == "DUPLICATE alice\n"
    done = ours.run(TOOL, "-F", "alice", check=False)
    assert done.stdout == "DUPLICATE alice\n" and done.returncode == 1
    ours.run(TOOL, "-R", "alice")
    assert ours.run(TOOL, "-F", "alice").stdout == "OK alice\n"


def test_a_split_user_is_merged(debian, factory):
    """The files of the user on the legacy path, too, as 3.6.1 leaves them (handbook 01 §5.3)."""
    ours = copy_of(debian, factory)
    path = databases(ours)["alice"]
    before = records(path)
    legacy = ours.path("conf", "user", "a", "alice")
    ours.account.mkdir(os.path.dirname(legacy))
    counters = os.path.join(os.path.dirname(path), "counters.db")
    for source, suffix in ((path, ".conversations"), (counters, ".counters")):
        subprocess.run(["cp", "-a", source, legacy + suffix], check=True)
    # Each has what the other lacks.
    inbox = next(key for key in before if key.startswith("F") and before[key].endswith(" 6 4)"))
    modseq = int(re.match(r"0 \((\d+) ", before[inbox])[1])
    set_record(ours, legacy + ".conversations", "<only@there>", "0 00000000000000aa 1795630271")
    set_record(ours, legacy + ".conversations", "<x0@example.com>", "0 00000000000000bb 1795630271")
    set_record(ours, legacy + ".conversations", inbox, f"0 ({modseq + 500} 1 1 1 1)")
    set_record(ours, path, "Q", "1 %(E 2 S 366)")

    said = ours.run(TOOL, "-M", "-n", "-r").stdout
    assert said.count("stands beside") == 2 and "alice: would be merged, 2 message ids" in said
    assert os.path.exists(legacy + ".counters") and records(path)["Q"] == "1 %(E 2 S 366)"
    with open(legacy + ".conversations", "rb") as f:
        stray = f.read()
    told = ours.run(TOOL, "-M", "-r").stdout
    assert "alice: merged" in told
    assert kept(ours, "alice.conversations") == [stray] and len(kept(ours, "alice.counters")) == 1
    assert told.count("alice: kept as ") == 2
    assert not os.path.exists(legacy + ".counters") and not os.path.exists(legacy + ".conversations")
    after = records(path)
    assert after["<only@there>"].startswith("0 00000000000000aa ")
    cids = after["<x0@example.com>"].split()[1].split(",")
    assert set(cids) == {before["<x0@example.com>"].split()[1], "00000000000000bb"}
    assert after["Q"] == before["Q"] and f"({modseq + 500} " in after[inbox]
    assert "OK" in debian_tool(ours, TOOL, "-A", "-v", "alice").stdout
    assert ours.run(TOOL, "-M", "-v", "alice").stdout == "alice: nothing to merge\n"


@pytest.mark.parametrize("rubbish", (b"rubbish" * 100, b"", b"\0" * 4096))
def test_of_a_damaged_second_database_nothing_is_thrown_away(debian, factory, rubbish):
    ours = copy_of(debian, factory)
    legacy = ours.path("conf", "user", "a", "alice.conversations")
    ours.account.mkdir(os.path.dirname(legacy))
    for suffix in (".conversations", ".counters"):
        path = legacy.replace(".conversations", suffix)
        with open(path, "wb") as f:
            f.write(rubbish)
        ours.account.give(path)
    ours.allow_log("DBERROR")
    ours.run(TOOL, "-R", "alice")
    before = dump(ours)
    assert "not all of it can be read" in ours.run(TOOL, "-M", "alice").stdout
    assert kept(ours, "alice.conversations") == kept(ours, "alice.counters") == [rubbish]
    assert dump(ours) == before and not os.path.exists(legacy)


def with_a_second_database(debian, factory):
    """(server, the user's database, a copy of it with one more record where 3.6.1 may have left one)"""
    ours = copy_of(debian, factory)
    path = databases(ours)["alice"]
    legacy = ours.path("conf", "user", "a", "alice.conversations")
    ours.account.mkdir(os.path.dirname(legacy))
    subprocess.run(["cp", "-a", path, legacy], check=True)
    set_record(ours, legacy, "<only@there>", "0 00000000000000aa 1795630271")
    return ours, path, legacy


def test_of_a_torn_second_database_the_rest_is_merged(debian, factory):
    ours, path, legacy = with_a_second_database(debian, factory)
    with open(legacy, "rb+") as f:
        whole = f.read()
        f.seek(len(whole) // 2)
        f.write(b"\xff" * 64)
    ours.allow_log("DBERROR")
    assert "not all of it can be read" in ours.run(TOOL, "-M", "alice").stdout
    assert records(path)["<only@there>"].startswith("0 00000000000000aa ")
    ours.run(TOOL, "-A", "alice")


def test_of_two_stamps_the_later_is_kept(debian, factory):
    ours, path, legacy = with_a_second_database(debian, factory)
    for name, here, there in (("<later@here>", 1795630300, 1795630200), ("<later@there>", 1795630200, 1795630300)):
        set_record(ours, path, name, f"0 00000000000000bb {here}")
        set_record(ours, legacy, name, f"0 00000000000000aa {there}")
    ours.run(TOOL, "-M", "alice")
    for name in ("<later@here>", "<later@there>"):
        assert records(path)[name] == "0 00000000000000bb,00000000000000aa 1795630300", records(path)[name]


def test_a_merge_that_is_killed_is_done_whole_the_next_time(debian, factory):
    ours, path, legacy = with_a_second_database(debian, factory)
    with open(legacy, "rb") as f:
        stray = f.read()
    subprocess.run(["cp", "-a", ours.path("conf"), ours.path("conf.before")], check=True)
    ours.allow_log("DBERROR|journal|finish")
    killed = 0
    for nth in range(1, 200):
        subprocess.run(["rm", "-rf", ours.path("conf")], check=True)
        subprocess.run(["cp", "-a", ours.path("conf.before"), ours.path("conf")], check=True)
        ours.env["CYLINDER_DISKIO_KILL"] = f"change:{nth}"
        done = ours.run(TOOL, "-M", "alice", check=False)
        del ours.env["CYLINDER_DISKIO_KILL"]
        if done.returncode == 0:
            break
        killed += 1
        ours.run("ctl_cyrusdb", "-r")
        assert kept(ours, "alice.conversations") == [stray] and not os.path.exists(legacy), nth
        assert records(path)["<only@there>"].startswith("0 00000000000000aa "), nth
        ours.run(TOOL, "-A", "alice")
    assert done.returncode == 0 and killed > 5


@pytest.mark.parametrize("args", [(), ("-R",), ("-R", "-A", "alice"), ("-d", "-n", "alice"), ("-u", "-r"), ("-Q", "alice")])
def test_usage(factory, args):
    done = factory(services=()).run(TOOL, *args, check=False)
    assert done.returncode == 64 and "usage:" in done.stderr

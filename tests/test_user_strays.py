# SPDX-License-Identifier: BSD-3-Clause
"""Files of a user on the legacy path, beside those of his INBOX's id: what he has seen and subscribed to is merged, the rest set aside."""

import os
import re

import pytest

MESSAGE = b"Subject: one\r\n\r\nbody\r\n"
OTHERS = {"dav": b"rows\n", "xapianactive": b"tier:0\n", "mboxkey": b"key\n", "subhistory": b"said\n"}


@pytest.fixture
def server(factory):
    server = factory(services=("imap", "lmtp"))
    server.conf.update({"sievedir": server.account.mkdir(server.path("sieve")), "sharedprefix": "Shared Folders",
                        "altnamespace": False, "unixhierarchysep": False})
    server.start()
    server.create_user("alice", "Work")
    with server.imap("alice") as imap:
        for _ in range(4):
            imap.append("INBOX.Work", MESSAGE)
        imap.ok("SETACL INBOX.Work carol lrswipkxte")
    return server


def legacy(server, suffix):
    return server.path("conf", "user", "c", f"carol.{suffix}")


def seen_by_carol(server):
    with server.imap("carol") as imap:
        imap.ok("SELECT user.alice.Work")
        return [b"\\Seen" in line for line in imap.ok("FETCH 1:* FLAGS").find("* ") if b"FETCH" in line]


def read_first(server):
    """carol has no INBOX yet."""
    with server.imap("carol") as imap:
        imap.ok("SELECT user.alice.Work")
        imap.ok("STORE 1:2 +FLAGS (\\Seen)")
        imap.ok("SUBSCRIBE user.alice.Work")
        imap.logout()
    assert os.path.exists(legacy(server, "seen")) and os.path.exists(legacy(server, "sub"))


def kept(server, name):
    directory = server.path("conf", "lost+found")
    return sorted(entry for entry in os.listdir(directory) if re.fullmatch(re.escape(name) + r"\.\d+", entry))


def subscriptions(server):
    with server.imap("carol") as imap:
        return sorted(line.split()[-1] for line in imap.ok('LSUB "" "*"').find("* LSUB"))


def put(server, path, data):
    server.account.mkdir(os.path.dirname(path))
    with open(path, "wb") as f:
        f.write(data)
    server.account.give(path)


def test_what_was_read_before_there_was_an_inbox(server):
    read_first(server)
    server.create_user("carol")
    assert seen_by_carol(server) == [True, True, False, False]
    assert subscriptions(server) == [b"user.alice.Work"]
    assert not os.path.exists(legacy(server, "seen")) and not os.path.exists(legacy(server, "sub"))


def second_files(server):
    """Both places have something; of each kind one that stands where nobody looks."""
    read_first(server)
    for suffix in ("seen", "sub", "subhistory"):
        os.rename(legacy(server, suffix), legacy(server, suffix) + ".away")
    server.create_user("carol")
    with server.imap("carol") as imap:
        imap.ok("SELECT user.alice.Work")
        imap.ok("STORE 4 +FLAGS (\\Seen)")
        imap.ok("SUBSCRIBE INBOX")
        imap.logout()
    server.stop()
    for suffix in ("seen", "sub"):
        os.rename(legacy(server, suffix) + ".away", legacy(server, suffix))
    for suffix, data in OTHERS.items():
        put(server, legacy(server, suffix), data)
    server.account.mkdir(server.path("sieve", "c"))
    script = server.path("sieve", "c", "carol", "a.script")
    put(server, script, b"keep;\n")
    os.symlink("a.script", os.path.join(os.path.dirname(script), "default"))


def test_listed_and_merged_by_the_tool(server):
    second_files(server)
    before = {suffix: open(legacy(server, suffix), "rb").read() for suffix in ("seen", "sub", *OTHERS)}
    said = server.run("ctl_conversationsdb", "-M", "-n", "-r").stdout
    for suffix in before:
        assert f"carol: {legacy(server, suffix)} stands beside" in said, said
        assert open(legacy(server, suffix), "rb").read() == before[suffix]
    assert f"carol: {server.path('sieve', 'c', 'carol')}/ stands beside" in said
    assert "carol: would be merged, 1 seen records and 1 subscriptions have more there" in said
    assert "alice" not in said.replace("user.alice", "")

    told = server.run("ctl_conversationsdb", "-M", "-r").stdout
    assert "carol: merged, 1 seen records and 1 subscriptions" in told and told.count("carol: kept as") == 7
    for suffix, data in before.items():
        assert not os.path.exists(legacy(server, suffix))
        name, = kept(server, f"carol.{suffix}")
        assert open(server.path("conf", "lost+found", name), "rb").read() == data
    scripts, = kept(server, "carol.sieve")
    assert os.listdir(server.path("conf", "lost+found", scripts)) == ["a.script"]
    assert not os.path.exists(server.path("sieve", "c", "carol"))
    assert server.run("ctl_conversationsdb", "-M", "-r").stdout == ""
    server.start()
    assert seen_by_carol(server) == [True, True, False, True]
    assert subscriptions(server) == [b"INBOX", b"user.alice.Work"]


def test_merged_at_the_start(server):
    second_files(server)
    server.start()
    assert not os.path.exists(legacy(server, "dav"))
    assert seen_by_carol(server) == [True, True, False, True]


def test_what_was_unsubscribed_stays_so(server):
    second_files(server)
    server.conf["conversations"] = False
    os.rename(legacy(server, "sub"), legacy(server, "sub") + ".away")
    server.start()
    with server.imap("carol") as imap:
        imap.ok("SUBSCRIBE user.alice.Work")
        imap.ok("UNSUBSCRIBE user.alice.Work")
        imap.logout()
    server.stop()
    os.rename(legacy(server, "sub") + ".away", legacy(server, "sub"))
    server.start()
    assert subscriptions(server) == [b"INBOX"] and kept(server, "carol.sub")


@pytest.mark.parametrize("data", [b"", b"rubbish\0\n\xff", b"twoskip file\0\0\0\0rubbish"])
def test_a_damaged_second_file_is_kept(server, data):
    second_files(server)
    for suffix in ("seen", "sub"):
        put(server, legacy(server, suffix), data)
    server.allow_log("second file can't be read|twoskip|DBERROR")
    server.start()
    assert seen_by_carol(server) == [False, False, False, True]
    assert subscriptions(server) == [b"INBOX"]
    for suffix in ("seen", "sub"):
        name, = kept(server, f"carol.{suffix}")
        assert open(server.path("conf", "lost+found", name), "rb").read() == data


def test_legacy_users_and_others_are_left_alone(server):
    """dora has no INBOX, bob directories by name: that is where their files belong."""
    put(server, server.path("conf", "user", "d", "dora.seen"), b"")
    server.stop()
    server.conf["mailbox_legacy_dirs"] = True
    server.start()
    server.create_user("bob")
    with server.imap("bob") as imap:
        imap.ok("SUBSCRIBE INBOX")
    assert server.run("ctl_conversationsdb", "-M", "-r").stdout == ""
    assert os.path.exists(server.path("conf", "user", "d", "dora.seen"))
    assert os.path.exists(server.path("conf", "user", "b", "bob.sub"))

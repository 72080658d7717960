# SPDX-License-Identifier: BSD-3-Clause
"""A user with many folders is renamed by one record, and the folders follow (W046, doc/users.md): what clients, tools and a replica see
before, whoever is killed when, and what is left on the disk afterwards.

CYL_RENAME_KILLS  places at which the renaming process is killed (default 6; 0: all)
"""

import glob
import json
import os
import random
import time

import pytest

from cyltest import Pair
from cyltest.clients import Rejected
from cyltest.folders import Watch, do, message, ready
from cyltest.syncdata import assert_same

LEAST, HOLD, KILL = "CYLINDER_FOLLOW_LEAST", "CYLINDER_FOLLOW_HOLD", "CYLINDER_DISKIO_KILL"
KILLS = int(os.environ.get("CYL_RENAME_KILLS") or 6)
FOLDERS = ("f0", "f0.a", "f0.a.b", "f1", "f2", "g h", "z")
CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False, "altnamespace": False, "virtdomains": "off",
        "allowusermoves": True, "delete_mode": "immediate", "reverseacls": False}


def fill(server, user="anna"):
    with server.imap(user) as imap:
        for folder in FOLDERS:
            imap.ok(f'CREATE "INBOX.{folder}"')
        imap.append("INBOX.f1", message(1), r"\Seen \Flagged")
        imap.append("INBOX.f1", message(2))
        imap.ok("SETACL INBOX.f1 bob lrs")
        imap.logout()
    do(server, f"SETQUOTA user.{user} (STORAGE 5000)", user="admin")


def make(server):
    server.conf.update(CONF)
    for user in ("anna", "anne", "bob"):
        server.add_user(user)
    server.env.update({LEAST: "3", HOLD: "1"})
    server.start()
    server.create_user("anna")
    fill(server)
    return server


@pytest.fixture
def server(factory):
    return make(factory())


def rename(server, old="anna", new="anne"):
    do(server, f"RENAME user.{old} user.{new}", user="admin")


def pending(server):
    shown = server.run("cyr_dbtool", server.path("conf/mailboxes.db"), "twoskip", "show", "P", conf=False).stdout
    return [line.split("\t")[0] for line in shown.splitlines()]


def follow(server):
    env, server.env = server.env, {k: v for k, v in server.env.items() if k not in (HOLD, KILL)}
    server.run("cyr_user", "follow")
    server.env = env
    assert pending(server) == []


def dump(server):
    return server.run("ctl_mboxlist", "-d").stdout


def headers(server):
    return [open(path, "rb").read() for path in glob.glob(server.path("**/cyrus.header"), recursive=True)]


def plain(server, gone="anna"):
    """Nothing on the disk has the name that was left, but tombstones and former names."""
    assert pending(server) == []
    assert not [h for h in headers(server) if b"user." + gone.encode() in h]
    told = server.run("reconstruct", "-n", "-r", "user").stdout
    assert not [line for line in told.splitlines() if " " in line and not line.endswith("g h")], told
    used = server.run("quota").stdout
    server.run("quota", "-f")
    assert server.run("quota").stdout == used and f"user.{gone}" not in used


def seen_by(server, user):
    told = {}
    with server.imap(user) as imap:
        for command in ('LIST "" "*"', "GETQUOTAROOT INBOX.f1", "GETACL INBOX.f1", 'STATUS "INBOX.g h" (MESSAGES UIDNEXT UIDVALIDITY)',
                        "STATUS INBOX.f1 (MESSAGES UIDNEXT UNSEEN HIGHESTMODSEQ)", "LIST INBOX.f0 *"):
            told[command] = [line.replace(user.encode(), b"USER") for line in imap.ok(command).untagged]
        imap.ok("EXAMINE INBOX.f1")
        told["FETCH"] = imap.ok("UID FETCH 1:* (FLAGS BODY.PEEK[])").untagged
        imap.logout()
    words = told["GETACL INBOX.f1"][0].split()
    told["GETACL INBOX.f1"] = sorted(zip(words[3::2], words[4::2]))
    return told


def test_all_is_there_before_it_follows(server):
    before = seen_by(server, "anna")
    rename(server)
    assert pending(server) == ["PRuser\x1fanna"]
    assert seen_by(server, "anne") == before
    with server.imap("admin") as imap:
        for command in ("STATUS user.anna.f1 (MESSAGES)", "SELECT user.anna.f1", "GETACL user.anna.f0.a", "GETQUOTA user.anna", "DELETE user.anna.z"):
            imap.no(command)
        assert imap.ok('LIST "" user.anna*').untagged == []
        imap.logout()
    with server.imap("bob") as imap:
        assert b"user.anne.f1" in imap.ok('LIST "" "*"').untagged[-1]
        imap.logout()
    told = dump(server)
    assert '"user.anne.f1"' in told and told.count("user.anna.") == dump(server).count("user.anna.")
    follow(server)
    assert dump(server) == told
    assert seen_by(server, "anne") == before
    plain(server)


def test_changes_before_it_follows(server):
    rename(server)
    with server.imap("anne") as imap:
        imap.append("INBOX.f0.a", message(3), r"\Flagged $Own")
        for command in ("SETACL INBOX.f1 bob lr", "SETACL INBOX.f2 bob lr", "CREATE INBOX.new", "CREATE INBOX.f0.new", "DELETE INBOX.z", "RENAME INBOX.f0.a INBOX.moved",
                        "SUBSCRIBE INBOX.moved.b", 'SETMETADATA INBOX.f2 (/shared/comment "c")'):
            imap.ok(command)
        imap.no("CREATE INBOX.f1")
        imap.ok("SELECT INBOX.f1")
        imap.ok("STORE 1 +FLAGS ($New)")
        imap.ok("COPY 1 INBOX.moved")
        listed = imap.ok('LIST "" "*"').untagged
        imap.logout()
    names = {line.split(b'"." ')[1].strip(b'"').decode() for line in listed}
    assert names >= {"INBOX", "INBOX.f0", "INBOX.f0.new", "INBOX.f1", "INBOX.f2", "INBOX.g h", "INBOX.moved", "INBOX.moved.b", "INBOX.new"}
    assert "INBOX.z" not in names and "INBOX.f0.a" not in names
    before, told = seen_by(server, "anne"), dump(server)
    follow(server)
    assert (seen_by(server, "anne"), dump(server)) == (before, told)
    plain(server)
    server.deliver(message(9), "anne")


def test_session_of_the_old_name(server):
    """It has a folder open that has not followed, and is told that the folder has gone."""
    with server.imap("anna") as imap:
        imap.ok("SELECT INBOX.f1")
        rename(server)
        assert imap.cmd(r"STORE 1 +FLAGS (\Answered)").status != "OK"
    with server.imap("anne") as imap:
        imap.ok("SELECT INBOX.f1")
        assert rb"\Answered" not in imap.ok("FETCH 1 (FLAGS)").untagged[0]
        imap.logout()


def test_old_name_is_used_again(server):
    rename(server)
    before = seen_by(server, "anne")
    server.create_user("anna")
    with server.imap("anna") as imap:
        imap.ok("CREATE INBOX.f1")
        assert imap.ok("STATUS INBOX.f1 (MESSAGES)").untagged == [b"* STATUS INBOX.f1 (MESSAGES 0)"]
        imap.append("INBOX.f1", message(7))
        imap.logout()
    for _ in range(2):
        assert seen_by(server, "anne") == before
        with server.imap("anna") as imap:
            imap.ok("SELECT INBOX.f1")
            assert len([line for line in imap.ok("FETCH 1:* (FLAGS)").untagged]) == 1
            assert len(imap.ok('LIST "" "*"').untagged) == 2
            imap.logout()
        follow(server)


@pytest.mark.parametrize("followed", (False, True))
def test_back(server, followed):
    before = seen_by(server, "anna")
    rename(server)
    if followed:
        follow(server)
    rename(server, "anne", "anna")
    assert seen_by(server, "anna") == before
    follow(server)
    assert seen_by(server, "anna") == before
    plain(server, "anne")


def test_deleted_before_it_follows(server):
    rename(server)
    server.run("cyr_user", "delete", "--now", "anne")
    follow(server)
    assert not [name for name, entry in json.loads(dump(server)).items() if "d" not in entry["mbtype"]]
    assert b"user.ann" not in b"".join(headers(server))


def wait_until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_imapd_starts_what_follows(factory):
    server = factory()
    os.environ.pop(HOLD, None)
    server.env.pop(HOLD, None)
    server.conf.update(CONF)
    server.env[LEAST] = "3"
    for user in ("anna", "anne", "bob"):
        server.add_user(user)
    server.start()
    server.create_user("anna")
    fill(server)
    rename(server)
    wait_until(lambda: not pending(server))
    plain(server)


def test_followed_at_start(server):
    before = seen_by(server, "anna")
    rename(server)
    server.stop()
    assert pending(server)
    del server.env[HOLD]
    server.start()
    plain(server)
    assert seen_by(server, "anne") == before


def seen_by_one(server, names):
    """The first who takes his lock ends what was begun, so one of them may go in front of him who looks."""
    for name in (*names, *names):
        try:
            return name, seen_by(server, name)
        except Rejected:
            pass
    raise AssertionError("neither is there")


def test_header_that_cannot_be_read(server):
    """The folder is nobody else's meanwhile, and follows when its files are there again."""
    server.allow_log("can't (read cyrus.header|follow)")
    rename(server)
    lost = next(path for path in glob.glob(server.path("**/cyrus.header"), recursive=True) if b"user.anna.f1 " in open(path, "rb").read())
    os.rename(lost, lost + ".away")
    del server.env[HOLD]
    assert server.run("cyr_user", "follow", check=False).returncode == 75
    assert pending(server) == ["PHuser\x1fanne\x1ff1"]
    with server.imap("anne") as imap:
        imap.no("SELECT INBOX.f1")
        imap.ok("SELECT INBOX.f2")
        imap.logout()
    os.rename(lost + ".away", lost)
    before = seen_by(server, "anne")
    follow(server)
    assert seen_by(server, "anne") == before
    plain(server)


def test_killed(server):
    """At any change of the disk: the user has the one name or the other, and the next who comes finishes it."""
    before = seen_by(server, "anna")
    del server.env[HOLD]
    names, done = ["anna", "anne"], False
    rng = random.Random(46)
    places = range(1, 400) if KILLS == 0 else sorted(rng.sample(range(1, 60), KILLS))
    for n in places:
        server.env[KILL] = f"change:{n}"
        ended = server.run("cyr_user", "rename", *names, check=False)
        del server.env[KILL]
        assert ended.returncode in (0, 137), ended
        name, seen = seen_by_one(server, names)
        assert seen == before
        renamed = name == names[1]
        server.run("cyr_user", "follow")
        plain(server, names[not renamed])
        assert seen_by(server, names[renamed]) == before
        if renamed:
            names.reverse()
        done = ended.returncode == 0
        if done:
            break
    assert KILLS or done


def test_replica_hears_of_it(factory):
    pair = ready(Pair(factory("primary"), factory("replica")), "anna", "bob", **CONF)
    for server in (pair.primary, pair.replica):
        server.add_user("anne")
        server.env.update({LEAST: "3", HOLD: "1"})
    fill(pair.primary)
    pair.primary.run("sync_client", "-A")
    pair.primary.run("cyr_user", "rename", "anna", "anne")
    assert pending(pair.primary)
    watch = Watch(pair, ("anna", "anne"))
    watch.run("-u", "anne")
    assert watch.uploaded == [] and watch.commands.count("APPLY RENAMES") == 1
    assert_same(pair.primary, pair.replica, "anne")
    follow(pair.primary)
    watch = Watch(pair, ("anne",))
    watch.run("-u", "anne")
    assert watch.changes() == []
    assert_same(pair.primary, pair.replica, "anne")

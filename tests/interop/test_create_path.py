# SPDX-License-Identifier: BSD-3-Clause
"""One user, one set of metadata: whatever way a user's INBOX is made (handbook 01 §5.3).

3.6.1 splits a user over two conversations databases when an I record of the INBOX's
UNIQUEID outlives its N record: after sync_reset, UNUSER, expiry. The same sequences here
must leave exactly one database, at the path of the UNIQUEID, with the primary's counts.
"""

import glob
import os
import re
import subprocess

import pytest

from cyltest import Pair
from cyltest.credentials import password
from cyltest.dlist import parse
from cyltest.syncdata import assert_same, login, message
from cyltest.syncline import full

CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False,
        "altnamespace": False, "virtdomains": "off", "allowusermoves": True,
        "mailbox_legacy_dirs": False}
DBTOOL = "/usr/lib/cyrus/bin/cyr_dbtool"


@pytest.fixture
def primary(debian_factory):
    server = debian_factory("primary", services=("imap", "lmtp", "csync"))
    server.conf.update(CONF)
    server.add_user("alice")
    return server


@pytest.fixture(params=["ours", "debian"])
def replica(request, factory, debian_factory):
    make = factory if request.param == "ours" else debian_factory
    server = make("replica", services=("csync",))
    server.conf.update(CONF)
    return server


@pytest.fixture
def pair(primary, replica):
    pair = Pair(primary, replica)
    pair.start()
    primary.create_user("alice", "Drafts")
    with primary.imap("alice") as imap:
        for n in range(1, 5):
            imap.append("INBOX", message(n))
        imap.logout()
    return pair


def sync(pair, check=True):
    return pair.primary.run("sync_client", "-v", "-l", "-o", "-u", "alice", check=check)


def user_files(server, kind):
    """Files of the user, below <configdirectory>/user."""
    found = glob.glob(server.path("conf", "user", "**", f"*{kind}*"), recursive=True)
    return sorted(os.path.relpath(f, server.path("conf", "user")) for f in found if os.path.isfile(f))


def inbox_id(server):
    with login(server) as csync:
        return full(csync, "user.alice")["UNIQUEID"].decode()


def conversations(server):
    """{key: value} of the one database that the UNIQUEID leads to."""
    uid = inbox_id(server)
    path = server.path("conf", "user", "uuid", uid[0], uid[1], uid, "conversations.db")
    done = subprocess.run([DBTOOL, path, "twoskip", "show"], capture_output=True, check=True,
                          encoding="latin-1")
    return dict(line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)


def assert_one_database(pair):
    """... and it agrees with the primary's in quota and folder counts."""
    replica = pair.replica
    uid = inbox_id(replica)
    where = f"uuid/{uid[0]}/{uid[1]}/{uid}"
    assert user_files(replica, "conversations") == [f"{where}/conversations.db"]
    assert user_files(replica, "counters") == [f"{where}/counters.db"]
    theirs, ours = conversations(pair.primary), conversations(replica)
    assert ours["Q"] == theirs["Q"]
    folders = {k: v for k, v in theirs.items() if re.match(r"F[a-z0-9]{24}$", k)}
    assert folders and {k: ours.get(k) for k in folders} == folders


def is_ours(pair):
    return pair.replica.flavour == "cylinder"


def check(pair, split_in_361):
    """Ours is never split. What 3.6.1 does is recorded here, so that we learn when it changes."""
    if is_ours(pair) or not split_in_361:
        assert_same(pair.primary, pair.replica, "alice")
        assert_one_database(pair)
    else:
        assert "a/alice.conversations" in user_files(pair.replica, "conversations")


def change_and_sync(pair):
    with pair.primary.imap("alice") as imap:
        imap.append("INBOX", message(5))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 4 +FLAGS (\Seen)")
        imap.logout()
    sync(pair)


def test_first_replication(pair):
    sync(pair)
    check(pair, split_in_361=False)
    change_and_sync(pair)
    check(pair, split_in_361=False)


def test_after_sync_reset(pair):
    sync(pair)
    pair.replica.run("sync_reset", "-f", "alice")
    assert user_files(pair.replica, "conversations") == []
    with login(pair.replica) as csync:
        assert not csync.ok("GET USER alice").untagged
    sync(pair)
    check(pair, split_in_361=True)
    change_and_sync(pair)
    check(pair, split_in_361=True)


def test_after_unuser(pair):
    sync(pair)
    with login(pair.replica) as csync:
        csync.ok("APPLY UNUSER alice")
    assert user_files(pair.replica, "conversations") == []
    sync(pair)
    # the tombstone keeps the N record, so 3.6.1 finds the path
    check(pair, split_in_361=False)


def test_after_unmailbox_of_a_deleted_inbox(pair):
    """The deleted INBOX is purged, as cyr_expire does, and the user comes back under the same UNIQUEID."""
    sync(pair)
    with login(pair.replica) as csync:
        csync.ok("APPLY RENAME %(OLDMBOXNAME user.alice NEWMBOXNAME DELETED.user.alice.5B000000 "
                 "PARTITION default)")
        csync.ok("APPLY RENAME %(OLDMBOXNAME user.alice.Drafts NEWMBOXNAME "
                 "DELETED.user.alice.Drafts.5B000000 PARTITION default)")
        csync.ok("APPLY UNUSER alice")
        csync.ok("APPLY UNMAILBOX DELETED.user.alice.5B000000")
        csync.ok("APPLY UNMAILBOX DELETED.user.alice.Drafts.5B000000")
        assert not [line for line in csync.ok("GET USER alice").untagged
                    if parse(line)[1].get("MBOXNAME") == b"user.alice"]
    if is_ours(pair):
        sync(pair)
        check(pair, split_in_361=False)
    else:
        # the I record of the purged mailbox blocks its UNIQUEID for ever
        assert sync(pair, check=False).returncode == 1
        assert "SYNCNOTICE: mailbox uniqueid already in use" in pair.replica.log_text()


@pytest.mark.parametrize("way", ["create", "autocreate"])
def test_local_creation(factory, way):
    server = factory("local", services=("imap", "csync"))
    server.conf.update(CONF)
    if way == "autocreate":
        server.conf["autocreate_quota"] = 0
    server.add_user("alice")
    server.start()
    if way == "create":
        server.create_user("alice", "Drafts")
    with server.imap("alice") as imap:
        imap.append("INBOX", message(1))
        imap.append("INBOX", message(2))
        imap.logout()
    uid = inbox_id(server)
    where = f"uuid/{uid[0]}/{uid[1]}/{uid}"
    assert user_files(server, "conversations") == [f"{where}/conversations.db"]
    assert user_files(server, "counters") == [f"{where}/counters.db"]
    assert conversations(server)["Q"].startswith("1 %(E 2 S ")
    assert not glob.glob(server.path("conf", "user", "[a-z]"))

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
from cyltest.store import copy_of
from cyltest.syncdata import assert_same, login, message
from cyltest.syncline import full

CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False,
        "altnamespace": False, "virtdomains": "off", "allowusermoves": True,
        "mailbox_legacy_dirs": False}
DBTOOL = "/usr/lib/cyrus/bin/cyr_dbtool"


# primary and replica; the last one is the reference: what 3.6.1 itself does
PAIRS = [("debian", "ours"), ("ours", "ours"), ("debian", "debian")]


@pytest.fixture(params=PAIRS, ids="-to-".join)
def pair(request, factory, debian_factory):
    """The user alice on the primary, not yet replicated."""
    make = {"ours": factory, "debian": debian_factory}
    primary = make[request.param[0]]("primary", services=("imap", "lmtp", "csync"))
    replica = make[request.param[1]]("replica", services=("csync",))
    for server in (primary, replica):
        server.conf.update(CONF)
    made = Pair(primary, replica)
    made.start()
    fill(made)
    return made


def fill(pair):
    pair.primary.create_user("alice", "Drafts")
    with pair.primary.imap("alice") as imap:
        for n in range(1, 5):
            imap.append("INBOX", message(n))
        imap.logout()


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


def files_of(uniqueids, name):
    return sorted(f"uuid/{uid[0]}/{uid[1]}/{uid}/{name}" for uid in uniqueids)


def assert_one_database(pair, deleted=()):
    """... and it agrees with the primary's in quota and folder counts.

    deleted: UNIQUEIDs of deleted INBOXes that are still kept, each with its own files.
    """
    replica = pair.replica
    owners = [inbox_id(replica), *deleted]
    assert user_files(replica, "conversations") == files_of(owners, "conversations.db")
    assert user_files(replica, "counters") == files_of(owners, "counters.db")
    theirs, ours = conversations(pair.primary), conversations(replica)
    assert ours["Q"] == theirs["Q"]
    folders = {k: v for k, v in theirs.items() if re.match(r"F[-a-z0-9]{24,36}$", k)}
    assert folders and {k: ours.get(k) for k in folders} == folders


def is_ours(pair):
    return pair.replica.flavour == "cylinder"


def check(pair, split_in_361, deleted=()):
    """Ours is never split. What 3.6.1 does is recorded here, so that we learn when it changes."""
    if is_ours(pair) or not split_in_361:
        assert_same(pair.primary, pair.replica, "alice")
        assert_one_database(pair, deleted)
    else:
        assert "a/alice.conversations" in user_files(pair.replica, "conversations")


def refused_for_ever(pair):
    """3.6.1: the I record of a mailbox that is gone blocks its UNIQUEID."""
    assert sync(pair, check=False).returncode == 1
    assert "SYNCNOTICE: mailbox uniqueid already in use" in pair.replica.log_text()


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


def rename_to_deleted(pair):
    """What a primary sends when a user is deleted (handbook 03, transcript sync-07)."""
    with login(pair.replica) as csync:
        for name in ("user.alice", "user.alice.Drafts"):
            csync.ok(f"APPLY RENAME %(OLDMBOXNAME {name} NEWMBOXNAME DELETED.{name}.5B000000 "
                     "PARTITION default)")
        csync.ok("APPLY UNUSER alice")


def test_after_unmailbox_of_a_deleted_inbox(pair):
    """The deleted INBOX is purged, as cyr_expire does, and the user comes back under the same UNIQUEID."""
    sync(pair)
    rename_to_deleted(pair)
    with login(pair.replica) as csync:
        csync.ok("APPLY UNMAILBOX DELETED.user.alice.5B000000")
        csync.ok("APPLY UNMAILBOX DELETED.user.alice.Drafts.5B000000")
        assert not [line for line in csync.ok("GET USER alice").untagged
                    if parse(line)[1].get("MBOXNAME") == b"user.alice"]
    if is_ours(pair):
        sync(pair)
        check(pair, split_in_361=False)
    else:
        refused_for_ever(pair)


def deleted_names(imap):
    listed = imap.ok('LIST "" DELETED.user.alice*').untagged
    return [line.split()[-1].strip(b'"').decode() for line in listed]


def delete_and_expire(pair):
    """The user is deleted on both ends, long ago on the replica, which forgets its deleted mailboxes."""
    with pair.primary.imap("admin") as imap:
        imap.ok("SETACL user.alice admin lrswipkxtecda")
        imap.ok("DELETE user.alice")
        imap.logout()
    rename_to_deleted(pair)
    pair.replica.run("cyr_expire", "-E", "1", "-D", "0", "-X", "0")
    with login(pair.replica) as csync:
        assert not csync.ok("GET USER alice").untagged


def test_new_user_after_expiry_of_the_deleted_one(pair):
    """Another UNIQUEID for the same name."""
    sync(pair)
    before = inbox_id(pair.replica)
    delete_and_expire(pair)
    fill(pair)
    if not is_ours(pair):
        refused_for_ever(pair)
        return
    sync(pair)
    assert inbox_id(pair.replica) == inbox_id(pair.primary) != before
    # the primary still keeps the deleted INBOX, whose tombstone the replica has
    check(pair, split_in_361=False)
    change_and_sync(pair)
    check(pair, split_in_361=False)


def test_undeleted_user_after_expiry_of_the_deleted_one(pair):
    """The same UNIQUEID again: the replica may have a record of it without a name."""
    sync(pair)
    before = inbox_id(pair.replica)
    delete_and_expire(pair)
    with pair.primary.imap("admin") as imap:
        for name in sorted(deleted_names(imap), key=len):
            imap.ok(f"RENAME {name} {name.removeprefix('DELETED.').rpartition('.')[0]}")
        imap.logout()
    assert inbox_id(pair.primary) == before
    # 3.6.1 forgets the conversations of a mailbox that comes back from DELETED
    pair.primary.run("ctl_conversationsdb", "-R", "alice")
    if not is_ours(pair):
        refused_for_ever(pair)
        return
    sync(pair)
    check(pair, split_in_361=False)
    change_and_sync(pair)
    check(pair, split_in_361=False)


def test_recreated_on_the_primary(pair):
    """Deleted and made anew between two runs: the name stays, the UNIQUEID does not."""
    sync(pair)
    before = inbox_id(pair.replica)
    with pair.primary.imap("admin") as imap:
        imap.ok("SETACL user.alice admin lrswipkxtecda")
        imap.ok("DELETE user.alice")
        imap.logout()
    fill(pair)
    sync(pair)
    assert inbox_id(pair.replica) == inbox_id(pair.primary) != before
    check(pair, split_in_361=False, deleted=[before])
    change_and_sync(pair)
    check(pair, split_in_361=False, deleted=[before])


def split_by_361(debian_factory):
    """A replica on which 3.6.1 has split alice, at rest, and what her quota record should say."""
    made = Pair(*(debian_factory(name, services=("imap", "csync")) for name in ("primary", "replica")))
    for server in (made.primary, made.replica):
        server.conf.update(CONF)
    made.start()
    fill(made)
    sync(made)
    made.replica.run("sync_reset", "-f", "alice")
    sync(made)
    change_and_sync(made)
    wanted = conversations(made.primary)["Q"]
    made.primary.stop()
    made.replica.stop()
    assert "a/alice.conversations" in user_files(made.replica, "conversations")
    return made.replica, wanted


def is_merged(server, wanted):
    assert user_files(server, "conversations") == files_of([inbox_id(server)], "conversations.db")
    assert conversations(server)["Q"] == wanted
    done = server.run("ctl_conversationsdb", "-v", "-A", "alice")
    assert done.stdout.endswith("\nalice is OK\n"), done.stdout
    assert len(glob.glob(server.path("conf", "lost+found", "alice.conversations.*"))) == 1
    assert "merged a second set of conversations" in server.log_text()


def test_what_361_split_is_merged_at_the_start(factory, debian_factory):
    theirs, wanted = split_by_361(debian_factory)
    ours = copy_of(theirs, factory, "ours", services=("imap", "lmtp", "csync"))
    ours.start()
    is_merged(ours, wanted)


@pytest.mark.parametrize("way", ("login", "lmtp"))
def test_what_361_splits_is_merged_when_the_user_comes(factory, debian_factory, way):
    """... if it appears while we run."""
    theirs, wanted = split_by_361(debian_factory)
    ours = copy_of(theirs, factory, "ours", services=("imap", "lmtp", "csync"))
    hidden = {}
    for path in glob.glob(ours.path("conf", "user", "a", "alice.co*")):
        with open(path, "rb") as f:
            hidden[path] = f.read()
        os.unlink(path)
    assert len(hidden) == 2
    ours.start()
    for path, data in hidden.items():
        with open(path, "wb") as f:
            f.write(data)
        ours.account.give(path)
    if way == "lmtp":
        ours.deliver(message(9), "alice")
        assert (numbers := re.match(r"1 %\(E (\d+) S (\d+)\)", wanted))
        wanted = None
        after = re.match(r"1 %\(E (\d+) S (\d+)\)", conversations(ours)["Q"])
        assert int(after[1]) == int(numbers[1]) + 1
    else:
        with ours.imap("alice") as imap:
            imap.ok("SELECT INBOX")
            imap.logout()
    is_merged(ours, wanted or conversations(ours)["Q"])


def autocreate_by_login(server):
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.logout()


def create(server):
    server.create_user("alice", "Drafts")


def autocreate_by_lmtp(server):
    server.deliver(message(9), "alice")


@pytest.mark.parametrize("way", [create, autocreate_by_login, autocreate_by_lmtp])
@pytest.mark.parametrize("flavour", ["ours", "debian"])
def test_local_creation(factory, debian_factory, flavour, way):
    make = factory if flavour == "ours" else debian_factory
    server = make("local", services=("imap", "lmtp", "csync"))
    server.conf.update(CONF)
    if way != create:
        server.conf.update({"autocreate_quota": 0, "autocreate_post": True})
    server.start()
    way(server)
    with server.imap("alice") as imap:
        imap.append("INBOX", message(1))
        imap.append("INBOX", message(2))
        imap.logout()
    owner = [inbox_id(server)]
    assert user_files(server, "conversations") == files_of(owner, "conversations.db")
    assert user_files(server, "counters") == files_of(owner, "counters.db")
    number = 3 if way is autocreate_by_lmtp else 2
    assert conversations(server)["Q"].startswith(f"1 %(E {number} S ")
    assert not glob.glob(server.path("conf", "user", "[a-z]"))

# SPDX-License-Identifier: BSD-3-Clause
"""A user gets another name (W046): rights that others gave him follow when that is wanted, the replica hears of it in one command, and the rename
back makes everything as it was, on both ends.

CYL_FOLDERS  of the user (default 30)
"""

import os
import re

import pytest

from cyltest import Pair
from cyltest.folders import Watch, do, message, ready
from cyltest.syncdata import assert_same, user_state

FOLDERS = int(os.environ.get("CYL_FOLDERS") or 30)
NEW = ("HIGHESTMODSEQ", "FOLDERMODSEQ", "XCONVMODSEQ", "SYNC_CRC", "SYNC_CRC_ANNOT")  # numbers of the changes themselves


@pytest.fixture(scope="module")
def both(module_factory):
    pair = ready(Pair(module_factory("primary"), module_factory("replica")), "anna", "bob", "carl")
    for server in (pair.primary, pair.replica):
        server.add_user("anne")
        server.allow_log("SYNC")
    do(pair.primary, *(f"CREATE INBOX.f{n}" for n in range(FOLDERS)), "SUBSCRIBE INBOX.f1", "SETACL INBOX.f1 bob lrs",
       'SETMETADATA INBOX.f2 (/shared/comment "c" /private/comment "p")')
    with pair.primary.imap("anna") as imap:
        imap.append("INBOX.f1", message(5), r"\Seen \Flagged")
        imap.logout()
    do(pair.primary, "SETQUOTA user.anna (STORAGE 5000)", user="admin")
    do(pair.primary, "CREATE INBOX.Ours", "SETACL INBOX.Ours anna lrswi", "SETACL INBOX.Ours carl lr", "CREATE INBOX.Not", "SETACL INBOX.Not anyone lr",
       "SETACL INBOX.Not -anna r", "CREATE INBOX.Other", "SETACL INBOX.Other annabel lr", user="bob")
    do(pair.primary, "SETACL INBOX anna lrs", user="carl")
    pair.primary.run("sync_client", "-A")
    return pair


def state(server, user):
    """Without the numbers that a change has, and the order in which rights were given."""
    told = user_state(server, user)
    for value in told["MAILBOX"].values():
        for key in NEW:
            value.pop(key, None)
        words = value["ACL"].split(b"\t")
        value["ACL"] = sorted(zip(words[::2], words[1::2]))
    return told


def everything(pair, user="anna"):
    return {(server.name, one): state(server, one) for server in (pair.primary, pair.replica) for one in (user, "bob", "carl")}


def rename(pair, *args):
    out = pair.primary.run("cyr_user", "rename", *args).stdout.splitlines()
    watch = Watch(pair, ("anna", "anne"))
    watch.run("-u", args[-1])
    assert watch.uploaded == []
    assert watch.commands.count("APPLY RENAMES") == 1 and "APPLY RENAME" not in watch.commands
    # numbers and rights went with the names: nothing is left to be told of each folder, but of f2, whose private comment is another user's now
    assert len([c for c in watch.commands if c.startswith("APPLY MAILBOX")]) == 1, watch.commands
    pair.primary.run("sync_client", "-u", "bob", "carl")
    for user in (args[-1], "bob", "carl"):
        assert_same(pair.primary, pair.replica, user)
    return out


def acl(server, name):
    with server.imap("admin") as imap:
        line = imap.ok(f"GETACL {name}").untagged[0].decode()
        imap.logout()
    words = line.split()[3:]
    return dict(zip(words[::2], words[1::2]))


def test_rights_follow_and_come_back(both):
    before = everything(both)
    assert rename(both, "--rights", "anna", "anne") == [
        "renamed anna to anne", "user.bob.Not: anna to anne", "user.bob.Ours: anna to anne", "user.carl: anna to anne"]
    for server in (both.primary, both.replica):
        assert acl(server, "user.bob.Ours")["anne"] == "lrswi" and "anna" not in acl(server, "user.bob.Ours")
        assert acl(server, "user.bob.Not")["-anne"] == "r" and "-anna" not in acl(server, "user.bob.Not")
        assert acl(server, "user.bob.Other") == acl(server, "user.bob.Other") | {"annabel": "lr"}
        assert not re.search(r"anna\t", server.run("ctl_mboxlist", "-d").stdout)
        with server.imap("anne") as imap:
            listed = b" ".join(imap.ok('LIST "" "*"').untagged)
            assert b"user.bob.Ours" in listed and listed.count(b"INBOX.f") == FOLDERS
            imap.ok("EXAMINE user.bob.Ours")
            imap.no("EXAMINE user.bob.Not")
            imap.logout()
    assert rename(both, "--rights", "anne", "anna")[0] == "renamed anne to anna"
    assert everything(both) == before


def test_without_them(both):
    """As 3.6.1; and what was left can be done later, again and again."""
    before = everything(both)
    rename(both, "anna", "anne")
    for user in ("bob", "carl"):
        assert state(both.primary, user) == before["primary", user]
    assert both.primary.run("cyr_user", "-n", "rights", "anna", "anne").stdout.count("would be user.") == 3
    assert state(both.primary, "bob") == before["primary", "bob"]
    assert both.primary.run("cyr_user", "rights", "anna", "anne").stdout.count("anna to anne") == 3
    assert both.primary.run("cyr_user", "rights", "anna", "anne").stdout == ""
    rename(both, "--rights", "anne", "anna")
    assert everything(both) == before
    refused = both.primary.run("cyr_user", "rights", "anna", "bob", check=False)
    assert (refused.returncode, refused.stdout) == (73, "")
    assert both.primary.run("cyr_user", "rights", "nobody", "noone", check=False).returncode == 67

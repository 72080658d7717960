# SPDX-License-Identifier: BSD-3-Clause
"""W048: whatever was lost on the master without a record of its deletion stays on the replica.

The master's spool is emptied, or its list of mailboxes too; users are made anew; and then all is said to sync_client that could make it
delete. What was deleted is deleted on the replica, however much it is: there are records of it.
"""

import glob
import os
import shutil

import pytest

from cyltest import rolling
from cyltest.folders import contents, do, every, fill, names, ready
from cyltest.storefiles import mailbox_dir, message_files

USERS = ("anna", "bert")
FOLDERS = [f"INBOX.f{n:02d}" for n in range(12)]
ITEMS = [f"{verb} {user}" for user in USERS for verb in ("UNUSER", "USER", "META")] + \
    [f"{verb} user.{user}{end}" for user in USERS for verb in ("UNMAILBOX", "MAILBOX", "APPEND", "QUOTA")
     for end in ("", *(f[5:] for f in FOLDERS))]


@pytest.fixture
def filled(pair):
    """Two users with INBOX and twelve folders, equal on both ends."""
    for server in (pair.primary, pair.replica):
        server.allow_log(".")
    ready(pair, *USERS, sync_log=False)
    for user in USERS:
        for n, folder in enumerate(FOLDERS):
            fill(pair.primary, folder, 10 + n, user=user)
    pair.primary.run("sync_client", "-A")
    return pair


def contents_of(found, user):
    return {name: guids for name, guids in found.items() if name.split(".")[1] == user}


def everything(server):
    return every(contents(server, *USERS))


def say(pair, *args):
    assert pair.primary.run("sync_client", *args, check=False).returncode in (0, 1)


def say_log(pair, name, items):
    say(pair, "-R", "-f", rolling.write_log(pair.primary, items, name=name))


def say_everything(pair):
    """All that can be asked of sync_client but for -O; it may fail."""
    for args in (("-A",), ("-u", *USERS), ("-m", *(f"user.{user}" for user in USERS)), ("-s", *USERS)):
        say(pair, *args)
    # in one log they are one piece of work; what deletes is said alone, too
    for n, item in enumerate(("UNMAILBOX user.anna.f03", "UNMAILBOX user.bert", "UNUSER anna", "UNUSER bert")):
        say_log(pair, f"one{n}", [item])
    say_log(pair, "all", ITEMS)


def lose(server, *patterns):
    server.stop()
    for pattern in patterns:
        for path in glob.glob(server.path(pattern)):
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    server.start()


def test_partition_is_empty(filled):
    """The disk is not mounted; reconstruct does not take it for the truth either."""
    before = contents(filled.replica, *USERS)
    lose(filled.primary, "spool/*")
    say_everything(filled)
    assert contents(filled.replica, *USERS) == before
    filled.primary.run("reconstruct", "-r", *(f"user.{user}" for user in USERS), check=False)
    say_everything(filled)
    assert contents(filled.replica, *USERS) == before


def test_message_files_are_gone(filled):
    before = contents(filled.replica, *USERS)
    filled.primary.stop()
    for user in USERS:
        for name in contents_of(before, user):
            directory = mailbox_dir(filled.primary, name)
            for path in message_files(directory):
                os.unlink(os.path.join(directory, path))
    filled.primary.start()
    say_everything(filled)
    filled.primary.run("reconstruct", "-r", *(f"user.{user}" for user in USERS), check=False)
    say_everything(filled)
    assert {user: len(before[f"user.{user}"]) for user in USERS} == {user: 2 for user in USERS}
    for user in USERS:
        assert contents(filled.replica, user)[f"user.{user}"] == before[f"user.{user}"]


def test_all_is_lost(filled):
    """Spool, list of mailboxes and journal; then one of the users is made anew: his mail comes back from the replica."""
    before = contents(filled.replica, *USERS)
    lose(filled.primary, "spool/*", "conf/mailboxes.db*", "conf/journal/*", "conf/user/*", "conf/users.db*")
    assert names(filled.primary) == {}
    say_everything(filled)
    assert contents(filled.replica, *USERS) == before
    filled.primary.create_user("anna")
    with filled.primary.imap("anna") as imap:
        imap.append("INBOX", b"Subject: new\r\n\r\nnew\r\n")
        imap.logout()
    say_everything(filled)
    assert everything(filled.replica) > every(before)
    assert every(contents(filled.primary, "anna")) == every(contents(filled.replica, "anna"))
    assert contents(filled.replica, "bert") == contents_of(before, "bert")


def test_what_was_deleted_goes(filled):
    """All messages of one user, all folders but INBOX of him, and the other user altogether."""
    filled.primary.conf["delete_mode"] = "immediate"
    filled.primary.restart()
    do(filled.primary, *(f"DELETE {folder}" for folder in FOLDERS), "SELECT INBOX", r"STORE 1:* +FLAGS (\Deleted)", "EXPUNGE")
    do(filled.primary, "SETACL user.bert admin lrswipkxtecda", "DELETE user.bert", user="admin")
    filled.primary.run("sync_client", "-u", "anna")
    say_log(filled, "gone", ["UNUSER bert"])
    assert contents(filled.replica, *USERS) == {"user.anna": []}

# SPDX-License-Identifier: BSD-3-Clause
"""Which mailboxes the tools of 3.6.1 work on, and what they say: ours do the same on the same store."""

import re

import pytest

from cyltest.store import copy_of, debian_tool
from cyltest.syncdata import message

CONF = {"unixhierarchysep": True, "altnamespace": False, "delete_mode": "delayed", "expunge_mode": "delayed"}
FOLDERS = ("", ".Work", ".Work.Deep", ".Gone")


@pytest.fixture(scope="module")
def store(module_debian_factory):
    server = module_debian_factory("store", services=("imap",))
    server.conf.update(CONF)
    server.start()
    with server.imap("admin") as imap:
        for box in ("shared", "shared/below"):
            imap.ok(f"CREATE {box}")
            imap.ok(f"SETACL {box} admin lrswipkxtecda")
            imap.append(box, message(1))
    server.add_user("alicia")
    server.add_user("bob.dots")
    for user in ("alice", "alicia", "bob.dots"):
        server.create_user(user)
        with server.imap(user) as imap:
            for n, folder in enumerate(FOLDERS):
                box = f"INBOX{folder}".replace(".", "/")
                if folder:
                    imap.ok(f"CREATE {box}")
                imap.append(box, message(n + 1))
                imap.append(box, message(n + 10), flags=r"\Deleted")
                imap.append(box, message(n + 20), flags=r"\Deleted \Flagged")
                imap.ok(f"SELECT {box}")
                imap.ok("UID EXPUNGE 2")
            imap.ok("DELETE INBOX/Gone")
    server.stop()
    return server


RUNS = [
    ("ipurge", "-v", "-n", "-d", "1"), ("ipurge", "-v", "-n", "-f", "-d", "1"), ("ipurge", "-v", "-n", "-f", "-d", "1", "user/alice"),
    ("ipurge", "-v", "-n", "-f", "-d", "1", "user/alice/*"), ("ipurge", "-v", "-n", "-f", "-d", "1", "user/alice/%", "shared"),
    ("ipurge", "-v", "-n", "-f", "-M", "-d", "1", "user/alice"), ("ipurge", "-v", "-n", "-f", "-o", "-b", "1", "user/ali*"),
    ("ipurge", "-v", "-n", "-d", "1", "shared*"), ("ipurge", "-v", "-f", "-d", "1", "user/alice/Work"),
    ("reconstruct", "-n", "user/alice"), ("reconstruct", "-n", "-r", "user/alice"), ("reconstruct", "-n", "-u", "alice"),
    ("reconstruct", "-n", "-u", "bob.dots"), ("reconstruct", "-n", "-u", "nobody"), ("reconstruct", "-n", "user/nobody"), ("reconstruct", "-n"),
    ("reconstruct", "-n", "shared"), ("reconstruct", "-n", "-r", "shared"), ("reconstruct", "-n", "user/*"), ("reconstruct", "-n", "user/alic%"),
    ("unexpunge", "-l", "user/alice"), ("unexpunge", "-l", "user/alice", "2"), ("unexpunge", "-a", "-v", "user/alice/Work"),
    ("unexpunge", "-u", "-d", "-v", "user/alice", "2"),
    ("quota",), ("quota", "user/alice"), ("mbpath", "user/alice", "shared"), ("mbpath", "-l", "user/alice"),
    ("mbpath", "-u", "alice"), ("mbpath", "-A", "user/bob.dots"), ("mbpath", "nobody"),
]


def parts(text):
    """What is said of each mailbox: of a whole server each goes through its list in its own order."""
    return sorted(re.split(r"(?m)^(?=Working on |user/|DELETED/|shared)", text))


@pytest.mark.parametrize("argv", RUNS, ids=" ".join)
def test_both_say_the_same(store, debian_factory, factory, argv):
    debian = copy_of(store, debian_factory, "debian")
    ours = copy_of(store, factory)
    theirs = debian_tool(debian, *argv, check=False)
    done = ours.run(*argv, check=False)
    assert parts(done.stdout.replace(ours.root, "ROOT")) == parts(theirs.stdout.replace(debian.root, "ROOT"))
    assert done.returncode == theirs.returncode, done.stderr + theirs.stderr

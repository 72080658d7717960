# SPDX-License-Identifier: BSD-3-Clause
"""cyr_expire beside the packaged one: each on a copy of a store that 3.6.1 made, and both leave the same."""

import email.utils
import os
import pprint
import re
import time

import pytest

from cyltest.storefiles import EXPUNGED, UNLINKED, IndexFile, message_files
from cyltest.store import copy_of, debian_tool, records

CONF = {"unixhierarchysep": False, "altnamespace": False, "conversations": True, "conversations_db": "twoskip",
        "delete_mode": "delayed", "expunge_mode": "delayed", "duplicatesuppression": True}
DAY = 86400
EXPIRE, DELETE = "/shared/vendor/cmu/cyrus-imapd/expire", "/shared/vendor/cmu/cyrus-imapd/delete"
# Folders of alice, what they and the server say of the age of messages, and the ages of messages (days) in them.
AGES = (1, 5, 20, 400)
EXPIRES = {"": None, "a": "10", "a.inherits": None, "a.never": "0", "a.never.below": None, "b": "3", "c": "1", "c.far": "1000", "d": "24855"}

# Last in the list: what comes behind one with an annotation is kept by 3.6.1, too.
DELETES = {"zkept": "0", "zlong": "30"}


def mail(n, days):
    date = email.utils.formatdate(time.time() - days * DAY)
    return (f"From: a@example.com\r\nSubject: number {n}\r\nDate: {date}\r\nMessage-ID: <m{n}@example.com>\r\n\r\nbody {n}\r\n").encode()


def fill(server):
    n = 0
    with server.imap("alice") as imap:
        for folder, expire in EXPIRES.items():
            name = "INBOX" + (f".{folder}" if folder else "")
            if folder:
                imap.ok(f"CREATE {name}")
            for days in AGES:
                n += 1
                imap.append(name, mail(n, days), flags=f"$Flag{days}")
            n += 1
            imap.append(name, mail(n, 2), flags=r"\Deleted $Gone")
            imap.ok(f"SELECT {name}")
            imap.ok("EXPUNGE")
            imap.ok("UNSELECT")
        for n, folder in enumerate(("old", "young", *DELETES)):
            imap.ok(f"CREATE INBOX.{folder}")
            imap.append(f"INBOX.{folder}", mail(900 + n, 1))
    with server.imap("admin") as imap:
        for folder, expire in EXPIRES.items():
            if expire:
                imap.ok(f'SETMETADATA user.alice{"." + folder if folder else ""} ({EXPIRE} "{expire}")')
        for folder, delete in DELETES.items():
            imap.ok(f'SETMETADATA user.alice.{folder} ({DELETE} "{delete}")')
    with server.imap("alice") as imap:
        for folder in ("old", *DELETES):
            imap.ok(f"DELETE INBOX.{folder}")
    with server.imap("bob") as imap:
        for days in AGES:
            imap.append("INBOX", mail(1000 + days, days))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
    with server.imap("admin") as imap:
        imap.ok(f'SETMETADATA user.carol ({EXPIRE} "1000")')
        imap.ok(f'SETMETADATA "" ({EXPIRE} "2")')
    server.deliver(mail(2000, 1), "bob", "carol")
    time.sleep(2.5)
    server.middle = time.time()
    time.sleep(2.5)
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("DELETE INBOX.young")
    server.deliver(mail(2001, 1), "bob", "carol")


@pytest.fixture(scope="module")
def store(module_debian_factory):
    server = module_debian_factory("store", services=("imap", "lmtp"))
    server.conf.update(CONF)
    server.start()
    server.create_user("alice")
    server.create_user("bob")
    server.create_user("carol")
    fill(server)
    server.stop()
    return server


def state(server):
    """What is left, by mailbox: records (uid, expunged or unlinked) and files; and remembered deliveries."""
    found, names = {}, {}
    for key, value in records(server.path("conf", "mailboxes.db")).items():
        if key.startswith("N"):
            uniqueid, kind = re.search(r" I (\S+) ", value), re.match(r"%\(T (\w+) ", value)
            names[uniqueid.group(1)] = re.sub(r"\.[0-9A-F]{8}$", "", key[1:])
            found["entry " + names[uniqueid.group(1)]] = kind.group(1)
    for base, _, files in os.walk(server.path("spool")):
        if "cyrus.index" in files:
            index = IndexFile(os.path.join(base, "cyrus.index"))
            kept = [(r["uid"], r["flags"] & (EXPUNGED | UNLINKED)) for r in index.records]
            found[names.get(os.path.basename(base), base)] = kept, message_files(base), index.header["exists"], index.header["deletedmodseq"]
    found["deliveries"] = sorted(map(repr, records(server.path("conf", "deliver.db"))))
    return found


# MID: as old as the pause in the middle of fill().
RUNS = [("-E", "3", "-X", "7d"), ("-X", "MID", "-c"), ("-a", "-X", "MID", "-c"), ("-E", "MID", "-x"), ("-E", "MID", "-c"), ("-D", "MID", "-x", "-c"),
        ("-a", "-D", "MID", "-x", "-c"), ("-D", "0", "-X", "0"), ("-X", "0", "-c", "-p", "user.alice.a"), ("-X", "0", "-c", "-u", "bob"),
        ("-X", "MID", "-c", "-t")]


def since_the_middle(store, args):
    return [f"{time.time() - store.middle:.0f}s" if arg == "MID" else arg for arg in args]


@pytest.mark.parametrize("args", RUNS, ids=" ".join)
def test_both_leave_the_same(store, debian_factory, factory, args):
    debian = copy_of(store, debian_factory, "debian")
    ours = copy_of(store, factory)
    ours.conf["expunge_tombstones"] = "0"  # as 3.6.1
    ours.write_conf()
    before = state(debian)
    assert before == state(ours)
    # With -X 0 3.6.1 leaves to the next run what a run that goes over the end of a second has expired itself.
    for _ in range(2 if "0" in args else 1):
        theirs = debian_tool(debian, "cyr_expire", *since_the_middle(store, args))
        done = ours.run("cyr_expire", *since_the_middle(store, args))
        assert done.returncode == theirs.returncode == 0 and done.stdout == theirs.stdout == ""
    ours.run("ctl_cyrusdb", "-c")
    left, right = state(debian), state(ours)
    differing = {key: (left.get(key), right.get(key)) for key in {*left, *right} if left.get(key) != right.get(key)}
    assert not differing, pprint.pformat(differing, width=200)
    assert left != before, "the run had nothing to do"
    assert debian_tool(ours, "reconstruct", "-n", "-G", "-q").stdout == ""
    assert ours.run("ctl_conversationsdb", "-A", "-r").stdout == ""

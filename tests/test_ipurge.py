# SPDX-License-Identifier: BSD-3-Clause
"""ipurge (handbook 05 §3.18), ours and Debian's on the same store."""

import os
import re
import time
from email.utils import formatdate

import pytest

from cyltest.storefiles import EXPUNGED, Snapshot, index_of

DEBIAN = "/usr/lib/cyrus/bin/ipurge"
DAY = 86400
# Days since the Date header, days since delivery, flags, bytes of the body.
MESSAGES = [(40, 1, "\\Flagged", 10), (40, 1, None, 2000), (10, 20, "\\Deleted", 10), (10, 20, None, 5000),
            (1, 1, None, 10)]


@pytest.fixture
def store(factory):
    """alice's INBOX and Work with the messages above, a shared mailbox with the last one. Stopped."""
    s = factory()
    s.env["TZ"] = "UTC"
    s.start()
    s.create_user("alice", "Work")
    now = time.time()
    with s.imap("alice") as c:
        for n, (sent, arrived, flags, size) in enumerate(MESSAGES, 1):
            text = (f"From: Sender <sender@example.org>\r\nTo: Alice <alice@example.com>\r\nSubject: Hello {n}\r\n"
                    f"Date: {formatdate(now - sent * DAY - 60)}\r\n\r\n{'x' * size}\r\n").encode()
            date = time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(now - arrived * DAY - 60))
            for box in ("INBOX", "Work"):
                c.append(box, text, flags, date=date)
        c.logout()
    with s.imap("admin") as c:
        c.ok("CREATE shared")
        c.ok("SETACL shared admin lrsip")
        c.append("shared", text)
        c.logout()
    s.stop()
    return s


def expunged(server, name="user/alice"):
    return [r["uid"] for r in index_of(server, name).records if r["flags"] & EXPUNGED]


CASES = [
    (["-d", "30"], [1, 2]), (["-d", "5"], [1, 2, 3, 4]), (["-d", "5", "-s"], [2, 3, 4]), (["-d", "5", "-o"], [3]),
    (["-X", "-d", "5"], [3, 4]), (["-d", "30", "-i"], [3, 4, 5]), (["-x", "-d", "10"], [3, 4]),
    (["-x", "-i", "-d", "10"], [1, 2, 5]), (["-b", "1000"], [2, 4]), (["-k", "4"], [4]), (["-m", "1"], []),
    (["-k", "1", "-i"], [1, 3, 5]),
]


def test_conditions(store):
    saved = Snapshot(store)
    for args, gone in CASES:
        saved.restore()
        done = store.run("ipurge", "-f", "-v", *args, "user/alice")
        assert expunged(store) == gone and expunged(store, "user/alice/Work") == [], args
        assert done.stdout.startswith("Working on user.alice...\nTotal messages    \t\t 5\n")
        assert f"Deleted messages  \t\t {len(gone)}\n" in done.stdout
        assert f"Remaining messages\t\t {5 - len(gone)}\n" in done.stdout


def test_conditions_are_debians(store):
    if not os.path.exists(DEBIAN):
        pytest.skip("Debian's ipurge is not installed")
    saved = Snapshot(store)
    for args, gone in CASES:
        saved.restore()
        ours = store.run("ipurge", "-f", "-v", "-n", *args, "user/alice").stdout
        theirs = store.run(DEBIAN, "-f", "-v", *args, "user/alice").stdout
        assert re.sub(r"UID: .*?\n\n", "", ours, flags=re.S) == theirs, args
        assert expunged(store) == gone, args


def test_dry_run(store):
    done = store.run("ipurge", "-n", "-f", "-d", "30", "user/alice")
    assert expunged(store) == []
    assert done.stdout.count("UID: ") == 2 and '\tSubj: "Hello 2"\n' in done.stdout
    assert "Expg" not in done.stdout


def test_which_mailboxes(store):
    """Without -f what belongs to a user is left alone; patterns; plain names."""
    store.run("ipurge", "-i", "-d", "30")
    assert expunged(store, "shared") == [1] and expunged(store) == []
    store.run("ipurge", "-f", "-M", "-d", "30", "user/alice*")
    assert expunged(store) == []
    store.run("ipurge", "-f", "-d", "30", "user/alice*")
    assert expunged(store) == [1, 2] == expunged(store, "user/alice/Work")


def test_wrong_use(store):
    done = store.run("ipurge", "user/alice")
    assert done.stdout.startswith("One of these must be specified -d, -b -k, -m\nusage: ") and not done.stderr
    for args in (["-z"], ["-d", "x"], ["-d", "-1"], ["-b", ""]):
        assert store.run("ipurge", "-f", *args, "user/alice", check=False).returncode == 64
    assert store.run("ipurge", "-f", "-d", "1", "user/nosuch").stdout == ""
    assert expunged(store) == []

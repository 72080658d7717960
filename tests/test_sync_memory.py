# SPDX-License-Identifier: BSD-3-Clause
"""The memory that the repair of two diverged ends takes does not grow with the mailbox, only with what differs.

CYL_MEMORY_MESSAGES  how many the larger mailbox has (default 4000)
"""

import os

import pytest

from cyltest.clients import Literal
from cyltest.histories import CONF
from cyltest.mallocpeak import MallocPeak
from cyltest.syncdata import message, sent_commands

SIZES = (1000, int(os.environ.get("CYL_MEMORY_MESSAGES") or 4000))
# Between the two sizes. One record takes some hundred bytes on the wire: as text, as a tree or in an array they would be megabytes.
BOUND = 16 * 1024


@pytest.fixture
def pair(pair):
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.allow_log("SYNC")
        for size in SIZES:
            server.add_user(f"u{size}")
    pair.start()
    return pair


def sync(pair, size, *args):
    return pair.primary.run("sync_client", "-v", "-v", "-o", *args, "-m", f"user.u{size}", timeout=300)


def fill(server, size):
    server.create_user(f"u{size}")
    with server.imap(f"u{size}", timeout=300) as imap:
        for first in range(0, size, 500):
            command = ["APPEND INBOX"]
            for n in range(first, min(first + 500, size)):
                command += [" ", Literal(message(n, body="x"))]
            imap.ok(command)
        imap.logout()


def diverge(pair, size):
    """A few of each kind, spread over the whole."""
    for n, server in enumerate((pair.primary, pair.replica)):
        with server.imap(f"u{size}") as imap:
            imap.ok("SELECT INBOX")
            for uid in range(1 + n, size, size // 10):
                imap.ok(rf"UID STORE {uid} +FLAGS (\Answered $Kw{n})")
                imap.ok(rf"UID STORE {uid + 2} +FLAGS (\Deleted)")
            imap.ok("EXPUNGE")
            for new in range(3):
                imap.append("INBOX", message(size + 100 * n + new))
            imap.logout()


def peaks(pair, size):
    """Of sync_client and of sync_server, in a run that makes both ends equal."""
    fill(pair.primary, size)
    sync(pair, size)
    diverge(pair, size)
    pair.replica.stop()
    with MallocPeak(pair.primary) as ours, MallocPeak(pair.replica) as theirs:
        pair.replica.start()
        done = sync(pair, size)
        pair.replica.stop()
    pair.replica.start()
    assert f"FULLMAILBOX user.u{size}" in done.stdout
    assert sent_commands(sync(pair, size, "--verify")) == []
    return {"sync_client": ours.of("sync_client"), "sync_server": theirs.of("sync_server")}


def test_memory_does_not_grow_with_the_mailbox(pair):
    small, large = (peaks(pair, size) for size in SIZES)
    assert all(large[program] - small[program] < BOUND for program in small), (small, large)

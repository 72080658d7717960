# SPDX-License-Identifier: BSD-3-Clause
"""One mailbox of a user that the replica can't read, among others that it can."""

import os
import time

from . import rolling
from .folders import contents, do, every, fill, guid, meet_again, names, ready
from .storefiles import mailbox_dir
from .syncdata import message

FOLDERS = ("A", "Bad", "C", "D", "E")


def annotations(directory):
    """As a 3.6.1 leaves it that is killed while it makes the file."""
    return os.path.join(directory, "cyrus.annotations"), bytes(336)


def index(directory):
    return os.path.join(directory, "cyrus.index"), b""


def spoil(pair, what):
    """Returns what mends it."""
    path, data = what(mailbox_dir(pair.replica, "user.anna.Bad"))
    with open(path, "rb") as f:
        before = f.read()
    pair.replica.stop()
    with open(path, "wb") as f:
        f.write(data)
    pair.replica.start()

    def mend():
        pair.replica.stop()
        with open(path, "wb") as f:
            f.write(before)
        pair.replica.start()
    return mend


def set_up(pair):
    ready(pair, "anna")
    pair.primary.allow_log(".")
    if pair.replica.flavour == "cylinder":
        pair.replica.allow_log(".")
    for n, folder in enumerate(FOLDERS, 10):
        fill(pair.primary, f"INBOX.{folder}", n)
        do(pair.primary, f'SETMETADATA INBOX.{folder} (/shared/comment "one")')
    pair.primary.run("sync_client", "-u", "anna")


def change(pair):
    """In each of them, and a new one; the messages but that of the bad one."""
    for n, folder in enumerate((*FOLDERS, "New"), 20):
        fill(pair.primary, f"INBOX.{folder}", n)
    do(pair.primary, "SUBSCRIBE INBOX.D", "SELECT INBOX.A", r"STORE 1 +FLAGS (\Deleted)", "EXPUNGE")
    return {guid(message(n)) for n in range(20, 26) if n != 21}


def one_is_unreadable(pair, what):
    set_up(pair)
    mend = spoil(pair, what)
    expected = change(pair)
    done = pair.primary.run("sync_client", "-u", "anna", check=False)
    assert done.returncode == 1 and "user.anna.Bad: " in done.stderr, done.stderr
    assert not any(f"user.anna.{folder}: " in done.stderr for folder in (*FOLDERS, "New") if folder != "Bad"), done.stderr
    mend()
    found = every(contents(pair.replica, "anna"))
    assert expected <= found and guid(message(21)) not in found
    assert guid(message(10)) not in found and "user.anna.New" in names(pair.replica)
    with pair.replica.imap("anna") as imap:
        assert imap.ok('LSUB "" "*"').find("* LSUB")
        imap.logout()
    meet_again(pair)


def wait_for_attempts(server, n, timeout=60.0):
    """So many attempts of the rolling client at the user that have begun from now on."""
    def attempts():
        return server.log_text().count("user replication failed")
    until = attempts() + n
    deadline = time.monotonic() + timeout
    while attempts() < until:
        assert time.monotonic() < deadline, server.log_text()[-3000:]
        time.sleep(0.1)


def rolling_goes_on(pair, what):
    rolling.set_up(pair)
    rolling.daemon(pair.primary)
    set_up(pair)
    rolling.caught_up(pair.primary)
    mend = spoil(pair, what)
    expected = change(pair)
    wait_for_attempts(pair.primary, 2)
    mend()
    assert expected <= every(contents(pair.replica, "anna"))
    rolling.caught_up(pair.primary)
    meet_again(pair)

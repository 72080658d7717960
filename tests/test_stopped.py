# SPDX-License-Identifier: BSD-3-Clause
"""A process that is stopped, not killed, within a change: whoever waits for it continues it, and says so; nothing is lost (W033).

CYLINDER_DISKIO_STOP stops the process that comes to such a call. Seconds for which locks are waited for are tenths here.
"""

import contextlib
import os
import re
import threading
import time

import pytest

from cyltest import processes
from cyltest.syncdata import message

USERS = ("anna", "ben", "carl")
COUNT = iter(range(1, 9999))
CONTINUED = r"lock: process %d \(\S+\) is stopped and holds a lock on \S+, byte \d+, for which others wait: it is continued"

# Where it is stopped: the call, part of the path, and whether all others wait for that, and whoever reads, too: nobody is told of a
# mailbox that is not durable yet.
PLACES = {
    "append": ("pwrite", "conf/journal/0", True, False),
    "sync": ("fdatasync", "conf/journal/0", True, True),
    "message": ("open", "spool/", False, False),
    "index": ("pwrite", "cyrus.index", False, False),
    "conversations": ("pwrite", "/conversations", False, False),
    "mailboxes": ("pwrite", "conf/mailboxes.db", True, True),
}


@pytest.fixture(params=PLACES)
def place(request):
    return PLACES[request.param]


@pytest.fixture
def server(factory, place):
    made = factory()
    kind, part, *_ = place
    made.account.give(made.root)  # the gate is removed by whoever is stopped
    made.env.update(CYLINDER_DISKIO_STOP=f"{kind}:{made.path('gate')}:{part}", CYLINDER_LOCK_SECOND="100")
    made.allow_log("signaled|abnormally")
    for user in USERS:
        made.add_user(user)
    made.start()
    for user in USERS:
        made.create_user(user)
        made.deliver(message(next(COUNT)), user)
    reads(made, "carl")  # so that nothing is recent, and the login not the first
    return made


def stop_one(server, work):
    """Starts the work, whose process is stopped on the way: its thread and the pid."""
    with open(server.path("gate"), "w", encoding="ascii"):
        pass
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    end = time.monotonic() + 60
    while not (pid := stopped_pid(server)):
        assert time.monotonic() < end, "nobody was stopped"
        time.sleep(0.01)
    return thread, pid


def stopped_pid(server):
    """Who has come to the gate; None: nobody yet, or his file is there and not yet his pid."""
    try:
        with open(server.path("gate.at"), encoding="ascii") as at:
            line = at.readline()
    except FileNotFoundError:
        return None
    return int(line) if line else None


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(") ", 1)[1][0]


def creates(server):
    """Changes the store everywhere: a mailbox, a message in it, its counts."""
    with server.imap("anna") as imap:
        imap.ok("CREATE INBOX/new")
        imap.append("INBOX/new", message(next(COUNT)))
        imap.logout()


def reads(server, user):
    with server.imap(user) as imap:
        imap.ok("SELECT INBOX")
        imap.ok("FETCH 1:* (FLAGS BODY[])")
        imap.ok('LIST "" *')
        imap.ok("STATUS INBOX (MESSAGES)")
        imap.logout()


def works(server, user):
    n = next(COUNT)
    server.deliver(message(n), user)
    with server.imap(user) as imap:
        imap.ok("SELECT INBOX")
        imap.ok("FETCH 1:* (FLAGS BODY[])")
        imap.ok('LIST "" *')
        imap.ok(f"CREATE INBOX/n{n}")
        imap.ok(f"DELETE INBOX/n{n}")
        imap.logout()


def new_messages(server):
    with server.imap("anna") as imap:
        answer = imap.ok("STATUS INBOX/new (MESSAGES)")
        imap.logout()
    return int(re.search(r"MESSAGES (\d+)", str(answer)).group(1))


def test_others_go_on_and_so_does_it(server, place):
    mark = server.log_mark()
    thread, pid = stop_one(server, lambda: creates(server))
    reads(server, "carl")
    assert (state(pid) == "T") != place[3], "reading waits for it"
    for user in ("ben", "carl"):
        works(server, user)
    if place[2]:
        server.wait_log(CONTINUED % pid, mark)
    else:
        assert not re.search(CONTINUED % pid, server.log_text(mark))
        assert state(pid) == "T"
    # Its own user's other sessions wait for it, and continue it.
    works(server, "anna")
    server.wait_log(CONTINUED % pid, mark)
    thread.join(60)
    assert not thread.is_alive()
    assert new_messages(server) == 1
    server.run("ctl_cyrusdb", "-c")
    server.run("ctl_conversationsdb", "-A", "-r")


@pytest.mark.parametrize("place", ["append"], indirect=True)
def test_master_stops(server):
    """It does not wait for one that is stopped."""
    def work():
        with contextlib.suppress(AssertionError, OSError, EOFError):
            creates(server)

    thread, _ = stop_one(server, work)
    server.stop()
    thread.join(60)
    assert not thread.is_alive()


def test_killed_while_stopped(server):
    def work():
        with contextlib.suppress(AssertionError, OSError, EOFError):
            creates(server)

    thread, pid = stop_one(server, work)
    processes.kill(pid)
    for user in USERS:
        works(server, user)
    thread.join(60)
    assert not thread.is_alive()
    server.run("ctl_cyrusdb", "-c")
    server.run("ctl_conversationsdb", "-A", "-r")

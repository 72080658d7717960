# SPDX-License-Identifier: BSD-3-Clause
"""A selected mailbox that is deleted while its session looks at what is new: an empty view, the session lives (disconnect_on_vanished_mailbox: no)."""

import threading

import pytest

from cyltest.clients import Literal

ROUNDS = 100
MESSAGES = 300


@pytest.fixture
def server(factory):
    server = factory(services=("imap",))
    server.conf.update({"unixhierarchysep": False, "altnamespace": False})
    server.start()
    server.create_user("alice", "all")
    with server.imap("alice") as imap:
        for n in range(MESSAGES):
            imap.ok(["APPEND INBOX.all ", Literal(b"Subject: x%d\r\n\r\nx\r\n" % n)])
        imap.logout()
    return server


def copy_and_delete(imap, last):
    """Both commands are on their way before the first is done."""
    tags = [imap.start(command) for command in (f"COPY 1:{last} INBOX.goes", "DELETE INBOX.goes")]
    assert [imap.finish(tag).status for tag in tags] == ["OK", "OK"]


def test_deleted_between_what_is_new_and_whose_it_is(server):
    """The look takes longer the more messages there are, and who deletes waits for its end: so he comes next."""
    with server.imap("alice") as watcher, server.imap("alice") as other:
        other.ok("SELECT INBOX.all")
        for n in range(ROUNDS):
            other.ok("CREATE INBOX.goes")
            watcher.ok("SELECT INBOX.goes")
            sent = threading.Thread(target=copy_and_delete, args=(other, MESSAGES - n))
            sent.start()
            while sent.is_alive():
                watcher.ok("NOOP")
            sent.join()
            watcher.ok("NOOP")
            watcher.ok("UNSELECT")
        watcher.logout()

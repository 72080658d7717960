# SPDX-License-Identifier: BSD-3-Clause
"""sync_wait_ms: what a client was told is done is on the replica, unless the log says that it is late (doc/rolling.md)."""

import contextlib
import os
import random
import re
import threading
import time

import pytest

from cyltest import rolling
from cyltest.clients import Rejected
from cyltest.syncdata import message

KILLS = int(os.environ.get("CYL_SYNC_WAIT_KILLS", "3"))
LATE = "did not acknowledge within"
AGAIN = "has caught up: synchronous again"


@pytest.fixture
def rolls(pair, request):
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|IOERROR|signaled|abnormally|zero length|response|Can not connect")
    rolling.set_up(pair, sync_wait_ms=str(request.param), duplicatesuppression=False, sync_repeat_interval="1h")
    pair.primary.add_service("pop3")
    rolling.daemon(pair.primary)
    pair.start()
    rolling.caught_up(pair.primary)  # the channel begins
    for user in ("alice", "bob"):
        pair.primary.add_user(user)
        pair.replica.add_user(user)
        pair.primary.create_user(user)
    return pair


def numbers(server, user):
    with server.imap(user) as imap:
        imap.ok("SELECT INBOX")
        told = imap.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
        imap.logout()
    return {int(n) for n in re.findall(r"number (\d+)\D", str(told.untagged))}


class Client(threading.Thread):
    """Puts messages into an INBOX until the server is gone, and remembers which were acknowledged."""

    def __init__(self, server, user, first):
        super().__init__()
        self.server, self.user, self.first, self.told = server, user, first, []
        self.start()

    def put(self):
        raise NotImplementedError

    def run(self):
        with contextlib.suppress(OSError, EOFError, Rejected):
            self.put()


class Appends(Client):
    def put(self):
        with self.server.imap(self.user) as imap:
            for n in range(self.first, self.first + 10000):
                imap.append("INBOX", message(n, f"number {n}."))
                self.told.append(n)


class Deliveries(Client):
    def put(self):
        with self.server.lmtp() as lmtp:
            for n in range(self.first, self.first + 10000):
                (code, _), = lmtp.deliver(message(n, f"number {n}."), self.user)
                assert code == 250
                self.told.append(n)


@pytest.mark.parametrize("rolls", [60000], indirect=True)
def test_acknowledged_is_on_the_replica(rolls):
    """Every process of the primary is killed at a random moment; the replica alone has all that clients were told of."""
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    told = {"alice": set(), "bob": set()}
    for turn in range(KILLS):
        clients = [Appends(rolls.primary, "alice", turn * 10000), Deliveries(rolls.primary, "bob", turn * 10000)]
        enough = rng.randrange(5, 25)
        while any(client.is_alive() and len(client.told) < enough for client in clients):
            time.sleep(rng.random() * 0.01)
        rolls.primary.kill()
        for client in clients:
            client.join()
            assert len(client.told) >= enough, f"seed {seed}"
            told[client.user] |= set(client.told)
            assert told[client.user] - numbers(rolls.replica, client.user) == set(), f"seed {seed}"
        rolls.primary.start()
    assert LATE not in rolls.primary.log_text()


@pytest.mark.parametrize("rolls", [3000], indirect=True)
def test_dead_replica(rolls):
    """It is waited for once; then mail goes on without it, until it has caught up."""
    primary, replica = rolls.primary, rolls.replica
    primary.deliver(message(1, "number 1."), "bob")
    assert numbers(replica, "bob") == {1}
    replica.kill()
    with primary.imap("alice") as imap:
        imap.append("INBOX", message(2, "number 2."))
        imap.logout()
    for n in range(3, 13):
        primary.deliver(message(n, f"number {n}."), "bob")
    assert primary.log_text().count(LATE) == 1 and AGAIN not in primary.log_text()

    replica.start()
    deadline = time.monotonic() + 60
    while AGAIN not in primary.log_text():
        assert time.monotonic() < deadline, primary.log_text()[-4000:]
        time.sleep(0.05)
    assert numbers(replica, "alice") == {2} and numbers(replica, "bob") == {1, *range(3, 13)}
    for n in range(13, 18):
        primary.deliver(message(n, f"number {n}."), "bob")
        assert n in numbers(replica, "bob")
    with primary.pop3("bob") as pop3:
        pop3.ok("DELE 1")
        pop3.ok("QUIT")
    assert 1 not in numbers(replica, "bob")
    text = primary.log_text()
    assert text.count(LATE) == 1 and text.count(AGAIN) == 1

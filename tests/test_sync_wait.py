# SPDX-License-Identifier: BSD-3-Clause
"""sync_wait_ms: what a client was told is done is on the replica, unless the log says that it is late (doc/rolling.md)."""

import contextlib
import os
import random
import re
import signal
import threading
import time

import pytest

from cyltest import processes, rolling
from cyltest.clients import Rejected
from cyltest.syncdata import message

KILLS = int(os.environ.get("CYL_SYNC_WAIT_KILLS", "3"))
PROCESS_KILLS = int(os.environ.get("CYL_SYNC_WAIT_PROCESS_KILLS", "12"))
ALL_KILLS = int(os.environ.get("CYL_SYNC_WAIT_ALL_KILLS", "10"))
SMALL = 250  # trials, then with other mailboxes, which are small
LATE = "did not acknowledge within"
AGAIN = "has caught up: synchronous again"


def set_up(pair, *args, channel=None, **conf):
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|IOERROR|signaled|abnormally|zero length|response|Can not connect|journal: ")
    rolling.set_up(pair, duplicatesuppression=False, sync_repeat_interval="1h", **conf)
    pair.primary.add_service("pop3")
    rolling.daemon(pair.primary, *args)
    pair.start()
    rolling.caught_up(pair.primary, channel)  # the channel begins
    if pair.replica.daemons:
        rolling.caught_up(pair.replica)
    for user in ("alice", "bob"):
        pair.primary.add_user(user)
        pair.replica.add_user(user)
        pair.primary.create_user(user, "Work")


def numbers(server, user):
    with server.imap(user) as imap:
        imap.ok("SELECT INBOX")
        told = imap.ok("UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
        imap.logout()
    return {int(n) for n in re.findall(r"number (\d+)\D", str(told.untagged))}


class Watch:
    """What an INBOX has, by a session that stays; only what is new is read."""

    def __init__(self, server, user):
        self.imap, self.numbers, self.uid = server.imap(user), set(), 0

    def now(self):
        self.imap.ok("EXAMINE INBOX")
        told = self.imap.ok(f"UID FETCH {self.uid + 1}:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        for line in map(str, told.untagged):
            uid, n = re.search(r"UID (\d+)", line), re.search(r"number (\d+)\D", line)
            if uid and n:
                self.uid = max(self.uid, int(uid.group(1)))
                self.numbers.add(int(n.group(1)))
        return self.numbers


class Client(threading.Thread):
    """Puts messages into an INBOX until the server is gone, and remembers which were acknowledged."""

    def __init__(self, server, user, first):
        super().__init__()
        self.server, self.user, self.first, self.told = server, user, first, []
        self.start()

    def put(self, first):
        raise NotImplementedError

    def tell(self, n):
        self.told.append(n)

    def run(self):
        with contextlib.suppress(OSError, EOFError, Rejected):
            self.put(self.first)


class Appends(Client):
    def put(self, first):
        with self.server.imap(self.user) as imap:
            for n in range(first, first + 10000):
                imap.append("INBOX", message(n, f"number {n}."))
                self.tell(n)


class Deliveries(Client):
    def put(self, first):
        with self.server.lmtp() as lmtp:
            for n in range(first, first + 10000):
                (code, _), = lmtp.deliver(message(n, f"number {n}."), self.user)
                assert code == 250
                self.tell(n)


def test_acknowledged_is_on_the_replica(pair):
    """Every process of the primary is killed at a random moment; the replica alone has all that clients were told of."""
    set_up(pair, sync_wait_ms=60000, durability="sync(1)")
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    there = {user: Watch(pair.replica, user) for user in ("alice", "bob")}
    for turn in range(KILLS):
        clients = [Appends(pair.primary, "alice", turn * 10000), Deliveries(pair.primary, "bob", turn * 10000)]
        enough = rng.randrange(1, 10)
        while any(client.is_alive() and len(client.told) < enough for client in clients):
            time.sleep(rng.random() * 0.01)
        pair.primary.kill()
        for client in clients:
            client.join()
            assert len(client.told) >= enough, f"seed {seed}"
            assert set(client.told) - there[client.user].now() == set(), f"seed {seed}"
        pair.primary.start()
    assert LATE not in pair.primary.log_text()


class Steady(threading.Thread):
    """A client that begins anew whenever its connection is gone, until it is told to stop."""

    def __init__(self, kind, server, user):
        super().__init__()
        self.kind, self.server, self.user, self.told, self.over = kind, server, user, [], False
        self.start()

    def run(self):
        for first in range(0, 1 << 40, 10000):
            if self.over:
                return
            with contextlib.suppress(OSError, EOFError, Rejected):
                self.kind.put(self, first)

    def tell(self, n):
        self.told.append(n)
        if self.over:
            raise EOFError


def test_processes_are_killed(pair):
    """imapd, lmtpd or the rolling client, at random moments, while the others go on: at any time the replica has what clients were told of."""
    set_up(pair, sync_wait_ms=60000, durability="sync(1)")
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    there = {user: Watch(pair.replica, user) for user in ("alice", "bob")}
    clients = [Steady(Appends, pair.primary, "alice"), Steady(Deliveries, pair.primary, "bob")]
    try:
        kills, looks = 0, 0
        while kills < PROCESS_KILLS:
            time.sleep(rng.random() * 0.05)
            kills += pair.primary.kill_children(rng.choice(("imapd", "lmtpd", "sync_client")))
            for client in clients:
                told = set(client.told)
                assert told - there[client.user].now() == set(), f"seed {seed}"
            looks += 1
    finally:
        for client in clients:
            client.over = True
        for client in clients:
            client.join(70)
    for client in clients:
        assert set(client.told) - there[client.user].now() == set(), f"seed {seed}"
        assert client.told
    print(f"{kills} kills, {sum(len(client.told) for client in clients)} acknowledged")
    assert LATE not in pair.primary.log_text()


def stop_master(server):
    """It starts nobody, and what it has started may be killed at one moment."""
    server.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, server.pid, os.WSTOPPED)


def kill_all_but_master(server):
    """All that hold anything, while master is stopped."""
    pids = server.children()
    for pid in pids:
        processes.kill(pid)
    assert not processes.wait_gone(pids, 10)
    return len(pids)


def go_on(server):
    """SIGHUP: of a service whose processes die again and again master waits to be told."""
    server.send_signal(signal.SIGHUP)
    server.send_signal(signal.SIGCONT)


def small_mailboxes(pair, turn):
    users = [f"alice{turn}", f"bob{turn}"]
    for user in users:
        pair.primary.add_user(user)
        pair.replica.add_user(user)
        pair.primary.create_user(user)
    return users


def test_all_are_killed_at_once(pair):
    """As above without the start of a server, so that it may be done 10,000 times: all but master, which holds nothing, and which is stopped until
    the replica was asked, so that nothing was brought over later. What died begins anew with the state that is there, without a recovery."""
    set_up(pair, sync_wait_ms=60000, durability="sync(1)")
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    began, killed, told = time.monotonic(), 0, {}
    for trial in range(ALL_KILLS):
        if trial % SMALL == 0:
            users = small_mailboxes(pair, trial)
            there = {user: Watch(pair.replica, user) for user in users}
            told.update({user: set() for user in users})
        clients = [kind(pair.primary, user, trial * 10000) for kind, user in zip((Appends, Deliveries), users)]
        enough = rng.randrange(1, 5)
        while any(client.is_alive() and len(client.told) < enough for client in clients):
            time.sleep(0.001)
        time.sleep(rng.random() * 0.01)
        stop_master(pair.primary)
        killed += kill_all_but_master(pair.primary)
        for client in clients:
            client.join(30)
            assert not client.is_alive() and len(client.told) >= enough, f"seed {seed}, trial {trial}"
            told[client.user].update(client.told)
            assert told[client.user] - there[client.user].now() == set(), f"seed {seed}, trial {trial}"
        go_on(pair.primary)
        if trial % SMALL == SMALL - 1 or trial == ALL_KILLS - 1:
            for user in users:
                there.pop(user).imap.logout()
                assert told[user] - numbers(pair.primary, user) == set(), f"seed {seed}, trial {trial}"
    print(f"{ALL_KILLS} trials, {killed} processes, {sum(map(len, told.values()))} acknowledged, {(time.monotonic() - began) / ALL_KILLS:.3f} s each")
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, *told)
    assert LATE not in pair.primary.log_text()


@pytest.fixture
def far(pair):
    """A channel of its own, two workers, and a bound that the test waits for now and then."""
    set_up(pair, "-n", "far", "-j", "2", channel="far", sync_log_channels="far squatter", far_sync_wait_ms=3000)
    return pair


def put(server, first, beyond):
    for n in range(first, beyond):
        server.deliver(message(n, f"number {n}."), "bob")


def becomes_synchronous(server, times):
    deadline = time.monotonic() + 60
    while server.log_text().count(AGAIN) < times:
        assert time.monotonic() < deadline, server.log_text()[-4000:]
        time.sleep(0.05)
    assert server.log_text().count(AGAIN) == server.log_text().count(LATE) == times


def damage_index(server, name):
    """What puts it right again."""
    index = os.path.join(server.run("mbpath", "-M", name).stdout.strip(), "cyrus.index")
    with open(index, "r+b") as f:
        good = f.read(96)
        f.seek(0)
        f.write(b"\xff" * 96)

    def repair():
        with open(index, "r+b") as f:
            f.write(good)
    return repair


def test_what_is_not_on_the_replica_is_late(far):
    """It is waited for once; then mail goes on without it, until it has caught up."""
    primary, replica = far.primary, far.replica
    put(primary, 1, 2)
    assert numbers(replica, "bob") == {1}

    replica.kill()
    with primary.imap("alice") as imap:
        imap.append("INBOX", message(2, "number 2."))
        imap.logout()
    put(primary, 3, 13)
    assert primary.log_text().count(LATE) == 1 and AGAIN not in primary.log_text()
    replica.start()
    becomes_synchronous(primary, 1)
    assert numbers(replica, "alice") == {2} and numbers(replica, "bob") == {1, *range(3, 13)}
    for n in range(13, 18):
        put(primary, n, n + 1)
        assert n in numbers(replica, "bob")
    with primary.pop3("bob") as pop3:
        pop3.ok("DELE 1")
        pop3.ok("QUIT")
    assert 1 not in numbers(replica, "bob")
    assert primary.log_text().count(LATE) == 1

    # a mailbox that fails: nobody can say of whom an acknowledgement would not be true
    repair = damage_index(primary, "user.alice.Work")
    primary.run("cyr_synclog", "-m", "user.alice.Work")
    rolling.wait_until(primary, lambda now: now.get("failing"), "far")
    put(primary, 18, 20)
    assert primary.log_text().count(LATE) == 2 and primary.log_text().count(AGAIN) == 1
    repair()
    becomes_synchronous(primary, 2)

    # a replica whose journal can't be synced has nothing durably
    replica.stop()
    replica.env["CYLINDER_DISKIO_FAULT"] = "fdatasync:1+:EIO:/conf/journal/"
    replica.start()
    put(primary, 20, 22)
    assert primary.log_text().count(LATE) == 3 and primary.log_text().count(AGAIN) == 2
    del replica.env["CYLINDER_DISKIO_FAULT"]
    replica.restart()
    becomes_synchronous(primary, 3)
    assert numbers(replica, "bob") == set(range(3, 22))

    primary.stop()
    primary.run("sync_client", "--forget", "--force", "-n", "far")
    assert not os.path.exists(rolling.log_path(primary, "acknowledged", "far"))


def test_link_of_a_chain(factory, pair):
    """What the first server acknowledges is on the last."""
    last = factory("last")
    last.conf.update(rolling.CONF)
    last.add_user("bob")
    middle = pair.replica
    rolling.set_up(type(pair)(middle, last), sync_log_chain=True, sync_repeat_interval="1h", sync_wait_ms=3000)
    rolling.daemon(middle)
    last.start()
    set_up(pair, sync_wait_ms=60000)
    for n in range(1, 6):
        put(pair.primary, n, n + 1)
        assert numbers(last, "bob") == set(range(1, n + 1))
    last.kill()
    put(pair.primary, 6, 8)
    assert (middle.log_text().count(LATE), pair.primary.log_text().count(LATE)) == (1, 0)

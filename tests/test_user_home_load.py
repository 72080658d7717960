# SPDX-License-Identifier: BSD-3-Clause
"""A pair whose users are at home half here, half there: a rolling sync_client at each end, deliveries, APPEND, STORE and EXPUNGE at
both, and users who go from one home to the other, at random, all the time. In the end check_replication is clean for each, no message
that was acknowledged is missing or doubled, and none that was expunged is back (W028).

CYL_HOME_USERS    how many users (default 8)
CYL_HOME_SECONDS  how long (default 6)
CYL_HOME_AT_ONCE  so many go in one run of failover (default: an eighth of them)
CYL_HOME_KILLS    seconds between two times that somebody is killed: a sync_client, the sync_servers of an end, the tool, all of an end
                  (default 1.5; 0: nobody)
CYL_HOME_THREADS  how many clients work at once (default 3)
CYL_HOME_SEED     the seed (default 2026)
"""

import os
import random
import re
import threading
import time

from cyltest import processes, rolling
from cyltest.clients import Rejected
from cyltest.credentials import password
from cyltest.syncdata import message
from test_user_home import home, listed, set_up

COUNT = int(os.environ.get("CYL_HOME_USERS") or 8)
SECONDS = float(os.environ.get("CYL_HOME_SECONDS") or 6)
AT_ONCE = int(os.environ.get("CYL_HOME_AT_ONCE") or max(1, COUNT // 8))
KILLS = float(os.environ.get("CYL_HOME_KILLS") or 1.5)
THREADS = int(os.environ.get("CYL_HOME_THREADS") or 3)
SEED = int(os.environ.get("CYL_HOME_SEED") or 2026)
USERS = [f"u{n:05d}" for n in range(COUNT)]
GONE = (EOFError, OSError, AssertionError)  # Rejected is an AssertionError
# A conversation's number rises with what comes and goes between two runs, of which the replica does not hear.
ALLOWED = re.compile(r" conversations' modseq: ")


class Numbers:
    def __init__(self):
        self.lock, self.n = threading.Lock(), 0

    def next(self):
        with self.lock:
            self.n += 1
            return self.n


class Client(threading.Thread):
    """Works on some users, who are nobody else's. One in five times he tries the wrong end first."""

    def __init__(self, pair, users, numbers, seed, over):
        super().__init__(daemon=True)
        self.ends, self.users, self.numbers, self.over = (pair.primary, pair.replica), users, numbers, over
        self.rng = random.Random(seed)
        self.guess = {user: 0 for user in users}
        self.taken = {user: set() for user in users}     # acknowledged
        self.offered = {user: set() for user in users}   # perhaps there
        self.doomed = {user: set() for user in users}    # perhaps expunged
        self.expunged = {user: set() for user in users}  # acknowledged
        self.done, self.refused, self.broken = 0, 0, 0
        self.problem = None

    def session(self, server, user):
        imap = server.imap()
        try:
            imap.login_as(user, "front", password("front"))  # of proxyservers: nobody has to have a password of his own
        except BaseException:
            imap.close()
            raise
        return imap

    def deliver(self, server, user):
        n = self.numbers.next()
        self.offered[user].add(n)
        with server.lmtp() as lmtp:
            code = lmtp.deliver(message(n), [user])[0][0]
        if code == 250:
            self.taken[user].add(n)
        else:
            raise Rejected(f"{code}")

    def append(self, server, user):
        n = self.numbers.next()
        with self.session(server, user) as imap:
            self.offered[user].add(n)
            imap.append("INBOX", message(n), self.rng.choice((r"\Seen", "$Label1")))
        self.taken[user].add(n)

    def store(self, server, user):
        with self.session(server, user) as imap:
            imap.ok("SELECT INBOX")
            imap.ok(rf"UID STORE 1:* {self.rng.choice('+-')}FLAGS ({self.rng.choice((chr(92) + 'Flagged', chr(92) + 'Seen', 'later'))})")

    def expunge(self, server, user):
        with self.session(server, user) as imap:
            imap.ok("SELECT INBOX")
            lines = imap.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])").untagged
            there = dict((uid, int(n)) for line in lines for uid, n in re.findall(rb"UID (\d+).*?<m(\d+)@", line, re.S))
            if len(there) < 2:
                return
            uid = self.rng.choice(sorted(there))
            self.doomed[user].add(there[uid])
            imap.ok(rf"UID STORE {uid.decode()} +FLAGS (\Deleted)")
            imap.ok(f"UID EXPUNGE {uid.decode()}")
            self.expunged[user].add(there[uid])

    def one(self):
        user = self.rng.choice(self.users)
        op = self.rng.choice((self.deliver, self.deliver, self.append, self.store, self.expunge))
        if self.rng.randrange(5) == 0:
            self.guess[user] ^= 1
        try:
            op(self.ends[self.guess[user]], user)
            self.done += 1
        except Rejected as e:
            if not re.search(r"UNAVAILABLE|451|home", str(e)):
                raise
            self.refused += 1
            self.guess[user] ^= 1
        except GONE:
            self.broken += 1
            time.sleep(0.05)

    def run(self):
        try:
            while not self.over.is_set():
                self.one()
        except Exception as e:  # told by the main thread
            self.problem = e


class Flips:
    """Some go from one end to the other; who is met half way is brought to an end by the next who comes by."""

    def __init__(self, pair, rng):
        self.ends, self.rng, self.times, self.users = (pair.primary, pair.replica), rng, 0, 0
        self.codes = {}

    def once(self):
        server = self.rng.choice(self.ends)
        users = self.rng.sample(USERS, AT_ONCE)
        verb = self.rng.choice(([], [], ["--take", "--wait", "5"]))
        server.env.pop("CYLINDER_DISKIO_KILL", None)
        if KILLS and self.rng.randrange(4) == 0:
            server.env["CYLINDER_DISKIO_KILL"] = f"change:{self.rng.randint(1, 8 * AT_ONCE)}"
        done = server.run("failover", "home", *verb, "-f", "-", data="\n".join(users) + "\n", check=False, timeout=600)
        server.env.pop("CYLINDER_DISKIO_KILL", None)
        self.codes[done.returncode] = self.codes.get(done.returncode, 0) + 1
        self.times += 1
        self.users += done.stdout.count(": home is ")


def kill_someone(rng, ends):
    server = rng.choice(ends)
    kind = rng.choice(("client", "client", "servers", "all"))
    if kind == "client":
        for pid in server.children("sync_client"):
            processes.kill(pid)
    elif kind == "servers":
        server.kill_children("sync_server")
    else:
        server.kill()
        server.start()


def settle(pair):
    """Nobody is half way any more: who has left is brought by where he was."""
    for _ in range(10):
        left = 0
        for server in (pair.primary, pair.replica):
            goes = [user for user, one in listed(server).items()
                    if one["state"] == "on the way" and one["home"]["server"] != server.conf["servername"]]
            if goes:
                server.run("failover", "home", "-f", "-", data="\n".join(goes) + "\n", check=False, timeout=600)
            left += len(goes)
        if not left:
            return
    raise AssertionError(f"still on the way: {left}")


def read_all(server):
    """{user: numbers of his messages, each as often as it is there}"""
    found = {}
    with server.imap("admin") as imap:
        for user in USERS:
            imap.ok(f"EXAMINE user.{user}")
            lines = imap.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])").untagged
            found[user] = sorted(int(n) for line in lines for n in re.findall(rb"<m(\d+)@", line))
        imap.logout()
    return found


def make_users(pair):
    a, b = pair.primary, pair.replica
    with a.imap("admin") as imap:
        for user in USERS:
            imap.ok(f"CREATE user.{user}")
            imap.ok(f"SETACL user.{user} admin lrs")
        imap.logout()
    a.run("sync_client", "-A", timeout=3600)
    a.run("failover", "home", "--here", "--all", timeout=3600)
    a.run("failover", "home", "-f", "-", data="\n".join(USERS[::2]) + "\n", timeout=3600)
    states = [one["state"] for one in listed(a).values()]
    assert states.count("elsewhere") == len(USERS[::2]) and states.count("here") == len(USERS[1::2])


def must_be_clean(pair):
    done = pair.primary.run("check_replication", *pair.labels(), *USERS, check=False, timeout=3600)
    different = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("u0", "Quota mismatch"))]
    assert all(ALLOWED.search(line) for line in different) and (different or not done.returncode), \
        (done.returncode, done.stdout[-3000:], done.stderr[-3000:])


def test_users_go_to_and_fro_under_load(factory):
    pair = set_up(factory, roll=True, users=(), proxyservers="front", proxy_authname="repl", proxy_password=password("repl"),
                  sync_reconnect_maxwait="1s")
    a, b = pair.primary, pair.replica
    for server in (a, b):
        server.add_user("front")
    pair.start()
    begun = time.monotonic()
    make_users(pair)
    print(f"{COUNT} users made, half at home at each end: {time.monotonic() - begun:.0f} s")
    over, numbers, rng = threading.Event(), Numbers(), random.Random(SEED)
    clients = [Client(pair, USERS[i::THREADS], numbers, SEED + i, over) for i in range(THREADS) if USERS[i::THREADS]]
    flips = Flips(pair, rng)
    for client in clients:
        client.start()
    end, kills, next_kill = time.monotonic() + SECONDS, 0, time.monotonic() + KILLS
    while time.monotonic() < end:
        flips.once()
        if KILLS and time.monotonic() > next_kill:
            kill_someone(rng, (a, b))
            kills += 1
            next_kill = time.monotonic() + KILLS
    over.set()
    for client in clients:
        client.join()
    assert not [client.problem for client in clients if client.problem], clients[0].problem
    settle(pair)
    for server in (a, b):
        rolling.caught_up(server, timeout=600)
    check(pair, clients)
    counts = {what: sum(getattr(client, what) for client in clients) for what in ("done", "refused", "broken")}
    print(f"{flips.users} users went in {flips.times} runs {flips.codes}, {kills} kills, {counts}, {time.monotonic() - begun:.0f} s")
    assert counts["done"] and flips.users


def check(pair, clients):
    there = [read_all(server) for server in (pair.primary, pair.replica)]
    for client in clients:
        for user in client.users:
            for found in there:
                here = set(found[user])
                assert len(here) == len(found[user]), f"{user}: doubled: {found[user]}"
                lost = client.taken[user] - client.doomed[user] - here
                assert not lost, f"{user}: lost: {sorted(lost)}"
                back = client.expunged[user] & here
                assert not back, f"{user}: came back: {sorted(back)}"
                assert here <= client.offered[user]
    must_be_clean(pair)

# SPDX-License-Identifier: BSD-3-Clause
"""move_user with groups: what they share, several at a time, and many under load while processes die."""

import glob
import os
import random
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cyltest import processes
from cyltest.clients import Rejected
from cyltest.dlist import parse
from cyltest.moves import subjects, two_servers
from cyltest.syncdata import login, message

USERS = int(os.environ.get("CYL_MOVE_USERS", "6"))
EVERY = float(os.environ.get("CYL_MOVE_KILL", "0.5"))  # seconds between two kills; 0: none
JOBS = int(os.environ.get("CYL_MOVE_JOBS", "3"))
CLIENTS = int(os.environ.get("CYL_MOVE_CLIENTS", "2"))  # that work at the same time
WORKING = 24  # of the users have clients
BATCH = 50


@pytest.fixture(scope="module", name="servers")
def _servers(module_factory):
    return two_servers(module_factory, autocreate_post=True, autocreate_quota=10000, autocreate_inbox_folders="Work", popminpoll=0)


# ---- many users, made quickly ----

def make(server, users):
    """Each with three messages, a folder that the next one may read, has subscribed to and has read to."""
    with server.lmtp() as lmtp:
        for n in range(3):
            assert all(code == 250 for code, _ in lmtp.deliver(message(n), users))
        lmtp.quit()


def share(server, pairs):
    """(owner, reader): the reader's rights, subscription and seen state on the owner's Work."""
    with server.imap("admin") as imap, login(server) as csync:
        for owner, reader in pairs:
            imap.ok(f"SETACL user.{owner}.Work {reader} lrs")
            csync.ok(f"APPLY SUB %(USERID {reader} MBOXNAME user.{owner}.Work)")
            uniqueid = next(value["UNIQUEID"] for kind, value in told(csync, owner) if kind == "MAILBOX" and value["MBOXNAME"].endswith(b".Work"))
            csync.ok(f"APPLY SEEN %(USERID {reader} UNIQUEID {uniqueid.decode()} LASTREAD 10 LASTUID 2 LASTCHANGE 11 SEENUIDS 1:2)")
        imap.logout()


def fill(server, users):
    batches = [users[n:n + BATCH] for n in range(0, len(users), BATCH)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda batch: make(server, batch), batches))
        pairs = list(zip(users, users[1:] + users[:1]))
        list(pool.map(lambda batch: share(server, batch), [pairs[n:n + BATCH] for n in range(0, len(pairs), BATCH)]))


def told(csync, user):
    return [parse(line) for line in csync.ok(f"GET USER {user}").untagged]


def facts(csync, user):
    """What stays of him, whatever he does meanwhile, and what does not."""
    lasting, passing = [], []
    for kind, value in told(csync, user):
        if kind == "MAILBOX":
            lasting.append((kind, *(value[key] for key in ("MBOXNAME", "UNIQUEID", "UIDVALIDITY", "ACL", "QUOTAROOT", "MBOXTYPE") if key in value)))
            passing.append((value["MBOXNAME"], *(value[key] for key in ("SYNC_CRC", "SYNC_CRC_ANNOT", "LAST_UID", "HIGHESTMODSEQ"))))
        elif kind == "QUOTA":
            lasting.append((kind, value["ROOT"], value.get("STORAGE")))
        else:
            lasting.append((kind, repr(sorted(value) if kind == "LSUB" else value)))
    return sorted(lasting, key=repr), sorted(passing, key=repr)


def all_facts(server, users):
    with login(server) as csync:
        return {user: facts(csync, user) for user in users}


def states(server):
    """By cyr_user, of everybody it knows."""
    lines = [line.split("\t") for line in server.run("cyr_user", "list", "--all").stdout.splitlines()]
    return {line[0]: line[1] for line in lines if len(line) > 1}


def directories_of(server, uniqueids):
    """Those of mailboxes and users with something in them."""
    return [path for top in ("spool", "conf/user") for path in glob.glob(server.path(top, "uuid", "*", "*", "*"))
            if os.path.basename(path) in uniqueids and any(os.scandir(path))]


def uniqueids_of(before):
    return {fact[2].decode() for lasting, _ in before.values() for fact in lasting if fact[0] == "MAILBOX"}


# ---- what users share with each other ----

def rights(server, reader, owner):
    """What the reader sees of the owner's folder."""
    with server.imap(reader) as imap:
        name = f"user.{owner}.Work"
        seen = [line for line in imap.ok('LSUB "" *').untagged if name.encode() in line]
        mine = imap.ok(f"MYRIGHTS {name}").untagged
        unseen = imap.ok(f"STATUS {name} (MESSAGES UNSEEN)").untagged
        imap.logout()
    return seen, mine, unseen


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_group_that_shares_folders(servers, jobs):
    """Rights, subscriptions and seen state on each other's folders are there as they were; nobody's rest goes before all have moved."""
    one, two = servers.one, servers.two
    users = [f"group{jobs}{n}" for n in "abc"]
    pairs = [(owner, reader) for owner in users for reader in users if owner != reader]
    for user in users:
        for server in (one, two):
            server.add_user(user)
    make(one, users)
    with one.lmtp() as lmtp:
        for n in range(4):
            for user in users:
                lmtp.deliver(message(20 + n), [f"{user}+Work"])
        lmtp.quit()
    with one.imap("admin") as imap:
        for user in users:
            imap.ok(f"SETACL user.{user}.Work anyone p")
        imap.logout()
    with one.lmtp() as lmtp:
        for n in range(4):
            for user in users:
                assert lmtp.deliver(message(30 + n), [f"{user}+Work"])[0][0] == 250
        lmtp.quit()
    share(one, pairs)
    for owner, reader in pairs:
        with one.imap(reader) as imap:
            imap.ok(f"SELECT user.{owner}.Work")
            imap.ok(r"STORE 1 +FLAGS.SILENT (\Seen)")
            imap.logout()
    before = {pair: rights(one, pair[1], pair[0]) for pair in pairs}
    assert all(lsub and b"lrs" in mine[0] and b"UNSEEN 2" in unseen[0] for lsub, mine, unseen in before.values()), before
    facts_before = all_facts(one, users)
    said = servers.move("-S", "127.0.0.1", "--switch", servers.switch, "--grace", "0", "-j", jobs, *users)
    assert said.count(": moved\n") == 3 and said.rindex(": switched") < said.index(": moved\n"), said
    assert all_facts(two, users) == facts_before
    assert {pair: rights(two, pair[1], pair[0]) for pair in pairs} == before
    assert all(facts == ([], []) for facts in all_facts(one, users).values())
    two.run("reconstruct", "-n", "-r", "-f", *(f"user.{user}" for user in users), check=False)


def between(servers, users, what, wanted):
    """Moves two users who share a folder; calls what() when both are switched, and have not been compared again. What move_user said."""
    for user in users:
        for server in (servers.one, servers.two):
            server.add_user(user)
    make(servers.one, users)
    share(servers.one, [users])
    flag = servers.one.path(users[0])
    wait = f'[ "$1" = {users[0]} ] || {{ : >{flag}.there; while [ ! -e {flag}.on ]; do sleep 0.05; done; }}'
    args = ("-S", "127.0.0.1", "--switch", servers.switch, "--grace", "0", *users)
    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(servers.move, *args, env={"MOVE_AFTER": wait}, wanted=wanted)
        while not os.path.exists(f"{flag}.there") and not moving.done():
            time.sleep(0.02)
        try:
            what()
        finally:
            with open(f"{flag}.on", "w", encoding="ascii"):
                pass
        return moving.result()


def test_what_is_lost_on_the_way(servers):
    """Of what they share: told, and nothing is removed."""
    one, two = servers.one, servers.two
    a, b = users = ["lossa", "lossb"]
    ids = {}

    def lose():
        for lasting, _ in all_facts(two, users).values():
            ids.update((fact[1].decode(), fact[2].decode()) for fact in lasting if fact[0] == "MAILBOX")
        (seen,) = glob.glob(two.path("conf/user/uuid/*/*", ids[f"user.{b}"], "seen*"))
        two.run("cyr_dbtool", seen, "twoskip", "delete", ids[f"user.{a}.Work"])
        for path in glob.glob(two.path("conf/user/uuid/*/*", ids[f"user.{b}"], "sub*")):
            os.unlink(path)
        names = two.path("conf/mailboxes.db")
        key = f"Nuser\x1f{a}\x1fWork"
        entry = two.run("cyr_dbtool", names, "twoskip", "get", key).stdout.rstrip("\n")
        assert f"{b} lrs" in entry, entry
        two.run("cyr_dbtool", names, "twoskip", "set", key, entry.replace(f"{b} lrs", f"{b} l"))

    said = between(servers, users, lose, 75)
    for wanted in (f"DIFFERENCE user.{a}.Work: ACL: here <", f"DIFFERENCE subscription {b} user.{a}.Work: only here",
                   f"DIFFERENCE seen {b} {ids[f'user.{a}.Work']}: only here"):
        assert wanted in said, said
    assert said.count("nothing is removed here") == 2 and "moved\n" not in said, said
    assert [states(one)[user] for user in users] == ["moving-out"] * 2 and servers.left() == users
    servers.move("--abort", *users)


def test_what_was_changed_there(servers):
    """Rights, subscriptions and seen state that somebody has changed on the target meanwhile are no difference."""
    two = servers.two
    a, b = users = ["keepa", "keepb"]

    def change():
        with two.imap(b) as imap:
            imap.ok(f"UNSUBSCRIBE user.{a}.Work")
            imap.ok("UNSUBSCRIBE INBOX.Work")
            imap.logout()
        with login(two) as csync:
            uniqueid = next(fact[2].decode() for fact in facts(csync, a)[0] if fact[0] == "MAILBOX" and fact[1].endswith(b".Work"))
            csync.ok(f"APPLY SEEN %(USERID {b} UNIQUEID {uniqueid} LASTREAD 20 LASTUID 2 LASTCHANGE 21 SEENUIDS 1)")
        with two.imap("admin") as imap:
            imap.ok(f"SETACL user.{a}.Work {b} l")
            imap.logout()

    assert between(servers, users, change, 0).count(": moved\n") == 2


def test_still_for_a_few_commands(servers):
    """Who writes nothing is kept still for three commands to the target, however much mail and however many folders he has."""
    one = servers.one
    make(one, ["quiet1", "quiet2"])
    with one.imap("admin") as imap:
        imap.ok("SETACL user.quiet2 admin lrswipkxtea")
        for n in range(30):
            imap.ok(f"CREATE user.quiet2.f{n}")
            imap.ok(f"SETACL user.quiet2.f{n} admin lrswipkxtea")
            imap.append(f"user.quiet2.f{n}", message(n))
        for n in range(300):
            imap.append("user.quiet2", message(n))
        imap.logout()
    for user in ("quiet1", "quiet2"):
        said = servers.move("-S", "127.0.0.1", "--switch", servers.switch, "--grace", "0", "-v", user)
        assert re.search(r": switched: still for \d+ ms, 3 commands(; let go .*)?\n", said), said


class Locked:
    """A client of the source, who waits for his answers while he is kept still."""

    def __init__(self, server, user):
        self.user, self.pool = user, ThreadPoolExecutor(1)
        self.imap = server.imap(user)
        self.n, self.waiting, self.confirmed, self.refused = 500, None, [], 0

    def append(self):
        self.n += 1
        self.imap.append("INBOX", message(self.n))
        self.confirmed.append(f"test {self.n}")

    def write(self, patience=0.4):
        """Whether there is an answer soon; none while he is kept still."""
        try:
            if not self.waiting:
                self.waiting = self.pool.submit(self.append)
            self.waiting.result(patience)
        except TimeoutError:
            return False
        except (Rejected, EOFError, OSError):
            self.refused += 1
        self.waiting = None
        return True


def test_let_go_when_it_takes_long(servers):
    """A target that is slow to answer while the user is kept still: he may write again, and is moved after that."""
    one = servers.one
    make(one, ["slow"])
    one.add_user("slow")
    servers.two.add_user("slow")
    locked, slow = Locked(one, "slow"), []

    def on_command(command):
        slow.append(b"RECOUNT" in command) if not any(slow) else None
        if not any(slow) or locked.confirmed:
            return
        if locked.waiting and command.startswith(b"GET USER "):
            locked.waiting.result(20)
        elif not locked.waiting and command.startswith(b"GET USERSTATE"):
            assert not locked.write(1)  # and that was longer than he is to be kept still

    with servers.relay(on_command=on_command) as relay:
        said = servers.move("-S", relay.path, "--switch", servers.switch, "--grace", "0", "slow")
    assert re.search(r"; let go \d+ times before, after \d{3,} ms at most\n", said), said
    assert locked.confirmed == ["test 501"] and subjects(servers.two, "slow")[-1] == "test 501"


def test_slow_before_he_is_kept_still(servers):
    """A target that takes its time is asked again before anybody waits for it."""
    one = servers.one
    make(one, ["tardy1", "tardy2"])
    asked = {}
    for user, slow in (("tardy1", False), ("tardy2", True)):
        seen = []

        def on_command(command, seen=seen, slow=slow):
            if b"RECOUNT" in command or seen:
                seen.append(b" ".join(command.split()[:2]))
                if slow and command.startswith(b"GET USER ") and seen.count(b"GET USER") == 1:
                    time.sleep(0.8)

        with servers.relay(on_command=on_command) as relay:
            servers.move("-S", relay.path, "--switch", servers.switch, "--grace", "0", user)
        asked[user] = seen[:seen.index(b"GET USERSTATE")].count(b"GET USER")
    assert asked["tardy1"] >= 2 and asked["tardy2"] >= 3, asked


def test_who_is_never_still(servers):
    """Who writes before each comparison is let go, three times, and copied a last time while he waits then; nothing that was confirmed is lost."""
    one = servers.one
    make(one, ["busy"])
    one.add_user("busy")
    servers.two.add_user("busy")
    locked, recounted = Locked(one, "busy"), []

    def on_command(command):
        recounted.append(b"RECOUNT" in command) if not any(recounted) else None
        if any(recounted) and command.startswith(b"GET USER ") and not locked.refused:
            locked.write()

    with servers.relay(on_command=on_command) as relay:
        said = servers.move("-S", relay.path, "--switch", servers.switch, "--grace", "0", "busy")
    times = re.search("; let go ([123]) times before", said)
    assert times and (times.group(1) != "3" or "something came at the last moment; let go" in said), said
    found = subjects(servers.two, "busy")
    assert len(locked.confirmed) > 3 and not set(locked.confirmed) - set(found) and len(found) == len(set(found))


# ---- many, under load ----

class Client(threading.Thread):
    """Works as one user after the other, where the directory says: appends, delivers, and looks whether all is there that was."""

    def __init__(self, servers, users, seed):
        super().__init__(daemon=True)
        self.servers, self.users, self.rng = servers, users, random.Random(seed)
        self.over = threading.Event()
        self.confirmed = {user: [] for user in users}
        self.known = {user: (None, set()) for user in users}
        self.wrong, self.refused, self.n = [], 0, 1000 * (seed + 1)

    def look(self, user, imap):
        answer = imap.ok("SELECT INBOX")
        uidvalidity = re.search(rb"UIDVALIDITY (\d+)", b" ".join(answer.untagged)).group(1)
        (line,) = [line for line in imap.ok("UID SEARCH ALL").untagged if line.startswith(b"* SEARCH")]
        uids = set(line.split()[2:])
        was, had = self.known[user]
        if was not in (None, uidvalidity) or had - uids:
            self.wrong.append((user, was, uidvalidity, had - uids))
        self.known[user] = (uidvalidity, uids)

    def work(self, user):
        home = self.servers.lives(user)
        server = self.servers.two if home == "127.0.0.1" else self.servers.one
        subject = self.n = self.n + 1
        if self.rng.random() < 0.5:
            with server.imap(user) as imap:
                self.look(user, imap)
                imap.append("INBOX", message(subject))
                imap.logout()
        else:
            with server.lmtp() as lmtp:
                code, text = lmtp.deliver(message(subject), [user])[0]
                if code != 250:
                    raise Rejected(text)
                lmtp.quit()
        self.confirmed[user].append(f"test {subject}")

    def run(self):
        while not self.over.wait(self.rng.uniform(0, 0.2)):
            try:
                self.work(self.rng.choice(self.users))
            except (Rejected, EOFError, OSError):
                self.refused += 1

    def stop(self):
        self.over.set()
        self.join()


class Killer(threading.Thread):
    """Every now and then a process of either server dies, or move_user itself, or one of its workers."""

    def __init__(self, servers, every, seed):
        super().__init__(daemon=True)
        self.servers, self.every, self.rng = servers, every, random.Random(seed)
        self.over, self.killed = threading.Event(), []

    def kill(self, program):
        mover, server = self.servers.mover, self.rng.choice((self.servers.one, self.servers.two))
        if program == "move_user":
            if mover:
                mover.kill()
            return mover
        if program == "worker":
            workers = [pid for pid in self.servers.one.children("move_user") if mover and pid != mover.pid]
            if workers:
                processes.kill(self.rng.choice(workers), signal.SIGKILL)
            return workers
        return server.kill_children(program)

    def run(self):
        while not self.over.wait(self.rng.uniform(0.5, 1.5) * self.every):
            program = self.rng.choice(("move_user", "worker", "worker", "sync_server", "imapd", "lmtpd"))
            if self.kill(program):
                self.killed.append(program)


def move_all(servers, users, said):
    """Until all have moved: goes on with those that were begun, begins those that are as they were. How often move_user ran; said: what it said."""
    for runs in range(20 + len(users)):
        begun = [user for user in users if user in set(servers.left())]
        now = states(servers.one)
        fresh = [user for user in users if now.get(user) == "active" and user not in begun]
        if not begun and not fresh:
            return runs
        if begun:
            said.append(servers.move_killed("-j", str(JOBS), "--now", "--resume", *begun))
        else:
            said.append(servers.move_killed("-j", str(JOBS), "-S", "127.0.0.1", "--switch", servers.switch, "--grace", "0", *fresh))
    raise AssertionError("no end")


def still(said, users):
    """For how long they could not write, those of these users of whom it was told."""
    found = [(int(ms), user) for user, ms in re.findall(r"^(\S+): switched: still for (\d+) ms", "\n".join(said), re.M) if user in users]
    if not found:
        return "nobody"
    found.sort()
    times = [ms for ms, _ in found]
    return (f"{len(times)} users: median {times[len(times) // 2]}, 99 % {times[len(times) * 99 // 100]}, at most {times[-1]} ms, "
            f"longer than a second {sum(ms > 1000 for ms in times)}")


def let_go(said):
    """How often somebody could write again in between, and after how long at most."""
    found = [(int(n), int(ms)) for n, ms in re.findall(r"; let go (\d+) times before, after (\d+) ms at most", "\n".join(said))]
    return f"{sum(n for n, _ in found)} times, of {len(found)} users, after {max([ms for _, ms in found], default=0)} ms at most"


def confirmed_of(clients, user):
    return {subject for client in clients for subject in client.confirmed[user]}


def test_many_under_load_and_kills(servers):
    """CYL_MOVE_USERS move, CYL_MOVE_JOBS at a time, while CYL_MOVE_CLIENTS clients work and every CYL_MOVE_KILL seconds a process dies: nobody is lost or on both,
    nothing is left here, no client misses a message that it saw, or that was confirmed, or finds another UIDVALIDITY."""
    one, two = servers.one, servers.two
    users = [f"many{n:05d}" for n in range(USERS)]
    began = time.monotonic()
    fill(one, users)
    random.Random(3).shuffle(users)
    working = sorted(users[::max(1, len(users) // WORKING)])[:WORKING]
    for user in working:
        one.add_user(user)
        two.add_user(user)
    before = all_facts(one, users)
    ids = uniqueids_of(before)
    assert len(ids) == 2 * len(users) and len(directories_of(one, ids)) >= len(ids)
    filled = time.monotonic()
    clients = [Client(servers, working, seed) for seed in range(CLIENTS)]
    killer, said = Killer(servers, EVERY, 7), []
    for thread in (*[killer] * (EVERY > 0), *clients):
        thread.start()
    runs = move_all(servers, users, said)
    moved = time.monotonic()
    killer.over.set()
    if EVERY:
        killer.join()
    for client in clients:
        client.stop()
    after, gone, now = all_facts(two, users), all_facts(one, users), states(one)
    worked = {user for user in working if confirmed_of(clients, user)}
    for user in users:
        assert after[user][0] == before[user][0], user
        assert user in worked or user in working or after[user] == before[user], user
        assert gone[user] == ([], []) and now[user] == "moved" and servers.lives(user) == "127.0.0.1", user
    assert not [client.wrong for client in clients if client.wrong]
    for user in working:
        found = subjects(two, user)
        assert not confirmed_of(clients, user) - set(found), user
    one.run("ctl_cyrusdb", "-c")
    assert not directories_of(one, ids) and len(directories_of(two, ids)) >= len(ids)
    assert not servers.left()
    print(f"{len(users)} users moved in {moved - filled:.0f} s by {runs} runs with {JOBS} workers (filled in {filled - began:.0f} s); "
          f"{len(killer.killed)} processes killed: { {name: killer.killed.count(name) for name in sorted(set(killer.killed))} }; "
          f"{sum(len(texts) for client in clients for texts in client.confirmed.values())} changes confirmed to clients, "
          f"{sum(client.refused for client in clients)} refused or cut off")
    busy = set(working) if CLIENTS else set()
    print(f"still: of those with clients {still(said, busy)}; of the others {still(said, set(users) - busy)}; let go before: {let_go(said)}")

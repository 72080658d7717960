# SPDX-License-Identifier: BSD-3-Clause
"""sync_client -j: several users at once, each whole, and nobody's fault is another's."""

import glob
import random
import re
import signal
import subprocess
import threading
import time

import pytest

from cyltest import processes, randomusers, rolling
from cyltest.relay import Relay
from cyltest.syncdata import assert_same, login, sent_commands

USERS = [f"user{n:02d}" for n in range(20)]


@pytest.fixture
def pair(pair):
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|IOERROR|signaled|abnormally|zero length|response|Can not connect")
    return rolling.set_up(pair)


@pytest.fixture
def filled(pair):
    pair.start()
    randomusers.make(pair.primary, random.Random(4), *USERS)
    return pair


@pytest.fixture
def few(pair):
    pair.start()
    randomusers.make(pair.primary, random.Random(5), "anna", "ben", "cleo")
    return pair


def sync(pair, *args, check=True):
    return pair.primary.run("sync_client", "-o", *args, check=check)


def logins(server):
    return len(re.findall(r"csync\[\d+\]: login: ", server.log_text()))


def must_be_same(pair, *users):
    for user in users:
        assert_same(pair.primary, pair.replica, user)
    assert sent_commands(sync(pair, "-v", "-v", "-u", *users)) == []


def parts(stdout):
    """What is said of each user, by user; nothing else is between."""
    found, lines = {}, None
    for line in stdout.splitlines():
        if line.startswith("USER "):
            lines = found.setdefault(line[5:], [])
        elif " mailboxes updated, " in line:
            lines = None
        elif line != "ENABLE 0x800":
            lines.append(line)
    return found


# ---- one run ----


@pytest.mark.parametrize("what", [["-A"], ["-u", *USERS]], ids=["all", "named"])
def test_ends_are_equal(filled, what):
    before = logins(filled.replica)
    done = sync(filled, "-j", "4", "-v", *what)
    assert 2 <= logins(filled.replica) - before <= 4
    said = parts(done.stdout)
    assert sorted(said) == USERS
    for user, lines in said.items():
        assert all(user in line for line in lines), lines
    must_be_same(filled, *USERS)


def test_both_ends_have_changed(filled):
    sync(filled, "-j", "4", "-A")
    for n, server in enumerate((filled.primary, filled.replica)):
        for user in USERS:
            server.add_user(user)
            with server.imap(user) as imap:
                imap.append("INBOX", f"Subject: of end {n}\r\n\r\n{n}\r\n".encode())
                imap.logout()
    sync(filled, "-j", "5", "-A", "--verify")
    must_be_same(filled, *USERS)


def test_the_same_is_said_and_counted_as_by_one(pair):
    """The contents of the second ten are those of the first."""
    pair.start()
    told = []
    for name, args in (("a", []), ("b", ["-j", "3"])):
        users = [f"{name}user{n}" for n in range(10)]
        randomusers.make(pair.primary, random.Random(3), *users)
        told.append(sync(pair, *args, "-v", "-u", *users).stdout)
    assert parts(told[0]) == {"a" + user[1:]: [line.replace("buser", "auser") for line in lines]
                              for user, lines in parts(told[1]).items()}
    counts = [re.search(r"^(.*) in [\d.]+ seconds$", stdout, re.M)[1] for stdout in told]
    assert counts[0] == counts[1] and not counts[0].startswith("0 ")


@pytest.mark.parametrize("mode", ["-u", "-R"])
def test_one_that_the_replica_is_slow_about_keeps_nobody(few, mode):
    """The first is answered when one of the others is done and the last is asked about."""
    told, others = [], threading.Event()

    def on_command(command):
        told.append(command)
        if command.startswith(b"GET USER anna"):
            assert others.wait(60)
        if {b"ben", b"cleo"} <= {word for line in told for word in re.findall(rb"^GET USER (\w+)", line)}:
            others.set()

    few.replica.stop()
    few.replica.add_service("csyncunix", cmd="sync_server", listen=few.replica.path("conf/socket/csync"))
    few.replica.write_conf()
    few.replica.start()
    path = rolling.write_log(few.primary, [f"USER {user}" for user in ("anna", "ben", "cleo")], name="mine")
    with Relay(few.primary.path("tmp", "relay"), few.replica.path("conf/socket/csync"), on_command=on_command) as relay:
        done = sync(few, "-j", "2", "-v", "-S", relay.path, *(["-u", "anna", "ben", "cleo"] if mode == "-u" else ["-R", "-f", path]))
    said = list(parts(done.stdout))
    assert said[0] == "ben" and sorted(said) == ["anna", "ben", "cleo"]
    must_be_same(few, "anna", "ben", "cleo")


def test_one_is_as_none(few):
    done = sync(few, "-j", "1", "-v", "-u", "anna", "ben")
    assert logins(few.replica) == 1
    assert list(parts(done.stdout)) == ["anna", "ben"]


def test_differences_of_all_are_counted(few):
    sync(few, "-j", "2", "-A")
    with login(few.replica) as csync:
        for user in ("anna", "cleo"):
            csync.ok(f"APPLY SEEN %(USERID {user} UNIQUEID foreign LASTREAD 1 LASTUID 2 LASTCHANGE 3 SEENUIDS 1:2)")
    for mode in (["-A"], ["-s", "anna", "ben", "cleo"]):
        done = sync(few, "-j", "3", "-v", "--verify", *mode, check=False)
        assert done.returncode == 1
        assert sorted(re.findall("^DIFFERENCE seen (.*)", done.stdout, re.M)) == [
            "anna foreign: only on the replica", "cleo foreign: only on the replica"]
        assert done.stdout.endswith(", 2 differences left\n")


def test_meta_and_shared_mailboxes(few):
    with few.primary.imap("admin") as imap:
        for n in range(8):  # nobody's: all of them have one lock
            imap.ok(f"CREATE news{n}")
        imap.logout()
    sync(few, "-j", "4", "-A")
    with few.replica.imap("admin") as imap:
        assert len(imap.ok('LIST "" news*').find("* LIST")) == 8
        imap.logout()
    with few.primary.imap("ben") as imap:
        imap.ok("SUBSCRIBE INBOX")
        imap.logout()
    sync(few, "-j", "2", "-s", "anna", "ben")
    must_be_same(few, "anna", "ben", "cleo")


def test_folders_that_went_to_other_users(filled):
    """Who gives and who gets are met by two workers at once."""
    sync(filled, "-j", "4", "-A")
    with filled.primary.imap("admin") as imap:
        for user in USERS:
            imap.ok(f"SETACL user.{user} admin lrswipkxtecda")
            imap.ok(f"CREATE user.{user}.Gift")
            imap.ok(f"SETACL user.{user}.Gift admin lrswipkxtecda")
        imap.logout()
    sync(filled, "-j", "4", "-A")
    with filled.primary.imap("admin") as imap:
        for n, user in enumerate(USERS):
            to = USERS[(n + 7) % len(USERS)]
            imap.ok(f"RENAME user.{user}.Gift user.{to}.From{n}")
        imap.logout()
    sync(filled, "-j", "4", "-A")
    must_be_same(filled, *USERS)


@pytest.mark.parametrize("n", ["0", "-1", "x", "257", ""])
def test_usage(pair, n):
    done = sync(pair, "-j", n, "-u", "anna", check=False)
    assert done.returncode == 64 and "-j  users at once" in done.stderr


# ---- what fails ----


def test_one_bad_user_stops_nobody(few):
    done = sync(few, "-j", "2", "-u", "anna", "a/b", "ben", "cleo", check=False)
    assert done.returncode == 1
    assert re.findall("^Error from .*", done.stderr, re.M) == ["Error from do_user: a/b: Invalid user"]
    must_be_same(few, "anna", "ben", "cleo")


def test_a_damaged_mailbox_is_named_once(few):
    """It is tried twice, by itself at the end: only then it is known that it has failed."""
    with few.primary.imap("ben") as imap:
        imap.ok("CREATE INBOX.Broken")
        imap.append("INBOX.Broken", b"Subject: x\r\n\r\n1\r\n")
        imap.logout()
    directory = few.primary.run("mbpath", "user.ben.Broken").stdout.strip()
    index, = glob.glob(f"{directory}/cyrus.index")
    few.primary.allow_log("DBERROR")
    with open(index, "r+b") as f:
        whole = f.read()
        f.truncate(40)
    done = sync(few, "-j", "3", "-v", "-A", check=False)
    assert done.returncode == 1 and done.stdout.endswith(" seconds, with errors\n")
    assert done.stderr.count("user.ben.Broken: ") == 1
    assert len(re.findall("^Error from do_user: ben: ", done.stderr, re.M)) == 1
    with open(index, "wb") as f:
        f.write(whole)
    sync(few, "-j", "3", "-A")
    must_be_same(few, "anna", "ben", "cleo")


def test_no_replica(few):
    few.replica.stop()
    done = sync(few, "-j", "3", "-A", check=False)
    assert done.returncode == 1
    assert done.stderr.count("sync_client: ") == 1
    few.replica.start()


def test_replica_that_comes_later(few):
    few.replica.stop()
    run = few.primary.popen("sync_client", "-j", "3", "-A", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    few.primary.wait_log("Can not connect to server")
    few.replica.start()
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 0 and "retrying in 1 seconds" in stderr
    must_be_same(few, "anna", "ben", "cleo")


class Held:
    """The replica does nothing while it is entered: workers have a job in hand and can't end it."""

    def __init__(self, server):
        self._server = server

    def __enter__(self):
        self._server.start()
        self._pids = [self._server.pid, *self._server.children()]
        for pid in self._pids:
            processes.kill(pid, signal.SIGSTOP)

    def __exit__(self, *exc):
        for pid in self._pids:
            processes.kill(pid, signal.SIGCONT)


def workers(server, parent, count):
    deadline = time.monotonic() + 20
    while True:
        found = [pid for pid in server.children("sync_client") if pid != parent]
        if len(found) == count:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def start_held(pair, *args):
    return pair.primary.popen("sync_client", "-o", *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("name", ["-u", "-A"])
def test_a_killed_worker_is_reported_and_nothing_is_lost(few, name):
    few.replica.stop()
    with Held(few.replica):
        run = start_held(few, "-j", "3", name, *(["anna", "ben", "cleo"] if name == "-u" else []))
        for pid in workers(few.primary, run.pid, 3)[:2]:
            processes.kill(pid)
        few.primary.wait_log("the worker was killed by signal 9; it is tried again")
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 0
    assert len(re.findall(r"^do_user: \w+: the worker was killed by signal 9; it is tried again$", stderr, re.M)) == 2
    must_be_same(few, "anna", "ben", "cleo")


def test_a_user_at_whom_workers_die_has_failed(few):
    few.replica.stop()
    with Held(few.replica):
        run = start_held(few, "-j", "2", "-u", "anna")
        for _ in range(2):
            pid, = workers(few.primary, run.pid, 1)
            processes.kill(pid)
            processes.wait_gone([pid], 20)
        _, stderr = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "Error from do_user: anna: the worker was killed by signal 9\n" in stderr
    sync(few, "-j", "2", "-A")
    must_be_same(few, "anna", "ben", "cleo")


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(few, signo):
    few.replica.stop()
    with Held(few.replica):
        run = start_held(few, "-j", "3", "-A")
        pids = workers(few.primary, run.pid, 3)
        processes.kill(run.pid, signo)
        if signo == signal.SIGKILL:
            run.communicate(timeout=60)
    assert processes.wait_gone(pids, 60) == []
    run.communicate(timeout=60)
    sync(few, "-j", "3", "-A")
    must_be_same(few, "anna", "ben", "cleo")


# ---- rolling ----


@pytest.fixture
def rolls(pair):
    rolling.daemon(pair.primary, "-j", "4")
    pair.start()
    rolling.caught_up(pair.primary)  # the channel begins
    randomusers.make(pair.primary, random.Random(6), *USERS)
    rolling.caught_up(pair.primary)
    return pair


def test_rolling(rolls):
    pair, rng = rolls, random.Random(7)
    for _ in range(3):
        for user in USERS:
            randomusers.change(pair.primary, rng, user, 2)
    with pair.primary.imap("admin") as imap:
        for user in USERS[:4]:
            imap.ok(f"SETACL user.{user} admin lrswipkxtecda")
            imap.ok(f"CREATE user.{user}.Gift")
            imap.ok(f"SETACL user.{user}.Gift admin lrswipkxtecda")
        for n, user in enumerate(USERS[:4]):
            to = USERS[(n + 1) % 4]
            imap.ok(f"RENAME user.{user}.Gift user.{to}.From{n}")
            imap.ok(f"SETACL user.{to}.From{n} {to} lrswipkxtecda")
        imap.ok("RENAME user.user05 user.zoe")
        imap.logout()
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, *(user for user in USERS if user != "user05"), "zoe")
    assert 2 <= logins(pair.replica) <= 4


def test_rolling_worker_is_killed(rolls):
    pair, rng = rolls, random.Random(8)
    parent = rolling.status(pair.primary)["pid"]
    for round_ in range(6):
        for user in USERS:
            randomusers.change(pair.primary, rng, user, 1)
            for pid in [pid for pid in rolling.pids(pair.primary) if pid != parent][:1]:
                processes.kill(pid, signal.SIGTERM if round_ == 5 else signal.SIGKILL)
    now = rolling.caught_up(pair.primary)
    assert now["pid"] == parent and now["failed_items"] == 0
    assert "the worker was killed by signal 9" in pair.primary.log_text()
    rolling.must_be_equal(pair, *USERS)


def test_rolling_without_a_replica(rolls):
    pair, rng = rolls, random.Random(9)
    pair.replica.stop()
    for user in USERS:
        randomusers.change(pair.primary, rng, user, 2)
    rolling.wait_until(pair.primary, lambda now: now["state"] == "connecting" and now["events_behind"])
    pair.replica.start()
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, *USERS)
    pair.primary.stop()
    assert rolling.pids(pair.primary) == []


def test_a_log_once(few):
    path = rolling.write_log(few.primary, [f"USER {user}" for user in ("anna", "ben", "nobody")], name="mine")
    done = sync(few, "-j", "3", "-R", "-f", path)
    assert done.returncode == 0
    must_be_same(few, "anna", "ben")

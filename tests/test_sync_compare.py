# SPDX-License-Identifier: BSD-3-Clause
"""sync_client --compare: everybody's copies are compared, nothing is changed, what lasts is told, and a run that was ended goes on."""

import json
import os
import re
import signal
import time

import pytest

from cyltest import Pair, processes
from cyltest.relay import Relay
from cyltest.storefiles import rot
from cyltest.syncdata import fill_user

USERS = ["anna", "bob", "carl"]
SHARED = "news"
CHANGES = (b"APPLY", b"UPLOAD", b"RESTORE")


@pytest.fixture(scope="module")
def running(module_factory):
    pair = Pair(module_factory("primary"), module_factory("replica"))
    for server in (pair.primary, pair.replica):
        server.conf.update({"conversations": True, "unixhierarchysep": False, "altnamespace": False, "virtdomains": "off",
                            "expunge_mode": "delayed", "delete_mode": "delayed"})
        server.allow_log("SYNC|CRC failure|IOERROR|ERROR")
        for user in USERS:
            server.add_user(user)
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.replica.path("conf/socket/csync"))
    pair.start()
    for user in USERS:
        fill_user(pair.primary, user)
    with pair.primary.imap("admin") as imap:
        imap.ok(f"CREATE {SHARED}")
        imap.ok(f"SETACL {SHARED} admin lrswipkxtecda")
        imap.logout()
    pair.sync("-A")
    return pair


@pytest.fixture
def pair(running):
    """Nobody has been compared."""
    for name in ("verified.db", "sync/compare-lock"):
        if os.path.exists(running.primary.path("conf", name)):
            os.unlink(running.primary.path("conf", name))
    return running


def relay(pair, **kwargs):
    return Relay(pair.primary.path("tmp", "relay"), pair.replica.path("conf/socket/csync"), **kwargs)


def argv(through, *args):
    return ("-o", "-v", "--compare", *args, "-S", through.path)


def compare(pair, *args, status=0, **kwargs):
    """The lines about differences, and who was asked for, in order."""
    with relay(pair, **kwargs) as through:
        done = pair.primary.run("sync_client", *argv(through, *args), check=False)
    assert done.returncode == status, (done.stdout, done.stderr)
    assert not [command for command in through.commands if command.startswith(CHANGES)]
    lines = done.stdout.splitlines()
    return [line.removeprefix("DIFFERENCE ") for line in lines if line.startswith("DIFFERENCE ")], asked(through)


def asked(through):
    """Users by their names, the shared mailbox by its own."""
    found = [re.match(rb"GET (?:USER|MAILBOXES) \(?([^\s().]+)\)?\r\n", command) for command in through.commands]
    names = [m.group(1).decode() for m in found if m]
    return [name for i, name in enumerate(names) if name != SHARED or name not in names[:i]]


def status(pair):
    """What a monitor sees of the last whole pass."""
    [one] = [channel for channel in json.loads(pair.primary.run("sync_client", "--status", "--json").stdout)
             if not channel["channel"]]
    return one.get("compared")


def test_equal(pair):
    assert status(pair) is None
    assert compare(pair) == ([], [*USERS, SHARED])
    told = status(pair)
    assert (told["checked"], told["differ"]) == (len(USERS) + 1, 0)
    assert 0 < told["oldest"] <= told["ended"]
    text = pair.primary.run("sync_client", "--status").stdout
    assert re.search(r"^  compared: \d{4}-.*, the oldest \d{4}-.*: 4 users and shared mailboxes, 0 differ$", text, re.M)
    # who was equal a moment ago is not due
    assert compare(pair, "--since", "1d") == ([], [])
    assert status(pair)["oldest"] == told["oldest"]
    # some users are no whole pass
    ended = status(pair)["ended"]
    assert compare(pair, "bob") == ([], ["bob"])
    assert status(pair)["ended"] == ended


def test_what_a_disk_has_changed(pair):
    """It is named by each run until it is put right, in the log too; the others are left out meanwhile."""
    pair.replica.stop()
    rot(pair.replica, "user.bob", 2)
    pair.replica.start()
    mark = pair.primary.log_mark()
    lines, who = compare(pair, status=1)
    assert lines == ["user.bob: uid 2: flags, dates, modseq or annotations"]
    assert who == ["anna", "bob", "bob", "carl", SHARED]  # what differs is looked at twice
    pair.primary.wait_log("difference left: user.bob: uid 2: flags", mark)
    assert (status(pair)["checked"], status(pair)["differ"]) == (4, 1)
    assert compare(pair, "--since", "1d", status=1) == (lines, ["bob", "bob"])
    pair.replica.stop()
    rot(pair.replica, "user.bob", 2)
    pair.replica.start()
    assert compare(pair, "--since", "1d") == ([], ["bob"])
    assert status(pair)["differ"] == 0


def test_what_does_not_last(pair):
    """Mail that the replica does not have yet is no difference when it has come by the next look."""
    looks = []

    def on_command(command):
        if not command.startswith(b"GET USER anna"):
            return
        looks.append(command)
        with pair.replica.imap("anna") as imap:
            imap.ok("UNSUBSCRIBE INBOX.Work" if len(looks) == 1 else "SUBSCRIBE INBOX.Work")
            imap.logout()

    assert compare(pair, on_command=on_command) == ([], ["anna", "anna", "bob", "carl", SHARED])
    assert status(pair)["differ"] == 0


def test_given_time(pair):
    """With --wait it may last a little."""
    looks = []

    def on_command(command):
        if not command.startswith(b"GET USER anna"):
            return
        looks.append(command)
        if len(looks) in (1, 4):
            with pair.replica.imap("anna") as imap:
                imap.ok("UNSUBSCRIBE INBOX.Work" if len(looks) == 1 else "SUBSCRIBE INBOX.Work")
                imap.logout()

    assert compare(pair, "--wait", "60", "anna", on_command=on_command) == ([], ["anna"] * 4)


@pytest.mark.parametrize("signo, code", [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 75)])
def test_ended_and_continued(pair, signo, code):
    """The run that ends at the second user has not compared the others; the next one begins with them."""
    run = []

    def on_command(command):
        if command.startswith(b"GET USER bob") and signo == signal.SIGKILL:
            processes.kill(run[0].pid)

    with relay(pair, on_command=on_command) as through:
        # with a rate it waits for long behind the first user
        rate = ["--rate", "1"] if signo == signal.SIGTERM else []
        held = open(pair.primary.path("tmp", "out"), "w")
        os.chmod(held.name, 0o666)
        run.append(pair.primary.popen("sync_client", *argv(through, *rate), stderr=held, stdout=held))
        if signo == signal.SIGTERM:
            while not os.path.exists(pair.primary.path("conf/verified.db")):
                assert run[0].poll() is None
                time.sleep(0.05)
            while not through.commands[-1].startswith(b"EXIT"):  # no connection is kept for so long
                assert run[0].poll() is None
                time.sleep(0.05)
            assert pair.primary.run("sync_client", "--compare", "-o", check=False).returncode == 75  # it is being done
            run[0].send_signal(signo)
        assert run[0].wait(timeout=30) == code
        held.close()
    assert status(pair) is None
    assert compare(pair, "--since", "1d") == ([], ["bob", "carl", SHARED])
    assert status(pair)["checked"] == 4


def test_replica_that_breaks_off(pair):
    """Who could not be compared is no equal one, and the pass no whole one."""
    lines, who = compare(pair, status=1, cut_at=3, where="before")
    assert lines == [] and status(pair) is None
    assert "anna" in compare(pair, "--since", "1d")[1]


def test_missing_on_the_replica(pair):
    """A shared mailbox that somebody has moved away there."""
    with pair.replica.imap("admin") as imap:
        imap.ok(f"RENAME {SHARED} gone")
        lines, who = compare(pair, status=1)
        assert lines == [f"{SHARED}: not on the replica"]
        imap.ok(f"RENAME gone {SHARED}")
        imap.logout()
    # its numbers have gone up there
    lines, who = compare(pair, "--since", "1d", status=1)
    assert {line.split(":")[1] for line in lines} == {" HIGHESTMODSEQ", " FOLDERMODSEQ"} and set(who) == {SHARED}


def test_usage(pair):
    for args in (("--compare", "-u"), ("--compare", "--verify"), ("--compare", "-j", "2"), ("-A", "--since", "1d"),
                 ("--compare", "--since", "x"), ("--compare", "--since", "0"), ("--compare", "--rate", "x"), ("-A", "--rate", "5"),
                 ("-A", "--wait", "5")):
        assert pair.primary.run("sync_client", *args, check=False).returncode == 64, args

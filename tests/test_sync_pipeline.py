# SPDX-License-Identifier: BSD-3-Clause
"""Between two of ours commands go ahead of the answers (X-PIPELINE, doc/sync-extensions.md); with others one waits for each.

A relay holds answers back until so many commands have come: who waits for the first answer never sends the second command.
"""

import re
import socket

import pytest

from cyltest import Pair
from cyltest.relay import Relay, read_command
from cyltest.syncdata import assert_same, message

FOLDERS = 12
WINDOW = 32


class Holding(Relay):
    """Answers to commands that match `held` are given back only when `least` of them have come; most: more never were underway at once."""

    def __init__(self, path, target, held, least, on_banner=None):
        self.held, self.least, self.on_banner = re.compile(held), least, on_banner
        self.waiting, self.came, self.together = [], 0, 0
        super().__init__(path, target)

    def _talk(self, client, from_client, server, from_server):
        client.settimeout(2)  # of a client that does not go ahead
        banner = self._answer(from_server)
        client.sendall(self.on_banner(banner) if self.on_banner else banner)
        while True:
            command = read_command(from_client)
            if not command:
                return
            self.commands.append(command)
            server.sendall(command)
            self.waiting.append(self._answer(from_server))
            if self.held.match(command):
                self.came += 1
                self.together = max(self.together, len(self.waiting))
                if self.came < self.least:
                    continue
            client.sendall(b"".join(self.waiting))
            self.waiting = []
            if command.startswith(b"EXIT"):
                return


@pytest.fixture(scope="module")
def running(module_factory):
    pair = Pair(module_factory("primary"), module_factory("replica"))
    for server in (pair.primary, pair.replica):
        server.conf.update({"conversations": True, "unixhierarchysep": False, "altnamespace": False, "virtdomains": "off",
                            "expunge_mode": "delayed", "delete_mode": "delayed"})
        server.allow_log("SYNC|IOERROR|ERROR|signaled|abnormally|zero length|CRC failure")
    pair.primary.conf.update({"imap_sync_host": "127.0.0.1", "imap_sync_port": pair.replica.ports["imap"], "imap_sync_try_imap": True})
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.replica.path("conf/socket/csync"))
    return pair.start()


@pytest.fixture
def pair(running, request):
    """A user of its own for each test, with FOLDERS folders that both ends have."""
    running.user = "u" + re.sub(r"\W", "", request.node.name.lower())[:40]
    for server in (running.primary, running.replica):
        server.add_user(running.user)
    running.primary.create_user(running.user)
    with running.primary.imap(running.user) as imap:
        for n in range(FOLDERS):
            imap.ok(f"CREATE INBOX.F{n}")
        imap.logout()
    running.sync("-u", running.user)
    return running


def deliver(pair, start=1):
    """A message for each folder."""
    with pair.primary.imap(pair.user) as imap:
        for n in range(FOLDERS):
            imap.append(f"INBOX.F{n}", message(start + n))
        imap.logout()


def run(pair, through, *args, check=True):
    return pair.primary.run("sync_client", "-v", "-o", "-u", pair.user, "-S", through.path, *args, check=check)


def ends(pair):
    return pair.primary.path("tmp", "relay"), pair.replica.path("conf/socket/csync")


def applied(through):
    return [command for command in through.commands if re.match(rb"APPLY (MESSAGE|MAILBOX)\b", command)]


def test_all_folders_before_the_first_answer(pair):
    """A message and its mailbox for each folder: 24 commands in one round trip instead of 24."""
    deliver(pair)
    with Holding(*ends(pair), rb"APPLY (MESSAGE|MAILBOX)\b", 2 * FOLDERS) as through:
        run(pair, through)
    assert len(applied(through)) == through.together == 2 * FOLDERS
    assert_same(pair.primary, pair.replica, pair.user)


def test_no_more_than_the_window(pair):
    """However much there is to send."""
    with pair.primary.imap(pair.user) as imap:
        for n in range(FOLDERS, 30):
            imap.ok(f"CREATE INBOX.F{n}")
            imap.append(f"INBOX.F{n}", message(n))
        imap.logout()
    deliver(pair, 100)
    with Holding(*ends(pair), rb"APPLY (MESSAGE|MAILBOX)\b", 10 ** 6) as through:
        done = run(pair, through, check=False)
    assert done.returncode == 1  # it has never had an answer
    # the one that is sent before the oldest answer is waited for
    assert through.together == WINDOW + 1
    pair.sync("-u", pair.user)
    assert_same(pair.primary, pair.replica, pair.user)


@pytest.mark.parametrize("hide", ["not announced", "3.6.1"])
def test_lock_step_with_others(pair, hide):
    """Who does not announce it is never sent a command before the answer to the last."""
    def banner(text):
        keep = [line for line in text.splitlines(True)
                if b"X-PIPELINE" not in line and (hide != "3.6.1" or not line.startswith(b"* X-"))]
        return b"".join(keep)

    deliver(pair)
    with Alternating(*ends(pair), banner) as through:
        run(pair, through)
    assert len(applied(through)) == 2 * FOLDERS
    assert_same(pair.primary, pair.replica, pair.user)


class Alternating(Relay):
    """Fails if anything has come from the client while it waits for an answer."""

    def __init__(self, path, target, on_banner):
        super().__init__(path, target, on_command=self._alone)
        self.on_banner, self.on_answer = on_banner, lambda command, answer: answer if command else on_banner(answer)

    def _serve(self, client):
        self.client = client
        super()._serve(client)

    def _alone(self, command):
        self.client.setblocking(False)
        try:
            early = self.client.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            early = b""
        self.client.setblocking(True)
        assert not early, f"{early} behind {command}"


def test_each_error_has_its_mailbox(pair):
    """Of mailboxes that go across together those that the replica refuses are named, with the reason; the others are there."""
    deliver(pair)
    refused = [f"user.{pair.user}.F{n}" for n in (3, 7)]

    def on_answer(command, answer):
        name = re.match(rb"APPLY MAILBOX .*?MBOXNAME (\S+)", command)
        if name and name.group(1).decode() in refused:
            number = name.group(1)[-1:]
            return b"NO Unknown error: reason " + number + b"\r\n"
        return answer

    with Relay(*ends(pair), on_answer=on_answer) as through:
        done = run(pair, through, check=False)
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith(f"user.{pair.user}.")]
    assert [line.split(":")[0] for line in told] == refused
    assert all(f"reason {name[-1]}" in line for line, name in zip(told, refused))
    done = pair.primary.run("sync_client", "-v", "-o", "--verify", "-u", pair.user)
    assert_same(pair.primary, pair.replica, pair.user)


def test_checksum_of_one_among_many(pair):
    """The one that needs more than one look is looked at again when the others are over."""
    with pair.replica.imap(pair.user) as imap:
        imap.append("INBOX.F5", message(77))
        imap.logout()
    deliver(pair)
    with Relay(*ends(pair)) as through:
        done = run(pair, through)
    assert f"FULLMAILBOX user.{pair.user}.F5" in done.stdout
    names = [re.search(rb"MBOXNAME (\S+)", command).group(1).decode() for command in applied(through)
             if command.startswith(b"APPLY MAILBOX")]
    assert names.index(f"user.{pair.user}.F9") < len(names) - 1 - names[::-1].index(f"user.{pair.user}.F5")
    assert_same(pair.primary, pair.replica, pair.user)


@pytest.mark.parametrize("where", ["before", "half", "after"])
def test_server_is_killed_between(pair, where):
    """With all that was underway; every second command. Each mailbox that is not known to be there is named, and the next run completes."""
    def kill():
        pair.replica.kill_children("sync_server")

    kills = 0
    for n in range(4, 60, 5):
        deliver(pair, 1000 * n)
        with Relay(*ends(pair), n, where, kill) as through:
            done = run(pair, through, check=False)
        if not through.cut or through.commands[-1].startswith(b"EXIT"):
            break
        kills += 1
        assert done.returncode == 1
        last = re.match(rb"APPLY MAILBOX .*?MBOXNAME (\S+)", through.commands[-1])
        if last:
            assert f"{last.group(1).decode()}: " in done.stderr
        run_clean = pair.primary.run("sync_client", "-v", "-o", "--verify", "-u", pair.user)
        assert run_clean.stdout.endswith("0 differences left\n")
    assert kills > 3
    assert_same(pair.primary, pair.replica, pair.user)


def test_through_imapd(pair):
    """The tagged answers are matched with their commands."""
    deliver(pair)
    done = pair.primary.run("sync_client", "-v", "-v", "-o", "-n", "imap", "-u", pair.user)
    assert len(re.findall(r"^(?:>\d+>)?S\d+ SYNCAPPLY MAILBOX", done.stderr, re.M)) == FOLDERS
    assert_same(pair.primary, pair.replica, pair.user)


def test_announced(pair):
    with pair.replica.imap("admin") as imap:
        assert b" X-PIPELINE" in b"".join(imap.ok("CAPABILITY").untagged)
        imap.logout()
    with pair.replica.imap(pair.user) as imap:
        assert b" X-PIPELINE" not in b"".join(imap.ok("CAPABILITY").untagged)
        imap.logout()

# SPDX-License-Identifier: BSD-3-Clause
"""What was confirmed survives SIGKILL of every process, at whatever moment; what was under way happened as a whole or not."""

import copy
import random
import re
import threading
import time

from cyltest.clients import Literal, Rejected

GONE = (EOFError, OSError)
FLAGS = (r"\Seen", r"\Flagged", r"\Answered", "$Work")


def message(ident):
    return (f"From: a@example.com\r\nMessage-ID: <{ident}@x>\r\nSubject: {ident}\r\n"
            f"Date: Mon, 07 Feb 2022 10:00:00 +0000\r\n\r\nbody {ident}\r\n").encode()


class Deliverer(threading.Thread):
    """Delivers until the server is gone. done: identities that were answered with 250; last: the one under way."""

    def __init__(self, server, first):
        super().__init__()
        self.server, self.next, self.done, self.last = server, first, [], None

    def run(self):
        try:
            with self.server.lmtp() as lmtp:
                while True:
                    self.last = f"d{self.next}"
                    self.next += 1
                    if lmtp.deliver(message(self.last), ["alice"])[0][0] != 250:
                        return
                    self.done.append(self.last)
        except (*GONE, Rejected):
            return


class Worker(threading.Thread):
    """Random commands of one IMAP session. state: mailbox to {identity: flags}, as confirmed; after: with the command
    under way as well."""

    def __init__(self, server, state, rng):
        super().__init__()
        self.server, self.state, self.after, self.rng = server, state, state, rng
        self.count, self.failure = 0, None

    def run(self):
        try:
            with self.server.imap("alice") as imap:
                while True:
                    self.step(imap)
        except GONE:
            return
        except Rejected as rejected:
            self.failure = rejected

    def step(self, imap):
        self.count += 1
        after = copy.deepcopy(self.state)
        commands = self.rng.choice((self.append, self.copy, self.store, self.create, self.rename))(after)
        for command in commands[:-1]:
            imap.ok(command)
        self.after = after
        imap.ok(commands[-1])
        self.state = after

    def a_mailbox(self, state, filled=False):
        names = [n for n in state if state[n] or not filled]
        return self.rng.choice(sorted(names)) if names else None

    def new(self):
        return f"w{self.rng.randrange(1 << 48):x}"

    def append(self, state):
        name = self.a_mailbox(state)
        idents = [self.new() for _ in range(self.rng.choice((1, 1, 3)))]
        state[name].update((ident, frozenset()) for ident in idents)
        return [[f"APPEND {name}"] + [part for ident in idents for part in (" ", Literal(message(ident)))]]

    def copy(self, state):
        source, target = self.a_mailbox(state, filled=True), self.a_mailbox(state)
        if not source or state[source].keys() & state[target].keys():
            return self.append(state)
        state[target].update(state[source])
        return [f"SELECT {source}", f"COPY 1:* {target}"]

    def store(self, state):
        name = self.a_mailbox(state, filled=True)
        if not name:
            return self.append(state)
        flag = self.rng.choice(FLAGS)
        state[name] = {ident: flags | {flag} for ident, flags in state[name].items()}
        return [f"SELECT {name}", f"STORE 1:* +FLAGS.SILENT ({flag})"]

    def create(self, state):
        name = self.new()
        state[name] = {}
        return [f"CREATE {name}"]

    def rename(self, state):
        old, name = self.a_mailbox(state), self.new()
        state[name] = state.pop(old)
        return [f"RENAME {old} {name}"]


def contents(imap, name):
    imap.ok(f"EXAMINE {name}")
    found = {}
    if not imap.ok(f"STATUS {name} (MESSAGES)").find(f"* STATUS {name} (MESSAGES 0)"):
        for line in imap.ok("FETCH 1:* (FLAGS BODY.PEEK[])").untagged:
            ident = re.search(rb"Message-ID: <([^@]*)@x>", line).group(1).decode()
            flags = re.search(rb"FLAGS \(([^)]*)\)", line).group(1).decode().split()
            assert ident not in found, f"{ident} twice in {name}"
            assert message(ident) in line
            found[ident] = frozenset(flags) - {r"\Recent"}
    return found


def snapshot(server):
    with server.imap("alice") as imap:
        names = [line.split()[-1].decode() for line in imap.ok('LIST "" *').find("* LIST")]
        return {name: contents(imap, name) for name in names}


def differences(wanted, got):
    """For people: the mailboxes that are not as confirmed."""
    return {name: (wanted.get(name), got.get(name)) for name in wanted.keys() | got.keys()
            if wanted.get(name) != got.get(name)}


def test_killed_at_any_moment(factory):
    server = factory(services=("imap", "lmtp"))
    server.start()
    server.create_user("alice", "start")
    rng = random.Random(20221)
    state, delivered, number, work = {"start": {}}, set(), 0, 0
    for _ in range(12):
        deliverer, worker = Deliverer(server, number), Worker(server, state, rng)
        deliverer.start()
        worker.start()
        time.sleep(rng.uniform(0.02, 0.7))
        server.kill()
        deliverer.join()
        worker.join()
        assert worker.failure is None, worker.failure
        server.start()
        now = snapshot(server)
        inbox = set(now.pop("INBOX"))
        must = delivered | set(deliverer.done)
        assert must <= inbox <= must | {deliverer.last}, (must - inbox, inbox - must)
        assert now in (worker.state, worker.after), differences(worker.state, now)
        state, delivered, number, work = now, inbox, deliverer.next, work + worker.count
    assert len(delivered) > 12 and work > 36, "the test was killed before anything happened"

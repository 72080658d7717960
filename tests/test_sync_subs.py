# SPDX-License-Identifier: BSD-3-Clause
"""Subscriptions that changed on both ends: the sets are equal after each meeting, and who spoke last is heard.

CYLTEST_SUB_STEPS and CYLTEST_SEED: how many random steps, and the seed.
"""

import contextlib
import os
import random
import re
import socket
import threading
import time

import pytest

from cyltest import Pair
from cyltest.dlist import parse
from cyltest.relay import Relay, read_command
from cyltest.syncdata import login

STEPS = int(os.environ.get("CYLTEST_SUB_STEPS", "300"))
SEED = int(os.environ.get("CYLTEST_SEED", "20261126"))
CONF = {"conversations": True, "unixhierarchysep": False, "altnamespace": False, "delete_mode": "delayed"}


@pytest.fixture
def ends(factory):
    """Two servers, each of which replicates to the other."""
    a, b = factory("a"), factory("b")
    pairs = Pair(a, b), Pair(b, a)
    for server in (a, b):
        server.conf.update(CONF)
        server.add_user("anna")
    return pairs


def start(pairs, **conf):
    for pair in pairs:
        pair.primary.conf.update(conf)
        pair.primary.start()
    pairs[0].primary.create_user("anna", "Work", "Play")
    pairs[0].sync("-u", "anna")
    return pairs[0].primary, pairs[1].primary


def subscribed(server):
    with login(server) as sync:
        lines = [parse(line) for line in sync.ok("GET META anna").untagged]
    return sorted(name.decode() if isinstance(name, bytes) else name for kind, value in lines if kind == "LSUB" for name in value)


def both(pairs):
    one, two = (subscribed(pair.primary) for pair in pairs)
    assert one == two
    return one


def say(server, *commands):
    with server.imap("anna") as imap:
        for command in commands:
            imap.ok(command)
        imap.logout()


def exchanged(done):
    """Commands and answers of the exchange, as sync_client -v -v tells them."""
    return [line for line in done.stderr.splitlines() if "SUBHISTORY %(" in line]


# ---- random histories ----

class End:
    """One server, and what it should know: name -> (on, when, uniqueid)."""

    def __init__(self, pair, number):
        self.pair, self.server, self.number = pair, pair.primary, number
        self.imap = self.server.imap("anna")
        self.known = {}
        self.made = number

    def ids(self):
        """Internal name -> uniqueid of each mailbox."""
        found = {}
        for line in self.imap.ok('LIST "" "*" RETURN (STATUS (MAILBOXID))').untagged:
            status = re.match(rb"\* STATUS (\S+) \(MAILBOXID \((\S+)\)\)", line)
            if status:
                found["user.anna" + status[1].decode().removeprefix("INBOX")] = status[2].decode()
        return found


class Histories:
    def __init__(self, pairs, rng):
        self.ends = [End(pair, i) for i, pair in enumerate(pairs)]
        self.rng, self.clock = rng, 0
        self.words = []
        self.conflicts = self.followed = 0  # so that it is seen what was tried

    def now(self):
        self.clock += 1
        return self.clock

    def command(self, end, verb, *names):
        words = " ".join(name.replace("user.anna", "INBOX", 1) for name in names)
        self.words.append(f"{end.number}: {verb} {words}")
        end.imap.ok(f"{verb} {words}")

    def fresh_name(self, end):
        """A name that only this end gives to mailboxes; it may have been in use, but not by one that is there."""
        ids = {*self.ends[0].ids(), *self.ends[1].ids()}
        names = [name for name in (f"user.anna.m{end.number}x{i}" for i in range(12)) if name not in ids]
        return self.rng.choice(names) if names else None

    def subscription(self, end, on):
        ids, other = end.ids(), self.ends[1 - end.number]
        names = sorted(ids) if on else sorted({*ids, *end.known, "user.anna.never"})
        disputed = [name for name in names if end.known.get(name) != other.known.get(name)]
        name = self.rng.choice(disputed if disputed and self.rng.random() < 0.5 else names)
        self.command(end, "SUBSCRIBE" if on else "UNSUBSCRIBE", name)
        end.known[name] = (on, self.now(), ids.get(name))

    def create(self, end):
        name = self.fresh_name(end)
        if name and len(end.ids()) < 14:
            self.command(end, "CREATE", name)

    def others(self, end):
        return sorted(name for name in end.ids() if name != "user.anna")

    def rename(self, end):
        names, new = self.others(end), self.fresh_name(end)
        if not names or not new:
            return
        old = self.rng.choice(names)
        uniqueid = end.ids()[old]
        self.command(end, "RENAME", old, new)
        if end.known.get(old, (False,))[0]:
            end.known[old] = (False, self.now(), None)
            end.known[new] = (True, self.now(), uniqueid)

    def delete(self, end):
        names = self.others(end)
        if names:
            name = self.rng.choice(names)
            self.command(end, "DELETE", name)
            end.known[name] = (False, self.now(), None)

    def step(self):
        end = self.rng.choice(self.ends)
        kind = self.rng.choices(("sub", "unsub", "create", "rename", "delete"), (8, 7, 3, 4, 1))[0]
        if kind in ("sub", "unsub"):
            self.subscription(end, kind == "sub")
        else:
            getattr(self, kind)(end)

    def sync(self):
        here, there = self.rng.sample(self.ends, 2)
        how = self.rng.choice(("-u", "-u", "-s"))
        self.words.append(f"{here.number}: sync {how}")
        here.pair.sync(how, "anna")
        self.meet(here, there)
        told = [subscribed(end.server) for end in self.ends]
        wanted = sorted(name for name, entry in here.known.items() if entry[0])
        assert told == [wanted, wanted], "\n".join(self.words)

    def meet(self, here, there):
        """What both must know then; `here` knows what the mailboxes are called."""
        def newer(a, b):
            return {name: entry for name, entry in a.items() if name not in b or b[name][1] < entry[1]}

        self.conflicts += sum(entry[0] != here.known.get(name, entry)[0] for name, entry in there.known.items())
        take, give = newer(there.known, here.known), newer(here.known, there.known)
        merged = {**here.known, **take}
        names = {uniqueid: name for name, uniqueid in here.ids().items()}
        for uniqueid in {entry[2] for entry in take.values()} & {entry[2] for entry in give.values()} - {None}:
            def last(known):
                return max((entry[1], name) for name, entry in known.items() if entry[2] == uniqueid)[1]
            now = names.get(uniqueid)
            if last(take) == last(give) or merged.get(now, (0, 0, None))[2] != uniqueid:
                continue
            self.followed += 1
            on = merged[last(merged)][0]
            for name, entry in merged.items():
                if entry[2] == uniqueid and (entry[0] or name == now):
                    merged[name] = (on and name == now, self.now(), uniqueid)
        here.known, there.known = dict(merged), dict(merged)


@pytest.mark.parametrize("moves", [True, False])
def test_random_changes_on_both_ends(ends, moves):
    for pair in ends:
        pair.primary.allow_log("SYNC")
    start(ends, rename_subscriptions=moves, delete_unsubscribe=True)
    histories = Histories(ends, random.Random(SEED + moves))
    if not moves:
        histories.rename = lambda end: None
    histories.sync()
    for _ in range(STEPS // 2):
        histories.step()
        if histories.rng.random() < 0.2:
            histories.sync()
    histories.sync()
    for pair in ends:
        assert "SUBHISTORY" not in "".join(line for line in pair.sync("-v", "-u", "anna").stderr.splitlines()
                                           if "APPLY" in line)
    assert both(ends)
    print(f"{len(histories.words)} commands, {histories.conflicts} conflicts, {histories.followed} under two names")
    assert histories.conflicts > STEPS // 20


# ---- the exchange ----

ENTRY = "%(MBOXNAME {} ON {} STAMP {})"


def history(server):
    """name -> (on, stamp), as the protocol tells it to one that knows nothing."""
    with login(server) as sync:
        lines = [parse(line) for line in sync.ok("GET SUBHISTORY %(USERID anna DIGEST " + "0" * 256 + ")").untagged]
    assert all(kind == "SUBHISTORY" for kind, _ in lines) and "DIGEST" in lines[0][1]
    entries = [entry for _, value in lines for entry in value.get("ENTRIES", [])]
    return {entry["MBOXNAME"].decode() if isinstance(entry["MBOXNAME"], bytes) else entry["MBOXNAME"]:
            (int(entry["ON"]), int(entry["STAMP"])) for entry in entries}


def test_last_writer_wins_on_either_end(ends):
    a, b = start(ends)
    say(a, "SUBSCRIBE INBOX.Work", "SUBSCRIBE INBOX.Play")
    ends[0].sync("-u", "anna")
    assert both(ends) == ["user.anna.Play", "user.anna.Work"]
    say(b, "UNSUBSCRIBE INBOX.Work")
    said = ends[0].sync("-v", "-u", "anna")  # the master hears of it, too
    assert "UNSUB anna user.anna.Work, as the replica says" in said.stdout
    assert both(ends) == ["user.anna.Play"]
    say(a, "UNSUBSCRIBE INBOX.Play", "SUBSCRIBE INBOX.Work")
    say(b, "SUBSCRIBE INBOX.Play", "UNSUBSCRIBE INBOX.Work")
    ends[0].sync("-s", "anna")
    assert both(ends) == ["user.anna.Play"]
    # what changes nothing there was said last all the same
    say(a, "SUBSCRIBE INBOX.Work", "UNSUBSCRIBE INBOX.Play")
    say(b, "SUBSCRIBE INBOX.Play", "UNSUBSCRIBE INBOX.Work")
    ends[1].sync("-u", "anna")
    assert both(ends) == ["user.anna.Play"]
    assert history(a) == history(b)


def test_only_the_difference_is_sent(ends):
    a, b = start(ends)
    stamp = int(time.time() * 1e6)
    with login(a) as sync:
        for n in range(0, 1000, 100):
            entries = " ".join(ENTRY.format(f"user.anna.n{i}", 1, stamp + i) for i in range(n, n + 100))
            sync.ok(f"APPLY SUBHISTORY %(USERID anna ENTRIES ({entries}))")
    done = ends[0].sync("-v", "-v", "-u", "anna")
    sent = [line for line in done.stderr.splitlines() if "APPLY SUBHISTORY" in line]
    assert len(sent) == 10 and all(line.count("MBOXNAME") == 100 for line in sent)
    assert len(both(ends)) == 1000
    say(a, "SUBSCRIBE INBOX.Work")
    say(b, "UNSUBSCRIBE INBOX.n7")
    done = ends[0].sync("-v", "-v", "-u", "anna")
    lines = exchanged(done)
    assert sum(line.count("MBOXNAME") for line in lines) < 200  # two of sixteen classes
    given, = [line for line in lines if "APPLY" in line]
    assert given.count("MBOXNAME") == 1 and "user.anna.Work" in given
    names = both(ends)
    assert "user.anna.Work" in names and "user.anna.n7" not in names and len(names) == 1000
    done = ends[1].sync("-v", "-v", "-u", "anna")
    assert "APPLY SUBHISTORY" not in done.stderr and "MBOXNAME user.anna.n" not in "".join(exchanged(done))


def test_no_copyback_and_old_peers_get_the_set(ends):
    """What the master has is put on the replica, by SUB and UNSUB, and nothing comes back."""
    a, b = start(ends)
    for option, suppressed in (["-O"], "X-NOTHING"), ([], "X-SUBHISTORY"):
        b.conf["suppress_capabilities"] = suppressed
        b.stop()
        b.start()
        say(a, "SUBSCRIBE INBOX.Work", "UNSUBSCRIBE INBOX.Play")
        say(b, "UNSUBSCRIBE INBOX.Work", "SUBSCRIBE INBOX.Play")
        done = ends[0].sync("-v", "-v", *option, "-u", "anna")
        assert not exchanged(done)
        sent = [line.split("APPLY ")[1] for line in done.stderr.splitlines() if re.search("APPLY (UN)?SUB", line)]
        assert sent == ["SUB %(USERID anna MBOXNAME user.anna.Work)", "UNSUB %(USERID anna MBOXNAME user.anna.Play)"]
        assert both(ends) == ["user.anna.Work"]
    del b.conf["suppress_capabilities"]
    b.stop()
    b.start()
    # what the old way put there was said then
    assert history(b)["user.anna.Work"][1] > history(a)["user.anna.Work"][1]
    say(a, "UNSUBSCRIBE INBOX.Work")
    ends[1].sync("-u", "anna")
    assert both(ends) == []


def test_over_imap(factory):
    a, b = factory("a"), factory("b")
    pairs = Pair(a, b, "imap"), Pair(b, a, "imap")
    for server in (a, b):
        server.conf.update(CONF, sync_try_imap=True)
        server.add_user("anna")
    start(pairs, sync_try_imap=True)
    say(a, "SUBSCRIBE INBOX.Work")
    say(b, "SUBSCRIBE INBOX.Play")
    done = pairs[0].sync("-v", "-v", "-u", "anna")
    assert "SYNCGET SUBHISTORY" in done.stderr and "SYNCAPPLY SUBHISTORY" in done.stderr
    assert both(pairs) == ["user.anna.Play", "user.anna.Work"]


def test_a_new_user_of_the_name_has_no_history(ends):
    a, b = start(ends)
    say(a, "SUBSCRIBE INBOX.Work")
    ends[0].sync("-u", "anna")
    with a.imap("admin") as imap:
        imap.ok("SETACL user.anna admin lrswipkxtecda")
        imap.ok("DELETE user.anna")
        imap.ok("CREATE user.anna")
        imap.logout()
    ends[0].sync("-u", "anna")
    assert both(ends) == [] and history(a) == history(b) == {}


@pytest.mark.parametrize("command, answer", [
    ("GET SUBHISTORY anna", "NO IMAP_PROTOCOL_BAD_PARAMETERS"),
    ("GET SUBHISTORY %(USERID anna)", "NO IMAP_PROTOCOL_BAD_PARAMETERS"),
    ("GET SUBHISTORY %(USERID anna DIGEST 00)", "NO IMAP_PROTOCOL_BAD_PARAMETERS"),
    (f"GET SUBHISTORY %(USERID anna DIGEST {'G' * 256})", "NO IMAP_PROTOCOL_BAD_PARAMETERS"),
    (f"GET SUBHISTORY %(USERID nobody DIGEST {'0' * 256})", "OK success"),
    ("APPLY SUBHISTORY anna", "NO IMAP_PROTOCOL_BAD_PARAMETERS"),
    ("APPLY SUBHISTORY %(USERID anna)", "OK success"),
    ("APPLY SUBHISTORY %(USERID anna ENTRIES ())", "OK success"),
    ("APPLY SUBHISTORY %(USERID anna ENTRIES x)", "NO IMAP_PROTOCOL_BAD_PARAMETERS"),
    ("APPLY SUBHISTORY %(USERID anna ENTRIES (x))", "NO IMAP_PROTOCOL_BAD_PARAMETERS"),
    ("APPLY SUBHISTORY %(ENTRIES ())", "NO IMAP_PROTOCOL_BAD_PARAMETERS"),
    *((f"APPLY SUBHISTORY %(USERID anna ENTRIES (%({entry})))", "NO IMAP_PROTOCOL_BAD_PARAMETERS") for entry in (
        "MBOXNAME user.anna ON 1", "MBOXNAME user.anna STAMP 1", "ON 1 STAMP 1", 'MBOXNAME "" ON 1 STAMP 1',
        "MBOXNAME user.anna ON 2 STAMP 1", "MBOXNAME user.anna ON 1 STAMP 18446744073709551615",
        "MBOXNAME user.anna ON 1 STAMP x", 'MBOXNAME user.anna ON 1 STAMP 1 UNIQUEID "a b"',
        f"MBOXNAME {'x' * 5000} ON 1 STAMP 1")),
])
def test_bad_lines(one_server, command, answer):
    one_server.allow_log("SYNCERROR: a peer sent what is no name")
    with login(one_server) as sync:
        reply = sync.cmd(command)
        assert f"{reply.status} {reply.text}" == answer
        assert sync.ok("GET META anna").untagged == []


@pytest.fixture(scope="module")
def one_server(module_factory):
    server = module_factory("only", services=("csync", "imap"))
    server.conf.update(CONF)
    server.start()
    return server


# ---- somebody else, and damage ----

def files(server):
    top = server.path("conf", "user", "uuid")
    found = {name: os.path.join(directory, name) for directory, _, names in os.walk(top) for name in names}
    return found["sub.db"], found["subhistory.db"]


def test_changed_by_another_program(ends):
    """As 3.6.1 on the same files would: it knows of no history. The other end hears of it."""
    a, b = start(ends)
    say(a, "SUBSCRIBE INBOX.Work", "SUBSCRIBE INBOX.Play")
    ends[0].sync("-u", "anna")
    sub, _ = files(b)
    with open(sub + ".NEW", "wb") as f:
        f.write(b"\x1fVER\x1f\t2\nNINBOX\t\nNINBOX\x1fPlay\t\n")
    os.chmod(sub + ".NEW", 0o666)
    os.rename(sub + ".NEW", sub)
    ends[0].sync("-u", "anna")
    assert both(ends) == ["user.anna", "user.anna.Play"]


@pytest.mark.parametrize("end", [0, 1])
def test_damaged_history(ends, end):
    a, b = start(ends)
    say(a, "SUBSCRIBE INBOX.Work", "SUBSCRIBE INBOX.Play", "SUBSCRIBE INBOX", "UNSUBSCRIBE INBOX")
    ends[0].sync("-u", "anna")
    server = (a, b)[end]
    server.stop()
    _, damaged = files(server)
    with open(damaged, "r+b") as f:
        f.write(b"\xff" * 100)
    server.allow_log("history of subscriptions is set aside|twoskip|DBERROR")
    server.start()
    ends[0].sync("-u", "anna")
    assert both(ends) == ["user.anna.Play", "user.anna.Work"]
    assert os.path.exists(damaged + ".damaged")
    assert history(a) == history(b)
    say(b, "UNSUBSCRIBE INBOX.Work")
    ends[0].sync("-u", "anna")
    assert both(ends) == ["user.anna.Play"]


# ---- interruptions, and peers that lie ----

def with_socket(pair):
    """Over a Unix socket, so that a relay can stand between."""
    server = pair.replica
    server.add_service("csyncunix", cmd="sync_server", listen=server.path("conf/socket/csync"))
    for each in (pair.primary, pair.replica):
        each.allow_log("ERROR|signaled|abnormally|died|response")


@pytest.mark.parametrize("where", ["before", "half", "after"])
def test_server_is_killed_at_each_command(ends, where):
    """Whatever was done by then: the next meeting ends as one that was not interrupted."""
    with_socket(ends[0])
    a, b = start(ends)

    def kill():
        b.kill_children("sync_server")

    seen = set()
    for n in range(1, 9):
        say(a, "SUBSCRIBE INBOX", "SUBSCRIBE INBOX.Work")
        say(b, "SUBSCRIBE INBOX.Play", "UNSUBSCRIBE INBOX.Work")
        say(a, "UNSUBSCRIBE INBOX.Play")
        with Relay(a.path("tmp", "relay"), b.path("conf/socket/csync"), n, where, kill) as relay:
            done = a.run("sync_client", "-o", "-S", relay.path, "-s", "anna", check=False)
        if not relay.cut or relay.at_the_end:
            break
        seen.add(b" ".join(relay.commands[-1].split()[:2]))
        assert done.returncode == 1
        ends[0].sync("-s", "anna")
        assert both(ends) == ["user.anna"]
        assert history(a) == history(b)
        say(a, "UNSUBSCRIBE INBOX")
    assert seen >= {b"GET META", b"GET SUBHISTORY", b"APPLY SUBHISTORY"}


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("fault", ["pwrite:1:ENOSPC:/conf/journal/", "pwrite:1:EIO:/conf/journal/",
                                   "fdatasync:1:EIO:/conf/journal/", "open:1:EACCES:subhistory.db"])
def test_disk_of_an_end_fails(ends, end, fault):
    """The run says so; when the disk is well, both meet."""
    for pair in ends:
        pair.primary.allow_log("")
    a, b = start(ends)
    say(a, "SUBSCRIBE INBOX.Work")
    say(b, "SUBSCRIBE INBOX.Play")
    (a, b)[end].env["CYLINDER_DISKIO_FAULT"] = fault
    if end:
        b.stop()
        b.start()
    done = ends[0].sync("-o", "-s", "anna", check=False)
    del (a, b)[end].env["CYLINDER_DISKIO_FAULT"]
    assert done.returncode == 1 or both(ends) == ["user.anna.Play", "user.anna.Work"], done.stdout
    for server in (a, b):  # who met a failed sync of the journal accepts nothing until it starts anew
        server.stop()
        server.start()
    ends[0].sync("-s", "anna")
    assert both(ends) == ["user.anna.Play", "user.anna.Work"]
    assert history(a) == history(b)


class Liar(threading.Thread):
    """A sync server that has a history of its own making."""

    def __init__(self, path, lines):
        super().__init__(daemon=True)
        self.lines, self.commands = lines, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o777)
        self.listener.listen()
        self.start()

    def run(self):
        connection, _ = self.listener.accept()
        stream = connection.makefile("rwb")
        stream.write(b"* X-SUBHISTORY\r\n* OK liar Cyrus sync server\r\n")
        stream.flush()
        with contextlib.suppress(OSError):  # the client may hang up in the middle
            while command := read_command(stream):
                self.commands.append(command)
                if command.startswith(b"GET SUBHISTORY"):
                    stream.write(b"".join(b"* " + line.encode() + b"\r\n" for line in self.lines))
                stream.write(b"OK success\r\n")
                stream.flush()


ZEROS = "SUBHISTORY %(USERID anna DIGEST " + "0" * 256 + ")"


@pytest.mark.parametrize("lines", [
    [], ["SUBHISTORY %(USERID anna)"], ["SUBHISTORY anna"], ["SUBHISTORY %(USERID anna DIGEST 12)"], ["NONSENSE %(X y)"],
    [ZEROS.replace("anna", "bob")], [ZEROS, "SUBHISTORY %(USERID bob ENTRIES (%(MBOXNAME user.anna ON 1 STAMP 5)))"],
    [ZEROS, "SUBHISTORY %(USERID anna ENTRIES (%(MBOXNAME user.anna.Work ON 0 STAMP 18446744073709551615)))"],
    [ZEROS, "SUBHISTORY %(USERID anna ENTRIES (%(MBOXNAME user.anna.Work ON 0)))"],
    [ZEROS, 'SUBHISTORY %(USERID anna ENTRIES (%(MBOXNAME user.anna.Work ON 0 STAMP 4611686018427387903 UNIQUEID "a b")))'],
    [ZEROS, "SUBHISTORY %(USERID anna ENTRIES (((((((("],
    [ZEROS] + ["SUBHISTORY %(USERID anna ENTRIES (" + " ".join(
        f"%(MBOXNAME user.anna.n{n}x{i} ON 0 STAMP 4611686018427387903)" for i in range(1000)) + "))" for n in range(67)],
])
def test_a_replica_that_lies(server, lines):
    """A line that can't be, or too many: an error, and nothing of it is believed."""
    server.allow_log("ERROR|response")
    server.add_user("anna")
    server.create_user("anna", "Work")
    say(server, "SUBSCRIBE Work")
    liar = Liar(server.path("tmp", "liar"), lines)
    done = server.run("sync_client", "-o", "-S", server.path("tmp", "liar"), "-s", "anna", check=False, timeout=60)
    assert done.returncode == 1 and "do_meta: anna: " in done.stderr
    assert liar.commands and not [line for line in liar.commands if b"APPLY SUBHISTORY" in line]
    with server.imap("anna") as imap:
        assert len(imap.ok('LSUB "" *').untagged) == 1

# SPDX-License-Identifier: BSD-3-Clause
"""X-TOGETHER (doc/sync-extensions.md): what has changed in mailboxes whose state at the replica is known needs one round trip, and one sync there,
for all users of a turn; what is not as it is known is looked at as before."""

import re
import threading
import time

import pytest

from cyltest import rolling
from cyltest.roundtrips import RoundTrips, syncs
from cyltest.syncdata import login, message
from cyltest.syncline import full, mailbox, record, upload

USERS = [f"u{n}" for n in range(8)]
ONE_TRIP = ["APPLY MESSAGE", "APPLY MAILBOXES"]


# ---- the command ----

ACL = {name: f'"{name}\tlrswipkxtecdan\t"' for name in ("anna", "bob")}


def item(user, records=(), **keys):
    """What APPLY MAILBOX has, as an item of a list."""
    fields = {"UNIQUEID": f"uniq-{user}", "ACL": ACL[user], "LAST_UID": 1, "HIGHESTMODSEQ": 10, **keys}
    text = mailbox(f"user.{user}", records, **fields)
    since = [f"{key} {fields[key]}" for key in ("SINCE_MODSEQ", "SINCE_CRC", "SINCE_CRC_ANNOT") if key in fields]
    assert all(part in text for part in since)
    return text[len("MAILBOX "):]


def known(sync, user):
    """The SINCE keys as they are right."""
    line = sync.ok(f"GET MAILBOXES (user.{user})").untagged[0].decode()
    number = {key: int(re.search(rf"\b{key} (\d+)", line).group(1)) for key in ("HIGHESTMODSEQ", "SYNC_CRC", "SYNC_CRC_ANNOT")}
    return {"SINCE_MODSEQ": number["HIGHESTMODSEQ"], "SINCE_CRC": number["SYNC_CRC"], "SINCE_CRC_ANNOT": number["SYNC_CRC_ANNOT"]}


def uids(sync, user):
    return [int(r["UID"]) for r in full(sync, f"user.{user}").get("RECORD", [])]


@pytest.fixture(scope="module")
def replica(module_factory):
    server = module_factory("replica", services=("imap", "csync"))
    server.allow_log("SYNCNOTICE|SYNCERROR")
    server.conf.update(rolling.CONF)
    server.start()
    return server


@pytest.fixture
def sync(replica):
    """anna and bob have a message each, and there is one more to be put into both."""
    with login(replica) as connection:
        for user in ("anna", "bob"):
            connection.cmd(f"APPLY UNUSER {user}")
        connection.ok(upload(b"abc"))
        for user in ("anna", "bob"):
            connection.ok("APPLY " + mailbox(f"user.{user}", [record(1, 2)], LAST_UID=1, HIGHESTMODSEQ=2, UNIQUEID=f"uniq-{user}",
                                             ACL=ACL[user]))
        connection.ok(upload(b"more"))
        yield connection


def more(sync, user, **keys):
    fields = {"LAST_UID": 2, "HIGHESTMODSEQ": 3, **known(sync, user), **keys}
    return item(user, [record(2, 3, content=b"more")], **fields)


def test_all(sync):
    sync.ok(f"APPLY MAILBOXES ({more(sync, 'anna')} {more(sync, 'bob')})")
    assert uids(sync, "anna") == uids(sync, "bob") == [1, 2]
    # and when nothing is left to change
    rest = [item(user, LAST_UID=2, HIGHESTMODSEQ=3, **known(sync, user)) for user in ("anna", "bob")]
    sync.ok(f"APPLY MAILBOXES ({' '.join(rest)})")


@pytest.mark.parametrize("wrong", [
    {"SINCE_MODSEQ": 1}, {"SINCE_CRC": 4711}, {"SINCE_CRC_ANNOT": 4711}, {"UNIQUEID": "another"}, {"SYNC_CRC": 4711},
    {"HIGHESTMODSEQ": 1}, {"MBOXNAME": "user.bob.Gone", "UNIQUEID": "gone"}])
def test_or_none(sync, wrong):
    """One that does not fit, the last one: nothing of the others is there, and the next command is heard."""
    good = more(sync, "anna")
    bad = more(sync, "bob", **wrong)
    if "MBOXNAME" in wrong:
        bad = bad.replace("MBOXNAME user.bob ", "MBOXNAME user.bob.Gone ")
    answer = sync.cmd(f"APPLY MAILBOXES ({good} {bad})")
    assert answer.status == "NO"
    assert answer.text.startswith("IMAP_SYNC_C")
    assert uids(sync, "anna") == uids(sync, "bob") == [1]
    assert not sync.ok("GET MAILBOXES (user.bob.Gone)").untagged
    sync.ok(f"APPLY MAILBOXES ({good})")


def test_folders_must_be_those(sync):
    digest = re.search(r"DIGEST (\w+)", sync.ok("GET MAILBOXES (%(FOLDERS anna))").untagged[0].decode()).group(1)
    good = more(sync, "anna")
    assert sync.cmd(f"APPLY MAILBOXES (%(FOLDERS anna DIGEST {'0' * 32}) {good})").text.startswith("IMAP_SYNC_CHANGED")
    assert uids(sync, "anna") == [1]
    sync.ok(f"APPLY MAILBOXES (%(FOLDERS anna DIGEST {digest}) {good})")


@pytest.mark.parametrize("what", ["nothing", "no state", "a folder", "a replacement", "an atom", "no digest", "a tombstone"])
def test_what_it_is_not_for(sync, what):
    text = {"nothing": "()", "no state": f"({item('anna')})", "an atom": "user.anna", "no digest": "(%(FOLDERS anna))",
            "a folder": "(%(FOLDERS anna DIGEST 0) user.anna)",
            "a replacement": f"({more(sync, 'anna', REPLACES='other')})",
            "a tombstone": f"({more(sync, 'anna', MBOXTYPE='d')})"}[what]
    assert sync.cmd(f"APPLY MAILBOXES {text}").status == "NO"
    assert uids(sync, "anna") == [1]


def test_twice_the_same(sync):
    """The second is not about the state that it says."""
    good = more(sync, "anna")
    assert sync.cmd(f"APPLY MAILBOXES ({good} {good})").status == "NO"
    assert uids(sync, "anna") == [1]


# ---- the client ----

@pytest.fixture
def through(pair, request):
    """Two servers, a synchronous channel through a relay, and USERS, of each of whom the replica's state is known."""
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNCNOTICE|SYNCERROR|SYNC_C|zero length|IOERROR|signaled|response")
    rolling.set_up(pair, duplicatesuppression=False, sync_wait_ms=60000)
    primary, replica = pair.primary, pair.replica
    param = getattr(request, "param", "NONE")
    args = param.split() if param.startswith("-") else ()
    replica.conf["suppress_capabilities"] = "NONE" if args else param
    replica.add_service("csyncunix", cmd="sync_server", listen=replica.path("conf/socket/csync"))
    replica.env["CYLINDER_DISKIO_RECORD"] = replica.path("tmp", "trace")
    path = primary.path("tmp", "relay")
    primary.conf["sync_host"] = path
    rolling.daemon(primary, *args)
    for user in USERS:
        primary.add_user(user)
        replica.add_user(user)
    with RoundTrips(path, replica.path("conf/socket/csync")) as relay:
        pair.start()
        rolling.caught_up(primary)
        for user in USERS:
            primary.create_user(user, "Work")
            primary.deliver(message(0), user)
        rolling.caught_up(primary)
        yield Through(pair, relay)


class Through:
    def __init__(self, pair, relay):
        self.pair, self.relay = pair, relay
        self.primary, self.replica = pair.primary, pair.replica
        self.trace = self.replica.path("tmp", "trace")

    def costs(self, act):
        """(round trips, syncs on the replica, commands)"""
        self.relay.forget()
        before = syncs(self.trace)
        act()
        return self.relay.trips, syncs(self.trace) - before, self.relay.commands

    def equal(self):
        rolling.caught_up(self.primary)
        rolling.must_be_equal(self.pair, *USERS)


def test_one_round_trip(through):
    """A delivery, and flags, an expunge, a folder beside the INBOX: one round trip, one sync on the replica."""
    primary = through.primary
    for n in range(1, 4):
        assert through.costs(lambda n=n: primary.deliver(message(n), "u0")) == (1, 1, ONE_TRIP)
    with primary.imap("u0") as imap:
        imap.ok("SELECT INBOX")
        assert through.costs(lambda: imap.ok(r"STORE 1:2 +FLAGS (\Flagged)")) == (1, 1, ["APPLY MAILBOXES"])
        imap.ok(r"STORE 1 +FLAGS (\Deleted)")
        assert through.costs(lambda: imap.ok("EXPUNGE")) == (1, 1, ["APPLY MAILBOXES"])
        assert through.costs(lambda: imap.append("INBOX.Work", message(5))) == (1, 1, ONE_TRIP)
        assert through.costs(lambda: imap.ok("MOVE 1 INBOX.Work")) == (1, 1, ONE_TRIP)
        imap.logout()
    through.equal()


def test_who_comes_meanwhile_goes_together(through):
    """While an answer is on its way seven more clients deliver: one round trip and one sync for all of them."""
    primary, relay = through.primary, through.relay
    answered = []

    def deliver(n):
        primary.deliver(message(100), USERS[n])
        answered.append(n)

    def all_at_once():
        relay.flowing.clear()
        threads = [threading.Thread(target=deliver, args=(n,)) for n in range(len(USERS))]
        threads[0].start()
        wait_for(lambda: "APPLY MAILBOXES" in relay.commands)
        for thread in threads[1:]:
            thread.start()
        wait_for(lambda: delivered(primary, 100) == len(USERS))
        assert not answered
        relay.flowing.set()
        for thread in threads:
            thread.join()

    assert through.costs(all_at_once) == (2, 2, ONE_TRIP * 2)
    through.equal()


def test_message_to_many(through):
    """It goes once."""
    assert through.costs(lambda: through.primary.deliver(message(1), *USERS)) == (1, 1, ONE_TRIP)
    assert through.relay.bytes.count(b"%{default ") == 1
    through.equal()


def wait_for(what):
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def delivered(server, n):
    return server.log_text().count(f"Delivered: <m{n}@example.com>")


def on_replica(through, user, *commands):
    with through.replica.imap(user) as imap:
        for command in commands:
            imap.ok(command)
        imap.logout()


def test_another_state_than_known(through):
    """What was changed on the replica behind the client's back is found at the next change, and both ends become equal; who came in the
    same round trip is not kept from it."""
    primary = through.primary
    on_replica(through, "u0", "SELECT INBOX", r"STORE 1 +FLAGS (\Flagged)")
    trips, _, commands = through.costs(lambda: primary.deliver(message(1), *USERS))
    assert commands[:2] == ONE_TRIP and trips > 1
    assert "mailbox sync mismatch: mailbox=<user.u0>" in through.replica.log_text()
    through.equal()
    assert through.costs(lambda: primary.deliver(message(2), *USERS)) == (1, 1, ONE_TRIP)


@pytest.mark.parametrize("command", ["CREATE INBOX.Made", "DELETE INBOX.Work", "RENAME INBOX.Work INBOX.Play"])
def test_folders_of_one_end(through, command):
    """As soon as anything of the user changes (X-FOLDERS)."""
    on_replica(through, "u0", command)
    through.primary.deliver(message(1), "u0")
    assert "Promoting: folders at one end only -> USER u0" in through.primary.log_text()
    through.equal()


def test_replica_begins_anew(through):
    """What was known of the one before counts for nothing."""
    primary = through.primary
    through.replica.kill_children("sync_server")
    _, _, commands = through.costs(lambda: primary.deliver(message(1), "u1"))
    assert "GET MAILBOXES" in commands
    assert through.costs(lambda: primary.deliver(message(2), "u1")) == (1, 1, ONE_TRIP)
    through.equal()


@pytest.mark.parametrize("through", ["X-TOGETHER", "X-PIPELINE"], indirect=True)
def test_not_without(through):
    """Announced, or asked first."""
    primary = through.primary
    for n in range(1, 3):
        _, _, commands = through.costs(lambda n=n: primary.deliver(message(n), "u0"))
        assert commands[0] == "GET MAILBOXES" and "APPLY MAILBOXES" not in commands
    through.equal()


@pytest.mark.parametrize("through", ["-j 3"], indirect=True)
def test_with_workers(through):
    """Each has a connection of its own, and knows what it has done; who has been with another one since is looked at as before."""
    primary = through.primary
    for user in USERS[:2]:
        primary.deliver(message(1), user)  # by the first one, who is free
    for n in range(2, 5):
        for user in USERS[:2]:
            assert through.costs(lambda n=n, user=user: primary.deliver(message(n), user)) == (1, 1, ONE_TRIP)
    with primary.imap("u0") as imap:
        imap.ok("SELECT INBOX")
        assert through.costs(lambda: imap.ok(r"STORE 1:2 +FLAGS (\Flagged)")) == (1, 1, ["APPLY MAILBOXES"])
        imap.logout()

    def deliver(user):
        for n in range(10, 20):
            primary.deliver(message(n), user)

    threads = [threading.Thread(target=deliver, args=(user,)) for user in USERS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    through.equal()
    # nothing was sent that was not right
    assert "mismatch" not in through.replica.log_text()

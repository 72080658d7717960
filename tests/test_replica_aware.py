# SPDX-License-Identifier: BSD-3-Clause
"""cyr_expire and reconstruct know the replicas of a user, and how far they are (W065, doc/rolling.md)."""

import os
import re
import time

import pytest

from cyltest import Pair, rolling
from cyltest.syncdata import message


@pytest.fixture(scope="module")
def running(module_factory):
    pair = rolling.set_up(Pair(module_factory("primary"), module_factory("replica")), duplicatesuppression=False)
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|IOERROR|ERROR|Can not connect")
    pair.start()
    for user in ("alice", "bob"):
        pair.primary.add_user(user)
        pair.primary.create_user(user, "Work")
        pair.primary.deliver(message(1), user)
    turns(pair)
    pair.primary.run("sync_client", "-A")
    return pair


@pytest.fixture
def pair(running):
    option(running, None)
    turns(running)
    running.primary.run("sync_client", "-u", "alice", "bob")
    expire(running, "-X", "0", "-D", "0")
    return running


def turns(pair, *args):
    pair.primary.run("sync_client", "-R", "-1", *args)


def option(pair, value):
    pair.primary.conf.pop("expire_replica_wait", None)
    if value:
        pair.primary.conf["expire_replica_wait"] = value
    pair.primary.write_conf()


def expire(pair, *args):
    return pair.primary.run("cyr_expire", "-v", "-a", *args).stderr


def do(pair, *commands, user="alice"):
    with pair.primary.imap(user) as imap:
        for command in commands:
            imap.ok(command)
        imap.logout()


def expunge(pair, user="alice"):
    pair.primary.deliver(message(time.time_ns() % 10**6 + 10), user)
    turns(pair)
    do(pair, "SELECT INBOX", r"STORE * +FLAGS.SILENT (\Deleted)", "EXPUNGE", user=user)


@pytest.mark.parametrize("wait", [None, "1h"])
def test_expunged_messages(pair, wait):
    option(pair, wait)
    expunge(pair)
    told = expire(pair, "-X", "0")
    if wait:
        assert "Expired 0 and expunged 0 " in told and "Kept 1 expunged messages that a replica has not acknowledged" in told
        turns(pair)
        told = expire(pair, "-X", "0")
    assert "Expired 0 and expunged 1 " in told and "Kept" not in told


@pytest.mark.parametrize("wait", [None, "1h"])
def test_deleted_mailboxes(pair, wait):
    option(pair, wait)
    do(pair, "CREATE INBOX.gone")
    turns(pair)
    do(pair, "DELETE INBOX.gone")
    time.sleep(1.1)
    told = expire(pair, "-D", "0")
    if wait:
        assert "Removed 0 deleted mailboxes" in told and "Kept 1 deleted mailboxes that a replica has not acknowledged" in told
        turns(pair)
        told = expire(pair, "-D", "0")
    assert "Removed 1 deleted mailboxes" in told and "Kept" not in told


@pytest.mark.parametrize("wait", [None, "1h"])
def test_tombstones(pair, wait):
    """A week old; made so by hand."""
    db = pair.primary.path("conf/mailboxes.db")
    option(pair, "30d" if wait else None)
    name = f"old{'w' if wait else ''}"
    do(pair, f"CREATE INBOX.{name}")
    turns(pair)
    do(pair, f"RENAME INBOX.{name} INBOX.{name}er")
    keys = [line.partition("\t") for line in pair.primary.run("cyr_dbtool", db, "twoskip", "show").stdout.splitlines()]
    [(key, _, value)] = [(k, t, v) for k, t, v in keys if f"{name}" in k and f"{name}er" not in k and re.search(r"\bT \w*d\b", v)]
    aged = re.sub(r"\bM \d+", f"M {int(time.time()) - 8 * 86400}", value)
    assert aged != value
    pair.primary.run("cyr_dbtool", db, "twoskip", "set", key, aged)

    def there():
        return f"\n{key}\t" in "\n" + pair.primary.run("cyr_dbtool", db, "twoskip", "show").stdout

    assert there()
    told = expire(pair, "-X", "1h")
    if wait:
        assert there()
        assert "Kept 1 tombstones that a replica has not acknowledged" in told
        turns(pair)
        told = expire(pair, "-X", "1h")
    assert not there() and "Kept" not in told


def test_no_longer_than_that(pair):
    option(pair, "1s")
    expunge(pair)
    do(pair, "CREATE INBOX.late", "DELETE INBOX.late")
    time.sleep(2.1)
    mark = pair.primary.log_mark()
    told = expire(pair, "-X", "0", "-D", "0")
    assert "expunged 1 " in told and "Removed 1 deleted" in told and "Kept" not in told
    pair.primary.wait_log(r"SYNCERROR: removed although the replica of channel <> has acknowledged modseq \d+ only: "
                          r"mailbox=<user.alice> messages=<1>", mark)
    pair.primary.wait_log(r"SYNCERROR: removed although .*mailbox=<DELETED.user.alice.late.\w+> deleted=<1>", mark)


def test_who_is_not_known_waits_too(pair):
    option(pair, "1h")
    expunge(pair, "bob")
    turns(pair)
    os.unlink(pair.primary.path("conf/verified.db"))
    assert "Kept 1 expunged" in expire(pair, "-X", "0")
    pair.primary.run("sync_client", "--compare", check=False)
    assert "expunged 1 " in expire(pair, "-X", "0")


def test_without_replicas_nothing_waits(factory):
    server = factory("alone")
    server.conf.update(rolling.CONF, expire_replica_wait="1h")
    server.start()
    server.add_user("alice")
    server.create_user("alice")
    server.deliver(message(1), "alice")
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
        imap.ok("EXPUNGE")
        imap.logout()
    assert "expunged 1 " in server.run("cyr_expire", "-v", "-X", "0").stderr


# ---- reconstruct ----

@pytest.fixture
def three(factory):
    """A primary with two replicas; the one of channel far is not behind, that of near is."""
    primary, near, far = factory("main"), factory("near"), factory("far")
    pair = rolling.set_up(Pair(primary, near), duplicatesuppression=False)
    for option_, value in list(primary.conf.items()):
        if option_ in ("sync_host", "sync_port"):
            primary.conf[f"near_{option_}"] = value
    del primary.conf["sync_host"]
    primary.conf.update(far_sync_host="127.0.0.1", far_sync_port=far.ports["csync"])
    far.conf.update(rolling.CONF, allowusermoves=True)
    for server in (primary, near, far):
        server.allow_log("SYNC|IOERROR|ERROR|not found|left alone")
    far.start()
    pair.start()
    primary.add_user("alice")
    primary.create_user("alice")
    for n in range(1, 7):
        primary.deliver(message(n), "alice")
    for channel in ("near", "far"):
        turns(pair, "-n", channel)
        primary.run("sync_client", "-n", channel, "-u", "alice")
    primary.deliver(message(7), "alice")
    turns(pair, "-n", "far")
    primary.deliver(message(8), "alice")
    return pair


def lose(server, *uids):
    [spool] = {top for top, _, names in os.walk(server.path("spool")) if "1." in names}
    server.stop()
    for uid in uids:
        os.unlink(os.path.join(spool, f"{uid}."))
    server.start()


def uids(server):
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        found = imap.ok("UID SEARCH ALL").untagged
        imap.logout()
    return [int(n) for line in found if b"SEARCH" in line for n in re.findall(rb"\d+", line)]


def test_what_a_replica_has_is_not_declared_lost(three):
    """What none is known to have is. The replica that is furthest with the user is named, and asked."""
    lose(three.primary, 7, 8)
    done = three.primary.run("reconstruct", "-u", "alice", check=False)
    assert done.returncode == 65
    assert ("user.alice uid 7 not found, a replica has it, left alone (--from-replica=far fetches it, --accept-loss expunges it)"
            in done.stdout), done.stdout
    assert "user.alice uid 8 not found\n" in done.stdout
    assert uids(three.primary) == [1, 2, 3, 4, 5, 6, 7]
    done = three.primary.run("reconstruct", "--from-replica", "-u", "alice")
    assert "user.alice uid 7 not found, fetched from the replica" in done.stdout
    three.primary.run("reconstruct", "-u", "alice")


def test_the_operator_may_say_so(three):
    lose(three.primary, 7)
    three.primary.run("reconstruct", "--accept-loss", "-u", "alice")
    assert uids(three.primary) == [1, 2, 3, 4, 5, 6, 8]


def test_a_replica_that_is_named_is_asked(three):
    lose(three.primary, 7)
    done = three.primary.run("reconstruct", "--from-replica=near", "-u", "alice", check=False)
    assert done.returncode == 65 and "uid 7 not found, the replica does not have it, left alone" in done.stdout

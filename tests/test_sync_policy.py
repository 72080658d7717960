# SPDX-License-Identifier: BSD-3-Clause
"""Policies (doc/rolling.md, Synchronous): per user, on how many replicas a change must be before the client is told that it is done, and what he is
told when there are fewer."""

import re
import time

import pytest

from cyltest import Pair, rolling
from cyltest.clients import Rejected
from cyltest.syncdata import message

LATE = "did not acknowledge within"
AGAIN = "has caught up: synchronous again"
ENTRY = "/shared/vendor/cylinder/durability"
CHANNELS = ("one", "two")
BOUND = 3000


@pytest.fixture
def trio(factory, request):
    """A primary with two synchronous channels; the policy of all is the parameter."""
    primary, one, two = factory("primary"), factory("one"), factory("two")
    for replica, channel in zip((one, two), CHANNELS):
        pair = Pair(primary, replica)
        for key in ("sync_host", "sync_port", "sync_authname", "sync_password", "sync_try_imap"):
            primary.conf[f"{channel}_{key}"] = primary.conf[key]
        replica.allow_log("SYNC|IOERROR|signaled|zero length|response")
        rolling.set_up(pair)
    primary.conf.update({f"{channel}_sync_wait_ms": BOUND for channel in CHANNELS})
    primary.conf.update(sync_log=False, sync_log_channels=" ".join(CHANNELS), durability=request.param, duplicatesuppression=True)
    primary.allow_log("SYNC|IOERROR|signaled|abnormally|zero length|response|Can not connect|journal: ")
    primary.add_service("pop3")
    for channel in CHANNELS:
        rolling.daemon(primary, "-n", channel, name=channel)
    for server in (one, two, primary):
        server.start()
        for user in ("alice", "bob"):
            server.add_user(user)
    for channel in CHANNELS:
        rolling.caught_up(primary, channel)
    for user in ("alice", "bob"):
        primary.create_user(user)
    for channel in CHANNELS:
        rolling.caught_up(primary, channel)
    return primary, one, two


def numbers(server, user):
    """Of all messages in the INBOX."""
    with server.imap(user) as imap:
        imap.ok("EXAMINE INBOX")
        told = imap.ok("UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
        imap.logout()
    return sorted(int(n) for n in re.findall(r"number (\d+)\D", str(told.untagged)))


def put(server, n, *users):
    """The codes of the answers, of RCPT where that is refused."""
    with server.lmtp() as lmtp:
        replies = lmtp.deliver(message(n, f"number {n}."), list(users))
        lmtp.quit()
    return [code for code, _ in replies]


def in_step(server, times):
    deadline = time.monotonic() + 60
    while server.log_text().count(AGAIN) < times:
        assert time.monotonic() < deadline, server.log_text()[-4000:]
        time.sleep(0.05)


@pytest.mark.parametrize("trio", ["sync(2)"], indirect=True)
def test_sync(trio):
    """Two of two: with one of them dead the first change is made and not acknowledged, others are refused and not made; what was told to come
    again is there once."""
    primary, one, two = trio
    assert put(primary, 1, "alice", "bob") == [250, 250]
    assert numbers(one, "alice") == numbers(two, "alice") == [1]

    two.kill()
    assert put(primary, 2, "alice") == [451]
    assert numbers(primary, "alice") == numbers(one, "alice") == [1, 2]
    assert primary.log_text().count(LATE) == 1
    # now it is known
    assert put(primary, 3, "alice") == [451]
    with primary.imap("alice") as imap:
        for refused in (lambda: imap.append("INBOX", message(4, "number 4.")), lambda: imap.ok("CREATE INBOX.New")):
            with pytest.raises(Rejected, match=r"NO \[UNAVAILABLE\]"):
                refused()
        assert not imap.ok("LIST \"\" INBOX.New").untagged
        imap.ok("SELECT INBOX")
        imap.ok("FETCH 1:* BODY[]")  # nobody is kept from reading
        with pytest.raises(Rejected, match=r"NO \[UNAVAILABLE\]"):
            imap.ok(r"STORE 1 +FLAGS (\Flagged)")
        assert "Flagged" not in str(imap.ok("FETCH 1 FLAGS").untagged)
        imap.logout()
    with primary.pop3("alice") as pop3:
        pop3.ok("DELE 1")
        assert pop3.cmd("QUIT").startswith(b"-ERR [SYS/TEMP]")
    assert numbers(primary, "alice") == [1, 2]
    # it is here from before, and still on one only
    assert put(primary, 2, "alice") == [451]

    two.start()
    in_step(primary, 1)
    assert put(primary, 2, "alice") == put(primary, 3, "alice") == [250]
    assert numbers(primary, "alice") == numbers(one, "alice") == numbers(two, "alice") == [1, 2, 3]


@pytest.mark.parametrize("trio", ["sync(1)"], indirect=True)
def test_one_of_two(trio):
    """Any of them will do, and nobody is late for it."""
    primary, one, two = trio
    for n, (dead, alive) in enumerate(((one, two), (two, one)), 1):
        dead.kill()
        assert put(primary, n, "alice") == [250]
        assert n in numbers(alive, "alice")
        assert LATE not in primary.log_text()
        dead.start()
        for channel in CHANNELS:
            rolling.caught_up(primary, channel)
    assert numbers(one, "alice") == numbers(two, "alice") == [1, 2]


@pytest.mark.parametrize("trio", ["semi"], indirect=True)
def test_each_user_his_own(trio):
    """The annotation of his INBOX, which only an admin sets, and which the replicas have, too; one message to users of different policies."""
    primary, one, two = trio
    with primary.imap("admin") as admin:
        admin.ok(f'SETMETADATA user.alice ({ENTRY} "sync(2)")')
        admin.ok(f'SETMETADATA user.bob ({ENTRY} "async")')
        for bad in ("sync(0)", "sync()", "sync(x)", "async(1)", "sometimes", "sync(1", "semi(1,)", "semi(1, x)", "semi(1, 0)", "sync(1, 50)"):
            with pytest.raises(Rejected):
                admin.ok(f'SETMETADATA user.bob ({ENTRY} "{bad}")')
        admin.logout()
    with primary.imap("alice") as imap:
        with pytest.raises(Rejected):
            imap.ok(f'SETMETADATA INBOX ({ENTRY} "async")')
        assert b"sync(2)" in b"".join(imap.ok(f"GETMETADATA INBOX ({ENTRY})").untagged)
        imap.logout()
    with two.imap("admin") as admin:
        assert b"sync(2)" in b"".join(admin.ok(f"GETMETADATA user.alice ({ENTRY})").untagged)
        admin.logout()

    one.kill()
    two.kill()
    assert put(primary, 1, "bob") == [250]
    assert LATE not in primary.log_text()
    # both are committed together, and told apart
    assert put(primary, 2, "alice", "bob") == [451, 250]
    assert primary.log_text().count(LATE) == 2
    assert put(primary, 3, "alice", "bob") == [451, 250]
    assert (numbers(primary, "alice"), numbers(primary, "bob")) == ([2], [1, 2, 3])
    with primary.imap("bob") as imap:
        imap.append("INBOX", message(4, "number 4."))
        imap.logout()
    one.start()
    two.start()
    in_step(primary, 2)
    assert put(primary, 2, "alice") == [250]
    assert numbers(one, "alice") == numbers(two, "alice") == [2]


@pytest.mark.parametrize("trio", ["semi(1)"], indirect=True)
def test_semi(trio):
    """One of two is enough; with none it is as done as it can be."""
    primary, one, two = trio
    one.kill()
    assert put(primary, 1, "alice") == [250]
    assert numbers(two, "alice") == [1] and LATE not in primary.log_text()
    two.kill()
    assert put(primary, 2, "alice") == put(primary, 3, "alice") == [250]
    assert primary.log_text().count(LATE) == 2
    one.start()
    two.start()
    in_step(primary, 2)
    assert numbers(one, "alice") == numbers(two, "alice") == [1, 2, 3]


def timed(server, n, user):
    began = time.monotonic()
    assert put(server, n, user) == [250]
    return time.monotonic() - began


@pytest.mark.parametrize("trio", ["sync(1)"], indirect=True)
def test_patience_of_a_policy(trio):
    """semi(N, MS): he waits so long and no longer, and once; that he does is nothing to those who wait for the bound of the channel."""
    primary, one, two = trio
    with primary.imap("admin") as admin:
        admin.ok(f'SETMETADATA user.alice ({ENTRY} "semi(2, 400)")')
        admin.logout()
    assert timed(primary, 1, "alice") < 0.4 and numbers(one, "alice") == numbers(two, "alice") == [1]
    two.kill()
    assert 0.4 <= timed(primary, 2, "alice") < BOUND / 1000 and numbers(one, "alice") == [1, 2]
    assert timed(primary, 3, "alice") < 0.4
    assert primary.log_text().count("did not acknowledge within 400 ms: asynchronous for those who wait no longer") == 1
    one.kill()
    # nobody has waited the bound of a channel yet
    assert put(primary, 1, "bob") == [451] and numbers(primary, "bob") == [1]
    assert put(primary, 2, "bob") == [451] and numbers(primary, "bob") == [1]
    assert primary.log_text().count(f"did not acknowledge within {BOUND} ms: asynchronous until") == 2
    one.start()
    two.start()
    deadline = time.monotonic() + 60
    while timed(primary, 4, "alice") and numbers(two, "alice") != [1, 2, 3, 4]:
        assert time.monotonic() < deadline
    in_step(primary, 2)
    assert put(primary, 3, "bob") == [250]


def test_on_a_server_without_replicas(server):
    """The option counts: it promises what can't be had. The policy of a user, which may have come with his mailboxes, does not."""
    server.allow_log("SYNCNOTICE")
    server.add_user("alice")
    server.create_user("alice")
    with server.imap("admin") as admin:
        admin.ok(f'SETMETADATA user/alice ({ENTRY} "sync(1)")')
        admin.logout()
    assert put(server, 1, "alice") == [250]
    server.stop()
    server.conf["durability"] = "sync(1)"
    server.start()
    assert put(server, 2, "alice") == [451]
    assert numbers(server, "alice") == [1]

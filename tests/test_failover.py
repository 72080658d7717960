# SPDX-License-Identifier: BSD-3-Clause
"""The replica takes over, with and without the primary; what only the old one had comes back with it (doc/failover.md)."""

import os
import re
import threading

import pytest

from cyltest import Pair
from cyltest.clients import Rejected
from cyltest.credentials import password
from cyltest.relay import Relay
from cyltest.dlist import parse
from cyltest.syncdata import assert_same, fill_user, login, message
from cyltest.syncline import comparable, full

USERS = ["anna", "bob"]
REFUSED = r"\[UNAVAILABLE\] This server is the replica of "


@pytest.fixture
def pair(factory):
    """Both ends can replicate to the other; a has served so far."""
    services = ("imap", "pop3", "lmtp", "csync")
    pair = Pair(factory("a", services=services), factory("b", services=services))
    a, b = pair.primary, pair.replica
    for server, other in ((a, b), (b, a)):
        server.conf.update({"conversations": True, "unixhierarchysep": False, "altnamespace": False, "virtdomains": "off",
                            "expunge_mode": "delayed", "delete_mode": "delayed", "sync_host": "127.0.0.1",
                            "sync_port": other.ports["csync"], "sync_authname": "repl", "sync_password": password("repl"),
                            "sync_try_imap": False})
        server.allow_log("SYNC|IOERROR|ERROR|zero length|signaled|abnormally|CRC failure|badlogin|inefficient|Can not connect")
        for user in (*USERS, "new"):
            server.add_user(user)
        server.add_service("csyncunix", cmd="sync_server", listen=server.path("conf/socket/csync"))
    pair.start()
    for user in USERS:
        fill_user(a, user)
    pair.sync("-A")
    return pair


def failover(server, *args, status=0):
    done = server.run("failover", *args, check=False)
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stdout


def texts(server, user, name="INBOX"):
    """Bodies by UID."""
    with server.imap(user) as imap:
        imap.ok(f"EXAMINE {name}")
        lines = imap.ok("FETCH 1:* (UID BODY.PEEK[])").untagged
        imap.logout()
    return sorted(re.search(rb"Subject: ([^\r\n]*)", line).group(1) for line in lines if b"BODY[]" in line)


def must_be_refused(server, user="anna"):
    with pytest.raises(Rejected, match=REFUSED):
        server.imap(user)
    with pytest.raises(Rejected, match=r"\[SYS/TEMP\] This server is the replica of "):
        server.pop3(user)
    with server.lmtp() as lmtp:
        assert lmtp.deliver(message(99), [user])[0][0] == 451
    done = server.run("sync_client", "-o", "-u", user, check=False)
    assert done.returncode == 1


def both_same(pair, *users):
    for user in users or USERS:
        assert_same(pair.primary, pair.replica, user)


def tail(server):
    """What has not gone across: mail, a flag, a folder, a user."""
    with server.imap("anna") as imap:
        imap.append("INBOX", message(20))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Answered)")
        imap.ok("CREATE INBOX.Late")
        imap.append("INBOX.Late", message(21))
        imap.logout()
    server.create_user("new")
    with server.imap("new") as imap:
        imap.append("INBOX", message(22))
        imap.logout()


def subjects(*numbers):
    return sorted(re.search(rb"Subject: ([^\r\n]*)", message(n)).group(1) for n in numbers)


def lost_and_taken_over(pair):
    """a has died with a tail; b has served since, and given away the UID of a's last message."""
    a, b = pair.primary, pair.replica
    tail(a)
    a.kill()
    assert "role" not in os.listdir(b.path("conf"))
    failover(b, "takeover", status=75)
    told = failover(b, "takeover", "--lost")
    assert re.search(r"^this server: primary since \d{4}-", told, re.M)
    for user in USERS:
        assert re.search(rf"^{user}: 3 mailboxes, 5 messages, modseq \d+, last change \d{{4}}-", told, re.M), told
    assert "may be missing until" in told
    with b.imap("anna") as imap:
        imap.append("INBOX", message(30))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 2 +FLAGS (\Flagged)")
        imap.logout()


def come_back(pair):
    """At its start a asks, and serves nobody."""
    a, b = pair.primary, pair.replica
    told = failover(a, "check")
    assert re.match(r"this server: replica since \d{4}-", told)
    a.start()
    must_be_refused(a)


def test_machine_is_lost(pair):
    a, b = pair.primary, pair.replica
    lost_and_taken_over(pair)
    come_back(pair)
    told = failover(b, "rejoin")
    # what came, and the two messages that had one UID
    assert re.search(r"^FULLMAILBOX user\.anna .*\b4\b", told, re.M), told
    assert "new: was made on the other end, comes here" in told
    assert "COPYBACK user.anna.Late" in told
    assert told.endswith("0 differences left\n")
    both_same(pair, *USERS, "new")
    assert texts(b, "anna") == subjects(1, 2, 3, 20, 30)
    assert texts(b, "anna", "INBOX.Late") == subjects(21) and texts(b, "new") == subjects(22)
    must_be_refused(a)
    # nothing is left to come, and the way back is the same with the names changed
    told = failover(b, "rejoin")
    assert "FULLMAILBOX" not in told and told.endswith("0 mailboxes updated, 0 differences left\n")
    failover(a, "takeover")
    must_be_refused(b)
    assert texts(a, "anna") == subjects(1, 2, 3, 20, 30)


def shared(server):
    """{name of a shared mailbox that is not deleted: what replication tells of it}"""
    with login(server) as csync:
        names = [parse(line)[1].decode() for line in csync.ok("GET SHARED ()").untagged]
        return {name: comparable(full(csync, name)) for name in names if not name.startswith("DELETED.")}


def as_admin(server, *commands, mail=()):
    with server.imap("admin") as imap:
        for command in commands:
            imap.ok(command)
        for box, n in mail:
            imap.append(box, message(n))
        imap.logout()


def make_shared(server, *names, n):
    as_admin(server, *(command for name in names for command in (f"CREATE {name}", f"SETACL {name} admin lrswipkxtecda")),
             mail=[(name, n) for name in names])


def test_shared_mailboxes_of_both_ends(pair):
    """Only there, deleted here, renamed here, of one name here and there, changed on both."""
    a, b = pair.primary, pair.replica
    make_shared(a, "public", "public.old", "public.moved", n=1)
    pair.sync("-A")
    assert shared(a) == shared(b) and len(shared(b)) == 3
    make_shared(a, "news", "news.deep", "both", n=2)
    as_admin(a, 'SETMETADATA news (/shared/comment "of a")', mail=[("public", 3)])
    a.kill()
    failover(b, "takeover", "--lost")
    make_shared(b, "both", n=4)
    as_admin(b, "DELETE public.old", "RENAME public.moved public.new", mail=[("public", 5)])
    come_back(pair)
    told = failover(b, "rejoin")
    assert "COPYBACK news\n" in told and "COPYBACK news.deep\n" in told and re.search(r"^MERGE both ", told, re.M)
    here = shared(b)
    assert here == shared(a) and sorted(here) == ["both", "news", "news.deep", "public", "public.new"]
    assert {name: len(value["RECORD"]) for name, value in here.items()} == {"both": 2, "news": 1, "news.deep": 1, "public": 3, "public.new": 1}
    assert texts(b, "admin", "public") == subjects(1, 3, 5) and texts(b, "admin", "both") == subjects(2, 4)
    assert failover(b, "rejoin").endswith("0 mailboxes updated, 0 differences left\n")
    must_be_refused(a)


def test_admins_of_a_group_come_into_a_replica(pair):
    """As `admins` means groups elsewhere: a Unix account of this machine with its group."""
    b = pair.replica
    b.add_user("daemon")
    with login(b) as sync:
        sync.ok("APPLY ROLE %(ROLE replica SINCE 5 PEER a)")
    with pytest.raises(Rejected, match=REFUSED):
        b.imap("daemon")
    b.conf["admins"] += " group:daemon"
    b.restart()
    with b.imap("daemon") as imap:
        imap.ok("NOOP")
        imap.logout()
    with pytest.raises(Rejected, match=REFUSED):
        b.imap("anna")


def test_lost_under_load(pair):
    """Mail is delivered and replicated while a is killed: what a has acknowledged is there after its return, once."""
    a, b = pair.primary, pair.replica
    roll = a.popen("sync_client", "-R", "-d", "0")
    said, enough = [], threading.Event()

    def load(user):
        try:
            with a.imap(user) as imap:
                for n in range(100 * (1 + USERS.index(user)), 10 ** 6):
                    imap.append("INBOX", message(n))
                    said.append((user, n))
                    if len(said) == 60:
                        enough.set()
        except (EOFError, OSError):
            pass  # a is gone

    threads = [threading.Thread(target=load, args=(user,)) for user in USERS]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    a.kill()
    roll.kill()
    roll.wait()
    for thread in threads:
        thread.join()
    failover(b, "takeover", "--lost")
    for n, user in enumerate(USERS):
        with b.imap(user) as imap:
            imap.append("INBOX", message(50 + n))
            imap.logout()
    come_back(pair)
    assert failover(b, "rejoin").endswith("0 differences left\n")
    both_same(pair)
    for n, user in enumerate(USERS):
        found = texts(b, user)
        wanted = subjects(1, 2, 3, 50 + n, *(number for who, number in said if who == user))
        assert len(set(found)) == len(found) and set(found) >= set(wanted)
        assert len(found) <= len(wanted) + 1  # the one that was being delivered


def test_planned(pair):
    """With the primary there: it is fenced, who is in goes, and nothing is missing."""
    a, b = pair.primary, pair.replica
    tail(a)
    imap = a.imap("anna")
    with a.imap("admin") as admin:
        told = failover(b, "takeover")
        assert "is fenced: the replica of this server" in told and told.endswith("0 differences left\n")
        imap.sendline("a NOOP")
        assert re.match(r"\* BYE " + REFUSED, imap.readline().decode())
        imap.close()
        admin.ok("NOOP")
        admin.logout()
    must_be_refused(a)
    both_same(pair, *USERS, "new")
    assert texts(b, "anna") == subjects(1, 2, 3, 20)
    # who was the primary can't put its state here, even if it does not know
    failover(a, "release")
    done = a.run("sync_client", "-o", "-u", "anna", check=False)
    assert done.returncode == 0
    with a.imap("anna") as imap:
        imap.append("INBOX", message(40))
        imap.logout()
    done = a.run("sync_client", "-o", "-u", "anna", check=False)
    assert done.returncode == 1 and "denied" in done.stderr
    failover(b, "rejoin")
    both_same(pair)
    assert texts(b, "anna") == subjects(1, 2, 3, 20, 40)


@pytest.mark.parametrize("where", ["before", "after"])
def test_rejoin_is_interrupted(pair, where):
    """At every third command; the one that goes through ends as if nothing had been."""
    a, b = pair.primary, pair.replica
    lost_and_taken_over(pair)
    come_back(pair)

    def kill():
        a.kill_children("sync_server")

    cuts = 0
    for n in range(1, 100, 3):
        with Relay(b.path("tmp", f"relay{n}"), a.path("conf/socket/csync"), n, where, kill) as through:
            done = b.run("failover", "-S", through.path, "rejoin", check=False)
        if not through.cut:
            break
        cuts += 1
    assert done.returncode == 0 and cuts > 5
    both_same(pair, *USERS, "new")
    assert texts(b, "anna") == subjects(1, 2, 3, 20, 30)


def test_marker_and_usage(pair):
    a, b = pair.primary, pair.replica
    told = failover(b, "status")
    assert told.startswith("this server: none\nthe other end: none\n") and "anna: 3 mailboxes, 5 messages" in told
    failover(b, "rejoin", status=75)
    # a role that can't be written is none
    for fault in ("open:1:EACCES:/role.NEW", "pwrite:1:ENOSPC:/role.NEW", "fsync:1:EIO:/role.NEW", "rename:1:EIO:/role"):
        b.env["CYLINDER_DISKIO_FAULT"] = fault
        failover(b, "-S", "/nowhere", "takeover", "--lost", status=1)
        del b.env["CYLINDER_DISKIO_FAULT"]
        assert not [name for name in os.listdir(b.path("conf")) if name.startswith("role")], fault
    # who can't tell is a replica
    with open(b.path("conf/role"), "w") as f:
        f.write("prim")
    os.chmod(b.path("conf/role"), 0o644)
    with pytest.raises(Rejected, match="replica"):
        b.imap("anna")
    assert failover(b, "release") == "this server: none" + failover(b, "status").split("\n")[0][len("this server: none"):] + "\n"
    b.imap("anna").close()
    # who became the primary later does not step back
    with login(b) as sync:
        sync.ok("APPLY ROLE %(ROLE replica SINCE 5 PEER elsewhere)")
        assert re.search(rb"ROLE replica SINCE 5 PEER elsewhere", sync.ok("GET ROLE %()").untagged[0])
        failover(b, "takeover")
        assert "This server is the primary" in sync.cmd("APPLY ROLE %(ROLE replica SINCE 6)").text
        for wrong in ("%(ROLE primary SINCE 6)", "%(ROLE replica)", "%(ROLE x SINCE 6)", '%(ROLE replica SINCE 6 PEER "a b")'):
            assert sync.cmd(f"APPLY ROLE {wrong}").text.startswith("IMAP_PROTOCOL_BAD_PARAMETERS")
    for args in ((), ("what",), ("status", "--lost"), ("check", "--fenced"), ("rejoin", "--lost"), ("status", "more")):
        failover(b, *args, status=64)

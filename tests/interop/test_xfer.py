# SPDX-License-Identifier: BSD-3-Clause
"""XFER: users and shared mailboxes move to another server and back (handbook 06 §3), ours and 3.6.1."""

import glob
import os
import re

import pytest

from cyltest.credentials import password
from cyltest.dlist import parse
from cyltest.byterelay import ByteRelay
from cyltest.syncdata import message

CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False, "altnamespace": False,
        "virtdomains": "off", "allowusermoves": True, "mailbox_legacy_dirs": False, "delete_mode": "delayed",
        "proxy_authname": "repl", "proxy_password": password("repl"), "quota_db": "twoskip"}


def servers(factory, debian_factory, *flavours):
    made = []
    for n, flavour in enumerate(flavours):
        make = factory if flavour == "ours" else debian_factory
        server = make(f"s{n}", services=("imap", "lmtp", "csync"))
        server.conf.update(CONF)
        server.start()
        made.append(server)
    return made


def address(server):
    return f"127.0.0.1:{server.ports['imap']}"


def fill(server):
    server.create_user("alice", "Work", "Gone")
    with server.imap("admin") as imap:
        imap.ok("SETQUOTA user.alice (STORAGE 10000 MESSAGE 100)")
        imap.logout()
    with server.imap("alice") as imap:
        for n in range(1, 5):
            imap.append("INBOX", message(n), r"\Flagged $Label" if n == 2 else None)
        imap.append("INBOX.Work", message(5))
        imap.append("INBOX.Gone", message(6))
        imap.ok("SELECT INBOX")
        imap.ok("COPY 1:2 INBOX.Work")
        imap.ok(r"STORE 3 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("SUBSCRIBE INBOX.Work")
        imap.ok('SETMETADATA INBOX.Work (/private/comment "mine")')
        imap.ok("DELETE INBOX.Gone")
        imap.logout()


def facts(server):
    """What makes the user: identities, numbers, rights, limits, subscriptions, and the messages."""
    told = []
    with server.sync("repl") as sync:
        for line in sync.ok("GET USER alice").untagged:
            kind, value = parse(line)
            if kind == "MAILBOX":
                told.append((kind, *(value.get(key) for key in (
                    "MBOXNAME", "UNIQUEID", "SYNC_CRC", "SYNC_CRC_ANNOT", "LAST_UID", "HIGHESTMODSEQ", "UIDVALIDITY",
                    "ACL", "OPTIONS", "QUOTAROOT", "CREATEDMODSEQ"))))
            elif kind == "QUOTA":
                told.append((kind, value["ROOT"], value.get("STORAGE"), value.get("MESSAGE")))
            else:
                told.append((kind, repr(value)))
    return sorted(told, key=repr)


def user_files(server, kind):
    """Files of the user, below <configdirectory>/user."""
    found = glob.glob(server.path("conf", "user", "**", f"*{kind}*"), recursive=True)
    return sorted(os.path.relpath(f, server.path("conf", "user")) for f in found if os.path.isfile(f))


def is_sound(server):
    """One conversations database, at the place of the UNIQUEID, with counts equal to a recount."""
    (path,) = user_files(server, "conversations")
    assert path.startswith("uuid/"), path
    done = server.run("ctl_conversationsdb", "-v", "-A", "alice")
    assert done.stdout.endswith("\nalice is OK\n"), done.stdout + done.stderr
    assert not server.run("quota", "-f", "-n").stderr


def xfer(source, target, what="user.alice", rest=""):
    with source.imap("repl") as imap:
        answer = imap.cmd(f"XFER {what} {address(target)}{rest}")
        imap.logout()
    return answer


def moved(source, target, before):
    assert facts(source) == []
    assert facts(target) == before
    with source.imap("admin") as imap:
        assert imap.ok('LIST "" *').untagged == []
        imap.logout()


def test_there_and_back_again(factory, debian_factory):
    one, two = servers(factory, debian_factory, "ours", "ours")
    fill(one)
    before = facts(one)
    assert any(fact[1].startswith(b"DELETED.") for fact in before if fact[0] == "MAILBOX")
    for source, target in ((one, two), (two, one), (one, two)):
        answer = xfer(source, target)
        assert (answer.status, answer.untagged) == ("OK", [b"* OK USER alice"]), answer
        moved(source, target, before)
        # compared before: with the user locked three commands are all that is needed
        assert re.search(r"XFER of alice to \S+: moved; locked for \d+ ms, 3 commands", source.log_text())
        assert user_files(source, "conversations") == []
        source.run("ctl_cyrusdb", "-c")  # files go with the next checkpoint
        assert not glob.glob(source.path("spool/uuid/**/[0-9]*."), recursive=True)
        is_sound(target)
    with two.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        assert len(imap.ok("FETCH 1:* (FLAGS BODY[])").untagged) == 3
        imap.append("INBOX", message(9))
        imap.logout()
    is_sound(two)


def test_to_361_and_back(factory, debian_factory):
    ours, theirs = servers(factory, debian_factory, "ours", "debian")
    fill(ours)
    before = facts(ours)
    answer = xfer(ours, theirs)
    assert (answer.status, answer.untagged) == ("OK", [b"* OK USER alice"]), answer
    moved(ours, theirs, before)
    answer = xfer(theirs, ours)
    assert answer.untagged == [b"* OK USER alice"], answer
    assert facts(ours) == before
    is_sound(ours)


def test_shared_mailboxes_by_pattern(factory, debian_factory):
    one, two = servers(factory, debian_factory, "ours", "ours")
    with one.imap("admin") as imap:
        for name in ("lists", "lists.a", "lists.b", "other"):
            imap.ok(f"CREATE {name}")
            imap.ok(f"SETACL {name} alice lrswip")
        imap.logout()
    with one.imap("alice") as imap:
        imap.append("lists.a", message(1))
        imap.logout()
    answer = xfer(one, two, "lists.%")
    assert (answer.status, answer.untagged) == ("OK", [b'* OK MAILBOX "lists.b"', b'* OK MAILBOX "lists.a"'])
    assert xfer(one, two, "lists").untagged == [b'* OK MAILBOX "lists"']
    with two.imap("alice") as imap:
        imap.ok("SELECT lists.a")
        assert imap.ok("FETCH 1 UID").untagged
        imap.logout()
    with one.imap("admin") as imap:
        assert [line.split()[-1] for line in imap.ok('LIST "" *').untagged] == [b"other"]
        imap.logout()


def test_to_another_partition_and_all_of_one(factory, debian_factory):
    one, two = servers(factory, debian_factory, "ours", "ours")
    two.stop()
    two.conf["partition-big"] = two.account.mkdir(two.path("big"))
    two.start()
    for user in ("alice", "bob"):
        one.create_user(user)
    answer = xfer(one, two, "default", " big")
    assert answer.status == "OK" and sorted(answer.untagged) == [b"* OK USER alice", b"* OK USER bob"], answer
    with two.imap("admin") as imap:
        for user in ("alice", "bob"):
            (line,) = [line for line in imap.ok(f"GETMETADATA user.{user} /shared/vendor/cmu/cyrus-imapd/partition").untagged]
            assert b'"big"' in line or b" big" in line
        imap.logout()


def test_refusals(factory, debian_factory):
    one, two = servers(factory, debian_factory, "ours", "ours")
    fill(one)
    with one.imap("alice") as imap:
        assert imap.no(f"XFER user.alice {address(two)}").text == "Permission denied"
        imap.logout()
    with one.imap("repl") as imap:
        assert imap.no(f"XFER user.nobody {address(two)}").text == "Mailbox does not exist"
        assert imap.no(f"XFER user.alice.Work {address(two)}").text == "Operation is not supported on mailbox"
        assert imap.no(f"XFER DELETED.user.alice.Gone.12345678 {address(two)}").text == "Operation is not supported on mailbox"
        assert imap.no("XFER user.alice 127.0.0.1:1").text == "Server(s) unavailable to complete operation"
        name = one.conf.get("servername")
        if name:
            assert imap.no(f"XFER user.alice {name}").text == "Invalid server requested"
        for itself in (address(one), f"localhost:{one.ports['imap']}"):  # whatever it is called
            assert imap.no(f"XFER user.alice {itself}").text == "Invalid server requested"
        assert imap.bad("XFER user.alice").status == "BAD"
        assert imap.bad(f"XFER user.alice {address(two)} (p)").status == "BAD"
        with one.imap("admin") as admin:
            admin.ok("SETACL user.alice repl lrs")
            admin.logout()
        imap.ok("SELECT user.alice")
        answer = imap.no(f"XFER user.alice {address(two)}")
        assert (answer.text, answer.untagged) == ("1 of 1 not moved", [b"* NO USER alice (Mailbox is locked)"])
        imap.logout()
    assert facts(one) and not facts(two)
    one.allow_log("connect|127.0.0.1:1|refused|unavailable")


def test_a_copy_that_is_not_equal_is_no_copy(factory, debian_factory):
    """Another mailbox has the name on the target: nothing is lost here, and the line says why."""
    one, two = servers(factory, debian_factory, "ours", "ours")
    fill(one)
    two.create_user("alice", "Extra")
    before = facts(one)
    one.allow_log("SYNC|IOERROR|XFER|failed|received")
    two.allow_log("SYNC|IOERROR|moved|exists")
    answer = xfer(one, two)
    assert answer.status == "NO" and answer.untagged[0].startswith(b"* NO USER alice ("), answer
    assert facts(one) == before


@pytest.mark.parametrize("bytes_", (3000, 20000, 40000))
def test_a_connection_that_breaks_on_the_way(factory, debian_factory, bytes_):
    """The source stays, and the next attempt finishes."""
    one, two = servers(factory, debian_factory, "ours", "ours")
    fill(one)
    before = facts(one)
    relay = ByteRelay(two.ports["imap"], bytes_)
    one.allow_log("IOERROR|XFER|zero length|unavailable|SYNC|lost|reset|connect|failed")
    with one.imap("repl") as imap:
        answer = imap.cmd(f"XFER user.alice 127.0.0.1:{relay.port}")
        imap.logout()
    if answer.status == "NO":
        assert facts(one) == before
        assert xfer(one, two).status == "OK"
    moved(one, two, before)
    is_sound(two)


def test_move_user_to_361(factory, debian_factory):
    """move_user to a 3.6.1: equal there and gone here; and a program that says no leaves nothing there."""
    ours, theirs = servers(factory, debian_factory, "ours", "debian")
    ours.conf.update({"sync_authname": "repl", "sync_password": password("repl"), "sync_port": theirs.ports["csync"]})
    ours.write_conf()
    fill(ours)
    before = facts(ours)
    done = ours.run("move_user", "-S", "127.0.0.1", "--switch", "/bin/false", "alice", check=False)
    assert done.returncode == 1 and "/bin/false: exit status 1" in done.stderr, done
    assert (facts(ours), facts(theirs)) == (before, [])
    ours.run("move_user", "-S", "127.0.0.1", "--grace", "0", "alice")
    moved(ours, theirs, before)
    assert ours.run("cyr_user", "list", "alice").stdout.split("\t")[1] == "moved"


def test_move_user_back_from_361(factory, debian_factory):
    """What came there, and what its user has done there, comes along, though he can't be kept still."""
    ours, theirs = servers(factory, debian_factory, "ours", "debian")
    ours.conf.update({"sync_authname": "repl", "sync_password": password("repl"), "sync_port": theirs.ports["csync"]})
    ours.write_conf()
    fill(ours)
    ours.run("move_user", "-S", "127.0.0.1", "--switch", "/bin/true", "alice")
    theirs.deliver(message(70), "alice")
    with theirs.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Flagged)")
        there = imap.ok("FETCH 1:* (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER])").untagged
        imap.logout()
    ours.run("move_user", "--abort", "alice")
    assert not facts(theirs)
    with ours.imap("alice") as imap:
        imap.ok("EXAMINE INBOX")
        assert imap.ok("FETCH 1:* (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER])").untagged == there
        imap.logout()
    assert ours.run("cyr_user", "list", "alice").stdout.split("\t")[1] == "active"


def test_usage_that_the_target_has_counted_wrongly(factory, debian_factory):
    """Of a copy that is there already: told in the log, counted anew, and moved."""
    one, two = servers(factory, debian_factory, "ours", "ours")
    fill(one)
    one.conf.update({"sync_authname": "repl", "sync_password": password("repl"), "sync_port": two.ports["csync"]})
    one.write_conf()
    before = facts(one)
    one.run("sync_client", "-S", "127.0.0.1", "-u", "alice")
    two.run("cyr_dbtool", two.path("conf/quotas.db"), "twoskip", "set", "user.alice", "%(S (99 10000) M (7 100))")
    assert "user.alice" in two.run("quota", "-f", "-n", check=False).stderr
    answer = xfer(one, two)
    assert (answer.status, answer.untagged) == ("OK", [b"* OK USER alice"]), answer
    moved(one, two, before)
    is_sound(two)
    assert "to be counted anew on the replica: usage alice user.alice: STORAGE: here <" in one.log_text()
    assert "recount for alice: user.alice: STORAGE usage was 99, now " in two.log_text()

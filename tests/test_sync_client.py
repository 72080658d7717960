# SPDX-License-Identifier: BSD-3-Clause
"""Our sync_client with our sync_server: what it prints, what it sends, and how two ends that diverged meet."""

import glob
import os

import pytest

from cyltest.dlist import parse
from cyltest.syncdata import assert_same, diverge, fill_user, login, message, sent_commands, user_state
from cyltest.syncline import full, guid, mailbox, upload, record

CONF = {"conversations": True, "unixhierarchysep": False, "altnamespace": False,
        "virtdomains": "off", "expunge_mode": "delayed", "delete_mode": "delayed"}


@pytest.fixture
def pair(pair):
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.add_user("anna")
    pair.start()
    return pair


def sync(pair, *args, check=True):
    return pair.primary.run("sync_client", "-v", "-v", "-l", "-o", *args, check=check)


def settled(pair, user="anna"):
    assert sent_commands(sync(pair, "-u", user)) == []


def test_first_run_says_what_it_does(pair):
    fill_user(pair.primary)
    done = pair.primary.run("sync_client", "-v", "-o", "-u", "anna")
    assert done.stdout.splitlines() == [
        "ENABLE 0x800", "USER anna", "MAILBOX user.anna", "MAILBOX user.anna.Sent",
        "MAILBOX user.anna.Work", "QUOTA user.anna", "SUB anna user.anna", "SUB anna user.anna.Work",
        "3 mailboxes updated, 5 messages uploaded (" + done.stdout.split("(")[1].split(" ")[0] + " octets) in " +
        done.stdout.split(" in ")[1].split(" ")[0] + " seconds"]
    assert_same(pair.primary, pair.replica)
    settled(pair)


def test_changes(pair):
    fill_user(pair.primary)
    sync(pair, "-u", "anna")
    with pair.primary.imap("anna") as imap:
        imap.ok("CREATE INBOX.Copy")
        imap.ok("SELECT INBOX")
        imap.ok("COPY 1:2 INBOX.Copy")
        imap.ok(r"STORE 2 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("RENAME INBOX.Work INBOX.Job")
        imap.ok("UNSUBSCRIBE INBOX.Work")
        imap.logout()
    with pair.primary.imap("admin") as imap:
        imap.ok("SETQUOTA user.anna (STORAGE 77)")
        imap.logout()
    done = sync(pair, "-u", "anna")
    sent = sent_commands(done)
    # copied messages travel as names
    assert not [line for line in sent if "APPLY MESSAGE" in line]
    assert [line for line in sent if "APPLY RENAME" in line]
    now = assert_same(pair.primary, pair.replica)
    assert now["QUOTA"] == {b"user.anna": {"ROOT": b"user.anna", "LIMIT": b"77", "STORAGE": b"77"}}
    settled(pair)


def test_diverged_ends_meet(pair):
    """The story of transcript sync-08: both ends had 1-5, then each went its own way."""
    pair.primary.create_user("anna")
    with pair.primary.imap("anna") as imap:
        for n in range(1, 6):
            imap.append("INBOX", message(n))
        imap.logout()
    sync(pair, "-u", "anna")
    diverge(pair.primary, pair.replica)
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNCERROR")
    done = sync(pair, "-m", "user.anna")
    assert "FULLMAILBOX user.anna" in done.stdout
    assert_same(pair.primary, pair.replica)
    said = {line.removeprefix("FULLMAILBOX user.anna ") for line in done.stdout.splitlines()
            if line.startswith("FULLMAILBOX user.anna ")}
    first = guid(message(21)) < guid(message(20))
    assert said == {
        "1: the replica's flags are newer", "2: the flags here are newer", "3: expunged here",
        "4: expunged on the replica", "7: new on the replica, comes here",
        f"6: this UID is not the replica's, becomes {8 if first else 9}",
        f"6: only on the replica, comes here as {9 if first else 8}"}
    now = user_state(pair.replica)["MAILBOX"]
    records = {r["GUID"].decode(): r for r in now["user.anna"]["RECORD"]}
    wanted = {n: guid(message(n)) for n in (1, 2, 5, 20, 21, 22)}
    assert sorted(records) == sorted(wanted.values())
    uid = {n: int(records[g]["UID"]) for n, g in wanted.items()}
    assert (uid[1], uid[2], uid[5], uid[22]) == (1, 2, 5, 7)
    # two messages had UID 6: both moved, the lower GUID first
    assert sorted([uid[20], uid[21]]) == [8, 9]
    assert (uid[20] < uid[21]) == (wanted[20] < wanted[21])
    assert set(records[wanted[1]]["FLAGS"]) >= {b"\\Flagged", b"$Rep"}
    assert b"\\Answered" in records[wanted[2]]["FLAGS"]
    settled(pair)


def only_on_the_replica(pair, last):
    """Message 1 is on both ends, those from 2 on have come to the replica alone."""
    pair.primary.create_user("anna")
    with pair.primary.imap("anna") as imap:
        imap.append("INBOX", message(1))
        imap.logout()
    sync(pair, "-u", "anna")
    with pair.replica.imap("anna") as imap:
        for n in range(2, last + 1):
            imap.append("INBOX", message(n))
        imap.logout()


def test_a_message_that_the_replica_has_lost_does_not_block(pair):
    only_on_the_replica(pair, 3)
    lost, = glob.glob(pair.replica.path("spool", "**", "2."), recursive=True)
    os.unlink(lost)
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNCERROR|IOERROR")
    sync(pair, "-m", "user.anna")
    now = user_state(pair.replica)["MAILBOX"]["user.anna"]
    assert [r["GUID"].decode() for r in now["RECORD"]] == [guid(message(1)), guid(message(3))]
    assert_same(pair.primary, pair.replica)
    settled(pair)


def test_what_the_replica_cannot_read_now_is_not_given_up(pair):
    """Unreadable, damaged, or many files away at once: the mailbox is named, and nothing is expunged before it is mended."""
    only_on_the_replica(pair, 13)
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNCERROR|IOERROR")
    first, = glob.glob(pair.replica.path("spool", "**", "2."), recursive=True)
    files = [os.path.join(os.path.dirname(first), f"{n}.") for n in range(2, 14)]

    def refused(text):
        done = sync(pair, "-m", "user.anna", check=False)
        assert done.returncode == 1 and text in done.stderr
        now = user_state(pair.replica)["MAILBOX"]["user.anna"]["RECORD"]
        assert [r["GUID"].decode() for r in now] == [guid(message(n)) for n in range(1, 14)]
        assert not any(b"\\Expunged" in r["FLAGS"] for r in now)
        return [line for line in pair.primary.log_text().splitlines() if "SYNCERROR: the replica" in line][-1]

    for fault in ("open:1+:EACCES:/2.", "open:1+:EIO:/2."):
        pair.replica.stop()
        pair.replica.env["CYLINDER_DISKIO_FAULT"] = fault
        pair.replica.start()
        line = refused("the disk of this server has failed")
        assert "can't give a message, which must be repaired there: mailbox=<user.anna> uid=<2>" in line
    del pair.replica.env["CYLINDER_DISKIO_FAULT"]
    pair.replica.stop()
    pair.replica.start()

    with open(first, "r+b") as f:
        whole = f.read()
        f.seek(0)
        f.write(b"\0" * len(whole))
    assert "uid=<2>" in refused("Message file is damaged")
    with open(first, "wb") as f:
        f.write(whole)

    for name in files:
        os.rename(name, name + "away")
    assert "has lost many messages" in refused("System I/O error")
    for name in files:
        os.rename(name + "away", name)
    sync(pair, "-m", "user.anna")
    assert len(user_state(pair.primary)["MAILBOX"]["user.anna"]["RECORD"]) == 13
    assert_same(pair.primary, pair.replica)
    settled(pair)


def test_one_bad_mailbox_does_not_stop_the_others(pair):
    """The index of one is damaged here: it is named, and the rest is brought over."""
    fill_user(pair.primary)
    index, = glob.glob(pair.primary.path("spool/uuid", "*", "*", inbox_id(pair.primary, "user.anna.Sent"), "cyrus.index"))
    with open(index, "r+b") as f:
        whole = f.read()
        f.truncate(40)
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNCERROR|SYNCNOTICE|IOERROR|DBERROR")
    done = sync(pair, "-u", "anna", check=False)
    assert done.returncode == 1
    assert "user.anna.Sent: " in done.stderr
    with open(index, "wb") as f:
        f.write(whole)
    ours, theirs = user_state(pair.primary), user_state(pair.replica)
    for name in ("user.anna", "user.anna.Work"):
        assert ours["MAILBOX"][name] == theirs["MAILBOX"][name]
    assert "user.anna.Sent" not in theirs["MAILBOX"]
    assert theirs["LSUB"] == ours["LSUB"] and theirs["QUOTA"] == ours["QUOTA"]
    assert sync(pair, "-u", "anna").returncode == 0
    assert_same(pair.primary, pair.replica)


def test_another_mailbox_is_replaced_by_force(pair):
    """-O: what the replica has under that name goes, and the master does not change."""
    fill_user(pair.primary)
    with login(pair.replica) as csync:
        csync.ok("APPLY " + mailbox("user.anna", UNIQUEID=inbox_id(pair.primary), LAST_UID=0,
                                    HIGHESTMODSEQ=1, UIDVALIDITY=1))
        csync.ok(upload(b"foreign"))
        csync.ok("APPLY " + mailbox("user.anna.Sent", [record(1, 2, content=b"foreign")],
                                    UNIQUEID="foreignsent", LAST_UID=1))
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNCERROR|SYNCNOTICE|IOERROR")
    before = user_state(pair.primary)
    assert sync(pair, "-O", "-u", "anna").returncode == 0
    assert assert_same(pair.primary, pair.replica) and user_state(pair.primary) == before


def inbox_id(server, name="user.anna"):
    with login(server) as csync:
        return full(csync, name)["UNIQUEID"].decode()


def test_all_users_and_shared_mailboxes(pair):
    fill_user(pair.primary)
    pair.primary.add_user("bob")
    pair.primary.create_user("bob")
    with pair.primary.imap("admin") as imap:
        imap.ok("CREATE shared")
        imap.ok("SETACL shared anyone lrsip")
        imap.logout()
    with pair.primary.imap("bob") as imap:
        imap.append("shared", message(1))
        imap.ok("SELECT shared")
        imap.ok(r"STORE 1 +FLAGS (\Seen)")
        imap.logout()
    sync(pair, "-A")
    for user in ("anna", "bob"):
        assert_same(pair.primary, pair.replica, user)
    with login(pair.primary) as one, login(pair.replica) as two:
        assert full(one, "shared")["RECORD"] == full(two, "shared")["RECORD"]
        seen = [parse(line) for line in two.ok("GET META bob").untagged]
        assert [value["SEENUIDS"] for kind, value in seen if kind == "SEEN"] == [b"1"]


def test_usage(pair):
    for args in ([], ["-u", "-m", "x"]):
        assert pair.primary.run("sync_client", *args, check=False).returncode == 64
    assert pair.primary.run("sync_reset", "anna", check=False).returncode == 0
    pair.primary.allow_log("Can not connect|ERROR")
    done = pair.primary.run("sync_client", "-o", "-S", "127.0.0.1:1", "-u", "anna", check=False)
    assert done.returncode == 1


def test_unknown_user_is_no_error(pair):
    done = sync(pair, "-u", "nobody")
    assert "Does not exist locally nobody" in done.stdout


@pytest.mark.parametrize("mode, theirs", [("delayed", ("1", "2", "3")), ("immediate", ("1", "2", "3")), ("delayed", ("2", "4")),
                                          ("delayed", ("3", "1", "2")), ("delayed", ("5", "3", "1")), ("delayed", ("4",))])
def test_what_both_ends_have_moved_is_not_sent(pair, mode, theirs):
    """A message that either end has anywhere is a name on the line."""
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC")
        server.conf["expunge_mode"] = mode
        server.restart()
    pair.primary.create_user("anna", "Work")
    with pair.primary.imap("anna") as imap:
        for n in range(1, 6):
            imap.append("INBOX", message(n))
        imap.logout()
    sync(pair, "-u", "anna")
    for server, uids in ((pair.primary, ("1", "2", "3")), (pair.replica, theirs)):
        with server.imap("anna") as imap:
            imap.ok("SELECT INBOX")
            for uid in uids:
                imap.ok(f"UID MOVE {uid} INBOX.Work")
            if server is pair.replica:  # or checksums may be equal by chance: they are linear (doc/cyrus-3.6.1.md)
                imap.ok("SELECT INBOX.Work")
                imap.ok(r"UID STORE 1 +FLAGS (\Flagged)")
            imap.logout()
    done = sync(pair, "-u", "anna")
    assert not [line for line in done.stderr.splitlines() if "APPLY MESSAGE" in line or "GET FETCH" in line]
    sync(pair, "-u", "anna")  # the conversations' numbers
    assert_same(pair.primary, pair.replica)
    settled(pair)


def test_equal_checksums_of_different_ends(pair):
    """Two messages have changed places, which the checksums of the format can't see: a comparison does, and the next change of one ends it."""
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|CRC failure")
    for server, order in ((pair.primary, (1, 2, 3)), (pair.replica, (1, 3, 2))):
        with login(server) as csync:
            for n in order:
                csync.ok(upload(message(n)))
            csync.ok("APPLY " + mailbox("user.anna", [record(uid, uid, "", message(n)) for uid, n in enumerate(order, 1)],
                                        UNIQUEID="idanna", LAST_UID=3, HIGHESTMODSEQ=4, ACL='"anna\tlrswipkxtecdan\t"'))
    sync(pair, "-u", "anna")
    done = sync(pair, "--verify", "-u", "anna", check=False)
    assert "DIFFERENCE user.anna: uid 2: another message" in done.stdout
    with pair.primary.imap("anna") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"UID STORE 2 +FLAGS (\Flagged)")
        imap.logout()
    sync(pair, "-u", "anna")
    for server in (pair.primary, pair.replica):  # under both UIDs there were two messages, of which none is given up
        there = user_state(server)["MAILBOX"]["user.anna"]["RECORD"]
        assert {r["GUID"].decode() for r in there if b"\\Expunged" not in r["FLAGS"]} == {guid(message(n)) for n in (1, 2, 3)}
    assert "DIFFERENCE" not in sync(pair, "--verify", "-u", "anna").stdout

# SPDX-License-Identifier: BSD-3-Clause
"""Replication with Debian's 3.6.1: as its replica, as its master, and in a chain through us."""

import json
import re

import pytest

from cyltest import Pair
from cyltest.credentials import password
from cyltest.dlist import parse
from cyltest.syncdata import assert_same, diverge, fill_user, login, message, sent_commands, user_state
from cyltest.syncline import guid

CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False,
        "altnamespace": False, "virtdomains": "off", "expunge_mode": "delayed",
        "delete_mode": "delayed", "allowusermoves": True}


@pytest.fixture
def master(debian_factory):
    server = debian_factory("master", services=("imap", "lmtp", "csync"))
    server.conf.update(CONF)
    return server


@pytest.fixture
def ours(factory):
    server = factory("ours", services=("csync",))
    server.conf.update(CONF)
    return server


@pytest.fixture
def third(debian_factory):
    server = debian_factory("third", services=("imap", "csync"))
    server.conf.update(CONF)
    return server


def sync(pair, *args):
    done = pair.primary.run("sync_client", "-v", "-v", "-l", "-o", *args)
    return done


def settled(pair, user="anna"):
    """A further run has nothing to send."""
    done = sync(pair, "-u", user)
    assert sent_commands(done) == []


def test_debian_master_fills_and_updates_our_replica(master, ours):
    pair = Pair(master, ours)
    pair.start()
    fill_user(master)
    with master.imap("anna") as imap:
        imap.ok("CREATE INBOX.Old")
        imap.append("INBOX.Old", message(7))
        imap.logout()
    sync(pair, "-u", "anna")
    assert_same(master, ours)
    settled(pair)

    with master.imap("anna") as imap:
        imap.append("INBOX", message(6), r"\Flagged")
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Answered $Junk)")
        imap.ok(r"STORE 2 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("COPY 1 INBOX.Work")
        imap.ok('SETMETADATA INBOX.Work (/shared/comment NIL)')
        imap.ok("CREATE INBOX.New")
        imap.ok("RENAME INBOX.Work INBOX.Job")
        imap.ok("DELETE INBOX.Old")
        imap.ok("UNSUBSCRIBE INBOX.Work")
        imap.ok("SUBSCRIBE INBOX.Job")
        imap.logout()
    sync(pair, "-m", "user.anna")
    sync(pair, "-u", "anna")
    now = user_state(ours)
    assert_same(master, ours)
    assert "user.anna.Job" in now["MAILBOX"] and "user.anna.Work" not in now["MAILBOX"]
    settled(pair)

    with master.imap("admin") as imap:
        imap.ok("SETACL user.anna admin lrswipkxtecda")
        imap.ok("DELETE user.anna")
        imap.logout()
    sync(pair, "-u", "anna")


def test_chain_through_us_gives_everything_back(master, ours, third):
    """3.6.1 -> ours -> an empty 3.6.1 (handbook 03 §19.2 item 14)."""
    first = Pair(master, ours)
    second = Pair(ours, third)
    third.start()
    first.start()
    fill_user(master)
    sync(first, "-u", "anna")
    sync(second, "-u", "anna")
    assert_same(master, ours)
    assert_same(ours, third)
    settled(second)

    with master.imap("anna") as imap:
        imap.append("INBOX", message(6))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 3 +FLAGS (\Deleted \Seen)")
        imap.ok("EXPUNGE")
        imap.ok("RENAME INBOX.Work INBOX.Job")
        imap.logout()
    sync(first, "-u", "anna")
    sync(second, "-u", "anna")
    assert_same(master, third)
    third.add_user("anna")
    with third.imap("anna") as imap:
        imap.ok("SELECT INBOX")
        fetched = imap.ok("FETCH 3 (BODY[])").untagged
        assert any(b"body 6" in line for line in fetched)


@pytest.mark.parametrize("ours_is", ["master", "replica"])
def test_diverged_ends_meet(factory, debian_factory, ours_is):
    ours = factory("ours", services=("imap", "csync"))
    theirs = debian_factory("theirs", services=("imap", "csync"))
    one, two = (ours, theirs) if ours_is == "master" else (theirs, ours)
    for server in (one, two):
        server.conf.update(CONF)
        server.add_user("carol")
    ours.allow_log("SYNCERROR")
    pair = Pair(one, two)
    pair.start()
    one.create_user("carol")
    with one.imap("carol") as imap:
        for n in range(1, 6):
            imap.append("INBOX", message(n))
        imap.logout()
    sync(pair, "-u", "carol")
    diverge(one, two, "carol")
    done = sync(pair, "-m", "user.carol")
    assert "FULLMAILBOX user.carol" in done.stdout
    assert_same(one, two, "carol")
    records = {r["GUID"].decode(): r for r in user_state(two, "carol")["MAILBOX"]["user.carol"]["RECORD"]}
    uid = {n: int(records[guid(message(n))]["UID"]) for n in (1, 2, 5, 20, 21, 22)}
    assert len(records) == 6
    assert (uid[1], uid[2], uid[5], uid[22]) == (1, 2, 5, 7)
    assert sorted([uid[20], uid[21]]) == [8, 9]
    assert set(records[guid(message(1))]["FLAGS"]) >= {b"\\Flagged", b"$Rep"}
    assert b"\\Answered" in records[guid(message(2))]["FLAGS"]
    settled(pair, "carol")


def test_user_deleted_on_the_master(master, ours):
    """Transcript sync-07: renames into DELETED, INBOX first, then UNUSER."""
    pair = Pair(master, ours)
    pair.start()
    fill_user(master)
    sync(pair, "-u", "anna")
    with master.imap("admin") as imap:
        imap.ok("SETACL user.anna admin lrswipkxtecda")
        imap.ok("DELETE user.anna")
        imap.logout()
    done = master.run("sync_client", "-v", "-v", "-l", "-R", "-1")
    assert sent_commands(done)
    with login(ours) as csync:
        names = [parse(line)[1]["MBOXNAME"] for line in csync.ok("GET USER anna").untagged
                 if line.startswith(b"* MAILBOX")]
    assert len(names) == 3 and all(n.startswith(b"DELETED.user.anna.") for n in names)


def test_compressed_and_over_a_unix_socket(master, ours):
    ours.add_service("csyncunix", cmd="sync_server", listen=ours.path("conf/socket/csync"))
    pair = Pair(master, ours)
    pair.start()
    fill_user(master)
    sync(pair, "-z", "-u", "anna")
    assert_same(master, ours)
    with master.imap("anna") as imap:
        imap.append("INBOX", message(8))
        imap.logout()
    sync(pair, "-S", ours.path("conf/socket/csync"), "-u", "anna")
    assert_same(master, ours)


# ---- a rich user over several rounds, with all tools as judges ----

def labels(*servers):
    return [f"127.0.0.1:{server.ports['imap']}" for server in servers]


def compared(one, two, *users):
    """check_replication finds no difference."""
    ours = one if one.flavour == "cylinder" else two
    done = ours.run("check_replication", *labels(one, two), *users, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def enrich(server, *extra):
    """More than fill_user: other people's rights and seen state, nested folders, conversations, expunged mail."""
    fill_user(server)
    server.add_user("bob")
    server.create_user("bob")
    with server.imap("anna") as imap:
        for name in ("Work.Deep", "Work.Deep.Deeper", "Old"):
            imap.ok(f"CREATE INBOX.{name}")
        imap.append("INBOX", message(6, "Re: test 1"), "$Label2 $Label3")
        imap.append("INBOX.Work.Deep", message(7, "Re: test 1"))
        imap.append("INBOX.Old", message(8))
        imap.ok("SELECT INBOX")
        imap.ok('STORE 1 ANNOTATION (/comment (value.shared "shared" value.priv "mine"))')
        imap.ok(r"STORE 2 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("SETACL INBOX.Work bob lrswi")
        imap.ok("SUBSCRIBE INBOX.Work.Deep")
        imap.logout()
    with server.imap("bob") as imap:
        imap.ok("SELECT user.anna.Work")
        imap.ok(r"STORE 1 +FLAGS (\Seen $Bob)")
        imap.ok("SUBSCRIBE user.anna.Work")
        imap.logout()


def expunge_and_flag(server):
    with server.imap("anna") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok(r"STORE 1 +FLAGS (\Answered $New)")
        imap.ok(r"STORE 1 -FLAGS (\Flagged $Label1)")
        imap.logout()


def rename_and_move(server):
    with server.imap("anna") as imap:
        imap.ok("RENAME INBOX.Work INBOX.Job")
        imap.ok("SELECT INBOX.Job.Deep")
        imap.ok("MOVE 1 INBOX.Sent")
        imap.ok("UNSUBSCRIBE INBOX.Work")
        imap.ok("SUBSCRIBE INBOX.Job")
        imap.logout()


def delete_and_recreate(server):
    with server.imap("anna") as imap:
        imap.ok("DELETE INBOX.Old")
        imap.ok("CREATE INBOX.Old")
        imap.append("INBOX.Old", message(9))
        imap.ok("DELETE INBOX.Job.Deep.Deeper")
        imap.logout()


def change_quota_and_rights(server):
    with server.imap("admin") as imap:
        imap.ok("SETQUOTA user.anna (STORAGE 20000 X-NUM-FOLDERS 50)")
        imap.ok("SETQUOTA user.anna.Job (MESSAGE 40)")
        imap.ok("SETACL user.anna.Job bob lrs")
        imap.ok("SETACL user.anna carol l")
        imap.ok('SETMETADATA user.anna.Job (/shared/vendor/cmu/cyrus-imapd/expire "30")')
        imap.logout()


def other_reader(server):
    with server.imap("bob") as imap:
        imap.ok("SELECT user.anna.Job")
        imap.ok(r"STORE 1 -FLAGS (\Seen)")
        imap.logout()


ROUNDS = (expunge_and_flag, rename_and_move, delete_and_recreate, change_quota_and_rights, other_reader)


def examined(server, name):
    """What mbexamine says of the index, without what each end has of its own."""
    text = server.run("mbexamine", name).stdout
    own = ("Mailbox", "Recent", "Last Append", "Minor", "Generation", "Format", "Path", "Quota",
           "Leaked", "Last POP3", "LastRepack", "First", "Deleted", "Number of", "Partition")
    return [line for line in text.splitlines()
            if re.match(r"\s*(Exists|Answered|Flagged|Last UID|UIDVALIDITY|HIGHESTMODSEQ|> \d+|UID:|INT_DATE|"
                        r"> SYSTEMFLAGS|GUID)", line) and not line.strip().startswith(own)]


@pytest.mark.parametrize("ours_is", ["master", "replica"])
def test_rich_user_over_several_rounds(factory, debian_factory, ours_is):
    ours = factory("ours", services=("imap", "csync"))
    theirs = debian_factory("theirs", services=("imap", "csync"))
    one, two = (ours, theirs) if ours_is == "master" else (theirs, ours)
    for server in (one, two):
        server.conf.update(CONF)
    ours.conf.update({"proxy_authname": "repl", "proxy_password": password("repl")})
    pair = Pair(one, two)
    pair.start()
    enrich(one)
    sync(pair, "-u", "anna", "bob")
    assert_same(one, two)
    compared(one, two, "anna", "bob")
    for change in ROUNDS:
        change(one)
        sync(pair, "-u", "anna", "bob")
        assert_same(one, two)
        assert_same(one, two, "bob")
        compared(one, two, "anna", "bob")
        settled(pair)
    judged_by_tools(one, two)


def judged_by_tools(one, two):
    """Each server's own tools find its data right, and the same."""
    for name in ("user.anna", "user.anna.Job", "user.anna.Sent", "user.anna.Old"):
        assert examined(one, name) == examined(two, name), name
    listed = [mailboxes_listed(server) for server in (one, two)]
    assert listed[0] == listed[1] and "user.anna.Job.Deep" in listed[0]
    usage = [quota_lines(server) for server in (one, two)]
    assert usage[0] == usage[1] and len(usage[0]) > 2
    for server in (one, two):
        done = server.run("ctl_conversationsdb", "-A", "anna", check=False)
        assert done.returncode == 0 and "BROKEN" not in done.stdout, done.stdout


def mailboxes_listed(server):
    """Entries of ctl_mboxlist -d; tombstones and times of writing are each server's own business."""
    listed = json.loads(server.run("ctl_mboxlist", "-d").stdout)
    return {name: {key: value for key, value in entry.items() if key != "mtime"}
            for name, entry in listed.items() if "d" not in entry["mbtype"]}


def quota_lines(server):
    """What `quota` prints; nothing is there for -f to correct."""
    assert "user.anna" not in server.run("quota", "-f", "user.anna").stderr
    return sorted(server.run("quota").stdout.splitlines())


@pytest.mark.parametrize("service", ["imap", "csync"])
@pytest.mark.parametrize("direction", ["ours-theirs", "theirs-ours", "ours-ours"])
def test_sync_try_imap(factory, debian_factory, service, direction):
    """The client speaks the protocol inside IMAP where it is offered, and else csync, on the same port."""
    makers = [factory if end == "ours" else debian_factory for end in direction.split("-")]
    primary, replica = makers[0]("primary", services=("imap",)), makers[1]("replica", services=("imap", "csync"))
    for server in (primary, replica):
        server.conf.update(CONF)
    pair = Pair(primary, replica, service=service)
    primary.conf["sync_try_imap"] = True
    primary.conf["client_timeout"] = 2
    pair.start()
    fill_user(primary)
    sync(pair, "-u", "anna")
    state = user_state(replica)
    assert len(state["MAILBOX"]) == 3
    with primary.imap("anna") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Answered)")
        imap.append("INBOX", message(77))
        imap.logout()
    done = sync(pair, "-u", "anna")
    assert ("SYNCAPPLY MAILBOX" in done.stderr) == (service == "imap")
    settled(pair)

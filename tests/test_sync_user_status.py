# SPDX-License-Identifier: BSD-3-Clause
"""sync_client --status --user: how far behind the replica is with one user; what it says is never too high (doc/rolling.md)."""

import json
import os
import random
import re
import time

import pytest

from cyltest import Pair, rolling
from cyltest.storefiles import rot
from cyltest.syncdata import message


@pytest.fixture(scope="module")
def running(module_factory):
    pair = rolling.set_up(Pair(module_factory("primary"), module_factory("replica")), duplicatesuppression=False)
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|CRC failure|IOERROR|ERROR|DBERROR|twoskip|Can not connect")
    pair.start()
    for user in ("alice", "bob"):
        pair.primary.add_user(user)
        pair.primary.create_user(user, "Work")
        pair.primary.deliver(message(1), user)
    pair.primary.run("sync_client", "-R", "-1")  # the channel begins
    pair.primary.run("sync_client", "-A")
    return pair


@pytest.fixture
def pair(running):
    """All is on the replica, and known to be."""
    catch_up(running)
    told = look(running, "--ask")
    assert (told["modseqs_behind"], told["seconds_behind"], told["items_behind"]) == (0, 0, 0)
    assert told["proven"] and told["differences"] == told["mailboxes"] == []
    assert told["acknowledged_modseq"] == told["modseq"] > 0
    return running


def catch_up(pair):
    pair.primary.run("sync_client", "-R", "-1")


def look(pair, *args, user="alice", channel="", status=0):
    args += ("-n", channel) if channel else ()
    done = pair.primary.run("sync_client", "--status", "--json", *args, "--user", user, check=False)
    assert done.returncode == status, (done.stdout, done.stderr)
    [told] = json.loads(done.stdout)
    assert (told["channel"], told["user"], told["events_lost"]) == (channel, user, False)
    return told


def have_work(server):
    with server.imap("alice") as imap:
        if b"INBOX.Work" not in b"".join(imap.ok('LIST "" *').untagged):
            imap.ok("CREATE INBOX.Work")
        imap.logout()


def modseq_of(server, mailbox, uid):
    with server.imap("alice") as imap:
        imap.ok(f"SELECT {mailbox} (CONDSTORE)")
        told = imap.ok(f"UID FETCH {uid} MODSEQ").untagged
        imap.logout()
    return int(re.search(rb"MODSEQ \((\d+)\)", b"".join(told)).group(1))


def is_behind(pair, acknowledged):
    """What the replica says; nothing that this server alone tells is more."""
    told, here = look(pair, "--ask"), look(pair)
    assert told["proven"] and told["differences"] and not here["proven"]
    assert told["acknowledged_modseq"] == acknowledged, told
    assert told["modseqs_behind"] == told["modseq"] - acknowledged > 0
    assert min(m["acknowledged_modseq"] for m in told["mailboxes"]) == acknowledged
    assert here["items_behind"] and here["modseq"] == told["modseq"]
    assert here["acknowledged_modseq"] <= acknowledged
    assert here["modseqs_behind"] >= told["modseqs_behind"]
    return told


def test_messages_and_flags(pair):
    began = time.time()
    for n in range(2, 5):
        pair.primary.deliver(message(n), "alice")
    ended = time.time()
    first = modseq_of(pair.primary, "INBOX", 2)
    told = is_behind(pair, first - 1)
    assert [m["mailbox"] for m in told["mailboxes"]] == ["user.alice"]
    bob = look(pair, user="bob")
    assert (bob["modseqs_behind"], bob["seconds_behind"], bob["items_behind"]) == (0, 0, 0)

    # an older message changes now: the replica has all of before that, and not this
    with pair.primary.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Flagged)")
        imap.ok("SELECT INBOX.Work")
        imap.append("INBOX.Work", message(9))
        imap.logout()
    told = is_behind(pair, first - 1)
    assert [m["mailbox"] for m in told["mailboxes"]] == ["user.alice", "user.alice.Work"]

    # the age of the oldest change
    time.sleep(2.1)
    for args, channel in (((), ""), (("--ask",), ""), (("--ask",), "of_no_client")):
        before = time.time()
        told = look(pair, *args, channel=channel)
        seconds = told["seconds_behind"]
        assert bool(told["items_behind"]) == (not channel)  # where there are no events, the records tell
        assert before - ended - 1 <= seconds <= time.time() - began + 1 and seconds >= 1

    human = pair.primary.run("sync_client", "--status", "--ask", "-u", "alice").stdout
    assert re.search(r'^alice on channel "" \(\S+\): \d+ modseqs, \d+ seconds behind, \d+ events$', human, re.M), human
    assert re.search(rf"^  user\.alice: {first - 1} of \d+$", human, re.M), human


@pytest.mark.parametrize("change", [r"STORE 1 +FLAGS (\Answered)", "CREATE INBOX.{n}", "RENAME INBOX.Work INBOX.{n}", "DELETE INBOX.Work",
                                    "SETACL INBOX bob lr", 'SETMETADATA INBOX (/shared/comment "{n}")', "EXPUNGE"])
def test_each_kind_of_change_and_mail_after_it(pair, change):
    """The lowest that is lacking counts, whatever else is."""
    have_work(pair.primary)
    with pair.primary.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 -FLAGS.SILENT (\Answered)")
        if change == "EXPUNGE":
            imap.ok(r"STORE 1 +FLAGS.SILENT (\Deleted)")
        imap.logout()
    catch_up(pair)
    before = look(pair, "--ask")
    assert before["modseqs_behind"] == 0
    with pair.primary.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(change.format(n=f"n{time.time_ns()}"))
        imap.logout()
    changed = look(pair, "--ask")
    assert before["modseq"] <= changed["acknowledged_modseq"] < changed["modseq"]
    pair.primary.deliver(message(70), "alice")
    assert look(pair, "--ask")["acknowledged_modseq"] == changed["acknowledged_modseq"]


def test_what_nobody_has_logged(pair):
    """The replica's disk loses a flag: no event tells of it, the records do."""
    for uid in (2, 3, 4):
        pair.primary.deliver(message(80 + uid), "alice")
    with pair.primary.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        uid = int(re.findall(rb"\d+", imap.ok("UID SEARCH ALL").untagged[0])[-2])
        imap.logout()
    catch_up(pair)
    pair.replica.stop()
    rot(pair.replica, "user.alice", uid)
    pair.replica.start()
    assert look(pair)["modseqs_behind"] == 0  # nothing is left to do, as far as is known here
    told = look(pair, "--ask")
    assert told["acknowledged_modseq"] == modseq_of(pair.primary, "INBOX", uid) - 1 and told["proven"]
    assert told["differences"] == [f"user.alice: uid {uid}: flags, dates, modseq or annotations"]
    pair.replica.stop()
    rot(pair.replica, "user.alice", uid)
    pair.replica.start()


def test_replica_that_cannot_be_asked(pair):
    equal = look(pair)["modseq"]
    pair.replica.stop()
    pair.primary.deliver(message(90), "alice")
    told = look(pair, "--ask", status=1)
    assert told["error"] and not told["proven"] and told["items_behind"]
    assert told["acknowledged_modseq"] == equal and told["modseqs_behind"] == told["modseq"] - equal > 0
    human = pair.primary.run("sync_client", "--status", "--user", "alice").stdout
    assert f"at most {told['modseqs_behind']} modseqs" in human, human
    pair.replica.start()


def set_equal(server, value):
    server.run("cyr_dbtool", server.path("conf/verified.db"), "twoskip", "set", "acked::user:alice", value)


@pytest.mark.parametrize("what", ["lost", "damaged", "too high", "rubbish"])
def test_table_of_proofs(pair, what):
    """Without it nothing is claimed, and the replica's answer makes it anew."""
    path = pair.primary.path("conf/verified.db")
    row = pair.primary.run("cyr_dbtool", path, "twoskip", "get", "acked::user:alice").stdout.strip()
    pair.primary.deliver(message(91), "alice")
    if what == "lost":
        os.unlink(path)
    elif what == "damaged":
        with open(path, "r+b") as f:
            size = f.seek(0, 2)
            f.seek(64)
            f.write(b"\xa5" * (size - 64))
    else:
        set_equal(pair.primary, row.replace(row.split()[0], "99999999") if what == "too high" else "1 2 3")
    here = look(pair)
    assert here["items_behind"] and here["modseqs_behind"] is here["acknowledged_modseq"] is None
    assert "modseqs not known (--ask)" in pair.primary.run("sync_client", "--status", "--user", "alice").stdout
    assert look(pair, "--ask")["modseqs_behind"] > 0
    catch_up(pair)
    asked = look(pair, "--ask")
    assert asked["modseqs_behind"] == 0
    pair.primary.deliver(message(92), "alice")
    here = look(pair)
    assert here["acknowledged_modseq"] == asked["modseq"] < here["modseq"]


def test_compare_proves_too(pair):
    os.unlink(pair.primary.path("conf/verified.db"))
    modseq = look(pair)["modseq"]
    pair.primary.run("sync_client", "--compare")
    pair.primary.deliver(message(93), "alice")
    assert look(pair)["acknowledged_modseq"] == modseq


@pytest.mark.parametrize("name", ["log", "log-run", "log-retry"])
def test_text_logs(pair, name):
    path = rolling.write_log(pair.primary, ["USER bob", "MAILBOX user.alicea"], name=name)
    assert look(pair)["items_behind"] == 0
    rolling.write_log(pair.primary, ["DOUBLEMAILBOX user.bob user.alice.Work", "SUB alice user.bob"], name=name)
    here = look(pair)
    assert here["items_behind"] == 2 and here["seconds_behind"] < 500
    if name == "log-retry":  # not the age of the file that was written again a moment ago
        failing = [{"item": item, "since": int(time.time()) - age} for item, age in (("SUB alice user.bob", 1000), ("USER bob", 9000))]
        rolling.write_log(pair.primary, json.dumps({"failing": failing}).encode(), name="log-status.NEW")
        os.rename(rolling.log_path(pair.primary, "log-status.NEW"), rolling.log_path(pair.primary, "log-status"))
        assert 1000 <= look(pair)["seconds_behind"] < 9000
    asked = look(pair, "--ask")  # it is all there already
    assert (asked["items_behind"], asked["modseqs_behind"], asked["seconds_behind"]) == (2, 0, 0)
    os.unlink(path)


def view(server, mailbox, known=None, since=None):
    """{uid: flags}; since: what a client that knew that much then, knows now (RFC 7162)."""
    ask = "UID FETCH 1:* (FLAGS)" + (f" (CHANGEDSINCE {since} VANISHED)" if since else "")
    with server.imap("alice") as imap:
        imap.ok("ENABLE QRESYNC")
        imap.ok(f"EXAMINE {mailbox}")
        told = imap.ok(ask).untagged
        imap.logout()
    now = dict(known or {})
    for line in told:
        if vanished := re.match(rb"\* VANISHED \(EARLIER\) (\S+)", line):
            for part in vanished.group(1).decode().split(","):
                first, _, last = part.partition(":")
                for uid in range(int(first), int(last or first) + 1):
                    now.pop(uid, None)
        elif b"FETCH" in line:
            flags = re.search(rb"FLAGS \(([^)]*)\)", line).group(1).split()
            now[int(re.search(rb"UID (\d+)", line).group(1))] = frozenset(flags) - {b"\\Recent"}
    return now


def change(rng, server):
    mailbox, other = rng.sample(["INBOX", "INBOX.Work"], 2)
    with server.imap("alice") as imap:
        imap.append(mailbox, message(rng.randrange(1000, 10**9)))
        imap.ok(f"SELECT {mailbox}")
        uids = imap.ok("UID SEARCH ALL").untagged[0].split()[2:]
        for _ in range(rng.randrange(4)):
            uid = rng.choice(uids).decode()
            imap.ok(rng.choice([rf"UID STORE {uid} +FLAGS (\Flagged)", rf"UID STORE {uid} -FLAGS (\Flagged)",
                                f"UID COPY {uid} {other}", rf"UID STORE {uid} +FLAGS (\Deleted)", "EXPUNGE"]))
        imap.logout()


def test_a_client_of_the_replica_needs_no_more(pair):
    """Whatever was changed and whatever of it was sent: with what has changed since that modseq the replica's view is ours."""
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    have_work(pair.primary)
    catch_up(pair)
    equal = look(pair, "--ask")["modseq"]
    for _ in range(12):
        for _ in range(rng.randrange(1, 4)):
            change(rng, pair.primary)
        if rng.randrange(2):
            pair.primary.run("sync_client", "-m", rng.choice(["user.alice", "user.alice.Work"]))
        told = look(pair, "--ask")
        since = told["acknowledged_modseq"]
        assert equal <= since <= told["modseq"], f"seed {seed}"
        for mailbox in ("INBOX", "INBOX.Work"):
            known = view(pair.replica, mailbox)
            assert view(pair.primary, mailbox, known, since) == view(pair.primary, mailbox), f"seed {seed}"
        if not told["modseqs_behind"]:
            equal = told["modseq"]


def test_each_mailbox_for_itself(factory):
    """Without conversations modseqs of two mailboxes have nothing to do with each other: the most that one lacks."""
    pair = rolling.set_up(Pair(factory("primary"), factory("replica")), duplicatesuppression=False)
    for server in (pair.primary, pair.replica):
        server.conf["conversations"] = False
    pair.start()
    pair.primary.add_user("alice")
    pair.primary.create_user("alice")
    pair.primary.deliver(message(1), "alice")
    pair.primary.run("sync_client", "-R", "-1")
    pair.primary.run("sync_client", "-A")
    told = look(pair, "--ask")
    assert (told["modseqs_behind"], told["modseq"]) == (0, None)
    for n in range(2, 5):
        pair.primary.deliver(message(n), "alice")
    told = look(pair, "--ask")
    assert (told["modseqs_behind"], told["acknowledged_modseq"], look(pair)["modseqs_behind"]) == (3, None, None)


def test_usage(pair):
    told = look(pair, user="nobody", status=1)
    assert told["error"]
    for args in (("--status", "--user"), ("--status", "--ask"), ("--ask", "-u", "alice"), ("--status", "alice")):
        assert pair.primary.run("sync_client", *args, check=False).returncode == 64, args
    told = json.loads(pair.primary.run("sync_client", "-u", "--status", "--json", "alice", "bob").stdout)
    assert [one["user"] for one in told] == ["alice", "bob"]

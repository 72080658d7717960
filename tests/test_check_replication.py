# SPDX-License-Identifier: BSD-3-Clause
"""check_replication between two of our servers: what is compared, and all that can go wrong."""

import glob
import json
import os
import pty
import re
import socket
import threading

import pytest

from cyltest.credentials import password
from cyltest.differences import message
from cyltest.dlist import parse
from cyltest.byterelay import ByteRelay
from cyltest.syncline import full

CONF = {"unixhierarchysep": False, "altnamespace": False, "delete_mode": "delayed"}


@pytest.fixture
def made(pair):
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
    pair.primary.conf.update({"proxy_authname": "repl", "proxy_password": password("repl")})
    return pair


@pytest.fixture
def replicated(made):
    made.start()
    made.primary.create_user("alice", "Work")
    with made.primary.imap("alice") as imap:
        for n in range(1, 4):
            imap.append("INBOX", message(n))
        imap.logout()
    made.sync("-u", "alice")
    return made


def compare(pair, *args, ends=None, users=("alice",)):
    ends = ends or pair.labels()
    return pair.primary.run("check_replication", *args, *ends, *users, check=False)


def lines(done):
    return done.stdout.splitlines()


def file_with(pair, name, text):
    path = pair.primary.path(name)
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    pair.primary.account.give(path)
    return path


# ---- what is compared ----

def test_equal(replicated):
    done = compare(replicated)
    assert (done.returncode, lines(done)[-1]) == (0, "EQUAL"), done.stdout + done.stderr


def test_different_in_lines_and_json(replicated):
    a, b = replicated.labels()
    with replicated.replica.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 2 +FLAGS (\Flagged)")
        imap.logout()
    done = compare(replicated)
    assert done.returncode == 1, done.stderr
    assert rf"alice user/alice 2 flags: {a} has none, {b} has \Flagged" in lines(done)
    assert lines(done)[-1] == "DIFFERENT"
    done = compare(replicated, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1 and told["equal"] is False and told["complete"] is True
    assert {"user": "alice", "mailbox": "user/alice", "uid": 2, "field": "flags", "a": "",
            "b": "\\Flagged"} in told["differences"]


def test_raw_usage_differs_where_the_aware_one_does_not(made):
    """Two copies of one message on B: for conversations there is nothing new."""
    for server in (made.primary, made.replica):
        server.conf["quota_use_conversations"] = True
    made.start()
    made.primary.create_user("alice", "Work")
    with made.primary.imap("admin") as imap:
        imap.ok("SETQUOTA user.alice (MESSAGE 50)")
        imap.logout()
    with made.primary.imap("alice") as imap:
        imap.append("INBOX", message(1))
        imap.logout()
    made.sync("-u", "alice")
    assert compare(made).returncode == 0
    with made.replica.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok("COPY 1 INBOX.Work")
        imap.logout()
    found = [line for line in lines(compare(made)) if line.startswith("Quota mismatch")]
    assert len(found) == 1
    assert found[0].startswith("Quota mismatch: 1/50 vs 2/50 (alice user/alice X-RAW-MESSAGE, ")


def test_deleted_mailboxes(replicated):
    with replicated.primary.imap("alice") as imap:
        imap.ok("DELETE INBOX.Work")
        imap.logout()
    replicated.sync("-u", "alice")
    done = compare(replicated, "--deleted")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(line.startswith("not compared") for line in lines(done))
    with replicated.replica.imap("admin") as imap:
        (listed,) = imap.ok('LIST "" DELETED.*').untagged
        name = listed.split()[-1].strip(b'"').decode()
        imap.ok(f"SETACL {name} bob l")
        imap.logout()
    assert compare(replicated).returncode == 0
    done = compare(replicated, "--deleted")
    assert done.returncode == 1
    assert (f"alice {name.replace('.', '/')} ACL of bob: only on {replicated.labels()[1]} (l)"
            in lines(done))


def test_messages_of_a_deleted_mailbox(replicated):
    """No session can examine it; the sync protocol tells its records."""
    with replicated.primary.imap("alice") as imap:
        imap.append("INBOX.Work", message(8))
        imap.append("INBOX.Work", message(9))
        imap.ok("DELETE INBOX.Work")
        imap.logout()
    replicated.sync("-u", "alice")
    assert compare(replicated, "--deleted").returncode == 0
    with replicated.replica.sync("repl") as sync:
        (name,) = [parse(line)[1]["MBOXNAME"].decode() for line in sync.ok("GET USER alice").untagged
                   if b"DELETED." in line]
        box = full(sync, name)
        sync.ok(f"APPLY EXPUNGE %(MBOXNAME {name} UNIQUEID {box['UNIQUEID'].decode()} UID (1))")
    done = compare(replicated, "--deleted")
    assert done.returncode == 1
    (line,) = [line for line in lines(done) if " message: only on " in line]
    assert line.startswith(f"alice {name.replace('.', '/')} 1 message: only on {replicated.labels()[0]} (digest ")


def test_a_server_without_the_sync_protocol(made):
    made.replica.conf["suppress_capabilities"] = "X-REPLICATION"
    made.start()
    made.primary.create_user("alice", "Work")
    with made.primary.imap("alice") as imap:
        imap.ok("DELETE INBOX.Work")
        imap.logout()
    made.sync("-u", "alice")
    done = compare(made, "--deleted")
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(line.startswith("not compared: messages of deleted mailboxes") for line in lines(done))
    assert ("not compared: seen state in others' mailboxes, Sieve scripts, types and options of mailboxes "
            f"({made.labels()[1]} does not know X-REPLICATION)") in lines(done)


def message_files(server):
    return [path for path in glob.glob(server.path("spool/uuid/**"), recursive=True)
            if os.path.basename(path) in ("1.", "2.", "3.")]


def test_contents_with_deep(replicated):
    done = compare(replicated, "--deep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[-3:] for line in lines(done) if line.startswith("contents ")] == [["3", "3", "0"]]
    (path,) = [path for path in message_files(replicated.replica) if path.endswith("/2.")]
    with open(path, "r+b") as f:
        f.seek(-4, os.SEEK_END)
        f.write(b"X")
        f.seek(0)
    assert compare(replicated).returncode == 0  # what the records say is the same
    replicated.replica.allow_log("damaged")
    done = compare(replicated, "--deep")
    assert done.returncode == 1, done.stdout + done.stderr
    (told,) = [line for line in lines(done) if line.startswith("alice user/alice ")]
    assert told.startswith("alice user/alice 2 content: ") and told.split()[-1] == "nothing", told


def test_place_and_former_names_are_told_and_no_difference(made):
    made.replica.conf["partition-other"] = made.replica.account.mkdir(made.replica.path("other"))
    made.start()
    made.primary.create_user("alice", "Work")
    with made.primary.imap("alice") as imap:
        imap.ok("RENAME INBOX.Work INBOX.Play")
        imap.logout()
    made.sync("-u", "alice")
    with made.replica.imap("admin") as imap:
        imap.ok("RENAME user.alice.Play user.alice.Play other")
        imap.logout()
    a, b = made.labels()
    done = compare(made)
    said = [line for line in lines(done) if line.startswith("alice ")]
    assert f"alice user/alice/Play partition: {a} has default, {b} has other (no difference of contents)" in said
    assert (f"alice user/alice/Play former names: {a} has user.alice.Work, {b} has none "
            "(no difference of contents)") in said
    assert done.returncode == (1 if len(said) > 2 else 0)


def test_usage_that_is_wrong_on_both_ends(replicated):
    """The two agree, and their messages say otherwise."""
    with replicated.primary.imap("admin") as imap:
        imap.ok("SETQUOTA user.alice (MESSAGE 50)")
        imap.logout()
    replicated.sync("-u", "alice")
    assert compare(replicated).returncode == 0
    for server in (replicated.primary, replicated.replica):
        server.run("cyr_dbtool", server.path("conf/quotas.db"), "quotalegacy", "set", "user.alice", "%(M (7 50))")
    done = compare(replicated)
    assert done.returncode == 1, done.stdout + done.stderr
    a, b = replicated.labels()
    wrong = "7, its messages add up to 3"
    assert f"alice user/alice usage of MESSAGE: {a} has {wrong}, {b} has {wrong}" in lines(done)


def test_wrong_usage_is_traced_to_its_mailbox(made):
    """The number of one end leaves out a mailbox, or has it twice: it is named, with its id and what it holds."""
    made.start()
    made.primary.create_user("alice", "Work", "Play", "Empty")
    with made.primary.imap("alice") as imap:
        for n, name in enumerate(["INBOX"] * 2 + ["INBOX.Work"] * 3 + ["INBOX.Play"] * 4):
            imap.append(name, message(n) + b"x" * 5000)
        imap.logout()
    with made.primary.imap("admin") as imap:
        imap.ok("SETQUOTA user.alice (MESSAGE 50)")
        imap.logout()
    made.sync("-u", "alice")
    assert compare(made).returncode == 0
    a, b = made.labels()
    with made.primary.imap("alice") as imap:
        uniqueid = {name: re.search(rb'uniqueid"? "?([^ ")]+)', imap.ok(
            f"GETMETADATA INBOX.{name} /shared/vendor/cmu/cyrus-imapd/uniqueid").untagged[0]).group(1).decode()
            for name in ("Work", "Play")}
        imap.logout()
    for used, said, name, count in ((6, "without", "Work", 3), (13, "twice", "Play", 4)):
        made.replica.run("cyr_dbtool", made.replica.path("conf/quotas.db"), "quotalegacy", "set", "user.alice", f"%(M ({used} 50))")
        done = compare(made)
        assert done.returncode == 1
        where = f"that is {said} user/alice/{name} (uniqueid {uniqueid[name]}): {count} messages, "
        found = [line for line in lines(done) if where in line]
        assert any(line.startswith(f"Quota mismatch: 9/50 vs {used}/50 (alice user/alice MESSAGE, ") for line in found), done.stdout
        assert any(f"usage of MESSAGE: {a} has right, {b} has {used}, its messages add up to 9, that is" in line for line in found)
    # two of them, and no other two; no two or three: none is named
    for used, names in ((2, ("Play", "Work")), (1, ())):
        made.replica.run("cyr_dbtool", made.replica.path("conf/quotas.db"), "quotalegacy", "set", "user.alice", f"%(M ({used} 50))")
        said = compare(made).stdout
        assert bool(names) == ("that is" in said)
        if names:
            each = " and ".join(rf"user/alice/{name} \(uniqueid {uniqueid[name]}\): \d messages, \d+ octets" for name in names)
            assert re.search(f"that is without {each}", said), said


def test_only_what_two_attempts_say_is_reported(replicated):
    """The replica changes all the time: what differs is never the same, but for one thing."""
    with replicated.replica.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 3 +FLAGS (\Answered)")
        imap.logout()
    stop = threading.Event()

    def work():
        with replicated.replica.imap("alice") as imap:
            imap.ok("SELECT INBOX")
            while not stop.is_set():
                imap.ok(r"STORE 1 +FLAGS (\Flagged)")
                imap.ok(r"STORE 1 -FLAGS (\Flagged)")
            imap.logout()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        done = compare(replicated)
    finally:
        stop.set()
        worker.join()
    assert done.returncode == 2, done.stdout + done.stderr
    assert "alice: changes while it is compared: " in done.stderr
    a, b = replicated.labels()
    assert rf"alice user/alice 3 flags: {a} has none, {b} has \Answered" in lines(done)
    assert not [line for line in lines(done) if " HIGHESTMODSEQ: " in line]


def test_large_mailbox_in_windows(made):
    """More than two windows of 2000; differences at their edges are found."""
    for server in (made.primary, made.replica):
        server.conf["conversations"] = False
    made.start()
    made.primary.create_user("alice")
    with made.primary.imap("alice") as imap:
        for n in range(1, 6):
            imap.append("INBOX", message(n))
        imap.ok("SELECT INBOX")
        for _ in range(10):
            imap.ok("COPY 1:* INBOX")
            imap.ok("NOOP")
        imap.ok(r"STORE 4202:* +FLAGS.SILENT (\Deleted)")
        imap.ok("EXPUNGE")
        imap.logout()
    made.sync("-u", "alice")
    done = compare(made)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in lines(done) if "conversation ids (" in line] == [
        f"not compared: conversation ids ({label} does not know FETCH CID)" for label in made.labels()]
    edges = (1, 2000, 2001, 4000, 4001, 4201)
    with made.replica.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(f"STORE {','.join(map(str, edges))} +FLAGS.SILENT ($Edge)")
        imap.ok(r"STORE 2500 +FLAGS.SILENT (\Deleted)")
        imap.ok("EXPUNGE")
        imap.logout()
    done = compare(made)
    assert done.returncode == 1, done.stderr
    flags = [int(line.split()[2]) for line in lines(done) if " flags: " in line]
    assert tuple(flags) == edges
    gone = [line for line in lines(done) if " message: only on " in line]
    assert len(gone) == 1 and gone[0].startswith("alice user/alice 2500 message")


def test_what_a_server_does_not_announce(made):
    made.replica.conf["suppress_capabilities"] = "SAVEDATE X-RAWQUOTA"
    made.start()
    made.primary.create_user("alice")
    made.sync("-u", "alice")
    done = compare(made)
    assert done.returncode == 0, done.stderr
    b = made.labels()[1]
    for what, capability in (("save dates", "SAVEDATE"), ("raw quota usage", "X-RAWQUOTA")):
        line = f"not compared: {what} ({b} does not know {capability})"
        assert line in lines(done)
        assert line.replace(b, made.labels()[0]) not in lines(done)
    told = json.loads(compare(made, "--json").stdout)
    assert {"what": "save dates", "server": b, "capability": "SAVEDATE"} in told["not_compared"]
    assert "not compared: save dates" in compare(made, "--quiet").stdout


def test_users_of_a_file_and_all(replicated):
    replicated.primary.create_user("bob")
    users = file_with(replicated, "users", "# two\nalice\n\n bob \n")
    done = compare(replicated, "-f", users, users=())
    assert done.returncode == 1
    assert f"bob user: only on {replicated.labels()[0]} (INBOX)" in lines(done)
    assert compare(replicated, "--all", users=()).stdout == done.stdout
    done = compare(replicated, users=("nobody",))
    assert done.returncode == 2 and "nobody: no such user on either server" in done.stderr


def test_wait_until_the_replica_has_caught_up(replicated):
    with replicated.primary.imap("alice") as imap:
        imap.append("INBOX", message(4))
        imap.logout()
    assert compare(replicated).returncode == 1
    running = replicated.primary.popen("check_replication", "--wait", "60", *replicated.labels(),
                                       "alice")
    replicated.sync("-u", "alice")
    assert running.wait(120) == 0


# ---- what goes wrong ----

def test_no_password_is_taken_from_the_command_line_and_all_other_ways_work(replicated):
    good = file_with(replicated, "good", password("admin") + "\n")
    bad = file_with(replicated, "bad", "wrong\n")
    assert compare(replicated, "-a", "admin", "-w", good).returncode == 0
    for server in (replicated.primary, replicated.replica):
        server.allow_log("badlogin")
    done = compare(replicated, "-a", "admin", "-w", bad)
    assert done.returncode == 2 and "login" in done.stderr, done.stderr
    done = compare(replicated, "-a", "admin", "-w", good, "--password-file-b", bad)
    assert done.returncode == 2 and done.stderr.startswith(
        f"check_replication: {replicated.labels()[1]}: login"), done.stderr
    env = replicated.primary.env
    env["CHECK_REPLICATION_PASSWORD"] = "wrong"
    assert compare(replicated, "-a", "admin").returncode == 2
    env["CHECK_REPLICATION_PASSWORD"] = password("admin")
    assert compare(replicated, "-a", "admin").returncode == 0
    env["CHECK_REPLICATION_PASSWORD_B"] = "wrong"
    assert compare(replicated, "-a", "admin").returncode == 2
    done = compare(replicated, "-w", replicated.primary.path("missing"))
    assert done.returncode == 66 and "missing" in done.stderr


def test_login_of_no_administrator(replicated):
    bob = file_with(replicated, "bob", password("bob"))
    for server in (replicated.primary, replicated.replica):
        server.allow_log("badlogin")
    done = compare(replicated, "-a", "bob", "-w", bob)
    assert done.returncode == 2 and "alice" in done.stderr, done.stderr


def test_a_server_that_is_away(replicated):
    replicated.replica.stop()
    done = compare(replicated)
    assert done.returncode == 2
    assert replicated.labels()[1] in done.stderr
    assert "NOT COMPLETE" in done.stdout


def test_a_mailbox_that_the_user_may_not_open(replicated):
    with replicated.replica.imap("admin") as imap:
        imap.ok('SETACL user.alice.Work alice ""')
        imap.logout()
    done = compare(replicated)
    assert done.returncode == 2
    assert f"check_replication: {replicated.labels()[1]}: alice: user/alice/Work: " in done.stderr
    assert "NOT COMPLETE" in done.stdout


@pytest.mark.parametrize("limit", [0, 30, 2000, 3500, 5000, 6500])
def test_a_connection_that_breaks(replicated, limit):
    """Wherever it breaks: exit 2, and the server is named."""
    a, _ = replicated.labels()
    relay = ByteRelay(replicated.replica.ports["imap"], limit)
    try:
        done = compare(replicated, ends=[a, f"127.0.0.1:{relay.port}"])
    finally:
        relay.close()
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith(f"check_replication: 127.0.0.1:{relay.port}: "), done.stderr
    assert lines(done)[-1].startswith("NOT COMPLETE")


def test_a_relay_that_does_not_break(replicated):
    """The limits above are in the middle of what is said."""
    a, _ = replicated.labels()
    relay = ByteRelay(replicated.replica.ports["imap"], 1 << 20)
    try:
        assert compare(replicated, ends=[a, f"127.0.0.1:{relay.port}"]).returncode == 0
        assert (1 << 20) - relay._left > 6500
    finally:
        relay.close()


def test_a_server_that_says_nothing(replicated):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        b = f"127.0.0.1:{silent.getsockname()[1]}"
        replicated.primary.conf["client_timeout"] = 1
        replicated.primary.write_conf()
        done = compare(replicated, "--timeout", "1", ends=[replicated.labels()[0], b])
    assert done.returncode == 2
    assert b in done.stderr


def test_tls(made):
    """Implicit TLS and STARTTLS; a certificate that cannot be verified ends the matter."""
    for server in (made.primary, made.replica):
        server.add_service("imaps")
        server.use_tls()
    made.primary.conf["allowplaintext"] = False
    made.start()
    with made.primary.imap("admin", service="imaps", cafile=made.primary.cafile) as imap:
        imap.ok("CREATE user.alice")
        imap.logout()
    made.sync("-u", "alice")
    ca = made.primary.cafile
    other = file_with(made, "other.pem", open(ca, encoding="ascii").read()[:-200])
    implicit = [f"{label}/tls" for label in made.labels("imaps")]
    assert compare(made, "--require-tls", "--ca", ca, ends=implicit).returncode == 0
    assert compare(made, "--require-tls", "--ca", ca).returncode == 0  # STARTTLS
    assert compare(made).returncode == 0  # STARTTLS where no password is taken without
    for server in (made.primary, made.replica):
        server.allow_log("TLS|badlogin")
    for ends in (implicit, made.labels()):
        assert compare(made, "--require-tls", ends=ends).returncode == 2
        assert compare(made, "--require-tls", "--ca", other, ends=ends).returncode == 2


def test_no_tls_where_it_is_required(replicated):
    done = compare(replicated, "--require-tls")
    assert done.returncode == 2 and replicated.labels()[0] in done.stderr


def test_progress_on_a_terminal_only(replicated):
    assert compare(replicated).stderr == ""
    leader, follower = pty.openpty()
    running = replicated.primary.popen("check_replication", *replicated.labels(), "alice",
                                       stderr=follower)
    os.close(follower)
    shown = b""
    while True:
        try:
            more = os.read(leader, 4096)
        except OSError:
            break
        if not more:
            break
        shown += more
    os.close(leader)
    assert running.wait(60) == 0
    assert b"alice: 1 of 2 mailboxes" in shown


@pytest.mark.parametrize("args", [(), ("one",), ("one", "two"), ("--wait", "x", "one", "two", "u"),
                                  ("--bogus", "one", "two", "u")])
def test_usage(factory, args):
    done = factory().run("check_replication", *args, check=False)
    assert done.returncode == 64 and "usage: check_replication" in done.stderr

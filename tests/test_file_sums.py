# SPDX-License-Identifier: BSD-3-Clause
"""
Files without sums of their own (subscriptions, user_deny.db, cyrus.header) that change in place, which no server does: they are not served
as they are, and come back from what there is a second copy of. A file that was replaced, as 3.6.1 does, is taken as it is.
"""

import os

import pytest

from cyltest import richstore
from cyltest.clients import Rejected
from cyltest.damage import damage, damaged, empty, longer, one_bit, short, zeros
from cyltest.relay import Relay
from cyltest.storefiles import mailbox_dir

ATTRIBUTE = "user.cylinder.crc32"
HOW = {f.__name__: f for f in (one_bit, zeros, short, empty, longer)}
NAMES = ("INBOX", "Work", "Work/Deep")


@pytest.fixture
def server(factory):
    server = factory(services=("imap", "lmtp", "pop3"))
    server.start()
    server.create_user("alice", "Work", "Work/Deep")
    server.create_user("bob")
    with server.imap("alice") as imap:
        for name in NAMES:
            imap.ok(f"SUBSCRIBE {name}")
        imap.append("INBOX", b"Subject: one\r\n\r\none\r\n", "$Later")
    with server.imap("bob") as imap:
        imap.ok("SUBSCRIBE INBOX")
    server.allow_log("DBERROR: |IOERROR: mailbox|Header CRC mismatch")
    return server


def needs_attributes(path):
    if ATTRIBUTE not in os.listxattr(path):
        pytest.skip("LOUD: the file system of the tests keeps no extended attributes, so files have no sums")


def subscribed(server, user="alice", status="OK"):
    with server.imap(user) as imap:
        response = imap.cmd('LSUB "" *')
        assert response.status == status, response
        return sorted(line.split(b" ")[-1].decode() for line in response.untagged)


def replace(path, data):
    """As a server that knows nothing of sums."""
    with open(path + ".NEW", "wb") as f:
        f.write(data)
    os.chown(path + ".NEW", os.stat(path).st_uid, os.stat(path).st_gid)
    os.rename(path + ".NEW", path)


# ---- subscriptions ----

@pytest.mark.parametrize("how", HOW)
def test_subscriptions_come_back(server, how):
    path = richstore.user_file(server, "alice", "sub")
    needs_attributes(path)
    with open(path, "rb") as f:
        whole = f.read()
    damage(path, HOW[how])
    spoiled = HOW[how](whole)
    mark = server.log_mark()
    assert subscribed(server) == sorted(NAMES)
    server.wait_log("damaged subscriptions are made anew from their history: userid=<alice>", mark)
    with open(path, "rb") as f:
        assert f.read() == whole
    with open(path + ".damaged", "rb") as f:
        assert f.read() == spoiled
    with server.imap("alice") as imap:
        imap.ok("UNSUBSCRIBE Work")
    assert subscribed(server) == ["INBOX", "Work/Deep"]


def test_subscriptions_come_back_for_a_change(server):
    path = richstore.user_file(server, "alice", "sub")
    needs_attributes(path)
    damage(path, one_bit)
    with server.imap("alice") as imap:
        imap.ok("CREATE New")
        imap.ok("SUBSCRIBE New")
    assert subscribed(server) == ["INBOX", "New", "Work", "Work/Deep"]


def test_subscriptions_without_history(server):
    """There is nothing to make them of: an error, for this user alone."""
    path = richstore.user_file(server, "alice", "sub")
    needs_attributes(path)
    os.unlink(richstore.user_file(server, "alice", "subhistory"))
    with damaged(path, one_bit):
        assert subscribed(server, status="NO") == []
        with server.imap("alice") as imap:
            assert b"Work" in b"".join(imap.no('LIST "" * RETURN (SUBSCRIBED)').untagged)
        assert subscribed(server, "bob") == ["INBOX"]
        with server.imap("alice") as imap:
            imap.no("SUBSCRIBE INBOX")
            imap.ok("SELECT INBOX")
    assert subscribed(server) == sorted(NAMES)


def test_subscriptions_that_the_history_does_not_know(server):
    """What it says is not what the file was: it does not take its place."""
    path = richstore.user_file(server, "alice", "sub")
    needs_attributes(path)
    server.run("cyr_dbtool", path, "flat", "delete", "NINBOX")
    with damaged(path, one_bit):
        assert subscribed(server, status="NO") == []
    assert subscribed(server) == ["Work", "Work/Deep"]


def test_subscriptions_that_were_replaced(server):
    path = richstore.user_file(server, "alice", "sub")
    with open(path, "rb") as f:
        whole = f.read()
    replace(path, whole.replace(b"NINBOX\t\n", b""))
    assert subscribed(server) == ["Work", "Work/Deep"]
    with server.imap("alice") as imap:
        imap.ok("SUBSCRIBE INBOX")
    needs_attributes(path)


def test_verify_and_force(server):
    path = richstore.user_file(server, "alice", "sub")
    needs_attributes(path)
    os.unlink(richstore.user_file(server, "alice", "subhistory"))
    damage(path, one_bit)
    done = server.run("cyr_dbtool", path, "flat", "verify", check=False)
    assert done.returncode == 1 and "the sum of the file is wrong" in done.stderr
    done = server.run("reconstruct", "--verify", "-u", "alice", check=False)
    assert done.returncode == 65 and f"{path} offset 0 to" in done.stdout
    server.run("cyr_dbtool", "--force", path, "flat", "repack")
    assert server.run("cyr_dbtool", path, "flat", "verify").returncode == 0
    assert subscribed(server)
    needs_attributes(path)


# ---- user_deny.db ----

def is_refused(server, user):
    try:
        with server.imap(user) as imap:
            imap.ok("NOOP")
    except (EOFError, Rejected, ConnectionError):
        return True
    return False


def is_delivered(server, user):
    with server.lmtp() as lmtp:
        lmtp.cmd("LHLO x")
        return [code for code, _ in lmtp.deliver(b"Subject: two\r\n\r\ntwo\r\n", user)]


@pytest.mark.parametrize("how", HOW)
def test_who_is_denied(server, how):
    """The list comes back from its copy, whoever asks first."""
    path = server.path("conf", "user_deny.db")
    server.run("cyr_deny", "bob")
    needs_attributes(path)
    assert is_refused(server, "bob") and not is_refused(server, "alice")
    with open(path, "rb") as f:
        whole = f.read()
    damage(path, HOW[how])
    mark = server.log_mark()
    assert is_refused(server, "bob") and not is_refused(server, "alice")
    server.wait_log("damaged list of denied users is made anew from its copy", mark)
    with open(path, "rb") as f, open(path + ".damaged", "rb") as kept:
        assert f.read() == whole and kept.read() == HOW[how](whole)
    damage(path, HOW[how])
    server.run("cyr_deny", "eve")
    assert is_refused(server, "bob") and not is_refused(server, "alice")
    with open(path, "rb") as f:
        assert f.read().count(b"\n") == 2


@pytest.mark.parametrize("copy", ("none", "stale"))
def test_nobody_knows_who_is_denied(server, copy):
    """Without a copy of just this content nobody is let in, and nothing is lost."""
    path = server.path("conf", "user_deny.db")
    server.run("cyr_deny", "eve")
    needs_attributes(path)
    with open(path + ".copy", "rb") as f:
        old = f.read()
    server.run("cyr_dbtool", path, "flat", "set", "bob", "2\t*\t")
    with open(path + ".copy", "rb") as f, open(path, "rb") as whole:
        assert f.read() == whole.read() != old
    os.unlink(path + ".copy")
    if copy == "stale":
        with open(path + ".copy", "wb") as f:
            f.write(old)
        server.account.give(path + ".copy")
    mark = server.log_mark()
    with damaged(path, one_bit):
        assert is_refused(server, "bob") and is_refused(server, "alice")
        assert server.run("cyr_deny", "carol", check=False).returncode != 0
        assert is_delivered(server, "alice") == [451]
    server.wait_log("database has changed in place.*user_deny.db", mark)
    assert is_refused(server, "bob") and not is_refused(server, "alice")
    assert is_delivered(server, "alice") == [250]
    with open(path, "rb") as f:
        replace(path, f.read().replace(b"bob", b"dan"))
    assert not is_refused(server, "bob")


# ---- cyrus.header ----

def flags(server):
    with server.imap("alice") as imap:
        response = imap.cmd("EXAMINE INBOX")
        return response.status, b"$Later" in b"".join(response.untagged), b"".join(response.untagged)


def test_names_of_flags(server):
    path = os.path.join(mailbox_dir(server, "user/alice"), "cyrus.header")
    needs_attributes(path)
    assert flags(server)[:2] == ("OK", True)
    with damaged(path, lambda data: data.replace(b"$Later", b"$Lates")):
        status, _, lines = flags(server)
        assert status == "NO" and b"$Lates" not in lines
        with server.imap("alice") as imap:
            imap.ok("SELECT Work")
    assert flags(server)[:2] == ("OK", True)
    damage(path, lambda data: data.replace(b"$Later", b"$Lates"))
    server.run("reconstruct", "user/alice")
    assert flags(server)[0] == "OK"


def test_what_mailboxes_db_has_too(server):
    """The names of flags are proven by the rest: the mailbox is served, with its rights as they are."""
    path = os.path.join(mailbox_dir(server, "user/alice"), "cyrus.header")
    needs_attributes(path)
    damage(path, lambda data: data.replace(b"alice lrsw", b"alicf lrsw").replace(b"I ", b"I x", 1))
    assert flags(server)[:2] == ("OK", True)
    with server.imap("alice") as imap:
        assert b"alice lrswipkxtecdan" in b"".join(imap.ok("GETACL INBOX").untagged)


def test_header_that_was_replaced(server):
    path = os.path.join(mailbox_dir(server, "user/alice"), "cyrus.header")
    with open(path, "rb") as f:
        replace(path, f.read().replace(b"$Later", b"$Other"))
    status, _, lines = flags(server)
    assert status == "OK" and b"$Other" in lines


# ---- Sieve scripts, quota files ----

@pytest.fixture
def scripts(pair):
    for server in (pair.primary, pair.replica):
        server.conf["sievedir"] = server.account.mkdir(server.path("sieve"))
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.replica.path("conf/socket/csync"))
    pair.start()
    pair.primary.create_user("alice")
    with pair.primary.sync("repl") as csync:
        for name in "ab":
            csync.ok(f'APPLY SIEVE %(USERID alice FILENAME {name}.script LAST_UPDATE 1795310753 CONTENT "keep;")')
    sync_scripts(pair)
    return pair


def sync_scripts(pair, status=0):
    """With a replica of before scripts became a mailbox."""
    with Relay(pair.primary.path("tmp", "relay"), pair.replica.path("conf/socket/csync"),
               on_answer=lambda command, answer: answer.replace(b"* SIEVE-MAILBOX\r\n", b"")) as relay:
        done = pair.primary.run("sync_client", "-u", "alice", "-S", relay.path, check=False)
    assert done.returncode == status, done


def script(server, name):
    (path,) = [os.path.join(base, name) for base, _, names in os.walk(server.path("sieve")) if name in names]
    return path


def refused(csync, command):
    assert csync.cmd(command).status == "NO", command


@pytest.mark.parametrize("how", ["damaged", "unreadable"])
def test_sieve_scripts(scripts, how):
    """Nobody gets what changed in place; and what can't be read is not taken for removed: the replica keeps it."""
    primary, replica = scripts.primary, scripts.replica
    path = script(primary, "a.script")
    for server in (primary, replica):
        server.allow_log("IOERROR: (can't read )?Sieve script|IOERROR: user replication failed|SYNCERROR")
    if how == "damaged":
        needs_attributes(path)
        damage(path, one_bit)
    else:
        os.unlink(path)
        os.symlink(os.path.basename(path), path)  # ELOOP, whoever asks
    with primary.sync("repl") as csync:
        refused(csync, "GET META alice")
        refused(csync, "GET FETCH_SIEVE %(USERID alice FILENAME a.script)")
        csync.ok("GET FETCH_SIEVE %(USERID alice FILENAME b.script)")
    sync_scripts(scripts, status=1)
    with open(script(replica, "a.script"), "rb") as f:
        assert f.read() == b"keep;"
    with primary.sync("repl") as csync:
        csync.ok('APPLY SIEVE %(USERID alice FILENAME a.script LAST_UPDATE 1795310799 CONTENT "stop;")')
    sync_scripts(scripts)
    with open(script(replica, "a.script"), "rb") as f:
        assert f.read() == b"stop;"


@pytest.mark.parametrize("kind", ["no directory", "no right"])
def test_sieve_directory_that_cannot_be_made(factory, kind):
    """The script is refused before anything is promised; the user's other changes go on."""
    server = factory(services=("imap", "csync"))
    server.allow_log("IOERROR|SYNCERROR")
    top = server.path("sieve")
    if kind == "no directory":
        server.conf["sievedir"] = "/proc/nowhere"
    else:
        server.conf["sievedir"] = top
        os.mkdir(top, 0o555)
    server.start()
    server.create_user("alice")
    upload = 'APPLY SIEVE %(USERID alice FILENAME a.script LAST_UPDATE 1795310753 CONTENT "keep;")'
    with server.sync("repl") as csync:
        refused(csync, upload)
    with server.imap("alice") as imap:
        imap.append("INBOX", b"Subject: one\r\n\r\none\r\n")
        imap.ok("CREATE More")
    if kind == "no right":
        server.account.give(top)
        os.chmod(top, 0o755)
        with server.sync("repl") as csync:
            csync.ok(upload)


@pytest.mark.parametrize("how", HOW)
def test_quota_files(factory, how):
    server = factory(services=("imap",))
    server.conf["quota_db"] = "quotalegacy"
    server.allow_log("DBERROR: quota file|IOERROR")
    server.start()
    server.create_user("alice")
    with server.imap("admin") as imap:
        imap.ok("SETQUOTA user/alice (STORAGE 1000)")
    (path,) = [os.path.join(base, name) for base, _, names in os.walk(server.path("conf", "quota")) for name in names]
    needs_attributes(path)
    with damaged(path, HOW[how]), server.imap("alice") as imap:
        response = imap.cmd("GETQUOTAROOT INBOX")
        assert response.status == "NO" and not response.find("* QUOTA "), response
        imap.ok("SELECT INBOX")
    with server.imap("alice") as imap:
        assert imap.ok("GETQUOTAROOT INBOX").find("* QUOTA ")

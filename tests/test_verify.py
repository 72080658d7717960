# SPDX-License-Identifier: BSD-3-Clause
"""
reconstruct --verify: finds what is damaged, databases included, changes nothing, goes on where it was, and is as slow as it shall be.
"""

import os
import re
import signal
import time

import pytest

from cyltest import richstore
from cyltest.damage import KINDS, damage, damaged, one_bit
from cyltest.storefiles import IndexFile, mailbox_dir

COUNT = 6


def text(n, size=0):
    return (b"Message-ID: <%d@example.com>\r\nFrom: a@example.com\r\nSubject: number %d\r\n"
            b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\nbody\r\n" % (n, n)) + b"more of the body\r\n" * (size // 18)


@pytest.fixture
def server(factory):
    server = factory(services=("imap", "lmtp"))
    server.start()
    server.create_user("alice", "One", "Two")
    with server.imap("alice") as imap:
        for n in range(1, COUNT + 1):
            for other, name in enumerate(("INBOX", "One", "Two")):
                imap.append(name, text(n + 1000 * other, 20000))  # equal messages would be one file
        imap.ok("SELECT One")
        imap.ok("STORE 1 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    server.allow_log("IOERROR")
    return server


def verify(server, *args, status=0):
    done = server.run("reconstruct", "--verify", *args, check=False)
    assert done.returncode in (status if isinstance(status, tuple) else (status,)), done
    return done.stdout.splitlines()


def files_of(server):
    found = {}
    for top in ("spool", "conf/user"):
        for base, _, names in os.walk(server.path(top)):
            for name in names:
                st = os.stat(os.path.join(base, name))
                found[os.path.join(base, name)] = (st.st_size, st.st_mtime_ns, st.st_ino)
    return found


def test_a_whole_store(server):
    before = files_of(server)
    assert verify(server) == []
    assert files_of(server) == before
    assert os.path.exists(server.path("conf", "verified.db"))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_messages(server, kind):
    path = os.path.join(mailbox_dir(server, "user/alice/One"), "3.")
    with damaged(path, KINDS[kind]):
        fault = "has another size" if kind in ("short", "longer") else "guid mismatch"
        assert verify(server, status=65) == [f"user.alice.One uid 3 {fault}"]
        assert verify(server, "user/alice/Two") == []
        assert verify(server, "-r", "user/alice", status=65) == [f"user.alice.One uid 3 {fault}"]
    assert verify(server) == []


def test_missing_and_expunged(server):
    """A file that can still be unexpunged counts."""
    directory = mailbox_dir(server, "user/alice/One")
    os.rename(os.path.join(directory, "1."), server.path("tmp", "gone"))
    assert verify(server, status=65) == ["user.alice.One uid 1 not found"]


def test_index_cache_and_header(server):
    one, two = (mailbox_dir(server, f"user/alice/{n}") for n in ("One", "Two"))
    damage(os.path.join(one, "cyrus.cache"), lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:])
    at = IndexFile.offset(4) + 20
    damage(os.path.join(two, "cyrus.index"), lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
    told = verify(server, status=65)
    assert [line for line in told if line.startswith("user.alice.One uid ") and "cache record" in line]
    assert [line for line in told if line.startswith("user.alice.Two record 4:")]
    damage(os.path.join(two, "cyrus.index"), lambda data: bytes(60) + data[60:])
    assert [line for line in verify(server, status=65) if line.startswith("user.alice.Two can't be opened")]


def test_since(server):
    """What was whole is left out, what was not is read again."""
    path = os.path.join(mailbox_dir(server, "user/alice/One"), "3.")
    with damaged(path, one_bit):
        assert verify(server, status=65) == ["user.alice.One uid 3 guid mismatch"]
        other = os.path.join(mailbox_dir(server, "user/alice/Two"), "3.")
        with damaged(other, one_bit):
            assert verify(server, "--since", "1d", status=65) == ["user.alice.One uid 3 guid mismatch"]
            time.sleep(1.1)
            assert len(verify(server, "--since", "1s", status=65)) == 2


def test_ended_and_continued(server):
    """SIGTERM ends it soon, however slow it is; the next run has the rest only."""
    began = time.monotonic()
    run = server.popen("reconstruct", "--verify", "--rate", "100k")
    time.sleep(2.5)
    run.send_signal(signal.SIGTERM)
    assert run.wait(timeout=5) == 75
    with damaged(os.path.join(mailbox_dir(server, "user/alice"), "2."), one_bit):
        assert verify(server, "--since", "1d") == []  # it was read before
    assert time.monotonic() - began < 20


def test_rate(server):
    began = time.monotonic()
    verify(server, "--rate", "60k", "user/alice/Two")
    assert 1.5 < time.monotonic() - began < 10


def test_under_load(server):
    """Mail comes and goes meanwhile: no false alarm."""
    run = server.popen("reconstruct", "--verify", "--rate", "200k")
    with server.imap("alice") as imap:
        n = 100
        while run.poll() is None:
            imap.append("INBOX", text(n))
            imap.ok("SELECT INBOX")
            imap.ok("STORE 1 +FLAGS (\\Deleted)")
            imap.ok("EXPUNGE")
            server.run("cyr_expire", "-X", "0", check=False)
            n += 1
    assert run.returncode == 0 and n > 101


def test_status(server):
    """Only a pass through everything is one, and it says how old the oldest reading is."""
    done = server.run("reconstruct", "--status", check=False)
    assert (done.returncode, done.stdout) == (1, "last whole pass: never\n")
    verify(server, "-r", "user/alice")
    assert server.run("reconstruct", "--status", check=False).returncode == 1
    told = re.compile(r"last whole pass: (.{19}), oldest reading: (.{19}), mailboxes: 3, findings: (\d)\n$")
    verify(server)
    ended, oldest, findings = told.match(server.run("reconstruct", "--status").stdout).groups()
    assert oldest <= ended and findings == "0"
    with damaged(os.path.join(mailbox_dir(server, "user/alice/One"), "3."), one_bit):
        verify(server, status=65)
        assert told.match(server.run("reconstruct", "--status").stdout).group(3) == "1"
    verify(server, "--since", "1d")
    _, again, findings = told.match(server.run("reconstruct", "--status").stdout).groups()
    assert oldest <= again and findings == "0"


def test_usage(server):
    for args in (("--verify", "-G"), ("--verify", "--from-replica"), ("--since", "1d"), ("--rate", "x", "--verify"),
                 ("--verify", "-n"), ("--since", "x", "--verify"), ("--status", "--verify"), ("--status", "-r", "user/alice")):
        assert server.run("reconstruct", *args, check=False).returncode == 64


# ---- databases ----

DATABASES = ("mailboxes.db", "users.db", "quotas.db", "annotations.db", "deliver.db", "tls_sessions.db", "cyrus.annotations",
             "conversations.db", "counters.db", "seen", "subhistory")


@pytest.fixture(scope="module")
def rich(request):
    yield from richstore.stopped(request)


def middle_bit(data):
    """Of what is used of the file, and no filling."""
    at = len(data.rstrip(b"\0")) * 2 // 3
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1:]


def test_whole_databases(rich):
    """The server need not run; every kind of database has been looked at."""
    rich.saved.restore()
    assert verify(rich) == []
    with open(rich.path("conf", "verified.db"), "rb") as f:
        times = f.read()
    for kind in (*DATABASES, "sub"):
        paths = richstore.path_of(rich, kind)
        for path in paths if isinstance(paths, list) else [paths]:
            assert b"file:" + path.encode() in times, kind


@pytest.mark.parametrize("kind", DATABASES)
def test_damaged_database(rich, kind):
    rich.allow_log("DBERROR: twoskip")
    rich.saved.restore()
    path = richstore.path_of(rich, kind)
    with damaged(path, middle_bit):
        # the record may be that of a mailbox, which then can't be opened
        bad = (65, 75) if kind == "mailboxes.db" else 65
        told = [line for line in verify(rich, status=bad) if not line.startswith("user.")]
        assert told and all(line.startswith(f"{path} offset ") for line in told), told
        again = verify(rich, "--since", "1d", status=bad)
        assert [line for line in again if line.startswith(path)] == told
    assert verify(rich, "--since", "1d") == []


def test_database_of_a_user_or_a_mailbox(rich):
    rich.saved.restore()
    path = richstore.path_of(rich, "seen")
    with damaged(path, middle_bit):
        assert [line.split(" ")[0] for line in verify(rich, "-u", "bob", status=65)] == [path]
        assert verify(rich, "-u", "alice") == []
    path = richstore.path_of(rich, "cyrus.annotations")
    with damaged(path, middle_bit):
        assert [line.split(" ")[0] for line in verify(rich, "user/alice", status=65)] == [path]
        assert verify(rich, "user/bob") == []


def test_databases_under_load(server):
    """Changes meanwhile are no damage."""
    run = server.popen("reconstruct", "--verify", "--rate", "100k")
    with server.imap("alice") as imap:
        n = 0
        while run.poll() is None:
            imap.ok(f"CREATE Load{n}")
            imap.ok(f"SUBSCRIBE Load{n}")
            imap.ok(f"DELETE Load{n}")
            n += 1
    assert run.returncode == 0 and n > 1

# SPDX-License-Identifier: BSD-3-Clause
"""check_replication between two real servers: equal, different, and not to be compared."""

import json

import pytest

from cyltest.credentials import password

MESSAGE = (b"From: a@example.com\r\nSubject: s\r\nMessage-ID: <cr%d@example.com>\r\n"
           b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\nbody %d\r\n")


@pytest.fixture
def replicated(pair):
    pair.primary.conf.update({"proxy_authname": "repl", "proxy_password": password("repl")})
    pair.start()
    pair.primary.create_user("alice", "Work")
    for n in range(5):
        pair.primary.deliver(MESSAGE % (n, n), "alice")
    with pair.primary.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1:2 +FLAGS (\Seen $Label)")
        imap.ok("COPY 3 Work")
        imap.ok("SUBSCRIBE Work")
    pair.sync("-u", "alice")
    return pair


def compare(pair, *args):
    ends = [f"127.0.0.1:{server.ports['imap']}" for server in (pair.primary, pair.replica)]
    return pair.primary.run("check_replication", *args, *ends, "alice", check=False)


def test_equal(replicated):
    done = compare(replicated)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("EQUAL\n")


def test_each_difference_is_named(replicated):
    with replicated.replica.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 4 +FLAGS (\Flagged)")
        imap.ok("UNSUBSCRIBE Work")
        imap.append("Work", MESSAGE % (9, 9))
    done = compare(replicated)
    assert done.returncode == 1, done.stdout + done.stderr
    assert r"\Flagged" in done.stdout and "subscri" in done.stdout
    assert any("Work" in line and "UIDNEXT" in line for line in done.stdout.splitlines())
    done = compare(replicated, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)


def test_a_server_that_is_away(replicated):
    replicated.replica.stop()
    done = compare(replicated)
    assert done.returncode == 2
    assert done.stderr

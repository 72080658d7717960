# SPDX-License-Identifier: BSD-3-Clause
"""The sums of files that have no place for one are in an attribute, which 3.6.1 does not know: it reads such files and replaces them, and what it
wrote is taken as it is, for it is a new file without the attribute (handbook 01 §3.3, 02 §2.2)."""

import base64
import os
import time

import pytest

from cyltest import richstore
from cyltest.clients import LineClient
from cyltest.credentials import password
from cyltest.store import debian_tool, servers_on_one_store
from cyltest.storefiles import mailbox_dir
from cyltest.syncdata import login

ATTRIBUTE = "user.cylinder.crc32"


def has_sum(path):
    return ATTRIBUTE in os.listxattr(path)


def paths(debian):
    return (richstore.user_file(debian, "alice", "sub"), os.path.join(mailbox_dir(debian, "user/alice"), "cyrus.header"))


def change(server, n):
    with server.imap("alice") as imap:
        imap.ok(f"CREATE Box{n}")
        imap.ok(f"SUBSCRIBE Box{n}")
        imap.append("INBOX", b"Subject: one\r\n\r\none\r\n", f"$Flag{n}")


def seen(server):
    with server.imap("alice") as imap:
        names = b"".join(imap.ok('LSUB "" *').untagged)
        flags = b"".join(imap.ok("SELECT INBOX").untagged)
    return [n for n in range(9) if b"Box%d" % n in names], [n for n in range(9) if b"$Flag%d" % n in flags]


def test_turn_by_turn(debian_factory, factory):
    debian, ours = servers_on_one_store(debian_factory, factory, {})
    ours.start()
    ours.create_user("alice")
    change(ours, 0)
    ours.stop()
    files = paths(debian)
    if not has_sum(files[0]):
        pytest.skip("LOUD: the file system of the tests keeps no extended attributes, so files have no sums")
    assert all(map(has_sum, files))
    debian.start()
    assert seen(debian) == ([0], [0])
    change(debian, 1)
    debian.stop()
    assert not any(map(has_sum, files))
    ours.start()
    assert seen(ours) == ([0, 1], [0, 1])
    assert not ours.log_text().count("changed in place")
    change(ours, 2)
    assert seen(ours) == ([0, 1, 2], [0, 1, 2])
    ours.stop()
    assert all(map(has_sum, files))
    assert "header" not in debian_tool(debian, "reconstruct", "-n", "-r", "user/alice").stdout


def test_user_deny(debian_factory, factory):
    debian, ours = servers_on_one_store(debian_factory, factory, {})
    path = debian.path("conf", "user_deny.db")
    ours.start()
    ours.create_user("alice")
    ours.run("cyr_deny", "bob")
    ours.stop()
    if not has_sum(path):
        pytest.skip("LOUD: the file system of the tests keeps no extended attributes, so files have no sums")
    debian.start()
    debian.run("cyr_deny", "carol")
    debian.stop()
    assert not has_sum(path)
    ours.start()
    with ours.imap("alice") as imap:
        imap.ok("NOOP")
    with open(path, "rb") as f:
        assert [line.split(b"\t")[0] for line in f] == [b"bob", b"carol"]


def put_script(server, user, name, text):
    """PUTSCRIPT of ManageSieve."""
    with LineClient(("127.0.0.1", server.ports["sieve"])) as c:
        def answer():
            while not (line := c.readline()).startswith((b"OK", b"NO", b"BYE")):
                pass
            assert line.startswith(b"OK"), line
        answer()
        plain = base64.b64encode(f"\0{user}\0{password(user)}".encode()).decode()
        c.sendline(f'AUTHENTICATE "PLAIN" "{plain}"')
        answer()
        c.sendline(f'PUTSCRIPT "{name}" {{{len(text)}+}}\r\n{text}')
        answer()


def test_sieve_scripts(debian_factory, factory):
    """Neither its sync_server nor its timsieved writes in place: both move scripts into the mailbox #sieve, and remove the files."""
    debian, ours = servers_on_one_store(debian_factory, factory, {"sievedir": "@/sieve"}, services=("imap", "csync"))
    ours.start()
    ours.create_user("alice")

    def upload(server, name, text):
        with login(server) as csync:
            csync.ok(f'APPLY SIEVE %(USERID alice FILENAME {name}.script LAST_UPDATE {int(time.time())} CONTENT {{{len(text)}+}}\r\n{text})')

    for name in "ab":
        upload(ours, name, "keep;\r\n")
    files = [os.path.join(base, n) for base, _, names in os.walk(debian.path("sieve")) for n in names if n in ("a.script", "b.script")]
    ours.stop()
    assert len(files) == 2
    if not has_sum(files[0]):
        pytest.skip("LOUD: the file system of the tests keeps no extended attributes, so files have no sums")
    debian.add_service("sieve", cmd="timsieved")
    debian.start()
    upload(debian, "a", "stop;\r\n")
    put_script(debian, "alice", "b", "discard;\r\n")
    debian.stop()
    assert not any(os.path.exists(file) and has_sum(file) for file in files)
    ours.start()
    with login(ours) as csync:
        csync.ok("GET META alice")

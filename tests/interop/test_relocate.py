# SPDX-License-Identifier: BSD-3-Clause
"""relocate_by_id on a store that 3.6.1 made with directories by name: what it says, what it leaves, and what clients see is as with
3.6.1's, also when it is killed at any change of the disk and run again.
"""

import os
import re
import subprocess

import pytest

from cyltest.store import BIN, assert_alike, copy_of, debian_tool, records, servers_on_one_store, snapshot

TOOL = "relocate_by_id"
USERS = ("alice", "bob")
CONF = {"mailbox_legacy_dirs": True, "conversations": True, "unixhierarchysep": True, "sievedir": "@/spool/sieve",
        "archive_enabled": True, "archivepartition-default": "@/spool/archive", "metapartition-default": "@/spool/meta",
        "partition-default": "@/spool/mail", "metapartition_files": "header index cache", "delete_mode": "delayed",
        "reverseacls": True, "quota_db": "quotalegacy", "annotation_allow_undefined": True}
MESSAGE = (b"From: a@example.com\r\nSubject: message %d\r\nMessage-ID: <%d@x>\r\n"
           b"Date: Mon, 07 Feb 2022 10:00:00 +0000\r\n\r\nhello %d\r\n")


def fill(debian):
    debian.create_user("alice", "Work", "Work/Sub", "gone")
    debian.create_user("bob", "x")
    with debian.imap("admin") as imap:
        for command in ("CREATE shared", "CREATE shared/a", "SETACL shared anyone lrs", "SETACL shared/a anyone lrs",
                        "SETQUOTA user/alice (STORAGE 1000)", "SETACL user/alice/Work bob lrs",
                        "SETACL user/alice/gone admin lrsx", "DELETE user/alice/gone"):
            imap.ok(command)
        imap.logout()
    with debian.imap("alice") as imap:
        for n in range(3):
            for name in ("INBOX", "Work", "Work/Sub"):
                imap.append(name, MESSAGE % ((n,) * 3), r"\Flagged $Work", "02-Jan-2023 10:00:00 +0000")
        imap.ok("SUBSCRIBE Work")
        imap.ok("SELECT INBOX")
        imap.ok('STORE 1 ANNOTATION (/comment (value.shared "w"))')
        imap.ok('SETMETADATA Work (/shared/comment "c")')
        imap.logout()
    with debian.imap("bob") as imap:
        imap.ok('SELECT "Other Users/alice/Work"')
        imap.ok("FETCH 1 BODY[]")
        imap.logout()
    scripts = debian.account.mkdir(debian.path("spool", "sieve", "a", "alice"))
    debian.account.give(os.path.dirname(scripts))
    for name, text in (("x.script", "keep;"), ("x.bc", "code")):
        with open(os.path.join(scripts, name), "w", encoding="ascii") as f:
            f.write(text)
    os.symlink("x.bc", os.path.join(scripts, "defaultbc"))
    debian_tool(debian, "cyr_expire", "-A", "7d")
    with debian.imap("alice") as imap:
        imap.append("INBOX", MESSAGE % (7, 7, 7))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 4 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.logout()


@pytest.fixture
def legacy(debian_factory, factory):
    """A server of 3.6.1 at rest; nothing of it is in a directory by uniqueid."""
    debian, ours = servers_on_one_store(debian_factory, factory, CONF)
    debian.start()
    fill(debian)
    debian.stop()
    assert not [d for d, _, _ in os.walk(debian.root) if "uuid" in d]
    ours.stop()
    return debian


def tree(server):
    """{path: what it is} of all files of mailboxes and users; those of 3.6.1's DAV are left out."""
    found = {}
    for top in ("spool", "conf/user"):
        for base, _, names in os.walk(server.path(top)):
            for name in names:
                path = os.path.join(base, name)
                rel = os.path.relpath(path, server.root)
                if name == "dav.db" or "stage." in rel:
                    continue
                if os.path.islink(path):
                    found[rel] = os.readlink(path)
                elif name in ("cyrus.header", "cyrus.index"):  # times of the change
                    found[rel] = None
                elif "counters" in name:  # how often it was written; last deletion of a folder, which 3.6.1 forgot
                    with open(path, "rb") as f:
                        numbers = f.read()
                    found[rel] = numbers[4:152] + numbers[160:-4]
                else:
                    with open(path, "rb") as f:
                        found[rel] = f.read()
    return found


def entries(server):
    return {key: re.sub(r" M \d+", "", value) for key, value in records(server.path("conf", "mailboxes.db")).items()}


def said(done, server):
    return done.returncode, done.stdout.replace(server.root, "ROOT"), done.stderr


def seen(server):
    """All but the time at which the index was written."""
    server.start()
    answers = snapshot(server, USERS)
    server.stop()
    return {question: [line for line in lines if b"/lastupdate" not in line] for question, lines in answers.items()}


@pytest.mark.parametrize("args", [
    [("user/alice",), ("-u", "bob"), ("shared",)], [("-u", "alice", "bob", "nobody"), ("-u", "alice")],
    [("user/alice/Work",), ("user/alice/Work/Sub",), ("user/alice", "nosuch", "user/bob"), ("-q", "shared"), ("shared/a",)],
], ids=["trees", "users", "parts"])
def test_as_361_does(legacy, debian_factory, factory, args):
    theirs, ours = copy_of(legacy, debian_factory, "theirs"), copy_of(legacy, factory, "ours")
    before = seen(copy_of(legacy, factory, "before"))
    for words in args:
        if "nobody" not in words and words[0] != "user/alice":  # 3.6.1 tells more in a dry run: each file of a mailbox
            assert ours.run(TOOL, "-n", *words).stdout.splitlines() == [
                line for line in debian_tool(theirs, TOOL, "-n", *words).stdout.replace(theirs.root, ours.root).splitlines()
                if "/cyrus." not in line]
        old = tree(ours), entries(ours)
        ours.run(TOOL, "-n", *words)
        assert (tree(ours), entries(ours)) == old
        assert said(ours.run(TOOL, *words), ours) == said(debian_tool(theirs, TOOL, *words), theirs)
    ours.run("ctl_cyrusdb", "-r")
    ours.start()
    ours.stop()
    assert tree(ours) == tree(theirs)
    assert entries(ours) == entries(theirs)
    assert_alike(before, seen(ours))
    back = copy_of(ours, debian_factory, "back")
    assert_alike(seen(theirs), seen(back))
    assert debian_tool(back, "reconstruct", "-n", "-G", "-q").stdout == ""
    for user in USERS:
        assert ours.run("ctl_conversationsdb", "-A", user).stdout == ""


def test_killed_at_each_change(legacy, factory):
    """Each mailbox is in one place; a second run does the rest, and all is as after one that was not killed."""
    ours = copy_of(legacy, factory, "ours")
    ours.allow_log("DBERROR|journal|finish")
    before = seen(ours)
    want = copy_of(ours, factory, "want")
    want.run(TOOL, "-u", "alice")
    want.start()
    want.stop()
    subprocess.run(["cp", "-a", ours.path("conf"), ours.path("conf.before")], check=True)
    subprocess.run(["cp", "-a", ours.path("spool"), ours.path("spool.before")], check=True)
    states = set()
    for nth in range(1, 2000, 4):
        for top in ("conf", "spool"):
            subprocess.run(["rm", "-rf", ours.path(top)], check=True)
            subprocess.run(["cp", "-a", ours.path(top + ".before"), ours.path(top)], check=True)
        ours.env["CYLINDER_DISKIO_KILL"] = f"change:{nth}"
        done = ours.run(TOOL, "-u", "alice", check=False)
        del ours.env["CYLINDER_DISKIO_KILL"]
        ours.run("ctl_cyrusdb", "-r")
        states.add("".join(sorted(key for key, value in entries(ours).items() if key.startswith("N") and "%(T el" in value)))
        if nth % 5 == 0:
            assert_alike(before, seen(ours))
        ours.run(TOOL, "-u", "alice")
        ours.run("ctl_cyrusdb", "-c")
        assert tree(ours) == tree(want), nth
        assert entries(ours) == entries(want), nth
        if done.returncode == 0:
            break
    assert done.returncode == 0 and nth > 50 and len(states) == 5
    assert_alike(before, seen(ours))


def test_while_a_session_is_open(legacy, factory):
    """It reads and changes its mailbox before and afterwards."""
    ours = copy_of(legacy, factory, "ours").start()
    with ours.imap("alice") as imap:
        imap.ok("SELECT Work")
        ours.run(TOOL, "-u", "alice")
        assert b"hello 1" in b"".join(imap.ok("FETCH 2 BODY.PEEK[]").untagged)
        imap.ok(r"STORE 2 +FLAGS (\Answered)")
        told = imap.append("Work", MESSAGE % (9, 9, 9)).untagged + imap.ok("NOOP").untagged
        assert b"* 4 EXISTS" in told
        assert b"hello 9" in b"".join(imap.ok("FETCH 4 BODY.PEEK[]").untagged)
        imap.logout()
    with ours.imap("alice") as imap:
        imap.ok("SELECT Work")
        assert b"\\Answered" in b"".join(imap.ok("FETCH 2 FLAGS").untagged)
        imap.logout()
    assert ours.run("reconstruct", "-G", "-q").stdout == ""
    assert ours.run("ctl_conversationsdb", "-A", "alice").stdout == ""


def test_nothing_is_put_over(legacy, factory):
    """Something in the new place, of a mailbox or of its user: that one is left alone, the others move."""
    ours = copy_of(legacy, factory, "ours")
    ours.allow_log("can't relocate")
    inbox = re.search(r" I (\S+)", records(ours.path("conf", "mailboxes.db"))["Nuser\x1falice"])[1]
    there = ours.path("conf", "user", "uuid", inbox[0], inbox[1], inbox)
    ours.account.mkdir(there)
    for d in (os.path.dirname(there), os.path.dirname(os.path.dirname(there)), ours.path("conf", "user", "uuid")):
        ours.account.give(d)
    path = os.path.join(there, "conversations.db")
    with open(path, "wb") as f:
        f.write(b"of somebody")
    ours.account.give(path)
    done = ours.run(TOOL, "-u", "alice", check=False)
    assert done.returncode == 75 and done.stderr.startswith("user/alice: ")
    with open(path, "rb") as f:
        assert f.read() == b"of somebody"
    assert os.path.exists(ours.path("conf", "user", "a", "alice.conversations"))
    found = entries(ours)
    assert "%(T el " in found["Nuser\x1falice"] and "%(T e " in found["Nuser\x1falice\x1fWork"]
    os.unlink(path)
    assert ours.run(TOOL, "-u", "alice").returncode == 0
    assert "%(T e " in entries(ours)["Nuser\x1falice"]


@pytest.mark.parametrize("args", [(), ("-x", "user/alice"), ("-u",)])
def test_usage(factory, args):
    server = factory(services=())
    done = server.run(TOOL, *args, check=False)
    assert done.returncode == 64 and done.stderr
    done = subprocess.run([server.program(TOOL), "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: relocate_by_id") and os.path.exists(BIN)

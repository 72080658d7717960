# SPDX-License-Identifier: BSD-3-Clause
"""ctl_mboxlist (handbook 05 §3.2): dump, undump in both formats and verify, beside Debian's on the same list."""

import os
import re
import shutil

import pytest

DEBIAN = "/usr/lib/cyrus/bin/ctl_mboxlist"


@pytest.fixture
def server(factory):
    """Mailboxes of a user and shared ones, a deleted one with its tombstone, an intermediate; stopped."""
    s = factory()
    s.conf["admins"] = "admin"
    s.start()
    s.create_user("alice", "Work", "Deep/er/est")
    with s.imap("admin") as c:
        c.ok("CREATE shared")
        c.ok("SETACL user/alice/Work bob lrs")
        c.logout()
    with s.imap("alice") as c:
        c.ok("DELETE Work")
        c.ok("CREATE A.b")
        c.logout()
    s.stop()
    return s


def debian(server, *args, **kwargs):
    if not os.path.exists(DEBIAN):
        pytest.skip("INTEROP NOT TESTED: Debian's ctl_mboxlist is not installed")
    return server.run(DEBIAN, *args, **kwargs)


def without_mtime(text):
    return re.sub(r'"mtime": "\d+"| M \d+', "", text)


def records(server, path):
    """Without the history of names, which is in no dump."""
    text = without_mtime(server.run("cyr_dbtool", path, "twoskip", "show").stdout)
    return re.sub(r" H \(.*\)$", "", text, flags=re.M)


def test_dumps_are_the_same(server):
    for args in (["-d"], ["-d", "-y"], ["-d", "-p", "default"], ["-d", "-p", "nosuch"]):
        assert server.run("ctl_mboxlist", *args).stdout == debian(server, *args).stdout, args


def test_undump_of_debians_dump(server):
    """Into an empty list: nothing is lost, tombstones neither (3.6.1 does not read its own)."""
    dump = debian(server, "-d", "-y").stdout
    path = server.path("other.db")
    assert server.run("ctl_mboxlist", "-u", "-f", path, data=dump).stderr == ""
    assert without_mtime(server.run("ctl_mboxlist", "-d", "-y", "-f", path).stdout) == without_mtime(dump)
    assert records(server, path) == records(server, server.path("conf", "mailboxes.db"))
    theirs = server.path("theirs.db")
    debian(server, "-u", "-f", theirs, data=dump)
    ours = [line for line in records(server, path).splitlines() if "%(T ed" not in line]
    assert set(records(server, theirs).splitlines()) - {""} <= set(ours)


def test_undump_of_old_lines_is_debians(server):
    lines = ("user.dave\t0 default dave\tlrswipkxtecda\t>daveuniqueid0000000 1700000000 1600000000 5 3\n"
             "user.x\t0 srv!part x\tlrs\t>\nbad\n")
    ours, theirs = server.path("ours.db"), server.path("theirs.db")
    done = server.run("ctl_mboxlist", "-u", "-L", "-f", ours, data=lines, check=False)
    other = debian(server, "-u", "-L", "-f", theirs, data=lines, check=False)
    assert "line 3: no partition found" in done.stderr and done.stderr == other.stderr
    assert records(server, ours) == records(server, theirs) and "1600000000" in records(server, ours)


def test_dump_and_remove(server):
    """-x removes what was printed, and nothing else."""
    path = server.path("copy.db")
    shutil.copy(server.path("conf", "mailboxes.db"), path)
    server.account.give(path)
    before = server.run("ctl_mboxlist", "-d", "-f", path).stdout
    assert server.run("ctl_mboxlist", "-d", "-x", "-p", "nosuch", "-f", path).stdout == "{\n\n}\n"
    assert server.run("ctl_mboxlist", "-d", "-f", path).stdout == before
    assert server.run("ctl_mboxlist", "-d", "-x", "-f", path).stdout == before
    assert server.run("ctl_mboxlist", "-d", "-f", path).stdout == "{\n\n}\n"


def test_verify(server):
    """A healthy store says nothing; an entry without a directory and a directory without an entry are told."""
    assert server.run("ctl_mboxlist", "-v").stdout == ""
    path = server.run("mbpath", "user/alice").stdout.strip()
    os.rename(path, path + "x")
    told = server.run("ctl_mboxlist", "-v", check=False).stdout
    assert "'user.alice' has a DB entry but no directory on partition 'default'\n" in told
    assert path + "x" in told and "but no DB entry" in told
    os.rename(path + "x", path)
    assert server.run("ctl_mboxlist", "-v").stdout == ""


def test_verify_reverse_acls(server):
    """What is missing, stale or rubbish is named, also without the marker; ctl_cyrusdb -c or -r mends it."""
    path = server.path("conf", "mailboxes.db")

    def told():
        return server.run("ctl_mboxlist", "-v", check=False).stdout

    def change(action, key, *value):
        server.run("cyr_dbtool", path, "twoskip", action, key, *value)

    server.conf["reverseacls"] = True
    server.write_conf()
    server.run("ctl_cyrusdb", "-r")
    assert told() == ""
    change("delete", "AS\x1eanyone\x1eshared")
    change("set", "AS\x1ecarol\x1eshared", "")
    change("set", "AU\x1ebob\x1euser\x1fgone", "")
    change("set", "AUx", "")  # of no kind that we know
    assert told() == ("'shared' has no reverse ACL record of 'anyone'\n"
                      "stale reverse ACL record of no mailbox: 'AU\\x1ebob\\x1euser\\x1fgone'\n"
                      "'shared' has a stale reverse ACL record of 'carol'\n")
    assert server.run("ctl_mboxlist", "-v", check=False).returncode == 65
    server.run("ctl_cyrusdb", "-c")
    assert told() == ""
    assert "reverse ACLs of mailboxes.db: 1 records made, 2 removed" in server.log_text()
    change("delete", "AS\x1e")
    assert "'shared' has a stale reverse ACL record of 'anyone'\n" in told()
    server.run("ctl_cyrusdb", "-c")  # makes none where there are none
    assert "stale" in told()
    server.conf["reverseacls"] = False
    server.write_conf()
    server.run("ctl_cyrusdb", "-r")
    assert told() == ""
    assert [line for line in server.run("cyr_dbtool", path, "twoskip", "show").stdout.split("\n")
            if line.startswith("A")] == ["AUx\t"]

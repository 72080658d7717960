# SPDX-License-Identifier: BSD-3-Clause
"""ctl_mboxlist, quota, mbpath, mbexamine; and Debian's tools on the same store (handbook 05 §3)."""

import json
import os
import re

import pytest

DEBIAN = "/usr/lib/cyrus/bin"
MESSAGE = (b"From: Sender <sender@example.org>\r\nTo: Alice <alice@example.com>\r\nSubject: Hello\r\n"
           b"Date: Mon, 05 Jan 2026 10:00:03 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nbody\r\n")


@pytest.fixture
def server(factory):
    """alice with INBOX, Work, Work/Old, two messages; a deleted mailbox; a shared one; quota."""
    s = factory()
    s.conf.update({"quota_db": "twoskip", "admins": "admin"})
    s.start()
    s.create_user("alice", "Work", "Work/Old", "Gone")
    with s.imap("alice") as c:
        c.append("INBOX", MESSAGE, "\\Seen")
        c.append("Work", MESSAGE)
        c.ok("DELETE Gone")
        c.logout()
    with s.imap("admin") as c:
        c.ok("CREATE shared")
        c.ok("SETQUOTA user/alice (STORAGE 20000 MESSAGE 100)")
        c.logout()
    return s


def debian(server, tool, *args):
    path = os.path.join(DEBIAN, tool)
    if not os.path.exists(path):
        pytest.skip(f"Debian's {tool} is not installed")
    return server.run(path, *args)


def dump_of(text):
    assert re.fullmatch(r"\{\n(.*\n)*\}\n", text)
    return json.loads(text)


def test_dump(server):
    text = server.run("ctl_mboxlist", "-d").stdout
    all_ = dump_of(text)
    assert [n for n in all_ if not n.startswith("DELETED")] == [
        "shared", "user.alice", "user.alice.Gone", "user.alice.Work", "user.alice.Work.Old"]
    inbox = all_["user.alice"]
    assert list(inbox) == ["name", "mtime", "uidvalidity", "createdmodseq", "foldermodseq", "mbtype",
                           "partition", "acl", "uniqueid", "name_history"]
    assert inbox["acl"] == {"alice": "lrswipkxtecdan"} and inbox["mbtype"] == "e"
    gone = all_["user.alice.Gone"]
    assert gone["mbtype"] == "ed" and gone["acl"] == {} and "partition" not in gone
    assert all(isinstance(v, str) for v in (inbox["mtime"], inbox["uidvalidity"]))
    assert server.run("ctl_mboxlist", "-d", "-p", "nosuch").stdout == "{\n\n}\n"


def test_dump_is_debians(server):
    server.stop()
    ours = server.run("ctl_mboxlist", "-d").stdout
    assert debian(server, "ctl_mboxlist", "-d").stdout == ours


def test_undump(server):
    server.stop()
    before = server.run("ctl_mboxlist", "-d").stdout
    server.run("ctl_mboxlist", "-d", "-x")
    assert server.run("ctl_mboxlist", "-d").stdout == "{\n\n}\n"
    done = server.run("ctl_mboxlist", "-u", data=before)
    assert done.stderr == ""

    def without_mtime(text):
        return re.sub(r'"mtime": "\d+"', "", text)
    assert without_mtime(server.run("ctl_mboxlist", "-d").stdout) == without_mtime(before)
    server.start()
    with server.imap("alice") as c:
        assert c.ok("SELECT Work").find("* 1 EXISTS")
        c.logout()


def test_undump_bad_text(server):
    done = server.run("ctl_mboxlist", "-u", data="{\n\"user.bob\": {", check=False)
    assert done.returncode == 65 and "parse error at line 2" in done.stderr
    entry = {"user.bob": {"partition": "default", "mbtype": "e", "uidvalidity": "5"},
             "user.eve": {"partition": "default", "uniqueid": "abcdef0123", "mbtype": "e", "uidvalidity": "5",
                          "createdmodseq": "1", "foldermodseq": "1", "acl": {"eve": "lr"}}}
    done = server.run("ctl_mboxlist", "-u", data=json.dumps(entry))
    assert "missing uniqueid for user.bob" in done.stderr
    all_ = dump_of(server.run("ctl_mboxlist", "-d").stdout)
    assert "user.bob" not in all_ and all_["user.eve"]["acl"] == {"eve": "lr"}


def test_undump_old_lines(server):
    line = "user.dave\t0 default dave\tlrswipkxtecda\t>daveuniqueid0000000 1700000000 1600000000 5 3\n"
    done = server.run("ctl_mboxlist", "-u", "-L", data=line + "user.bad\n")
    assert "line 2: no partition found" in done.stderr
    dave = dump_of(server.run("ctl_mboxlist", "-d").stdout)["user.dave"]
    assert (dave["uidvalidity"], dave["foldermodseq"], dave["createdmodseq"]) == ("1600000000", "5", "3")
    assert dave["uniqueid"] == "daveuniqueid0000000" and dave["acl"] == {"dave": "lrswipkxtecda"}


def test_verify(server):
    assert server.run("ctl_mboxlist", "-v").stdout == ""
    path = server.run("mbpath", "user/alice/Work").stdout.strip()
    os.rename(path, path + "x")
    done = server.run("ctl_mboxlist", "-v", check=False)
    assert done.returncode == 65
    assert "'user.alice.Work' has a DB entry but no directory on partition 'default'" in done.stdout
    assert f"'user.alice.Work' has a directory '{path}x' but no DB entry" in done.stdout
    os.rename(path + "x", path)
    assert server.run("ctl_mboxlist", "-v").stdout == ""


@pytest.mark.parametrize("args", [(), ("-d", "-u"), ("-x", "-v"), ("-L", "-d"), ("-a", "-d"), ("-r",), ("-d", "x")])
def test_ctl_mboxlist_usage(server, args):
    done = server.run("ctl_mboxlist", *args, check=False)
    assert done.returncode == 1 and "Usage: ctl_mboxlist" in done.stderr


def test_quota_report(server):
    text = server.run("quota").stdout
    size = 2 * len(MESSAGE) // 1024
    assert text.splitlines() == [
        "   Quota   % Used     Used             Resource Root",
        f"   20000        0 {size:8d}              STORAGE user/alice",
        "     100        2        2              MESSAGE user/alice",
        "                         0 X-ANNOTATION-STORAGE user/alice",
        "                         3        X-NUM-FOLDERS user/alice"]
    assert server.run("quota", "user/bob").stdout.count("\n") == 1
    assert server.run("quota", "-u", "alice").stdout == text
    assert server.run("quota", "-u", "alic").stdout.count("\n") == 1
    assert json.loads(server.run("quota", "-J").stdout) == {"user/alice": {
        "STORAGE": {"used": 2 * len(MESSAGE), "limit": 20480000}, "MESSAGE": {"used": 2, "limit": 100},
        "X-ANNOTATION-STORAGE": {"used": 0}, "X-NUM-FOLDERS": {"used": 3}}}
    server.stop()
    assert debian(server, "quota").stdout == text


def test_quota_fix(server):
    assert server.run("quota", "-f", "-q").stderr == ""
    server.stop()
    value = f"%(S ({2 * len(MESSAGE) + 77} 20000) M (9 100) AS (0) NF (3) MODSEQ 5)"
    for root in ("user.alice", "user.nobody"):
        debian(server, "cyr_dbtool", server.path("conf", "quotas.db"), "twoskip", "set", root, value)
    wrong = [f"user.alice: STORAGE usage was {2 * len(MESSAGE) + 77}, now {2 * len(MESSAGE)}",
             "user.alice: MESSAGE usage was 9, now 2", "user.nobody: removed"]
    # of a user, not of those whose names begin with his
    assert server.run("quota", "-f", "-n", "-u", "alic").stderr == ""
    assert server.run("quota", "-f", "-n", "-u", "alice").stderr.splitlines() == wrong[:2]
    dry = server.run("quota", "-f", "-n")
    assert dry.stderr.splitlines() == wrong and "9        9              MESSAGE user/alice" in dry.stdout
    done = server.run("quota", "-f")
    assert done.stderr.splitlines() == wrong
    assert "     100        2        2              MESSAGE user/alice" in done.stdout
    assert "nobody" not in done.stdout
    assert server.run("quota", "-f", "-q").stderr == ""


def test_mbpath(server):
    uniqueid = dump_of(server.run("ctl_mboxlist", "-d").stdout)["user.alice.Work"]["uniqueid"]
    inbox = dump_of(server.run("ctl_mboxlist", "-d").stdout)["user.alice"]["uniqueid"]
    data = server.run("mbpath", "user/alice/Work").stdout.strip()
    assert data.endswith(f"/uuid/{uniqueid[0]}/{uniqueid[1]}/{uniqueid}") and os.path.isdir(data)
    assert server.run("mbpath", "-M", "user/alice/Work").stdout.strip() == data
    user = server.run("mbpath", "-U", "user/alice/Work").stdout.strip()
    assert user == server.path("conf", "user", "uuid", inbox[0], inbox[1], inbox) and os.path.isdir(user)
    lines = server.run("mbpath", "-a", "user/alice/Work").stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["Archive", "Data", "Meta", "Sieve", "User"]
    as_json = json.loads(server.run("mbpath", "-j", "user/alice/Work").stdout)
    assert as_json["data"] == data and as_json["mbname"] == {
        "boxes": ["Work"], "intname": "user.alice.Work", "localpart": "alice", "userid": "alice"}
    assert os.path.exists(as_json["user"]["counters"])
    assert server.run("mbpath", "-p", data).stdout.strip() == data
    assert server.run("mbpath", "-u", "alice").returncode == 0
    done = server.run("mbpath", "nosuch", check=False)
    assert done.returncode == 65 and done.stderr == "Invalid mailbox name: 'nosuch'\n"
    assert server.run("mbpath", "-D", "-M", "x", check=False).returncode == 64


def test_mbpath_is_debians(server):
    server.stop()
    for args in (("-a",), ("-D",), ("-U",), ("-j",)):
        ours = server.run("mbpath", *args, "user/alice/Work", "user/alice").stdout
        theirs = debian(server, "mbpath", *args, "user/alice/Work", "user/alice").stdout
        if args == ("-j",):
            ours, theirs = [re.sub(r'"xapian": \{[^}]*\}', "", t) for t in (ours, theirs)]
        assert theirs == ours


def test_mbexamine(server):
    text = server.run("mbexamine", "user/alice/Work").stdout
    assert text.startswith("Examining user/alice/Work... Mailbox Header Info:\n  Path to mailbox: ")
    assert "\n  Number of Messages: 1  Mailbox Size: %d bytes" % len(MESSAGE) in text
    assert " Subjct>{7}\"Hello\"\n" in text
    assert "000001> UID:00000001   INT_DATE:" in text
    assert server.run("mbexamine", "-q", "user/alice/%").stdout.count("CORRECT total quota usage") == 1
    done = server.run("mbexamine", "-u", "7", "user/alice/Work", check=False)
    assert done.returncode == 66 and "Desired message not found" in done.stdout
    assert server.run("mbexamine", "-c", "user/alice/Work").stdout == "Examining user/alice/Work...\n"
    path = server.run("mbpath", "user/alice/Work").stdout.strip()
    with open(os.path.join(path, "1."), "ab") as f:
        f.write(b"more")
    done = server.run("mbexamine", "-q", "user/alice/Work", check=False)
    assert done.returncode == 65 and "Message 1 has INCORRECT size in index record" in done.stdout


def test_mbexamine_is_debians(server):
    """But for the number of the message, which stays 1 there."""
    with server.imap("admin") as admin:
        admin.ok("SETQUOTA user/alice (STORAGE 1000)")
    with server.imap("alice") as c:
        c.append("INBOX", MESSAGE, r"\Seen \Answered \Flagged \Draft \Deleted one")
        c.append("INBOX", MESSAGE, "two")
    server.stop()
    for name in ("user/alice", "user/alice/Work"):
        ours, theirs = server.run("mbexamine", name).stdout, debian(server, "mbexamine", name).stdout
        assert re.sub(r"(?m)^\d{6}>", "000001>", ours) == theirs


def test_debian_reads_what_we_wrote(server):
    server.stop()
    paths = json.loads(server.run("mbpath", "-j", "user/alice").stdout)["user"]
    for path, backend in ((server.path("conf", "mailboxes.db"), "twoskip"),
                          (server.path("conf", "quotas.db"), "twoskip"),
                          (paths["conversations"], "twoskip"), (paths["sub"], "flat")):
        if not os.path.exists(path):
            continue
        done = debian(server, "cyr_dbtool", path, backend, "consistent")
        assert "consistent" in done.stdout and "inconsistent" not in done.stdout

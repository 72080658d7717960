# SPDX-License-Identifier: BSD-3-Clause
"""Users as a whole: users.db and cyr_user (07 W012, doc/users.md)."""

import json
import os
import time

import pytest

from cyltest.clients import Rejected
from cyltest.credentials import password

MESSAGE = b"From: a@example.org\r\nSubject: hello\r\nMessage-ID: <1@example.org>\r\n\r\nbody\r\n"


@pytest.fixture
def server(factory):
    s = factory(services=("imap", "lmtp", "pop3"))
    s.conf.update({"conversations": True, "delete_mode": "delayed", "allowusermoves": True, "quota_db": "twoskip",
                   "unixhierarchysep": True, "altnamespace": False})
    s.start()
    return s


def user(s, *args, check=True):
    return s.run("cyr_user", *args, check=check)


def shown(s, name):
    return json.loads(user(s, "--json", "show", name).stdout)


def listed(s, *args):
    """{user: state}"""
    return dict(line.split("\t")[:2] for line in user(s, "list", *args).stdout.splitlines())


def records(s):
    """What stands in users.db, by kind."""
    return s.run("cyr_dbtool", "--decode", s.path("conf", "users.db"), "twoskip", "show", conf=False).stdout


def refused(s, name, service="imap"):
    with pytest.raises(Rejected) as what:
        (s.imap if service == "imap" else s.pop3)(name)
    return str(what.value)


# ---- life ----

def test_every_way_of_making_a_user(server):
    """cyr_user, CREATE and autocreate leave the same record, and the file agrees with the names."""
    user(server, "create", "anna")
    server.create_user("bob")
    server.conf["autocreate_quota"] = 0
    server.restart()
    server.imap("alice").logout()
    assert listed(server) == {"anna": "active", "bob": "active", "alice": "active"}
    for name in ("anna", "bob", "alice"):
        got = shown(server, name)
        assert got["state"] == "active" and got["created"] == got["changed"] and got["mailboxes"] == 1
        assert abs(time.time() - _seconds(got["created"])) < 60
    assert server.run("ctl_mboxlist", "-d").stdout.count(shown(server, "anna")["id"]) == 1


def _seconds(text):
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone


def test_create(server):
    assert user(server, "create", "--quota", "1000", "anna").stdout == "created anna\n"
    got = shown(server, "anna")
    assert got["quota"] == {"user.anna": {"STORAGE": {"limit": 1000, "used": 0}}}
    again = user(server, "create", "anna", check=False)
    assert again.returncode == 73 and "there is one already" in again.stderr
    ident = "0123456789abcdef01234567"
    user(server, "create", "--id", ident, "bob")
    assert shown(server, "bob")["id"] == ident
    assert user(server, "create", "--id", ident, "carol", check=False).returncode == 73
    assert user(server, "create", "--partition", "nowhere", "carol", check=False).returncode == 65
    for bad in ("a/b", "", "a\nb", "x" * 600):
        assert user(server, "create", bad, check=False).returncode == 65, bad
    assert listed(server) == {"anna": "active", "bob": "active"}
    got = json.loads(user(server, "--json", "create", "dora").stdout)
    assert got["user"] == "dora" and got["state"] == "active"
    server.deliver(MESSAGE, "anna")


def test_dry_run_changes_nothing(server):
    user(server, "create", "anna")
    before = records(server), server.run("ctl_mboxlist", "-d").stdout
    for args in (("create", "bob"), ("disable", "anna"), ("rename", "anna", "bob"), ("delete", "anna"),
                 ("delete", "--now", "anna")):
        assert user(server, "-n", *args).stdout.startswith("would be "), args
    assert user(server, "-n", "create", "anna", check=False).returncode == 73
    assert user(server, "-n", "undelete", "anna", check=False).returncode == 73
    assert user(server, "-n", "rename", "nobody", "bob", check=False).returncode == 67
    assert (records(server), server.run("ctl_mboxlist", "-d").stdout) == before


def test_usage(server):
    for args in ((), ("fly",), ("create",), ("show",), ("rename", "a"), ("list", "a", "b"), ("show", "--now", "a"),
                 ("list", "--state", "sleeping"), ("-n", "list"), ("create", "--quota", "x", "a"),
                 ("create", "--moving-in", "--quota", "5", "a")):
        done = user(server, *args, check=False)
        assert done.returncode == 64 and "Usage: cyr_user" in done.stderr, args
    assert "Usage: cyr_user" in server.run("cyr_user", "--help", conf=False).stdout
    for args in (("show", "nobody"), ("disable", "nobody"), ("enable", "nobody"), ("delete", "nobody"),
                 ("undelete", "nobody")):
        done = user(server, *args, check=False)
        assert done.returncode == 67 and "no such user" in done.stderr, args


# ---- disabled ----

def test_disabled(server):
    """Nobody comes in, by any service; who is in is thrown out; mail is taken; afterwards all is as before."""
    user(server, "create", "alice")
    idle = server.imap("alice")
    pop = server.pop3("alice")
    user(server, "disable", "--reason", "not paid", "alice")
    assert "NO [CONTACTADMIN] This account is disabled: not paid" in refused(server, "alice")
    assert "[SYS/PERM] This account is disabled: not paid" in refused(server, "alice", "pop3")
    time.sleep(1.1)
    idle.sendline("a NOOP")
    assert idle.readline() == b"* BYE [ALERT] This account is disabled: not paid"
    pop.sendline("NOOP")
    assert b"This account is disabled" in pop.readline()
    server.deliver(MESSAGE, "alice")
    assert listed(server, "--state", "disabled") == {"alice": "disabled"} and listed(server, "--state", "active") == {}
    assert "reason: not paid" in user(server, "show", "alice").stdout
    # a wrong password learns nothing
    with pytest.raises(Rejected) as what, server.imap() as imap:
        imap.login("alice", "wrong")
    assert "disabled" not in str(what.value)
    user(server, "enable", "alice")
    assert "reason" not in shown(server, "alice")
    with server.imap("alice") as imap:
        assert b"* 1 EXISTS" in imap.ok("SELECT INBOX").untagged
    server.wait_log(r"badlogin: .* plaintext \(alice\) \[This account is disabled: not paid\]")


def test_disabled_by_authenticate(server):
    import base64
    user(server, "create", "alice")
    user(server, "disable", "alice")
    text = base64.b64encode(f"\0alice\0{password('alice')}".encode()).decode()
    with server.imap() as imap:
        assert "This account is disabled" in imap.no(f"AUTHENTICATE PLAIN {text}").text
        imap.login("repl", password("repl"))  # the connection goes on
    with pytest.raises(Rejected) as what, server.imap() as imap:
        imap.login_as("alice", "admin", password("admin"))
    assert "This account is disabled" in str(what.value)


@pytest.mark.parametrize("option,code", [(None, 250), ("accept", 250), ("defer", 451), ("reject", 550)])
def test_delivery_to_a_disabled_user(server, option, code):
    user(server, "create", "anna")
    user(server, "create", "bob")
    user(server, "disable", "anna")
    if option:
        server.conf["disabled_user_delivery"] = option
        server.restart()
    with server.lmtp() as lmtp:
        replies = lmtp.deliver(MESSAGE, ["anna", "bob"])
    assert [reply[0] for reply in replies] == [code, 250], replies


def test_disabled_stays_so(server):
    """Renamed, deleted and brought back, with other reasons: disabled is disabled."""
    user(server, "create", "alice")
    user(server, "disable", "--reason", "one", "alice")
    user(server, "disable", "--reason", "two", "alice")
    assert shown(server, "alice")["reason"] == "two"
    for bad in ("a\nb", "x" * 513, ""):
        assert user(server, "disable", "--reason", bad, "alice", check=False).returncode == 65
    user(server, "rename", "alice", "anna")
    assert shown(server, "anna")["state"] == "disabled"
    user(server, "delete", "anna")
    assert shown(server, "anna")["state"] == "deleted" and shown(server, "anna")["before"] == "disabled"
    user(server, "undelete", "anna")
    user(server, "rename", "anna", "alice")
    got = shown(server, "alice")
    assert (got["state"], got["reason"]) == ("disabled", "two")
    assert [f["user"] for f in got["former"]] == ["anna", "alice"]
    assert "This account is disabled: two" in refused(server, "alice")
    # who takes his name is another user
    user(server, "delete", "--now", "alice")
    user(server, "create", "alice")
    server.imap("alice").logout()


# ---- moving in ----

def test_moving_in(server):
    """He has a record and no mail: no client sees him, mail waits, an INBOX that comes is his."""
    user(server, "create", "--moving-in", "alice")
    user(server, "create", "bob")
    got = shown(server, "alice")
    assert got["state"] == "moving-in" and got["mailboxes"] == 0
    assert listed(server) == {"alice": "moving-in", "bob": "active"}
    assert user(server, "create", "alice", check=False).returncode == 73
    assert user(server, "enable", "alice", check=False).returncode == 67  # no INBOX yet
    assert user(server, "disable", "alice", check=False).returncode == 65
    server.conf["autocreate_quota"] = 0
    server.conf["autocreate_post"] = True
    server.restart()
    assert "NO [UNAVAILABLE] This account is on its way to this server" in refused(server, "alice")
    with server.lmtp() as lmtp:
        assert lmtp.deliver(MESSAGE, ["alice"])[0][0] == 451
    with server.imap("admin") as imap:
        assert not imap.ok('LIST "" user/alice').untagged
        imap.ok("CREATE user/alice")
        imap.ok("CREATE user/alice/Work")
        imap.ok("SETACL user/alice/Work bob lrswi")
        assert imap.ok('LIST "" user/alice/Work').untagged
    got = shown(server, "alice")
    assert got["state"] == "moving-in" and got["mailboxes"] == 2
    with server.imap("bob") as imap:
        assert not any(b"alice" in line for line in imap.ok('LIST "" *').untagged)
        assert not any(b"alice" in line for line in imap.ok('LIST "" %').untagged)
        for command in ("SELECT user/alice/Work", "STATUS user/alice/Work (MESSAGES)", "MYRIGHTS user/alice/Work",
                        "SUBSCRIBE user/alice/Work", "GETQUOTAROOT user/alice/Work"):
            imap.no(command)
        imap.logout()
    assert "on its way" in refused(server, "alice")
    user(server, "enable", "alice")
    server.deliver(MESSAGE, "alice")
    with server.imap("alice") as imap:
        assert b"* 1 EXISTS" in imap.ok("SELECT INBOX").untagged
    with server.imap("bob") as imap:
        assert any(b"alice/Work" in line for line in imap.ok('LIST "" *').untagged)
        imap.ok("SELECT user/alice/Work")


def test_a_place_that_is_given_up(server):
    user(server, "create", "--moving-in", "anna")
    user(server, "rename", "anna", "berta")
    assert listed(server) == {"berta": "moving-in"} and shown(server, "berta")["former"][0]["user"] == "anna"
    ident = shown(server, "berta")["id"]
    user(server, "delete", "berta")
    assert listed(server) == {} and listed(server, "--all") == {"berta": "deleted"}
    user(server, "undelete", "berta")
    assert shown(server, "berta")["state"] == "moving-in" and shown(server, "berta")["id"] == ident
    # the id that was kept for him is that of his INBOX if nobody brings another one
    assert user(server, "create", "--moving-in", "--id", ident, "carol", check=False).returncode == 73


# ---- rename, delete, undelete ----

def fill(s, name):
    with s.imap("admin") as imap:
        imap.ok(f"SETQUOTA user/{name} (STORAGE 5000 MESSAGE 70)")
        imap.ok(f"CREATE user/{name}/Work")
        imap.ok(f"CREATE user/{name}/Work/Deep")
        imap.ok(f"SETQUOTA user/{name}/Work (MESSAGE 30)")
    with s.imap(name) as imap:
        imap.append("INBOX", MESSAGE, r"\Flagged")
        imap.append("INBOX/Work/Deep", MESSAGE)
        imap.ok("SUBSCRIBE INBOX/Work")
        imap.ok("SUBSCRIBE INBOX/Work/Deep")
        imap.logout()


def seen_by(s, name):
    """What the user has, as he sees it."""
    with s.imap(name) as imap:
        lists = sorted(imap.ok('LIST "" *').untagged) + sorted(imap.ok('LSUB "" *').untagged)
        status = [sorted(imap.ok(f"STATUS {box} (MESSAGES UIDNEXT UNSEEN UIDVALIDITY)").untagged)
                  for box in ("INBOX", "INBOX/Work", "INBOX/Work/Deep")]
        flags = imap.ok("SELECT INBOX") and imap.ok("FETCH 1 FLAGS").untagged
        quota = sorted(line for box in ("INBOX", "INBOX/Work") for line in imap.ok(f"GETQUOTAROOT {box}").untagged)
        imap.logout()
    return lists, status, flags, quota


def test_deleted_and_brought_back(server):
    """One command brings back mailboxes, limits and subscriptions; what was deleted before stays deleted."""
    user(server, "create", "alice")
    fill(server, "alice")
    with server.imap("alice") as imap:
        imap.ok("CREATE INBOX/Old")
        imap.ok("DELETE INBOX/Old")
        imap.logout()
    seen_by(server, "alice")  # nothing is \\Recent from now on
    before = seen_by(server, "alice")
    ident = shown(server, "alice")["id"]
    time.sleep(1.1)
    assert user(server, "delete", "alice").stdout == "deleted alice\n"
    assert listed(server) == {}
    got = shown(server, "alice")
    assert got["state"] == "deleted" and got["quota"]["user.alice.Work"] == {"MESSAGE": {"limit": 30}}
    assert user(server, "undelete", "alice").stdout == "undeleted alice\n"
    assert seen_by(server, "alice") == before
    assert shown(server, "alice")["id"] == ident and shown(server, "alice")["state"] == "active"
    with server.imap("admin") as imap:
        assert len(imap.ok('LIST "" DELETED/user/alice*').untagged) == 1
    assert "was" not in server.run("quota", "-f").stderr
    server.run("ctl_conversationsdb", "-A", "-r")


def test_which_tombstone(server):
    """Two users of one name, both deleted: the last one comes back, or the one that is named."""
    ids = []
    for _ in range(2):
        user(server, "create", "alice")
        ids.append(shown(server, "alice")["id"])
        user(server, "delete", "alice")
        time.sleep(1.1)
    assert len(user(server, "list", "--all").stdout.splitlines()) == 2
    user(server, "undelete", "alice")
    assert shown(server, "alice")["id"] == ids[1]
    assert user(server, "undelete", "--id", ids[0], "alice", check=False).returncode == 73
    user(server, "rename", "alice", "bob")
    user(server, "undelete", "--id", ids[0], "alice")
    assert shown(server, "alice")["id"] == ids[0] and listed(server) == {"alice": "active", "bob": "active"}


def test_gone_for_good(server):
    """A tombstone stays while its user can come back; --now leaves only the tombstone, cyr_expire takes that, too, when nobody can come back."""
    user(server, "create", "alice")
    user(server, "create", "bob")
    fill(server, "alice")
    user(server, "delete", "--now", "alice")
    user(server, "delete", "bob")
    done = user(server, "undelete", "alice", check=False)
    assert done.returncode == 67 and "mailboxes are gone" in done.stderr
    time.sleep(1.1)
    _age(server)
    server.run("cyr_expire", "-E", "1", "-c")
    assert set(listed(server, "--all")) == {"bob"}  # he can come back
    user(server, "create", "--moving-in", "alice")
    user(server, "delete", "alice")
    server.run("cyr_expire", "-D", "0", "-E", "1", "-c", "-x")
    assert set(listed(server, "--all")) == {"alice", "bob"}
    _age(server)
    server.run("cyr_expire", "-E", "1", "-c")
    assert "user user=alice" not in records(server)
    assert set(listed(server, "--all")) == set()


def _age(server):
    """All tombstones become ten days older."""
    dump = server.run("cyr_dbtool", server.path("conf", "users.db"), "twoskip", "show", "U", conf=False).stdout
    for line in dump.splitlines():
        key, value = line.split("\t", 1)
        at = value.index(" M ") + 3
        old = value[at:].split(" ")[0].rstrip(")")
        value = value[:at] + value[at:].replace(old, str(int(old) - 864000), 1)
        server.run("cyr_dbtool", server.path("conf", "users.db"), "twoskip", "set", key, value, conf=False)


def test_renamed(server):
    user(server, "create", "alice")
    user(server, "create", "bob")
    fill(server, "alice")
    ident = shown(server, "alice")["id"]
    assert user(server, "rename", "alice", "bob", check=False).returncode == 73
    assert user(server, "rename", "alice", "anna").stdout == "renamed alice to anna\n"
    got = shown(server, "anna")
    assert got["id"] == ident and got["former"][0]["user"] == "alice" and got["mailboxes"] == 3
    assert got["quota"]["user.anna"]["STORAGE"]["limit"] == 5000
    assert user(server, "show", "alice", check=False).returncode == 67
    server.deliver(MESSAGE, "anna")
    # by IMAP the same
    with server.imap("admin") as imap:
        imap.ok("RENAME user/anna user/alice")
    got = shown(server, "alice")
    assert got["id"] == ident and [f["user"] for f in got["former"]] == ["anna", "alice"]
    text = records(server)
    assert "name user=alice id=" + ident in text and "user=anna id=" not in text.replace("former=anna", "")


def test_names_of_every_kind(server):
    """Ids with dots, domains and signs."""
    server.conf["virtdomains"] = "userid"
    server.restart()
    for name in ("anna.b", "carl@example.org", "d.e@example.org", "jo+rg"):
        user(server, "create", name)
        user(server, "disable", name)
        assert shown(server, name)["user"] == name and shown(server, name)["state"] == "disabled"
    assert set(listed(server)) == {"anna.b", "carl@example.org", "d.e@example.org", "jo+rg"}
    assert set(listed(server, "*@example.org")) == {"carl@example.org", "d.e@example.org"}
    user(server, "rename", "anna.b", "anna.b@example.org")
    assert shown(server, "anna.b@example.org")["state"] == "disabled"
    for line in user(server, "--json", "list").stdout, user(server, "--json", "list", "--state", "deleted").stdout:
        json.loads(line)


# ---- at one moment ----

@pytest.mark.parametrize("autocreate", [False, True])
def test_login_while_he_is_deleted(server, autocreate):
    """Whoever comes second: the session is his or there is no user; no record is without an INBOX, no INBOX without a record."""
    if autocreate:
        server.conf["autocreate_quota"] = 0
        server.restart()
    server.allow_log("what=<can't open cyrus.index> mailbox=<user.alice>")  # gone between look-up and open
    for n in range(8):
        if "alice" not in listed(server):
            user(server, "create", "alice")
        deleting = server.popen("cyr_user", "delete", *(["--now"] if n % 2 else []), "alice")
        for _ in range(4):
            with server.imap("alice") as imap:
                answer = imap.cmd("SELECT INBOX")
                assert answer.status == "OK" or "does not exist" in answer.text, answer
        assert deleting.wait(60) == 0
        inboxes = json.loads(server.run("ctl_mboxlist", "-d").stdout)
        live = [name for name, entry in inboxes.items() if name == "user.alice" and "d" not in entry["mbtype"]]
        assert len(live) == len(listed(server)) <= 1
        if live:
            assert shown(server, "alice")["id"] == inboxes["user.alice"]["uniqueid"]
        time.sleep(0.2)
    before = records(server)
    mark = server.log_mark()
    server.restart()
    assert records(server) == before and "follow mailboxes.db" not in server.log_text(mark)


# ---- a file that is damaged or gone ----

def test_file_is_gone(server):
    """All that mailboxes.db tells is derived anew at the start; nobody is kept out meanwhile."""
    user(server, "create", "alice")
    user(server, "create", "anna")
    user(server, "disable", "anna")
    ident = shown(server, "alice")["id"]
    server.stop()
    os.unlink(server.path("conf", "users.db"))
    server.start()
    server.imap("alice").logout()
    assert listed(server) == {"alice": "active", "anna": "active"}
    got = shown(server, "alice")
    assert got["id"] == ident and "created" not in got
    assert f"user id={ident}" in records(server)
    server.wait_log("users.db: records of 2 users follow mailboxes.db")


def test_file_is_damaged(server):
    """Bytes in the middle: the records that can be read stay, the others are derived, the old file is kept."""
    for n in range(40):
        user(server, "create", f"u{n:02d}")
    user(server, "disable", "u39")
    server.stop()
    path = server.path("conf", "users.db")
    with open(path, "r+b") as f:
        data = f.read()
        at = data.index(b"u10 ", len(data) // 8)
        f.seek(at - 40)
        f.write(b"\xff" * 80)
    server.allow_log("users.db|DBERROR|IOERROR")
    server.start()
    assert os.path.exists(path + ".damaged")
    states = listed(server)
    assert len(states) == 40 and states["u39"] == "disabled" and states["u10"] == "active"
    server.run("cyr_dbtool", path, "twoskip", "consistent", conf=False)
    server.wait_log("damaged users.db is made anew")
    mark = server.log_mark()
    server.restart()
    assert "users.db" not in server.log_text(mark)


def test_record_is_damaged(server):
    """One record that makes no sense refuses nobody, and is said."""
    user(server, "create", "alice")
    user(server, "create", "bob")
    key = "U" + shown(server, "alice")["id"]
    path = server.path("conf", "users.db")
    server.run("cyr_dbtool", path, "twoskip", "set", key, "%(V 1 U alice S sleeping)", conf=False)
    server.allow_log("damaged record in users.db")
    server.imap("alice").logout()
    assert listed(server) == {"alice": "active", "bob": "active"}
    assert server.run("cyr_dbtool", "--decode", path, "twoskip", "show", conf=False, check=False).returncode == 1
    user(server, "disable", "alice")
    assert "disabled" in refused(server, "alice")
    assert "undecodable" not in records(server)

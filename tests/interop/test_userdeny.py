# SPDX-License-Identifier: BSD-3-Clause
"""user_deny.db and cyr_deny (handbook 01 §7.9, 05 §3.10): the same records, read and written by ours and by 3.6.1."""

import os
import subprocess

import pytest

from cyltest.clients import Rejected

# record, and of services imap, pop3, lmtp those that alice is denied
RECORDS = [
    ("2\t*\t", "imap pop3 lmtp"),
    ("2\timap\tgo away", "imap"),
    ("2\timap lmtp\tgo away", ""),
    ("2\timap,!lmtp,*\tcome later", "imap pop3"),
    ("2\t!imap,*\tx", "pop3 lmtp"),
    ("2\t*,!imap\tx", "imap pop3 lmtp"),
    ("2\t[ip]*\tx", "imap pop3"),
    ("2\t?map\twith\ttabs", "imap"),
    ("2\timap3\tx", ""),
    ("2\tIMAP\tx", ""),
    ("2\t\tx", ""),
    ("1\tpop3", "pop3"),
    ("2\tlmtp", "lmtp"),
    ("3\t*\tx", ""),
    ("*", ""),
    ("", ""),
]
SERVICES = ("imap", "pop3", "lmtp")


@pytest.fixture(params=["ours", "debian"])
def server(request, factory, debian_factory):
    s = (factory if request.param == "ours" else debian_factory)(services=SERVICES)
    s.conf["unixhierarchysep"] = True
    s.allow_log("DENYDB_ERROR")
    s.start()
    s.create_user("alice")
    s.create_user("bob")
    return s


def db(server):
    return server.path("conf", "user_deny.db")


def put(server, user, value):
    """A record as 3.6.1's flat file has it, which is always replaced as a whole."""
    with open(db(server) + ".NEW", "wb") as f:
        f.write(user.encode() + b"\t" + value.encode().replace(b"\t", b"\xff\x89") + b"\n")
    os.chmod(db(server) + ".NEW", 0o666)
    os.rename(db(server) + ".NEW", db(server))


def denied(server, user):
    got = []
    for service in ("imap", "pop3"):
        try:
            getattr(server, service)(user).close()
        except Rejected:
            got.append(service)
    with server.lmtp() as lmtp:
        if lmtp.deliver(b"Subject: x\r\n\r\nx\r\n", [user])[0][0] != 250:
            got.append("lmtp")
        lmtp.quit()
    return " ".join(got)


def test_which_services(server):
    server.conf["failedloginpause"] = 0
    server.restart()
    for value, want in RECORDS:
        put(server, "alice", value)
        assert denied(server, "alice") == want, value
    assert denied(server, "bob") == ""
    os.unlink(db(server))
    assert denied(server, "alice") == ""


def test_what_is_said(server):
    """To who is in, at the login, and to mail."""
    for message, said in (("go away", b"go away"), ("", None), ("with\ttab", b"with\ttab"), ("[ALERT] x", b"ALERT] x")):
        with server.imap("alice") as imap, server.pop3("alice") as pop:
            put(server, "alice", f"2\t*\t{message}")
            imap.sendline("a NOOP")
            line = imap.readline()
            if server.flavour == "debian" and line == b"a OK Completed":  # it may look before it waits for the command
                imap.sendline("b NOOP")
                line = imap.readline()
            # of an empty text 3.6.1 makes nothing; ours tells why all the same
            assert line == b"* BYE [ALERT] " + (said if said is not None else
                                                b"" if server.flavour == "debian" else b"Access to this service has been blocked"), line
            pop.sendline("NOOP")
            line = pop.readline()
            if server.flavour == "debian" and line.startswith(b"+OK"):
                pop.sendline("NOOP")
                line = pop.readline()
            assert line.startswith(b"-ERR [SYS/TEMP] "), line
        with pytest.raises(Rejected) as what:
            server.imap("alice")
        assert "NO Login failed: authorization failure" in str(what.value)
        with pytest.raises(Rejected) as what:
            server.pop3("alice")
        # 3.6.1 says it behind USER, to whoever names the user; ours after no password
        assert ("-ERR [SYS/TEMP] " if server.flavour == "debian" else "-ERR [AUTH] Invalid login") in str(what.value)
        with server.lmtp() as lmtp:
            code, text = lmtp.deliver(b"Subject: x\r\n\r\nx\r\n", ["alice"])[0]
            assert code == 451 and "4.2.1 Delivery to mailbox is disabled" in str(text)
            lmtp.quit()
        put(server, "carol", "2\t*\tx")
    put(server, "admin", "2\t*\tx")
    server.imap("admin").logout()


# ---- the tool ----

DEBIAN = "/usr/lib/cyrus/bin/cyr_deny"
STEPS = [("-l",), ("alice",), ("-s", "imap lmtp", "-m", "go away", "bob"), ("-l",), ("-a", "nobody"), ("-a", "alice"), ("-l",),
         ("alice", "bob"), ("-a",), ("-l", "x"), ("-s", "imap"), ("-m", "x"), ("-a", "-l"), ("-a", "alice", "-s", "imap"), (),
         ("-s", "", "carol"), ("-m", "", "dora"), ("-s", "a\tb", "emil"), ("-m", "a\tb", "fritz"), ("-s", "pop3", "bob"), ("-l",),
         ("-a", "bob"), ("-l",)]


def test_tool_is_debians(factory):
    """Every output, exit status and byte of the file."""
    server = factory(services=("imap",))
    server.write_conf()
    results = []
    for tool in ("cyr_deny", DEBIAN):
        if os.path.exists(db(server)):
            os.unlink(db(server))
        steps = []
        for args in STEPS:
            done = server.run(tool, *args, check=False)
            data = b""
            if os.path.exists(db(server)):
                with open(db(server), "rb") as f:
                    data = f.read()
            steps.append((args, done.returncode, done.stdout, done.stderr, data))
        results.append(steps)
    for ours, theirs in zip(*results):
        assert ours == theirs
    # what a record can't hold, or nobody is called
    for args in (("",), ("a\nb",), ("-m", "a\r\n* OK", "alice"), ("-s", "a\nb", "alice")):
        done = server.run("cyr_deny", *args, check=False)
        assert done.returncode == 1 and "failed to deny access" in done.stderr, args
    assert "Usage: cyr_deny" in server.run("cyr_deny", "--help", conf=False).stdout


@pytest.mark.parametrize("backend", ["flat", "twoskip"])
def test_sessions_end(factory, backend):
    """Those of the user, at once; others stay. One that does not end is ended."""
    server = factory(services=("imap", "pop3"))
    server.conf["userdeny_db"] = backend
    server.start()
    for name in ("alice", "bob"):
        server.create_user(name)
    alice, bob, pop = server.imap("alice"), server.imap("bob"), server.pop3("alice")
    alice.ok("SELECT INBOX")
    server.run("cyr_deny", "-m", "go away", "alice")
    assert alice.at_eof() or alice.readline()
    assert pop.at_eof() or pop.readline()
    bob.ok("NOOP")
    with pytest.raises(Rejected):
        server.imap("alice")
    # 3.6.1's tool reads what ours has written
    listed = subprocess.run([DEBIAN, "-C", server.imapd_conf, "-l"], capture_output=True, text=True, check=True,
                            env=server.env, **server.account.popen_args()).stdout
    assert listed == server.run("cyr_deny", "-l").stdout and "go away" in listed
    server.run("cyr_deny", "-a", "alice")
    server.imap("alice").logout()
    bob.logout()


def test_a_full_disk_denies_nobody_else(factory):
    """What could not be written is said, the old file stays."""
    server = factory(services=("imap",))
    server.start()
    server.create_user("alice")
    server.run("cyr_deny", "-m", "first", "bob")
    server.stop()
    with open(db(server), "rb") as f:
        before = f.read()
    server.allow_log("")
    server.env["CYLINDER_DISKIO_FAULT"] = "pwrite:1:ENOSPC"
    done = server.run("cyr_deny", "alice", check=False)
    del server.env["CYLINDER_DISKIO_FAULT"]
    assert done.returncode == 1 and "failed to deny access for alice" in done.stderr
    with open(db(server), "rb") as f:
        assert f.read() == before
    server.start()
    server.imap("alice").logout()

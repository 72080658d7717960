# SPDX-License-Identifier: BSD-3-Clause
"""Bad bytes in each kind of stored file: nothing crashes or hangs, nothing is removed because it can't be read,
and whoever is not concerned works on.

Each user has one damaged file, so one server shows them all. Every command gets an answer, whatever it is.
"""

import os
import random
import re

import pytest

from cyltest.clients import Rejected
from cyltest.credentials import password
from cyltest.instance import StartFailed
from cyltest.zap import KINDS, Zapped

MESSAGE = (b"Message-ID: <%s@example.com>\r\nFrom: a@example.com\r\nSubject: %s\r\n"
           b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\nbody of %s\r\n")
IN_MAILBOX = {"index": "cyrus.index", "header": "cyrus.header", "cache": "cyrus.cache", "message": "1.",
              "annotations": "cyrus.annotations"}
OF_USER = ("conversations", "counters", "seen", "sub", "subhistory")
USERS = ("fine", *IN_MAILBOX, *OF_USER, "quota")  # fine's files stay whole
GLOBAL = ("annotations.db", "deliver.db", "user_deny.db")
FLAT = ("sub.db", "user_deny.db")  # they have no header
COMMANDS = ("SELECT INBOX", "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[] ANNOTATION (/comment value.shared))",
            "SEARCH TEXT body", "THREAD REFERENCES UTF-8 ALL", r"STORE 1:* +FLAGS (\Flagged)", "UNSELECT", 'LIST "" *',
            'LSUB "" *', "STATUS INBOX (MESSAGES UNSEEN HIGHESTMODSEQ)", "GETQUOTAROOT INBOX",
            'GETMETADATA INBOX "/shared/comment"', 'SELECT "Other Users/fine"', "FETCH 1:* BODY[]", "UNSELECT",
            "SUBSCRIBE INBOX", "CREATE Other", "DELETE Other")


def session(server, user):
    imap = server.imap()
    imap.login_as(user, "admin", password("admin"))
    return imap


def fill(server):
    with server.imap("admin") as imap:
        for user in USERS:
            imap.ok(f"CREATE user/{user}")
            imap.ok(f"SETQUOTA user/{user} (STORAGE 1000)")
            imap.ok(f"SETACL user/{user} admin lrsa")
        imap.ok("SETACL user/fine anyone lrs")
        imap.logout()
    for user in USERS:
        server.deliver(MESSAGE % ((user.encode(),) * 3), user)
        with session(server, user) as imap:
            imap.append("INBOX", MESSAGE % ((b"second " + user.encode(),) * 3))
            imap.ok("SUBSCRIBE INBOX")
            imap.ok("SELECT INBOX")
            imap.ok('STORE 1 ANNOTATION (/comment (value.shared "word"))')
            imap.ok('SETMETADATA INBOX (/shared/comment "a word")')
            imap.ok('SELECT "Other Users/fine"' if user != "fine" else "NOOP")
            imap.ok("FETCH 1 BODY[]" if user != "fine" else "NOOP")
            imap.logout()
    server.run("cyr_dbtool", "-n", server.path("conf", "user_deny.db"), "flat", "set", "nobody", "2\timap\tlater")


def paths(server):
    """Of the file to damage, for each user, and for all."""
    found = {}
    for user in USERS[1:]:
        directory = server.run("mbpath", f"user/{user}").stdout.strip()
        uniqueid = os.path.basename(directory)
        if user in IN_MAILBOX:
            found[user] = os.path.join(directory, IN_MAILBOX[user])
        elif user == "quota":
            found[user] = server.path("conf", "quota", "q", "user.quota")
        else:
            found[user] = server.path("conf", "user", "uuid", uniqueid[0], uniqueid[1], uniqueid, user + ".db")
    for name in GLOBAL:
        found[name] = server.path("conf", name)
    missing = [path for path in found.values() if not os.path.exists(path)]
    assert not missing
    return found


def use(server, user):
    """Every command is answered; a session may end, but only with a BYE."""
    imap = session(server, user)
    for command in COMMANDS:
        try:
            imap.cmd(command)
        except EOFError:
            imap.close()
            imap = session(server, user)
    imap.close()
    with server.lmtp() as lmtp:
        [(code, _)] = lmtp.deliver(MESSAGE % ((b"third " + user.encode(),) * 3), user)
        assert code // 100 in (2, 4, 5)


def use_tools(server):
    for tool, *args in (("reconstruct", "-n", *[f"user/{u}" for u in USERS]), ("ctl_mboxlist", "-d"), ("quota",),
                        ("ctl_conversationsdb", "-d", "conversations"), ("cyr_expire", "-E", "1"),
                        ("mbexamine", "user/index"), ("ctl_cyrusdb", "-c"), ("unexpunge", "-l", "user/index")):
        done = server.run(tool, *args, check=False)
        assert done.returncode >= 0, (tool, done)


def fine(server):
    with session(server, "fine") as imap:
        imap.append("INBOX", MESSAGE % ((b"still fine",) * 3))
        imap.ok("SELECT INBOX")
        assert b"body of second fine" in b"".join(
            x if isinstance(x, bytes) else str(x).encode() for x in imap.ok("FETCH 1:* BODY.PEEK[]").untagged)
        imap.logout()


def crashed(server):
    """SIGKILL is the test's own, which the master may see before it is its turn."""
    return re.findall(r".*(?:signaled to death(?! by signal 9 )|killed by signal|abnormal|assertion|fatal error: .*memory).*",
                      server.log_text())


@pytest.mark.parametrize("kind", (*KINDS, "rights"))
def test_a_file_of_each_user(factory, kind):
    server = factory(services=("imap", "lmtp")).start()
    server.allow_log("IOERROR|DBERROR|ERROR|DENYDB")
    fill(server)
    server.stop()
    rng = random.Random(kind)
    # A flat file is written anew as a whole: bytes that are no escape of anything do not stay as they were.
    zapped = [Zapped(path, kind, rng) for path in paths(server).values()
              if kind not in ("header", "rubbish") or not path.endswith(FLAT)]
    server.start()
    # Whoever changes a damaged shared database may have to wait until it is repaired: fine does not.
    for user in USERS[1:]:
        use(server, user)
    use_tools(server)
    fine(server)
    server.stop()
    assert not crashed(server)
    if kind == "rights":
        for z in zapped:
            os.chmod(z.path, 0o600)
    lost = [z.path for z in zapped if not z.is_kept((server.path("conf"), server.path("spool")))]
    assert not lost


def try_to_work(server):
    """Starts, or ends with a word in the log; tools end by themselves."""
    try:
        server.start()
    except StartFailed as e:
        assert e.status is None or e.status >= 0
        server.kill()
    else:
        for user in ("fine", "sub"):
            try:
                use(server, user)
            except (Rejected, EOFError, ValueError):
                pass  # said with a reply, or by closing the session
    use_tools(server)
    if server.running:
        server.stop()
    assert not crashed(server)


@pytest.mark.parametrize("kind", (*KINDS, "rights"))
@pytest.mark.parametrize("name", ("mailboxes.db", "quotas.db"))
def test_a_file_of_all_users(factory, name, kind):
    server = factory(services=("imap", "lmtp"))
    server.conf["quota_db"] = "twoskip"
    server.start()
    server.allow_log("IOERROR|DBERROR|ERROR")
    with server.imap("admin") as imap:
        for user in USERS:
            imap.ok(f"CREATE user/{user}")
            imap.ok(f"SETQUOTA user/{user} (STORAGE 1000)")
        imap.logout()
    server.stop()
    z = Zapped(server.path("conf", name), kind, random.Random(f"{name} {kind}"))
    try_to_work(server)
    if kind == "rights":
        os.chmod(z.path, 0o600)
    assert z.is_kept((server.path("conf"),))
    assert name in server.log_text()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_deliver_db_holds_nobody_up(factory, kind, seed):
    """What was delivered where can be done without: a damaged file is set aside when a delivery meets the damage."""
    server = factory(services=("imap", "lmtp")).start()
    server.allow_log("DBERROR")
    server.create_user("fine")
    server.add_user("fine")

    def deliver(first, last):
        with server.lmtp() as lmtp:
            for n in range(first, last):
                [(code, text)] = lmtp.deliver(MESSAGE % ((b"fine%d" % n,) * 3), ["fine"])
                assert code == 250, (n, code, text)

    def count():
        with server.imap("fine") as imap:
            [line] = imap.ok("STATUS INBOX (MESSAGES)").untagged
            imap.logout()
        return int(re.search(rb"MESSAGES (\d+)", line)[1])

    deliver(0, 40)
    server.stop()
    z = Zapped(server.path("conf", "deliver.db"), kind, random.Random(f"{seed} {kind}"))
    server.start()
    deliver(40, 80)
    assert count() == 80
    if os.path.exists(z.path + ".damaged"):  # else the damage was never met
        deliver(79, 80)
        assert count() == 80
    server.kill()
    server.start()
    deliver(80, 90)
    assert count() == 90
    server.stop()
    if kind == "header":  # otherwise changes may have set pointers in what was damaged
        assert os.path.exists(z.path + ".damaged") and z.is_kept((server.path("conf"),))
    assert not crashed(server)


@pytest.mark.parametrize("which, kind", [
    *[("segment", kind) for kind in (*KINDS, "rights")],
    *[(which, kind) for which in ("control", "checkpoint") for kind in ("truncate", "rubbish", "rights")]])
def test_journal(factory, which, kind):
    """
    After a death the journal is needed. Damage in front of records that were durable is seen: nothing is removed, and the server does
    not start. (A segment that ends early looks like one whose last records were never written.)
    """
    server = factory(services=("imap", "lmtp")).start()
    server.allow_log("IOERROR|DBERROR|ERROR")
    server.create_user("fine")
    for n in range(6):
        server.deliver(MESSAGE % ((b"fine%d" % n,) * 3), "fine")
    server.kill()
    journal = server.path("conf", "journal")
    names = [n for n in sorted(os.listdir(journal)) if (n.endswith(".log") if which == "segment" else n == which)]
    if not names:
        pytest.skip(f"no {which} after a death")
    path = os.path.join(journal, names[-1])
    with open(path, "rb") as f:
        used = len(f.read().rstrip(b"\0"))
    z = Zapped(path, kind, random.Random(f"{which} {kind}"), within=max(1, used // 2))
    try_to_work(server)
    if kind == "rights" and os.path.exists(z.path):
        os.chmod(z.path, 0o600)
    if which == "segment" and kind != "truncate":
        assert z.is_kept((server.path("conf"),)), os.listdir(journal)


def test_proc_files(factory):
    """They are only shown; what can't be read is nobody's process."""
    server = factory(services=("imap",)).start()
    server.allow_log("IOERROR")
    rng = random.Random(1)
    imap = server.imap("alice")
    for n in range(20):
        path = server.path("conf", "proc", str(4000000 + n))
        with open(path, "wb") as f:
            f.write(bytes(rng.randrange(256) for _ in range(rng.randrange(0, 300))))
        server.account.give(path)
        if n % 5 == 0:
            os.chmod(path, 0)
    done = server.run("cyr_info", "proc", check=False)
    assert done.returncode == 0 and "alice" in done.stdout
    imap.logout()

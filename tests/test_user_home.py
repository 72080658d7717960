# SPDX-License-Identifier: BSD-3-Clause
"""Users of a pair are at home at one of its servers, each at his own: who is refused where, and how they go from one to the other
(doc/failover.md, "Homes of users"; W028).

CYL_HOME_EVERY  of the changes of the disk, and the commands, at which somebody is killed, each so many-th (default 8)
"""

import json
import os
import re
import time

import pytest

from cyltest import Pair, rolling
from cyltest.clients import Rejected
from cyltest.credentials import password
from cyltest.relay import Relay
from cyltest.syncdata import assert_same, fill_user, login, message

USERS = ["anna", "bob"]
EVERY = int(os.environ.get("CYL_HOME_EVERY") or 8)
AWAY = r"\[UNAVAILABLE\] This account's home is {}, please try again there"


def set_up(factory, roll=False, users=USERS, **conf):
    services = ("imap", "pop3", "lmtp", "csync")
    pair = Pair(factory("a", services=services), factory("b", services=services))
    a, b = pair.primary, pair.replica
    for server, other, name in ((a, b, "a.example"), (b, a, "b.example")):
        server.call_it(name)
        server.conf.update({**rolling.CONF, **rolling.QUICK, "sync_log": False, "sync_host": "127.0.0.1", "sync_port": other.ports["csync"],
                            "sync_authname": "repl", "sync_password": password("repl"), "sync_try_imap": False, **conf})
        server.allow_log("SYNC|IOERROR|ERROR|zero length|signaled|abnormally|CRC failure|badlogin|inefficient|Can not connect")
        for user in users:
            server.add_user(user)
        server.add_service("csyncunix", cmd="sync_server", listen=server.path("conf/socket/csync"))
        if roll:
            rolling.daemon(server)
    return pair


@pytest.fixture
def pair(factory):
    """anna is at home at a, bob at b; nothing rolls."""
    pair = set_up(factory)
    pair.start()
    a, b = pair.primary, pair.replica
    for user in USERS:
        fill_user(a, user)
        with a.imap("admin") as imap:  # reads at either end
            for name in ("", ".Work", ".Sent"):
                imap.ok(f"SETACL user.{user}{name} admin lrs")
            imap.logout()
    pair.sync("-A")
    home(a, "--here", "--all")
    home(a, "bob")
    return pair


def home(server, *args, status=0, **kwargs):
    done = server.run("failover", "home", *args, check=False, **kwargs)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def listed(server, *users):
    told = server.run("failover", "home", "--list", "--json", *users).stdout
    return {one["user"]: one for one in json.loads(told)}


def states(server):
    return {user: one["state"] for user, one in listed(server).items()}


def must_be_refused(server, user, where):
    with pytest.raises(Rejected, match=AWAY.format(where)):
        server.imap(user)
    with pytest.raises(Rejected, match=rf"\[SYS/TEMP\] This account's home is {where}"):
        server.pop3(user)
    with server.lmtp() as lmtp:
        told = lmtp.deliver(message(99), [user])
        assert told[0][0] == 451, told


def must_come_in(server, user, n=50):
    with server.imap(user) as imap:
        imap.append("INBOX", message(n))
        imap.logout()
    with server.pop3(user) as pop3:
        pop3.ok("STAT")
    with server.lmtp() as lmtp:
        assert lmtp.deliver(message(n + 1), [user])[0][0] == 250
    return {n, n + 1}


def numbers(server, user, name="INBOX"):
    with server.imap("admin") as imap:
        name = name.replace("INBOX", f"user.{user}")
        imap.ok(f"EXAMINE {name}")
        lines = imap.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])").untagged
        imap.logout()
    return sorted(int(n) for line in lines for n in re.findall(rb"<m(\d+)@", line))


def test_refused_where_he_is_not_at_home(pair):
    a, b = pair.primary, pair.replica
    assert states(a) == {"anna": "here", "bob": "elsewhere"} and states(b) == {"anna": "elsewhere", "bob": "here"}
    must_come_in(a, "anna")
    must_come_in(b, "bob")
    must_be_refused(b, "anna", "a.example")
    must_be_refused(a, "bob", "b.example")
    # an admin comes in
    with a.imap("admin") as imap:
        imap.ok("GETQUOTAROOT user.bob")
        imap.logout()
    # of several recipients, each has his answer
    with a.lmtp() as lmtp:
        assert [code for code, _ in lmtp.deliver(message(60), ["anna", "bob"])] == [250, 451]


def test_admin_may_read_for_him(pair):
    """As check_replication does."""
    a, b = pair.primary, pair.replica
    with b.imap() as imap:
        imap.login_as("anna", "admin", password("admin"))
        assert "[READ-ONLY]" in imap.ok("SELECT INBOX").text
        for _ in range(3):
            imap.ok("FETCH 1 (FLAGS BODY[])")
            with pytest.raises(Rejected, match=r"\[UNAVAILABLE\]"):
                imap.append("INBOX", message(60))
            time.sleep(0.5)
        imap.logout()
    assert_same(a, b, "anna")


def test_who_is_in_has_to_go(pair):
    a, b = pair.primary, pair.replica
    with a.imap("anna") as imap, a.pop3("anna") as pop3:
        imap.ok("SELECT INBOX")
        home(a, "anna")
        # whatever comes first: nothing of it is done, and in a second he is out
        deadline = time.monotonic() + 60
        with pytest.raises((EOFError, OSError)):
            while time.monotonic() < deadline:
                with pytest.raises(Rejected, match=r"\[UNAVAILABLE\]"):
                    imap.append("INBOX", message(60))
                time.sleep(0.05)
        with pytest.raises((EOFError, Rejected, OSError)):
            while time.monotonic() < deadline:
                pop3.ok("DELE 1")
                pop3.ok("RSET")
                time.sleep(0.05)
    must_be_refused(a, "anna", "b.example")
    assert numbers(b, "anna") == [1, 2, 3]
    must_come_in(b, "anna")
    must_come_in(b, "bob")
    home(b, "anna", "bob")
    must_come_in(a, "anna", 70)
    must_be_refused(b, "bob", "a.example")


def test_others_write_at_his_home_only(pair):
    """bob may do everything in anna's mailboxes, and is at home elsewhere."""
    a, b = pair.primary, pair.replica
    with a.imap("anna") as imap:
        imap.ok("SETACL INBOX.Work bob lrswipkxtecda")
        imap.logout()
    pair.sync("-u", "anna")
    with b.imap("bob") as imap:
        assert "[READ-ONLY]" in imap.ok("SELECT user.anna.Work").text
        assert b"body 4" in b"".join(imap.ok("FETCH 1 (BODY[])").untagged)
        for command in (r"STORE 1 +FLAGS (\Flagged)", r"STORE 1 +FLAGS (\Seen)", "MOVE 1 INBOX", "EXPUNGE"):
            imap.no(command)
        for command in ("CREATE user.anna.Work.New", "DELETE user.anna.Work", "RENAME user.anna.Work user.anna.W",
                        "SETACL user.anna.Work anyone lr", 'SETMETADATA user.anna.Work (/shared/comment "x")',
                        "RENAME INBOX.Sent user.anna.Work.Sent", "COPY 1 user.anna.Work"):
            assert "[UNAVAILABLE]" in imap.no(command).text, command
        with pytest.raises(Rejected, match=r"\[UNAVAILABLE\]"):
            imap.append("user.anna.Work", message(61))
        # what he takes from there is his
        imap.ok("COPY 1 INBOX")
        imap.ok("SUBSCRIBE user.anna.Work")
        imap.logout()
    assert numbers(b, "bob") == [1, 2, 3, 4]
    assert_same(a, b, "anna")
    # he has it open when she goes
    home(a, "anna")
    with b.imap("bob") as imap:
        assert "[READ-WRITE]" in imap.ok("SELECT user.anna.Work").text
        imap.ok(r"STORE 1 +FLAGS (\Flagged)")
        home(b, "anna")
        for command in (r"STORE 1 -FLAGS (\Flagged)", "MOVE 1 INBOX"):
            assert "[UNAVAILABLE]" in imap.no(command).text
        imap.ok("NOOP")
        imap.ok("FETCH 1 (FLAGS BODY[])")
        imap.append("INBOX", message(62))
        imap.logout()
    assert_same(a, b, "anna")


def test_replication_goes_from_home(pair):
    a, b = pair.primary, pair.replica
    must_come_in(a, "anna", 50)
    must_come_in(b, "bob", 60)
    told = a.run("sync_client", "-v", "-A").stdout
    assert "skipping bob, whose home is elsewhere" in told and "USER anna" in told
    done = a.run("sync_client", "-u", "bob", check=False)
    assert done.returncode == 1 and "home is another server" in done.stderr
    assert a.run("sync_client", "-m", "user.bob", check=False).returncode == 1
    b.run("sync_client", "-A")
    for user in USERS:
        assert_same(a, b, user)
    # one who does not ask: whatever he sends is not taken
    with login(a) as csync:
        for command in ("APPLY UNUSER anna", "APPLY UNMAILBOX user.anna.Work", "APPLY UNMAILBOXES (%(MBOXNAME user.anna.Work UNIQUEID x))", "APPLY SUB %(USERID anna MBOXNAME user.anna)",
                        "APPLY RENAME %(OLDMBOXNAME user.anna.Work NEWMBOXNAME user.bob.X PARTITION default UIDVALIDITY 7)",
                        "APPLY QUOTA %(ROOT user.anna LIMIT 5)", "APPLY USERSTATE %(USERID anna STATE disabled CHANGED 5)", "APPLY LEAVE %(USERID anna SERVER x)"):
            assert csync.cmd(command).text.startswith("IMAP_USER_ATHOME"), command
        csync.ok("APPLY UNSUB %(USERID bob MBOXNAME user.bob.Work)")
    assert states(a) == {"anna": "here", "bob": "elsewhere"}


def test_marks_on_the_wire(pair):
    a = pair.primary
    with login(a) as csync:
        def told(user):
            return csync.ok(f"GET HOME %(USERID {user})").untagged[0].decode()

        assert re.match(r"\* HOME %\(USERID anna HERE a\.example SERVER a\.example EPOCH 1 SINCE \d+\)", told("anna"))
        assert told("nobody") == "* HOME %(USERID nobody HERE a.example)"
        assert len(csync.ok("GET HOMES ()").untagged) == 2
        for bad in ("USERID anna", "USERID anna SERVER x", "USERID anna SERVER x EPOCH 0 SINCE 5", "USERID anna SERVER x EPOCH 2",
                    'USERID anna SERVER "x y" EPOCH 2 SINCE 5', "SERVER x EPOCH 2 SINCE 5", "USERID anna SERVER x EPOCH -1 SINCE 5",
                    "USERID anna SERVER x EPOCH 99999999999999999999 SINCE 5", "USERID anna UNIQUEID ../x SERVER x EPOCH 5 SINCE 5"):
            assert "BAD_PARAMETERS" in csync.cmd(f"APPLY HOME %({bad})").text, bad
        # the higher epoch counts, of two with one the later name; what counts less is not taken
        assert csync.cmd("APPLY HOME %(USERID anna SERVER Z EPOCH 1 SINCE 5)").text.startswith("IMAP_USER_ATHOME")
        csync.ok("APPLY HOME %(USERID anna SERVER b.example EPOCH 1 SINCE 5)")
        assert csync.cmd("APPLY HOME %(USERID anna SERVER a.example EPOCH 1 SINCE 5)").text.startswith("IMAP_SYNC_CHANGED")
        csync.ok("APPLY HOME %(USERID anna SERVER b.example EPOCH 1 SINCE 5)")
        csync.ok("APPLY HOME %(USERID anna SERVER a.example EPOCH 2 SINCE 5)")
        assert csync.cmd("APPLY HOME %(USERID nobody SERVER a.example EPOCH 2 SINCE 5)").text.startswith("IMAP_INVALID_USER")
    must_come_in(a, "anna")


def test_asking_takes_no_lease(pair):
    """It is asked by who may have to wait for others, who work on the user."""
    with login(pair.primary) as asks, login(pair.primary) as works:
        for csync in (asks, works):
            csync.ok("APPLY CAPABILITIES (SIEVE-MAILBOX X-LEASE)")
        works.ok("GET USER anna")
        asks.ok("GET HOME %(USERID anna)")
        asks.ok("APPLY HOME %(USERID anna SERVER a.example EPOCH 1 SINCE 5)")
        asks.ok("GET HOME %(USERID bob)")
        works.ok("GET USER bob")


def test_a_new_end_knows_before_he_is_there(pair, factory):
    """The other server is a new one: nobody comes in there for as long as it takes."""
    a, b = pair.primary, pair.replica
    with login(a) as csync:
        uniqueid = re.search(rb"UNIQUEID (\S+)", csync.ok("GET MAILBOXES (user.anna)").untagged[0])[1].decode()
    with b.imap("admin") as imap:
        imap.ok("SETACL user.anna admin lrswipkxtecda")
        imap.ok("DELETE user.anna")
        imap.logout()
    b.run("cyr_expire", "-D", "0", "-E", "1")
    with login(b) as csync:
        csync.ok(f"APPLY HOME %(USERID anna UNIQUEID {uniqueid} SERVER a.example EPOCH 3 SINCE 5)")
    must_be_refused(b, "anna", "a.example")
    b.restart()
    pair.sync("-u", "anna")
    must_be_refused(b, "anna", "a.example")
    assert_same(a, b, "anna")


def test_expiry_is_left_to_the_home(pair):
    a, b = pair.primary, pair.replica
    for server, user in ((a, "anna"), (b, "bob")):
        with server.imap("admin") as imap:
            imap.ok(f'SETMETADATA user.{user}.Work (/shared/vendor/cmu/cyrus-imapd/expire "1")')
            imap.logout()
        server.run("sync_client", "-A")
    for server, other in ((a, b), (b, a)):
        assert "Some users are at home elsewhere: messages of 1 mailboxes expire there" in server.run("cyr_expire", "-E", "1", "-v").stderr
    assert [numbers(server, user, "INBOX.Work") for server, user in ((a, "anna"), (b, "bob"), (b, "anna"), (a, "bob"))] == [[], [], [4], [4]]
    for server in (a, b):
        server.run("sync_client", "-A")
    for user in USERS:
        assert_same(a, b, user)
    told = a.run("ipurge", "-f", "-v", "-d", "1").stdout
    assert "user.bob is left to the home of bob, b.example" in told and "Working on user.anna" in told
    assert not numbers(a, "anna") and numbers(a, "bob") == [1, 2, 3]
    a.run("ipurge", "-f", "-d", "1", "--policy-on-replica", "user.bob")
    assert not numbers(a, "bob")


class Mail:
    """Messages that were offered, and taken."""

    def __init__(self):
        self.n, self.taken = 1000, set()

    def offer(self, server, user):
        """Is it taken?"""
        self.n += 1
        with server.lmtp() as lmtp:
            code = lmtp.deliver(message(self.n), [user])[0][0]
        assert code in (250, 451)
        if code == 250:
            self.taken.add(self.n)
        return code == 250

    def takers(self, pair, user):
        return [server for server in (pair.primary, pair.replica) if self.offer(server, user)]

    def must_be_there(self, pair, user):
        for server in (pair.primary, pair.replica):
            there = [n for n in numbers(server, user) if n >= 1000]
            assert there == sorted(self.taken), (server.name, set(there) ^ self.taken)


def other_than(pair, server):
    return pair.replica if server is pair.primary else pair.primary


def is_at(pair, mail, server, user="anna"):
    """There alone; what was taken is on both ends after a run from there."""
    assert mail.takers(pair, user) == [server]
    server.run("sync_client", "-u", user)
    mail.must_be_there(pair, user)
    assert_same(pair.primary, pair.replica, user)


def test_tool_is_killed_at_each_change(pair):
    a, b = pair.primary, pair.replica
    mail, server = Mail(), a
    steps = 0
    for first, verb in enumerate(((), ("--take", "--wait", "0"), ("--take", "--lost")), 1):
        for n in range(min(first, EVERY), 100, EVERY):
            there = other_than(pair, server)
            runs_on = there if "--take" in verb else server
            mail.takers(pair, "anna")  # there is something to bring
            runs_on.env["CYLINDER_DISKIO_KILL"] = f"change:{n}"
            done = runs_on.run("failover", "home", *verb, "anna", check=False)
            del runs_on.env["CYLINDER_DISKIO_KILL"]
            killed = done.returncode not in (0, 75)
            assert len(mail.takers(pair, "anna")) <= 1, (verb, n)
            if "--wait" in verb:  # who is asked brings him
                home(runs_on, *verb, "anna", status=75)
                assert not mail.takers(pair, "anna")
                home(server, "anna")
            else:
                home(runs_on, *verb, "anna")
            is_at(pair, mail, there)
            server = there
            steps += killed
            if not killed:
                break
    assert steps > 6 // EVERY
    print(f"{steps} times killed")


@pytest.mark.parametrize("where", ["before", "half", "after"])
def test_connection_and_server_are_cut_at_each_command(pair, where):
    a, b = pair.primary, pair.replica
    mail, server, cut = Mail(), a, 0
    for n in range(min(EVERY, {"before": 1, "half": 2, "after": 3}[where]), 100, EVERY):
        there = other_than(pair, server)
        mail.takers(pair, "anna")
        kill = {"before": there.kill, "half": None, "after": lambda s=there: s.kill_children("sync_server")}[where]
        with Relay(server.path("tmp", "relay"), there.path("conf/socket/csync"), cut_at=n, where=where, on_cut=kill) as broken:
            done = server.run("failover", "-S", broken.path, "home", "anna", check=False)
        if not there.running:
            there.start()
        assert len(mail.takers(pair, "anna")) <= 1, n
        home(server, "anna")
        is_at(pair, mail, there)
        server = there
        cut += done.returncode != 0
        if done.returncode == 0:
            break
    assert cut > 6 // EVERY


def test_all_of_the_home_is_killed_on_the_way(pair):
    """It comes back with the mark, and brings him."""
    a, b = pair.primary, pair.replica
    mail = Mail()
    mail.takers(pair, "anna")
    home(b, "--take", "--wait", "0", "anna", status=75)
    assert states(a)["anna"] == states(b)["anna"] == "on the way"
    a.kill()
    assert not mail.offer(b, "anna")
    a.start()
    assert not mail.takers(pair, "anna")
    a.run("sync_client", "-u", "anna", check=False)  # any run that comes by him
    is_at(pair, mail, b)


def test_taken_back_on_the_way(pair):
    a, b = pair.primary, pair.replica
    mail = Mail()
    home(b, "--take", "--wait", "0", "anna", status=75)
    assert not mail.takers(pair, "anna")
    told = home(a, "--take", "anna")
    assert "anna: home is a.example, epoch 3" in told
    is_at(pair, mail, a)


def test_home_is_lost_and_comes_back(pair):
    a, b = pair.primary, pair.replica
    mail = Mail()
    mail.takers(pair, "anna")
    with a.imap("anna") as imap:  # has not gone across
        imap.ok("CREATE INBOX.Late")
        imap.append("INBOX.Late", message(80))
        imap.logout()
    a.kill()
    assert "can't be reached" in home(b, "--take", "anna", status=75)
    assert not mail.offer(b, "anna")
    home(b, "--take", "--lost", "anna")
    assert mail.offer(b, "anna") and mail.offer(b, "bob")
    mail.taken.discard(mail.n)
    # it learns of it before it lets anybody in
    told = a.run("failover", "check").stdout
    assert "the home of 1 users is the other end by now" in told
    a.start()
    must_be_refused(a, "anna", "b.example")
    told = b.run("sync_client", "-v", "-u", "anna").stdout
    assert "COPYBACK user.anna.Late" in told and "FULLMAILBOX user.anna" in told
    is_at(pair, mail, b)
    assert numbers(b, "anna", "INBOX.Late") == [80]
    # and takes him again by asking
    home(b, "anna")
    is_at(pair, mail, a)


def test_both_take_in_a_split(pair):
    """Nobody was dead: a did not hear of it, and went on."""
    a, b = pair.primary, pair.replica
    mail = Mail()
    with Relay(b.path("tmp", "relay"), a.path("conf/socket/csync"), cut_at=1, where="before") as broken:
        b.run("failover", "-S", broken.path, "home", "--take", "--lost", "anna")
    assert mail.takers(pair, "anna") == [a, b]  # this is what --lost means
    assert mail.takers(pair, "anna") == [a, b]
    # whoever speaks first: a is refused, and told
    done = a.run("sync_client", "-v", "-u", "anna", check=False)
    assert done.returncode == 1 and "home is another server" in done.stderr
    assert mail.takers(pair, "anna") == [b]
    told = b.run("sync_client", "-v", "-u", "anna").stdout
    assert "FULLMAILBOX user.anna" in told
    is_at(pair, mail, b)


def test_both_take_in_a_split_and_the_new_home_speaks_first(pair):
    a, b = pair.primary, pair.replica
    mail = Mail()
    with Relay(b.path("tmp", "relay"), a.path("conf/socket/csync"), cut_at=1, where="before") as broken:
        b.run("failover", "-S", broken.path, "home", "--take", "--lost", "anna")
    assert mail.takers(pair, "anna") == [a, b]
    b.run("sync_client", "-u", "anna")
    is_at(pair, mail, b)


def test_server_takes_over_and_lets_go(pair):
    """Roles of servers come before homes of users: whoever takes over has all of them, also when there are no roles any more."""
    a, b = pair.primary, pair.replica
    mail = Mail()
    mail.offer(a, "anna")
    told = b.run("failover", "takeover").stdout
    assert "the home of 1 users is this server now" in told and told.endswith("0 differences left\n")
    assert mail.takers(pair, "anna") == [b]
    with pytest.raises(Rejected, match="This server is the replica of"):
        a.imap("bob")
    assert "has a role" in home(b, "anna", status=75) and "has a role" in home(a, "--take", "anna", status=75)
    for server in (a, b):
        server.run("failover", "release")
        assert len(mail.takers(pair, "anna")) == 1
    assert states(b) == {"anna": "here", "bob": "here"}
    assert states(a) == {"anna": "elsewhere", "bob": "elsewhere"}
    is_at(pair, mail, b)
    home(b, "anna")
    is_at(pair, mail, a)


def test_machine_is_lost_and_rejoins(pair):
    a, b = pair.primary, pair.replica
    mail = Mail()
    mail.offer(a, "anna")
    a.kill()
    b.run("failover", "takeover", "--lost")
    assert mail.offer(b, "anna")
    a.run("failover", "check")
    a.start()
    assert mail.takers(pair, "anna") == [b]
    b.run("failover", "rejoin")
    mail.must_be_there(pair, "anna")
    for server in (a, b):
        server.run("failover", "release")
        assert mail.takers(pair, "anna") == [b]


def test_many_in_one_run(pair):
    a, b = pair.primary, pair.replica
    told = home(a, "-f", "-", data="anna\nbob\nnobody\n", status=1)
    assert "anna: home is b.example, epoch 2" in told and "nobody: " in told
    assert states(b) == {"anna": "here", "bob": "here"}
    path = b.path("tmp", "users")
    with open(path, "w", encoding="ascii") as f:
        f.write("anna\nbob\n")
    home(b, "-f", path)
    assert states(a) == {"anna": "here", "bob": "here"}
    home(a, "--all")
    home(b, "--all")
    assert states(a) == {"anna": "here", "bob": "here"}
    home(a, "-f", "/nowhere", status=66)
    told = home(a, "--list", "anna")
    assert re.match(r"anna: here, home is a\.example since \d{4}-\S+ \S+, epoch \d+\n$", told)
    for wrong in ((), ("--all", "anna"), ("--lost", "anna"), ("--here", "--take", "anna"), ("--json", "anna"), ("--wait", "x", "anna")):
        home(a, *wrong, status=64)
    assert a.run("failover", "--all", "status", check=False).returncode == 64


def test_other_end_knows_no_homes(pair):
    a, b = pair.primary, pair.replica
    b.conf["suppress_capabilities"] = "X-HOME"
    b.restart()
    for args in (("anna",), ("--take", "bob"), ("--here", "--all")):
        assert "knows no homes" in home(a, *args, status=75)
    assert states(a) == {"anna": "here", "bob": "elsewhere"}
    must_come_in(a, "anna")
    pair.sync("-A")
    assert_same(a, b, "anna")


def test_one_name_for_both(factory):
    pair = set_up(factory)
    pair.replica.call_it("a.example")
    pair.start()
    pair.primary.create_user("anna")
    assert "anna: " in home(pair.primary, "--here", "anna", status=1)
    assert "both ends have the servername a.example" in pair.primary.log_text()


def test_he_keeps_his_home(pair):
    """With another name, after a deletion and undelete, when the file was damaged elsewhere; not when he moves to a third server."""
    a, b = pair.primary, pair.replica
    for server in (a, b):
        server.add_user("anne")
    a.run("cyr_user", "rename", "anna", "anne")
    pair.sync("-u", "anne")
    must_be_refused(b, "anne", "a.example")
    must_come_in(a, "anne")
    assert json.loads(b.run("cyr_user", "--json", "show", "anne").stdout)["home"] == "a.example"
    a.run("cyr_user", "delete", "anne")
    a.run("cyr_user", "undelete", "anne")
    must_come_in(a, "anne", 70)
    home(a, "anne")
    must_be_refused(a, "anne", "b.example")
    a.restart()
    must_be_refused(a, "anne", "b.example")

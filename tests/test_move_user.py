# SPDX-License-Identifier: BSD-3-Clause
"""move_user: users are copied to another server, compared, switched, and removed; whatever fails or dies, each is whole on one."""

import glob
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cyltest.clients import Rejected
from cyltest.moves import subjects, two_servers
from cyltest.syncdata import login, message, user_state

@pytest.fixture(scope="module", name="servers")
def _servers(module_factory):
    return two_servers(module_factory)


class Client(threading.Thread):
    """Appends by IMAP and delivers by LMTP as long as it may. done: subjects that were confirmed."""

    def __init__(self, server, user):
        super().__init__()
        self.server, self.user, self.done, self.refusals = server, user, [], []

    def run(self):
        n = 100
        try:
            with self.server.imap(self.user) as imap, self.server.lmtp() as lmtp:
                while True:
                    n += 1
                    imap.append("INBOX", message(n))
                    self.done.append(f"test {n}")
                    n += 1
                    code, text = lmtp.deliver(message(n), [self.user])[0]
                    if code != 250:
                        self.refusals.append((code, text))
                        return
                    self.done.append(f"test {n}")
        except (Rejected, EOFError, OSError) as gone:
            self.refusals.append(gone)


def test_under_load_with_grace(servers):
    """Nothing that was confirmed is lost, UIDVALIDITY stays; refused on the source, which keeps everything until the grace is over."""
    one, two = servers.one, servers.two
    before = servers.fill("anna")
    with one.imap("admin") as imap:
        imap.ok("SETQUOTA user.anna (STORAGE 10000000 MESSAGE 1000000)")  # however long it takes, he is not stopped by that
        imap.logout()
    client = Client(one, "anna")
    client.start()
    said = servers.begin("anna",)
    client.join()
    assert client.done and len(client.refusals) == 1, client.refusals
    assert "what is here stays until" in said and servers.lives("anna") == "127.0.0.1"
    after = user_state(two, "anna")
    assert user_state(one, "anna") == after and servers.state("anna") == "moving-out"
    got = subjects(two, "anna")
    assert not set(client.done) - set(got) and len(got) == len(set(got))
    assert got == [f"test {n}" for n in (1, 2, 3)] + client.done
    for name, value in before["MAILBOX"].items():
        for key in ("UIDVALIDITY", "UNIQUEID", "ACL"):
            assert after["MAILBOX"][name][key] == value[key]
    with pytest.raises(Rejected, match="moving to 127.0.0.1"):
        one.imap("anna")
    with one.lmtp() as lmtp:
        assert lmtp.deliver(message(9), ["anna"])[0][0] == 451
    assert servers.move("--list") == "anna\tswitched\t127.0.0.1\n"
    assert one.run("cyr_user", "enable", "anna", check=False).returncode == 65
    # he works there, and is not missed here
    with two.imap("anna") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("RENAME INBOX.Work INBOX.Play")
        imap.append("INBOX", message(8))
        imap.logout()
    assert "what is here stays until" in servers.move("--resume", "anna")
    there = user_state(two, "anna")
    assert "moved" in servers.move("--resume", "--now")
    servers.has_moved("anna", there)
    one.run("ctl_cyrusdb", "-c")  # files go with the next checkpoint
    ident = there["MAILBOX"]["user.anna"]["UNIQUEID"].decode()
    assert not glob.glob(one.path(f"spool/**/{ident}/*"), recursive=True)
    assert not glob.glob(one.path(f"conf/user/**/{ident}/*"), recursive=True)
    assert servers.move("--list") == ""


def test_who_was_let_in_before_writes_nothing_after(servers):
    """A command and a delivery that have begun before he is frozen are refused after it, and nobody else's mail with them."""
    one = servers.one
    servers.fill("greta")
    one.create_user("gunda")
    before = user_state(one, "greta")
    flag = one.path("greta")
    wait = f": >{flag}.there; while [ ! -e {flag}.on ]; do sleep 0.05; done"
    late = message(60)
    with one.imap("greta") as imap, one.lmtp() as lmtp, ThreadPoolExecutor(1) as pool:
        imap.sendline(f"X APPEND INBOX {{{len(late)}}}")
        assert imap.readline().startswith(b"+")
        for line, code in (("MAIL FROM:<a@example.com>", 250), ("RCPT TO:<greta>", 250), ("RCPT TO:<gunda>", 250), ("DATA", 354)):
            assert lmtp.cmd(line)[0] == code
        moving = pool.submit(servers.begin, "greta", "--grace", "0", env={"MOVE_BEFORE": wait})
        while not os.path.exists(f"{flag}.there") and not moving.done():
            time.sleep(0.02)
        try:
            imap.send(late + b"\r\n")
            answer = imap.readline()
            lmtp.send(late + b".\r\n")
            replies = [lmtp.reply() for _ in range(2)]
        finally:
            with open(f"{flag}.on", "w", encoding="ascii"):
                pass
        moving.result()
    assert answer.startswith(b"X NO [UNAVAILABLE] This account is moving"), answer
    assert [code for code, _ in replies] == [451, 250], replies
    servers.has_moved("greta", before)


def test_whole_in_one_run(servers):
    before = servers.fill("alice")
    servers.begin("alice", "--grace", "0")
    servers.has_moved("alice", before)
    assert "no such user" in servers.begin("alice", wanted=67)


def test_the_command_says_no(servers):
    before = servers.fill("bob")
    said = servers.begin("bob", env={"MOVE_BEFORE": "exit 3"}, wanted=1)
    assert "exit status 3" in said and "the copy is removed" in said
    servers.is_back("bob", before)
    servers.one.deliver(message(7), "bob")
    servers.begin("bob", "--now", "--grace", "5m")  # and then it works
    assert subjects(servers.two, "bob")[-1] == "test 7"


def test_a_disabled_user_stays_disabled(servers):
    servers.fill("dora")
    servers.one.run("cyr_user", "disable", "--reason", "unpaid", "dora")
    servers.begin("dora", env={"MOVE_BEFORE": "exit 1"}, wanted=1)
    assert servers.state("dora") == "disabled"
    with pytest.raises(Rejected, match="unpaid"):
        servers.one.imap("dora")


def test_the_copy_is_not_equal(servers):
    """Something on the target that a copy does not change: the move is undone, and says what it is."""
    before = servers.fill("carol")
    with login(servers.two) as csync:
        csync.ok("APPLY SEEN %(USERID carol UNIQUEID foreign LASTREAD 1 LASTUID 2 LASTCHANGE 3 SEENUIDS 1:2)")
    said = servers.begin("carol", wanted=1)
    assert "DIFFERENCE seen carol foreign: only on the replica" in said and "the copy is not equal" in said
    servers.is_back("carol", before)


def test_usage_is_counted_anew(servers):
    """The copy is counted anew; what the source has counted wrongly is a difference, until it is put right there."""
    servers.fill("lena")
    quotas = servers.one.path("conf/quotas.db")
    servers.one.run("cyr_dbtool", quotas, "twoskip", "set", "user.lena", "%(S (99 10000) M (5 500))")
    before = user_state(servers.one, "lena")
    said = servers.begin("lena", wanted=1)
    assert "DIFFERENCE usage lena user.lena: STORAGE: here <99>, on the replica <" in said
    servers.is_back("lena", before)
    servers.one.run("cyr_user", "repair", "lena")
    said = servers.begin("lena", "-v", "--grace", "0")
    assert "\nRECOUNT lena\n" in said
    servers.has_moved("lena", before)
    servers.two.run("cyr_user", "check", "lena")


def test_the_file_of_the_move_is_lost(servers):
    """The same move begun again finds that he is moving out; then there is a way on, and a way back."""
    before = servers.fill("nora")
    servers.begin("nora")
    os.unlink(servers.one.path("conf", "moves", "nora"))
    assert "no move has begun" in servers.move("--resume", "nora", wanted=65)
    assert "not in the state" in servers.move("-S", "localhost", "nora", wanted=65)
    assert servers.one.run("cyr_user", "rename", "nora", "norah", check=False).returncode == 65
    assert "what is here stays until" in servers.begin("nora")
    servers.move("--abort", "nora")
    servers.is_back("nora", before)


def test_usage_on_the_wire(servers):
    servers.fill("mona")
    with login(servers.one) as csync:
        lines = sorted(csync.ok("GET USAGE mona").untagged)
        assert len(lines) == 2 and lines[0].startswith(b"* USAGE %(ROOT user.mona STORAGE "), lines
        assert lines[1].startswith(b"* USAGE %(USERID mona STORAGE ") and b" MESSAGE 5" in lines[0] and b" MESSAGE 5)" in lines[1]
        csync.ok("APPLY RECOUNT mona")
        assert sorted(csync.ok("GET USAGE mona").untagged) == lines
        assert not csync.ok("GET USAGE nobody").untagged
        assert csync.cmd("APPLY RECOUNT nobody").text.startswith("IMAP_INVALID_USER")
        for command in ("GET USAGE ../x", "GET USAGE (mona)", "APPLY RECOUNT ../x", "APPLY RECOUNT %(USERID mona)"):
            assert csync.cmd(command).status == "NO", command


def test_who_is_there_is_not_touched(servers):
    """Somebody of that name on the target, before the move or in the middle of it, is nobody's copy."""
    servers.fill("erna")
    servers.two.create_user("erna")
    theirs = user_state(servers.two, "erna")
    assert "has something of this user already" in servers.begin("erna", wanted=73)
    assert user_state(servers.two, "erna") == theirs and "erna" not in servers.left()
    before = servers.fill("frida")
    servers.begin("frida", env={"MOVE_BEFORE": "kill -9 $PPID"}, wanted=-signal.SIGKILL)
    servers.two.run("sync_reset", "-f", "frida")
    servers.two.create_user("frida")
    theirs = user_state(servers.two, "frida")["MAILBOX"]["user.frida"]["UNIQUEID"]
    for way in ("--abort", "--resume"):
        if way == "--resume":  # he is where the directory says; the copy has gone, so what is here stays
            assert "not on the replica" in servers.move(way, "frida", "--now", wanted=75)
        else:
            assert "is not the copy" in servers.move(way, "frida", wanted=75)
    assert user_state(servers.two, "frida")["MAILBOX"]["user.frida"]["UNIQUEID"] == theirs
    assert user_state(servers.one, "frida") == before


def test_second_comparison(servers):
    """What only the source has is never removed; on the way back both ends are brought together."""
    servers.fill("gina")
    servers.begin("gina")
    servers.one.restart()  # what is found at a start leaves him as he is
    assert servers.state("gina") == "moving-out"
    with servers.one.imap("admin") as imap:
        imap.ok("SETACL user.gina admin lrswipkxtea")
        imap.append("user.gina", message(50))
        imap.logout()
    with servers.two.imap("gina") as imap:
        imap.append("INBOX.Work", message(51))
        imap.ok("CREATE INBOX.New")
        imap.append("INBOX.New", message(52))
        imap.logout()
    said = servers.move("--resume", "--now", "gina", wanted=75)
    assert "DIFFERENCE user.gina: uid 4: only here" in said and "nothing is removed here" in said
    assert servers.state("gina") == "moving-out"
    servers.move("--abort", "gina")
    servers.is_back("gina", user_state(servers.one, "gina"))
    assert "test 50" in subjects(servers.one, "gina")
    with servers.one.imap("gina") as imap:
        assert b"* STATUS INBOX.Work (MESSAGES 2)" in imap.ok("STATUS INBOX.Work (MESSAGES)").untagged
        assert b"* STATUS INBOX.New (MESSAGES 1)" in imap.ok("STATUS INBOX.New (MESSAGES)").untagged
        imap.logout()


def test_the_command_fails_later(servers):
    """On the way back, and when the grace is over: nothing is removed at either end until it says yes."""
    before = servers.fill("paul")
    servers.begin("paul")
    for args, env in ((("--abort",), {"MOVE_BEFORE": "exit 4"}), (("--abort",), {"MOVE_BEFORE": "kill -9 $$"}),
                      (("--resume", "--now"), {"MOVE_BEFORE": "exit 4"}), (("--resume", "--now"), {"MOVE_BEFORE": "kill -9 $$"})):
        said = servers.move(*args, "paul", env=env, wanted=75)
        assert "exit status 4" in said or "ended by signal 9" in said, said
        assert user_state(servers.one, "paul") == user_state(servers.two, "paul") == before
        # nobody knows what it has done: he is let in nowhere
        step = "returning" if args == ("--abort",) and "kill" in env["MOVE_BEFORE"] else "switched"
        assert servers.state("paul") == "moving-out" and f"paul\t{step}\t127.0.0.1\n" in servers.move("--list")
        if step == "returning":
            with pytest.raises(Rejected, match="is moving to"):
                servers.two.imap("paul")
            servers.move("--abort", "paul", env={"MOVE_BEFORE": "exit 4"}, wanted=75)
        with servers.two.imap("paul") as imap:
            imap.logout()
    os.unlink(os.path.join(servers.directory, "paul"))  # a directory that came from a backup
    servers.move("--resume", "--now", "paul")
    servers.has_moved("paul", before)


def test_a_command_that_lies(servers):
    """It says yes, and the directory is as it was: he is whole there, and here until the grace is over."""
    before = servers.fill("rita")
    servers.begin("rita", env={"MOVE_BEFORE": "exit 0"})
    assert servers.lives("rita") is None and user_state(servers.one, "rita") == user_state(servers.two, "rita") == before
    servers.move("--abort", "rita")
    servers.is_back("rita", before)


def test_the_partition_is_offline_here(servers):
    """While it is to be removed: it can't be compared, so nothing goes, of him or of others."""
    one = servers.one
    before, others = servers.fill("sven"), servers.fill("tina")
    servers.begin("sven")
    spool, away = one.path("spool"), one.path("spool.away")
    os.rename(spool, away)
    one.account.mkdir(spool)
    try:
        said = servers.move("--resume", "--now", "sven", wanted=75)
    finally:
        left = os.listdir(spool)
        os.rename(spool, one.path("spool.empty"))
        os.rename(away, spool)
    assert "second comparison" in said and not left, (said, left)
    assert user_state(one, "sven") == before and user_state(one, "tina") == others and servers.state("sven") == "moving-out"
    servers.move("--resume", "--now", "sven")
    servers.has_moved("sven", before)
    assert user_state(one, "tina") == others


KILLS = {
    "before_anything": {"CYLINDER_DISKIO_KILL": "rename:1:conf/moves/"},
    "before_the_lock": {"CYLINDER_DISKIO_KILL": "rename:2:conf/moves/"},
    "before_the_command": {"MOVE_BEFORE": "kill -9 $PPID; exit 1"},
    "after_the_command": {"MOVE_AFTER": "kill -9 $PPID"},
    "switched": {"CYLINDER_DISKIO_KILL": "rename:3:conf/moves/"},
    "the_command_hangs": {"MOVE_BEFORE": "exec sleep 60"},
}


@pytest.mark.parametrize("way", ["resume", "abort"])
def test_killed(servers, way):
    """At each step, all at the same time: afterwards he is whole on exactly one server, where the directory says."""
    users = {f"{way}{n}": name for n, name in enumerate(KILLS)}
    before = {user: servers.fill(user) for user in users}

    def kill(user):
        env = KILLS[users[user]]
        hangs = users[user] == "the_command_hangs"
        servers.begin(user, "--grace", "0", "--switch-timeout", 1, env=env, wanted=75 if hangs else -signal.SIGKILL)
        return user in servers.left()

    def go_on(user):
        if not servers.move("--list").count(f"{user}\t"):
            return servers.begin(user, "--grace", "0") if way == "resume" else None
        return servers.move(f"--{way}", user)

    with ThreadPoolExecutor(len(users)) as pool:
        began = dict(zip(users, pool.map(kill, users)))
        assert [users[user] for user in users if not began[user]] == ["before_anything"]
        for user, name in users.items():
            assert servers.state(user) == ("active" if name in ("before_anything", "before_the_lock") else "moving-out")
        list(pool.map(go_on, users))
    for user in users:
        (servers.has_moved if way == "resume" else servers.is_back)(user, before[user])


@pytest.mark.parametrize("step", ["removing", "file"])
def test_killed_at_the_end(servers, step):
    """The source is removed, or is not; the file of the move is there, or not."""
    user = f"last{step}"
    before = servers.fill(user)
    kill = {"removing": "unlink:1:conf/moves/", "file": "rename:1:conf/moves/"}[step]
    servers.begin(user)
    if step == "file":  # on the way back: nothing has happened, he lives there
        servers.move("--abort", user, env={"CYLINDER_DISKIO_KILL": kill}, wanted=-signal.SIGKILL)
        assert servers.move("--list") .count(f"{user}\tswitched")
        servers.move("--abort", user)
        servers.is_back(user, before)
    else:
        servers.move("--resume", "--now", user, env={"CYLINDER_DISKIO_KILL": kill}, wanted=-signal.SIGKILL)
        assert user in servers.left()
        servers.move("--resume", user, "--now")
        servers.has_moved(user, before)


def test_killed_while_copying(servers):
    """The freeze ends with the process: he works on, and a new run, or a way back, finds what came."""
    users = ("hans", "ida")
    for user in users:
        servers.fill(user)
        with servers.one.imap(user) as imap:
            for n in range(40):
                imap.append("INBOX", message(n))
            imap.logout()
        servers.begin(user, env={"CYLINDER_DISKIO_KILL": "open:20:/spool/"}, wanted=-signal.SIGKILL)
        assert servers.move("--list").count(f"{user}\tcopying") and servers.state(user) == "active"
        assert user_state(servers.two, user) != user_state(servers.one, user)
        servers.one.deliver(message(77), user)
    servers.move("--resume", "hans", "--now")
    assert subjects(servers.two, "hans")[-1] == "test 77" and servers.lives("hans") == "127.0.0.1"
    before = user_state(servers.one, "ida")
    servers.move("--abort", "ida")
    servers.is_back("ida", before)


def test_no_room_on_the_target(servers):
    before = servers.fill("jutta")
    servers.two.stop()
    servers.two.env["CYLINDER_DISKIO_FAULT"] = "pwrite:1:ENOSPC:/spool/"
    servers.two.start()
    try:
        said = servers.begin("jutta", wanted=1)
    finally:
        del servers.two.env["CYLINDER_DISKIO_FAULT"]
        servers.two.stop()
        servers.two.start()
    assert "copying: " in said and "the copy is removed" in said
    servers.is_back("jutta", before)


def test_usage(servers):
    servers.fill("karl")
    for args in ((), ("karl",), ("-S", "x"), ("--list", "karl"), ("--abort",), ("--resume", "-S", "x", "karl"),
                 ("-S", "x", "--switch", "/nowhere", "karl"), ("-S", "x", "--grace", "never", "karl"), ("--list", "--abort", "karl"),
                 ("-S", "x", "--switch-timeout", "0", "karl")):
        servers.move(*args, wanted=64)
    assert "no move has begun" in servers.move("--abort", "karl", wanted=65)
    assert "no such user" in servers.begin("nobody", wanted=67)
    assert "can't be read" in _with_damage(servers, "karl")
    servers.move("-S", "127.0.0.1:1", "karl", wanted=69)


def _with_damage(servers, user):
    path = servers.one.path("conf", "moves", user)
    with open(path, "w", encoding="ascii") as f:
        f.write("%(rubbish")
    os.chmod(path, 0o644)
    said = servers.move("--resume", user, wanted=65)
    os.unlink(path)
    return said

# SPDX-License-Identifier: BSD-3-Clause
"""move_user --abort of who has moved: what clients of the target write until the end comes along, and whoever dies, he is whole on one server."""

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from cyltest.clients import Rejected
from cyltest.moves import subjects, two_servers
from cyltest.syncdata import login, message, user_state


@pytest.fixture(scope="module", name="servers")
def _servers(module_factory):
    return two_servers(module_factory)


class Writer:
    """A client of the target that is told when to write, by IMAP in one session as long as it lasts, and by LMTP."""

    def __init__(self, server, user):
        self.server, self.user, self.n = server, user, 100
        self.imap, self.confirmed, self.refused = server.imap(user), [], []

    def attempt(self, how):
        self.n += 1
        try:
            how(message(self.n))
            self.confirmed.append(f"test {self.n}")
        except (Rejected, EOFError, OSError) as refusal:
            self.refused.append(str(refusal))

    def append(self, text):
        try:
            self.imap.append("INBOX", text)
        except (EOFError, OSError):
            self.imap = self.server.imap(self.user)
            self.imap.append("INBOX", text)

    def deliver(self, text):
        with self.server.lmtp() as lmtp:
            code, answer = lmtp.deliver(text, [self.user])[0]
            if code != 250:
                raise Rejected(answer)

    def write(self):
        self.attempt(self.append)
        self.attempt(self.deliver)


class Late:
    """A command and a delivery that have begun, and wait for their last bytes."""

    def __init__(self, server, user):
        self.text = message(60)
        self.imap, self.lmtp = server.imap(user), server.lmtp()
        self.imap.sendline(f"X APPEND INBOX {{{len(self.text)}}}")
        assert self.imap.readline().startswith(b"+")
        for line, code in (("MAIL FROM:<a@example.com>", 250), (f"RCPT TO:<{user}>", 250), ("DATA", 354)):
            assert self.lmtp.cmd(line)[0] == code

    def end(self):
        """What the two are told."""
        self.imap.send(self.text + b"\r\n")
        self.lmtp.send(self.text + b".\r\n")
        return self.imap.readline(), self.lmtp.reply()[0]


def move_there(servers, relay, user):
    servers.fill(user)
    servers.move("-S", relay.path, "--switch", servers.switch, user)
    assert servers.lives(user) == relay.path


def is_back_with(servers, user, confirmed):
    """On the first server alone, with each message once."""
    servers.is_back(user, user_state(servers.one, user))
    got = subjects(servers.one, user)
    assert not set(confirmed) - set(got) and len(got) == len(set(got)), (confirmed, got)


def test_who_goes_on_writing(servers):
    """A client of the target writes while move_user is at work, before its first commands and each after the one that keeps him still: what is
    confirmed is here afterwards. From then on all is refused, also of who had come in before."""
    writer, late, ends = None, None, []
    held = 0

    def on_command(command):
        nonlocal held
        if not writer or ends:
            return
        held += held > 0 or command.startswith(b"APPLY LEAVE")
        if command.startswith(b"APPLY LOCAL_UNUSER"):
            ends.append(late.end())
        if held or ends or writer.n < 130:
            writer.write()

    with servers.relay(on_command=on_command) as relay:
        move_there(servers, relay, "anna")
        writer, late = Writer(servers.two, "anna"), Late(servers.two, "anna")
        servers.move("--abort", "anna")
    assert len(writer.confirmed) > 4
    is_back_with(servers, "anna", writer.confirmed)
    assert held > 4 and len(writer.confirmed) <= 32 and len(writer.refused) == 2 * (held - 1)
    assert not [text for text in writer.refused if not re.search("mov(ing|ed) to", text)]
    (appended, delivered), = ends
    assert appended.startswith(b"X NO [UNAVAILABLE] This account is moving") and delivered == 451, ends
    # and he can move there again
    servers.begin("anna", "--grace", "0")
    with servers.two.imap("anna") as imap:
        imap.logout()


def test_a_target_that_can_not_keep_him_still(servers):
    """Such as 3.6.1: what comes after the directory was told, and when he is let in here, comes along, until the last copy begins."""
    writer, there = None, []

    def on_command(command):
        told = writer and servers.lives("bert") == servers.one.conf["servername"]
        if told and not there or len(there) == 1 and servers.state("bert") == "active":
            there.append(command)
            writer.write()

    def on_answer(command, answer):
        return answer.replace(b"* X-LEAVE\r\n", b"")

    with servers.relay(on_command=on_command, on_answer=on_answer) as relay:
        move_there(servers, relay, "bert")
        writer = Writer(servers.two, "bert")
        said = servers.move("--abort", "bert")
        assert not any(command.startswith(b"APPLY LEAVE") for command in relay.commands)
    assert "kept still" not in said and len(there) == 2 and len(writer.confirmed) == 4, (said, there, writer.refused)
    is_back_with(servers, "bert", writer.confirmed)


KILLS = {
    "before_anything": {"CYLINDER_DISKIO_KILL": "rename:1:conf/moves/"},
    "before_the_command": {"MOVE_BEFORE": "kill -9 $PPID; exit 1"},
    "after_the_command": {"MOVE_AFTER": "kill -9 $PPID"},
    "let_in_here": {"CYLINDER_DISKIO_KILL": "rename:2:conf/moves/"},
    "at_the_end": {"CYLINDER_DISKIO_KILL": "unlink:1:conf/moves/"},
    "the_command_hangs": {"MOVE_BEFORE": "exec sleep 60"},
}
HELD = ("before_the_command", "after_the_command", "the_command_hangs")


@pytest.mark.parametrize("way", ["resume", "abort"])
def test_killed_on_the_way_back(servers, way):
    """At each step, all at the same time: what has come there is here afterwards, whichever way he goes on; meanwhile he is let in at one end at most."""
    users = {f"{way}{n}": name for n, name in enumerate(KILLS)}
    before = {}

    def kill(user):
        servers.begin(user)
        servers.two.deliver(message(70), user)
        hangs = users[user] == "the_command_hangs"
        args = ("--switch-timeout", 1) if hangs else ()
        servers.move("--abort", *args, user, env=KILLS[users[user]], wanted=75 if hangs else -signal.SIGKILL)

    def go_on(user):
        name = users[user]
        step = {"before_anything": "switched", "at_the_end": "aborting"}.get(name, "returning")
        assert f"{user}\t{step}\t" in servers.move("--list"), name
        there = servers.two.run("cyr_user", "list", "--all", user).stdout.split("\t")
        wanted = {"before_anything": ("moving-out", "active"), "let_in_here": ("active", "moving-out")}.get(name, ("moving-out", "moving-out"))
        if name != "at_the_end":
            assert (servers.state(user), there[1]) == wanted, name
        if name == "let_in_here":
            servers.one.deliver(message(71), user)
        if way == "resume" and name == "before_anything":
            way_on = "--abort"
        else:
            way_on = f"--{way}"
        servers.move(way_on, user, wanted=1 if way_on == "--resume" else 0)

    for user in users:
        servers.fill(user)
    with ThreadPoolExecutor(len(users)) as pool:
        list(pool.map(kill, users))
        list(pool.map(go_on, users))
    for user, name in users.items():
        is_back_with(servers, user, ["test 70"] + ["test 71"] * (name == "let_in_here"))


def test_he_can_not_come_back(servers):
    """The directory says no, or the ends can't be made equal: he is let in on the target as he was."""
    servers.fill("dora")
    servers.begin("dora")
    servers.two.run("cyr_user", "disable", "dora")
    for state in ("disabled", "active"):
        assert "exit status 3" in servers.move("--abort", "dora", env={"MOVE_BEFORE": "exit 3"}, wanted=75)
        assert servers.two.run("cyr_user", "list", "--all", "dora").stdout.split("\t")[1] == state
        servers.two.run("cyr_user", "enable", "dora")
    servers.two.deliver(message(80), "dora")
    os.rename(servers.one.path("spool"), servers.one.path("spool.away"))
    servers.one.account.mkdir(servers.one.path("spool"))
    try:
        assert "copying back" in servers.move("--abort", "dora", wanted=75)
    finally:
        os.rename(servers.one.path("spool"), servers.one.path("spool.empty"))
        os.rename(servers.one.path("spool.away"), servers.one.path("spool"))
    servers.two.deliver(message(81), "dora")
    servers.move("--abort", "dora")
    is_back_with(servers, "dora", ["test 80", "test 81"])


def test_the_file_of_the_way_back_is_lost(servers):
    """The same move begun again lets him in on the target, where he is then."""
    servers.fill("emil")
    servers.begin("emil")
    servers.move("--abort", "emil", env={"MOVE_BEFORE": "kill -9 $PPID; exit 1"}, wanted=-signal.SIGKILL)
    os.unlink(servers.one.path("conf", "moves", "emil"))
    with pytest.raises(Rejected, match="is moving to"):
        servers.two.imap("emil")
    servers.begin("emil", "--grace", "0")
    servers.has_moved("emil", user_state(servers.two, "emil"))
    servers.two.deliver(message(90), "emil")
    assert subjects(servers.two, "emil")[-1] == "test 90"


def test_on_the_wire(servers):
    servers.fill("fritz")
    with login(servers.one) as csync:
        for command in ("LEAVE fritz", "LEAVE %(USERID fritz)", "LEAVE %(USERID ../x SERVER a)", "LEAVE %(USERID nobody SERVER a)",
                        "STAY %(USERID fritz SERVER a)", "STAY %(USERID fritz SERVER a STATE moved)", "STAY %(USERID nobody SERVER a STATE active)"):
            assert csync.cmd(f"APPLY {command}").status == "NO", command
        assert servers.state("fritz") == "active"
        for _ in range(2):
            csync.ok("APPLY LEAVE %(USERID fritz SERVER a)")
            assert servers.state("fritz") == "moving-out"
        # somebody else's affair
        assert csync.cmd("APPLY LEAVE %(USERID fritz SERVER b)").text.startswith("IMAP_MAILBOX_NOTSUPPORTED")
        assert csync.cmd("APPLY STAY %(USERID fritz SERVER b STATE active)").text.startswith("IMAP_MAILBOX_NOTSUPPORTED")
        assert re.search(rb"STATE moving-out", csync.ok("GET USERSTATE %(USERID fritz)").untagged[0])
        for _ in range(2):
            csync.ok("APPLY STAY %(USERID fritz SERVER a STATE disabled)")
            assert servers.state("fritz") == "disabled"

# SPDX-License-Identifier: BSD-3-Clause
"""sync_transport: a program whose standard input and output are the connection to the replica. And the other ways to get there."""

import itertools
import json
import os
import re

import pytest

from cyltest import Pair, processes, rolling
from cyltest.credentials import password
from cyltest.refill import CONF, check_refill, fill
from cyltest.syncdata import assert_same, diverge, fill_user
from cyltest.transports import exports, fingerprint, service, write_program


def channels(replica, directory):
    """Options of each: the same replica by all ways, and programs that are of no use."""
    server, env = service(replica), exports(replica)
    program = lambda name, *lines, **kwargs: {"transport": write_program(directory, name, *lines, **kwargs)}
    socket_words = program("socket", env, 'echo "arguments: $*" >&2', f"exec {server}")["transport"] + "  a 'b   c'"
    tcp = {"host": "127.0.0.1", "port": replica.ports["csync"], "authname": "repl", "password": password("repl")}
    pinned = {**tcp, "certificate": fingerprint(replica.path("conf/cert.pem"))}
    return {
        "socket": {"transport": socket_words, "authname": "nobody"},
        "pipe": {"transport": "exec:" + program("pipe", env, f"cat | {server} | cat")["transport"]},
        "login": {**program("login", f"exec 3<>/dev/tcp/127.0.0.1/{replica.ports['csync']}", "cat <&3 &", "cat >&3", "kill %1",
                            shell="/bin/bash"), "host": "the.replica", "authname": "repl", "password": password("repl")},
        "unix": {"host": replica.path("conf/socket/csync")},
        "tcp": tcp,
        "tls": pinned,
        "otherpin": {**pinned, "certificate": "SHA256:" + "ab" * 32},
        "badpin": {**pinned, "certificate": "ab:cd"},
        "dies": program("dies", "echo 'no route, says the program' >&2", "printf 'no newline' >&2", "exit 3"),
        "killed": program("killed", "kill -9 $$"),
        "rubbish": program("rubbish", "echo 'Welcome to this host'", "cat >/dev/null"),
        "cut": program("cut", env, f"{server} </dev/null | cat", "exit 4"),
        "hangs": program("hangs", "trap '' TERM", "echo hangs >&2", "sleep 1000 & sleep 1000"),
        "none": {"transport": "/nonexistent/program x"},
    }


@pytest.fixture(scope="module")
def pair(module_factory):
    """The primary's default channel is a program, too: it does not know where the replica is."""
    pair = Pair(module_factory("one", services=("imap", "lmtp", "csync")), module_factory("two", services=("imap", "csync")))
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.allow_log("IOERROR|SYNCERROR|connection to|Can not connect|badlogin")
    pair.replica.use_tls()
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.replica.path("conf/socket/csync"))
    for option in ("sync_host", "sync_port", "sync_authname", "sync_password"):
        del pair.primary.conf[option]
    ways = channels(pair.replica, pair.primary)
    for channel, options in ways.items():
        pair.primary.conf.update({f"{channel}_sync_{option}": value for option, value in options.items()})
    pair.primary.conf.update({"sync_transport": ways["socket"]["transport"], "client_timeout": "1s", **rolling.QUICK})
    pair.start()
    fill(pair)
    return pair


def sync(pair, channel, *args, check=True):
    return pair.primary.run("sync_client", "-v", "-o", "-n", channel, *args, check=check)


def programs(pair, name):
    """Processes of that script; the environment may already be the replica's."""
    path = pair.primary.path(name)
    return [pid for server in (pair.primary, pair.replica) for pid in server.children(path)
            if path in processes.command(pid).split()]


def servers_by_hand(pair):
    """Of the replica, started by programs: their service is called pipe, as in transports.service_env."""
    return pair.replica.children("pipe: ")


NUMBERS = itertools.count()


def change(pair):
    """One more message, unlike all before."""
    with pair.primary.imap("anna") as imap:
        imap.append("INBOX.Work", b"Subject: change %d\r\n\r\nbody\r\n" % next(NUMBERS))
        imap.logout()


@pytest.mark.parametrize("channel, how", [
    ("socket", r"\[unix socket\] \S+ nopassword "), ("pipe", r"\[stdio\] \S+ nopassword "), ("login", r"\S.* repl PLAIN "),
    ("unix", r"\[unix socket\] \S+ nopassword "), ("tcp", r"\S.* repl PLAIN"), ("tls", r"\S.* repl PLAIN\+TLS ")])
def test_a_change_goes_over(pair, channel, how):
    mark = pair.replica.log_mark()
    change(pair)
    done = sync(pair, channel, "--verify", "-u", "anna")
    assert re.search(r"^1 mailboxes updated, 1 messages uploaded .* 0 differences left$", done.stdout, re.M)
    assert re.search(rf"login: {how}", pair.replica.log_text(mark))
    assert_same(pair.primary, pair.replica)


@pytest.mark.parametrize("channel", ["pipe", "unix", "tls", "tcp"])
def test_everything_of_a_user_goes_over(pair, channel):
    """Also when both ends have changed."""
    user = f"of{channel}"
    fill_user(pair.primary, user)
    pair.replica.add_user(user)
    sync(pair, channel, "-u", user)
    assert_same(pair.primary, pair.replica, user)
    diverge(pair.primary, pair.replica, user)
    done = sync(pair, channel, "--verify", "-u", user)
    assert ", 0 differences left" in done.stdout
    assert_same(pair.primary, pair.replica, user)


@pytest.mark.parametrize("channel", ["socket", "pipe", "tcp"])
def test_compression_can_be_demanded(pair, channel):
    change(pair)
    done = sync(pair, channel, "-z", "-u", "anna")
    assert " messages uploaded" in done.stdout
    assert_same(pair.primary, pair.replica)


def test_words_and_standard_error(pair):
    """Words are separated by blanks and nothing else; what the program says is in the log."""
    mark = pair.primary.log_mark()
    sync(pair, "socket", "-u", "anna")
    pair.primary.wait_log(r"sync_client\[\d+\]: \S*/socket: arguments: a 'b c'$", mark)


def test_login_behind_a_program(pair):
    """Where the other end asks for one it is done, and a wrong one is refused."""
    pair.primary.conf["login_sync_password"] = password("repl") + "x"
    pair.primary.write_conf()
    change(pair)
    done = sync(pair, "login", "-u", "anna", check=False)
    assert done.returncode == 1 and "Can not connect to server 'the.replica'" in pair.primary.log_text()
    pair.primary.conf["login_sync_password"] = password("repl")
    pair.primary.write_conf()
    sync(pair, "login", "-u", "anna")
    assert_same(pair.primary, pair.replica)


FAILURES = {
    "dies": "the program ended with exit status 3",
    "killed": "the program was killed by signal 9",
    "rubbish": "unexpected greeting: Welcome to this host",
    "none": "cannot run '/nonexistent/program': No such file or directory",
    "cut": "the program ended with exit status 4",
    "hangs": "the program had to be ended",
    "otherpin": f"shows the certificate %s, wanted is {'ab' * 32}",
    "badpin": "'ab:cd' is no SHA-256 fingerprint of a certificate",
}


@pytest.mark.parametrize("channel", FAILURES)
def test_connection_that_fails(pair, channel):
    """A clear error, nothing is left running, nobody has logged in."""
    mark, replicas = pair.primary.log_mark(), pair.replica.log_mark()
    done = sync(pair, channel, "-u", "anna", check=False)
    assert done.returncode == 1
    log = pair.primary.log_text(mark)
    why = FAILURES[channel].replace("%s", fingerprint(pair.replica.path("conf/cert.pem")).replace(":", "").lower())
    assert re.search(rf"connection to \S+ \(csync\).*{re.escape(why)}", log), log
    if channel == "dies":
        assert "/dies: no route, says the program" in log and "/dies: no newline" in log
    if channel.endswith("pin"):
        assert "login" not in pair.replica.log_text(replicas)
    assert not programs(pair, channel) and not pair.primary.children("sleep")


def test_rolling_with_workers(pair):
    """Each worker has a program of its own; one that is killed is started again; in the end none is left."""
    client = pair.primary.popen("sync_client", "-R", "-n", "pipe", "-j", "2")
    rolling.caught_up(pair.primary, "pipe")
    change(pair)
    rolling.caught_up(pair.primary, "pipe")
    assert_same(pair.primary, pair.replica)
    killed = programs(pair, "pipe")
    assert killed
    for pid in killed:
        processes.kill(pid)
    change(pair)
    rolling.caught_up(pair.primary, "pipe")
    assert_same(pair.primary, pair.replica)
    assert servers_by_hand(pair)
    client.terminate()
    assert client.wait(20) == 0
    processes.wait_gone(servers_by_hand(pair), 5)
    assert not programs(pair, "pipe") and not servers_by_hand(pair)


def test_client_that_is_killed_leaves_no_program(pair):
    before = servers_by_hand(pair)
    client = pair.primary.popen("sync_client", "-R", "-n", "pipe")
    change(pair)
    rolling.caught_up(pair.primary, "pipe")
    left = programs(pair, "pipe") + servers_by_hand(pair)
    client.kill()
    client.wait()
    assert not before and len(left) > 1
    assert not processes.wait_gone(left, 10)


def test_reconstruct_takes_it_too(pair):
    check_refill(pair.primary, ("--from-replica=pipe",))


def test_status_of_a_user_takes_it_too(pair):
    sync(pair, "pipe", "-u", "anna")
    told, = json.loads(pair.primary.run("sync_client", "-n", "pipe", "--status", "--json", "--ask", "--user", "anna").stdout)
    assert told["proven"] and not told["differences"] and told["modseqs_behind"] == 0


def test_failover_takes_it_too(pair):
    told = pair.primary.run("failover", "-n", "pipe", "status").stdout
    assert re.match(r"this server: none\nthe other end: none\nanna: 2 mailboxes, ", told)


def test_check_replication_takes_it_too(pair, module_factory):
    """With imapd behind the program."""
    sync(pair, "pipe", "-u", "anna")
    imapd = write_program(pair.primary, "imapd", exports(pair.replica), f"exec {service(pair.replica, 'imapd')}")
    secret = pair.primary.path("secret")
    with open(secret, "w", encoding="ascii") as f:
        f.write(password("repl"))
    pair.primary.account.give(secret)
    os.chmod(secret, 0o600)
    done = pair.primary.run("check_replication", "-a", "repl", "-w", secret, "--authname-b", "repl", "--password-file-b", secret,
                            f"127.0.0.1:{pair.primary.ports['imap']}", f"exec:{imapd}", "anna", check=False)
    assert done.returncode == 0, done

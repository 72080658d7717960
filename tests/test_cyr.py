# SPDX-License-Identifier: BSD-3-Clause
"""cyr: several instances on one machine (W018). A program runs for one of them or for all; what is wrong with one concerns no other."""

import os
import signal
import subprocess
import threading
import time

import pytest

from cyltest import processes
from cyltest.syncdata import message


class Instances:
    def __init__(self, server):
        self.server, self.dir = server, server.path("instances")
        os.mkdir(self.dir)
        os.chmod(self.dir, 0o755)

    def add(self, name, conf):
        """An instance whose file is that of a server, or has this text."""
        path = os.path.join(self.dir, f"{name}.conf")
        if conf.startswith("/"):
            os.symlink(conf, path)
        else:
            with open(path, "w", encoding="ascii") as f:
                f.write(conf)
            os.chmod(path, 0o644)
        return path

    def argv(self, *args):
        return [self.server.program("cyr"), *args]

    def env(self):
        return {**self.server.env, "CYRUS_INSTANCES": self.dir}

    def __call__(self, *args, status=0, **kwargs):
        done = subprocess.run(self.argv(*args), env=self.env(), capture_output=True, text=True, check=False, timeout=120,
                              **{"stdin": subprocess.DEVNULL, **kwargs}, **self.server.account.popen_args())
        assert done.returncode == status, done
        return done

    def popen(self, *args):
        return subprocess.Popen(self.argv(*args), env=self.env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                stdin=subprocess.DEVNULL, **self.server.account.popen_args())


@pytest.fixture(scope="module")
def two(module_factory):
    """Two servers that run, and a third that can't."""
    servers = [module_factory("alpha"), module_factory("beta")]
    for server in servers:
        server.conf["unixhierarchysep"] = False
        server.allow_log("IOERROR|DBERROR|signaled|abnormally|killed|ERROR|exited|shutdown|Permission")
        server.add_user("anna")
        server.start()
        server.create_user("anna")
    cyr = Instances(servers[0])
    for server in servers:
        cyr.add(server.name, server.imapd_conf)
    cyr.add("broken", "configdirectory: /nowhere/at/all\nthis is no line\n")
    return servers, cyr


def test_list(two):
    _, cyr = two
    for name in (".hidden.conf", "other.txt", "bad name.conf", ".conf", "-x.conf", "sl\\ash.conf"):
        with open(os.path.join(cyr.dir, name), "w", encoding="ascii"):
            pass
    try:
        assert cyr("-l").stdout.splitlines() == [f"{name}\t{cyr.dir}/{name}.conf" for name in ("alpha", "beta", "broken")]
    finally:
        for name in (".hidden.conf", "other.txt", "bad name.conf", ".conf", "-x.conf", "sl\\ash.conf"):
            os.unlink(os.path.join(cyr.dir, name))


def test_for_one(two):
    servers, cyr = two
    for server in servers:
        said = cyr("-i", server.name, "cyr_info", "conf").stdout
        assert f"configdirectory: {server.path('conf')}" in said
        assert cyr("-i", server.name, "mbpath", "user.anna").stdout.startswith(server.path("spool"))
    # arguments and exit codes are those of the command, --help too
    assert "cyr_info" in cyr("-i", "alpha", "cyr_info", "--help").stdout
    assert cyr("-i", "alpha", "sync_client", status=64).stderr.startswith("No replication mode specified")
    assert cyr("-i", "alpha", "mbpath", "-q", "no.such", status=cyr.server.run("mbpath", "-q", "no.such", check=False).returncode)
    batch = cyr("-i", "beta", "cyr_dbtool", servers[1].path("conf/mailboxes.db"), "twoskip", "batch", stdin=None, input="SHOW\n")
    assert "user" in batch.stdout


def test_takes_its_place(two):
    """Signals reach the command, and its end is that of cyr."""
    _, cyr = two
    client = cyr.popen("-i", "alpha", "sync_client", "-R", "-n", "x", "-S", "127.0.0.1:1")
    processes.kill(client.pid, signal.SIGKILL)
    client.communicate(timeout=60)
    assert client.returncode == -signal.SIGKILL


@pytest.mark.parametrize("name", ["../alpha", "a/b", "", ".", "..", ".hidden", "nobody", "al pha", "alpha.conf/../alpha"])
def test_no_such_instance(two, name):
    assert "no instance" in two[1]("-i", name, "cyr_info", "conf", status=66).stderr


@pytest.mark.parametrize("name", ["../imap/cyr_info", "/bin/sh", "sh", "", "..", "no_such"])
def test_no_such_command(two, name):
    assert "no such command" in two[1]("-i", "alpha", name, status=127).stderr
    assert "no such command" in two[1]("-a", name, status=127).stderr


@pytest.mark.parametrize("args", [(), ("-i", "alpha"), ("-a",), ("-a", "-i", "alpha", "cyr_info"), ("-l", "x"), ("-q", "-i", "alpha", "cyr_info"),
                                  ("-l", "-a"), ("cyr_info",), ("-x",)])
def test_usage(two, args):
    assert two[1](*args, status=64).stderr.endswith("--help, --version\n")


def test_for_all(two):
    """One that can't be done is named, and keeps nobody."""
    _, cyr = two
    done = cyr("-a", "mbpath", "user.anna", status=1, stdin=None, input="nobody reads this\n")
    heads = [n for n, line in enumerate(done.stdout.splitlines()) if line.startswith("== ")]
    lines = done.stdout.splitlines()
    assert [lines[n] for n in heads] == ["== alpha", "== beta", "== broken"]
    assert lines[1].startswith(two[0][0].path("spool")) and lines[3].startswith(two[0][1].path("spool"))
    failed = [line for line in done.stderr.splitlines() if line.startswith("cyr: ")]
    assert len(failed) == 1 and failed[0].startswith("cyr: broken: mbpath: exit ")
    assert "==" not in cyr("-a", "-q", "mbpath", "user.anna", status=1).stdout
    os.rename(os.path.join(cyr.dir, "broken.conf"), os.path.join(cyr.dir, "broken.off"))
    try:
        assert not cyr("-a", "mbpath", "user.anna").stderr
    finally:
        os.rename(os.path.join(cyr.dir, "broken.off"), os.path.join(cyr.dir, "broken.conf"))


def test_none_at_all(two):
    _, cyr = two
    for directory in (cyr.server.path("tmp"), cyr.server.path("no-such")):
        done = subprocess.run(cyr.argv("-a", "cyr_info", "conf"), env={**cyr.env(), "CYRUS_INSTANCES": directory},
                              capture_output=True, text=True, check=False)
        assert done.returncode == 66 and directory in done.stderr


def test_all_are_ended_together(two):
    _, cyr = two
    client = cyr.popen("-a", "sync_client", "-R", "-n", "y", "-S", "127.0.0.1:1")
    child = None
    end = time.monotonic() + 60
    while not child and time.monotonic() < end:
        with open(f"/proc/{client.pid}/task/{client.pid}/children", encoding="ascii") as f:
            child = f.read().split()
    assert child
    two[0][0].wait_log("Can not connect to server")
    client.terminate()
    said = client.communicate(timeout=60)[0]
    assert client.returncode == 128 + signal.SIGTERM and "== beta" not in said
    assert not os.path.exists(f"/proc/{child[0]}")


def test_what_is_wrong_with_one_concerns_no_other(two):
    """The spool of alpha can't be read, its disk fails, it is killed: beta, under load, has no error, and keeps its processes."""
    (alpha, beta), cyr = two
    over, trouble, rounds = threading.Event(), [], [0]

    def load():
        try:
            with beta.imap("anna") as imap:
                while not over.is_set():
                    rounds[0] += 1
                    imap.append("INBOX", message(rounds[0]))
                    imap.ok("SELECT INBOX")
                    imap.ok(r"STORE 1 +FLAGS (\Seen)")
                    beta.deliver(message(rounds[0]), "anna")
                imap.logout()
        except Exception as error:  # pylint: disable=broad-exception-caught
            trouble.append(error)

    mark, master = beta.log_mark(), beta.pid
    thread = threading.Thread(target=load)
    thread.start()
    try:
        os.chmod(alpha.path("spool"), 0)
        cyr("-i", "alpha", "reconstruct", "-n", "user.anna", status=cyr.server.run("reconstruct", "-n", "user.anna", check=False).returncode)
        os.chmod(alpha.path("spool"), 0o755)
        alpha.kill()
        cyr("-a", "ctl_cyrusdb", "-c", status=1)
        assert cyr("-i", "beta", "mbpath", "user.anna").stdout
        with pytest.raises(AssertionError):
            alpha.env["CYLINDER_DISKIO_KILL"] = "change:1"
            alpha.start()
        del alpha.env["CYLINDER_DISKIO_KILL"]
        alpha.kill()
        alpha.start()
        before = rounds[0]
        end = time.monotonic() + 60
        while rounds[0] < before + 3 and not trouble and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        over.set()
        thread.join()
    assert not trouble and rounds[0] > before
    assert beta.pid == master and not [line for line in beta.log_text(mark).splitlines() if "ERROR" in line]
    assert "alpha/" not in beta.log_text() and "beta/" not in alpha.log_text()  # each says in its log who it is


def test_many(module_factory):
    """CYL_INSTANCES of them: each is stopped and started while the sessions of all others go on, and one program is run for all."""
    servers = [module_factory(f"many{n:02d}", services=("imap",)) for n in range(int(os.environ.get("CYL_INSTANCES", "3")))]
    cyr = Instances(servers[0])
    for server in servers:
        server.conf["unixhierarchysep"] = False
        server.add_user("anna")
        cyr.add(server.name, server.imapd_conf)
        server.start()
        server.create_user("anna")
    sessions = {server: server.imap("anna") for server in servers}
    for n, server in enumerate(servers):
        sessions[server].logout()
        server.restart()
        sessions[server] = server.imap("anna")
        for other in servers:
            sessions[other].append("INBOX", message(n))
    assert cyr("-a", "mbpath", "user.anna").stdout.splitlines() == [
        line for server in servers for line in (f"== {server.name}", server.run("mbpath", "user.anna").stdout.strip())]
    for session in sessions.values():
        assert f"MESSAGES {len(servers)}".encode() in session.ok("STATUS INBOX (MESSAGES)").untagged[0]
        session.logout()

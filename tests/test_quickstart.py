# SPDX-License-Identifier: BSD-3-Clause
"""tools/quickstart as a newcomer runs it, but with the programs that are built already."""

import imaplib
import json
import os
import pty
import re
import select
import shlex
import shutil
import ssl
import subprocess
import tempfile

import pytest

from cyltest.programs import TOP

QUICKSTART = os.path.join(TOP, "tools", "quickstart")
MBOX = "".join(
    f"From bob@example.org Mon Jan  1 00:00:0{n} 2024\nFrom: bob@example.org\nSubject: mine {n}\n"
    f"Message-ID: <mine{n}@example.org>\nDate: Mon, 01 Jan 2024 00:00:0{n} +0000\n\nmy mail {n}\n\n"
    for n in range(1, 8))


class Quickstart:
    def __init__(self, base, build):
        self.base, self.dir, self._build = base, os.path.join(base, "it"), build

    def run(self, *args, check=True, **kwargs):
        command = [QUICKSTART, "--no-install", "--no-build", "--build", self._build, "--dir", self.dir,
                   *args]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=300, check=False, cwd=self.base, **kwargs)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def processes(self):
        """Commands that run from, or name, the directory."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    command = f.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if self.dir + "/" in command:
                found.append(command)
        return found


@pytest.fixture(scope="module")
def base():
    path = tempfile.mkdtemp(prefix="cyl-quickstart-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def quickstart(base, programs):
    """Two servers with mail, and what was said."""
    made = Quickstart(base, programs.build)
    try:
        made.said = made.run("--messages", "20").stdout
        yield made
    finally:
        made.run("--stop", check=False)


def connection(said):
    """user, password, port and CA file as the text tells."""
    user, password = re.search(r"^user (\S+), password (\S+) ", said, re.M).groups()
    port = int(re.search(r"-connect 127\.0\.0\.1:(\d+)", said).group(1))
    return user, password, port, re.search(r"-CAfile (\S+)", said).group(1)


def test_says_what_it_does_and_both_ends_are_equal(quickstart):
    said = quickstart.said
    steps = re.findall(r"^==> (.*)$", said, re.M)
    assert [s.split()[0] for s in steps] == ["Servers", "Mail", "Replication", "Comparison:",
                                             "Comparison:", "Yours"]
    assert re.search(r"a generated conversation: 20 delivered in [\d.]+ s", said)
    assert re.search(r"^EQUAL$", said, re.M)
    rows = re.findall(r"^    (\S+) +\d+ .* (same|\[.*\])$", said, re.M)
    assert {name for name, _ in rows} == {"INBOX", "Archive", "Drafts"}
    assert all(state == "same" for _, state in rows)


def test_python_client_over_tls(quickstart):
    user, password, port, ca = connection(quickstart.said)
    replica = int(re.search(r"the replica is the same with port (\d+)", quickstart.said).group(1))
    counts = []
    for p in (port, replica):
        box = imaplib.IMAP4_SSL("localhost", p, ssl_context=ssl.create_default_context(cafile=ca))
        box.login(user, password)
        counts.append(int(box.select("INBOX", readonly=True)[1][0]))
        box.logout()
    assert counts[0] == counts[1] > 0


def test_openssl_lines_work_as_printed(quickstart):
    lines = quickstart.said.splitlines()
    at = next(i for i, line in enumerate(lines) if "openssl s_client" in line)
    typed = "".join(line.strip() + "\n" for line in lines[at + 1:at + 5])
    done = subprocess.run(shlex.split(lines[at]), input=typed, capture_output=True, text=True,
                          timeout=60, check=False)
    for tag in "abcd":
        assert re.search(rf"^{tag} OK ", done.stdout, re.M), done.stdout + done.stderr
    assert "ENVELOPE" in done.stdout


def test_mutt_line_works_as_printed(quickstart, tmp_path):
    if shutil.which("mutt") is None:
        pytest.skip("NOT TESTED: mutt is not installed (apt-get install mutt)")
    text = quickstart.said.partition("    mutt ")[2].partition("\n    openssl")[0]
    argv = shlex.split(text.replace("\\\n", " "))
    argv = ["mutt", "-n", "-F", "/dev/null", *argv, "-e", "set quit=yes wait_key=no",
            "-e", "push <quit>"]
    (tmp_path / "Mail").mkdir()  # else mutt asks
    leader, follower = pty.openpty()
    # mutt asks nothing when the certificate is verified: it opens INBOX, and quits
    running = subprocess.Popen(argv, stdin=follower, stdout=follower, stderr=follower,
                               env={**os.environ, "TERM": "xterm", "HOME": str(tmp_path)})
    os.close(follower)
    shown = b""
    try:
        while select.select([leader], [], [], 60)[0]:
            shown += os.read(leader, 4096)
    except OSError:
        pass  # mutt has closed its terminal
    finally:
        os.close(leader)
    assert running.wait(60) == 0, shown
    assert b"How shall we carve it?" in shown, shown


def test_compare_again_and_replicate_again(quickstart):
    script = re.search(r"compare again: +(\S+)", quickstart.said).group(1)
    again = shlex.split(re.search(r"replicate again: +(.*)", quickstart.said).group(1))
    user, password, port, ca = connection(quickstart.said)
    box = imaplib.IMAP4_SSL("localhost", port, ssl_context=ssl.create_default_context(cafile=ca))
    box.login(user, password)
    box.append("INBOX", None, None, b"Subject: new\r\n\r\nnew\r\n")
    box.logout()
    done = subprocess.run([script, "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and json.loads(done.stdout)["differences"]
    assert run_as_servers(again).returncode == 0
    done = subprocess.run([script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def run_as_servers(argv):
    from cyltest import Account
    account = Account()
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **account.env()}, **account.popen_args())


def test_nothing_outside_its_directory(quickstart):
    assert os.listdir(quickstart.base) == ["it"]
    assert quickstart.processes()


def test_again_with_own_mail_then_stop(quickstart):
    """Last: it takes the place of the servers above."""
    mbox = os.path.join(quickstart.base, "mail.mbox")
    with open(mbox, "w", encoding="ascii") as f:
        f.write(MBOX)
    before = {p.split()[0] for p in quickstart.processes()}
    said = quickstart.run("--mbox", "mail.mbox").stdout
    os.unlink(mbox)
    assert before and "primary stopped" in said and "replica stopped" in said
    assert "7 delivered" in said and re.search(r"^EQUAL$", said, re.M)
    done = quickstart.run("--stop")
    assert "primary stopped" in done.stdout and "replica stopped" in done.stdout
    assert quickstart.processes() == []
    assert f"nothing is running in {quickstart.dir}" in quickstart.run("--stop").stdout


@pytest.mark.parametrize("what", ["file", "foreign", "missing"])
def test_a_directory_that_cannot_be_used(base, programs, what):
    made = Quickstart(base, programs.build)
    made.dir = os.path.join(base, what)
    if what == "file":
        with open(made.dir, "w", encoding="ascii"):
            pass
    elif what == "foreign":
        os.mkdir(made.dir)
        with open(os.path.join(made.dir, "precious"), "w", encoding="ascii"):
            pass
    else:
        made.dir = "/proc/quickstart"
    try:
        done = made.run(check=False)
        assert done.returncode == 1
        assert "quickstart: " in done.stderr and "Traceback" not in done.stderr, done.stderr
        if what == "foreign":
            assert os.listdir(made.dir) == ["precious"]
    finally:
        if what == "file":
            os.unlink(made.dir)
        elif what == "foreign":
            shutil.rmtree(made.dir)


@pytest.mark.parametrize("args", [("--bogus",), ("--mbox",), ("--mbox", "/nosuch"), ("--messages",)])
def test_wrong_arguments(args):
    done = subprocess.run([QUICKSTART, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 1 and done.stderr.startswith("quickstart: ")


def test_programs_that_are_not_built(base):
    made = Quickstart(base, os.path.join(base, "nobuild"))
    made.dir = os.path.join(base, "other")
    done = made.run(check=False)
    assert done.returncode == 1 and "not built in" in done.stderr
    shutil.rmtree(made.dir, ignore_errors=True)

# SPDX-License-Identifier: BSD-3-Clause
"""POP3 beside Debian's 3.6.1: the same sessions on the same mailbox; and clients of others."""

import os
import re
import shutil
import subprocess

import pytest

CLIENTS = "/usr/lib/cyrus/bin"


def message(n, body=b"line1\r\n.dot\r\n..two\r\n\r\nend\r\n"):
    return (b"From: a@example.com\r\nSubject: number %d\r\nMessage-ID: <i%d@example.com>\r\n"
            b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\n" % (n, n)) + body


MESSAGES = [message(1), message(2, b"no newline at the end"), message(3, b""),
            message(4, b".\r\n" * 500), b"Subject: only a header\r\n", b"Subject: blank\r\n\r\n"]

# Every command is sent as it stands; "BEGIN USER PASSWORD" logs in, "AGAIN" makes a new connection.
SESSION = """
CAPA|CAPA |CAPA x| CAPA|X|LANG|UTF8|AUTH|NOOP|STAT|LAST|XTND|STLS|USER|PASS x|APOP
USER alice|USER bob|PASS wrong|PASS alice.pw|AUTH FOO|RETR 1|DELE 1|USER no/such
BEGIN alice alice.pw|CAPA|STAT|LIST|UIDL|LIST 1|LIST 0|LIST 9|LIST x|LIST -1|LIST 1 2|LIST 1x
UIDL 2|UIDL 0|UIDL x|UIDL 1 2|RETR 1|RETR 2|RETR 3|RETR 4|RETR 5|RETR 6|RETR|RETR 0|RETR 7|RETR x
TOP 1 0|TOP 1 1|TOP 1 3|TOP 1 100|TOP 2 0|TOP 2 9|TOP 3 1|TOP 4 2|TOP 5 0|TOP 5 5|TOP 6 0|TOP 6 1
TOP|TOP 1|TOP 1 x|TOP 1 -1|TOP 1 1 1|TOP 9 1|TOP 0 0|DELE|DELE x|DELE 9|DELE 1 1
DELE 1|DELE 1|RETR 1|TOP 1 1|LIST 1|UIDL 1|LIST|UIDL|STAT|RSET|STAT|RSET x|NOOP|NOOP x|USER alice
DELE 2|DELE 4|STAT x|STAT |QUIT x|QUIT
AGAIN|BEGIN alice alice.pw|STAT|LIST|UIDL|RETR 2|DELE 1
AGAIN|BEGIN alice alice.pw|STAT|LIST|QUIT
AGAIN|BEGIN bob bob.pw|STAT|LIST|UIDL|RETR 1|QUIT
"""
MULTILINE = ("CAPA", "AUTH", "RETR", "TOP", "LIST", "UIDL")


def normal(line, uidvalidity):
    """Without what differs from server to server."""
    line = re.sub(rb"SESSIONID=<[^>]*>", b"SESSIONID", line)
    line = re.sub(rb"<\d+\.\d+@cyl\.test>", b"<CHALLENGE>", line)
    line = re.sub(rb"3\.6\.1-\S+", b"VERSION", line)
    return line.replace(uidvalidity, b"VALIDITY")


def ask(pop, command):
    """The lines of the answer."""
    first = pop.cmd(command)
    word, _, args = command.partition(" ")
    single = word in ("LIST", "UIDL") and args
    if not first.startswith(b"+OK") or word not in MULTILINE or single:
        return [first]
    lines = [first]
    while lines[-1] != b".":
        lines.append(pop.readline())
    return lines


def run_session(server):
    with server.imap("alice") as imap:
        line = imap.ok("STATUS INBOX (UIDVALIDITY)").find("* STATUS")[0]
        uidvalidity = re.search(rb"UIDVALIDITY (\d+)", line)[1]
    pop = server.pop3()
    log = [("connect", [normal(pop.greeting, uidvalidity)])]
    for command in SESSION.strip("\n").replace("\n", "|").split("|"):
        if command == "AGAIN":
            pop.close()
            pop = server.pop3()
            continue
        if command.startswith("BEGIN "):
            _, user, secret = command.split()
            answer = [pop.ok(f"USER {user}"), pop.ok(f"PASS {secret}")]
        else:
            answer = ask(pop, command)
        log.append((command, [normal(line, uidvalidity) for line in answer]))
    pop.close()
    return log


def start(server):
    server.start()
    server.create_user("alice")
    server.create_user("bob")
    with server.imap("alice") as imap:
        for text in MESSAGES:
            imap.append("INBOX", text)
    return server


# Where 3.6.1 answers otherwise, and why.
DIFFERENT = {
    "APOP": "an argument is missing",
}


def test_sessions_are_alike(factory, debian_factory):
    ours = run_session(start(factory(services=("imap", "pop3"))))
    theirs = run_session(start(debian_factory(services=("imap", "pop3"))))
    assert len(ours) == len(theirs)
    for (command, mine), (_, other) in zip(ours, theirs):
        assert mine == other or command in DIFFERENT, (command, mine, other)


def test_the_same_store(factory, debian_factory):
    """3.6.1 reads and deletes by POP3 in our store, and we in theirs."""
    ours = start(factory(services=("imap", "pop3")))
    with ours.pop3("alice") as pop:
        before = [pop.multiline(f"RETR {n}") for n in range(1, 7)]
        uidl = pop.multiline("UIDL")
        pop.ok("DELE 3")
        pop.ok("QUIT")
    ours.stop()
    theirs = debian_factory(services=("imap", "pop3"))
    for name in ("conf", "spool"):
        target = theirs.path(name)
        for entry in os.listdir(ours.path(name)):
            if entry in ("sasldb", "socket", "proc", "log", "journal", "cores"):
                continue
            source = os.path.join(ours.path(name), entry)
            copy = os.path.join(target, entry)
            if os.path.isdir(source):
                shutil.copytree(source, copy, dirs_exist_ok=True)
            else:
                shutil.copy2(source, copy)
        for top, dirs, files in os.walk(target):
            for entry in dirs + files:
                theirs.account.give(os.path.join(top, entry))
    theirs.start()
    with theirs.pop3("alice") as pop:
        left = [n for n in range(6) if n != 2]
        assert [line.split()[1] for line in pop.multiline("UIDL")] == [
            uidl[n].split()[1] for n in left]
        assert [pop.multiline(f"RETR {n}") for n in range(1, 6)] == [before[n] for n in left]
        pop.ok("QUIT")


# ---- clients ----


def need(program, package):
    path = shutil.which(program) or os.path.join(CLIENTS, program)
    if not os.path.exists(path):
        pytest.skip(f"INTEROP NOT TESTED: {program} is missing (apt-get install {package})")
    return path


def imtest(server, program, service, *args, user="alice", data=b""):
    """Output of a tool of cyrus-clients; its session gets data as commands."""
    port = str(server.ports[service])
    done = subprocess.run(
        [need(program, "cyrus-clients"), "-p", port, "-u", user, "-a", user, "-w", f"{user}.pw",
         "-r", "cyl.test", *args, "localhost"],
        input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    return done.stdout.decode(errors="replace").replace("\r\n", "\n")


@pytest.fixture
def sasl_server(factory):
    server = factory(services=("imap", "pop3"))
    server.add_service("lmtp", cmd="lmtpd")
    server.conf["sasl_mech_list"] = "PLAIN LOGIN DIGEST-MD5 CRAM-MD5 SCRAM-SHA-256"
    server.use_tls()
    server.allow_leaks("EVP_CIPHER_fetch")  # libsasl2's DIGEST-MD5, with a layer, and the plugin is unloaded at the end
    return start(server)


# Options of the tool, and the strength of the layer that must come of them.
MECHANISMS = [("-m PLAIN", 0), ("-m LOGIN", 0), ("-m CRAM-MD5", 0), ("-m SCRAM-SHA-256", 0),
              ("-m DIGEST-MD5 -l 0", 0), ("-m DIGEST-MD5 -l 1", 1),
              ("-m DIGEST-MD5 -k 56 -l 128", 128)]
TALK = {
    "pop3test": ("pop3", "alice", b"STAT\r\nQUIT\r\n", r"\+OK 6 \d+\n"),
    "imtest": ("imap", "alice", b"a STATUS INBOX (MESSAGES)\r\nb LOGOUT\r\n",
               r"\* STATUS INBOX \(MESSAGES 6\)"),
    "lmtptest": ("lmtp", "admin", b"MAIL FROM:<>\r\nRCPT TO:<alice>\r\nQUIT\r\n",
                 r"250 2\.1\.5 ok"),
}


def test_clients_of_cyrus(sasl_server):
    """Each mechanism, its security layers, and TLS, with the clients that 3.6.1 comes with."""
    for program, (service, user, commands, want) in TALK.items():
        for options, strength in MECHANISMS:
            out = imtest(sasl_server, program, service, *options.split(), user=user, data=commands)
            assert "Authenticated." in out and re.search(want, out), (program, options, out)
            assert f"Security strength factor: {strength}\n" in out, (program, options, out)
        out = imtest(sasl_server, program, service, "-m", "PLAIN", "-t", "", user=user,
                     data=commands)
        assert "TLS connection established" in out and re.search(want, out), (program, out)


def test_fetchmail(factory):
    server = start(factory(services=("imap", "pop3")))
    program = need("fetchmail", "fetchmail")
    home = server.path("tmp", "fetchmail")
    os.mkdir(home, 0o700)
    rcfile = os.path.join(home, "rc")
    with open(os.open(rcfile, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
        f.write(f'poll 127.0.0.1 protocol pop3 service {server.ports["pop3"]} uidl\n'
                f'  user alice password alice.pw sslproto "" fetchall no keep\n'
                f'  mda "/bin/cat >>{home}/box"\n')
    done = subprocess.run([program, "-f", rcfile, "--nosyslog", "-i", os.path.join(home, "ids"),
                           "--pidfile", os.path.join(home, "pid")],
                          env={"HOME": home, "FETCHMAILHOME": home, "PATH": os.environ["PATH"]},
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done
    with open(os.path.join(home, "box"), "rb") as f:
        box = f.read()
    assert box.count(b"Subject: ") == len(MESSAGES) and b"\n.dot\n..two\n" in box
    with server.pop3("alice") as pop:
        assert pop.cmd("STAT") == b"+OK 0 0"


def test_curl(factory):
    server = factory(services=("imap", "pop3"))
    server.use_tls()
    start(server)
    program = need("curl", "curl")
    url = f"pop3://localhost:{server.ports['pop3']}/"

    def curl(*args):
        return subprocess.run([program, "-s", "-S", "--cacert", server.cafile, "-u",
                               "alice:alice.pw", *args], stdout=subprocess.PIPE, timeout=60,
                              check=True).stdout

    assert curl("--ssl-reqd", url + "1") == MESSAGES[0]
    assert len(curl(url).splitlines()) == len(MESSAGES)
    assert curl("--login-options", "AUTH=+APOP", url + "4") == MESSAGES[3]
    curl("-X", "DELE 1", "-I", url)
    with server.pop3("alice") as pop:
        assert pop.cmd("STAT").startswith(b"+OK 5 ")

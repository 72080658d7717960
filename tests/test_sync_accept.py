# SPDX-License-Identifier: BSD-3-Clause
"""sync_accept: who may replicate to here is named in imapd.conf, with a secret in a file or a certificate; sync_client --ping."""

import os
import re
import shutil

import pytest

from cyltest import Pair, Rejected, rolling
from cyltest.credentials import password
from cyltest.syncdata import assert_same, message
from cyltest.transports import another_user, fingerprint, write_program

SECRETS = {"pair": "first=secret of/the+pair", "some": "second-secret-of-some"}


def write_secret(server, name, secret, mode=0o600, owner=None):
    """Its path."""
    path = server.path("conf", name)
    with open(path, "w", encoding="ascii") as f:
        f.write(secret + "\n")
    server.account.give(path)
    if owner is not None:
        os.chown(path, owner, server.account.gid)
    os.chmod(path, mode)
    return path


REFUSED = {  # name: what the log says of the file, but for its path
    "readable": "has mode 0644: others must not read it, nobody else write it",
    "writable": "has mode 0660: others must not read it, nobody else write it",
    "directory": "is no regular file",
    "missing": "No such file or directory",
    "empty": "has no secret of 1 to 1024 bytes in its first line",
    "strangers": "neither root nor this server's user",
}


def refused_files(server):
    files = {"readable": write_secret(server, "readable", "x-readable", 0o644),
             "writable": write_secret(server, "writable", "x-writable", 0o660),
             "directory": server.account.mkdir(server.path("conf/directory")),
             "missing": server.path("conf/missing"), "empty": write_secret(server, "empty", "")}
    if server.account.root:
        files["strangers"] = write_secret(server, "strangers", "x-strangers", 0o640, another_user(server).pw_uid)
    return files


@pytest.fixture(scope="module")
def pair(module_factory, credentials):
    pair = Pair(module_factory("one", services=("imap", "csync")), module_factory("two", services=("imap", "csync")))
    primary, replica = pair.primary, pair.replica
    for server in (primary, replica):
        server.conf.update(rolling.CONF)
        server.allow_log("IOERROR|SYNCERROR|config error|server '|Can not connect|badlogin|connection to")
    replica.use_tls()
    for name in ("csync", "notls", "scram"):
        replica.conf[f"{name}_allowplaintext"] = False
    for name, options in (("notls", {"tls_server_cert": "disabled"}),
                          ("scram", {"tls_server_cert": "disabled", "sasl_mech_list": "SCRAM-SHA-256 CRAM-MD5"})):
        replica.add_service(name, cmd="sync_server")
        replica.conf.update({f"{name}_{option}": value for option, value in options.items()})
    cert, key = (shutil.copy(path, primary.path("conf")) for path in credentials.client_cert("master"))
    for path in (cert, key):
        primary.account.give(path)
    primary.conf.update({"localhost_client_cert": cert, "localhost_client_key": key})
    peers = {"pair": write_secret(replica, "pair.secret", SECRETS["pair"]),
             "some": write_secret(replica, "some.secret", SECRETS["some"], 0o640) + " anna carol",
             "by.certificate": "SHA256:" + fingerprint(cert), **refused_files(replica)}
    pair.peers = peers
    replica.conf["sync_accept"] = "; ".join(f"{name} {rest}" for name, rest in peers.items()) + "; nonsense"
    for option in ("sync_authname", "sync_password", "sync_port", "sync_try_imap"):
        del primary.conf[option]
    pinned = fingerprint(replica.path("conf/cert.pem"))
    secret = write_secret(primary, "pair.secret", SECRETS["pair"] + "\r\nmore lines\n")
    wrong = write_secret(primary, "wrong.secret", "third-and-wrong")
    channels = {
        "pair": {"port": "csync", "authname": "pair", "password_file": secret, "certificate": pinned},
        "unpinned": {"port": "csync", "authname": "pair", "password_file": secret},
        "notls": {"port": "notls", "authname": "pair", "password_file": secret},
        "scram": {"port": "scram", "authname": "pair", "password_file": secret},
        "plainoption": {"port": "csync", "authname": "pair", "password": SECRETS["pair"]},
        "bycert": {"host": "localhost", "port": "csync", "certificate": pinned},
        "some": {"port": "csync", "authname": "some", "password": SECRETS["some"]},
        "wrong": {"port": "csync", "authname": "pair", "password_file": wrong},
        "wrongscram": {"port": "scram", "authname": "pair", "password_file": wrong},
        "unknown": {"port": "csync", "password_file": secret},  # as the servername
        "badfile": {"port": "csync", "authname": "pair", "password_file": write_secret(primary, "open", "y-open", 0o644)},
        "nobody": {"port": "1", "authname": "pair", "password_file": secret},
    }
    for name in refused_files(replica):
        channels[f"refused{name}"] = {"port": "csync", "authname": name, "password": f"x-{name}"}
    for channel, options in channels.items():
        options["port"] = replica.ports.get(options["port"], options["port"])
        primary.conf.update({f"{channel}_sync_{option}": value for option, value in options.items()})
    primary.conf.update({"client_timeout": "5s"})
    pair.start()
    for user in ("anna", "bob"):
        for server in (primary, replica):
            server.add_user(user)
        primary.create_user(user, "Work")
    pair.sync("-n", "pair", "-u", "anna", "bob")
    return pair


def sync(pair, channel, *args, check=True):
    return pair.primary.run("sync_client", "-v", "-o", "-n", channel, *args, check=check)


def ping(pair, channel):
    done = pair.primary.run("sync_client", "--ping", "-n", channel, check=False)
    return done.returncode, dict(line.split(": ", 1) for line in done.stdout.splitlines())


def change(pair, n):
    with pair.primary.imap("anna") as imap:
        imap.append("INBOX.Work", message(n))
        imap.logout()


@pytest.mark.parametrize("n, channel, how", [
    (1, "pair", r"pair PLAIN\+TLS "), (2, "unpinned", r"pair PLAIN\+TLS "), (3, "notls", "pair PLAIN "),
    (4, "scram", r"pair (SCRAM-SHA-256|CRAM-MD5) "), (5, "plainoption", "pair PLAIN "),
    (6, "bycert", r"by\.certificate nopassword\+TLS "), (7, "some", "some PLAIN ")])
def test_a_change_goes_over(pair, n, channel, how):
    mark = pair.replica.log_mark()
    change(pair, n)
    assert "1 messages uploaded" in sync(pair, channel, "-u", "anna").stdout
    assert re.search(rf"login: \S+ \[127\.0\.0\.1\] {how}", pair.replica.log_text(mark))
    assert_same(pair.primary, pair.replica)


@pytest.mark.parametrize("options, tried", [({}, False), ({"pair_sync_try_imap": True}, True), ({"sync_try_imap": True}, True),
                                            ({"sync_try_imap": False}, False)])
def test_imap_is_tried_if_asked_for(pair, options, tried):
    """imapd knows nothing of the names in sync_accept."""
    pair.primary.conf.update(options)
    pair.primary.write_conf()
    mark = pair.primary.log_mark()
    sync(pair, "pair", "-u", "anna")
    for option in options:
        del pair.primary.conf[option]
    pair.primary.write_conf()
    assert ("connection to 127.0.0.1 (imap) failed" in pair.primary.log_text(mark)) == tried


def never_logged(pair):
    return [secret for secret in (*SECRETS.values(), "third-and-wrong", "x-readable", "y-open") for server in (pair.primary, pair.replica)
            if secret in server.log_text()]


@pytest.mark.parametrize("channel, who", [("wrong", "pair"), ("wrongscram", "pair")])
def test_wrong_secret(pair, channel, who):
    """A clear line at both ends: who, why, and never the secret."""
    marks = pair.primary.log_mark(), pair.replica.log_mark()
    done = sync(pair, channel, "-u", "anna", check=False)
    assert done.returncode == 1
    assert re.search(rf"server '127\.0\.0\.1' does not let '{who}' in: .*authentication failure", pair.primary.log_text(marks[0]))
    assert re.search(rf"badlogin: \S+ \[127\.0\.0\.1\] \S+ \({who}\) \[.*\] the secret is not that of \S+/pair\.secret",
                     pair.replica.log_text(marks[1]))
    assert not never_logged(pair)


def test_unknown_name(pair):
    """The name is the servername if none is set."""
    mark = pair.primary.log_mark()
    assert sync(pair, "unknown", "-u", "anna", check=False).returncode == 1
    assert f"does not let '{pair.primary.conf['servername']}' in" in pair.primary.log_text(mark)


@pytest.mark.parametrize("name", REFUSED)
def test_secret_file_that_others_know(pair, name):
    """Refused, and the log names the file and why; the other entries hold."""
    if name == "strangers":
        another_user(pair.replica)
    mark = pair.replica.log_mark()
    assert sync(pair, f"refused{name}", "-u", "anna", check=False).returncode == 1
    assert re.search(rf"config error: sync_accept: '{name}' is not let in: .*{re.escape(pair.peers[name])}.*{re.escape(REFUSED[name])}",
                     pair.replica.log_text(mark))
    assert not never_logged(pair)


def test_entry_that_is_none(pair):
    assert "config error: sync_accept: 'nonsense' is no 'NAME /SECRET-FILE' or 'NAME FINGERPRINT'" in pair.replica.log_text()


def test_password_file_that_others_know(pair):
    mark = pair.primary.log_mark()
    assert sync(pair, "badfile", "-u", "anna", check=False).returncode == 1
    assert re.search(r"config error: sync_password_file: \S+/open has mode 0644", pair.primary.log_text(mark))


def test_only_the_secret_counts(pair):
    """Not what SASL may have of that name; a name that is not there is as without sync_accept."""
    pair.replica.add_user("some", "of sasldb")
    with pair.replica.sync() as sync_:
        sync_.starttls(pair.replica.cafile)
        with pytest.raises(Rejected, match="authentication failure"):
            sync_.login("some", "of sasldb")
    with pair.replica.sync() as sync_:
        sync_.starttls(pair.replica.cafile)
        sync_.login("anna", password("anna"))
        with pytest.raises(Rejected, match="NO Permission denied"):
            sync_.ok("GET USER anna")


FORBIDDEN = [
    "GET USER bob", "GET META bob", "GET NAMES bob", "GET MAILBOXES (user.anna user.bob)", "GET MAILBOXES ()", "GET USERS x",
    "GET ROLE x", "GET FULLMAILBOX user.bob", "GET FULLMAILBOX shared", "GET QUOTA user.bob", "GET UNIQUEIDS (BOBSID)", "GET UNIQUEIDS %(UNIQUEID ANNASID x BOBSID)",
    "GET MAILBOXES (user.anna %(FOLDERS bob))", "GET MAILBOXES %(MBOXNAME user.anna x user.bob)", "GET MAILBOXES (user.anna (user.bob))",
    "APPLY RENAMES %(RECORD %(OLDMBOXNAME user.bob.Work NEWMBOXNAME user.anna.Bobs PARTITION default))",
    "GET ANNOTATION user.bob", 'GET ANNOTATION ""', "GET USERSTATE %(USERID bob)", "GET RANGES %(MBOXNAME user.bob)",
    "GET FETCH %(MBOXNAME user.anna PARTITION default UNIQUEID BOBSID GUID " + "0" * 40 + " UID 1)",
    "GET FETCH_SIEVE %(USERID bob FILENAME x)", "GET SUBHISTORY %(USERID bob DIGEST 0)",
    "APPLY LEAVE %(USERID bob SERVER x)", "APPLY STAY %(USERID bob SERVER x STATE active)",
    "APPLY UNUSER bob", "APPLY UNMAILBOX user.bob.Work", "APPLY LOCAL_UNMAILBOX user.bob.Work", "APPLY UNMAILBOXES (%(MBOXNAME user.anna UNIQUEID BOBSID))",
    "APPLY UNMAILBOXES (%(MBOXNAME user.bob.Work UNIQUEID x))", "APPLY LOCAL_UNMAILBOXES (%(MBOXNAME user.anna.Work UNIQUEID ANNASID) %(MBOXNAME user.bob UNIQUEID x))",
    "APPLY UNQUOTA user.bob",
    "APPLY QUOTA %(ROOT user.bob STORAGE 1)", "APPLY SEEN %(USERID bob UNIQUEID x LASTREAD 1 LASTUID 1 LASTCHANGE 1 SEENUIDS 1)",
    "APPLY SUB %(USERID bob MBOXNAME user.anna)", "APPLY RENAME %(OLDMBOXNAME user.anna.Work NEWMBOXNAME user.bob.Mine PARTITION default)",
    "APPLY RENAMES (%(OLDMBOXNAME user.bob NEWMBOXNAME user.anna.Bobs PARTITION default))",
    "APPLY MAILBOXES (%(MBOXNAME user.anna UNIQUEID x) %(MBOXNAME user.bob UNIQUEID y))",
    "APPLY MAILBOXES (%(FOLDERS bob DIGEST 0) %(MBOXNAME user.anna UNIQUEID x))",
    "APPLY MAILBOX %(UNIQUEID BOBSID MBOXNAME user.anna.New RECORD ())", "APPLY MAILBOX %(UNIQUEID n MBOXNAME user.anna mboxname user.bob)",
    "APPLY MAILBOX %(UNIQUEID n MBOXNAME user.anna.New QUOTAROOT user.bob RECORD ())", "APPLY MAILBOX %(UNIQUEID n RECORD ())",
    "APPLY RESERVE %(PARTITION default MBOXNAME (user.anna user.bob) GUID (" + "0" * 40 + "))",
    "APPLY ANNOTATION %(MBOXNAME user.bob ENTRY /comment USERID anna VALUE x)", 'APPLY ANNOTATION %(MBOXNAME "" ENTRY /comment USERID anna VALUE x)',
    "APPLY EXPUNGE %(MBOXNAME user.bob UNIQUEID BOBSID UID (1))", "APPLY SIEVE %(USERID bob FILENAME x LAST_UPDATE 1 CONTENT x)",
    "APPLY ROLE %(ROLE replica SINCE 1)", "RESTORE MAILBOX %(MBOXNAME user.bob RECORD ())", "GET FULLMAILBOX DELETED.user.bob.Work.5F000000",
]
ALLOWED = ["GET USER anna", "GET META anna", "GET MAILBOXES (user.anna user.anna.Work)", "GET MAILBOXES (%(FOLDERS anna) user.anna)", "GET FULLMAILBOX user.anna.Work",
           "GET UNIQUEIDS (ANNASID)", "APPLY SUB %(USERID anna MBOXNAME user.bob.Work)", "APPLY UNSUB %(USERID anna MBOXNAME user.bob.Work)",
           "GET USER carol"]


def test_users(pair):
    """A peer of some users reads and changes nothing of others, nor of the server."""
    with pair.replica.sync() as sync_:
        sync_.starttls(pair.replica.cafile)
        sync_.login("some", SECRETS["some"])
        ids = {}
        with pair.replica.imap("admin") as admin:
            for user in ("anna", "bob"):
                line = str(admin.ok(f"GETMETADATA user.{user} (/shared/vendor/cmu/cyrus-imapd/uniqueid)").untagged)
                ids[user] = re.search(r"\w{8}-\w{4}-\w{4}-\w{4}-\w{12}", line)[0]
            admin.logout()
        fill = lambda text: text.replace("BOBSID", ids["bob"]).replace("ANNASID", ids["anna"])
        mark = pair.replica.log_mark()
        for command in FORBIDDEN:
            answer = sync_.cmd(fill(command))
            assert (answer.status, answer.text) == ("NO", "Permission denied") and not answer.untagged, command
        assert pair.replica.log_text(mark).count("some may not: it is about others than its users") == len(FORBIDDEN)
        for command in ALLOWED:
            answer = sync_.cmd(fill(command))
            assert answer.text != "Permission denied", command
    done = sync(pair, "some", "-u", "bob", check=False)
    assert done.returncode == 1 and "bob" in done.stderr
    assert_same(pair.primary, pair.replica)


@pytest.mark.parametrize("channel, login", [
    ("pair", "let in as 'pair' with PLAIN"), ("bycert", "let in by our certificate"), ("scram", "let in as 'pair' with ")])
def test_ping(pair, channel, login):
    code, told = ping(pair, channel)
    assert code == 0 and told["authentication"].startswith(login)
    assert told["transport"] == f"{pair.primary.conf.get(channel + '_sync_host', '127.0.0.1')}, port {pair.primary.conf[channel + '_sync_port']}"
    assert re.match(r"\* OK \S+ Cyrus sync server \S+", told["version"])
    assert "X-USERSTATE" in told["capabilities"].split() and told["clock"] == "the same"
    if channel == "scram":
        assert told["TLS"] == "none"
    else:
        pinned = fingerprint(pair.replica.path("conf/cert.pem")).replace(":", "").lower()
        assert re.match(rf"TLSv1\.[23] with \S+, certificate SHA256:{pinned}, its signer is not verified", told["TLS"])


@pytest.mark.parametrize("channel, step, cause", [
    ("nobody", "connection", "Connection refused"), ("wrong", "authentication", "authentication failure"),
    ("badfile", "authentication", "has mode 0644"), ("refusedreadable", "authentication", "authentication failure")])
def test_ping_fails(pair, channel, step, cause):
    code, told = ping(pair, channel)
    assert code == 1 and list(told) == ["transport", step]
    assert told[step].startswith("FAILED: ") and cause in told[step]


@pytest.mark.parametrize("clock, code, said", [
    ("$(($(date +%s) + 3600))", 1, r"the replica's is 3(599|600|601) seconds ahead"),
    ("$(($(date +%s) - 3600))", 1, r"the replica's is 3(599|600|601) seconds behind"),
    ("$(($(date +%s) + 5))", 0, r"the replica's is [456] seconds ahead"), ("", 0, "not told by this server"), ("-1", 0, "not told by this server")])
def test_ping_of_another_time(pair, clock, code, said):
    """More than ten seconds are too much."""
    program = write_program(pair.primary, "clock", f'echo "* X-CLOCK {clock}"', 'echo "* OK other Cyrus sync server 3"',
                            'while read line; do echo "OK done"; done')
    pair.primary.conf["clock_sync_transport"] = program
    pair.primary.write_conf()
    done, told = ping(pair, "clock")
    assert done == code and re.fullmatch(said, told["clock"])
    assert told["authentication"] == "let in without a login" and told["transport"] == f"the program '{program}'"


LINES = re.compile(r"^\| \d \| (replica|master) \| (imapd\.conf|cyrus\.conf, (?:SERVICES|DAEMON)) \| `(.*)` \|$", re.M)
ENTRY = re.compile(r'(\S+) cmd="([^"]+)"(?: listen="([^"]+)")?$')


def documented_lines():
    with open(os.path.join(os.path.dirname(__file__), os.pardir, "doc", "peers.md"), encoding="utf-8") as f:
        return LINES.findall(f.read())


def test_a_pair_from_the_lines_of_the_document(module_factory):
    """They are five at most, and enough; only names, paths and ports are this machine's."""
    lines = documented_lines()
    assert 0 < len(lines) <= 5
    servers = {"master": module_factory("master", services=("imap",)),
               "replica": module_factory("replica", services=("imap",))}
    for server in servers.values():
        write_secret(server, "pair.secret", "what is in the file on both ends")
        server.add_user("anna")
    entries = []
    for role, file, line in sorted(lines, reverse=True):  # the replica's port is known before the master's lines
        server = servers[role]
        if file == "imapd.conf":
            key, value = line.replace("one.example.com", servers["master"].conf["servername"]).replace("/etc/cyrus", server.path("conf")).split(": ")
            server.conf[key] = value if value != "two.example.com" else f"127.0.0.1:{servers['replica'].ports[entries[0]]}"
            continue
        entry, cmd, listen = ENTRY.match(line).groups()
        entries.append(entry)
        if "SERVICES" in file:
            assert listen == "csync"
            server.add_service(entry, cmd=cmd, listen="tcp")
        else:
            server.daemons.append((entry, {"cmd": cmd}))
    for role in ("replica", "master"):
        servers[role].start()
    master, replica = servers["master"], servers["replica"]
    assert master.run("sync_client", "--ping").stdout.count("\n") == 6
    master.create_user("anna")
    with master.imap("anna") as imap:
        imap.append("INBOX", message(1))
        imap.logout()
    rolling.caught_up(master)
    with replica.imap("anna") as imap:
        assert "1 EXISTS" in str(imap.ok("SELECT INBOX").untagged)
        imap.logout()

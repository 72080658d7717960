# SPDX-License-Identifier: BSD-3-Clause
"""cyr_dbtool and cvt_cyrusdb: what they print, how they end (handbook 05 §3.5, §3.6)."""

import os
import random
import re
import subprocess

import pytest

from cyltest.zap import KINDS, zap

BACKENDS = ("twoskip", "flat", "skiplist")


@pytest.fixture
def server(factory):
    server = factory(services=())
    server.write_conf()
    return server


def tool(server, *args, data=None, name="cyr_dbtool"):
    return server.run(name, *args, check=False, data=data)


def out(server, *args, data=None):
    r = tool(server, *args, data=data)
    assert r.returncode == 0, r.stderr
    assert r.stderr == ""
    return r.stdout


@pytest.mark.parametrize("backend", BACKENDS)
def test_actions(server, backend):
    db = server.path("conf", "t.db")
    r = tool(server, db, backend, "show")
    assert (r.returncode, r.stderr) == (75, "fatal error: can't open database\n")
    assert out(server, "-n", db, backend, "set", "user.b", "two words") == ""
    out(server, db, backend, "set", "a", "1")
    assert out(server, db, backend, "show") == "a\t1\nuser.b\ttwo words\n"
    assert out(server, db, backend, "show", "user") == "user.b\ttwo words\n"
    assert out(server, db, backend, "get", "a") == "1\n"
    assert out(server, db, backend, "get", "none") == "\n"
    assert out(server, db, backend, "delete", "none") == ""
    assert out(server, db, backend, "delete", "a") == ""
    assert out(server, "-T", db, backend, "set", data="x\ny\t1\t2\n") == ""
    assert out(server, db, backend, "show") == "user.b\ttwo words\nx\t\ny\t1\t2\n"
    assert out(server, db, backend, "get", data="y\nnone\nx\n") == "1\t2\n\n\n"
    assert out(server, db, backend, "consistent") == "Yes, consistent\n"
    assert out(server, db, backend, "consistency") == ""
    assert out(server, db, backend, "repack") == ""
    assert out(server, db, backend, "frobnicate") == "Unknown action frobnicate\n"
    assert out(server, db, backend, "delete", data="x\ny\n") == ""
    assert out(server, db, backend, "show") == "user.b\ttwo words\n"


def test_usage(server):
    r = tool(server)
    assert r.returncode == 255
    assert "Usable Backends: flat, skiplist, quotalegacy, twoskip\n" in r.stderr
    r = tool(server, "relative.db", "twoskip", "show")
    assert r.returncode == 71
    assert "relative path names" in r.stdout
    r = tool(server, "/tmp/x.db", "berkeley", "show")
    assert (r.returncode, r.stderr) == (78, "fatal error: cyrusdb backend berkeley not supported\n")
    assert tool(server, "--help").returncode == 0


def test_other_format_is_opened_as_it_is(server):
    db = server.path("conf", "t.db")
    out(server, "-n", db, "skiplist", "set", "k", "v")
    assert out(server, db, "twoskip", "get", "k") == "v\n"
    with open(db, "rb") as f:
        assert f.read(16) == b"\xa1\x02\x8b\x0dskiplist fil"
    assert out(server, "-c", db, "twoskip", "get", "k") == "v\n"
    with open(db, "rb") as f:
        assert f.read(16) == b"\xa1\x02\x8b\x0dtwoskip file"


def test_dump(server):
    db = server.path("conf", "t.db")
    out(server, "-n", db, "twoskip", "set", "k", "v")
    out(server, db, "twoskip", "delete", "k")
    lines = out(server, db, "twoskip", "dump").splitlines()
    assert lines[0].startswith("HEADER: v=1 fl=0 num=0 sz=(")
    assert lines[1] == "00000040 DUMMY kl=0 dl=0 lvl=31 ()"
    assert any(line.startswith("00000150 RECORD kl=1 dl=1 lvl=") for line in lines)
    assert any(" DELETE ptr=00000000" in line for line in lines)
    assert lines[-1].split()[1] == "COMMIT"


def test_damage_and_repair(server):
    db = server.path("conf", "t.db")
    out(server, "-n", db, "twoskip", "set", "k", "v")
    with open(db, "rb") as f:
        before = f.read()
    r = tool(server, db, "twoskip", "damage")
    assert r.returncode == 70
    assert r.stderr.startswith("fatal error: ")
    with open(db, "rb") as f:
        damaged = f.read()
    assert len(damaged) > len(before) and b"INVALIDCRASHME" in damaged
    assert out(server, db, "twoskip", "show") == "k\tv\n"
    with open(db, "rb") as f:
        assert f.read() == before


def test_not_consistent(server):
    server.allow_log("DBERROR: twoskip checksum head error")
    db = server.path("conf", "t.db")
    out(server, "-n", db, "twoskip", "set", "k", "v")
    with open(db, "r+b") as f:
        f.seek(0x160)
        f.write(b"\xff")
    for action, told in (("consistent", "No, not consistent\n"), ("consistency", f"Consistency Error for {db}\n")):
        r = tool(server, db, "twoskip", action)
        assert (r.returncode, r.stdout) == (0, told)
        assert re.fullmatch(re.escape(db) + r": offset 336 to \d+: checksum of pointers\n", r.stderr)
    assert tool(server, db, "twoskip", "repack").returncode == 1
    r = tool(server, db, "twoskip", "show")
    assert (r.returncode, r.stdout) == (1, "k\tv\n")


def test_batch(server):
    db = server.path("conf", "t.db")
    out(server, "-n", db, "twoskip", "set", data="k1\tv1\nk2\tv2\nk4\tv 4\n")
    script = ('SHOW\r\nBEGIN\nSET a b\n\nSET "c d" {3+}\r\nx\ty\r\nGET a\nGET zz\nCOMMIT\nSHOW ""\n')
    assert out(server, db, "twoskip", "batch", data=script) == (
        'k1 v1\nk2 v2\nk4 "v 4"\na b\n'
        'a b\n"c d" "x\ty"\nk1 v1\nk2 v2\nk4 "v 4"\n')
    assert out(server, db, "twoskip", "batch", data='BEGIN\nSET zz 1\nABORT\nSET e\nGET e\nGET zz\nDELETE e') == 'e ""\n'
    assert out(server, db, "twoskip", "batch", data='SET q {3}\r\na"b\nGET q\nDELETE q\n') == 'q {3}\na"b\n'


@pytest.mark.parametrize("script, line, cmd", [
    ("FOO\n", 1, "FOO"),
    ("SHOW\n\nCOMMIT\n", 3, "COMMIT"),
    ("BEGIN\nBEGIN\n", 2, "BEGIN"),
    ("SET\n", 1, "SET"),
    ('SET a "b\n', 1, "SET"),
    ("SET a b c\n", 1, "SET"),
    ("SET a {5}\r\nab", 1, "SET"),
    ("set a b\n", 1, "set"),
])
def test_batch_fails(server, script, line, cmd):
    db = server.path("conf", "t.db")
    r = tool(server, "-n", db, "twoskip", "batch", data="BEGIN\nSET half done\n" + script if cmd == "SET" else script)
    offset = 2 if cmd == "SET" else 0
    assert r.returncode == 1
    assert r.stderr.startswith(f"FAILED: line {line + offset} at cmd {cmd} with error ")
    assert out(server, db, "twoskip", "show") == ""
    assert out(server, db, "twoskip", "consistent") == "Yes, consistent\n"


def test_quotalegacy(server):
    db = server.path("conf", "quotas.db")
    out(server, "-n", db, "quotalegacy", "set", "user.alice", "%(S (1 2))")
    with open(server.path("conf", "quota", "a", "user.alice")) as f:
        assert f.read() == "%(S (1 2))\n"
    for name in (db, server.path("conf", "quota"), server.path("conf", "quota") + "/"):
        assert out(server, name, "quotalegacy", "show") == "user.alice\t%(S (1 2))\n"


def test_cvt_cyrusdb(server):
    names = {b: server.path("conf", "t." + b) for b in BACKENDS}
    out(server, "-n", names["twoskip"], "twoskip", "set", data="user.b\tone\nuser b\t\nuser-b\tthree\n")
    for old, new in (("twoskip", "flat"), ("flat", "skiplist")):
        r = tool(server, names[old], old, names[new], new, name="cvt_cyrusdb")
        assert (r.returncode, r.stderr) == (0, "")
        assert r.stdout == f"Converting from {names[old]} ({old}) to {names[new]} ({new})\n"
        shown = out(server, names[new], new, "show")
        assert sorted(shown.splitlines()) == ["user b\t", "user-b\tthree", "user.b\tone"]
    none = server.path("conf", "none.db")
    r = tool(server, none, "twoskip", names["flat"], "flat", name="cvt_cyrusdb")
    assert r.returncode == 75
    assert r.stdout.endswith("\nDBERROR: Conversion failed (r was -5). Check syslog for details.\n")
    assert tool(server, "a", "twoskip", "b", "flat", name="cvt_cyrusdb").returncode == 71
    assert tool(server, "/a", "twoskip", name="cvt_cyrusdb").returncode == 255


def test_writers_at_once(server):
    """Eight processes set a hundred keys each in one file; all are there."""
    db = server.path("conf", "t.db")
    out(server, "-n", db, "twoskip", "set", "a", "1")
    running = []
    for n in range(8):
        p = server.popen("cyr_dbtool", db, "twoskip", "set", stdin=subprocess.PIPE)
        p.stdin.write("".join(f"k{n}.{i}\t{n * i}\n" for i in range(100)).encode())
        p.stdin.close()
        running.append(p)
    for p in running:
        assert p.wait(120) == 0
    assert len(out(server, db, "twoskip", "show").splitlines()) == 801
    assert out(server, db, "twoskip", "consistent") == "Yes, consistent\n"
    assert not os.path.exists(db + ".NEW")


# ---- damaged files ----

@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_damaged_file(server, backend, kind):
    """Everything outside the damage is shown, the exit code is 1, and no byte of the file changes."""
    server.allow_log("DBERROR")
    db = server.path("conf", "t.db")
    rng = random.Random(f"{backend} {kind}")
    # As long as the pointers of a twoskip record may be, so that damage in one can't reach another.
    records = {f"key{n:03}": f"value{n:03}" + "v" * 400 for n in range(40)}
    out(server, "-n", db, backend, "set", data="".join(f"{k}\t{v}\n" for k, v in records.items()))
    with open(db, "rb") as f:
        whole = f.read()
    for _ in range(4):
        bad, (start, end) = zap(kind, whole, rng)
        if bad == whole or (backend == "flat" and kind == "header"):
            continue
        with open(db, "wb") as f:
            f.write(bad)
        r = tool(server, db, backend, "show")
        shown = dict(line.split("\t", 1) for line in r.stdout.splitlines() if "\t" in line)
        untouched = {k: v for k, v in records.items() if not (
            start - 900 < whole.index(k.encode()) < end + 900)}
        assert untouched.items() <= shown.items(), (start, end, r.stderr)
        assert r.returncode in (0, 1)
        if backend == "twoskip":
            assert r.returncode == 1, (start, end)
            assert shown.items() <= records.items()
        if r.returncode:
            offsets = [tuple(map(int, m)) for m in re.findall(r": offset (\d+) to (\d+): ", r.stderr)]
            assert any(a < end and start - 900 < b for a, b in offsets), (start, end, r.stderr)
            assert tool(server, db, backend, "verify").returncode == 1
            assert tool(server, db, backend, "set", "new", "1").returncode == 1
        with open(db, "rb") as f:
            assert f.read() == bad


def test_force(server):
    server.allow_log("DBERROR")
    db = server.path("conf", "t.db")
    out(server, "-n", db, "twoskip", "set", data="a\t1\nb\t2\nc\t3\n")
    assert tool(server, db, "twoskip", "verify").returncode == 0
    with open(db, "r+b") as f:
        at = f.read().index(b"b2")
        f.seek(at)
        f.write(b"X")
    r = tool(server, db, "twoskip", "set", "d", "4")
    assert r.returncode == 1 and f"{db} is damaged and left as it is; --force changes it\n" in r.stderr
    with open(db, "rb") as f:
        before = f.read()
    assert tool(server, db, "twoskip", "delete", "a").returncode == 1
    with open(db, "rb") as f:
        assert f.read() == before
    r = tool(server, "--force", db, "twoskip", "set", "d", "4")
    assert r.returncode == 0 and f"the damaged one is {db}.damaged" in r.stderr
    with open(db + ".damaged", "rb") as f:
        assert f.read() == before
    assert out(server, db, "twoskip", "show") == "a\t1\nc\t3\nd\t4\n"
    # What is kept is never replaced.
    with open(db, "r+b") as f:
        f.seek(100)
        f.write(b"XXX")
    with open(db, "rb") as f:
        again = f.read()
    r = tool(server, "--force", db, "twoskip", "set", "e", "5")
    assert r.returncode == 0 and f"the damaged one is {db}.damaged-2" in r.stderr
    for kept, wanted in ((".damaged", before), (".damaged-2", again)):
        with open(db + kept, "rb") as f:
            assert f.read() == wanted


def test_rights(server):
    assert server.account.uid, "root may do anything"
    server.allow_log("DBERROR")
    db = server.path("conf", "sub", "t.db")
    out(server, "-n", db, "twoskip", "set", "a", "1")
    os.chmod(db, 0o400)
    assert out(server, db, "twoskip", "show") == "a\t1\n"
    r = tool(server, db, "twoskip", "set", "b", "2")
    assert r.returncode == 77 and r.stderr.startswith(f"{db}: no right to write this file: mode 0400, owner ")
    os.chmod(db, 0o200)
    r = tool(server, db, "twoskip", "show")
    assert r.returncode == 77 and r.stderr.startswith(f"{db}: no right to read this file: mode 0200")
    os.chmod(os.path.dirname(db), 0o600)
    r = tool(server, db, "twoskip", "show")
    assert r.returncode == 77
    assert r.stderr.startswith(f"{os.path.dirname(db)}: no right to search this directory: mode 0600")
    os.chmod(os.path.dirname(db), 0o700)


# ---- readable records ----

def test_decode(factory):
    """Every database of a server that has been used is decoded to the last record."""
    server = factory(services=("imap", "lmtp")).start()
    server.create_user("alice", "Work")
    server.deliver(b"Message-ID: <one@example.com>\r\nSubject: hello\r\n\r\nbody\r\n", "alice")
    with server.imap("alice") as imap:
        imap.ok("SUBSCRIBE Work")
        imap.ok('SETMETADATA INBOX (/shared/comment "a word")')
        imap.logout()
    with server.imap("admin") as imap:
        imap.ok("SETQUOTA user/alice (STORAGE 100)")
        imap.ok("SETACL user/alice bob lrs")
        imap.logout()
    with server.imap("bob") as imap:
        imap.ok('SELECT "Other Users/alice"')
        imap.ok("FETCH 1 BODY[]")
        imap.logout()

    def decoded(*args):
        return out(server, "--decode", *args)

    conf = server.path("conf")
    mailboxes = decoded(f"{conf}/mailboxes.db", "twoskip", "show")
    assert re.search(r"^mailbox name=user\.alice\.Work type=e uniqueid=\S+ partition=default acl=alice\\x09", mailboxes, re.M)
    assert re.search(r"^identity name=user\.alice ", mailboxes, re.M)
    assert "entry=/comment user=(shared) modseq=" in decoded(f"{conf}/annotations.db", "twoskip", "show")
    assert re.search(r"^quota root=user\.alice STORAGE=\d+/100 MESSAGE=1/unlimited", decoded(
        "--decode=quota", f"{conf}/quotas.db", "quotalegacy", "show"), re.M)
    assert "delivery id=<one@example.com> to=" in decoded(f"{conf}/deliver.db", "twoskip", "show")
    conversations = decoded("--user", "alice", "conversations", "show")
    assert re.search(r"^conversation [0-9a-f]{16} .*exists=1 .*subject=hello", conversations, re.M)
    assert re.search(r"^guid [0-9a-f]{40} folder=0 uid=1 ", conversations, re.M)
    assert "message-id <one@example.com> cid=" in conversations and "folder " in conversations
    assert "subscription name=user.alice.Work\n" in decoded("--user", "alice", "sub", "show")
    history = decoded("--user", "alice", "subhistory", "show")
    assert re.search(r"^subscribed name=user\.alice\.Work at=\S+ stamp=\d{16} uniqueid=\S+$", history, re.M)
    assert re.search(r"^last at=\S+ stamp=\d{16}$", history, re.M) and "undecodable" not in history
    assert re.search(r"^seen uniqueid=\S+ lastread=\S+ lastuid=1 lastchange=\S+ uids=1", decoded(
        "--user", "bob", "seen", "show"), re.M)
    assert re.search(r"^highest=[1-9]", decoded("--user", "alice", "counters", "show"), re.M)
    assert out(server, "--user", "alice", "counters", "verify") == ""
    assert "undecodable" not in mailboxes + conversations
    out(server, "-n", f"{conf}/user_deny.db", "flat", "set", "dave", "2\timap,!lmtp\tlater")
    assert decoded(f"{conf}/user_deny.db", "flat", "show") == "denied user=dave services=imap,!lmtp message=later\n"


def test_decode_fails(server):
    db = server.path("conf", "mailboxes.db")
    out(server, "-n", db, "twoskip", "set", "Nuser\x1fa", "%(")
    r = tool(server, "--decode", db, "twoskip", "show")
    assert (r.returncode, r.stdout) == (1, "undecodable Nuser\\x1Fa value=%(\n")
    r = tool(server, "--decode", server.path("conf", "t.db"), "twoskip", "show")
    assert r.returncode == 64 and "no kind of database" in r.stderr
    r = tool(server, "--user", "nobody", "nothing", "show")
    assert r.returncode == 64


@pytest.mark.parametrize("cut", (0, 7, 100, 295))
def test_damaged_counters(factory, cut):
    server = factory(services=("imap",)).start()
    server.create_user("alice")
    server.stop()
    path = None
    for base, _, files in os.walk(server.path("conf", "user")):
        if "counters.db" in files:
            path = os.path.join(base, "counters.db")
    os.truncate(path, cut)
    r = tool(server, "--user", "alice", "counters", "verify")
    assert r.returncode == 1 and r.stderr.startswith(f"{path}: offset 0 to {cut}: ")
    assert os.path.getsize(path) == cut

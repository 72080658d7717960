# SPDX-License-Identifier: BSD-3-Clause
"""cyr_dbtool and cvt_cyrusdb: what they print, how they end (handbook 05 §3.5, §3.6)."""

import os
import subprocess

import pytest

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
    assert out(server, db, "twoskip", "consistent") == "No, not consistent\n"
    assert out(server, db, "twoskip", "consistency") == f"Consistency Error for {db}\n"
    assert out(server, db, "twoskip", "repack") == "Failed to repack\n"
    assert tool(server, db, "twoskip", "show").returncode == 75


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
    assert out(server, db, "quotalegacy", "show") == "user.alice\t%(S (1 2))\n"


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

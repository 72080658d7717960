# SPDX-License-Identifier: BSD-3-Clause
"""ctl_cyrusdb -r and -c (handbook 05 §3.1, 01 §4.9)."""

import os
import struct
import time

import pytest

DEBIAN_DBTOOL = "/usr/lib/cyrus/bin/cyr_dbtool"


@pytest.fixture
def server(factory):
    return factory(services=())


def test_first_recovery(server):
    server.run("ctl_cyrusdb", "-r")
    with open(server.path("conf", "db", "skipstamp"), "rb") as f:
        stamp, = struct.unpack(">I", f.read())
    assert abs(stamp - time.time()) < 60
    for name in ("mailboxes.db", "annotations.db"):
        with open(server.path("conf", name), "rb") as f:
            assert f.read(20) == b"\xa1\x02\x8b\x0dtwoskip file\0\0\0\0"
    log = server.log_text()
    assert log.index("recovering cyrus databases") < log.index("done recovering cyrus databases")
    # Again, after a stop script has left its mark.
    with open(server.path("conf", "db", "skipcleanshutdown"), "wb"):
        pass
    server.account.give(server.path("conf", "db", "skipcleanshutdown"))
    server.run("ctl_cyrusdb", "-r")
    assert "clean shutdown detected, starting normally" in server.log_text()
    assert not os.path.exists(server.path("conf", "db", "skipcleanshutdown"))
    with open(server.path("conf", "db", "skipstamp"), "rb") as f:
        assert f.read() == struct.pack(">I", stamp)


def test_start_job(server):
    server.start()
    server.wait_log("type:START name:recover .* exited normally")
    server.stop()
    # Nothing essential is left outside the files of 3.6.1.
    left = sorted(os.listdir(server.path("conf")))
    assert "mailboxes.db" in left


@pytest.mark.parametrize("args", [(), ("-r", "-c"), ("-x",), ("-c", "-x"), ("-q",)])
def test_usage(server, args):
    done = server.run("ctl_cyrusdb", *args, check=False)
    assert done.returncode == 255
    assert "Usage: ctl_cyrusdb" in done.stderr and done.stdout == ""


def test_checkpoint(server):
    server.run("ctl_cyrusdb", "-r")
    for generation in (1, 2, 3):
        done = server.run("ctl_cyrusdb", "-c")
        assert done.stdout == done.stderr == ""
        copies = server.path("conf", "db.backup1")
        assert sorted(os.listdir(copies)) == ["annotations.db", "mailboxes.db"]
        with open(os.path.join(copies, "mailboxes.db"), "rb") as copy, \
                open(server.path("conf", "mailboxes.db"), "rb") as original:
            assert copy.read() == original.read()
        assert os.path.exists(server.path("conf", "db.backup2")) == (generation > 1)
    # A database that can't be read is told, and does not stop the others.
    with open(server.path("conf", "annotations.db"), "wb") as f:
        f.write(b"nonsense" * 100)
    server.allow_log("annotations.db|DBERROR")
    done = server.run("ctl_cyrusdb", "-c", check=False)
    assert done.returncode == 1
    assert "unable to archive environment" in done.stderr
    assert os.path.exists(server.path("conf", "db.backup1", "mailboxes.db"))


# -- databases of older servers; made with the packaged cyr_dbtool --

def dbtool(server, path, backend, *args, data=None):
    return server.run(DEBIAN_DBTOOL, "-n", path, backend, *args, data=data).stdout


needs_debian = pytest.mark.skipif(not os.access(DEBIAN_DBTOOL, os.X_OK),
                                  reason="apt-get install cyrus-common")


OLD = [
    ("$RACL$U$bob$user.alice", ""),
    ("user.alice", "%(A %(alice lrswipkxtecdan bob lr) I 11111111-2222-3333-4444-555555555555 "
                   "P default V 123 C 1 F 5 M 456)"),
    ("user.alice.old", "%(T d I 31111111-2222-3333-4444-555555555555 P default V 125 C 3 F 7 M 456)"),
    ("user.v2", "(uniqueid 41111111-2222-3333-4444-555555555555) 0 default v2\tlrswipcda\t"),
]


@needs_debian
def test_upgrade(server):
    path = server.path("conf", "mailboxes.db")
    server.write_conf()
    for key, value in OLD:
        dbtool(server, path, "twoskip", "set", key, value)
    before = dbtool(server, path, "twoskip", "show")
    assert before.count("\n") == len(OLD)
    server.conf["reverseacls"] = True
    server.write_conf()
    server.run("ctl_cyrusdb", "-r")
    after = dbtool(server, path, "twoskip", "show")
    # str.splitlines() would also split at the separators in names.
    records = dict(line.split("\t", 1) for line in after.split("\n") if line)
    assert set(records) == {
        "AS\x1e", "AU\x1ebob\x1euser\x1falice",
        "I11111111-2222-3333-4444-555555555555", "I31111111-2222-3333-4444-555555555555",
        "I41111111-2222-3333-4444-555555555555", "Nuser\x1falice", "Nuser\x1falice\x1fold",
        "Nuser\x1fv2"}
    alice = records["Nuser\x1falice"]
    assert alice.startswith("%(T el I 11111111-2222-3333-4444-555555555555 P default V 123 C 1 F 5 M ")
    assert alice.endswith(" A %(alice lrswipkxtecdan bob lr))")
    assert records["Nuser\x1fv2"].startswith(
        "%(T el I 41111111-2222-3333-4444-555555555555 P default M ")
    # Off again: all reverse ACL records go.
    server.conf["reverseacls"] = False
    server.write_conf()
    server.run("ctl_cyrusdb", "-r")
    assert "A" not in {line[:1] for line in dbtool(server, path, "twoskip", "show").split("\n")}


@needs_debian
def test_conversion_and_reserved(server):
    path = server.path("conf", "mailboxes.db")
    server.write_conf()
    dbtool(server, path, "skiplist", "set", "Nuser\x1falice",
           "%(T e I aaaaaaaaaaaaaaaaaaaaaaaa P default V 1 C 1 F 1 M 1 A %(alice lr))")
    dbtool(server, path, "skiplist", "set", "Nuser\x1fbob",
           "%(T z I bbbbbbbbbbbbbbbbbbbbbbbb P default V 1 C 1 F 1 M 1 A %(bob lr))")
    server.run("ctl_cyrusdb", "-r")
    log = server.log_text()
    assert f"converting {path} from skiplist to twoskip" in log
    assert "removed reserved mailbox 'user.bob'" in log
    assert dbtool(server, path, "twoskip", "show").count("Nuser") == 1


def test_a_status_cache_of_361_does_not_come_back_out_of_date(server):
    """3.6.1 trusts it blindly, so it may not outlive our changes (tests/interop/test_whole_store.py)."""
    elsewhere = server.path("conf", "db", "status")
    for path in (server.path("conf", "statuscache.db"), elsewhere):
        with open(path, "wb") as f:
            f.write(b"anything")
        server.account.give(path)
    server.run("ctl_cyrusdb", "-r")
    assert not os.path.exists(server.path("conf", "statuscache.db")) and os.path.exists(elsewhere)
    server.conf["statuscache_db_path"] = elsewhere
    server.write_conf()
    server.run("ctl_cyrusdb", "-r")
    assert not os.path.exists(elsewhere)


def annotation_value(value):
    return (len(value).to_bytes(4, "big") + bytes(4) + value + b"\0text/plain\0" + bytes(8)
            + (7).to_bytes(8, "big") + b"\0")


def batch(server, path, *items):
    """Stores keys and values of any bytes, as a database of an older server has them."""
    lines = b"".join(b"SET {%d+}\r\n%b {%d+}\r\n%b\r\n" % (len(k), k, len(v), v) for k, v in items)
    assert not server.run(DEBIAN_DBTOOL, "-n", path, "twoskip", "batch", data=lines).stdout
    assert show(server, path) == dict(items)


def show(server, path):
    text = server.run(DEBIAN_DBTOOL, "-n", path, "twoskip", "show", data=b"").stdout
    return dict(line.split(b"\t", 1) for line in text.split(b"\n") if line)


@needs_debian
def test_upgrade_of_annotations_and_special_use(server):
    mboxlist, annotations = server.path("conf", "mailboxes.db"), server.path("conf", "annotations.db")
    server.write_conf()
    for key, value in OLD + [("user.alice.Out", "(uniqueid 51111111-2222-3333-4444-555555555555 specialuse "
                              "\\Sent) 0 default alice\tlrswipcda\t")]:
        dbtool(server, mboxlist, "twoskip", "set", key, value)
    one, other = annotation_value(b"one"), annotation_value(b"other")
    batch(server, annotations, (b"\0/comment\0\0", one), (b"user.alice\0/comment\0\0", one),
          (b"user.alice\0/comment\0alice\0", other), (b"user.alice\0/comment\0bob\0", other),
          (b"user.gone\0/comment\0\0", one))
    before = open(annotations, "rb").read()
    server.run("ctl_cyrusdb", "-r")
    alice = b"11111111-2222-3333-4444-555555555555"
    records = show(server, annotations)
    use = records.pop(b"51111111-2222-3333-4444-555555555555\0/specialuse\0[.OwNeR.]\0")
    assert use.startswith(b"\0\0\0\5\0\0\0\0\\Sent\0")
    assert records == {b"\0/comment\0\0": one, alice + b"\0/comment\0\0": one,
                       alice + b"\0/comment\0[.OwNeR.]\0": other, alice + b"\0/comment\0bob\0": other}
    kept = show(server, annotations + ".OLD")
    assert kept[b"user.gone\0/comment\0\0"] == one and len(before) <= os.path.getsize(annotations + ".OLD")
    assert "mailbox=<user.gone>" in server.log_text()
    # Once is enough.
    mark = server.log_mark()
    server.run("ctl_cyrusdb", "-r")
    assert "upgraded" not in server.log_text(mark) and show(server, annotations)[b"\0/comment\0\0"] == one


@needs_debian
def test_an_upgrade_that_fails_leaves_the_old_file(server):
    mboxlist, annotations = server.path("conf", "mailboxes.db"), server.path("conf", "annotations.db")
    server.write_conf()
    for key, value in OLD:
        dbtool(server, mboxlist, "twoskip", "set", key, value)
    batch(server, annotations, (b"user.alice\0/comment\0\0", annotation_value(b"one")))
    before = open(annotations, "rb").read()
    server.account.mkdir(annotations + ".OLD/in the way")
    done = server.run("ctl_cyrusdb", "-r", check=False)
    server.allow_log("IOERROR: can't replace annotations|annotations.db can't be upgraded")
    assert done.returncode == 75 and open(annotations, "rb").read() == before
    os.rmdir(annotations + ".OLD/in the way")
    os.rmdir(annotations + ".OLD")
    server.run("ctl_cyrusdb", "-r")
    assert list(show(server, annotations)) == [b"11111111-2222-3333-4444-555555555555\0/comment\0\0"]

# SPDX-License-Identifier: BSD-3-Clause
"""Limits and usage beyond 31, 32 and 53 bits, up to the last 64-bit number: over IMAP, in the database, in the tool; what can't be
counted any more is refused."""

import json

import pytest

from cyltest import DebianPrograms, Literal
from cyltest.store import BIN

LAST = 2**63 - 1
LIMITS = (2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**53 + 1, LAST // 1024, LAST // 1024 + 1, LAST - 1, LAST)
NAMES = ("STORAGE", "MESSAGE", "X-ANNOTATION-STORAGE", "X-NUM-FOLDERS")
UNITS = (1024, 1, 1024, 1)
CONF = {"unixhierarchysep": False, "altnamespace": False, "conversations": True, "conversations_db": "twoskip"}
MAIL = b"From: a@example.com\r\nSubject: s\r\nMessage-ID: <%d@example.com>\r\n\r\nbody %d\r\n"


@pytest.fixture(params=[False, True], ids=["raw", "conversations"])
def server(request, factory):
    made = factory(services=("imap", "lmtp"))
    made.conf.update(CONF, quota_use_conversations=request.param)
    made.start()
    made.create_user("alice", "a")
    with made.imap("admin") as admin:
        admin.ok("SETQUOTA user.alice ()")
    return made


def usage(imap, root="user.alice"):
    """{resource: (used, limit)} with what (RAW) adds."""
    (line,) = imap.ok(f"GETQUOTA {root} (RAW)").find("* QUOTA")
    words = line.decode().partition("(")[2].rstrip(")").split()
    return {words[i]: (int(words[i + 1]), int(words[i + 2])) for i in range(0, len(words), 3)}


def record(server):
    return server.run("cyr_dbtool", server.path("conf", "quotas.db"), "quotalegacy", "get", "user.alice").stdout.strip()


def set_usage(server, storage, message, limits="", conversations=True):
    """The server is at rest; both kinds of usage, or the raw one alone."""
    value = f"%(S ({storage}{limits}) M ({message}{limits}) AS (0) NF (2) MODSEQ 1)"
    server.run("cyr_dbtool", server.path("conf", "quotas.db"), "quotalegacy", "set", "user.alice", value)
    if conversations:
        server.run("cyr_dbtool", "--user", "alice", "conversations", "set", "Q", f"1 %(E {message} S {storage})")


def test_limits(server):
    with server.imap("admin") as admin:
        for limit in LIMITS:
            told = admin.ok("SETQUOTA user.alice (" + " ".join(f"{name} {limit}" for name in NAMES) + ")").find("* QUOTA")
            want = f"* QUOTA user.alice ({' '.join(f'{n} {u} {limit}' for n, u in zip(NAMES, (0, 0, 0, 2)))})"
            assert [line.decode() for line in told] == [want]
            assert {n: v[1] for n, v in usage(admin).items()} == dict.fromkeys((*NAMES, "X-RAW-STORAGE", "X-RAW-MESSAGE"), limit)
            assert record(server).startswith(f"%(S (0 {limit}) M (0 {limit}) AS (0 {limit}) NF (2 {limit}) MODSEQ ")
        for bad in (2**63, 2**64 - 1, 2**64, 2**64 + 5, 10**40, -2, -2**63, "1x", "0x1", "1.5", ""):
            admin.bad(f"SETQUOTA user.alice (STORAGE {bad})")
            assert usage(admin)["STORAGE"] == (0, LAST)
        admin.ok("SETQUOTA user.alice (STORAGE -1)")
        assert usage(admin) == {}
    server.restart()
    with server.imap("admin") as admin:
        admin.ok(f"SETQUOTA user.alice (STORAGE {LAST} MESSAGE {2**32})")
    with server.imap("alice") as imap:  # a limit that no usage can reach is no reason to warn
        imap.append("INBOX", MAIL % (1, 1))
        assert not imap.ok("SELECT INBOX").find("* NO")


@pytest.mark.parametrize("before", [2**31 - 5, 2**31, 2**32 - 5, 2**32, 2**53 - 5, 2**53 + 1, LAST - 5000])
def test_usage_is_counted_to_the_octet(server, before):
    server.stop()
    limit = before // 1024 + 100
    set_usage(server, before, before, f" {limit}" if before < 2**53 else "")
    server.start()
    size = len(MAIL % (1, 1))
    with server.imap("alice") as imap, server.imap("admin") as admin:
        if before < 2**53:  # MESSAGE has the same limit, and is far above it
            assert usage(admin)["STORAGE"] == usage(admin)["X-RAW-STORAGE"] == (before // 1024, limit)
            assert usage(admin)["MESSAGE"] == usage(admin)["X-RAW-MESSAGE"] == (before, limit)
            told = [line.decode() for line in imap.ok("SELECT INBOX").find("* NO")]
            assert told == ["* NO [ALERT] Mailbox is at 99% of STORAGE quota", "* NO [ALERT] Mailbox is over MESSAGE quota"]
            imap.no(["APPEND INBOX ", Literal(MAIL % (1, 1))])
            admin.ok(f"SETQUOTA user.alice (STORAGE {before // 1024 + 100})")
        imap.append("INBOX", MAIL % (1, 1))
        assert record(server).startswith(f"%(S ({before + size}") and f" M ({before + 1})" in record(server)
        imap.ok("SELECT INBOX")
        imap.ok("COPY 1 INBOX.a")
        assert record(server).startswith(f"%(S ({before + 2 * size}") and f" M ({before + 2})" in record(server)
        for box in ("INBOX", "INBOX.a"):
            imap.ok(f"SELECT {box}")
            imap.ok(r"STORE 1 +FLAGS (\Deleted)")
            imap.ok("EXPUNGE")
        assert record(server).startswith(f"%(S ({before}") and f" M ({before})" in record(server)
    server.stop()
    shown = server.run("cyr_dbtool", "--user", "alice", "conversations", "get", "Q").stdout.strip()
    assert shown == f"1 %(E {before} S {before})"


def test_what_cant_be_counted_is_refused(server):
    with server.imap("alice") as imap:
        imap.append("INBOX", MAIL % (1, 1))
        imap.ok("SELECT INBOX")
    server.stop()
    for storage, message in ((LAST - 10, 5), (1000, LAST)):
        for limits in ("", f" {LAST}"):
            set_usage(server, storage, message, limits)
            server.start()
            before = record(server).partition(" MODSEQ")[0]
            with server.imap("alice") as imap, server.imap("admin") as admin:
                assert imap.no(["APPEND INBOX ", Literal(MAIL % (2, 2))]).text == "[OVERQUOTA] Over quota"
                imap.ok("SELECT INBOX")
                if not server.conf["quota_use_conversations"]:  # where a copy costs nothing
                    assert imap.no("COPY 1 INBOX.a").text == "[OVERQUOTA] Over quota"
                assert record(server).partition(" MODSEQ")[0] == before
                if limits:
                    assert usage(admin)["X-RAW-STORAGE"] == (storage // 1024, LAST)
                    assert usage(admin)["MESSAGE"] == (message, LAST)
            server.stop()


def test_a_delivery_at_the_end_of_the_range(server):
    """lmtpd does not ask for the size (lmtp_strict_quota: no): the number stays at the end, and quota -f has the right one."""
    server.stop()
    set_usage(server, LAST - 10, LAST)
    server.start()
    server.allow_log("quota usage beyond all bounds")
    server.deliver(MAIL % (3, 3), "alice")
    server.wait_log("quota usage beyond all bounds.*root=<user.alice> resource=<STORAGE>")
    assert record(server).startswith(f"%(S ({LAST}) M ({LAST}) ")
    done = server.run("quota", "-f")
    with server.imap("alice") as imap:
        (line,) = imap.ok("STATUS INBOX (SIZE)").find("* STATUS")
    size = int(line.decode().rpartition(" ")[2].rstrip(")"))
    assert sorted(done.stderr.splitlines()) == [f"user.alice: MESSAGE usage was {LAST}, now 1",
                                                f"user.alice: STORAGE usage was {LAST}, now {size}"]
    assert record(server).startswith(f"%(S ({size}) M (1) ")


def test_tool(server):
    server.stop()
    for used, limit, percent in ((2**31, 2**32, 50), (2**32 + 1, 2**32, 100), (29, 100, 29), (2**53 - 2, 2**53 - 1, 99),
                                 (2**53 - 1, 2**53 + 1, 99), (LAST // 1024, LAST // 1024, 100), (LAST // 1024, LAST, 0)):
        value = f"%(S ({used * 1024} {limit}) M ({used} {limit}) AS ({used * 1024} {limit}) NF ({used} {limit}) MODSEQ 1)"
        server.run("cyr_dbtool", "-n", server.path("conf", "quotas.db"), "quotalegacy", "set", "user.alice", value)
        lines = server.run("quota").stdout.splitlines()[1:]
        assert [line.split() for line in lines] == [[str(limit), str(percent), str(used), name, "user.alice"] for name in NAMES]
        told = json.loads(server.run("quota", "-J").stdout)["user.alice"]
        assert told == {name: {"used": used * unit, "limit": min(limit * unit, LAST)} for name, unit in zip(NAMES, UNITS)}
        if DebianPrograms().has("quota") and limit < 2**53:
            assert server.run(BIN + "quota").stdout.splitlines()[1:] == lines
            assert json.loads(server.run(BIN + "quota", "-J").stdout)["user.alice"] == told

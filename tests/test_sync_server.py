# SPDX-License-Identifier: BSD-3-Clause
"""Our sync_server under a hand-made master: the record walk, errors, reservation (handbook 03 §19.1)."""

import os
import re

import pytest

from cyltest import Sync, processes
from cyltest.credentials import password
from cyltest.dlist import parse
from cyltest.syncline import crcs, full, guid, mailbox, record, state, upload
from cyltest.transports import another_user, ask_as, public_directory

ONE, TWO, FOUR, FIVE = b"one", b"two", b"four", b"five"
WALK = "user.anna.walk"


@pytest.fixture
def server(factory):
    server = factory(services=("csync",))
    server.conf["conversations"] = True
    server.conf["failedloginpause"] = "0"
    server.start()
    return server


@pytest.fixture
def sync(server):
    with server.sync() as sync:
        sync.login("repl", password("repl"))
        yield sync


def make_inbox(sync, name="user.anna", uniqueid="uniqinbox"):
    sync.ok("APPLY " + mailbox(name, UNIQUEID=uniqueid, LAST_UID=0, HIGHESTMODSEQ=1))


@pytest.fixture
def walk(sync):
    """UIDs 1, 2, 4, 5 alive, LAST_UID 5, HIGHESTMODSEQ 10."""
    make_inbox(sync)
    sync.ok(upload(ONE, TWO, FOUR, FIVE))
    sync.ok("APPLY " + mailbox(WALK, [record(1, 2, content=ONE), record(2, 3, content=TWO),
                                      record(4, 5, content=FOUR), record(5, 6, content=FIVE)]))
    assert state(sync, WALK) == "1:2() 2:3() 4:5() 5:6()"
    return sync


def apply(sync, records, **keys):
    keys.setdefault("HIGHESTMODSEQ", 40)
    response = sync.cmd("APPLY " + mailbox(WALK, records, **keys))
    return f"{response.status} {response.text}"


CHECKSUM = "NO IMAP_SYNC_CHECKSUM Checksum Failure"
MOVED = "NO IMAP_MAILBOX_MOVED Mailbox exists with another name or uniqueid"
SEEN, GONE, EXPUNGED = r"\Seen", r"\Expunged", r"\Expunged"

START = "1:2() 2:3() 4:5() 5:6()"
ROWS = [
    ("W1 missing expunged, then a change", [record(3, 20, GONE), record(4, 21, SEEN, FOUR)], {},
     "OK success", r"1:2() 2:3() 4:21(\Seen) 5:6()"),
    ("W3 two missing in a row, then two changes",
     [record(3, 20, GONE), record(4, 21, SEEN, FOUR), record(5, 22, SEEN, FIVE)], {},
     "OK success", r"1:2() 2:3() 4:21(\Seen) 5:22(\Seen)"),
    ("W4 missing alive", [record(2, 22, SEEN, TWO), record(3, 23)], {}, CHECKSUM, START),
    ("W5 expunge", [record(5, 24, GONE, FIVE)], {}, "OK success",
     r"1:2() 2:3() 4:5() 5:24(\Expunged)"),
    ("W8 lower modseq", [record(4, 4, SEEN, FOUR)], {}, CHECKSUM, START),
    ("W9 other guid", [record(4, 28, content=b"other")], {}, CHECKSUM, START),
    ("W10 append expunged without file", [record(6, 29, GONE)], {"LAST_UID": 6}, "OK success",
     START + r" 6:29(\Expunged)"),
    ("W12 append alive without file", [record(4, 39, SEEN, FOUR), record(6, 40, content=b"nofile")],
     {"LAST_UID": 6}, CHECKSUM, START),
    ("W13 record behind LAST_UID", [record(4, 37, SEEN, FOUR), record(9, 38, GONE)], {"LAST_UID": 6},
     CHECKSUM, START),
    ("W14 wrong order", [record(4, 34, SEEN, FOUR), record(2, 33, SEEN, TWO)], {}, CHECKSUM, START),
    ("W15 twice", [record(4, 36, SEEN, FOUR), record(4, 37, r"\Seen \Flagged", FOUR)], {},
     "OK success", r"1:2() 2:3() 4:37(\Flagged \Seen) 5:6()"),
    ("W17 list without a record", [record(1, 20, SEEN, ONE)], {}, "OK success",
     r"1:20(\Seen) 2:3() 4:5() 5:6()"),
    ("W19 lower HIGHESTMODSEQ", [], {"HIGHESTMODSEQ": 5}, CHECKSUM, START),
    ("W19 lower LAST_UID", [], {"LAST_UID": 4}, CHECKSUM, START),
    ("W19 lower UIDVALIDITY", [], {"UIDVALIDITY": 999}, CHECKSUM, START),
    ("W20 higher UIDVALIDITY", [], {"UIDVALIDITY": 2000}, "OK success", START),
    ("W21 wrong SINCE_MODSEQ", [], {"SINCE_MODSEQ": 9, "SINCE_CRC": 1, "SINCE_CRC_ANNOT": 0},
     "NO IMAP_SYNC_CHANGED Changed since last sync", START),
    ("W21 wrong SINCE_CRC", [], {"SINCE_MODSEQ": 10, "SINCE_CRC": 1, "SINCE_CRC_ANNOT": 0},
     "NO IMAP_SYNC_CHANGED Changed since last sync", START),
    ("W22 zero CRCs do not compare", [record(1, 31, SEEN, ONE)],
     {"SINCE_MODSEQ": 10, "SINCE_CRC": 0, "SINCE_CRC_ANNOT": 0}, "OK success",
     r"1:31(\Seen) 2:3() 4:5() 5:6()"),
    ("W23 wrong SYNC_CRC: nothing is stored", [record(1, 32, r"\Flagged", ONE)], {"SYNC_CRC": 77},
     CHECKSUM, START),
    ("W24 other UNIQUEID, mailbox in use", [], {"UNIQUEID": "other"}, MOVED, START),
    ("W26 other type", [], {"MBOXTYPE": "a"}, "NO Unknown error", START),
    ("no GUID", ["%(UID 1 MODSEQ 30 LAST_UPDATED 1 FLAGS () INTERNALDATE 1 SIZE 1)"], {},
     "NO IMAP_PROTOCOL_ERROR Protocol error", START),
]


@pytest.mark.parametrize("what,records,keys,status,after", ROWS, ids=[r[0] for r in ROWS])
def test_walk(walk, server, what, records, keys, status, after):
    server.allow_log(r"SYNCERROR")
    before = full(walk, WALK)
    assert apply(walk, records, **keys) == status
    now = full(walk, WALK)
    assert state(walk, WALK) == after
    assert (int(now["SYNC_CRC"]), int(now["SYNC_CRC_ANNOT"])) == crcs(now)
    if status != "OK success":
        assert now == before, "a refused command has changed the mailbox"
    else:
        assert int(now["HIGHESTMODSEQ"]) == 40


def test_walk_missing_at_both_ends_of_the_list(sync, server):
    """W2, W18: the replica was made when 1, 3 and 6 were purged already."""
    make_inbox(sync)
    sync.ok(upload(TWO, FOUR, FIVE))
    sync.ok("APPLY " + mailbox(WALK, [record(2, 3, content=TWO), record(4, 5, content=FOUR),
                                      record(5, 6, content=FIVE)], LAST_UID=6))
    assert apply(sync, [record(1, 20, GONE), record(2, 21, SEEN, TWO), record(3, 22, GONE),
                        record(4, 23, SEEN, FOUR), record(6, 24, GONE)], LAST_UID=6) == "OK success"
    assert state(sync, WALK) == r"2:21(\Seen) 4:23(\Seen) 5:6()"
    sync.ok(upload(b"seven"))
    assert apply(sync, [record(7, 41, content=b"seven")], LAST_UID=7, HIGHESTMODSEQ=41) == "OK success"
    assert state(sync, WALK).endswith("7:41()")


def test_walk_expunged_on_the_replica(walk, server):
    server.allow_log(r"SYNCERROR")
    walk.ok(f"APPLY EXPUNGE %(MBOXNAME {WALK} UNIQUEID uniqwalk UID (5 99))")
    assert state(walk, WALK).endswith(r"5:6(\Expunged)")  # silent
    assert apply(walk, [record(5, 25, SEEN, FIVE)]) == CHECKSUM  # W6
    assert apply(walk, [record(5, 26, GONE, guid_="0" * 34 + "abc063")]) == "OK success"  # W7
    assert state(walk, WALK).endswith(r"5:6(\Expunged)")


def test_right_checksums_are_accepted_and_a_surplus_record_is_found(walk, server):
    server.allow_log(r"SYNCERROR")
    now = full(walk, WALK)
    crc, annot = crcs(now)
    assert apply(walk, [], SYNC_CRC=crc, SYNC_CRC_ANNOT=annot) == "OK success"
    now["RECORD"] = now["RECORD"][:-1]  # W16: the master does not have 5
    crc, annot = crcs(now)
    assert apply(walk, [], SYNC_CRC=crc, SYNC_CRC_ANNOT=annot, HIGHESTMODSEQ=41) == CHECKSUM


def test_a_record_without_savedate_stays_without(walk):
    """As 3.6.1 keeps it: the master of an upgraded mailbox has none, and its checksums say so."""
    walk.ok(upload(b"six"))
    records = [record(6, 40, content=b"six"), record(7, 40, GONE)]
    assert apply(walk, records, LAST_UID=7) == "OK success"
    now = full(walk, WALK)["RECORD"]
    assert [rec["UID"] for rec in now if "ANNOTATIONS" not in rec][-2:] == [b"6", b"7"]
    assert apply(walk, [record(4, 41, SEEN, FOUR)], LAST_UID=7, HIGHESTMODSEQ=41) == "OK success"
    assert not [rec for rec in full(walk, WALK)["RECORD"] if "ANNOTATIONS" in rec]


def test_checksum_vector(sync):
    """Handbook 03 §5.4 A."""
    make_inbox(sync)
    abc, x = b"abc-one", b"abc-two"
    ns = "/vendor/cmu/cyrus-imapd/"
    note = ('%(ENTRY /comment USERID anna MODSEQ 3 VALUE note) '
            f'%(ENTRY {ns}thrid USERID "" MODSEQ 0 VALUE 00cd37e8ed14f03c) '
            f'%(ENTRY {ns}savedate USERID "" MODSEQ 0 VALUE 1795310098) '
            f'%(ENTRY {ns}createdmodseq USERID "" MODSEQ 0 VALUE 2)')
    sync.ok(upload(abc, x))
    sync.ok("APPLY " + mailbox(WALK, [record(1, 3, r"\Seen Kw1", abc, annotations=note),
                                      record(2, 4, "", x)], LAST_UID=2))
    now = full(sync, WALK)
    assert now["RECORD"][0]["ANNOTATIONS"] == [
        {"ENTRY": b"/comment", "USERID": b"anna", "MODSEQ": b"3", "VALUE": b"note"},
        {"ENTRY": b"/vendor/cmu/cyrus-imapd/thrid", "USERID": b"", "MODSEQ": b"0",
         "VALUE": b"00cd37e8ed14f03c"},
        {"ENTRY": b"/vendor/cmu/cyrus-imapd/savedate", "USERID": b"", "MODSEQ": b"0",
         "VALUE": b"1795310098"},
        {"ENTRY": b"/vendor/cmu/cyrus-imapd/createdmodseq", "USERID": b"", "MODSEQ": b"0",
         "VALUE": b"2"}]
    assert now["RECORD"][0]["FLAGS"] == [b"\\Seen", b"Kw1"]
    assert (int(now["SYNC_CRC"]), int(now["SYNC_CRC_ANNOT"])) == crcs(now)
    assert int(now["SYNC_CRC_ANNOT"]) == 2787161691  # the contents of the vector, and so the GUIDs, are not known


def test_uniqueid(walk, server):
    server.allow_log(r"SYNCERROR|SYNCNOTICE")
    # W25: the id is in use by another name
    response = walk.cmd("APPLY " + mailbox("user.anna.other", LAST_UID=0))
    assert f"NO {response.text}" == MOVED
    # W24: an empty mailbox with another id gives way
    walk.ok("APPLY " + mailbox("user.anna.empty", UNIQUEID="first", LAST_UID=0))
    walk.ok("APPLY " + mailbox("user.anna.empty", UNIQUEID="second", LAST_UID=0))
    assert full(walk, "user.anna.empty")["UNIQUEID"] == b"second"
    # forced, also one that is not empty
    walk.ok("APPLY FORCE %()")
    walk.ok("APPLY " + mailbox(WALK, UNIQUEID="other", LAST_UID=0, HIGHESTMODSEQ=1))
    assert full(walk, WALK)["UNIQUEID"] == b"other"


def test_inbox_comes_first(sync, server):
    server.allow_log(r"SYNCERROR")
    response = sync.cmd("APPLY " + mailbox("user.zed.sub", UNIQUEID="zsub", LAST_UID=0))
    assert (response.status, response.text) == ("NO", "Unknown error")
    assert not sync.ok("GET USER zed").untagged
    response = sync.cmd("APPLY " + mailbox("user.zed", UNIQUEID="zinbox", PARTITION="nosuch", LAST_UID=0))
    assert (response.status, response.text) == ("NO", "Unknown error")
    assert not sync.ok("GET USER zed").untagged
    make_inbox(sync, "user.zed", "zinbox")
    sync.ok("APPLY " + mailbox("user.zed.sub.deep", UNIQUEID="zsub", LAST_UID=0))
    # no parent is invented
    for command in ("GET USER zed", "GET MAILBOXES (user.zed user.nosuch user.zed.sub.deep)",
                    "GET UNIQUEIDS (zinbox nosuch zsub)"):
        names = [parse(line)[1]["MBOXNAME"] for line in sync.ok(command).untagged]
        assert names == [b"user.zed", b"user.zed.sub.deep"]


def test_first_contact_with_an_unknown_user_leaves_no_file(sync, server):
    sync.ok("GET USER anna")
    sync.ok("GET META anna")
    sync.ok("GET MAILBOXES (user.anna)")
    sync.ok("APPLY UNUSER anna")
    assert not os.path.exists(server.path("conf", "user"))


def test_reserve(walk, server):
    walk.ok("RESTART")
    response = walk.ok("APPLY RESERVE %(PARTITION default MBOXNAME (user.nosuch " + WALK + ") GUID "
                       f"({guid(b'new')} {guid(FOUR)} {guid(b'newer')}))")
    assert parse(response.untagged[0]) == ("MISSING", [guid(b"new").encode(), guid(b"newer").encode()])
    area = server.path("spool", "sync.")
    pids = os.listdir(area)
    assert len(pids) == 1 and os.listdir(os.path.join(area, pids[0])) == [guid(FOUR)]
    # what was reserved can be appended without an upload
    assert apply(walk, [record(6, 40, content=FOUR)], LAST_UID=6) == "OK success"
    response = walk.ok(f"APPLY RESERVE %(PARTITION default MBOXNAME ({WALK}) GUID ({guid(FOUR)}))")
    assert not response.untagged
    walk.ok("RESTART")
    assert os.listdir(area) == []


def test_seen_subscriptions_quota(sync):
    make_inbox(sync)
    sync.ok("APPLY SUB %(USERID anna MBOXNAME user.anna)")
    sync.ok("APPLY SUB %(USERID anna MBOXNAME user.nosuch)")
    sync.ok("APPLY UNSUB %(USERID anna MBOXNAME user.nothing)")
    sync.ok("APPLY SEEN %(USERID anna UNIQUEID noid LASTREAD 5 LASTUID 4 LASTCHANGE 3 SEENUIDS 1:3,7)")
    sync.ok('APPLY SEEN %(USERID anna UNIQUEID noid2 LASTREAD 5 LASTUID 4 LASTCHANGE 3 SEENUIDS "")')
    sync.ok("APPLY QUOTA %(ROOT user.anna LIMIT 10000 STORAGE 10000 MESSAGE 500 MODSEQ 18)")
    lines = [parse(line) for line in sync.ok("GET META anna").untagged]
    assert ("LSUB", [b"user.anna", b"user.nosuch"]) in lines
    seen = [value for name, value in lines if name == "SEEN"]
    assert {s["UNIQUEID"]: s["SEENUIDS"] for s in seen} == {b"noid": b"1:3,7", b"noid2": b""}
    assert parse(sync.ok("GET QUOTA user.anna").untagged[0]) == (
        "QUOTA", {"ROOT": b"user.anna", "LIMIT": b"10000", "STORAGE": b"10000", "MESSAGE": b"500",
                  "MODSEQ": b"18"})
    sync.ok("APPLY UNQUOTA user.anna")
    assert not sync.ok("GET QUOTA user.anna").untagged
    sync.ok("APPLY UNQUOTA user.anna")


def test_rename_and_delete(walk, server):
    walk.ok("APPLY RENAME %(OLDMBOXNAME user.anna.walk NEWMBOXNAME user.anna.run PARTITION default "
            "UIDVALIDITY 1000)")
    now = full(walk, "user.anna.run")
    assert (now["UNIQUEID"], now["HIGHESTMODSEQ"], now["UIDVALIDITY"]) == (b"uniqwalk", b"10", b"1000")
    assert state(walk, "user.anna.run") == START
    response = walk.cmd("GET FULLMAILBOX user.anna.walk")
    assert response.text == "IMAP_MAILBOX_NONEXISTENT No Such Mailbox"
    walk.ok("APPLY UNMAILBOX user.anna.walk")  # a tombstone
    walk.ok("APPLY UNMAILBOX user.anna.run")
    names = [parse(line)[1]["MBOXNAME"] for line in walk.ok("GET USER anna").untagged]
    assert names == [b"user.anna"]
    walk.ok("APPLY UNUSER anna")
    assert not walk.ok("GET USER anna").untagged
    left = [os.path.join(d, f) for d, _, files in os.walk(server.path("conf", "user")) for f in files]
    assert left == []


def test_removed_by_id(walk):
    """Under whatever name it has; what is another's, is gone already, or is in the tree of deleted mailboxes is passed over."""
    def there():
        return sorted(parse(line)[1]["MBOXNAME"].decode() for line in walk.ok("GET USER anna").untagged)

    walk.ok("APPLY " + mailbox("user.anna.two", UNIQUEID="uniqtwo", LAST_UID=0))
    walk.ok("APPLY " + mailbox("user.anna.three", UNIQUEID="uniqthree", LAST_UID=0))
    walk.ok("APPLY MAILBOX %(UNIQUEID uniqbetween MBOXNAME user.anna.between MBOXTYPE ei HIGHESTMODSEQ 5 CREATEDMODSEQ 5 FOLDERMODSEQ 5)")
    walk.ok("APPLY RENAME %(OLDMBOXNAME user.anna.three NEWMBOXNAME DELETED.user.anna.three.6B000000 PARTITION default)")
    all_of_them = there()
    walk.ok("APPLY UNMAILBOXES (%(MBOXNAME user.ben.walk UNIQUEID uniqwalk) %(MBOXNAME user.anna.two UNIQUEID other) %(MBOXNAME user.anna.three UNIQUEID uniqthree))")
    walk.ok("APPLY UNMAILBOXES (%(MBOXNAME user.anna.between UNIQUEID other))")
    assert there() == all_of_them
    walk.ok("APPLY UNMAILBOXES (%(MBOXNAME user.anna.two UNIQUEID uniqwalk) %(MBOXNAME user.anna.nosuch UNIQUEID nosuch))")
    assert there() == [name for name in all_of_them if name != WALK]
    walk.ok("APPLY UNMAILBOXES (%(MBOXNAME user.anna.between UNIQUEID uniqbetween) %(MBOXNAME user.anna.two UNIQUEID uniqtwo))")
    walk.ok("APPLY LOCAL_UNMAILBOXES (%(MBOXNAME DELETED.user.anna.three.6B000000 UNIQUEID uniqthree))")
    assert there() == ["user.anna"]


def test_fetch(walk):
    args = f"MBOXNAME {WALK} PARTITION default UNIQUEID uniqwalk"
    line = walk.ok(f"GET FETCH %({args} GUID {guid(FOUR)} UID 4)").untagged[0]
    assert parse(line) == ("MESSAGE", (b"default", guid(FOUR).encode(), FOUR))
    assert walk.ok(f"GET FETCH %({args} GUID {guid(ONE)} UID 4)").untagged == [b"* MESSAGE NIL"]
    assert walk.cmd(f"GET FETCH %({args} GUID {guid(ONE)} UID 9)").text.startswith("IMAP_MAILBOX_NONEX")


def test_restore(sync):
    make_inbox(sync)
    sync.ok(upload(ONE, TWO))
    sync.ok("RESTORE MAILBOX %(MBOXNAME user.anna.back UNIQUEID backid UIDVALIDITY 7 HIGHESTMODSEQ 50 "
            f"RECORD ({record(4, 30, content=ONE)} {record(9, 60, content=TWO)}))")
    assert state(sync, "user.anna.back") == "4:30() 9:50()"
    sync.ok(upload(FOUR))
    sync.ok(f"RESTORE MAILBOX %(MBOXNAME user.anna.back RECORD ({record(2, 3, content=FOUR)}))")
    now = full(sync, "user.anna.back")
    assert [int(r["UID"]) for r in now["RECORD"]] == [4, 9, 10]
    assert int(now["RECORD"][2]["MODSEQ"]) > 50


def test_raw_errors_before_login(server):
    """Transcript sync-18, part 1."""
    with server.sync() as sync:
        assert sync.banner[0].startswith(b"* SASL PLAIN")
        assert sync.banner[1:3] == [b"* COMPRESS DEFLATE", b"* SIEVE-MAILBOX"]
        for command, answer in [
                ("GET USER anna", "NO Please authenticate first"),
                ("noop", "OK Noop completed"),
                ("foo", "BAD IMAP_PROTOCOL_ERROR Unrecognized command"),
                ("", "BAD Null command"),
                ("EXIT now", "BAD Unexpected extra arguments to Exit"),
                ("RESTART", "OK Restarting"),
                ("STARTTLS", "BAD IMAP_PROTOCOL_ERROR Unrecognized command"),
                ("AUTHENTICATE", "BAD Missing required argument to Authenticate"),
                ("AUTHENTICATE F{O", "BAD Invalid mechanism"),
                ("AUTHENTICATE FOO", "NO no mechanism available"),
                ("AUTHENTICATE PLAIN AHJlcGwAd3Jvbmc=", "NO authentication failure"),
                ("COMPRESS LZ", "NO Unknown compression algorithm: LZ"),
                ("EXIT", "OK Finished")]:
            response = sync.cmd(command)
            assert f"{response.status} {response.text}" == answer, command


def test_only_admins(server):
    server.add_user("anna")
    with server.sync() as sync:
        sync.login("anna", password("anna"))
        for command in ("GET USER anna", "NOOP", "RESTART", "EXIT"):
            response = sync.cmd(command)
            assert (response.status, response.text) == ("NO", "Permission denied")


RAW = [
    ("AUTHENTICATE PLAIN AHJlcGwAc2VjcmV0", "BAD Already authenticated", []),
    ("get user nobody", "OK success", []),
    ("GET BOGUS x", "NO IMAP_PROTOCOL_ERROR Protocol error", []),
    ("GET", "BAD IMAP_PROTOCOL_ERROR Failed to parse GET line", []),
    ("GET (", "BAD IMAP_PROTOCOL_ERROR Failed to parse GET line", []),
    ("APPLY BOGUS x", "NO IMAP_PROTOCOL_ERROR Protocol error", []),
    ("APPLY MAILBOX %(UNIQUEID x)", "NO IMAP_PROTOCOL_BAD_PARAMETERS", []),
    ("RESTORE BOGUS x", "NO IMAP_PROTOCOL_ERROR Protocol error", []),
    ("GET MAILBOXES (user.nobody nosuch)", "OK success", []),
    ("GET META nobody", "OK success", []),
    ("GET QUOTA user.nobody", "OK success", []),
    ("GET FULLMAILBOX user.nobody", "NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox", []),
    ("GET UNIQUEIDS (xx)", "OK success", []),
    ("GET FETCH %(MBOXNAME user.nobody PARTITION default UNIQUEID xyz GUID "
     "0123456789012345678901234567890123456789 UID 1)", "NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox", []),
    ("GET FETCH_SIEVE %(USERID nobody FILENAME foo.script)",
     "NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox", []),
    ('GET ANNOTATION ""', "OK success", []),
    ("APPLY UNUSER nobody", "OK success", []),
    ("APPLY UNMAILBOX user.nobody", "NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox", []),
    ("APPLY RESERVE %(PARTITION default MBOXNAME (user.nobody) GUID "
     "(0123456789012345678901234567890123456789))", "OK success",
     [b"* MISSING (0123456789012345678901234567890123456789)"]),
    ("APPLY CAPABILITIES (FOO)", "OK success", [b"* ENABLED ()"]),
    ("APPLY CAPABILITIES (SIEVE-MAILBOX)", "OK success", [b"* ENABLED (SIEVE-MAILBOX)"]),
    ("RESTART x", "BAD Unexpected extra arguments to Restart", []),
    ("APPLY MESSAGE (%{default 0123456789012345678901234567890123456789 3}\r\nabc)", "OK success", []),
    ("APPLY MESSAGE (NIL)", "OK success", []),
    ("APPLY MESSAGE ()", "OK success", []),
    ("apply Message (  %{default 0123456789012345678901234567890123456789 3}\r\nabc )", "OK success", []),
    ("APPLY MESSAGE (%{default zz23456789012345678901234567890123456789 3}\r\nabc)",
     "BAD IMAP_PROTOCOL_ERROR Failed to parse APPLY line", []),
    ("APPLY EXPUNGE %(MBOXNAME user.anna UNIQUEID nope UID (1))",
     "NO IMAP_MAILBOX_MOVED Mailbox exists with another name or uniqueid", []),
    ("APPLY SUB %(USERID anna MBOXNAME user.nosuch)", "OK success", []),
    ("APPLY UNSUB %(USERID anna MBOXNAME user.nosuch)", "OK success", []),
    ("APPLY SUB %(USERID anna)", "NO IMAP_PROTOCOL_BAD_PARAMETERS", []),
    ("APPLY QUOTA %(ROOT user.nosuch LIMIT 4294967295 MODSEQ 1)", "OK success", []),
    ("APPLY UNQUOTA user.nosuch", "OK success", []),
    ("APPLY ANNOTATION %(MBOXNAME user.nosuch ENTRY /comment USERID \"\" VALUE x)",
     "NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox", []),
    ("APPLY RENAME %(OLDMBOXNAME user.nosuch NEWMBOXNAME user.nosuch2 PARTITION default)",
     "NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox", []),
    ("APPLY UNMAILBOX user.anna.nosuch", "NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox", []),
    ("APPLY UNMAILBOXES (%(MBOXNAME user.anna.nosuch UNIQUEID nosuch))", "OK success", []),
    ("APPLY UNMAILBOXES ()", "NO IMAP_PROTOCOL_BAD_PARAMETERS", []),
    ("APPLY UNMAILBOXES user.anna", "NO IMAP_PROTOCOL_BAD_PARAMETERS", []),
    ("APPLY UNMAILBOXES (user.anna)", "NO IMAP_PROTOCOL_BAD_PARAMETERS", []),
    ("APPLY UNMAILBOXES (%(MBOXNAME user.anna))", "NO IMAP_PROTOCOL_BAD_PARAMETERS", []),
    ("APPLY UNMAILBOXES (%(UNIQUEID uniqinbox))", "NO IMAP_PROTOCOL_BAD_PARAMETERS", []),
    ('APPLY UNUSER ""', "OK success", []),
    ("APPLY LOCAL_UNUSER nobody", "OK success", []),
    ("GET META {4+}\r\ncarl", "OK success", []),
    # 3.6.1 dies of these two
    ("GET META {4}\r\ncarl", "OK success", []),
    ("APPLY MESSAGE (%{nosuchpart 0123456789012345678901234567890123456789 3}\r\nabc)",
     "BAD IMAP_PROTOCOL_ERROR Failed to parse APPLY line", []),
    ("NOOP", "OK Noop completed", []),
]


def test_raw_errors(sync, server):
    """Transcript sync-18, parts 3 to 5, on one connection: it never loses step."""
    server.allow_log(r"SYNCERROR")
    make_inbox(sync)
    for command, answer, untagged in RAW:
        response = sync.cmd(command)
        assert f"{response.status} {response.text}".rstrip() == answer, command
        assert response.untagged == untagged, command


def test_literals_survive(sync):
    """Octets of every kind come back as they were sent (handbook 03 §1.6)."""
    make_inbox(sync)
    values = [b"NIL", b"a%b", b"back\\slash", b'quo"te', b"cr\r\nlf", b"x" * 1023, b"y" * 1024,
              b"\xc3\xa4\xff", b"  sp  "]
    annots = b" ".join(b'%%(ENTRY /comment%d USERID "" MODSEQ 0 VALUE {%d+}\r\n%s)' % (i, len(v), v)
                       for i, v in enumerate(values))
    text = mailbox("user.anna", UNIQUEID="uniqinbox", LAST_UID=0, HIGHESTMODSEQ=2).encode()
    head, tail = text.split(b" RECORD ")
    sync.ok(b"APPLY " + head + b" ANNOTATIONS (" + annots + b") RECORD " + tail)
    now = full(sync, "user.anna")
    assert [a["VALUE"] for a in now["ANNOTATIONS"]] == values


def test_compression(sync, server):
    """Handbook 03 §1.3: raw deflate in both directions, each unit ends in a sync flush."""
    with server.sync() as other:
        import zlib
        other.ok("COMPRESS DEFLATE")
        other.send(bytes.fromhex("f2f3f70fe0e502000000ffff"))
        answer = other.sock.recv(4096)
        assert zlib.decompressobj(-15).decompress(answer) == b"OK Noop completed\r\n"


def test_starttls(factory):
    server = factory(services=("csync",))
    server.use_tls()
    server.conf["allowplaintext"] = False
    server.start()
    with server.sync() as sync:
        # nothing can be used before TLS
        assert sync.banner[:3] == [b"* STARTTLS", b"* COMPRESS DEFLATE", b"* SIEVE-MAILBOX"]
        sync.starttls(server.cafile)
        assert sync.banner[0].startswith(b"* SASL PLAIN")
        assert sync.banner[1:8] == [b"* SIEVE-MAILBOX", b"* X-SUBHISTORY", b"* X-RENAMES", b"* X-USERSTATE",
                                    b"* X-RANGES", b"* X-PIPELINE", b"* X-ROLE"]
        assert sync.banner[8:11] == [b"* X-USAGE", b"* X-SIEVEFILES", b"* X-FOLDERS"] and sync.banner[11] == b"* X-NAMEHISTORY"
        assert re.fullmatch(rb"\* X-CLOCK \d+", sync.banner[12])
        assert re.fullmatch(rb"\* X-INSTANCE [0-9a-f]{16}", sync.banner[13])
        assert sync.banner[14:19] == [b"* X-LEASE", b"* X-HOME", b"* X-TOGETHER", b"* X-LEAVE", b"* X-UNMAILBOXES"]
        assert sync.banner[19].startswith(b"* OK")
        assert sync.cmd("STARTTLS").text == "Already did a successful Starttls"
        assert sync.login("repl", password("repl")).text == "Success (tls protection)"
        assert sync.cmd("STARTTLS").text == "Can't Starttls after authentication"
        assert sync.cmd("GET USER anna").text == "success"


def test_unix_socket_peer_is_an_admin(factory):
    server = factory(services=("csync",))
    server.add_service("csyncunix", cmd="sync_server", listen=server.path("conf/socket/csync"))
    server.start()
    with type(server.sync())(server.path("conf/socket/csync")) as sync:
        assert sync.banner[:6] == [b"* X-SUBHISTORY", b"* X-RENAMES", b"* X-USERSTATE", b"* X-RANGES", b"* X-PIPELINE", b"* X-ROLE"]
        assert sync.banner[6:9] == [b"* X-USAGE", b"* X-SIEVEFILES", b"* X-FOLDERS"] and sync.banner[9] == b"* X-NAMEHISTORY"
        assert re.fullmatch(rb"\* X-CLOCK \d+", sync.banner[10]) and sync.banner[12:17] == [b"* X-LEASE", b"* X-HOME", b"* X-TOGETHER", b"* X-LEAVE", b"* X-UNMAILBOXES"]
        assert re.fullmatch(rb"\* X-INSTANCE [0-9a-f]{16}", sync.banner[11])
        assert sync.banner[17].startswith(b"* OK ") and len(sync.banner) == 18
        assert not sync.ok("GET USER anna").untagged


def test_unix_socket_of_another_user(factory):
    """Who opens it has to be root, the server's user, or named; refused is a clear line at both ends."""
    server = factory(services=())
    stranger = another_user(server)
    public = public_directory(server)
    for entry, users in (("closed", None), ("other", "nobody-of-that-name 4294967290"), ("named", f"x {stranger.pw_name}"),
                         ("numbered", str(stranger.pw_uid)), ("open", "anyone")):
        server.add_service(entry, cmd="sync_server", listen=os.path.join(public, entry))
        if users:
            server.conf[f"{entry}_sync_socket_users"] = users
    server.start()
    why = f"user {stranger.pw_name} (uid {stranger.pw_uid}) is neither root nor this server's, nor in sync_socket_users"
    for entry in server.service_entries:
        path = os.path.join(public, entry)
        told = ask_as(stranger, path)
        if entry in ("closed", "other"):
            assert told.strip() == f"* BYE {why}"
            server.wait_log(re.escape(f"badlogin: [unix socket] [{why}]"))
        else:
            assert "OK success" in told and "OK Finished" in told
        with Sync(path) as sync:  # root
            sync.ok("GET USER anna")


def test_killed_server_leaves_no_reserved_files(server, sync):
    sync.ok(upload(ONE))
    area = server.path("spool", "sync.")
    pid, = os.listdir(area)
    os.kill(int(pid), 9)
    processes.wait_reaped([pid], 10)
    with server.sync() as other:
        other.ok("NOOP")
        assert pid not in os.listdir(area)


BAD = b"user.anna/../../x"
NAMED = [  # commands that name a mailbox, a quota root or a user
    b"GET FULLMAILBOX %s", b"GET QUOTA %s", b"APPLY UNMAILBOX %s", b"APPLY LOCAL_UNMAILBOX %s", b"APPLY UNQUOTA %s",
    b"APPLY UNMAILBOXES (%%(MBOXNAME %s UNIQUEID x))",
    b"APPLY RENAME %%(OLDMBOXNAME %s NEWMBOXNAME user.anna.x PARTITION default)",
    b"APPLY RENAME %%(OLDMBOXNAME user.anna NEWMBOXNAME %s PARTITION default)",
    b"APPLY SUB %%(USERID anna MBOXNAME %s)", b"APPLY UNSUB %%(USERID anna MBOXNAME %s)",
    b"APPLY QUOTA %%(ROOT %s LIMIT 1)", b"APPLY EXPUNGE %%(MBOXNAME %s UNIQUEID uniqinbox UID (1))",
    b'APPLY ANNOTATION %%(MBOXNAME %s ENTRY /comment USERID "" VALUE x)',
    b"GET FETCH %%(MBOXNAME %s PARTITION default UNIQUEID u GUID " + b"0" * 40 + b" UID 1)",
    b"RESTORE MAILBOX %%(MBOXNAME %s RECORD ())",
    b"GET USER %s", b"GET META %s", b"APPLY SUB %%(USERID %s MBOXNAME user.anna)", b"GET NAMES %s",
    b"APPLY SUBHISTORY %%(USERID %s ENTRIES ())", b"APPLY SUBHISTORY %%(USERID anna ENTRIES (%%(MBOXNAME %s ON 1 STAMP 1)))",
    b"APPLY SEEN %%(USERID %s UNIQUEID u LASTREAD 1 LASTUID 1 LASTCHANGE 1 SEENUIDS 1)",
]


def test_names_that_are_none(sync, server):
    """Every command that is given a name refuses what is none, and logs its bytes in hex."""
    server.allow_log("SYNCERROR")
    make_inbox(sync)
    before = full(sync, "user.anna")
    for bad in (BAD, b"user.anna\x1fx", b"user.anna\nx", b"user.an\x00na", b"/etc", b"a!b/c"):
        literal = b"{%d+}\r\n%s" % (len(bad), bad)
        for command in NAMED:
            mark = server.log_mark()
            answer = sync.cmd(command % literal)
            assert answer.status == "NO", command
            server.wait_log(f"SYNCERROR: a peer sent what is no name.*bytes=<{bad.hex()}>", mark)
    mark = server.log_mark()
    sync.cmd(b"APPLY " + mailbox("user.anna.z", UNIQUEID="z").encode().replace(b"user.anna.z", BAD))
    server.wait_log(f"bytes=<{BAD.hex()}>", mark)
    assert not sync.ok(b"GET MAILBOXES (%s)" % BAD).untagged
    sync.ok(b"APPLY UNUSER %s" % BAD)
    assert full(sync, "user.anna") == before

# SPDX-License-Identifier: BSD-3-Clause
"""A full update asks for those records only that differ: X-RANGES (doc/sync-extensions.md). Octets are counted without compression.

CYL_RANGES_MANY  how many messages a large mailbox has (default 6000; with 20000 less than a hundredth of its list is sent)
"""

import hashlib
import os
import re
import struct

import pytest

from cyltest import Pair
from cyltest.relay import Relay
from cyltest.storefiles import FLAGGED, index_of
from cyltest.syncdata import login, message, sent_commands
from cyltest.syncline import VENDOR, comparable, crcs, full, mailbox, record, upload

MANY = int(os.environ.get("CYL_RANGES_MANY") or 6000)
FEW = 100  # enough for ranges where LEAST says so
LEAST = "CYLINDER_RANGES_LEAST"
CONF = {"conversations": False, "unixhierarchysep": False, "altnamespace": False, "virtdomains": "off",
        "expunge_mode": "immediate", "expunge_tombstones": "0"}
SYSTEM = {b"\\Answered": 1, b"\\Flagged": 2, b"\\Deleted": 4, b"\\Draft": 8, b"\\Seen": 16}


@pytest.fixture
def pair(pair):
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.allow_log("SYNC|CRC failure")
        for user in ("anna", "bea"):
            server.add_user(user)
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.replica.path("conf/socket/csync"))
    pair.start()
    return pair


def fill(pair, user="anna", n=MANY):
    """The same n messages on both ends; nobody has expunged any."""
    for server in (pair.primary, pair.replica):
        with login(server) as sync:
            sync.ok(upload(b"abc"))
            sync.ok("APPLY " + mailbox(
                f"user.{user}", [record(uid, uid + 1, r"\Seen" if uid % 3 else "", annotations=virtual(uid))
                                 for uid in range(1, n + 1)],
                UNIQUEID=f"id{user}", LAST_UID=n, HIGHESTMODSEQ=n + 2, ACL=f'"{user}\tlrswipkxtecdan\t"'))


def fill_few(pair):
    """So few that it takes a hook to compare them by ranges."""
    pair.primary.env[LEAST] = "0"
    fill(pair, n=FEW)


def virtual(uid):
    return (f'%(ENTRY {VENDOR}savedate USERID "" MODSEQ 0 VALUE 1795310098) '
            f'%(ENTRY {VENDOR}createdmodseq USERID "" MODSEQ 0 VALUE {uid + 1})')


def imap(server, user, *commands):
    """Commands in the INBOX; bytes are a message for it."""
    with server.imap(user, timeout=300) as client:
        client.ok("SELECT INBOX")
        for command in commands:
            if isinstance(command, bytes):
                client.append("INBOX", command)
            else:
                client.ok(command)
        client.logout()


def sync(pair, user="anna", args=(), check=True, **relay):
    """A run, and the relay through which it went."""
    with Relay(pair.primary.path("tmp", "relay"), pair.replica.path("conf/socket/csync"), **relay) as through:
        done = pair.primary.run("sync_client", "-v", "-v", "-o", *args, "-S", through.path, "-m", f"user.{user}",
                                check=check, timeout=300)
    return done, through


def states(pair, user="anna"):
    with login(pair.primary) as one, login(pair.replica) as two:
        return full(one, f"user.{user}"), full(two, f"user.{user}")


def must_be_equal(pair, user="anna"):
    """And as checksums of an independent program say; the records that live."""
    ours, theirs = (comparable(value) for value in states(pair, user))
    for end in (ours, theirs):
        for rec in end["RECORD"]:
            rec["FLAGS"].sort()
        assert (int(end["SYNC_CRC"]), int(end["SYNC_CRC_ANNOT"])) == crcs(end)
    assert ours == theirs
    return ours["RECORD"]


def list_octets(pair, user="anna"):
    with login(pair.replica) as client:
        return len(client.ok(f"GET FULLMAILBOX user.{user}").untagged[0])


def asked(through, what):
    return [command for command in through.commands if command.startswith(b"GET RANGES") and what in command]


# ---- little is sent ----

def away(pair, user):
    """The replica has not been asked for long: flags on both ends, messages that are gone and forgotten, new ones."""
    imap(pair.replica, user, r"UID STORE 777 +FLAGS ($Replica)", rf"UID STORE {MANY - 1000} +FLAGS (\Flagged)")
    imap(pair.primary, user, rf"UID STORE 12,{MANY // 4},{MANY * 3 // 4 + 1} +FLAGS (\Flagged $Master)",
         rf"UID STORE 40:44,{MANY // 2} +FLAGS (\Deleted)", "EXPUNGE", "UID COPY 3:5 INBOX")
    pair.primary.run("cyr_expire", "-E", "1", "-X", "0")
    assert index_of(pair.primary, f"user.{user}").header["deletedmodseq"] > MANY + 2


def outcome(records):
    """What both ends have afterwards, but for times."""
    return [{k: v for k, v in rec.items() if k not in ("LAST_UPDATED", "INTERNALDATE", "ANNOTATIONS")} for rec in records]


def test_forgotten_records_are_found_with_little(pair):
    for user in ("anna", "bea"):
        fill(pair, user)
        away(pair, user)
    whole = list_octets(pair)
    done, through = sync(pair)
    assert "FULLMAILBOX user.anna\n" in done.stdout
    assert not [command for command in through.commands if b"FULLMAILBOX" in command]
    assert re.search(r"^RANGES user\.anna \d+ records$", done.stdout, re.M)
    assert through.octets * (MANY // 200) < whole, (through.octets, whole)
    ours = must_be_equal(pair)
    assert len(ours) == MANY - 6 + 3
    # nothing is left to do
    assert sent_commands(sync(pair)[0]) == []

    pair.replica.conf["suppress_capabilities"] = "X-RANGES"
    pair.replica.restart()
    done, through = sync(pair, "bea")
    assert [command for command in through.commands if b"GET FULLMAILBOX" in command]
    assert not asked(through, b"")
    assert through.octets > whole
    assert outcome(must_be_equal(pair, "bea")) == outcome(ours)


def test_a_flipped_flag_is_found_and_named(pair):
    """Of a replica whose disk has changed one bit of one record, and of no checksum."""
    fill(pair)
    assert not re.search("^DIFFERENCE", sync(pair, args=["--verify"])[0].stdout, re.M)
    pair.replica.stop()
    index = index_of(pair.replica, "user.anna")
    index.set("flags", index.records[4344]["flags"] ^ FLAGGED, 4345)
    pair.replica.start()
    done, through = sync(pair, args=["--verify"], check=False)
    assert re.findall("^DIFFERENCE .*", done.stdout, re.M) == [
        "DIFFERENCE user.anna: uid 4345: flags, dates, modseq or annotations"]
    assert through.octets < 10 * 1024
    # and after the checksums were made anew it is repaired
    pair.replica.run("reconstruct", "-G", "user.anna")
    done, through = sync(pair)
    assert "FULLMAILBOX user.anna 4345: the flags here are newer" in done.stdout
    assert through.octets < 10 * 1024
    must_be_equal(pair)


def test_equal_ends_need_one_level(pair):
    fill_few(pair)
    done, through = sync(pair, args=["--verify"])
    assert len(asked(through, b"DIGESTS")) == len(asked(through, b"RECORDS")) == 1


@pytest.mark.parametrize("n, by_ranges", [(999, False), (1000, True)])
def test_small_mailboxes_are_listed(pair, n, by_ranges):
    fill(pair, n=n)
    imap(pair.replica, "anna", r"UID STORE 5 +FLAGS (\Flagged)")
    done, through = sync(pair)
    assert bool(asked(through, b"")) == by_ranges
    assert any(b"GET FULLMAILBOX" in command for command in through.commands) != by_ranges
    must_be_equal(pair)


def test_over_imap(factory):
    """For admins, to whom it is announced."""
    a, b = factory("a"), factory("b")
    pair = Pair(a, b, "imap")
    for server in (a, b):
        server.conf.update(CONF, sync_try_imap=True)
        server.allow_log("SYNC|CRC failure")
        server.add_user("anna")
    pair.start()
    fill_few(pair)
    imap(b, "anna", r"UID STORE 5 +FLAGS (\Flagged)")
    with b.imap("anna") as client:
        assert b"X-RANGES" not in b"".join(client.ok("CAPABILITY").untagged)
    with b.imap("admin") as client:
        assert b"X-RANGES" in b"".join(client.ok("CAPABILITY").untagged)
    done = a.run("sync_client", "-v", "-v", "-o", "-m", "user.anna")
    assert "SYNCGET RANGES" in done.stderr and "GET FULLMAILBOX" not in done.stderr
    flags = {rec["UID"]: rec["FLAGS"] for rec in must_be_equal(pair)}
    assert b"\\Flagged" in flags[b"5"]


# ---- either end changes meanwhile ----

def once(word, act):
    """act() before the first command with that word is passed on."""
    left = [act]

    def on_command(command):
        if word in command and left:
            left.pop()()

    return on_command


@pytest.mark.parametrize("word", [b"DIGESTS", b"RECORDS", b"GET FETCH"])
def test_the_replica_changes_meanwhile(pair, word):
    """The answers are not of one state: it is asked anew."""
    if word == b"GET FETCH":  # all was known before: both ends are not the same afterwards
        pair.primary.allow_log("Replication inconsistency")
    fill_few(pair)
    imap(pair.replica, "anna", r"UID STORE 70 +FLAGS (\Flagged)", message(1))
    done, through = sync(pair, check=False, on_command=once(
        word, lambda: imap(pair.replica, "anna", r"UID STORE 90 +FLAGS (\Answered)")))
    if word != b"GET FETCH":
        assert done.returncode == 0
        assert sum(b"DIGESTS (1:" in command for command in through.commands) == 2
    sync(pair)
    flags = {rec["UID"]: rec["FLAGS"] for rec in must_be_equal(pair)}
    assert b"\\Answered" in flags[b"90"] and b"\\Flagged" in flags[b"70"]


@pytest.mark.parametrize("word", [b"DIGESTS", b"RECORDS", b"GET FETCH"])
def test_ours_change_meanwhile(pair, word):
    """In one run: a flag, an expunge, a new message, where all was the same on both ends."""
    fill_few(pair)
    imap(pair.replica, "anna", r"UID STORE 5 +FLAGS (\Flagged)", message(1))
    done, through = sync(pair, on_command=once(word, lambda: imap(
        pair.primary, "anna", r"UID STORE 90 +FLAGS (\Answered)", r"UID STORE 70 +FLAGS (\Deleted)", "EXPUNGE",
        message(2))))
    records = must_be_equal(pair)
    flags = {int(rec["UID"]): rec["FLAGS"] for rec in records}
    assert b"\\Answered" in flags[90] and b"\\Flagged" in flags[5] and 70 not in flags
    assert len(flags) == FEW - 1 + 2
    assert sent_commands(sync(pair)[0]) == []


def test_ours_are_forgotten_meanwhile(pair):
    """What was the same on both ends is gone here without a record: the replica is asked for all."""
    fill_few(pair)
    imap(pair.replica, "anna", r"UID STORE 5 +FLAGS (\Flagged)", message(1))

    def forget():
        imap(pair.primary, "anna", r"UID STORE 70 +FLAGS (\Deleted)", "EXPUNGE")
        pair.primary.run("cyr_expire", "-E", "1", "-X", "0")

    done, through = sync(pair, on_command=once(b"GET FETCH", forget))
    assert any(b"GET FULLMAILBOX" in command for command in through.commands)
    records = must_be_equal(pair)
    assert b"70" not in [rec["UID"] for rec in records]
    assert sent_commands(sync(pair)[0]) == []


# ---- what the server answers ----

def digest(records):
    """Of records of FULLMAILBOX, by an independent program."""
    sha, n = hashlib.sha256(), 0

    def text(value):
        return struct.pack(">I", len(value)) + value

    for rec in records:
        if b"\\Expunged" in rec["FLAGS"]:
            continue
        n += 1
        fields = {"thrid": 0, "savedate": 0, "createdmodseq": 0}
        annotations = []
        for a in rec.get("ANNOTATIONS", []):
            name = a["ENTRY"].decode().removeprefix(VENDOR)
            if name in fields:
                fields[name] = int(a["VALUE"], 16 if name == "thrid" else 10)
            else:
                annotations.append(text(a["ENTRY"]) + text(a["USERID"]) + text(a["VALUE"]))
        names = sorted({flag.lower() for flag in rec["FLAGS"] if flag not in SYSTEM})
        sha.update(struct.pack(">I", int(rec["UID"])) + bytes.fromhex(rec["GUID"].decode()))
        sha.update(struct.pack(">QQQQQQI", int(rec["MODSEQ"]), int(rec["LAST_UPDATED"]), int(rec["INTERNALDATE"]),
                               fields["thrid"], fields["savedate"], fields["createdmodseq"],
                               sum(SYSTEM.get(flag, 0) for flag in rec["FLAGS"])))
        sha.update(struct.pack(">I", len(names)) + b"".join(map(text, names)))
        sha.update(struct.pack(">I", len(annotations)) + b"".join(annotations))
    return f"({n} {sha.hexdigest()[:32]})"


def test_digests_and_records(pair):
    server = pair.replica
    note = f'%(ENTRY /comment USERID "" MODSEQ 3 VALUE note) {virtual(4)}'
    ids = "MBOXNAME user.anna UNIQUEID idanna"
    with login(server) as client:
        client.ok(upload(b"abc"))
        client.ok("APPLY " + mailbox(
            "user.anna", [record(1, 2, r"\Seen Zeta alpha"), record(2, 9, r"\Expunged"), record(5, 3, r"\Flagged"),
                          record(9, 4, "", annotations=note)], UNIQUEID="idanna", LAST_UID=9))
        now = full(client, "user.anna")
        line, = client.ok(f"GET RANGES %({ids} DIGESTS (1:4 5:8 9:4294967295))").untagged
        state = " ".join(f"{key} {now[key].decode()}" for key in
                         ("UIDVALIDITY", "LAST_UID", "HIGHESTMODSEQ", "SYNC_CRC", "SYNC_CRC_ANNOT"))
        records = now["RECORD"]
        wanted = " ".join(map(digest, (records[:2], records[2:3], records[3:])))
        assert line.decode() == f"* RANGES %({state} DIGESTS ({wanted}))"

        line, = client.ok(f"GET RANGES %({ids} RECORDS (2:4 6:9))").untagged
        text, = client.ok("GET FULLMAILBOX user.anna").untagged
        both = re.findall(rb"%\(UID [29] .*?(?= %\(UID|\)\)$)", text)
        assert line == f"* RANGES %({state} RECORD (".encode() + b" ".join(both) + b"))"
        line, = client.ok(f"GET RANGES %({ids} RECORDS ())").untagged
        assert line.decode() == f"* RANGES %({state} RECORD ())"


BAD = "IMAP_PROTOCOL_BAD_PARAMETERS"


@pytest.mark.parametrize("question, answer", [
    ("MBOXNAME user.anna UNIQUEID idanna", BAD),
    ("MBOXNAME user.anna UNIQUEID idanna DIGESTS (1:2) RECORDS (1:2)", BAD),
    ("MBOXNAME user.anna UNIQUEID idanna DIGESTS (2:1)", BAD),
    ("MBOXNAME user.anna UNIQUEID idanna DIGESTS (1:5 5:6)", BAD),
    ("MBOXNAME user.anna UNIQUEID idanna DIGESTS (0:5)", BAD),
    ("MBOXNAME user.anna UNIQUEID idanna RECORDS (1:99999999999)", BAD),
    ("MBOXNAME user.anna UNIQUEID idanna DIGESTS (" + " ".join(f"{n}:{n}" for n in range(1, 258)) + ")", BAD),
    ("MBOXNAME user.anna DIGESTS (1:5)", BAD),
    ("UNIQUEID idanna DIGESTS (1:5)", BAD),
    ("MBOXNAME user.anna UNIQUEID other DIGESTS (1:5)",
     "IMAP_MAILBOX_MOVED Mailbox exists with another name or uniqueid"),
    ("MBOXNAME user.nobody UNIQUEID idanna DIGESTS (1:5)", "IMAP_MAILBOX_NONEXISTENT No Such Mailbox"),
])
def test_bad_questions(pair, question, answer):
    fill(pair, n=3)
    with login(pair.replica) as client:
        response = client.cmd(f"GET RANGES %({question})")
        assert (response.status, response.text, response.untagged) == ("NO", answer, [])


# ---- a replica that lies ----

LIES = {
    "no line": (b"DIGESTS", rb"^\* RANGES .*\r\n", b""),
    "twice": (b"DIGESTS", rb"^(\* RANGES .*\r\n)", rb"\1\1"),
    "another line": (b"DIGESTS", rb"^\* RANGES ", b"* MAILBOX "),
    "fewer digests": (b"DIGESTS", rb"DIGESTS \(\(\d+ \w+\) ", b"DIGESTS ("),
    "more digests": (b"DIGESTS", rb"DIGESTS \(", b"DIGESTS ((1 00112233445566778899aabbccddeeff) "),
    "no digests": (b"DIGESTS", rb" DIGESTS \(.*\)\)\r", rb")\r"),
    "huge number": (b"DIGESTS", rb"DIGESTS \(\(\d+", b"DIGESTS ((18446744073709551615"),
    "short digest": (b"DIGESTS", rb"(DIGESTS \(\(\d+ \w+)\w\w\)", rb"\1)"),
    "no state": (b"DIGESTS", rb"LAST_UID \d+ ", b""),
    "no records": (b"RECORDS", rb" RECORD \(.*\)\r", rb")\r"),
    "a record that was not asked for": (b"RECORDS", rb"%\(UID \d+", b"%(UID 90"),
    "a record twice": (b"RECORDS", rb"(%\(UID 5 .*?\)\)\)) ", rb"\1 \1 "),
    "no record": (b"RECORDS", rb"MODSEQ \d+ LAST", b"LAST"),
}


@pytest.mark.parametrize("lie", LIES)
def test_bad_answers(pair, lie):
    word, pattern, instead = LIES[lie]
    fill_few(pair)
    imap(pair.replica, "anna", r"UID STORE 5,60 +FLAGS (\Flagged)")
    before = states(pair)
    lies = []
    pair.primary.allow_log("Bad protocol|protocol error")

    def on_answer(command, answer):
        if command.startswith(b"GET RANGES") and word in command and not lies:
            answer, n = re.subn(pattern, instead, answer, count=1)
            lies.append(n)
        return answer

    done, through = sync(pair, check=False, on_answer=on_answer)
    assert lies == [1]
    assert done.returncode == 1
    assert "user.anna: " in done.stderr
    assert [end["RECORD"] for end in states(pair)] == [end["RECORD"] for end in before]
    sync(pair)
    must_be_equal(pair)


def test_a_replica_that_never_stands_still_is_asked_for_all(pair):
    fill_few(pair)
    imap(pair.replica, "anna", r"UID STORE 5 +FLAGS (\Flagged)")

    def on_command(command):
        if command.startswith(b"GET RANGES") and b"RECORDS" in command:
            imap(pair.replica, "anna", rf"UID STORE {len(asked(through[0], b'RECORDS')) * 3} +FLAGS (\Answered)")

    through = []
    with Relay(pair.primary.path("tmp", "relay"), pair.replica.path("conf/socket/csync"), on_command=on_command) as relay:
        through.append(relay)
        pair.primary.run("sync_client", "-S", relay.path, "-m", "user.anna")
    assert len(asked(relay, b"RECORDS")) == 3
    assert any(b"GET FULLMAILBOX" in command for command in relay.commands)
    must_be_equal(pair)

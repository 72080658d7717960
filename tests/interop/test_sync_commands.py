# SPDX-License-Identifier: BSD-3-Clause
"""Commands of the sync server whose effects are easily got wrong: the same answers from 3.6.1 and from us."""

import pytest

from cyltest.dlist import parse
from cyltest.syncdata import login
from cyltest.syncline import full

CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False,
        "altnamespace": False, "virtdomains": "off"}
NUMBERS = ("HIGHESTMODSEQ", "LAST_UID", "UIDVALIDITY", "XCONVMODSEQ")


@pytest.fixture(params=["ours", "debian"])
def server(request, factory, debian_factory):
    made = (factory if request.param == "ours" else debian_factory)("replica", services=("imap", "csync"))
    made.conf.update(CONF)
    made.conf["sievedir"] = made.account.mkdir(made.path("sieve"))
    return made.start()


def mailbox(**changes):
    """APPLY MAILBOX of user.anna without messages; what is not given is 50, or 1000."""
    values = {"UNIQUEID": "e9ne1rfiwso8hvftpxli4lt5", "MBOXNAME": "user.anna", "SYNC_CRC": 0,
              "SYNC_CRC_ANNOT": 0, "LAST_UID": 50, "HIGHESTMODSEQ": 50, "RECENTUID": 0,
              "RECENTTIME": 0, "LAST_APPENDDATE": 0, "POP3_LAST_LOGIN": 0, "POP3_SHOW_AFTER": 0,
              "XCONVMODSEQ": 50, "UIDVALIDITY": 1000, "PARTITION": "default",
              "ACL": '"anna\tlrswipkxtecdan\t"', "OPTIONS": "P", "CREATEDMODSEQ": 1,
              "FOLDERMODSEQ": 1, **changes}
    return f"APPLY MAILBOX %({' '.join(f'{k} {v}' for k, v in values.items())} RECORD ())"


def numbers(sync):
    told = full(sync, "user.anna")
    return {key: int(told[key]) for key in NUMBERS}


# ---- FORCE ----

LOWER = {"HIGHESTMODSEQ": 40, "LAST_UID": 40, "UIDVALIDITY": 900, "XCONVMODSEQ": 40}


def test_without_force_nothing_is_lowered(server):
    with login(server) as sync:
        sync.ok(mailbox())
        before = numbers(sync)
        for key, value in LOWER.items():
            assert sync.cmd(mailbox(**{key: value})).text.startswith("IMAP_SYNC_CHECKSUM"), key
        assert numbers(sync) == before


# 3.6.1 lowers XCONVMODSEQ only together with HIGHESTMODSEQ
@pytest.mark.parametrize("key", ["HIGHESTMODSEQ", "LAST_UID", "UIDVALIDITY", "all"])
def test_force_lowers(server, key):
    changes = LOWER if key == "all" else {key: LOWER[key]}
    with login(server) as sync:
        sync.ok(mailbox())
        sync.ok("APPLY FORCE %()")
        sync.ok(mailbox(**changes))
        assert numbers(sync) == {"HIGHESTMODSEQ": 50, "LAST_UID": 50, "UIDVALIDITY": 1000,
                                 "XCONVMODSEQ": 50, **changes}


# ---- annotations ----

SERVER = [("/comment", "", "hi", "OK"), ("/comment", "anna", "mine", "OK"), ("/admin", "", "a@b", "OK"),
          ("/vendor/cmu/cyrus-imapd/squat", "", "true", "OK"),
          ("/vendor/cmu/cyrus-imapd/squat", "", "maybe", "NO"),
          ("/vendor/cmu/cyrus-imapd/expire", "", "7", "OK"),
          ("/vendor/cmu/cyrus-imapd/freespace", "", "1", "NO"), ("/bogus", "", "x", "NO")]
MAILBOX = [("/comment", "", "hi", "OK"), ("/comment", "anna", "mine", "OK"),
           ("/vendor/cmu/cyrus-imapd/uniqueid", "", "zz", "NO"),
           ("/vendor/cmu/cyrus-imapd/expire", "", "x", "NO"), ("/bogus", "", "x", "NO")]


def annotations(sync, name):
    found = [parse(line)[1] for line in sync.ok(f'GET ANNOTATION "{name}"').untagged]
    return sorted((a["ENTRY"].decode(), a["USERID"].decode(), a["VALUE"].decode()) for a in found)


@pytest.mark.parametrize("name, cases", [("", SERVER), ("user.anna", MAILBOX)], ids=["server", "mailbox"])
def test_annotations_must_be_known_and_of_their_type(server, name, cases):
    server.allow_log("SYNCERROR: (UN)?ANNOTATION failed: (Permission denied|Invalid annotation value)")
    with login(server) as sync:
        sync.ok(mailbox())
        for entry, userid, value, status in cases:
            answer = sync.cmd(f'APPLY ANNOTATION %(MBOXNAME "{name}" ENTRY {entry} USERID "{userid}" '
                              f"VALUE {value})")
            assert answer.status == status, (entry, value, answer)
        kept = [(entry, userid, value) for entry, userid, value, status in cases if status == "OK"]
        assert annotations(sync, name) == sorted(kept)
        for entry, userid, value, status in cases:
            answer = sync.cmd(f'APPLY UNANNOTATION %(MBOXNAME "{name}" ENTRY {entry} USERID "{userid}")')
            if (entry, userid, value) in kept:
                assert answer.status == "OK", (entry, answer)
        assert annotations(sync, name) == []


def test_message_of_the_day_is_a_file(server):
    with login(server) as sync:
        sync.ok('APPLY ANNOTATION %(MBOXNAME "" ENTRY /motd USERID "" VALUE hello)')
        assert annotations(sync, "") == []
    with open(server.path("conf", "msg", "motd"), encoding="ascii") as f:
        assert f.read().strip() == "hello"


def test_mailbox_options_are_no_annotations_of_the_database(server):
    with login(server) as sync:
        sync.ok(mailbox())
        sync.ok("APPLY ANNOTATION %(MBOXNAME user.anna ENTRY /vendor/cmu/cyrus-imapd/sharedseen "
                'USERID "" VALUE true)')
        assert annotations(sync, "user.anna") == []
        assert b"S" in full(sync, "user.anna")["OPTIONS"]


# ---- Sieve ----

KEEP, STOP, DISCARD = ("1741a5f56c1cfc0f7ef3d0ad53bceb6518bdfdad",
                       "1dca6794126cc826ad63765fa1b9d1dd5e116364",
                       "0b1374c47420fba6b5be353403e3bdc15a27f2e6")


def scripts(sync):
    """{name: digest, or None for the active one}."""
    found = [parse(line)[1] for line in sync.ok("GET META anna").untagged
             if line.startswith(b"* SIEVE")]
    return {s["FILENAME"].decode(): None if s["ISACTIVE"] == b"1" else s["GUID"].decode() for s in found}


def refused(sync, command):
    assert sync.cmd(command).status == "NO"


def sieve(name, content, user="anna"):
    return (f"APPLY SIEVE %(USERID {user} FILENAME {name} LAST_UPDATE 1795310753 "
            f'CONTENT "{content}")')


def test_sieve_commands(server):
    server.allow_log("SYNCERROR: (ACTIVATE_SIEVE|UNSIEVE) failed: Item does not exist")
    with server.sync("repl") as sync:
        sync.ok(mailbox())
        sync.ok(sieve("a.script", "keep;"))
        sync.ok(sieve("b.script", "stop;"))
        sync.ok(sieve("b.txt", "stop;"))
        assert scripts(sync) == {"a.script": KEEP, "b.script": STOP}
        sync.ok("APPLY ACTIVATE_SIEVE %(USERID anna FILENAME a.bc)")
        refused(sync, "APPLY ACTIVATE_SIEVE %(USERID anna FILENAME zz.bc)")
        assert scripts(sync) == {"a.script": KEEP, "a.bc": None, "b.script": STOP}
        sync.ok(sieve("a.script", "discard;"))
        assert scripts(sync) == {"a.script": DISCARD, "a.bc": None, "b.script": STOP}
        sync.ok("APPLY ACTIVATE_SIEVE %(USERID anna FILENAME b.bc)")
        assert scripts(sync) == {"a.script": DISCARD, "b.script": STOP, "b.bc": None}
        (line,) = sync.ok("GET FETCH_SIEVE %(USERID anna FILENAME a.script)").untagged
        assert parse(line)[1]["CONTENT"] == b"discard;"
        refused(sync, "GET FETCH_SIEVE %(USERID anna FILENAME zz.script)")
        sync.ok("APPLY UNACTIVATE_SIEVE %(USERID anna)")
        assert scripts(sync) == {"a.script": DISCARD, "b.script": STOP}
        sync.ok("APPLY ACTIVATE_SIEVE %(USERID anna FILENAME b.bc)")
        sync.ok("APPLY UNSIEVE %(USERID anna FILENAME b.script)")
        refused(sync, "APPLY UNSIEVE %(USERID anna FILENAME zz.script)")
        assert scripts(sync) == {"a.script": DISCARD}


def test_unsieve_of_the_active_name(server):
    """A 3.6.1 master sends this to deactivate; 3.6.1 ignores it, we do as was meant (handbook 03 §10.8)."""
    with server.sync("repl") as sync:
        sync.ok(mailbox())
        sync.ok(sieve("a.script", "keep;"))
        sync.ok("APPLY ACTIVATE_SIEVE %(USERID anna FILENAME a.bc)")
        sync.ok("APPLY UNSIEVE %(USERID anna FILENAME a.bc)")
        assert ("a.bc" in scripts(sync)) == (server.flavour == "debian")

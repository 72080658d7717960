# SPDX-License-Identifier: BSD-3-Clause
"""ctl_conversationsdb -A beside the packaged one, on what the packaged server leaves: where it calls its own store broken, and
where it can't find a fault (doc/cyrus-3.6.1.md)."""

import re

import pytest

from cyltest.conv_audit import database, dates_alone, differences, is_known, unseen_alone, unseen_in_copies
from cyltest.store import copy_of, debian_tool, records

TOOL = "ctl_conversationsdb"
CONF = {"unixhierarchysep": False, "altnamespace": False, "conversations": True, "conversations_db": "twoskip",
        "archive_enabled": True, "archive_after": "20000d"}
DAYS = ("20-Feb-2022 09:01:00 +0000", "10-Feb-2022 09:01:00 +0000")


def mail(n):
    return (f"From: a@example.com\r\nSubject: Re: thread\r\nDate: Mon, 07 Feb 2022 10:00:00 +0000\r\n"
            f"Message-ID: <m{n}@example.com>\r\nReferences: <r@example.com>\r\n\r\nbody {n}\r\n").encode()


def dates(imap):
    """The copy in a is the older one, and the one that changes last."""
    for folder, day in zip("ab", DAYS):
        imap.append(f"INBOX.{folder}", mail(0), date=day)
    imap.ok("SELECT INBOX.a")
    imap.ok(r"STORE 1 +FLAGS (\Flagged)")


def unseen(imap):
    """A draft in a, whose other copy in b is unseen, as is another message there."""
    for folder, flags, n in (("b", "", 0), ("b", "", 1), ("a", r"\Draft", 1)):
        imap.append(f"INBOX.{folder}", mail(n), flags=flags, date=DAYS[0])


def archived(imap):
    """Two messages; one is flagged later, in its archive."""
    for n in range(2):
        imap.append("INBOX.a", mail(n), date=DAYS[n])


def flag(imap):
    imap.ok("SELECT INBOX.a")
    imap.ok(r"STORE 1 +FLAGS (\Flagged)")


def nothing_special(imap):
    imap.append("INBOX.a", mail(0), date=DAYS[0])


WORK = {"alice": dates, "bob": unseen, "carol": archived, "dave": nothing_special}


@pytest.fixture(scope="module")
def store(module_debian_factory):
    """A user for each case."""
    server = module_debian_factory("store", services=("imap",))
    server.conf.update(CONF, **{"archivepartition-default": server.path("spool", "archive")})
    server.account.mkdir(server.path("spool", "archive"))
    server.start()
    for user, work in WORK.items():
        server.create_user(user, "a", "b")
        with server.imap(user) as imap:
            work(imap)
    debian_tool(server, "cyr_expire", "-A", "1s", "-E", "10000", "-X", "10000", "-D", "10000", "-u", "carol")
    with server.imap("carol") as imap:
        flag(imap)
    server.stop()
    return server


@pytest.fixture
def debian(store, debian_factory):
    return copy_of(store, debian_factory, "debian")


def told(server, run=None):
    return differences((run or server.run)(TOOL, "-v", "-A", "-r", check=False).stdout)


def theirs(server):
    return differences(debian_tool(server, TOOL, "-v", "-A", "-r", check=False).stdout)


def test_what_361_leaves_is_broken_to_it_alone(debian, factory):
    ours = copy_of(debian, factory)
    found = theirs(debian)
    assert [dates_alone(d) for d in found["alice"]] == [True]
    assert [unseen_alone(d) for d in found["bob"]] == [True]
    # Both messages and their parts: one bit of the archive in the wrong place, one that should be gone.
    assert [d.key[0] for d in found["carol"]] == ["G"] * 4 and not any(map(is_known, found["carol"]))
    assert found["dave"] == []
    assert told(ours) == {user: [] for user in WORK}
    for _, count, true in unseen_in_copies(database(debian, "user.bob")):
        assert count == true


def test_a_recount_by_361_makes_it_wrong(debian, factory):
    debian_tool(debian, TOOL, "-R", "-r")
    assert theirs(debian) == {user: [] for user in WORK}
    ours = copy_of(debian, factory)
    found = told(ours)
    assert {user: len(found[user]) for user in WORK} == {"alice": 0, "bob": 1, "carol": 0, "dave": 0}
    (wrong,) = found["bob"]
    assert wrong.key[0] == "F" and wrong.real.endswith(" 1 0)") and wrong.temp.endswith(" 1 1)")
    ours.run(TOOL, "-R", "bob")
    assert told(ours) == {user: [] for user in WORK}


@pytest.mark.parametrize("key, was, now", [("B", " 2 2 2 ", " 2 2 1 "), ("F", " 1 1)", " 1 0)"), ("Q", "E 2", "E 3")])
def test_what_is_wrong_is_told(debian, factory, key, was, now):
    path = database(debian, "user.bob")
    found = [(k, v) for k, v in sorted(records(path).items()) if k[0] == key and was in v]
    assert found
    key, value = found[0]
    debian_tool(debian, "cyr_dbtool", path, "twoskip", "set", key, value.replace(was, now))
    ours = copy_of(debian, factory)
    assert [d.key for d in told(ours)["bob"]] == [key]
    assert key in [d.key for d in theirs(debian)["bob"] if not is_known(d)] or key[0] == "F"


def test_each_part_of_a_copy_that_counts_is_compared(debian, factory):
    """The conversation, \\Deleted, \\Seen, expunged, archived, the date."""
    key, value = next((k, v) for k, v in sorted(records(database(debian, "user.carol")).items()) if k[0] == "G")
    value = value.encode("latin-1")
    ours = copy_of(debian, factory)
    dump = ours.run(TOOL, "-d", "carol", data=b"").stdout
    for offset, bit in ((8, 1), (12, 4), (12, 16), (13, 0x80), (13, 0x20), (24, 1)):
        changed = bytearray(value)
        changed[offset] ^= bit
        record = key.encode() + b"\t" + value
        assert dump.count(record) == 1
        ours.run(TOOL, "-u", "carol", data=dump.replace(record, key.encode() + b"\t" + changed))
        assert [d.key for d in told(ours)["carol"]] == [key], offset


def two_users(server):
    """Both have the message 1, alice without the thread that it answers; a folder of hers goes to bob."""
    server.conf.update(CONF)
    server.start()
    for user in ("alice", "bob"):
        server.create_user(user, "a")
    with server.imap("bob") as imap:
        for n in range(2):
            imap.append("INBOX", mail(n), date=DAYS[n])
    with server.imap("alice") as imap:
        other = mail(2).replace(b"<r@", b"<s@").replace(b"thread", b"another")
        for text in (mail(1), other):
            imap.append("INBOX.a", text, date=DAYS[0])
    with server.imap("admin") as imap:
        imap.ok("RENAME user.alice.a user.bob.c")
        imap.ok("SETACL user.bob.c bob lrswipkxte")
    with server.imap("bob") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 2 +FLAGS (\Deleted)")
        imap.ok("SELECT INBOX.c")
        imap.ok(r"STORE 1 +FLAGS (\Seen)")
    server.stop()


def test_a_folder_that_goes_to_another_user(debian_factory, factory):
    """3.6.1 leaves both databases as they were. Of a message all copies of a user are in one conversation: else one of the two
    would count copies of the other."""
    ours, debian = factory(services=("imap",)), debian_factory("debian", services=("imap",))
    two_users(debian)
    found = theirs(debian)
    assert [d.key for d in found["alice"] if d.kind == "REALONLY" and d.key[0] == "B"]
    assert [d.key for d in found["bob"] if d.kind == "TEMPONLY" and d.key[0] == "G"]
    two_users(ours)
    assert told(ours) == {"alice": [], "bob": []}
    found = theirs(ours)
    assert [d for d in found["bob"] if not is_known(d)] == []
    assert [(d.kind, d.key, d.real) for d in found["alice"]] == [("REALONLY", "Q", "1 %(E 0 S 0)")]  # as of its own
    for _, count, true in unseen_in_copies(database(ours, "user.bob")):
        assert count == true


def test_a_folder_that_comes_back_after_its_message_came_again(factory):
    """Meanwhile the message was put into another conversation, because a newer one has what it answers."""
    ours = factory(services=("imap",))
    ours.conf.update(CONF)
    ours.start()
    ours.create_user("alice", "f")

    def text(name, *refs, subject="s"):
        answers = "References: " + " ".join(f"<{ref}@example.com>" for ref in refs) + "\r\n" if refs else ""
        return f"From: a@example.com\r\nSubject: {subject}\r\nMessage-ID: <{name}@example.com>\r\n{answers}\r\n{name}\r\n".encode()

    def cids(imap, mailbox):
        imap.ok(f"EXAMINE {mailbox}")
        return [re.search(rb"CID (\w+)", line)[1] for line in imap.ok("FETCH 1:* CID").find("* ") if b"CID" in line]

    with ours.imap("alice") as imap, ours.imap("admin") as admin:
        names = [f"n{i}" for i in range(15)]
        imap.append("INBOX", text("first"))
        imap.append("INBOX.f", text("answer", "first", *names))
        (old,) = cids(imap, "INBOX.f")
        assert cids(imap, "INBOX") == [old]
        imap.ok("DELETE INBOX.f")
        # Drafts have no subject yet, so they match; of all ids that its references lead to, the message takes the largest.
        for name in names:
            imap.append("INBOX", text(name, subject=name), flags=r"\Draft")
        imap.append("INBOX", text("answer", "first", *names))
        new = cids(imap, "INBOX")[-1]
        (line,) = admin.ok('LIST "" DELETED.user.alice.*').find("* LIST")
        admin.ok(f"RENAME {line.decode().split()[-1]} user.alice.f")
        assert new > old and cids(imap, "INBOX.f") == [new]
    ours.stop()
    assert told(ours) == {"alice": []}


def test_with_skiplist_361_finds_nothing(debian):
    """The default of conversations_db; -A of 3.6.1 compares the file with itself, then."""
    path = database(debian, "user.dave")
    debian_tool(debian, "cyr_dbtool", path, "twoskip", "set", "Q", "1 %(E 7 S 7)")
    assert [d.key for d in theirs(debian)["dave"]] == ["Q"]
    debian.conf["conversations_db"] = "skiplist"
    debian.write_conf()
    assert theirs(debian) == {user: [] for user in WORK}
    assert records(path, "skiplist")["Q"] == "1 %(E 7 S 7)"

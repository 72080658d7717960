# SPDX-License-Identifier: BSD-3-Clause
"""One index record that can't be read is one message that can't be read: it is named, and never taken for expunged; all others are served."""

import os

import pytest

from cyltest.damage import damage
from cyltest.pair import Pair
from cyltest.storefiles import IndexFile, mailbox_dir

COUNT, BAD = 6, 3
RECORD = 112
WHERE = {"flags": (32, b"\xff\xff\xff\xff"), "uid": (0, b"\x00\x01\x02\x03"), "low uid": (0, b"\x00\x00\x00\x01"),
         "zeros": (0, bytes(RECORD)), "rubbish": (0, bytes(range(1, RECORD + 1)))}


def text(n):
    return b"Message-ID: <%d@example.com>\r\nFrom: a@example.com\r\nSubject: number %d\r\n\r\nbody %d\r\n" % (n, n, n)


def spoil(server, recnos=(BAD,), where="zeros", name="user/alice"):
    at, new = WHERE[where]

    def change(data):
        for recno in recnos:
            start = IndexFile.offset(recno) + at
            data = data[:start] + new + data[start + len(new):]
        return data
    damage(os.path.join(mailbox_dir(server, name), "cyrus.index"), change)


def make(factory, services=("imap", "lmtp", "pop3"), **conf):
    server = factory(services=services)
    server.conf.update(conf)
    server.start()
    server.create_user("alice", "Other")
    with server.imap("alice") as imap:
        for n in range(1, COUNT + 1):
            imap.append("INBOX", text(n), "\\Seen" if n == 1 else None)
    server.allow_log("IOERROR: (index record|mailbox)")
    return server


def joined(response):
    return b"\n".join(response.untagged)


def fetched(response):
    return [int(line.split()[1]) for line in response.untagged if b" FETCH " in line]


OTHERS = [n for n in range(1, COUNT + 1) if n != BAD]


@pytest.mark.parametrize("where", WHERE)
def test_others_are_served(factory, where):
    server = make(factory)
    spoil(server, where=where)
    mark = server.log_mark()
    with server.imap("alice") as imap:
        response = imap.ok("SELECT INBOX")
        assert b"* %d EXISTS" % COUNT in response.untagged
        assert b"* NO [CORRUPTION] UID %d can't be read" % BAD in response.untagged
        for items in ("FLAGS", "UID", "ENVELOPE", "BODY.PEEK[]", "(UID FLAGS INTERNALDATE)"):
            response = imap.no(f"FETCH 1:* {items}")
            assert fetched(response) == OTHERS, items
            assert f"body {BAD}\r\n".encode() not in joined(response)
        assert fetched(imap.ok(f"UID FETCH 1:{BAD - 1},{BAD + 1}:* FLAGS")) == OTHERS
        assert not fetched(imap.no(f"UID FETCH {BAD} FLAGS"))
        response = imap.no("SEARCH ALL")
        assert f"UID {BAD} can't be read" in response.text
        assert b"* SEARCH " + b" ".join(b"%d" % n for n in OTHERS) in response.untagged
        assert fetched(imap.no("STORE 1:* +FLAGS (\\Flagged)")) == OTHERS
        imap.no("COPY 1:* Other")
        imap.ok(f"COPY 1:{BAD - 1} Other")
        imap.no(f"MOVE {BAD} Other")
    server.wait_log(f"index record is damaged: mailbox=<user.alice> uniqueid=<[^>]*> recno=<{BAD}>", mark)


@pytest.mark.parametrize("where", WHERE)
def test_it_is_never_expunged(factory, where):
    """Whatever others do meanwhile; reconstruct brings it back."""
    server = make(factory)
    with server.imap("alice") as before:
        before.ok("SELECT INBOX")
        spoil(server, where=where)
        with server.imap("alice") as imap:
            imap.ok("ENABLE QRESYNC")
            imap.ok("SELECT INBOX")
            imap.ok("STORE 5 +FLAGS (\\Deleted)")
            imap.no("EXPUNGE")
            imap.append("INBOX", text(7))
        response = before.ok("NOOP")
        assert [line for line in response.untagged if b"EXPUNGE" in line] == [b"* 5 EXPUNGE"]
        assert b"* %d EXISTS" % COUNT in response.untagged
        with server.imap("alice") as again:
            again.ok("ENABLE QRESYNC")
            uidvalidity = [line for line in again.ok("EXAMINE INBOX").untagged if b"UIDVALIDITY" in line][0].split()[3][:-1].decode()
            response = again.ok(f"EXAMINE INBOX (QRESYNC ({uidvalidity} 1))")
            assert b"* VANISHED (EARLIER) 5" in response.untagged
            assert b"* %d EXISTS" % COUNT in response.untagged
    server.run("cyr_expire", "-X", "0", "-E", "1")
    with server.imap("alice") as imap:
        assert b"* %d EXISTS" % COUNT in imap.ok("SELECT INBOX").untagged
        assert b"(MESSAGES %d UNSEEN %d)" % (COUNT, COUNT - 1) in joined(imap.ok("STATUS INBOX (MESSAGES UNSEEN)"))
    server.run("reconstruct", "user/alice")
    with server.imap("alice") as imap:
        response = imap.ok("SELECT INBOX")
        assert b"* %d EXISTS" % COUNT in response.untagged and b"CORRUPTION" not in joined(response)
        bodies = joined(imap.ok("FETCH 1:* BODY.PEEK[]"))
        assert all(b"body %d\r\n" % n in bodies for n in (*OTHERS, BAD, 7) if n != 5)
        assert fetched(imap.ok("FETCH 1:* UID")) == list(range(1, COUNT + 1))


def test_pop3(factory):
    server = make(factory)
    spoil(server)
    with server.pop3("alice") as pop:
        assert pop.ok("STAT").split()[1] == b"%d" % COUNT
        assert len(pop.multiline("UIDL")) == COUNT
        assert pop.multiline("LIST")[BAD - 1] == b"%d %d" % (BAD, len(text(BAD)))
        for n in OTHERS:
            assert b"body %d" % n in pop.multiline(f"RETR {n}")
        pop.err(f"RETR {BAD}")
        pop.ok("QUIT")
    with server.imap("alice") as imap:
        assert b"* %d EXISTS" % COUNT in imap.ok("SELECT INBOX").untagged


def test_several(factory):
    """Beside each other, and at the ends."""
    server = make(factory)
    spoil(server, (1, 3, 4, COUNT))
    with server.imap("alice") as imap:
        response = imap.ok("SELECT INBOX")
        assert b"* NO [CORRUPTION] UID 1,3:4,%d can't be read" % COUNT in response.untagged
        assert fetched(imap.no("FETCH 1:* FLAGS")) == [2, 5]


def test_what_it_was_is_not_known(factory):
    """One of two is expunged, and nobody can say which: the mailbox can't be selected; what is expunged alone keeps nobody."""
    server = make(factory, expunge_mode="delayed")
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(f"STORE {BAD} +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    spoil(server)
    with server.imap("alice") as imap:
        response = imap.ok("SELECT INBOX")
        assert b"* %d EXISTS" % (COUNT - 1) in response.untagged and b"CORRUPTION" not in joined(response)
    spoil(server, (BAD + 1,))
    with server.imap("alice") as imap:
        imap.no("SELECT INBOX")
        imap.ok("SELECT Other")


def recno_of(server, uid):
    with open(os.path.join(mailbox_dir(server, "user/alice"), "cyrus.index"), "rb") as f:
        data = f.read()
    return next(n for n in range(1, 100) if data[IndexFile.offset(n):][:4] == uid.to_bytes(4, "big"))


def test_the_uid_is_not_known(factory):
    """Its file is gone as well, and another UID is possible, since a repair has taken out the record before."""
    server = make(factory)
    spoil(server)
    server.run("reconstruct", "user/alice")
    spoil(server, (recno_of(server, BAD + 1),), "flags")
    with server.imap("alice") as imap:
        assert b"* NO [CORRUPTION] UID %d can't be read" % (BAD + 1) in imap.ok("SELECT INBOX").untagged
    os.rename(os.path.join(mailbox_dir(server, "user/alice"), f"{BAD + 1}."), server.path("tmp", "away"))
    with server.imap("alice") as imap:
        imap.no("SELECT INBOX")
        imap.ok("SELECT Other")


@pytest.mark.parametrize("where", WHERE)
def test_the_replica_is_not_infected(factory, where):
    pair = Pair(factory(services=("imap", "lmtp")), factory(services=("imap", "csync"))).start()
    primary, replica = pair.primary, pair.replica
    primary.create_user("alice", "Other")
    with primary.imap("alice") as imap:
        for n in range(1, COUNT + 1):
            imap.append("INBOX", text(n))
    pair.sync("-A")
    for end in (primary, replica):
        end.allow_log("IOERROR|SYNCERROR|SYNCNOTICE|CRC failure|Error")
    spoil(primary, where=where)
    with primary.imap("alice") as imap:
        imap.append("INBOX", text(7))
        imap.append("Other", text(8))
    assert pair.sync("-A", check=False).returncode == 1
    with replica.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        assert b"body %d\r\n" % BAD in joined(imap.ok(f"UID FETCH {BAD} BODY.PEEK[]"))
        assert fetched(imap.ok("FETCH 1:* FLAGS"))[:COUNT] == list(range(1, COUNT + 1))
        assert b"MESSAGES 1" in joined(imap.ok("STATUS Other (MESSAGES)"))

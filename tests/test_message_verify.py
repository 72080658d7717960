# SPDX-License-Identifier: BSD-3-Clause
"""A message whose bytes are not those of its GUID is not served by anybody; all others are, and nothing is removed."""

import hashlib
import os
import time

import pytest

from cyltest.damage import KINDS, damage, damaged, one_bit, set_verified, verified_at
from cyltest.pair import Pair
from cyltest.storefiles import mailbox_dir

COUNT, BAD = 5, 3
BODY_ITEMS = ("BODY.PEEK[]", "RFC822", "RFC822.HEADER", "RFC822.TEXT", "BODY.PEEK[TEXT]", "BODY.PEEK[1]", "BODY.PEEK[HEADER]",
              "BODY.PEEK[HEADER.FIELDS (Subject)]", "BODY.PEEK[]<10.5>", "BINARY.PEEK[1]", "RFC822.SHA1")
INDEX_ITEMS = ("FLAGS", "UID", "ENVELOPE", "BODYSTRUCTURE", "RFC822.SIZE", "DIGEST.SHA1", "BODY.PEEK[HEADER.FIELDS (References)]")


def text(n):
    return (b"Message-ID: <%d@example.com>\r\nFrom: a@example.com\r\nSubject: number %d\r\n"
            b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\n" % (n, n)) + b"".join(
                b"line %d of message %d\r\n" % (line, n) for line in range(40 * n))


def make(factory, services=("imap", "lmtp", "pop3"), **conf):
    server = factory(services=services)
    server.conf.update(conf)
    server.start()
    server.create_user("alice")
    with server.imap("alice") as imap:
        for n in range(1, COUNT + 1):
            imap.append("INBOX", text(n))
    server.allow_log("IOERROR: (message file|mailbox|cache record)")
    return server


def path_of(server, uid=BAD, name="user/alice"):
    return os.path.join(mailbox_dir(server, name), f"{uid}.")


def bodies(response):
    return [x for x in response.untagged if b"FETCH" in x]


def cold(path):
    """The file is not one that changed a moment ago, which would not be remembered."""
    while time.time() - os.stat(path).st_ctime < 0.2:
        time.sleep(0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_fetch(factory, kind):
    server = make(factory)
    path = path_of(server)
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok("FETCH 1:* BODY[]")  # \\Seen
        before = {item: bodies(imap.ok(f"FETCH 1:* {item}")) for item in (*BODY_ITEMS, *INDEX_ITEMS)}
        with damaged(path, KINDS[kind]):
            mark = server.log_mark()
            for item in BODY_ITEMS:
                response = imap.no(f"FETCH 1:* {item}")
                assert "[CORRUPTION]" in response.text, item
                assert bodies(response) == [x for n, x in enumerate(before[item], 1) if n != BAD], item
            for item in INDEX_ITEMS:
                assert bodies(imap.ok(f"FETCH 1:* {item}")) == before[item], item
            assert not bodies(imap.no(f"FETCH {BAD} BODY.PEEK[]"))
        server.wait_log("IOERROR.*mailbox=<user.alice>", mark)
        if len(KINDS[kind](text(BAD))) == len(text(BAD)):
            server.wait_log(f"uid=<{BAD}>.*guid=<{hashlib.sha1(text(BAD)).hexdigest()}> "
                            f"found=<{hashlib.sha1(KINDS[kind](text(BAD))).hexdigest()}>", mark)
        for item in BODY_ITEMS:
            assert bodies(imap.ok(f"FETCH 1:* {item}")) == before[item]


def test_a_message_that_was_not_served_is_not_seen(factory):
    server = make(factory)
    with damaged(path_of(server), one_bit), server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.no("FETCH 1:* BODY[]")
        assert f"SEARCH {BAD}".encode() in b"".join(imap.ok("SEARCH UNSEEN").untagged)


def test_many_batches(factory):
    """One damaged message does not end the command."""
    server = make(factory)
    with server.imap("alice") as imap:
        for n in range(300):
            imap.append("INBOX", text(1) + b"%d\r\n" % n)
        imap.ok("SELECT INBOX")
        with damaged(path_of(server), one_bit):
            assert len(bodies(imap.no("FETCH 1:* BODY.PEEK[]"))) == 300 + COUNT - 1
            assert len(bodies(imap.no("FETCH 1:* BODY[]"))) == 300 + COUNT - 1


@pytest.mark.parametrize("kind", KINDS)
def test_pop3(factory, kind):
    server = make(factory)
    with damaged(path_of(server), KINDS[kind]), server.pop3("alice") as pop:
        for n in range(1, COUNT + 1):
            for command in (f"RETR {n}", f"TOP {n} 3"):
                if n == BAD:
                    assert b"[SYS/PERM] Message file is damaged" in pop.err(command)
                elif command.startswith("RETR"):
                    assert b"".join(x + b"\r\n" for x in pop.multiline(command)) == text(n)
                else:
                    pop.multiline(command)
        pop.ok("QUIT")


def test_copy(factory):
    """Within a partition the file is linked and read by nobody; elsewhere the bytes are looked at."""
    server = factory(services=("imap", "lmtp"))
    server.conf["partition-other"] = server.path("other")
    os.mkdir(server.path("other"))
    server.account.give(server.path("other"))
    server.start()
    server.create_user("alice")
    server.allow_log("IOERROR: (message file|mailbox|cache record)")
    with server.imap("admin") as imap:
        imap.ok("CREATE user/alice/Far other")
    with server.imap("alice") as imap:
        for n in range(1, COUNT + 1):
            imap.append("INBOX", text(n))
        imap.ok("CREATE Near")
        imap.ok("SELECT INBOX")
        with damaged(path_of(server), one_bit):
            response = imap.no("COPY 1:* Far")
            assert "[CORRUPTION]" in response.text
            assert b"MESSAGES 0" in b"".join(imap.ok("STATUS Far (MESSAGES)").untagged)
            imap.ok("COPY 1:2,4:5 Far")
            imap.ok("COPY 1:* Near")
            imap.ok("SELECT Near")
            assert len(bodies(imap.no("FETCH 1:* BODY.PEEK[]"))) == COUNT - 1
        assert len(bodies(imap.ok("FETCH 1:* BODY.PEEK[]"))) == COUNT


def test_catenate(factory):
    server = make(factory)
    with damaged(path_of(server), one_bit), server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        assert "BADURL" in imap.no(f'APPEND INBOX CATENATE (URL "/INBOX/;UID={BAD}")').text
        imap.ok('APPEND INBOX CATENATE (URL "/INBOX/;UID=1")')


def test_cache_is_not_made_of_damaged_bytes(factory):
    server = make(factory)
    with open(os.path.join(mailbox_dir(server, "user/alice"), "cyrus.cache"), "r+b") as f:
        size = os.fstat(f.fileno()).st_size
        f.seek(4)
        f.write(bytes(size - 4))
    with damaged(path_of(server), one_bit), server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        response = imap.no("FETCH 1:* ENVELOPE")
        assert "[CORRUPTION]" in response.text
        assert len(bodies(response)) == COUNT - 1


def test_once(factory):
    """A file is hashed when it is read first, when it has changed, and when that was too long ago."""
    server = make(factory)
    path, guid, table = path_of(server), hashlib.sha1(text(BAD)).hexdigest(), server.path("conf", "verified")
    cold(path)
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(f"FETCH {BAD} BODY.PEEK[]")
        assert abs(verified_at(table, path, guid) - time.time()) < 60
        damage(path, one_bit)
        assert verified_at(table, path, guid) is None
        imap.no(f"FETCH {BAD} BODY.PEEK[]")
        # That the table is trusted can be seen when it says what is not so.
        set_verified(table, path, guid)
        imap.ok(f"FETCH {BAD} BODY.PEEK[]")
        set_verified(table, path, guid, spoil=True)
        imap.no(f"FETCH {BAD} BODY.PEEK[]")
        for when in (time.time() - 2 * 86400, time.time() + 1000):
            set_verified(table, path, guid, when)
            imap.no(f"FETCH {BAD} BODY.PEEK[]")


@pytest.mark.parametrize("how", ("always", "never", "for ever"))
def test_options(factory, how):
    conf = {"message_verify": how} if how != "for ever" else {"message_verify_age": "0"}
    server = make(factory, **conf)
    path, guid, table = path_of(server), hashlib.sha1(text(BAD)).hexdigest(), server.path("conf", "verified")
    cold(path)
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok("FETCH 1:* BODY.PEEK[]")
        damage(path, one_bit)
        if how == "never":
            imap.ok(f"FETCH {BAD} BODY.PEEK[]")
            return
        imap.no(f"FETCH {BAD} BODY.PEEK[]")
        set_verified(table, path, guid, time.time() - 1000 * 86400)
        (imap.no if how == "always" else imap.ok)(f"FETCH {BAD} BODY.PEEK[]")


@pytest.mark.parametrize("what", ("rubbish", "directory", "rights", "short"))
def test_table_that_is_none(factory, what):
    """All is served, or not served, as ever."""
    server = factory(services=("imap", "lmtp"))
    server.start()
    server.create_user("alice")
    server.allow_log("IOERROR: (message file|mailbox|cache record)")
    table = server.path("conf", "verified")
    if what == "directory":
        os.mkdir(table)
    else:
        with open(table, "wb") as f:
            f.write(os.urandom(65536 * 64 if what == "rubbish" else 100))
        server.account.give(table)
    if what == "rights":
        os.chmod(table, 0)
    with server.imap("alice") as imap:
        for n in range(1, COUNT + 1):
            imap.append("INBOX", text(n))
        imap.ok("SELECT INBOX")
        with damaged(path_of(server), one_bit):
            for _ in range(2):
                assert len(bodies(imap.no("FETCH 1:* BODY.PEEK[]"))) == COUNT - 1


def test_replication(factory):
    """The damaged message is named; all other mailboxes and users go across, and the mailbox when it is whole again."""
    pair = Pair(factory(services=("imap", "lmtp")), factory(services=("imap", "csync"))).start()
    primary, replica = pair.primary, pair.replica
    primary.create_user("alice", "Other")
    primary.create_user("bob")
    pair.sync("-A")
    primary.allow_log("IOERROR|SYNCERROR|SYNCNOTICE|CRC failure|Error")
    replica.allow_log("IOERROR|SYNCERROR|SYNCNOTICE|CRC failure")
    with primary.imap("alice") as imap, primary.imap("bob") as bob:
        for n in range(1, COUNT + 1):
            imap.append("INBOX", text(n))
            imap.append("Other", text(10 + n))
            bob.append("INBOX", text(20 + n))

    def counts():
        found = []
        for user, name in (("alice", "INBOX"), ("alice", "Other"), ("bob", "INBOX")):
            with replica.imap(user) as imap:
                found.append(int(imap.ok(f"STATUS {name} (MESSAGES)").untagged[0].split()[-1].rstrip(b")")))
        return found

    with damaged(path_of(primary), one_bit):
        mark = primary.log_mark()
        assert pair.sync("-A", check=False).returncode == 1
        primary.wait_log(f"message file is damaged.*mailbox=<user.alice>.*uid=<{BAD}>.*"
                         f"guid=<{hashlib.sha1(text(BAD)).hexdigest()}> found", mark)
        assert counts() == [0, COUNT, COUNT]
    pair.sync("-A")
    assert counts() == [COUNT, COUNT, COUNT]

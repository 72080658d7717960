# SPDX-License-Identifier: BSD-3-Clause
"""A mailbox whose message files get lost and damaged in each way, and come back from a replica."""

import os

from .damage import damage, empty, one_bit, rubbish, short, zeros
from .storefiles import index_of, mailbox_dir

COUNT = 9
LOST, FLIPPED, ZEROED, SHORT, EMPTY, RUBBISH = 2, 3, 4, 5, 6, 7
BAD = (LOST, FLIPPED, ZEROED, SHORT, EMPTY, RUBBISH)
CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False, "altnamespace": False,
        "virtdomains": "off", "expunge_mode": "delayed", "delete_mode": "delayed"}


def text(n):
    return (b"Message-ID: <%d@example.com>\r\nFrom: a@example.com\r\nSubject: number %d\r\n"
            b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\n" % (n, n)) + b"line of the message\r\n" * (4000 if n == 7 else 30 * n)


def fill(pair):
    """9 messages on both ends, one of them large, with flags."""
    pair.primary.add_user("anna")
    pair.replica.add_user("anna")
    pair.primary.create_user("anna", "Work")
    with pair.primary.imap("anna") as imap:
        for n in range(1, COUNT + 1):
            imap.append("INBOX", text(n))
            imap.append("INBOX.Work", text(n + 100))
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 3:5 +FLAGS (\Flagged $Work)")
        imap.logout()
    pair.primary.run("sync_client", "-u", "anna")


def look(server):
    with server.imap("anna") as imap:
        imap.ok("SELECT INBOX")
        found = imap.ok("FETCH 1:* (UID FLAGS MODSEQ INTERNALDATE ENVELOPE BODY.PEEK[])").untagged
        imap.logout()
    return found


def spoil(server, name="user.anna"):
    """Files of INBOX, as disks and people do it. The bytes that were there, by UID."""
    directory = mailbox_dir(server, name)
    whole = {}
    for uid, how in ((FLIPPED, one_bit), (ZEROED, zeros), (SHORT, short), (EMPTY, empty), (RUBBISH, rubbish)):
        whole[uid] = damage(os.path.join(directory, f"{uid}."), how)
    path = os.path.join(directory, f"{LOST}.")
    with open(path, "rb") as f:
        whole[LOST] = f.read()
    os.unlink(path)
    return whole


def on_disk(server, name="user.anna"):
    directory, found = mailbox_dir(server, name), {}
    for uid in BAD:
        path = os.path.join(directory, f"{uid}.")
        found[uid] = None
        if os.path.exists(path):
            with open(path, "rb") as f:
                found[uid] = f.read()
    return found


def refill(server, *args, status=0):
    done = server.run("reconstruct", "--from-replica", *args, "user.anna", check=False)
    assert done.returncode == status, done
    return done.stdout


def check_refill(server, args=()):
    """Everything comes back; nothing else has changed, the records not even in their times."""
    before = look(server)
    records = index_of(server, "user.anna").records
    whole = spoil(server)
    bad = on_disk(server)
    told = refill(server, *args, "-n", status=65)
    assert on_disk(server) == bad
    for uid in BAD:
        assert f"user.anna uid {uid} " in told and "the replica has it" in told
    told = refill(server, *args)
    for uid in BAD:
        assert any(line.startswith(f"user.anna uid {uid} ") and line.endswith("fetched from the replica")
                   for line in told.splitlines()), told
    assert told.count("fetched from the replica") == len(BAD)
    assert on_disk(server) == whole
    assert look(server) == before
    assert index_of(server, "user.anna").records == records
    assert "fetched" not in refill(server, *args)
    assert server.run("reconstruct", "-n", "-G", "user.anna").stdout.split() == ["user.anna"]

# SPDX-License-Identifier: BSD-3-Clause
"""Partitions with and without an archive and directories for metadata: mailboxes move between them, and 3.6.1 finds everything.

`full` has an archive and a metapartition, `archive` only the one, `meta` only the other, `default` neither.
"""

import glob
import os
import re

import pytest

OLD = "02-Jan-2023 10:00:00 +0000"
KINDS = "header index cache expunge squat annotations lock dav archivecache".split()
PARTITIONS = ("default", "full", "archive", "meta")


def mail(n):
    return (f"From: a{n}@example.com\r\nSubject: number {n}\r\nMessage-ID: <p{n}@example.com>\r\n\r\n" +
            "a line\r\n" * (n + 1)).encode()


def configure(server, kinds):
    def directory(name):
        return server.account.mkdir(server.path(name))

    server.conf.update({
        "partition-full": directory("spool-full"), "archivepartition-full": directory("archive-full"),
        "metapartition-full": directory("meta-full"), "partition-archive": directory("spool-archive"),
        "archivepartition-archive": directory("archive-archive"), "partition-meta": directory("spool-meta"),
        "metapartition-meta": directory("meta-meta"), "metapartition_files": kinds, "archive_enabled": True,
        "conversations": True, "allowusermoves": True, "altnamespace": False, "unixhierarchysep": True})


def same_store(debian, server):
    for option, value in server.conf.items():
        if re.match(r"configdirectory$|(archive|meta)?partition-|metapartition_files", option):
            debian.conf[option] = value
    debian.conf.update({option: server.conf[option] for option in
                        ("archive_enabled", "conversations", "altnamespace", "unixhierarchysep", "allowusermoves")})
    return debian


def fill(server, partition):
    with server.imap("admin") as imap:
        imap.ok(f"CREATE user/alice {partition}")
        imap.ok(f"CREATE user/alice/Work {partition}")
        imap.ok("SETACL user/alice/Work admin lrswipkxtecdan")
    with server.imap("alice") as imap:
        for n in range(4):
            imap.append("INBOX/Work", mail(n), "\\Seen $label" if n % 2 else None, OLD if n < 2 else None)
        imap.ok("SELECT INBOX/Work")
        imap.ok('STORE 1,3 ANNOTATION (/comment (value.shared "ours"))')


def archive_old(server):
    server.run("cyr_expire", "-A", "7d")


def view(server):
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX/Work")
        got = imap.ok("FETCH 1:* (UID FLAGS MODSEQ INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[] "
                      "ANNOTATION (/comment value.shared))").find("* ")
        return [line.replace(b"\\Recent ", b"").replace(b"\\Recent", b"") for line in got if b"FETCH" in line]


def move(server, partition):
    with server.imap("admin") as imap:
        imap.ok(f"RENAME user/alice/Work user/alice/Work {partition}")


def files(server):
    """Of Work, relative to the root."""
    ident = server.run("mbpath", "user/alice/Work").stdout.strip().rsplit("/", 1)[1]
    return sorted(os.path.relpath(path, server.root)
                  for path in glob.glob(server.path("*", "uuid", "*", "*", ident, "*")) if os.path.isfile(path))


def roots(server):
    return {path.split("/")[0] for path in files(server)}


def nothing_to_repair(server):
    told = server.run("reconstruct", "-n", "-G", "-r", "user/alice").stdout.split()
    assert set(told) <= {"user/alice", "user/alice/Work"}, told
    assert not re.search("made anew|IOERROR|DBERROR", server.log_text()), server.log_text()


MOVES = [(a, b) for a in PARTITIONS for b in PARTITIONS if a != b]


@pytest.mark.parametrize("old, new", MOVES)
def test_archived_messages_move(factory, old, new):
    """To the archive where there is one, and out of it where there is none; with their cache records."""
    server = factory(services=("imap",))
    configure(server, "header index cache annotations")
    server.start()
    fill(server, old)
    archive_old(server)
    before = view(server)
    assert len(before) == 4
    move(server, new)
    assert view(server) == before
    server.run("ctl_cyrusdb", "-c")
    where = {"default": {"spool"}, "full": {"spool-full", "archive-full", "meta-full"},
             "archive": {"spool-archive", "archive-archive"}, "meta": {"spool-meta", "meta-meta"}}
    assert roots(server) == where[new]
    if new in ("full", "archive"):
        messages = [path for path in files(server) if path.startswith("archive-") and path.endswith(".")]
        assert len(messages) == 2, files(server)
    nothing_to_repair(server)
    archive_old(server)
    move(server, old)
    assert view(server) == before
    server.run("ctl_cyrusdb", "-c")
    assert roots(server) == where[old]
    nothing_to_repair(server)


@pytest.mark.parametrize("kind", [*KINDS, "header index cache expunge squat annotations lock dav archivecache"])
def test_each_kind_of_metadata(factory, debian_factory, kind):
    """One store with the same options, by turns; each moves the mailbox, too."""
    server = factory(services=("imap",))
    configure(server, kind)
    server.start()
    fill(server, "full")
    archive_old(server)
    expected = view(server)
    server.stop()
    debian = same_store(debian_factory(services=("imap",)), server)
    for one, partition in ((debian, "archive"), (server, "meta"), (debian, "full"), (server, "default"),
                           (debian, "full"), (server, "full")):
        one.start()
        assert view(one) == expected, (one, partition)
        if partition != "full" or one is debian:
            move(one, partition)
            assert view(one) == expected, (one, partition, "moved")
        with one.imap("alice") as imap:
            imap.append("INBOX/Work", mail(len(expected)))
        expected = view(one)
        one.stop()
    nothing_to_repair(server)

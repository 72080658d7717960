# SPDX-License-Identifier: BSD-3-Clause
"""reconstruct (handbook 05 §3.13, 02 §8): each kind of damage, ours and Debian's on the same store."""

import os
import re
import shutil

import pytest

from cyltest.storefiles import (EXPUNGED, UNLINKED, IndexFile, Snapshot, add_file, damage, index_of, mailbox_dir,
                                message_files)

DEBIAN = "/usr/lib/cyrus/bin/"
NAME = "user/alice\n"


def message(n):
    return (f"From: Sender <sender@example.org>\r\nTo: Alice <alice@example.com>\r\nSubject: Hello {n}\r\n"
            f"Date: Mon, 05 Jan 2026 10:00:0{n} +0000\r\nMessage-ID: <{n}@example.org>\r\n\r\nbody {n}\r\n").encode()


class Store:
    """alice's INBOX with 1 to 5 (4 is expunged), and Work; stopped."""

    def __init__(self, server):
        self.server = server
        server.conf.update({"conversations": True, "quota_db": "twoskip"})
        server.env["TZ"] = "UTC"
        server.start()
        server.create_user("alice", "Work")
        with server.imap("admin") as c:
            c.ok("SETQUOTA user/alice (STORAGE 20000 MESSAGE 100)")
            c.logout()
        with server.imap("alice") as c:
            for n, flags in enumerate(["\\Seen \\Flagged", "$Label1", None, None, None], 1):
                c.append("INBOX", message(n), flags, date="02-Jan-2023 10:00:00 +0000")
            c.append("Work", message(1))
            c.ok("SELECT INBOX")
            c.ok('STORE 2 ANNOTATION (/comment (value.shared "kept"))')
            c.ok("STORE 4 +FLAGS (\\Deleted)")
            c.ok("EXPUNGE")
            c.logout()
        server.stop()
        self.dir = server.run("mbpath", "user/alice").stdout.strip()
        self.index = self.path("cyrus.index")
        self.saved = Snapshot(server)

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, *args, check=False):
        return self.server.run("reconstruct", *args, check=check)

    def debian(self, *args):
        if not os.path.exists(DEBIAN + "reconstruct"):
            pytest.skip("INTEROP NOT TESTED: Debian's reconstruct is not installed")
        return self.server.run(DEBIAN + "reconstruct", *args, check=False)

    def bytes(self):
        """Every file of the store."""
        found = {}
        for top in ("conf", "spool"):
            for dirpath, _, names in os.walk(self.server.path(top)):
                for name in names:
                    path = os.path.join(dirpath, name)
                    if "/conf/proc/" in path or "/journal/" in path or name.endswith(".lock"):
                        continue
                    with open(path, "rb") as f:
                        found[path] = f.read()
        return found

    def is_sound(self):
        """Nothing is left to repair, for us and for Debian; the derived data agree."""
        assert IndexFile(self.index).crcs_are_good()
        done = self.run("-G", "-q")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        if os.path.exists(DEBIAN + "reconstruct"):
            assert self.debian("-n", "-G").stdout == "user/alice\nuser/alice/Work\n"
        assert self.server.run("quota", "-f", "-q").stdout == ""
        assert self.server.run("ctl_conversationsdb", "-A", "alice").stdout == ""

    def header(self, **fields):
        index = IndexFile(self.index)
        for field, value in fields.items():
            index.set(field, value)

    def record(self, recno, **fields):
        index = IndexFile(self.index)
        for field, value in fields.items():
            index.set(field, value, recno=recno)


@pytest.fixture
def store(factory):
    server = factory()
    server.allow_log(r".*")
    return Store(server)


def test_healthy(store):
    for args in ([], ["-n"], ["-G"], ["-r", "user/alice"], ["-u", "alice"]):
        before = store.bytes()
        done = store.run(*args)
        assert (done.returncode, done.stdout, done.stderr) == (0, "user/alice\nuser/alice/Work\n", ""), args
        assert store.bytes() == before, args
    assert store.run("user/alice").stdout == NAME == store.run("user/ali%").stdout
    assert store.run("user/nosuch").stdout == ""
    store.is_sound()


def extra_files(store):
    for name in ("9.", "0.", "odd", ".hidden", "cyrus.foo"):
        add_file(store.server, store.path("1."), store.path(name))


# What is done to the store; does Debian's say the same; lines about it but for the name of the mailbox.
DAMAGE = {
    "file missing": (lambda s: os.unlink(s.path("3.")), True, ["user.alice uid 3 not found"]),
    "file empty": (lambda s: os.truncate(s.path("3."), 0), True, ["user.alice uid 3 not found"]),
    "expunged file missing": (lambda s: os.unlink(s.path("4.")), True, ["user.alice uid 4 not found"]),
    "answered": (lambda s: s.header(answered=3), True, ["user.alice: updating answered 3 => 0"]),
    "exists": (lambda s: s.header(exists=9), True, ["user.alice: updating exists 9 => 4"]),
    "unseen": (lambda s: s.header(unseen=9), False, ["user.alice: updating unseen 9 => 3"]),
    "sync_crc": (lambda s: s.header(sync_crc_basic=1), True, [r"user.alice: updating sync_crc 1 => \d+"]),
    "sync_crc_annot": (lambda s: s.header(sync_crc_annot=1), True, [r"user.alice: updating sync_crc_annot 1 => \d+"]),
    "quota": (lambda s: s.header(quota_mailbox_used=1), True, [r"user.alice updating quota_mailbox_used: 1 => \d+"]),
    "annotations": (lambda s: s.header(quota_annot_used=77), True, ["user.alice updating quota_annot_used: 77 => 4"]),
    "last_uid": (lambda s: s.header(last_uid=2), True, [f"user.alice future uid {n} found" for n in (3, 4, 5)]),
    "header crc": (lambda s: s.header(header_file_crc=1), False, [r"user.alice: updating header_crc 1 => \d+"]),
    "modseq": (lambda s: s.record(3, modseq=5000), True,
               ["user.alice uid 3 future modseq 5000 found", r"user.alice: updating sync_crc \d+ => \d+"]),
    "userflags": (lambda s: s.record(3, user_flags=b"\0\0\0\x40" + b"\0" * 12), False,
                  ["user.alice uid 3 mismatch: userflags"]),
    "cache record": (lambda s: damage(s.path("cyrus.cache"), 40, b"ZZZZ"), True,
                     [r"user.alice rewrote cache for 1 \(offset 4 to \d+, crc \d+ to \d+/\d+\)"]),
    "cache missing": (lambda s: os.unlink(s.path("cyrus.cache")), True,
                      [rf"user.alice rewrote cache for {n} \(.*\)" for n in (1, 2, 3, 4, 5)]),
    "size": (lambda s: s.record(3, size=99), False,
             ["user.alice uid 3 mismatch: size", r"user.alice updating quota_mailbox_used: .*"]),
    "extra": (extra_files, True,
              ["user.alice odd file .*/odd", "run reconstruct with -O to remove odd files",
               "user.alice uid 9 found - adding", "user.alice uid 0 rediscovered - appending"]),
    "record crc": (lambda s: damage(s.index, 160 + 112 + 40, b"\xff\xff"), False,
                   [r"user.alice: failed to read at record 2 \(.*\), wiping", "user.alice uid 2 rediscovered - appending",
                    "user.alice updating .*"]),
    "order": (lambda s: s.record(3, uid=1), False,
              [r"user.alice: failed to read at record 3 \(.*\), wiping", "user.alice uid 3 rediscovered - appending",
               "user.alice updating .*"]),
    "zero block": (lambda s: damage(s.index, 160, b"\0" * 224), False,
                   [r"user.alice: failed to read at record 1 \(.*\), wiping",
                    r"user.alice: failed to read at record 2 \(.*\), wiping",
                    "user.alice uid 1 rediscovered - appending", "user.alice uid 2 rediscovered - appending"]),
}
LEFT = {"extra": ["-O"]}


def plain(text):
    """Without places in the cache and CRCs, which cover the time of the run."""
    return re.sub(r"offset \d+ to \d+|(sync_crc(_annot)?) \d+ => \d+|\d{5,}", r"\1 N", text)


@pytest.mark.parametrize("names", [list(DAMAGE)[i::4] for i in range(4)])
def test_damage(store, names):
    """Told once, by -n too, which changes nothing; then repaired for us and for Debian."""
    for name in names:
        apply, as_debian, lines = DAMAGE[name]
        store.saved.restore()
        apply(store)
        before = store.bytes()
        dry = store.run("-n", "user/alice")
        assert store.bytes() == before, name
        assert dry.returncode == (65 if lines else 0), name
        done = store.run("user/alice")
        assert done.stderr == "", name
        told = done.stdout.splitlines()
        assert told[-1] == "user/alice" and len(told) > len(lines), (name, told)
        for line, pattern in zip(told, lines):
            assert re.fullmatch(pattern, line), (name, told)
        assert plain(dry.stdout) == plain(done.stdout), name
        assert done.returncode == (65 if name in LEFT else 0), name
        if name in LEFT:
            assert store.run(*LEFT[name], "user/alice").returncode == 0, name
        store.is_sound()
        if not as_debian:
            continue
        store.saved.restore()
        apply(store)
        theirs = store.debian("user/alice").stdout
        assert plain(theirs) == plain(done.stdout), name


def test_lost_messages_end(store):
    """A message without a file is expunged for clients and replicas, with a modseq; the others stay as they were."""
    before = index_of(store.server, "user/alice")
    os.unlink(store.path("3."))
    store.run("user/alice")
    after = index_of(store.server, "user/alice")
    assert [r["uid"] for r in after.records] == [1, 2, 3, 4, 5]
    tombstone = after.by_uid()[3]
    assert tombstone["flags"] & (EXPUNGED | UNLINKED) == EXPUNGED | UNLINKED and tombstone["cache_offset"] == 0
    assert after.header["exists"] == before.header["exists"] - 1
    assert [after.by_uid()[u] for u in (1, 2, 5)] == [dict(before.by_uid()[u], cache_offset=after.by_uid()[u]["cache_offset"])
                                                      for u in (1, 2, 5)]
    assert tombstone["modseq"] > before.header["highestmodseq"] and after.header["deletedmodseq"] == 0
    assert after.header["uidvalidity"] == before.header["uidvalidity"] and after.header["last_uid"] == 5


def test_damaged_record_keeps_message_and_annotations(store):
    damage(store.index, 160 + 112 + 40, b"\xff\xff")
    store.run("user/alice")
    store.is_sound()
    assert message_files(store.dir) == ["1.", "3.", "4.", "5.", "6."]
    store.server.start()
    with store.server.imap("alice") as c:
        c.ok("SELECT INBOX")
        assert "Hello 2" in str(c.ok("UID FETCH 6 (BODY.PEEK[])").untagged)
        assert "kept" in str(c.ok("UID FETCH 6 (ANNOTATION (/comment value.shared))").untagged)
        c.logout()


def test_guid(store):
    """Another message in the file: told with -G, left without -R or -U, then a new message or none."""
    damage(store.path("3."), 10, b"XX")
    with open(store.path("3."), "rb") as f:
        changed = f.read()
    left = Snapshot(store.server, "guid")
    assert store.run("user/alice").stdout == NAME
    dry = store.run("-n", "-G", "user/alice")
    assert dry.stdout == "user.alice uid 3 guid mismatch\n" + NAME and dry.returncode == 65
    done = store.run("-G", "user/alice")
    assert done.stdout == ("user.alice uid 3 guid mismatch\nrun reconstruct with -R to fix or -U to remove\n" + NAME)
    assert done.returncode == 65
    done = store.run("-G", "-R", "user/alice")
    assert done.stdout == ("user.alice uid 3 guid mismatch\nuser.alice uid 3 marking for uid upgrade\n"
                           "user.alice uid 3 rediscovered - appending\n" + NAME)
    assert done.returncode == 0 and message_files(store.dir) == ["1.", "2.", "4.", "5.", "6."]
    with open(store.path("6."), "rb") as f:
        assert f.read() == changed
    store.is_sound()
    left.restore()
    done = store.run("-G", "-U", "user/alice")
    assert done.stdout == ("user.alice uid 3 guid mismatch\nuser.alice uid 3 unlinking as requested with -U\n" + NAME)
    assert message_files(store.dir) == ["1.", "2.", "4.", "5."]
    store.is_sound()


def test_truncated_file_is_left(store):
    os.truncate(store.path("3."), 20)
    before = index_of(store.server, "user/alice").data
    assert "user.alice uid 3 guid mismatch\n" in store.run("user/alice").stdout
    assert index_of(store.server, "user/alice").data == before and os.path.getsize(store.path("3.")) == 20


def test_index_header(store):
    """Records behind a damaged index header keep their flags; UIDVALIDITY stays, what was replaced is kept."""
    before = index_of(store.server, "user/alice")
    for offset in (0, 8, 60, 159):
        store.saved.restore()
        damage(store.index, offset, b"\xe1")
        done = store.run("user/alice")
        assert "user.alice: failed to read index header\n" in done.stdout and done.returncode == 0
        after = index_of(store.server, "user/alice")
        assert after.header["uidvalidity"] == before.header["uidvalidity"] and after.header["last_uid"] == 5
        for uid, rec in before.by_uid().items():
            assert dict(after.by_uid()[uid], cache_offset=0) == dict(rec, cache_offset=0)
        assert after.header["sync_crc_basic"] == before.header["sync_crc_basic"]
        assert after.header["deletedmodseq"] >= before.header["highestmodseq"]
        assert os.path.exists(store.path("cyrus.index.damaged"))
        store.is_sound()


def test_index_header_and_unknown_uids(store):
    """What UIDs were given is not known: clients must begin anew, flags stay."""
    before = index_of(store.server, "user/alice")
    damage(store.index, 28, b"\xff\xff\xff\xff")
    done = store.run("user/alice")
    after = index_of(store.server, "user/alice")
    assert after.header["last_uid"] == 5 and after.header["uidvalidity"] > before.header["uidvalidity"]
    assert (f"Wrong uidvalidity in mbentry, fixing user.alice ({before.header['uidvalidity']} -> "
            f"{after.header['uidvalidity']})\n") in done.stdout
    assert after.by_uid()[1]["flags"] == before.by_uid()[1]["flags"]
    store.is_sound()


def test_index_lost(store):
    before = index_of(store.server, "user/alice")
    lost = [lambda: os.unlink(store.index), lambda: os.truncate(store.index, 0),
            lambda: damage(store.index, 0, b"\0" * os.path.getsize(store.index))]
    for lose in lost:
        store.saved.restore()
        lose()
        done = store.run("user/alice")
        told = done.stdout.splitlines()
        assert told[:6] == ["user.alice: failed to read index header"] + [
            f"user.alice uid {n} found - adding" for n in range(1, 6)]
        after = index_of(store.server, "user/alice")
        assert [r["uid"] for r in after.records] == [1, 2, 3, 4, 5]
        assert after.header["uidvalidity"] > before.header["uidvalidity"]
        assert after.by_uid()[1]["internaldate"] == before.by_uid()[1]["internaldate"]
        assert after.header["quota_annot_used"] == 4
        store.is_sound()


def test_index_cut_off(store):
    before = index_of(store.server, "user/alice")
    os.truncate(store.index, 160 + 3 * 112 + 5)
    done = store.run("user/alice")
    assert "failed to read index header" in done.stdout
    after = index_of(store.server, "user/alice")
    assert after.header["uidvalidity"] == before.header["uidvalidity"] and after.header["last_uid"] == 7
    assert [after.by_uid()[u]["flags"] for u in (1, 2, 3)] == [before.by_uid()[u]["flags"] for u in (1, 2, 3)]
    store.is_sound()


def test_cyrus_header_lost(store):
    """The index is not touched by it; names of flags are gone, what was flagged is not."""
    before = index_of(store.server, "user/alice")
    for lose in (lambda: os.unlink(store.path("cyrus.header")), lambda: os.truncate(store.path("cyrus.header"), 30)):
        store.saved.restore()
        lose()
        done = store.run("user/alice")
        assert "user.alice: failed to read cyrus.header, made from mailboxes.db\n" in done.stdout
        after = index_of(store.server, "user/alice")
        assert after.records == before.records and after.header["uidvalidity"] == before.header["uidvalidity"]
        store.is_sound()
    store.server.start()
    with store.server.imap("alice") as c:
        c.ok("SELECT INBOX")
        assert "UnknownFlag1" in str(c.ok("UID FETCH 2 (FLAGS)").untagged)
        assert "STORAGE" in str(c.ok("GETQUOTAROOT INBOX").untagged)
        c.logout()


def test_newer_index_is_refused(store):
    store.header(minor_version=18)
    before = store.bytes()
    done = store.run("user/alice")
    assert done.returncode == 75 and "newer version" in done.stderr
    assert store.bytes() == before


@pytest.mark.parametrize("what", ["3.", "cyrus.index", "cyrus.header", "."])
def test_permissions(store, what):
    """What can't be read is not lost."""
    path = store.path(what)
    mode = os.stat(path).st_mode & 0o777
    os.chmod(path, 0)
    try:
        done = store.run("-G", "user/alice")
    finally:
        os.chmod(path, mode)
    assert done.returncode == (65 if what == "3." else 75)
    assert "uid 3 can't be read, left alone" in done.stdout if what == "3." else "user.alice: " in done.stderr
    store.is_sound()


def test_unmounted_partition(store):
    """An empty partition, or a mailbox whose files are all gone, is not taken for the truth."""
    aside = store.server.path("aside")
    os.rename(store.server.path("spool"), aside)
    store.server.account.mkdir(store.server.path("spool"))
    done = store.run()
    assert done.returncode == 75 and "is it mounted?" in done.stdout
    shutil.rmtree(store.server.path("spool"))
    os.rename(aside, store.server.path("spool"))
    store.is_sound()
    for name in message_files(store.dir):
        os.unlink(store.path(name))
    before = store.bytes()
    done = store.run("user/alice")
    assert done.returncode == 75 and "none of its message files is there" in done.stdout
    assert store.bytes() == before
    done = store.run("--accept-loss", "user/alice")
    assert done.returncode == 0 and done.stdout.count("not found") == 5
    store.is_sound()


def test_a_share_of_the_files_is_gone(store):
    """A fifth may go, or ten; more only when it is said."""
    store.server.start()
    with store.server.imap("alice") as imap:
        for n in range(55):
            imap.append("INBOX", b"Subject: %d\r\n\r\nx\r\n" % n)
        imap.logout()
    store.server.stop()
    names = sorted(message_files(store.dir), key=lambda name: int(name[:-1]))
    assert len(names) == 60
    for name in names[20:31]:
        os.unlink(store.path(name))
    done = store.run("user/alice")
    assert done.returncode == 0 and done.stdout.count("not found") == 11
    store.is_sound()
    for name in names[31:42]:
        os.unlink(store.path(name))
    before = store.bytes()
    for args in ((), ("-n",)):
        done = store.run(*args, "user/alice")
        assert done.returncode == 75 and "11 of 48 messages not found" in done.stdout
        assert "left alone" in done.stdout and store.bytes() == before
    done = store.run("--accept-loss", "user/alice")
    assert done.returncode == 0 and done.stdout.count("not found") == 11
    store.is_sound()


def db(store, *args):
    return store.server.run("cyr_dbtool", store.server.path("conf", "mailboxes.db"), "twoskip", *args, check=False).stdout


def test_entries(store):
    """mailboxes.db beside the mailbox: UIDVALIDITY, rights, the record under the uniqueid."""
    key = "Nuser\x1falice"
    value = db(store, "get", key).rstrip("\n")
    uidv, uid = re.search(r" V (\d+)", value).group(1), re.search(r" I (\S+)", value).group(1)
    db(store, "set", key, value.replace("V " + uidv, "V 77"))
    assert store.run("user/alice").stdout == (f"mismatched uidvalidity byid user.alice (77 {uidv})\n"
                                              f"Wrong uidvalidity in mbentry, fixing user.alice (77 -> {uidv})\n" + NAME)
    store.is_sound()
    db(store, "set", key, value.replace("V " + uidv, "V 77"))
    assert f"Wrong uidvalidity in mailbox, fixing user.alice ({uidv} -> 77)\n" in store.run("-M", "user/alice").stdout
    assert index_of(store.server, "user/alice").header["uidvalidity"] == 77
    store.saved.restore()
    db(store, "delete", "I" + uid)
    assert store.run("user/alice").stdout == (
        f"Missing mboxlist entry for uniqueid - will rewrite user.alice ({uid})\n" + NAME)
    store.is_sound()
    db(store, "set", key, value.replace("lrswipkxtecdan", "lrs"))
    assert "Wrong acl in header, fixing user.alice (" in store.run("user/alice").stdout
    store.is_sound()
    assert "lrs " in db(store, "get", key) or "lrs)" in db(store, "get", key)


def test_two_names(store):
    """A second name of one mailbox: told, never made a mailbox of its own by guess."""
    db(store, "set", "Nuser\x1fbob", db(store, "get", "Nuser\x1falice").rstrip("\n"))
    done = store.run("user/bob")
    assert "Wrong uniqueid! user.alice (should be user.bob)\n" in done.stdout and done.returncode == 1


def test_header_path(store):
    """-P and -f bring back what mailboxes.db lost."""
    uniqueid = os.path.basename(store.dir)
    value = db(store, "get", "Nuser\x1falice")
    for args, told in ((["-P", store.dir], f"created mbentry for user.alice ({uniqueid})\n"),
                       (["-P", store.path("cyrus.header")], f"created mbentry for user.alice ({uniqueid})\n"),
                       (["-f"], "discovered user.alice\nuser/alice\nuser/alice/Work\n"),
                       (["-f", "user/alice"], "discovered user.alice\nuser/alice\n")):
        store.saved.restore()
        db(store, "delete", "Nuser\x1falice")
        db(store, "delete", "I" + uniqueid)
        assert store.run("-n", *args).stdout.splitlines()[0] == told.splitlines()[0]
        assert db(store, "get", "Nuser\x1falice").strip() == ""
        assert store.run(*args).stdout == told, args
        again = db(store, "get", "Nuser\x1falice")
        assert re.sub(r" [MF] \d+", "", again) == re.sub(r" [MF] \d+", "", value)
        store.is_sound()
    assert store.run("-P", "/nosuch").stdout == "Can not resolve path '/nosuch'\n"
    os.unlink(store.server.path("conf", "mailboxes.db"))
    assert "discovered user.alice\n" in store.run("-f").stdout
    store.is_sound()


def test_version(store):
    before = index_of(store.server, "user/alice")
    assert store.run("-V", "16", "user/alice").stdout == NAME + "Converted user/alice version 17 to 16\n"
    assert index_of(store.server, "user/alice").header["minor_version"] == 16
    assert store.run("-n", "-V", "max", "user/alice").stdout == NAME + "Converted user/alice version 16 to 17\n"
    assert index_of(store.server, "user/alice").header["minor_version"] == 16
    assert store.run("-V", "max", "user/alice").stdout == NAME + "Converted user/alice version 16 to 17\n"
    after = index_of(store.server, "user/alice")
    assert after.header["sync_crc_basic"] == before.header["sync_crc_basic"]
    assert store.run("-V", "99", "user/alice").returncode == 70
    store.is_sound()


def test_wrong_use(store):
    for args in (["-z"], ["-m"], ["-r"], ["-u"], ["-P"], ["-V", "x", "user/alice"], ["-p", "default", "user/*"],
                 ["-p", "default", "user/alice"]):
        assert store.run(*args).returncode == 64, args
    assert store.run("-g", "user/alice").stderr == "reconstruct: deprecated option -g ignored\n"


def test_debians_store(debian_factory, factory):
    """A store that 3.6.1 made: nothing to repair."""
    theirs = debian_factory("deb")
    ours = factory("ours")
    ours.allow_log(r".*")
    theirs.conf.update({"conversations": True})
    theirs.start()
    theirs.create_user("alice", "Work")
    with theirs.imap("alice") as c:
        for n, flags in enumerate(["\\Seen \\Flagged", "$Label1", None], 1):
            c.append("INBOX", message(n), flags)
        c.ok("SELECT INBOX")
        c.ok('STORE 2 ANNOTATION (/comment (value.shared "x"))')
        c.ok("STORE 3 +FLAGS (\\Deleted)")
        c.ok("EXPUNGE")
        c.logout()
    theirs.stop()
    ours.conf.update({k: v for k, v in theirs.conf.items() if k != "log_file"})
    done = ours.run("reconstruct", "-G", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "user/alice\nuser/alice/Work\n", "")

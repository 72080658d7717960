# SPDX-License-Identifier: BSD-3-Clause
"""
doc/rebuild.md: each class of file is removed from a rich store, the commands that stand there are run as they stand, and clients see
what they saw before, but for what the document says is lost.
"""

import os
import re
import shutil
import subprocess

import pytest

from cyltest import richstore
from cyltest.clients import Rejected
from cyltest.pair import Pair
from cyltest.store import FETCH, assert_alike
from cyltest.storefiles import mailbox_dir

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def documented():
    """{class: commands} in doc/rebuild.md."""
    with open(os.path.join(TOP, "doc", "rebuild.md"), encoding="utf-8") as f:
        sections = re.split(r"(?m)^## ", f.read())[1:]
    found = {}
    for section in sections:
        commands = re.search(r"(?s)```sh\n(.*?)```", section)
        found[section.splitlines()[0]] = commands[1].splitlines()
    return found


COMMANDS = documented()


def run(server, command, mailbox, user):
    """One line of the document, with a shell, as the server's account."""
    for word, value in (("MAILBOX", mailbox), ("USER", user), ("CONF", server.path("conf"))):
        command = re.sub(rf"\b{word}\b", value, command)
    for tool in ("reconstruct", "quota", "ctl_conversationsdb", "cyr_dbtool", "ctl_cyrusdb", "sync_client"):
        command = re.sub(rf"(^|\| ){tool}\b", rf"\g<1>{server.program(tool)} -C {server.imapd_conf}", command)
    done = subprocess.run(["/bin/sh", "-c", f"set -e; {command}"], env=server.env, cwd=server.path("tmp"), capture_output=True,
                          text=True, check=False, timeout=120, **server.account.popen_args())
    assert done.returncode == 0, (command, done)


def masked(answers, *lost, of=None):
    """Without what is said to be lost (to that user): patterns that are removed from the answers they match."""
    def without(user, line):
        return re.sub(b"|".join((*ALWAYS, *(lost if of in (None, user) else ()))), b"", line)

    return {question: [line for line in (without(question[0], line) for line in lines) if line]
            for question, lines in answers.items()}


# Times at which the tools wrote, and the checksums over them.
ALWAYS = (rb'"/shared/vendor/cmu/cyrus-imapd/lastupdate" "[^"]*"',)
FOLDERMODSEQ = rb'"/shared/vendor/cmu/cyrus-imapd/foldermodseq" "\d+"'
CRC = rb'"/shared/vendor/cmu/cyrus-imapd/synccrcs" "[^"]*"'
SIZES = rb'"/shared/vendor/cmu/cyrus-imapd/(?:annot)?size" "\d+"'
VALUES = rb'"/(?:shared|private)/(?:comment|specialuse)" (?:"[^"]*"|NIL|\{\d+\}\r\n\\?[A-Za-z]+)'

# What the document says is lost, of the mailbox or user of the case.
LOST = {
    "mailboxes.db": (FOLDERMODSEQ,),
    "cyrus.header": (CRC, rb"\$Label1|UnknownFlag1"),
    "cyrus.annotations": (CRC, SIZES, rb"ANNOTATION \(/comment \([^()]*\)\)"),
    "conversations.db": (rb"XCONVMODSEQ \d+",),
    "seen": (rb"\* \d+ RECENT", rb"RECENT \d+", rb" UNSEEN \d+", rb"FLAGS \([^()]*\)", rb"\* OK \[UNSEEN \d+\] Ok"),
}


@pytest.fixture(scope="module")
def store(request):
    for server in richstore.stopped(request):
        server.allow_log("a database is gone or empty and begins anew: .*<(annotations|mailboxes).db>")
        yield server


def remove(server, path):
    assert os.path.exists(path), path
    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def is_sound(server):
    for tool, *args in (("reconstruct", "-n", "-G", "-q"), ("quota", "-f", "-n", "-q"), ("ctl_conversationsdb", "-A", "-r"),
                        ("ctl_mboxlist", "-v")):
        done = server.run(tool, *args, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), (tool, args)


def rebuild(server, kind, path, mailbox="user/alice", user="alice"):
    """What clients see after the file is gone and the commands were run."""
    server.saved.restore()
    for p in [path] if isinstance(path, str) else path:
        remove(server, p)
    for command in COMMANDS[kind]:
        run(server, command, mailbox, user)
    is_sound(server)
    server.start()
    after = richstore.seen_by_clients(server)
    server.stop()
    is_sound(server)
    return after


SIMPLE = ("mailboxes.db", "users.db", "cyrus.header", "cyrus.cache", "cyrus.annotations", "annotations.db", "conversations.db",
          "counters.db", "quotas.db", "seen", "subhistory", "deliver.db", "tls_sessions.db", "user_deny.db", "journal")


def test_every_class_has_a_test():
    assert set(COMMANDS) == {*SIMPLE, "sub", "cyrus.index", "statuscache.db, ptscache.db", "sync log", "Message files"}


@pytest.mark.parametrize("kind", SIMPLE)
def test_is_as_before(store, kind):
    store.saved.restore()
    after = rebuild(store, kind, richstore.path_of(store, kind))
    lost, of = LOST.get(kind, ()), "bob" if kind == "seen" else None
    assert_alike(masked(store.seen, *lost, of=of), masked(after, *lost, of=of))
    # What is said to be lost is lost, or the document would say too much.
    if kind in LOST:
        assert masked(store.seen) != masked(after)


def test_subscriptions(store):
    store.saved.restore()
    server, paths = store, richstore.path_of(store, "sub")
    for user in richstore.USERS:
        server.saved.restore()
        remove(server, paths[richstore.USERS.index(user)])
        for command in COMMANDS["sub"]:
            run(server, command, "user/alice", user)
        server.start()
        after = richstore.seen_by_clients(server)
        with server.imap(user) as c:  # the history is sound, too
            c.ok("SUBSCRIBE INBOX")
            c.logout()
        server.stop()
        assert_alike(masked(server.seen), masked(after))
        assert "damaged" not in "".join(os.listdir(os.path.dirname(paths[0])))


def test_modseqs_go_on(store):
    """Without counters no number is given twice to what clients know of."""
    highest = {}
    for name in ("INBOX", "Work"):
        highest[name] = int(re.search(rb"HIGHESTMODSEQ (\d+)", b"".join(
            line for (user, command, *_), lines in store.seen.items() if user == "alice" and command.startswith(f"STATUS {name} ")
            for line in lines))[1])
    rebuild(store, "counters.db", richstore.path_of(store, "counters.db"))
    store.start()
    with store.imap("alice") as c:
        for name, before in highest.items():
            c.ok(f"SELECT {name}")
            c.ok("STORE 1 +FLAGS ($new)")
            now = int(re.search(rb"HIGHESTMODSEQ (\d+)", b"".join(c.ok(f"STATUS {name} (HIGHESTMODSEQ)").untagged))[1])
            assert now > max(highest.values()) or now > before
        c.logout()
    store.stop()
    is_sound(store)


def test_an_answer_finds_its_conversation(store):
    """The message-ids are there again after the recount."""
    rebuild(store, "conversations.db", richstore.path_of(store, "conversations.db"))
    store.start()
    store.deliver(richstore.message("late", 6, "answer"), "alice")
    with store.imap("alice") as c:
        c.ok("SELECT INBOX")
        cids = re.findall(rb"CID ([0-9a-f]+)", b"".join(c.ok("FETCH 1:* (CID)").untagged))
        c.logout()
    store.stop()
    assert cids[0] == cids[1] == cids[-1] and len(set(cids)) == 2
    is_sound(store)


def test_without_copies(store):
    """annotations.db and quotas.db without db.backup1: what is left agrees with itself; limits are set again."""
    store.saved.restore()
    for name in ("annotations.db", "quotas.db"):
        remove(store, store.path("conf", name))
    shutil.rmtree(store.path("conf", "db.backup1"))
    store.start()
    with store.imap("admin") as c:
        c.ok("SETQUOTA user/alice (STORAGE 20000 MESSAGE 100)")
        c.ok("SETQUOTA user/alice/Work (STORAGE 5000)")
        c.logout()
    store.stop()
    store.run("reconstruct")
    store.run("quota", "-f")
    is_sound(store)
    store.start()
    after = richstore.seen_by_clients(store)
    store.stop()
    lost = (SIZES, VALUES, rb" ?\\Drafts")
    assert_alike(masked(store.seen, *lost), masked(after, *lost))


def test_index(store):
    """Every message is there under its UID; the one that was expunged, too; flags are gone."""
    after = rebuild(store, "cyrus.index", os.path.join(mailbox_dir(store, "user/alice"), "cyrus.index"))
    question = ("alice", f"FETCH 1:* {FETCH}", "INBOX")
    lost = (rb"\* \d+ FETCH \(", rb"FLAGS \([^)]*\)", rb"LASTUPDATED \"[^\"]*\"", rb"(?:CREATED)?MODSEQ \(\d+\)", rb"SAVEDATE \S+(?: \S+ \S+\")?",
            rb"UIDVALIDITY \d+", rb"\* OK.*")
    before, now = masked(store.seen, *lost)[question], masked(after, *lost)[question]
    assert [line for line in before if line not in now] == [], (before, now)
    assert len(now) == len(before) + 1
    others = {q: lines for q, lines in store.seen.items() if "FETCH" in q[1] and q[2:] != ("INBOX",)}
    assert_alike(others, {q: after[q] for q in others})


def test_message(store):
    """It is expunged; or, with a copy of the file put in place, nothing is lost."""
    path = os.path.join(mailbox_dir(store, "user/alice"), "2.")
    store.saved.restore()
    shutil.copy2(path, store.path("tmp", "kept"))
    after = rebuild(store, "Message files", path)
    question = ("alice", f"FETCH 1:* {FETCH}", "INBOX")
    uids = [re.findall(rb"UID (\d+)", b"".join(seen[question])) for seen in (store.seen, after)]
    assert [u for u in uids[0] if u not in uids[1]] == [b"2"] and len(uids[1]) == len(uids[0]) - 1
    store.saved.restore()
    remove(store, path)
    shutil.copy2(store.path("tmp", "kept"), path)
    store.account.give(path)
    for command in COMMANDS["Message files"]:
        run(store, command, "user/alice", "alice")
    is_sound(store)
    store.start()
    assert_alike(masked(store.seen), masked(richstore.seen_by_clients(store)))
    store.stop()


def test_caches_of_other_servers(store):
    store.saved.restore()
    for name in ("statuscache.db", "ptclient/ptscache.db"):
        os.makedirs(os.path.dirname(store.path("conf", name)), exist_ok=True)
        with open(store.path("conf", name), "wb") as f:
            f.write(b"rubbish")
        store.account.give(store.path("conf", name))
    store.start()
    assert not os.path.exists(store.path("conf", "statuscache.db"))
    after = richstore.seen_by_clients(store)
    store.stop()
    assert_alike(masked(store.seen), masked(after))


def test_sync_log(factory):
    """What was not sent yet is found by comparing."""
    pair = Pair(factory("one"), factory("two"))
    for server in (pair.primary, pair.replica):
        richstore.configure(server)
    pair.start()
    richstore.fill(pair.primary)
    pair.primary.stop()
    shutil.rmtree(pair.primary.path("conf", "sync"))
    pair.primary.start()
    for command in COMMANDS["sync log"]:
        run(pair.primary, command, "user/alice", "alice")
    done = pair.sync("--verify", "-A")
    assert "DIFFERENCE" not in done.stdout


def test_mailboxes_of_the_older_kind(factory):
    """Their directories are named, parents first."""
    server = factory("legacy", services=("imap", "lmtp"))
    server.conf["mailbox_legacy_dirs"] = True
    server.start()
    server.create_user("alice", "Work")
    server.deliver(richstore.message("first"), "alice")
    with server.imap("alice") as c:
        c.ok("SETACL Work bob lrs")
        before = [c.ok(f"STATUS {name} (MESSAGES UIDVALIDITY HIGHESTMODSEQ MAILBOXID)").untagged for name in ("INBOX", "Work")]
        before.append(c.ok("GETACL Work").untagged)
        c.logout()
    server.stop()
    remove(server, server.path("conf", "mailboxes.db"))
    for name in ("user/alice", "user/alice/Work"):
        server.run("reconstruct", "-p", "default", name)
    is_sound(server)
    server.start()
    with server.imap("alice") as c:
        after = [c.ok(f"STATUS {name} (MESSAGES UIDVALIDITY HIGHESTMODSEQ MAILBOXID)").untagged for name in ("INBOX", "Work")]
        after.append(c.ok("GETACL Work").untagged)
        with pytest.raises(Rejected):
            c.ok("SELECT Nosuch")
        c.logout()
    assert after == before

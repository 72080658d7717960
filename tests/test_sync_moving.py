# SPDX-License-Identifier: BSD-3-Clause
"""Somebody works in his mailboxes while a run looks at them: the run brings what was there when it began, and does not end in vain."""

import pytest

from cyltest.folders import Meanwhile, Watch, contents, do, every, fill, guid, meet_again, names, ready, to_and_fro
from cyltest.rolling import write_log
from cyltest.syncdata import assert_same, message


@pytest.fixture
def pair(pair):
    ready(pair, "anna")
    fill(pair.primary, "INBOX.Work", 10, 11)
    pair.primary.run("sync_client", "-u", "anna")
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNCNOTICE|CRC failure|SYNCERROR: (checksum failure|guid mismatch|RENAMES failed: Mailbox already exists)")
    return pair


def flag(server, folder, name):
    do(server, f"SELECT {folder}", f"STORE 1 +FLAGS ({name})")


SWAP = ("RENAME INBOX.Work INBOX.T", "RENAME INBOX.Play INBOX.Work", "RENAME INBOX.T INBOX.Play")
WHAT = {"user": ("-u", "anna"), "mailbox": ("-m", "user.anna.Work")}


@pytest.mark.parametrize("what", WHAT)
def test_the_replica_changes_meanwhile(pair, what):
    """The state that the run was told of is no more: it looks again."""
    fill(pair.primary, "INBOX.Work", 12)
    done = Meanwhile(pair, b"APPLY MAILBOX", lambda n: flag(pair.replica, "INBOX.Work", f"$there{n}"), times=3).succeeds(*WHAT[what])
    assert "has changed" not in done.stderr
    assert every(contents(pair.primary, "anna")) == every(contents(pair.replica, "anna"))
    meet_again(pair)
    with pair.primary.imap("anna") as imap:
        assert b"$there1" in imap.ok("SELECT INBOX.Work").untagged[1] + b"".join(imap.ok("FETCH 1 FLAGS").untagged)
        imap.logout()


@pytest.mark.parametrize("what", WHAT)
def test_the_replica_changes_all_the_time(pair, what):
    """There is an end of it, and it is told."""
    pair.primary.allow_log("mailbox replication failed: mailbox=<user.anna.Work>|user replication failed")
    fill(pair.primary, "INBOX.Work", 12)
    done = Meanwhile(pair, b"APPLY MAILBOX", lambda n: flag(pair.replica, "INBOX.Work", f"$t{n % 20}"), times=1000).run(*WHAT[what])
    assert done.returncode == 1 and "user.anna.Work: " in done.stderr and "has changed since last sync" in done.stderr


@pytest.mark.parametrize("what", WHAT)
def test_renamed_between_list_and_look(pair, what):
    """It is found under its new name, and its messages go to the one that the replica knows under the old name."""
    fill(pair.primary, "INBOX.Work", 12)
    uniqueid = names(pair.primary)["user.anna.Work"]
    Meanwhile(pair, b"APPLY RESERVE", lambda _: do(pair.primary, "RENAME INBOX.Work INBOX.Play")).succeeds(*WHAT[what])
    assert guid(message(12)) in contents(pair.replica, "anna")["user.anna.Work"]
    assert names(pair.replica)["user.anna.Work"] == uniqueid
    pair.primary.run("sync_client", "-u", "anna")
    assert names(pair.replica)["user.anna.Play"] == uniqueid
    assert_same(pair.primary, pair.replica, "anna")


def test_a_new_one_is_renamed(pair):
    """The replica has never heard of it: it gets the name that it has now."""
    fill(pair.primary, "INBOX.New", 12)
    Meanwhile(pair, b"APPLY RESERVE", lambda _: do(pair.primary, "RENAME INBOX.New INBOX.Play")).succeeds("-u", "anna")
    assert guid(message(12)) in contents(pair.replica, "anna")["user.anna.Play"]
    meet_again(pair)


def test_deleted_between_list_and_look(pair):
    """Nothing to bring any more."""
    fill(pair.primary, "INBOX.Work", 12)
    Meanwhile(pair, b"APPLY RESERVE", lambda _: do(pair.primary, "DELETE INBOX.Work")).succeeds("-u", "anna")
    meet_again(pair)


@pytest.mark.parametrize("how", ["user", "rolling"])
@pytest.mark.parametrize("work", ["swap", "rename"])
def test_what_is_to_go_changes_names_there(pair, how, work):
    """Removed is what was deleted, by its id: nobody else who has that name by then."""
    for server in (pair.primary, pair.replica):
        server.conf["delete_mode"] = "immediate"
        server.write_conf()
        server.reload()
    fill(pair.primary, "INBOX.Play", 20)
    pair.primary.run("sync_client", "-u", "anna")
    kept = names(pair.primary)["user.anna.Play"]
    do(pair.primary, "DELETE INBOX.Work")
    commands = SWAP if work == "swap" else SWAP[:1]
    args = ("-u", "anna")
    if how == "rolling":
        args = ("-R", "-f", write_log(pair.primary, ["UNMAILBOX user.anna.Work"], name="item"))
    Meanwhile(pair, b"APPLY UNMAILBOX", lambda _: do(pair.replica, *commands)).succeeds(*args)
    assert guid(message(20)) in every(contents(pair.replica, "anna"))
    assert list(names(pair.replica).values()).count(kept) == 1
    meet_again(pair)
    assert guid(message(10)) not in every(contents(pair.replica, "anna"))


@pytest.mark.parametrize("command", ["DELETE INBOX.Work", "RENAME INBOX.Work INBOX.Other"])
@pytest.mark.parametrize("work", ["swap", "rename", "take"])
def test_what_is_renamed_changes_names_there(pair, command, work):
    """Nobody gets a name that was given to another one: the names are looked at again."""
    fill(pair.primary, "INBOX.Play", 20)
    pair.primary.run("sync_client", "-u", "anna")
    play = names(pair.primary)["user.anna.Play"]
    do(pair.primary, command)
    commands = {"swap": SWAP, "rename": SWAP[:1], "take": ("CREATE INBOX.Other",)}[work]
    Meanwhile(pair, b"APPLY RENAME", lambda _: do(pair.replica, *commands)).succeeds("-u", "anna")
    meet_again(pair)
    ours = {uniqueid: name for name, uniqueid in names(pair.primary).items()}
    assert ours[play] == ("user.anna.Work" if work == "swap" else "user.anna.Play")


def give_to_ben(pair):
    with pair.primary.imap("admin") as imap:
        imap.ok("RENAME user.anna.Work user.ben.Work")
        imap.logout()


def test_it_goes_to_another_user(pair):
    """It is left to a run at that one, and nobody thinks that all is over."""
    pair.primary.allow_log("mailbox replication failed: mailbox=<user.anna.Work>|user replication failed")
    pair.primary.create_user("ben")
    fill(pair.primary, "INBOX.Work", 12)
    done = Meanwhile(pair, b"APPLY RESERVE", lambda _: give_to_ben(pair)).run("-u", "anna")
    assert done.returncode == 1 and "user.anna.Work: Mailbox has got another name meanwhile" in done.stderr
    assert "Error from do_user: anna: Mailbox has changed since last sync" in done.stderr
    meet_again(pair, "ben")
    meet_again(pair)
    assert guid(message(12)) in contents(pair.replica, "ben")["user.ben.Work"]


def test_it_goes_to_a_user_whom_the_replica_does_not_have(pair):
    """All at once, as after a time without a connection; nothing that the replica has is sent."""
    pair.primary.create_user("ben")
    give_to_ben(pair)
    watch = Watch(pair, users=("anna", "ben"))
    watch.run("-u", "ben")
    assert not watch.uploaded
    meet_again(pair)
    assert_same(pair.primary, pair.replica, "ben")
    assert guid(message(10)) in contents(pair.replica, "ben")["user.ben.Work"]


def test_another_one_takes_the_name(pair):
    """Two change places between list and look: each one's messages go to the one that they belong to."""
    fill(pair.primary, "INBOX.Work", 12)
    fill(pair.primary, "INBOX.Play", 20)
    pair.primary.run("sync_client", "-u", "anna")
    fill(pair.primary, "INBOX.Work", 13)
    fill(pair.primary, "INBOX.Play", 21)
    Meanwhile(pair, b"APPLY RESERVE", lambda _: do(pair.primary, *SWAP)).succeeds("-u", "anna")
    assert guid(message(13)) in contents(pair.replica, "anna")["user.anna.Work"]
    assert guid(message(21)) in contents(pair.replica, "anna")["user.anna.Play"]
    meet_again(pair)
    assert guid(message(13)) in contents(pair.replica, "anna")["user.anna.Play"]


@pytest.mark.parametrize("what", WHAT)
def test_renamed_all_the_time(pair, what):
    """Each look at the replica finds the name changed since the one before. What the folder had at the beginning comes over nevertheless."""
    fill(pair.primary, "INBOX.Work", 12)
    rename = to_and_fro(pair.primary, "INBOX.Work", "INBOX.Play")
    Meanwhile(pair, b"GET USER" if what == "user" else b"GET MAILBOXES", rename, times=1000).succeeds(*WHAT[what])
    if what == "user":
        assert guid(message(12)) in every(contents(pair.replica, "anna"))
    meet_again(pair)


def test_renamed_here_when_it_is_to_be(pair):
    """The replica's name is the later one, and while that is found out the folder gets yet another one here."""
    do(pair.replica, "RENAME INBOX.Work INBOX.Play")
    Meanwhile(pair, b"GET NAMES", lambda _: do(pair.primary, "RENAME INBOX.Work INBOX.Other")).succeeds("-u", "anna")
    meet_again(pair)


def test_renamed_here_each_time_it_is_to_be(pair):
    """In the last round, too: what the folder had comes over, the name is left for the next run."""
    fill(pair.primary, "INBOX.Work", 12)

    def rename(n):
        if n % 2:  # GET USER: the replica's name is the latest one
            old = n - 2 if n > 1 else None
            steps = [f"INBOX.there{old}" if old else "INBOX.Work", *(f"INBOX.step{n}-{k}" for k in range(3)), f"INBOX.there{n}"]
            do(pair.replica, *(f"RENAME {a} {b}" for a, b in zip(steps, steps[1:])))
        else:
            do(pair.primary, f"RENAME {'INBOX.here' + str(n - 2) if n > 2 else 'INBOX.Work'} INBOX.here{n}")

    Meanwhile(pair, (b"GET USER ", b"GET NAMES"), rename, times=1000).succeeds("-u", "anna")
    assert guid(message(12)) in every(contents(pair.replica, "anna"))
    meet_again(pair)


def test_another_takes_the_name_that_is_to_go(pair):
    """And here another folder is where it was: that one is not taken for it."""
    do(pair.replica, "RENAME INBOX.Work INBOX.Play")
    before = names(pair.primary)
    work = ("RENAME INBOX.Work INBOX.Other", "CREATE INBOX.Work")
    Meanwhile(pair, b"GET NAMES", lambda _: do(pair.primary, *work)).succeeds("-u", "anna")
    meet_again(pair)
    after = names(pair.primary)
    assert before["user.anna.Work"] in (after.get("user.anna.Other"), after.get("user.anna.Play")) and len(after) == 3


@pytest.mark.parametrize("times", [1, 1000])
def test_renamed_there_when_it_is_to_be(pair, times):
    do(pair.primary, "RENAME INBOX.Work INBOX.Play")
    Meanwhile(pair, b"APPLY RENAME", to_and_fro(pair.replica, "INBOX.Work", "INBOX.Other"), times).succeeds("-u", "anna")
    meet_again(pair)


@pytest.mark.parametrize("end", ["primary", "replica"])
def test_two_change_places_while_records_are_compared(pair, end):
    """Both ends have something of their own in the one, so all records are compared: with those of the same mailbox, not of the same name."""
    fill(pair.primary, "INBOX.Play", 20, 21)
    pair.primary.run("sync_client", "-u", "anna")
    ids = {uniqueid: name for name, uniqueid in names(pair.primary).items()}
    fill(pair.primary, "INBOX.Work", 12)
    fill(pair.replica, "INBOX.Work", 13)
    Meanwhile(pair, b"GET FULLMAILBOX", lambda _: do(getattr(pair, end), *SWAP)).succeeds("-u", "anna")
    meet_again(pair)
    found = contents(pair.primary, "anna")
    by_old_name = {ids[uniqueid]: found[name] for name, uniqueid in names(pair.primary).items()}
    assert by_old_name["user.anna.Play"] == sorted(guid(message(n)) for n in (20, 21))
    assert by_old_name["user.anna.Work"] == sorted(guid(message(n)) for n in (10, 11, 12, 13))


def test_renamed_before_its_item_is_done(pair):
    """The item of a log has the name of before; what follows tells of the rename."""
    fill(pair.primary, "INBOX.Work", 12)
    do(pair.primary, "RENAME INBOX.Work INBOX.Play")
    pair.primary.run("sync_client", "-R", "-f", write_log(pair.primary, ["MAILBOX user.anna.Work"], name="item"))
    assert guid(message(12)) in contents(pair.replica, "anna")["user.anna.Play"]
    assert_same(pair.primary, pair.replica, "anna")

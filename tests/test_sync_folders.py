# SPDX-License-Identifier: BSD-3-Clause
"""Folders that only one end has, and names that both ends gave to different mailboxes."""

import pytest

from cyltest.folders import CONF, Watch, contents, do, every, fill, guid, message, names, other_identity, ready
from cyltest.pair import Pair
from cyltest.syncdata import assert_same, login, user_state


@pytest.fixture
def both(pair):
    ready(pair, "anna")
    fill(pair.primary, "INBOX.Work", 3, 4)
    pair.primary.run("sync_client", "-o", "-u", "anna")
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNCNOTICE|no tombstone")
    return pair


@pytest.fixture(params=["at once", "one by one"])
def renaming(request, both):
    """With X-RENAMES, and as with 3.6.1."""
    if request.param == "one by one":
        both.replica.conf["suppress_capabilities"] = "X-RENAMES X-UNMAILBOXES"
        both.replica.restart()
    return both


def settled(pair, user="anna"):
    watch = Watch(pair, (user,))
    watch.run("--verify", "-u", user)
    assert watch.changes() == []


def meet(pair, user="anna", **kwargs):
    watch = Watch(pair, (user,), **kwargs)
    watch.run("-u", user)
    assert_same(pair.primary, pair.replica, user)
    settled(pair, user)
    return watch


# ---- found only on the replica ----

@pytest.mark.parametrize("mode", ["delayed", "immediate"])
def test_deleted_here(both, mode):
    both.primary.conf["delete_mode"] = mode
    both.primary.restart()
    do(both.primary, "DELETE INBOX.Work")
    watch = meet(both, may_go=[guid(message(3)), guid(message(4))] if mode == "immediate" else ())
    removals = [c.split()[1] for c in watch.commands if c.startswith("APPLY UNMAILBOX")]
    assert removals == ([] if mode == "delayed" else ["UNMAILBOX" if "suppress_capabilities" in both.replica.conf else "UNMAILBOXES"])
    assert "user.anna.Work" not in names(both.replica)


def test_never_seen_here(both):
    """It comes here with all that it has: flags, annotations, rights, quota, UIDs, UIDVALIDITY, seen state."""
    fill(both.replica, "INBOX.Extra", 5, 6, 7)
    do(both.replica, "SELECT INBOX.Extra", r"STORE 1 +FLAGS (\Flagged $Kw)", r"STORE 2 +FLAGS (\Deleted)", "EXPUNGE",
       "CLOSE", 'SETMETADATA INBOX.Extra (/shared/comment "c" /private/comment "p")', "SETACL INBOX.Extra bob lrs")
    do(both.replica, "SETQUOTA user.anna.Extra (STORAGE 100)", user="admin")
    was = contents(both.replica, "anna")["user.anna.Extra"]
    uniqueid = names(both.replica)["user.anna.Extra"]
    with login(both.replica) as csync:
        csync.ok(f"APPLY SEEN %(USERID anna UNIQUEID {uniqueid} LASTREAD 1 LASTUID 2 LASTCHANGE 3 SEENUIDS 1:2)")
    watch = Watch(both)
    done = watch.run("-u", "anna")
    assert "COPYBACK user.anna.Extra" in done.stdout
    assert watch.uploaded == []
    state = assert_same(both.primary, both.replica)
    assert state["QUOTA"][b"user.anna.Extra"]["STORAGE"] == b"100"
    assert state["SEEN"][uniqueid.encode()]["SEENUIDS"] == b"1:2"
    mine = user_state(both.primary)["MAILBOX"]["user.anna.Extra"]
    assert {b"\\Flagged", b"$Kw"} <= set(mine["RECORD"][0]["FLAGS"])
    assert len(mine["ANNOTATIONS"]) == 2
    assert b"bob" in mine["ACL"]
    assert contents(both.primary, "anna")["user.anna.Extra"] == was
    assert names(both.primary)["user.anna.Extra"] == uniqueid
    settled(both)


@pytest.mark.parametrize("mode", ["delayed", "immediate"])
def test_never_seen_where_another_was_deleted(both, mode):
    """Work was deleted here, that is known there, and there another Work was made since."""
    both.primary.conf["delete_mode"] = mode
    both.primary.restart()
    do(both.primary, "DELETE INBOX.Work")
    both.primary.run("sync_client", "-o", "-u", "anna")
    fill(both.replica, "INBOX.Work", 5)
    watch = Watch(both)
    assert "COPYBACK user.anna.Work" in watch.run("-u", "anna").stdout
    assert contents(both.primary, "anna")["user.anna.Work"] == [guid(message(5))]
    assert_same(both.primary, both.replica)
    settled(both)


def test_no_copy_back(both):
    """-O: the master does not change."""
    fill(both.replica, "INBOX.Extra", 5)
    before = names(both.primary)
    watch = Watch(both)
    watch.run("-O", "-u", "anna")
    assert names(both.primary) == before
    assert "user.anna.Extra" in names(both.replica)


def test_deleted_on_the_replica(both):
    """The master's word holds: the mailbox is there again, undeleted if the replica still has it, else made anew."""
    do(both.replica, "DELETE INBOX.Work")
    watch = meet(both)
    assert watch.uploaded == [] and "APPLY RENAMES" in watch.commands
    both.replica.conf["delete_mode"] = "immediate"
    both.replica.restart()
    do(both.replica, "DELETE INBOX.Work")
    watch = meet(both)
    assert set(watch.uploaded) == {guid(message(3)), guid(message(4))}


def test_never_seen_there(both):
    fill(both.primary, "INBOX.New", 5)
    assert meet(both).uploaded == [guid(message(5))]


def test_roles_swapped(both):
    """Deleted here while that end was master, then this one is: its tombstone is as good."""
    both.primary.conf["delete_mode"] = "immediate"
    both.primary.restart()
    do(both.primary, "DELETE INBOX.Work")
    fill(both.primary, "INBOX.Mine", 8)
    back = Pair(both.replica, both.primary)
    both.replica.stop()
    both.replica.start()
    # the old replica is master now and has Work; it never saw Mine
    done = back.primary.run("sync_client", "-v", "-o", "-u", "anna")
    assert "COPYBACK user.anna.Mine" in done.stdout
    assert_same(both.primary, both.replica)
    assert {"user.anna.Work", "user.anna.Mine"} <= set(names(both.primary))


def damage(server, key, value):
    """cyr_dbtool writes what makes no sense."""
    server.run("cyr_dbtool", server.path("conf/mailboxes.db"), "twoskip", "set", key, value)


def test_damaged_tombstone(both):
    """The run says so, deletes nothing, and does the rest; the other record of the tombstone is proof enough."""
    both.primary.conf["delete_mode"] = "immediate"
    both.primary.restart()
    uniqueid = names(both.primary)["user.anna.Work"]
    do(both.primary, "DELETE INBOX.Work")
    both.primary.allow_log("DBERROR|IOERROR")
    damage(both.primary, "Nuser\x1fanna\x1fWork", "%(T ed I")
    damage(both.primary, f"I{uniqueid}", "%(T ed N")
    fill(both.primary, "INBOX.New", 5)
    watch = Watch(both)
    done = watch.run("-u", "anna", check=False)
    assert done.returncode == 1
    assert "user.anna.Work: only on the replica, left there: " in done.stderr
    assert "cannot tell whether a mailbox was deleted here" in both.primary.log_text()
    assert {"user.anna.Work", "user.anna.New"} <= set(names(both.replica))
    assert "user.anna.Work" not in names(both.primary)
    damage(both.primary, f"I{uniqueid}", f"%(T ed N user\x1fanna\x1fWork V 1 C 1 F 9 M 1795310143 H ())")
    watch = Watch(both, may_go=[guid(message(3)), guid(message(4))])
    watch.run("-u", "anna")
    assert "user.anna.Work" not in names(both.replica)


# ---- one name, two mailboxes ----

def test_deleted_and_made_anew(both):
    """The replica's mailbox of that name was deleted here: its messages do not come back."""
    both.primary.conf["delete_mode"] = "immediate"
    both.primary.restart()
    do(both.primary, "DELETE INBOX.Work")
    fill(both.primary, "INBOX.Work", 9)
    meet(both, may_go=[guid(message(3)), guid(message(4))])
    assert contents(both.replica, "anna")["user.anna.Work"] == [guid(message(9))]


@pytest.mark.parametrize("end", ["primary", "replica"])
def test_another_identity(renaming, end):
    """reconstruct gave a folder a new UNIQUEID at one end; both ends have got mail since."""
    other_identity(getattr(renaming, end), "user.anna.Work", "another-identity")
    fill(renaming.primary, "INBOX.Work", 5)
    fill(renaming.replica, "INBOX.Work", 6)
    watch = meet(renaming)
    wanted = sorted(guid(message(n)) for n in (3, 4, 5, 6))
    assert contents(renaming.replica, "anna")["user.anna.Work"] == wanted
    assert watch.uploaded == [guid(message(5))]
    assert sorted(names(renaming.replica)) == ["user.anna", "user.anna.Work"]


def test_both_made_one(renaming):
    """Each end has made a folder of that name by itself."""
    fill(renaming.primary, "INBOX.Archive", 10, 11)
    fill(renaming.replica, "INBOX.Archive", 12, 13)
    watch = meet(renaming)
    wanted = sorted(guid(message(n)) for n in (10, 11, 12, 13))
    assert contents(renaming.primary, "anna")["user.anna.Archive"] == wanted
    assert sorted(watch.uploaded) == sorted(guid(message(n)) for n in (10, 11))
    with renaming.primary.imap("anna") as imap:
        imap.ok("SELECT INBOX.Archive")
        # what was here keeps its UIDs
        assert b"body 10" in b"".join(imap.ok("UID FETCH 1 (BODY[])").untagged)
        imap.logout()


def test_both_made_the_user(pair):
    """INBOX and a folder of it were made by either end; the conversations of the user are whole afterwards."""
    for n, server in enumerate((pair.primary, pair.replica)):
        server.conf.update(CONF)
        server.add_user("anna")
        server.allow_log("SYNCNOTICE|CRC failure")
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.replica.path("conf/socket/csync"))
    pair.start()
    for n, server in enumerate((pair.primary, pair.replica)):
        server.create_user("anna")
        fill(server, "INBOX.Work", 10 + n, 20 + n)
        fill(server, "INBOX", 30 + n, 40 + n)
    watch = Watch(pair)
    watch.run("-u", "anna")
    assert sorted(watch.uploaded) == sorted(guid(message(n)) for n in (10, 20, 30, 40))
    assert_same(pair.primary, pair.replica)
    for server in (pair.primary, pair.replica):
        assert len(every(contents(server, "anna"))) == 8
        assert "is OK" in server.run("ctl_conversationsdb", "-v", "-A", "anna", check=False).stdout
    settled(pair)


def test_killed_while_deleting(both):
    """imapd ends at each change of the disk in a deletion: the mailbox is there, or its tombstone is, never neither."""
    both.primary.conf["delete_mode"] = "immediate"
    both.primary.restart()
    for n in range(1, 26):
        fill(both.primary, f"INBOX.F{n}", 50)
    both.primary.run("sync_client", "-o", "-u", "anna")
    jobs = list(both.primary.start_jobs)
    both.primary.allow_log("")
    killed = 0
    for n in range(1, 26):
        both.primary.stop()
        both.primary.env["CYLINDER_DISKIO_KILL"] = f"change:{n}"
        both.primary.start_jobs.clear()
        both.primary.start()
        try:
            do(both.primary, f"DELETE INBOX.F{n}")
            survived = True
        except (AssertionError, EOFError, OSError):
            survived = False
        killed += not survived
        both.primary.kill()
        del both.primary.env["CYLINDER_DISKIO_KILL"]
        both.primary.start_jobs[:] = jobs
        both.primary.start()
        if survived:
            break
    assert killed >= 5
    # a run brings no deleted mailbox back, and deletes no other
    kept = set(names(both.primary))
    done = both.primary.run("sync_client", "-v", "-o", "-u", "anna")
    assert "COPYBACK" not in done.stdout
    assert set(names(both.primary)) == kept == set(names(both.replica))


# ---- names change hands ----

def test_swap(renaming):
    fill(renaming.primary, "INBOX.Other", 5)
    meet(renaming)
    do(renaming.primary, "RENAME INBOX.Work INBOX.Tmp", "RENAME INBOX.Other INBOX.Work", "RENAME INBOX.Tmp INBOX.Other")
    assert meet(renaming).uploaded == []
    assert contents(renaming.replica, "anna")["user.anna.Work"] == [guid(message(5))]


def test_ring_of_three_and_a_name_in_the_way(renaming):
    fill(renaming.primary, "INBOX.B", 5)
    fill(renaming.primary, "INBOX.C", 6)
    meet(renaming)
    do(renaming.primary, "RENAME INBOX.Work INBOX.T", "RENAME INBOX.B INBOX.Work", "RENAME INBOX.C INBOX.B",
       "RENAME INBOX.T INBOX.C")
    # and the replica has made what the ring does not need
    fill(renaming.replica, "INBOX.D", 7)
    do(renaming.primary, "RENAME INBOX.C INBOX.D")
    watch = Watch(renaming)
    watch.run("-u", "anna")
    assert watch.uploaded == []
    assert every(contents(renaming.replica, "anna")) == every(contents(renaming.primary, "anna"))
    assert_same(renaming.primary, renaming.replica)
    settled(renaming)


def test_chain_with_the_first_name_used_again(both):
    do(both.primary, "RENAME INBOX.Work INBOX.C", "RENAME INBOX.C INBOX.B", "CREATE INBOX.Work")
    fill(both.primary, "INBOX.Work", 5)
    assert meet(both).uploaded == [guid(message(5))]
    assert contents(both.replica, "anna")["user.anna.Work"] == [guid(message(5))]


def test_rename_among_many(both):
    with both.primary.imap("anna") as imap:
        for n in range(300):
            imap.ok(f"CREATE INBOX.F{n:03}")
        imap.ok("CREATE INBOX.Z")
        imap.append("INBOX.Z", message(5))
        imap.logout()
    both.primary.run("sync_client", "-o", "-u", "anna")
    do(both.primary, "RENAME INBOX.Z INBOX.B", "RENAME INBOX.F299 INBOX.Z")
    both.primary.run("sync_client", "-o", "--verify", "-u", "anna")
    found = names(both.replica)
    assert len(found) == 303 and found == names(both.primary)
    assert contents(both.replica, "anna")["user.anna.B"] == [guid(message(5))]


@pytest.mark.parametrize("order", [("anna", "bob"), ("bob", "anna")])
def test_another_user_gets_it(pair, order):
    ready(pair, "anna", "bob")
    fill(pair.primary, "INBOX.Work", 3, 4)
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNCNOTICE|no tombstone")
    pair.primary.run("sync_client", "-o", "-A")
    do(pair.primary, "RENAME user.anna.Work user.bob.Work", user="admin")
    fill(pair.primary, "INBOX.Work", 5)
    for user in order:
        watch = Watch(pair, ("anna", "bob"))
        watch.run("-u", user)
        assert guid(message(3)) not in watch.uploaded
    pair.primary.run("sync_client", "-o", "-A")
    for user in order:
        assert_same(pair.primary, pair.replica, user)
        settled(pair, user)


def test_user_is_renamed(both):
    for server in (both.primary, both.replica):
        server.add_user("anne")
    do(both.primary, "RENAME user.anna user.anne", user="admin")
    watch = Watch(both, ("anna", "anne"))
    watch.run("-u", "anne")
    assert watch.uploaded == []
    assert_same(both.primary, both.replica, "anne")
    settled(both, "anne")

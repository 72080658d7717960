# SPDX-License-Identifier: BSD-3-Clause
"""sync_client -r: what happens on the primary happens on the replica, whatever dies on the way (doc/rolling.md)."""

import os
import re
import signal
import time

import pytest

from cyltest import processes, rolling
from cyltest.dlist import parse
from cyltest.syncdata import login, message, sent_commands


@pytest.fixture
def pair(pair):
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|IOERROR|signaled|abnormally|zero length|response|Can not connect")
    return rolling.set_up(pair)


@pytest.fixture
def rolls(pair):
    rolling.daemon(pair.primary)
    pair.start()
    rolling.caught_up(pair.primary)  # the channel begins
    return pair


def fill(server, user, n=3):
    server.add_user(user)
    server.create_user(user, "Work")
    with server.imap(user) as imap:
        for i in range(1, n + 1):
            imap.append("INBOX", message(i))
        imap.append("INBOX.Work", message(9))
        imap.ok("SUBSCRIBE INBOX.Work")
        imap.logout()


def mailbox_names(server, user):
    with login(server) as csync:
        told = [parse(line) for line in csync.ok(f"GET USER {user}").untagged]
    return sorted(value["MBOXNAME"].decode() for kind, value in told if kind == "MAILBOX")


# ---- what is brought over ----


def test_all_kinds_of_changes(rolls):
    pair = rolls
    fill(pair.primary, "alice")
    fill(pair.primary, "bob")
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, "alice", "bob")

    with pair.primary.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Flagged \Seen $Junk)")
        imap.ok(r"STORE 2 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("COPY 1 INBOX.Work")
        imap.ok('SETMETADATA INBOX.Work (/shared/comment "words")')
        imap.ok("RENAME INBOX.Work INBOX.Job")
        imap.ok("CREATE INBOX.New.Deep")
        imap.ok("CREATE INBOX.Old")
        imap.ok("DELETE INBOX.Old")
        imap.ok("UNSUBSCRIBE INBOX.Work")
        imap.ok("SETACL INBOX.Job bob lrs")
        imap.logout()
    with pair.primary.imap("admin") as imap:
        imap.ok("SETQUOTA user.alice (STORAGE 1000)")
        imap.logout()
    with pair.primary.imap("bob") as imap:
        imap.ok("SELECT user.alice.Job")
        imap.ok("FETCH 1 BODY[]")
        imap.ok("SUBSCRIBE user.alice.Job")
        imap.logout()
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, "alice", "bob")
    with pair.replica.imap("admin") as imap:
        assert re.search(rb"STORAGE \d+ 1000", imap.ok("GETQUOTA user.alice").untagged[0])
        imap.logout()


def test_shared_mailboxes_and_the_server(rolls):
    pair = rolls
    with pair.primary.imap("admin") as imap:
        imap.ok("CREATE news")
        imap.ok("CREATE news.today")
        imap.ok("SETACL news anyone lrsp")
        imap.ok("RENAME news.today news.yesterday")
        imap.ok('SETMETADATA "" (/shared/comment "of the server")')
        imap.logout()
    rolling.caught_up(pair.primary)
    with pair.replica.imap("admin") as imap:
        names = [line.split()[-1] for line in imap.ok('LIST "" news*').find("* LIST")]
        assert names == [b"news", b"news.yesterday"]
        assert b"of the server" in b"".join(imap.ok('GETMETADATA "" (/shared/comment)').untagged)
        assert b"anyone lrsp" in imap.ok("GETACL news").untagged[0]
        imap.logout()
    with pair.primary.imap("admin") as imap:
        imap.ok("SETACL news.yesterday admin lrswipkxtecda")
        imap.ok("DELETE news.yesterday")
        imap.logout()
    rolling.caught_up(pair.primary)
    with pair.replica.imap("admin") as imap:
        assert [line.split()[-1] for line in imap.ok('LIST "" news*').find("* LIST")] == [b"news"]
        imap.logout()


def test_subscribed_once_more(rolls):
    """Both ends know who said last when (X-SUBHISTORY)."""
    pair = rolls
    fill(pair.primary, "alice")
    with pair.primary.imap("alice") as imap:
        imap.ok("SUBSCRIBE INBOX.Work")
        imap.logout()
    rolling.caught_up(pair.primary)
    assert sent_commands(pair.primary.run("sync_client", "-v", "-v", "-u", "alice")) == []


def test_user_is_removed_and_comes_back(rolls):
    pair = rolls
    fill(pair.primary, "alice")
    rolling.caught_up(pair.primary)
    with pair.primary.imap("admin") as imap:
        imap.ok("SETACL user.alice admin lrswipkxtecda")
        imap.ok("DELETE user.alice")
        imap.logout()
    rolling.caught_up(pair.primary)
    gone = mailbox_names(pair.replica, "alice")
    assert gone == [] or all(name.startswith("DELETED.") for name in gone)
    fill(pair.primary, "alice", 1)
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, "alice")


def test_user_is_renamed_and_a_folder_given_away(rolls):
    pair = rolls
    fill(pair.primary, "alice")
    fill(pair.primary, "bob")
    rolling.caught_up(pair.primary)
    with pair.primary.imap("admin") as imap:
        imap.ok("SETACL user.alice.Work admin lrswipkxtecda")
        imap.ok("RENAME user.alice.Work user.bob.Gift")
        imap.ok("SETACL user.bob.Gift bob lrswipkxtecda")
        imap.ok("RENAME user.alice user.carol")
        imap.logout()
    rolling.caught_up(pair.primary)
    for server in (pair.primary, pair.replica):
        assert mailbox_names(server, "bob") == ["user.bob", "user.bob.Gift", "user.bob.Work"]
        assert mailbox_names(server, "alice") == []
    rolling.must_be_equal(pair, "bob", "carol")


# ---- life of the client ----


def test_it_goes_on_after_term_and_restart_and_kill(rolls):
    pair = rolls
    fill(pair.primary, "alice")
    rolling.caught_up(pair.primary)
    for signo in (signal.SIGTERM, signal.SIGKILL):
        was = rolling.pids(pair.primary)
        for pid in was:
            processes.kill(pid, signo)
        pair.primary.deliver(message(50 + signo), "alice")
        rolling.wait_until(pair.primary, lambda now: now["running"] and rolling.pids(pair.primary) != was)
        rolling.caught_up(pair.primary)
        rolling.must_be_equal(pair, "alice")
    pair.primary.restart()
    pair.primary.deliver(message(70), "alice")
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, "alice")


def test_start_entry_in_the_background(pair):
    pair.primary.start_jobs.append(("roll", {"cmd": "sync_client -r -l"}))
    pair.start()
    fill(pair.primary, "alice")
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, "alice")
    assert len(rolling.pids(pair.primary)) == 1
    pair.primary.restart()
    pair.primary.deliver(message(70), "alice")
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, "alice")
    assert len(rolling.pids(pair.primary)) == 1


def test_shutdown_file_ends_it(pair):
    pair.start()
    path = pair.primary.path("conf", "stop")
    for args in (("-F", path), ()):
        pair.primary.conf["sync_shutdown_file"] = pair.primary.path("conf", "nobody") if args else path
        pair.primary.write_conf()
        client = pair.primary.popen("sync_client", "-R", *args)
        rolling.wait_until(pair.primary, lambda now: now.get("state") == "idle" and now["running"])
        with open(path, "wb"):
            pass
        pair.primary.account.give(path)
        assert client.wait(20) == 0
        assert not os.path.exists(path)


def test_once(pair):
    pair.start()
    pair.primary.run("sync_client", "-R", "-1")  # the channel begins
    fill(pair.primary, "alice")
    assert rolling.status(pair.primary)["events_behind"] > 0
    pair.primary.run("sync_client", "-r", "-1", "-f", "/nonexistent", check=False)
    pair.primary.run("sync_client", "-R", "-1")
    assert rolling.status(pair.primary)["events_behind"] == 0
    rolling.must_be_equal(pair, "alice")


def test_a_second_client_of_the_channel_waits(rolls):
    pair = rolls
    rolling.caught_up(pair.primary)
    mark = pair.primary.log_mark()
    second = pair.primary.popen("sync_client", "-R", "-1")
    pair.primary.wait_log("another sync_client has the channel", mark)
    second.terminate()
    assert second.wait(20) == 75


def test_connection_is_kept_and_made_anew(pair):
    rolling.daemon(pair.primary, "-t", "1")
    pair.start()
    rolling.caught_up(pair.primary)
    fill(pair.primary, "alice")
    rolling.caught_up(pair.primary)
    pair.primary.wait_log("sync_client RESTART succeeded")
    pair.primary.deliver(message(40), "alice")
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, "alice")


def test_one_connection_serves_many_turns(rolls):
    pair = rolls
    fill(pair.primary, "alice")
    rolling.caught_up(pair.primary)
    mark = pair.replica.log_mark()
    for n in range(5):
        pair.primary.deliver(message(40 + n), "alice")
        rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, "alice")
    assert not re.findall(r"syncserver.* login|csync.* login", pair.replica.log_text(mark))


# ---- text logs ----


def test_file_is_processed_once_and_stays(pair):
    pair.start()
    fill(pair.primary, "alice")
    path = rolling.write_log(pair.primary, ["USER alice"], name="mine")
    done = pair.primary.run("sync_client", "-r", "-v", "-f", path)
    assert "USER alice" in done.stdout
    rolling.must_be_equal(pair, "alice")
    assert os.path.exists(path)
    done = pair.primary.run("sync_client", "-r", "-f", pair.primary.path("conf/none"), check=False)
    assert done.returncode == 1


@pytest.mark.parametrize("name", ["log", "log-run", "log-retry"])
def test_log_left_by_a_dead_run(pair, name):
    """Also as programs of 3.6.1 leave it."""
    pair.start()
    fill(pair.primary, "alice")
    path = rolling.write_log(pair.primary, ["APPEND user.alice", "MAILBOX user.alice", "MAILBOX user.alice.Work",
                                            "SUB alice user.alice.Work"], name=name)
    pair.primary.run("sync_client", "-R", "-1")
    rolling.must_be_equal(pair, "alice")
    assert not os.path.exists(path)
    assert not os.path.exists(rolling.log_path(pair.primary))


def test_bad_bytes_in_a_log(pair):
    pair.start()
    fill(pair.primary, "alice")
    rolling.write_log(pair.primary, b"\0\0\0\n\xff\xfe MAILBOX\nMAILBOX \"user.alice\nMAILBOX user.al\0ice\n\n  \n"
                      b"RENAME a b c\nNEVER heard\nUSER ../../etc\nMAILBOX \xc3\xa9\xff\nMAILBOX\nUSER " + b"x" * 9000
                      + b"\nMAILBOX \"a \\\nANNOTATION \x01\nuser alice\nMAILBOX user.alice.Wo")
    pair.primary.run("sync_client", "-R", "-1")
    rolling.must_be_equal(pair, "alice")
    assert not os.path.exists(rolling.log_path(pair.primary, "log-run"))
    assert rolling.status(pair.primary)["events_behind"] == 0
    assert "garbage in a sync log" in pair.primary.log_text()
    assert "unknown type in a sync log" in pair.primary.log_text()


def test_text_log_is_written_for_channels_without_a_client(pair):
    """Those of 3.6.1 go on as they are; ours needs no second copy."""
    pair.primary.conf.update({"sync_log": True, "sync_log_channels": '"" old'})
    pair.start()
    pair.primary.run("sync_client", "-R", "-1")
    fill(pair.primary, "alice")
    with open(rolling.log_path(pair.primary, channel="old"), encoding="ascii") as f:
        assert "MAILBOX user.alice\n" in f.read()
    assert not os.path.exists(rolling.log_path(pair.primary))


def test_clean_stop_leaves_a_text_log(pair):
    """What is not replicated yet is there for any reader: after the stop the store is plain."""
    pair.start()
    pair.primary.run("sync_client", "-R", "-1")
    fill(pair.primary, "alice")
    pair.primary.stop()
    with open(rolling.log_path(pair.primary), encoding="ascii") as f:
        lines = f.read().splitlines()
    assert "MAILBOX user.alice" in lines and len(lines) == len(set(lines))
    assert not [name for name in os.listdir(pair.primary.path("conf/journal")) if re.fullmatch(r"[0-9a-f]{16}\.log", name)]
    pair.primary.start()
    pair.primary.run("sync_client", "-R", "-1")
    rolling.must_be_equal(pair, "alice")


def test_cyr_synclog(pair):
    pair.primary.conf.update({"sync_log": True, "sync_log_channels": '"" other'})
    pair.start()
    calls = [("-u", "alice"), ("-U", "alice"), ("-v", "alice"), ("-m", "user.alice"), ("-M", "user.alice"),
             ("-q", "user.alice"), ("-n", ""), ("-s", "alice", "0123"), ("-b", "alice", "user.alice.a b"),
             ("MAILBOX user.bob",)]
    for args in calls:
        pair.primary.run("cyr_synclog", *args)
    wanted = ["USER alice", "UNUSER alice", "META alice", "MAILBOX user.alice", "UNMAILBOX user.alice",
              "QUOTA user.alice", 'ANNOTATION ""', "SEEN alice 0123", 'SUB alice "user.alice.a b"', "MAILBOX user.bob"]
    for channel in (None, "other"):
        with open(rolling.log_path(pair.primary, channel=channel), encoding="ascii") as f:
            assert f.read().splitlines() == wanted
    for args in ((), ("-u",), ("-u", "a", "b"), ("-s", "alice"), ("-x", "a")):
        assert pair.primary.run("cyr_synclog", *args, check=False).returncode == 64
    for args in (("-m", "a\nUNUSER alice"), ("no line of a log",)):
        assert pair.primary.run("cyr_synclog", *args, check=False).returncode == 65
    with open(rolling.log_path(pair.primary), encoding="ascii") as f:
        assert f.read().splitlines() == wanted


def test_cyr_synclog_reaches_a_rolling_client(rolls):
    pair = rolls
    fill(pair.primary, "alice")
    rolling.caught_up(pair.primary)
    mark = pair.primary.log_mark()
    pair.primary.run("cyr_synclog", "-u", "alice")
    pair.primary.wait_log(r"sync_client\[\d+\]: USER alice", mark)


# ---- trouble ----


def test_one_that_fails_for_ever_beside_good_ones(rolls):
    """It is named with the reason and tried again; the others go on, the same user's too; repaired, it comes through."""
    pair = rolls
    fill(pair.primary, "alice")
    fill(pair.primary, "bob")
    rolling.caught_up(pair.primary)
    path = pair.primary.run("mbpath", "-M", "user.alice.Work").stdout.strip()
    index = os.path.join(path, "cyrus.index")
    with open(index, "r+b") as f:
        good = f.read()
        f.seek(0)
        f.write(b"\xff" * 96)
    pair.primary.run("cyr_synclog", "-m", "user.alice.Work")
    now = rolling.wait_until(pair.primary, lambda now: now["running"] and now.get("failing"))
    assert [entry["item"] for entry in now["failing"]] == ["USER alice"]
    assert now["last_error"] and now["last_error_time"]
    assert re.search(r"mailbox=<user.alice.Work> error=<\S+", pair.primary.log_text())
    for n in range(3):
        pair.primary.deliver(message(40 + n), "bob", "alice")
    rolling.wait_until(pair.primary, lambda now: now["events_behind"] == 1)  # what has failed
    rolling.must_be_equal(pair, "bob")
    with pair.replica.imap("alice") as imap:
        assert b"* 6 EXISTS" in imap.ok("SELECT INBOX").untagged
        imap.logout()
    human = pair.primary.run("sync_client", "--status").stdout
    assert 'channel "": idle' in human and "failing: USER alice: " in human, human

    for pid in rolling.pids(pair.primary):  # it is not forgotten, whoever dies
        processes.kill(pid)
    rolling.wait_until(pair.primary, lambda now: now["running"] and now.get("state") == "idle")
    with open(index, "r+b") as f:
        f.write(good)
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, "alice")
    assert not os.path.exists(rolling.log_path(pair.primary, "log-retry"))


def test_replica_is_dead_for_a_while(rolls):
    pair = rolls
    fill(pair.primary, "alice")
    rolling.caught_up(pair.primary)
    pair.replica.kill()
    began = time.monotonic()
    for n in range(5):
        pair.primary.deliver(message(40 + n), "alice")
    assert time.monotonic() - began < 5
    now = rolling.wait_until(pair.primary, lambda now: now["state"] == "connecting" and now["last_error_time"])
    assert now["events_behind"] >= 5 and "connect" in now["last_error"]
    assert pair.primary.running
    pair.replica.start()
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, "alice")


def test_journal_kept_for_a_dead_replica_is_bounded(pair):
    """Then the text log takes over, loudly and without loss, also across a crash."""
    pair.primary.conf.update({"journal_segment_size": "64k", "journal_checkpoint_size": "64k",
                              "journal_reader_max": "128k"})
    rolling.daemon(pair.primary)
    pair.start()
    rolling.caught_up(pair.primary)
    fill(pair.primary, "alice")
    fill(pair.primary, "bob")
    rolling.caught_up(pair.primary)
    pair.replica.kill()
    for n in range(40):
        pair.primary.deliver(message(60 + n, body="y" * 20000), "alice" if n % 2 else "bob")
    pair.primary.run("ctl_cyrusdb", "-c")
    journal = pair.primary.path("conf/journal")
    size = sum(os.path.getsize(os.path.join(journal, name)) for name in os.listdir(journal)
               if re.fullmatch(r"[0-9a-f]{16}\.log", name))
    assert size < 1 << 20
    assert "its events are kept elsewhere" in pair.primary.log_text()
    assert "MAILBOX user.bob" in open(rolling.log_path(pair.primary), encoding="ascii").read()
    pair.primary.kill()
    pair.replica.start()
    pair.primary.start()
    rolling.caught_up(pair.primary)
    assert "events of channel <> are lost" not in pair.primary.log_text()
    rolling.must_be_equal(pair, "alice", "bob")


def test_neither_journal_nor_text_log_can_keep_it(pair):
    """The directory of the text log can't be written: then everything is looked at, and it is said so."""
    pair.primary.conf.update({"journal_segment_size": "64k", "journal_checkpoint_size": "64k",
                              "journal_reader_max": "128k"})
    pair.start()
    pair.primary.run("sync_client", "-R", "-1")
    fill(pair.primary, "alice")
    sync = pair.primary.path("conf/sync")
    os.chmod(sync, 0o500)
    for n in range(40):
        pair.primary.deliver(message(60 + n, body="y" * 20000), "alice")
    pair.primary.run("ctl_cyrusdb", "-c")
    os.chmod(sync, 0o700)
    assert "journal: can't put away the events for sync" in pair.primary.log_text()
    assert rolling.status(pair.primary)["events_lost"]
    pair.primary.run("sync_client", "-R", "-1")
    assert "events of channel <> are lost" in pair.primary.log_text()
    assert not rolling.status(pair.primary)["events_lost"]
    rolling.must_be_equal(pair, "alice")


def test_lost_place_means_that_everything_is_looked_at(pair):
    pair.start()
    pair.primary.run("sync_client", "-R", "-1")
    fill(pair.primary, "alice")
    with pair.primary.imap("admin") as imap:
        imap.ok("CREATE news")
        imap.logout()
    place = pair.primary.path("conf/journal/reader.sync")
    for text in (b"garbage", b"7fffffffffffffff\n"):
        with open(place, "wb") as f:
            f.write(text)
        pair.primary.deliver(message(60), "alice")
        pair.primary.run("sync_client", "-R", "-1")
        assert "events of channel <> are lost" in pair.primary.log_text()
        rolling.must_be_equal(pair, "alice")
    with pair.replica.imap("admin") as imap:
        assert imap.ok('LIST "" news').find("* LIST")
        imap.logout()


def test_two_channels(factory, pair):
    third = factory("third")
    third.conf.update({**rolling.CONF})
    third.allow_log(".")
    pair.primary.conf.update({"two_sync_host": "127.0.0.1", "two_sync_port": third.ports["csync"],
                              "sync_log_channels": '"" two'})
    rolling.daemon(pair.primary)
    rolling.daemon(pair.primary, "-n", "two", name="roll2")
    third.start()
    pair.start()
    for channel in (None, "two"):
        rolling.caught_up(pair.primary, channel)
    fill(pair.primary, "alice")
    for channel in (None, "two"):
        rolling.caught_up(pair.primary, channel)
    third.kill()
    pair.primary.deliver(message(60), "alice")
    rolling.caught_up(pair.primary)
    rolling.must_be_equal(pair, "alice")
    assert rolling.status(pair.primary, "two")["events_behind"] > 0
    assert pair.primary.run("sync_client", "--status").stdout.count("channel ") == 2
    third.start()
    rolling.caught_up(pair.primary, "two")
    rolling.must_be_equal(type(pair)(pair.primary, third), "alice")


def test_replica_does_not_roll_on_unless_it_is_a_link_of_a_chain(factory, pair):
    third = factory("third")
    third.conf.update(rolling.CONF)
    chain = type(pair)(pair.replica, third)
    rolling.set_up(chain)
    rolling.daemon(pair.primary)
    rolling.daemon(pair.replica)
    third.start()
    pair.start()
    for server in (pair.primary, pair.replica):
        rolling.caught_up(server)
    fill(pair.primary, "alice")
    rolling.caught_up(pair.primary)
    rolling.caught_up(pair.replica)
    assert mailbox_names(third, "alice") == []
    pair.replica.conf["sync_log_chain"] = True
    pair.replica.restart()
    pair.primary.deliver(message(60), "alice")
    with pair.primary.imap("alice") as imap:
        imap.ok("CREATE INBOX.More")
        imap.logout()
    pair.primary.run("cyr_synclog", "-u", "alice")
    rolling.caught_up(pair.primary)
    rolling.caught_up(pair.replica)
    assert "user.alice.More" in mailbox_names(third, "alice")

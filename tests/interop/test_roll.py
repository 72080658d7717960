# SPDX-License-Identifier: BSD-3-Clause
"""Rolling with Debian's 3.6.1: its sync_client -r into our server, ours into its, its text logs read by ours; under load and kills."""

import json
import os
import re
import time

import pytest

from cyltest import Pair, rolling, rolling_load
from cyltest.rolling_load import Load, kill_and_start
from cyltest.syncdata import assert_same, fill_user, message, sent_commands


@pytest.fixture
def debian(debian_factory):
    return debian_factory("debian", services=("imap", "lmtp", "csync"))


@pytest.fixture
def ours(factory):
    server = factory("ours", services=("imap", "lmtp", "csync"))
    server.allow_log(".")
    return server


def idle(server, timeout=120.0):
    """3.6.1 has nothing left to do: no log, no log-run."""
    deadline = time.monotonic() + timeout
    quiet = 0
    while quiet < 3:
        left = [name for name in ("log", "log-run") if os.path.exists(rolling.log_path(server, name))]
        quiet = 0 if left else quiet + 1
        assert time.monotonic() < deadline, f"{left}\n{server.log_text()[-3000:]}"
        time.sleep(0.2)


def must_be_equal_both_ways(pair, user, counts_of_conversations=True):
    """
    By check_replication, by the sync protocol, and by a further run of the primary's own client that finds nothing to send.

    counts_of_conversations: those of a 3.6.1 that was killed stay wrong; a recount there would lose the modseqs of expunged messages.
    """
    ours = pair.primary if pair.primary.flavour == "cylinder" else pair.replica
    done = ours.run("check_replication", *pair.labels(), user, check=False)
    different = [line for line in done.stdout.splitlines() if line.startswith((f"{user} ", "Quota mismatch"))]
    if counts_of_conversations:
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        assert not [line for line in different if not re.search(r" (unseen )?conversations('s? modseq)?: ", line)], done.stdout
        assert done.returncode == (1 if different else 0), done.stdout + done.stderr
    assert_same(pair.primary, pair.replica, user)
    done = pair.primary.run("sync_client", "-v", "-v", "-o", "-u", user)
    assert sent_commands(done) == []


def of_debian(server):
    """Nothing to be repaired, say the tools of 3.6.1."""
    done = server.run("reconstruct", "-n", "-r", *(f"user.{user}" for user in rolling_load.USERS))
    assert "uid" not in done.stdout + done.stderr, done.stdout + done.stderr
    done = server.run("mbexamine", "user.anna")
    assert "failed" not in done.stdout.lower()


def mend_counts(debian):
    """A kill leaves 3.6.1 with numbers that its messages do not add up to, in the index header, quotas and conversations: for ever."""
    debian.run("reconstruct", "-r", *(f"user.{user}" for user in rolling_load.USERS))
    debian.run("quota", "-f")


def test_debian_rolls_into_ours_under_load(debian, ours):
    pair = rolling.set_up(Pair(debian, ours), sync_log=True)
    ours.conf.update({"proxy_authname": "repl", "proxy_password": debian.conf["proxy_password"]})
    debian.daemons.append(("roll", {"cmd": f"/usr/lib/cyrus/bin/sync_client -C {debian.imapd_conf} -r -l"}))
    pair.start()
    load = Load(pair, rolling_load.a_seed())
    load.begin()
    load.run([lambda: ours.kill_children("sync_server"), lambda: kill_and_start(ours),
              lambda: rolling.kill_client(debian)])
    assert load.done > 30
    debian.send_signal(1)
    time.sleep(1)
    idle(debian)
    for user in rolling_load.USERS:
        must_be_equal_both_ways(pair, user)


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_ours_rolls_into_debian_under_load(ours, debian, jobs):
    pair = rolling.set_up(Pair(ours, debian))
    rolling.daemon(ours, "-j", jobs)
    pair.start()
    rolling.caught_up(ours)
    load = Load(pair, rolling_load.a_seed())
    load.begin()
    load.run([lambda: rolling.kill_client(ours), lambda: kill_and_start(ours),
              lambda: debian.kill_children("sync_server"), lambda: kill_and_start(debian)])
    assert load.done > 30
    debian.stop()
    debian.remove_stillborn()
    debian.start()
    ours.reload()
    rolling.caught_up(ours, timeout=120)
    of_debian(debian)
    mend_counts(debian)
    for user in rolling_load.USERS:
        must_be_equal_both_ways(pair, user, counts_of_conversations=False)
    of_debian(debian)


def test_ours_takes_over_the_text_log_of_debian(debian, ours, factory):
    """On one directory: 3.6.1 has worked and its client has died; our programs go on where it stopped, and back."""
    pair = rolling.set_up(Pair(debian, ours), sync_log=True)
    pair.start()
    fill_user(debian)
    log = rolling.log_path(debian)
    with open(log, encoding="ascii") as f:
        assert "MAILBOX user.anna" in f.read()
    os.rename(log, rolling.log_path(debian, "log-run"))
    with debian.imap("anna") as imap:
        imap.append("INBOX", message(30))
        imap.logout()
    debian.stop()
    ours_at_it = factory("taken")
    ours_at_it.allow_log(".")
    ours_at_it.conf = {**debian.conf, "log_file": ours_at_it.logfile}
    ours_at_it.write_conf()
    ours_at_it.run("sync_client", "-R", "-1")
    assert not os.path.exists(log) and not os.path.exists(rolling.log_path(debian, "log-run"))
    # what is left undone by ours at a clean stop is found by theirs
    ours_at_it.run("cyr_synclog", "-u", "anna")
    with open(log, encoding="ascii") as f:
        assert f.read() == "USER anna\n"
    debian.start()
    assert_same(debian, ours)
    with debian.imap("anna") as imap:
        imap.append("INBOX", message(31))
        imap.logout()
    debian.run("sync_client", "-R", "-1", "-v")
    assert_same(debian, ours)
    assert not os.path.exists(log)


def test_how_far_behind_debian_is(ours, debian):
    """It has no digests of ranges: where its checksums differ all its records are compared."""
    pair = rolling.set_up(Pair(ours, debian))
    pair.start()
    fill_user(ours)
    ours.run("sync_client", "-R", "-1")  # the channel begins
    ours.run("sync_client", "-u", "anna")

    def ask():
        [told] = json.loads(ours.run("sync_client", "--status", "--ask", "--json", "--user", "anna").stdout)
        assert told["proven"]
        return told

    equal = ask()
    assert (equal["modseqs_behind"], equal["differences"]) == (0, [])
    with ours.imap("anna") as imap:
        imap.ok("SELECT INBOX (CONDSTORE)")
        told = b"".join(imap.ok(r"STORE 2 +FLAGS (\Flagged)").untagged)
        imap.append("INBOX.Work", message(7))
        imap.logout()
    first = int(re.search(rb"MODSEQ \((\d+)\)", told).group(1))
    behind = ask()
    assert behind["acknowledged_modseq"] == first - 1 and behind["modseqs_behind"] == behind["modseq"] - first + 1
    assert [m["mailbox"] for m in behind["mailboxes"]] == ["user.anna", "user.anna.Work"]
    ours.run("sync_client", "-R", "-1")
    assert ask()["modseqs_behind"] == 0

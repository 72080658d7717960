# SPDX-License-Identifier: BSD-3-Clause
"""W008: after a run the usage of both ends is the same; what the replica has counted wrongly is counted anew there."""

import pytest

from cyltest import rolling
from cyltest.credentials import password
from cyltest.folders import contents, ready
from cyltest.relay import Relay
from cyltest.richstore import user_file
from cyltest.storefiles import damage
from cyltest.syncdata import fill_user, message
from cyltest.syncline import guid

USER = "anna"


@pytest.fixture
def copied(pair):
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNCNOTICE|SYNCERROR")
    ready(pair, proxy_authname="repl", proxy_password=password("repl"), quota_db="twoskip", quota_use_conversations=True)
    fill_user(pair.primary, USER)
    pair.replica.add_user(USER)
    pair.primary.run("sync_client", "-u", USER)
    rolling.must_be_equal(pair, USER)
    return pair


def set_quota(server, value):
    server.run("cyr_dbtool", server.path("conf", "quotas.db"), "twoskip", "set", f"user.{USER}", value)


def set_conversations(server, value):
    server.run("cyr_dbtool", user_file(server, USER, "conversations"), "twoskip", "set", "Q", value)


WRONG = {"roots": (set_quota, "%(S (99 10000) M (77 500))"), "conversations": (set_conversations, "1 %(E 9 S 9999)")}


@pytest.mark.parametrize("which", WRONG)
def test_replica_counts_anew(copied, which):
    spoil, value = WRONG[which]
    spoil(copied.replica, value)
    assert rolling.differences(copied, USER)
    copied.primary.run("sync_client", "-u", USER)
    assert "to be counted anew on the replica: usage anna" in copied.primary.log_text()
    rolling.must_be_equal(copied, USER)
    copied.replica.run("cyr_user", "check", USER)


def test_wrong_here(copied):
    """The replica's count stays as it is, and the log names the number."""
    set_quota(copied.primary, "%(S (99 10000) M (77 500))")
    copied.primary.run("sync_client", "-u", USER)
    assert f"usage {USER} user.{USER}: MESSAGE: here <77>, on the replica <5>" in copied.primary.log_text()
    copied.replica.run("cyr_user", "check", USER)


def test_who_is_at_work_is_not_counted(copied):
    """A message that comes in the middle of the run is no difference."""
    commands = []

    def on_command(command):
        commands.append(command)
        if command.startswith(b"GET USAGE"):
            with copied.primary.imap(USER) as imap:
                imap.append("INBOX", message(9))
                imap.logout()
    with Relay(copied.primary.path("tmp", "relay"), copied.replica.path("conf/socket/csync"), on_command=on_command) as relay:
        copied.primary.run("sync_client", "-S", relay.path, "-u", USER)
    # asked for once where nothing had been counted when it was read here, or twice
    assert 1 <= sum(command.startswith(b"GET USAGE") for command in commands) <= 2
    assert not any(command.startswith(b"APPLY RECOUNT") for command in commands)


def test_what_only_the_replica_has_is_not_asked_about(copied):
    """It counts there, rightly."""
    with copied.replica.imap("admin") as imap:
        imap.ok(f"CREATE user.{USER}.Other")
        imap.logout()
    copied.primary.run("sync_client", "-O", "-u", USER)
    assert "usage anna" not in copied.primary.log_text()


DERIVED = {"roots": lambda server: server.path("conf", "quotas.db"),
           "conversations": lambda server: user_file(server, USER, "conversations")}


@pytest.mark.parametrize("which", DERIVED)
def test_what_cannot_be_counted_keeps_no_mail_back(copied, which):
    """With damaged quota roots or conversations the run fails; a message that came before goes to the replica all the same."""
    with copied.primary.imap(USER) as imap:
        imap.append("INBOX.Work", message(9))
        imap.logout()
    copied.primary.allow_log(".")
    path = DERIVED[which](copied.primary)
    copied.primary.stop()
    damage(path, 0, b"rubbish!" * 8)
    copied.primary.start()
    assert copied.primary.run("sync_client", "-u", USER, check=False).returncode == 1
    assert path in copied.primary.log_text(), "named"
    assert guid(message(9)) in contents(copied.replica, USER)[f"user.{USER}.Work"]

# SPDX-License-Identifier: BSD-3-Clause
"""Whether a user is disabled crosses between servers that keep records of users: X-USERSTATE (doc/sync-extensions.md)."""

import json
import time

import pytest

from cyltest import Pair
from cyltest.clients import Rejected

CONF = {"conversations": True, "delete_mode": "delayed", "allowusermoves": True, "unixhierarchysep": True, "altnamespace": False}


@pytest.fixture
def pair(factory):
    primary = factory("primary", services=("imap", "csync"))
    replica = factory("replica", services=("imap", "csync"))
    for server in (primary, replica):
        server.conf.update(CONF)
    made = Pair(primary, replica)
    made.start()
    primary.run("cyr_user", "create", "alice")
    return made


def sync(pair, *args):
    return pair.primary.run("sync_client", "-v", "-u", "alice", *args).stdout


def shown(server, name="alice"):
    got = json.loads(server.run("cyr_user", "--json", "show", name).stdout)
    return {key: got.get(key) for key in ("state", "reason", "created", "changed", "id")}


def test_crosses(pair):
    """Disabled, with another reason, enabled, renamed, deleted: both ends say the same, dates included."""
    primary, replica = pair.primary, pair.replica
    time.sleep(1.1)  # the INBOX is made later there
    sync(pair)
    assert shown(replica) == shown(primary) and shown(primary)["state"] == "active"
    for args in (("disable", "alice"), ("disable", "--reason", "not \"paid\" (1)", "alice"), ("disable", "--reason", "other", "alice")):
        primary.run("cyr_user", *args)
        said = sync(pair)
        assert shown(replica) == shown(primary)
        assert ("USERSTATE alice disabled" in said) == (args == ("disable", "alice"))
    with pytest.raises(Rejected, match="This account is disabled: other"):
        replica.imap("alice")
    before = replica.run("cyr_dbtool", replica.path("conf", "users.db"), "twoskip", "show", conf=False).stdout
    assert "USERSTATE" not in sync(pair)
    assert replica.run("cyr_dbtool", replica.path("conf", "users.db"), "twoskip", "show", conf=False).stdout == before
    primary.run("cyr_user", "enable", "alice")
    sync(pair)
    assert shown(replica) == shown(primary) and shown(replica)["reason"] is None
    replica.imap("alice").logout()


def test_moving_in_stays_so(pair):
    """The end that gets a user decides when he has arrived, whatever becomes of him on the other one."""
    primary, replica = pair.primary, pair.replica
    replica.run("cyr_user", "create", "--moving-in", "alice")
    for change in ((), ("disable", "alice"), ("enable", "alice")):
        if change:
            primary.run("cyr_user", *change)
        assert "USERSTATE" not in sync(pair)
        assert shown(replica)["state"] == "moving-in"
    replica.run("cyr_user", "enable", "alice")
    primary.run("cyr_user", "disable", "alice")
    sync(pair)
    assert shown(replica)["state"] == "disabled"
    # who is moving in on the master is no business of its replica
    primary.run("cyr_user", "create", "--moving-in", "bob")
    primary.run("sync_client", "-u", "bob")
    assert replica.run("cyr_user", "show", "bob", check=False).returncode == 67


def test_only_where_it_is_announced(pair):
    primary, replica = pair.primary, pair.replica
    replica.conf["suppress_capabilities"] = "X-USERSTATE"
    replica.restart()
    primary.run("cyr_user", "disable", "alice")
    assert "USERSTATE" not in sync(pair)
    assert shown(replica)["state"] == "active"
    with replica.imap("admin") as imap:
        assert b"X-USERSTATE" not in b"".join(imap.ok("CAPABILITY").untagged)
    with primary.imap("admin") as imap:
        assert b"X-USERSTATE" in b"".join(imap.ok("CAPABILITY").untagged)


@pytest.mark.parametrize("line", [
    "USERSTATE %(USERID alice)", "USERSTATE %(USERID alice STATE active)", "USERSTATE %(USERID alice STATE sleeping CHANGED 5)",
    "USERSTATE %(USERID alice STATE deleted CHANGED 5)", "USERSTATE %(USERID alice STATE moving-in CHANGED 5)",
    "USERSTATE %(USERID alice STATE moved CHANGED 5)", "USERSTATE %(USERID ../x STATE active CHANGED 5)",
    "USERSTATE %(USERID alice STATE disabled CHANGED 5 REASON \"\")", "USERSTATE %(USERID alice STATE disabled CHANGED 5 REASON (a))",
    "USERSTATE %(USERID alice STATE disabled CHANGED x)", "USERSTATE alice", "USERSTATE %(STATE active CHANGED 5)"])
def test_lines_that_are_none(pair, line):
    pair.primary.allow_log("a peer sent what is no name")
    pair.primary.run("cyr_user", "disable", "alice")
    before = shown(pair.primary)
    with pair.primary.sync("repl") as csync:
        assert csync.cmd("APPLY " + line).status != "OK"
        assert csync.ok("GET USERSTATE %(USERID alice)").untagged
        assert not csync.ok("GET USERSTATE %(USERID nobody)").untagged
        assert csync.cmd("APPLY USERSTATE %(USERID nobody STATE active CHANGED 5)").status == "NO"
        assert csync.cmd("GET USERSTATE %(STATE x)").status != "OK"
    assert shown(pair.primary) == before

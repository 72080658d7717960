# SPDX-License-Identifier: BSD-3-Clause
"""Records of users, and a packaged 3.6.1 that has the same store in between (doc/users.md)."""

import json

import pytest

from cyltest import Pair
from cyltest.clients import Rejected
from cyltest.credentials import password
from cyltest.syncdata import message

CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False, "altnamespace": False,
        "virtdomains": "off", "allowusermoves": True, "mailbox_legacy_dirs": False, "delete_mode": "delayed"}
USERS = ("anna", "berta", "carl", "dora", "emil")


def user(server, *args, check=True):
    return server.run("cyr_user", *args, check=check)


def listed(server, *args):
    return dict(line.split("\t")[:2] for line in user(server, "list", *args).stdout.splitlines())


def shown(server, name):
    return json.loads(user(server, "--json", "show", name).stdout)


def users_db(server):
    return server.path("conf", "users.db")


def records(server):
    return server.run("cyr_dbtool", users_db(server), "twoskip", "show", conf=False).stdout


@pytest.fixture
def both(factory, debian_factory):
    """Our server with users, stopped; and 3.6.1 on the same directories, not started."""
    ours = factory(services=("imap", "lmtp"))
    ours.conf.update(CONF)
    ours.start()
    for name in USERS:
        user(ours, "create", name)
    user(ours, "create", "--moving-in", "fritz")
    ours.deliver(message(1), *USERS)
    ours.stop()
    debian = debian_factory("debian", services=("imap", "lmtp", "csync"))
    debian.conf.update(CONF)
    for name in ("configdirectory", "partition-default", "defaultpartition"):
        debian.conf[name] = ours.conf[name]
    for server in (ours, debian):
        for name in (*USERS, "fritz", "gerda", "hans"):
            server.add_user(name)
    return ours, debian


def by_361(debian, *commands):
    debian.start()
    with debian.imap("admin") as imap:
        for command in commands:
            imap.ok(command)
        imap.logout()
    debian.stop()


def test_361_does_not_mind(both):
    """It works beside the file, lets in whom it knows, and leaves every byte of it."""
    ours, debian = both
    user(ours, "disable", "anna")
    with open(users_db(ours), "rb") as f:
        before = f.read()
    debian.start()
    for name in ("anna", "berta"):
        with debian.imap(name) as imap:
            assert b"* 1 EXISTS" in imap.ok("SELECT INBOX").untagged
            imap.append("INBOX", message(2))
            imap.logout()
    debian.deliver(message(3), "anna")
    debian.run("ctl_cyrusdb", "-c")
    debian.run("reconstruct", "-r", "user.berta")
    debian.stop()
    with open(users_db(ours), "rb") as f:
        assert f.read() == before
    ours.start()
    with pytest.raises(Rejected, match="This account is disabled"):
        ours.imap("anna")
    user(ours, "enable", "anna")
    with ours.imap("anna") as imap:
        assert b"* 3 EXISTS" in imap.ok("SELECT INBOX").untagged


@pytest.mark.parametrize("recovered", [True, False], ids=["after-start", "before-start"])
def test_what_361_changes_is_noticed(both, recovered):
    """Made, renamed, deleted, deleted and made anew: whether ctl_cyrusdb -r has looked or not."""
    ours, debian = both
    for name in ("anna", "berta", "carl", "dora"):
        user(ours, "disable", "--reason", f"of {name}", name)
    ids = {name: shown(ours, name)["id"] for name in USERS}
    by_361(debian, "CREATE user.gerda", "RENAME user.anna user.hans", *(f"SETACL user.{name} admin lrswipkxtecdan" for name in ("berta", "carl")),
           "DELETE user.berta", "DELETE user.carl", "CREATE user.carl", "SETACL user.dora admin lrswipkxtecdan", "RENAME user.emil user.anna")
    if recovered:
        ours.start()
        ours.wait_log(r"users.db: records of \d+ users follow mailboxes.db")
    want = {"gerda": "active", "hans": "disabled", "carl": "active", "dora": "disabled", "anna": "active", "fritz": "moving-in"}
    assert listed(ours) == want
    assert shown(ours, "hans")["id"] == ids["anna"] and shown(ours, "hans")["reason"] == "of anna"
    assert shown(ours, "hans")["former"][0]["user"] == "anna"
    assert shown(ours, "anna")["id"] == ids["emil"] and shown(ours, "carl")["id"] != ids["carl"]
    assert "created" not in shown(ours, "gerda")
    assert user(ours, "show", "berta", check=False).returncode == (0 if recovered else 67)
    if not recovered:
        return
    assert {line.split("\t")[2] for line in user(ours, "list", "--state", "deleted").stdout.splitlines()} == {ids["berta"], ids["carl"]}
    for name in ("gerda", "carl", "anna"):
        ours.imap(name).logout()
    for name, reason in (("hans", "anna"), ("dora", "dora")):
        with pytest.raises(Rejected, match=f"disabled: of {reason}"):
            ours.imap(name)
    user(ours, "undelete", "berta")
    assert listed(ours)["berta"] == "disabled"
    # nothing is left to derive
    before = records(ours)
    mark = ours.log_mark()
    ours.restart()
    assert records(ours) == before and "follow mailboxes.db" not in ours.log_text(mark)


def test_back_from_the_deleted_tree(both):
    """We delete, 3.6.1 gives back: he is what he was."""
    ours, debian = both
    user(ours, "disable", "anna")
    user(ours, "delete", "anna")
    gone = [name for name in json.loads(ours.run("ctl_mboxlist", "-d").stdout) if name.startswith("DELETED.user.anna.")]
    assert len(gone) == 1
    by_361(debian, f"RENAME {gone[0]} user.anna")
    assert listed(ours)["anna"] == "disabled"
    ours.start()
    assert shown(ours, "anna")["state"] == "disabled"
    with pytest.raises(Rejected, match="disabled"):
        ours.imap("anna")


def test_a_place_is_filled_by_361(both):
    """Its sync_server and ours do not know each other: the INBOX that comes has another id."""
    ours, debian = both
    by_361(debian, "CREATE user.fritz")
    assert listed(ours)["fritz"] == "moving-in"
    ours.start()
    got = shown(ours, "fritz")
    assert got["state"] == "moving-in"
    with pytest.raises(Rejected, match="on its way"):
        ours.imap("fritz")
    user(ours, "enable", "fritz")
    ours.imap("fritz").logout()
    assert records(ours).count("U fritz ") == 1


def test_one_id_for_two(both):
    """Of two INBOXes to which 3.6.1 has given one id only the owner has its record: the other one is not disabled with him (W117)."""
    ours, debian = both
    user(ours, "disable", "anna")
    ident = shown(ours, "anna")["id"]
    dump = json.loads(ours.run("ctl_mboxlist", "-d").stdout)
    db = ours.path("conf", "mailboxes.db")
    line = next(line for line in ours.run("cyr_dbtool", db, "twoskip", "show", conf=False).stdout.splitlines()
                if line.startswith("Nuser\x1fberta\t"))
    key, value = line.split("\t", 1)
    ours.run("cyr_dbtool", db, "twoskip", "set", key, value.replace(dump["user.berta"]["uniqueid"], ident), conf=False)
    ours.allow_log("two mailboxes have one uniqueid|IOERROR|DBERROR")
    for _ in range(2):
        states = listed(ours)
        assert states["anna"] == "disabled" and states["berta"] == "active"
        ours.start()
        with pytest.raises(Rejected, match="disabled"):
            ours.imap("anna")
        ours.stop()
    assert records(ours).count(f"U{ident}\t") == 1
    assert f"Nanna\t{ident}" in records(ours)


# ---- replication ----

@pytest.mark.parametrize("master", ["debian", "ours"])
def test_replication_fills_a_place(master, factory, debian_factory):
    """The master need not know of it; until he is enabled no client of the replica sees him."""
    primary = (debian_factory if master == "debian" else factory)("primary", services=("imap", "lmtp", "csync"))
    replica = factory("replica", services=("imap", "lmtp", "csync"))
    for server in (primary, replica):
        server.conf.update(CONF)
    pair = Pair(primary, replica)
    pair.start()
    primary.create_user("alice", "Work")
    primary.deliver(message(1), "alice")
    with primary.imap("alice") as imap:
        imap.ok("SETACL INBOX.Work bob lrs")
        imap.logout()
    replica.create_user("bob")
    user(replica, "create", "--moving-in", "alice")
    for n in range(2):
        primary.run("sync_client", "-v", "-l", "-o", "-u", "alice")
        got = shown(replica, "alice")
        assert got["state"] == "moving-in" and got["mailboxes"] == 2
        with pytest.raises(Rejected, match="on its way"):
            replica.imap("alice")
        with replica.imap("bob") as imap:
            assert not any(b"alice" in line for line in imap.ok('LIST "" *').untagged)
            imap.no("SELECT user.alice.Work")
            imap.logout()
        primary.deliver(message(2 + n), "alice")
    primary.run("sync_client", "-v", "-l", "-o", "-u", "alice")
    assert shown(replica, "alice")["id"] in primary.run("ctl_mboxlist", "-d").stdout
    user(replica, "enable", "alice")
    with replica.imap("alice") as imap:
        assert b"* 3 EXISTS" in imap.ok("SELECT INBOX").untagged
        imap.logout()
    with replica.imap("bob") as imap:
        imap.ok("SELECT user.alice.Work")
        imap.logout()


@pytest.mark.parametrize("target", ["ours", "debian"])
def test_xfer_leaves_where_to(target, factory, debian_factory):
    """The user is gone here, mail for him waits, nobody is made anew; when he comes back he is as before."""
    here = factory("here", services=("imap", "lmtp", "csync"))
    there = (factory if target == "ours" else debian_factory)("there", services=("imap", "lmtp", "csync"))
    for server in (here, there):
        server.conf.update({**CONF, "proxy_authname": "repl", "proxy_password": password("repl"), "autocreate_quota": 0,
                            "autocreate_post": True})
        server.start()
    here.create_user("alice")
    address = f"127.0.0.1:{there.ports['imap']}"
    with here.imap("admin") as imap:
        imap.ok(f"XFER user.alice {address}")
        imap.logout()
    got = shown(here, "alice")
    assert (got["state"], got["server"]) == ("moved", address)
    with pytest.raises(Rejected, match="has moved to"):
        here.imap("alice")
    with here.lmtp() as lmtp:
        assert lmtp.deliver(message(1), ["alice"])[0][0] == 451
    assert listed(here) == {"alice": "moved"}
    with there.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.logout()
    with there.imap("admin") as imap:
        imap.ok(f"XFER user.alice 127.0.0.1:{here.ports['imap']}")
        imap.logout()
    assert shown(here, "alice")["state"] == "active" and "server" not in shown(here, "alice")
    here.deliver(message(2), "alice")
    here.restart()
    assert shown(here, "alice")["state"] == "active"

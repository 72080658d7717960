# SPDX-License-Identifier: BSD-3-Clause
"""A user with many folders was renamed here (doc/users.md), and a packaged 3.6.1 gets the store: after his folders have followed, as is
right; or before, when it sees his INBOX under the new name and his folders under the old one, and all else as ever."""

import pytest

from cyltest.store import debian_tool
from cyltest.syncdata import message

CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False, "altnamespace": False, "virtdomains": "off",
        "allowusermoves": True, "mailbox_legacy_dirs": False, "delete_mode": "immediate", "reverseacls": False}
FOLDERS = ("f0", "f0.a", "f1", "g h", "z")


@pytest.fixture
def both(factory, debian_factory):
    ours = factory(services=("imap",))
    ours.conf.update(CONF)
    ours.env.update(CYLINDER_FOLLOW_LEAST="3", CYLINDER_FOLLOW_HOLD="1")
    debian = debian_factory("debian", services=("imap",))
    debian.conf.update(CONF)
    for name in ("configdirectory", "partition-default", "defaultpartition"):
        debian.conf[name] = ours.conf[name]
    for server in (ours, debian):
        for name in ("anna", "anne"):
            server.add_user(name)
    ours.start()
    ours.create_user("anna")
    with ours.imap("anna") as imap:
        for folder in FOLDERS:
            imap.ok(f'CREATE "INBOX.{folder}"')
        imap.append("INBOX.f1", message(1))
        imap.logout()
    with ours.imap("admin") as imap:
        imap.ok("RENAME user.anna user.anne")
        imap.logout()
    return ours, debian


def names(server):
    with server.imap("admin") as imap:
        listed = imap.ok('LIST "" user*').untagged
        imap.logout()
    return sorted(line.split(b'"." ')[1].strip(b'"').decode() for line in listed)


def pending(server):
    return server.run("cyr_dbtool", server.path("conf/mailboxes.db"), "twoskip", "show", "P", conf=False).stdout


def anne_has_all(server):
    with server.imap("anne") as imap:
        imap.ok("SELECT INBOX.f1")
        assert b"body 1" in b"".join(imap.ok("FETCH 1 BODY.PEEK[TEXT]").untagged)
        imap.logout()


def test_followed_before(both):
    ours, debian = both
    del ours.env["CYLINDER_FOLLOW_HOLD"]
    ours.run("cyr_user", "follow")
    ours.stop()
    debian.start()
    assert names(debian) == ["user.anne", *sorted(f"user.anne.{f}" for f in FOLDERS)]
    anne_has_all(debian)
    debian.stop()


def test_not_yet(both):
    ours, debian = both
    ours.stop()
    record = pending(ours)
    assert record.startswith("PRuser\x1fanna\t")
    debian.start()
    assert names(debian) == [*sorted(f"user.anna.{f}" for f in FOLDERS), "user.anne"]
    for tool in (("ctl_mboxlist", "-d"), ("ctl_mboxlist", "-v"), ("cyr_expire", "-E", "1", "-X", "1"), ("ctl_cyrusdb", "-c"), ("reconstruct", "-n", "user.anne")):
        done = debian_tool(debian, *tool)
        assert done.returncode == 0, done
    with debian.imap("anne") as imap:
        imap.ok("SELECT INBOX")
        imap.logout()
    debian.stop()
    assert debian_tool(debian, "ctl_cyrusdb", "-r").returncode == 0
    assert pending(ours) == record
    del ours.env["CYLINDER_FOLLOW_HOLD"]
    ours.start()
    assert pending(ours) == ""
    assert names(ours) == ["user.anne", *sorted(f"user.anne.{f}" for f in FOLDERS)]
    anne_has_all(ours)

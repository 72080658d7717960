# SPDX-License-Identifier: BSD-3-Clause
"""Reverse ACLs beside 3.6.1 on one store: both say the same of LIST with and without them, whoever changed rights and names last,
and the records that one made are those the other would make."""

import os
import random

import pytest

from cyltest.store import debian_tool, records, servers_on_one_store

CONF = {"reverseacls": True, "anyoneuseracl": True, "delete_mode": "delayed", "allowusermoves": True,
        "conversations": False, "unix_group_enable": True}
OWNERS = ("alice", "bob", "carol")
# accounts of every system, with groups of their own
MEMBERS = ("bin", "games")
IDENTIFIERS = ("alice", "bob", "carol", "bin", "anyone", "group:bin", "group:games", "-bob", "-group:games", "-anyone",
               "admin")
RIGHTS = ("lr", "l", "r", "lrs", "p", "lrswipkxtecda")
BOXES = ("a", "a/b", "a/b/c", "pub", "x y")
SHARED = ("shared", "shared/news", "shared/news/de", "sharp", "zz/top")
PATTERNS = ("*", "%", "user/%", "Other Users/%", "Other Users/alice/*", "Other Users/%/a", "Shared Folders/%",
            "Shared Folders/shared/*", "%/%", "*a*")
COMMANDS = [f'{c} "" "{p}"' for p in PATTERNS for c in ("LIST", "XLIST")] + ['LIST "" "*" RETURN (CHILDREN SUBSCRIBED)']
# which 3.6.1 answers without a look at rights (doc/cyrus-3.6.1.md)
OUR_COMMANDS = [*COMMANDS, *(f'LSUB "" "{p}"' for p in PATTERNS), 'LIST (SUBSCRIBED) "" "*" RETURN (CHILDREN)',
                'LIST (RECURSIVEMATCH SUBSCRIBED) "" "%"', 'LIST "" "*" RETURN (STATUS (MESSAGES))',
                'STATUS "Other Users/alice/a" (MESSAGES)', 'STATUS "Shared Folders/shared/news" (MESSAGES)']


def name(rng):
    if rng.random() < 0.35:
        return rng.choice(SHARED)
    return f"user/{rng.choice(OWNERS)}" + rng.choice(["", *("/" + box for box in BOXES)])


def change(rng, imap):
    """One random command of the administrator; that it may be refused is part of it."""
    kind = rng.random()
    if kind < 0.6:
        imap.cmd(f'SETACL "{name(rng)}" {rng.choice(IDENTIFIERS)} {rng.choice(RIGHTS)}')
    elif kind < 0.7:
        imap.cmd(f'DELETEACL "{name(rng)}" {rng.choice(IDENTIFIERS)}')
    elif kind < 0.85:
        imap.cmd(f'CREATE "{name(rng)}"')
    else:
        old, new = name(rng), name(rng)
        if old.count("/") == 1 and old.startswith("user/"):
            return  # no INBOX goes
        imap.cmd(f'DELETE "{old}"' if kind < 0.92 else f'RENAME "{old}" "{new}"')


def set_up(server):
    for user in OWNERS:
        server.create_user(user, *BOXES)
    with server.imap("admin") as imap:
        for shared in SHARED:
            imap.ok(f'CREATE "{shared}"')
        imap.ok('SETACL "shared/news" anyone lrs')
        imap.ok('SETACL "user/alice/a" group:bin lr')
        imap.ok('SETACL "user/alice/pub" group:games lr')
        imap.ok('SETACL "user/alice/pub" -group:games l')
        imap.logout()
    with server.imap("bob") as imap:
        for subscribed in ("Shared Folders/shared/news", "Other Users/alice/a", "Other Users/alice/pub", "a/b"):
            imap.cmd(f'SUBSCRIBE "{subscribed}"')
        imap.logout()


def answers(server, users=OWNERS + MEMBERS, commands=COMMANDS):
    told = {}
    for user in users:
        with server.imap(user) as imap:
            for command in commands:
                response = imap.cmd(command)
                told[user, command] = response.status, response.untagged
            imap.logout()
    return told


def work(server, rng, changes=40):
    with server.imap("admin") as imap:
        for _ in range(changes):
            change(rng, imap)
        imap.logout()


def mailboxes_db(server):
    return os.path.join(server.conf["configdirectory"], "mailboxes.db")


def reverse(server):
    return {key for key in records(mailboxes_db(server)) if key.startswith("A")}


def turn_on(server, on):
    server.conf["reverseacls"] = on


@pytest.fixture
def store(debian_factory, factory):
    debian, ours = servers_on_one_store(debian_factory, factory, CONF, services=("imap",))
    for user in MEMBERS:
        debian.add_user(user)
    debian.start()
    set_up(debian)
    return debian, ours


@pytest.mark.parametrize("seed", (1, 2))
def test_each_goes_on_with_the_others_records(store, seed):
    """Changes by either, with records, without them, and with those that the other left when it switched them off."""
    rng = random.Random(seed)
    debian, ours = store
    leaving, coming = debian, ours
    for leaves, comes in ((True, True), (True, True), (False, True), (True, False), (False, True), (True, True)):
        work(leaving, rng)
        # 3.6.1 does not find by its records what a group may see
        users = OWNERS if debian.conf["reverseacls"] else OWNERS + MEMBERS
        told = answers(leaving, users)
        leaving.stop()
        turn_on(coming, comes)
        coming.start()
        users = [user for user in users if user in OWNERS or coming is ours or not comes]
        assert answers(coming, users) == {key: told[key] for key in told if key[0] in users}, (coming.name, comes)
        leaving, coming = coming, leaving
    leaving.stop()


def test_with_and_without(store):
    """The whole answers to everything that lists, of everybody."""
    rng = random.Random(4)
    debian, ours = store
    work(debian, rng)
    debian.stop()
    for _ in range(3):
        turn_on(ours, True)
        ours.start()
        work(ours, rng)
        told = answers(ours, commands=OUR_COMMANDS)
        ours.stop()
        turn_on(ours, False)
        ours.start()
        assert not reverse(ours)
        assert answers(ours, commands=OUR_COMMANDS) == told
        work(ours, rng)
        ours.stop()


def test_361_does_not_find_by_groups(store):
    """Why members of groups are not asked above."""
    debian, ours = store
    wanted = b'* LIST (\\HasNoChildren) "/" "Other Users/alice/a"'
    found = {}
    for server, on in ((debian, True), (debian, False), (ours, True)):
        server.stop()
        turn_on(server, on)
        server.start()
        with server.imap("bin") as imap:
            found[server.name, on] = wanted in [line.rstrip() for line in imap.ok('LIST "" "Other Users/*"').untagged]
            imap.logout()
        server.stop()
    assert found == {("debian", True): False, ("debian", False): True, ("ours", True): True}


def test_the_same_records(store):
    """Those that we make, and those that we keep while rights change, are those that 3.6.1 makes of the same entries."""
    rng = random.Random(3)
    debian, ours = store
    work(debian, rng)
    debian.stop()
    ours.start()
    kept = reverse(ours)
    work(ours, rng, 60)
    ours.stop()
    changed = reverse(ours)
    assert len(kept) > 5 and changed != kept
    for tool in (False, True, False):
        turn_on(debian, tool)
        debian.write_conf()
        debian_tool(debian, "ctl_cyrusdb", "-r")
    assert "AS\x1e" not in reverse(debian)
    # 3.6.1 leaves those of users; they must not stay when they are no longer true
    left = {key for key in reverse(debian) if key.startswith("AU")}
    assert left
    work_on_left = [key for key in left if key.startswith("AU\x1ebob\x1e")]
    ours.start()
    assert reverse(ours) == changed
    with ours.imap("admin") as imap:
        for key in work_on_left:
            box = key.split("\x1e")[2].replace("\x1f", "/")
            imap.ok(f'DELETEACL "{box}" bob')
        imap.logout()
    assert not [key for key in reverse(ours) if key.startswith("AU\x1ebob\x1e")]
    ours.stop()
    # made anew by 3.6.1 from nothing
    turn_on(ours, False)
    ours.write_conf()
    ours.run("ctl_cyrusdb", "-r")
    assert not reverse(ours)
    turn_on(debian, True)
    debian.write_conf()
    debian_tool(debian, "ctl_cyrusdb", "-r")
    theirs = reverse(debian)
    assert ours.run("ctl_mboxlist", "-v").stdout == ""
    assert theirs == changed - {key for key in work_on_left}


def test_changed_by_a_tool_of_361_while_we_run(store):
    """Its cyr_dbtool knows nothing of them: LIST is right at once, the next ctl_cyrusdb -c mends them."""
    debian, ours = store
    debian.stop()
    ours.start()
    with ours.imap("bob") as imap:
        assert b"Other Users/alice/x y" not in b"".join(imap.ok('LIST "" "*"').untagged)
        path = mailboxes_db(ours)
        key = "Nuser\x1falice\x1fx y"
        entry = records(path)[key]
        entry = entry.replace("alice lrswipkxtecdan", "alice lrswipkxtecdan bob lr", 1)
        assert "bob" in entry
        debian_tool(debian, "cyr_dbtool", path, "twoskip", "set", key, entry)
        assert b"Other Users/alice/x y" in b"".join(imap.ok('LIST "" "*"').untagged)
        assert "'user.alice.x y' has no reverse ACL record of 'bob'\n" in \
            ours.run("ctl_mboxlist", "-v", check=False).stdout
        ours.run("ctl_cyrusdb", "-c")
        assert "AU\x1ebob\x1euser\x1falice\x1fx y" in reverse(ours)
        assert b"Other Users/alice/x y" in b"".join(imap.ok('LIST "" "*"').untagged)
        imap.logout()
    assert "reverse ACLs of mailboxes.db: 1 records made, 0 removed" in ours.log_text()
    assert ours.run("ctl_mboxlist", "-v").stdout == ""

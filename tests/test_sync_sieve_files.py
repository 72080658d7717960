# SPDX-License-Identifier: BSD-3-Clause
"""Sieve scripts that are files, as a master without SIEVE-MAILBOX has left them, go on between two servers that know it (X-SIEVEFILES)."""

from cyltest import Pair
from cyltest.dlist import parse
from cyltest.syncdata import login, sent_commands

TEXTS = {"a.script": b"keep;", "b.script": b"stop;"}


def put(server, user, name, text):
    with server.sync("repl") as csync:
        csync.ok(f'APPLY SIEVE %(USERID {user} FILENAME {name} LAST_UPDATE 1795310753 CONTENT "{text.decode()}")')


def scripts(server, user):
    """{name: text, or None for the active one}, as who does not know SIEVE-MAILBOX sees them."""
    found = {}
    with server.sync("repl") as csync:
        for line in csync.ok(f"GET META {user}").untagged:
            kind, value = parse(line)
            if kind != "SIEVE":
                continue
            name = value["FILENAME"].decode()
            found[name] = None
            if value["ISACTIVE"] == b"0":
                (told,) = csync.ok(f"GET FETCH_SIEVE %(USERID {user} FILENAME {name})").untagged
                found[name] = parse(told)[1]["CONTENT"]
    return found


def sync(pair, *args):
    return sent_commands(pair.primary.run("sync_client", "-v", "-v", "-o", *args))


def test_files_beside_a_mailbox(factory):
    primary, replica = (factory(name, services=("imap", "csync")) for name in ("primary", "replica"))
    for server in (primary, replica):
        server.conf.update(unixhierarchysep=False, sievedir=server.path("conf/sieve"))
    pair, back = Pair(primary, replica), Pair(replica, primary)
    pair.start()
    for user in ("anna", "bert"):
        primary.create_user(user)
    replica.conf["suppress_capabilities"] = "X-SIEVEFILES"
    replica.restart()
    for name, text in TEXTS.items():
        put(primary, "anna", name, text)
    with primary.sync("repl") as csync:
        csync.ok("APPLY ACTIVATE_SIEVE %(USERID anna FILENAME a.bc)")
    with login(primary) as csync:  # who does not ask is not told
        assert b"SIEVE" not in b"".join(csync.ok("GET META anna").untagged)
    before = {**TEXTS, "a.bc": None}
    assert scripts(primary, "anna") == before
    sync(pair, "-u", "anna", "bert")
    assert scripts(replica, "anna") == {}  # as from a 3.6.1
    del replica.conf["suppress_capabilities"]
    replica.restart()
    sync(pair, "-u", "anna")
    assert scripts(replica, "anna") == before
    assert sync(pair, "-u", "anna") == []
    assert primary.run("sync_client", "-o", "--verify", "-u", "anna").returncode == 0
    # what has no directory here stays there, and comes when roles are swapped
    put(replica, "bert", "c.script", b"discard;")
    assert sync(pair, "-u", "bert") == [] and scripts(replica, "bert") == {"c.script": b"discard;"}
    sync(back, "-u", "bert")
    assert scripts(primary, "bert") == {"c.script": b"discard;"}
    # changed and removed; the last one too, as the directory stays
    put(primary, "anna", "b.script", b"redirect;")
    sync(pair, "-u", "anna")
    assert scripts(replica, "anna") == {**before, "b.script": b"redirect;"}
    with primary.sync("repl") as csync:
        csync.ok("APPLY UNACTIVATE_SIEVE %(USERID anna)")
        for name in TEXTS:
            csync.ok(f"APPLY UNSIEVE %(USERID anna FILENAME {name})")
    sync(pair, "-u", "anna")
    assert scripts(replica, "anna") == {}

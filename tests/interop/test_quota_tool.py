# SPDX-License-Identifier: BSD-3-Clause
"""quota(8) beside the packaged one, on copies of a store with nested roots that 3.6.1 made."""

import pytest

from cyltest.store import BIN, copy_of
from test_whole_store import CONF, set_up, work


@pytest.fixture
def stores(debian_factory, factory):
    debian = debian_factory("debian", services=("imap", "lmtp"))
    debian.conf.update(CONF)
    debian.start()
    set_up(debian)
    work(debian, 0)
    with debian.imap("admin") as imap:
        imap.ok("SETQUOTA user/bob (STORAGE 2147483647 MESSAGE 3)")
        imap.ok("SETQUOTA user/alice/a (X-NUM-FOLDERS 2)")
        imap.ok("SETQUOTA user/carol ()")
        imap.ok("RENAME user/alice/a/b/c user/alice/c")
        imap.logout()
    debian.stop()
    return debian, copy_of(debian, factory)


def both(stores, *args):
    """What the two say: (exit code, stdout, sorted stderr) of 3.6.1 and ours."""
    said = []
    for server, tool in zip(stores, (BIN + "quota", "quota")):
        done = server.run(tool, *args, check=False)
        said.append((done.returncode, done.stdout, sorted(done.stderr.splitlines())))
    return said


REPORTS = [(), ("-J",), ("user/alice",), ("shared",), ("nosuch",), ("-u", "alice"), ("-u", "alice", "bob"),
           ("-J", "-u", "bob"), ("-q",), ("user/alice/a", "user/bob"), ("-d", "internal"), ("-d", "example.org")]


def test_reports_and_repair(stores):
    for args in REPORTS:
        theirs, ours = both(stores, *args)
        assert theirs == ours, args
    # The packaged server has left a mailbox with a root that it has left (handbook 01 §6.3); and numbers are wrong.
    for server in stores:
        for user in ("alice", "bob"):
            key = f"user.{user}"
            server.run(BIN + "cyr_dbtool", server.path("conf/quota/"), "quotalegacy", "set", key,
                       "%(S (9999 5000) M (7 1000) AS (3) NF (99 50))")
    theirs, ours = both(stores, "-f", "-n", "-q")
    assert theirs[2] and theirs == ours
    # The dry run of 3.6.1 has changed the root all the same.
    theirs, ours = both(stores, "-f")
    moved = "user.alice.c: quota root user.alice.a.b --> user.alice"
    assert moved in ours[2] and moved not in theirs[2]
    ours[2].remove(moved)
    assert theirs == ours and "now" in " ".join(ours[2])
    theirs, ours = both(stores, "-f", "-n")
    assert theirs == ours and not ours[2]

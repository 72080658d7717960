# SPDX-License-Identifier: BSD-3-Clause
"""check_replication with Debian's 3.6.1 at one end, in both directions of replication.

One replication carries a user for each kind of difference; then each difference is made, and
one run over all users has to name every one of them.
"""

import re

import pytest

from cyltest import Pair
from cyltest.credentials import password
from cyltest.differences import DIFFERENCES, Planter, expected, fill, user_of
from cyltest.syncdata import fill_user

CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False,
        "altnamespace": False, "virtdomains": "off", "allowusermoves": True,
        "proxy_authname": "repl", "proxy_password": password("repl")}


def compare(pair, *users):
    return pair.ours.run("check_replication", *pair.labels(), *users, check=False)


@pytest.fixture(scope="module", params=["debian-to-ours", "ours-to-debian"])
def pair(request, module_factory, module_debian_factory):
    ours = module_factory("ours", services=("imap", "lmtp", "csync"))
    theirs = module_debian_factory("theirs", services=("imap", "lmtp", "csync"))
    for server in (ours, theirs):
        server.conf.update(CONF)
        server.conf["sievedir"] = server.account.mkdir(server.path("sieve"))
    first = request.param == "debian-to-ours"
    made = Pair(theirs, ours) if first else Pair(ours, theirs)
    made.start()
    made.ours = ours
    return made


@pytest.fixture(scope="module")
def replicated(pair):
    """A rich user, and one user for each kind; equal on both ends."""
    users = [user_of(kind) for kind in DIFFERENCES]
    fill_user(pair.primary)
    with pair.primary.imap("admin") as imap:
        imap.ok("SETACL user.anna.Work anyone lrs")
    for user in users:
        fill(pair.primary, user)
    pair.sync("-o", "-u", "anna", *users)
    pair.before = compare(pair, "anna", *users)
    return pair


@pytest.fixture(scope="module")
def differences(replicated):
    """The lines after all differences were made."""
    for kind, (make, _) in DIFFERENCES.items():
        make(Planter(user_of(kind), replicated.primary, replicated.replica))
    return compare(replicated, "anna", *[user_of(kind) for kind in DIFFERENCES])


def test_equal(replicated):
    done = replicated.before
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "EQUAL"), done.stdout + done.stderr


@pytest.mark.parametrize("kind", DIFFERENCES)
def test_difference_is_named(replicated, differences, kind):
    wanted = re.compile(expected(kind, replicated.labels()))
    user = user_of(kind)
    lines = [line for line in differences.stdout.splitlines()
             if line.startswith(f"{user} ") or f"({user} " in line]
    assert any(wanted.fullmatch(line) for line in lines), "\n".join(lines)


def test_nothing_else_differs(replicated, differences):
    assert differences.returncode == 1, differences.stderr
    # The kind "reads" has marked a message of anna's, which is a change of that folder.
    assert not [line for line in differences.stdout.splitlines()
                if line.startswith("anna ") and not line.startswith("anna user/anna/Work ")]


def test_what_361_cannot_tell_is_said(replicated):
    theirs = replicated.labels()[replicated.primary is replicated.ours]
    said = [line for line in replicated.before.stdout.splitlines() if "not compared" in line]
    assert sorted(said) == [
        f"not compared: former names of mailboxes ({theirs} does not know X-NAMEHISTORY)",
        f"not compared: raw quota usage ({theirs} does not know X-RAWQUOTA)"]

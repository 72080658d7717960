# SPDX-License-Identifier: BSD-3-Clause
"""doc/imap-support.md: what is announced is in its table and the other way round, and each proof is there."""

import os
import re

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def table():
    """(capabilities, cell of proofs) of each row."""
    with open(os.path.join(TOP, "doc", "imap-support.md"), encoding="utf-8") as f:
        rows = [line.split("|")[1:-1] for line in f if line.startswith("| `")]
    return [(re.findall(r"`([^`]+)`", capabilities), proof) for capabilities, _, proof in rows]


@pytest.fixture
def announced(factory):
    """Every word that CAPABILITY ever says."""
    server = factory(services=("imap",))
    server.use_tls()
    server.start()
    with server.imap("admin") as admin:
        admin.ok("CREATE user/alice")
        words = set(admin.ok("CAPABILITY").untagged[0].decode().split()[2:])
    with server.imap("alice") as alice:
        words |= set(alice.ok("CAPABILITY").untagged[0].decode().split()[2:])
    with server.imap() as nobody:
        words |= set(nobody.ok("CAPABILITY").untagged[0].decode().split()[2:])
        words |= set(re.search(r"\[CAPABILITY ([^\]]*)\]", nobody.greeting.decode()).group(1).split())
    return {re.sub(r"^(AUTH|APPENDLIMIT)=.*", r"\1=", word) for word in words}


def test_table_is_what_is_announced(announced):
    listed = {name for names, _ in table() for name in names}
    assert announced - listed == set(), "announced, not in the table"
    # What only some configurations announce.
    assert listed - announced - {"ANNOTATEMORE", "LITERAL-", "literalminus", "LOGINDISABLED"} == set(), "in the table, not announced"


def proofs():
    """(what, cell of proofs) of all tables."""
    with open(os.path.join(TOP, "doc", "imap-support.md"), encoding="utf-8") as f:
        rows = [line.split("|")[1:-1] for line in f if line.startswith("| ")]
    return [(row[0], row[2]) for row in rows if row[2].strip() != "proof"]


def is_script(name):
    return any(os.path.exists(os.path.join(TOP, "tests", "scripts", kind, name + ".txt")) for kind in ("imap", "lmtp", "pop3"))


def test_each_proof_is_there():
    for names, proof in proofs():
        found = 0
        file = None
        for item in re.findall(r"`([^`]+)`", proof):
            path, _, test = item.partition("::")
            if item.startswith("::"):
                test = item[2:]
            elif path.endswith(".py"):
                file = os.path.join(TOP, path)
            else:
                assert is_script(item) or os.path.exists(os.path.join(TOP, item)), (names, item)
                found += 1
                continue
            with open(file, encoding="utf-8") as f:
                source = f.read()
            assert not test or f"def {test}(" in source, (names, item)
            found += 1
        assert found or "all scripts" in proof, names

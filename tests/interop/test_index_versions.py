# SPDX-License-Identifier: BSD-3-Clause
"""Indexes of older versions, as 3.6.1 writes them (reconstruct -V), are served; from version 12 on they are changed.

The servers never run at the same time.
"""

import pytest

from test_store import MESSAGES, on_same_store

ITEMS = "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY.PEEK[])"


def lines(answer):
    return [item for item in answer.find("* ") if b"FETCH" in (item if isinstance(item, bytes) else str(item).encode())]


def fetch(server, how):
    with server.imap("alice") as imap:
        imap.ok(f"{how} INBOX")
        got = lines(imap.ok(ITEMS))
        imap.logout()
        return got


@pytest.mark.parametrize("chain", [(16,), (15,), (14,), (13,), (12,), (12, 9), (12, 9, 8), (12, 9, 7), (12, 9, 6)],
                         ids=lambda chain: str(chain[-1]))
def test_old_index_is_served(factory, debian_factory, chain):
    server = factory(services=("imap",)).start()
    server.create_user("alice")
    with server.imap("alice") as imap:
        for message in MESSAGES[:3]:
            imap.append("INBOX", message, flags=r"\Flagged $Label")
        imap.logout()
    before = fetch(server, "EXAMINE")
    server.stop()

    debian = on_same_store(debian_factory(services=("imap",)), server)
    for version in chain:
        debian.run("reconstruct", "-V", str(version), "user/alice")
    examined = debian.run("mbexamine", "user/alice").stdout
    assert f"Minor Version: {chain[-1]}" in examined, examined

    server.allow_log("needs reconstruct -V max")
    server.start()
    after = fetch(server, "EXAMINE")
    assert len(before) == 3
    assert after == before
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        assert imap.ok("STATUS INBOX (UNSEEN)").find("* STATUS") == [b"* STATUS INBOX (UNSEEN 3)"]
        answer = imap.cmd(r"STORE 1 +FLAGS (\Answered)")
        assert answer.status == ("OK" if chain[-1] >= 12 else "NO")
        assert len(lines(imap.ok(ITEMS))) == 3
        imap.logout()
    server.stop()
    assert f"Minor Version: {chain[-1]}" in debian.run("mbexamine", "user/alice").stdout

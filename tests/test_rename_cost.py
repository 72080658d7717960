# SPDX-License-Identifier: BSD-3-Clause
"""What RENAME costs does not depend on what is in the mailbox: the same journal, the same files, whatever the names are."""

import base64
import glob
import os

import pytest

from cyltest.clients import Literal

MESSAGE = b"From: a@example.com\r\nSubject: one\r\nMessage-ID: <1@x>\r\nDate: Mon, 07 Feb 2022 10:00:00 +0000\r\n\r\nbody\r\n"


def journal(server):
    """Bytes in the journal."""
    used = 0
    for path in glob.glob(server.path("conf", "journal", "*.log")):
        with open(path, "rb") as f:
            used += len(f.read().rstrip(b"\0"))
    return used


def files(server):
    found = {}
    for top in ("conf", "spool"):
        for base, _, names in os.walk(server.path(top)):
            if not any(part in base for part in ("/journal", "/proc", "/lock", "/socket")):
                for name in names:
                    st = os.stat(os.path.join(base, name))
                    found[os.path.join(base, name)] = st.st_ino, st.st_mtime_ns, st.st_size
    return found


def fill(imap, name, count):
    imap.append(name, MESSAGE)
    imap.ok(f"SELECT {name}")
    have = 1
    while have < count:
        more = min(have, count - have)
        imap.ok(f"COPY 1:{more} {name}")
        imap.ok("NOOP")
        have += more
    imap.ok("UNSELECT")
    assert b"MESSAGES %d)" % count in imap.ok(f"STATUS {name} (MESSAGES)").untagged[0]


def test_ten_and_ten_thousand(factory):
    server = factory(services=("imap",))
    server.conf.update({f"conversations_max_{what}": 100000 for what in ("thread", "guidrecords", "guidinfolder", "guidexists")})
    server.start()
    server.create_user("alice")
    costs = {}
    with server.imap("alice") as imap:
        for name, count in (("f00010", 10), ("f10000", 10000)):
            imap.ok(f"CREATE {name}")
            fill(imap, name, count)
            server.run("ctl_cyrusdb", "-c")
            before, used = files(server), journal(server)
            imap.ok(f"RENAME {name} g{name[1:]}")
            after = files(server)
            changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
            costs[count] = journal(server) - used, len(changed)
            assert not [path for path in changed if os.path.basename(path)[0].isdigit()], changed
        imap.logout()
    assert costs[10][1] == costs[10000][1]
    # Modseqs and counts are decimal: of 10,000 they have up to three digits more.
    assert 0 <= costs[10000][0] - costs[10][0] <= 8 * 3
    assert 0 < costs[10][0] < 16384 and 1 < costs[10][1] < 12, costs


NAMES = ["Grüße", "日本語", "Привет", "😀", "a" * 200, "con", "CON", "Con", "lock", "cyrus.header", "..a", "~", "a b", "&"]


def utf7(name):
    """Modified UTF-7 (RFC 3501 §5.1.3)."""
    out, run = "", ""
    for c in name + "\0":
        if 0x20 <= ord(c) < 0x7f or c == "\0":
            if run:
                coded = run.encode("utf-16-be")
                out += "&" + base64.b64encode(coded).decode().rstrip("=").replace("/", ",") + "-"
                run = ""
            out += "&-" if c == "&" else c.replace("\0", "")
        else:
            run += c
    return out


def test_any_name(factory):
    """Each name has one more that differs in case only; all go through RENAME, and have their message."""
    server = factory(services=("imap",)).start()
    server.create_user("alice")
    names = list(dict.fromkeys(n for name in NAMES for n in (name, name.upper(), name.swapcase()) if n))
    with server.imap("alice") as imap:
        listed = set()
        for n, name in enumerate(names):
            coded = utf7(name)
            imap.ok("CREATE before")
            imap.append("before", MESSAGE.replace(b"one", b"number %d." % n))
            imap.ok(["RENAME before ", Literal(coded.encode())])
            listed.add(coded)
        for n, name in enumerate(names):
            imap.ok(["SELECT ", Literal(utf7(name).encode())])
            assert b"number %d." % n in b"".join(imap.ok("FETCH 1:* BODY.PEEK[HEADER]").untagged)
        imap.ok("UNSELECT")
        assert len(imap.ok('LIST "" %').untagged) == len(listed) + 1
        imap.logout()
    assert server.run("ctl_mboxlist", "-v").stdout == ""
    assert server.run("reconstruct", "-G", "-q").stdout == ""


@pytest.mark.parametrize("longer", [False, True])
def test_long_name(factory, longer):
    """Up to the limit of a name (490 bytes inside), and one byte more."""
    server = factory(services=("imap",)).start()
    server.create_user("alice")
    with server.imap("alice") as imap:
        imap.ok("CREATE before")
        imap.append("before", MESSAGE)
        name = "/".join(("x" * 100,) * 4) + "/"
        name += "y" * (490 - len("user.alice.") - len(name) + longer)
        reply = imap.cmd(f"RENAME before {name}")
        assert reply.status == ("NO" if longer else "OK"), reply
        imap.ok(f"SELECT {'before' if longer else name}")
        assert b"* 1 EXISTS" in imap.ok("NOOP").untagged or imap.ok("FETCH 1 UID").untagged
        imap.logout()

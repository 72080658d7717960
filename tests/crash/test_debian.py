# SPDX-License-Identifier: BSD-3-Clause
"""Debian's 3.6.1 reads a store that was recovered after a power cut, and finds nothing to repair."""

import glob
import json
import os

import pytest

import scenarios

BIN = "/usr/lib/cyrus/bin"
IMAGES = ["synced:1", "some:11", "some:12"]

pytestmark = pytest.mark.skipif(not os.access(f"{BIN}/ctl_mboxlist", os.X_OK),
                                reason="INTEROP NOT TESTED: Debian's cyrus-imapd is not installed")


def tool(server, name, *args):
    return server.run(f"{BIN}/{name}", *args).stdout


def database_problems(server):
    for path in glob.glob(server.path("conf", "**", "*.db"), recursive=True):
        with open(path, "rb") as f:
            if b"twoskip" not in f.read(20):
                continue
        backend = server.run(f"{BIN}/cyr_dbtool", path, "twoskip", "consistency", check=False)
        if backend.returncode:
            yield f"{path}: {backend.stdout}{backend.stderr}"


def names_of(server):
    """Mailboxes as 3.6.1 lists them, deleted ones too."""
    entries = json.loads(tool(server, "ctl_mboxlist", "-d"))
    return [name for name, entry in entries.items() if "i" not in entry["mbtype"]]


def check_with_debian(server):
    assert not list(database_problems(server))
    names = names_of(server)
    assert {"user.alice", "user.bob"} <= set(names)
    for name in names:
        assert f"Examining {name}" in tool(server, "mbexamine", name)
    audit = tool(server, "ctl_conversationsdb", "-A", "-v", "-r")
    assert "alice is OK" in audit and "bob is OK" in audit and "BROKEN" not in audit, audit
    # With -f it counts anew, and says so in a column when it finds something else.
    assert tool(server, "quota", "-f") == tool(server, "quota")
    for user in ("user.alice", "user.bob"):
        # It names what it looks at, and says more when there is something to repair.
        lines = tool(server, "reconstruct", "-n", "-r", user).split()
        assert set(lines) <= set(names), lines


@pytest.mark.parametrize("image", IMAGES)
def test_debian_reads_what_was_recovered(recording, image):
    scenarios.imap(recording)
    recording.stop()
    mode, _, seed = image.partition(":")
    recording.image(f"{recording.middle()}:{mode}:{seed}")
    server = recording.server
    server.run("ctl_cyrusdb", "-r")
    assert not glob.glob(server.path("conf", "journal", "*.log"))
    check_with_debian(server)

# SPDX-License-Identifier: BSD-3-Clause
"""Mailboxes that many processes create at the same time have uniqueids and directories of their own (07 W041)."""

import json

PROCESSES, EACH = 12, 15


def test_created_at_once(factory):
    """Without defaultpartition, where 3.6.1 takes the time in seconds as its seed."""
    server = factory(services=("imap",))
    del server.conf["defaultpartition"]
    server.start()
    sessions = [server.imap("admin") for _ in range(PROCESSES)]
    for n in range(EACH):
        tags = [imap.start(f"CREATE user/u{i}-{n}") for i, imap in enumerate(sessions)]
        for imap, tag in zip(sessions, tags):
            assert imap.finish(tag).status == "OK"
    for imap in sessions:
        imap.logout()
    entries = json.loads(server.run("ctl_mboxlist", "-d").stdout)
    ids = [entry["uniqueid"] for entry in entries.values()]
    assert len(ids) == PROCESSES * EACH == len(set(ids))
    paths = server.run("mbpath", *[f"user/u{i}-{n}" for i in range(PROCESSES) for n in range(EACH)]).stdout.split()
    assert len(set(paths)) == PROCESSES * EACH
    assert server.run("ctl_mboxlist", "-v").stdout == ""

# SPDX-License-Identifier: BSD-3-Clause
"""Disks that fail, processes that are killed: nobody is told a lie, and the others go on."""

import re

import pytest

import scenarios
from recording import message


def test_every_call_fails_once(recording):
    """Each change of the disk in deliveries, in each way; all that may come of it has come."""
    scenarios.delivery(recording)
    recording.stop()
    faults = recording.faults(0)
    print("\n" + faults.summary)
    assert not faults.wrong, faults.output
    assert faults.done and faults.refused and faults.killed and faults.readonly, f"not everything has happened: {faults.output}"


def test_forgotten_error(recording):
    """A mutant: writes go on behind a failed sync."""
    scenarios.delivery(recording)
    recording.stop()
    recording.server.env["CYLINDER_MUTANT"] = "sync-error-forgotten"
    faults = recording.faults(10, "-1")
    assert faults.wrong, f"nobody would notice\n{faults.output}"


def deliver(server, n, size=200):
    """True: the server said 250; False: anything else, or nothing at all."""
    try:
        with server.lmtp() as lmtp:
            return [code for code, _ in lmtp.deliver(message(n, size), ["alice", "bob"])] == [250, 250]
    except (AssertionError, EOFError, OSError):
        return False


def fetch_numbers(server, user):
    """Numbers of the messages in the INBOX."""
    with server.imap(user) as imap:
        imap.ok("EXAMINE INBOX")
        lines = imap.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (Message-ID)]").untagged
        return [int(n) for line in lines for n in re.findall(rb"<m(\d+)@", line)]


FAULTS = ["pwrite:2:ENOSPC:/conf/journal/", "fdatasync:2:EIO:/conf/journal/", "pwrite:1:ENOSPC:/stage./",
          "fsync:1:EIO:/stage./", "pwrite:2:EIO:/spool/", "open:3:EACCES:/spool/", "rename:1:EIO:/spool/"]


@pytest.mark.parametrize("fault", FAULTS)
def test_client_is_not_told_a_lie(recording, fault):
    """Every process meets the fault once; then the server is started again without it."""
    server = recording.server
    recording.fill()
    server.allow_log("")
    server.env["CYLINDER_DISKIO_FAULT"] = fault
    server.start()
    answers = {n: deliver(server, n, 200 if n % 2 else 5000) for n in range(10, 18)}
    server.kill()
    del server.env["CYLINDER_DISKIO_FAULT"]
    server.start()
    for user in ("alice", "bob"):
        found = fetch_numbers(server, user)
        assert len(found) == len(set(found)), found
        assert {n for n, answered in answers.items() if answered} <= set(found)
    assert deliver(server, 30)


@pytest.mark.parametrize("nth", [3, 8, 13, 18, 23])
def test_killed_while_others_work(recording, nth):
    """Every process ends at its n-th change of the disk; the next one finishes what it left."""
    server = recording.server
    recording.fill()
    server.allow_log("")
    server.env["CYLINDER_DISKIO_KILL"] = f"change:{nth}"
    server.start_jobs.clear()
    server.start()
    answers = {n: deliver(server, n, 200 if n % 2 else 5000) for n in range(10, 20)}
    server.kill()
    del server.env["CYLINDER_DISKIO_KILL"]
    server.start()
    for user in ("alice", "bob"):
        found = fetch_numbers(server, user)
        assert len(found) == len(set(found)), found
        assert {n for n, answered in answers.items() if answered} <= set(found)


def test_all_killed_after_each_answer(recording):
    """The machine goes on, so what was answered needs no luck."""
    server = recording.server
    recording.fill()
    server.allow_log("")
    for n in range(10, 14):
        server.start()
        assert deliver(server, n, 200 if n % 2 else 5000)
        server.kill()
    server.start()
    for user in ("alice", "bob"):
        assert sorted(fetch_numbers(server, user)) == [1, 10, 11, 12, 13]

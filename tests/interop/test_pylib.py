# SPDX-License-Identifier: BSD-3-Clause
"""Python's imaplib, poplib and smtplib get the same answers from us and from 3.6.1."""

import pytest

from cyltest import pylib

# Steps whose answers differ, and why.
KNOWN = {
    "store silent": "3.6.1 tells the flags after STORE FLAGS.SILENT when it took \\Seen away (doc/cyrus-3.6.1.md)",
    "setquota": "QUOTASET of RFC 9208 tells the new limits",
    "setquota none": "the same",
}


@pytest.fixture
def both(factory, debian_factory):
    services = ("imap", "pop3", "lmtp")
    return [pylib.prepare(make(services=services)) for make in (factory, debian_factory)]


def compare(ours, theirs, known=()):
    assert [step[0] for step in ours.steps] == [step[0] for step in theirs.steps]
    different = {a[0]: f"ours {a[1:]}\n3.6.1 {b[1:]}" for a, b in zip(ours.steps, theirs.steps) if a != b}
    assert set(different) == set(known), different


def test_imaplib(both):
    compare(*(pylib.imap_day(server) for server in both), KNOWN)


def test_poplib(both):
    compare(*(pylib.pop_day(server) for server in both))


def test_smtplib(both):
    compare(*(pylib.lmtp_day(server) for server in both), {"lhlo"})  # ours has CHUNKING
    for user in ("alice", "bob"):
        assert pylib.stored(both[0], user) == pylib.stored(both[1], user)

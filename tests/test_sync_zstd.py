# SPDX-License-Identifier: BSD-3-Clause
"""COMPRESS ZSTD between two of ours (doc/sync-extensions.md): taken where it is announced, deflate otherwise; what is no zstd ends that connection alone."""

import os
import random
import re

import pytest

from cyltest import Pair, randomusers, rolling
from cyltest.byterelay import ByteRelay
from cyltest.syncdata import assert_same, message, sent_commands

USERS = ("anna", "ben", "carl")


def has_zstd(programs):
    with open(os.path.join(programs.build, "config.h"), encoding="ascii") as f:
        return bool(re.search("^#define HAVE_ZSTD 1$", f.read(), re.MULTILINE))


@pytest.fixture(scope="module", autouse=True)
def zstd(programs):
    if not has_zstd(programs):
        pytest.skip("this build has no libzstd (apt-get install libzstd-dev)")


@pytest.fixture(scope="module")
def running(module_factory):
    pair = rolling.set_up(Pair(module_factory("primary"), module_factory("replica")))
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNC|IOERROR|closing connection|Can not connect|Unknown frame|error")
    pair.start()
    randomusers.make(pair.primary, random.Random(17), *USERS)
    with pair.primary.imap("anna") as imap:
        for n in range(200):
            imap.append("INBOX", message(n, body="\r\n".join(f"line {n} {i} of a mail as people write them" for i in range(n % 40))))
        imap.logout()
    return pair


def through(pair, word, *args):
    """A run that insists on compression: was the word seen, and how many octets went to the replica?"""
    with ByteRelay(pair.replica.ports["csync"], word=word, act=lambda: None) as relay:
        done = pair.primary.run("sync_client", "-z", "-v", "-v", "-o", "-S", relay.label, *args)
    return relay.fired, relay.octets, done


def test_what_is_sent_is_less_than_with_deflate(running):
    pair = running
    with pair.replica.sync() as sync:
        assert b"* X-COMPRESS ZSTD" in sync.banner and b"* COMPRESS DEFLATE" in sync.banner
    fired, zstd_octets, _ = through(pair, b"COMPRESS ZSTD", "-u", *USERS)
    assert fired
    for user in USERS:
        assert_same(pair.primary, pair.replica, user)
    fired, _, done = through(pair, b"COMPRESS ZSTD", "-u", *USERS)
    assert fired and sent_commands(done) == []

    for user in USERS:
        pair.replica.run("sync_reset", "-f", user)
    pair.replica.conf["suppress_capabilities"] = "X-COMPRESS"
    pair.replica.restart()
    with pair.replica.sync() as sync:
        assert b"* X-COMPRESS ZSTD" not in sync.banner
        assert sync.cmd("COMPRESS ZSTD").text == "Unknown compression algorithm: ZSTD"
    fired, deflate_octets, _ = through(pair, b"COMPRESS DEFLATE", "-u", *USERS)
    assert fired
    for user in USERS:
        assert_same(pair.primary, pair.replica, user)
    pair.replica.conf.pop("suppress_capabilities")
    pair.replica.restart()
    print(f"octets of the client: zstd {zstd_octets}, deflate {deflate_octets}")
    assert zstd_octets < deflate_octets


def test_words(running):
    with running.replica.sync() as sync:
        assert sync.cmd("COMPRESS zstd").text == "ZSTD active"
    with running.replica.sync() as sync:
        assert sync.cmd("COMPRESS LZ4").text == "Unknown compression algorithm: LZ4"
        assert sync.cmd("COMPRESS ZSTD now").text == "Unexpected extra arguments to Compress"


@pytest.mark.parametrize("rubbish", [b"GET USER anna\r\n" * 10, b"\0" * 1000, bytes(range(256)) * 40,
                                     bytes.fromhex("28b52ffd00a8") + b"\xff" * 100,  # a window of 2 GB
                                     bytes.fromhex("502a4d18ffffffff")],  # a frame to be skipped, of 4 GB
                         ids=["plain", "zeros", "all", "window", "skip"])
def test_what_is_no_zstd(running, rubbish):
    """The connection ends, or waits for more; nobody else is concerned."""
    with running.replica.sync() as sync:
        sync.ok("COMPRESS ZSTD")
        sync.send(rubbish)
        with running.replica.sync() as other:
            assert other.ok("NOOP")
        if rubbish[:1] != b"\x50":  # of which more may come
            sync.sock.settimeout(30)
            while sync.sock.recv(4096):  # a last word
                pass
    assert through(running, b"COMPRESS ZSTD", "-u", "ben")[0]

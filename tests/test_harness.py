# SPDX-License-Identifier: BSD-3-Clause
"""The harness itself: what a process says at its end fails the test that it belongs to; sessions of a test are apart."""

import os
import socket
import threading

import pytest

from cyltest.clients import Imap
from cyltest.uidmonitor import UidMonitor


@pytest.mark.parametrize("what, name", (("leaked in 1 allocation", "tmp/sanitizer.4711"),
                                        ("core files", "conf/cores/core")))
def test_what_a_process_leaves_fails_the_test(factory, what, name):
    server = factory()
    server.check()
    with open(server.path(name), "w", encoding="utf-8") as report:
        report.write("SUMMARY: AddressSanitizer: 40 byte(s) leaked in 1 allocation(s).")
    with pytest.raises(AssertionError, match=what):
        server.check()
    os.unlink(server.path(name))


def test_the_sanitizers_write_where_the_harness_looks(factory):
    server = factory()
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
        assert f"log_path={server.path('tmp', 'sanitizer')}" in server.env[name]


def test_the_monitor_of_uids_sees_what_it_must_not():
    """UIDs 1 to 3 at both ends; each of the faults that it is for."""
    def watching():
        monitor = UidMonitor()
        for end in ("a", "b"):
            monitor.note(end, ["INBOX", "id"], 7, {1, 2, 3})
        monitor.met()
        return monitor

    monitor = watching()
    monitor.note("a", ["INBOX", "id"], 7, {1, 3})
    with pytest.raises(AssertionError, match=r"shown again: \[2\]"):
        monitor.note("a", ["INBOX", "id"], 7, {1, 2, 3})
    monitor = watching()
    monitor.note("a", ["INBOX", "id"], 7, {1, 2, 3}, gone={4})
    monitor.note("b", ["INBOX", "id"], 7, {1, 2, 3, 4})
    with pytest.raises(AssertionError, match=r"gone on the other end: \[4\]"):
        monitor.met()
    with pytest.raises(AssertionError, match="another UIDVALIDITY: 8"):
        watching().note("b", ["INBOX", "id"], 8, {1})
    monitor = watching()
    monitor.note("a", ["INBOX", "id"], 7, {1, 2})
    monitor.note("b", ["INBOX", "id"], 7, {1, 2})
    monitor.met()
    with pytest.raises(AssertionError, match=r"shown again: \[3\]"):
        monitor.note("b", ["Third", "id"], 7, {3})


def server_that_says(*lines):
    """Its address. It answers the n-th line that it gets with the n-th text, and begins with the first."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener, listener.accept()[0] as peer, peer.makefile("rb") as file:
            for line in lines:
                peer.sendall(line)
                file.readline()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()


def test_what_one_session_is_told_is_not_told_to_another():
    """Untagged before a continuation: in the answer of this command, and of no other session's."""
    with Imap(server_that_says(b"* OK ready\r\n", b"* OK [ALERT] hello\r\n+ go on\r\n", b"t1 OK done\r\n")) as one:
        one.start("IDLE")
        assert one.continuation("t1") is None
        with Imap(server_that_says(b"* OK ready\r\n", b"t1 OK done\r\n")) as other:
            assert other.ok("NOOP").untagged == []
        one.send(b"DONE\r\n")
        assert one.finish("t1").untagged == [b"* OK [ALERT] hello"]

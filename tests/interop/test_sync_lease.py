# SPDX-License-Identifier: BSD-3-Clause
"""A 3.6.1 master and a user whom another stream has (W015): it is kept waiting, and what it is told in the end it can handle."""

import os
import threading
import time

import pytest

from cyltest import Pair, rolling
from cyltest.credentials import password
from cyltest.syncdata import assert_same, fill_user, message


@pytest.fixture(scope="module")
def pair(module_debian_factory, module_factory):
    pair = rolling.set_up(Pair(module_debian_factory("debian"), module_factory("ours")))
    pair.primary.conf["sync_log"] = True
    pair.replica.conf["sync_lease_timeout"] = "1s"
    for server in (pair.primary, pair.replica):
        server.allow_log(".")
    pair.start()
    fill_user(pair.primary)
    fill_user(pair.primary, "ben")
    pair.sync("-u", "anna", "ben")
    return pair


def lease(pair):
    sync = pair.replica.sync()
    sync.login("repl", password("repl"))
    sync.ok("APPLY CAPABILITIES (X-LEASE)")
    sync.ok("GET USER anna")
    return sync


class Held:
    """anna in the hands of another stream, which goes on saying something."""

    def __init__(self, pair):
        self.sync, self.over = lease(pair), threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.over.wait(0.2):
            self.sync.ok("GET UNIQUEIDS (x)")
        self.sync.ok("RESTART")

    def let_go(self):
        self.over.set()
        self.thread.join()


def test_is_kept_waiting(pair):
    pair.primary.deliver(message(50), "anna")
    held = lease(pair)  # and then nothing
    pair.sync("-u", "anna")
    assert "the peer is silent" in pair.replica.log_text()
    held.close()
    assert_same(pair.primary, pair.replica)


def test_is_told_in_the_end_and_goes_on_with_the_others(pair):
    pair.primary.deliver(message(51), "anna", "ben")
    held = Held(pair)
    try:
        done = pair.sync("-u", "anna", "ben", check=False)
        assert done.returncode == 1 and "Error from sync_do_user(anna): bailing out!" in done.stderr
        assert_same(pair.primary, pair.replica, "ben")
    finally:
        held.let_go()
    pair.sync("-u", "anna")
    assert_same(pair.primary, pair.replica)


def test_rolling_begins_anew(pair):
    """It loses nothing: what was refused is in log-run, and done when the user is free."""
    mark = pair.primary.log_mark()
    pair.primary.deliver(message(52), "anna", "ben")
    held = Held(pair)
    client = pair.primary.popen("sync_client", "-R")
    try:
        pair.primary.wait_log("Promoting: MAILBOX user.anna -> USER anna", mark, timeout=60)
        pair.primary.wait_log("bailing out!", mark, timeout=60)
        held.let_go()
        pair.primary.wait_log("Reprocessing sync log file", mark, timeout=60)
        end = time.monotonic() + 60
        while any(os.path.exists(rolling.log_path(pair.primary, name)) for name in ("log", "log-run")):
            assert time.monotonic() < end, pair.primary.log_text(mark)
            time.sleep(0.1)
    finally:
        held.let_go()
        client.terminate()
        client.communicate(timeout=60)
    assert_same(pair.primary, pair.replica)
    assert_same(pair.primary, pair.replica, "ben")

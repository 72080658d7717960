# SPDX-License-Identifier: BSD-3-Clause
"""Whole servers for tests: private, on loopback, cleaned up.

    def test_something(factory):
        server = factory()                      # not started yet; server.conf["..."] = "..."
        server.start()
        with server.imap("alice") as imap:      # logged in
            assert imap.ok("CREATE Work")

Every server has its own directory, ports, passwords and log. At the end of a
test it is stopped, and the test fails when a process of it is left, a sanitizer
has reported something, or an ERROR line stands in its log that the test did not
expect (allow_log). The directory is kept when the test fails.

Environment: CYL_BUILD (build tree, default build/ beside tests/), CYL_TEST_USER
(account the servers run as when the tests are started by root).
"""

from .account import Account
from .clients import Imap, LineClient, Literal, Lmtp, Pop3, Rejected, Sync
from .debian import DebianInstance
from .instance import Instance, StartFailed
from .pair import Pair
from .programs import BuildPrograms, DebianPrograms

__all__ = ["Account", "BuildPrograms", "DebianInstance", "DebianPrograms", "Imap", "Instance",
           "LineClient", "Literal", "Lmtp", "Pair", "Pop3", "Rejected", "StartFailed", "Sync"]

# SPDX-License-Identifier: BSD-3-Clause
"""The same for Debian's cyrus-imapd 3.6.1, the reference that Cylinder meets in interop tests."""

import os
import re
import time

from . import preload
from .instance import Instance, NotStopped
from .ports import listening


TWOSKIP_NEW = 336  # octets of a twoskip file without a record


class DebianInstance(Instance):
    """Its log is taken by a preloaded library; ERROR lines of it are its own business."""

    flavour = "debian"
    fatal_log = re.compile(r"(?!)")
    # 3.6.1 does not wait for events, and services may outlive it for a moment.
    orphan_grace = 5.0

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        del self.conf["log_file"]
        self.env["LD_PRELOAD"] = preload.build(self, "syslog_file")
        self.env["SYSLOG_FILE"] = self.logfile
        os.chmod(self.logfile, 0o666)

    def _await_ready(self, notify, timeout):
        """3.6.1 does not tell; its listeners do."""
        deadline = time.monotonic() + timeout
        while True:
            if self.process.poll() is not None:
                self._start_failed("master ended before it was ready")
            if self._all_listening():
                return
            if time.monotonic() > deadline:
                self._start_failed("master did not get ready in time")
            time.sleep(0.02)

    def _all_listening(self):
        if not all(listening(port) for port in self.ports.values()):
            return False
        return "ready for work" in self.log_text()[self._log_start:]

    _log_start = 0

    def start(self, *args, **kwargs):
        self._log_start = len(self.log_text())
        return super().start(*args, **kwargs)

    def stop(self, timeout=10.0, **kwargs):
        """Its master misses the end of its children now and then when it is stopped in the midst of work, and waits for ever."""
        try:
            super().stop(timeout, **kwargs)
        except NotStopped as e:
            print(e)

    def remove_stillborn(self):
        """While it is stopped. A kill in the making of a twoskip file leaves 3.6.1 with one that has a size and no header: nothing of it can open or
        mend that, and there is nothing in it. (As long as it is there, nobody is told of its user, see doc/cyrus-3.6.1.md.)"""
        assert not self.running
        for top in ("conf", "spool"):
            for directory, _, names in os.walk(self.path(top)):
                for path in (os.path.join(directory, name) for name in names):
                    if os.path.getsize(path) == TWOSKIP_NEW and open(path, "rb").read(64) == bytes(64):
                        print(f"removed: {path}")
                        os.unlink(path)

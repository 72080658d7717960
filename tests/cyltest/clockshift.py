# SPDX-License-Identifier: BSD-3-Clause
"""Time that passes for servers at a word."""

import os
import struct

from . import preload


class Clock:
    """The time of day of all programs of the servers; before their start. It only goes on."""

    def __init__(self, *servers):
        self.shift = 0
        self._file = servers[0].path("tmp", "clock")
        self._write()
        for server in servers:
            server.env["LD_PRELOAD"] = preload.build_for_ours(server, "clock_shift")
            server.env["CLOCK_SHIFT_FILE"] = self._file

    def _write(self):
        with open(self._file, "r+b" if os.path.exists(self._file) else "wb") as f:
            f.write(struct.pack("=q", self.shift))
        os.chmod(self._file, 0o644)

    def go_on(self, seconds):
        self.shift += int(seconds)
        self._write()

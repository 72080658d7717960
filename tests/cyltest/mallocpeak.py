# SPDX-License-Identifier: BSD-3-Clause
"""How many bytes the processes of a server had from malloc() at most: a count that is the same in each run."""

import os

from . import preload


class MallocPeak:
    """Counts in all programs that the server starts while it is entered."""

    def __init__(self, server):
        self._env = server.env
        self._file = server.path("tmp", "malloc_peak")
        self._library = preload.build_for_ours(server, "malloc_peak")

    def __enter__(self):
        with open(self._file, "w", encoding="ascii"):
            pass
        os.chmod(self._file, 0o666)
        self._env["LD_PRELOAD"], self._env["MALLOC_PEAK_FILE"] = self._library, self._file
        return self

    def __exit__(self, *exc):
        del self._env["LD_PRELOAD"], self._env["MALLOC_PEAK_FILE"]

    def of(self, program):
        """The most that any process of that program had; it must have ended."""
        with open(self._file, encoding="ascii") as lines:
            peaks = [int(peak) for name, _, peak in map(str.split, lines) if name == program]
        return max(peaks)

# SPDX-License-Identifier: BSD-3-Clause
"""How many bytes the processes of a server had from malloc() at most: a count that is the same in each run."""

import os
import shutil
import subprocess

import pytest

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "malloc_peak.c")


class MallocPeak:
    """Counts in all programs that the server starts while it is entered."""

    def __init__(self, server):
        self._env = server.env
        self._file = server.path("tmp", "malloc_peak")
        self._library = server.path("malloc_peak.so")
        with open(server.program("sync_client"), "rb") as program:
            if b"__asan_init" in program.read():
                pytest.skip("MEMORY NOT MEASURED: the sanitizer has an allocator of its own")
        compiler = os.environ.get("CC", "cc").split()
        if shutil.which(compiler[0]) is None:
            pytest.skip("MEMORY NOT MEASURED: no C compiler to build the library that counts")
        subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", self._library, SOURCE],
                       check=True, capture_output=True)
        os.chmod(self._library, 0o755)

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

# SPDX-License-Identifier: BSD-3-Clause
"""Damage to files, the same for the same seed."""

import glob
import os

MAGIC = b"\xa1\x02\x8b\x0d"  # of skiplist and twoskip files
KINDS = ("truncate", "zero", "rubbish", "header")


def zap(kind, data, rng, within=None):
    """Damaged bytes, and the range (start, end) that is no longer as it was; it begins in the first `within` bytes."""
    data = bytearray(data)
    within = within or len(data)
    if kind == "truncate":
        n = rng.randrange(1, within)
        return bytes(data[:n]), (n, len(data))
    if kind == "header":
        end = min(24, len(data))
        data[0:end] = bytes(rng.randrange(1, 255) for _ in range(end))
        return bytes(data), (0, min(64, len(data)))
    start = rng.randrange(0, max(1, within - 64))
    end = min(len(data), start + rng.choice((16, 64, 512)))
    fill = {"zero": lambda: 0, "rubbish": lambda: rng.randrange(256)}[kind]
    data[start:end] = bytes(fill() for _ in range(start, end))
    return bytes(data), (start, end)


def flat_text(data):
    """A flat file may be written anew, in order, with bytes that must be escaped."""
    for byte, code in ((b"\0", b"\xff\x80"), (b"\r", b"\xff\x8d")):
        data = data.replace(code, byte)
    return data.strip(b"\n\t")


def contents(path):
    """b"" of a file that is not there."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


class Zapped:
    """A file that was damaged, or (kind "rights") that nobody may read."""

    def __init__(self, path, kind, rng, within=None):
        self.path = path
        with open(path, "rb") as f:
            self.bytes = whole = f.read()
        self.range = (0, len(whole))
        if kind == "rights":
            os.chmod(path, 0)
            return
        self.bytes, self.range = zap(kind, whole, rng, within)
        while self.bytes == whole and any(whole[:within]):  # zeros on zeros are no damage
            self.bytes, self.range = zap(kind, whole, rng, within)
        with open(path, "r+b") as f:
            f.write(self.bytes)
            f.truncate()

    def is_kept(self, tops):
        """Are the bytes still there: in place (a file may have grown, and been set aside since), or as a whole under another name?"""
        start, end = self.range[0], min(self.range[1], len(self.bytes))
        for path in [self.path, *(glob.glob(glob.escape(self.path) + ".*") if start < end else ())]:
            now = contents(path)
            if len(now) >= len(self.bytes) and now[start:end] == self.bytes[start:end]:
                return True
        now = contents(self.path)
        if flat_text(self.bytes[start:end]) in flat_text(now) and not now.startswith(MAGIC):
            return True
        for top in tops:
            for base, _, names in os.walk(top):
                for name in names:
                    path = os.path.join(base, name)
                    if os.path.isfile(path) and os.path.getsize(path) == len(self.bytes) and contents(path) == self.bytes:
                        return True
        return False

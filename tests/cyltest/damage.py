# SPDX-License-Identifier: BSD-3-Clause
"""Message files whose bytes change behind the server's back, and the table of those that were found whole."""

import contextlib
import os
import struct
import time
import zlib

ENTRIES, GROUP, ENTRY = 65536, 4, 64  # of <configdirectory>/verified


def one_bit(data):
    at = len(data) * 2 // 3
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def zeros(data):
    at = len(data) // 2
    return data[:at] + bytes(len(data) - at)


def rubbish(data):
    return bytes((b * 7 + n) & 0xff for n, b in enumerate(data))


def short(data):
    return data[:len(data) * 3 // 4]


def empty(data):
    return data[:0]


def longer(data):
    return data + b"more\r\n"


KINDS = {f.__name__: f for f in (one_bit, zeros, rubbish, short, longer)}


def damage(path, how):
    """In place; the bytes that were there."""
    with open(path, "r+b") as f:
        data = f.read()
        f.seek(0)
        f.write(how(data))
        f.truncate()
    assert how(data) != data
    return data


@contextlib.contextmanager
def damaged(path, how):
    """The bytes come back at the end, and nobody has changed the damaged file before."""
    data = damage(path, how)
    yield
    with open(path, "r+b") as f:
        assert f.read() == how(data)
        f.seek(0)
        f.write(data)
        f.truncate()


def identity(path, guid):
    st = os.stat(path)
    return struct.pack(">QQIQQ20s", st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns, bytes.fromhex(guid))


def _group_of(path):
    st = os.stat(path)
    h = ((st.st_ino ^ (st.st_dev << 32)) * 0x9e3779b97f4a7c15) & (1 << 64) - 1
    return (h >> 32) % (ENTRIES // GROUP) * GROUP * ENTRY


def verified_at(table, path, guid):
    """The time in the table, None: it is not there."""
    mine = identity(path, guid)
    with open(table, "rb") as f:
        f.seek(_group_of(path))
        group = f.read(GROUP * ENTRY)
    for at in range(0, len(group), ENTRY):
        entry = group[at:at + ENTRY]
        if entry[:56] == mine and zlib.crc32(entry[:60]) == struct.unpack(">I", entry[60:])[0]:
            return struct.unpack(">I", entry[56:60])[0]
    return None


def set_verified(table, path, guid, when=None, spoil=False):
    """The table says that this file, as it is, was found whole."""
    entry = identity(path, guid) + struct.pack(">I", int(time.time() if when is None else when))
    entry += struct.pack(">I", zlib.crc32(entry) ^ (1 if spoil else 0))
    with open(table, "r+b") as f:
        f.seek(_group_of(path))
        f.write(entry * GROUP)

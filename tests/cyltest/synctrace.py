# SPDX-License-Identifier: BSD-3-Clause
"""What a trace of CYLINDER_DISKIO_RECORD (lib/diskio_trace.h) tells of the journal and of syncs, while it grows."""

import struct

OPEN, WRITE, SYNC_BEGIN = 1, 2, 14
HEAD = struct.Struct(">4sIHHIQQQQQQQIIII")  # up to the CRC


class SyncTrace:
    """read() goes on where it ended; syncs: the path of each, appended: the pids of those who wrote a record of the journal."""

    def __init__(self, path):
        self._file = open(path, "rb")
        self._paths = {}
        self.syncs, self.appended = [], []

    def close(self):
        self._file.close()

    def forget(self):
        self.read()
        self.syncs, self.appended = [], []

    def read(self):
        while True:
            at = self._file.tell()
            head = self._file.read(HEAD.size)
            length = HEAD.unpack(head)[1] if len(head) == HEAD.size else 0
            rest = self._file.read(max(0, length - HEAD.size))
            if not length or len(rest) < length - HEAD.size:
                self._file.seek(at)  # not yet whole
                return
            self._note(HEAD.unpack(head), rest)

    def _note(self, head, rest):
        magic, _, kind, _, pid, _, dev, ino, *_, pathlen, path2len, datalen, _ = head
        assert magic == b"CDT1"
        path = rest[:pathlen].decode(errors="replace")
        if kind == OPEN:
            self._paths[dev, ino] = path
        elif kind == SYNC_BEGIN:
            self.syncs.append(self._paths.get((dev, ino), path or "?"))
        elif kind == WRITE and rest[pathlen + path2len:][:min(4, datalen)] == b"CYJ1":
            self.appended.append(pid)

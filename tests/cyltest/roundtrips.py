# SPDX-License-Identifier: BSD-3-Clause
"""How often a client waits for its server: a relay that passes bytes on as they come, in both directions at once."""

import os
import re
import select
import socket
import struct
import threading

from .relay import LITERAL, clients_of

QUIET = re.compile(rb"(?:NOOP\r\n|RESTART\r\n)*")  # what gives leases and files back, and is not waited for
SYNC_BEGIN = 14  # DISKIO_TRACE_SYNC_BEGIN


class RoundTrips:
    """Listens on a Unix socket and passes everything on to the server behind `target` (also a Unix socket).

    trips: times that the client had sent something, and then got an answer. commands: the first words of what it sent; bytes: all of it.
    flowing: an Event; while it is not set answers wait.
    """

    def __init__(self, path, target):
        self.target = target
        self.trips, self._asked = 0, False
        self.flowing = threading.Event()
        self.flowing.set()
        self.bytes = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        os.chmod(path, 0o777)
        self._listener.listen()
        self.path = path
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        os.unlink(self.path)

    def forget(self):
        self.trips, self.bytes = 0, b""

    @property
    def commands(self):
        """"APPLY MAILBOXES", without what follows, literals and all; QUIET ones are left out."""
        out, rest = [], self.bytes
        while rest:
            line, _, rest = rest.partition(b"\r\n")
            out.append(b" ".join(line.split()[:2]).decode())
            while literal := LITERAL.search(line + b"\r\n"):
                rest = rest[int(literal.group(1)):]
                line, _, rest = rest.partition(b"\r\n")
        return [command for command in out if command not in ("NOOP", "RESTART")]

    def _accept(self):
        for client in clients_of(self._listener):
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client):
        with client, socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(self.target)
                while True:
                    ends = [client, server] if self.flowing.is_set() else [client]
                    ready, _, _ = select.select(ends, [], [], 0.01)
                    for end in ready:
                        data = end.recv(65536)
                        if not data:
                            return
                        self._note(end is client, data)
                        (server if end is client else client).sendall(data)
            except OSError:
                pass  # an end was killed

    def _note(self, of_client, data):
        if of_client:
            self.bytes += data
            self._asked = self._asked or not QUIET.fullmatch(data)
        elif self._asked:
            self.trips += 1
            self._asked = False


def syncs(trace):
    """fsync, fdatasync and the like in a trace of CYLINDER_DISKIO_RECORD (lib/diskio_trace.h)."""
    count = 0
    with open(trace, "rb") as f:
        while head := f.read(10):
            _, length, kind = struct.unpack(">4sIH", head)
            count += kind == SYNC_BEGIN
            f.seek(length - len(head), os.SEEK_CUR)
    return count

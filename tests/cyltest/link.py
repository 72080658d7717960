# SPDX-License-Identifier: BSD-3-Clause
"""A link between a client and a server on which every octet takes its time, and as many as like are underway."""

import os
import queue
import socket
import threading
import time

from .relay import clients_of


class Link:
    """Listens on a Unix socket for what is meant for the server behind `target`; `delay`: seconds in each direction."""

    def __init__(self, path, target, delay):
        self.path, self._target, self._delay = path, target, delay
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        os.chmod(path, 0o777)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        os.unlink(self.path)

    def _accept(self):
        for client in clients_of(self._listener):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            for source, sink in ((client, server), (server, client)):
                underway = queue.Queue()
                threading.Thread(target=self._read, args=(source, underway), daemon=True).start()
                threading.Thread(target=self._write, args=(sink, underway), daemon=True).start()

    def _read(self, source, underway):
        data = b"more"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            underway.put((time.monotonic() + self._delay, data))

    @staticmethod
    def _write(sink, underway):
        data = b"more"
        while data:
            arrives, data = underway.get()
            time.sleep(max(0, arrives - time.monotonic()))
            try:
                sink.sendall(data) if data else sink.shutdown(socket.SHUT_WR)
            except OSError:
                return

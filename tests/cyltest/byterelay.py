# SPDX-License-Identifier: BSD-3-Clause
"""A connection that ends after so many bytes, or during which something happens."""

import select
import socket
import threading

from .relay import clients_of


class ByteRelay:
    """Passes bytes on to a port.

    limit: all connections stop after so many bytes of the server's.
    word, act: act() is called once, before the first bytes of a client that have `word` are passed on; `fired` tells.
    octets: what clients have sent.
    """

    def __init__(self, port, limit=None, word=None, act=None):
        self._port, self._left = port, limit
        self._word, self._act = word, act
        self.fired, self.octets = False, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.label = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _accept(self):
        for client in clients_of(self._listener):
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client):
        try:
            with client, socket.create_connection(("127.0.0.1", self._port)) as server:
                while self._left is None or self._left > 0:
                    ready, _, _ = select.select([client, server], [], [])
                    for end in ready:
                        data = end.recv(4096)
                        if not data:
                            return
                        if end is server:
                            client.sendall(self._allowed(data))
                        else:
                            self.octets += len(data)
                            self._look_at(data)
                            server.sendall(data)
        except OSError:
            pass  # an end was killed

    def _allowed(self, data):
        if self._left is None:
            return data
        data = data[:max(self._left, 0)]
        self._left -= len(data)
        return data

    def _look_at(self, data):
        if self._word and self._word in data and not self.fired:
            self.fired = True
            self._act()

    def close(self):
        self._listener.close()

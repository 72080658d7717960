# SPDX-License-Identifier: BSD-3-Clause
"""A connection that ends after so many bytes."""

import select
import socket
import threading


class ByteRelay:
    """Passes bytes on to a port, and stops all connections after so many bytes of the server's."""

    def __init__(self, port, limit):
        self._port, self._left = port, limit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client):
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            while self._left > 0:
                ready, _, _ = select.select([client, server], [], [])
                for end in ready:
                    data = end.recv(4096)
                    if not data:
                        return
                    if end is server:
                        data = data[:max(self._left, 0)]
                        self._left -= len(data)
                    (client if end is server else server).sendall(data)

    def close(self):
        self._listener.close()

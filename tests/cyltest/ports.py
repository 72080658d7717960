# SPDX-License-Identifier: BSD-3-Clause
"""Loopback ports that nobody else gets.

A port is held by a socket that is bound but never listens. With SO_REUSEADDR on
both sides Linux lets a server bind and listen on the same port, while no other
program is handed it.
"""

import socket


class Ports:
    def __init__(self):
        self._held = []

    def take(self):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        self._held.append(sock)
        return sock.getsockname()[1]

    def close(self):
        for sock in self._held:
            sock.close()
        self._held.clear()


def listening(port):
    """True when a TCP socket listens on the port of the loopback (no connection is made)."""
    return ("127.0.0.1", port) in _listeners()


def _listeners():
    found = set()
    with open("/proc/net/tcp", encoding="ascii") as table:
        next(table)
        for line in table:
            fields = line.split()
            if fields[3] != "0A":
                continue
            addr, port = fields[1].split(":")
            host = socket.inet_ntoa(bytes.fromhex(addr)[::-1])
            found.add((host, int(port, 16)))
    return found

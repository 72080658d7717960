# SPDX-License-Identifier: BSD-3-Clause
"""A program for sync_transport: cutpipe.py DIRECTORY COMMAND... passes on what COMMAND and a client say to each other.

Kept in the directory: what the client has `sent`, and what `came` back. With a file `limit` there only so many octets of the answers
come through; then the client is left alone, and COMMAND hears no more of it. What announces compression is left out.
"""

import os
import socket
import subprocess
import sys
import threading


def copy(source, sinks):
    while data := source.read1(65536):
        for sink in sinks:
            sink.write(data)
            sink.flush()


def pass_on(client, server, keep):
    try:
        copy(client, (keep, server))
        server.close()
    except OSError:
        pass  # the server has gone


def answers(server):
    """In pieces."""
    while data := server.read1(65536):
        yield data.replace(b"* COMPRESS DEFLATE\r\n", b"")


def main(directory, *command):
    limit = None
    if os.path.exists(os.path.join(directory, "limit")):
        with open(os.path.join(directory, "limit"), encoding="ascii") as f:
            limit = int(f.read())
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server, \
         open(os.path.join(directory, "sent"), "wb") as sent, open(os.path.join(directory, "came"), "wb") as came:
        threading.Thread(target=pass_on, args=(sys.stdin.buffer, server.stdin, sent), daemon=True).start()
        for data in answers(server.stdout):
            came.write(data)
            if limit is not None:
                data, limit = data[:limit], limit - len(data)
            os.write(1, data)
            if limit is not None and limit <= 0:
                break
        cut(server)


def cut(server):
    """The client sees the end; so does the server, unless it has ended."""
    socket.socket(fileno=0).shutdown(socket.SHUT_RDWR)
    server.stdin.close()
    server.stdout.read()


if __name__ == "__main__":
    main(*sys.argv[1:])

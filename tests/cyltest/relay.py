# SPDX-License-Identifier: BSD-3-Clause
"""A relay between a sync client and a server that breaks off where a test wants it to."""

import os
import re
import socket
import threading

LITERAL = re.compile(rb"\{(?:[^{}\r\n]* )?(\d+)\+?\}\r\n$")


def read_command(stream):
    """One command line with its literals; b"" at the end."""
    command = b""
    while True:
        line = stream.readline()
        command += line
        literal = LITERAL.search(line)
        if not literal:
            return command
        command += stream.read(int(literal.group(1)))


def clients_of(listener):
    """Connections as they come, until the listener is shut down."""
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        yield client


class Relay:
    """Listens on a Unix socket and passes everything on to the server behind `target` (also a Unix socket).

    cut_at: number of the command (from 1, over all connections) at which both connections end:
    "before" it is passed on, with "half" of it passed on, or "after" the server has answered, the answer being lost.
    on_cut is called first, to kill somebody. on_command is called with each command before it is passed on; what on_answer gives
    of a command (of none: the banner) and its answer is passed on in the place of the answer.
    timeout: seconds for an answer.
    commands: what came; octets: what both sides sent. What a callback raises ends the connection, and close() raises it again.
    """

    def __init__(self, path, target, cut_at=None, where="before", on_cut=None, on_command=None, on_answer=None,
                 timeout=60):
        self.path, self.target = path, target
        self.cut_at, self.where = cut_at, where
        self.on_cut, self.on_command, self.on_answer = on_cut, on_command, on_answer
        self.timeout = timeout
        self.octets = 0
        self.problem = None
        self.commands = []
        self.cut = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        os.chmod(path, 0o777)
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(20)
        os.unlink(self.path)
        if self.problem:
            raise self.problem

    @property
    def at_the_end(self):
        """Is the last command one with which a client ends that has done all?"""
        return self.commands[-1].startswith((b"NOOP", b"EXIT"))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _accept(self):
        for client in clients_of(self._listener):
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client):
        """Client and server take turns, so one thread is enough: a command, then its answer."""
        server = socket.socket(socket.AF_UNIX)
        server.settimeout(self.timeout)
        try:
            server.connect(self.target)
            self._talk(client, client.makefile("rb"), server, server.makefile("rb"))
        except OSError:
            pass
        except Exception as problem:  # of a callback, or of the test itself
            self.problem = problem
        finally:
            client.close()
            server.close()

    def _talk(self, client, from_client, server, from_server):
        banner = self._answer(from_server)
        self.octets += len(banner)
        if self.on_answer:
            banner = self.on_answer(b"", banner)
        client.sendall(banner)
        while True:
            command = read_command(from_client)
            if not command:
                return
            self.commands.append(command)
            if self.cut_at == len(self.commands):
                self._cut(command, server, from_server)
                return
            if self.on_command:
                self.on_command(command)
            server.sendall(command)
            answer = self._answer(from_server)
            self.octets += len(command) + len(answer)
            if self.on_answer:
                answer = self.on_answer(command, answer)
            client.sendall(answer)
            if not answer or command.startswith(b"EXIT"):
                return

    def _cut(self, command, server, from_server):
        self.cut = True
        if self.where == "half":
            server.sendall(command[:len(command) // 2])
        elif self.where == "after":
            server.sendall(command)
            self._answer(from_server)
        if self.on_cut:
            self.on_cut()

    @staticmethod
    def _answer(from_server):
        """Untagged lines and the status line."""
        answer = b""
        while True:
            line = read_command(from_server)
            answer += line
            if not line.startswith(b"* ") or line.startswith((b"* OK", b"* BYE")):
                return answer

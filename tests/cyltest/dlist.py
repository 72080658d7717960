# SPDX-License-Identifier: BSD-3-Clause
"""The dlist text of the sync protocol, read into Python values.

parse(b'MAILBOX %(UNIQUEID x RECORD (...))') gives ("MAILBOX", {"UNIQUEID": b"x", "RECORD": [...]}).
Written independently of the server's own parser.
"""

import re

_ATOM = re.compile(rb'[^\s()"]+')


class _Reader:
    def __init__(self, data):
        self.data, self.pos = data, 0

    def peek(self):
        return self.data[self.pos:self.pos + 1]

    def skip(self):
        while self.peek() in (b" ", b"\r", b"\n") and self.peek():
            self.pos += 1

    def take(self, n):
        chunk = self.data[self.pos:self.pos + n]
        assert len(chunk) == n, "text ends too early"
        self.pos += n
        return chunk

    def string(self):
        c = self.peek()
        if c == b'"':
            end = self.pos + 1
            out = bytearray()
            while self.data[end:end + 1] != b'"':
                if self.data[end:end + 1] == b"\\":
                    end += 1
                out += self.data[end:end + 1]
                end += 1
            self.pos = end + 1
            return bytes(out)
        match = re.compile(rb"\{(\d+)\+?\}\r\n").match(self.data, self.pos)
        if match:
            self.pos = match.end()
            return self.take(int(match.group(1)))
        match = _ATOM.match(self.data, self.pos)
        assert match, f"no string at {self.data[self.pos:self.pos + 20]!r}"
        self.pos = match.end()
        return match.group(0)

    def file(self):
        match = re.compile(rb"%\{(\S+) ([0-9a-f]{40}) (\d+)\}\r\n").match(self.data, self.pos)
        assert match
        self.pos = match.end()
        return (match.group(1), match.group(2), self.take(int(match.group(3))))

    def value(self):
        self.skip()
        if self.data.startswith(b"%{", self.pos):
            return self.file()
        if self.data.startswith(b"%(", self.pos):
            self.pos += 2
            return self._until_end(dict)
        if self.peek() == b"(":
            self.pos += 1
            return self._until_end(list)
        quoted = self.peek() in (b'"', b"{")
        text = self.string()
        return None if text == b"NIL" and not quoted else text

    def _until_end(self, kind):
        out = kind()
        while True:
            self.skip()
            if self.peek() == b")":
                self.pos += 1
                return out
            if kind is dict:
                name = self.string().decode()
                out.setdefault(name, self.value())
            else:
                out.append(self.value())


def parse(line):
    """(name, value) of an untagged line, with or without its "* "."""
    if line.startswith(b"* "):
        line = line[2:]
    reader = _Reader(line)
    name = reader.string().decode()
    return name, reader.value()

# SPDX-License-Identifier: BSD-3-Clause
"""Small clients that show every byte of the conversation. They time out; they never guess."""

import base64
import re
import socket
import ssl
import zlib

TIMEOUT = 30.0


class Rejected(AssertionError):
    """The server did not answer as the test asked for."""


class LineClient:
    """A connection of lines ending in CRLF, over TCP or a unix socket."""

    def __init__(self, address, timeout=TIMEOUT):
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(address, timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = b""
        self.last_line = None  # that was read

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.sock.sendall(data)

    def sendline(self, line):
        if isinstance(line, str):
            line = line.encode()
        self.send(line + b"\r\n")

    def _fill(self):
        more = self.sock.recv(65536)
        if not more:
            raise EOFError(f"the server closed the connection after {self.last_line!r}")
        self._data += more

    def readline(self):
        """One line without its CRLF."""
        while b"\n" not in self._data:
            self._fill()
        line, _, self._data = self._data.partition(b"\n")
        self.last_line = line.removesuffix(b"\r")
        return self.last_line

    def read(self, n):
        while len(self._data) < n:
            self._fill()
        data, self._data = self._data[:n], self._data[n:]
        return data

    def at_eof(self):
        """Waits for the end of the stream; False when the server says something more."""
        if self._data:
            return False
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def start_tls(self, cafile=None):
        """The client's side of the TLS handshake; without cafile nothing is verified."""
        if self._data:
            raise Rejected(f"bytes before the TLS handshake: {self._data!r}")
        context = ssl.create_default_context(cafile=cafile)
        if cafile is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost")


    def start_deflate(self):
        """What COMPRESS DEFLATE has begun."""
        self.sock = _Deflated(self.sock)


class _Deflated:
    """A socket whose bytes are compressed (RFC 4978)."""

    def __init__(self, sock):
        self._sock = sock
        self._out, self._in = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)

    def sendall(self, data):
        self._sock.sendall(self._out.compress(data) + self._out.flush(zlib.Z_SYNC_FLUSH))

    def recv(self, size):
        while True:
            compressed = self._sock.recv(size)
            data = self._in.decompress(compressed)
            if data or not compressed:
                return data

    def close(self):
        self._sock.close()


class Response:
    """status "OK", "NO" or "BAD"; text behind it; untagged: lines (bytes, literals in place)."""

    def __init__(self, status, text, untagged):
        self.status, self.text, self.untagged = status, text, untagged

    def __repr__(self):
        return f"{self.status} {self.text} {self.untagged}"

    def find(self, prefix):
        """The untagged lines that begin with prefix (str or bytes)."""
        if isinstance(prefix, str):
            prefix = prefix.encode()
        return [line for line in self.untagged if line.startswith(prefix)]


_LITERAL = re.compile(rb"\{(\d+)\+?\}$")
_FILE_LITERAL = re.compile(rb"%\{\S+ [0-9a-f]{40} (\d+)\}$")


class Literal(bytes):
    """A part of a command that is sent as a literal."""


class Imap(LineClient):
    """An IMAP session. The greeting is in `greeting`.

    A command is text, or a list of text and Literal parts; literals wait for the
    server's continuation.
    """

    def __init__(self, address, tls=False, cafile=None, timeout=TIMEOUT):
        super().__init__(address, timeout)
        if tls:
            self.start_tls(cafile)
        self._count = 0
        self._early = None
        self._untagged = []  # before a continuation
        self.greeting = self.readline()

    def response_line(self):
        """One response with its literals; CRLF inside stands between line and literal."""
        line = self.readline()
        whole = line
        while True:
            match = _LITERAL.search(line)
            if not match:
                return whole
            whole += b"\r\n" + self.read(int(match.group(1)))
            line = self.readline()
            whole += line

    def start(self, command):
        """Sends a command; returns its tag. finish() reads the answer."""
        self._count += 1
        tag = f"t{self._count}"
        parts = [command] if isinstance(command, (str, bytes)) else list(command)
        pending = tag.encode() + b" "
        for i, part in enumerate(parts):
            if not isinstance(part, Literal):
                pending += part.encode() if isinstance(part, str) else part
                continue
            self.send(pending + b"{%d}\r\n" % len(part))
            early = self.continuation(tag)
            if early is not None:
                self._early = (tag, early)
                return tag
            pending = bytes(part)
        self.send(pending + b"\r\n")
        return tag

    def continuation(self, tag):
        """Reads up to the `+` line: None; or the Response when the command ended before. Untagged lines before it are in the Response
        of the command in the end."""
        untagged = self._untagged
        self._untagged = []
        while True:
            line = self.response_line()
            if line.startswith(b"+"):
                self.last_continuation = line
                self._untagged = untagged
                return None
            if line.startswith(tag.encode() + b" "):
                return self._response(line, tag, untagged)
            untagged.append(line)

    @staticmethod
    def _response(line, tag, untagged):
        status, _, text = line[len(tag) + 1:].decode(errors="surrogateescape").partition(" ")
        return Response(status, text, untagged)

    def finish(self, tag):
        if self._early and self._early[0] == tag:
            response, self._early = self._early[1], None
            return response
        untagged, self._untagged = self._untagged, []
        while True:
            line = self.response_line()
            if line.startswith(tag.encode() + b" "):
                return self._response(line, tag, untagged)
            untagged.append(line)

    def cmd(self, command):
        return self.finish(self.start(command))

    def _expect(self, status, command):
        response = self.cmd(command)
        if response.status != status:
            raise Rejected(f"{command!r}: {response!r}, wanted {status}")
        return response

    def ok(self, command):
        return self._expect("OK", command)

    def no(self, command):
        return self._expect("NO", command)

    def bad(self, command):
        return self._expect("BAD", command)

    def login(self, user, password):
        return self.ok(f'LOGIN "{user}" "{password}"')

    def login_as(self, user, admin, password):
        """SASL PLAIN: the administrator's password, the user's session."""
        plain = base64.b64encode(f"{user}\0{admin}\0{password}".encode()).decode()
        return self.ok(f"AUTHENTICATE PLAIN {plain}")

    def starttls(self, cafile=None):
        self.ok("STARTTLS")
        self.start_tls(cafile)

    def append(self, mailbox, message, flags=None, date=None):
        command = f'APPEND "{mailbox}" '
        if flags:
            command += f"({flags}) "
        if date:
            command += f'"{date}" '
        return self.ok([command, Literal(message)])

    def logout(self):
        self.ok("LOGOUT")
        self.close()


class _Replies(LineClient):
    def reply(self):
        """An SMTP-style reply: code and its lines."""
        lines = []
        while True:
            line = self.readline().decode(errors="surrogateescape")
            lines.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), lines


class Lmtp(_Replies):
    """An LMTP session; greeting and LHLO are done."""

    def __init__(self, address, timeout=TIMEOUT):
        super().__init__(address, timeout)
        self.greeting = self.reply()
        self.sendline("LHLO client.test")
        code, self.extensions = self.reply()
        if code != 250:
            raise Rejected(f"LHLO: {code} {self.extensions}")

    def cmd(self, line):
        self.sendline(line)
        return self.reply()

    def deliver(self, message, recipients, sender="sender@example.com", options=""):
        """Replies of one delivery: a list of (code, lines), one for each recipient."""
        if isinstance(recipients, str):
            recipients = [recipients]
        code, text = self.cmd(f"MAIL FROM:<{sender}>{options}")
        if code != 250:
            raise Rejected(f"MAIL FROM: {code} {text}")
        refused = {}
        for rcpt in recipients:
            code, text = self.cmd(f"RCPT TO:<{rcpt}>")
            if code != 250:
                refused[rcpt] = (code, text)
        if len(refused) == len(recipients):
            self.cmd("RSET")
            return [refused[rcpt] for rcpt in recipients]
        code, text = self.cmd("DATA")
        if code != 354:
            raise Rejected(f"DATA: {code} {text}")
        body = b"".join(b"." + line if line.startswith(b".") else line
                        for line in message.splitlines(keepends=True))
        self.send(body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return [refused.get(rcpt) or self.reply() for rcpt in recipients]

    def quit(self):
        self.cmd("QUIT")
        self.close()


class Pop3(LineClient):
    """A POP3 session; the greeting is in `greeting`."""

    def __init__(self, address, tls=False, cafile=None, timeout=TIMEOUT):
        super().__init__(address, timeout)
        if tls:
            self.start_tls(cafile)
        self.greeting = self.readline()

    def cmd(self, line):
        self.sendline(line)
        return self.readline()

    def ok(self, line):
        answer = self.cmd(line)
        if not answer.startswith(b"+OK"):
            raise Rejected(f"{line}: {answer!r}")
        return answer

    def err(self, line):
        answer = self.cmd(line)
        if not answer.startswith(b"-ERR"):
            raise Rejected(f"{line}: {answer!r}")
        return answer

    def multiline(self, line):
        """+OK and the lines up to the dot, unstuffed."""
        self.ok(line)
        lines = []
        while True:
            got = self.readline()
            if got == b".":
                return lines
            lines.append(got[1:] if got.startswith(b".") else got)

    def login(self, user, password):
        self.ok(f"USER {user}")
        return self.ok(f"PASS {password}")


class Sync(LineClient):
    """A csync session, as a master speaks it; `banner` has the lines before and with "* OK"."""

    def __init__(self, address, timeout=TIMEOUT):
        super().__init__(address, timeout)
        self.banner = self._banner()

    def _banner(self):
        lines = []
        while True:
            lines.append(self.readline())
            if lines[-1].startswith(b"* OK"):
                return lines

    def login(self, user, password):
        token = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        return self.ok(f"AUTHENTICATE PLAIN {token}")

    def starttls(self, cafile=None):
        self.ok("STARTTLS")
        self.start_tls(cafile)
        self.banner = self._banner()

    def cmd(self, command):
        """Sends a line (literals as they stand in it); Response with the untagged lines."""
        self.sendline(command)
        return self._response()

    def ok_all(self, commands):
        """Sends them all, then reads the answers; each must be OK. For commands with short answers."""
        for command in commands:
            self.sendline(command)
        for command in commands:
            response = self._response()
            if response.status != "OK":
                raise Rejected(f"{command!r}: {response!r}")

    def _response(self):
        untagged = []
        while True:
            line = self.readline()
            if not line.startswith(b"* "):
                status, _, text = line.decode(errors="surrogateescape").partition(" ")
                return Response(status, text, untagged)
            while match := _LITERAL.search(line) or _FILE_LITERAL.search(line):
                line += b"\r\n" + self.read(int(match.group(1))) + self.readline()
            untagged.append(line)

    def ok(self, command):
        response = self.cmd(command)
        if response.status != "OK":
            raise Rejected(f"{command!r}: {response!r}")
        return response

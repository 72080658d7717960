# SPDX-License-Identifier: BSD-3-Clause
"""Conversations written down, played against a server, answer by answer.

A script is text:

    # remark                   ignored, as are empty lines outside of a block
    conf option value          imapd.conf of the server
    conf tls yes               with a certificate
    setup A CREATE user.x      a command that has to succeed before the conversation; \\r\\n and \\xNN are bytes
    @ C                        a new session for C (C and D: cassandane, B: bob, A: admin)
    @ C -                      the same before LOGIN
    @ C tls                    the handshake of TLS in the session that C has; "deflate": from here on it is compressed
    C: a1 NOOP                 what a client sends; lines that follow belong to it up to the next S:, @ or tag
    S: a1 OK Completed         what 3.6.1 answers to it, line by line
    O: a1 OK Completed         the same for ours, where it differs on purpose; a remark above the block says why

L is an LMTP session that is trusted, M one of another service, that is not, P a POP3 session; greetings are not told. What L, M and P
send up to an S: is one block; the answer to it has as many replies as are written there (LMTP), or as there are commands (POP3).

Bytes outside printable ASCII are \\xNN. Where the display of a literal has cut off
its last CRLFs they are sent. Values that differ from run to run are written as <N>
(UIDVALIDITY), <ID> (MAILBOXID), <DATE>, <T> (times), <CAPS>. Entries of METADATA and ANNOTATION,
which come in any order, are sorted. In what a client sends <UV> is
the UIDVALIDITY that was told last, <URL1> the first URL that was signed, <URL2> the second ...
"""

import re

from cyltest.clients import LineClient
from cyltest.credentials import password

USERS = {"A": "admin", "B": "bob", "C": "cassandane", "D": "cassandane"}
OTHERS = {"L": "lmtp", "M": "lmtpauth", "P": "pop3"}  # services
_CLIENT = re.compile(r"([ABCDLMP]): ?(.*)$")
_MULTILINE = re.compile(r"(?i)(CAPA|AUTH|LIST|UIDL)$|(RETR|TOP) ")
_TAGGED = re.compile(r"(\S+) (OK|NO|BAD)( |$)")


def unescape(text):
    """The bytes of a line of a script."""
    data = text.encode("latin-1")
    data = data.replace(b"\\r\\n", b"\r\n")
    return re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m.group(1), 16)]), data)


def escape(data):
    """A line as a script shows it."""
    return "".join(chr(c) if 32 <= c < 127 or c == 9 else f"\\x{c:02x}" for c in data)


def complete(data):
    """Adds the CRLFs that the display of a literal at the end has cut off."""
    pos = 0
    while True:
        match = re.compile(rb"\{(\d+)\+?\}\r\n").search(data, pos)
        if not match:
            return data
        pos = match.end() + int(match.group(1))
        if pos > len(data):
            return data + b"\r\n" * ((pos - len(data) + 1) // 2)


_CHANGING = (
    (re.compile(r"\[CAPABILITY [^\]]*\]"), "[CAPABILITY <CAPS>]"),
    (re.compile(r"SESSIONID=<[^>]*>"), "SESSIONID=<ID>"),
    (re.compile(r'^\* ID \("name" .*'), '* ID ("name" <ID>)'),
    (re.compile(r"^X-Cyrus-Session-Id: .*"), "X-Cyrus-Session-Id: <ID>"),
    (re.compile(r"\b3\.6\.1-[^ )]*"), "<VERSION>"),
    (re.compile(r"[A-Z][a-z]{2}, [ \d]\d [A-Z][a-z]{2} 202[6-9] \d\d:\d\d:\d\d [+-]\d{4}"), "<DATE>"),
    (re.compile(r"<\d+\.\d+@cyl\.test>"), "<CHALLENGE>"),
    (re.compile(r"\b1[6-9]\d{8}\b"), "<N>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<ID>"),
    (re.compile(r"(?<=MAILBOXID \()[a-z0-9]{24}(?=\))|(?<=uniqueid\" \")[a-z0-9]{24}(?=\")"), "<ID>"),
    (re.compile(r"(?<=MAILBOXIDS \()[^)]*(?=\))"), "<IDS>"),
    (re.compile(r'(modseq" ")\d+'), r"\1<N>"),
    (re.compile(r"\d+\.\d\d\d secs?( \d+ calls)?"), "<T>"),
    (re.compile(r'"[ \d]\d-[A-Z][a-z][a-z]-202[6-9] \d\d:\d\d:\d\d [+-]\d{4}"'), '"<DATE>"'),
    (re.compile(r"DELETED\.(\S+)\.[0-9A-F]{8}\b"), r"DELETED.\1.<N>"),
    (re.compile(r'"\d{5,}(;\d{5,})?"'), '"<N>"'),
    (re.compile(r":internal:00[0-9a-f]{40}"), ":internal:<KEY>"),
)


def normal(line):
    """What changes from run to run becomes a mark."""
    for pattern, mark in _CHANGING:
        line = pattern.sub(mark, line)
    return line


_PAIR = re.compile(r'"[^"]*" (?:"[^"]*"|NIL|\{\d+\}\n[^ )]*)')


def _sorted_entries(match):
    return match.group(1) + " ".join(sorted(_PAIR.findall(match.group(2)))) + ")"


def settled(lines):
    """The lines with what is in no particular order in its order."""
    text = re.sub(r'(\* METADATA [^(]*\()((?:%s ?)+)\)' % _PAIR.pattern, _sorted_entries, "\n".join(lines))
    text = re.sub(r"\((value\.shared \S+) (value\.priv \S+?)\)", r"(\2 \1)", text)
    return text.split("\n")


class Block:
    """What one client sends at once, the answer, and ours (None: the same)."""

    def __init__(self, who, number):
        self.who, self.number, self.sent, self.answer, self.ours = who, number, [], [], None

    def wanted(self, ours):
        return self.answer if self.ours is None or not ours else self.ours

    @property
    def tag(self):
        return self.sent[0].split(" ")[0] if self.sent[0] else "*"

    def data(self):
        return complete(b"\r\n".join(unescape(line) for line in self.sent)) + b"\r\n"


class Script:
    """steps: Blocks and names of clients that begin a new session."""

    def __init__(self, text):
        self.conf, self.setup, self.steps = {}, [], []
        for number, line in enumerate(text.split("\n"), 1):
            self._line(number, line)

    @classmethod
    def load(cls, path):
        with open(path, encoding="latin-1") as f:
            return cls(f.read())

    def _line(self, number, line):
        match = _CLIENT.match(line)
        last = self.steps[-1] if self.steps and isinstance(self.steps[-1], Block) else None
        if line.startswith("conf "):
            _, name, value = line.split(" ", 2)
            self.conf[name] = value
        elif line.startswith("setup "):
            self.setup.append((line[6], line[8:]))
        elif line.startswith("@ "):
            self.steps.append(line[2:])
        elif match:
            begins = match.group(1) not in OTHERS and re.match(r"[a-z]?\d+ [A-Z]{2,}", match.group(2))
            if last is None or last.who != match.group(1) or last.answer or begins:
                self.steps.append(Block(match.group(1), number))
            self.steps[-1].sent.append(match.group(2))
        elif line.startswith("S:") and last:
            last.answer.append(line[3:])
        elif line.startswith("O:") and last:
            last.ours = (last.ours or []) + [line[3:]]
        elif line and not line.startswith("#"):
            raise ValueError(f"line {number}: {line!r}")


SERVICES = ("imap", "lmtp", "pop3")


def prepare(server, script):
    """Starts it as the script wants it."""
    conf = dict(script.conf)
    if conf.pop("tls", None):
        server.use_tls()
    if any(not isinstance(step, str) and step.who == "M" for step in script.steps):
        server.add_service(OTHERS["M"], cmd="lmtpd")
    server.conf.update({"unixhierarchysep": False, "altnamespace": False, "conversations": False})
    server.conf.update(conf)
    for user in ("cassandane", *script.conf.get("proxyservers", "").split()):
        server.add_user(user)
    server.start()
    return server


class Player:
    """Plays a script on a server that prepare() has started."""

    def __init__(self, server):
        self._server = server
        self._sessions = {}
        self._uidvalidity = b"0"
        self._urls = []

    def close(self):
        for session in self._sessions.values():
            session.close()
        self._sessions = {}

    def begin(self, who, login=True):
        if who in self._sessions:
            self._sessions[who].close()
        if who in OTHERS:
            self._sessions[who] = LineClient(self._server.address(OTHERS[who]))
            self._sessions[who].readline()
            return
        client = self._sessions[who] = self._server.imap()
        if not login:
            return
        if self._server.conf.get("allowplaintext") == "no" or self._server.conf.get("sasl_minimum_layer"):
            client.ok("STARTTLS")
            client.start_tls(self._server.cafile)
        client.login(USERS[who], password(USERS[who]))

    def _session(self, who):
        if who not in self._sessions:
            self.begin(who)
        return self._sessions[who]

    def setup(self, script):
        for n, (who, command) in enumerate(script.setup):
            session = self._session(who)
            session.send(f"setup{n} ".encode() + complete(unescape(command)) + b"\r\n")
            answer = self._read(session, f"setup{n}")
            assert f"setup{n} OK" in answer[-1], (who, command, answer)
        self.close()

    @staticmethod
    def _read(session, tag, count=None):
        """Lines up to the tagged one, a continuation, the end, or count."""
        lines = []
        while count is None or len(lines) < count:
            try:
                line = escape(session.readline())
            except (EOFError, ConnectionResetError):
                lines.append("<closed>")
                break
            lines.append(line)
            if line.startswith((f"{tag} OK", f"{tag} NO", f"{tag} BAD", "+ ")):
                break
        return lines

    def layer(self, who, name):
        session = self._session(who)
        if name == "tls":
            session.start_tls(self._server.cafile)
        else:
            session.start_deflate()

    @staticmethod
    def _lmtp_replies(session, block):
        """As many as the script has, or one."""
        lines = []
        for _ in range(max(1, sum(bool(re.match(r"\d{3}( |$)", line)) for line in block.answer))):
            while True:
                lines.append(escape(session.readline()))
                if not re.match(r"\d{3}-", lines[-1]):
                    break
        return lines

    @staticmethod
    def _pop3_answers(session, block):
        lines = []
        for command in block.sent:
            lines.append(escape(session.readline()))
            if lines[-1].startswith("+OK") and _MULTILINE.match(command):
                while lines[-1] != ".":
                    lines.append(escape(session.readline()))
        return lines

    def _other(self, block):
        """The same of a session that is not IMAP."""
        session = self._session(block.who)
        session.send(b"\r\n".join(unescape(line) for line in block.sent) + b"\r\n")
        try:
            answer = (self._pop3_answers if block.who == "P" else self._lmtp_replies)(session, block)
        except (EOFError, ConnectionResetError):
            answer = ["<closed>"]
        return [normal(line) for line in answer]

    def play(self, block):
        """The normal answer to a block."""
        if block.who in OTHERS:
            return self._other(block)
        session = self._session(block.who)
        session.send(re.sub(rb"<URL(\d+)>", lambda m: self._urls[int(m[1]) - 1], block.data().replace(b"<UV>", self._uidvalidity)))
        tag, count = block.tag, None
        tags = [m.group(1) for m in map(_TAGGED.match, block.answer) if m and m.group(1) != "*"]
        if tags:
            tag = tags[-1]
        elif not block.answer or not block.answer[-1].startswith("+ "):
            count = len(block.answer)
        answer = self._read(session, tag, count)
        for line in answer:
            match = re.search(r"\[(?:UIDVALIDITY|APPENDUID) (\d+)", line)
            if match:
                self._uidvalidity = match.group(1).encode()
            if line.startswith("* GENURLAUTH "):
                self._urls += [url.encode() for url in re.findall(r'"([^"]*)"', line)]
        return settled([normal(line) for line in answer])


def run(script, player, ours=True):
    """Plays everything to our server, or to 3.6.1; what differs from the script, as text ("" when nothing does)."""
    differences = []
    player.setup(script)
    for step in script.steps:
        if isinstance(step, str):
            if step[2:] in ("tls", "deflate"):
                player.layer(step[0], step[2:])
            else:
                player.begin(step[0], not step.endswith(" -"))
            continue
        got = player.play(step)
        if got != step.wanted(ours):
            differences.append("\n".join([f"line {step.number}: {step.who}: {step.sent[0]}"] +
                                         [f"  wanted {line}" for line in step.wanted(ours)] +
                                         [f"  got    {line}" for line in got]))
    player.close()
    return "\n".join(differences)

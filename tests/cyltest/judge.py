# SPDX-License-Identifier: BSD-3-Clause
"""A client that knows the right answers: it asks a server everything, and says which answers are wrong.

An answer is right, or it is an error (NO, BAD, BYE, a closed connection) and whatever came before the error is right as far as it goes:
lines may be missing then, items of a FETCH line, and numbers of what a search found, but none is there that is not in the right answer.
"""

import re
import socket

from .clients import Rejected
from .store import Snapshot

GONE = [b"no answer"]  # the connection was closed, or there was no session
SESSION = re.compile(rb"\* (BYE|NO|BAD)\b")
# Moments, not data: what this very session found or did.
MOMENTS = re.compile(rb'\* \d+ RECENT|\* OK \[(?:HIGHESTMODSEQ|URLMECH|NOMODSEQ|CLOSED)|"/shared/vendor/cmu/cyrus-imapd/lastupdate"')


def tokens(text):
    """The elements of a parenthesized list's text: lists, strings and literals as wholes."""
    out, at, depth, start = [], 0, 0, 0
    while at < len(text):
        c = text[at:at + 1]
        if c == b'"':
            end = re.compile(rb'(?:[^"\\]|\\.)*"', re.S).match(text, at + 1)
            at = end.end() if end else len(text)
            continue
        literal = re.compile(rb"~?\{(\d+)\}\r\n").match(text, at)
        if literal:
            at = literal.end() + int(literal[1])
            continue
        depth += (c in b"([") - (c in b")]")
        if c == b" " and not depth:
            out.append(text[start:at])
            start = at + 1
        at += 1
    return [*out, text[start:]]


def is_part_of(line, right):
    """Does a FETCH line say nothing that the right one does not say? Name and value of an item stand behind each other."""
    match = re.match(rb"(\* \d+ FETCH \()(.*)\)$", line, re.S)
    if not match or not right.startswith(match[1]):
        return False
    have, want = tokens(match[2]), tokens(right[len(match[1]):-1])
    items = {tuple(want[i:i + 2]) for i in range(0, len(want), 2)}
    return all(tuple(have[i:i + 2]) in items for i in range(0, len(have), 2))


def found_by(line):
    """The kind of a line that tells what a search found, and the messages; None: it is another line."""
    match = re.match(rb"\* (SEARCH|SORT|THREAD)\b([ ()\d]*)$", line)
    return match and (match[1], re.findall(rb"\d+", match[2]))


def lacks_some_of(line, right):
    """Is it what the right search found, without some of it?"""
    have, want = found_by(line), found_by(right)
    if not have or not want or have[0] != want[0]:
        return False
    return sorted(have[1]) == sorted(set(have[1]) & set(want[1])) and (
        have[0] == b"THREAD" or have[1] == [n for n in want[1] if n in have[1]])


def plain(line):
    """Without what LIST says of children: one of them may be what can't be read."""
    return re.sub(rb" ?\\Has(?:No)?Children", b"", line) if line.startswith((b"* LIST", b"* LSUB")) else line


def wrong(want, got):
    """None, or what is wrong with this answer."""
    if got == GONE:
        return None
    want_lines = [line for line in want[1:] if not MOMENTS.match(line)]
    lines = [line for line in got[1:] if not MOMENTS.match(line)]
    warned = got[0] != b"OK" or any(SESSION.match(line) for line in lines)
    lines = [line for line in lines if not SESSION.match(line)]
    if warned or want[0] != b"OK":
        known = {plain(line) for line in want_lines}
        extra = [line for line in lines if plain(line) not in known and not any(is_part_of(line, w) or lacks_some_of(line, w) for w in want_lines)]
        return f"with {got[0]!r} came {extra[:3]!r}" if extra else None
    if lines == want_lines or sorted(lines) == sorted(want_lines):
        return None
    return f"missing {[x for x in want_lines if x not in lines][:3]!r}, extra {[x for x in lines if x not in want_lines][:3]!r}"


class Client:
    """Asks one user's questions, in new sessions when one ends."""

    def __init__(self, server, user):
        self.server, self.user, self.imap = server, user, None

    def _session(self):
        if not self.imap:
            self.imap = self.server.imap(self.user, timeout=20)
        return self.imap

    def end(self):
        if self.imap:
            self.imap.close()
        self.imap = None

    def ask(self, command):
        asked = Snapshot()
        try:
            asked.ask(self._session(), self.user, command)
        except (EOFError, Rejected, ConnectionResetError, BrokenPipeError) as e:
            self.end()
            if isinstance(e, socket.timeout):
                raise
            return GONE
        return asked.answers[self.user, command]


def is_let_in(server, user):
    """Gets this user as far as an answer?"""
    client = Client(server, user)
    got = client.ask("NOOP")
    client.end()
    return got[0] == b"OK"


def examine(server, right):
    """All the questions again: [(question, what is wrong)], and how many answers were errors."""
    found, errors, clients, selected = [], 0, {}, {}
    for question, want in right.items():
        user, command, *of = question
        client = clients.setdefault(user, Client(server, user))
        if of and not selected.get((user, of[0])):
            errors += 1  # it could not be selected, and that was said
            continue
        got = client.ask(command)
        if command.startswith("EXAMINE "):
            selected = {key: v for key, v in selected.items() if key[0] != user}
            selected[user, command.split(" ", 1)[1]] = got[0] == b"OK"
        if got == GONE:
            selected = {key: v for key, v in selected.items() if key[0] != user}
        errors += got[0] != b"OK" or got == GONE
        complaint = wrong(want, got)
        if complaint:
            found.append((question, complaint))
    for client in clients.values():
        client.end()
    return found, errors

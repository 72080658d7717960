# SPDX-License-Identifier: BSD-3-Clause
"""A server whose disk operations are recorded, and what may be left of them after a power cut or on a disk that fails."""

import glob
import hashlib
import os
import re
import struct
import subprocess
import threading
import zlib

from cyltest.clients import Imap, Lmtp, Sync

MARKER = 18  # DISKIO_TRACE_MARKER
# Images tried of each recording, and faults of each command in it; 0: all faults.
STATES = int(os.environ.get("CRASH_STATES", "100"))
FAULTS = int(os.environ.get("CRASH_FAULTS", "6"))
SEED = int(os.environ.get("CRASH_SEED", "1"))


def message(n, size=200):
    """A message of about that many bytes; every third has the same subject."""
    head = (f"From: sender{n}@example.com\r\nTo: r@example.com\r\nSubject: number {n % 3}\r\n"
            f"Message-ID: <m{n}@example.com>\r\nDate: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\n")
    line = f"line of message {n} with some words in it\r\n"
    return (head + line * (size // len(line) + 1)).encode()


def marker(text):
    """A record of lib/diskio_trace.h that says something about the world outside the disk."""
    data = text.encode()
    head = struct.pack(">4sIHHIQQQQQQQIII", b"CDT1", 88 + len(data), MARKER, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                       0, 0, len(data))
    crc = zlib.crc32(data, zlib.crc32(head + b"\0\0\0\0"))
    return head + struct.pack(">I", crc) + data


def append_command(mailbox, data, flags=None, date=None):
    """As Imap.append sends it, but for the literal, which does not wait."""
    options = (f"({flags}) " if flags else "") + (f'"{date}" ' if date else "")
    return f'APPEND "{mailbox}" {options}{{{len(data)}+}}\r\n'.encode() + data


class Steps:
    """What each command was, so that it can be done again (fault_step.h)."""

    def __init__(self):
        self._selected = {}

    def describe(self, parts, fn, *args):
        """Bytes of a step's file; None: nothing that can be done again."""
        whole = "PARTS" if parts else "WHOLE"
        who, name = getattr(fn, "__self__", None), getattr(fn, "__name__", "")
        if isinstance(who, Imap) and name in ("ok", "append"):
            command = append_command(*args) if name == "append" else args[0].encode()
            before = self._selected.get(id(who), b"")
            if re.match(rb"(SELECT|EXAMINE) ", command):
                self._selected[id(who)] = b"c " + command + b"\r\n"
            elif command in (b"CLOSE", b"UNSELECT"):
                self._selected.pop(id(who), None)
            return self._imap(whole, who.user, before, command)
        if isinstance(who, Sync) and name == "ok" and args[0].startswith("APPLY "):
            return self._imap(whole, "admin", b"", b"SYNC" + args[0].encode())
        if isinstance(who, Lmtp) and name == "deliver":
            return self._lmtp(whole, *args)
        if name == "deliver":
            return self._lmtp(whole, args[0], args[1:])
        if name == "run" and args[0] != "ctl_cyrusdb":
            return "\n".join([f"tool {whole}", who.program(args[0]), *map(str, args[1:])]).encode()
        return None

    @staticmethod
    def _imap(whole, user, before, command):
        return f"imap {whole} {user} {len(before)}\n".encode() + before + b"op " + command + b"\r\n"

    @staticmethod
    def _lmtp(whole, data, users):
        users = [users] if isinstance(users, str) else users
        lines = ["LHLO client.test", "MAIL FROM:<sender@example.com>", *[f"RCPT TO:<{user}>" for user in users], "DATA", ""]
        return f"lmtp {whole} {len(users)}\n".encode() + "\r\n".join(lines).encode() + data + b".\r\nQUIT\r\n"


class Faults:
    """What faultcheck says."""

    NUMBERS = re.compile(r"(\d+) commands, (\d+) faults: (\d+) done, (\d+) refused, (\d+) killed, "
                         r"(\d+) times read-only; (\d+) wrong")

    def __init__(self, done):
        self.output = done.stdout + done.stderr
        match = self.NUMBERS.search(done.stdout)
        assert match, f"faultcheck ends with {done.returncode}:\n{self.output}"
        self.summary = match.group()
        (self.commands, self.tried, self.done, self.refused, self.killed, self.readonly,
         self.wrong) = map(int, match.groups())


class Result:
    """What crashcheck says: numbers of operations, images and wrong ones, and its whole output."""

    NUMBERS = re.compile(r"(\d+) operations, (\d+) syncs, (\d+) cuts; (\d+) images, "
                         r"(\d+) different ones tried, (\d+) wrong")

    def __init__(self, done):
        self.output = done.stdout + done.stderr
        match = self.NUMBERS.search(done.stdout)
        assert match, f"crashcheck ends with {done.returncode}:\n{self.output}"
        self.summary = match.group()
        (self.operations, self.syncs, self.cuts, self.images, self.tried,
         self.wrong) = map(int, match.groups())


class Recording:
    """Records what a server does to its disk. Configure `server`, then start().

    step(fn) is one command of a client: when fn returns it has been answered. The state
    of the store after it is kept, to be compared with what a recovery gives.
    """

    # Small enough that a few commands fill segments and make checkpoints.
    SMALL = {"journal_inline_size": "2K", "journal_segment_size": "48K",
             "journal_checkpoint_size": "64K", "debug": False,
             "unixhierarchysep": False, "altnamespace": False}

    def __init__(self, server):
        self.server = server
        server.conf.update(self.SMALL)
        self.copy, self.oracle = server.path("before"), server.path("oracle")
        self.trace = server.path("tmp", "trace")
        for path in (self.copy, self.oracle):
            server.account.mkdir(path)
        self._mutex = threading.Lock()
        self._steps = Steps()
        self._delivered = []

    def fill(self):
        """Two users with mail, and a clean stop."""
        server = self.server
        server.start()
        server.create_user("alice", "Work", "Work.Deep")
        server.create_user("bob")
        with server.imap("admin") as imap:
            imap.ok("SETQUOTA user.alice (STORAGE 100000)")
        server.deliver(message(1), "alice", "bob")
        server.stop()

    def copy_tree(self):
        for path in [self.server.path("conf"), *glob.glob(self.server.path("spool*"))]:
            subprocess.run(["cp", "-a", path, self.copy + "/"], check=True)

    def start(self, env=None):
        """The server is at rest. Its tree is copied, and it starts with recording."""
        self.copy_tree()
        self._env = {"CYLINDER_DISKIO_RECORD": self.trace, **(env or {})}
        self.server.env.update(self._env)
        self.server.start()
        # Somebody has the journal open all the time, so that nobody closes it as the last one.
        self.keeper = self.server.imap("admin")
        self.keeper.ok('LIST "" "*"')
        self.number = 0
        self._keep_state()
        self.mark("answered 0")

    def mark(self, text):
        fd = os.open(self.trace, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, marker(text))
        finally:
            os.close(fd)

    def _keep_state(self):
        path = os.path.join(self.oracle, f"state.{self.number}")
        self.server.run("crashcheck", "-d", path)
        with open(path, encoding="ascii") as f:
            self.state = f.read()

    def _append(self, name, line):
        with open(os.path.join(self.oracle, name), "a", encoding="ascii") as f:
            f.write(line + "\n")

    def step(self, fn, *args, parts=False, each=False):
        """parts: the command does several things, of which a power cut may leave some. each: at most one in each mailbox."""
        number = self.number + 1
        if parts or each:
            self._append("each" if each else "parts", str(number))
        step = self._steps.describe(parts or each, fn, *args)
        if step:
            with open(os.path.join(self.oracle, f"step.{number}"), "wb") as f:
                f.write(step)
        self.mark(f"begin {number}")
        answer = fn(*args)
        self.mark(f"answered {number}")
        self.number = number
        self._keep_state()
        return answer

    def begins_elsewhere(self, number):
        """As step() with parts, for a command that somebody else marks in the trace."""
        self._append("parts", str(number))

    def has_ended(self, number):
        self.number = number
        self._keep_state()

    def messages(self, mailbox):
        """SHA-1 of the messages of a mailbox (internal name) as of the last step."""
        return re.findall(rf"^message {re.escape(mailbox)} \d+ ([0-9a-f]{{40}}) ", self.state, re.M)

    def partition(self, mailbox):
        return re.search(rf"^mailbox {re.escape(mailbox)} id \S+ partition (\S+)", self.state, re.M).group(1)

    def usage(self, root):
        """The record of a quota root in quotas.db; None: there is none."""
        match = re.search(rf"^record quotas\.db {re.escape(root)} = (.*)", self.state, re.M)
        return match and match.group(1)

    def uses(self, mailbox):
        """Special uses, as stored."""
        ids = re.findall(rf"^mailbox {re.escape(mailbox)} id (\S+) ", self.state, re.M)
        return "".join(re.findall(rf"^record annotations\.db {re.escape(ids[0])}\\00/specialuse\\00\S* = (.*)", self.state, re.M)
                       if ids else [])

    def user_file(self, user, name):
        """The file of a user at rest; None: there is none."""
        inbox = self.server.run("mbpath", f"user.{user}").stdout.strip().rsplit("/", 3)[1:]
        path = self.server.path("conf", "user", "uuid", *inbox, name)
        return path if os.path.exists(path) else None

    def subscriptions(self, user):
        """Internal names as of the last step, of the only user who has any."""
        keys = re.findall(r"^record \S*subhistory\.db N(\S+) = 1 on ", self.state, re.M)
        return sorted(re.sub(r"^INBOX", f"user.{user}", key.replace("\\1f", ".")) for key in keys)

    def stored(self, mailbox, data):
        """Is the message there? Headers that a delivery adds may stand before it."""
        known = set(self.messages(mailbox))
        return any(sha1 in known for sha1 in self._files_with(data))

    def _files_with(self, data):
        """SHA-1 of the message files that end with these bytes."""
        found = []
        for path in glob.glob(self.server.path("spool*", "uuid", "*", "*", "*", "[1-9]*.")):
            with open(path, "rb") as f:
                stored = f.read()
            if stored.endswith(data):
                found.append(hashlib.sha1(stored).hexdigest())
        return found

    def deliver(self, lmtp, number, data, users):
        """A delivery beside others. What is there in the end is compared, not the state after each."""
        self.mark(f"begin {number}")
        replies = lmtp.deliver(data, users)
        self.mark(f"answered {number}")
        assert all(code == 250 for code, _ in replies)
        with self._mutex:
            self._delivered.append((number, data, users))

    def delivered(self):
        """Looks up what the deliveries have stored; their number."""
        for number, data, users in self._delivered:
            sha1s = set(self._files_with(data))
            assert len(sha1s) == 1, f"message {number} is stored as {sha1s}"
            sha1 = sha1s.pop()
            for user in users:
                self._append("messages", f"{number} user.{user} {sha1}")
        return len(self._delivered)

    def stop(self):
        self.keeper.close()
        self.server.stop()
        for name in self._env:
            del self.server.env[name]

    def check(self, states, *args, env=None):
        """Tries that many images; Result."""
        argv = [self.server.program("crashcheck"), "-C", self.server.imapd_conf, "-r", self.server.root,
                "-b", self.copy, "-t", self.trace, "-o", self.oracle, "-n", str(states),
                "-s", str(SEED), *args]
        done = subprocess.run(argv, env={**self.server.env, **(env or {})}, cwd=self.server.path("tmp"),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=900,
                              **self.server.account.popen_args())
        return Result(done)

    def faults(self, count, *args, env=None):
        """Each command again, with so many faults; Faults."""
        self.server.allow_log("")  # what tools say of their faults
        work = self.server.path("tmp", "work")
        self.server.account.mkdir(work)
        done = self.server.run("faultcheck", "-r", self.server.root, "-b", self.copy, "-t", self.trace,
                               "-o", self.oracle, "-w", work, "-n", count, "-s", SEED, *args, check=False, timeout=3600)
        return Faults(done)

    def middle(self):
        """A position in the middle of the trace, about: records are not of one size."""
        with open(self.trace, "rb") as f:
            return f.read().count(b"CDT1") // 2

    def image(self, image):
        """Leaves that image ("POSITION:MODE:SEED") below the root, as the power cut did."""
        return self.check(1, "-x", image, "-k")

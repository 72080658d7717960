# SPDX-License-Identifier: BSD-3-Clause
"""Random work of many sessions at once on the mailboxes of one user and a neighbour, for counts that must not drift.

A session may find what it wants to change gone, taken or over quota: NO is an answer. BAD and a lost connection are not.
"""

import random
import re
import threading
import time

from .clients import Literal

FOLDERS = [".".join(path) for path in (("a",), ("b",), ("a", "x"), ("a", "y"), ("b", "x"), ("a", "x", "z"))]
SIZES = (300, 1500, 5000, 20000)
# A session whose mailbox goes stays; some commands end the selection.
LOST_MAILBOX = re.compile(r"Please select a mailbox first|No mailbox selected|not selected|Unrecognized command", re.I)


def message(n, size):
    head = f"From: a@example.com\r\nSubject: m{n}\r\nMessage-ID: <q{n}@example.com>\r\n\r\n"
    return (head + "x" * (size - len(head) - 2) + "\r\n").encode()


class Session(threading.Thread):
    """One of them: operations until the time is over. What was wrong is in `failures`."""

    OPS = {"deliver": 14, "append": 8, "copy": 12, "move": 8, "mark_deleted": 10, "expunge": 10, "create": 5, "delete": 4, "rename": 5,
           "setquota": 5, "undelete": 2, "annotate": 4, "fix": 0.3}

    def __init__(self, server, number, seconds, seed):
        super().__init__()
        self.server, self.rng = server, random.Random(seed * 100 + number)
        self.ends = time.monotonic() + seconds
        self.failures, self.answers = [], {}
        self.user = "bob" if number % 4 == 3 else "alice"
        self.imap = self.admin = self.lmtp = None

    def run(self):
        try:
            self.imap, self.admin, self.lmtp = self.server.imap(self.user), self.server.imap("admin"), self.server.lmtp()
            while time.monotonic() < self.ends:
                name = self.rng.choices(list(self.OPS), list(self.OPS.values()))[0]
                self.last = name
                self.tell(name, getattr(self, name)())
        except Exception as error:  # told by the test
            self.failures.append(f"{self.user} {getattr(self, 'last', None)}: {error!r}")
        finally:
            for client in (self.imap, self.admin, self.lmtp):
                if client:
                    client.close()

    def tell(self, name, status):
        self.answers[name, status] = self.answers.get((name, status), 0) + 1

    def do(self, client, command):
        response = client.cmd(command)
        if response.status not in ("OK", "NO") and not LOST_MAILBOX.search(response.text):
            self.failures.append(f"{self.user}: {command!r:.200}: {response!r:.300}")
        return response.status

    def in_a_box(self, *commands):
        if self.do(self.imap, f"SELECT {self.box()}") == "OK":
            return [self.do(self.imap, command) for command in commands][-1]
        return "NO"

    def box(self):
        """As alice it is hers; bob, too, has rights on them."""
        folder = self.rng.choice(["", "", *FOLDERS])
        if self.user == "bob" and self.rng.random() < 0.5:
            return "user.alice" + (folder and "." + folder)
        return "INBOX" + (folder and "." + folder)

    def text(self):
        return message(n := self.rng.randrange(40), SIZES[n % len(SIZES)])

    # ---- operations ----

    def deliver(self):
        rcpts = self.rng.choice((["alice"], ["bob"], ["alice", "bob"], ["alice+a"], ["alice", "alice+b.x"]))
        codes = [code for code, _ in self.lmtp.deliver(self.text(), rcpts)]
        if not all(code == 250 or 400 <= code < 560 for code in codes):
            self.failures.append(f"LMTP: {codes}")
        return codes[0]

    def append(self):
        flags = self.rng.choice(("", r"(\Seen) ", r"(\Deleted) "))
        return self.do(self.imap, [f"APPEND {self.box()} {flags}", Literal(self.text())])

    def some(self):
        low = self.rng.randrange(1, 8)
        return self.rng.choice(("1:*", "1", "*", f"{low}:{low + 4}"))

    def copy(self):
        return self.in_a_box(f"UID COPY 1:* {self.box()}" if self.rng.random() < 0.1 else f"COPY {self.some()} {self.box()}")

    def move(self):
        return self.in_a_box(f"MOVE {self.some()} {self.box()}")

    def mark_deleted(self):
        sign = self.rng.choice("++-")
        return self.in_a_box(rf"STORE {self.some()} {sign}FLAGS.SILENT (\Deleted)")

    def expunge(self):
        return self.in_a_box(r"STORE 1:5 +FLAGS.SILENT (\Deleted)", "EXPUNGE", "UNSELECT")

    def create(self):
        return self.do(self.imap, f"CREATE {self.box()}")

    def delete(self):
        return self.do(self.imap, f"DELETE {self.box()}")

    def rename(self):
        return self.do(self.imap, f"RENAME {self.box()} {self.box()}")

    def annotate(self):
        return self.in_a_box(f'STORE 1:3 ANNOTATION (/comment (value.shared "{"n" * self.rng.randrange(1, 300)}"))')

    def setquota(self):
        root = self.rng.choice(("user.alice", "user.alice", "user.bob", "user.alice.a", "user.alice.a.x", "user.alice.b"))
        limits = self.rng.choice(("", "STORAGE 100000 MESSAGE 10000", "STORAGE 300", "MESSAGE 40 X-NUM-FOLDERS 20",
                                  f"STORAGE {2**63 - 1} MESSAGE {2**63 - 1}"))
        return self.do(self.admin, f"SETQUOTA {root} ({limits})")

    def undelete(self):
        lines = self.admin.ok('LIST "" DELETED.user.alice.*').find("* LIST")
        if not lines:
            return "none"
        return self.do(self.admin, f"RENAME {self.rng.choice(lines).decode().split()[-1]} user.alice.{self.rng.choice(FOLDERS)}")

    def fix(self):
        """In the midst of it all nothing is wrong, either; but roots without a mailbox go."""
        done = self.server.run("quota", "-f", "-q")
        wrong = [line for line in done.stderr.splitlines() if not line.endswith(": removed")]
        if wrong:
            self.failures.append("quota -f: " + "\n".join(wrong))
        return done.returncode


def run(server, sessions, seconds, seed):
    """All that failed, and how often each operation had which answer."""
    threads = [Session(server, number, seconds, seed) for number in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = {}
    for thread in threads:
        for key, count in thread.answers.items():
            answers[key] = answers.get(key, 0) + count
    return [failure for thread in threads for failure in thread.failures], answers


def recount(imap, names):
    """{name: (octets, messages)} of mailboxes, from what FETCH tells, and {digest: size} of messages not \\Deleted."""
    sums, alive = {}, {}
    for name in names:
        imap.ok(f"EXAMINE {name}")
        sizes = []
        for line in imap.ok("UID FETCH 1:* (RFC822.SIZE DIGEST.SHA1 FLAGS)").find("* "):
            match = re.search(rb"FLAGS \(([^)]*)\).*RFC822\.SIZE (\d+)", line)
            digest = re.search(rb"DIGEST\.SHA1 (\w+)", line)
            if not match or not digest:
                continue
            sizes.append(int(match[2]))
            if rb"\Deleted" not in match[1]:
                alive[digest[1]] = int(match[2])
        imap.ok("UNSELECT")
        sums[name] = (sum(sizes), len(sizes))
    return sums, alive

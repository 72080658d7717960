# SPDX-License-Identifier: BSD-3-Clause
"""Two servers whose disk operations are recorded in one trace, so that it is known what was on the one disk when something was on the other."""

import re
from collections import namedtuple

from cyltest import rolling
from cyltest.credentials import password
from recording import Recording

Image = namedtuple("Image", "pos mode seed server epoch")


class BothEnds:
    """a and b, each with the other one for a replica, and the homes of users (doc/failover.md)."""

    def __init__(self, a, b):
        self.ends = {"a.example": Recording(a), "b.example": Recording(b)}
        for server, other, name in ((a, b, "a.example"), (b, a, "b.example")):
            server.call_it(name)
            server.conf.update({**rolling.CONF, "sync_log": False, "sync_host": "127.0.0.1", "sync_port": other.ports["csync"],
                                "sync_authname": "repl", "sync_password": password("repl"), "sync_try_imap": False})
            server.allow_log("")
        first, second = self.ends.values()
        second.trace = first.trace

    def servers(self):
        return [end.server for end in self.ends.values()]

    def start(self):
        """The servers are at rest."""
        for end in self.ends.values():
            end.start()

    def step(self, fn, *args):
        """One command, of which a power cut may leave some; each end is as it is when it is over."""
        recorder = self.ends["a.example"]
        number = recorder.number + 1
        for end in self.ends.values():
            end.begins_elsewhere(number)
        recorder.mark(f"begin {number}")
        answer = fn(*args)
        recorder.mark(f"answered {number}")
        for end in self.ends.values():
            end.has_ended(number)
        return answer

    def stop(self):
        for end in self.ends.values():
            end.stop()

    def homes(self, name, user, states):
        """What crashcheck says of the images of one end, and of each the home of the user."""
        end = self.ends[name]
        path = end.server.path("tmp", "homes")
        with open(path, "wb"):
            pass
        end.server.account.give(path)
        result = end.check(states, "-v", "-H", path)
        images = []
        with open(path, encoding="ascii") as f:
            for line in f:
                pos, mode, seed = line.split()[0].split(":")
                match = re.search(rf" {user}=(\S+)/(\d+)", line)
                if match:
                    images.append(Image(int(pos), mode, int(seed), match.group(1), int(match.group(2))))
        return result, images

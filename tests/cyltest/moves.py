# SPDX-License-Identifier: BSD-3-Clause
"""Two servers, a directory that says who lives on which, and users that move from the first to the second."""

import os
import signal
import subprocess

from .pair import Pair
from .relay import Relay
from .syncdata import fill_user, user_state

CONF = {"conversations": True, "unixhierarchysep": False, "altnamespace": False, "virtdomains": "off",
        "expunge_mode": "delayed", "delete_mode": "delayed", "quota_db": "twoskip"}
# The directory of these tests: a file that says where a user lives. What runs before and after its change is in MOVE_BEFORE, MOVE_AFTER.
SWITCH = """#!/bin/sh
eval "$MOVE_BEFORE"
[ "$1 $2 $3" = "$MOVE_USER $MOVE_FROM $MOVE_TO" ] || exit 9
echo "$3" >"$MOVE_DIRECTORY/$1"
eval "$MOVE_AFTER"
"""


class Servers:
    """one and two, and a directory that says who lives where."""

    def __init__(self, one, two):
        self.one, self.two = one, two
        self.mover = None
        self.directory = one.path("directory")
        one.account.mkdir(self.directory)
        self.switch = one.path("switch")
        with open(self.switch, "w", encoding="ascii") as f:
            f.write(SWITCH)
        os.chmod(self.switch, 0o755)
        for server in (one, two):
            server.allow_log("SYNC|IOERROR|zero length|move of")

    def move(self, *args, env=None, wanted=0):
        """move_user on the source; stdout and stderr together."""
        argv = [self.one.program("move_user"), "-C", self.one.imapd_conf, *map(str, args)]
        done = subprocess.run(argv, env={**self.one.env, "MOVE_DIRECTORY": self.directory, **(env or {})}, cwd=self.one.path("tmp"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=120, check=False, **self.one.account.popen_args())
        # where the hooks end a process they say what a shell says of SIGKILL
        status = -signal.SIGKILL if done.returncode == 128 + signal.SIGKILL else done.returncode
        assert status == wanted, (argv, done.returncode, done.stdout)
        return done.stdout

    def move_killed(self, *args):
        """As move(), whatever becomes of it; mover: its process. What it said."""
        argv = [self.one.program("move_user"), "-C", self.one.imapd_conf, *args]
        env = {**self.one.env, "MOVE_DIRECTORY": self.directory}
        with subprocess.Popen(argv, env=env, cwd=self.one.path("tmp"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, **self.one.account.popen_args()) as process:
            self.mover = process
            said = process.communicate(timeout=3600)[0]
            self.mover = None
        return said

    def begin(self, user, *args, **kwargs):
        return self.move("-S", "127.0.0.1", "--switch", self.switch, *args, user, **kwargs)

    def relay(self, **callbacks):
        """Between one and two; move_user -S its path."""
        return Relay(self.one.path("tmp", "relay"), self.two.path("conf/socket/csync"), **callbacks)

    def lives(self, user):
        """What the directory says; None: nobody has ever said anything."""
        path = os.path.join(self.directory, user)
        if not os.path.exists(path):
            return None
        with open(path, encoding="ascii") as f:
            return f.read().strip()

    def fill(self, user):
        fill_user(self.one, user)
        self.two.add_user(user)
        return user_state(self.one, user)

    def state(self, user):
        """As cyr_user has it, or None."""
        listed = self.one.run("cyr_user", "list", "--all", user).stdout.split("\t")
        return listed[1] if len(listed) > 1 else None

    def left(self):
        moves = self.one.path("conf", "moves")
        return sorted(os.listdir(moves)) if os.path.isdir(moves) else []

    def is_only_on(self, server, user, before):
        """With all that he had, unchanged, and nothing of him on the other."""
        assert user_state(server, user) == before
        other = self.two if server is self.one else self.one
        assert user_state(other, user) == {"MAILBOX": {}, "QUOTA": {}, "SEEN": {}, "LSUB": []}, user

    def is_back(self, user, before):
        self.is_only_on(self.one, user, before)
        assert self.state(user) == "active" and user not in self.left()
        assert self.lives(user) in (None, self.one.conf["servername"])

    def has_moved(self, user, before):
        self.is_only_on(self.two, user, before)
        assert self.state(user) == "moved" and user not in self.left()
        assert self.lives(user) == "127.0.0.1"


def two_servers(factory, **conf):
    """Started; conf: more of imapd.conf."""
    pair = Pair(factory("one"), factory("two"))
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF | conf)
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.replica.path("conf/socket/csync"))
    pair.start()
    return Servers(pair.primary, pair.replica)


def subjects(server, user):
    with server.imap(user) as imap:
        imap.ok("SELECT INBOX")
        lines = imap.ok("FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])").untagged
        imap.logout()
    return [line.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for line in lines if b"Subject: " in line]

# SPDX-License-Identifier: BSD-3-Clause
"""Rolling replication: what a channel's state is, when it has caught up, and whether both ends are equal then."""

import json
import os
import time

from . import processes
from .credentials import password

CONF = {"unixhierarchysep": False, "altnamespace": False, "virtdomains": "off", "conversations": True,
        "delete_mode": "delayed", "expunge_mode": "delayed", "allowusermoves": True}
QUICK = {"sync_reconnect_maxwait": "1s", "sync_repeat_interval": "0"}


def set_up(pair, **conf):
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
    pair.primary.conf.update({**QUICK, "sync_log": False, "proxy_authname": "repl",
                              "proxy_password": password("repl"), **conf})
    return pair


def daemon(server, *args, name="roll"):
    """A DAEMON entry, before the start."""
    server.daemons.append((name, {"cmd": " ".join(("sync_client", "-r", "-l", *args))}))


def pids(server):
    return server.children("sync_client")


def kill_client(server):
    """Kills it as it is; DAEMON starts another one."""
    for pid in pids(server):
        processes.kill(pid)


def status(server, channel=None):
    args = ["-n", channel] if channel else []
    told = json.loads(server.run("sync_client", "--status", "--json", *args).stdout)
    if channel:
        return told[0]
    return next(one for one in told if one["channel"] == "")


def wait_until(server, what, channel=None, timeout=60.0):
    deadline = time.monotonic() + timeout
    while True:
        now = status(server, channel)
        if what(now):
            return now
        if time.monotonic() > deadline:
            raise AssertionError(f"{now}\n{server.log_text()[-4000:]}")
        time.sleep(0.1)


def caught_up(server, channel=None, timeout=60.0):
    return wait_until(server, lambda now: not now["events_behind"] and now.get("state") == "idle", channel, timeout)


def differences(pair, *users):
    done = pair.primary.run("check_replication", *pair.labels(), *users, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def must_be_equal(pair, *users):
    for user in users:
        found = differences(pair, user)
        assert not found, found


def write_log(server, lines, channel=None, name="log"):
    """A text log as a program of 3.6.1 would leave it."""
    path = log_path(server, name, channel)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "ab") as f:
        f.write(lines if isinstance(lines, bytes) else "".join(line + "\n" for line in lines).encode())
    for d in (server.path("conf", "sync"), os.path.dirname(path), path):
        server.account.give(d)
    return path


def log_path(server, name="log", channel=None):
    return server.path(*filter(None, ("conf", "sync", channel, name)))

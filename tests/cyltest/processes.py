# SPDX-License-Identifier: BSD-3-Clause
"""Finds the processes of one server by a mark in their environment, and ends them by pid."""

import os
import select
import signal
import time

MARK = "CYLTEST_INSTANCE"


def marked(value):
    """Pids, but for zombies, of all processes that inherited MARK=value."""
    needle = f"{MARK}={value}".encode()
    pids = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as env:
                if needle in env.read().split(b"\0"):
                    pids.append(int(name))
        except OSError:
            continue
    return sorted(pids)


def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "?"


def program(pid):
    """Name of what it runs, whatever it calls itself."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return "?"


def wait_gone(pids, timeout):
    """Waits until the processes have ended; the pids of those that have not."""
    poller = select.poll()
    left = {}
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        left[fd] = pid
        poller.register(fd, select.POLLIN)
    try:
        while left:
            events = poller.poll(int(timeout * 1000))
            if not events:
                break
            for fd, _ in events:
                poller.unregister(fd)
                os.close(fd)
                del left[fd]
        return sorted(left.values())
    finally:
        for fd in left:
            os.close(fd)


def wait_reaped(pids, timeout):
    """Until their parents have asked how they ended, too."""
    deadline = time.monotonic() + timeout
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.005)


def kill(pid, signo=signal.SIGKILL):
    try:
        os.kill(pid, signo)
    except ProcessLookupError:
        pass

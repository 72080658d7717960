# SPDX-License-Identifier: BSD-3-Clause
"""
W036: whatever file of either end is damaged, one run of sync_client brings the ends together, or names what is damaged; a second run
never does better, and what the sound end has stays there.

Two ends that have diverged; then a file of one of them has zeros in the middle, another beginning, no bytes, is gone or can't be read.
CYL_DAMAGE_ALL=1 tries every file with everything, else each file is damaged in one way, which CYL_DAMAGE_SEED chooses.
"""

import os
import random
import re

import pytest

from cyltest import damage, rolling
from cyltest.credentials import password
from cyltest.folders import contents, do, every, ready
from cyltest.instance import StartFailed
from cyltest.richstore import user_file
from cyltest.storefiles import Snapshot, mailbox_dir
from cyltest.syncdata import diverge, fill_user, message
from cyltest.syncline import guid

USER = "anna"
NOTHING = "nothing"
ALL = os.environ.get("CYL_DAMAGE_ALL")
SEED = os.environ.get("CYL_DAMAGE_SEED", "1")

IN_MAILBOX = ("1.", "cyrus.index", "cyrus.cache", "cyrus.header")
OF_USER = ("conversations", "counters", "sub", "subhistory")
OF_SERVER = ("mailboxes.db", "users.db", "quotas.db", "annotations.db")


def start_is_other(data):
    return b"rubbish!" * 8 + data[64:] if len(data) > 64 else b"rubbish!"


def gone(path):
    os.unlink(path)


def unreadable(path):
    os.chmod(path, 0)


WAYS = {"zeros": damage.zeros, "other start": start_is_other, "empty": damage.empty, "gone": gone, "unreadable": unreadable}


def path_of(server, kind):
    if kind in IN_MAILBOX:
        return os.path.join(mailbox_dir(server, f"user.{USER}"), kind)
    if kind == "cyrus.annotations":
        return os.path.join(mailbox_dir(server, f"user.{USER}.Work"), kind)
    return user_file(server, USER, kind) if kind in OF_USER else server.path("conf", kind)


def spoil(path, way):
    if way in (gone, unreadable):
        way(path)
        return True
    with open(path, "rb") as f:
        data = f.read()
    if way(data) == data:
        return False
    damage.damage(path, way)
    return True


@pytest.fixture
def diverged(pair):
    for server in (pair.primary, pair.replica):
        server.allow_log(".")
    ready(pair, proxy_authname="repl", proxy_password=password("repl"), quota_db="twoskip")
    fill_user(pair.primary, USER)
    do(pair.primary, "SELECT INBOX.Work", 'STORE 1 ANNOTATION (/comment (value.shared "kept"))')
    pair.replica.add_user(USER)
    pair.primary.run("sync_client", "-u", USER)
    diverge(pair.primary, pair.replica)
    before = {server: every(contents(server, USER)) for server in (pair.primary, pair.replica)}
    for server in (pair.primary, pair.replica):
        server.stop()
        server.saved = Snapshot(server)
    return pair, before


def said(pair, marks):
    return "".join(server.log_text()[marks[server]:] for server in marks)


def is_named(first, logged, path, kind):
    """In an error of the run or of a log: by its path, or by the mailbox (or user) whose file it is."""
    complaints = [line for line in logged.splitlines() if re.search("ERROR|error=", line)] + first.stderr.splitlines()
    names = [path] if kind in OF_SERVER else [path, f"user.{USER}", f"<{USER}>"]
    return any(name in line for line in complaints for name in names)


def is_told(text, path):
    """What is lost without a trace can't be mended by a run; that it is lost is said where it is noticed."""
    return re.search(r"a database is gone or empty and begins anew.*<%s>" % re.escape(os.path.basename(path)), text) or \
        (os.path.basename(path) == "conversations.db" and "conversations database is new, and messages are older" in text)


def is_found_by_verify(pair):
    """Bytes that no checksum of the run covers are read when that is asked for, and what is wrong is named."""
    verified = pair.primary.run("sync_client", "--verify", "-u", USER, check=False)
    return verified.returncode == 1 and f"user.{USER}" in verified.stdout + verified.stderr


def trial(pair, before, end, kind, way):
    """What is wrong with the outcome; None: nothing is; NOTHING: there was nothing to damage."""
    both = (pair.primary, pair.replica)
    sound = pair.replica if end is pair.primary else pair.primary
    for server in both:
        server.saved.restore()
    path = path_of(end, kind)
    if not os.path.exists(path) or not spoil(path, WAYS[way]):
        return NOTHING
    marks = {server: len(server.log_text()) for server in both}
    try:
        for server in both:
            server.start()
    except StartFailed:
        return None if path in said(pair, marks) else "the start fails and does not name it"
    first = pair.primary.run("sync_client", "-v", "-u", USER, check=False)
    logged = said(pair, marks)
    if first.returncode == 0:
        found = rolling.differences(pair, USER)
        if found and not is_told(logged, path) and not (kind == "cyrus.annotations" and is_found_by_verify(pair)):
            differing = [line for line in found.splitlines() if re.search(r" [1-9]\d*$|^[^ ]+: ", line)]
            return "said to be done, and differs: " + "\n".join(differing)
    elif not is_named(first, logged, path, kind) and not is_told(logged, path):
        return f"fails and does not name it: {first.stderr}"
    elif pair.primary.run("sync_client", "-u", USER, check=False).returncode == 0:
        return "a second run was needed"
    lost = before[sound] - {guid(message(3))} - every(contents(sound, USER))
    return f"lost at the other end: {lost}" if lost else None


def chosen(end):
    rng = random.Random(f"{SEED} {end}")
    for kind in (*IN_MAILBOX, "cyrus.annotations", *OF_USER, *OF_SERVER):
        for way in WAYS if ALL else (rng.choice(list(WAYS)),):
            yield kind, way


@pytest.mark.parametrize("end", ["primary", "replica"])
def test_one_run_after_damage(diverged, end):
    pair, before = diverged
    complaints, done = [], 0
    for kind, way in chosen(end):
        wrong = trial(pair, before, getattr(pair, end), kind, way)
        done += wrong != NOTHING
        if wrong and wrong != NOTHING:
            complaints.append(f"{kind}, {way}: {wrong}")
        for server in (pair.primary, pair.replica):
            if server.running:
                server.stop()
    assert done >= 12, "most of these files are there, and can be damaged"
    assert not complaints, f"{len(complaints)} in {done} trials:\n" + "\n".join(complaints)

# SPDX-License-Identifier: BSD-3-Clause
"""A user's files are in the directory of the INBOX's UNIQUEID: every open of a busy day, traced."""

import os
import re
import shutil

import pytest

from cyltest.credentials import password
from cyltest.differences import message

CONF = {"conversations": True, "unixhierarchysep": False, "altnamespace": False,
        "allowusermoves": True, "autocreate_quota": 0,
        "autocreate_post": True, "delete_mode": "delayed"}
CALL = re.compile(r'^\d+ +(openat|open|creat|mkdirat|mkdir|renameat2?|rename|linkat|link)\((.*)\) = (-?\d+)')
PATH = re.compile(r'"([^"]*)"')


def traced(server):
    """master and all it starts run under strace, which is nobody's parent (-D)."""
    plain = server.master_command
    trace = server.path("trace")
    server.master_command = lambda: ["strace", "-D", "-f", "-qq", "-s", "4096", "-o", trace, "-e",
                                     "trace=openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,"
                                     "link,linkat", *plain()]
    return trace


def made_or_written(trace):
    """Paths that some call made, or opened so that it could write."""
    found = set()
    with open(trace, encoding="utf-8", errors="replace") as f:
        for line in f:
            call = CALL.match(line)
            if not call or int(call.group(3)) < 0:
                continue
            if call.group(1).startswith("open") and not re.search(r"O_WRONLY|O_RDWR|O_CREAT", call.group(2)):
                continue
            found.update(PATH.findall(call.group(2)))
    return found


def a_busy_day(pair):
    """Creation in all ways, mail, flags, shared folders, subscriptions, annotations, rename, deletion, sync."""
    primary = pair.primary
    primary.create_user("alice", "Work")
    primary.deliver(message(1), "alice")
    primary.deliver(message(2), "bob")  # autocreate
    with primary.imap("carol") as imap:  # autocreate by login
        imap.ok("SELECT INBOX")
        imap.logout()
    with primary.imap("alice") as imap:
        imap.append("INBOX.Work", message(3))
        imap.ok("SUBSCRIBE INBOX.Work")
        imap.ok("SETACL INBOX.Work bob lrsw")
        imap.ok('SETMETADATA INBOX.Work (/shared/comment "x" /private/comment "y")')
        imap.ok("SELECT INBOX")
        imap.ok("COPY 1 INBOX.Work")
        imap.ok(r"STORE 1 +FLAGS (\Seen)")
        imap.ok("RENAME INBOX.Work INBOX.Job")
        imap.logout()
    with primary.imap("bob") as imap:
        imap.ok("SELECT user.alice.Job")
        imap.ok(r"STORE 1 +FLAGS (\Seen)")
        imap.ok("SUBSCRIBE user.alice.Job")
        imap.logout()
    pair.sync("-u", "alice", "bob", "carol")
    pair.replica.run("sync_reset", "-f", "alice")
    pair.sync("-u", "alice")
    with primary.imap("admin") as imap:
        imap.ok("SETQUOTA user.alice (STORAGE 1000)")
        imap.ok("SETACL user.carol admin lrswipkxtecda")
        imap.ok("RENAME user.carol user.dave")
        imap.ok("DELETE user.dave")
        imap.ok("CREATE user.dave")
        imap.logout()
    primary.run("cyr_expire", "-E", "1", "-D", "0s", "-X", "0")
    pair.sync("-u", "alice", "bob", "dave")


def uniqueids(server):
    """Of every INBOX that there is, or has been."""
    text = server.run("ctl_mboxlist", "-d").stdout
    with server.sync() as sync:
        sync.login("repl", password("repl"))
    return set(re.findall(r'"uniqueid": *"([^"]+)"', text))


@pytest.mark.skipif(shutil.which("strace") is None, reason="NOT TESTED: strace is not installed")
def test_nothing_of_a_user_is_written_elsewhere(pair):
    traces = {}
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        traces[server] = traced(server)
    pair.start()
    a_busy_day(pair)
    for server, trace in traces.items():
        known = uniqueids(server)
        top = server.path("conf", "user")
        written = {os.path.relpath(p, top) for p in made_or_written(trace) if p.startswith(top + "/")}
        assert len(written) > 10  # the trace is one of this server
        wrong = [p for p in written if p != "uuid" and not p.startswith("uuid/")]
        assert not wrong, wrong
        for path in written:
            parts = path.split("/")
            if len(parts) < 4:
                continue
            assert parts[1:3] == list(parts[3][:2]), path
        ids = {p.split("/")[3] for p in written if p.count("/") >= 4}
        assert len(ids & known) >= 3
        # no file of a user by his name, at any place of the configuration directory
        for path in made_or_written(trace):
            assert not re.search(r"/conf/.*\b(alice|bob|carol|dave)\.(conversations|counters|seen|sub|subhistory|dav)",
                                 path), path

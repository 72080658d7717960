# SPDX-License-Identifier: BSD-3-Clause
"""
No wrong data leaves the server: zeros and rubbish at places of each kind of stored file, and then a client that knows all the right
answers asks for them. Each answer is right, or an error. Nothing crashes or hangs, no file is removed or becomes shorter.

Places are all blocks of a grid over the file and random ones. doc/checksums.md says which files have no checksum, and what of their damage
can be seen.
"""

import glob
import os
import random
import re

import pytest

from cyltest import judge, richstore
from cyltest.instance import StartFailed
from cyltest.storefiles import mailbox_dir

SEED = os.environ.get("CYL_ZAP_SEED", "1")
PLACES = int(os.environ.get("CYL_ZAP_PLACES", "5"))  # blocks of the grid, and half as many random places
KINDS = ("message", "cyrus.index", "cyrus.cache", "cyrus.annotations", "mailboxes.db", "users.db", "conversations.db",
         "counters.db", "seen", "subhistory", "quotas.db", "annotations.db", "deliver.db", "tls_sessions.db", "user_deny.db", "sub", "cyrus.header")


@pytest.fixture(scope="module")
def store(request):
    yield from richstore.stopped(request)


def file_of(server, kind):
    if kind == "message":
        return os.path.join(mailbox_dir(server, "user/alice"), "2.")
    if kind == "cyrus.index":
        return os.path.join(mailbox_dir(server, "user/alice"), "cyrus.index")
    if kind == "segment":
        return sorted(glob.glob(server.path("conf", "journal", "*.log")))[-1]
    if kind == "sub":
        return richstore.user_file(server, "alice", "sub")
    return richstore.path_of(server, kind)


def places(size, rng):
    """(from, to): a grid of blocks, each hit in its middle, and random ranges of some lengths."""
    step = max(16, size // PLACES)
    for at in range(0, size, step):
        yield at, min(size, at + min(step, 64))
    for _ in range(PLACES // 2):
        length = rng.choice((1, 4, 16, 512))
        at = rng.randrange(size)
        yield at, min(size, at + length)


def fill(kind, data, start, end, rng):
    new = bytes(end - start) if kind == "zeros" else bytes(rng.randrange(256) for _ in range(end - start))
    return data[:start] + new + data[end:]


def used_bytes(path):
    with open(path, "rb") as f:
        return f.read()


def all_files(server):
    found = {}
    for top in ("conf", "spool", "second"):
        for base, _, names in os.walk(server.path(top)):
            if re.search(r"/(journal|proc|stage\.|sync\.|lock|socket|log)(/|$)", base):
                continue
            for name in names:
                path = os.path.join(base, name)
                if os.path.isfile(path):
                    found[path] = os.path.getsize(path)
    return found


def check_files(server, before, path):
    """Files are there as they were, or longer; the damaged one may have been set aside whole."""
    now = all_files(server)
    for name, size in before.items():
        if os.path.basename(name) in ("verified", "statuscache.db", "tls_sessions.db") and name != path:
            continue
        if name == path and any(os.path.dirname(other) and os.path.basename(name) in other and other != name for other in now
                                if other not in before):
            continue
        assert name in now, f"{name} is gone"
        assert now[name] >= size, f"{name} is shorter: {now[name]} instead of {size}"


def trial(server, path, data, files):
    with open(path, "r+b") as f:
        f.write(data)
    try:
        server.start()
    except StartFailed as e:
        assert e.status is None or e.status >= 0
        server.kill()
        return [], 1
    let_in = [(("dave", "LOGIN"), "whom user_deny.db denies is let in")] if judge.is_let_in(server, "dave") else []
    found, errors = judge.examine(server, server.seen)
    found += let_in
    server.stop()
    check_files(server, files, path)
    return found, errors


@pytest.mark.parametrize("kind", KINDS)
def test_each_place(store, kind):
    server = store
    server.allow_log("IOERROR|DBERROR|ERROR|DENYDB|SYNCERROR")
    server.saved.restore()
    path = file_of(server, kind)
    whole = used_bytes(path)
    files = all_files(server)
    rng = random.Random(f"{SEED} {kind}")
    complaints, seen_errors, changed = [], 0, 0
    size = max(1, len(whole.rstrip(b"\0"))) if kind == "segment" else len(whole)
    for start, end in places(size, rng):
        for how in ("zeros", "rubbish"):
            data = fill(how, whole, start, end, rng)
            if data == whole:
                continue
            server.saved.restore()
            found, errors = trial(server, path, data, files)
            changed += 1
            seen_errors += errors > 0
            complaints += [(how, start, end, *c) for c in found]
    text = server.log_text()
    assert not re.findall(r".*(?:signaled to death|killed by signal|assertion|abnormal).*", text)
    each = {(c[3][0], c[3][1].split(" (")[0]): c for c in reversed(complaints)}
    assert not complaints, f"{len(complaints)} in {changed} trials: " + "\n".join(map(str, each.values()))
    print(f"{kind}: {changed} trials, {seen_errors} with errors")

# SPDX-License-Identifier: BSD-3-Clause
"""One message for each of the 16 ways in which two ends may have it expunged or not, and unlinked or not."""

import os
import re

from .folders import CONF
from .relay import Relay
from .storefiles import EXPUNGED, UNLINKED, index_of, mailbox_dir
from .syncdata import assert_same, login, message, sent_commands
from .syncline import full, mailbox

BOX = "user.anna.Work"
# UID: ((expunged, unlinked) of the primary, of the replica)
STATES = dict(enumerate(((((m & 2) > 0, (m & 1) > 0), ((r & 2) > 0, (r & 1) > 0)) for m in range(4) for r in range(4)), 1))
# Only the replica has it expunged: no state of what is replicated, but a change that somebody made there.
ASTRAY = [uid for uid, (here, there) in STATES.items() if there[0] and not here[0]]
LIVE = len(STATES) + 1  # and one that nothing happens to


def _expunge(server, uids):
    with server.imap("anna") as imap:
        imap.ok("SELECT INBOX.Work")
        imap.ok(rf"UID STORE {','.join(map(str, uids))} +FLAGS.SILENT (\Deleted)")
        imap.ok("EXPUNGE")
        imap.logout()


def _unlink(server, side):
    """The flag; what is expunged has no file any more either."""
    index, path = index_of(server, BOX), mailbox_dir(server, BOX)
    for recno, rec in enumerate(index.records, 1):
        state = STATES.get(rec["uid"])
        if not state or not state[side][1] or rec["flags"] & UNLINKED:
            continue
        index.set("flags", rec["flags"] | UNLINKED, recno)
        if rec["flags"] & EXPUNGED:
            os.unlink(os.path.join(path, f"{rec['uid']}."))


def states(server):
    return {rec["uid"]: (bool(rec["flags"] & EXPUNGED), bool(rec["flags"] & UNLINKED)) for rec in index_of(server, BOX).records}


def arrange(pair, astray=False):
    """Both ends as STATES say, but for those ASTRAY, which are only there if told."""
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.add_user("anna")
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.replica.path("conf/socket/csync"))
    pair.start()
    pair.primary.create_user("anna", "Work")
    with pair.primary.imap("anna") as imap:
        for n in range(1, LIVE + 1):
            imap.append("INBOX.Work", message(n))
        imap.logout()
    pair.primary.run("sync_client", "-o", "-u", "anna")
    _expunge(pair.primary, [uid for uid, (here, there) in STATES.items() if here[0] and there[0]])
    pair.primary.run("sync_client", "-o", "-u", "anna")
    if astray:
        _expunge(pair.replica, ASTRAY)
    _expunge(pair.primary, [uid for uid, (here, there) in STATES.items() if here[0] and not there[0]])
    for side, server in enumerate((pair.primary, pair.replica)):
        server.stop()
        _unlink(server, side)
        found = states(server)
        assert found.pop(LIVE) == (False, False)
        assert found == {uid: state[side] if astray or uid not in ASTRAY else (False, state[side][1]) for uid, state in STATES.items()}
    pair.start()


def run(pair):
    """One run of sync_client for the mailbox: its commands. (A run for its user would compare what is counted, too, and a live message that
    is marked as unlinked is not counted again.)"""
    with Relay(pair.primary.path("tmp", "relay"), pair.replica.path("conf/socket/csync")) as relay:
        pair.primary.run("sync_client", "-o", "-S", relay.path, "-m", BOX)
    return relay.commands


def must_be_equal(pair):
    assert_same(pair.primary, pair.replica)
    assert sent_commands(pair.primary.run("sync_client", "-v", "-v", "-o", "-m", BOX)) == []
    expunged = [{uid for uid, state in states(server).items() if state[0]} for server in (pair.primary, pair.replica)]
    assert expunged[0] == expunged[1] >= {uid for uid, (here, _) in STATES.items() if here[0]}


def run_in_one_round(pair):
    """What the primary has expunged goes across, and neither end asks for more."""
    marks = [server.log_mark() for server in (pair.primary, pair.replica)]
    commands = run(pair)
    assert not [c for c in commands if b"FULLMAILBOX" in c or b"RANGES" in c], commands
    assert len([c for c in commands if c.startswith(b"APPLY MAILBOX") and b"MBOXNAME user.anna.Work " in c]) == 1
    for server, mark in zip((pair.primary, pair.replica), marks):
        assert not re.search("CRC|checksum|inefficient", server.log_text(mark), re.I)
    must_be_equal(pair)


def one_round(pair):
    arrange(pair)
    run_in_one_round(pair)


def also_astray(pair):
    """A change of the replica's own is found by a comparison, in the same run, and expunge wins."""
    for server in (pair.primary, pair.replica):
        server.allow_log("SYNCERROR|CRC")
    arrange(pair, astray=True)
    commands = run(pair)
    assert len([c for c in commands if b"FULLMAILBOX" in c]) == 1
    must_be_equal(pair)
    gone = {uid for uid, (here, there) in STATES.items() if here[0] or there[0]}
    for server in (pair.primary, pair.replica):
        assert {uid for uid, state in states(server).items() if state[0]} == gone and LIVE in states(server)


def made_and_not_filled(pair, living):
    """The replica died when it had made the mailbox, with the numbers of the primary, and had no record of it yet (so does 3.6.1). No checksum tells of
    what is expunged."""
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.add_user("anna")
    pair.start()
    pair.primary.create_user("anna")
    pair.primary.run("sync_client", "-u", "anna")
    with pair.primary.imap("admin") as imap:
        imap.ok(f"CREATE {BOX}")
        imap.logout()
    with pair.primary.imap("anna") as imap:
        for n in range(1, 5):
            imap.append("INBOX.Work", message(n))
        imap.logout()
    _expunge(pair.primary, range(1, 4 if living else 5))
    with login(pair.primary) as csync:
        ours = full(csync, BOX)
    numbers = ("UNIQUEID", "HIGHESTMODSEQ", "UIDVALIDITY", "CREATEDMODSEQ", "FOLDERMODSEQ")
    keys = {key: ours[key].decode() for key in numbers}
    with login(pair.replica) as csync:
        csync.ok("APPLY " + mailbox(BOX, LAST_UID=0, SYNC_CRC_ANNOT=12345678, **keys))
    pair.primary.run("sync_client", "-u", "anna")
    with login(pair.replica) as csync:
        assert [r["UID"] for r in full(csync, BOX)["RECORD"]] == [r["UID"] for r in ours["RECORD"]]
    assert states(pair.replica) == states(pair.primary)
    assert_same(pair.primary, pair.replica)

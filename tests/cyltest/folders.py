# SPDX-License-Identifier: BSD-3-Clause
"""Folders that come, go and change names and identities at two ends, and a look at the replica at each command."""

import re

from .dlist import parse
from .relay import Relay
from .syncdata import assert_same, login, message
from .syncline import full, guid, mailbox, record

CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False,
        "altnamespace": False, "virtdomains": "off", "expunge_mode": "delayed",
        "delete_mode": "delayed", "allowusermoves": True}


def ready(pair, *users, **conf):
    """Both ends started, reached by a socket, with these users; INBOX has messages 1 and 2."""
    for server in (pair.primary, pair.replica):
        server.conf.update(CONF)
        server.conf.update(conf)
        for user in users:
            server.add_user(user)
    pair.replica.add_service("csyncunix", cmd="sync_server", listen=pair.replica.path("conf/socket/csync"))
    pair.start()
    for user in users:
        pair.primary.create_user(user)
        with pair.primary.imap(user) as imap:
            imap.append("INBOX", message(1, f"{user} 1"))
            imap.append("INBOX", message(2, f"{user} 2"))
            imap.logout()
    return pair


def fill(server, folder, *numbers, user="anna"):
    with server.imap(user) as imap:
        imap.cmd(f"CREATE {folder}")
        for n in numbers:
            imap.append(folder, message(n))
        imap.logout()


def do(server, *commands, user="anna"):
    with server.imap(user) as imap:
        for command in commands:
            imap.ok(command)
        imap.logout()


def names(server, user="anna"):
    with login(server) as csync:
        lines = [parse(line) for line in csync.ok(f"GET USER {user}").untagged]
    return {value["MBOXNAME"].decode(): value["UNIQUEID"].decode() for kind, value in lines if kind == "MAILBOX"}


def uidvalidities(server, user="anna"):
    with server.imap(user) as imap:
        folders = [line.rsplit(b" ", 1)[1].decode() for line in imap.ok('LIST "" "*"').find("* LIST")]
        found = {one: imap.ok(f"STATUS {one} (UIDVALIDITY)").find("* STATUS")[0] for one in folders}
        imap.logout()
    return found


def contents(server, *users):
    """{mailbox: GUIDs of what lives there}, deleted mailboxes too."""
    out = {}
    with login(server) as csync:
        for user in users:
            for line in csync.ok(f"GET USER {user}").untagged:
                kind, value = parse(line)
                if kind != "MAILBOX":
                    continue
                name = value["MBOXNAME"].decode()
                out[name] = sorted(r["GUID"].decode() for r in full(csync, f'"{name}"').get("RECORD") or []
                                   if b"\\Expunged" not in r["FLAGS"])
    return out


def every(found):
    return {one for guids in found.values() for one in guids}


class Watch:
    """A run of sync_client through a relay. Before each command the replica is looked at: a message that was there is
    absent at no moment, but for those of `may_go`. uploaded: GUIDs of the messages that were sent, in their order."""

    def __init__(self, pair, users=("anna",), may_go=()):
        self.pair, self.users, self.may_go = pair, users, set(may_go)
        self.before = every(contents(pair.replica, *users))
        self.problems, self.uploaded, self.commands = [], [], []
        self.done = None

    def _look(self, command):
        self.commands.append(command.split(b"(")[0].strip().decode())
        absent = self.before - every(contents(self.pair.replica, *self.users)) - self.may_go
        if absent:
            self.problems.append((command[:80], absent))
        if command.startswith(b"APPLY MESSAGE"):
            self.uploaded += [found.decode() for found in re.findall(rb"%\{\S+ ([0-9a-f]{40}) \d+\+?\}", command)]

    def run(self, *args, check=True):
        with Relay(self.pair.primary.path("tmp", "relay"), self.pair.replica.path("conf/socket/csync"),
                   on_command=self._look) as relay:
            self.done = self.pair.primary.run("sync_client", "-v", "-v", "-o", "-S", relay.path, *args, check=check)
        assert not self.problems, self.problems
        assert len(self.uploaded) == len(set(self.uploaded)), "uploaded twice"
        return self.done

    def changes(self):
        return [c for c in self.commands if c.startswith("APPLY") and "CAPABILITIES" not in c]


class Meanwhile:
    """A run through a relay; what `work` does comes before commands that begin so."""

    def __init__(self, pair, begins, work, times=1):
        self.pair, self.begins, self.work, self.left, self.met = pair, begins, work, times, 0

    def _look(self, command):
        if command.startswith(self.begins) and self.left:
            self.left -= 1
            self.met += 1
            self.work(self.met)

    def run(self, *args):
        with Relay(self.pair.primary.path("tmp", "relay"), self.pair.replica.path("conf/socket/csync"), on_command=self._look) as relay:
            done = self.pair.primary.run("sync_client", "-v", "-v", "-o", "-S", relay.path, *args, check=False)
        assert self.met, "the run did not come there"
        return done

    def succeeds(self, *args):
        done = self.run(*args)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        return done


def to_and_fro(server, one, two):
    """For Meanwhile: a folder that gets the other one of two names each time."""
    def work(n):
        do(server, f"RENAME {two} {one}" if n % 2 == 0 else f"RENAME {one} {two}")
    return work


def meet_again(pair, user="anna"):
    """One run more, and the ends are equal."""
    pair.primary.run("sync_client", "-u", user)
    assert_same(pair.primary, pair.replica, user)


def other_identity(server, name, uniqueid):
    """The mailbox has another UNIQUEID from now on, and no record tells of the old one: what a reconstruct did that
    could not read the header."""
    with login(server) as csync:
        whole = full(csync, f'"{name}"')
        old = whole["UNIQUEID"].decode()
        guids = " ".join(r["GUID"].decode() for r in whole["RECORD"])
        csync.ok(f"APPLY RESERVE %(PARTITION default MBOXNAME ({name}) GUID ({guids}))")
        records = [record(int(r["UID"]), int(r["MODSEQ"]), " ".join(f.decode() for f in r["FLAGS"]), guid_=r["GUID"].decode(),
                          size=int(r["SIZE"]), last_updated=int(r["LAST_UPDATED"])) for r in whole["RECORD"]]
        keys = {k: whole[k].decode() for k in ("LAST_UID", "HIGHESTMODSEQ", "UIDVALIDITY")}
        csync.ok("APPLY " + mailbox(f"{name}-other", records, UNIQUEID=uniqueid, **keys))
        csync.ok(f"APPLY UNMAILBOX {name}")
        csync.ok(f"APPLY RENAME %(OLDMBOXNAME {name}-other NEWMBOXNAME {name} PARTITION default)")
    # no trace of what was before
    server.run("cyr_dbtool", server.path("conf/mailboxes.db"), "twoskip", "delete", f"I{old}", check=False)
    return old


__all__ = ["CONF", "ready", "fill", "do", "names", "contents", "every", "meet_again", "Meanwhile", "to_and_fro", "Watch", "other_identity", "guid", "message"]

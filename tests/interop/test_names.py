# SPDX-License-Identifier: BSD-3-Clause
"""The same names on both servers, in every kind of namespace and layout.

Each shape of configuration runs one script on 3.6.1 and on ours: what clients are answered, the keys of
mailboxes.db, what mbpath says and which files exist must be equal, but for ids and times.
"""

import os
import re

import pytest

from cyltest.store import BIN, records

SHAPES = {
    "dots": {"unixhierarchysep": False, "altnamespace": False, "virtdomains": "off",
             "mailbox_legacy_dirs": True, "hashimapspool": True},
    "slashes": {"unixhierarchysep": True, "altnamespace": False, "virtdomains": "userid",
                "defaultdomain": "example.com", "metapartition-default": "@/meta",
                "metapartition_files": "header index annotations"},
    "alternate-dots": {"unixhierarchysep": False, "altnamespace": True, "virtdomains": "userid",
                       "defaultdomain": "example.com", "crossdomains": True, "userprefix": "Users",
                       "sharedprefix": "Public", "altprefix": "Alt", "delete_mode": "immediate"},
    "alternate-slashes": {"unixhierarchysep": True, "altnamespace": True, "virtdomains": "on",
                          "defaultdomain": "example.com", "mailbox_legacy_dirs": True,
                          "hashimapspool": True, "fulldirhash": True, "partition-second": "@/second",
                          "metapartition-default": "@/meta", "metadir-header-default": "@/headers",
                          "metapartition_files": "header index cache", "archive_enabled": True,
                          "archivepartition-default": "@/archive", "deletedprefix": "GONE"},
    "plain": {},
    "partitions": {"virtdomains": "off", "partition-second": "@/second", "partition-third": "@/third",
                   "defaultpartition": "second", "reverseacls": True, "anyoneuseracl": False},
}
USERS = ("alice", "e.ve")
DOMAIN_USERS = ("alice@example.org",)

# "{s}" stands for the separator.
NAMES = ("Sent", "a{s}b{s}c", "x.y", "x^y", "&AOQ-", "&AOQ-&AOU-", "&Jjo", "&-", "~tilde", "$dollar", "with space",
         "per%cent", "star*", "{s}lead", "trail{s}", "dou{s}{s}ble", "INBOX{s}sub", "inbox{s}low", "INBOX{s}INBOX{s}x",
         "InBoX", "Alt", "Users", "Other Users{s}x", "quote'", "brace{{", "pipe|", "back`", "a@b",
         "#hash", "user", "user{s}zoe", "Shared Folders{s}y", "Public{s}y", "DELETED{s}q", "GONE{s}q{s}5B000000",
         "q" * 200, "q" * 470, "q" * 490)
ADMIN_NAMES = ("shared", "shared{s}x.y", "user{s}anyone", "user{s}anonymous", "user{s}n^o", "user{s}d.ot", "user.p.q", "user{s}%x",
               "$x", "~x", "shared{s}&AOQ-", "shared@example.org", "shared{s}x@example.org", "user{s}bob@example.com",
               "user{s}bob{s}f@example.com", "a!b", "DELETED{s}x",
               "user{s}alice{s}by admin", "@example.org")


def mail(n):
    return (f"From: a@example.com\r\nSubject: {n}\r\nMessage-ID: <n{n}@example.com>\r\n"
            f"Date: Mon, 6 Feb 2023 10:00:00 +0000\r\n\r\nbody\r\n").encode()


class Script:
    """Runs on one server and keeps what was answered."""

    def __init__(self, server):
        self.server, self.said = server, []
        self.sep = "." if server.conf.get("unixhierarchysep") is False else "/"
        self.virtual = server.conf.get("virtdomains", "off") != "off"
        # 3.6.1 does not list the mailboxes of e.ve to himself when dots separate, and with crossdomains
        # does not show the default domain to users of others.
        self.users = (USERS if self.sep == "/" else USERS[:1]) + (
            DOMAIN_USERS if self.virtual and not server.conf.get("crossdomains") else ())

    def name(self, text):
        return text.format(s=self.sep)

    def ask(self, imap, who, command):
        reply = imap.cmd(command)
        text = reply.text if reply.status == "OK" else ""  # why not is a matter of other tests
        self.said.append((who, command, reply.status, text, tuple(reply.untagged)))
        return reply

    def admin(self):
        with self.server.imap("admin") as imap:
            for user in self.users:
                local, at, domain = user.partition("@")
                if self.sep == ".":
                    local = local.replace(".", "^")
                self.ask(imap, "admin", f"CREATE {self.name('user{s}')}{local}{at}{domain}")
            for name in ADMIN_NAMES:
                if "@" in name and not self.virtual:
                    continue  # 3.6.1 splits even so, and loses the user's files
                self.ask(imap, "admin", f'CREATE "{self.name(name)}"')
            self.ask(imap, "admin", f"SETACL {self.name('shared')} anyone lrsip")
            self.ask(imap, "admin", f"SETACL {self.name('user{s}alice')} e.ve lr")
            for name in ("shared", "user{s}alice", "user{s}e^ve", "user{s}e.ve", "nosuch"):
                self.ask(imap, "admin", f'GETACL "{self.name(name)}"')
            imap.logout()

    def user(self, user):
        with self.server.imap(user) as imap:
            self.ask(imap, user, "NAMESPACE")
            for name in NAMES:
                self.ask(imap, user, f'CREATE "{self.name(name)}"')
            self.ask(imap, user, f'RENAME Sent "{self.name("moved{s}Sent.x")}"')
            self.ask(imap, user, f'RENAME "{self.name("INBOX{s}sub")}" "{self.name("INBOX{s}other")}"')
            self.ask(imap, user, 'DELETE "with space"')
            self.ask(imap, user, f'DELETE "{self.name("INBOX{s}low")}"')
            for command in ('LIST "" *', 'LIST "" %', f'LIST "" "{self.name("%{s}%")}"', 'LSUB "" *', 'LIST "" "IN*"',
                            f'LIST "{self.name("a{s}")}" *', "GETACL INBOX", 'MYRIGHTS "&AOQ-"', 'LIST "" ""'):
                self.ask(imap, user, command)
            imap.logout()

    def deliver(self):
        folders = ["", "+Sent", "+moved{s}Sent.x", "+a{s}b", "+&AOQ-", "+nosuch", "+INBOX", "+x.y", "+x^y"]
        with self.server.lmtp() as lmtp:
            for n, (user, folder) in enumerate((u, f) for u in self.users for f in folders):
                local, at, domain = user.partition("@")
                to = f"{local}{self.name(folder)}{at}{domain}"
                self.said.append(("lmtp", to, lmtp.deliver(mail(n), [to])[0][0]))
            for to in ("+shared", "+shared.x", "+shared/x", "nobody", "+nosuch"):
                self.said.append(("lmtp", to, lmtp.deliver(mail(99), [to])[0][0]))
            lmtp.quit()

    def lists(self):
        """As everybody sees it in the end."""
        # With domains, 3.6.1 leaves user/alice out when there is user/alice@example.org.
        for user in self.users + (() if self.virtual else ("admin",)):
            with self.server.imap(user) as imap:
                self.ask(imap, user, 'LIST "" *')
                imap.logout()


def without_ids(text):
    text = re.sub(r" \([0-9.]+ secs( \d+ calls)?\)", "", text)
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "i" * 24, text)
    text = re.sub(r"/[0-9a-z]/[0-9a-z]/[0-9a-z]{24}\b", "/ID", text)
    text = re.sub(r"\b6[AB][0-9A-F]{6}\b", "TIME", text)
    return re.sub(r"\b[0-9a-z]{24}\b", "ID", text)


def normal(said):
    return [tuple(without_ids(part) if isinstance(part, str) else
                  tuple(without_ids(line.decode("latin-1")) for line in part) if isinstance(part, tuple) else part
                  for part in entry) for entry in said]


def keys(server):
    return sorted(without_ids(key) for key in records(server.path("conf", "mailboxes.db")) if key[0] in "NA")


def files(server):
    """Of mailboxes and users, but for those that are made at the first look (3.6.1) or value (ours)."""
    found = []
    for top in ("spool", "meta", "headers", "archive", "second", "third", "conf/user", "conf/domain"):
        for where, dirs, names in os.walk(server.path(top)):
            dirs[:] = [d for d in dirs if d not in ("stage.", "sync.")]
            found += [without_ids(os.path.relpath(os.path.join(where, n), server.root)) for n in names]
    return sorted(f for f in found if not f.endswith((".seen", "seen.db", "cyrus.annotations")))


def run(server, shape):
    for option, value in shape.items():
        if isinstance(value, str) and value.startswith("@/"):
            value = server.path(value[2:])
            server.account.mkdir(value)
        server.conf[option] = value
    server.conf["quota_db"] = "quotalegacy"
    for user in (*USERS, *DOMAIN_USERS):
        server.add_user(user)
    server.start()
    script = Script(server)
    script.admin()
    for user in script.users:
        script.user(user)
    script.deliver()
    script.lists()
    server.stop()
    return script


def paths(server, script, tool):
    said = []
    for name in ("user{s}alice", "user{s}alice{s}a{s}b", "user{s}e^ve", "user{s}e.ve", "shared", "nosuch",
                 "user{s}alice@example.org", "user{s}alice{s}x.y"):
        for arg in ("-a", "-M", "-j"):
            if name == "shared" and arg != "-M":
                continue  # 3.6.1 has files of no user to tell of
            done = server.run(tool, arg, script.name(name), check=False)
            said.append((name, arg, done.returncode, without_ids(done.stdout).replace(server.root, "")))
    for user in script.users:
        done = server.run(tool, "-u", "-a", user, check=False)
        said.append((user, done.returncode, without_ids(done.stdout).replace(server.root, "")))
    return said


def _part(entry, other):
    """Of an answer, what the other lacks."""
    return entry[:2], [part for part, its in zip(entry[2:], other[2:]) if part != its and not isinstance(part, tuple)], \
        [line for part in entry[2:] if isinstance(part, tuple) for line in part if line not in other[4]]


@pytest.mark.parametrize("shape", SHAPES)
def test_names(factory, debian_factory, shape):
    ours, debian = factory("ours", services=("imap", "lmtp")), debian_factory("debian", services=("imap", "lmtp"))
    ours.allow_log("directory can't be written to.*qqq")  # too long for a file system
    mine, theirs = (run(server, SHAPES[shape]) for server in (ours, debian))
    parts = [(a, b) for a, b in zip(normal(mine.said), normal(theirs.said)) if a != b]
    assert not parts, "\n".join(f"ours {_part(a, b)}\n3.6.1 {_part(b, a)}" for a, b in parts)
    assert set(keys(ours)) ^ set(keys(debian)) == set()
    assert set(files(ours)) ^ set(files(debian)) == set()
    for a, b in zip(paths(ours, mine, "mbpath"), paths(debian, theirs, BIN + "mbpath")):
        assert a == b

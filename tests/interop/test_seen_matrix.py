# SPDX-License-Identifier: BSD-3-Clause
"""Who has seen what: owner, another reader, a folder with one seen state for all, anonymous -- after
every kind of change. What 3.6.1 answers is what we answer, and what a replica of the other kind answers."""

import base64

import pytest

from cyltest import Pair
from cyltest.syncdata import message

CONF = {"conversations": True, "conversations_db": "twoskip", "unixhierarchysep": False,
        "altnamespace": False, "virtdomains": "off", "allowanonymouslogin": True,
        "sasl_mech_list": "PLAIN LOGIN ANONYMOUS", "allowusermoves": True}
RIGHTS = "lrswipkxte"


def anonymous(server):
    imap = server.imap()
    imap.ok("AUTHENTICATE ANONYMOUS " + base64.b64encode(b"trace").decode())
    return imap


# name: (session, prefix of the folders, shared seen state)
ACTORS = {
    "owner": (lambda server: server.imap("alice"), "INBOX", False),
    "other": (lambda server: server.imap("bob"), "user.alice", False),
    "owner-shared": (lambda server: server.imap("alice"), "INBOX", True),
    "other-shared": (lambda server: server.imap("bob"), "user.alice", True),
    "anonymous": (anonymous, "user.alice", False),
}


def append(imap, server, folder):
    for flags in (None, r"\Seen", r"\Seen \Flagged"):
        imap.append(folder, message(5), flags)


def store(imap, server, folder):
    imap.ok(f"SELECT {folder}")
    imap.ok(r"STORE 1:2 +FLAGS (\Seen)")
    imap.ok(r"STORE 2 -FLAGS (\Seen)")
    imap.ok(r"STORE 3 FLAGS (\Seen \Answered)")


def fetch_body(imap, server, folder):
    imap.ok(f"SELECT {folder}")
    imap.ok("FETCH 2 BODY[]")
    imap.ok("FETCH 3 BODY.PEEK[]")


def copy(imap, server, folder):
    imap.ok(f"SELECT {folder}")
    imap.ok(r"STORE 2 +FLAGS (\Seen)")
    imap.ok(f"COPY 1:2 {folder}.to")


def move(imap, server, folder):
    imap.ok(f"SELECT {folder}")
    imap.ok(r"STORE 1 +FLAGS (\Seen)")
    imap.ok(f"MOVE 1:2 {folder}.to")


def delivery(imap, server, folder):
    imap.ok(f"SELECT {folder}")
    imap.ok(r"STORE 1:* +FLAGS (\Seen)")
    server.deliver(message(6), "alice+" + folder.partition(".")[2].removeprefix("alice."))


def expunge(imap, server, folder):
    imap.ok(f"SELECT {folder}")
    imap.ok(r"STORE 2 +FLAGS (\Seen)")
    imap.ok(r"STORE 1 +FLAGS (\Deleted)")
    imap.ok("EXPUNGE")


ACTIONS = {action.__name__: action
           for action in (append, store, fetch_body, copy, move, delivery, expunge)}


def folder_of(actor, action):
    return f"{actor}-{action}".replace("_", "-")


def set_up(server):
    server.create_user("alice")
    server.create_user("bob")
    with server.imap("alice") as imap:
        for actor, (_, _, shared) in ACTORS.items():
            for action in ACTIONS:
                top = f"INBOX.{folder_of(actor, action)}"
                for folder in (top, f"{top}.to"):
                    imap.ok(f"CREATE {folder}")
                    if shared:
                        imap.ok(f'SETMETADATA {folder} (/shared/vendor/cmu/cyrus-imapd/sharedseen "true")')
                    imap.ok(f"SETACL {folder} bob {RIGHTS}")
                    imap.ok(f"SETACL {folder} anonymous {RIGHTS}")
                    imap.ok(f"SETACL {folder} anyone p")
                for n in (1, 2, 3):
                    imap.append(top, message(n))
        imap.logout()


def seen_by(imap, folder):
    """{UID: its flags}, without \\Recent."""
    imap.ok(f"EXAMINE {folder}")
    flags = {}
    for line in imap.ok("UID FETCH 1:* (UID FLAGS)").find("* "):
        if b"FETCH" in line:
            words = line.decode().replace("(", " ").replace(")", " ").split()
            uid = int(words[words.index("UID") + 1])
            flags[uid] = sorted(w for w in words if w.startswith("\\") and w != "\\Recent")
    return flags


def observe(server):
    """{(actor, action, folder, reader): flags}."""
    found = {}
    for reader, start, prefix in (("owner", lambda: server.imap("alice"), "INBOX"),
                                  ("other", lambda: server.imap("bob"), "user.alice"),
                                  ("anonymous", lambda: anonymous(server), "user.alice")):
        with start() as imap:
            for actor in ACTORS:
                for action in ACTIONS:
                    for sub in ("", ".to"):
                        name = f"{folder_of(actor, action)}{sub}"
                        found[actor, action, sub, reader] = seen_by(imap, f"{prefix}.{name}")
            imap.logout()
    return found


def act(server):
    """{(actor, action): what was refused}."""
    refused = {}
    for actor, (session, prefix, _) in ACTORS.items():
        for name, action in ACTIONS.items():
            with session(server) as imap:
                try:
                    action(imap, server, f"{prefix}.{folder_of(actor, name)}")
                except AssertionError as error:
                    refused[actor, name] = str(error).partition(":")[0]
    return refused


@pytest.fixture(scope="module")
def observed(module_factory, module_debian_factory):
    """The same day on both, and what each has replicated into the other kind."""
    masters = {"ours": module_factory("ours", services=("imap", "lmtp", "csync")),
               "361": module_debian_factory("theirs", services=("imap", "lmtp", "csync"))}
    replicas = {"ours": module_debian_factory("ourreplica", services=("imap", "csync")),
                "361": module_factory("theirreplica", services=("imap", "csync"))}
    result = {}
    for which, master in masters.items():
        for server in (master, replicas[which]):
            server.conf.update(CONF)
        pair = Pair(master, replicas[which])
        pair.start()
        set_up(master)
        refused = act(master)
        here = observe(master)
        pair.sync("-o", "-u", "alice", "bob", "anonymous")
        result[which] = (refused, here, observe(replicas[which]))
    return result


def test_the_same_is_refused(observed):
    assert observed["ours"][0] == observed["361"][0]


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("action", ACTIONS)
def test_as_361(observed, actor, action):
    for sub in ("", ".to"):
        for reader in ("owner", "other", "anonymous"):
            key = (actor, action, sub, reader)
            assert observed["ours"][1][key] == observed["361"][1][key], key


@pytest.mark.parametrize("which", ["ours", "361"])
def test_replicated(observed, which):
    _, here, there = observed[which]
    for key, flags in here.items():
        if key[3] != "anonymous":  # its seen state belongs to no user who is replicated
            assert there[key] == flags, key


def test_the_matrix_is_not_empty(observed):
    """Owner and other differ where there is no shared state, and agree where there is."""
    _, here, _ = observed["361"]
    assert here["other", "store", "", "other"] != here["other", "store", "", "owner"]
    assert here["other-shared", "store", "", "other"] == here["other-shared", "store", "", "owner"]

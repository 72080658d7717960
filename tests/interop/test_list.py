# SPDX-License-Identifier: BSD-3-Clause
"""LIST and LSUB beside 3.6.1, in each namespace: missing levels, children, references, subscriptions."""

import re

import pytest

from cyltest.credentials import password

NAMES = ["user.alice", "user.alice.Sent", "user.alice.a", "user.alice.a.b.c", "user.alice.a.b.d", "user.alice.ab",
         "user.alice.x.y.z", "user.aline", "user.bob", "user.bob.pub", "user.bob.priv", "users.x", "shared",
         "shared.team", "pub.one.two", "pub.one.three"]
SHOWN = ["user.bob.pub", "shared", "pub.one.two", "users.x"]

# "." stands for the separator, ~ for what an own mailbox begins with, $ for what shared ones begin with
PATTERNS = ["*", "%", "%.%", "%.%.%", "INBOX", "INBOX*", "INBOX.%", "INBOX%", "~a.%", "~a%", "~a*", "~a.*", "~x.%",
            "~x%", "~%.b", "~*b", "~x.y", "~x.y.%", "user", "user.%", "user%", "user*", "us%", "users%", "users.%",
            "user.*", "user.bob", "user.bob.%", "user.bo%", "Other%", "Other Users", "Other Users.%", "Other Users.*",
            "Other Users.bob", "Other Users.bob.%", "Shared Folders.%", "Shared*", "Shared%", "Shared Folders", "$pub",
            "$pub%", "$pub.%", "$pub.one", "$pub*", "$shared", "$shared%", "", "a", "A%", "%o%", "%ub", "*b", "%b"]
REFERENCES = [("INBOX", "%"), ("INBOX.", "%"), ("INBOX.", ".%"), ("user", "%"), ("user.", "%"), ("pub.", "%"),
              ("a.", "%"), ("shared", "")]
SUBSCRIBED = ["INBOX", "~Sent", "~a.b.c", "~x.y.z", "user.bob.pub", "Other Users.bob.pub", "$pub.one.two", "$shared"]


class Words:
    """Spells names and patterns for one namespace."""

    def __init__(self, unix, alt):
        self.sep = "/" if unix else "."
        self.own, self.shared = ("", "Shared Folders.") if alt else ("INBOX.", "")

    def __call__(self, text):
        return text.replace("~", self.own).replace("$", self.shared).replace(".", self.sep)


def fill(admin, w):
    for name in NAMES:
        admin.ok(f'CREATE "{w(name)}"')
    for name in SHOWN:
        admin.ok(f'SETACL "{w(name)}" alice lrs')


def commands(w):
    for pattern in PATTERNS:
        yield f'LIST "" "{w(pattern)}"'
    for ref, pattern in REFERENCES:
        yield f'LIST "{w(ref)}" "{w(pattern)}"'
    yield 'LIST "" "*" RETURN (CHILDREN SUBSCRIBED)'


def subscription_commands(w):
    for name in SUBSCRIBED:
        yield f'SUBSCRIBE "{w(name)}"'
    for pattern in PATTERNS:
        yield f'LSUB "" "{w(pattern)}"'
        yield f'LIST (SUBSCRIBED) "" "{w(pattern)}"'
        yield f'LIST (SUBSCRIBED) "" "{w(pattern)}" RETURN (CHILDREN)'


def answers(server, w):
    """What is said to each command; the administrator's server is filled first."""
    told = []
    with server.imap("admin") as admin:
        fill(admin, w)
        with server.imap("alice") as alice:
            for who, session, some in (("alice", alice, [*commands(w), *subscription_commands(w)]),
                                       ("admin", admin, commands(w))):
                for command in some:
                    response = session.cmd(command)
                    told.append((who, command, response.status, response.untagged))
    return told


@pytest.mark.parametrize("alt", (False, True), ids=("standard", "alt"))
@pytest.mark.parametrize("unix", (False, True), ids=("dots", "slashes"))
def test_list_is_debians(factory, debian_factory, unix, alt):
    w = Words(unix, alt)
    told = []
    for make in (factory, debian_factory):
        server = make(services=("imap",))
        server.conf.update({"unixhierarchysep": unix, "altnamespace": alt, "conversations": False})
        told.append(answers(server.start(), w))
    for ours, theirs in zip(*told, strict=True):
        assert ours == theirs


# Calendars and the like, and what was deleted.
KINDS = [("user.alice.cal", "CALENDAR"), ("user.alice.people", "ADDRESSBOOK"), ("user.alice.cal.files", "COLLECTION"),
         ("user.bob.cal", "CALENDAR"), ("user.bob.hidden", "CALENDAR")]
DELETED = ["user.alice.gone", "user.alice.old.gone", "user.bob.gone", "user.bob.mine", "shared.gone"]
VENDOR = [f'{command} {selection} "" "{pattern}"'
          for pattern in ("*", "%", "INBOX.%", "user.*", "%.%", "DELETED.%", "DELETED.*")
          for command, selection in (("LIST", "()"), ("LIST", "(VENDOR.CMU-DAV)"), ("XLIST", "(vendor.cmu-dav)"),
                                     ("LIST", "(VENDOR.CMU-INCLUDE-DELETED)"),
                                     ("LIST", "(VENDOR.CMU-INCLUDE-DELETED VENDOR.CMU-DAV)"),
                                     ("LIST", "(SUBSCRIBED)"), ("LIST", "(SUBSCRIBED VENDOR.CMU-DAV)"),
                                     ("LSUB", ""), ("RLIST", ""), ("RLSUB", ""))]
VENDOR += ['LIST (VENDOR.CMU-DAV RECURSIVEMATCH) "" *', 'LIST (VENDOR.CMU-INCLUDE-DELETED RECURSIVEMATCH) "" *',
           'LIST "" * RETURN (VENDOR.CMU-DAV)']


def fill_with_kinds(admin):
    for name in ("user.alice", "user.bob", "shared", *DELETED):
        admin.ok(f"CREATE {name}")
    for name, kind in KINDS:
        admin.ok(f"CREATE {name} (TYPE {kind})")
    for name in ("user.bob.cal", "user.bob.mine", "shared.gone"):
        admin.ok(f"SETACL {name} alice lr")
    for name in DELETED:
        admin.ok(f"SETACL {name} admin lrx")
        admin.ok(f"DELETE {name}")


@pytest.mark.parametrize("allowed", (True, False), ids=("allowdeleted", "default"))
def test_vendor_options(factory, debian_factory, allowed):
    """
    With user+dav as without. The times in DELETED names differ, and 3.6.1 has deleted shared mailboxes before those
    that live, with DELETED told once more for each.
    """
    told = []
    for make in (factory, debian_factory):
        server = make(services=("imap",))
        server.conf.update({"unixhierarchysep": False, "altnamespace": False, "conversations": False,
                            "allowdeleted": allowed, "imapmagicplus": True})
        server.start()
        with server.imap("admin") as admin, server.imap("alice") as alice, server.imap() as dav:
            fill_with_kinds(admin)
            dav.ok(f"LOGIN alice+dav {password('alice')}")
            for name in ("INBOX.cal", "INBOX", "user.bob.cal", "user.bob.hidden"):
                alice.cmd(f"SUBSCRIBE {name}")
            told.append([(who, command, answer.status,
                          sorted({re.sub(rb"\.[0-9A-F]{8}\b", b".TIME", line) for line in answer.untagged}),
                          re.sub(r"\(.*", "", answer.text))
                         for who, session in (("alice", alice), ("dav", dav), ("admin", admin)) for command in VENDOR
                         for answer in [session.cmd(command)]])
    assert [both for both in zip(*told, strict=True) if both[0] != both[1]] == []

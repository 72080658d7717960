# SPDX-License-Identifier: BSD-3-Clause
"""LIST and LSUB beside 3.6.1, in each namespace: missing levels, children, references, subscriptions."""

import pytest

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

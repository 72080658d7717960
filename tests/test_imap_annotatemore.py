# SPDX-License-Identifier: BSD-3-Clause
"""ANNOTATEMORE, the draft before METADATA: announced and understood with annotation_enable_legacy_commands."""

import pytest


@pytest.fixture
def server(factory):
    server = factory(services=("imap",))
    server.conf["annotation_enable_legacy_commands"] = "yes"
    server.start()
    with server.imap("admin") as admin:
        for name in ("user/alice", "user/alice/Work", "user/bob", "user/bob/open", "user/bob/closed"):
            admin.ok(f"CREATE {name}")
        admin.ok("SETACL user/bob/open alice lrs")
        admin.ok("SETACL user/bob/closed alice l")
    return server


@pytest.fixture
def alice(server):
    with server.imap("alice") as client:
        yield client


def test_announced_when_on(alice):
    words = alice.ok("CAPABILITY").untagged[0].decode().split()
    assert words[words.index("WITHIN") + 1] == "ANNOTATEMORE"


def test_same_values_as_metadata(alice):
    alice.ok('SETMETADATA INBOX (/shared/comment "one" /private/comment "mine")')
    assert alice.ok('GETANNOTATION INBOX "/comment" "value"').untagged == [
        b'* ANNOTATION INBOX "/comment" ("value.shared" "one" "value.priv" "mine")']
    alice.ok('SETANNOTATION INBOX "/comment" ("value.priv" NIL)')
    assert alice.ok("GETMETADATA INBOX (/private/comment)").untagged == [b'* METADATA INBOX ("/private/comment" NIL)']


def test_rights(alice, server):
    """What may not be read is passed over; what may not be written is refused, and nothing of the command is done."""
    answer = alice.ok('GETANNOTATION "*" "/comment" "value.shared"').untagged
    assert [line.split(b' "/comment"')[0] for line in answer] == [
        b"* ANNOTATION INBOX", b"* ANNOTATION Work", b'* ANNOTATION "Other Users/bob/open"']
    alice.no('SETANNOTATION "Other Users/bob/open" ("/sort" ("value.priv" "s") "/comment" ("value.shared" "x"))')
    answer = alice.ok('GETANNOTATION "Other Users/bob/open" ("/sort") "value.priv"').untagged
    assert answer == [b'* ANNOTATION "Other Users/bob/open" "/sort" ("value.priv" NIL)']
    alice.ok('SETANNOTATION "Other Users/bob/open" "/comment" ("value.priv" "mine")')
    with server.imap("bob") as bob:
        assert bob.ok('GETANNOTATION open "/comment" "value.priv"').untagged == [
            b'* ANNOTATION open "/comment" ("value.priv" NIL)']


def test_attribute_that_cannot_be_set_sets_nothing(alice):
    for attribute in ("value", "size.shared", "modifiedsince.shared", "x"):
        alice.no(f'SETANNOTATION INBOX "/comment" ("value.shared" "y" "{attribute}" "z")')
        assert alice.ok('GETANNOTATION INBOX "/comment" "value.shared"').untagged == [
            b'* ANNOTATION INBOX "/comment" ("value.shared" NIL)']
    alice.ok('SETANNOTATION INBOX "/comment" ("value.shared" "y" "content-type.shared" "text/plain")')
    assert alice.ok('GETANNOTATION INBOX "/comment" "*"').untagged[0].startswith(
        b'* ANNOTATION INBOX "/comment" ("value.shared" "y" "size.shared" "1"')


def test_read_only(factory):
    server = factory(services=("imap",))
    server.conf.update({"annotation_enable_legacy_commands": "yes", "readonly": "yes"})
    server.start()
    with server.imap("admin") as admin:
        assert "read-only" in admin.no('SETANNOTATION "" "/comment" ("value.shared" "x")').text

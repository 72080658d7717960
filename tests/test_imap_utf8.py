# SPDX-License-Identifier: BSD-3-Clause
"""UTF8=ACCEPT (RFC 6855): names and messages in UTF-8 for those who ask for it, as ever for all others."""

import unicodedata

import pytest

from cyltest.clients import Literal
from cyltest.credentials import password

NAME, UTF7 = "Entwürfe", "Entw&APw-rfe"
NFD = unicodedata.normalize("NFD", NAME)
MESSAGE = ("From: Jörg Müller <jörg@example.com>\r\nTo: bob@example.com\r\nSubject: Grüße 日本\r\n"
           "Message-ID: <utf8@example.com>\r\nDate: Mon, 07 Feb 2022 10:00:00 +0000\r\n"
           "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
           "Content-Transfer-Encoding: 8bit\r\n\r\nSchöne Grüße\r\n").encode()


@pytest.fixture
def server(imap_server):
    return imap_server


def enable(client):
    assert client.ok("ENABLE UTF8=ACCEPT").untagged == [b"* ENABLED UTF8=ACCEPT"]
    return client


@pytest.fixture
def plain(server):
    with server.imap("alice") as client:
        yield client


@pytest.fixture
def alice(server):
    with server.imap("alice") as client:
        yield enable(client)


def names(client, pattern="*", command="LIST"):
    return [line.decode().split(' "/" ')[1] for line in client.ok(f'{command} "" "{pattern}"').untagged]


# -- names --

def test_one_mailbox_two_spellings(plain, alice):
    alice.ok(f'CREATE "{NAME}"')
    assert names(plain) == ["INBOX", UTF7]
    assert names(alice) == ["INBOX", f'"{NAME}"']
    plain.ok(f"CREATE {UTF7}/a&-b")
    assert names(alice, f"{NAME}/%") == [f'"{NAME}/a&b"']
    alice.ok(f'SUBSCRIBE "{NAME}/a&b"')
    assert names(plain, command="LSUB") == [f"{UTF7}/a&-b"]
    assert names(alice, command="LSUB") == [f'"{NAME}/a&b"']
    # What is modified UTF-7 to others is other text here.
    alice.no(f"SELECT {UTF7}")
    plain.no(f'SELECT "{NAME}"')


def test_each_command_takes_and_gives_utf8(plain, alice):
    quoted = f'"{NAME}"'
    alice.ok(f"CREATE {quoted}")
    alice.ok(f"SETACL {quoted} bob lrs")
    for command, answer in (
            (f"STATUS {quoted} (MESSAGES)", f"* STATUS {quoted} (MESSAGES 0)"),
            (f"MYRIGHTS {quoted}", f"* MYRIGHTS {quoted} "),
            (f"GETACL {quoted}", f"* ACL {quoted} "),
            (f"GETQUOTAROOT {quoted}", f"* QUOTAROOT {quoted}"),
            (f"LIST (SUBSCRIBED) \"\" {quoted}", None),
            (f"SELECT {quoted}", None), (f"SUBSCRIBE {quoted}", None), (f"UNSUBSCRIBE {quoted}", None)):
        lines = [line.decode() for line in alice.ok(command).untagged]
        assert answer is None or lines[0].startswith(answer), lines
    alice.ok([f"APPEND {quoted} ", Literal(b"Subject: x\r\n\r\nx\r\n")])
    alice.ok(f'SETMETADATA {quoted} (/private/comment "Grüße")')
    got = alice.ok(f"GETMETADATA {quoted} /private/comment").untagged[0].decode()
    assert got.startswith(f'* METADATA {quoted} ("/private/comment" ') and got.endswith("Grüße)")
    assert alice.ok(f"ESEARCH IN (mailboxes {quoted}) ALL").untagged[0].decode().split("MAILBOX ")[1].startswith(quoted)
    answer = alice.ok(f'RENAME {quoted} "日本"')
    assert f"* OK rename {UTF7} &ZeVnLA-".encode() in answer.untagged  # text of an answer is ASCII
    alice.ok(["STATUS ", Literal("日本".encode()), " (MESSAGES)"])
    alice.ok("UNSELECT")
    alice.ok('DELETE "日本"')
    assert names(plain) == ["INBOX"]


def test_patterns_match_characters(alice):
    """In modified UTF-7 neighbours share one run: no byte of it stands for the first of them."""
    for name in ("äö", "ä", "äx", "öä", "ä/ö"):
        alice.ok(f'CREATE "{name}"')
    assert set(names(alice, "ä*")) == {'"ä"', '"äö"', '"äx"', '"ä/ö"'}
    assert set(names(alice, "ä%")) == {'"ä"', '"äö"', '"äx"'}
    assert set(names(alice, "*ö")) == {'"äö"', '"ä/ö"'}
    assert names(alice, "%/ö") == ['"ä/ö"']


def test_foreign_and_shared_names_are_found_by_patterns(server, alice):
    """The literal start of a pattern is a key prefix in the database, where the name is spelled otherwise."""
    with server.imap("admin") as admin:
        for name in ("user/bob/&AOQA9g-", "user/bob/a&-b", "&AOQA9g-", "a&-c"):
            admin.ok(f"CREATE {name}")
            admin.ok(f"SETACL {name} alice lrs")
        enable(admin)
        assert names(admin, "user/bob/ä*") == ['"user/bob/äö"']
        assert names(admin, "ä*") == ['"äö"']
    assert names(alice, "Other Users/bob/ä*") == ['"Other Users/bob/äö"']
    assert names(alice, "Other Users/bob/a&*") == ['"Other Users/bob/a&b"']
    assert names(alice, "Shared Folders/ä*") == ['"Shared Folders/äö"']
    assert names(alice, "Shared Folders/a&c") == ['"Shared Folders/a&c"']


def test_prefixes_of_the_namespace(factory):
    server = factory(services=("imap",))
    server.conf["userprefix"] = "Andere Ben&APw-tzer"
    server.start()
    with server.imap("admin") as admin:
        for name in ("user/alice", "user/bob", "user/bob/x"):
            admin.ok(f"CREATE {name}")
        admin.ok("SETACL user/bob/x alice lrs")
    with server.imap("alice") as client:
        assert b'"Andere Ben&APw-tzer/"' in client.ok("NAMESPACE").untagged[0]
        enable(client)
        assert '"Andere Benützer/"'.encode() in client.ok("NAMESPACE").untagged[0]
        assert names(client, "Andere Benützer/*") == ['"Andere Benützer/bob/x"']
        assert names(client, "A%") == ['"Andere Benützer"']
        client.ok('SELECT "Andere Benützer/bob/x"')


def test_names_are_composed(plain, alice):
    """RFC 5198: what is made is NFC; what is there already is found by its own name."""
    assert NFD != NAME
    alice.ok(f'CREATE "{NFD}"')
    assert names(plain, "E*") == [UTF7]
    alice.ok(f'SELECT "{NFD}"')
    alice.ok("UNSELECT")
    alice.no(f'CREATE "{NFD}"')
    # One that somebody has made in another way.
    plain.ok("CREATE Xu&Awg-")
    assert names(alice, "X*") == ['"Xu\u0308"']
    alice.ok('STATUS "Xu\u0308" (MESSAGES)')
    alice.no('STATUS "X\u00fc" (MESSAGES)')


@pytest.mark.parametrize("char", ["\u0085", "\u2028", "\u2029", "\u007f"])
def test_control_characters_are_in_no_name(alice, char):
    assert "Invalid mailbox name" in alice.no(f'CREATE "a{char}b"').text


def test_what_is_no_utf8_is_refused(alice):
    for command in (b'SELECT "\xff"', b'LIST "" "\xc3"', b'CREATE "a\xe4"', b'SETACL INBOX "\xff" lrs', 'CREATE ä'.encode()):
        alice.bad(command)
    assert "Invalid mailbox name" in alice.no(["CREATE ", Literal(b"a\xe4")]).text
    alice.ok("NOOP")


def test_only_after_enable_and_until_the_end(server):
    with server.imap("admin") as admin:
        admin.ok("CREATE user/bob/&AOQ-")
        enable(admin)
        assert names(admin, "user/bob/*") == ['"user/bob/ä"']
        assert not admin.ok("ENABLE UTF8=ACCEPT").untagged
        admin.ok("UNAUTHENTICATE")
        admin.login("admin", password("admin"))
        assert names(admin, "user/bob/*") == ["user/bob/&AOQ-"]


def test_autocreated_folders_are_configured_in_utf7(factory):
    server = factory(services=("imap",))
    server.conf.update({"autocreate_quota": "0", "autocreate_inbox_folders": "Entw&APw-rfe | a&-b"})
    server.start()
    with server.imap("admin") as admin:
        admin.ok("CREATE user/bob")
    with server.imap("alice") as client:
        enable(client)
        assert set(names(client)) == {"INBOX", f'"{NAME}"', "a&b"}


def test_user_names_are_ascii(server):
    with server.imap() as client:
        client.no(f'LOGIN "jörg" "x"')
        client.no(["LOGIN ", Literal("jörg".encode()), " x"])
        client.login("alice", password("alice"))


# -- messages --

def envelope(client, n):
    return client.ok(f"FETCH {n} ENVELOPE").untagged[0]


def test_append_utf8(plain, alice):
    answer = alice.ok(["APPEND INBOX (\\Seen) UTF8 (~", Literal(MESSAGE), ")"])
    assert "APPENDUID" in answer.text
    alice.ok("SELECT INBOX")
    assert MESSAGE in alice.ok("FETCH 1 BODY.PEEK[]").untagged[0]
    assert "Grüße 日本".encode() in envelope(alice, 1)
    assert alice.ok("SEARCH SEEN SUBJECT \"grüße\"").untagged[0] == b"* SEARCH 1"
    assert alice.ok('SEARCH BODY "schöne" FROM "müller"').untagged[0] == b"* SEARCH 1"
    assert alice.ok(["SEARCH SUBJECT ", Literal("日本".encode())]).untagged[0] == b"* SEARCH 1"
    assert "UTF8=ACCEPT" in alice.bad('SEARCH CHARSET UTF-8 SUBJECT "x"').text
    assert "UTF8=ACCEPT" in alice.bad('UID SEARCH RETURN (COUNT) CHARSET US-ASCII ALL').text
    # For others bytes that no charset is said of are no text (option rfc2047_utf8).
    plain.ok("SELECT INBOX")
    assert plain.ok(["SEARCH CHARSET UTF-8 SUBJECT ", Literal("grüße".encode())]).untagged[0] == b"* SEARCH"


def test_other_appends_are_as_ever(alice):
    """munge8bit is for headers of which nobody says what they are."""
    alice.ok(["APPEND INBOX ", Literal(MESSAGE)])
    alice.ok(["APPEND INBOX UTF8 (~", Literal(MESSAGE), ") (\\Flagged) UTF8 (~", Literal(MESSAGE), ")"])
    alice.ok("SELECT INBOX")
    assert b"GrXXXXe" in envelope(alice, 1)
    assert "Grüße".encode() in envelope(alice, 2)
    assert "Grüße".encode() in envelope(alice, 3)


def test_reject8bit_is_not_for_utf8(factory):
    server = factory(services=("imap",))
    server.conf["reject8bit"] = "yes"
    server.start()
    with server.imap("admin") as admin:
        admin.ok("CREATE user/alice")
    with server.imap("alice") as client:
        enable(client)
        client.ok(["APPEND INBOX UTF8 (~", Literal(MESSAGE), ")"])
        client.no(["APPEND INBOX ", Literal(MESSAGE)])


def test_catenate_utf8(alice):
    head, body = MESSAGE.split(b"\r\n\r\n")
    alice.ok(["APPEND INBOX CATENATE (UTF8 (~", Literal(head + b"\r\n\r\n"), ") TEXT ", Literal(body), ")"])
    alice.ok("SELECT INBOX")
    assert MESSAGE in alice.ok("FETCH 1 BODY.PEEK[]").untagged[0]


def test_append_utf8_refused(plain, alice):
    bad = MESSAGE.replace("Grüße 日本".encode(), b"Gr\xfc\xdfe")
    assert "non-ASCII" in alice.no(["APPEND INBOX UTF8 (~", Literal(bad), ")"]).text
    alice.bad(["APPEND INBOX UTF8 (", Literal(MESSAGE), ")"])
    alice.bad(["APPEND INBOX UTF8 ~", Literal(MESSAGE)])
    alice.bad(["APPEND INBOX UTF8 (~", Literal(MESSAGE), ""])
    alice.no(["APPEND INBOX UTF8 (~", Literal(b"Subject: \0\r\n\r\n"), ")"])
    # Not enabled: the literal is not asked for, and one that comes unasked is no command.
    assert "UTF8=ACCEPT" in plain.no(["APPEND INBOX UTF8 (~", Literal(MESSAGE), ")"]).text
    plain.no(b"APPEND INBOX UTF8 (~{%d+}\r\n%s)" % (len(MESSAGE), MESSAGE))
    plain.no(b"APPEND INBOX CATENATE (UTF8 (~{%d+}\r\n%s))" % (len(MESSAGE), MESSAGE))
    assert plain.ok("STATUS INBOX (MESSAGES)").untagged == [b"* STATUS INBOX (MESSAGES 0)"]

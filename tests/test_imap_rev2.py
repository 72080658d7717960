# SPDX-License-Identifier: BSD-3-Clause
"""IMAP4rev2 (RFC 9051) for those who enable it: what appendix E lists. Nobody else sees a difference."""

import re
import unicodedata

import pytest

from cyltest.clients import Literal

NAME = "Entwürfe"
NFD = unicodedata.normalize("NFD", NAME)


def message(n, subject="message"):
    return (f"From: Alice <alice@example.com>\r\nTo: bob@example.com\r\nSubject: {subject} {n}\r\n"
            f"Message-ID: <{n}@example.com>\r\nDate: Mon, 07 Feb 2022 10:00:00 +0000\r\n\r\nbody {n}\r\n").encode()


INNER = ("From: Jörg <jörg@example.com>\r\nSubject: Grüße\r\nDate: Tue, 08 Feb 2022 10:00:00 +0000\r\n"
         "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n"
         "--in\r\n\r\neins\r\n--in\r\n\r\nzwei\r\n--in--\r\n").encode()
GLOBAL = (b"From: bob@example.com\r\nSubject: outer\r\nDate: Mon, 07 Feb 2022 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
          b"Content-Type: multipart/mixed; boundary=out\r\n\r\n--out\r\n\r\nhello\r\n"
          b"--out\r\nContent-Type: message/global\r\n\r\n" + INNER + b"\r\n--out--\r\n")
RFC2231 = (b"From: bob@example.com\r\nSubject: x\r\nDate: Mon, 07 Feb 2022 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
           b"Content-Type: application/pdf; name*0=one; name*1=two\r\n"
           b"Content-Disposition: attachment; filename*0*=iso-8859-1''Entw%FC; filename*1=rfe.pdf\r\n\r\nx\r\n")


@pytest.fixture
def server(imap_server):
    with imap_server.imap("admin") as admin:
        admin.ok("CREATE user/bob/open")
        admin.ok("SETACL user/bob/open alice lrs")
    return imap_server


@pytest.fixture
def plain(server):
    with server.imap("alice") as client:
        yield client


@pytest.fixture
def alice(server):
    with server.imap("alice") as client:
        assert client.ok("ENABLE IMAP4rev2").untagged == [b"* ENABLED IMAP4rev2"]
        yield client


def text(response):
    return [line.decode() for line in response.untagged]


def test_announced_everywhere(server, plain):
    with server.imap() as nobody:
        assert b" IMAP4rev2" in nobody.greeting
        assert b" IMAP4rev2" in nobody.ok("CAPABILITY").untagged[0]
    assert b" IMAP4rev1 " in plain.ok("CAPABILITY").untagged[0]
    assert not plain.ok("ENABLE IMAP4rev3").untagged


def test_select(plain, alice):
    """No RECENT, no UNSEEN, but LIST; CLOSED when a mailbox was selected before."""
    plain.append("INBOX", message(1))
    alice.ok("CREATE Work")
    lines = text(alice.ok("SELECT INBOX"))
    assert lines[0] == "* 1 EXISTS" and '* LIST () "/" INBOX' in lines
    assert not [line for line in lines if "RECENT" in line or "UNSEEN" in line]
    assert alice.ok("FETCH 1 FLAGS").untagged == [b"* 1 FETCH (FLAGS ())"]
    lines = text(alice.ok("EXAMINE Work"))
    assert lines[0] == "* OK [CLOSED] Ok" and '* LIST () "/" Work' in lines
    assert '* LIST () "/" INBOX ("OLDNAME" (inbox))' in text(alice.ok("SELECT inbox"))
    # Others are told as ever.
    lines = text(plain.ok("SELECT inbox"))
    assert "* 0 RECENT" in lines and "* OK [UNSEEN 1] Ok" in lines
    assert not [line for line in lines if "LIST" in line]


def test_selected_mailbox_changes(plain, alice):
    """EXISTS alone, and the UID in each unsolicited FETCH."""
    for client in (plain, alice):
        client.ok("SELECT INBOX")
    with_uid = re.compile(rb"\* 1 FETCH \(FLAGS \(\\Flagged\) UID \d+\)$")
    plain.append("INBOX", message(1))
    assert alice.ok("NOOP").untagged == [b"* 1 EXISTS"]
    plain.ok(r"STORE 1 FLAGS (\Flagged)")
    [line] = alice.ok("NOOP").untagged
    assert with_uid.match(line)
    [line] = alice.ok("STORE 1 +FLAGS ($x)").find("* 1 FETCH")
    assert re.match(rb"\* 1 FETCH \(FLAGS \(\\Flagged \$x\) UID \d+\)$", line)
    [line] = plain.ok("NOOP").find("* 1 FETCH")
    assert line == rb"* 1 FETCH (FLAGS (\Flagged $x))" or b"Recent" in line


def test_search_answers_esearch(plain, alice):
    for n in range(1, 5):
        plain.append("INBOX", message(n))
    for client in (plain, alice):
        client.ok("SELECT INBOX")

    def found(command):
        [line] = text(alice.ok(command))
        return re.sub(r'\* ESEARCH \(TAG "[^"]*"\)', "", line)

    assert found("SEARCH ALL") == " ALL 1:4"
    assert found("UID SEARCH 2:3") == " UID ALL 2:3"
    assert found("SEARCH SUBJECT nothing") == ""
    assert found("SEARCH RETURN () 1") == " ALL 1"
    assert found("SEARCH RETURN (COUNT) 1:2") == " COUNT 2"
    assert re.fullmatch(r" ALL 1:4 MODSEQ \d+", found("SEARCH MODSEQ 1"))
    assert alice.ok("SORT (SUBJECT) UTF-8 ALL").untagged == [b"* SORT 1 2 3 4"]
    assert plain.ok("SEARCH ALL").untagged == [b"* SEARCH 1 2 3 4"]


def test_search_charset(plain, alice):
    """Text is UTF-8 without saying so; CHARSET may say it still; another one is NO, not BAD."""
    alice.ok(["APPEND INBOX ", Literal(message(1, "Grüße"))])
    for client in (plain, alice):
        client.ok("SELECT INBOX")
    for command in ('SEARCH SUBJECT "grüße"', 'SEARCH CHARSET UTF-8 SUBJECT "grüße"'):
        assert text(alice.ok(command))[0].endswith(" ALL 1")
    assert "[BADCHARSET (" in alice.no("SEARCH CHARSET x-none ALL").text
    assert "[BADCHARSET (" in alice.no("SORT (DATE) x-none ALL").text
    plain.bad("SEARCH CHARSET x-none ALL")
    alice.ok("NOOP")


def test_headers_of_utf8_in_a_literal(plain, alice):
    """RFC 9051 §6.3.12: no extension is needed; what is no UTF-8 is munged as ever."""
    alice.ok(["APPEND INBOX ", Literal(message(1, "Grüße"))])
    alice.ok(["APPEND INBOX ~", Literal(message(2, "Grüße"))])
    alice.ok(["APPEND INBOX CATENATE (TEXT ", Literal(message(3, "Grüße")), ")"])
    alice.ok(["APPEND INBOX ", Literal(message(4, "Grüße").decode().encode("latin-1"))])
    plain.append("INBOX", message(5, "Grüße"))
    alice.ok("SELECT INBOX")
    subjects = [line.split(b"Subject: ")[1].split(b"\r\n")[0].decode()
                for line in alice.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").untagged]
    assert subjects == ["Grüße 1", "Grüße 2", "Grüße 3", "GrXXe 4", "GrXXXXe 5"]


def test_names(plain, alice):
    """CREATE and RENAME tell of names that are not what was asked for, or were another's."""
    assert text(alice.ok(f'CREATE "{NFD}"')) == [f'* LIST () "/" "{NAME}" ("OLDNAME" ("{NFD}"))']
    assert not alice.ok("CREATE Work/").untagged
    assert not alice.ok('CREATE "Über"').untagged
    alice.ok("CREATE Work/sub")
    lines = text(alice.ok('RENAME Work "Büro"'))
    assert lines == ['* LIST () "/" "Büro" ("OLDNAME" (Work))', '* LIST () "/" "Büro/sub" ("OLDNAME" (Work/sub))']
    assert f'* LIST () "/" "{NAME}" ("OLDNAME" ("{NFD}"))' in text(alice.ok(f'SELECT "{NFD}"'))
    assert text(plain.ok("RENAME B&APw-ro Work"))[0] == "* OK rename B&APw-ro Work"


def test_inbox_has_no_old_name(plain, alice):
    """RENAME empties it: the name stays."""
    plain.append("INBOX", message(1))
    assert not alice.ok("RENAME INBOX Old").untagged
    assert alice.ok("STATUS Old (MESSAGES)").untagged == [b"* STATUS Old (MESSAGES 1)"]
    assert alice.ok("STATUS INBOX (MESSAGES)").untagged == [b"* STATUS INBOX (MESSAGES 0)"]


def test_list(plain, alice):
    assert r'* LIST (\NonExistent \HasChildren) "/" "Other Users/bob"' in text(alice.ok('LIST "" "Other Users/%"'))
    assert r'* LIST (\Noselect \HasChildren) "/" "Other Users/bob"' in text(plain.ok('LIST "" "Other Users/%"'))
    assert text(alice.ok('LIST "" ""')) == [r'* LIST (\Noselect) "/" ""']


def test_status_and_codes(plain, alice):
    alice.append("INBOX", message(1))
    size = len(message(1))
    assert text(alice.ok("STATUS INBOX (MESSAGES UNSEEN DELETED SIZE)")) == [f"* STATUS INBOX (MESSAGES 1 UNSEEN 1 SIZE {size} DELETED 0)"]
    for command, code in (("SELECT none", "NONEXISTENT"), ("DELETE none", "NONEXISTENT"), ("CREATE INBOX", "ALREADYEXISTS"),
                          ('DELETE "Other Users/bob/open"', "NOPERM"), ('CREATE "a%b"', "CANNOT")):
        answer = alice.no(command).text
        assert answer.startswith(f"[{code}] "), (command, answer)
        assert plain.no(command).text == answer.removeprefix(f"[{code}] ")
    alice.ok("SELECT INBOX")
    assert alice.no("COPY 1 none").text.startswith("[TRYCREATE] ")
    assert alice.no(["APPEND none ", Literal(message(1))]).text.startswith("[TRYCREATE] ")


def test_message_global(plain, alice):
    """It is taken apart like message/rfc822 (RFC 9051 §9, media-message), and its sections can be had."""
    alice.append("INBOX", GLOBAL)
    before = {}
    for client in (plain, alice):
        client.ok("SELECT INBOX")
        before[client] = client.ok("FETCH 1 BODYSTRUCTURE").untagged[0]
    assert "Grüße".encode() in before[alice] and b'("TEXT" "PLAIN"' in before[alice].split(b'"GLOBAL"')[1]
    assert b'"Tue, 08 Feb 2022' in before[alice] and b'"MIXED"' in before[alice].split(b'"GLOBAL"')[1]
    assert b'"Tue, 08' not in before[plain]
    assert alice.ok("FETCH 1 BODY.PEEK[2.2]").untagged[0].endswith(b"zwei)")
    assert "Subject: Grüße\r\n".encode() in alice.ok("FETCH 1 BODY.PEEK[2.HEADER]").untagged[0]
    assert plain.ok("FETCH 1 BODY.PEEK[2.2]").untagged[0].endswith(b"NIL)")
    # What is stored stays what it is.
    assert plain.ok("FETCH 1 BODYSTRUCTURE").untagged[0] == before[plain]


def test_parameters_of_rfc2231(plain, alice):
    alice.append("INBOX", RFC2231)
    for client in (plain, alice):
        client.ok("SELECT INBOX")
    line = alice.ok("FETCH 1 BODYSTRUCTURE").untagged[0]
    assert b'("NAME" "onetwo")' in line
    assert '"FILENAME*" {13}\r\nEntwürfe.pdf)'.encode() in line
    assert b"iso-8859-1''Entw%FCrfe.pdf" in plain.ok("FETCH 1 BODYSTRUCTURE").untagged[0]


def test_old_words_are_understood(alice):
    """Deprecated is not removed: who asks by an old name is answered."""
    alice.append("INBOX", message(1))
    assert b"RECENT" in alice.ok("STATUS INBOX (RECENT)").untagged[0]
    alice.ok("SUBSCRIBE INBOX")
    assert alice.ok('LSUB "" "*"').untagged
    alice.ok("SELECT INBOX")
    alice.ok("SEARCH OLD NOT RECENT NOT NEW")
    alice.ok("CHECK")
    alice.ok("FETCH 1 RFC822.HEADER")


def test_with_uidonly_and_qresync(plain, alice):
    assert alice.ok("ENABLE UIDONLY QRESYNC").untagged
    plain.append("INBOX", message(1))
    alice.ok("SELECT INBOX")
    assert text(alice.ok("UID SEARCH ALL"))[0].endswith(" UID ALL 1")
    plain.ok("SELECT INBOX")
    plain.ok(r"STORE 1 FLAGS (\Deleted)")
    [line] = alice.ok("NOOP").untagged
    assert re.match(rb"\* 1 UIDFETCH \(FLAGS \(\\Deleted\) MODSEQ \(\d+\)\)$", line)
    plain.ok("EXPUNGE")
    assert alice.ok("NOOP").untagged == [b"* VANISHED 1"]

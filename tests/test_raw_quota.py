# SPDX-License-Identifier: BSD-3-Clause
"""X-RAWQUOTA: each sentence of doc/raw-quota.md, in its order, and its examples."""

import pytest

from cyltest.differences import message

CONF = {"unixhierarchysep": False, "altnamespace": False}
LIMITS = "(STORAGE 10 MESSAGE 10 X-NUM-FOLDERS 10)"


def big(n):
    return message(n) + b"x" * (460 - len(message(n)) - 2) + b"\r\n"


def start(factory, **conf):
    """INBOX, a, b with five copies of two messages; bob's mail is the same."""
    server = factory(services=("imap",))
    server.conf.update(CONF, **conf)
    server.start()
    for user in ("alice", "bob"):
        server.create_user(user, "a", "b")
        with server.imap(user) as imap:
            imap.append("INBOX", big(1))
            imap.append("INBOX", big(2))
            imap.ok("SELECT INBOX")
            imap.ok("COPY 1:2 INBOX.a")
            imap.ok("COPY 1 INBOX.b")
            imap.logout()
    with server.imap("admin") as imap:
        imap.ok(f"SETQUOTA user.alice {LIMITS}")
        imap.ok("SETQUOTA user.bob (STORAGE 100)")
        imap.logout()
    return server


@pytest.fixture
def aware(factory):
    return start(factory, quota_use_conversations=True)


@pytest.fixture
def plain(factory):
    return start(factory)


def capabilities(imap):
    return imap.ok("CAPABILITY").untagged[0].decode().split()


# ---- Capability ----

def test_announced_after_login_only_and_nothing_to_enable(aware):
    with aware.imap() as imap:
        assert b"X-RAWQUOTA" not in imap.greeting
        assert "X-RAWQUOTA" not in capabilities(imap)
        answer = imap.login("alice", "alice.pw")
        assert "X-RAWQUOTA" in answer.text
        assert "X-RAWQUOTA" in capabilities(imap)
        assert imap.ok("ENABLE X-RAWQUOTA").find("* ENABLED") in ([], [b"* ENABLED"])
        assert imap.ok("GETQUOTAROOT INBOX").untagged[1].count(b"RAW") == 0


# ---- Commands ----

QUOTAROOT = b"* QUOTAROOT INBOX INBOX"
AWARE = b"* QUOTA INBOX (STORAGE 0 10 MESSAGE 2 10 X-NUM-FOLDERS 3 10"
COUNTED = b"* QUOTA INBOX (STORAGE 2 10 MESSAGE 5 10 X-NUM-FOLDERS 3 10"
BOTH = b" X-RAW-STORAGE 2 10 X-RAW-MESSAGE 5 10)"


def test_first_example_and_not_a_byte_more_without_raw(aware):
    with aware.imap("alice") as imap:
        for _ in range(2):  # nothing is left behind by RAW
            assert imap.ok("GETQUOTAROOT INBOX").untagged == [QUOTAROOT, AWARE + b")"]
            answer = imap.ok("GETQUOTAROOT INBOX (RAW)")
            assert answer.untagged == [QUOTAROOT, AWARE + BOTH]
            assert answer.text == imap.ok("GETQUOTAROOT INBOX").text == "Completed"


@pytest.mark.parametrize("word", ["RAW", "raw", "Raw"])
def test_any_case(aware, word):
    with aware.imap("alice") as imap:
        assert imap.ok(f"GETQUOTAROOT INBOX ({word})").untagged == [QUOTAROOT, AWARE + BOTH]


def test_second_example_an_administrator_by_root(aware):
    with aware.imap("admin") as imap:
        assert imap.ok("GETQUOTA user.bob (RAW)").untagged == [
            b"* QUOTA user.bob (STORAGE 0 100 X-RAW-STORAGE 2 100)"]
        assert imap.ok("GETQUOTA user.bob").untagged == [b"* QUOTA user.bob (STORAGE 0 100)"]


def test_exactly_the_twins_that_have_a_limit(aware):
    with aware.imap("admin") as imap:
        imap.ok("SETQUOTA user.alice (MESSAGE 10)")
        assert imap.ok("GETQUOTA user.alice (RAW)").untagged == [
            b"* QUOTA user.alice (MESSAGE 2 10 X-RAW-MESSAGE 5 10)"]
        imap.ok("SETQUOTA user.alice (X-NUM-FOLDERS 10)")
        assert imap.ok("GETQUOTA user.alice (RAW)").untagged == [
            b"* QUOTA user.alice (X-NUM-FOLDERS 3 10)"]


def test_told_all_the_same_without_the_option(plain):
    with plain.imap("alice") as imap:
        assert imap.ok("GETQUOTAROOT INBOX").untagged == [QUOTAROOT, COUNTED + b")"]
        assert imap.ok("GETQUOTAROOT INBOX (RAW)").untagged == [QUOTAROOT, COUNTED + BOTH]


def test_root_of_no_user(aware):
    with aware.imap("admin") as imap:
        imap.ok("CREATE shared")
        imap.ok("SETACL shared admin lrswipkxtecda")
        for n in range(2):
            imap.append("shared", big(1))
        imap.ok("SETQUOTA shared (MESSAGE 9)")
        assert imap.ok("GETQUOTA shared (RAW)").untagged == [
            b"* QUOTA shared (MESSAGE 2 9 X-RAW-MESSAGE 2 9)"]


def test_mailbox_without_a_root(aware):
    with aware.imap("admin") as imap:
        imap.ok("CREATE shared")
        assert (imap.ok("GETQUOTAROOT shared (RAW)").untagged == imap.ok("GETQUOTAROOT shared").untagged
                == [b"* QUOTAROOT shared"])


# ---- rights and refusals ----

def test_rights_are_those_without_the_list(aware):
    with aware.imap("bob") as imap:
        for command in ("GETQUOTAROOT user.alice", "GETQUOTA INBOX", "GETQUOTA user.alice"):
            assert imap.no(f"{command} (RAW)").text == imap.no(command).text
    with aware.imap("admin") as imap:
        for command in ("GETQUOTA nosuch", "GETQUOTAROOT nosuch"):
            assert imap.no(f"{command} (RAW)").text == imap.no(command).text


@pytest.mark.parametrize("command", ["GETQUOTAROOT user.alice", "GETQUOTA user.alice"])
@pytest.mark.parametrize("params", ["(FOO)", "()", "(RAW RAW)", "(RAW FOO)", "(RAW", "RAW", "(RAW) x",
                                    "( RAW)", "(RAW )"])
def test_anything_else_is_a_syntax_error_and_nothing_happens(aware, command, params):
    with aware.imap("admin") as imap:
        answer = imap.bad(f"{command} {params}")
        assert answer.untagged == []
        assert imap.ok("NOOP").untagged == []  # the whole line was taken


def test_third_example(aware):
    with aware.imap("alice") as imap:
        assert imap.bad("GETQUOTAROOT INBOX (FOO)").text == "Invalid parameter FOO in Getquotaroot"


@pytest.mark.parametrize("limits", ["(X-RAW-STORAGE 100)", "(X-RAW-MESSAGE 100)", "(STORAGE 5 X-RAW-STORAGE 100)",
                                    "(x-raw-message 1)"])
def test_raw_resources_cannot_be_set(aware, limits):
    with aware.imap("admin") as imap:
        before = imap.ok("GETQUOTA user.alice").untagged
        assert imap.no(f"SETQUOTA user.alice {limits}").text == "Unsupported quota resource"
        assert imap.ok("GETQUOTA user.alice").untagged == before


# ---- both kinds belong to the same state ----

def test_both_follow_every_change(aware):
    with aware.imap("alice") as imap:
        def usage():
            (line,) = imap.ok("GETQUOTAROOT INBOX (RAW)").find("* QUOTA INBOX")
            words = line.decode().partition("(")[2].rstrip(")").split()
            return int(words[words.index("MESSAGE") + 1]), int(words[words.index("X-RAW-MESSAGE") + 1])

        assert usage() == (2, 5)
        imap.append("INBOX.b", big(3))
        assert usage() == (3, 6)
        imap.ok("SELECT INBOX.b")
        imap.ok("MOVE 2 INBOX")
        assert usage() == (3, 6)
        imap.ok(r"STORE 1 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        assert usage() == (3, 5)
        imap.ok("DELETE INBOX.a")
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 1 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        assert usage() == (2, 2)


# ---- the annotation ----

ENTRY = "/shared/vendor/cmu/cyrus-imapd/userrawquota"


def test_annotation(aware):
    with aware.imap("alice") as imap:
        assert imap.ok(f"GETMETADATA INBOX {ENTRY}").untagged == [
            f'* METADATA INBOX ("{ENTRY}" "(STORAGE 2 10 MESSAGE 5 10 X-NUM-FOLDERS 3 10)")'.encode()]
        assert imap.ok(f"GETMETADATA INBOX.a {ENTRY}").untagged == [
            f'* METADATA INBOX.a ("{ENTRY}" NIL)'.encode()]
        assert imap.no(f'SETMETADATA INBOX ({ENTRY} "(STORAGE 1 1)")').text == "Permission denied"
        assert imap.no(f"SETMETADATA INBOX ({ENTRY} NIL)").text == "Permission denied"
    with aware.imap("admin") as imap:
        imap.ok("SETQUOTA user.alice ()")
    with aware.imap("alice") as imap:
        assert imap.ok(f"GETMETADATA INBOX {ENTRY}").untagged == [
            f'* METADATA INBOX ("{ENTRY}" "()")'.encode()]
    with aware.imap("bob") as imap:
        assert imap.cmd(f"GETMETADATA user.alice {ENTRY}").untagged == []

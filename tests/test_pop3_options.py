# SPDX-License-Identifier: BSD-3-Clause
"""pop3d: login in all its forms, TLS, and each option."""

import base64
import hashlib
import os
import poplib
import re
import ssl

import pytest

from cyltest.pop3 import flags, make, message, uids


@pytest.fixture
def pop_server(factory):
    return make(factory)


def token(*parts):
    return base64.b64encode("\0".join(parts).encode()).decode()


# ---- login ----


def test_sasl(pop_server):
    with pop_server.pop3() as pop:
        assert pop.cmd("AUTH PLAIN") == b"+ "
        assert pop.cmd(token("", "alice", "bad")) == (
            b"-ERR [AUTH] authenticating: authentication failure")
        assert pop.cmd("AUTH PLAIN") == b"+ "
        assert pop.cmd("!!!").startswith(b"-ERR [AUTH] authenticating: ")
        assert pop.cmd("AUTH PLAIN " + token("bob", "alice", "alice.pw")).startswith(b"-ERR [AUTH]")
        assert pop.cmd("AUTH PLAIN") == b"+ "
        assert pop.cmd(token("", "alice", "alice.pw")).startswith(b"+OK Mailbox locked and ready")
        assert pop.cmd("STAT").startswith(b"+OK 3 ")
    with pop_server.pop3() as pop:
        assert pop.cmd("AUTH PLAIN " + token("alice", "admin", "admin.pw")).startswith(b"+OK")
        assert pop.cmd("STAT").startswith(b"+OK 3 ")
    with pop_server.pop3() as pop:
        assert pop.cmd("AUTH LOGIN").startswith(b"+ ")
        assert pop.cmd(base64.b64encode(b"alice").decode()).startswith(b"+ ")
        pop.ok(base64.b64encode(b"alice.pw").decode())
    pop_server.wait_log(r"login: localhost \[127\.0\.0\.1\] alice PLAIN User logged in SESSIONID=<")
    pop_server.wait_log(r"badlogin: localhost \[127\.0\.0\.1\] PLAIN \(alice\) \[")


def apop(pop, user, secret):
    challenge = re.search(rb"<.*>$", pop.greeting)[0]
    digest = hashlib.md5(challenge + secret.encode()).hexdigest()
    return pop.cmd(f"APOP {user} {digest}")


def test_apop(pop_server):
    greetings = set()
    for _ in range(3):
        with pop_server.pop3() as pop:
            greetings.add(pop.greeting)
            assert apop(pop, "alice", "wrong").startswith(b"-ERR [AUTH] ")
            assert apop(pop, "nosuch", "alice.pw").startswith(b"-ERR [AUTH] ")
            assert apop(pop, "alice", "alice.pw").startswith(b"+OK Mailbox locked")
            assert pop.cmd("STAT").startswith(b"+OK 3 ")
    assert len(greetings) == 3
    pop_server.wait_log(r"login: \S+ \S+ alice APOP User logged in")


def test_plaintext_needs_a_layer(factory):
    server = make(factory, messages=0)
    server.stop()
    server.conf.update({"allowplaintext": False, "sasl_mech_list": "PLAIN DIGEST-MD5"})
    server.use_tls()
    server.start()
    with server.pop3() as pop:
        capa = pop.multiline("CAPA")
        assert b"SASL DIGEST-MD5" in capa and b"STLS" in capa and b"USER" not in capa
        assert pop.cmd("USER alice") == b"-ERR [AUTH] USER command only available under a layer"
        assert pop.cmd("AUTH PLAIN " + token("", "alice", "alice.pw")) == (
            b"-ERR [AUTH] authenticating: encryption needed to use mechanism")
        pop.ok("STLS")
        pop.start_tls(server.cafile)
        capa = pop.multiline("CAPA")
        assert any(b"PLAIN" in line for line in capa if line.startswith(b"SASL"))
        assert b"USER" in capa and b"STLS" not in capa
        assert pop.cmd("STLS") == b"-ERR Already successfully executed STLS"
        pop.login("alice", "alice.pw")
        pop.ok("QUIT")
    server.wait_log(r"login: \S+ \S+ alice plaintext\+TLS User logged in")


def test_tls_required(factory):
    server = make(factory, messages=0)
    server.stop()
    server.conf["tls_required"] = True
    server.use_tls()
    server.start()
    with server.pop3() as pop:
        assert pop.greeting.endswith(b"server ready ")
        assert pop.cmd("AUTH") == b"-ERR [AUTH] AUTH command only available under a layer"
        assert pop.cmd("USER alice") == b"-ERR [AUTH] USER command only available under a layer"
        assert not any(line.startswith(b"SASL") for line in pop.multiline("CAPA"))


def test_stls_takes_nothing_over(factory):
    server = make(factory, tls=True)
    with server.pop3() as pop:
        pop.ok("USER bob")
        pop.send(b"STLS\r\nUSER alice\r\nPASS alice.pw\r\nDELE 1\r\nQUIT\r\n")
        assert pop.readline() == b"+OK Begin TLS negotiation now"
        pop.start_tls(server.cafile)
        assert pop.cmd("STAT") == b"-ERR Unrecognized command"
        assert pop.cmd("PASS bob.pw") == b"-ERR [AUTH] Must give USER command"
        pop.login("alice", "alice.pw")
        assert pop.cmd("STAT").startswith(b"+OK 3 ")


def test_failed_handshake_ends_the_session(factory):
    server = make(factory, tls=True)
    with server.pop3() as pop:
        pop.ok("STLS")
        pop.send(b"CAPA\r\nthis is no TLS\r\n")
        try:
            while pop.sock.recv(4096):
                pass
        except ConnectionResetError:
            pass
    server.wait_log("STLS negotiation failed")
    with server.pop3("alice") as pop:
        pop.ok("QUIT")


def test_pop3s(factory):
    server = make(factory, "pop3s", tls=True)
    context = ssl.create_default_context(cafile=server.cafile)
    pop = poplib.POP3_SSL("localhost", server.ports["pop3s"], context=context, timeout=30)
    assert "STLS" not in pop.capa()
    pop.user("alice")
    pop.pass_("alice.pw")
    assert pop.stat()[0] == 3
    pop.quit()


def test_subfolders(factory):
    server = make(factory, popsubfolders=True)
    with server.imap("alice") as imap:
        imap.append("Work", message(7))
    for name in ("alice+Work", "ALICE+Work"):
        with server.pop3() as pop:
            pop.login(name, "alice.pw")
            assert pop.cmd("STAT").startswith(b"+OK 1 ")
    with server.pop3() as pop:
        pop.login("alice+", "alice.pw")
        assert pop.cmd("STAT").startswith(b"+OK 3 ")
    with server.pop3() as pop:
        pop.ok("AUTH PLAIN " + token("", "alice+Work", "alice.pw"))
        assert pop.cmd("STAT").startswith(b"+OK 1 ")
    with server.pop3() as pop:
        pop.ok("AUTH PLAIN " + token("alice+Work", "admin", "admin.pw"))
        assert pop.cmd("STAT").startswith(b"+OK 1 ")
    with server.pop3() as pop:
        pop.ok("AUTH PLAIN " + token("alice", "admin+Work", "admin.pw"))
        assert pop.cmd("STAT").startswith(b"+OK 3 ")
    with server.pop3() as pop:
        pop.ok("USER alice+Nope")
        assert pop.cmd("PASS alice.pw") == (
            b"-ERR [SYS/TEMP] Unable to open maildrop: Mailbox does not exist")
        pop.login("alice", "alice.pw")
        assert pop.cmd("STAT").startswith(b"+OK 3 ")
    server.wait_log(r"login: \S+ \S+ alice\+Work plaintext User logged in")


def test_without_popsubfolders_a_plus_is_part_of_the_name(pop_server):
    with pop_server.pop3() as pop:
        pop.ok("USER alice+Work")
        assert pop.cmd("PASS alice.pw") == b"-ERR [AUTH] Invalid login"


def test_no_mailbox(pop_server):
    with pop_server.pop3() as pop:
        pop.ok("USER carol")
        assert pop.cmd("PASS carol.pw") == (
            b"-ERR [SYS/TEMP] Unable to open maildrop: Mailbox does not exist")
        pop.login("alice", "alice.pw")
    pop_server.wait_log(r"Unable to open maildrop user\.carol: Mailbox does not exist")


def test_autocreate(factory):
    server = make(factory, messages=0, autocreate_quota="1000")
    with server.pop3("carol") as pop:
        assert pop.cmd("STAT") == b"+OK 0 0"
        pop.ok("QUIT")
    with server.imap("admin") as imap:
        assert imap.ok('LIST "" user/carol').find("* LIST")


def test_too_many_sessions(factory):
    server = make(factory, maxlogins_per_user="2")
    server.allow_log("Too many open connections")
    with server.pop3("alice") as one, server.pop3("alice"):
        with server.pop3() as three:
            three.ok("USER alice")
            assert three.cmd("PASS alice.pw") == b"-ERR Too many open connections (2 of 2 for alice)"
            mark = server.log_mark()
            one.ok("QUIT")
            server.wait_log("counts: ", mark)
            for _ in range(100):
                three.ok("USER alice")
                if three.cmd("PASS alice.pw").startswith(b"+OK"):
                    break
            three.ok("STAT")


def test_denied_user_and_closed_service(pop_server):
    with pop_server.pop3("alice") as pop, pop_server.pop3() as early:
        with open(pop_server.path("conf", "msg", "new"), "w", encoding="ascii") as f:
            f.write("back soon\n")
        os.rename(f.name, pop_server.path("conf", "msg", "shutdown"))
        assert early.cmd("CAPA") == b"-ERR [SYS/TEMP] back soon"
        assert early.at_eof()
        pop.sendline("DELE 1")
        assert pop.readline() == b"-ERR [SYS/TEMP] back soon"
        assert pop.at_eof()
    os.unlink(pop_server.path("conf", "msg", "shutdown"))
    assert uids(pop_server) == [1, 2, 3]


# ---- options ----


@pytest.mark.parametrize("form, want", [
    ("cyrus", r"{validity}\.2"), ("uidonly", "2"), ("dovecot", "00000002{hexvalidity}"),
    ("courier", "{validity}-2")])
def test_uidl_format(factory, form, want):
    server = make(factory, uidl_format=form)
    with server.imap("alice") as imap:
        line = imap.ok("STATUS INBOX (UIDVALIDITY)").find("* STATUS")[0]
        validity = int(re.search(rb"UIDVALIDITY (\d+)", line)[1])
        want = want.format(validity=validity, hexvalidity=f"{validity:08x}")
    with server.pop3("alice") as pop:
        assert re.fullmatch(r"\+OK 2 " + want, pop.cmd("UIDL 2").decode())


def test_uidl_of_an_old_mailbox(pop_server):
    with pop_server.imap("alice") as imap:
        imap.ok('SETMETADATA INBOX (/shared/vendor/cmu/cyrus-imapd/pop3newuidl "false")')
    with pop_server.pop3("alice") as pop:
        assert pop.multiline("UIDL") == [b"1 1", b"2 2", b"3 3"]


def test_show_after(pop_server):
    with pop_server.imap("alice") as imap:
        imap.append("INBOX", message(9), date="01-Jan-2020 00:00:00 +0000")
        imap.ok("SETMETADATA INBOX (/shared/vendor/cmu/cyrus-imapd/pop3showafter "
                '"01-Jan-2021 00:00:00 +0000")')
    with pop_server.pop3("alice") as pop:
        assert [line.split(b".")[-1] for line in pop.multiline("UIDL")] == [b"1", b"2", b"3"]


def test_imap_flags(factory):
    server = make(factory, messages=4, popuseimapflags=True)
    with server.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        imap.ok(r"STORE 2 +FLAGS (\Deleted)")
    with server.pop3("alice") as pop:
        assert [line.split(b".")[-1] for line in pop.multiline("UIDL")] == [b"1", b"3", b"4"]
        pop.multiline("RETR 1")
        pop.multiline("TOP 3 0")
    assert b"Seen" not in b"".join(flags(server).values())
    with server.pop3("alice") as pop:
        pop.multiline("RETR 1")
        pop.multiline("RETR 2")
        pop.multiline("TOP 3 0")
        pop.ok("DELE 2")
        pop.ok("QUIT")
    found = flags(server)
    assert sorted(found) == [1, 2, 4]
    assert rb"\Seen" in found[1] and rb"\Seen" not in found[2] + found[4]


def test_acl(factory):
    server = make(factory, popuseacl=True, popuseimapflags=True)

    def rights(text):
        with server.imap("admin") as imap:
            imap.ok(f'SETACL user/alice alice "{text}"')

    rights("lr")
    with server.pop3("alice") as pop:
        assert pop.cmd("DELE 1") == b"-ERR [SYS/PERM] Permission denied"
        pop.multiline("RETR 1")
        pop.ok("QUIT")
    assert rb"\Seen" not in flags(server)[1]
    rights("lrst")
    with server.pop3("alice") as pop:
        pop.multiline("RETR 1")
        pop.ok("DELE 2")
        pop.ok("QUIT")
    found = flags(server)
    assert sorted(found) == [1, 3] and rb"\Seen" in found[1]
    rights("ls")
    with server.pop3() as pop:
        pop.ok("USER alice")
        assert pop.cmd("PASS alice.pw") == (
            b"-ERR [SYS/TEMP] Unable to open maildrop: Permission denied")


def test_login_delay(factory):
    server = make(factory, popminpoll="5", poppollpadding="2")
    server.allow_log("Logins must be")
    for _ in range(2):
        with server.pop3("alice") as pop:
            pop.ok("QUIT")
    with server.pop3() as pop:
        pop.ok("USER alice")
        assert pop.cmd("PASS alice.pw") == (
            b"-ERR [LOGIN-DELAY] Logins must be at least 5 minutes apart")
        pop.login("bob", "bob.pw")
    with server.imap("alice") as imap:
        line = imap.ok("GETMETADATA INBOX /shared/vendor/cmu/cyrus-imapd/lastpop").untagged[0]
        assert re.search(rb'"\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d \+\d{4}"', line)

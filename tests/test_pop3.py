# SPDX-License-Identifier: BSD-3-Clause
"""pop3d: the conversation, login in all its forms, what QUIT does, and bad input."""

import base64
import glob
import hashlib
import os
import poplib
import re
import ssl

import pytest


def message(n, body=b"body\r\n"):
    return (b"From: a@example.com\r\nSubject: number %d\r\nMessage-ID: <p%d@example.com>\r\n"
            b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n\r\n" % (n, n)) + body


def make(factory, *services, messages=3, tls=False, **conf):
    server = factory(services=("imap", "pop3", *services))
    if tls:
        server.use_tls()
    server.conf.update(conf)
    server.start()
    server.create_user("alice", "Work")
    server.create_user("bob")
    with server.imap("alice") as imap:
        for n in range(1, messages + 1):
            imap.append("INBOX", message(n))
    return server


@pytest.fixture
def pop_server(factory):
    return make(factory)


def uids(server, user="alice", mailbox="INBOX"):
    with server.imap(user) as imap:
        imap.ok(f'EXAMINE "{mailbox}"')
        found = imap.ok("UID SEARCH ALL").find("* SEARCH")
        return [int(n) for n in found[0].split()[2:]]


def flags(server, mailbox="INBOX"):
    with server.imap("alice") as imap:
        imap.ok(f"EXAMINE {mailbox}")
        lines = imap.ok("FETCH 1:* (UID FLAGS)").find("*")
        return {int(re.search(rb"UID (\d+)", line)[1]): re.search(rb"FLAGS \((.*?)\)", line)[1]
                for line in lines if b"FETCH" in line}


def token(*parts):
    return base64.b64encode("\0".join(parts).encode()).decode()


# Command and answer, or its start when it ends in "*"; from sessions with 3.6.1.
BEFORE = [
    ("NOOP", "-ERR Unrecognized command"),
    ("STAT", "-ERR Unrecognized command"),
    ("", "-ERR Unrecognized command"),
    (" CAPA", "-ERR Unrecognized command"),
    ("CAPA ", "-ERR Syntax error"),
    ("CAPA x", "-ERR Unexpected extra argument"),
    ("LANG", "-ERR Unrecognized command"),
    ("UTF8", "-ERR Unrecognized command"),
    ("STLS", "-ERR Unrecognized command"),
    ("LAST", "-ERR Unrecognized command"),
    ("PASS x", "-ERR [AUTH] Must give USER command"),
    ("USER", "-ERR Missing argument"),
    ("USER no/such", "-ERR [AUTH] Invalid user"),
    ("USER  alice", "+OK Name is a valid mailbox"),
    ("USER bob", "-ERR [AUTH] Must give PASS command"),
    ("PASS", "-ERR Missing argument"),
    ("PASS bad", "-ERR [AUTH] Invalid login"),
    ("PASS alice.pw", "-ERR [AUTH] Must give USER command"),
    ("AUTH FOO", "-ERR [AUTH] authenticating: no mechanism available"),
    ("AUTH PLAIN", "+ "),
    ("*", "-ERR [AUTH] Client canceled authentication"),
    ("AUTH PLAIN =", "-ERR [AUTH] authenticating: *"),
    ("APOP alice", "-ERR Missing argument"),
    ("APOP alice 0123456789abcdef0123456789abcdef", "-ERR [AUTH] authenticating: *"),
    ("user ALICE ", "+OK Name is a valid mailbox"),
    ("pass alice.pw", "+OK Mailbox locked and ready SESSIONID=<*"),
]
AFTER = [
    ("USER alice", "-ERR Unrecognized command"),
    ("PASS x", "-ERR Unrecognized command"),
    ("AUTH PLAIN", "-ERR Unrecognized command"),
    ("APOP x y", "-ERR Unrecognized command"),
    ("STLS", "-ERR Unrecognized command"),
    ("STAT x", "-ERR Unexpected extra argument"),
    ("STAT ", "-ERR Syntax error"),
    ("STAT", "+OK 3 *"),
    ("LIST 0", "-ERR No such message"),
    ("LIST 4", "-ERR No such message"),
    ("LIST -1", "-ERR Not a number"),
    ("LIST x", "-ERR Not a number"),
    ("LIST 4294967297", "-ERR Not a number"),
    ("LIST 99999999999999999999", "-ERR Not a number"),
    ("LIST 1 2", "-ERR Unexpected extra argument"),
    ("LIST 1x", "-ERR Unexpected extra argument"),
    ("LIST  1", "+OK 1 *"),
    ("UIDL 0", "-ERR No such message"),
    ("UIDL 2", "+OK 2 *.2"),
    ("TOP", "-ERR Missing argument"),
    ("TOP 1", "-ERR Missing argument"),
    ("TOP 1 x", "-ERR Invalid number of lines"),
    ("TOP 1 -1", "-ERR Invalid number of lines"),
    ("TOP 1 2 3", "-ERR Unexpected extra argument"),
    ("TOP 9 1", "-ERR No such message"),
    ("RETR", "-ERR Missing argument"),
    ("RETR x", "-ERR Not a number"),
    ("RETR 9", "-ERR No such message"),
    ("RETR 1 2", "-ERR Unexpected extra argument"),
    ("DELE", "-ERR Missing argument"),
    ("DELE 9", "-ERR No such message"),
    ("DELE 1", "+OK message deleted"),
    ("DELE 1", "-ERR No such message"),
    ("RETR 1", "-ERR No such message"),
    ("LIST 1", "-ERR No such message"),
    ("UIDL 1", "-ERR No such message"),
    ("TOP 1 1", "-ERR No such message"),
    ("STAT", "+OK 2 *"),
    ("RSET x", "-ERR Unexpected extra argument"),
    ("RSET", "+OK"),
    ("STAT", "+OK 3 *"),
    ("NOOP", "+OK"),
    ("LAST", "-ERR Unrecognized command"),
    ("XTND", "-ERR Unrecognized command"),
    ("QUIT x", "-ERR Unexpected extra argument"),
    ("quit", "+OK"),
]


def check_answers(pop, conversation):
    for command, want in conversation:
        got = pop.cmd(command).decode()
        regex = re.escape(want).replace(r"\*", ".*")
        assert re.fullmatch(regex, got), (command, got, want)


def test_conversation(pop_server):
    with pop_server.pop3() as pop:
        check_answers(pop, BEFORE)
        check_answers(pop, AFTER)
        assert pop.at_eof()
    assert uids(pop_server) == [1, 2, 3]


def test_greeting_and_capabilities(pop_server):
    with pop_server.pop3() as pop:
        assert re.fullmatch(rb"\+OK cyl\.test Cyrus POP3 \S+ server ready <[^<>@]+@cyl\.test>",
                            pop.greeting)
        common = [b"EXPIRE NEVER", b"LOGIN-DELAY 0", b"TOP", b"UIDL", b"PIPELINING",
                  b"RESP-CODES", b"AUTH-RESP-CODE"]
        capa = pop.multiline("CAPA")
        assert capa[:-1] == [b"SASL PLAIN LOGIN", *common, b"USER"]
        assert re.fullmatch(rb"IMPLEMENTATION Cyrus POP3 \S+", capa[-1])
        assert pop.multiline("AUTH") == [b"PLAIN", b"LOGIN"]
        pop.login("alice", "alice.pw")
        assert pop.multiline("CAPA")[:-1] == common


def test_capabilities_by_options(factory):
    server = make(factory, messages=0, serverinfo="min", popexpiretime="30", popminpoll="5",
                  allowapop=False)
    with server.pop3() as pop:
        assert pop.greeting == b"+OK cyl.test server ready "
        capa = pop.multiline("CAPA")
        assert b"EXPIRE 30" in capa and b"LOGIN-DELAY 300" in capa
        assert not any(line.startswith(b"IMPLEMENTATION") for line in capa)
        assert pop.cmd("APOP alice x") == b"-ERR Unrecognized command"


def test_a_day_with_poplib(pop_server):
    with pop_server.imap("alice") as imap:
        imap.append("INBOX", message(4, b"line1\r\n.dot\r\n..two\r\n.\r\nend\r\n"))
        imap.append("INBOX", message(5, b"no newline at the end"))
        imap.append("INBOX", b"Subject: only a header\r\n")
    pop = poplib.POP3("127.0.0.1", pop_server.ports["pop3"], timeout=30)
    pop.user("alice")
    pop.pass_("alice.pw")
    count, size = pop.stat()
    listing = [tuple(map(int, line.split())) for line in pop.list()[1]]
    assert [n for n, _ in listing] == [1, 2, 3, 4, 5, 6] and count == 6
    assert sum(octets for _, octets in listing) == size
    assert b"\r\n".join(pop.retr(1)[1]) + b"\r\n" == message(1)
    assert listing[0][1] == len(message(1))
    assert pop.retr(4)[1][-5:] == [b"line1", b".dot", b"..two", b".", b"end"]
    assert pop.retr(5)[1][-2:] == [b"", b"no newline at the end"]
    assert pop.retr(6)[1] == [b"Subject: only a header"]
    assert pop.top(4, 0)[1] == message(4, b"").split(b"\r\n")[:-1]
    assert pop.top(4, 2)[1][-2:] == [b"line1", b".dot"]
    assert len(pop.top(4, 4294967295)[1]) == len(pop.retr(4)[1])
    ids = [line.split()[1] for line in pop.uidl()[1]]
    assert len(set(ids)) == 6
    pop.dele(2)
    pop.dele(6)
    pop.quit()
    assert uids(pop_server) == [1, 3, 4, 5]
    pop_server.wait_log(r"counts: retr=<5> top=<3> dele=<2>")
    pop_server.wait_log(r"Expunged 2 messages from user\.alice")


def test_without_quit_nothing_is_deleted(pop_server):
    pop = pop_server.pop3("alice")
    pop.ok("DELE 1")
    mark = pop_server.log_mark()
    pop.close()
    pop_server.wait_log(r"counts: retr=<0> top=<0> dele=<1>", mark)
    assert uids(pop_server) == [1, 2, 3]


def test_killed_after_quit_deletions_stay(pop_server):
    with pop_server.pop3("alice") as pop:
        pop.ok("DELE 1")
        pop.ok("DELE 3")
        pop.ok("QUIT")
        pop_server.kill()
    pop_server.start()
    assert uids(pop_server) == [2]


def test_the_list_is_a_snapshot(pop_server):
    with pop_server.pop3("alice") as one, pop_server.pop3("alice") as two:
        with pop_server.imap("alice") as imap:
            imap.append("INBOX", message(9))
        one.ok("DELE 1")
        one.ok("DELE 2")
        one.ok("QUIT")
        assert two.cmd("STAT").split()[1] == b"3"
        assert b"\r\n".join(two.multiline("RETR 1")) + b"\r\n" == message(1)
        two.ok("DELE 1")
        two.ok("DELE 3")
        two.ok("QUIT")
    assert uids(pop_server) == [4]


@pytest.mark.parametrize("mode", ["immediate", "semidelayed", "delayed"])
def test_expunged_by_another_session(factory, mode):
    server = make(factory, expunge_mode=mode)
    with server.pop3("alice") as pop:
        with server.imap("alice") as imap:
            imap.ok("SELECT INBOX")
            imap.ok(r"STORE 2 +FLAGS (\Deleted)")
            imap.ok("EXPUNGE")
        if mode == "delayed":
            pop.multiline("RETR 2")
        else:
            assert pop.cmd("RETR 2") == b"-ERR [SYS/PERM] Could not read message file"
            assert pop.cmd("TOP 2 0") == b"-ERR [SYS/PERM] Could not read message file"
        assert b"\r\n".join(pop.multiline("RETR 3")) + b"\r\n" == message(3)
        pop.ok("DELE 2")
        pop.ok("DELE 3")
        pop.ok("QUIT")
    assert uids(server) == [1]


def test_mailbox_replaced_meanwhile(factory):
    server = make(factory, popsubfolders=True)
    with server.imap("alice") as imap:
        for n in (1, 2):
            imap.append("Work", message(n))
    with server.pop3() as pop:
        pop.login("alice+Work", "alice.pw")
        pop.ok("DELE 1")
        with server.imap("alice") as imap:
            imap.ok("DELETE Work")
            imap.ok("CREATE Work")
            imap.append("Work", message(7))
        assert pop.cmd("RETR 2") == b"-ERR [SYS/PERM] Could not read message file"
        assert pop.cmd("QUIT").startswith(b"-ERR [SYS/TEMP] ")
    assert uids(server, mailbox="Work") == [1]


def test_missing_message_file(pop_server):
    pop_server.allow_log("what=<can't read message file>")
    (path,) = glob.glob(pop_server.path("spool") + "/**/2.", recursive=True)
    os.unlink(path)
    with pop_server.pop3("alice") as pop:
        assert pop.cmd("RETR 2") == b"-ERR [SYS/PERM] Could not read message file"
        pop.multiline("RETR 3")
        pop.ok("QUIT")


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
    pop_server.wait_log(r"badlogin: localhost \[127\.0\.0\.1\] PLAIN ")


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


# ---- bad input ----


def test_line_too_long(pop_server):
    with pop_server.pop3("alice") as pop:
        pop.send(b"NOOP " + b"x" * 8187 + b"\r\n")
        assert pop.readline() == b"-ERR Unexpected extra argument"
        pop.send(b"x" * 9000 + b"DELE 1\r\nQUIT\r\n")
        assert pop.readline() == b"-ERR [SYS/TEMP] line too long"
        assert pop.at_eof()
    assert uids(pop_server) == [1, 2, 3]


@pytest.mark.parametrize("rubbish", [
    b"\0\r\n", b"USER al\0ice\r\n", b"\xff\xfe\x80\r\n", b"\r\n", b"\n", b"\r\r\r\n", b"STAT\r\r\n",
    b"CAPA\0\r\n", b"%s%n%d\r\n", b"AUTH\x0b PLAIN\r\n"])
def test_rubbish(pop_server, rubbish):
    with pop_server.pop3() as pop:
        pop.send(rubbish)
        assert pop.readline() == b"-ERR Unrecognized command"
        pop.ok("CAPA")


def test_pipelined(pop_server):
    with pop_server.pop3() as pop:
        pop.send(b"USER alice\r\nPASS alice.pw\r\nSTAT\r\nFOO\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n")
        answers = []
        while not answers or answers[-1] != b"+OK":
            answers.append(pop.readline())
        assert pop.at_eof()
    assert [a[:4] for a in answers[:5]] == [b"+OK ", b"+OK ", b"+OK ", b"-ERR", b"+OK "]
    assert uids(pop_server) == [2, 3]


def test_disconnects(pop_server):
    for sent in (b"", b"US", b"USER alice\r\nPASS alice.pw\r\nDELE 1\r\nQUIT",
                 b"AUTH PLAIN\r\n", b"AUTH PLAIN\r\nAAAA", b"USER alice\r\nPASS alice.pw\r\nRETR 1\r\n"):
        mark = pop_server.log_mark()
        with pop_server.pop3() as pop:
            pop.send(sent)
        pop_server.wait_log("counts: ", mark)
    assert uids(pop_server) == [1, 2, 3]


def test_large_message_and_slow_reader(factory):
    server = make(factory, messages=0)
    body = (b"." * 70 + b"\r\n" + b"x" * 70 + b"\r\n") * 100000
    with server.imap("alice") as imap:
        imap.append("INBOX", message(1, body))
    with server.pop3("alice") as slow:
        slow.sendline("RETR 1")
        assert slow.readline() == b"+OK Message follows"
        with server.imap("alice") as imap:  # nobody waits for the reader
            imap.append("INBOX", message(2))
        got = []
        while True:
            line = slow.readline()
            if line == b".":
                break
            got.append(line[1:] if line.startswith(b".") else line)
    assert b"\r\n".join(got) + b"\r\n" == message(1, body)


def test_shutdown_deletes_nothing(pop_server):
    pop = pop_server.pop3("alice")
    pop.ok("DELE 1")
    pop_server.stop()
    assert pop.at_eof()
    pop.close()
    pop_server.start()
    assert uids(pop_server) == [1, 2, 3]


def test_proc_file(pop_server):
    with pop_server.pop3("alice"):
        texts = []
        for path in glob.glob(pop_server.path("conf", "proc", "*")):
            with open(path, encoding="ascii") as f:
                texts.append(f.read())
        assert "pop3\tlocalhost [127.0.0.1]\talice\tuser.alice\t\n" in texts


def test_telemetry_and_traffic(factory):
    server = make(factory, auditlog=True)
    server.account.mkdir(server.path("conf", "log", "alice"))
    with server.pop3("alice") as pop:
        pop.ok("STAT")
        pop.ok("QUIT")
    server.wait_log(r"auditlog: traffic sessionid=<\S+> bytes_in=<\d+> bytes_out=<\d+>")
    (path,) = glob.glob(server.path("conf", "log", "alice", "pop3-*"))
    with open(path, "rb") as f:
        text = f.read()
    assert b"STAT" in text and b"alice.pw" not in text


def test_starts_without_a_certificate_fail(factory):
    server = factory(services=("pop3",))
    server.write_conf()
    server.env.update({"CYRUS_SERVICE": "pop3s", "CYRUS_ID": "0"})
    assert server.run("pop3d", "-s", "-X", check=False).returncode == 78
    assert server.run("pop3d", "-k", "-X", check=False).returncode == 64

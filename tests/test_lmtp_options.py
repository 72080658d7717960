# SPDX-License-Identifier: BSD-3-Clause
"""lmtpd under each of its options, and who may talk to it (handbook 04 §7.1-§7.5)."""

import base64
import os
import re
import smtplib


def message(n, body=b"body\r\n", head=b""):
    return (b"From: a@example.com\r\nSubject: number %d\r\nMessage-ID: <o%d@example.com>\r\n"
            b"Date: Mon, 07 Feb 2022 10:00:00 +0100\r\n" % (n, n)) + head + b"\r\n" + body


def make(factory, *services, tls=False, **conf):
    server = factory(services=("imap",))
    for entry in services or ("lmtpunix",):
        server.add_service(entry, cmd="lmtpd" if entry == "lmtpauth" else None)
    server.conf.update(conf)
    if tls:
        server.use_tls()
    server.start()
    server.create_user("alice", "Work", "Two Words")
    server.create_user("bob")
    with server.imap("admin") as imap:
        for name in ("user/alice/Work", "user/alice/Two Words"):
            imap.ok(f'SETACL "{name}" anyone p')
        for name in ("shared", "shared/team"):
            imap.ok(f"CREATE {name}")
            imap.ok(f"SETACL {name} anyone lrp")
    return server


def deliver(server, n, *rcpts, **kwargs):
    """The codes of the answers."""
    text = kwargs.pop("text", None) or message(n)
    with server.lmtp("lmtpunix") as lmtp:
        return [code for code, _ in lmtp.deliver(text, list(rcpts), **kwargs)]


def count(server, *names):
    with server.imap("admin") as imap:
        for name in names:
            imap.ok(f'SETACL "{name}" admin lr')
        found = [imap.ok(f'STATUS "{name}" (MESSAGES)').find("* STATUS")[0] for name in names]
        return [int(re.search(rb"MESSAGES (\d+)", line)[1]) for line in found]


def fetch(server, user="alice", what="BODY.PEEK[]"):
    """Of the newest message of the INBOX."""
    with server.imap(user) as imap:
        imap.ok("EXAMINE INBOX")
        return imap.ok(f"FETCH * {what}").find("*")[-1]


# ---- recipients ----


def test_shared_folders(factory):
    server = make(factory, postuser="bb")
    assert deliver(server, 1, "bb+shared", "bb+shared/team", "bb+nosuch", "bb") == [
        250, 250, 550, 550]
    assert deliver(server, 2, "+shared") == [250]
    assert count(server, "shared", "shared/team") == [2, 1]


def test_catchall(factory):
    server = make(factory, lmtp_catchall_mailbox="bob")
    assert deliver(server, 1, "unknown", "alice") == [250, 250]
    assert deliver(server, 2, "+nosuch") == [250]
    assert deliver(server, 3, "unknown+Work") == [250]
    assert count(server, "user/bob", "user/alice") == [3, 1]


def test_downcase(factory):
    server = make(factory)
    assert deliver(server, 1, "ALICE", "aLiCe+Work", "alice+work") == [250, 250, 250]
    assert count(server, "user/alice", "user/alice/Work") == [1, 1]


def test_downcase_off(factory):
    server = make(factory, lmtp_downcase_rcpt=False)
    assert deliver(server, 1, "ALICE", "alice") == [550, 250]


def test_fuzzy(factory):
    server = make(factory, lmtp_fuzzy_mailbox_match=True)
    assert deliver(server, 1, "alice+two_words") == [250]
    assert deliver(server, 2, "alice+TWO-WORDS") == [250]
    assert deliver(server, 3, "alice+work/deeper") == [250]
    assert deliver(server, 4, "alice+nothing") == [250]
    assert count(server, "user/alice/Two Words", "user/alice/Work", "user/alice") == [2, 1, 1]


def test_excluded_specialuse(factory):
    server = make(factory, lmtp_exclude_specialuse="\\Junk")
    with server.imap("alice") as imap:
        imap.ok('SETMETADATA Work (/private/specialuse "\\\\Junk")')
    assert deliver(server, 1, "alice+Work") == [250]
    assert count(server, "user/alice/Work", "user/alice") == [0, 1]


def test_domains(factory):
    server = make(factory)
    assert deliver(server, 1, "alice@example.com", "bob@anything.example") == [250, 250]
    assert count(server, "user/alice", "user/bob") == [1, 1]


def test_virtual_domains(factory):
    server = make(factory, virtdomains="userid", defaultdomain="example.com")
    with server.imap("admin") as imap:
        imap.ok("CREATE user/carol@other.example")
    assert deliver(server, 1, "alice@example.com", "alice@other.example", "carol@other.example",
                   "carol") == [250, 550, 250, 550]
    assert count(server, "user/alice", "user/carol@other.example") == [1, 1]


def test_eight_bit_local_parts(factory):
    server = make(factory, lmtp_strict_rfc2821=False)
    with server.lmtp("lmtpunix") as lmtp:
        assert lmtp.cmd(b"MAIL FROM:<c\xe4ss@x>")[0] == 250
        assert lmtp.cmd(b"RCPT TO:<al\xeece>")[0] == 550  # alXce
        assert lmtp.cmd(b"RCPT TO:<alice>")[0] == 250
        assert lmtp.cmd("DATA")[0] == 354
        lmtp.send(message(1) + b".\r\n")
        assert lmtp.reply()[0] == 250
    assert b"\r\nReturn-Path: <cXss@x>\r\n" in fetch(server)


def test_eight_bit_local_parts_are_refused(factory):
    server = make(factory)
    with server.lmtp("lmtpunix") as lmtp:
        assert lmtp.cmd(b"MAIL FROM:<c\xe4ss@x>")[0] == 501
        assert lmtp.cmd("MAIL FROM:<>")[0] == 250
        assert lmtp.cmd(b"RCPT TO:<al\xeece>")[0] == 501


def test_denied_user(factory):
    server = make(factory, "lmtp", "lmtpunix")
    database = server.path("conf", "user_deny.db")

    def deny(services):
        server.run("cyr_dbtool", "-n", database, "flat", "set", "bob", f"2\t{services}\tblocked")

    deny("lmtp")
    with server.lmtp("lmtp") as lmtp:
        assert lmtp.cmd("MAIL FROM:<>")[0] == 250
        assert lmtp.cmd("RCPT TO:<bob>") == (451, ["4.2.1 Delivery to mailbox is disabled"])
        assert lmtp.cmd("RCPT TO:<alice>")[0] == 250
    assert deliver(server, 1, "bob") == [250]  # another service
    deny("*")
    assert deliver(server, 2, "bob") == [451]


# ---- quota ----


def test_strict_quota(factory):
    server = make(factory, lmtp_strict_quota=True, lmtp_over_quota_perm_failure=True)
    with server.imap("admin") as imap:
        imap.ok("SETQUOTA user/bob (STORAGE 3)")
    with server.lmtp("lmtpunix") as lmtp:
        assert lmtp.cmd("MAIL FROM:<> SIZE=4000")[0] == 250
        code, text = lmtp.cmd("RCPT TO:<bob>")
        assert code == 552 and text[0].startswith("5.2.2 Over quota SESSIONID=<")
        assert lmtp.cmd("RCPT TO:<bob> IGNOREQUOTA")[0] == 250
    big = message(1, b"y" * 4000 + b"\r\n")
    assert deliver(server, 1, "bob", "alice", text=big) == [552, 250]
    assert deliver(server, 2, "bob") == [250]
    assert count(server, "user/bob", "user/alice") == [1, 1]


def test_message_quota(factory):
    server = make(factory, lmtp_strict_quota=True)
    with server.imap("admin") as imap:
        imap.ok("SETQUOTA user/bob (MESSAGE 1)")
    assert deliver(server, 1, "bob") == [250]
    assert deliver(server, 2, "bob") == [452]
    assert count(server, "user/bob") == [1]


# ---- what is written ----


def test_eight_bit_headers(factory):
    raw = message(1, head=b"X-Name: \xfc\r\n")
    server = make(factory, reject8bit=True)
    assert deliver(server, 1, "alice", text=raw) == [554]
    assert deliver(server, 1, "alice", text=message(2, b"\xfc\r\n")) == [250]


def test_eight_bit_headers_munged_or_kept(factory):
    raw = message(1, head=b"X-Name: \xfc\r\n")
    server = make(factory)
    assert deliver(server, 1, "alice", text=raw) == [250]
    assert b"X-Name: X\r\n" in fetch(server)
    server.stop()
    server.conf.update(munge8bit=False)
    server.start()
    assert deliver(server, 1, "bob", text=raw) == [250]
    assert b"X-Name: \xfc\r\n" in fetch(server, "bob")


def test_internaldate(factory):
    server = make(factory)
    head = b"X-DeliveredInternalDate: Tue, 01 Mar 2022 12:00:00 +0000\r\n"
    assert deliver(server, 1, "alice", text=message(1, head=head)) == [250]
    assert b'" 1-Mar-2022 12:00:00 +0000"' in fetch(server, what="INTERNALDATE")


def test_sender(factory):
    server = make(factory)
    assert deliver(server, 1, "alice", sender="joe") == [250]
    assert b"\r\nReturn-Path: <joe@cyl.test>\r\n" in fetch(server)
    assert deliver(server, 2, "alice", sender="", options=" AUTH=bob+2Bx BODY=8BITMIME") == [250]
    text = fetch(server)
    assert b"\r\nReturn-Path: <>\r\n" in text
    assert b"\r\n\t (authenticated user=bob+x bits=0)\r\n" in text


def test_no_single_instance(factory):
    server = make(factory, singleinstancestore=False)
    assert deliver(server, 1, "alice", "bob", text=message(1, b"x" * 100000 + b"\r\n")) == [250, 250]
    inodes = set()
    for top, _, names in os.walk(server.path("spool")):
        inodes |= {os.stat(os.path.join(top, name)).st_ino for name in names if name == "1."}
    assert len(inodes) == 2


def test_no_duplicate_suppression(factory):
    server = make(factory, duplicatesuppression=False)
    for _ in range(2):
        assert deliver(server, 1, "alice", "alice") == [250, 250]
    assert count(server, "user/alice") == [4]


def test_duplicates_where_the_mailbox_wants_them(factory):
    server = make(factory)
    with server.imap("admin") as imap:
        imap.ok('SETMETADATA user/alice (/shared/vendor/cmu/cyrus-imapd/duplicatedeliver "true")')
    for _ in range(2):
        assert deliver(server, 1, "alice", "bob") == [250, 250]
    assert count(server, "user/alice", "user/bob") == [2, 1]


def test_serverinfo(factory):
    server = make(factory, serverinfo="min")
    with server.lmtp("lmtpunix") as lmtp:
        assert lmtp.greeting == (220, ["cyl.test server ready"])
    assert deliver(server, 1, "alice") == [250]
    assert b"\t by cyl.test with LMTPA;\r\n" in fetch(server)


# ---- the conversation ----

SYNTAX = ["NOOP x", "RSET x", "QUIT x", "DATA x", "STARTTLS x", "LHLO", "MAIL", "RCPT", "VRFY",
          "AUTH", "EHLO x", "HELO x", "ETRN x"]


def test_arguments(factory):
    server = make(factory)
    with server.lmtp("lmtpunix") as lmtp:
        for line in SYNTAX:
            assert lmtp.cmd(line) == (500, ["5.5.2 Syntax error"]), line
        assert lmtp.cmd("MAIL FROM:<a> SIZE")[0] == 501
        assert lmtp.cmd("mail from:<a> body=7bit size=10 auth=<>")[0] == 250


def test_closed_service(factory):
    server = make(factory)
    with server.lmtp("lmtpunix") as one, server.lmtp("lmtpunix") as two:
        with open(server.path("conf", "msg", "new"), "w", encoding="ascii") as f:
            f.write("back soon\n")
        os.rename(f.name, server.path("conf", "msg", "shutdown"))
        assert one.cmd("NOOP")[0] == 250
        assert one.cmd("LHLO x")[0] == 250
        assert one.cmd("RSET") == (421, ["4.3.2 back soon"])
        assert one.at_eof()
        assert two.cmd("MAIL FROM:<>") == (421, ["4.3.2 back soon"])
    with server.lmtp("lmtpunix") as three:
        assert three.cmd("QUIT")[0] == 221


def test_smtplib_pipelining_and_session_ids(factory):
    server = make(factory)
    lmtp = smtplib.LMTP(server.address("lmtpunix"))
    lmtp.ehlo("client.test")
    for name in ("8bitmime", "enhancedstatuscodes", "pipelining", "size", "ignorequota"):
        assert lmtp.has_extn(name), name
    assert lmtp.has_extn("chunking") and not lmtp.has_extn("starttls")
    assert lmtp.sendmail("joe@example.com", ["alice", "nosuch"], message(1)).keys() == {"nosuch"}
    lmtp.quit()
    with server.lmtp("lmtpunix") as lmtp:
        lmtp.send(b"MAIL FROM:<>\r\nRCPT TO:<alice>\r\nRCPT TO:<nosuch>\r\nDATA\r\n" +
                  message(2) + b".\r\nRSET\r\nQUIT\r\n")
        codes = [lmtp.reply()[0] for _ in range(7)]
        assert codes == [250, 250, 550, 354, 250, 250, 221]
    assert count(server, "user/alice") == [2]


def plain(user, secret):
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{secret}".encode()).decode()


def test_only_admins_may_deliver(factory):
    server = make(factory, "lmtpauth", "lmtpunix", soft_noauth=False)
    for user in ("admin", "postman"):
        server.account.mkdir(server.path("conf", "log", user))
    with server.lmtp("lmtpauth") as lmtp:
        assert lmtp.cmd("MAIL FROM:<>") == (530, ["Authentication required"])
        assert lmtp.cmd(plain("alice", "alice.pw")) == (501, ["5.5.4 undefined error!"])
        server.wait_log(r"badlogin: \S+ \S+ PLAIN \(alice\) \[.*only admins may authenticate")
        assert lmtp.cmd("MAIL FROM:<>")[0] == 530
        assert lmtp.cmd(plain("admin", "admin.pw")) == (235, ["Authenticated!"])
        assert lmtp.cmd("AUTH PLAIN =") == (503, ["5.5.0 already authenticated"])
        assert not any("AUTH" in line for line in lmtp.cmd("LHLO x")[1])
        assert [code for code, _ in lmtp.deliver(message(1), ["alice"])] == [250]
    assert b" with LMTPA;\r\n" in fetch(server)
    assert deliver(server, 2, "alice") == [250]
    traces = sorted(os.listdir(server.path("conf", "log", "admin")))
    assert len(traces) == 1 and traces[0].startswith("lmtpauth-")
    with open(server.path("conf", "log", "admin", traces[0]), "rb") as f:
        text = f.read()
    assert b"RCPT TO:<alice>" in text and b"admin.pw" not in text and b"YWRtaW4" not in text
    assert os.listdir(server.path("conf", "log", "postman"))[0].startswith("lmtpunix-")


def test_login_over_tls(factory):
    server = make(factory, "lmtpauth", tls=True, allowplaintext=True)
    with server.lmtp("lmtpauth") as lmtp:
        assert "STARTTLS" in lmtp.extensions
        assert lmtp.cmd("STARTTLS")[0] == 220
        lmtp.start_tls(server.cafile)
        assert "STARTTLS" not in lmtp.cmd("LHLO client.test")[1]
        assert lmtp.cmd("STARTTLS") == (454, ["4.3.3 Already successfully executed STARTTLS"])
        assert lmtp.cmd(plain("admin", "admin.pw"))[0] == 235
        assert [code for code, _ in lmtp.deliver(message(1), ["alice"])] == [250]
    assert re.search(rb"with LMTPSA\r\n\t \(version=TLSv1\.[23] cipher=\S+ bits=\d+/\d+ verify=NO\);\r\n",
                     fetch(server))


def test_no_starttls_after_login(factory):
    server = make(factory, "lmtpauth", tls=True)
    with server.lmtp("lmtpauth") as lmtp:
        assert lmtp.cmd(plain("admin", "admin.pw"))[0] == 235
        assert "STARTTLS" not in lmtp.cmd("LHLO x")[1]
        assert lmtp.cmd("STARTTLS") == (503, ["5.5.0 STARTTLS not permitted now"])

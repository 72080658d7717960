# SPDX-License-Identifier: BSD-3-Clause
"""The harness itself against the packaged 3.6.1: what every interop test stands on."""

MESSAGE = b"Message-Id: <1@client.test>\r\nSubject: dots\r\n\r\n.one\r\n..two\r\n"


def test_two_servers_at_once(debian_factory):
    first = debian_factory(services=("imap", "lmtp", "lmtpunix"))
    second = debian_factory(services=("imap", "imaps"))
    second.use_tls()
    first.start()
    second.start()
    first.create_user("alice", "Work")
    first.deliver(MESSAGE, "alice")
    first.deliver(MESSAGE.replace(b"<1@", b"<2@"), "alice", service="lmtpunix")
    with first.imap("alice") as imap:
        imap.ok("SELECT INBOX")
        fetched = imap.ok("FETCH 1:* BODY[TEXT]").find("* 1 FETCH")
        assert fetched and b"\r\n.one\r\n..two\r\n" in fetched[0]
        imap.append("Work", MESSAGE, flags=r"\Seen")
        imap.no("SELECT Missing")
        imap.bad("NOPE")
    with second.imap("alice", service="imaps", cafile=second.cafile) as imap:
        assert not imap.ok('LIST "" *').untagged
    assert "user.alice.Work" in first.run("ctl_mboxlist", "-d").stdout


def test_data_outlives_a_restart_and_a_kill(debian_factory):
    server = debian_factory(services=("imap",)).start()
    server.create_user("bob")
    assert server.children("imapd")
    server.kill()
    assert not server.children()
    server.start()
    server.restart()
    with server.imap("bob") as imap:
        assert imap.ok('LIST "" INBOX').find("* LIST")

# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of POP3 share: a server with mail, and what became of it."""

import re


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

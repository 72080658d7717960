# SPDX-License-Identifier: BSD-3-Clause
"""Keys of URLAUTH: what one server has signed, the other honours with its file of keys."""

import re

from cyltest.storefiles import add_file

MESSAGE = b"Subject: signed\r\n\r\nthe text\r\n"
URL = "imap://admin@cyl.test/shared.x/;uid=1/;section=text;urlauth=user+bob"
KEYS = ("conf", "user", "a", "admin.mboxkey")


def start(make):
    server = make(services=("imap",))
    server.conf.update({"unixhierarchysep": False, "altnamespace": False})
    server.start()
    server.create_user("bob")
    with server.imap("admin") as admin:
        admin.ok("CREATE shared.x")
        admin.ok("SETACL shared.x admin lrswipkxtea")
        admin.append("shared.x", MESSAGE)
    return server


def sign(server):
    with server.imap("admin") as admin:
        [line] = admin.ok(f'GENURLAUTH "{URL}" INTERNAL').untagged
    return re.fullmatch(rb'\* GENURLAUTH "(.*)"', line)[1].decode()


def fetch(server, url):
    with server.imap("bob") as bob:
        [line] = bob.ok(f'URLFETCH "{url}"').untagged
    assert line.startswith(f'* URLFETCH "{url}" '.encode())
    return line[len(f'* URLFETCH "{url}" '):]


def test_keys_are_the_same_file(factory, debian_factory):
    ours, theirs = start(factory), start(debian_factory)
    for signer, reader in ((theirs, ours), (ours, theirs)):
        url = sign(signer)
        assert fetch(signer, url) == b"{10}\r\nthe text\r\n"
        sign(reader)  # with a key of its own
        assert fetch(reader, url) == b"NIL"
        signer.stop()
        reader.stop()
        add_file(reader, signer.path(*KEYS), reader.path(*KEYS))
        reader.start()
        assert fetch(reader, url) == b"{10}\r\nthe text\r\n"
        assert sign(reader) == url
        with reader.imap("admin") as admin:
            admin.ok("RESETKEY shared.x")
        assert fetch(reader, url) == b"NIL"
        signer.start()

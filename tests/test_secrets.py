# SPDX-License-Identifier: BSD-3-Clause
"""Who a client is and how that is kept: certificates, resumed TLS sessions, and what no log and no trace may show."""

import base64
import glob
import socket
import ssl

import pytest

from cyltest.credentials import password


@pytest.fixture
def server(factory, credentials):
    server = factory(services=("imap", "imaps", "pop3"))
    server.add_service("lmtp", cmd="lmtpd")
    server.use_tls()
    server.conf.update({"tls_client_ca_file": server.cafile, "sasl_mech_list": "PLAIN LOGIN EXTERNAL"})
    server.start()
    server.create_user("alice")
    return server


def context(server, credentials=None, name=None):
    made = ssl.create_default_context(cafile=server.cafile)
    if name:
        made.load_cert_chain(*credentials.client_cert(name))
    return made


def start_tls(client, made):
    client.sock = made.wrap_socket(client.sock, server_hostname="localhost")


def test_client_certificates(server, credentials):
    """The name in it is who the client is, for EXTERNAL; an admin's certificate is enough for LMTP."""
    with server.imap() as imap:
        assert b"EXTERNAL" not in imap.greeting
        imap.ok("STARTTLS")
        start_tls(imap, context(server, credentials, "alice"))
        assert b" AUTH=EXTERNAL" in imap.ok("CAPABILITY").untagged[0]
        imap.ok("AUTHENTICATE EXTERNAL =")
        assert imap.ok("MYRIGHTS INBOX").untagged == [b"* MYRIGHTS INBOX lrswipkxtecdan"]
    with server.imap() as imap:
        imap.ok("STARTTLS")
        start_tls(imap, context(server, credentials, "alice"))
        assert imap.no("AUTHENTICATE EXTERNAL " + base64.b64encode(b"bob").decode())
        imap.ok("AUTHENTICATE PLAIN " + base64.b64encode(b"\0alice\0" + password("alice").encode()).decode())
    with server.imap() as imap:
        imap.ok("STARTTLS")
        start_tls(imap, context(server))
        assert b"EXTERNAL" not in imap.ok("CAPABILITY").untagged[0]
        assert imap.no("AUTHENTICATE EXTERNAL =")
    for name, code in (("admin", 250), ("alice", 430)):
        with server.lmtp() as lmtp:
            assert lmtp.cmd("STARTTLS")[0] == 220
            start_tls(lmtp, context(server, credentials, name))
            assert lmtp.cmd("MAIL FROM:<>")[0] == code


def test_sessions_are_resumed(server):
    """With tickets (TLS 1.3) and ids (TLS 1.2), by another process; not after the time that they have."""
    def connect(made, session=None):
        with made.wrap_socket(socket.create_connection(server.address("imaps")), server_hostname="localhost",
                              session=session) as tls:
            assert tls.recv(4096).startswith(b"* OK")
            tls.sendall(b"a NOOP\r\n")
            assert tls.recv(4096).startswith(b"a OK")
            return tls.session, tls.session_reused

    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        made = context(server)
        made.minimum_version = made.maximum_version = version
        session, reused = connect(made)
        assert not reused
        assert connect(made, session)[1], version
    server.conf["tls_session_timeout"] = "0"
    server.restart()
    made = context(server)
    session, _ = connect(made)
    assert not session or not connect(made, session)[1]


def secret(text):
    """As it may stand in a log: plain, and inside of base64 at each offset."""
    forms = [text.encode()]
    for before in ("", "\0", "\0\0"):
        encoded = base64.b64encode((before + text + "\0\0\0").encode())
        forms.append(encoded[4:-4])
    return forms


def test_no_secret_is_written(server):
    """Not of those who come in, nor of those who fail: not to the log, nor to the traces of users who have one."""
    for user in ("alice", "admin"):
        server.account.mkdir(server.path("conf", "log", user))
    secrets = {"alice": password("alice"), "admin": password("admin"), "bad": "wrong-secret-of-alice"}

    def plain(user, word):
        return base64.b64encode(f"\0{user}\0{word}".encode()).decode()

    with server.imap("alice") as imap:
        assert imap.bad(f"LOGIN alice {secrets['bad']}")
        imap.ok("NOOP")
    with server.imap() as imap:
        assert imap.no(f"LOGIN alice {secrets['bad']}")
        assert imap.no(f"AUTHENTICATE PLAIN {plain('alice', secrets['bad'])}")
        imap.ok(f"AUTHENTICATE PLAIN {plain('admin', secrets['admin'])}")
        imap.ok("UNAUTHENTICATE")
        imap.ok(f'LOGIN alice "{secrets["alice"]}"')
        imap.ok("LOGOUT")
    with server.pop3() as pop:
        pop.ok("USER alice")
        assert pop.cmd(f"PASS {secrets['bad']}").startswith(b"-ERR")
        pop.ok(f"AUTH PLAIN {plain('alice', secrets['alice'])}")
        pop.ok("QUIT")
    written = {"the log": server.log_text().encode()}
    for path in glob.glob(server.path("conf", "log", "*", "*")):
        with open(path, "rb") as f:
            written[path] = f.read()
    assert len(written) >= 4
    assert any(b"NOOP" in text for text in written.values()), "traces"
    allowed = {"bad"}  # what a client says to a session that is logged in already is what it says
    for name, text in written.items():
        for whose, word in secrets.items():
            if whose in allowed and name != "the log":
                continue
            assert not [form for form in secret(word) if form in text], (name, whose)

# SPDX-License-Identifier: BSD-3-Clause
"""Which versions of TLS are spoken: those before 1.2 only where an operator asks for them, by the ciphers, too (option tls_versions)."""

import socket
import ssl
import warnings

import pytest

OLD, NEW = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1), (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
EVERYTHING = "ALL:@SECLEVEL=0"


def speaks(server, version):
    """What a client that would take anything gets: the version agreed upon, or None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(EVERYTHING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(server.address("imaps"), timeout=30) as plain:
        try:
            with context.wrap_socket(plain) as tls:
                assert tls.recv(100).startswith(b"* OK")
                return tls.version()
        except (ssl.SSLError, ConnectionResetError):
            return None


@pytest.fixture
def server(factory):
    made = factory(services=("imaps",))
    made.use_tls()
    made.allow_log("TLS|tls|SSL")
    return made


def test_old_versions_are_refused(server):
    server.start()
    assert [speaks(server, version) for version in OLD] == [None, None]
    assert [speaks(server, version) for version in NEW] == ["TLSv1.2", "TLSv1.3"]


def test_old_versions_by_request(server):
    """The client of these tests does speak them."""
    server.conf["tls_ciphers"] = EVERYTHING
    server.start()
    assert [speaks(server, version) for version in OLD] == ["TLSv1", "TLSv1.1"]


@pytest.mark.parametrize("words,spoken", [("tls1_2", ["TLSv1.2", None]), ("tls1_3", [None, "TLSv1.3"])])
def test_versions_by_option(server, words, spoken):
    server.conf.update(tls_versions=words, tls_ciphers=EVERYTHING)
    server.start()
    assert [speaks(server, version) for version in OLD] == [None, None]
    assert [speaks(server, version) for version in NEW] == spoken

# SPDX-License-Identifier: BSD-3-Clause
"""Passwords and certificates, made once per test run and copied for each server."""

import os
import shutil
import subprocess
import tempfile

REALM = "cyl.test"
USERS = ("admin", "repl", "alice", "bob", "carol", "dave")


def password(user):
    """The password of a user: every user has another one."""
    return f"{user}.pw"


def _need(program, package):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise RuntimeError(f"{program} is missing: apt-get install {package}")
    return path


def set_password(sasldb, user, secret, realm=REALM):
    tool = _need("saslpasswd2", "sasl2-bin libsasl2-modules-db")
    subprocess.run([tool, "-p", "-c", "-f", sasldb, "-u", realm, user],
                   input=secret.encode(), check=True, capture_output=True)


class Credentials:
    def __init__(self):
        self._dir = tempfile.mkdtemp(prefix="cyltest-credentials-")
        self._sasldb = None
        self._certs = None

    def close(self):
        shutil.rmtree(self._dir, ignore_errors=True)

    def sasldb(self):
        """A sasldb with all of USERS."""
        if self._sasldb is None:
            path = os.path.join(self._dir, "sasldb")
            for user in USERS:
                set_password(path, user, password(user))
            self._sasldb = path
        return self._sasldb

    def certs(self):
        """A directory with ca.pem, cert.pem and key.pem for localhost and 127.0.0.1."""
        if self._certs is None:
            path = os.path.join(self._dir, "certs")
            os.mkdir(path)
            self._make_certs(path)
            self._certs = path
        return self._certs

    def client_cert(self, name):
        """Certificate and key of a client, for load_cert_chain(); the CA of certs() has signed it."""
        path, tool = self.certs(), _need("openssl", "openssl")
        cert, key = (os.path.join(path, f"client-{name}.{kind}") for kind in ("pem", "key"))
        if not os.path.exists(cert):
            for args in (("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                          "-out", "client.req", "-subj", f"/CN={name}"),
                         ("x509", "-req", "-in", "client.req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                          "-days", "30", "-out", cert)):
                subprocess.run([tool, *args], cwd=path, check=True, capture_output=True)
        return cert, key

    @staticmethod
    def _make_certs(path):
        tool = _need("openssl", "openssl")

        def openssl(*args):
            subprocess.run([tool, *args], cwd=path, check=True, capture_output=True)

        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30",
                "-subj", "/CN=Test CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        openssl("req", "-new", *key, "-keyout", "key.pem", "-out", "req.pem",
                "-subj", "/CN=localhost")
        with open(os.path.join(path, "ext"), "w", encoding="ascii") as ext:
            ext.write(f"subjectAltName=DNS:localhost,DNS:{REALM},IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", "req.pem", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "30", "-extfile", "ext", "-out", "cert.pem")

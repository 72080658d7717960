# SPDX-License-Identifier: BSD-3-Clause
"""Programs for sync_transport: shell scripts that reach a replica, or fail to. And unix sockets that another user opens."""

import os
import pwd
import subprocess

import pytest


def write_program(server, name, *lines, shell="/bin/sh"):
    """A script for the server's account; its path."""
    path = server.path(name)
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join([f"#!{shell}", *lines, ""]))
    os.chmod(path, 0o755)
    return path


def service_env(server):
    """Environment of a service of that server that master has not started."""
    return {**server.env, "CYRUS_SERVICE": "pipe", "CYRUS_ID": "0"}


def exports(server):
    """The same for a shell."""
    return " ".join(f"export {name}='{value}';" for name, value in service_env(server).items())


def service(server, name="sync_server"):
    """The command that serves a client at its standard input and output."""
    return f"{server.program(name)} -X -C {server.imapd_conf}"


def another_user(server):
    """One of the system that is neither root nor the server's."""
    if not server.account.root:
        pytest.skip("only root can be somebody else")
    return next(pw for pw in pwd.getpwall() if pw.pw_uid not in (0, server.account.uid))


def public_directory(server):
    """Where everybody may open sockets."""
    path = server.path("public")
    os.mkdir(path)
    os.chmod(path, 0o755)
    return path


_ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
lines = s.makefile("r")
banner = lines.readline()
while banner.startswith("* X-"):
    banner = lines.readline()
print(banner)
if not banner.startswith("* BYE"):
    s.sendall(b"GET USER anna\\r\\nEXIT\\r\\n")
    print(lines.read())
"""


def ask_as(user, path):
    """What a sync_server at that socket tells a process of the user: the last line of its banner, and of a user that it has not."""
    return subprocess.run(["/usr/bin/python3", "-c", _ASK, path], user=user.pw_uid, group=user.pw_gid, extra_groups=[],
                          capture_output=True, text=True, check=True).stdout


def fingerprint(path):
    """Of a certificate, as openssl writes it."""
    done = subprocess.run(["openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256"], capture_output=True, text=True,
                          check=True)
    return done.stdout.strip().partition("=")[2]
